"""A local cache in front of a remote store: verified on every read, bounded, least recently used out first.

::

    directory/
      blobs/…     a `LocalStore`; the mtime of a blob is when it was last used
      locks/ab    held while a blob whose digest starts so is downloaded, so that it is downloaded once
      usage       bytes that are cached, never fewer than there are; whoever adds or removes a blob holds its lock

Any number of threads and processes may share a directory. What is cached can be deleted at any time, all of it too.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO, TypeVar

from chopmark.abc.blobs import BlobSource, BlobStat, BlobStore, Progress, Verify
from chopmark.base.clock import Clock, system_clock
from chopmark.base.digest import PREFIX, parse_digest
from chopmark.blobs.copying import Content
from chopmark.blobs.failures import missing, reporting
from chopmark.blobs.local import LocalStore
from chopmark.blobs.readers import check_range
from chopmark.errors import IntegrityFailure, InvalidRequest, NotFound

__all__ = ["CachedStore"]

_Read = TypeVar("_Read")
_STALE = timedelta(days=1)
# After an eviction this much of the quota is used: the next downloads then need none, each of which reads all names.
_FILLED_TO = 0.9


class CachedStore:
    """A `chopmark.abc.blobs.BlobStore` that keeps what was read from another one.

    Writing, listing and `stat` go to the remote store. `open` and `fetch` of a cached blob ask it nothing, so they work while
    it is unreachable, and give a blob that another process has deleted there until it is evicted here: the bytes are right
    all the same.

    Parameters
    ----------
    remote
        Where blobs are stored.
    directory
        Of the cache; made when missing.
    quota_bytes
        What the cached blobs may take; downloads on their way come on top. A larger blob is passed through.
    clock
        What "recently" is measured by.
    """

    def __init__(self, remote: BlobStore, directory: Path, quota_bytes: int, *, clock: Clock = system_clock) -> None:
        if quota_bytes < 0:
            raise InvalidRequest(f"A quota of {quota_bytes} bytes cannot be kept.", hint="Use 0 or more.")
        self.remote = remote
        self.directory = directory
        self.quota_bytes = quota_bytes
        self._local = LocalStore(directory / "blobs", compression="none", durable=False, clock=clock)
        self._locks = directory / "locks"
        self._usage = directory / "usage"
        with reporting("make a cache", directory):
            self._locks.mkdir(parents=True, exist_ok=True)
        self._local.sweep(_STALE)

    def __repr__(self) -> str:
        return f"CachedStore({self.remote!r}, {str(self.directory)!r}, quota_bytes={self.quota_bytes})"

    # Through to the remote store

    def put(
        self,
        source: BinaryIO | Path,
        *,
        expected: str | None = None,
        consume: bool = False,
        progress: Progress | None = None,
    ) -> BlobStat:
        """Store in the remote store; see `chopmark.abc.blobs.BlobStore.put`. Nothing is cached before it is read."""
        return self.remote.put(source, expected=expected, consume=consume, progress=progress)

    def put_all(self, sources: Sequence[BlobSource], *, progress: Progress | None = None) -> list[BlobStat]:
        """Store many in the remote store; see `chopmark.abc.blobs.BlobStore.put_all`."""
        return self.remote.put_all(sources, progress=progress)

    def stat(self, digest: str) -> BlobStat | None:
        """What the remote store knows; see `chopmark.abc.blobs.BlobStore.stat`."""
        return self.remote.stat(digest)

    def list(self, prefix: str = "") -> Iterator[BlobStat]:
        """All blobs of the remote store; see `chopmark.abc.blobs.BlobStore.list`."""
        return self.remote.list(prefix)

    def delete(self, digest: str) -> bool:
        """Remove from the remote store and from this cache; see `chopmark.abc.blobs.BlobStore.delete`."""
        was_there = self.remote.delete(digest)
        self._drop(digest)
        return was_there

    def close(self) -> None:
        """Close the remote store; the cache stays for the next process."""
        self._local.close()
        self.remote.close()

    # Through the cache

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

        def cached() -> BinaryIO | None:
            return self._cached(
                digest,
                lambda: self._local.open(digest, offset=offset, length=length, leaves=leaves, verify=verify),
            )

        reader = cached()
        if reader is None and self._fill(digest, None):
            reader = cached()
        return reader or self.remote.open(digest, offset=offset, length=length, leaves=leaves, verify=verify)

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

        Progress is told of the download when there is one, otherwise of the copy.
        """
        parse_digest(digest)

        def cached(told: Progress | None) -> bool:
            def fetch() -> bool:
                self._local.fetch(digest, target, leaves=leaves, verify=verify, progress=told)
                return True

            return self._cached(digest, fetch) is not None

        if cached(progress):
            return
        told = self._fill(digest, progress)
        if told and cached(None):
            return
        self.remote.fetch(digest, target, leaves=leaves, verify=verify, progress=None if told else progress)

    def cached_bytes(self) -> int:
        """What the cached blobs take now."""
        return sum(stat.stored_bytes for stat in self._local.list())

    def _cached(self, digest: str, read: Callable[[], _Read]) -> _Read | None:
        """What is read from the cache; None when the blob is not there, or was damaged and is dropped."""
        try:
            found = read()
        except NotFound:
            return None
        except IntegrityFailure:
            self._drop(digest)
            return None
        self._local.touch(digest)
        return found

    def _fill(self, digest: str, progress: Progress | None) -> bool:
        """Download a blob into the cache; False when it is too large for that."""
        with reporting("cache a blob", self.directory), self._downloading(digest):
            if self._local.stat(digest) is not None:
                return True  # by somebody else, while we waited
            known = self.remote.stat(digest)
            if known is None:
                raise missing(digest)
            if known.size_bytes > self.quota_bytes:
                return False
            with self._local.incoming() as path:
                self.remote.fetch(digest, path, progress=progress)
                self._keep(path, Content(digest, known.size_bytes))
            return True

    @contextmanager
    def _downloading(self, digest: str) -> Iterator[None]:
        with _file_locked(self._locks / digest.removeprefix(PREFIX)[:2]):
            yield

    # Keeping the quota

    def _keep(self, path: Path, content: Content) -> None:
        with _file_locked(self._usage) as descriptor:
            counted = _read_count(descriptor)
            if counted is None or counted + content.size_bytes > self.quota_bytes:
                # The count may be too high: a process can end between counting and storing. So count what is there.
                counted = self._evict(content.size_bytes)
            _write_count(descriptor, counted + content.size_bytes)
            self._local.adopt(path, content)

    def _evict(self, wanted_bytes: int) -> int:
        """Delete the least recently used until there is room for so much; what is left."""
        found = sorted(self._local.list(), key=lambda stat: (stat.modified_at, stat.digest))
        left = sum(stat.stored_bytes for stat in found)
        goal = min(self.quota_bytes - wanted_bytes, int(self.quota_bytes * _FILLED_TO))
        for stat in found:
            if left <= goal:
                break
            self._local.delete(stat.digest)
            left -= stat.stored_bytes
        return left

    def _drop(self, digest: str) -> None:
        with reporting("remove a blob from a cache", self.directory), _file_locked(self._usage) as descriptor:
            stat = self._local.stat(digest)
            if stat is not None and self._local.delete(digest):
                counted = _read_count(descriptor)
                if counted is not None:
                    _write_count(descriptor, max(0, counted - stat.stored_bytes))


@contextmanager
def _file_locked(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _read_count(descriptor: int) -> int | None:
    text = os.pread(descriptor, 32, 0).strip()
    return int(text) if text.isdigit() else None


def _write_count(descriptor: int, count: int) -> None:
    os.pwrite(descriptor, f"{count:<31}\n".encode(), 0)
