"""Blobs as files in a directory, each under the SHA-256 of its bytes.

::

    root/
      sha256/ab/cdef…        a blob: its bytes, mode 0444, mtime = when it was last put
      sha256/ab/cdef….zst    a blob that is stored compressed: one Zstandard frame with the raw size in its header
      tmp/put-…              a put in progress, locked by the process that writes it

A blob is written under ``tmp``, synced, and only then linked to its name: at every moment it is absent or whole. Two puts
of equal bytes race for the name; the second finds the first one's file, checks it and keeps it.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO

from chopmark.abc.blobs import BlobStat, Leftover, Progress
from chopmark.base.clock import Clock, system_clock, to_us
from chopmark.base.digest import PREFIX, parse_digest
from chopmark.base.ids import uuid7
from chopmark.blobs import compression as zstd
from chopmark.blobs import filesystem
from chopmark.blobs.copying import Content, copy_file, copy_stream, hash_file, write_all
from chopmark.blobs.failures import damaged, missing, reporting, unexpected
from chopmark.blobs.readers import check_prefix, check_range
from chopmark.blobs.sources import SourceFile, open_source
from chopmark.blobs.stored import Stored, copy_out, open_stored, open_verified, stat_file, stat_of
from chopmark.errors import Conflict, InvalidRequest

__all__ = ["LocalStore"]

_SHARD = re.compile(r"[0-9a-f]{2}")
_NAME = re.compile(r"([0-9a-f]{62})(\.zst)?")
_READ_ONLY = 0o444
# A name that is taken, and gone when looked at, again and again: somebody deletes as fast as we put.
_ATTEMPTS = 100


class LocalStore:
    """A `chopmark.abc.blobs.BlobStore` in a directory of a local or POSIX network file system.

    Parameters
    ----------
    root
        The directory; made on the first put. A store that is only read needs no write access.
    compression
        ``"zstd"`` stores a blob compressed when it is 64 KiB or larger and a sample of it shrinks by a tenth; ``"none"``
        never does. Both read what either wrote. It is on by default because the decision costs two milliseconds, tree
        models shrink two- to fivefold, and what does not shrink (float weights) is stored as it is.
    durable
        Whether a put waits for the medium. Off only where the bytes can be had again, as in a cache.
    clock
        What `BlobStat.modified_at` is taken from.

    Examples
    --------
    >>> import io, pathlib, tempfile
    >>> store = LocalStore(pathlib.Path(tempfile.mkdtemp()))
    >>> stat = store.put(io.BytesIO(b"weights"))
    >>> store.open(stat.digest).read()
    b'weights'
    """

    def __init__(
        self,
        root: Path,
        *,
        compression: zstd.Compression = "zstd",
        durable: bool = True,
        clock: Clock = system_clock,
    ) -> None:
        if compression not in {"zstd", "none"}:
            raise InvalidRequest(f"There is no compression {compression!r}.", hint="Use 'zstd' or 'none'.")
        self.root = Path(os.path.abspath(root))  # noqa: PTH100 resolve() would follow links that may be moved later
        if self.root.exists() and not self.root.is_dir():
            raise InvalidRequest(f"{self.root} is not a directory.", hint="Name a directory for the blobs.")
        self.compression = compression
        self._durable = durable
        self._clock = clock
        self._blobs = self.root / "sha256"
        self._temporaries = self.root / "tmp"
        self._made: set[Path] = set()

    def __repr__(self) -> str:
        return f"LocalStore({str(self.root)!r}, compression={self.compression!r})"

    # Writing

    def put(
        self,
        source: BinaryIO | Path,
        *,
        expected: str | None = None,
        consume: bool = False,
        progress: Progress | None = None,
    ) -> BlobStat:
        """Store a stream or a file; see `chopmark.abc.blobs.BlobStore.put`."""
        if expected is not None:
            parse_digest(expected)
        with reporting("store a blob", self.root):
            if isinstance(source, Path):
                with open_source(source) as opened:
                    return self._put_file(opened, expected, consume=consume, progress=progress)
            return self._put_stream(source, expected, progress)

    def _put_file(
        self, source: SourceFile, expected: str | None, *, consume: bool, progress: Progress | None
    ) -> BlobStat:
        if expected is not None and self.stat(expected) is not None:
            content = hash_file(source.descriptor, progress, source.size_bytes)
            _check(content, expected, source)
            known = self._keep_existing(content)
            if known is not None:
                return _consumed(source, known, consume=consume)
        compressed = self._compresses(source.descriptor, source.size_bytes)
        if consume and not compressed and self._may_move(source):
            return self._move_in(source, expected, progress)
        with self._temporary() as temporary:
            if compressed:
                content = zstd.compress_file(source.descriptor, temporary.descriptor, source.size_bytes, progress)
            elif filesystem.clone(source.descriptor, temporary.descriptor):
                content = hash_file(temporary.descriptor, progress)
            else:
                content = copy_file(source.descriptor, temporary.descriptor, source.size_bytes, progress)
            _check(content, expected, source)
            stat = self._publish(temporary.path, temporary.descriptor, content, compressed=compressed)
        return _consumed(source, stat, consume=consume)

    def _put_stream(self, source: BinaryIO, expected: str | None, progress: Progress | None) -> BlobStat:
        with self._temporary() as temporary:
            content = copy_stream(source, lambda piece: write_all(temporary.descriptor, piece), progress)
            if expected is not None and content.digest != expected:
                raise unexpected(expected, content.digest)
            if not self._compresses(temporary.descriptor, content.size_bytes):
                return self._publish(temporary.path, temporary.descriptor, content, compressed=False)
            # The length, which the frame's header holds, is known only now.
            with self._temporary() as smaller:
                again = zstd.compress_file(temporary.descriptor, smaller.descriptor, content.size_bytes)
                if again != content:
                    raise damaged(content.digest, f"its temporary file read back as {again.digest}")
                return self._publish(smaller.path, smaller.descriptor, content, compressed=True)

    # For a cache, which has just verified what it keeps

    @contextlib.contextmanager
    def incoming(self) -> Iterator[Path]:
        """A free name in the store's file system for a file to be adopted; what is still there at the end is removed."""
        with reporting("store a blob", self.root):
            self._make(self._temporaries)
        path = self._temporaries / f"incoming-{uuid7(self._clock())}"
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def adopt(self, path: Path, content: Content) -> BlobStat:
        """Take a file of `incoming` whose bytes the caller has just verified."""
        with reporting("store a blob", self.root):
            descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
            try:
                return self._publish(path, descriptor, content, compressed=False)
            finally:
                os.close(descriptor)

    def touch(self, digest: str) -> None:
        """Say that a blob is put, or used, now; nothing when it is not there."""
        stored = self._open_stored(parse_digest(digest))
        if stored is None:
            return
        try:
            with reporting("touch a blob", self.root):
                self._touch(stored.descriptor)
        finally:
            os.close(stored.descriptor)

    def _compresses(self, descriptor: int, size_bytes: int) -> bool:
        return self.compression == "zstd" and zstd.shrinks(descriptor, size_bytes)

    def _may_move(self, source: SourceFile) -> bool:
        """Whether the file can become the blob: same file system, ours to seal, and no second name to change it by."""
        self._make(self._temporaries)
        return (
            source.opened.st_dev == self._temporaries.stat().st_dev
            and source.opened.st_uid == os.geteuid()
            and source.opened.st_nlink == 1
        )

    def _move_in(self, source: SourceFile, expected: str | None, progress: Progress | None) -> BlobStat:
        content = hash_file(source.descriptor, progress, source.size_bytes)
        _check(content, expected, source)
        try:
            stat = self._publish(source.path, source.descriptor, content, compressed=False)
        except BaseException:
            os.fchmod(source.descriptor, source.opened.st_mode & 0o7777)  # the caller keeps the file as it was
            raise
        return _consumed(source, stat, consume=True)

    @contextlib.contextmanager
    def _temporary(self) -> Iterator[filesystem.Temporary]:
        self._make(self._temporaries)
        with filesystem.temporary(self._temporaries) as temporary:
            yield temporary

    def _make(self, directory: Path) -> None:
        """Make a directory of the store; once per process it is seen to that its name is on the medium."""
        if directory in self._made and directory.is_dir():
            return
        filesystem.make_directory(directory, durable=self._durable)
        self._made.add(directory)

    def _publish(self, path: Path, descriptor: int, content: Content, *, compressed: bool) -> BlobStat:
        """Give the finished file at ``path`` its name in the store, or keep an equal one that has it."""
        final = self._path(content.digest, compressed=compressed)
        place: Callable[[Path, Path], object] = filesystem.link_or_rename
        sealed = False
        for _ in range(_ATTEMPTS):
            try:
                known = self._keep_existing(content)
            except PermissionError:  # another user's file: equal bytes, whose time only its owner may set
                place = Path.replace
            else:
                if known is not None:
                    return known
            if not sealed:
                self._seal(descriptor)
                self._make(final.parent)
                sealed = True
            try:
                place(path, final)
            except FileExistsError:
                continue
            if self._durable:
                filesystem.sync_directory(final.parent)
            return stat_of(content, os.fstat(descriptor))
        raise Conflict(
            f"The blob {content.digest} is deleted as fast as it is stored.",
            hint="Stop the collection that deletes it, then repeat.",
        )

    def _seal(self, descriptor: int) -> None:
        os.fchmod(descriptor, _READ_ONLY)
        self._touch(descriptor)
        if self._durable:
            filesystem.sync_file(descriptor)

    def _touch(self, file: int | Path) -> None:
        now_ns = to_us(self._clock()) * 1000
        os.utime(file, ns=(now_ns, now_ns))

    def _keep_existing(self, content: Content) -> BlobStat | None:
        """The fresh stat of a whole blob that is there; None when there is none (any more).

        What is there is read again: storing the original once more repairs a damaged blob, and who is told that the bytes
        are stored can load them.
        """
        stored = self._open_stored(content.digest)
        if stored is None:
            return None
        try:
            if not stored.holds(content):
                self._remove_damaged(content, stored.path)
                return None
            self._touch(stored.descriptor)
            if self._durable:
                filesystem.sync_directory(stored.path.parent)  # whoever linked it may not have come to that yet
            seen = os.fstat(stored.descriptor)
        finally:
            os.close(stored.descriptor)
        return stat_of(content, seen) if seen.st_nlink else None

    def _remove_damaged(self, content: Content, path: Path) -> None:
        """Free the name of a damaged blob, unless somebody else has put a good one there meanwhile."""
        self._make(self._temporaries)
        with filesystem.locked(self._temporaries):
            stored = open_stored(content.digest, path)
            if stored is None:
                return
            try:
                if not stored.holds(content):
                    path.unlink(missing_ok=True)
            finally:
                os.close(stored.descriptor)

    # Reading

    def open(self, digest: str, *, offset: int = 0, length: int | None = None) -> BinaryIO:
        """Open verified bytes; see `chopmark.abc.blobs.BlobStore.open`."""
        parse_digest(digest)
        check_range(offset, length)
        with reporting("read a blob", self.root):
            stored = self._open_stored(digest)
            if stored is None:
                raise missing(digest)
            try:
                return open_verified(stored, offset, length)
            finally:
                os.close(stored.descriptor)

    def fetch(self, digest: str, target: Path, *, progress: Progress | None = None) -> None:
        """Write verified bytes to a file; see `chopmark.abc.blobs.BlobStore.fetch`.

        The file is not synced: after a power cut it can be fetched again.
        """
        parse_digest(digest)
        with reporting("read a blob", self.root):
            stored = self._open_stored(digest)
        if stored is None:
            raise missing(digest)
        try:
            with reporting("write a file", target), filesystem.new_file(target) as descriptor:
                try:
                    content = copy_out(stored, descriptor, progress)
                except zstd.Damaged as error:
                    raise damaged(digest, str(error)) from error
                if content.digest != digest:
                    raise damaged(digest, f"its bytes hash to {content.digest}")
        finally:
            os.close(stored.descriptor)

    def stat(self, digest: str) -> BlobStat | None:
        """What is known of a blob; see `chopmark.abc.blobs.BlobStore.stat`."""
        parse_digest(digest)
        with reporting("look up a blob", self.root):
            found = (stat_file(digest, path) for path in self._paths(digest))
            return next((stat for stat in found if stat is not None), None)

    def list(self, prefix: str = "") -> Iterator[BlobStat]:
        """All blobs in order; see `chopmark.abc.blobs.BlobStore.list`."""
        check_prefix(prefix)
        return self._listed(prefix)

    def _listed(self, prefix: str) -> Iterator[BlobStat]:
        with reporting("list the blobs", self.root):
            for shard in _names(self._blobs):
                if _SHARD.fullmatch(shard) is None or not shard.startswith(prefix[:2]):
                    continue
                yield from self._listed_shard(shard, prefix)

    def _listed_shard(self, shard: str, prefix: str) -> Iterator[BlobStat]:
        last = ""
        for name in _names(self._blobs / shard):
            matched = _NAME.fullmatch(name)
            if matched is None or not (shard + name).startswith(prefix) or matched[1] == last:
                continue
            found = stat_file(PREFIX + shard + matched[1], self._blobs / shard / name)
            if found is not None:
                last = matched[1]
                yield found

    # Removing

    def delete(self, digest: str) -> bool:
        """Remove a blob; see `chopmark.abc.blobs.BlobStore.delete`.

        Not synced: a blob that a power cut brings back is collected again.
        """
        parse_digest(digest)
        found = False
        with reporting("delete a blob", self.root):
            for path in self._paths(digest):
                try:
                    path.unlink()
                except (FileNotFoundError, NotADirectoryError):
                    continue
                found = True
        return found

    def sweep(self, older_than: timedelta) -> int:
        """Remove what killed processes left half written; how many files that were.

        A put that is still running keeps its file however old it is.
        """
        with reporting("remove temporary files", self._temporaries):
            return sum(1 for _ in self._abandoned(self._clock() - older_than, remove=True))

    def leftovers(self, before: datetime) -> Sequence[Leftover]:
        """Files that killed processes left half written before a time; see `chopmark.abc.blobs.KeepsLeftovers`."""
        with reporting("list temporary files", self._temporaries):
            return list(self._abandoned(before, remove=False))

    def remove_leftovers(self, before: datetime) -> Sequence[Leftover]:
        """Remove those `leftovers`; see `chopmark.abc.blobs.KeepsLeftovers`."""
        with reporting("remove temporary files", self._temporaries):
            return list(self._abandoned(before, remove=True))

    def _abandoned(self, before: datetime, *, remove: bool) -> Iterator[Leftover]:
        for name, size_bytes in filesystem.abandoned(self._temporaries, before.timestamp(), remove=remove):
            yield Leftover(f"{self._temporaries.name}/{name}", size_bytes)

    def strangers(self) -> Iterator[Leftover]:
        """Files among the blobs that are none; see `chopmark.abc.blobs.KeepsLeftovers`."""
        with reporting("list the blobs", self.root):
            for shard in _names(self._blobs):
                directory = self._blobs / shard
                if _SHARD.fullmatch(shard) is None or not directory.is_dir():
                    yield _stranger(self.root, directory)
                    continue
                yield from (_stranger(self.root, directory / n) for n in _names(directory) if not _NAME.fullmatch(n))

    def close(self) -> None:
        """Nothing is held open between calls."""

    # Names

    def _path(self, digest: str, *, compressed: bool) -> Path:
        digits = digest.removeprefix(PREFIX)
        return self._blobs / digits[:2] / (digits[2:] + (zstd.SUFFIX if compressed else ""))

    def _paths(self, digest: str) -> tuple[Path, Path]:
        return self._path(digest, compressed=False), self._path(digest, compressed=True)

    def _open_stored(self, digest: str) -> Stored | None:
        opened = (open_stored(digest, path) for path in self._paths(digest))
        return next((stored for stored in opened if stored is not None), None)


def _check(content: Content, expected: str | None, source: SourceFile) -> None:
    source.check_unchanged(content.size_bytes)
    if expected is not None and content.digest != expected:
        raise unexpected(expected, content.digest)


def _consumed(source: SourceFile, stat: BlobStat, *, consume: bool) -> BlobStat:
    if consume:
        source.path.unlink(missing_ok=True)
    return stat


def _stranger(root: Path, path: Path) -> Leftover:
    try:
        size_bytes = path.lstat().st_size
    except FileNotFoundError:
        size_bytes = 0
    return Leftover(str(path.relative_to(root)), size_bytes)


def _names(directory: Path) -> list[str]:
    try:
        return sorted(os.listdir(directory))  # noqa: PTH208 names are all it takes, and there may be a million
    except FileNotFoundError:
        return []
