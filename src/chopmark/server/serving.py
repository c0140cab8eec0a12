"""Running the application: a socket, a process, a clean end."""

from __future__ import annotations

import contextlib
import ipaddress
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from chopmark.base.settings import Resolved, Settings
from chopmark.domain.access import Actor
from chopmark.errors import Denied, Unavailable, Unsupported
from chopmark.server.app import App
from chopmark.server.exchange import Exchange
from chopmark.server.telemetry import LOGGER, log_to_stderr
from chopmark.wiring import LocalTransport, connect

__all__ = ["Everybody", "application", "serve", "served"]

_PAUSE_MAX_S = 10.0
_START_S = 10.0


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


def serve(resolved: Resolved, tell: Callable[[str], None]) -> None:
    """Serve the registry of these settings until a signal says to stop.

    A database that is not up yet is waited for.

    Parameters
    ----------
    resolved
        The settings.
    tell
        Is told the address as soon as it is listened on.

    Raises
    ------
    Denied
        When it should listen beyond this machine: nobody would be asked who they are.
    Unavailable
        When the address is taken.
    """
    settings = resolved.settings
    _check_loopback(settings.serve_host)
    log_to_stderr(settings.serve_log)
    family = socket.AF_INET6 if ":" in settings.serve_host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:  # asyncio sets TCP_NODELAY by that
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((settings.serve_host, settings.serve_port))
        except OSError as error:
            msg = f"{settings.serve_host}:{settings.serve_port} cannot be listened on: {error.strerror}."
            raise Unavailable(msg, hint="Another program may have it: choose another with --port.") from error
        transport = _opened(resolved)
        try:
            server = _server(application(transport, settings))
            host = f"[{settings.serve_host}]" if ":" in settings.serve_host else settings.serve_host
            tell(f"Serving {transport.location} at http://{host}:{listening.getsockname()[1]}")
            server.run([listening])
        finally:
            transport.close()


def _opened(resolved: Resolved) -> LocalTransport:
    """The registry, as soon as its database answers; a refusal that no waiting mends is raised."""
    pause_s = 0.5
    while True:
        try:
            return connect(resolved)
        except Unavailable as error:
            if not resolved.settings.database_url.startswith("postgresql"):
                raise
            LOGGER.warning("Waiting for the database: %s", error.message)
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, _PAUSE_MAX_S)


@contextlib.contextmanager
def served(app: App, host: str = "127.0.0.1") -> Iterator[str]:
    """Serve an application from a thread for the length of the block; gives its address."""
    server = _server(app)
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
        listening.bind((host, 0))
        thread = threading.Thread(target=server.run, args=([listening],), name="chopmark-serve", daemon=True)
        thread.start()
        limit = time.monotonic() + _START_S
        while not server.started:
            if not thread.is_alive() or time.monotonic() > limit:
                raise Unavailable("The server did not start.")
            time.sleep(0.005)
        try:
            yield f"http://{host}:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(_START_S)


def _server(app: App) -> Any:
    try:
        import uvicorn
    except ImportError as error:
        msg = "The server needs uvicorn, which is not installed."
        raise Unsupported(msg, hint="pip install 'chopmark[server]'") from error
    config = uvicorn.Config(
        app,
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

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            """Ends at a signal and leaves it at that: uvicorn would raise it once more, before the registry is closed."""
            if threading.current_thread() is not threading.main_thread():
                yield
                return
            before = {each: signal.signal(each, self.handle_exit) for each in (signal.SIGINT, signal.SIGTERM)}
            try:
                yield
            finally:
                for each, handler in before.items():
                    signal.signal(each, handler)

    return Server(config)


def _check_loopback(host: str) -> None:
    try:
        is_loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        msg = f"The server would listen on {host}, and ask nobody who they are."
        raise Denied(msg, hint="Listen on 127.0.0.1, and let a proxy that asks stand before it.")
