"""Prints sizes, complexity and docstring coverage of the sources: figures to notice, never a gate.

For each: the median, what 95 % stay under, the largest few. Run by ``make report``.
"""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from interrogate.config import InterrogateConfig
from interrogate.coverage import InterrogateCoverage
from radon.complexity import cc_visit_ast

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "src"
TESTS = ROOT / "tests"
SHOWN = 5
MOST = 0.95


@dataclass(frozen=True, order=True)
class Figure:
    """One measured thing: how much, and where."""

    value: int
    place: str


def python_files(directory: Path) -> list[Path]:
    return sorted(directory.rglob("*.py"))


def module_lines(paths: Iterable[Path]) -> Iterator[Figure]:
    for path in paths:
        yield Figure(len(path.read_text().splitlines()), str(path.relative_to(ROOT)))


def function_lines(paths: Iterable[Path]) -> Iterator[Figure]:
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
                place = f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
                yield Figure(node.end_lineno - node.body[0].lineno + 1, place)


def complexities(paths: Iterable[Path]) -> Iterator[Figure]:
    for path in paths:
        for block in cc_visit_ast(ast.parse(path.read_text())):
            yield Figure(block.complexity, f"{path.relative_to(ROOT)}:{block.lineno} {block.fullname}")


def quantile(figures: list[Figure], share: float) -> int:
    return sorted(figures)[min(len(figures) - 1, int(share * len(figures)))].value


def show(title: str, found: Iterable[Figure]) -> None:
    figures = list(found)
    if not figures:
        print(f"{title}: none")
        return
    print(f"{title}: {len(figures)}, median {quantile(figures, 0.5)}, 95 % under {quantile(figures, MOST) + 1}")
    for figure in sorted(figures, reverse=True)[:SHOWN]:
        print(f"  {figure.value:5d}  {figure.place}")


def docstring_coverage() -> float:
    """Per cent of public modules, classes and functions that have a docstring."""
    config = InterrogateConfig(
        ignore_init_method=True, ignore_magic=True, ignore_nested_functions=True, ignore_private=True
    )
    return float(InterrogateCoverage(paths=[str(SOURCES)], conf=config).get_coverage().perc_covered)


def main() -> None:
    sources, tests = python_files(SOURCES), python_files(TESTS)
    show("Lines of a module", module_lines(sources))
    show("Lines of a function's body", function_lines(sources))
    show("Cyclomatic complexity", complexities(sources))
    source_lines = sum(figure.value for figure in module_lines(sources))
    test_lines = sum(figure.value for figure in module_lines(tests))
    print(
        f"Lines of tests for a line of source: {test_lines / max(source_lines, 1):.2f} ({test_lines} / {source_lines})"
    )
    print(f"Public names with a docstring: {docstring_coverage():.1f} %")


if __name__ == "__main__":
    main()
