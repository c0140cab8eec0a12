"""A blob store that a server keeps, over HTTP."""

from __future__ import annotations

import os
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import msgspec

from chopmark.abc.blobs import BlobStat, Progress
from chopmark.base.calls import Caller, Reply
from chopmark.base.digest import parse_digest
from chopmark.base.jsons import decode
from chopmark.blobs.copying import Content
from chopmark.blobs.distant import DistantStore
from chopmark.errors import NotFound, Unavailable, Unsupported
from chopmark.ops.http import PREFIX, check_reply

__all__ = ["ServedStore"]

_PIECE_BYTES = 1 << 20
_ASK_FROM_BYTES = 16 << 10
"""Below this, sending the bytes costs no more than asking whether they are there."""

_PARALLEL = 4
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

    def __repr__(self) -> str:
        return f"ServedStore({self._caller.url!r})"

    def _store(self, staged: int, content: Content, progress: Progress | None) -> BlobStat:
        known = self.stat(content.digest) if content.size_bytes >= _ASK_FROM_BYTES else None
        if known is not None and known.size_bytes == content.size_bytes:
            if progress is not None:
                progress(content.size_bytes)
            return msgspec.structs.replace(known, leaves=content.leaves)
        headers = {"content-type": "application/octet-stream", "content-length": str(content.size_bytes)}
        body = _Pieces(staged, content.size_bytes, progress)
        stat = decode(self._answered("PUT", _path(content.digest), body, headers).body, BlobStat)
        return msgspec.structs.replace(stat, leaves=content.leaves)

    def _answered(
        self, method: str, path: str, body: _Pieces | bytes = b"", headers: dict[str, str] | None = None
    ) -> Reply:
        reply = self._caller.call(method, path, body=body, headers=headers)
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
        """The connections are its caller's."""

    def _size_of(self, digest: str) -> int:
        return decode(self._answered("GET", f"{_path(digest)}/stat").body, BlobStat).size_bytes

    def _download(self, digest: str, start: int, end: int) -> Iterator[bytes]:
        """The bytes as they come; what breaks off is asked for again from where it broke."""
        from urllib3.exceptions import HTTPError

        at, broken = start, 0
        while at < end:
            reply = self._caller.begin("GET", _path(digest), headers={"range": f"bytes={at}-{end - 1}"}, preload=False)
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
    """An open file's bytes, to be sent any number of times."""

    def __init__(self, descriptor: int, size_bytes: int, progress: Progress | None) -> None:
        self._descriptor = descriptor
        self._size_bytes = size_bytes
        self._progress = progress

    def __iter__(self) -> Iterator[bytes]:
        for at in range(0, self._size_bytes, _PIECE_BYTES):
            piece = os.pread(self._descriptor, min(_PIECE_BYTES, self._size_bytes - at), at)
            yield piece
            if self._progress is not None:
                self._progress(len(piece))


def _path(digest: str) -> str:
    return f"{PREFIX}/blobs/{digest}"


def _only_there(verb: str) -> Unsupported:
    return Unsupported(f"Blobs of a server are not {verb} from afar.", hint="Do it where the server's store is.")
