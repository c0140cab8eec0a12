"""The locked requirements pin what pyproject.toml asks for, by hash, and say nothing of where it came from."""

import re
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.project.tracked import ROOT

LOCKS = ["demo", "dev", "uv"]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())


def entries(lock: str) -> list[str]:
    """Read a lock's entries, each with its hashes, on one line."""
    text = (ROOT / "requirements" / f"{lock}.txt").read_text()
    joined = re.sub(r"\\\n\s*", " ", text)
    return [line for line in joined.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def pinned(lock: str) -> dict[str, str]:
    """Read which version of each distribution a lock gives this interpreter."""
    requirements = [Requirement(entry.split(" --hash")[0]) for entry in entries(lock)]
    return {
        canonicalize_name(each.name): str(each.specifier).removeprefix("==")
        for each in requirements
        if each.marker is None or each.marker.evaluate({"extra": ""})
    }


def asked(group: str) -> Iterator[Requirement]:
    for item in PROJECT["dependency-groups"][group]:
        if isinstance(item, dict):
            yield from asked(item["include-group"])
        else:
            yield Requirement(item)


@pytest.mark.parametrize("lock", LOCKS)
def test_every_entry_is_pinned_and_hashed(lock: str) -> None:
    assert entries(lock)
    for entry in entries(lock):
        assert re.match(r"[a-z0-9][a-z0-9.\[\]-]*==\S+ ", entry), entry
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry


@pytest.mark.parametrize("lock", LOCKS)
def test_no_entry_says_where_it_came_from(lock: str) -> None:
    text = (ROOT / "requirements" / f"{lock}.txt").read_text()
    assert "://" not in text
    assert not re.search(r"^\s*-", re.sub(r"\\\n\s*", " ", text), flags=re.MULTILINE)


@pytest.mark.parametrize(("lock", "groups"), [("demo", ["demo", "build"]), ("dev", ["dev"])])
def test_the_lock_satisfies_the_project(lock: str, groups: list[str]) -> None:
    core = [Requirement(line) for line in PROJECT["project"]["dependencies"]]
    versions = pinned(lock)
    for requirement in [*core, *(each for group in groups for each in asked(group))]:
        name = canonicalize_name(requirement.name)
        assert name in versions, f"{name} is not in requirements/{lock}.txt; run: make lock"
        assert requirement.specifier.contains(Version(versions[name])), f"{requirement} against {versions[name]}"


def test_the_demo_is_a_part_of_the_whole() -> None:
    assert set(entries("demo")) <= set(entries("dev"))


def test_nothing_gigantic_is_locked() -> None:
    assert not {name for name in pinned("dev") if name.startswith("nvidia") or name == "torch"}


def test_the_extra_all_names_every_extra_for_users() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    (everything,) = extras["all"]
    assert Requirement(everything).extras == set(extras) - {"all", "testing"}  # the last is for authors of plug-ins
