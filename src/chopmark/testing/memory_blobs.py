"""An honest stand-in for a blob store: keeps the whole contract, in memory."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import msgspec

from chopmark.abc.blobs import BlobSource, BlobStat, Progress, Verify
from chopmark.base.clock import Clock, system_clock
from chopmark.base.digest import PREFIX, digest_of, parse_digest
from chopmark.base.leaves import LeafHasher
from chopmark.blobs.failures import damaged, missing, unexpected
from chopmark.blobs.filesystem import new_file
from chopmark.blobs.readers import check_prefix, check_range
from chopmark.blobs.sources import open_source

__all__ = ["MemoryStore"]


class MemoryStore:
    """A `chopmark.abc.blobs.BlobStore` for tests that are about something else.

    Parameters
    ----------
    clock
        What `BlobStat.modified_at` is taken from.

    Attributes
    ----------
    blobs
        Bytes by digest. A test may damage them: what does not hash to its digest is not handed out.
    """

    def __init__(self, *, clock: Clock = system_clock) -> None:
        self.blobs: dict[str, bytes] = {}
        self._stats: dict[str, BlobStat] = {}
        self._clock = clock
        self._lock = threading.RLock()

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
        data = _read_file(source) if isinstance(source, Path) else source.read()
        digest = digest_of(data)
        if expected not in {None, digest}:
            raise unexpected(str(expected), digest)
        with self._lock:
            self.blobs[digest] = data
            stat = self._stats[digest] = BlobStat(digest, len(data), len(data), self._clock())
        if progress is not None and data:
            progress(len(data))
        if consume and isinstance(source, Path):
            source.unlink()
        leaves = LeafHasher()
        leaves.update(data)
        return msgspec.structs.replace(stat, leaves=leaves.leaves())

    def put_all(self, sources: Sequence[BlobSource], *, progress: Progress | None = None) -> list[BlobStat]:
        """Store many; see `chopmark.abc.blobs.BlobStore.put_all`."""
        return [
            self.put(each.source, expected=each.expected, consume=each.consume, progress=progress) for each in sources
        ]

    def open(
        self,
        digest: str,
        *,
        offset: int = 0,
        length: int | None = None,
        leaves: Sequence[str] = (),  # noqa: ARG002 all of it is hashed
        verify: Verify = "always",  # noqa: ARG002 always
    ) -> BinaryIO:
        """Open verified bytes; see `chopmark.abc.blobs.BlobStore.open`."""
        check_range(offset, length)
        return io.BytesIO(self._verified(digest)[offset:][:length])

    def fetch(
        self,
        digest: str,
        target: Path,
        *,
        leaves: Sequence[str] = (),  # noqa: ARG002 all of it is hashed
        verify: Verify = "always",  # noqa: ARG002 always
        progress: Progress | None = None,
    ) -> None:
        """Write verified bytes to a file; see `chopmark.abc.blobs.BlobStore.fetch`."""
        data = self._verified(digest)
        with new_file(target) as descriptor, os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(data)
        if progress is not None and data:
            progress(len(data))

    def stat(self, digest: str) -> BlobStat | None:
        """What is known of a blob; see `chopmark.abc.blobs.BlobStore.stat`."""
        return self._stats.get(parse_digest(digest))

    def list(self, prefix: str = "") -> Iterator[BlobStat]:
        """All blobs in order; see `chopmark.abc.blobs.BlobStore.list`."""
        check_prefix(prefix)
        with self._lock:
            found = sorted(self._stats)
        stats = (self._stats.get(digest) for digest in found if digest.startswith(PREFIX + prefix))
        return (stat for stat in stats if stat is not None)

    def delete(self, digest: str) -> bool:
        """Remove a blob; see `chopmark.abc.blobs.BlobStore.delete`."""
        parse_digest(digest)
        with self._lock:
            self._stats.pop(digest, None)
            return self.blobs.pop(digest, None) is not None

    def close(self) -> None:
        """Nothing to give back."""

    def _verified(self, digest: str) -> bytes:
        data = self.blobs.get(parse_digest(digest))
        if data is None:
            raise missing(digest)
        if digest_of(data) != digest:
            raise damaged(digest, f"its bytes hash to {digest_of(data)}")
        return data


def _read_file(path: Path) -> bytes:
    with open_source(path) as opened, os.fdopen(os.dup(opened.descriptor), "rb") as file:
        data = file.read()
        opened.check_unchanged(len(data))
        return data
