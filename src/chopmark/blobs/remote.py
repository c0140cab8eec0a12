"""Blobs in an object store: S3 and what is compatible with it, Google Cloud Storage, Azure Blob Storage.

::

    prefix/blobs/sha256/ab/abcdef…            a blob: its raw bytes, so that any client of the store can check and use it
    prefix/blobs/sha256/ab/abcdef….touched    empty; its time says when the blob was put again

The bytes are staged in a local file while they are hashed, since the key is their digest; then they are uploaded by one
request that fails when the key is taken, or in parts. An object store shows an object only when its upload is complete, so
a blob is absent or whole. The completion of an upload in parts may replace a blob: by equal bytes, which no reader can tell.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec

from chopmark.abc.blobs import BlobStat, Progress
from chopmark.base.clock import system_clock
from chopmark.base.digest import parse_digest
from chopmark.base.ids import uuid7
from chopmark.blobs.copying import PIECE_BYTES, Content
from chopmark.blobs.direct import signed_read, signed_write, take_in
from chopmark.blobs.distant import DistantStore
from chopmark.blobs.failures import missing
from chopmark.blobs.keys import FOLDER, Listed, in_order, key_of, touch_key_of
from chopmark.blobs.objects import Limits, calling
from chopmark.blobs.readers import check_prefix
from chopmark.blobs.transfer import download, upload
from chopmark.errors import Conflict, IntegrityFailure, NotFound, Unavailable, Unsupported

if TYPE_CHECKING:
    from obstore import ObjectMeta

    from chopmark.blobs.objects import Objects

__all__ = ["Lock", "ObjectStore"]

Lock = Callable[[str], AbstractContextManager[Any]]
"""Gives a context manager that holds a name among all processes that write to the store."""

_LISTED_AT_ONCE = 1000
_MD5 = re.compile(r"[0-9a-f]{32}")
# A blob that is there, and gone when looked at, again and again: somebody deletes as fast as we put.
_ATTEMPTS = 10
# Each waits a random while, longer every time, so that those who work against each other fall out of step.
_PAUSE_S = 0.02


class ObjectStore(DistantStore):
    """A `chopmark.abc.blobs.BlobStore` over a bucket or container.

    Parameters
    ----------
    objects
        A client of `chopmark.blobs.objects.connect`.
    place
        What errors call the store: its address without credentials.
    limits
        Time-outs, retries and part sizes; those of requests are already in ``objects``.
    lock
        Taken around every put where the store cannot refuse a second write to one key.
    staging
        Directory for the bytes on their way; the system's temporary directory when left out. The files have no name, so a
        killed process leaves nothing.
    """

    def __init__(
        self,
        objects: Objects,
        place: str,
        *,
        limits: Limits | None = None,
        lock: Lock | None = None,
        staging: Path | None = None,
    ) -> None:
        self._objects = objects
        self.place = place
        self._limits = limits or Limits()
        super().__init__(staging, self._limits.parallel)
        self._lock = lock
        self._tags_are_md5 = True

    def __repr__(self) -> str:
        return f"ObjectStore({self.place!r})"

    def probe(self, token: UUID | None = None) -> bool:
        """Write one key twice, conditionally; whether the store refused the second, as it should.

        Also finds out, before anything depends on it, that the store answers and that the credentials may write.

        Raises
        ------
        Unsupported
            When the second write was accepted and there is no lock that would keep writers apart.
        """
        import obstore
        from obstore.exceptions import AlreadyExistsError

        key = f"probe/{token or uuid7(system_clock())}"
        with calling("write", self.place):
            obstore.put(self._objects, key, b"first", mode="create")
            try:
                obstore.put(self._objects, key, b"second", mode="create")
                refused = False
            except AlreadyExistsError:
                refused = True
            finally:
                obstore.delete(self._objects, key)
        if not refused and self._lock is None:
            raise Unsupported(
                f"{self.place} accepted two conditional writes to one key: it ignores `If-None-Match`, so two writers could "
                "replace each other's objects unseen.",
                hint="Upgrade the server to one with conditional writes, or open the store with a lock in the database.",
            )
        return refused

    # Writing

    def _holding(self, digest: str) -> AbstractContextManager[Any]:
        return self._lock(digest) if self._lock else contextlib.nullcontext()

    def _store(self, staged: int, content: Content, progress: Progress | None) -> BlobStat:
        for attempt in range(_ATTEMPTS):
            known = self._head(key_of(content.digest))
            if known is not None and known["size"] == content.size_bytes and not self._was_changed(known, staged):
                if progress is not None and content.size_bytes:
                    progress(content.size_bytes)
                stat = self._touch(content)
            else:
                stat = self._upload(staged, content, progress, replace=known is not None)
            if stat is not None:
                return stat
            progress = None
            time.sleep(random.uniform(0, _PAUSE_S * (attempt + 1)))  # noqa: S311 - no secret
        raise Conflict(
            f"The blob {content.digest} is deleted from {self.place} as fast as it is stored.",
            hint="Stop the collection, or the rule of the bucket, that deletes it, then repeat.",
        )

    def _was_changed(self, known: ObjectMeta, staged: int) -> bool:
        """Whether an object is known to hold other bytes than those staged, so that storing the original repairs it.

        Many stores give the MD5 of what was uploaded in one part as its entity tag. Those that give another one of its
        form are found out by the first upload, and not believed again.
        """
        tag = (known.get("e_tag") or "").strip('"')
        return self._tags_are_md5 and _MD5.fullmatch(tag) is not None and tag != _md5_of(staged)

    def _upload(self, staged: int, content: Content, progress: Progress | None, *, replace: bool) -> BlobStat | None:
        """Upload, and look at what is there afterwards; None when it is already gone."""
        key = key_of(content.digest)
        try:
            with calling("store a blob", self.place):
                stored_here = upload(
                    self._objects, key, staged, content.size_bytes, self._limits, progress=progress, replace=replace
                )
        except Unavailable:
            # On Azure two uploads of one blob in parts share its uncommitted blocks, which the first commit takes away.
            if not self._is_whole(content):
                raise
            stored_here = False
        if not stored_here:
            return self._touch(content)
        stored = self._head(key)
        if stored is not None and stored["size"] != content.size_bytes:
            raise IntegrityFailure(
                f"{self.place} accepted the blob {content.digest} and does not have it whole.",
                hint="Look for a rule or a proxy that changes objects, then repeat.",
                digest=content.digest,
            )
        if replace and stored is not None and self._was_changed(stored, staged):
            self._tags_are_md5 = False
        return None if stored is None else _with_leaves(_stat(content.digest, stored, None), content)

    def _is_whole(self, content: Content) -> bool:
        stored = self._head(key_of(content.digest))
        return stored is not None and stored["size"] == content.size_bytes

    def _touch(self, content: Content) -> BlobStat | None:
        """Say that a blob which is there was put once more: object stores keep no time that could be set.

        None when it is gone meanwhile, or not whole: a gateway may show an upload that was cut off.
        """
        import obstore

        key = touch_key_of(content.digest)
        with calling("store a blob", self.place):
            obstore.put(self._objects, key, b"", use_multipart=False)
        stat = self.stat(content.digest)
        return _with_leaves(stat, content) if stat is not None and stat.size_bytes == content.size_bytes else None

    # Reading

    def _download(self, digest: str, start: int, end: int) -> Iterator[bytes]:
        try:
            yield from download(self._objects, key_of(digest), start, end, self._limits, self.place)
        except NotFound as error:  # deleted since we looked
            raise missing(digest) from error

    def _size_of(self, digest: str) -> int:
        blob = self._head(key_of(digest))
        if blob is None:
            raise missing(digest)
        return blob["size"]

    def _head(self, key: str) -> ObjectMeta | None:
        import obstore

        try:
            with calling("look up a blob", self.place):
                return obstore.head(self._objects, key)
        except NotFound:
            return None

    def stat(self, digest: str) -> BlobStat | None:
        """What is known of a blob; see `chopmark.abc.blobs.BlobStore.stat`. Two requests."""
        parse_digest(digest)
        blob = self._head(key_of(digest))
        return None if blob is None else _stat(digest, blob, self._head(touch_key_of(digest)))

    def list(self, prefix: str = "") -> Iterator[BlobStat]:
        """All blobs in order; see `chopmark.abc.blobs.BlobStore.list`."""
        check_prefix(prefix)
        folder = f"{FOLDER}/{prefix[:2]}" if len(prefix) >= 2 else FOLDER  # noqa: PLR2004 the length of a folder's name
        return in_order(self._listed(folder), prefix)

    def _listed(self, folder: str) -> Iterator[Listed]:
        import obstore

        with calling("list the blobs", self.place):
            for chunk in obstore.list(self._objects, folder, chunk_size=_LISTED_AT_ONCE):
                for each in chunk:
                    yield Listed(each["path"], each["size"], each["last_modified"])

    # Past this process

    def read_address(self, digest: str, lifetime_s: float) -> str:
        """See `chopmark.abc.blobs.GivesAddresses.read_address`."""
        return signed_read(self._objects, parse_digest(digest), lifetime_s, self.place)

    def write_address(self, upload: str, lifetime_s: float) -> tuple[str, Mapping[str, str]]:
        """See `chopmark.abc.blobs.GivesAddresses.write_address`."""
        return signed_write(self._objects, upload, lifetime_s, self.place)

    def take_upload(self, upload: str, digest: str, size_bytes: int) -> BlobStat:
        """See `chopmark.abc.blobs.GivesAddresses.take_upload`."""
        with self._holding(parse_digest(digest)):
            take_in(self._objects, upload, digest, size_bytes, head=self._head, limits=self._limits, place=self.place)
            stat = self._touch(Content(digest, size_bytes))
        if stat is None:
            raise Conflict(
                f"The blob {digest} was deleted from {self.place} as soon as it was stored.", hint="Repeat it."
            )
        return stat

    # Removing

    def delete(self, digest: str) -> bool:
        """Remove a blob; see `chopmark.abc.blobs.BlobStore.delete`.

        Stores do not say whether a deleted object was there: of two processes that delete it at once, both may be told so.
        """
        parse_digest(digest)
        was_there = self._head(key_of(digest)) is not None
        for key in (key_of(digest), touch_key_of(digest)):
            self._delete(key)
        return was_there

    def _delete(self, key: str) -> None:
        import obstore

        # S3 accepts the deletion of what is not there; Azure and GCS refuse it.
        with contextlib.suppress(NotFound), calling("delete a blob", self.place):
            obstore.delete(self._objects, key)

    def close(self) -> None:
        """Connections belong to the client and close with it."""


def _md5_of(descriptor: int) -> str:
    state = hashlib.md5(usedforsecurity=False)
    offset = 0
    while piece := os.pread(descriptor, PIECE_BYTES, offset):
        state.update(piece)
        offset += len(piece)
    return state.hexdigest()


def _with_leaves(stat: BlobStat, content: Content) -> BlobStat:
    return msgspec.structs.replace(stat, leaves=content.leaves)


def _stat(digest: str, blob: ObjectMeta, touched: ObjectMeta | None) -> BlobStat:
    times = [each["last_modified"] for each in (blob, touched) if each is not None]
    return BlobStat(digest, blob["size"], blob["size"], max(times))
