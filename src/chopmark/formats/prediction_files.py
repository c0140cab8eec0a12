"""Parquet files of prediction logs: requests to rows with typed columns, and back to what a model takes.

A value that is missing is null, in a column of numbers too; in tensors, and in what a model answered, NaN stays what it is. What is of no
one type (categories with numbers among texts, values of JSON) is JSON, and its column says so. Dimensions of a tensor beyond the rows are
lists in lists. Errors tell columns and types, never a value.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import DecodeError, ValidationError, structs

from chopmark.abc.prediction_logs import LogBatch, LogRequest
from chopmark.base.jsons import canonical, decode, encode
from chopmark.domain.names import shown
from chopmark.domain.prediction_logs import IDENTITY, INPUT, LOG_FORM, OUTPUT, LogAbout
from chopmark.errors import IntegrityFailure, InvalidRequest, Unsupported
from chopmark.formats.libraries import import_library

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from chopmark.abc.predicting import Layout

__all__ = [
    "Parquet",
    "Run",
    "answer_columns",
    "column_values",
    "joined_logs",
    "open_parquet",
    "plain_rows",
    "read_log_file",
    "runs_of",
    "write_rows",
]

_ABOUT = b"chopmark.prediction_log"
_FORM, _JSON = b"chopmark.form", b"json"
_ROWS_OF_GROUP = 20_000


class _Rows(NamedTuple):
    """Rows in memory, a table for each set of types that met."""

    tables: tuple[Any, ...]

    @property
    def num_rows(self) -> int:
        return sum(table.num_rows for table in self.tables)

    @property
    def nbytes(self) -> int:
        return sum(table.nbytes for table in self.tables)


def open_parquet() -> Parquet:
    """What writes logs.

    Raises
    ------
    Unsupported
        When pyarrow is not installed.
    """
    import_library("pyarrow.parquet", extra="arrow", purpose="A log of predictions")
    return Parquet()


class Parquet:
    """Files of a log, compressed with zstd; see `chopmark.abc.prediction_logs.LogFormat`."""

    def batch(self, about: LogAbout, requests: Sequence[LogRequest], layout: Layout) -> LogBatch:
        """Requests that one version answered, as rows."""
        by_outputs: dict[tuple[str, ...], list[LogRequest]] = {}
        for each in requests:
            by_outputs.setdefault(tuple(each.outputs), []).append(each)
        return _Rows(tuple(_table(about, alike, layout) for alike in by_outputs.values()))

    def files(self, about: LogAbout, batches: Sequence[LogBatch]) -> list[bytes]:
        """The bytes of files with these rows."""
        import pyarrow as pa

        together: list[list[Any]] = []
        for table in (table for batch in batches if isinstance(batch, _Rows) for table in batch.tables):
            for group in together:
                if all(_fit(table.schema, other.schema) for other in group):
                    group.append(table)
                    break
            else:
                together.append([table])
        try:
            return [_file(about, pa.concat_tables(group, promote_options="default")) for group in together]
        except (pa.ArrowException, MemoryError) as error:
            raise Unsupported(f"No file could be made of the rows: {type(error).__name__}.") from None


def _fit(one: Any, other: Any) -> bool:
    """Whether columns that both have are of one type."""
    there = {field.name: field for field in other}
    return all(
        field.name not in there
        or (field.type == there[field.name].type and field.metadata == there[field.name].metadata)
        for field in one
    )


def _file(about: LogAbout, table: Any) -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    for name in about.redacted:
        place = table.schema.get_field_index(name)
        if place >= 0:
            field = table.schema.field(place)
            table = table.set_column(place, field, pa.nulls(table.num_rows, field.type))
    columns, digest = _columns_of(table.schema)
    said = structs.replace(about, columns=columns, columns_digest=digest)
    table = table.replace_schema_metadata({_ABOUT: encode(said)})
    sink = pa.BufferOutputStream()
    parquet.write_table(table, sink, compression="zstd", row_group_size=_ROWS_OF_GROUP)
    whole: bytes = sink.getvalue().to_pybytes()
    return whole


def _columns_of(schema: Any) -> tuple[tuple[tuple[str, str], ...], str]:
    columns = tuple((field.name, _kind(field.type)) for field in schema)
    return columns, f"sha256:{hashlib.sha256(canonical(columns)).hexdigest()}"


# From requests to columns


class _Made(NamedTuple):
    """A column, and whether its texts are JSON."""

    name: str
    values: Any
    is_json: bool = False


def _table(about: LogAbout, requests: Sequence[LogRequest], layout: Layout) -> Any:
    import pyarrow as pa

    made = [
        *_identity(about, requests),
        *_inputs(requests, layout),
        *(
            _named(f"{OUTPUT}{name}", [r.outputs[name] for r in requests], "", is_input=False)
            for name in requests[0].outputs
        ),
    ]
    if len({each.name for each in made}) < len(made):
        raise Unsupported("Two columns have one name, which a log cannot hold.")
    fields = [pa.field(each.name, each.values.type, metadata={_FORM: _JSON} if each.is_json else None) for each in made]
    try:
        return pa.Table.from_arrays([each.values for each in made], schema=pa.schema(fields))
    except pa.ArrowException as error:  # columns of several lengths: a model that answers fewer rows than it was asked
        raise Unsupported(f"Rows and answers do not fit each other: {type(error).__name__}.") from None


def _identity(about: LogAbout, requests: Sequence[LogRequest]) -> Iterator[_Made]:
    import numpy as np
    import pyarrow as pa

    kept = np.array([each.kept for each in requests])
    count = int(kept.sum())

    def numbers(values: Sequence[int], kind: Any) -> Any:
        return pa.array(np.repeat(np.array(values, np.int64), kept)).cast(kind)

    def texts(values: Sequence[str]) -> Any:
        return pa.array(np.repeat(np.array(values, object), kept), pa.string())

    yield _Made("at", numbers([r.at_ms for r in requests], pa.int64()).cast(pa.timestamp("ms", tz="UTC")))
    yield _Made("request_id", texts([r.request_id for r in requests]))
    yield _Made("endpoint", pa.repeat(about.endpoint, count))
    yield _Made("model", pa.repeat(about.model, count))
    yield _Made("version", pa.repeat(pa.scalar(about.version, pa.int64()), count))
    yield _Made("digest", pa.repeat(about.digest, count))
    yield _Made("variant", texts([r.variant for r in requests]))
    yield _Made("generation", numbers([r.generation for r in requests], pa.int64()))
    yield _Made("row", pa.array(np.concatenate([np.arange(n, dtype=np.int32) for n in kept])))
    yield _Made("rows", numbers([r.rows for r in requests], pa.int32()))


def _inputs(requests: Sequence[LogRequest], layout: Layout) -> Iterator[_Made]:
    if layout.kind == "matrix":
        whole = _joined([each.inputs for each in requests])
        if whole is None or whole.ndim != 2 or whole.shape[1] != len(layout.inputs):  # noqa: PLR2004
            raise Unsupported("The inputs have other columns than the model.")
        for place, field in enumerate(layout.inputs):
            yield _named(f"{INPUT}{field.name}", [whole[:, place]], field.type)
        return
    for field in layout.inputs:
        parts = [
            each.inputs[field.name] for each in requests if isinstance(each.inputs, dict) and field.name in each.inputs
        ]
        if len(parts) < len(requests):
            raise Unsupported(f"The input {shown(field.name)} is missing.")
        yield _named(f"{INPUT}{field.name}", parts, field.type)


def _joined(arrays: Sequence[Any]) -> Any:
    """One array of all; None when their rows have several shapes."""
    import numpy as np

    if len(arrays) == 1:
        return arrays[0]
    return np.concatenate(arrays) if len({each.shape[1:] for each in arrays}) == 1 else None


def _named(name: str, arrays: Sequence[NDArray[Any]], field_type: str, *, is_input: bool = True) -> _Made:
    import pyarrow as pa

    try:
        whole = _joined(arrays)
        if whole is not None:
            return _Made(name, *_column(whole, field_type, is_input=is_input))
        parts = [_column(each, field_type, is_input=is_input) for each in arrays]
        return _Made(name, pa.concat_arrays([values for values, _ in parts]), any(is_json for _, is_json in parts))
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:  # their words hold values
        raise Unsupported(f"The column {shown(name)} cannot be written: {type(error).__name__}.") from None


def _column(array: NDArray[Any], field_type: str, *, is_input: bool) -> tuple[Any, bool]:
    """An Arrow array of the rows, and whether it holds JSON."""
    import numpy as np
    import pyarrow as pa

    if array.ndim == 1:
        return _elements(array, field_type, is_input=is_input)
    values, is_json = _elements(array.reshape(-1), field_type, is_input=False)
    for depth in range(array.ndim - 1, 0, -1):
        count = int(np.prod(array.shape[:depth], dtype=np.int64))
        offsets = np.arange(count + 1, dtype=np.int64) * array.shape[depth]
        values = pa.LargeListArray.from_arrays(pa.array(offsets), values)
    return values, is_json


def _elements(array: NDArray[Any], field_type: str, *, is_input: bool) -> tuple[Any, bool]:
    import numpy as np
    import pyarrow as pa

    match array.dtype.kind:
        case "b" | "i" | "u" | "f":
            if array.dtype.itemsize > 8:  # noqa: PLR2004 - long doubles
                array = array.astype(np.float64)
            values = pa.array(array.astype(array.dtype.newbyteorder("="), copy=False), from_pandas=is_input)
            is_whole = field_type == "int" and array.dtype.kind == "f" and is_input
            return (_as_whole(values) if is_whole else values), False
        case "M":
            return pa.array(array.astype("datetime64[ns]")).cast(pa.timestamp("ns", tz="UTC")), False
        case "U":
            return pa.array(array.tolist(), pa.string()), False
        case "S":
            return pa.array(array.tolist(), pa.binary()), False
        case "O":
            return _objects(array.tolist(), field_type)
        case _:
            raise Unsupported(f"There is no column for values of the type {array.dtype.name}.")


def _as_whole(values: Any) -> Any:
    """Whole numbers, where all are: a number that may be missing comes as a floating-point one."""
    import pyarrow as pa

    try:
        return values.cast(pa.int64())
    except pa.ArrowInvalid:
        return values


_OF_TYPE: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "category": (str,),
    "bytes": (bytes,),
    "bool": (bool,),
    "object": (),
}


def _objects(values: list[Any], field_type: str) -> tuple[Any, bool]:
    import pyarrow as pa

    kinds = {str: pa.string(), bytes: pa.binary(), bool: pa.bool_(), int: pa.int64(), float: pa.float64()}
    there = {type(value) for value in values} - {NoneType}
    if field_type in _OF_TYPE:
        wanted = _OF_TYPE[field_type]
        if wanted and there <= set(wanted):
            return pa.array(values, kinds[wanted[0]]), False
    elif all(issubclass(kind, str) for kind in there):
        return pa.array([None if v is None else str(v) for v in values], pa.string()), False
    elif len(there) == 1 and next(iter(there)) in kinds:
        return pa.array(values, kinds[next(iter(there))]), False
    return pa.array([None if v is None else _as_json(v) for v in values], pa.string()), True


def _as_json(value: Any) -> str:
    return encode(_plain(value)).decode()


def _plain(value: Any) -> Any:
    """What JSON has in its stead; its text for what has nothing."""
    if isinstance(value, (str, int, float, bool, NoneType)) and type(value).__module__ == "builtins":
        return value
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return _plain(value.tolist()) if hasattr(value, "tolist") else str(value)


# From files to arrays


def read_log_file(path: Path, since: datetime | None = None, until: datetime | None = None) -> tuple[LogAbout, Any]:
    """What a file says of itself, and its rows of a time, as an Arrow table.

    Raises
    ------
    InvalidRequest
        When it is no file of a log.
    IntegrityFailure
        When it is damaged, or has other columns than it was written with.
    Unsupported
        When pyarrow is not installed.
    """
    pa = import_library("pyarrow", extra="arrow", purpose="A log of predictions")
    import pyarrow.compute as pc
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            about = _about(path, file.schema_arrow)
            table = file.read()
    except (pa.ArrowException, OSError) as error:
        msg = f"{path.name} cannot be read: {type(error).__name__}."
        raise IntegrityFailure(msg, hint="Move the file elsewhere; the others can be read without it.") from error
    columns, digest = _columns_of(table.schema)
    if about.columns_digest != digest or about.columns != columns or columns[: len(IDENTITY)] != _identity_columns():
        raise IntegrityFailure(f"{path.name} has other columns than it was written with.")
    for test, moment in ((pc.greater_equal, since), (pc.less, until)):
        if moment is not None:
            table = table.filter(test(table["at"], pa.scalar(moment, pa.timestamp("us", tz="UTC"))))
    return about, table


def _kind(kind: Any) -> str:
    """A type in words that do not hang on how a file calls the elements of a list."""
    import pyarrow as pa

    return f"list<{_kind(kind.value_type)}>" if pa.types.is_large_list(kind) else str(kind)


def _identity_columns() -> tuple[tuple[str, str], ...]:
    kinds = {"at": "timestamp[ms, tz=UTC]", "version": "int64", "generation": "int64", "row": "int32", "rows": "int32"}
    return tuple((name, kinds.get(name, "string")) for name in IDENTITY)


def _about(path: Path, schema: Any) -> LogAbout:
    said = (schema.metadata or {}).get(_ABOUT)
    if said is None:
        msg = f"{path.name} is no file of a prediction log."
        raise InvalidRequest(msg, hint="Name the directory of the setting gateway_log_dir.")
    try:
        about = decode(said, LogAbout)
    except (DecodeError, ValidationError, InvalidRequest) as error:
        raise IntegrityFailure(f"What {path.name} says of itself cannot be read.") from error
    if about.form != LOG_FORM:
        raise Unsupported(f"{path.name} has the form {about.form}, and this release reads {LOG_FORM}.")
    return about


def joined_logs(tables: Sequence[Any]) -> Any:
    """One table of those of several files; what only some of them have is null in the others.

    Raises
    ------
    InvalidRequest
        When a column is of types that do not go together.
    """
    import pyarrow as pa

    in_json = {field.name for table in tables for field in table.schema if _is_json(field)}
    alike = [_with_json(table, in_json) for table in tables]
    try:
        return pa.concat_tables(alike, promote_options="permissive").replace_schema_metadata(None)
    except pa.ArrowException as error:
        msg = "Files of this log have a column of types that do not go together."
        raise InvalidRequest(msg, hint="Read one endpoint and version at a time, or batches.") from error


def _is_json(field: Any) -> bool:
    return bool((field.metadata or {}).get(_FORM) == _JSON)


def _with_json(table: Any, names: set[str]) -> Any:
    import pyarrow as pa

    for place, field in enumerate(table.schema):
        if field.name in names and not _is_json(field):
            texts = [None if v is None else _as_json(v) for v in table.column(place).to_pylist()]
            marked = pa.field(field.name, pa.string(), metadata={_FORM: _JSON})
            table = table.set_column(place, marked, pa.array(texts, pa.string()))
    return table


def column_values(table: Any, name: str) -> NDArray[Any]:
    """A column as an array of its rows: NaN and NaT for null among numbers and times, else objects with None.

    Rows of lists have one shape; see `runs_of`.
    """
    import numpy as np
    import pyarrow as pa

    field, column = table.schema.field(name), table.column(name).combine_chunks()
    if isinstance(column, pa.ChunkedArray):
        column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    shape = [len(column)]
    while pa.types.is_large_list(column.type):
        inner = column.flatten()
        shape.append(len(inner) // len(column) if len(column) else 0)
        column = inner
    kind = column.type
    if pa.types.is_timestamp(kind):
        values = column.cast(pa.timestamp("ns")).to_numpy(zero_copy_only=False)
    elif pa.types.is_string(kind) or pa.types.is_binary(kind):
        values = np.empty(len(column), object)
        values[:] = column.to_pylist()
        if _is_json(field):
            _fill(values, lambda text: decode(text, object))
    else:
        values = column.to_numpy(zero_copy_only=False)
    shaped: NDArray[Any] = values.reshape(shape)
    return shaped


def _fill(values: NDArray[Any], make: Callable[[Any], Any]) -> None:
    for place, value in enumerate(values):
        values[place] = None if value is None else make(value)


class Run(NamedTuple):
    """Rows one after another whose values have one shape, and columns that have values there."""

    start: int
    length: int
    present: frozenset[str]


def runs_of(table: Any, names: Sequence[str], rows_max: int) -> Iterator[Run]:
    """Parts of a table in each of which every column of lists has one shape; ``present`` are those with a value in the first row.

    Parameters
    ----------
    names
        Columns to look at.
    rows_max
        Longest part.
    """
    nested = {name: _shapes(table.column(name)) for name in names}
    start = 0
    for end in range(1, table.num_rows + 1):
        is_last = end == table.num_rows
        if is_last or end - start >= rows_max or any(shapes[end] != shapes[start] for shapes in nested.values()):
            present = frozenset(name for name, shapes in nested.items() if shapes[start] is not None)
            yield Run(start, end - start, present)
            start = end


class _Everywhere:
    """The shape of rows that are no lists."""

    def __getitem__(self, place: int) -> tuple[int, ...] | None:
        return ()


def _shapes(column: Any) -> Any:
    import pyarrow as pa

    if not pa.types.is_large_list(column.type):
        return (
            [() if known else None for known in column.is_valid().to_pylist()] if column.null_count else _Everywhere()
        )
    return [_shape(value) for value in column]


def _shape(value: Any) -> tuple[int, ...] | None:
    import pyarrow as pa

    if not value.is_valid:
        return None
    inner = value.values
    shape = [len(inner)]
    while pa.types.is_large_list(inner.type):
        shape.append(len(inner[0].values) if len(inner) else 0)
        inner = inner.flatten()
    return tuple(shape)


def answer_columns(outputs: dict[str, NDArray[Any]]) -> Any:
    """Answers as a table, as they would be logged: to be compared with those that were."""
    import pyarrow as pa

    made = [_named(f"{OUTPUT}{name}", [array], "", is_input=False) for name, array in outputs.items()]
    fields = [pa.field(each.name, each.values.type, metadata={_FORM: _JSON} if each.is_json else None) for each in made]
    return pa.Table.from_arrays([each.values for each in made], schema=pa.schema(fields))


def plain_rows(batch: Any) -> list[dict[str, Any]]:
    """Rows as JSON has them; times to the microsecond."""
    import pyarrow as pa

    table = pa.Table.from_batches([batch])
    for place, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type):
            kind = pa.timestamp("us", tz=field.type.tz)
            table = table.set_column(place, field.with_type(kind), table.column(place).cast(kind, safe=False))
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def write_rows(table: Any, path: Path) -> None:
    """Write rows of a log to one Parquet file.

    Raises
    ------
    InvalidRequest
        When the file cannot be written.
    """
    from pyarrow import parquet

    try:
        parquet.write_table(table, path, compression="zstd")
    except OSError as error:
        raise InvalidRequest(f"{path.name} cannot be written: {error.strerror or error}.") from error
