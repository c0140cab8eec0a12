"""Levels of a column, counted with little memory however many there are: a part of the rows at a time, and hashes of the rest.

The levels, their order and what is other are those of `chopmark.stats.binning.bins_of`, which needs all rows at once.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from chopmark.formats.columns import Column
from chopmark.stats.binning import LEVELS_MAX, ColumnCounts, LevelBins
from chopmark.stats.column_counts import OTHER_GROUPS
from chopmark.stats.level_bins import group_totals

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["CHUNK_ROWS", "LevelCounts", "count_levels", "counts_in_arrow", "counts_in_column", "level_bins"]

CHUNK_ROWS = 65_536
TEXT_LENGTH_MAX = 100
KEPT_MAX = 200_000  # levels of parts that are kept for a second look; of more the rows are gone through again


class LevelCounts(NamedTuple):
    """How often each level is there in a part of the rows; a level may stand there twice."""

    levels: list[str]
    counts: list[int]
    missing: int
    numbers: int = 0  # values that are not texts, but numbers


def counts_in_column(column: Column) -> Iterator[LevelCounts]:
    """Counts in the rows of a column, part after part."""
    values: Any = column.values
    for start in range(0, len(values), CHUNK_ROWS):
        part = values[start : start + CHUNK_ROWS]
        mask = None if column.missing is None else column.missing[start : start + CHUNK_ROWS]
        if isinstance(part, list):
            present = part if mask is None else [value for value in part if value is not None]
        else:
            present = (part if mask is None else part[~mask]).tolist()
        gone = len(part) - len(present)
        numbers = 0
        if set(map(type, present)) != {str}:  # 1, 1.0 and True would be counted as one
            numbers = sum(map(_is_number, present)) if column.type != "category" else 0
            present = list(map(level_text, present))
        found = Counter(present)
        yield LevelCounts([level[:TEXT_LENGTH_MAX] for level in found], list(found.values()), gone, numbers)


def counts_in_arrow(array: Any) -> LevelCounts:
    """Counts in an Arrow array of texts."""
    import pyarrow.compute as pc

    counted = pc.value_counts(array)
    levels, counts = (counted.field(i).to_pylist() for i in (0, 1))
    if None not in levels:
        return LevelCounts([level[:TEXT_LENGTH_MAX] for level in levels], counts, 0)
    gone = counts.pop(levels.index(None))
    return LevelCounts([level[:TEXT_LENGTH_MAX] for level in levels if level is not None], counts, gone)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def level_text(value: Any) -> str:
    """Text of a level, as in `chopmark.stats.binning`."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def level_bins(name: str, parts: Callable[[], Iterable[LevelCounts]]) -> LevelBins:
    """Bins of a column of levels.

    Parameters
    ----------
    name
        Of the column.
    parts
        Gives the counts of its rows, each time anew.
    """
    import numpy as np

    hashes, sizes, missing, numbers = [np.empty(0, np.int64)], [np.empty(0, np.int64)], 0, 0
    groups = np.zeros(OTHER_GROUPS, np.int64)
    kept: list[LevelCounts] | None = []
    for part in parts():
        groups += group_totals(part.levels, np.array(part.counts, np.int64))
        if kept is not None:
            kept.append(part)
            kept = kept if sum(len(one.levels) for one in kept) <= KEPT_MAX else None
        hashes.append(np.fromiter(map(hash, part.levels), np.int64, len(part.levels)))
        sizes.append(np.array(part.counts, np.int64))
        missing += part.missing
        numbers += part.numbers
    keys, counts = _summed(np.concatenate(hashes), np.concatenate(sizes))
    hashes.clear()
    total, distinct = int(counts.sum()), len(keys)
    found = {} if 2 * distinct > total else _most_frequent(kept or parts(), keys, counts, LEVELS_MAX)
    ranked = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    frequent = tuple(count for _, count in ranked)
    others: tuple[int, ...] = ()
    if distinct > len(ranked):
        known = np.array(frequent, np.int64)
        others = tuple((groups - group_totals([level for level, _ in ranked], known)).tolist())
    reference = ColumnCounts(name, (*frequent, total - sum(frequent), missing), numbers=numbers, others=others)
    pairs = _pairs(counts) - _pairs(np.array(frequent, np.int64))
    return LevelBins(name, tuple(level for level, _ in ranked), distinct, reference, pairs)


def _pairs(counts: NDArray[np.int64]) -> int:
    return int((counts * (counts - 1)).sum())


def _summed(hashes: NDArray[np.int64], sizes: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Each hash once, with the sum of its sizes."""
    import numpy as np

    if not hashes.size:
        return hashes, sizes
    order = np.argsort(hashes)
    hashes = hashes[order]
    starts = np.flatnonzero(np.append(True, hashes[1:] != hashes[:-1]))
    return hashes[starts], np.add.reduceat(sizes[order], starts)


def _most_frequent(
    parts: Iterable[LevelCounts], keys: NDArray[np.int64], counts: NDArray[np.int64], most: int
) -> dict[str, int]:
    """The most frequent levels with their counts; of equally frequent ones those whose text comes first."""
    import numpy as np

    least = int(np.partition(counts, -most)[-most]) if len(counts) > most else 0
    above = dict.fromkeys(keys[counts > least].tolist(), 0)
    room = most - len(above)
    level_of: dict[int, str] = {}
    ties: set[str] = set()
    tied = keys[counts == least]  # ascending
    for part in parts:
        hashed = list(map(hash, part.levels))
        for key, level, count in zip(hashed, part.levels, part.counts, strict=True):
            if key in above:
                above[key] += count
                level_of[key] = level
        if least:
            found = np.array(hashed, np.int64)
            places = np.minimum(np.searchsorted(tied, found), len(tied) - 1)
            ties.update(part.levels[i] for i in np.flatnonzero(tied[places] == found).tolist())
            if len(ties) > room:
                ties = set(heapq.nsmallest(room, ties))
    return {level_of[key]: count for key, count in above.items()} | dict.fromkeys(ties, least)


def count_levels(bins: LevelBins, parts: Iterable[LevelCounts], *, is_written: bool = False) -> ColumnCounts:
    """How often each level of a reference is there, and what is other or missing; ``is_written`` as in `count_values`."""
    counted = ColumnCounts(bins.name, (0,) * (len(bins.levels) + 2))
    for part in parts:
        found = zip(part.levels, part.counts, strict=True)
        counted += bins.counted(found, part.missing, numbers=part.numbers, is_written=is_written)
    return counted
