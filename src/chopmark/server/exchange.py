"""One request and its answer, as ASGI carries them."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from http import HTTPStatus
from typing import Any, NamedTuple
from uuid import UUID

from chopmark.base.clock import system_clock
from chopmark.base.ids import uuid7
from chopmark.errors import InvalidRequest, TooLarge

__all__ = ["GONE", "Answer", "Exchange", "Pace", "Receive", "Scope", "Send"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Pace(NamedTuple):
    """How slow a client may be.

    Attributes
    ----------
    idle_s
        One that sends nothing of a body for so long is given up.
    bytes_per_s_min
        So is one that, after as long, has sent fewer bytes a second.
    """

    idle_s: float = 30.0
    bytes_per_s_min: float = 1024.0


GONE = "chopmark.gone"
"""Extension of a scope, whose ``asked`` says whether the connection is closing."""

_REQUEST_ID = re.compile(r"[A-Za-z0-9_.:/+=-]{1,128}")


class Answer(NamedTuple):
    """Status, headers and body of an answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Exchange:
    """A request, read as far as needed, and what became of it.

    Attributes
    ----------
    method, path, query
        As they were sent: the path and the query are percent-encoded.
    place
        The whole path, for people.
    request_id
        The client's own where it sent a usable one as ``X-Request-Id``.
    op, actor
        What was asked for and by whom, as soon as that is known.
    status, sent_bytes, duration_s
        Of the answer, once it was sent.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send, pace: Pace | None = None) -> None:
        self._pace = pace or Pace()
        self._is_gone: Callable[[], bool] = scope.get("extensions", {}).get(GONE, {}).get("asked", _never)
        self._headers: dict[bytes, bytes] = dict(reversed(scope["headers"]))  # the first of a name counts
        self._receive = receive
        self._send = send
        self._begun = time.perf_counter()
        self.method: str = scope["method"]
        self.path = _path(scope)
        self.place: str = scope.get("root_path", "") + self.path
        self.query: str = scope["query_string"].decode("ascii", "replace")
        self.scheme: str = scope.get("scheme", "http")
        self.client: str = scope["client"][0] if scope.get("client") else ""
        given = self.header("x-request-id")
        self.request_id = given if _REQUEST_ID.fullmatch(given) else _new_id().hex
        self.op = ""
        self.actor = ""
        self.status = 0
        self.sent_bytes = 0
        self.duration_s = 0.0

    def header(self, name: str) -> str:
        """A header's value; the first where there are several, empty where there is none."""
        return self._headers.get(name.encode(), b"").decode("latin-1")

    def has(self, name: str) -> bool:
        """Whether a header was sent, even an empty one."""
        return name.encode() in self._headers

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes.

        Raises
        ------
        InvalidRequest
            When the client goes away in the middle of it, or sends too slowly.
        """
        more, read_bytes, since = True, 0, time.monotonic()
        while more:
            # A slow line costs nothing for some time; then it must have brought something for every second.
            limit_s = since + self._pace.idle_s + read_bytes / self._pace.bytes_per_s_min - time.monotonic()
            try:
                async with asyncio.timeout(min(self._pace.idle_s, max(limit_s, 0.0))):
                    message = await self._receive()
            except TimeoutError:
                msg = f"Of the body {read_bytes:,} bytes came in {time.monotonic() - since:.0f} s, which is too slow."
                raise InvalidRequest(msg, hint="Send it again.") from None
            if message["type"] == "http.disconnect":
                raise InvalidRequest("The client went away before it had sent its request.")
            piece = message.get("body", b"")
            read_bytes += len(piece)
            worked = time.monotonic()
            yield piece
            since += time.monotonic() - worked  # what we took ourselves is not the client's
            more = message.get("more_body", False)

    def is_gone(self) -> bool:
        """Whether the client has gone away, as far as the connection knows: what is sent to it then is lost, without a word."""
        return self._is_gone()

    async def gone(self) -> None:
        """Return when the client has gone away; the request has been read."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def body(self, size_bytes_max: int) -> bytes:
        """The whole body.

        Raises
        ------
        TooLarge
            When it is longer than it may be; the rest is not read.
        InvalidRequest
            When the client goes away in the middle of it.
        """
        length = self.header("content-length")
        if length.isdecimal() and int(length) > size_bytes_max:
            raise _too_large(size_bytes_max)
        pieces: list[bytes] = []
        size = 0
        async for piece in self.pieces():
            size += len(piece)
            if size > size_bytes_max:
                raise _too_large(size_bytes_max)
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def send(self, answer: Answer) -> None:
        """Send an answer, once."""
        has_body = answer.status not in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)
        await self.begin(answer.status, answer.headers, len(answer.body) if has_body else None)
        await self.piece(b"" if self.method == "HEAD" else answer.body, more=False)

    async def begin(self, status: int, headers: Mapping[str, str], size_bytes: int | None) -> None:
        """Send an answer's head; its body follows in pieces."""
        sent = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        sent.append((b"x-request-id", self.request_id.encode()))
        if size_bytes is not None:
            sent.append((b"content-length", str(size_bytes).encode()))
        self.status = status
        await self._send({"type": "http.response.start", "status": status, "headers": sent})

    async def piece(self, piece: bytes, *, more: bool) -> None:
        """Send a piece of an answer's body."""
        await self._send({"type": "http.response.body", "body": piece, "more_body": more})
        self.sent_bytes += len(piece)
        if not more:
            self.duration_s = time.perf_counter() - self._begun


def _never() -> bool:
    return False


def _path(scope: Scope) -> str:
    """The path below where this application is mounted, as it was sent."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    return raw.partition(b"?")[0].decode("ascii", "replace").removeprefix(scope.get("root_path", ""))


def _new_id() -> UUID:
    return uuid7(system_clock())


def _too_large(size_bytes_max: int) -> TooLarge:
    return TooLarge(
        f"The body is longer than {size_bytes_max:,} bytes.",
        hint="Store large things as artifacts, or send less at a time.",
    )
