"""The whole application: the API, its description, and whether it is well."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from chopmark.abc.blobs import BlobStore
from chopmark.base.jsons import encode
from chopmark.base.settings import Settings
from chopmark.blobs.direct import giver_of
from chopmark.errors import NotFound, Unavailable
from chopmark.ops.http import PREFIX
from chopmark.server.acting import Acting, Callers
from chopmark.server.admission import Admission
from chopmark.server.answers import failure_of
from chopmark.server.api import Api
from chopmark.server.blobs import BlobRoutes
from chopmark.server.described import Described
from chopmark.server.events import EventRoutes, Events
from chopmark.server.exchange import Answer, Exchange, Pace, Receive, Scope, Send
from chopmark.server.readiness import OK, Part, Readiness
from chopmark.server.telemetry import METRICS, Telemetry
from chopmark.server.tracing import Tracing
from chopmark.server.uploads import UploadRoutes

if TYPE_CHECKING:
    from chopmark.server.data_plane import DataPlane

__all__ = ["App"]

_JSON = {"content-type": "application/json", "cache-control": "no-store"}


class App:
    """Answers everything that is sent to the server's address.

    Parameters
    ----------
    acting, store
        The registry: what does its ops, and its bytes.
    callers
        Who asks.
    settings
        Limits.
    events
        Where events come from.
    parts
        What has to be well for the server to be ready, by name.
    tracing
        What writes a span of each request; none where it is left out.
    data_plane
        The gateway beside it; none where inference is served elsewhere.
    """

    def __init__(
        self,
        acting: Acting,
        store: BlobStore,
        callers: Callers,
        settings: Settings,
        *,
        events: Events,
        parts: Mapping[str, Part],
        tracing: Tracing | None = None,
        data_plane: DataPlane | None = None,
    ) -> None:
        self._data_plane = data_plane
        self._ops = ThreadPoolExecutor(settings.serve_threads, thread_name_prefix="chopmark-op")
        self._transfers = ThreadPoolExecutor(settings.serve_transfers, thread_name_prefix="chopmark-transfer")
        self._readiness = Readiness(parts)
        self._telemetry = Telemetry()
        self._tracing = tracing
        self._uploads = ThreadPoolExecutor(settings.serve_transfers, thread_name_prefix="chopmark-upload")
        ops, transfers = Admission(callers, self._ops), Admission(callers, self._transfers)
        uploads = Admission(callers, self._uploads)
        direct = giver_of(store) if settings.serve_direct_urls == "on" else None
        self._events = EventRoutes(events, ops)
        self._api = Api(
            acting,
            ops,
            body_bytes_max=settings.serve_body_bytes_max,
            timeout_s=settings.serve_timeout_s,
            waiting_max=settings.serve_waiting_max,
            streaming=(
                *BlobRoutes(acting, store, transfers, uploads, settings.serve_transfers, direct).rows(),
                *UploadRoutes(acting, store, transfers, direct).rows(),
                *self._events.rows(),
            ),
            seen=self._seen,
            pace=Pace(settings.serve_idle_s, settings.serve_slowest_bytes_per_s),
        )
        self._described = Described()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or follow the server's start and stop."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        if scope["type"] != "http":
            raise ValueError(f"{scope['type']} is not served")
        path: str = scope["path"]
        if path.startswith(PREFIX + "/"):
            scope["root_path"] = PREFIX
            await self._api(scope, receive, send)
            return
        if self._data_plane is not None and self._data_plane.gateway.takes(path):
            await self._data_plane.gateway(scope, receive, send)
            return
        exchange = Exchange(scope, receive, send)
        await exchange.send(await self._plain(exchange, path))

    async def _plain(self, exchange: Exchange, path: str) -> Answer:
        match path:
            case "/healthz":
                return Answer(HTTPStatus.OK, _JSON, encode({"status": "ok"}))
            case "/readyz":
                return await self._ready(exchange)
            case "/metrics":
                plane = self._data_plane
                beside = plane.seen_metrics(exchange.header("authorization")) if plane is not None else None
                return Answer(HTTPStatus.OK, {"content-type": METRICS}, self._telemetry.exposed(beside))
            case "/openapi.json" | "/docs":
                return await asyncio.get_running_loop().run_in_executor(self._ops, self._described.answer, exchange)
            case _:
                error = NotFound(f"There is nothing at {path[:200]}.", hint=f"The registry is below {PREFIX}.")
                return failure_of(error, exchange)

    async def _ready(self, exchange: Exchange) -> Answer:
        words = await self._readiness.words()
        missing = [name for name, word in words.items() if word != OK]
        if missing:
            msg = f"Not ready: {', '.join(f'{name} is {words[name]}' for name in missing)}."
            return failure_of(Unavailable(msg, hint="Try again later; the log says more.", parts=words), exchange)
        return Answer(HTTPStatus.OK, _JSON, encode({"status": "ready", "parts": words}))

    def _seen(self, exchange: Exchange) -> None:
        self._telemetry.seen(exchange)
        if self._tracing is not None:
            self._tracing.seen(exchange)

    def end(self) -> None:
        """Let those go who would stay as long as the server: hearers of events."""
        self._events.end()

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message: Any = await receive()
            ends = message["type"] == "lifespan.shutdown"
            if self._data_plane is not None:
                await (self._data_plane.close() if ends else self._data_plane.start())
            if ends:
                await self._end_threads()
            await send({"type": f"{message['type']}.complete"})
            if ends:
                return

    async def _end_threads(self) -> None:
        """Wait for them beside the event loop, on which requests that were cut off have yet to end theirs."""
        for pool in (self._ops, self._transfers, self._uploads):
            await asyncio.to_thread(pool.shutdown)
        if self._tracing is not None:
            await asyncio.to_thread(self._tracing.close)
        self._readiness.close()
