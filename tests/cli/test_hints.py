"""Commands that messages and hints of the program name are there, and are written as they are used."""

import ast
import re
import shlex
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

import click
import pytest

import chopmark
from chopmark.cli.program import ROOT
from tests.cli.running import Program, all_commands

SOURCE = Path(chopmark.__file__).parent
COMMANDS = all_commands()
# What the code puts in for a name, a reference and the like. A command that it puts in is tried below.
FILLED_IN = "FRAUD"
SHELL = {"|", ">", ">>", "&&"}


class Hint(NamedTuple):
    place: str
    text: str


def texts(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and text of every string but docstrings; ``{…}`` of an f-string filled in."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    skipped: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, documented) and ast.get_docstring(node) is not None:
            expression = node.body[0]
            assert isinstance(expression, ast.Expr)
            skipped.add(id(expression.value))
        elif isinstance(node, ast.JoinedStr):
            skipped.update(id(part) for part in node.values)
            yield (
                node.lineno,
                "".join(str(part.value) if isinstance(part, ast.Constant) else FILLED_IN for part in node.values),
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped:
            yield node.lineno, node.value


def hints() -> Iterator[Hint]:
    """Each command line in a message or an example: to the end of the quotation, the clause or the line."""
    for file in sorted(SOURCE.rglob("*.py")):
        source = file.read_text(encoding="utf-8")
        if "chopmark " not in source:
            continue
        for line, text in texts(ast.parse(source)):
            for found in re.finditer(r"(?<![<\w/.-])('?)chopmark ([a-z][^\n]*)", text):
                quote, rest = found[1], found[2]
                end = quote or r", |[.,;)]?(?: {2}|$)"  # an example has blanks before its explanation
                yield Hint(f"{file.relative_to(SOURCE)}:{line}", re.split(end, rest)[0].strip())


HINTS = list(hints())


def test_there_are_hints_to_check() -> None:
    assert len(HINTS) > 100
    assert {"db upgrade", "model list", "promote FRAUD staging --reason '…'"} <= {h.text for h in HINTS}


@pytest.mark.parametrize("hint", HINTS, ids=lambda h: f"{h.place} {h.text}")
def test_a_command_that_is_named_is_there(hint: Hint) -> None:
    words = list(takewhile(lambda word: word not in SHELL, shlex.split(hint.text)))
    path = next((p for p in (tuple(words[:n]) for n in (3, 2)) if p in COMMANDS), tuple(words[:1]))
    assert path in COMMANDS
    arguments = words[len(path) :]
    command = COMMANDS[path]
    if not arguments:
        return  # only named, as in "the first 'chopmark register'"
    assert not isinstance(command, click.Group)
    for word in arguments:
        if re.fullmatch(r"[\w-]+\.[a-z]+", word):  # a file that must be there
            Path(word).touch()
    command.make_context(path[-1], arguments, parent=click.Context(ROOT)).close()


@pytest.mark.parametrize("stage", ["archived", "deprecated"])
def test_a_command_that_is_put_into_a_hint_is_there(program: Program, stage: str) -> None:
    program.register()
    refused = program("promote", "fraud:1", stage, "--reason", "x", "--json")
    assert refused.code == 2
    command = refused.json["hint"].partition("chopmark ")[2]
    program.ok(*shlex.split(command))
