"""Rows as people hand them over, as a table of columns: frames, arrays, dicts of columns, files."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from chopmark.errors import InvalidRequest, NotFound
from chopmark.formats.columns import Column, array_column, check_names, columns_of, is_table
from chopmark.formats.libraries import derives_from
from chopmark.formats.tables import InMemory, Parts, Table, table_of_columns, table_of_file

__all__ = ["frame_of_series", "is_series", "table_of", "table_of_array"]


def table_of(data: Any, texts: Collection[str] = ()) -> Table:
    """The table in what was given.

    Parameters
    ----------
    data
        A data frame (pandas, polars), Arrow table, list of dicts, dict of columns, array, series, ``(X, y)`` (of which ``X``), or the path of a
        Parquet, CSV or TSV file.
    texts
        Columns of a CSV or TSV file to give as they stand there, whatever they look like.

    Raises
    ------
    InvalidRequest
        When it is nothing of these, or cannot be read.
    NotFound
        When there is no such file.
    """
    if isinstance(data, (str, os.PathLike)):
        path = Path(data)
        if not path.is_file():
            raise NotFound(f"There is no file at {str(path)!r}.")
        return table_of_file(path, texts)
    if isinstance(data, tuple) and data:
        return table_of(data[0], texts)
    if is_series(data):
        data = frame_of_series(data)
    if is_table(data):
        return _table_of_frame(data)
    if isinstance(data, Mapping):
        return _table_of_dict(data)
    table = table_of_array(_as_array(data)) if hasattr(data, "__array__") or isinstance(data, list) else None
    if table is None:
        raise InvalidRequest(
            f"A {type(data).__qualname__} is no table of rows.",
            hint="Pass a data frame, an array of rows, a dict of columns, or the path of a Parquet or CSV file.",
        )
    return table


def _table_of_frame(data: Any) -> Table:
    """A frame's columns, each looked at when it is asked for: as Python objects texts are many times larger than in their frame."""
    if derives_from(data, "polars", "LazyFrame"):
        data = data.collect()
    cut: Callable[[int], Any]
    if derives_from(data, "pandas", "DataFrame"):
        names, cut = [str(name) for name in data.columns], lambda i: data.iloc[:, [i]]
    elif derives_from(data, "polars", "DataFrame"):
        names, cut = list(data.columns), lambda i: data.select(data.columns[i])
    elif derives_from(data, "pyarrow", "Table", "RecordBatch"):
        names, cut = list(data.schema.names), lambda i: data.select([i])
    else:
        columns = columns_of(data)
        return table_of_columns(columns, len(columns[0].values) if columns else 0)
    check_names(names)
    return Table(len(data) if names else 0, {name: partial(_of_frame, cut, i) for i, name in enumerate(names)})


def _of_frame(cut: Callable[[int], Any], i: int) -> Parts:
    return InMemory(lambda: columns_of(cut(i))[0])


def is_series(data: object) -> bool:
    """Whether it is one column of a data frame."""
    return derives_from(data, "pandas", "Series") or derives_from(data, "polars", "Series")


def frame_of_series(series: Any) -> Any:
    """The frame of that column alone; ``target`` where it has no name."""
    return series.to_frame(name="target") if series.name in (None, "") else series.to_frame()


def table_of_array(array: Any) -> Table | None:
    """Columns ``column-0``, ``column-1`` … of an array of rows; None of an array with other dimensions."""
    if array.ndim == 1:
        return Table(len(array), {"column-0": partial(_slice, "column-0", array)})
    if array.ndim != 2:  # noqa: PLR2004
        return None
    names = [f"column-{i}" for i in range(array.shape[1])]
    return Table(len(array), {name: partial(_slice, name, array, i) for i, name in enumerate(names)})


def _slice(name: str, array: Any, i: int | None = None) -> Parts:
    return InMemory(lambda: array_column(name, array if i is None else array[:, i]))


def _as_array(data: Any) -> Any:
    import numpy as np

    if derives_from(data, "torch", "Tensor"):
        return data.detach().cpu().numpy()
    try:
        return np.asarray(data)
    except ValueError as error:
        raise InvalidRequest(f"The rows have different lengths: {error}.") from error


def _table_of_dict(data: Mapping[Any, Any]) -> Table:
    columns = [_named_column(str(name), data[name]) for name in sorted(data, key=str)]
    lengths = {len(column.values) for column in columns}
    if len(lengths) > 1:
        shown = ", ".join(f"{column.name} {len(column.values):,}" for column in columns[:5])
        raise InvalidRequest(f"The columns have different lengths: {shown}.")
    return table_of_columns(columns, lengths.pop() if lengths else 0)


def _named_column(name: str, values: Any) -> Column:
    if is_series(values):
        found = columns_of(frame_of_series(values))[0]
        return Column(name, found.type, found.dtype, found.values, found.missing, found.aware)
    array = _as_array(values)
    if array.ndim != 1:
        raise InvalidRequest(f"Column {name!r} has the shape {array.shape}.", hint="Give one value a row.")
    return array_column(name, array)
