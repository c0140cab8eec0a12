"""The interface of a blob store: bytes by their hash."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple, Protocol, runtime_checkable

import msgspec

__all__ = [
    "BlobSource",
    "BlobStat",
    "BlobStore",
    "GivesAddresses",
    "KeepsLeftovers",
    "Leftover",
    "Progress",
    "Verify",
]

Progress = Callable[[int], None]
"""Called with the number of bytes just moved; must be quick and must not raise."""

Verify = Literal["always", "changed"]
"""When stored bytes are hashed: ``always``, each time they are read; ``changed``, unless this store has hashed the very
same file before (device, inode, size, time of the last write and of the last change)."""


class BlobSource(NamedTuple):
    """Something to store; see `BlobStore.put`."""

    source: BinaryIO | Path
    expected: str | None = None
    consume: bool = False


class BlobStat(msgspec.Struct, frozen=True):
    """What a store knows of a blob without reading it.

    Attributes
    ----------
    digest
        SHA-256 of the raw bytes, also when they are stored compressed.
    size_bytes
        Length of the raw bytes.
    stored_bytes
        What it takes in the store.
    modified_at
        When it was last put (aware, UTC): collection waits for a grace time after it.
    leaves
        Leaf digests (`chopmark.base.leaves`) of the bytes that were just put; none from a stat or a listing, which read
        no bytes, and of a blob that is no larger than one leaf.
    """

    digest: str
    size_bytes: int
    stored_bytes: int
    modified_at: datetime
    leaves: tuple[str, ...] = ()


class Leftover(msgspec.Struct, frozen=True):
    """A file in the store that is no blob, by its name within the store."""

    name: str
    size_bytes: int


@runtime_checkable
class KeepsLeftovers(Protocol):
    """A store in which interrupted puts, or people, can leave files that are no blobs.

    An object store is none: what an interrupted upload leaves there is the bucket's to expire.
    """

    def leftovers(self, before: datetime) -> Sequence[Leftover]:
        """What puts that were cut off have left, last written before a time; not those still running."""
        ...

    def remove_leftovers(self, before: datetime) -> Sequence[Leftover]:
        """Remove what `leftovers` lists; what was removed."""
        ...

    def strangers(self) -> Iterator[Leftover]:
        """Files where blobs are kept that are none."""
        ...


@runtime_checkable
class GivesAddresses(Protocol):
    """A store that may be reached by somebody who has no credentials of it: one blob, for a while, by an address."""

    def read_address(self, digest: str, lifetime_s: float) -> str:
        """Where whoever has it gets the bytes of a blob by ``GET``, there or not."""
        ...

    def write_address(self, upload: str, lifetime_s: float) -> tuple[str, Mapping[str, str]]:
        """Where bytes are brought by one ``PUT``, and its headers; ``upload`` is 32 hexadecimal digits that nobody guesses."""
        ...

    def take_upload(self, upload: str, digest: str, size_bytes: int) -> BlobStat:
        """Make a blob of what was brought, once it is found to have that digest.

        `NotFound` when nothing was brought, `IntegrityFailure` when it is something else. What was brought is gone then.
        """
        ...


@runtime_checkable
class BlobStore(Protocol):
    """Bytes by their hash.

    Promises every implementation keeps (and the contract suite asks):

    - Atomic: a blob is absent or whole, whoever is killed at whatever moment. A reader never
      sees part of one.
    - Durable: when `put` returns, the bytes survive a power cut as far as the medium promises.
    - Idempotent: putting bytes that are there stores nothing and returns the same stat, with a
      fresh ``modified_at``.
    - Verified: `open` and `fetch` never hand out a byte that was not checked against the digest.
    - Threads and processes may call every method at once.
    - A failed `put` leaves nothing that `stat` or `list` shows.

    Errors: `IntegrityFailure` when bytes are not what they should be, `NotFound` for a digest
    that is not there, `Unavailable` when the store does not answer, `InvalidRequest` for a
    digest that is none.
    """

    def put(
        self,
        source: BinaryIO | Path,
        *,
        expected: str | None = None,
        consume: bool = False,
        progress: Progress | None = None,
    ) -> BlobStat:
        """Store a stream, from where it stands to its end, or a file.

        Parameters
        ----------
        source
            A binary stream or the path of a regular file (a symbolic link is refused with
            `InvalidRequest`; a file that changes while it is read is refused with `Conflict`;
            one that is not there with `NotFound`). What a stream raises passes unchanged.
        expected
            Digest the bytes must have; others are refused with `IntegrityFailure` and not stored.
        consume
            Whether the file may be moved instead of copied; it is gone afterwards.
        progress
            Told of every piece; the pieces add up to the size.
        """
        ...

    def put_all(self, sources: Sequence[BlobSource], *, progress: Progress | None = None) -> list[BlobStat]:
        """Store many, as `put` does each, at the cost of few waits for the medium; their stats in the same order.

        All of them are durable when it returns. When one cannot be stored its error is raised; any of
        the others may be stored then, or not.
        """
        ...

    def open(
        self,
        digest: str,
        *,
        offset: int = 0,
        length: int | None = None,
        leaves: Sequence[str] = (),
        verify: Verify = "always",
    ) -> BinaryIO:
        """Open verified bytes for reading; seekable; the caller closes it.

        Parameters
        ----------
        offset, length
            A range is a slice: what lies beyond the end is left out. Positions of the reader count
            from ``offset``.
        leaves
            Leaf digests of the blob from a source as good as its digest (its manifest). With them the
            store may verify the leaves of the range, all at once, instead of the whole blob from its
            first byte.
        verify
            Whether a file that this store has verified before, and that is the same since, is hashed
            again.

        Everything that can be read from it is verified before the first byte is handed out.
        """
        ...

    def fetch(
        self,
        digest: str,
        target: Path,
        *,
        leaves: Sequence[str] = (),
        verify: Verify = "always",
        progress: Progress | None = None,
    ) -> None:
        """Write verified bytes to a new file, atomically; a clone instead of a copy where possible.

        The new file is the caller's: writing to it never changes the store. A file that has the name
        is replaced in one step, or stays as it is when this fails; `InvalidRequest` when a directory
        has it, or when the directory to put it in is missing. ``leaves`` and ``verify`` as in `open`.
        """
        ...

    def stat(self, digest: str) -> BlobStat | None:
        """What is known of a blob, None when it is not there. Reads no content, verifies nothing."""
        ...

    def list(self, prefix: str = "") -> Iterator[BlobStat]:
        """All blobs, in order of their digests, whose hexadecimal digits start with ``prefix``."""
        ...

    def delete(self, digest: str) -> bool:
        """Remove a blob; whether it was there. Open readers keep what they have."""
        ...

    def close(self) -> None:
        """Give back connections and handles; the store is not used afterwards."""
        ...
