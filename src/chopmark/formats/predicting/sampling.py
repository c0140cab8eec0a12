"""Inputs that fit a layout, the same each time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from chopmark.abc.predicting import Layout
from chopmark.domain.signature import Field
from chopmark.formats.predicting.layouts import element_dtype

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from chopmark.abc.predicting import Inputs

__all__ = ["sample_of"]

_SEED = 20_240_229
_LENGTH = 8  # of a dimension that may have any
_TEXTS = ("a", "b", "c")


def sample_of(layout: Layout, rows: int, categories: Mapping[str, Sequence[Any]] | None = None) -> Inputs:
    """So many rows that fit.

    Parameters
    ----------
    layout
        What they fit.
    rows
        How many; fewer are the first of more.
    categories
        Values to take for columns, by name.
    """
    known = categories or {}
    if layout.kind == "matrix":
        values = np.random.default_rng(_SEED).normal(size=(rows, len(layout.inputs)))
        return _numbers(values, layout.dtype)
    return {f.name: _column(f, i, rows, known.get(f.name)) for i, f in enumerate(layout.inputs)}


def _column(field: Field, place: int, rows: int, known: Sequence[Any] | None) -> NDArray[Any]:
    rest = tuple(_LENGTH if n < 0 else n for n in field.shape[1:])
    count = rows * int(np.prod(rest, dtype=np.int64))
    if known is not None and len(known):
        return _objects_or_numbers([known[i % len(known)] for i in range(count)], field).reshape(rows, *rest)
    return _values(field, place, count).reshape(rows, *rest)


def _values(field: Field, place: int, count: int) -> NDArray[Any]:
    match field.type:
        case "bool" if field.nullable:  # objects, so that a missing one is None
            return _objects([i % 2 == 0 for i in range(count)])
        case "float" | "int" | "bool":
            drawn = np.random.default_rng(_SEED + place).normal(size=count)
            return _numbers(drawn, element_dtype(field))
        case "datetime":
            first = np.datetime64("2024-02-29T12:00:00", "ns")
            times: NDArray[Any] = first + np.arange(count) * np.timedelta64(1, "h")
            return times
        case "bytes":
            return _objects([text.encode() for text in _cycled(count)])
        case _:
            return _objects(_cycled(count))


def _numbers(drawn: NDArray[Any], dtype: str) -> NDArray[Any]:
    kind = np.dtype(dtype).kind
    values: NDArray[Any] = np.abs(np.rint(drawn)) if kind in "iu" else drawn
    return values > 0 if kind == "b" else values.astype(dtype)


def _objects_or_numbers(values: list[Any], field: Field) -> NDArray[Any]:
    if field.type == "bool" and field.nullable:
        return _objects(values)
    if field.type in ("int", "float", "bool"):
        return np.asarray(values).astype(element_dtype(field))
    return _objects(values)


def _objects(values: Sequence[object]) -> NDArray[Any]:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _cycled(count: int) -> list[str]:
    return [_TEXTS[i % len(_TEXTS)] for i in range(count)]
