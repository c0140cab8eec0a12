"""What all detectors share: one value or many, and what values they take."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, Self

import msgspec

from chopmark.errors import InvalidRequest

__all__ = ["LARGEST", "Detector", "MistakeDetector"]

_MISTAKE = frozenset({0, 1})
LARGEST = 1e100
"""Of a value, so that sums of squares stay finite."""


class Detector(msgspec.Struct, frozen=True, kw_only=True, tag_field="detector"):
    """A frozen detector: its parameters, and what it knows of the values so far.

    Attributes
    ----------
    detected
        Whether the last value showed a change. The next one starts a detector with the same parameters anew.
    """

    detected: bool = False

    def observe(self, value: float) -> Self:
        """Detector after one more value.

        Raises
        ------
        InvalidRequest
            When the value is not finite, larger than 10¹⁰⁰ in size, or for a detector of mistakes neither 0 nor 1.
        """
        return self._after(self._checked((value,)))[0]

    def observe_all(self, values: Iterable[float]) -> tuple[Self, tuple[int, ...]]:
        """Detector after many values, as if one had given them singly, and positions (from 0) of those that showed a change.

        Parameters
        ----------
        values
            Shape (n,): a list or an array. It takes a fraction of the time of single calls.

        Raises
        ------
        InvalidRequest
            When one cannot be; nothing is taken then.
        """
        listed = values.tolist() if hasattr(values, "tolist") else values
        if not isinstance(listed, Iterable):
            raise InvalidRequest(
                f"{values!r} is no list of values.", hint="Give a list or an array; observe() takes one value."
            )
        listed = list(listed)
        if not listed:
            return self, ()
        after, detections = self._after(self._checked(listed))
        return after, tuple(detections)

    def _checked(self, values: Sequence[Any]) -> Sequence[float]:
        for value in values:
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                _refuse(value)
            if not abs(value) <= LARGEST:  # NaN is not, either; and a whole number may be too large for any float
                _refuse(value)
        return values

    @abstractmethod
    def _after(self, values: Sequence[float]) -> tuple[Self, list[int]]:
        """The detector after at least one value, and where it detected."""
        raise NotImplementedError


class MistakeDetector(Detector, frozen=True, kw_only=True):
    """A detector of mistakes: 1 for a wrong answer, 0 for a right one.

    Attributes
    ----------
    warning
        Whether the last value came near to a change.
    """

    warning: bool = False

    def _checked(self, values: Sequence[Any]) -> Sequence[float]:
        try:
            fine = _MISTAKE.issuperset(values)
        except TypeError:  # a list within the list
            fine = False
        if not fine:
            raise InvalidRequest(
                f"{type(self).__name__} takes mistakes, and one of the values is neither 0 nor 1.",
                hint="Give 1 for a wrong answer and 0 for a right one; other numbers go to Adwin or PageHinkley.",
            )
        return values


def _refuse(value: object) -> None:
    raise InvalidRequest(
        f"A detector was given {value!r}.", hint=f"Give finite numbers up to {LARGEST:g} in size; drop missing ones."
    )
