"""Data sets described: identified by their content, with a schema and statistics by column.

What is hashed
--------------
SHA-256 of a canonical JSON header followed by the SHA-256 of each part.

- A *table* (data frame of pandas or polars, Arrow table, record array, list of dicts): header with
  the number of rows and, in order, each column's name and element type; one part per column. The
  index of a pandas frame is no part of it, and neither is how the library keeps a column: texts are
  texts as ``object``, ``string`` or ``string[pyarrow]``, a category counts as its values, a nullable
  integer without missing values as an integer, chunks as one.
- An *array*: header with element type and shape; one part, in C order.
- A *sparse matrix*: header with element type and shape; the three parts of its canonical CSR form.
- A *tuple* or *dict*: header with the names of its parts (a dict's sorted); their digests.
- A *file*: its bytes alone, so the digest is that of ``sha256sum``. A *directory*: canonical JSON of
  path, size and digest of each file, sorted by path.

Numbers are hashed as little-endian bytes. Every NaN is one NaN, and a missing float is a NaN;
other missing values are hashed as a mask, their place as zero. ``-0.0`` is not ``0.0``. Times are
microseconds since 1970 (UTC for instants) and the nanoseconds left over. Texts are hashed as their
lengths in code points and their UTF-8. Other objects are hashed as canonical JSON.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from chopmark.domain.datasets import ColumnProfile, DatasetRef
from chopmark.domain.names import shown
from chopmark.errors import InvalidRequest
from chopmark.formats.column_profiles import column_profile
from chopmark.formats.columns import Column, is_table
from chopmark.formats.content import (
    array_digest,
    parts_digest,
    path_digest,
    sparse_digest,
    table_digest,
)
from chopmark.formats.libraries import derives_from
from chopmark.formats.rows import frame_of_series, is_series, table_of, table_of_array
from chopmark.formats.tables import Table, obstacle_to_reading, table_of_file
from chopmark.formats.tabular_files import is_parquet, is_text_table, table_facts

__all__ = ["DatasetWithRows", "Described", "dataset", "describe_dataset", "describe_rows"]

COLUMNS_MAX = 1_000
_SHORT_DIGEST_LENGTH = 19


@dataclass(frozen=True)
class Described:
    """A data set as a version refers to it, and its rows where there are some.

    Attributes
    ----------
    dataset
        The description.
    table
        Gives the rows, of ``(X, y)`` those of ``X``; None when there are none that stand in columns.
    obstacle
        Why they should not be gone through unasked; empty when nothing speaks against it.
    """

    dataset: DatasetRef
    table: Callable[[], Table] | None = None
    obstacle: str = ""


@dataclass(frozen=True)
class _Content:
    digest: str
    row_count: int | None = None
    columns: Callable[[], tuple[ColumnProfile, ...]] = tuple  # once more hashed, rows need not be described once more
    table: Table | None = None


class DatasetWithRows(DatasetRef, frozen=True, dict=True):
    """A data set that was described from rows, and keeps hold of them as long as it lives itself.

    They are no part of the value: it equals a description without rows, and what is written, sent or copied has none.
    """

    @classmethod
    def of(cls, described: Described, rows: Any) -> DatasetWithRows:
        """That of a description, with what was described."""
        made = cls(**{name: getattr(described.dataset, name) for name in cls.__struct_fields__})
        vars(made).update(rows=rows, obstacle=described.obstacle)
        return made

    @property
    def described(self) -> Described:
        """The description and its rows, which are hashed once more before they are handed out."""
        plain = DatasetRef(**{name: getattr(self, name) for name in self.__struct_fields__})
        held = vars(self)
        if "rows" not in held:
            return Described(plain)
        return Described(plain, partial(_same_rows, held["rows"], plain), held["obstacle"])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, DatasetRef):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__struct_fields__)

    __hash__ = DatasetRef.__hash__


def dataset(
    data: Any,
    *,
    name: str = "",
    uri: str = "",
    version: str = "",
    split: str = "",
    relation: str = "trained_on",
) -> DatasetRef:
    """Describe a data set as a version refers to it.

    Parameters
    ----------
    data
        A data frame, Arrow table, array, sparse matrix, list of dicts, tuple such as ``(X, y)`` or
        dict of those; a path to a file or directory; a text, which is a path when something is
        there, a URI when it has ``://``, and else a name; or a `DatasetRef`.
    name, uri, version, split
        Take the place of what ``data`` says of itself, when not empty.
    relation
        ``trained_on`` or ``evaluated_on``; a `DatasetRef` keeps its own.

    Returns
    -------
    DatasetRef
        With digest, number of rows and statistics as far as they can be had. At most 1,000
        columns are described; all are hashed. It keeps hold of the rows as long as it lives itself, so that a
        registration with it leaves a reference profile as one with the rows does; they are hashed again then, and
        refused if they changed. Copies of it, and what is written or sent, have no rows.

    Raises
    ------
    InvalidRequest
        When it is nothing of these, holds objects without stable bytes, is a symbolic link or has
        one within, or changes while it is read.
    """
    described = describe_rows(data, name=name, uri=uri, version=version, split=split, relation=relation)
    return described.dataset if described.table is None else DatasetWithRows.of(described, data)


def describe_dataset(
    data: Any,
    *,
    name: str = "",
    uri: str = "",
    version: str = "",
    split: str = "",
    relation: str = "trained_on",
) -> DatasetRef:
    """Describe a data set as `dataset` does, with its parameters and errors, and keep no hold of rows."""
    return describe_rows(data, name=name, uri=uri, version=version, split=split, relation=relation).dataset


def describe_rows(
    data: Any,
    *,
    name: str = "",
    uri: str = "",
    version: str = "",
    split: str = "",
    relation: str = "trained_on",
) -> Described:
    """Describe a data set as `describe_dataset` does, and keep hold of its rows."""
    said = DatasetRef(name, uri=uri, version=version, split=split, relation=relation)
    if isinstance(data, DatasetRef):
        known = data.described if isinstance(data, DatasetWithRows) else Described(data)
        return replace(known, dataset=_completed(said, known.dataset, relation=data.relation))
    if data is None:
        return Described(said)
    if isinstance(data, (str, os.PathLike)):
        found = _described_place(data)
        return replace(found, dataset=_completed(said, found.dataset))
    content = _described(data, "data")
    described = DatasetRef(
        content.digest[:_SHORT_DIGEST_LENGTH],
        digest=content.digest,
        row_count=content.row_count,
        columns=content.columns(),
    )
    return _with_table(_completed(said, described), content.table)


def _with_table(dataset: DatasetRef, table: Table | None) -> Described:
    if table is None:
        return Described(dataset)
    count = len(table.columns)
    return Described(dataset, lambda: table, f"it has {count:,} columns" if count > COLUMNS_MAX else "")


def _same_rows(data: Any, described: DatasetRef) -> Table:
    """Table of rows that were described before; `InvalidRequest` when they are others by now."""
    is_place = isinstance(data, (str, os.PathLike))
    content = None if is_place else _described(data, "data")
    if (path_digest(Path(data)) if content is None else content.digest) != described.digest:
        raise InvalidRequest(
            f"The rows of {shown(described.name)} are not those that were described.",
            hint="They changed meanwhile: describe them with cm.dataset(...) right before the registration.",
        )
    table = table_of_file(Path(data)) if content is None else content.table
    assert table is not None  # noqa: S101 - there was one when they were described
    return table


def _completed(said: DatasetRef, found: DatasetRef, relation: str = "") -> DatasetRef:
    """What was found, with what the caller said in the place of the same fields."""
    return msgspec.structs.replace(
        found,
        name=said.name or found.name,
        uri=said.uri or found.uri,
        version=said.version or found.version,
        split=said.split or found.split,
        relation=relation or said.relation,
    )


_DATA_SUFFIXES = frozenset(
    (
        ".csv",
        ".tsv",
        ".parquet",
        ".feather",
        ".arrow",
        ".json",
        ".jsonl",
        ".npy",
        ".npz",
        ".xlsx",
        ".gz",
        ".zip",
        ".pkl",
        ".h5",
        ".txt",
    )
)


def _described_place(data: str | os.PathLike[str]) -> Described:
    text = os.fspath(data)
    if isinstance(data, str) and "://" in text:
        return Described(DatasetRef(text.rstrip("/").rpartition("/")[2] or text, uri=text))
    path = Path(text)
    if not os.path.lexists(path):
        if isinstance(data, str) and not _looks_like_a_path(text):
            return Described(DatasetRef(text))
        raise InvalidRequest(f"There is no data at {text!r}.", hint="Pass a path that exists, or a URI such as s3://….")
    ref = DatasetRef(path.name, digest=path_digest(path))
    if not path.is_file() or not (is_parquet(path) or is_text_table(path)):
        return Described(ref)
    facts = table_facts(path)
    table = partial(table_of_file, path)
    if facts is None:
        return Described(ref, table, obstacle_to_reading(path))
    if facts.table is None:
        described = msgspec.structs.replace(ref, row_count=facts.row_count, columns=facts.columns)
        return Described(described, table, obstacle_to_reading(path))
    rows = table_of(facts.table)
    described = msgspec.structs.replace(ref, row_count=facts.row_count, columns=_column_profiles(rows))
    return _with_table(described, rows)


def _looks_like_a_path(text: str) -> bool:
    """Whether somebody who wrote this meant a file: a mistyped path must not pass for a name."""
    return "/" in text or "\\" in text or Path(text).suffix.lower() in _DATA_SUFFIXES


def _described(data: Any, place: str) -> _Content:
    if is_table(data):
        table = table_of(data)
        return _Content(
            table_digest(_columns_in(table), table.rows), table.rows, lambda: _column_profiles(table), table
        )
    if isinstance(data, tuple):
        parts = [_described(v, f"{place}[{i}]") for i, v in enumerate(data)]
        names = [str(i) for i in range(len(parts))]
        digest = parts_digest("tuple", names, [p.digest for p in parts])
        if not parts:
            return _Content(digest)
        return _Content(digest, _rows(parts), lambda: (*parts[0].columns(), *_targets(parts[1:])), parts[0].table)
    if isinstance(data, Mapping):
        named = {str(k): _described(data[k], f"{place}[{k!r}]") for k in sorted(data, key=str)}
        digest = parts_digest("dict", list(named), [p.digest for p in named.values()])
        return _Content(
            digest,
            _rows(list(named.values())),
            lambda: tuple(_renamed(p, name) for name, part in named.items() for p in part.columns()[:1]),
            _columns_side_by_side(named),
        )
    if is_series(data):
        return _described(frame_of_series(data), place)
    if derives_from(data, "scipy") and hasattr(data, "tocsr"):
        return _Content(sparse_digest(data), int(data.shape[0]))
    return _described_array(data, place)


def _described_array(data: Any, place: str) -> _Content:
    if derives_from(data, "torch", "Tensor"):
        data = data.detach().cpu().numpy()
    if not (hasattr(data, "__array__") or isinstance(data, list)):
        raise InvalidRequest(
            f"{place} is a {type(data).__qualname__}, which cannot be described as a data set.",
            hint="Pass a data frame, an array, a path or a URI.",
        )
    import numpy as np

    try:
        array = np.asarray(data)
    except ValueError as error:
        raise InvalidRequest(f"The rows of {place} have different lengths: {error}.") from error
    rows = int(array.shape[0]) if array.shape else None
    table = table_of_array(array)
    return _Content(
        array_digest(array, place), rows, (lambda: _column_profiles(table)) if table is not None else tuple, table
    )


def _columns_side_by_side(named: Mapping[str, _Content]) -> Table | None:
    """A dict of columns as the table that it is; of anything else there is none."""
    rows, columns = _rows(list(named.values())), {}
    for name, part in named.items():
        if part.table is None or len(part.table.columns) != 1:
            return None
        columns[name] = next(iter(part.table.columns.values()))
    return None if rows is None else Table(rows, columns)


def _targets(parts: list[_Content]) -> Iterator[ColumnProfile]:
    """Columns of what stands behind the features; an array without names is the target."""
    for number, part in enumerate(parts):
        name = "target" if number == 0 else f"target-{number}"
        for profile in part.columns():
            yield _renamed(profile, name) if profile.name == "column-0" else profile


def _renamed(profile: ColumnProfile, name: str) -> ColumnProfile:
    return msgspec.structs.replace(profile, name=name)


def _rows(parts: list[_Content]) -> int | None:
    counts = {p.row_count for p in parts}
    return counts.pop() if len(counts) == 1 else None


def _columns_in(table: Table) -> Iterator[Column]:
    """Columns one after another: all at once, texts would be many times larger than in their frame."""
    return (column for read in table.columns.values() for column in read())


def _column_profiles(table: Table) -> tuple[ColumnProfile, ...]:
    return tuple(map(column_profile, islice(_columns_in(table), COLUMNS_MAX)))
