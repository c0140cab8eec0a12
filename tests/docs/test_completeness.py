"""Every public name has a docstring and an example that is executed."""

import ast
import doctest
import importlib
import inspect
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

import chopmark
from chopmark.sdk.async_registry import AsyncRegistry
from chopmark.sdk.draft import Draft
from chopmark.sdk.registry import Registry
from chopmark.sdk.results import Page
from chopmark.testing.registry import memory_registry
from tests.docs.markdown import blocks, pages
from tests.docs.test_doctests import modules_with_examples


def surfaces() -> dict[str, type]:
    """Attribute of a registry → class of the surface."""
    with memory_registry() as registry:
        found = {name: value for name, value in vars(registry).items() if not name.startswith("_")}
    return {name: type(value) for name, value in found.items()}


def public_names(kind: type) -> list[str]:
    """Methods and properties that the class offers, its own and those inherited from ours."""
    ours = [base for base in kind.__mro__ if base.__module__.startswith("chopmark.")]
    return sorted(
        {
            name
            for base in ours
            for name, value in vars(base).items()
            if not name.startswith("_") and (inspect.isfunction(value) or isinstance(value, property))
        }
    )


def executed_sources() -> Iterator[str]:
    """Python that the tests execute: of the pages, and of docstrings."""
    parser = doctest.DocTestParser()
    for page in pages():
        for block in blocks(page.read_text()):
            if block.language == "python":
                examples = parser.get_examples(block.text)
                yield "".join(e.source for e in examples) if examples else block.text
    for name in modules_with_examples():
        for test in doctest.DocTestFinder().find(importlib.import_module(name)):
            yield "".join(e.source for e in test.examples)


@cache
def chains() -> frozenset[tuple[str, str]]:
    """Pairs of names that follow each other with a dot: ``registry.versions.get`` has two."""
    found: set[tuple[str, str]] = set()
    for source in executed_sources():
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Attribute):
                found.add((_last_name(node.value), node.attr))
            elif isinstance(node, ast.ImportFrom) and node.module == "chopmark":
                found |= {("chopmark", alias.name) for alias in node.names}
    return frozenset(found)


def _last_name(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(attr=name):
            return name
        case ast.Call(func=function):
            return _last_name(function)
        case _:
            return ""


@pytest.mark.parametrize("name", chopmark.__all__)
def test_a_public_name_is_documented_and_shown(name: str) -> None:
    value: Any = getattr(chopmark, name)
    assert (inspect.getdoc(value) or "").strip()
    assert chains() & {("cm", name), ("chopmark", name)}, f"no executed example has cm.{name}"


@pytest.mark.parametrize("name", public_names(Registry))
def test_a_verb_of_the_registry_is_documented_and_shown(name: str) -> None:
    assert (getattr(Registry, name).__doc__ or "").strip()
    assert ("registry", name) in chains(), f"no executed example has registry.{name}"


@pytest.mark.parametrize(
    ("surface", "name"),
    [(surface, name) for surface, kind in surfaces().items() for name in public_names(kind)],
)
def test_a_verb_of_a_surface_is_documented_and_shown(surface: str, name: str) -> None:
    assert (getattr(surfaces()[surface], name).__doc__ or "").strip()
    assert (surface, name) in chains(), f"no executed example has registry.{surface}.{name}"


@pytest.mark.parametrize(("kind", "variable"), [(Draft, "draft"), (Page, "page")])
def test_what_verbs_hand_out_is_documented_and_shown(kind: type, variable: str) -> None:
    for name in public_names(kind):
        assert (getattr(kind, name).__doc__ or "").strip(), name
        assert (variable, name) in chains(), f"no executed example has {variable}.{name}"


def test_the_asynchronous_twin_is_documented() -> None:
    for name in public_names(AsyncRegistry):
        assert (getattr(AsyncRegistry, name).__doc__ or "").strip(), name


def test_surfaces_are_found() -> None:
    assert set(surfaces()) >= {"versions", "models", "aliases", "stages", "files", "projects", "trust", "audit"}
