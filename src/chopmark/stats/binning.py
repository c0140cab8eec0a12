"""Columns of a data set as bins: where their edges lie, and how many values fall into each.

A numeric column has up to 64 bins that hold about equally many values of the data they were made from, or one a value where
there are no more than 64 values, and then what lies between two of them is told apart; below, above and missing are bins of their
own. A categorical column has its most frequent levels, other and missing.

What counts as what
-------------------
- NaN, None, ``pandas.NA`` and NaT are missing. −∞ is below, +∞ above; in sums they stand for the least and the greatest value of
  the reference, so that no sum is infinite.
- Integers, floats and object arrays of nothing but numbers are numeric; truth values, texts and all other objects are levels,
  whatever they are as text: ``true`` and ``false``, and 3 for 3.0.
- Where most values stand alone they are names or free text: no level is kept, and all of them are other.
- Times are refused: they move by themselves.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import msgspec

from chopmark.errors import InvalidRequest
from chopmark.stats.agreement import power_of_two
from chopmark.stats.column_counts import ColumnCounts, nearest_finite, of_other_bins
from chopmark.stats.level_bins import MISSING_KINDS, LevelBins, is_missing, level_bins_of, numbers_among, texts_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["BINS_MAX", "LEVELS_MAX", "ColumnCounts", "LevelBins", "NumericBins", "bins_of", "count_values"]

BINS_MAX = 64
LEVELS_MAX = 64
_CHUNK_ROWS = 65_536  # sorting what fits into a cache is faster than binning, and needs no more memory for more rows
_LARGE = 2.0**500  # squares of larger numbers overflow


class NumericBins(msgspec.Struct, frozen=True, tag="numeric", tag_field="kind"):
    """Bins of a numeric column, and what the reference has in them.

    Attributes
    ----------
    name
        Of the column.
    minimum
        Least finite value of the reference; 0 without any.
    uppers
        Greatest value of each bin, ascending; a bin holds what is above the one before, the first from the minimum on. The last
        is the maximum. Empty when the reference has no finite value.
    mean, standard_deviation
        Of the reference's finite values (sample standard deviation, n - 1).
    is_exact
        Whether each bin holds one value of the reference.
    reference
        Counts of the reference itself.
    """

    name: str
    minimum: float
    uppers: tuple[float, ...]
    mean: float
    standard_deviation: float
    is_exact: bool
    reference: ColumnCounts

    def __post_init__(self) -> None:
        numbers = (self.minimum, *self.uppers, self.mean, self.standard_deviation)
        is_ascending = all(a < b for a, b in pairwise(self.uppers)) and (
            not self.uppers or self.minimum <= self.uppers[0]
        )
        if not all(map(math.isfinite, numbers)) or not is_ascending or self.standard_deviation < 0:
            raise InvalidRequest(f"The bins of {self.name!r} are no bins.", hint="Make the profile again.")
        self.check(self.reference)

    @property
    def maximum(self) -> float:
        """Greatest finite value of the reference; 0 without any."""
        return self.uppers[-1] if self.uppers else self.minimum

    def check(self, counted: ColumnCounts) -> None:
        """Raise `InvalidRequest` when counts are not of these bins."""
        size = len(self.uppers)
        is_between = not counted.between or (self.is_exact and len(counted.between) == size)
        if len(counted.counts) != size + 3 or len(counted.sums) != size + 2 or not is_between:
            raise of_other_bins(self.name)
        if any(part > whole for part, whole in zip(counted.between, counted.counts[1:], strict=False)):
            raise InvalidRequest(f"More of {self.name!r} lie between values than there are.", hint="Count it again.")


def bins_of(
    name: str,
    values: NDArray[Any],
    *,
    bins: int = BINS_MAX,
    levels: int = LEVELS_MAX,
    split_at: float | None = None,
) -> NumericBins | LevelBins:
    """Bins of a column, made from a reference.

    Parameters
    ----------
    name
        Of the column.
    values
        Shape (n,).
    bins, levels
        How many at most.
    split_at
        Of numbers: the bin that holds values below this one and others becomes two, so that there may be one more.

    Raises
    ------
    InvalidRequest
        When the values are neither numbers nor can be levels.
    """
    if values.dtype.kind in "iuf" or (values.dtype.kind == "O" and _holds_numbers(values)):
        return _numeric_bins(name, _as_numbers(name, values), bins, split_at)
    return level_bins_of(name, values, levels)


def count_values(column: NumericBins | LevelBins, values: NDArray[Any], *, is_written: bool = False) -> ColumnCounts:
    """How many values of a column fall into each of its bins.

    Parameters
    ----------
    column
        The bins.
    values
        Shape (n,).
    is_written
        Whether the values are texts as they stood in a file of texts, where what is no level may still be written otherwise than the
        level was (see `LevelBins.level_of`).

    Raises
    ------
    InvalidRequest
        When a numeric column holds something else than numbers.
    """
    if isinstance(column, NumericBins):
        return _count_numbers(column, values)
    counted, missing = texts_of(column.name, values)
    return column.counted(
        counted.items(), missing, numbers=numbers_among(values, counted.total()), is_written=is_written
    )


# Numbers


def _numeric_bins(name: str, numbers: NDArray[np.float64], bins: int, split_at: float | None) -> NumericBins:
    import numpy as np

    ordered = np.sort(numbers)
    finite = ordered[np.searchsorted(ordered, -np.inf, side="right") : np.searchsorted(ordered, np.inf, side="left")]
    infinite = int(np.isinf(ordered).sum())
    if not finite.size:
        uppers, minimum, mean, deviation, is_exact = np.empty(0), 0.0, 0.0, 0.0, False
    else:
        is_last = np.append(finite[1:] != finite[:-1], True)  # of a run of equal values
        is_exact = int(np.count_nonzero(is_last)) <= bins
        ends = -(-np.arange(1, bins + 1) * finite.size // bins) - 1
        uppers = finite[is_last] if is_exact else _split(np.unique(finite[ends]), finite, split_at)
        minimum = float(finite[0])
        mean, deviation = _mean_and_deviation(finite)
    empty = ColumnCounts(name, (0,) * (len(uppers) + 3), (0.0,) * (len(uppers) + 2))
    made = NumericBins(name, minimum, tuple(uppers.tolist()), mean, deviation, is_exact, empty)
    return msgspec.structs.replace(made, reference=_counted(name, *_count_ordered(made, ordered), infinite))


def _split(uppers: NDArray[np.float64], finite: NDArray[np.float64], at: float | None) -> NDArray[np.float64]:
    """The same, with an edge right below ``at`` where a bin has values on both sides of it."""
    import numpy as np

    below = 0 if at is None else int(np.searchsorted(finite, at, side="left"))
    if at is None or not 0 < below < finite.size or finite[below - 1] in uppers:
        return uppers
    return np.union1d(uppers, [np.nextafter(at, -np.inf)])


def _mean_and_deviation(finite: NDArray[np.float64]) -> tuple[float, float]:
    unit = power_of_two(finite[[0, -1]])
    if unit > _LARGE:
        finite = finite / unit
    else:
        unit = 1.0
    mean = min(max(float(finite.mean()), float(finite[0])), float(finite[-1]))
    deviation = float(finite.std(ddof=1)) if finite.size > 1 else 0.0
    if finite[0] == finite[-1]:
        deviation = 0.0
    return mean * unit, nearest_finite(deviation * unit)


def _count_numbers(column: NumericBins, values: NDArray[Any]) -> ColumnCounts:
    import numpy as np

    counts = np.zeros(len(column.uppers) + 3, np.int64)
    sums = np.zeros(len(column.uppers) + 2)
    between = np.zeros(len(column.uppers), np.int64)
    infinite = 0
    for start in range(0, len(values), _CHUNK_ROWS):
        chunk = _as_numbers(column.name, values[start : start + _CHUNK_ROWS])
        ordered = np.sort(chunk)
        infinite += int(np.isinf(ordered).sum())
        more, more_sums, more_between = _count_ordered(column, ordered)
        counts += more
        between += more_between
        with np.errstate(over="ignore"):
            sums += more_sums
    return _counted(column.name, counts, sums, between, infinite)


def _count_ordered(
    column: NumericBins, ordered: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """Counts, sums and what lies between, of ascending numbers with NaN at the end; the array is used up."""
    import numpy as np

    present = int(np.searchsorted(ordered, np.inf, side="right"))
    ordered, missing = ordered[:present], len(ordered) - present
    starts = np.empty(len(column.uppers) + 2, np.int64)
    starts[0] = 0
    starts[1] = np.searchsorted(ordered, column.minimum, side="left") if column.uppers else 0
    starts[2:] = np.searchsorted(ordered, column.uppers, side="right")
    counts = np.diff(np.append(starts, present))
    between = np.zeros(len(column.uppers), np.int64)
    if column.is_exact:
        between = np.searchsorted(ordered, column.uppers, side="left") - starts[1:-1]
    sums = np.zeros(len(starts))
    if present:
        ordered[: np.searchsorted(ordered, -np.inf, side="right")] = column.minimum
        ordered[np.searchsorted(ordered, np.inf, side="left") :] = column.maximum
        filled = np.flatnonzero(counts)
        with np.errstate(over="ignore", invalid="ignore"):
            ordered -= column.mean
            sums[filled] = np.add.reduceat(ordered, starts[filled])
    return np.append(counts, missing), sums, between


def _counted(
    name: str, counts: NDArray[np.int64], sums: NDArray[np.float64], between: NDArray[np.int64], infinite: int
) -> ColumnCounts:
    found = tuple(between.tolist()) if between.any() else ()
    return ColumnCounts(
        name, tuple(counts.tolist()), tuple(map(nearest_finite, sums.tolist())), found, infinite=infinite
    )


def _as_numbers(name: str, values: NDArray[Any]) -> NDArray[np.float64]:
    import numpy as np

    if values.dtype.kind in "biuf":
        return values.astype(np.float64, copy=False)
    if values.dtype.kind == "O" and _holds_numbers(values, or_nothing=True):
        return np.array([math.nan if is_missing(v) else float(v) for v in values.tolist()], dtype=np.float64)
    raise InvalidRequest(
        f"Column {name!r} holds {values.dtype}, and numbers in the reference.",
        hint="Give the column as it was when the profile was made.",
    )


def _holds_numbers(values: NDArray[Any], *, or_nothing: bool = False) -> bool:
    """Whether objects are nothing but numbers and missing ones, and not all missing."""
    from decimal import Decimal
    from numbers import Real

    kinds: set[type] = {kind for kind in set(map(type, values.tolist())) if kind.__name__ not in MISSING_KINDS}
    is_number = bool not in kinds and all(issubclass(kind, (Real, Decimal)) for kind in kinds)
    return is_number and (or_nothing or bool(kinds))
