"""Schema and size of tables in files, where the library that reads them is installed."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chopmark.domain.datasets import ColumnProfile
from chopmark.domain.signature import FieldType
from chopmark.errors import InvalidRequest
from chopmark.formats.text_dialects import HEAD_BYTES, Dialect, dialect_of

__all__ = ["CSV_SIZE_BYTES_MAX", "TableFacts", "file_dialect", "is_parquet", "is_text_table", "read_csv", "table_facts"]

# Parsing a larger text only for its statistics would make a registration wait.
CSV_SIZE_BYTES_MAX = 256 * 2**20


@dataclass(frozen=True)
class TableFacts:
    """Rows of a file, and either profiles of its columns or the table to take them from."""

    row_count: int
    columns: tuple[ColumnProfile, ...] = ()
    table: Any = None


def table_facts(path: Path) -> TableFacts | None:
    """What a Parquet or CSV file says of itself; None for others, or without pyarrow.

    Of Parquet only the footer is read: types, rows, missing values, smallest and largest as its
    writer recorded them. A file that pyarrow cannot read is no table here: its digest says enough.
    """
    is_csv = is_text_table(path) and path.stat().st_size <= CSV_SIZE_BYTES_MAX
    if not is_parquet(path) and not is_csv:
        return None
    try:
        import pyarrow as pa
    except ImportError:
        return None
    try:
        if not is_csv:
            return _parquet_facts(path)
        table = read_csv(path)
        return TableFacts(table.num_rows, table=table)
    except (pa.ArrowException, OSError, InvalidRequest):
        return None


def is_parquet(path: Path) -> bool:
    """Whether a file's name says that it is Parquet."""
    return path.suffix.lower() in (".parquet", ".pq")


def is_text_table(path: Path) -> bool:
    """Whether a file's name says that it is a table written as text."""
    return path.suffix.lower() in (".csv", ".tsv")


def file_dialect(path: Path) -> Dialect:
    """What stands between the columns of a text file, by its first lines; `InvalidRequest` when they do not fit its header."""
    with path.open("rb") as stream:
        head = stream.read(HEAD_BYTES)
    return dialect_of(head, usual="\t" if path.suffix.lower() == ".tsv" else ",")


def read_csv(path: Path, texts: Collection[str] = ()) -> Any:
    """The Arrow table of a text file; its errors are Arrow's own.

    An empty field is missing, of texts as of numbers: no program that writes such files tells the two apart.

    Parameters
    ----------
    path
        The file. What stands between its columns is seen from its first lines.
    texts
        Columns to give as they stand in the file: ``007`` is otherwise the number 7.

    Raises
    ------
    InvalidRequest
        When its header and the lines below do not fit together.
    """
    import pyarrow as pa
    from pyarrow import csv

    dialect = file_dialect(path)
    table = csv.read_csv(
        path,
        parse_options=csv.ParseOptions(delimiter=dialect.delimiter),
        convert_options=csv.ConvertOptions(
            decimal_point=dialect.decimal_point, column_types=dict.fromkeys(texts, pa.string())
        ),
    )
    for i, field in enumerate(table.schema):
        if pa.types.is_string(field.type):
            table = table.set_column(i, field.name, _without_empty(table.column(i)))
    return table


def _without_empty(column: Any) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.if_else(pc.equal(column, ""), pa.scalar(None, column.type), column)


def _parquet_facts(path: Path) -> TableFacts:
    from pyarrow import parquet

    metadata = parquet.read_metadata(path)
    schema = metadata.schema.to_arrow_schema()
    is_flat = metadata.num_columns == len(schema.names)
    profiles = [_parquet_profile(metadata, i, f) for i, f in enumerate(schema)] if is_flat else []
    return TableFacts(metadata.num_rows, tuple(profiles))


def _parquet_profile(metadata: Any, index: int, field: Any) -> ColumnProfile:
    chunks = [metadata.row_group(g).column(index).statistics for g in range(metadata.num_row_groups)]
    kind = _field_type(field.type)
    is_known = bool(chunks) and all(c is not None and c.has_min_max for c in chunks)
    is_number = kind in ("int", "float")
    missing = sum(c.null_count for c in chunks if c is not None and c.has_null_count)
    return ColumnProfile(
        field.name,
        kind,
        missing=missing,
        minimum=float(min(c.min for c in chunks)) if is_known and is_number else None,
        maximum=float(max(c.max for c in chunks)) if is_known and is_number else None,
    )


def _field_type(arrow_type: Any) -> FieldType:
    from pyarrow import types

    tests: tuple[tuple[Any, FieldType], ...] = (
        (types.is_boolean, "bool"),
        (types.is_integer, "int"),
        (types.is_floating, "float"),
        (types.is_string, "string"),
        (types.is_large_string, "string"),
        (types.is_binary, "bytes"),
        (types.is_timestamp, "datetime"),
        (types.is_date, "datetime"),
        (types.is_dictionary, "category"),
    )
    return next((kind for test, kind in tests if test(arrow_type)), "object")
