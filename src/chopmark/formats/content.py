"""Digests of data by content; `chopmark.formats.data` says what is hashed and why."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from chopmark.base.digest import digest_of, hasher, to_digest
from chopmark.base.jsons import canonical
from chopmark.errors import InvalidRequest
from chopmark.formats.columns import Column, array_column

__all__ = ["array_digest", "column_digests", "parts_digest", "path_digest", "sparse_digest", "table_digest"]

LAYOUT = 1
_CHUNK_SIZE_BYTES = 2**20


def table_digest(columns: Iterable[Column], row_count: int) -> str:
    """Digest of a table; its columns are looked at one after another."""
    tags, digests = [], []
    for column in columns:
        tags.append([column.name, _tag(column)])
        digests += column_digests([column])
    return _digest({"layout": LAYOUT, "kind": "table", "rows": row_count, "columns": tags}, digests)


def column_digests(columns: list[Column]) -> list[str]:
    """Digest of each column's values."""
    return [_digest_of_parts(_column_bytes(c)) for c in columns]


def array_digest(array: Any, place: str) -> str:
    """Digest of an array of any number of dimensions."""
    column = array_column(place, array.reshape(-1))
    header = {"layout": LAYOUT, "kind": "array", "type": _tag(column), "shape": list(array.shape)}
    return _digest(header, column_digests([column]))


def sparse_digest(matrix: Any) -> str:
    """Digest of a sparse matrix in canonical CSR form: sorted, summed, without explicit zeros."""
    rows = matrix.tocsr(copy=True)
    rows.sum_duplicates()
    rows.eliminate_zeros()
    rows.sort_indices()
    data = array_column("data", rows.data)
    header = {"layout": LAYOUT, "kind": "sparse", "type": _tag(data), "shape": [int(n) for n in matrix.shape]}
    parts = [array_column(n, getattr(rows, n).astype("int64")) for n in ("indptr", "indices")]
    return _digest(header, column_digests([*parts, data]))


def parts_digest(kind: str, names: list[str], digests: list[str]) -> str:
    """Digest of several data sets together."""
    return _digest({"layout": LAYOUT, "kind": kind, "names": names}, digests)


def path_digest(path: Path) -> str:
    """Digest of a file's bytes, or of a directory's listing.

    Raises
    ------
    InvalidRequest
        When there is a symbolic link or special file, no file at all, or one changes meanwhile.
    """
    if not path.is_dir() or path.is_symlink():
        return _file_digest(path)[0]
    listing = [[p.relative_to(path).as_posix(), *reversed(_file_digest(p))] for p in sorted(_files(path))]
    if not listing:
        raise InvalidRequest(f"The directory {str(path)!r} holds no file.")
    return digest_of(canonical(sorted(listing)))


def _digest_of_parts(parts: Iterable[bytes | memoryview]) -> str:
    state = hasher()
    for part in parts:
        state.update(part)
    return to_digest(state.hexdigest())


def _digest(header: dict[str, Any], digests: Iterable[str]) -> str:
    return digest_of([canonical(header), *(d.encode() for d in digests)])


def _tag(column: Column) -> str:
    """Type of the elements as it is hashed: by what they are, not by how a library keeps them."""
    if isinstance(column.values, list):
        return _list_kind(column)
    kind = column.values.dtype.kind
    if kind == "M":
        is_date = column.values.dtype.str.endswith("[D]")
        return "date" if is_date else "instant" if column.aware else "datetime"
    if kind == "m":
        return "duration"
    return f"{column.values.dtype.name}"


def _list_kind(column: Column) -> str:
    kinds = {type(v) for v in column.values if v is not None}
    return "string" if kinds <= {str} else "bytes" if kinds == {bytes} else "object"


def _column_bytes(column: Column) -> Iterator[bytes | memoryview]:
    import numpy as np

    if isinstance(column.values, list):
        yield from _list_bytes(column)
        return
    array = np.asarray(column.values)
    kind = array.dtype.kind
    if kind in "fc":
        missing = column.missing
        yield _memory(array if missing is None else np.where(missing, array.dtype.type(np.nan), array))
        return
    if column.missing is not None:
        yield _memory(column.missing)
        array = np.where(column.missing, np.zeros(1, array.dtype), array)
    if kind in "Mm":
        whole, rest = _microseconds(array)
        yield _memory(whole)
        yield _memory(rest)
    else:
        yield _memory(array)


def _microseconds(array: Any) -> tuple[Any, Any]:
    """Times as whole microseconds and the nanoseconds left over; exact for every unit down to ns."""
    import numpy as np

    unit, count = np.datetime_data(array.dtype)
    if unit == "ns" and count == 1:
        ns = array.view("int64")
        return np.floor_divide(ns, 1000), np.mod(ns, 1000).astype("int16")
    whole = array.astype(f"{array.dtype.kind}8[us]").view("int64")
    return whole, np.zeros(len(array), "int16")


def _memory(array: Any) -> memoryview:
    """Little-endian bytes in C order."""
    import numpy as np

    plain = np.ascontiguousarray(array)
    if plain.dtype.byteorder == ">" or (plain.dtype.byteorder == "=" and not np.little_endian):
        plain = plain.astype(plain.dtype.newbyteorder("<"))
    return plain.view(np.uint8).reshape(-1).data


def _list_bytes(column: Column) -> Iterator[bytes | memoryview]:
    import numpy as np

    values = column.values
    kind = _list_kind(column)
    if kind == "object":
        values = [None if v is None else _stable(v, column.name) for v in values]
    empty: Any = "" if kind == "string" else b""
    present = [empty if v is None else v for v in values] if column.missing is not None else values
    if column.missing is not None:
        yield _memory(column.missing)
    yield _memory(np.fromiter(map(len, present), np.int64, len(present)))
    joined = empty.join(present)
    yield joined.encode("utf-8", "surrogatepass") if isinstance(joined, str) else joined


def _stable(value: Any, name: str) -> bytes:
    try:
        return type(value).__name__.encode() + b":" + canonical(value)
    except (TypeError, ValueError, msgspec.MsgspecError) as error:
        raise InvalidRequest(
            f"The column {name!r} holds a {type(value).__qualname__}, which has no stable bytes: {error}.",
            hint="Convert it to numbers, texts or times, or pass a path or URI instead.",
        ) from error


def _files(directory: Path) -> Iterator[Path]:
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _files(Path(entry.path))
            else:
                yield Path(entry.path)


def _file_digest(path: Path) -> tuple[str, int]:
    """Digest and size in bytes of a plain file."""
    if not stat.S_ISREG(os.lstat(path).st_mode):
        raise InvalidRequest(
            f"{str(path)!r} is a symbolic link or no plain file, and is not followed.",
            hint="Copy the file that it points to, or pass that path.",
        )
    state, size_bytes = hasher(), 0
    with path.open("rb") as file:
        before = os.fstat(file.fileno())
        while chunk := file.read(_CHUNK_SIZE_BYTES):
            state.update(chunk)
            size_bytes += len(chunk)
        after = os.fstat(file.fileno())
    if (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, after.st_size) or size_bytes != after.st_size:
        raise InvalidRequest(f"The file {str(path)!r} changed while it was read.", hint="Try again when it is whole.")
    return to_digest(state.hexdigest()), size_bytes
