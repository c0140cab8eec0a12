"""The client's side of an answer: started at most once, and ended in a way that its protocol has."""

from __future__ import annotations

from collections.abc import Awaitable

from chopmark.gateway.chat.answered import JSON, Headers, Problem, Reply
from chopmark.gateway.chat.events import event_of

__all__ = ["SERVED_MODEL_HEADER", "ClientGone", "Outgoing"]

SERVED_MODEL_HEADER = b"x-chopmark-served-model"

_EVENT_STREAM = b"text/event-stream; charset=utf-8"
# Proxies would keep pieces back until they have many.
_AS_IT_COMES: Headers = ((b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no"))
_OK = 200
_MODEL_LENGTH_MAX = 200


class ClientGone(Exception):
    """Nobody is there to take the answer."""


class Outgoing:
    """What a client is sent.

    Parameters
    ----------
    reply
        Where it goes.

    Attributes
    ----------
    status
        What the client was told; 0 for nothing yet.
    sent_bytes
        Of the body.
    has_ended
        Whether it has all that it gets.
    """

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self.status = 0
        self.sent_bytes = 0
        self.has_ended = False
        self._streams = False

    @property
    def has_started(self) -> bool:
        """Whether the client has something of an answer."""
        return self.status != 0

    async def whole(self, body: bytes, model: str) -> None:
        """Send an answer in one piece."""
        await self._all(_OK, body, ((SERVED_MODEL_HEADER, header_of(model)),))

    async def stream(self, piece: bytes, model: str) -> None:
        """Send a piece of a stream, and before the first one its head."""
        if not self.has_started:
            self.status, self._streams = _OK, True
            headers = (*_AS_IT_COMES, (SERVED_MODEL_HEADER, header_of(model)))
            await _unless_gone(self._reply.start(_OK, _EVENT_STREAM, headers))
        self.sent_bytes += len(piece)
        await _unless_gone(self._reply.piece(piece))

    async def end(self) -> None:
        """End a stream."""
        self.has_ended = True
        await _unless_gone(self._reply.end())

    async def problem(self, problem: Problem) -> None:
        """Tell of an error: by the status, or where a stream has begun by an event that clients know as one.

        Raises
        ------
        ClientGone
            When there is no way left to say it: half of an answer in one piece has been sent.
        """
        if self.has_ended:
            return
        if self.has_started and not self._streams:
            raise ClientGone
        if self.has_started:
            event = event_of(problem.body)
            self.sent_bytes += len(event)
            await _unless_gone(self._reply.piece(event))
            await self.end()
        else:
            await self._all(problem.status, problem.body, problem.headers)

    async def refuse(self, status: int, body: bytes, headers: Headers) -> None:
        """Answer a request that nobody was asked."""
        await self._all(status, body, headers)

    async def _all(self, status: int, body: bytes, headers: Headers) -> None:
        self.status = status
        self.sent_bytes = len(body)
        await _unless_gone(self._reply.start(status, JSON, (*headers, (b"content-length", b"%d" % len(body)))))
        await _unless_gone(self._reply.piece(body))
        await self.end()


def header_of(model: str) -> bytes:
    """A model's name as a header holds it; what a provider says is not trusted with line ends."""
    return "".join(c if " " <= c <= "~" else "?" for c in model[:_MODEL_LENGTH_MAX]).strip().encode()


async def _unless_gone(sent: Awaitable[None]) -> None:
    try:
        await sent
    except OSError as error:
        raise ClientGone from error
