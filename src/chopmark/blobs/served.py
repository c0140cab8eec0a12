"""A blob store that a server keeps, over HTTP."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from chopmark.abc.blobs import BlobStat, Progress
from chopmark.base.calls import Caller, Reply
from chopmark.base.digest import digest_of, parse_digest
from chopmark.base.jsons import decode, encode
from chopmark.blobs.copying import Content
from chopmark.blobs.distant import DistantStore
from chopmark.blobs.elsewhere import Elsewhere
from chopmark.blobs.transfer import parts
from chopmark.errors import InvalidRequest, NotFound, TooLarge, Unavailable, Unsupported
from chopmark.ops.direct import DIRECT_BYTES_MAX, ArrivedUpload, DirectUpload, UploadAddress
from chopmark.ops.http import PREFIX, MissingBlobs, PartsOfBlob, check_reply

if TYPE_CHECKING:
    import urllib3

__all__ = ["ServedStore"]

_PIECE_BYTES = 1 << 20
_ASK_FROM_BYTES = 16 << 10
"""Below this, sending the bytes costs no more than asking whether they are there."""

_LARGE_BYTES = 16 << 20
"""From here on, what breaks off is not sent again from its beginning, but in parts."""

_DIRECT_FROM_BYTES = 1 << 20
"""Below this, a second connection costs more than the way through the server."""

_PART_BYTES = 8 << 20
_PARALLEL = 4
_JSON = {"content-type": "application/json"}
_BREAKS_MAX = 5


class ServedStore(DistantStore):
    """A `chopmark.abc.blobs.BlobStore` of a server.

    Bytes that the server has already, and may say so to this caller, are not sent again. What comes is hashed here, so a
    server or a proxy that changes bytes is found out. Blobs are neither listed nor deleted from afar.

    Parameters
    ----------
    caller
        The server.
    staging
        As for `DistantStore`.
    """

    def __init__(self, caller: Caller, *, staging: Path | None = None) -> None:
        super().__init__(staging, _PARALLEL)
        self._caller = caller
        self._elsewhere = Elsewhere(caller.url)
        self._reads_directly = True
        self._writes_directly = True

    def __repr__(self) -> str:
        return f"ServedStore({self._caller.url!r})"

    def _store(self, staged: int, content: Content, progress: Progress | None) -> BlobStat:
        told = _Told(progress, content.size_bytes)
        known = self.stat(content.digest) if content.size_bytes >= _ASK_FROM_BYTES else None
        if known is not None and known.size_bytes == content.size_bytes:
            told.all()
            return msgspec.structs.replace(known, leaves=content.leaves)
        is_large = content.size_bytes >= _LARGE_BYTES
        brought = self._brought(staged, content, told) if is_large else None
        if brought is not None:
            told.all()
            return msgspec.structs.replace(brought, leaves=content.leaves)
        try:
            stat = self._put(content.digest, _Pieces(staged, 0, content.size_bytes, told), repeatable=not is_large)
        except (Unavailable, TooLarge):
            if not is_large:
                raise
            stat = self._put_parts(staged, content, told)
        told.all()
        return msgspec.structs.replace(stat, leaves=content.leaves)

    def _brought(self, staged: int, content: Content, told: _Told) -> BlobStat | None:
        """Bring the bytes to the server's store itself; None where that is not offered, or does not work from here."""
        if not self._writes_directly or content.size_bytes > DIRECT_BYTES_MAX:
            return None
        asked = encode(DirectUpload(size_bytes=content.size_bytes))
        try:
            answer = self._answered("POST", f"{_path(content.digest)}/address", asked, _JSON)
            place = decode(answer.body, UploadAddress)
            pieces = _Pieces(staged, 0, content.size_bytes, told)
            self._elsewhere.put(place.url, place.headers, pieces, content.size_bytes)
            arrived = encode(ArrivedUpload(upload=place.upload, size_bytes=content.size_bytes))
            taken = self._answered("POST", f"{_path(content.digest)}/arrived", arrived, _JSON, repeatable=False)
            return decode(taken.body, BlobStat)
        except (NotFound, InvalidRequest, Unavailable):  # the server takes them as it always does
            self._writes_directly = False
            return None

    def _put(self, digest: str, pieces: _Pieces, *, repeatable: bool = True) -> BlobStat:
        headers = {"content-type": "application/octet-stream", "content-length": str(pieces.size_bytes)}
        return decode(self._answered("PUT", _path(digest), pieces, headers, repeatable=repeatable).body, BlobStat)

    def _put_parts(self, staged: int, content: Content, told: _Told) -> BlobStat:
        """Send what broke off again, in parts that need not be sent twice: those that have arrived are asked for."""
        spans = list(parts(content.size_bytes, _PART_BYTES))
        digests = [digest_of(_Pieces(staged, start, end - start, None)) for start, end in spans]
        asked = MissingBlobs(tuple(dict.fromkeys(digests)))
        answer = self._answered("POST", f"{PREFIX}/blobs/missing", encode(asked), _JSON)
        missing_there = set(decode(answer.body, MissingBlobs).digests)
        rest = {digest: span for digest, span in zip(digests, spans, strict=True) if digest in missing_there}

        def put(part: tuple[str, tuple[int, int]]) -> None:
            digest, (start, end) = part
            self._put(digest, _Pieces(staged, start, end - start, told))

        with ThreadPoolExecutor(_PARALLEL, thread_name_prefix="chopmark-put-part") as pool:
            list(pool.map(put, rest.items()))
        whole = PartsOfBlob(tuple(digests))
        return decode(self._answered("POST", f"{_path(content.digest)}/assemble", encode(whole), _JSON).body, BlobStat)

    def _answered(
        self,
        method: str,
        path: str,
        body: _Pieces | bytes = b"",
        headers: dict[str, str] | None = None,
        *,
        repeatable: bool = True,
    ) -> Reply:
        reply = self._caller.call(method, path, body=body, headers=headers, repeatable=repeatable)
        check_reply(reply.status, reply.body, self._caller.url)
        return reply

    def stat(self, digest: str) -> BlobStat | None:
        """What the server knows of a blob; see `chopmark.abc.blobs.BlobStore.stat`."""
        parse_digest(digest)
        try:
            return decode(self._answered("GET", f"{_path(digest)}/stat").body, BlobStat)
        except NotFound:
            return None

    def list(self, prefix: str = "") -> Iterator[BlobStat]:  # noqa: ARG002
        """Nothing is listed from afar."""
        raise _only_there("listed")

    def delete(self, digest: str) -> bool:  # noqa: ARG002
        """Nothing is deleted from afar."""
        raise _only_there("deleted")

    def close(self) -> None:
        """The connections to the server are its caller's."""
        self._elsewhere.close()

    def _size_of(self, digest: str) -> int:
        return decode(self._answered("GET", f"{_path(digest)}/stat").body, BlobStat).size_bytes

    def _asked(self, digest: str, start: int, end: int) -> urllib3.BaseHTTPResponse:
        """An answer that brings a range of bytes: the server's, or that of its store where the server points to it."""
        directly = self._reads_directly and end - start >= _DIRECT_FROM_BYTES
        reply = self._caller.begin(
            "GET",
            _path(digest),
            query=(("direct", "true"),) if directly else (),
            headers={"range": f"bytes={start}-{end - 1}"},
            preload=False,
        )
        if reply.status != HTTPStatus.TEMPORARY_REDIRECT:
            return reply
        address = reply.headers.get("location", "")
        reply.drain_conn()
        reply.release_conn()
        try:
            found = self._elsewhere.get(address, start, end)
            if found.status == HTTPStatus.PARTIAL_CONTENT:
                return found
            found.close()
        except Unavailable:
            pass
        self._reads_directly = False  # the store is not reached from here
        return self._asked(digest, start, end)

    def _download(self, digest: str, start: int, end: int) -> Iterator[bytes]:
        """The bytes as they come; what breaks off is asked for again from where it broke."""
        from urllib3.exceptions import HTTPError

        at, broken = start, 0
        while at < end:
            reply = self._asked(digest, at, end)
            try:
                if reply.status != HTTPStatus.PARTIAL_CONTENT:
                    check_reply(reply.status, reply.read(_PIECE_BYTES), self._caller.url)
                    raise Unavailable(
                        f"{self._caller.url} sends no ranges.", hint="Look for a proxy that takes them away."
                    )
                for piece in reply.stream(_PIECE_BYTES):
                    at += len(piece)
                    yield piece
            except (HTTPError, OSError) as error:
                broken += 1
                if broken == _BREAKS_MAX:
                    raise Unavailable(
                        f"{self._caller.url} breaks off while it sends {digest}.", hint="Try again later."
                    ) from error
            finally:
                reply.close()


class _Pieces:
    """A part of an open file, to be sent any number of times."""

    def __init__(self, descriptor: int, start: int, size_bytes: int, told: _Told | None) -> None:
        self._descriptor = descriptor
        self._start = start
        self.size_bytes = size_bytes
        self._told = told

    def __iter__(self) -> Iterator[bytes]:
        for at in range(0, self.size_bytes, _PIECE_BYTES):
            piece = os.pread(self._descriptor, min(_PIECE_BYTES, self.size_bytes - at), self._start + at)
            yield piece
            if self._told is not None:
                self._told.moved(len(piece))


class _Told:
    """Tells of progress so that it adds up to the size, though some bytes go twice and others not at all."""

    def __init__(self, progress: Progress | None, size_bytes: int) -> None:
        self._progress = progress
        self._rest_bytes = size_bytes
        self._lock = threading.Lock()

    def moved(self, size_bytes: int) -> None:
        """So many bytes went."""
        with self._lock:
            told = min(size_bytes, self._rest_bytes)
            self._rest_bytes -= told
        if self._progress is not None and told:
            self._progress(told)

    def all(self) -> None:
        """All is there."""
        self.moved(self._rest_bytes)


def _path(digest: str) -> str:
    return f"{PREFIX}/blobs/{digest}"


def _only_there(verb: str) -> Unsupported:
    return Unsupported(f"Blobs of a server are not {verb} from afar.", hint="Do it where the server's store is.")
