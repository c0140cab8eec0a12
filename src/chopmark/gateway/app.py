"""The gateway as a raw ASGI application: a request is dealt to a variant, run, answered and counted.

Nothing here waits for anything but the request's own body and model. What a request needs of the tables is read once, when its
body is there (`Route`), so that a replacement of a table concerns only those that come after it, and none that is slow to come is
answered by a table of long ago.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, MutableMapping
from functools import partial
from typing import Any, Protocol

from chopmark.base.clock import Clock, system_clock
from chopmark.base.ids import random_bytes
from chopmark.domain.endpoints import Endpoint
from chopmark.errors import ChopmarkError, ModelFailed, ModelTimeout, NotFound, Unavailable, UnsupportedMedia
from chopmark.gateway.about import FEEDBACK, About, Rights
from chopmark.gateway.bodies import SUM_BYTES_MAX, Bodies, Receive
from chopmark.gateway.conversing import COMPLETIONS, PREFIX, Conversing
from chopmark.gateway.entrance import Entrance, Headers
from chopmark.gateway.exposing import Exposing
from chopmark.gateway.feedback import TakingFeedback, WaitingFeedback
from chopmark.gateway.protocols.asked import Answered, Asked, Limits, Unreadable
from chopmark.gateway.recording import ErrorClass
from chopmark.gateway.router import Route, Router, Serving
from chopmark.gateway.telling import LOGGER
from chopmark.gateway.ways import Way, ways_of

__all__ = ["Gateway", "Mirror"]

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
READ_AT_ONCE_BYTES_MAX = 128 << 10
WRITTEN_AT_ONCE_ROWS_MAX = 5_000
"""Larger requests are read, and answers written, on a thread: a mebibyte of JSON takes some 10 ms, in which nobody else is answered."""

_PATHS = ("/v2", "/predict/", "/endpoints/", "/invocations", "/ping", "/v1/", FEEDBACK)
_LIMITS = Limits()
_NS_PER_MS = 1_000_000
_QUESTION_BYTES_MAX = 64 << 10


class Mirror(Protocol):
    """Copies requests to shadows; see `chopmark.gateway.shadows`."""

    def __call__(self, route: Route, asked: Asked, answer: Any, request_bytes: int) -> None:
        """Take a copy, or drop it; returns at once."""
        ...


class Gateway:
    """Answers inference requests.

    Parameters
    ----------
    router
        What it deals by.
    asks_callers
        Whether everybody needs a token, but where an endpoint says otherwise.
    mirror
        Where copies for shadows go.
    body_s, bodies_bytes_max
        How long a body may take; what large ones may come to in sum.
    release
        Of the package.
    clock
        Where the time comes from.
    """

    def __init__(
        self,
        router: Router,
        *,
        asks_callers: bool,
        mirror: Mirror | None = None,
        body_s: float = 30.0,
        bodies_bytes_max: int = SUM_BYTES_MAX,
        release: str = "",
        clock: Clock = system_clock,
    ) -> None:
        self._router = router
        self._mirror = mirror
        self._bodies = Bodies(body_s, bodies_bytes_max)
        self._ways: dict[str, Way] = {}
        self.exposing = Exposing(clock)
        self._entrance = Entrance(asks_callers=asks_callers, clock=clock, exposing=self.exposing)
        self._conversing = Conversing(router, self._entrance)
        self._sequence = itertools.count(int.from_bytes(random_bytes(6), "big"))
        self._about = About(router, release)
        self.feedback = WaitingFeedback()
        self._taking_feedback = TakingFeedback(router, self._entrance, self.feedback, clock)
        router.on_change(self._changed)

    def _changed(self) -> None:
        self._ways = ways_of(self._router.routes, has_more=bool(self._router.waiting))

    def takes(self, path: str) -> bool:
        """Whether a path is the gateway's to answer."""
        return path in self._ways or path.startswith(_PATHS)

    def know_callers(self) -> None:
        """Take the callers of the router's routing."""
        routing = self._router.routing
        self._entrance.know(routing.callers if routing is not None else ())
        told = routing.experiments if routing is not None else ()
        endpoints = routing.endpoints if routing is not None else ()
        self.exposing.know({each.id: each.generation for each in endpoints if each.id in told})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        way = self._ways.get(scope["path"])
        if way is None or scope["method"] != "POST":
            if scope["path"].startswith(PREFIX):
                await self._converse(scope, receive, send)
            else:
                await self._tell(scope, receive, send)
            return
        headers: Headers = dict(scope["headers"])
        entrance = self._entrance
        serving: Serving | None = None
        body = b""
        try:
            route = self._router.routes[way.endpoint]
            caller = entrance.caller(route.endpoint, headers)
            body = await self._bodies.read(receive, headers, route.config.body_bytes_max)
            if self._router.routes.get(way.endpoint) is not route:
                route = self._replaced(way)
                caller = entrance.caller(route.endpoint, headers)
            begun_ns = time.perf_counter_ns()
            sequence = next(self._sequence)
            serving, has_key = entrance.dealt(route, headers, body, caller, sequence=sequence, number=way.number)
            held = serving.held
            execution = serving.execution
            held.in_flight += 1
            try:
                if len(body) <= READ_AT_ONCE_BYTES_MAX:
                    asked = way.protocol.read(body, headers, execution.layout, _LIMITS)
                else:
                    asked = await asyncio.to_thread(way.protocol.read, body, headers, execution.layout, _LIMITS)
                if asked.rows <= execution.now_rows_max:
                    outputs = execution.now(asked.inputs, asked.outputs)
                else:
                    timeout_s = route.config.timeout_ms / 1_000
                    outputs = await execution.run(asked.inputs, asked.rows, asked.outputs, timeout_s)
                at_ms = time.time_ns() // _NS_PER_MS
                request_id = serving.ids.made(at_ms, sequence)
                identity = serving.identity(request_id)
                if asked.rows <= WRITTEN_AT_ONCE_ROWS_MAX:
                    answered = way.protocol.write(asked, outputs, identity)
                else:
                    answered = await asyncio.to_thread(way.protocol.write, asked, outputs, identity)
            finally:
                held.in_flight -= 1
        except Exception as error:  # noqa: BLE001 - whatever a model raises concerns its own request only
            await self._refuse(way, serving, body, error, send)
            return
        took_ns = time.perf_counter_ns() - begun_ns
        serving.tally.answered(took_ns, asked.rows, len(body), len(answered.body), has_key=has_key)
        await _send(send, 200, answered, (*serving.head, (b"x-chopmark-request-id", request_id.encode())))
        if route.samples is not None:
            route.samples.take(at_ms, request_id, asked, outputs)
        if route.shadows and self._mirror is not None:
            self._mirror(route, asked, outputs, len(body))

    def _replaced(self, way: Way) -> Route:
        """The endpoint's table as it is now."""
        route = self._router.routes.get(way.endpoint)
        if route is None:
            raise NotFound(
                f"The endpoint {way.endpoint} was deleted.", hint="See what there is with: chopmark endpoint list"
            )
        return route

    async def _refuse(self, way: Way, serving: Serving | None, body: bytes, error: Exception, send: Send) -> None:
        if not isinstance(error, ChopmarkError):
            LOGGER.exception("A request to %s failed", way.endpoint, exc_info=error)
            error = ModelFailed(
                f"The answer could not be made: {type(error).__name__}.", hint="The gateway's log says more."
            )
        head: tuple[tuple[bytes, bytes], ...] = ()
        if serving is not None:
            serving.tally.failed(_class_of(error), len(body))
            request_id = serving.ids.made(time.time_ns() // _NS_PER_MS, next(self._sequence))
            head = (*serving.head, (b"x-chopmark-request-id", request_id.encode()))
        status, answered = way.protocol.refused(error)
        await _send(send, status, answered, head)

    async def _tell(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer what is no prediction: health, metadata, the index; and what is not there."""
        try:
            headers = dict(scope["headers"])
            method = scope["method"]
            if method == "POST" and scope["path"] == FEEDBACK:
                status, answered = await self._taking_feedback.take(
                    headers, partial(self._bodies.read, receive, headers)
                )
            else:
                reads = partial(self._bodies.read, receive, headers, _QUESTION_BYTES_MAX)
                status, answered = await self._about.answer(method, scope["path"], reads, self._rights(headers))
            if method == "HEAD":
                answered = answered._replace(body=b"")
        except Exception as error:  # noqa: BLE001 - as above
            if not isinstance(error, ChopmarkError):
                LOGGER.exception("A question about %s failed", scope["path"], exc_info=error)
                error = Unavailable("The answer could not be made.", hint="The gateway's log says more.")
            status, answered = self._about.refused(error)
        await _send(send, status, answered, ())

    async def _converse(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer what concerns language models."""
        headers: Headers = dict(scope["headers"])
        path, has_begun = scope["path"], False

        async def sends(message: MutableMapping[str, Any]) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            if path == COMPLETIONS and scope["method"] == "POST":
                reads = partial(self._bodies.read, receive, headers)
                await self._conversing.complete(headers, reads, receive, sends, next(self._sequence))
                return
            status, answered = self._conversing.tell(path, headers)
        except Exception as error:
            if has_begun:  # there is no taking it back
                raise
            status, answered = self._conversing.refused(error, path)
        await _send(send, status, answered, ())

    def seen_refs(self, headers: Headers) -> frozenset[str] | None:
        """Endpoints that whoever sends these headers may know of; None for all, those that were deleted too."""
        return self._entrance.seen_refs(self._router.routing, headers)

    def _rights(self, headers: Headers) -> Rights:
        """What whoever sends these headers may know."""

        def known() -> None:
            self._entrance.check_known(headers)

        def sees(endpoint: Endpoint) -> None:
            self._entrance.caller(endpoint, headers)

        def governs(endpoint: Endpoint) -> None:
            self._entrance.caller(endpoint, headers).check_deploy(endpoint.project)

        return Rights(known, sees, governs)


async def _send(send: Send, status: int, answered: Answered, head: tuple[tuple[bytes, bytes], ...]) -> None:
    headers = [
        (b"content-type", answered.content_type),
        (b"content-length", str(len(answered.body)).encode()),
        *answered.headers,
        *head,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": answered.body})


def _class_of(error: ChopmarkError) -> ErrorClass:
    match error:
        case ModelTimeout():
            return "timeout"
        case ModelFailed():
            return "model"
        case Unavailable():
            return "refused"
        case Unreadable() | UnsupportedMedia():
            return "unreadable"
        case _:
            return "client"
