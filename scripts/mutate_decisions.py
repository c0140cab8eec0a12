"""Prepare a project in which mutmut changes the modules that decide, one change at a time, and their tests should notice.

    python -m scripts.mutate_decisions DIRECTORY
    cd DIRECTORY && mutmut run --max-children 1 && mutmut results

In an environment with mutmut, pytest, hypothesis, numpy, scipy and what Chopmark's core needs. mutmut leaves decorated functions alone, and
half of what decides here is a property: so in the copy each property is a plain method and one that calls it.
"""

from __future__ import annotations

import ast
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
DECIDING = (
    "stats/verdicts.py",
    "stats/readings.py",
    "stats/experiment.py",
    "stats/looks.py",
    "stats/sequential/bernoulli.py",
    "stats/sequential/difference.py",
    "stats/sequential/means.py",
    "stats/sequential/shares.py",
    "domain/alerts.py",
)
TESTS = (
    "stats/test_verdicts.py",
    "stats/test_experiment.py",
    "stats/test_planned_experiments.py",
    "stats/test_decisions.py",
    "stats/test_small_canaries.py",
    "stats/test_looks.py",
    "stats/test_sequential_bernoulli.py",
    "stats/test_sequential_means.py",
    "stats/test_ratio_check.py",
    "stats/test_wrong_input.py",
    "domain/test_alerts.py",
    "domain/test_alert_gaps.py",
)
SETTINGS = """[project]
name = "chopmark"
version = "0"
[tool.mutmut]
source_paths = ["src"]
only_mutate = [{}]
pytest_add_cli_args = ["-q", "-p", "no:cacheprovider", "-x"]
pytest_add_cli_args_test_selection = ["tests/"]
"""

CONFTEST = """from hypothesis import settings

settings.register_profile("mutants", deadline=None)
settings.load_profile("mutants")
"""
"""A busy machine must not pass for a test that noticed something."""


def without_properties(source: str) -> str:
    """The module with each property as a plain method, and a property that calls it."""
    lines = source.splitlines()
    found = [
        node
        for each in ast.walk(ast.parse(source))
        if isinstance(each, ast.ClassDef)
        for node in each.body
        if isinstance(node, ast.FunctionDef) and [ast.unparse(d) for d in node.decorator_list] == ["property"]
    ]
    for node in sorted(found, key=lambda each: -each.lineno):
        name, last = node.name, node.end_lineno or node.lineno
        lines.insert(last, f"\n    {name} = property(lambda self: self._get_{name}())")
        lines[node.lineno - 1] = lines[node.lineno - 1].replace(f"def {name}(", f"def _get_{name}(", 1)
        del lines[node.lineno - 2]
    return "\n".join(lines) + "\n"


def prepare(directory: Path) -> None:
    """Fill the directory with the sources, their tests and the settings of mutmut."""
    package = directory / "src" / "chopmark"
    for old in (package, directory / "tests"):
        shutil.rmtree(old, ignore_errors=True)
    shutil.copytree(ROOT / "src" / "chopmark", package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in DECIDING:
        path = package / name
        path.write_text(without_properties(path.read_text()))
    (directory / "tests").mkdir()
    (directory / "tests" / "conftest.py").write_text(CONFTEST)
    for name in TESTS:
        shutil.copy(ROOT / "tests" / name, directory / "tests")
    only = ", ".join(f'"src/chopmark/{name}"' for name in DECIDING)
    (directory / "pyproject.toml").write_text(SETTINGS.format(only))


if __name__ == "__main__":
    prepare(Path(sys.argv[1]))
