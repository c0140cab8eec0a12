"""Small blobs, many to a file: a batch of any number costs one wait for the medium.

::

    root/packs/
      000001.pack     records one behind the other (`chopmark.blobs.packs`)
      index.db        where each blob is (`chopmark.blobs.pack_index`); made again from the packs when it is lost

One process at a time writes, under the lock of the directory, at the end of the last pack: append, sync, then index. What a
killed process appended and did not index is read, synced and indexed by the next one that comes to write, or to open the
index. Who was told that a blob is stored can rely on bytes on the medium; nobody is told of others.
"""

from __future__ import annotations

import errno
import os
import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from chopmark.abc.blobs import BlobStat
from chopmark.base import forks
from chopmark.base.clock import Clock, from_us, to_us
from chopmark.blobs import filesystem
from chopmark.blobs.appending import write_buffers
from chopmark.blobs.failures import damaged
from chopmark.blobs.filesystem import Identity, names, size_of
from chopmark.blobs.pack_index import DAMAGED, UNUSABLE_NOW, Indexed, PackIndex, Row
from chopmark.blobs.packs import DELETED, HEADER_BYTES, STATE_OFFSET, Record, header_of, payload_of, read_header, scan
from chopmark.errors import IntegrityFailure, Unavailable

__all__ = ["PACKED_BELOW_BYTES", "PackedBlobs", "Small"]

PACKED_BELOW_BYTES = 64 << 10
"""Blobs smaller than this are packed: the same that are too small to be worth compressing."""

PACK_BYTES = 64 << 20
"""No more is added to a pack that has this much; compacting one reads and writes no more than that."""

_COMPACTED_FROM_BYTES = 1 << 20
_READER_WAIT_S = 5.0
_PACK_NAME = re.compile(r"([0-9]{6,})\.pack")
_INDEX_NAME = "index.db"
_INDEX_SUFFIXES = ("", "-wal", "-shm")


class Small(NamedTuple):
    """Bytes to pack, and their digest."""

    digest: str
    data: bytes


class _Batch:
    """What one caller wants stored, and what became of it."""

    def __init__(self, items: Sequence[Small]) -> None:
        self.items = items
        self.is_done = False
        self.put_us = 0
        self.error: BaseException | None = None


class PackedBlobs:
    """The small blobs of a `chopmark.blobs.local.LocalStore`.

    Parameters
    ----------
    root
        Directory of the store.
    durable
        Whether a put waits for the medium.
    clock
        When a blob was put.
    """

    def __init__(self, root: Path, *, durable: bool, clock: Clock) -> None:
        self.directory = root / "packs"
        self._durable = durable
        self._clock = clock
        self._directories = filesystem.Directories(durable=durable)
        self._opening = threading.Lock()
        self._index: PackIndex | None = None
        self._is_suspect = False
        self._turn = threading.Lock()
        self._queue = threading.Lock()
        self._waiting: list[_Batch] = []
        self._suspended: list[threading.Lock] = []
        self._suspended_index: PackIndex | None = None
        forks.watch(self)

    # Writing

    def put(self, items: Sequence[Small]) -> list[BlobStat]:
        """Store bytes; their stats in the same order. Callers that wait at the same time share one wait for the medium."""
        batch = _Batch(items)
        with self._queue:
            self._waiting.append(batch)
        with self._turn:
            if not batch.is_done:
                self._store_waiting(batch)
        if batch.error is not None:
            raise batch.error
        put_at = from_us(batch.put_us)
        return [BlobStat(each.digest, len(each.data), len(each.data), put_at) for each in items]

    def _store_waiting(self, own: _Batch) -> None:
        """Store what all wait for; when that is interrupted, each of the others does so itself on its turn."""
        try:
            with self._queue:
                taken = list(self._waiting)
            self._store(taken)
        finally:
            with self._queue:
                self._waiting = [each for each in self._waiting if each is not own and not each.is_done]

    def _store(self, batches: list[_Batch]) -> None:
        error: Exception | None = None
        put_us = 0
        try:
            with self._writing() as index:
                put_us = to_us(self._clock())
                self._append(index, {each.digest: each for batch in batches for each in batch.items}, put_us)
        except Exception as raised:  # noqa: BLE001 each of the callers is told
            error = raised
        for batch in batches:
            batch.error = error
            batch.put_us = put_us
            batch.is_done = True

    def _append(self, index: PackIndex, wanted: dict[str, Small], now_us: int) -> None:
        rows = index.find_all(wanted)
        # Read again: what is damaged, or cannot be read, is replaced by what is put.
        known = {digest for digest, row in rows.items() if self._read(row) is not None}
        new = [each for digest, each in wanted.items() if digest not in known]
        for pack, part in self._parted(index, new):
            self._write(index, pack, part, dict.fromkeys((each.digest for each in part), now_us))
        for row in (rows[digest] for digest in rows.keys() - known):
            self._bury(index, row)  # not before the other is stored: it may only have been unreadable for a moment
        if known:
            index.touch(sorted(known), now_us)

    def _parted(self, index: PackIndex, new: Sequence[Small]) -> Iterator[tuple[Indexed, list[Small]]]:
        """Which goes into which pack, each of which is not filled far beyond its size."""
        part: list[Small] = []
        size_bytes = 0
        for each in new:
            part.append(each)
            size_bytes += _record_bytes(len(each.data))
            if size_bytes >= PACK_BYTES:
                yield self._open_pack(index), part
                part, size_bytes = [], 0
        if part:
            yield self._open_pack(index), part

    def _open_pack(self, index: PackIndex) -> Indexed:
        """The pack to add to: the last one, or a new one when that is full or closed."""
        last = index.last()
        if last is not None and not last.is_closed and last.read_bytes < PACK_BYTES:
            return last
        number = 1 + max([each for each, _ in self._packs()] + ([last.pack] if last else [0]))
        descriptor = os.open(self._path(number), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        os.close(descriptor)
        if self._durable:
            filesystem.sync_directory(self.directory)
        made = Indexed(number, 0, 0, is_closed=False)
        index.note_pack(made)
        return made

    def _write(self, index: PackIndex, pack: Indexed, items: Sequence[Small], put_us: Mapping[str, int]) -> None:
        rows: list[Row] = []
        buffers: list[bytes] = []
        end = pack.read_bytes
        for each in items:
            at_us = put_us[each.digest]
            rows.append(Row(each.digest, pack.pack, end, len(each.data), at_us))
            buffers += (header_of(each.digest, len(each.data), at_us), each.data)
            end += _record_bytes(len(each.data))
        descriptor = os.open(self._path(pack.pack), os.O_RDWR | os.O_CLOEXEC)
        try:
            try:
                write_buffers(self._path(pack.pack), descriptor, buffers, pack.read_bytes)
            except BaseException:
                os.ftruncate(descriptor, pack.read_bytes)
                raise
            try:
                if self._durable:
                    filesystem.sync_file(descriptor)
            except BaseException:
                # What a failed sync left in memory looks whole and may never reach the medium: nothing may follow it.
                try:
                    os.ftruncate(descriptor, pack.read_bytes)
                finally:
                    index.note_pack(pack._replace(is_closed=True))
                raise
        finally:
            os.close(descriptor)
        index.add(pack.pack, end, rows)

    @contextmanager
    def _writing(self) -> Iterator[PackIndex]:
        """The index, up to date, while no other process or thread writes."""
        self._directories.make(self.directory)
        index = self._index_to_write()
        with self._telling(), filesystem.locked(self.directory):
            last = index.last()
            self._catch_up(index, 1 if last is None else last.pack)
            yield index

    # Reading

    def read(self, digest: str) -> bytes | None:
        """The verified bytes of a blob; None when it is in no pack.

        Raises
        ------
        IntegrityFailure
            When its bytes are not what its digest says.
        """
        index = self._readable_index()
        if index is None:
            return None
        with self._telling():
            row = index.find(digest)
            while row is not None:
                data = self._read(row)
                if data is not None:
                    return data
                before, row = row, index.find(digest)  # it may have been moved, or deleted, since
                if row == before:
                    if self._is_deleted(row):  # a power cut took the index's row of the deletion
                        self._forget(row)
                        return None
                    raise damaged(digest, f"what pack {row.pack} has at {row.offset:,} is not it")
        return None

    def stat(self, digest: str) -> BlobStat | None:
        """What is known of a blob; None when it is in no pack."""
        index = self._readable_index()
        if index is None:
            return None
        with self._telling():
            row = index.find(digest)
        return None if row is None else _stat(row)

    def listed(self, prefix: str = "") -> Iterator[BlobStat]:
        """All packed blobs in order of their digests."""
        index = self._readable_index()
        if index is None:
            return
        with self._telling():
            for row in index.rows(prefix):
                yield _stat(row)

    def _read(self, row: Row) -> bytes | None:
        """The bytes of a blob; None when they are not there, or not its own, or cannot be read."""
        try:
            descriptor = os.open(self._path(row.pack), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            data = os.pread(descriptor, _record_bytes(row.size_bytes), row.offset)
        except OSError as error:
            if error.errno == errno.EIO:  # as good as damaged: what is put again takes its place
                return None
            raise
        finally:
            os.close(descriptor)
        return payload_of(data, _record(row))

    def _forget(self, row: Row) -> None:
        """Take a row away that tells of a blob which is not there; whoever may not write leaves it."""
        with suppress(OSError), self._writing() as index:
            if index.find(row.digest) == row and self._is_deleted(row):
                index.remove(row, _record_bytes(row.size_bytes))

    def _is_deleted(self, row: Row) -> bool:
        with suppress(FileNotFoundError), self._path(row.pack).open("rb") as file:
            record = read_header(os.pread(file.fileno(), HEADER_BYTES, row.offset), row.offset)
            return record is not None and not record.is_live and record.digest == row.digest
        return False

    # Files that were verified, of the blobs that are not packed

    def verified(self, digest: str) -> Identity | None:
        """The file that was last found to hold a blob."""
        index = self._readable_index()
        if index is None:
            return None
        with self._telling():
            return index.verified(digest)

    def note_verified(self, digest: str, identity: Identity) -> None:
        """Remember a file that was just found to hold a blob."""
        with suppress(OSError, IntegrityFailure):  # what cannot be remembered is verified once more
            if not self.directory.is_dir():
                filesystem.make_directory(self.directory, durable=False)
            with self._telling():
                self._opened_index().note_verified(digest, identity)

    def forget_verified(self, digest: str) -> None:
        """Forget the file of a blob that is removed."""
        index = self._readable_index()
        if index is not None:
            with suppress(OSError), self._telling():
                index.forget_verified(digest)

    # Removing

    def touch(self, digest: str) -> bool:
        """Say that a blob is put, or used, now; whether it is in a pack."""
        if self.stat(digest) is None:
            return False
        with self._writing() as index:
            index.touch([digest], to_us(self._clock()))
        return True

    def delete(self, digest: str) -> bool:
        """Remove a blob; whether it was in a pack. Its bytes are overwritten, and given back when much of the pack is dead.

        Not synced: a blob that a power cut brings back is collected again.
        """
        if self.stat(digest) is None:
            return False
        with self._writing() as index:
            row = index.find(digest)
            if row is None:
                return False
            self._bury(index, row)
            pack = index.pack(row.pack)
            if pack is not None and pack.dead_bytes * 2 > pack.read_bytes >= _COMPACTED_FROM_BYTES:
                with suppress(OSError, UNUSABLE_NOW):  # it needs room, and the next deletion tries again
                    self._compact(index, pack)
        return True

    def _bury(self, index: PackIndex, row: Row) -> None:
        # The index first: a blob that it has must be readable.
        index.remove(row, _record_bytes(row.size_bytes))
        with suppress(FileNotFoundError), self._path(row.pack).open("r+b") as file:
            record = read_header(os.pread(file.fileno(), HEADER_BYTES, row.offset), row.offset)
            if record is not None and record.digest == row.digest:
                os.pwrite(file.fileno(), DELETED, row.offset + STATE_OFFSET)
                os.pwrite(file.fileno(), bytes(record.size_bytes), row.offset + HEADER_BYTES)

    def _compact(self, index: PackIndex, pack: Indexed) -> None:
        """Move what is left in a pack to another, and remove it.

        A damaged blob is moved as it is: that it is damaged is for a check to tell.
        """
        if not pack.is_closed:
            index.note_pack(pack._replace(is_closed=True))
        # A number is never given twice, or an index that a power cut set back would take the new pack for the old one.
        self._open_pack(index)
        rows = index.in_pack(pack.pack)
        path = self._path(pack.pack)
        if rows:
            with path.open("rb") as file:
                found = [os.pread(file.fileno(), row.size_bytes, row.offset + HEADER_BYTES) for row in rows]
            times = {row.digest: row.put_us for row in rows}
            moved = [Small(row.digest, data) for row, data in zip(rows, found, strict=True)]
            for target, part in self._parted(index, moved):
                self._write(index, target, part, times)
        index.remove_pack(pack.pack)
        path.unlink(missing_ok=True)

    def strangers(self) -> Iterator[Path]:
        """Files among the packs that are none."""
        known = {_INDEX_NAME + suffix for suffix in _INDEX_SUFFIXES}
        for name in names(self.directory):
            if _PACK_NAME.fullmatch(name) is None and name not in known:
                yield self.directory / name

    def close(self) -> None:
        """Close the index; it is opened again when it is used again."""
        with self._opening:
            if self._index is not None:
                self._index.close()
                self._index = None

    # Forks: SQLite's connections, and locks that other threads hold, must not be carried into a child

    def suspend(self, deadline_s: float) -> None:
        """See `chopmark.base.forks.Suspendable`."""
        for lock in (self._turn, self._opening):
            if lock.acquire(timeout=max(0.0, deadline_s - time.monotonic())):
                self._suspended.append(lock)
        self._suspended_index = self._index
        if self._suspended_index is not None:
            self._suspended_index.suspend()

    def resume(self) -> None:
        """Go on in the parent."""
        index, self._suspended_index = self._suspended_index, None
        if index is not None:
            index.resume()
        while self._suspended:
            self._suspended.pop().release()

    def start_anew(self) -> None:
        """Go on in the child, with an index and locks of its own."""
        self._index = self._suspended_index = None
        self._opening, self._turn, self._queue = threading.Lock(), threading.Lock(), threading.Lock()
        self._waiting, self._suspended = [], []

    # The index

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Turn what SQLite raises into errors of ours; an index that is damaged is looked at, and made again, when next opened."""
        try:
            yield
        except UNUSABLE_NOW as error:
            raise Unavailable(
                f"The index of the packs in {self.directory} does not answer: {error}.",
                hint="Look for a full disk, or for a process that holds it, then repeat.",
            ) from error
        except DAMAGED as error:
            index, self._index, self._is_suspect = self._index, None, True
            if index is not None:
                index.close()
            raise IntegrityFailure(
                f"The index of the packs in {self.directory} is damaged: {error}.",
                hint="Repeat: it is made again from the packs.",
            ) from error

    def _readable_index(self) -> PackIndex | None:
        """The index for somebody who reads; None when there are no packs."""
        index = self._index
        if index is not None and not index.is_in_memory:
            return index
        if not self.directory.is_dir():
            return None
        index = self._opened_index()
        if index.is_in_memory:  # nobody tells it of what others write
            with self._opening:
                self._renew(index)
        return index

    def _index_to_write(self) -> PackIndex:
        index = self._opened_index()
        if index.is_in_memory:  # the reason may be gone
            with self._opening:
                self._index = None
            index = self._opened_index()
        if index.is_in_memory:
            raise Unavailable(
                f"The index of the packs in {self.directory} cannot be written.",
                hint="Look for a full disk; or give this user write access to it and to the directory.",
            )
        return index

    def _opened_index(self) -> PackIndex:
        with self._opening:
            if self._index is None:
                self._index = self._open_index()
            return self._index

    def _open_index(self) -> PackIndex:
        path = self.directory / _INDEX_NAME
        if not os.access(path if path.exists() else self.directory, os.W_OK) or not os.access(self.directory, os.W_OK):
            return PackIndex(None)
        # Whoever holds the lock for long may be stopped: what he has acknowledged is in the index.
        with self._telling(), filesystem.locked(self.directory, wait_s=_READER_WAIT_S) as is_held:
            try:
                return self._index_at(path, catches_up=is_held)
            except (UNUSABLE_NOW, OSError):
                return PackIndex(None)  # a full disk has no room for SQLite's log; reading goes on
            except DAMAGED:  # or of another release: the packs say it all
                if not is_held:
                    raise
                for suffix in _INDEX_SUFFIXES:
                    path.with_name(_INDEX_NAME + suffix).unlink(missing_ok=True)
                return self._index_at(path, catches_up=True)

    def _index_at(self, path: Path, *, catches_up: bool) -> PackIndex:
        index = PackIndex(path)
        try:
            if self._is_suspect:
                index.check()
                self._is_suspect = False
            if catches_up:
                self._catch_up(index, 0)
        except BaseException:
            index.close()
            raise
        return index

    def _renew(self, index: PackIndex) -> None:
        """Bring an index in memory up to date."""
        known = {each.pack: each for each in index.packs()}
        found = dict(self._packs())
        for number in known.keys() - found.keys():
            index.remove_pack(number)
        for number, size_bytes in found.items():
            pack = known.get(number, Indexed(number, 0, 0, is_closed=True))
            if pack.read_bytes != size_bytes or number not in known:
                self._take(index, pack, size_bytes, may_write=False)

    def _catch_up(self, index: PackIndex, first: int) -> None:
        """Index what packs from a number on have and the index does not know of; under the lock."""
        if first:  # the usual case: whoever wrote last has indexed all of it
            last = index.pack(first)
            if (
                last is not None
                and (last.is_closed or size_of(self._path(first)) == last.read_bytes)
                and not self._path(first + 1).exists()
            ):
                return
        known = {each.pack: each for each in index.packs()}
        files = dict(self._packs())
        for number, size_bytes in files.items():
            pack = known.get(number, Indexed(number, 0, 0, is_closed=False))
            if number in known and (pack.is_closed or pack.read_bytes == size_bytes):
                continue
            self._take(index, pack, size_bytes, may_write=True)
        for number in known.keys() - files.keys():  # a power cut took the index's row of a compaction
            index.remove_pack(number)

    def _take(self, index: PackIndex, pack: Indexed, size_bytes: int, *, may_write: bool) -> None:
        """Index what a pack has beyond what is known of it.

        The last record of all, and any behind what was known, may have been cut off by whatever ended its writer, and then
        nobody was told of it: it is marked as deleted. Another that is damaged is indexed, so that a check finds it.
        """
        now_us = to_us(self._clock())
        rows: dict[str, Row] = {}
        with self._path(pack.pack).open("r+b" if may_write else "rb") as file:
            descriptor = file.fileno()
            found = list(scan(descriptor, pack.read_bytes, size_bytes))
            for position, (record, is_whole) in enumerate(found):
                if not is_whole and (pack.read_bytes or position == len(found) - 1):
                    if may_write:
                        os.pwrite(descriptor, DELETED, record.offset + STATE_OFFSET)
                elif record.is_live:
                    rows[record.digest] = Row(record.digest, pack.pack, record.offset, record.size_bytes, now_us)
            if may_write and self._durable:
                filesystem.sync_file(descriptor)
                filesystem.sync_directory(self.directory)  # whoever made it may have ended before it came to this
        # Who may not write does not know whether somebody is writing just now: what is not whole yet may be so next time.
        if not may_write:
            size_bytes = max((record.end for record, is_whole in found if is_whole), default=pack.read_bytes)
        index.add(pack.pack, size_bytes, rows.values())
        used = sum(_record_bytes(row.size_bytes) for row in index.in_pack(pack.pack))
        index.note_pack(Indexed(pack.pack, size_bytes, size_bytes - used, pack.is_closed))

    def _packs(self) -> list[tuple[int, int]]:
        """Number and length of each pack, in order."""
        matched = filter(None, map(_PACK_NAME.fullmatch, names(self.directory)))
        numbers = sorted(int(each[1]) for each in matched)
        return [(number, size_of(self._path(number))) for number in numbers]

    def _path(self, number: int) -> Path:
        return self.directory / f"{number:06}.pack"


def _record_bytes(size_bytes: int) -> int:
    return HEADER_BYTES + size_bytes


def _record(row: Row) -> Record:
    return Record(row.digest, row.offset, row.size_bytes, row.put_us, is_live=True)


def _stat(row: Row) -> BlobStat:
    return BlobStat(row.digest, row.size_bytes, row.size_bytes, from_us(row.put_us))
