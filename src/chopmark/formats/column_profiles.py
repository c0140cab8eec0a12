"""What a data set's description says of a column: counts, range, moments, frequent values."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec

from chopmark.domain.datasets import ColumnProfile
from chopmark.formats.columns import Column
from chopmark.stats.moments import Moments

__all__ = ["column_profile"]

TOP_MAX = 5
_TEXT_LENGTH_MAX = 100


def column_profile(column: Column) -> ColumnProfile:
    """Statistics of one column."""
    if column.is_numeric:
        return _number_profile(column)
    profile = ColumnProfile(column.name, column.type, missing=column.missing_count)
    if not isinstance(column.values, list) or column.type not in ("string", "category"):
        return profile
    counts = Counter(v for v in column.values if v is not None)
    total = counts.total()
    # Where most values stand alone they are names, addresses or free text: of no use here, and
    # nobody's business in a registry.
    is_telling = 2 * len(counts) <= total
    top = {str(v)[:_TEXT_LENGTH_MAX]: n for v, n in counts.most_common(TOP_MAX)} if is_telling else {}
    return msgspec.structs.replace(profile, distinct=len(counts), top=top)


def _number_profile(column: Column) -> ColumnProfile:
    import numpy as np

    present = column.values if column.missing is None else column.values[~column.missing]
    numbers = present.astype(np.float64)
    if present.dtype.kind == "f":
        numbers = numbers[np.isfinite(numbers)]
        distinct = None  # counting sorts, and of floats it says little
    else:
        distinct = len(np.unique(present))
    moments = _moments(numbers)
    is_empty = moments.count == 0
    return ColumnProfile(
        column.name,
        column.type,
        missing=column.missing_count,
        distinct=distinct,
        minimum=None if is_empty else moments.minimum,
        maximum=None if is_empty else moments.maximum,
        mean=None if is_empty else moments.mean,
        standard_deviation=moments.standard_deviation,
    )


def _moments(numbers: Any) -> Moments:
    import numpy as np

    if not numbers.size:
        return Moments()
    with np.errstate(over="ignore", invalid="ignore"):
        mean = float(numbers.mean())
        squares = float(np.square(numbers - mean).sum())
    return Moments(int(numbers.size), mean, squares, float(numbers.min()), float(numbers.max()))
