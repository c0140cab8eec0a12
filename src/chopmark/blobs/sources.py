"""Opening what somebody wants stored: regular files only, and noticing when one changes under the reader."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from chopmark.blobs.failures import storage_error
from chopmark.blobs.filesystem import identity_of
from chopmark.errors import Conflict, InvalidRequest, NotFound

__all__ = ["SourceFile", "open_source", "read_small"]

# O_NONBLOCK: opening a FIFO that nobody writes to must be refused, not wait for ever.
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A regular file, open for reading, and what it looked like when it was opened."""

    path: Path
    descriptor: int
    opened: os.stat_result

    @property
    def size_bytes(self) -> int:
        """Length when it was opened."""
        return self.opened.st_size

    def check_unchanged(self, read_bytes: int) -> None:
        """Raise `Conflict` unless the file is what it was when opened, and ``read_bytes`` long."""
        _check_unchanged(self.path, self.descriptor, self.opened, read_bytes)


@contextmanager
def open_source(path: Path) -> Iterator[SourceFile]:
    """Open a regular file for the length of the block.

    Raises
    ------
    InvalidRequest
        When it is a symbolic link, a directory, a device, a pipe, or may not be read.
    NotFound
        When there is no such file.
    """
    try:
        descriptor = os.open(path, _FLAGS)
    except OSError as error:
        raise _refusal(error, path) from error
    try:
        opened = os.fstat(descriptor)
        _check_regular(opened, path)
        yield SourceFile(path, descriptor, opened)
    finally:
        os.close(descriptor)


def read_small(path: Path, below_bytes: int) -> bytes | None:
    """All bytes of a regular file that has fewer than so many; None of one that has more.

    Raises
    ------
    Conflict, InvalidRequest, NotFound
        As `open_source` and `SourceFile.check_unchanged`.
    """
    try:
        descriptor = os.open(path, _FLAGS)
    except OSError as error:
        raise _refusal(error, path) from error
    try:
        opened = os.fstat(descriptor)
        _check_regular(opened, path)
        if opened.st_size >= below_bytes:
            return None
        data = os.pread(descriptor, opened.st_size + 1, 0)
        _check_unchanged(path, descriptor, opened, len(data))
        return data
    finally:
        os.close(descriptor)


def _check_unchanged(path: Path, descriptor: int, opened: os.stat_result, read_bytes: int) -> None:
    if read_bytes != opened.st_size or identity_of(os.fstat(descriptor)) != identity_of(opened):
        raise Conflict(
            f"{path} changed while it was read. Nothing was stored.",
            hint="Wait until whatever writes it has finished, then store it again.",
            path=str(path),
        )


def _check_regular(opened: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(opened.st_mode):
        raise InvalidRequest(f"{path} is not a regular file.", hint="Name a file; for a directory, name each file.")


def _refusal(error: OSError, path: Path) -> Exception:
    match error.errno:
        case errno.ELOOP | errno.EMLINK:  # EMLINK: what FreeBSD says for O_NOFOLLOW
            return InvalidRequest(
                f"{path} is a symbolic link, which could point anywhere by the time it is read.",
                hint="Name the file itself, or copy it.",
            )
        case errno.ENOENT | errno.ENOTDIR:
            return NotFound(f"There is no file {path}.")
        case errno.EACCES | errno.EPERM:
            return InvalidRequest(f"{path} may not be read by this user.", hint="Change its mode or its owner.")
        case errno.ENXIO | errno.EISDIR:  # ENXIO: a socket
            return InvalidRequest(f"{path} is not a regular file.")
        case _:
            return storage_error(error, "read a file", path)
