"""An answer on its way through ASGI."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from chopmark.gateway.chat.answered import Headers

__all__ = ["SentReply"]

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class SentReply:
    """A reply by ASGI's ``send``; the request's body has been read.

    Parameters
    ----------
    receive, send
        Of the request.
    head
        Headers of each answer, beside those of the completion.
    """

    def __init__(self, receive: Receive, send: Send, head: Headers = ()) -> None:
        self._receive = receive
        self._send = send
        self._head = head

    async def start(self, status: int, content_type: bytes, headers: Headers) -> None:
        """Begin the answer, once."""
        head = [(b"content-type", content_type), *headers, *self._head]
        await self._send({"type": "http.response.start", "status": status, "headers": head})

    async def piece(self, piece: bytes) -> None:
        """Send a piece of its body."""
        await self._send({"type": "http.response.body", "body": piece, "more_body": True})

    async def end(self) -> None:
        """End it."""
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def gone(self) -> None:
        """Return when the client has gone away."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
