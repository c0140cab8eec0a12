"""The examples in docstrings run, each module's in a directory of its own."""

import doctest
import importlib
from pathlib import Path

import pytest

from tests.docs.markdown import ROOT
from tests.docs.running import FLAGS

SOURCE = ROOT / "src"


def module_name(file: Path) -> str:
    parts = file.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def modules_with_examples() -> list[str]:
    return sorted(module_name(f) for f in (SOURCE / "chopmark").rglob("*.py") if ">>> " in f.read_text())


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples_in_docstrings_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    told: list[str] = []
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    tests = doctest.DocTestFinder(exclude_empty=True).find(importlib.import_module(name))
    assert any(test.examples for test in tests)
    for test in tests:
        runner.run(test, out=told.append)
    if told:
        pytest.fail("".join(told), pytrace=False)


def test_the_package_shows_an_example() -> None:
    assert "chopmark" in modules_with_examples()
