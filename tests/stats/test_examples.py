"""The examples in the docstrings of the statistics say what they answer."""

import doctest
import pkgutil
from importlib import import_module

import pytest

import chopmark.stats

MODULES = [
    m.name for m in pkgutil.walk_packages(chopmark.stats.__path__, "chopmark.stats.") if "__main__" not in m.name
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    told: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    for example in doctest.DocTestFinder(exclude_empty=True).find(import_module(name), name):
        runner.run(example, out=told.append)
    assert not told, "".join(told)


def test_there_are_examples():
    finder = doctest.DocTestFinder()
    assert sum(len(example.examples) for name in MODULES for example in finder.find(import_module(name))) > 50
