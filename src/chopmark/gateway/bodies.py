"""Bodies of requests: read whole, within limits of length and time, and of what all of them hold."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from chopmark.base.encodings import unpacked
from chopmark.errors import InvalidRequest, TooLarge, Unavailable

__all__ = ["SUM_BYTES_MAX", "Bodies", "Receive"]

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

SUM_BYTES_MAX = 128 << 20
LARGE_BYTES_MIN = 64 << 10
"""Shorter bodies are not counted: connections bound how many there are."""

_LOOKS_EVERY_S = 1.0


class Bodies:
    """Reads bodies.

    Parameters
    ----------
    idle_s
        A client that takes longer to send a body is given up.
    sum_bytes_max
        What the large bodies of all requests may come to, from their first byte until they are answered. One by itself may be
        longer.

    Timers for each request would cost more than reading most bodies; instead what is being read is looked through once a second while
    there is anything.
    """

    def __init__(self, idle_s: float, sum_bytes_max: int = SUM_BYTES_MAX) -> None:
        self._idle_s = idle_s
        self._sum_bytes_max = sum_bytes_max
        self._held: dict[asyncio.Task[Any], int] = {}
        self._held_bytes = 0
        self._reading: dict[asyncio.Task[Any], float] = {}
        self._late: set[asyncio.Task[Any]] = set()
        self._looks = False

    async def read(self, receive: Receive, headers: Mapping[bytes, bytes], size_bytes_max: int) -> bytes:
        """The whole body, unpacked.

        Raises
        ------
        TooLarge
            When it is longer than it may be; the rest is not read.
        InvalidRequest
            When the client goes away, or takes too long, or it is not what its encoding says.
        Unavailable
            When the bodies of other requests leave no room for it.
        """
        length = headers.get(b"content-length")
        if length is not None and length.isdigit() and int(length) > size_bytes_max:
            raise _too_large(size_bytes_max)
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        if task is None:
            raise RuntimeError("a body is read by a task")
        self._reading[task] = loop.time()
        if not self._looks:
            self._looks = True
            loop.call_later(_LOOKS_EVERY_S, self._look, loop)
        try:
            message = await receive()
            body: bytes = message.get("body", b"")
            if message.get("more_body", False) or message["type"] != "http.request" or len(body) > size_bytes_max:
                body = await self._rest(task, receive, message, size_bytes_max)
            elif len(body) >= LARGE_BYTES_MIN:
                self._hold(task, len(body))
        except asyncio.CancelledError:
            if task not in self._late:
                raise
            task.uncancel()
            raise InvalidRequest(
                f"The body did not come within {self._idle_s:g} s.", hint="Send it again, in one piece."
            ) from None
        finally:
            self._late.discard(task)
            del self._reading[task]
        packing = headers.get(b"content-encoding")
        if packing is None:
            return body
        body = unpacked(body, packing.decode("latin-1"), size_bytes_max)
        if len(body) >= LARGE_BYTES_MIN:
            self._hold(task, len(body))
        return body

    async def _rest(
        self, task: asyncio.Task[Any], receive: Receive, message: MutableMapping[str, Any], size_bytes_max: int
    ) -> bytes:
        pieces, size_bytes = [], 0
        while True:
            if message["type"] != "http.request":
                raise InvalidRequest("The client went away before it had sent its request.")
            piece: bytes = message.get("body", b"")
            pieces.append(piece)
            size_bytes += len(piece)
            if size_bytes > size_bytes_max:
                raise _too_large(size_bytes_max)
            self._hold(task, len(piece))
            if not message.get("more_body", False):
                return b"".join(pieces)
            message = await receive()

    def _hold(self, task: asyncio.Task[Any], size_bytes: int) -> None:
        """Count what a request holds, until it is answered, which is when its task ends.

        What was announced and has not come is not counted: who announces much and sends nothing would keep the others out.
        """
        own_bytes = self._held.get(task, 0)
        if self._held_bytes > own_bytes and self._held_bytes + size_bytes > self._sum_bytes_max:
            raise Unavailable(
                f"The requests that are worked on hold {self._held_bytes:,} bytes, and this one does not fit beside them.",
                hint="Send it again in a second; gateway_bodies_bytes_max says how many there may be.",
            )
        if task not in self._held:
            task.add_done_callback(self._let_go)
        self._held[task] = own_bytes + size_bytes
        self._held_bytes += size_bytes

    def _let_go(self, task: asyncio.Task[Any]) -> None:
        self._held_bytes -= self._held.pop(task)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        before = loop.time() - self._idle_s
        for task, since in self._reading.items():
            if since < before and task not in self._late:
                self._late.add(task)
                task.cancel()
        self._looks = bool(self._reading)
        if self._looks:
            loop.call_later(_LOOKS_EVERY_S, self._look, loop)


def _too_large(size_bytes_max: int) -> TooLarge:
    return TooLarge(
        f"The body is longer than {size_bytes_max:,} bytes.",
        hint="Send fewer rows at a time, or raise body_bytes_max of the endpoint.",
    )
