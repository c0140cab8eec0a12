"""Levels of a categorical column: which are kept, how many values each has, and groups of all the others.

Of a column with more levels than are kept, the rest is *other*. So that one level that takes over, or others in their place, can be
seen all the same, other values are counted in `OTHER_GROUPS` groups by a hash of their texts: the counts add up like all others, and
say nothing of any value.
"""

from __future__ import annotations

import math
import zlib
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec

from chopmark.errors import InvalidRequest
from chopmark.stats.column_counts import OTHER_GROUPS, ColumnCounts, of_other_bins

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "MISSING_KINDS",
    "LevelBins",
    "group_counts",
    "group_totals",
    "is_missing",
    "level_bins_of",
    "numbers_among",
    "texts_of",
]

_LEVEL_LENGTH_MAX = 100
_CHUNK_ROWS = 65_536
_TRUTH_VALUES = {"1": "true", "1.0": "true", "true": "true", "0": "false", "0.0": "false", "false": "false"}


class LevelBins(msgspec.Struct, frozen=True, tag="category", tag_field="kind"):
    """Levels of a categorical column, and what the reference has of them.

    Attributes
    ----------
    name
        Of the column.
    levels
        The most frequent first; as texts of at most 100 characters.
    distinct
        How many the reference has in all; when it is more than there are in ``levels``, a level that is new cannot be told from a
        rare one.
    reference
        Counts of the reference itself.
    pairs
        Ordered pairs of different values of the reference that share a level which is not kept: Σ c (c − 1), how far those repeat.
    """

    name: str
    levels: tuple[str, ...]
    distinct: int
    reference: ColumnCounts
    pairs: int = 0

    def __post_init__(self) -> None:
        if len(set(self.levels)) != len(self.levels) or self.distinct < len(self.levels):
            raise InvalidRequest(f"The levels of {self.name!r} are no levels.", hint="Make the profile again.")
        self.check(self.reference)

    def check(self, counted: ColumnCounts) -> None:
        """Raise `InvalidRequest` when counts are not of these levels."""
        has_groups = len(counted.others) == OTHER_GROUPS and sum(counted.others) == counted.counts[-2]
        is_other = len(counted.counts) != len(self.levels) + 2 or counted.sums or counted.between
        if is_other or (counted.others and not has_groups):
            raise of_other_bins(self.name)

    @property
    def is_open(self) -> bool:
        """Whether there are levels that are not kept."""
        return self.distinct > len(self.levels)

    @property
    def are_truth_values(self) -> bool:
        """Whether the levels are truth values, or texts that say so, and nothing else."""
        return 0 < self.distinct == len(self.levels) and {"true", "false"}.issuperset(self.levels)

    def level_of(self, text: str) -> str:
        """The level that is written otherwise in a text, where there is one: ``True`` and ``1`` for ``true``, ``3.0`` for ``3``."""
        if text in self.levels:
            return text
        if self.are_truth_values:
            return _TRUTH_VALUES.get(text.lower(), text)
        return text[:-2] if text.endswith(".0") and text[:-2] in self.levels else text

    def counted(
        self, found: Iterable[tuple[str, int]], missing: int, *, numbers: int = 0, is_written: bool = False
    ) -> ColumnCounts:
        """Counts in these levels.

        Parameters
        ----------
        found
            Texts of values with how often each is there; a text may come twice.
        missing
            Values that are missing.
        numbers
            Values that are numbers.
        is_written
            As in `count_values`.
        """
        known = dict.fromkeys(self.levels, 0)
        others: list[tuple[str, int]] = []
        is_lenient = is_written or (numbers > 0 and self.are_truth_values)
        for text, count in found:
            level = self.level_of(text) if is_lenient and text not in known else text
            if level in known:
                known[level] += count
            else:
                others.append((text, count))
        if is_written and "" in known and not self.reference.missing:  # a file of texts cannot tell the two apart
            known[""], missing = known[""] + missing, 0
        total = sum(count for _, count in others)
        groups = group_counts(others) if self.is_open and others else ()
        return ColumnCounts(self.name, (*known.values(), total, missing), numbers=numbers, others=groups)


def level_bins_of(name: str, values: NDArray[Any], levels: int) -> LevelBins:
    """Bins of a column of levels, made from a reference; at most so many levels are kept."""
    counted, missing = texts_of(name, values)
    total = counted.total()
    is_telling = 2 * len(counted) <= total
    ranked = sorted(counted.items(), key=lambda item: (-item[1], item[0]))[: levels if is_telling else 0]
    kept = dict(ranked)
    counts = tuple(kept.values())
    numbers = numbers_among(values, total)
    others = () if len(counted) == len(kept) else group_counts(item for item in counted.items() if item[0] not in kept)
    pairs = sum(count * (count - 1) for text, count in counted.items() if text not in kept)
    reference = ColumnCounts(name, (*counts, total - sum(counts), missing), numbers=numbers, others=others)
    return LevelBins(name, tuple(kept), len(counted), reference, pairs)


# Groups of what is not kept


def group_counts(found: Iterable[tuple[str, int]]) -> tuple[int, ...]:
    """How many values fall into each group, from texts with how often each is there."""
    import numpy as np

    items = list(found)
    counts = np.fromiter((count for _, count in items), np.int64, len(items))
    return tuple(group_totals([text for text, _ in items], counts).tolist())


def group_totals(texts: list[str], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sum of the counts of the texts in each group; shape (OTHER_GROUPS,).

    The group is the upper bits of the CRC-32 of the text, mixed as MurmurHash3 ends: CRC-32 alone, which is linear, would spread
    ``q1``, ``q2``, … just as it does ``p1``, ``p2``, ….
    """
    import numpy as np

    found = np.fromiter((zlib.crc32(t.encode("utf-8", "surrogatepass")) for t in texts), np.uint32, len(texts))
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        found = (found ^ (found >> np.uint32(shift))) * np.uint32(factor)
    totals = np.zeros(OTHER_GROUPS, np.int64)
    np.add.at(totals, ((found ^ (found >> np.uint32(16))) % np.uint32(OTHER_GROUPS)).astype(np.intp), counts)
    return totals


# Texts of levels

MISSING_KINDS = frozenset({"NoneType", "NAType", "NaTType"})


def numbers_among(values: NDArray[Any], present: int) -> int:
    """How many are numbers and not texts or truth values."""
    if values.dtype.kind in "iuf":
        return present
    return sum(map(_is_number, values.tolist())) if values.dtype.kind == "O" else 0


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and not is_missing(value)


def is_missing(value: Any) -> bool:
    """Whether it stands for a value that is not there."""
    return type(value).__name__ in MISSING_KINDS or (isinstance(value, float) and math.isnan(value))


def _counted_apart(values: list[Any]) -> Counter[Any]:
    """How often each value is there; True and 1, which are equal, by their texts, which are not, so that no order matters."""
    kinds = set(map(type, values))
    return Counter(map(_text_or_missing, values) if bool in kinds and kinds & {int, float} else values)


def _text_or_missing(value: Any) -> Any:
    return value if is_missing(value) else _text(value)


def texts_of(name: str, values: NDArray[Any]) -> tuple[Counter[str], int]:
    """Text of each level → how often it is there; and how many are missing."""
    if values.dtype.kind in "mMcV":
        raise InvalidRequest(
            f"Column {name!r} holds {values.dtype}, which is neither numbers nor levels.",
            hint="Leave it out, or give what of it matters as numbers: an hour, an age.",
        )
    counted: Counter[str] = Counter()
    missing = 0
    for start in range(0, len(values), _CHUNK_ROWS):
        try:
            found = _counted_apart(values[start : start + _CHUNK_ROWS].tolist())
        except TypeError as error:
            raise InvalidRequest(
                f"Column {name!r} holds what cannot be a level: {error}.", hint="Leave it out, or give texts."
            ) from error
        for value, count in found.items():
            if is_missing(value):
                missing += count
            else:
                counted[_text(value)] += count
    return counted, missing


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value[:_LEVEL_LENGTH_MAX]
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, bytes):
        return value.decode(errors="replace")[:_LEVEL_LENGTH_MAX]
    return str(value)[:_LEVEL_LENGTH_MAX]
