"""Large blobs as files, each under the SHA-256 of its bytes.

::

    root/
      sha256/ab/cdef…        a blob: its bytes, mode 0444, mtime = when it was last put
      sha256/ab/cdef….zst    a blob that is stored compressed: one Zstandard frame with the raw size in its header
      tmp/put-…              a put in progress, locked by the process that writes it

A blob is written under ``tmp``, synced, and only then linked to its name: at every moment it is absent or whole. Two puts
of equal bytes race for the name; the second finds the first one's file, checks it and keeps it. Of many blobs that are put
together all are written before the first is synced: the medium has begun with them by then, and one wait serves them all.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from chopmark.abc.blobs import BlobStat, Leftover, Progress
from chopmark.base.clock import Clock, to_us
from chopmark.base.digest import PREFIX
from chopmark.base.ids import uuid7
from chopmark.blobs import compression as zstd
from chopmark.blobs import filesystem
from chopmark.blobs.copying import Content, WritingBehind, begin_writing, copy_file, copy_stream, hash_stored
from chopmark.blobs.failures import damaged, unexpected
from chopmark.blobs.filesystem import names
from chopmark.blobs.sources import SourceFile
from chopmark.blobs.stored import Stored, open_stored, stat_file, stat_of
from chopmark.errors import Conflict

__all__ = ["LooseBlobs", "Written"]

_SHARD = re.compile(r"[0-9a-f]{2}")
_SHARDS = 256
_NAME = re.compile(r"([0-9a-f]{62})(\.zst)?")
_READ_ONLY = 0o444
# A name that is taken, and gone when looked at, again and again: somebody deletes as fast as we put.
_ATTEMPTS = 100


class Written:
    """A blob that is written and has no name in the store yet.

    Attributes
    ----------
    path, descriptor
        The file, a temporary one or the caller's own.
    content
        What its raw bytes are.
    is_compressed
        Whether it holds them compressed.
    sealed_ns
        Time of the put, once it is read-only, has that time and is on the medium; zero before.
    is_placed
        Whether it has its name in the store.
    source
        The caller's own file, when that is what becomes the blob.
    """

    def __init__(
        self, path: Path, descriptor: int, content: Content, held: contextlib.ExitStack, *, is_compressed: bool
    ) -> None:
        self.path = path
        self.descriptor = descriptor
        self.content = content
        self.is_compressed = is_compressed
        self.sealed_ns = 0
        self.is_placed = False
        self.source: SourceFile | None = None
        self._held = held

    def discard(self) -> None:
        """Close the file; one that has no name in the store by now is gone."""
        self._held.close()


class LooseBlobs:
    """The large blobs of a `chopmark.blobs.local.LocalStore`.

    Parameters
    ----------
    root
        Directory of the store.
    compression
        Whether a blob is compressed when that pays.
    durable
        Whether a put waits for the medium.
    clock
        When a blob was put.
    """

    def __init__(self, root: Path, *, compression: zstd.Compression, durable: bool, clock: Clock) -> None:
        self._root = root
        self._compression = compression
        self._durable = durable
        self._clock = clock
        self._blobs = root / "sha256"
        self.temporaries = root / "tmp"
        self._directories = filesystem.Directories(durable=durable)

    # Writing

    def write_file(
        self, source: SourceFile, expected: str | None, *, consume: bool, progress: Progress | None
    ) -> BlobStat | Written:
        """Write a file's bytes; the fresh stat instead when they were expected and are there."""
        if expected is not None and self.stat(expected) is not None:
            content = hash_stored(source.descriptor, source.size_bytes, progress)
            _check(content, expected, source)
            known = self.kept(content)
            if known is not None:
                return known
        compressed = self._compresses(source.descriptor, source.size_bytes)
        if consume and not compressed and self._may_move(source):
            return self._sealed_source(source, expected, progress)
        with contextlib.ExitStack() as held:
            temporary = held.enter_context(self._temporary())
            if compressed:
                content = zstd.compress_file(source.descriptor, temporary.descriptor, source.size_bytes, progress)
                self._begin(temporary.descriptor)
            elif filesystem.clone(source.descriptor, temporary.descriptor):
                content = hash_stored(temporary.descriptor, source.size_bytes, progress)
            else:
                content = copy_file(
                    source.descriptor,
                    temporary.descriptor,
                    source.size_bytes,
                    progress,
                    to_be_synced=self._durable,
                )
            _check(content, expected, source)
            return Written(temporary.path, temporary.descriptor, content, held.pop_all(), is_compressed=compressed)

    def write_stream(self, source: BinaryIO, expected: str | None, progress: Progress | None) -> Written:
        """Write what a stream has from where it stands."""
        with contextlib.ExitStack() as held:
            temporary = held.enter_context(self._temporary())
            file = temporary.descriptor
            # What shrinks is written once more, and this file not kept: the first megabytes are asked.
            writing = WritingBehind(file, lambda written: self._durable and not self._compresses(file, written))
            content = copy_stream(source, writing.write, progress)
            if expected is not None and content.digest != expected:
                raise unexpected(expected, content.digest)
            if not self._compresses(file, content.size_bytes):
                if self._durable:
                    writing.begin()
                return Written(temporary.path, file, content, held.pop_all(), is_compressed=False)
            # The length, which the frame's header holds, is known only now.
            with contextlib.ExitStack() as kept:
                smaller = kept.enter_context(self._temporary())
                again = zstd.compress_file(file, smaller.descriptor, content.size_bytes)
                if again != content:
                    raise damaged(content.digest, f"its temporary file read back as {again.digest}")
                self._begin(smaller.descriptor)
                return Written(smaller.path, smaller.descriptor, content, kept.pop_all(), is_compressed=True)

    def _begin(self, descriptor: int) -> None:
        if self._durable:
            begin_writing(descriptor)

    def _compresses(self, descriptor: int, size_bytes: int) -> bool:
        return self._compression == "zstd" and zstd.shrinks(descriptor, size_bytes)

    def _may_move(self, source: SourceFile) -> bool:
        """Whether the file can become the blob: same file system, ours to seal, and no second name to change it by."""
        self._directories.make(self.temporaries)
        return (
            source.opened.st_dev == self.temporaries.stat().st_dev
            and source.opened.st_uid == os.geteuid()
            and source.opened.st_nlink == 1
        )

    def _sealed_source(self, source: SourceFile, expected: str | None, progress: Progress | None) -> Written:
        """The file itself, to be given its name in the store; it stays as it was when that does not come about."""
        content = hash_stored(source.descriptor, source.size_bytes, progress)
        _check(content, expected, source)
        held = contextlib.ExitStack()
        descriptor = os.dup(source.descriptor)
        held.callback(os.close, descriptor)

        written = Written(source.path, descriptor, content, held, is_compressed=False)
        written.source = SourceFile(source.path, descriptor, source.opened)

        def unseal() -> None:
            # Given twice, the file may have become a blob by its other turn.
            if not written.is_placed and _is_at(descriptor, source.path):
                os.fchmod(descriptor, source.opened.st_mode & 0o7777)

        held.callback(unseal)
        self._begin(descriptor)
        return written

    @contextlib.contextmanager
    def _temporary(self) -> Iterator[filesystem.Temporary]:
        self._directories.make(self.temporaries)
        with filesystem.temporary(self.temporaries) as temporary:
            yield temporary

    # Giving names

    def publish(self, written: Sequence[Written]) -> list[BlobStat]:
        """Give files their names in the store, or keep equal ones that have them; their stats in the same order."""
        stats: dict[int, BlobStat] = {}
        for _ in range(_ATTEMPTS):
            directories: set[Path] = set()
            for number, each in enumerate(written):
                if number not in stats and (found := self._placed(each, directories)) is not None:
                    stats[number] = found
            try:
                if self._durable:
                    for directory in sorted(directories):
                        filesystem.sync_directory(directory)
            except BaseException:
                self._unplace(written)
                raise
            if len(stats) == len(written):
                return [stats[number] for number in range(len(written))]
        missed = next(each for number, each in enumerate(written) if number not in stats)
        raise Conflict(
            f"The blob {missed.content.digest} is deleted as fast as it is stored.",
            hint="Stop the collection that deletes it, then repeat.",
        )

    def _placed(self, written: Written, directories: set[Path]) -> BlobStat | None:
        """The stat under its name, whose directory is noted to be synced; None when it has to be tried once more."""
        final = self._path(written.content.digest, compressed=written.is_compressed)
        place = filesystem.link_or_rename
        try:
            known = self.keep_existing(written.content, directories)
        except PermissionError:  # another user's file: equal bytes, whose time only its owner may set
            place = _replace
        else:
            if known is not None:
                return known
        if written.source is not None and not written.sealed_ns:
            written.source.check_unchanged(written.content.size_bytes)  # others were written since it was hashed
        if not written.sealed_ns:
            self._seal(written)
            self._directories.make(final.parent)
        try:
            place(written.path, final)
        except FileExistsError:
            return None
        if written.source is not None:
            _check_taken(written, final)
        written.is_placed = True
        directories.add(final.parent)
        return stat_of(written.content, os.fstat(written.descriptor))

    def _unplace(self, written: Sequence[Written]) -> None:
        """Take away names that may not be on the medium: nobody is told of those blobs, and a stat must tell of none.

        One that somebody else has put meanwhile (its time says so) has become his, and he syncs it himself.
        """
        for each in written:
            if each.is_placed and os.fstat(each.descriptor).st_mtime_ns == each.sealed_ns:
                path = self._path(each.content.digest, compressed=each.is_compressed)
                with contextlib.suppress(OSError):
                    if each.source is None:
                        path.unlink(missing_ok=True)
                    else:
                        path.rename(each.path)  # it is the only name of the caller's file
                        each.is_placed = False

    def _seal(self, written: Written) -> None:
        os.fchmod(written.descriptor, _READ_ONLY)
        self._touch(written.descriptor)
        if self._durable:
            filesystem.sync_file(written.descriptor)
        written.sealed_ns = os.fstat(written.descriptor).st_mtime_ns

    def _touch(self, descriptor: int) -> None:
        now_ns = to_us(self._clock()) * 1000
        os.utime(descriptor, ns=(now_ns, now_ns))

    def keep_existing(self, content: Content, directories: set[Path] | None = None) -> BlobStat | None:
        """The fresh stat of a whole blob that is there; None when there is none (any more).

        What is there is read again: storing the original once more repairs a damaged blob, and who is told that the bytes
        are stored can load them. Whoever linked it may not have come to sync its name yet: its directory is synced, or noted.
        """
        stored = self.open_stored(content.digest)
        if stored is None:
            return None
        try:
            if not stored.holds(content):
                self._remove_damaged(content, stored.path)
                return None
            self._touch(stored.descriptor)
            if directories is not None:
                directories.add(stored.path.parent)
            elif self._durable:
                filesystem.sync_directory(stored.path.parent)
            seen = os.fstat(stored.descriptor)
        finally:
            os.close(stored.descriptor)
        return stat_of(content, seen) if seen.st_nlink else None

    def kept(self, content: Content) -> BlobStat | None:
        """`keep_existing`; None also when the file is another user's, whose time only he may set."""
        try:
            return self.keep_existing(content)
        except PermissionError:
            return None

    def _remove_damaged(self, content: Content, path: Path) -> None:
        """Free the name of a damaged blob, unless somebody else has put a good one there meanwhile."""
        self._directories.make(self.temporaries)
        with filesystem.locked(self.temporaries):
            stored = open_stored(content.digest, path)
            if stored is None:
                return
            try:
                if not stored.holds(content):
                    path.unlink(missing_ok=True)
            finally:
                os.close(stored.descriptor)

    # For a cache, which has just verified what it keeps

    @contextlib.contextmanager
    def incoming(self) -> Iterator[Path]:
        """A free name in the store's file system for a file to be adopted; what is still there at the end is removed."""
        self._directories.make(self.temporaries)
        path = self.temporaries / f"incoming-{uuid7(self._clock())}"
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def adopt(self, path: Path, content: Content) -> BlobStat:
        """Take a file of `incoming` whose bytes the caller has just verified."""
        held = contextlib.ExitStack()
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
        held.callback(os.close, descriptor)
        with held:
            return self.publish([Written(path, descriptor, content, held, is_compressed=False)])[0]

    def touch(self, digest: str) -> None:
        """Say that a blob is put, or used, now; nothing when it is not there."""
        stored = self.open_stored(digest)
        if stored is None:
            return
        try:
            with contextlib.suppress(PermissionError):  # another user's, who alone may set its time
                self._touch(stored.descriptor)
        finally:
            os.close(stored.descriptor)

    # Reading

    def open_stored(self, digest: str) -> Stored | None:
        """The file of a blob, open for reading; None when there is none."""
        opened = (open_stored(digest, path) for path in self._paths(digest))
        return next((stored for stored in opened if stored is not None), None)

    def stat(self, digest: str) -> BlobStat | None:
        """What is known of a blob; None when there is no file of it."""
        found = (stat_file(digest, path) for path in self._paths(digest))
        return next((stat for stat in found if stat is not None), None)

    def listed(self, prefix: str = "") -> Iterator[BlobStat]:
        """All blobs that are files, in order of their digests."""
        for shard in names(self._blobs):
            if _SHARD.fullmatch(shard) is None or not shard.startswith(prefix[:2]):
                continue
            yield from self._listed_shard(shard, prefix)

    def _listed_shard(self, shard: str, prefix: str) -> Iterator[BlobStat]:
        last = ""
        for name in names(self._blobs / shard):
            matched = _NAME.fullmatch(name)
            if matched is None or not (shard + name).startswith(prefix) or matched[1] == last:
                continue
            found = stat_file(PREFIX + shard + matched[1], self._blobs / shard / name)
            if found is not None:
                last = matched[1]
                yield found

    # Removing

    def delete(self, digest: str) -> bool:
        """Remove the file of a blob; whether there was one.

        Not synced: a blob that a power cut brings back is collected again.
        """
        found = False
        for path in self._paths(digest):
            try:
                path.unlink()
            except (FileNotFoundError, NotADirectoryError):
                continue
            found = True
        return found

    def abandoned(self, before: datetime, *, remove: bool) -> Iterator[Leftover]:
        """Files that killed processes left half written before a time."""
        for name, size_bytes in filesystem.abandoned(self.temporaries, before.timestamp(), remove=remove):
            yield Leftover(f"{self.temporaries.name}/{name}", size_bytes)

    def strangers(self) -> Iterator[Path]:
        """Files among the blobs that are none."""
        for shard in names(self._blobs):
            directory = self._blobs / shard
            if _SHARD.fullmatch(shard) is None or not directory.is_dir():
                yield directory
                continue
            yield from (directory / name for name in names(directory) if not _NAME.fullmatch(name))

    # Names

    def among(self, digests: Collection[str]) -> list[str]:
        """Which of some blobs have a file; quick, for one and for thousands."""
        places = {digest: f"{self._blobs}/{digest[-64:-62]}" for digest in digests}
        if len(places) > _SHARDS:  # a new store has no shards, and one look at each says so
            there = {shard for shard in set(places.values()) if os.access(shard, os.F_OK)}
            places = {digest: shard for digest, shard in places.items() if shard in there}
        return [digest for digest, shard in places.items() if _has(f"{shard}/{digest[-62:]}")]

    def _path(self, digest: str, *, compressed: bool) -> Path:
        digits = digest.removeprefix(PREFIX)
        return self._blobs / digits[:2] / (digits[2:] + (zstd.SUFFIX if compressed else ""))

    def _paths(self, digest: str) -> tuple[Path, Path]:
        return self._path(digest, compressed=False), self._path(digest, compressed=True)


def _has(plain: str) -> bool:
    return os.access(plain, os.F_OK) or os.access(plain + zstd.SUFFIX, os.F_OK)


def _check(content: Content, expected: str | None, source: SourceFile) -> None:
    source.check_unchanged(content.size_bytes)
    if expected is not None and content.digest != expected:
        raise unexpected(expected, content.digest)


def _check_taken(written: Written, final: Path) -> None:
    """Give a file back that took the name of the caller's in the moment in which that was to become a blob."""
    if _is_at(written.descriptor, final):
        return
    try:
        final.rename(written.path)
    except FileNotFoundError:  # it was the right one, and somebody has deleted the blob since
        return
    raise Conflict(
        f"{written.path} was replaced while it was stored. Nothing was stored.",
        hint="Wait until whatever writes it has finished, then store it again.",
        path=str(written.path),
    )


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether an open file has this name."""
    try:
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _replace(source: Path, target: Path) -> None:
    source.replace(target)
