"""A gateway by itself, as an application: the endpoints, and whether it is well."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from chopmark.base.jsons import encode
from chopmark.errors import Unavailable
from chopmark.server.answers import failure_of
from chopmark.server.exchange import Answer, Exchange, Receive, Scope, Send
from chopmark.server.telemetry import METRICS, Telemetry

if TYPE_CHECKING:
    from chopmark.server.data_plane import DataPlane

__all__ = ["GatewayApp"]

_JSON = {"content-type": "application/json", "cache-control": "no-store"}


class GatewayApp:
    """Answers everything that is sent to a gateway's address.

    Parameters
    ----------
    data_plane
        The gateway, and what it needs.
    """

    def __init__(self, data_plane: DataPlane) -> None:
        self._data_plane = data_plane
        self._gateway = data_plane.gateway
        self._telemetry = Telemetry()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or follow the server's start and stop."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        if scope["type"] != "http":
            raise ValueError(f"{scope['type']} is not served")
        match scope["path"]:
            case "/healthz":
                exchange = Exchange(scope, receive, send)
                await exchange.send(Answer(HTTPStatus.OK, _JSON, encode({"status": "ok"})))
            case "/readyz":
                exchange = Exchange(scope, receive, send)
                await exchange.send(self._ready(exchange))
            case "/metrics":
                exchange = Exchange(scope, receive, send)
                seen = self._data_plane.seen_metrics(exchange.header("authorization"))
                await exchange.send(Answer(HTTPStatus.OK, {"content-type": METRICS}, self._telemetry.exposed(seen)))
            case _:
                await self._gateway(scope, receive, send)

    def _ready(self, exchange: Exchange) -> Answer:
        """Ready is who has a routing, even an old one: without its control plane a gateway goes on."""
        waiting = self._data_plane.waits_for()
        if waiting:
            return failure_of(
                Unavailable(f"Not ready: {waiting}", hint="Try again later; the log says more."), exchange
            )
        return Answer(HTTPStatus.OK, _JSON, encode({"status": "ready", "note": self._data_plane.link.note}))

    def end(self) -> None:
        """Nobody stays as long as the gateway."""

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message: Any = await receive()
            ends = message["type"] == "lifespan.shutdown"
            await (self._data_plane.close() if ends else self._data_plane.start())
            await send({"type": f"{message['type']}.complete"})
            if ends:
                return
