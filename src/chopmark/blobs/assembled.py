"""Safetensors files in parts, one for each tensor: versions that share tensors share their bytes.

::

    root/
      assembled/ab/cdef…      how a blob is put together: JSON, its parts' digests and lengths
      parts/…                 the parts, small ones packed and large ones as files, as in the store itself

A part is not a blob: it is never listed, and lives as long as a blob is made of it. Who stores holds the lock of
``assembled`` shared, who removes holds it alone, so that no part goes that somebody is about to rely on.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Protocol, cast

import msgspec

from chopmark.abc.blobs import BlobSource, BlobStat, BlobStore, KeepsLeftovers, Leftover, Progress
from chopmark.base.clock import Clock, from_us, to_us
from chopmark.base.digest import PREFIX
from chopmark.base.jsons import decoder
from chopmark.blobs import filesystem
from chopmark.blobs.copying import Content, ContentHasher, write_all
from chopmark.blobs.failures import damaged
from chopmark.blobs.filesystem import names
from chopmark.blobs.readers import file_reader
from chopmark.blobs.tensors import LENGTH_BYTES, header_length, part_bounds
from chopmark.errors import IntegrityFailure, NotFound

__all__ = ["ASSEMBLED_FROM_BYTES", "AssembledBlobs", "PartStore"]

ASSEMBLED_FROM_BYTES = 1 << 20
"""Smaller files stay whole: there is little to share."""

_PIECE_BYTES = 1 << 20
_SHARD = re.compile(r"[0-9a-f]{2}")
_NAME = re.compile(r"[0-9a-f]{62}")
_PARTS_AT_ONCE = 32  # each holds a descriptor


class PartStore(BlobStore, KeepsLeftovers, Protocol):
    """What keeps the parts: another store of the same kind."""


class _Plan(msgspec.Struct, frozen=True):
    """How a blob is put together."""

    size_bytes: int
    parts: list[tuple[str, int]]


_plan_of = decoder(_Plan)


class AssembledBlobs:
    """The blobs of a `chopmark.blobs.local.LocalStore` that are kept in parts.

    Parameters
    ----------
    root
        Directory of the store.
    parts
        Opens the store of the parts; asked when there are, or come to be, some.
    durable
        Whether a put waits for the medium.
    clock
        When a blob was put.
    """

    def __init__(self, root: Path, parts: Callable[[Path], PartStore], *, durable: bool, clock: Clock) -> None:
        self._directory = root / "assembled"
        self._parts_directory = root / "parts"
        self._open_parts = parts
        self._opened: PartStore | None = None
        self._durable = durable
        self._clock = clock
        self._directories = filesystem.Directories(durable=durable)

    @property
    def _parts(self) -> PartStore:
        if self._opened is None:
            self._opened = self._open_parts(self._parts_directory)
        return self._opened

    # Writing

    @staticmethod
    def bounds_of(descriptor: int, size_bytes: int) -> list[int] | None:
        """Where an open file can be cut; None when it stays whole."""
        if size_bytes < ASSEMBLED_FROM_BYTES:
            return None
        length = header_length(os.pread(descriptor, LENGTH_BYTES + 1, 0), size_bytes)
        return None if length is None else part_bounds(os.pread(descriptor, length, LENGTH_BYTES), size_bytes)

    def put(
        self,
        descriptor: int,
        content: Content,
        bounds: list[int],
        progress: Progress | None,
        check_unchanged: Callable[[int], None],
    ) -> BlobStat:
        """Store an open file in the parts between the bounds; asks, before anybody sees it, that it did not change."""
        shard = self._path(content.digest).parent
        self._directories.make(shard)
        spans = list(itertools.pairwise(bounds))
        with filesystem.locked(self._directory, shared=True):
            parts: list[tuple[str, int]] = []
            for at in range(0, len(spans), _PARTS_AT_ONCE):
                part = [
                    BlobSource(file_reader(os.dup(descriptor), content.size_bytes, start, end - start))
                    for start, end in spans[at : at + _PARTS_AT_ONCE]
                ]
                try:
                    stats = self._parts.put_all(part, progress=progress)
                finally:
                    for each in part:
                        cast("BinaryIO", each.source).close()
                parts += [(stat.digest, stat.size_bytes) for stat in stats]
            check_unchanged(content.size_bytes)
            self._write_plan(content.digest, _Plan(content.size_bytes, parts))
            stat = self.stat(content.digest)
        assert stat is not None  # noqa: S101 its plan was written, and looked at, under the lock that keeps it
        return msgspec.structs.replace(stat, leaves=content.leaves)

    def _write_plan(self, digest: str, plan: _Plan) -> None:
        path = self._path(digest)
        with filesystem.temporary(path.parent, ".put-") as temporary:
            write_all(temporary.descriptor, msgspec.json.encode(plan))
            os.fchmod(temporary.descriptor, 0o444)
            now_ns = to_us(self._clock()) * 1000
            os.utime(temporary.descriptor, ns=(now_ns, now_ns))
            if self._durable:
                filesystem.sync_file(temporary.descriptor)
            temporary.path.replace(path)
        if self._durable:
            filesystem.sync_directory(path.parent)

    # Reading

    def write_out(self, digest: str, target: int, progress: Progress | None = None) -> int | None:
        """Put a blob together in an empty open file, verified; its length, None when it is not kept in parts."""
        plan = self._plan(digest)
        if plan is None:
            return None
        hashed = ContentHasher()
        for part, _ in plan.parts:
            try:
                with self._parts.open(part) as reader:
                    while piece := reader.read(_PIECE_BYTES):
                        hashed.update(piece)
                        write_all(target, piece)
                        if progress is not None:
                            progress(len(piece))
            except (NotFound, IntegrityFailure) as error:
                if self._plan(digest) is None:  # deleted since we looked
                    return None
                raise damaged(digest, f"of its parts, {error.message}") from error
        content = hashed.content()
        if content.digest != digest:
            raise damaged(digest, f"its parts together hash to {content.digest}")
        return content.size_bytes

    def stat(self, digest: str) -> BlobStat | None:
        """What is known of a blob; None when it is not kept in parts.

        What it takes in the store is told as if it shared nothing.
        """
        path = self._path(digest)
        plan = self._plan(digest)
        with suppress(FileNotFoundError):
            if plan is not None:
                at = from_us(path.lstat().st_mtime_ns // 1000)
                return BlobStat(digest, plan.size_bytes, plan.size_bytes, at)
        return None

    def listed(self, prefix: str = "") -> Iterator[BlobStat]:
        """All blobs that are kept in parts, in order of their digests."""
        for digest in self._digests(prefix):
            stat = self.stat(digest)
            if stat is not None:
                yield stat

    def _digests(self, prefix: str = "") -> Iterator[str]:
        for shard in names(self._directory):
            if _SHARD.fullmatch(shard) and shard.startswith(prefix[:2]):
                for name in names(self._directory / shard):
                    if _NAME.fullmatch(name) and (shard + name).startswith(prefix):
                        yield PREFIX + shard + name

    def _plan(self, digest: str) -> _Plan | None:
        try:
            return _plan_of(self._path(digest).read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except msgspec.DecodeError as error:
            raise damaged(digest, f"how it is put together cannot be read ({error})") from error

    # Removing

    def delete(self, digest: str) -> bool:
        """Remove a blob, and the parts that no other is made of; whether it was there."""
        if not self._path(digest).exists():
            return False
        with filesystem.locked(self._directory):
            try:
                parts = {part for part, _ in (self._plan(digest) or _Plan(0, [])).parts}
            except IntegrityFailure:
                parts = set()  # which they were is lost; a sweep finds them
            self._path(digest).unlink(missing_ok=True)
            for part in parts - self._used():
                self._parts.delete(part)
        return True

    def _used(self) -> set[str]:
        """Digests of all parts of all blobs.

        Raises
        ------
        IntegrityFailure
            When one cannot be read: then nothing may be removed.
        """
        plans = (self._plan(digest) for digest in self._digests())
        return {part for plan in plans if plan is not None for part, _ in plan.parts}

    def abandoned(self, before: datetime, *, remove: bool) -> Iterator[Leftover]:
        """Parts of blobs that never came to be, or whose deletion was cut off, last put before a time."""
        if not self._parts_directory.is_dir():
            return
        with filesystem.locked(self._directory, shared=not remove), suppress(IntegrityFailure):
            used = self._used()
            for stat in list(self._parts.list()):
                if stat.digest not in used and stat.modified_at < before:
                    yield Leftover(f"{self._parts_directory.name}/{stat.digest}", stat.size_bytes)
                    if remove:
                        self._parts.delete(stat.digest)
        leftovers = self._parts.remove_leftovers(before) if remove else self._parts.leftovers(before)
        for each in leftovers:
            yield Leftover(f"{self._parts_directory.name}/{each.name}", each.size_bytes)
        for shard in names(self._directory):
            for name, size_bytes in filesystem.abandoned(
                self._directory / shard, before.timestamp(), remove=remove, prefix=".put-"
            ):
                yield Leftover(f"{self._directory.name}/{shard}/{name}", size_bytes)

    def close(self) -> None:
        """Close the store of the parts."""
        if self._opened is not None:
            self._opened.close()

    def _path(self, digest: str) -> Path:
        digits = digest.removeprefix(PREFIX)
        return self._directory / digits[:2] / digits[2:]
