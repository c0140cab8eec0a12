"""Rows that versions are compared on: read from a file, parted from their labels, shaped as a model takes them."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from chopmark.domain.names import shown
from chopmark.domain.signature import Field, Signature
from chopmark.errors import InvalidRequest, Unsupported
from chopmark.formats.columns import Column, columns_of, is_table
from chopmark.formats.libraries import derives_from
from chopmark.formats.tabular_files import file_dialect, is_parquet, is_text_table

__all__ = ["Rows", "pandas_library", "rows_of", "suited"]

_READ_FROM_TEXT = "chopmark_read_from_text"  # an attribute of frames whose file could not say what is a time
_PANDAS_ZONE = re.compile(r"datetime64\[\w+, (.+)\]")


class Rows(NamedTuple):
    """Rows, and the truth about them where it is known.

    Attributes
    ----------
    inputs
        A pandas frame for any table, else what was given.
    truth
        One-dimensional array, or None.
    row_count
        How many.
    """

    inputs: Any
    truth: Any
    row_count: int


def rows_of(data: Any, target: str = "") -> Rows:
    """Rows of ``X``, ``(X, y)`` or a file.

    Parameters
    ----------
    data
        A data frame (pandas, polars), Arrow table, list of dicts, array, or a pair of one of them
        and the labels; a path of a CSV or Parquet file.
    target
        Column of a table that holds the labels; with it ``data`` is no pair.

    Raises
    ------
    InvalidRequest
        When there are no rows, labels are missing or not one a row, or there is no such column.
    Unsupported
        When a table needs pandas and it is not installed.
    """
    truth = None
    if isinstance(data, tuple):
        if len(data) != 2 or target:  # noqa: PLR2004
            msg = "The data is a tuple, and not of two parts." if not target else "A pair (X, y) takes no target."
            raise InvalidRequest(msg, hint="Pass data=X, data=(X, y), or data=table with target='column'.")
        data, truth = data
    if isinstance(data, (str, Path)):
        data = _read(Path(data))
    if is_table(data):
        data = _frame(data)
    if target:
        if not derives_from(data, "pandas", "DataFrame") or target not in data.columns:
            known = ", ".join(map(str, list(getattr(data, "columns", ()))[:20]))
            msg = f"The data has no column {shown(target)}."
            raise InvalidRequest(msg, hint=f"It has {known}." if known else "Pass a table, or data=(X, y).")
        truth, data = data[target], data.drop(columns=target)
    if isinstance(data, list):
        import numpy as np

        data = np.asarray(data)
    count = _count(data)
    return Rows(data, None if truth is None else _truth(truth, count), count)


def _count(data: Any) -> int:
    shape = getattr(data, "shape", None)
    if not shape:
        msg = f"The data is a {type(data).__qualname__}, which has no rows."
        raise InvalidRequest(msg, hint="Pass a data frame, an array, a list of dicts, or a CSV or Parquet file.")
    if not shape[0]:
        msg = "The data has no rows."
        raise InvalidRequest(msg)
    return int(shape[0])


def _truth(truth: Any, count: int) -> Any:
    import numpy as np

    if is_table(truth):
        truth = columns_of(truth)[0].values
    array = np.asarray(truth)
    if array.ndim == 2 and array.shape[1] == 1:  # noqa: PLR2004
        array = array[:, 0]
    if array.shape != (count,):
        msg = f"The labels have the shape {array.shape}; there are {count:,} rows."
        raise InvalidRequest(msg)
    missing = array != array if array.dtype.kind == "f" else np.array([_is_missing(v) for v in array.tolist()])  # noqa: PLR0124
    if missing.any():
        msg = f"{int(missing.sum()):,} of {count:,} labels are missing."
        raise InvalidRequest(msg, hint="Leave out the rows whose truth is not known.")
    return array.astype(str) if array.dtype.kind == "O" and any(isinstance(v, str) for v in array) else _plain(array)


def _is_missing(value: Any) -> bool:
    return value is None or type(value).__name__ == "NAType" or bool(value != value)  # noqa: PLR0124 - pandas' NA is no truth


def _plain(array: Any) -> Any:
    return array.infer_objects() if array.dtype.kind == "O" and hasattr(array, "infer_objects") else array


def _read(path: Path) -> Any:
    if not path.is_file():
        msg = f"There is no file at {str(path)!r}."
        raise InvalidRequest(msg)
    if not is_parquet(path) and not is_text_table(path):
        msg = f"{path.name} is no table that can be read."
        raise InvalidRequest(msg, hint="Pass a file that ends in .csv, .tsv, .parquet or .pq.")
    pandas = pandas_library()
    try:
        if is_parquet(path):
            return pandas.read_parquet(path)
        dialect = file_dialect(path)
        frame = pandas.read_csv(path, sep=dialect.delimiter, decimal=dialect.decimal_point)
    except ImportError as error:
        msg = f"Reading {path.name} needs pyarrow."
        raise Unsupported(msg, hint="pip install 'chopmark[arrow]'") from error
    except InvalidRequest:
        raise
    except (ValueError, OSError) as error:  # pandas' and Arrow's own errors are ValueErrors
        msg = f"{path.name} cannot be read: {error}."
        raise InvalidRequest(msg) from error
    frame.attrs[_READ_FROM_TEXT] = True
    return frame


def _frame(table: Any) -> Any:
    """A pandas frame of a table of any library: what most models were trained on."""
    if derives_from(table, "pandas", "DataFrame"):
        return table
    return pandas_library().DataFrame({c.name: _values(c) for c in columns_of(table)})


def _values(column: Column) -> Any:
    if column.missing is None or isinstance(column.values, list):
        return column.values
    import numpy as np

    if column.values.dtype.kind == "M":
        return np.where(column.missing, np.datetime64("NaT"), column.values)
    return np.where(column.missing, np.nan, column.values)


def pandas_library() -> Any:
    """pandas, imported when a table is needed.

    Raises
    ------
    Unsupported
        When it is not installed.
    """
    try:
        return importlib.import_module("pandas")
    except ImportError as error:
        msg = "Tables are handed to models as pandas frames, and pandas is not installed."
        raise Unsupported(msg, hint="pip install 'chopmark[pandas]', or pass an array.") from error


def suited(inputs: Any, signature: Signature | None) -> Any:
    """Inputs as a version with this signature was trained on: its columns in their order, or an array.

    A table may carry more columns than a model asks for, and most models refuse those. A text file has no
    times: columns of one that the signature says are times are read as ISO 8601, where all that is there is
    written so.
    """
    if signature is None or not hasattr(inputs, "columns"):
        return inputs
    if any(f.shape for f in signature.inputs):
        return inputs.to_numpy() if len(signature.inputs) == 1 else inputs
    names = [f.name for f in signature.inputs]
    columns = {str(c): c for c in inputs.columns}
    if inputs.attrs.get(_READ_FROM_TEXT):
        inputs = _with_times(inputs, {columns[f.name]: f for f in signature.inputs if f.name in columns})
    return inputs[[columns[n] for n in names]] if set(names) <= set(columns) else inputs


def _with_times(frame: Any, fields: Mapping[Any, Field]) -> Any:
    pandas = pandas_library()
    parsed = {}
    for column, field in fields.items():
        if field.type == "datetime" and not pandas.api.types.is_numeric_dtype(frame[column].dtype):
            try:
                parsed[column] = _times(pandas, frame[column], field)
            except ValueError:  # of pandas; what is no time stays text, and the signature's check says so
                continue
    return frame.assign(**{str(c): times for c, times in parsed.items()})


def _times(pandas: Any, texts: Any, field: Field) -> Any:
    """Times with a zone where the signature's are with one, else as they are written."""
    zone = _PANDAS_ZONE.fullmatch(field.dtype)
    if zone is None:
        return pandas.to_datetime(texts, format="ISO8601")
    return pandas.to_datetime(texts, format="ISO8601", utc=True).dt.tz_convert(zone[1])
