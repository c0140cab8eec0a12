"""Checks of this package against values that other libraries computed, by the conventions their files state.

A method's name and a case's input go to `compute`, which calls what the package offers and gives the values under the names that
the files expect. ``python -m chopmark.stats.reference FILE…`` compares whole files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from typing import Any

from chopmark.errors import NotFound

__all__ = ["compute", "methods"]

Compute = Callable[[Mapping[str, Any]], dict[str, Any]]

_PARTS = (
    "chopmark.stats.reference.fixed",
    "chopmark.stats.reference.quantile",
    "chopmark.stats.reference.sequential",
    "chopmark.stats.reference.planned",
    "chopmark.stats.reference.bayesian",
    "chopmark.stats.reference.assignment",
    "chopmark.stats.reference.drift",
    "chopmark.stats.reference.streams",
    "chopmark.domain.reference",  # by name: what decides over alerts lies above this package
)


@cache
def methods() -> Mapping[str, Compute]:
    """Name of a method → what computes a case of it."""
    found: dict[str, Compute] = {}
    for part in _PARTS:
        found |= import_module(part).METHODS
    return found


def compute(method: str, case_input: Mapping[str, Any]) -> dict[str, Any]:
    """What this package answers to a case of a reference file.

    Parameters
    ----------
    method
        As the file names it; `methods` has them all.
    case_input
        The case's ``input``.

    Returns
    -------
    dict
        The same keys as the case's ``expected``.

    Raises
    ------
    NotFound
        When there is no such method.
    """
    found = methods().get(method)
    if found is None:
        raise NotFound(f"There is no reference method {method!r}.", hint=f"Use one of: {', '.join(sorted(methods()))}.")
    return found(case_input)
