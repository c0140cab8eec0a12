"""How many values of a column fell into each of its bins."""

from __future__ import annotations

import math

import msgspec

from chopmark.errors import InvalidRequest

__all__ = ["OTHER_GROUPS", "ColumnCounts", "nearest_finite", "of_other_bins"]

OTHER_GROUPS = 64
"""Groups of the levels that are not kept one by one."""

_LARGEST = 1.7976931348623157e308


class ColumnCounts(msgspec.Struct, frozen=True):
    """How many values of a column fell into each of its bins; they add up with ``+``.

    Attributes
    ----------
    name
        Of the column.
    counts
        Of a numeric column: below, each bin, above, missing. Of a categorical one: each level, other, missing.
    sums
        Of a numeric column: of the values below, in each bin and above, each less the reference's mean. Otherwise empty.
    between
        Of a numeric column with one bin a value: how many of each bin are not that value, but lie between it and the one before.
        Empty where none do.
    numbers
        Of a categorical column: how many of its values were numbers, and not texts or truth values.
    infinite
        Of a numeric column: how many of its values are infinite.
    others
        Of a categorical column with more levels than are kept: how many of ``other`` fall into each of `OTHER_GROUPS` groups of
        levels, by a hash of their texts. Empty where there are none.
    """

    name: str
    counts: tuple[int, ...]
    sums: tuple[float, ...] = ()
    between: tuple[int, ...] = ()
    numbers: int = 0
    infinite: int = 0
    others: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not all(
            type(count) is int and count >= 0
            for count in (*self.counts, *self.between, self.numbers, self.infinite, *self.others)
        ):
            raise InvalidRequest(
                f"Counts of {self.name!r} are no counts.", hint="A count is a whole number, 0 or more."
            )
        if not all(map(math.isfinite, self.sums)):
            raise InvalidRequest(f"A sum of {self.name!r} is not finite.", hint="Count the column again.")

    def __add__(self, other: ColumnCounts) -> ColumnCounts:
        counts = tuple(a + b for a, b in zip(self.counts, other.counts, strict=True))
        sums = tuple(nearest_finite(a + b) for a, b in zip(self.sums, other.sums, strict=True))
        return ColumnCounts(
            self.name,
            counts,
            sums,
            _added(self.between, other.between),
            self.numbers + other.numbers,
            self.infinite + other.infinite,
            _added(self.others, other.others),
        )

    @property
    def rows(self) -> int:
        """Values of any kind."""
        return sum(self.counts)

    @property
    def missing(self) -> int:
        """Values that are missing."""
        return self.counts[-1]

    @property
    def present(self) -> int:
        """Values that are not."""
        return self.rows - self.missing


def _added(first: tuple[int, ...], second: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(a + b for a, b in zip(first, second, strict=True)) if first and second else first or second


def nearest_finite(value: float) -> float:
    """The nearest finite number: what is beyond all of them is the greatest, and opposite ones are none."""
    return 0.0 if math.isnan(value) else min(max(value, -_LARGEST), _LARGEST)


def of_other_bins(name: str) -> InvalidRequest:
    """The error about counts that are not of the bins they are held against."""
    return InvalidRequest(f"The counts of {name!r} are of other bins.", hint="Count the data with this profile.")
