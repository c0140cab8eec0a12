"""Readers over bytes that were already verified."""

from __future__ import annotations

import io
import os
import re
from typing import BinaryIO

from chopmark.errors import InvalidRequest

__all__ = ["IN_MEMORY_BYTES", "bytes_reader", "check_prefix", "check_range", "file_reader"]

IN_MEMORY_BYTES = 4 << 20
"""Blobs up to this size are read once, verified and handed out from memory; larger ones from an open file."""

_BUFFER_BYTES = 128 << 10
_HEX = re.compile(r"[0-9a-f]{0,64}")


def check_range(offset: int, length: int | None) -> None:
    """Refuse a range that no bytes can have."""
    if offset < 0 or (length is not None and length < 0):
        raise InvalidRequest(f"A range needs offset and length of 0 or more, not {offset} and {length}.")


def check_prefix(prefix: str) -> None:
    """Refuse what no digest starts with."""
    if _HEX.fullmatch(prefix) is None:
        raise InvalidRequest(f"{prefix[:80]!r} does not start a digest.", hint="Use lowercase hexadecimal digits.")


def bytes_reader(data: bytes, offset: int, length: int | None) -> BinaryIO:
    """Reader of a range of bytes, cut off where they end."""
    if offset == 0 and (length is None or length >= len(data)):
        return io.BytesIO(data)
    return io.BytesIO(data[offset : None if length is None else offset + length])


def file_reader(descriptor: int, size_bytes: int, offset: int, length: int | None) -> BinaryIO:
    """Reader of a range of an open file, cut off where it ends; closes the descriptor when it is closed."""
    start = min(offset, size_bytes)
    end = size_bytes if length is None else min(start + length, size_bytes)
    return io.BufferedReader(_Window(descriptor, start, end), _BUFFER_BYTES)


class _Window(io.RawIOBase):
    """The bytes from ``start`` to ``end`` of a descriptor, as a file of their own.

    Reads by position, so that readers never share one.
    """

    def __init__(self, descriptor: int, start: int, end: int) -> None:
        self._descriptor = descriptor
        self._start = start
        self._size = end - start
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        self._check_open()
        wanted = min(len(buffer), max(0, self._size - self._position))
        if not wanted:
            return 0
        count = os.preadv(self._descriptor, [memoryview(buffer)[:wanted]], self._start + self._position)
        self._position += count
        return count

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._check_open()
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError(f"negative seek position {base + offset}")
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        self._check_open()
        return self._position

    def close(self) -> None:
        if not self.closed:
            super().close()
            os.close(self._descriptor)

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on a closed blob")
