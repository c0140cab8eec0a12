"""Running the application: a socket, a process, a clean end."""

from __future__ import annotations

import contextlib
import gc
import ipaddress
import math
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import structs

from chopmark.abc.hints import Hints
from chopmark.base.settings import Resolved, Settings
from chopmark.domain.access import EVERYWHERE, PERMISSIONS, Actor
from chopmark.errors import ChopmarkError, Denied, InvalidRequest, Unavailable, Unsupported
from chopmark.ops.access import CreateToken, NewToken, SetMember
from chopmark.sdk.transport import Transport
from chopmark.server.app import App
from chopmark.server.callers import callers_of
from chopmark.server.gateway_app import GatewayApp
from chopmark.server.readiness import Part
from chopmark.server.telemetry import LOGGER, log_to_stderr
from chopmark.server.tracing import tracing_of
from chopmark.wiring import LocalTransport, connect_served, connect_when_up, is_served

if TYPE_CHECKING:
    from chopmark.server.data_plane import DataPlane

__all__ = ["FIRST_ADMIN", "application", "data_plane_of", "serve", "serve_gateway", "served"]

FIRST_ADMIN = "admin"
"""Owner of the first token."""

_START_S = 10.0
_CONTROL_S = 5.0
_BACKLOG = 2_048


def application(
    transport: LocalTransport,
    settings: Settings,
    beside: Mapping[str, Callable[[], None]] | None = None,
    data_plane: DataPlane | None = None,
) -> App:
    """The application over an open registry; who may ask it is up to ``serve_auth``.

    Parameters
    ----------
    transport, settings
        The registry.
    beside
        What works beside it, by name: each raises while it is not well.
    data_plane
        The gateway beside it; none where inference is served elsewhere.
    """
    parts = {
        "database": Part(transport.check),
        "migrations": Part(transport.check_tables, kept_s=60.0),
        "store": Part(transport.check_store),
        **{name: Part(check) for name, check in (beside or {}).items()},
    }
    return App(
        transport,
        transport.store,
        callers_of(transport, settings),
        settings,
        events=transport,
        parts=parts,
        tracing=tracing_of(settings),
        data_plane=data_plane,
    )


def data_plane_of(transport: Transport, settings: Settings, *, address: str, hints: Hints | None) -> DataPlane:
    """A gateway over the transport of a registry; who may call is up to ``serve_auth``."""
    from chopmark.server.data_plane import DataPlane

    return DataPlane(transport, hints, settings, address=address, asks_callers=settings.serve_auth != "none")


class Working(Protocol):
    """What goes on beside a server."""

    @property
    def stop(self) -> Callable[[], None]:
        """Tells it to stop; returns at once."""
        ...

    @property
    def checks(self) -> Mapping[str, Callable[[], None]]:
        """By a name for each of its parts: raises while that is not well."""
        ...


Beside = Callable[[LocalTransport, Settings], contextlib.AbstractContextManager[Working]]
"""What goes on beside a server as long as it serves: its workers. It ends when they have stopped."""


def serve(resolved: Resolved, tell: Callable[[str], None], beside: Beside | None = None) -> None:
    """Serve the registry of these settings until a signal says to stop.

    A database that is not up yet is waited for.

    Parameters
    ----------
    resolved
        The settings.
    tell
        Is told the address as soon as it is listened on.
    beside
        What else goes on as long as it serves.

    Raises
    ------
    Denied
        When it should listen beyond this machine: nobody would be asked who they are.
    Unavailable
        When the address is taken.
    Unsupported
        When what the settings ask for needs a library that is not installed.
    """
    settings = resolved.settings
    if settings.serve_gateway == "on":
        _check_log(settings)
    with _listening(settings) as listening, _signals() as stop:
        try:
            transport = connect_when_up(resolved, _tell_it_waits, wait=stop.wait)
        except Unavailable:
            if stop.is_set():
                return
            raise
        with contextlib.closing(transport):
            transport.record_soon()
            listening.listen(_BACKLOG)  # who comes from now on waits until it serves
            address = _address(settings, listening)
            tell(f"Serving {transport.location} at {address}")
            if settings.serve_auth == "tokens" and not transport.identities.has_tokens():
                tell(_first_token(transport))
            with beside(transport, settings) if beside else contextlib.nullcontext() as working:
                checks = working.checks if working is not None else None
                plane = None
                if settings.serve_gateway == "on":
                    plane = data_plane_of(transport, settings, address=address, hints=transport.routing_hints)
                app = application(transport, settings, checks, plane)
                _run(_server(app, settings, working.stop if working is not None else _nothing, stop), listening)


def serve_gateway(resolved: Resolved, tell: Callable[[str], None]) -> None:
    """Answer inference requests to the endpoints of the registry of these settings, until a signal says to stop.

    The registry may be away, at the start too: what was last known is served, which at the start is nothing.

    Parameters
    ----------
    resolved
        The settings; the registry is a server's, or one of which this process opens database and store.
    tell
        Is told the address as soon as it is listened on.

    Raises
    ------
    Denied
        When it should listen beyond this machine: nobody would be asked who they are.
    Unavailable
        When the address is taken.
    Unsupported
        When what the settings ask for needs a library that is not installed.
    """
    settings = resolved.settings
    _check_log(settings)
    with _listening(settings) as listening, _signals() as stop:
        hints = None
        try:
            if is_served(settings):
                settings = _without_patience(settings)
                transport: Transport = connect_served(structs.replace(resolved, settings=settings))
            else:
                transport = local = connect_when_up(resolved, _tell_it_waits, wait=stop.wait)
                hints = local.routing_hints
        except Unavailable:
            if stop.is_set():
                return
            raise
        with contextlib.closing(transport):
            listening.listen(_BACKLOG)
            address = _address(settings, listening)
            tell(f"Serving the endpoints of {transport.location} at {address}")
            app = GatewayApp(data_plane_of(transport, settings, address=address, hints=hints))
            _run(_server(app, settings, _nothing, stop), listening)


def _without_patience(settings: Settings) -> Settings:
    """For who has something to go on with: a control plane that stands still must keep neither a model's process nor a stop waiting."""
    return structs.replace(settings, request_timeout_s=min(settings.request_timeout_s, _CONTROL_S), retry_for_s=0)


def _run(server: Any, listening: socket.socket) -> None:
    """Serve until told to stop. What was imported until now stays to the end, and no collection of garbage need walk it: 50 ms each."""
    gc.collect()
    gc.freeze()
    server.run([listening])


@contextlib.contextmanager
def _listening(settings: Settings) -> Iterator[socket.socket]:
    """A socket that is bound to where the settings say, and not listened on yet."""
    _check_open(settings)
    log_to_stderr(settings.serve_log)
    family = socket.AF_INET6 if ":" in settings.serve_host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:  # asyncio sets TCP_NODELAY by that
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((settings.serve_host, settings.serve_port))
        except OSError as error:
            msg = f"{settings.serve_host}:{settings.serve_port} cannot be listened on: {error.strerror}."
            raise Unavailable(msg, hint="Another program may have it: choose another with --port.") from error
        yield listening


def _address(settings: Settings, listening: socket.socket) -> str:
    host = f"[{settings.serve_host}]" if ":" in settings.serve_host else settings.serve_host
    return f"http://{host}:{listening.getsockname()[1]}"


@contextlib.contextmanager
def _signals() -> Iterator[threading.Event]:
    """An event that is set when this process is told to stop, before and after the server listens to that itself."""
    stop = threading.Event()
    numbers = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _nothing() -> None:
    """Nothing goes on beside it."""


def _tell_it_waits(error: ChopmarkError) -> None:
    LOGGER.warning("Waiting for the database: %s", error.message)


def _first_token(transport: LocalTransport) -> str:
    """Make the token of the registry's first administrator; the words that show it, this once."""
    system = Actor("chopmark serve", kind="system")
    reason = "the first start of a server that asks for tokens"
    transport.act(SetMember(project=EVERYWHERE, member=FIRST_ADMIN, role="admin", reason=reason), system)
    asked = CreateToken(
        name="first token", owner=FIRST_ADMIN, kind="service", scopes=tuple(sorted(PERMISSIONS)), reason=reason
    )
    made: NewToken = transport.act(asked, system)
    return f"Nobody has a token yet. This one may do everything, and is shown this once:\n{made.secret}"


@contextlib.contextmanager
def served(app: App | GatewayApp, host: str = "127.0.0.1", settings: Settings | None = None) -> Iterator[str]:
    """Serve an application from a thread for the length of the block; gives its address."""
    server = _server(app, settings or Settings(), _nothing)
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


def _server(
    app: App | GatewayApp, settings: Settings, stop_beside: Callable[[], None], stop: threading.Event | None = None
) -> Any:
    """The server of an application; ``stop`` is set by a signal that came before it listens to signals itself."""
    try:
        import uvicorn

        from chopmark.server.connections import Limits, files_for, protocol_of
    except ImportError as error:
        msg = "The server needs uvicorn, which is not installed."
        raise Unsupported(msg, hint="pip install 'chopmark[server]'") from error
    proxies = _proxies(settings.serve_proxies)
    limits = Limits(files_for(settings.serve_connections_max), settings.serve_head_s, settings.serve_idle_s)
    protocol = protocol_of(limits)
    config = uvicorn.Config(
        app,
        http=protocol,
        access_log=False,
        log_config=None,
        server_header=False,
        # Unless a proxy is named, nobody is believed who says for whom they ask: limits go by address.
        proxy_headers=bool(proxies),
        forwarded_allow_ips=proxies,
        lifespan="on",
        ws="none",
        timeout_keep_alive=65,  # longer than most proxies keep theirs, so that a proxy never meets a closed one
        timeout_graceful_shutdown=math.ceil(settings.serve_stop_s),
    )

    class Server(uvicorn.Server):
        async def shutdown(self, sockets: Any = None) -> None:
            stop_beside()
            app.end()
            protocol.stop()
            await super().shutdown(sockets)

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            """Ends at a signal and leaves it at that: uvicorn would raise it once more, before the registry is closed."""
            if threading.current_thread() is not threading.main_thread():
                yield
                return
            before = {each: signal.signal(each, self.handle_exit) for each in (signal.SIGINT, signal.SIGTERM)}
            if stop is not None and stop.is_set():  # looked at after, so that no signal falls between the two
                self.should_exit = True
            try:
                yield
            finally:
                for each, handler in before.items():
                    signal.signal(each, handler)

    return Server(config)


def _proxies(text: str) -> list[str]:
    """Addresses and networks that a setting names.

    Raises
    ------
    InvalidRequest
        When one is none: a name could not be compared with an address, and everybody would be no proxy.
    """
    named = [each.strip() for each in text.split(",") if each.strip()]
    try:
        return [str(ipaddress.ip_network(each) if "/" in each else ipaddress.ip_address(each)) for each in named]
    except ValueError as error:
        raise InvalidRequest(
            f"serve_proxies: {error}.", hint="Name addresses or networks: 10.0.0.5, 10.1.0.0/16."
        ) from error


def _check_open(settings: Settings) -> None:
    """Refuse to listen beyond this machine without asking who is there, unless that is said by name."""
    if settings.serve_auth != "none" or settings.serve_open or _is_loopback(settings.serve_host):
        return
    msg = f"The server would listen on {settings.serve_host}, and ask nobody who they are."
    hint = "Ask for tokens (serve_auth = 'tokens'), or listen on 127.0.0.1; or say serve_open = 'yes, to everybody'."
    raise Denied(msg, hint=hint)


def _check_log(settings: Settings) -> None:
    """Refuse at the start, and not at the first request, to log predictions without what writes them."""
    if settings.gateway_log_dir:
        from chopmark.formats.prediction_files import open_parquet

        open_parquet()


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
