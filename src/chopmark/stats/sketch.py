"""Quantiles of numbers that are never kept: counts in bins whose ends are a relative error apart.

A DDSketch (Masson, Rim, Lee 2019, "DDSketch: a fast and fully-mergeable quantile sketch with relative-error guarantees",
PVLDB 12(12), section 2), with the logarithm interpolated linearly between powers of two (the paper's section 4): 64 bins of
equal width for each doubling, so that the bin is the exponent and the first six bits of the mantissa. No logarithm is computed
and nothing is rounded, so the bin of a number is the same on every machine.
"""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any, Self

import msgspec
from msgspec.structs import force_setattr

from chopmark.errors import InvalidRequest
from chopmark.stats.checks import check_between, check_number
from chopmark.stats.summaries import Proportion

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

__all__ = ["RELATIVE_ERROR", "QuantileSketch", "bin_ends", "bin_of"]

_BITS = 6  # of the mantissa
_PER_DOUBLING = 1 << _BITS
_LEAST_EXPONENT, _GREATEST_EXPONENT = -64, 64
_OUTER = (_GREATEST_EXPONENT - _LEAST_EXPONENT) * _PER_DOUBLING + 1
"""The bin of everything from 2⁶⁴ up; its negative that of everything from -2⁶⁴ down."""

RELATIVE_ERROR = 1 / (2 * _PER_DOUBLING + 1)
"""Of a quantile, at most: half of the widest bin relative to its middle, 0.78 %."""

_SHIFT = 52 - _BITS
_MAGNITUDE = (1 << (63 - _SHIFT)) - 1  # what is left of a double's bits without the sign
_NOT_FINITE = 0x7FF << _BITS
_BELOW_ALL = ((1023 + _LEAST_EXPONENT) << _BITS) - 1  # exponent and mantissa bits just below 2⁻⁶⁴
_CHUNK = 1 << 16  # so that what is computed of it stays in the processor's cache
_INDEX, _COUNT = "<i2", "<i8"


class QuantileSketch(msgspec.Struct, frozen=True, tag="quantile"):
    """How many numbers fell into each bin.

    What is guaranteed: a number's bin depends on the number alone and nothing is ever collapsed, so that any order, any batches
    and any tree of merges give equal sketches, bit by bit. Size is bounded by the range instead: numbers nearer to zero than
    2⁻⁶⁴ (5·10⁻²⁰) count as zeros, numbers from 2⁶⁴ (1.8·10¹⁹) up share a bin, and so do those from -2⁶⁴ down. That makes at most
    16,387 bins; latencies of a service fill some 300 of them, of ten bytes each. Between these ends a quantile is within
    0.78 % of an element of that rank.

    Attributes
    ----------
    bins
        Numbers of the bins that are not empty, ascending, as little-endian 16-bit integers: 0 is that of zero, 1 begins at 2⁻⁶⁴,
        64 make a doubling, and negative bins mirror them. JSON has it in base64.
    counts
        How many fell into each, as little-endian 64-bit integers.
    least, greatest
        The extremes, exactly; 0 when there are none.

    Examples
    --------
    >>> sketch = QuantileSketch.of([120.0, 80.0, 95.0]) + QuantileSketch.of([400.0])
    >>> sketch.count, round(sketch.quantile(0.5), 1), sketch.quantile(1.0)
    (4, 95.5, 400.0)
    """

    bins: bytes = b""
    counts: bytes = b""
    least: float = 0.0
    greatest: float = 0.0

    def __post_init__(self) -> None:
        check_number("least", self.least)
        check_number("greatest", self.greatest)
        if not _is_sound(self):
            raise InvalidRequest(
                "These bins and counts are no sketch.",
                hint="Make one with `QuantileSketch.of`, or decode one unchanged.",
            )

    @classmethod
    def of(cls, values: ArrayLike) -> Self:
        """Sketch of an array of numbers, of any shape.

        Raises
        ------
        InvalidRequest
            When one is not finite.
        """
        import numpy as np

        found = np.asarray(values)
        if found.dtype.kind not in "biuf":
            raise InvalidRequest(f"An array of {found.dtype} holds no numbers.", hint="Give an array of numbers.")
        numbers = np.ascontiguousarray(found, dtype=np.float64).reshape(-1)
        if not numbers.size:
            return cls()
        made = cls()
        for start in range(0, numbers.size, _CHUNK):
            chunk = numbers[start : start + _CHUNK]
            bins, counts = _counted(chunk)
            made += cls._trusted(
                bins, counts, float(chunk.min()) + 0.0, float(chunk.max()) + 0.0
            )  # adding makes -0 a 0
        return made

    def __add__(self, other: Self) -> Self:
        import numpy as np

        if not self.bins or not other.bins:
            return self if self.bins else other
        least, greatest = min(self.least, other.least), max(self.greatest, other.greatest)
        if self.bins == other.bins:
            return self._trusted(self._bins(), self._counts() + other._counts(), least, greatest)
        mine, others = self._bins(), other._bins()
        first = min(int(mine[0]), int(others[0]))
        totals = np.zeros(max(int(mine[-1]), int(others[-1])) - first + 1, dtype=np.int64)
        totals[np.subtract(mine, first, dtype=np.intp)] = self._counts()
        totals[np.subtract(others, first, dtype=np.intp)] += other._counts()
        return self._trusted(*_filled(totals, first), least, greatest)

    @classmethod
    def _trusted(cls, bins: NDArray[Any], counts: NDArray[np.int64], least: float, greatest: float) -> Self:
        """Sketch of parts that need no check: a merge happens often, and checking takes longer than adding."""
        made = cls()
        for field, value in (
            ("bins", bins.tobytes()),
            ("counts", counts.astype(_COUNT, copy=False).tobytes()),
            ("least", least),
            ("greatest", greatest),
        ):
            force_setattr(made, field, value)
        return made

    def _bins(self) -> NDArray[np.int16]:
        import numpy as np

        return np.frombuffer(self.bins, dtype=_INDEX)

    def _counts(self) -> NDArray[np.int64]:
        import numpy as np

        return np.frombuffer(self.counts, dtype=_COUNT)

    @property
    def count(self) -> int:
        """How many numbers."""
        return int(self._counts().sum()) if self.counts else 0

    def cumulative(self) -> tuple[NDArray[np.int16], NDArray[np.int64]]:
        """Numbers of the filled bins, ascending, and how many numbers lie in each of them or below; shape (bins,) both."""
        return self._bins(), self._counts().cumsum()

    def quantile(self, q: float) -> float:
        """The element of rank ⌊q·(n - 1)⌋, counted from 0, within `RELATIVE_ERROR` of it; exact for the first and the last.

        Parameters
        ----------
        q
            From 0 to 1.

        Raises
        ------
        InvalidRequest
            When there are no numbers, or q is no share.
        """
        check_between("q", q, 0, 1)
        n = self._filled_count()
        return self._middle(math.floor(q * (n - 1)))

    def _middle(self, rank: int) -> float:
        index, _, _ = self._bin_at(rank)
        if rank == 0 or index == -_OUTER:
            return self.least
        if rank == self._filled_count() - 1 or index == _OUTER:
            return self.greatest
        low, high = bin_ends(index)
        middle = 2 * low * high / (low + high) if index else 0.0
        return min(max(middle, self.least), self.greatest)

    def interpolated(self, position: float) -> float:
        """The number at a position in ascending order, from 0 to n - 1, as if those of a bin were spread evenly over it.

        Finer than `quantile` where many numbers share a bin, such as for differences of quantiles, but guaranteed within the
        bin only: at most 1.6 % off.
        """
        n = self._filled_count()
        check_number("position", position, least=0.0)
        if position > n - 1:
            raise InvalidRequest(f"There is no position {position:g} in {n:,} numbers.", hint="Give 0 to n - 1.")
        index, before, count = self._bin_at(math.floor(position))
        low, high = bin_ends(index)
        low, high = max(low, self.least), min(high, self.greatest)
        share = min(1.0, (position - before + 0.5) / count)
        inside = low + (high - low) * share
        return self.least if position == 0 else self.greatest if position == n - 1 else min(max(inside, low), high)

    def _bin_at(self, rank: int) -> tuple[int, int, int]:
        """The bin that holds the element of a rank, how many lie before that bin, and how many in it."""
        bins, upto = self.cumulative()
        place = int(upto.searchsorted(rank, side="right"))
        before = int(upto[place - 1]) if place else 0
        return int(bins[place]), before, int(upto[place]) - before

    def ends_at(self, rank: int) -> tuple[float, float]:
        """Two numbers between which the element of a rank (from 0) certainly lies, both included."""
        n = self._filled_count()
        if not 0 <= rank < n:
            raise InvalidRequest(f"There is no rank {rank} in {n:,} numbers.", hint="Give 0 to n - 1.")
        low, high = bin_ends(self._bin_at(rank)[0])
        return (self.least if rank == 0 else max(low, self.least)), (
            self.greatest if rank == n - 1 else min(high, self.greatest)
        )

    def rank(self, value: float) -> float:
        """Share of the numbers at or below a value: exact at the end of a bin, interpolated within."""
        check_number("value", value)
        n = self._filled_count()
        if value < self.least:
            return 0.0
        if value >= self.greatest:
            return 1.0
        bins, upto = self.cumulative()
        index = bin_of(value)
        place = int(bins.searchsorted(index))
        before = int(upto[place - 1]) if place else 0
        if place == len(bins) or bins[place] != index:
            return before / n
        low, high = bin_ends(index)
        return (before + (int(upto[place]) - before) * _part(value, low, high)) / n

    def above(self, threshold: float) -> Proportion:
        """How many numbers lie in the bins above that of a threshold, of all.

        For a threshold that ends its bin (see `bin_ends`) these are exactly the numbers greater than it; any other is taken to
        the end of its bin, at most 1.6 % further.
        """
        check_number("threshold", threshold)
        if not self.bins:
            return Proportion()
        bins, upto = self.cumulative()
        place = int(bins.searchsorted(bin_of(threshold), side="right"))
        n = int(upto[-1])
        return Proportion(n - (int(upto[place - 1]) if place else 0), n)

    def _filled_count(self) -> int:
        n = self.count
        if not n:
            raise InvalidRequest("A sketch of no numbers has no quantiles.", hint="Add numbers first.")
        return n


def bin_of(value: float) -> int:
    """Number of the bin that a finite number falls into."""
    mantissa, exponent = math.frexp(abs(value))  # a mantissa from a half up: the exponent is one more than in the bits
    if value == 0 or exponent <= _LEAST_EXPONENT:
        return 0
    if exponent > _GREATEST_EXPONENT:
        index = _OUTER
    else:
        part = int((2 * mantissa - 1) * _PER_DOUBLING)
        index = (exponent - 1 - _LEAST_EXPONENT) * _PER_DOUBLING + part + 1
    return index if value > 0 else -index


def bin_ends(index: int) -> tuple[float, float]:
    """The least and the greatest number that fall into a bin."""
    if index < 0:
        low, high = bin_ends(-index)
        return -high, -low
    if index == 0:
        return -_below(_beginning(1)), _below(_beginning(1))
    return _beginning(index), sys.float_info.max if index == _OUTER else _below(_beginning(index + 1))


def _beginning(index: int) -> float:
    doublings, part = divmod(index - 1, _PER_DOUBLING)
    return math.ldexp(_PER_DOUBLING + part, doublings + _LEAST_EXPONENT - _BITS)


def _below(value: float) -> float:
    return math.nextafter(value, -math.inf)


def _part(value: float, low: float, high: float) -> float:
    return 1.0 if value >= high else (value - low) / (high - low)


def _counted(numbers: NDArray[np.float64]) -> tuple[NDArray[np.int16], NDArray[np.int64]]:
    """Filled bins, ascending, and what they hold; numbers contiguous, shape (n,), at least one."""
    import numpy as np

    bits = numbers.view(np.int64)
    keys = bits >> _SHIFT
    negative = int(keys.min()) < 0
    if negative:
        keys &= _MAGNITUDE
    if keys.max() >= _NOT_FINITE:
        raise InvalidRequest("A value is not finite.", hint="Drop missing values first, and count them apart.")
    np.clip(keys, _BELOW_ALL, _BELOW_ALL + _OUTER, out=keys)
    keys -= _BELOW_ALL
    if negative:
        signs = bits >> 63  # 0, or -1: then the next two lines change the sign
        keys ^= signs
        keys -= signs
    first = int(keys.min())
    keys -= first
    return _filled(np.bincount(keys), first)


def _filled(totals: NDArray[np.int64], first: int) -> tuple[NDArray[np.int16], NDArray[np.int64]]:
    """Leave out the empty of the bins from a first one on."""
    places = totals.nonzero()[0]
    return (places + first).astype(_INDEX), totals[places]


def _is_sound(sketch: QuantileSketch) -> bool:
    """Whether bins ascend within their range, hold something each, and the extremes lie in the first and the last."""
    if not sketch.bins:
        return not sketch.counts and sketch.least == sketch.greatest == 0
    import numpy as np

    if len(sketch.bins) % 2 or len(sketch.counts) != len(sketch.bins) * 4:
        return False
    bins = np.frombuffer(sketch.bins, dtype=_INDEX)
    counts = np.frombuffer(sketch.counts, dtype=_COUNT)
    return bool(
        (bins[1:] > bins[:-1]).all()
        and counts.min() > 0
        and bins[0] == bin_of(sketch.least)
        and bins[-1] == bin_of(sketch.greatest)
        and sketch.least <= sketch.greatest
    )
