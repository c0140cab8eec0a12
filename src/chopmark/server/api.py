"""The ops over HTTP: an ASGI application below `chopmark.ops.http.PREFIX`, with one route a row of the table.

A request's bytes are read on the event loop; all else, from its meaning to the bytes of its answer, happens on one of a bounded
number of threads, but for reading a few rows that are at hand. What is decided on the way is decided elsewhere: what a request says (`chopmark.ops.http`), which op
it asks for (`routes`), who asks (`Callers`), what an answer is (`answers`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar
from urllib.parse import parse_qsl

from chopmark.base.encodings import unpacked
from chopmark.domain.access import Actor
from chopmark.errors import (
    ChopmarkError,
    InvalidRequest,
    NotFound,
    PreconditionFailed,
    TimedOut,
    Unavailable,
    UnsupportedMedia,
)
from chopmark.ops.http import from_http, in_query
from chopmark.ops.table import OPS, Op
from chopmark.server.acting import Acting
from chopmark.server.admission import Admission, settle
from chopmark.server.answers import answer_of, failure_of, refusal
from chopmark.server.exchange import Answer, Exchange, Pace, Receive, Scope, Send
from chopmark.server.routes import Routes
from chopmark.server.telemetry import LOGGER, masked

__all__ = ["Api", "Streaming"]

T = TypeVar("T")
_WITH_MORE = ("content-length", "transfer-encoding", "if-match", "idempotency-key")
_QUERY_BODY_BYTES_MAX = 64 << 10
"""What a request may carry that says all in its path and query; it is read before anybody is known."""

_FLAGS = {"true": True, "1": True, "false": False, "0": False}


Streaming = Callable[[Exchange, dict[str, str]], Awaitable[None]]
"""Answers an exchange by itself, piece by piece; the texts are the parts of the path that name something."""


class Api:
    """Answers requests that ask for ops.

    Parameters
    ----------
    acting
        What does them.
    door
        Who asks, and threads to do ops on.
    body_bytes_max
        A longer body is refused before it is read.
    timeout_s
        An op that takes longer is answered with `TimedOut`; it goes on.
    waiting_max
        When so many requests wait for a thread, further ones are refused with `Unavailable`.
    streaming
        Method, path, and what answers there by itself.
    seen
        Called with each exchange when its answer was sent.
    pace
        How slow a client may be.
    """

    def __init__(
        self,
        acting: Acting,
        door: Admission,
        *,
        body_bytes_max: int,
        timeout_s: float,
        waiting_max: int,
        streaming: Iterable[tuple[str, str, Streaming]] = (),
        seen: Callable[[Exchange], None] = lambda _: None,
        pace: Pace | None = None,
    ) -> None:
        self._acting = acting
        self._door = door
        self._body_bytes_max = body_bytes_max
        self._timeout_s = timeout_s
        self._waiting_max = waiting_max
        self._waiting = 0
        self._seen = seen
        self._pace = pace
        rows: list[tuple[str, str, Op | Streaming]] = [(op.method, op.path, op) for op in OPS.values()]
        self._routes = Routes([*rows, *streaming])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        exchange = Exchange(scope, receive, send, self._pace)
        try:
            answer = await self._answer(exchange)
        except ChopmarkError as error:
            if exchange.status:
                raise  # its answer had begun: the connection is cut, so that nobody takes it for whole
            answer = failure_of(error, exchange)
        except asyncio.CancelledError:  # the server stops, and waits no longer for a request that is not even all there
            if exchange.status:
                raise
            answer = failure_of(Unavailable("The server is stopping.", hint="Send it again in a second."), exchange)
        except Exception:
            if exchange.status:
                raise
            answer = _fault(exchange)
        if answer is not None:
            await exchange.send(answer)
        self._seen(exchange)

    async def _answer(self, exchange: Exchange) -> Answer | None:
        found = self._routes.find(exchange.path)
        if found is None:
            raise NotFound(
                f"There is nothing at {exchange.place[:200]}.", hint="GET /openapi.json lists what there is."
            )
        method = "GET" if exchange.method == "HEAD" else exchange.method
        op = found.by_method.get(method)
        if op is None:
            return refusal(exchange, found.by_method)
        if not isinstance(op, Op):
            await op(exchange, found.places)
            return None
        exchange.op = op.name
        actor = self._door.known_at_once(exchange)
        if actor is not None and op.at_once and (answer := self._done_at_once(exchange, op, found.places, actor)):
            return answer
        if actor is None and not in_query(op):
            # Who sends a body says first who they are: nobody else's is kept in memory.
            actor = await self._worked(lambda: self._door.known(exchange), op)
        size_bytes_max = min(_QUERY_BODY_BYTES_MAX, self._body_bytes_max) if in_query(op) else self._body_bytes_max
        body = await exchange.body(size_bytes_max)
        return await self._worked(lambda: self._done(exchange, op, found.places, body, actor), op)

    async def _worked(self, work: Callable[[], T], op: Op) -> T:
        """Do what blocks on a thread, unless too many wait for one or it takes too long."""
        if self._waiting >= self._waiting_max:
            raise Unavailable("The server is busy.", hint="Try again in a second.")
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[T] = loop.create_future()

        def ended(found: T | None, error: BaseException | None) -> None:
            self._waiting -= 1  # not sooner, when its caller was told that it timed out: its thread is busy
            if not answered.done():
                settle(answered, found, error)

        def give_up() -> None:
            if not answered.done():
                msg = f"{op.name} took longer than {self._timeout_s:g} s."
                hint = "What it changes may still happen: look before you repeat it."
                answered.set_exception(TimedOut(msg, hint=hint))

        self._door.begin(work, ended)
        self._waiting += 1
        late = loop.call_later(self._timeout_s, give_up)
        try:
            return await answered
        finally:
            late.cancel()

    def _done(self, exchange: Exchange, op: Op, places: dict[str, str], body: bytes, actor: Actor | None) -> Answer:
        """All that is done on a thread."""
        try:
            actor = actor or self._door.known(exchange)
            query, dry_run = _query(exchange.query)
            raw = unpacked(body, exchange.header("content-encoding"), self._body_bytes_max)
            _check_type(exchange, raw)
            request = from_http(op, places, query, raw)
            found = self._acting.act(
                request,
                actor,
                key=exchange.header("idempotency-key"),
                dry_run=dry_run,
                expected=_expected(exchange),
                absent=op.writes and _is_making(exchange.header("if-none-match")),
            )
            return answer_of(op, found, exchange)
        except ChopmarkError as error:
            return failure_of(error, exchange)
        except Exception:  # noqa: BLE001 - whatever is wrong here, the next request is to be answered
            return _fault(exchange)

    def _done_at_once(self, exchange: Exchange, op: Op, places: dict[str, str], actor: Actor) -> Answer | None:
        """A few rows, read here on the event loop: a thread would cost twice what they do. None where they are not at hand."""
        if exchange.query or any(exchange.header(name) for name in _WITH_MORE):
            return None
        found = self._acting.act_at_once(from_http(op, places, [], b""), actor)
        return None if found is None else answer_of(op, found, exchange)


def _fault(exchange: Exchange) -> Answer:
    """The answer when the server itself is wrong: what it is stands in the log only."""
    LOGGER.exception(
        "A fault of the server, request %s: %s %s", exchange.request_id, exchange.method, masked(exchange.place)
    )
    error = ChopmarkError(
        "Something went wrong in the server.", hint=f"Its log says what, under {exchange.request_id}."
    )
    return failure_of(error, exchange)


def _query(text: str) -> tuple[list[tuple[str, str]], bool]:
    """Names and texts of a query, and whether the call is a rehearsal."""
    try:
        pairs = parse_qsl(
            text, keep_blank_values=True, strict_parsing=bool(text), errors="strict", max_num_fields=1_000
        )
    except ValueError as error:
        raise InvalidRequest(f"The query cannot be read: {error}.", hint="Percent-encode UTF-8.") from error
    rest = [pair for pair in pairs if pair[0] != "dry_run"]
    said = [value for name, value in pairs if name == "dry_run"]
    if len(said) > 1 or any(value not in _FLAGS for value in said):
        raise InvalidRequest(f"dry_run is {' and '.join(said)[:40]!r}.", hint="Say dry_run=true or leave it out.")
    return rest, bool(said) and _FLAGS[said[0]]


def _check_type(exchange: Exchange, body: bytes) -> None:
    kind = exchange.header("content-type").partition(";")[0].strip().lower()
    if body and kind not in ("", "application/json"):
        msg = f"A body of {kind[:60]} is not read here."
        raise UnsupportedMedia(msg, hint="Send JSON, with Content-Type: application/json.")


def _expected(exchange: Exchange) -> str:
    """What ``If-Match`` says; a caller whose variable is empty must not write over what they have not seen.

    Raises
    ------
    PreconditionFailed
        When it is there and names no tag.
    """
    said = exchange.header("if-match")
    if exchange.has("if-match") and not said.strip(" ,"):
        raise PreconditionFailed("If-Match names no entity tag.", hint="Send the ETag of what you saw, or no If-Match.")
    return said


def _is_making(if_none_match: str) -> bool:
    """Whether a write is to make something only.

    Raises
    ------
    InvalidRequest
        When the header names tags: a write goes on only where there is something (``If-Match``), or only where there is nothing.
    """
    if if_none_match.strip() not in ("", "*"):
        msg = "Of a write, If-None-Match says * and nothing else: it is made only where nothing is."
        raise InvalidRequest(msg, hint="To change what one has seen, send its ETag as If-Match.")
    return bool(if_none_match)
