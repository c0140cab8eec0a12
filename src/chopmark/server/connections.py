"""Connections of the server: how long a request's head may take and how large it may be, and how many there are at once.

uvicorn reads and writes HTTP. What it leaves open is closed here: a head that never ends, a client that takes no answer, a body that
goes on after its answer, and more connections than there are files for.
"""

from __future__ import annotations

import asyncio
import resource
from typing import Any, NamedTuple

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from chopmark.base.jsons import encode
from chopmark.base.wording import within_sentence
from chopmark.ops.http import Problem
from chopmark.server.exchange import GONE
from chopmark.server.joined import Joined
from chopmark.server.telemetry import LOGGER

__all__ = ["Limits", "files_for", "protocol_of"]

HEAD_BYTES_MAX = 64 << 10
"""Longest head of a request; also of what follows a body, or stands between its pieces."""

_LINGER_S = 5.0
_LAST_S = 1.0
"""So long a server that stops waits for requests that are on their way."""

_FILES_BESIDE = 512
"""Files that are open beside connections: database, store, log."""

_WORDS = {
    400: "Bad Request",
    408: "Request Timeout",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}


class Limits(NamedTuple):
    """What one server bears.

    Attributes
    ----------
    connections_max
        Connections at once; beyond them the one that has waited longest for a request is closed.
    head_s
        How long a request's head may take from its first byte, or the first one's from the beginning of the connection.
    idle_s
        Who takes nothing of an answer for so long is cut off.
    """

    connections_max: int
    head_s: float
    idle_s: float


def files_for(connections_max: int) -> int:
    """Raise this process's limit of open files so that so many connections fit, and say how many do."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections_max + _FILES_BESIDE
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return connections_max
    fitting = max(1, soft - _FILES_BESIDE)
    LOGGER.warning(
        "Of %d connections at once %d fit into the %d files that this process may open.", connections_max, fitting, soft
    )
    return fitting


def protocol_of(limits: Limits) -> type[_Connection]:
    """The protocol of one server's connections, which share its limits."""
    waiting: dict[_Connection, None] = {}  # in the order in which they began to wait for a request

    class Connection(_Connection):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            self.limits = limits
            self.waiting = waiting

    return Connection


class _Connection(HttpToolsProtocol):
    limits: Limits
    waiting: dict[_Connection, None]
    is_stopping = False

    @classmethod
    def stop(cls) -> None:
        """Let each connection answer one more request at most."""
        cls.is_stopping = True

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._timer: asyncio.TimerHandle | None = None
        self._taking: asyncio.TimerHandle | None = None
        self._fed_bytes = 0
        self._is_in_head = False
        self._is_in_body = False
        self._unsent_bytes = 0

    @property
    def _last(self) -> RequestResponseCycle | None:
        """The last request; uvicorn says that there always is one."""
        return self.cycle

    # Beginning and end

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        joined: Any = Joined(transport, self.loop)
        self.transport = joined
        if len(self.connections) > self.limits.connections_max and not self._make_room():
            self._refuse(503, "The server has as many connections as it bears.", "Try again in a second.")
            return
        self.waiting[self] = None
        self._limit_head()
        if self.is_stopping:
            self.shutdown()

    def shutdown(self) -> None:
        """End with the request that is worked on, else with one that is on its way; uvicorn calls this when it stops.

        Who reuses a connection may have sent the next request before it could know: closed at once, that would be lost.
        """
        if self._last is not None and not self._last.response_complete:
            super().shutdown()
        else:
            self.loop.call_later(_LAST_S, self._end_unasked)

    def _end_unasked(self) -> None:
        if self._last is None or self._last.response_complete:
            self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        self.waiting.pop(self, None)
        self._stop_timer()
        self._stop_watching()
        super().connection_lost(exc)

    def _make_room(self) -> bool:
        """Close the connection that has waited longest for a request; whether there was one."""
        longest = next(iter(self.waiting), None)
        if longest is None:
            return False
        self.waiting.pop(longest)
        longest.transport.abort()  # it owes nothing, and is owed nothing
        return True

    # A request's head, and what has no place in a body

    def data_received(self, data: bytes) -> None:
        self._fed_bytes += len(data)
        super().data_received(data)
        if self._fed_bytes > HEAD_BYTES_MAX and not self.transport.is_closing():
            self._refuse(431, f"The request's head is longer than {HEAD_BYTES_MAX:,} bytes.", "Send less in it.")
        elif self._is_in_head and self._timer is None:
            self._limit_head()

    def on_message_begin(self) -> None:
        self._is_in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._fed_bytes, self._is_in_head, self._is_in_body = 0, False, True
        self._stop_timer()
        self.waiting.pop(self, None)
        self.scope["extensions"] = {GONE: {"asked": self.transport.is_closing}}
        super().on_headers_complete()
        if self.is_stopping:
            self.cycle.keep_alive = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._is_in_head:  # what comes after a body is not read by anybody
            super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        self._fed_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._fed_bytes, self._is_in_body = 0, False
        if self._last is not None and self._last.response_complete:
            self._stop_timer()
        super().on_message_complete()

    def _limit_head(self) -> None:
        self._timer = self.loop.call_later(self.limits.head_s, self._head_is_late)

    def _head_is_late(self) -> None:
        self._timer = None
        if self._is_in_head:
            msg = f"The request's head took longer than {self.limits.head_s:g} s."
            self._refuse(408, msg, "Send it in one piece.")
        elif not self.transport.is_closing():
            self.transport.abort()  # nothing was asked

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # Answers that are not taken

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        self._stop_watching()
        super().resume_writing()

    def _watch(self) -> None:
        self._stop_watching()
        self._unsent_bytes = self.transport.get_write_buffer_size()
        self._taking = self.loop.call_later(self.limits.idle_s, self._has_taken)

    def _has_taken(self) -> None:
        """Cut off who has taken nothing since; a slow one goes on."""
        self._taking = None
        if self.transport.get_write_buffer_size() >= self._unsent_bytes:
            self.transport.abort()
        else:
            self._watch()

    def _stop_watching(self) -> None:
        if self._taking is not None:
            self._taking.cancel()
            self._taking = None

    # After an answer

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            self._watch()
            return
        if self._is_in_body:  # refused before it was all there: nobody reads the rest
            self._stop_timer()
            self._timer = self.loop.call_later(_LINGER_S, self._end)
        if self.cycle.response_complete:  # else the next one was sent with it, and is worked on
            self.waiting[self] = None

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection on which nothing more was asked, once its answer is taken."""
        self._end()

    def _end(self) -> None:
        if self.transport.is_closing():
            return
        self.transport.close()
        if self.transport.get_write_buffer_size():
            self._watch()

    # Refusals of what is no request

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP; uvicorn calls this."""
        self._refuse(
            400, f"This is no request of HTTP: {within_sentence(msg)}", "Look at how the client or a proxy sends it."
        )

    def _refuse(self, status: int, message: str, hint: str) -> None:
        self._stop_timer()
        if self.transport.is_closing():
            return
        code = "unavailable" if status == 503 else "invalid_request"  # noqa: PLR2004 - a status
        title = code.replace("_", " ")
        problem = Problem(type=f"urn:chopmark:{code}", title=title, status=status, detail=message, code=code, hint=hint)
        body = encode(problem)
        head = (
            f"HTTP/1.1 {status} {_WORDS[status]}\r\ncontent-type: application/problem+json\r\n"
            f"content-length: {len(body)}\r\ncache-control: no-store\r\nretry-after: 1\r\nconnection: close\r\n\r\n"
        )
        if self._last is None or self._last.response_complete or not self._last.response_started:
            self.transport.write(head.encode() + body)
        self.transport.close()
