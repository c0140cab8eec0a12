"""How a computed answer is held against an expected one: by the tolerance that the file states, never more kindly.

A number agrees when it is within ``abs`` or within ``rel`` of what is expected. Whole numbers, truth values and words agree only
when they are equal; NaN and infinities agree with nothing; every expected key must be there. Which tolerance a value has is
decided by the names on the way to it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

__all__ = ["ABSENT", "Difference", "FollowsEach", "Tolerance", "differences", "tolerance_at"]

ABSENT = "(absent)"
"""Stands for an answer that has no such key."""

_NULL_CRITICAL_VALUE_LEAST = 7.5
_NULL_FUTILITY_BOUND_MOST = -7.5

# Key of a file's ``tolerance`` → what it loosens: one of the words is in a name on the way to the value.
_NAMED: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "barnard_boschloo_rel": ("rel", ("barnard", "boschloo")),
    "inflation_abs": ("abs", ("inflation",)),
    "loss_abs": ("abs", ("loss",)),
    "p_abs": ("abs", ("p_",)),
    "power_abs": ("abs", ("power",)),
    "spent_abs": ("abs", ("spent",)),
    "rel_mean": ("rel", ("mean",)),
    "rel_m2": ("rel", ("m2", "sd", "variance")),
}


class Tolerance(msgspec.Struct, frozen=True):
    """How far a number may lie from what is expected.

    Attributes
    ----------
    rel
        As a share of the size of what is expected.
    abs
        In the value's own units. The wider of the two counts.
    """

    rel: float = 0.0
    abs: float = 0.0

    def allows(self, got: float, expected: float) -> bool:
        """Whether the number agrees; NaN and infinities never do."""
        return math.isfinite(got) and abs(got - expected) <= max(self.abs, self.rel * abs(expected))


class FollowsEach(msgspec.Struct, frozen=True):
    """Wanted of a detector that draws: that some detection follows each change soon enough.

    Attributes
    ----------
    changes
        Positions of the true changes.
    within
        How many values later a detection may come.
    """

    changes: tuple[int, ...]
    within: int

    def allows(self, got: Any) -> bool:
        """Whether these detections do."""
        return isinstance(got, (list, tuple)) and all(
            any(change <= one <= change + self.within for one in got) for change in self.changes
        )


class Difference(msgspec.Struct, frozen=True):
    """A value that is not what was expected.

    Attributes
    ----------
    path
        Names and positions on the way to it, such as ``firing.page_fast[0]``.
    expected, got
        The values; `ABSENT` where the answer has none.
    distance
        How far numbers lie apart; None for anything else.
    """

    path: str
    expected: Any
    got: Any
    distance: float | None = None

    def __str__(self) -> str:
        off = "" if self.distance is None else f", off by {self.distance:.3g}"
        return f"{self.path or 'answer'}: expected {self.expected!r}, got {self.got!r}{off}"


def tolerance_at(stated: Mapping[str, Any], names: tuple[str, ...]) -> Tolerance:
    """Tolerance of the value that these names lead to, as a file states it.

    Parameters
    ----------
    stated
        The file's ``tolerance``: ``rel`` and ``abs`` for everything; special keys such as ``loss_abs`` in their place for the
        values they name; and for a name on the way, such as ``miettinen_nurminen_score``, what it states itself.
    names
        From the answer down to the value.
    """
    scope = dict(stated)
    for name in names:
        own = scope.get(name)
        if isinstance(own, Mapping):
            scope |= own
    limits = {key: float(scope.get(key, 0.0)) for key in ("rel", "abs")}
    for key, (kind, words) in _NAMED.items():
        if key in scope and any(_names(word, name) for word in words for name in names):
            limits[kind] = float(scope[key])
    return Tolerance(**limits)


def _names(word: str, name: str) -> bool:
    return name.startswith(word) if word.endswith("_") else word in name


def differences(
    expected: Any, got: Any, stated: Mapping[str, Any], names: tuple[str, ...] = (), path: str = ""
) -> Iterator[Difference]:
    """Everything in which an answer is not what was expected.

    Parameters
    ----------
    expected
        JSON values. Two words have a meaning of their own: under ``raises`` any error's name will do, and ``"nan"`` says that the
        other library failed, for which a finite number is wanted. A ``null`` among critical values or futility bounds says
        that the look stops nothing, for which a bound beyond ±7.5 will do.
    got
        The answer. Keys that nobody expected do not matter.
    stated
        The file's ``tolerance``.
    names, path
        How these values were reached.
    """
    if isinstance(expected, FollowsEach):
        if not expected.allows(got):
            yield Difference(path, expected, got)
    elif isinstance(expected, Mapping):
        yield from _of_mappings(expected, got, stated, names, path)
    elif isinstance(expected, list):
        yield from _of_lists(expected, got, stated, names, path)
    elif not _agrees(expected, got, tolerance_at(stated, names), names):
        apart = abs(got - expected) if _is_number(got) and _is_number(expected) else None
        yield Difference(path, expected, got, apart)


def _of_mappings(
    expected: Mapping[str, Any], got: Any, stated: Mapping[str, Any], names: tuple[str, ...], path: str
) -> Iterator[Difference]:
    if not isinstance(got, Mapping):
        yield Difference(path, expected, got)
        return
    for key, value in expected.items():
        below = f"{path}.{key}" if path else key
        if key not in got:
            yield Difference(below, value, ABSENT)
        else:
            yield from differences(value, got[key], stated, (*names, key), below)


def _of_lists(
    expected: list[Any], got: Any, stated: Mapping[str, Any], names: tuple[str, ...], path: str
) -> Iterator[Difference]:
    if not isinstance(got, (list, tuple)) or len(got) != len(expected):
        yield Difference(path, expected, got)
        return
    for i, (one, other) in enumerate(zip(expected, got, strict=True)):
        yield from differences(one, other, stated, names, f"{path}[{i}]")


def _agrees(expected: Any, got: Any, tolerance: Tolerance, names: tuple[str, ...]) -> bool:
    if expected is None:
        return got is None or _stops_nothing(got, names)
    if isinstance(expected, str):
        return _says(expected, got, names)
    if isinstance(expected, bool) or isinstance(got, bool) or not _is_number(got):
        return type(got) is type(expected) and bool(got == expected)
    if isinstance(expected, int) and isinstance(got, int):
        return got == expected
    return tolerance.allows(got, expected)


def _stops_nothing(got: Any, names: tuple[str, ...]) -> bool:
    """Whether a bound is out of reach, where the other library gave none."""
    if not _is_number(got):
        return False
    if "critical_values" in names:
        return bool(got >= _NULL_CRITICAL_VALUE_LEAST)
    return "futility_bounds" in names and bool(got <= _NULL_FUTILITY_BOUND_MOST)


def _says(expected: str, got: Any, names: tuple[str, ...]) -> bool:
    if names[-1:] == ("raises",):
        return isinstance(got, str) and bool(got)
    if expected == "nan":
        return _is_number(got) and math.isfinite(got)
    return bool(got == expected)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
