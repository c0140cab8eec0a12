"""What stores at a distance share: bytes are staged and hashed on this side before they go, and hashed when they come."""

from __future__ import annotations

import contextlib
import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from chopmark.abc.blobs import BlobSource, BlobStat, Progress, Verify
from chopmark.base.digest import digest_of, parse_digest
from chopmark.base.leaves import LEAF_BYTES, are_leaves, leaf_digest, leaf_range
from chopmark.blobs import filesystem
from chopmark.blobs.copying import Content, copy_file, copy_stream, write_all
from chopmark.blobs.failures import damaged, reporting, unexpected
from chopmark.blobs.readers import IN_MEMORY_BYTES, bytes_reader, check_range, file_reader
from chopmark.blobs.sources import open_source
from chopmark.blobs.transfer import put_each, write_parts

__all__ = ["DistantStore"]


class DistantStore(ABC):
    """The reading and writing half of a `chopmark.abc.blobs.BlobStore` that is reached over a network.

    Parameters
    ----------
    staging
        Directory for the bytes on their way; the system's temporary directory when left out. The files have no name, so a
        killed process leaves nothing.
    parallel
        Blobs on their way at once when many are put.
    """

    def __init__(self, staging: Path | None, parallel: int) -> None:
        self._staging = staging
        self._parallel = parallel

    @abstractmethod
    def _store(self, staged: int, content: Content, progress: Progress | None) -> BlobStat:
        """Store what a file holds whose bytes are known."""

    @abstractmethod
    def _size_of(self, digest: str) -> int:
        """Size of a blob in bytes; `NotFound` when it is not there."""

    @abstractmethod
    def _download(self, digest: str, start: int, end: int) -> Iterator[bytes]:
        """Bytes of a blob from one place to another, as they come; nothing is verified yet."""

    def _holding(self, digest: str) -> contextlib.AbstractContextManager[Any]:  # noqa: ARG002
        """Taken around every put."""
        return contextlib.nullcontext()

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
        with self._staged(source) as (staged, content):
            if expected is not None and content.digest != expected:
                raise unexpected(expected, content.digest)
            with self._holding(content.digest):
                stat = self._store(staged, content, progress)
        if consume and isinstance(source, Path):
            source.unlink(missing_ok=True)
        return stat

    def put_all(self, sources: Sequence[BlobSource], *, progress: Progress | None = None) -> list[BlobStat]:
        """Store many, several at a time; see `chopmark.abc.blobs.BlobStore.put_all`."""
        return put_each(self.put, sources, self._parallel, progress)

    @contextmanager
    def _staged(self, source: BinaryIO | Path) -> Iterator[tuple[int, Content]]:
        """The bytes in a file that nobody else can change, and what they are."""
        with contextlib.ExitStack() as stack:
            with reporting("stage an upload", self._staging_place):
                staged = stack.enter_context(tempfile.TemporaryFile(dir=self._staging)).fileno()
                if isinstance(source, Path):
                    with open_source(source) as opened:
                        content = copy_file(opened.descriptor, staged, opened.size_bytes)
                        opened.check_unchanged(content.size_bytes)
                else:
                    content = copy_stream(source, lambda piece: write_all(staged, piece))
            yield staged, content

    def open(
        self,
        digest: str,
        *,
        offset: int = 0,
        length: int | None = None,
        leaves: Sequence[str] = (),
        verify: Verify = "always",  # noqa: ARG002 what arrives over a network is always hashed
    ) -> BinaryIO:
        """Open verified bytes; see `chopmark.abc.blobs.BlobStore.open`.

        The whole blob is downloaded first; of a range of a large one whose leaves are known, the leaves that hold it.
        """
        parse_digest(digest)
        check_range(offset, length)
        size_bytes = self._size_of(digest)
        if size_bytes <= IN_MEMORY_BYTES:
            data = b"".join(self._download(digest, 0, size_bytes))
            _check(digest, digest_of(data))
            return bytes_reader(data, offset, length)
        start, end = 0, size_bytes
        if leaves:
            start, end = leaf_range(offset, length, size_bytes)
        with reporting("stage a download", self._staging_place), tempfile.TemporaryFile(dir=self._staging) as staged:
            if (start, end) == (0, size_bytes):
                _check(digest, write_parts(self._download(digest, 0, size_bytes), staged.fileno(), None).digest)
                return file_reader(os.dup(staged.fileno()), size_bytes, offset, length)
            arriving = write_parts(self._download(digest, start, end), staged.fileno(), None)
            if not are_leaves(tuple(leaves), size_bytes) or not _are_those(arriving, staged.fileno(), leaves, start):
                raise damaged(digest, f"the bytes from {start:,} to {end:,} are not its own")
            return file_reader(os.dup(staged.fileno()), end - start, min(offset, end) - start, length)

    def fetch(
        self,
        digest: str,
        target: Path,
        *,
        leaves: Sequence[str] = (),  # noqa: ARG002 hashing keeps up with the network
        verify: Verify = "always",  # noqa: ARG002 what arrives over a network is always hashed
        progress: Progress | None = None,
    ) -> None:
        """Write verified bytes to a file; see `chopmark.abc.blobs.BlobStore.fetch`."""
        parse_digest(digest)
        size_bytes = self._size_of(digest)
        with reporting("write a file", target), filesystem.new_file(target) as descriptor:
            content = write_parts(self._download(digest, 0, size_bytes), descriptor, progress)
            _check(digest, content.digest)

    @property
    def _staging_place(self) -> Path:
        return self._staging or Path(tempfile.gettempdir())


def _check(digest: str, actual: str) -> None:
    if actual != digest:
        raise damaged(digest, f"its bytes hash to {actual}")


def _are_those(arrived: Content, descriptor: int, leaves: Sequence[str], start: int) -> bool:
    """Whether a file that begins at a leaf of a blob holds the leaves that are told."""
    if arrived.size_bytes <= LEAF_BYTES:
        found: tuple[str, ...] = (leaf_digest(os.pread(descriptor, arrived.size_bytes, 0)),)
    else:
        found = arrived.leaves
    first = start // LEAF_BYTES
    return found == tuple(leaves[first : first + len(found)])
