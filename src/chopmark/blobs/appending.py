"""Writing many buffers one behind the other into a file, past the page cache where they are much.

Measured on ext4 with 100 MB, synced: 0.3 s of CPU and 0.35 s on the wall through the page cache, which has to find memory for
bytes that nobody reads soon; 0.03 s and 0.1 s past it.
"""

from __future__ import annotations

import errno
import mmap
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from chopmark.blobs.copying import write_all_at

__all__ = ["DIRECT_FROM_BYTES", "write_buffers"]

DIRECT_FROM_BYTES = 1 << 20
"""Less goes through the page cache: there a write does not wait for the medium, and the sync that follows does so once."""

# What every medium and file system in use takes: the memory and the place in the file are to be multiples of it.
_BLOCK_BYTES = 4096
_REGION_BYTES = 1 << 20  # fits into a processor's cache; larger writes are no faster
_O_DIRECT = getattr(os, "O_DIRECT", 0)
_CANNOT = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP}


def write_buffers(path: Path, descriptor: int, buffers: Sequence[bytes], offset: int) -> None:
    """Write buffers at an offset of a file that is open for writing; nothing is synced.

    Parameters
    ----------
    path
        Name of the file, which is opened again to write past the cache.
    descriptor
        The same file, open for writing.
    buffers
        What to write.
    offset
        Where, in bytes.

    Raises
    ------
    OSError
        When not all could be written; how much was is not said.
    """
    if sum(map(len, buffers)) < DIRECT_FROM_BYTES:
        write_all_at(descriptor, b"".join(buffers), offset)
        return
    direct = _opened_direct(path)
    try:
        for piece in _pieces(buffers, offset):
            is_whole = not (offset % _BLOCK_BYTES or len(piece) % _BLOCK_BYTES)
            if direct is None or not is_whole or not _write_direct(direct, piece, offset):
                write_all_at(descriptor, piece, offset)
            offset += len(piece)
    finally:
        if direct is not None:
            os.close(direct)


def _pieces(buffers: Sequence[bytes], offset: int) -> Iterator[memoryview]:
    """The buffers' bytes in a piece of memory that is filled again and again.

    What is aligned in the file is aligned in memory: whole blocks, but for what is before the first of them and after the last.
    """
    view = memoryview(mmap.mmap(-1, _REGION_BYTES))
    start = end = offset % _BLOCK_BYTES
    for buffer in buffers:
        rest = memoryview(buffer)
        while len(rest) >= (count := _REGION_BYTES - end):
            view[end:] = rest[:count]
            yield from _blocks(view, start, _REGION_BYTES)
            rest, start, end = rest[count:], 0, 0
        view[end : end + len(rest)] = rest
        end += len(rest)
    yield from _blocks(view, start, end)


def _blocks(view: memoryview, start: int, end: int) -> Iterator[memoryview]:
    """A part of memory up to its first whole block, its whole blocks, and the rest."""
    first = min(end, -(-start // _BLOCK_BYTES) * _BLOCK_BYTES)
    last = max(first, end // _BLOCK_BYTES * _BLOCK_BYTES)
    for low, high in ((start, first), (first, last), (last, end)):
        if low < high:
            yield view[low:high]


def _opened_direct(path: Path) -> int | None:
    try:
        return os.open(path, os.O_WRONLY | _O_DIRECT | os.O_CLOEXEC) if _O_DIRECT else None
    except OSError as error:
        if error.errno in _CANNOT:  # tmpfs, and some that are on a network
            return None
        raise


def _write_direct(descriptor: int, piece: memoryview, offset: int) -> bool:
    """Write past the cache; whether that could be done."""
    try:
        write_all_at(descriptor, piece, offset)
    except OSError as error:
        if error.errno in _CANNOT:
            return False
        raise
    return True
