"""Blobs in a directory: small ones in packs, large ones as files.

::

    root/
      packs/…     blobs below 64 KiB (`chopmark.blobs.packed`)
      sha256/…    all others (`chopmark.blobs.loose`)
      tmp/…       puts of those in progress
      assembled/… safetensors files by their parts, where that is asked for (`chopmark.blobs.assembled`)
      parts/…     those parts

A small blob that a release without packs has stored as a file stays one.
"""

from __future__ import annotations

import heapq
import io
import os
import resource
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO, cast

from chopmark.abc.blobs import BlobSource, BlobStat, Leftover, Progress, Verify
from chopmark.base.clock import Clock, system_clock
from chopmark.base.digest import digest_of, parse_digest
from chopmark.blobs import filesystem
from chopmark.blobs.assembled import AssembledBlobs
from chopmark.blobs.compression import Compression
from chopmark.blobs.copying import Content, hash_stored, read_source, write_all
from chopmark.blobs.failures import missing, reporting, unexpected
from chopmark.blobs.filesystem import Identity
from chopmark.blobs.loose import LooseBlobs, Written
from chopmark.blobs.packed import PACKED_BELOW_BYTES, PackedBlobs, Small
from chopmark.blobs.readers import bytes_reader, check_prefix, check_range, file_reader
from chopmark.blobs.sources import SourceFile, open_source, read_small
from chopmark.blobs.stored import Seen, copy_out, open_verified
from chopmark.blobs.verifying import REMEMBERED_FROM_BYTES
from chopmark.errors import InvalidRequest

__all__ = ["LocalStore"]

# More than there are processors only pass the interpreter around: the medium writes by itself.
_WRITERS = max(2, min(8, os.cpu_count() or 2))
_PACKED_AT_ONCE_BYTES = 16 << 20
# What is written and not yet named at one time: each holds a descriptor.
_HELD_OPEN_MAX = 400


class LocalStore:
    """A `chopmark.abc.blobs.BlobStore` in a directory of a local file system.

    On a network file system that several machines write to, keep ``packs`` off: their index is one machine's.

    Parameters
    ----------
    root
        The directory; made on the first put. A store that is only read needs no write access.
    compression
        ``"zstd"`` stores a blob compressed when it is 64 KiB or larger and a sample of it shrinks by a tenth; ``"none"``
        never does. Both read what either wrote. It is on by default because the decision costs two milliseconds, tree
        models shrink two- to fivefold, and what does not shrink (float weights) is stored as it is.
    packs
        Whether blobs below 64 KiB go into packs, and whether files that were verified are remembered in the packs' index.
        Either way both kinds are read.
    tensors
        Whether a safetensors file is kept in one part a tensor, which files that share tensors share. It is read the same
        way, more slowly. A stream stays whole.
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
        compression: Compression = "zstd",
        packs: bool = True,
        tensors: bool = False,
        durable: bool = True,
        clock: Clock = system_clock,
    ) -> None:
        if compression not in {"zstd", "none"}:
            raise InvalidRequest(f"There is no compression {compression!r}.", hint="Use 'zstd' or 'none'.")
        self.root = Path(os.path.abspath(root))  # noqa: PTH100 resolve() would follow links that may be moved later
        with reporting("open the store", self.root):
            if self.root.exists() and not self.root.is_dir():
                raise InvalidRequest(f"{self.root} is not a directory.", hint="Name a directory for the blobs.")
        self.compression = compression
        self.packs = packs
        self.tensors = tensors
        self._clock = clock
        self._loose = LooseBlobs(self.root, compression=compression, durable=durable, clock=clock)
        self._packed = PackedBlobs(self.root, durable=durable, clock=clock)
        self._assembled = AssembledBlobs(
            self.root,
            lambda place: LocalStore(place, compression=compression, packs=packs, durable=durable, clock=clock),
            durable=durable,
            clock=clock,
        )

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
        with reporting("store a blob", self.root):
            return self._put_one(BlobSource(source, expected, consume), progress)

    def put_all(self, sources: Sequence[BlobSource], *, progress: Progress | None = None) -> list[BlobStat]:
        """Store many; see `chopmark.abc.blobs.BlobStore.put_all`."""
        with reporting("store a blob", self.root):
            if len(sources) == 1:
                return [self._put_one(sources[0], progress)]
            return self._put_many(sources, progress)

    def _put_one(self, source: BlobSource, progress: Progress | None) -> BlobStat:
        taken = self._taken(source, progress)
        match taken:
            case Small():
                stat = self._pack([taken])[0]
            case Written():
                stat = self._publish([taken])[0]
            case _:
                stat = taken
        _consume(source)
        return stat

    def _put_many(self, sources: Sequence[BlobSource], progress: Progress | None) -> list[BlobStat]:
        """Small ones are read one after the other and packed many at a time; large ones are written several at a time."""
        stats: dict[int, BlobStat] = {}
        small: dict[int, Small] = {}
        small_bytes = 0
        written: dict[int, Written] = {}
        writing: deque[tuple[int, Future[Small | Written | BlobStat]]] = deque()
        packing: deque[tuple[list[int], Future[list[BlobStat]]]] = deque()

        def packed(waiting: int) -> None:
            while len(packing) > waiting:
                numbers, future = packing.popleft()
                stats.update(zip(numbers, future.result(), strict=True))

        def pack() -> None:
            nonlocal small, small_bytes
            packing.append((list(small), pool.submit(self._pack, list(small.values()))))
            small, small_bytes = {}, 0
            packed(1)

        def keep(number: int, taken: Small | Written | BlobStat) -> None:
            nonlocal small_bytes
            match taken:
                case Small():
                    small[number] = taken
                    small_bytes += len(taken.data)
                    if small_bytes >= _PACKED_AT_ONCE_BYTES:
                        pack()
                case Written():
                    written[number] = taken
                    if len(written) >= at_once // 2:
                        publish()
                case _:
                    stats[number] = taken

        def publish() -> None:
            held = dict(written)
            written.clear()
            stats.update(zip(held, self._publish(list(held.values())), strict=True))

        at_once = _held_open()
        pool = ThreadPoolExecutor(_WRITERS, thread_name_prefix="chopmark-put")
        try:
            for number, source in enumerate(sources):
                taken = self._taken_at_once(source, progress)
                if taken is not None:
                    keep(number, taken)
                    continue
                writing.append((number, pool.submit(self._taken, source, progress)))
                if len(writing) + len(written) >= at_once:
                    first, future = writing.popleft()
                    keep(first, future.result())
            while writing:
                first, future = writing.popleft()
                keep(first, future.result())
            pack()
            publish()
            packed(0)
        finally:
            pool.shutdown(cancel_futures=True)
            _discard(written.values(), (future for _, future in writing))
        for source in sources:
            _consume(source)
        return [stats[number] for number in range(len(sources))]

    def _taken_at_once(self, source: BlobSource, progress: Progress | None) -> Small | Written | BlobStat | None:
        """What is taken in the caller's thread: small files, and streams, whose order is their owner's; None of others."""
        if isinstance(source.source, Path):
            return self._taken_small(source, progress)
        return self._taken(source, progress)

    def _taken_small(self, source: BlobSource, progress: Progress | None) -> Small | None:
        if source.expected is not None:
            parse_digest(source.expected)
        data = read_small(cast("Path", source.source), PACKED_BELOW_BYTES) if self.packs else None
        return None if data is None else _small(data, source.expected, progress)

    def _taken(self, source: BlobSource, progress: Progress | None) -> Small | Written | BlobStat:
        """The bytes of a source, in memory or in a file; the stat instead when they were expected and are there."""
        if not isinstance(source.source, Path):
            if source.expected is not None:
                parse_digest(source.expected)
            return self._take_stream(source.source, source.expected, progress)
        small = self._taken_small(source, progress)
        if small is not None:
            return small
        with open_source(source.source) as opened:
            if self.tensors and (bounds := self._assembled.bounds_of(opened.descriptor, opened.size_bytes)):
                return self._put_parts(opened, source.expected, bounds, progress)
            return self._loose.write_file(opened, source.expected, consume=source.consume, progress=progress)

    def _put_parts(
        self, source: SourceFile, expected: str | None, bounds: list[int], progress: Progress | None
    ) -> BlobStat:
        content = hash_stored(source.descriptor, source.size_bytes)
        source.check_unchanged(content.size_bytes)
        if expected not in {None, content.digest}:
            raise unexpected(str(expected), content.digest)
        known = self._loose.kept(content)
        if known is None:
            return self._assembled.put(source.descriptor, content, bounds, progress, source.check_unchanged)
        if progress is not None:
            progress(content.size_bytes)
        return known

    def _take_stream(self, stream: BinaryIO, expected: str | None, progress: Progress | None) -> Small | Written:
        head = _read_head(stream, PACKED_BELOW_BYTES) if self.packs else b""
        if self.packs and len(head) < PACKED_BELOW_BYTES:
            return _small(head, expected, progress)
        return self._loose.write_stream(
            cast("BinaryIO", _Prefixed(head, stream)) if head else stream, expected, progress
        )

    def _pack(self, small: Sequence[Small]) -> list[BlobStat]:
        """Pack what is not there as a file already, as a release without packs stored it."""
        if not small:
            return []
        kept: dict[str, BlobStat] = {}
        sizes = {each.digest: len(each.data) for each in small}
        for digest in self._loose.among(sizes):
            known = self._loose.kept(Content(digest, sizes[digest]))
            if known is not None:
                kept[digest] = known
        new = [each for each in small if each.digest not in kept]
        kept |= {stat.digest: stat for stat in self._packed.put(new)} if new else {}
        return [kept[each.digest] for each in small]

    def _publish(self, written: Sequence[Written]) -> list[BlobStat]:
        try:
            return self._loose.publish(written)
        finally:
            for each in written:
                each.discard()

    # For a cache, which has just verified what it keeps

    @contextmanager
    def incoming(self) -> Iterator[Path]:
        """A free name in the store's file system for a file to be adopted; what is still there at the end is removed."""
        with reporting("store a blob", self.root), self._loose.incoming() as path:
            yield path

    def adopt(self, path: Path, content: Content) -> BlobStat:
        """Take a file of `incoming` whose bytes the caller has just verified."""
        with reporting("store a blob", self.root):
            return self._loose.adopt(path, content)

    def touch(self, digest: str) -> None:
        """Say that a blob is put, or used, now; nothing when it is not there."""
        parse_digest(digest)
        with reporting("touch a blob", self.root):
            if not self._packed.touch(digest):
                self._loose.touch(digest)

    # Reading

    def open(
        self,
        digest: str,
        *,
        offset: int = 0,
        length: int | None = None,
        leaves: Sequence[str] = (),
        verify: Verify = "always",
    ) -> BinaryIO:
        """Open verified bytes; see `chopmark.abc.blobs.BlobStore.open`."""
        parse_digest(digest)
        check_range(offset, length)
        with reporting("read a blob", self.root):
            data = self._packed.read(digest)
            if data is not None:
                return bytes_reader(data, offset, length)
            stored = self._loose.open_stored(digest)
            if stored is None:
                return self._open_parts(digest, offset, length)
            try:
                reader, verified = open_verified(stored, offset, length, self._seen(digest, leaves, verify))
            finally:
                os.close(stored.descriptor)
            self._remember(digest, verified)
            return reader

    def _open_parts(self, digest: str, offset: int, length: int | None) -> BinaryIO:
        """Put together in a file without a name, so that what is read is what was verified."""
        with tempfile.TemporaryFile(prefix="chopmark-") as whole:
            size_bytes = self._assembled.write_out(digest, whole.fileno())
            if size_bytes is None:
                raise missing(digest)
            return file_reader(os.dup(whole.fileno()), size_bytes, offset, length)

    def fetch(
        self,
        digest: str,
        target: Path,
        *,
        leaves: Sequence[str] = (),
        verify: Verify = "always",
        progress: Progress | None = None,
    ) -> None:
        """Write verified bytes to a file; see `chopmark.abc.blobs.BlobStore.fetch`.

        The file is not synced: after a power cut it can be fetched again.
        """
        parse_digest(digest)
        with reporting("read a blob", self.root):
            data = self._packed.read(digest)
            stored = self._loose.open_stored(digest) if data is None else None
        if data is not None:
            with reporting("write a file", target), filesystem.new_file(target) as descriptor:
                write_all(descriptor, data)
            if progress is not None and data:
                progress(len(data))
            return
        if stored is None:
            with reporting("write a file", target), filesystem.new_file(target) as descriptor:
                if self._assembled.write_out(digest, descriptor, progress) is None:
                    raise missing(digest)
            return
        try:
            with reporting("write a file", target), filesystem.new_file(target) as descriptor:
                verified = copy_out(stored, descriptor, self._seen(digest, leaves, verify), progress)
        finally:
            os.close(stored.descriptor)
        self._remember(digest, verified)

    def _seen(self, digest: str, leaves: Sequence[str], verify: Verify) -> Seen:
        believes = verify == "changed" and self.packs
        return Seen(leaves, self._packed.verified(digest) if believes else None)

    def _remember(self, digest: str, verified: Identity | None) -> None:
        if verified is not None and self.packs and verified.size_bytes >= REMEMBERED_FROM_BYTES:
            self._packed.note_verified(digest, verified)

    def stat(self, digest: str) -> BlobStat | None:
        """What is known of a blob; see `chopmark.abc.blobs.BlobStore.stat`."""
        parse_digest(digest)
        with reporting("look up a blob", self.root):
            return self._packed.stat(digest) or self._loose.stat(digest) or self._assembled.stat(digest)

    def list(self, prefix: str = "") -> Iterator[BlobStat]:
        """All blobs in order; see `chopmark.abc.blobs.BlobStore.list`."""
        check_prefix(prefix)
        return self._listed(prefix)

    def _listed(self, prefix: str) -> Iterator[BlobStat]:
        last = ""
        with reporting("list the blobs", self.root):
            kinds = (self._packed, self._loose, self._assembled)
            for stat in heapq.merge(*(each.listed(prefix) for each in kinds), key=lambda each: each.digest):
                if stat.digest != last:
                    last = stat.digest
                    yield stat

    # Removing

    def delete(self, digest: str) -> bool:
        """Remove a blob; see `chopmark.abc.blobs.BlobStore.delete`.

        Not synced: a blob that a power cut brings back is collected again.
        """
        parse_digest(digest)
        with reporting("delete a blob", self.root):
            # Files first: on a disk that is full the packs may have to wait until there is room.
            found = [each.delete(digest) for each in (self._loose, self._assembled, self._packed)]
            if found[0] and self.packs:
                self._packed.forget_verified(digest)
        return any(found)

    def sweep(self, older_than: timedelta) -> int:
        """Remove what killed processes left half written; how many files that were.

        A put that is still running keeps its file however old it is.
        """
        return len(self.remove_leftovers(self._clock() - older_than))

    def leftovers(self, before: datetime) -> Sequence[Leftover]:
        """Files that killed processes left half written before a time; see `chopmark.abc.blobs.KeepsLeftovers`."""
        with reporting("list temporary files", self._loose.temporaries):
            return self._abandoned(before, remove=False)

    def remove_leftovers(self, before: datetime) -> Sequence[Leftover]:
        """Remove those `leftovers`; see `chopmark.abc.blobs.KeepsLeftovers`."""
        with reporting("remove temporary files", self._loose.temporaries):
            return self._abandoned(before, remove=True)

    def _abandoned(self, before: datetime, *, remove: bool) -> Sequence[Leftover]:
        kinds = (self._loose, self._assembled)
        return [left for each in kinds for left in each.abandoned(before, remove=remove)]

    def strangers(self) -> Iterator[Leftover]:
        """Files among the blobs that are none; see `chopmark.abc.blobs.KeepsLeftovers`."""
        with reporting("list the blobs", self.root):
            for path in (*self._packed.strangers(), *self._loose.strangers()):
                yield Leftover(str(path.relative_to(self.root)), filesystem.size_of(path))

    def close(self) -> None:
        """Close the index of the packs; it is opened again when it is used again."""
        self._packed.close()
        self._assembled.close()


class _Prefixed(io.RawIOBase):
    """A stream of which the beginning was read already."""

    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        self._head = head
        self._rest = rest

    def readable(self) -> bool:
        """Whether it can be read."""
        return True

    def read(self, size: int = -1) -> bytes:
        """What is left of the beginning, then of the stream."""
        if self._head:
            taken, self._head = (self._head, b"") if size < 0 else (self._head[:size], self._head[size:])
            return taken
        return self._rest.read(size)


def _read_head(stream: BinaryIO, size_bytes: int) -> bytes:
    """The first bytes of a stream, fewer only when it has no more."""
    pieces: list[bytes] = []
    wanted = size_bytes
    while wanted > 0 and (piece := read_source(stream, wanted)):
        pieces.append(piece)
        wanted -= len(piece)
    return b"".join(pieces)


def _small(data: bytes, expected: str | None, progress: Progress | None) -> Small:
    digest = digest_of(data)
    if expected not in {None, digest}:
        raise unexpected(str(expected), digest)
    if progress is not None and data:
        progress(len(data))
    return Small(digest, data)


def _held_open() -> int:
    """How many files a batch may hold open: a part of what the process may."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(4, min(_HELD_OPEN_MAX, (soft if soft > 0 else _HELD_OPEN_MAX * 4) // 4))


def _consume(source: BlobSource) -> None:
    if source.consume and isinstance(source.source, Path):
        source.source.unlink(missing_ok=True)


def _discard(written: Iterable[Written], futures: Iterable[Future[Small | Written | BlobStat]]) -> None:
    """Remove the files of puts that come to nothing."""
    for each in written:
        each.discard()
    for future in futures:
        if not future.cancelled() and future.exception() is None and isinstance(taken := future.result(), Written):
            taken.discard()
