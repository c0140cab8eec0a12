"""Events as they happen, to many hearers at once: server-sent events that a hearer can go on with where it broke off.

What is heard is the audit, so nothing is missed whichever server made the change. One reader asks the database for what is
new, at once after a change of this process and a few times a second for those of others, and only while somebody hears.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple, Protocol
from urllib.parse import parse_qsl

from chopmark.base.jsons import encode
from chopmark.domain.audit import AuditEvent
from chopmark.domain.cloud_events import Wanted, cloud_event
from chopmark.domain.sight import is_seen
from chopmark.errors import ChopmarkError, InvalidRequest, Unavailable
from chopmark.ops.event_names import check_events
from chopmark.server.admission import Admission
from chopmark.server.exchange import Exchange

__all__ = ["EventRoutes", "Events"]

HEARERS_MAX = 2_000
_ASKED_EVERY_S = 0.25
_ALIVE_EVERY_S = 15.0
_ADMITTED_FOR_S = 5.0
_KEPT = 10_000
_PAGE = 500
_RETRY_MS = 1_000
_SEQ = re.compile(r"[0-9]{1,18}")

Sight = frozenset[str] | None


class Events(Protocol):
    """Where events come from; `chopmark.wiring.LocalTransport` does."""

    def events(self, after_seq: int, limit: int) -> list[AuditEvent]:
        """Events of the audit after one, oldest first."""
        ...

    def last_seq(self) -> int:
        """Number of the last event."""
        ...

    def on(self, event: str, listener: Callable[[AuditEvent], None]) -> Callable[[], None]:
        """Call a function after each event of this process."""
        ...


class _Told(NamedTuple):
    event: AuditEvent
    text: bytes


class EventRoutes:
    """What is served of events.

    Parameters
    ----------
    source
        Where they come from.
    door
        Who asks, and threads to ask the database on.
    """

    def __init__(self, source: Events, door: Admission) -> None:
        self._source = source
        self._door = door
        self._recent: deque[_Told] = deque(maxlen=_KEPT)
        self._last = 0
        self._hearers = 0
        self._registry = ""
        self._news = asyncio.Event()
        self._ended = False
        self._reading: asyncio.Task[None] | None = None

    def rows(self) -> Iterable[tuple[str, str, Callable[[Exchange, dict[str, str]], Awaitable[None]]]]:
        """Method, path and what serves them."""
        return (("GET", "/events", self.hear),)

    async def hear(self, exchange: Exchange, places: dict[str, str]) -> None:  # noqa: ARG002
        """Send events until the client goes away.

        Without ``Last-Event-ID`` (or ``after`` in the query) from now on.
        """
        exchange.op = "event.hear"
        sight = (await self._door.run(lambda: self._door.admitted(exchange, "read"))).sight
        wanted, after = _asked(exchange)
        if self._hearers >= HEARERS_MAX:
            raise Unavailable(f"{HEARERS_MAX:,} hear events already.", hint="Try again later.")
        position = await self._door.run(self._source.last_seq) if after is None else after
        headers = {"content-type": "text/event-stream", "cache-control": "no-store", "x-accel-buffering": "no"}
        self._hearers += 1
        self._begin_reading(position)
        leaving = asyncio.ensure_future(exchange.gone())
        try:
            await exchange.begin(HTTPStatus.OK, headers, None)
            await exchange.piece(f"retry: {_RETRY_MS}\n: from {position}\n\n".encode(), more=True)
            await self._follow(exchange, wanted, sight, position, leaving)
            await exchange.piece(b"", more=False)
        finally:
            leaving.cancel()
            self._hearers -= 1
            if not self._hearers and self._reading is not None:
                self._reading.cancel()
                self._reading = None

    async def _follow(
        self, exchange: Exchange, wanted: Wanted, sight: Sight, position: int, leaving: asyncio.Future[None]
    ) -> None:
        loop = asyncio.get_running_loop()
        asked_again = loop.time() + _ADMITTED_FOR_S
        while not (leaving.done() or self._ended):
            if loop.time() >= asked_again:  # a token that is revoked meanwhile hears no more, nor of a project it lost
                try:
                    sight = (await self._door.run(lambda: self._door.admitted(exchange, "read"))).sight
                except ChopmarkError:
                    return
                asked_again = loop.time() + _ADMITTED_FOR_S
            told = await self._after(position)
            if told:
                position = told[-1].event.seq
                text = b"".join(each.text for each in told if _is_for(each.event, wanted, sight))
                if text:
                    await exchange.piece(text, more=True)
            elif not await self._news_within(position, _ALIVE_EVERY_S, leaving):
                await exchange.piece(b": alive\n\n", more=True)

    async def _after(self, position: int) -> Sequence[_Told]:
        """What is known after a position: from memory, or, for who lags behind what is kept, from the database."""
        if position >= self._last:
            return ()
        if self._recent and self._recent[0].event.seq <= position + 1:
            first = position + 1 - self._recent[0].event.seq
            return [self._recent[n] for n in range(first, min(first + _PAGE, len(self._recent)))]
        return await self._door.run(lambda: self._told(self._source.events(position, _PAGE)))

    async def _news_within(self, position: int, seconds: float, leaving: asyncio.Future[None]) -> bool:
        """Wait for an event after a position, for the client to leave, or for the server's end; whether one came."""
        news = self._news
        if self._last > position or self._ended:
            return True
        waiting = asyncio.ensure_future(news.wait())
        either: set[asyncio.Future[Any]] = {waiting, leaving}
        done, _ = await asyncio.wait(either, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        return bool(done)

    def end(self) -> None:
        """Let all hearers go: the server stops."""
        self._ended = True
        self._spread()

    def _spread(self) -> None:
        """Wake all who wait for news; who waits from now on waits for the next."""
        news, self._news = self._news, asyncio.Event()
        news.set()

    def _begin_reading(self, position: int) -> None:
        if self._reading is None:
            self._recent.clear()
            self._last = position
            self._reading = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        changed = asyncio.Event()

        def wake(_: AuditEvent) -> None:
            loop.call_soon_threadsafe(changed.set)

        end = self._source.on("*", wake)
        try:
            while True:
                changed.clear()
                with contextlib.suppress(ChopmarkError):  # the database is away: those who hear wait until it is back
                    while found := await self._door.run(lambda: self._told(self._source.events(self._last, _PAGE))):
                        self._recent.extend(found)
                        self._last = found[-1].event.seq
                        self._spread()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_ASKED_EVERY_S):
                        await changed.wait()
        finally:
            end()

    def _told(self, events: Sequence[AuditEvent]) -> list[_Told]:
        if events and not self._registry:
            from chopmark.app.recording import registry_id

            self._registry = registry_id(self._source.events(0, 1)[0])
        return [_Told(event, _as_text(event, self._registry)) for event in events]


def _is_for(event: AuditEvent, wanted: Wanted, sight: Sight) -> bool:
    return wanted.fits(event) and (sight is None or is_seen(event, sight))


def _as_text(event: AuditEvent, registry: str) -> bytes:
    body = encode(cloud_event(event, registry))  # one line: JSON escapes what would end it
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (event.seq, event.event.encode(), body)


def _asked(exchange: Exchange) -> tuple[Wanted, int | None]:
    """What a hearer wants, and after which event; None from now on."""
    pairs = parse_qsl(exchange.query, keep_blank_values=True)
    unknown = {name for name, _ in pairs} - {"project", "model", "kind", "after"}
    if unknown:
        raise InvalidRequest(
            f"Events know no {min(unknown)[:80]!r}.", hint="Say project, model, kind or after in the query."
        )
    said = dict(pairs)
    kinds = tuple(value for name, value in pairs if name == "kind")
    check_events(kinds)
    wanted = Wanted(project=said.get("project", ""), model=said.get("model", ""), kinds=kinds).check()
    after = exchange.header("last-event-id") or said.get("after", "")
    if after and not _SEQ.fullmatch(after):
        raise InvalidRequest(
            f"The events after {after[:80]!r} are none.", hint="Say the id of the last event you heard."
        )
    return wanted, int(after) if after else None
