"""Rows of a data set that are read a column at a time, so that a large file is never in memory as a whole."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from chopmark.domain.names import shown
from chopmark.errors import InvalidRequest, NotFound, Unsupported
from chopmark.formats.columns import Column, arrow_column, check_names
from chopmark.formats.levels import CHUNK_ROWS, LevelCounts, counts_in_arrow, counts_in_column
from chopmark.formats.tabular_files import CSV_SIZE_BYTES_MAX, is_parquet, is_text_table, read_csv

__all__ = ["InMemory", "Parts", "Read", "Table", "obstacle_to_reading", "table_of_columns", "table_of_file"]

FILE_CELLS_MAX = 100_000_000
"""Values of a file that are read without being asked for: some ten seconds of work."""

FILE_COLUMNS_MAX = 1_000


class Parts:
    """A column from its first row on, in one part or several; can be gone through more than once."""

    def __iter__(self) -> Iterator[Column]:
        raise NotImplementedError

    @property
    def is_text(self) -> bool:
        """Whether it is known, without a look at the values, that they are texts."""
        return False

    @property
    def is_written(self) -> bool:
        """Whether they are texts as they stood in a file of texts, in which numbers and truth values are written, too."""
        return False

    def level_counts(self) -> Iterator[LevelCounts]:
        """How often each level is there, part after part."""
        for column in self:
            yield from counts_in_column(column)


class InMemory(Parts):
    """A column that is in memory, or is cut out of what is when it is first asked for."""

    def __init__(self, read: Callable[[], Column]) -> None:
        self._read = read
        self._column: Column | None = None

    def __iter__(self) -> Iterator[Column]:
        if self._column is None:
            self._column = self._read()
        yield self._column


Read = Callable[[], Parts]


@dataclass(frozen=True)
class Table:
    """Rows, and how each column is read.

    Attributes
    ----------
    rows
        How many.
    columns
        Name → what reads it, in order.
    left_out
        Columns that are not looked at → why.
    """

    rows: int
    columns: Mapping[str, Read]
    left_out: Mapping[str, str] = field(default_factory=dict)

    def check(self, name: str) -> None:
        """Raise `NotFound` when there is no column of that name."""
        if name not in self.columns and name not in self.left_out:
            known = ", ".join(list(self.columns)[:20])
            raise NotFound(f"The data have no column {shown(name)}.", hint=f"They have {known}." if known else "")

    def read(self, name: str) -> Parts:
        """Parts of a column; `NotFound` when there is none of that name, `InvalidRequest` when it is left out."""
        self.check(name)
        if name in self.left_out:
            raise InvalidRequest(f"Column {shown(name)} cannot be read: {self.left_out[name]}.")
        return self.columns[name]()


def table_of_columns(columns: Sequence[Column], rows: int) -> Table:
    """A table of columns that are in memory."""
    return Table(rows, {column.name: partial(_in_memory, column) for column in columns})


def _in_memory(column: Column) -> Parts:
    return InMemory(lambda: column)


def obstacle_to_reading(path: Path) -> str:
    """Why the rows of a Parquet or text file should not be read unasked, in words; empty when nothing speaks against it."""
    try:
        import numpy as np  # noqa: F401
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        return f"{error.name} is not installed"
    if is_text_table(path):
        size_bytes = path.stat().st_size
        is_large = size_bytes > CSV_SIZE_BYTES_MAX
        return f"it is a text of {size_bytes / 2**20:,.0f} MiB" if is_large else "it cannot be read as a table"
    try:
        metadata = parquet.read_metadata(path)
    except (pa.ArrowException, OSError):
        return "it cannot be read as a table"
    if metadata.num_columns > FILE_COLUMNS_MAX:
        return f"it has {metadata.num_columns:,} columns"
    cells = metadata.num_rows * metadata.num_columns
    return f"it has {cells:,} values" if cells > FILE_CELLS_MAX else ""


def table_of_file(path: Path, texts: Collection[str] = ()) -> Table:
    """The table of a Parquet, CSV or TSV file. Of Parquet a column is read when it is asked for, of texts all at once.

    Parameters
    ----------
    path
        The file.
    texts
        Columns of a text file to give as they stand there, whatever they look like.

    Raises
    ------
    InvalidRequest
        When it is no such file or cannot be read, or two columns have one name.
    Unsupported
        When pyarrow is not installed.
    """
    if is_parquet(path):
        return _parquet_table(path)
    if not is_text_table(path):
        raise InvalidRequest(
            f"{path.name} is no table that can be read.", hint="Pass a file that ends in .parquet, .pq, .csv or .tsv."
        )
    with _reading(path):
        table = read_csv(path, texts)
    check_names(table.column_names)
    read = {
        name: partial(_ArrowParts, name, table.column(name), is_written=name in texts) for name in table.column_names
    }
    return Table(table.num_rows, read)


def _parquet_table(path: Path) -> Table:
    with _reading(path):
        from pyarrow import parquet

        file = parquet.ParquetFile(path)
        with file:
            schema, rows = file.schema_arrow, file.metadata.num_rows
    check_names(schema.names)
    kept = (schema.pandas_metadata or {}).get("index_columns", ())  # a range is a dict, a column its name
    index = [name for name in kept if isinstance(name, str)]
    nested = [f.name for f in schema if f.type.num_fields > 0 and f.name not in index]
    left_out = dict.fromkeys(index, "index of a pandas frame") | dict.fromkeys(nested, "nested values")
    read = {name: partial(_parquet_parts, path, name) for name in schema.names if name not in left_out}
    return Table(rows, read, left_out)


def _parquet_parts(path: Path, name: str) -> Parts:
    with _reading(path):
        from pyarrow import parquet

        with parquet.ParquetFile(path) as file:
            table = file.read(columns=[name])
    return _ArrowParts(name, table.column(name))


class _ArrowParts(Parts):
    """Numbers and truth values as one part, all others in several: as Python objects they are many times larger."""

    def __init__(self, name: str, column: Any, *, is_written: bool = False) -> None:
        self._name = name
        self._column = column
        self._is_written = is_written

    def __iter__(self) -> Iterator[Column]:
        from pyarrow import types

        kind = self._column.type
        is_small = types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind)
        for part in self._slices(len(self._column) if is_small else CHUNK_ROWS):
            yield arrow_column(self._name, part)

    def _slices(self, size: int) -> Iterator[Any]:
        for start in range(0, len(self._column), max(size, 1)):
            yield self._column.slice(start, size)

    @property
    def is_text(self) -> bool:
        from pyarrow import types

        kind = self._column.type
        return bool(types.is_string(kind) or types.is_large_string(kind))

    @property
    def is_written(self) -> bool:
        return self._is_written

    def level_counts(self) -> Iterator[LevelCounts]:
        if not self.is_text:
            yield from super().level_counts()
            return
        for part in self._slices(CHUNK_ROWS):
            yield counts_in_arrow(part)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Say why a file cannot be read."""
    try:
        import pyarrow as pa
    except ImportError as error:
        raise Unsupported(f"Reading {path.name} needs pyarrow.", hint="pip install 'chopmark[arrow]'") from error
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise InvalidRequest(f"{path.name} cannot be read: {error}.") from error
