"""One file of a `LocalStore`, and verified ways to read it."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from chopmark.abc.blobs import BlobStat, Progress
from chopmark.base.clock import from_us
from chopmark.base.digest import digest_of
from chopmark.blobs import compression as zstd
from chopmark.blobs import filesystem
from chopmark.blobs.copying import Content, copy_file, hash_file, move_bytes, write_all
from chopmark.blobs.failures import damaged
from chopmark.blobs.filesystem import Identity, identity_of
from chopmark.blobs.readers import IN_MEMORY_BYTES, bytes_reader, file_reader
from chopmark.blobs.verifying import check_file, check_range_of, is_settled

__all__ = ["Seen", "Stored", "copy_out", "open_stored", "open_verified", "stat_file", "stat_of"]

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


class Seen(NamedTuple):
    """What is known of a stored file before it is read: leaf digests, and the identity under which it was verified."""

    leaves: Sequence[str] = ()
    verified: Identity | None = None


def open_verified(stored: Stored, offset: int, length: int | None, seen: Seen) -> tuple[BinaryIO, Identity | None]:
    """A reader of a range of a verified blob, and the file's identity when all of it was verified now.

    The reader reads what was verified: the bytes in memory, the same open file, or a decompressed copy without a name.
    The caller still closes ``stored``. A compressed blob is verified each time: decompressing it takes longer.
    """
    if stored.is_compressed:
        return _open_compressed(stored, offset, length), None
    state = os.fstat(stored.descriptor)
    size_bytes = state.st_size
    is_known = seen.verified == identity_of(state)
    if size_bytes <= IN_MEMORY_BYTES:
        now_s = time.time()
        data = os.pread(stored.descriptor, size_bytes, 0)
        if not is_known and (actual := digest_of(data)) != stored.digest:
            raise damaged(stored.digest, f"its bytes hash to {actual}")
        if is_known:
            _check_same(stored, identity_of(state))
        found = identity_of(os.fstat(stored.descriptor))
        is_new = not is_known and found == identity_of(state) and is_settled(found, now_s)
        return bytes_reader(data, offset, length), found if is_new else None
    verified = None
    if not is_known:
        end = size_bytes if length is None else min(size_bytes, offset + length)
        if seen.leaves and (offset > 0 or end < size_bytes):
            check_range_of(stored.descriptor, stored.digest, seen.leaves, min(offset, end), end)
        else:
            verified = check_file(stored.descriptor, stored.digest, seen.leaves)
    return file_reader(os.dup(stored.descriptor), size_bytes, offset, length), verified


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


def copy_out(stored: Stored, target: int, seen: Seen, progress: Progress | None) -> Identity | None:
    """Fill an empty file with the verified raw bytes, by a clone where possible.

    What is verified is the copy; the identity of the stored file, when that says as much of itself and was not known.
    """
    if stored.is_compressed:
        _decompress_out(stored, target, progress)
        return None
    now_s = time.time()
    before = identity_of(os.fstat(stored.descriptor))
    if seen.verified == before:
        _copy_known(stored, target, before, progress)
        return None
    if filesystem.clone(stored.descriptor, target):
        check_file(target, stored.digest, seen.leaves, progress)
    elif seen.leaves:
        move_bytes(stored.descriptor, target, before.size_bytes)
        check_file(target, stored.digest, seen.leaves, progress)
    else:
        content = copy_file(stored.descriptor, target, before.size_bytes, progress)
        if content.digest != stored.digest:
            raise damaged(stored.digest, f"its bytes hash to {content.digest}")
    same = before == identity_of(os.fstat(stored.descriptor))
    return before if same and is_settled(before, now_s) else None


def _copy_known(stored: Stored, target: int, known: Identity, progress: Progress | None) -> None:
    if not filesystem.clone(stored.descriptor, target):
        if move_bytes(stored.descriptor, target, known.size_bytes, progress) != known.size_bytes:
            raise damaged(stored.digest, f"it could not be read to its end at {known.size_bytes:,} bytes")
    elif progress is not None and known.size_bytes:
        progress(known.size_bytes)
    _check_same(stored, known)


def _check_same(stored: Stored, known: Identity) -> None:
    """Raise when a file that was believed to be the one that was verified has changed since it was looked at."""
    if identity_of(os.fstat(stored.descriptor)) != known:
        raise damaged(stored.digest, "it was changed while it was read")


def _decompress_out(stored: Stored, target: int, progress: Progress | None) -> None:
    try:
        content = zstd.decompress(stored.descriptor, lambda piece: write_all(target, piece), progress)
    except zstd.Damaged as error:
        raise damaged(stored.digest, str(error)) from error
    if content.digest != stored.digest:
        raise damaged(stored.digest, f"its bytes hash to {content.digest}")


def stat_of(content: Content, seen: os.stat_result) -> BlobStat:
    """The stat of a blob whose file was just looked at."""
    at = from_us(seen.st_mtime_ns // 1000)
    return BlobStat(content.digest, content.size_bytes, seen.st_size, at, content.leaves)


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
