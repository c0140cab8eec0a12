"""Tables of any library as columns of one kind, so that what is said of them does not depend on it.

A `Column` holds numbers as a numpy array with a mask, and texts, bytes and objects as a list. Two
columns with the same values have the same content whether they came from pandas (object, nullable
or Arrow-backed), polars, Arrow or Python lists.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from chopmark.domain.signature import FieldType
from chopmark.errors import InvalidRequest
from chopmark.formats.libraries import derives_from

__all__ = ["Column", "check_names", "columns_of", "is_table"]

_KINDS: dict[str, FieldType] = {
    "b": "bool",
    "i": "int",
    "u": "int",
    "f": "float",
    "c": "object",
    "M": "datetime",
    "m": "object",
    "U": "string",
    "S": "bytes",
    "O": "object",
}
_MISSING_TYPES = frozenset(["NAType", "NaTType"])


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes
    ----------
    name, type, dtype
        As in a signature's field; ``dtype`` is the library's own name.
    values
        A one-dimensional numpy array of numbers or times, or a list (None where missing).
    missing
        Mask of the array, or None when nothing is missing; NaN and NaT count as missing.
    aware
        Whether times are instants (UTC) and not clock readings.
    """

    name: str
    type: FieldType
    dtype: str
    values: Any
    missing: Any = None
    aware: bool = False

    @property
    def is_numeric(self) -> bool:
        """Whether values are an array of booleans, integers or floats."""
        return not isinstance(self.values, list) and self.values.dtype.kind in "biuf"

    @property
    def missing_count(self) -> int:
        """How many values are missing."""
        return 0 if self.missing is None else int(self.missing.sum())


def is_table(data: object) -> bool:
    """Whether it is a data frame, an Arrow table, a record array or a list of dicts."""
    return (
        derives_from(data, "pandas", "DataFrame")
        or derives_from(data, "polars", "DataFrame", "LazyFrame")
        or derives_from(data, "pyarrow", "Table", "RecordBatch")
        or (derives_from(data, "numpy", "ndarray") and data.dtype.names is not None)  # type: ignore[attr-defined]
        or (isinstance(data, list) and bool(data) and all(isinstance(row, Mapping) for row in data))
    )


def columns_of(data: Any) -> list[Column]:
    """Columns of a table, in order. The index of a pandas frame is no column.

    Raises
    ------
    InvalidRequest
        When it is no table, or two columns have one name.
    """
    columns = list(_columns(data))
    check_names([c.name for c in columns])
    return columns


def check_names(names: Sequence[str]) -> None:
    """Raise `InvalidRequest` when two columns have one name."""
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise InvalidRequest(f"Several columns are called {twice[0]!r}.", hint="Give each column its own name.")


def _columns(data: Any) -> Iterable[Column]:
    if derives_from(data, "pandas", "DataFrame"):
        return (_pandas_column(str(n), data.iloc[:, i]) for i, n in enumerate(data.columns))
    if derives_from(data, "polars", "LazyFrame"):
        data = data.collect()
    if derives_from(data, "polars", "DataFrame"):
        return (_polars_column(s) for s in data.iter_columns())
    if derives_from(data, "pyarrow", "Table", "RecordBatch"):
        return (arrow_column(n, data.column(i)) for i, n in enumerate(data.schema.names))
    if derives_from(data, "numpy", "ndarray") and data.dtype.names is not None:
        return (array_column(n, data[n]) for n in data.dtype.names)
    if is_table(data):
        names = dict.fromkeys(str(k) for row in data for k in row)
        return (object_column(n, [row.get(n) for row in data]) for n in names)
    raise InvalidRequest(
        f"A {type(data).__qualname__} is no table.", hint="Pass a data frame, an Arrow table or a list of dicts."
    )


def array_column(name: str, array: Any, dtype: str = "") -> Column:
    """Column of a one-dimensional numpy array; texts and objects are looked at one by one."""
    import numpy as np

    kind = array.dtype.kind
    if kind == "O":
        return object_column(name, array.tolist(), dtype or "object")
    if kind in "US":
        return Column(name, _KINDS[kind], dtype or element_name(array.dtype), array.tolist())
    missing = None
    if kind in "fcMm":
        mask = np.isnan(array) if kind in "fc" else np.isnat(array)
        missing = mask if mask.any() else None
    return Column(name, _KINDS[kind], dtype or array.dtype.name, array, missing)


def element_name(dtype: Any) -> str:
    """Name of a numpy element type; without the width of texts, which the longest one decides."""
    return {"U": "str", "S": "bytes"}.get(dtype.kind) or str(dtype.name)


def _masked(name: str, array: Any, missing: Any, dtype: str) -> Column:
    column = array_column(name, array, dtype)
    mask = missing if column.missing is None else missing | column.missing
    return Column(name, column.type, dtype, column.values, mask if mask.any() else None)


def _pandas_column(name: str, series: Any) -> Column:
    dtype = str(series.dtype)
    kind = type(series.dtype).__name__
    if kind == "CategoricalDtype":
        values = _taken(series.cat.categories.tolist(), series.cat.codes.to_numpy())
        return _as_category(object_column(name, values), dtype="category")
    if kind == "DatetimeTZDtype":
        instants = series.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy()
        column = array_column(name, instants, dtype)
        return Column(name, "datetime", dtype, column.values, column.missing, aware=True)
    if kind == "ArrowDtype":
        return arrow_column(name, series.array.__arrow_array__(), dtype)
    if kind == "SparseDtype":
        return array_column(name, series.sparse.to_dense().to_numpy(), dtype)
    numpy_dtype = getattr(series.dtype, "numpy_dtype", None)
    if numpy_dtype is not None and kind not in ("StringDtype", "NumpyEADtype"):
        missing = series.isna().to_numpy()
        return _masked(name, series.fillna(numpy_dtype.type(0)).to_numpy(dtype=numpy_dtype), missing, dtype)
    array = series.to_numpy()
    if array.dtype.kind == "O":
        return object_column(name, array.tolist(), dtype)
    return array_column(name, array, dtype)


def _polars_column(series: Any) -> Column:
    name, dtype, kind = series.name, str(series.dtype), type(series.dtype).__name__
    if series.dtype.is_numeric() and kind not in ("Decimal", "Int128", "UInt128", "Float16"):
        return _masked(name, series.fill_null(0).to_numpy(), series.is_null().to_numpy(), dtype)
    if kind == "Boolean":
        return _masked(name, series.fill_null(False).to_numpy(), series.is_null().to_numpy(), dtype)  # noqa: FBT003
    if kind in ("Date", "Datetime"):
        unit = "D" if kind == "Date" else series.dtype.time_unit
        counts = series.to_physical().fill_null(0).to_numpy().astype("int64").view(f"M8[{unit}]")
        column = _masked(name, counts, series.is_null().to_numpy(), dtype)
        aware = kind == "Datetime" and series.dtype.time_zone is not None
        return Column(name, "datetime", dtype, column.values, column.missing, aware=aware)
    if kind in ("Categorical", "Enum"):
        return _as_category(object_column(name, series.cast(str).to_list()), dtype)
    return object_column(name, series.to_list(), dtype)


def arrow_column(name: str, column: Any, dtype: str = "") -> Column:
    """Column of an Arrow array, chunked or not."""
    import pyarrow as pa

    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    dtype = dtype or str(array.type)
    types = pa.types
    if types.is_dictionary(array.type):
        return _as_category(arrow_column(name, array.dictionary_decode()), dtype)
    if types.is_boolean(array.type) or types.is_integer(array.type) or types.is_floating(array.type):
        filled = array.fill_null(False if types.is_boolean(array.type) else 0)
        missing = array.is_null().to_numpy(zero_copy_only=False)
        return _masked(name, filled.to_numpy(zero_copy_only=False), missing, dtype)
    if types.is_timestamp(array.type) or types.is_date32(array.type):
        unit = "D" if types.is_date32(array.type) else array.type.unit
        width = pa.int32() if unit == "D" else pa.int64()
        counts = array.view(width).fill_null(0).to_numpy(zero_copy_only=False).astype("int64").view(f"M8[{unit}]")
        plain = _masked(name, counts, array.is_null().to_numpy(zero_copy_only=False), dtype)
        aware = unit != "D" and array.type.tz is not None
        return Column(name, "datetime", dtype, plain.values, plain.missing, aware=aware)
    return object_column(name, array.to_pylist(), dtype)


def object_column(name: str, values: list[Any], dtype: str = "") -> Column:
    """Column of Python objects: the narrowest type that holds all that are not missing."""
    import numpy as np

    missing = None
    if not set(map(type, values)) <= {str}:
        values = [_plain(v) for v in values]
        mask = np.fromiter((v is None for v in values), bool, len(values))
        missing = mask if mask.any() else None
    kinds = {type(v) for v in values if v is not None}
    if kinds in ({str}, {bytes}):
        return Column(name, "string" if kinds == {str} else "bytes", dtype, values, missing)
    array = _typed(values, kinds)
    if array is None:
        return Column(name, "object", dtype, values, missing)
    aware = kinds == {datetime} and any(v is not None and v.tzinfo is not None for v in values)
    return Column(name, _KINDS[array.dtype.kind], dtype, array, missing, aware=aware)


def _typed(values: list[Any], kinds: set[type]) -> Any:
    """The values as a numpy array with zeros where missing; None when no type holds them."""
    import numpy as np

    try:
        if kinds == {bool}:
            return np.array([v or False for v in values], dtype=bool)
        if kinds == {int}:
            return np.array([v or 0 for v in values], dtype=np.int64)
        if kinds and kinds <= {int, float}:
            return np.array([np.nan if v is None else v for v in values], dtype=np.float64)
        if kinds == {date}:
            return np.array(values, dtype="M8[D]")
        if kinds == {datetime}:
            zones = {v.tzinfo is None for v in values if v is not None}
            if len(zones) == 1:  # a clock reading and an instant cannot stand in one column
                return np.array([_in_utc(v) for v in values], dtype="M8[us]")
    except OverflowError:
        return None
    return None


def _in_utc(time: datetime | None) -> datetime | None:
    return time if time is None or time.tzinfo is None else time.astimezone(UTC).replace(tzinfo=None)


def _plain(value: Any) -> Any:
    """A Python value without numpy's and pandas' own classes; None for every kind of missing."""
    if value is None or type(value).__name__ in _MISSING_TYPES:
        return None
    if isinstance(value, float):
        return None if value != value else float(value)  # noqa: PLR0124  # NaN
    if derives_from(value, "pandas", "Timestamp"):
        return value.to_pydatetime(warn=False)
    if derives_from(value, "numpy", "generic"):
        return _plain(value.item())
    if isinstance(value, str):
        return str(value)
    return value


def _taken(categories: Sequence[Any], codes: Any) -> list[Any]:
    table = [*categories, None]  # code -1 is missing
    return [table[code] for code in codes.tolist()]


def _as_category(column: Column, dtype: str) -> Column:
    return Column(column.name, "category", dtype, column.values, column.missing, column.aware)
