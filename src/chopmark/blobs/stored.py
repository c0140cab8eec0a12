"""One file of a `LocalStore`, and verified ways to read it."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from chopmark.abc.blobs import BlobStat, Progress
from chopmark.base.clock import from_us
from chopmark.base.digest import digest_of
from chopmark.blobs import compression as zstd
from chopmark.blobs import filesystem
from chopmark.blobs.copying import Content, copy_file, hash_file, write_all
from chopmark.blobs.failures import damaged
from chopmark.blobs.readers import IN_MEMORY_BYTES, bytes_reader, file_reader

__all__ = ["Stored", "copy_out", "open_stored", "open_verified", "stat_file", "stat_of"]

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK


@dataclass(frozen=True, slots=True)
class Stored:
    """A stored file, open for reading."""

    digest: str
    path: Path
    descriptor: int

    @property
    def is_compressed(self) -> bool:
        """Whether its name says so."""
        return self.path.suffix == zstd.SUFFIX

    def holds(self, content: Content) -> bool:
        """Whether these are the bytes in it."""
        if not self.is_compressed:
            return hash_file(self.descriptor) == content
        try:
            return zstd.decompress(self.descriptor, lambda _piece: None) == content
        except zstd.Damaged:
            return False


def open_stored(digest: str, path: Path) -> Stored | None:
    """Open a stored file; None when it is not there."""
    try:
        return Stored(digest, path, os.open(path, _FLAGS))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise damaged(digest, "a symbolic link has its name") from error
        raise


def open_verified(stored: Stored, offset: int, length: int | None) -> BinaryIO:
    """Verify the whole blob, then give a reader of a range of it.

    The reader reads what was verified: the bytes in memory, the same open file, or a decompressed copy without a name.
    The caller still closes ``stored``.
    """
    if stored.is_compressed:
        return _open_compressed(stored, offset, length)
    size_bytes = os.fstat(stored.descriptor).st_size
    if size_bytes <= IN_MEMORY_BYTES:
        return bytes_reader(_read_verified(stored, size_bytes), offset, length)
    content = hash_file(stored.descriptor)
    if content.digest != stored.digest or content.size_bytes != size_bytes:
        raise damaged(stored.digest, f"its bytes hash to {content.digest}")
    return file_reader(os.dup(stored.descriptor), size_bytes, offset, length)


def _read_verified(stored: Stored, size_bytes: int) -> bytes:
    data = os.pread(stored.descriptor, size_bytes, 0)
    actual = digest_of(data)
    if actual != stored.digest:
        raise damaged(stored.digest, f"its bytes hash to {actual}")
    return data


def _open_compressed(stored: Stored, offset: int, length: int | None) -> BinaryIO:
    """Decompress once, into memory or a file without a name, so that what is read is what was verified."""
    with contextlib.ExitStack() as stack:
        raw = stack.enter_context(tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES, prefix="chopmark-"))
        try:
            content = zstd.decompress(stored.descriptor, raw.write)
        except zstd.Damaged as error:
            raise damaged(stored.digest, str(error)) from error
        if content.digest != stored.digest:
            raise damaged(stored.digest, f"its bytes hash to {content.digest}")
        if content.size_bytes <= IN_MEMORY_BYTES:
            raw.seek(0)
            return bytes_reader(raw.read(), offset, length)
        raw.flush()
        return file_reader(os.dup(raw.fileno()), content.size_bytes, offset, length)


def copy_out(stored: Stored, target: int, progress: Progress | None) -> Content:
    """Fill an empty file with the raw bytes, by a clone where possible; gives what they are, not yet judged."""
    if stored.is_compressed:
        return zstd.decompress(stored.descriptor, lambda piece: write_all(target, piece), progress)
    if filesystem.clone(stored.descriptor, target):
        return hash_file(target, progress)
    return copy_file(stored.descriptor, target, os.fstat(stored.descriptor).st_size, progress)


def stat_of(content: Content, seen: os.stat_result) -> BlobStat:
    """The stat of a blob whose file was just looked at."""
    return BlobStat(content.digest, content.size_bytes, seen.st_size, from_us(seen.st_mtime_ns // 1000))


def stat_file(digest: str, path: Path) -> BlobStat | None:
    """What is known of the blob in a file without reading it; None when it is not there.

    A compressed blob whose header is damaged is reported with the size it has in the store: it has to be listed for a check
    of the store to find it.
    """
    try:
        seen = path.lstat()
        size_bytes = _raw_size(path) if path.suffix == zstd.SUFFIX else None
    except (FileNotFoundError, NotADirectoryError):
        return None
    return stat_of(Content(digest, seen.st_size if size_bytes is None else size_bytes), seen)


def _raw_size(path: Path) -> int | None:
    descriptor = os.open(path, _FLAGS)
    try:
        return zstd.raw_size(descriptor)
    finally:
        os.close(descriptor)
