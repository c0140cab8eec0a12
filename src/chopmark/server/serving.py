"""Running the application: a socket, a process, a clean end."""

from __future__ import annotations

import contextlib
import ipaddress
import threading
import time
from collections.abc import Iterator
from typing import Any

from chopmark.base.settings import Resolved, Settings
from chopmark.domain.access import Actor
from chopmark.errors import Denied, Unavailable, Unsupported
from chopmark.server.app import App
from chopmark.server.exchange import Exchange
from chopmark.wiring import LocalTransport, connect

__all__ = ["Everybody", "application", "serve", "served"]


class Everybody:
    """Takes whoever asks for one actor: for a server that only this machine reaches.

    Parameters
    ----------
    actor
        Who everybody is.
    """

    def __init__(self, actor: Actor) -> None:
        self._actor = actor

    def actor(self, exchange: Exchange) -> Actor:  # noqa: ARG002
        """That one."""
        return self._actor


def application(transport: LocalTransport, settings: Settings) -> App:
    """The application over an open registry."""
    return App(
        transport,
        transport.store,
        Everybody(Actor(settings.actor)),
        settings,
        events=transport,
        is_ready=transport.check,
    )


def serve(resolved: Resolved) -> None:
    """Serve the registry of these settings until a signal says to stop.

    Raises
    ------
    Denied
        When it should listen beyond this machine: nobody would be asked who they are.
    Unavailable
        When the address is taken, or the registry does not open.
    """
    settings = resolved.settings
    _check_loopback(settings.serve_host)
    transport = connect(resolved)
    try:
        server = _server(application(transport, settings), settings.serve_host, settings.serve_port)
        with _address_taken(settings):
            server.run()
    finally:
        transport.close()


@contextlib.contextmanager
def served(app: App, host: str = "127.0.0.1") -> Iterator[str]:
    """Serve an application from a thread for the length of the block; gives its address."""
    server = _server(app, host, 0)
    server.install_signal_handlers = lambda: None
    thread = threading.Thread(target=server.run, name="chopmark-serve", daemon=True)
    thread.start()
    limit = time.monotonic() + 10
    while not server.started:
        if not thread.is_alive() or time.monotonic() > limit:
            raise Unavailable("The server did not start.")
        time.sleep(0.005)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://{host}:{port}"
    finally:
        server.should_exit = True
        thread.join(10)


def _server(app: App, host: str, port: int) -> Any:
    try:
        import uvicorn
    except ImportError as error:
        msg = "The server needs uvicorn, which is not installed."
        raise Unsupported(msg, hint="pip install 'chopmark[server]'") from error
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        access_log=False,
        log_config=None,
        server_header=False,
        lifespan="on",
        ws="none",
        timeout_keep_alive=65,  # longer than most proxies keep theirs, so that a proxy never meets a closed one
        timeout_graceful_shutdown=30,
    )

    class Server(uvicorn.Server):
        async def shutdown(self, sockets: Any = None) -> None:
            app.end()
            await super().shutdown(sockets)

    return Server(config)


def _check_loopback(host: str) -> None:
    try:
        is_loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        msg = f"The server would listen on {host}, and ask nobody who they are."
        raise Denied(msg, hint="Listen on 127.0.0.1, and let a proxy that asks stand before it.")


@contextlib.contextmanager
def _address_taken(settings: Settings) -> Iterator[None]:
    try:
        yield
    except SystemExit as error:
        msg = f"{settings.serve_host}:{settings.serve_port} cannot be listened on."
        raise Unavailable(msg, hint="Another program may have it: choose another with --port.") from error
