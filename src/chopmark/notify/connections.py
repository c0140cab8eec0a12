"""Connections to addresses that were checked, with a limit for all that happens on them.

A name is looked up once. What was found is judged (`chopmark.domain.addresses`), and the connection goes to one of these very
addresses: what the name means a moment later is of no use to whoever changes it in between.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

from chopmark.domain.addresses import Allowed, Place, check_addresses

__all__ = ["Deadline", "Resolver", "connected", "looked_up"]

Resolver = Callable[[str, int], Sequence[str]]
"""Addresses of a host, the best first."""

_ADDRESSES_TRIED = 4


def looked_up(host: str, port: int) -> list[str]:
    """Addresses of a host by the system's resolver."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def connected(place: Place, allowed: Allowed, *, timeout_s: float, resolver: Resolver = looked_up) -> socket.socket:
    """A connection to where a place is, if that may be.

    Parameters
    ----------
    place, allowed
        Where to, and what is allowed beside public addresses.
    timeout_s
        For looking up and connecting together.
    resolver
        Looks up names.

    Raises
    ------
    Denied
        When an address is forbidden.
    OSError
        When there is no such host, or none of its addresses answers in time.
    """
    until_s = time.monotonic() + timeout_s
    addresses = check_addresses(place, _within(timeout_s, lambda: resolver(place.host, place.port)), allowed)
    last: OSError = OSError(f"{place.host} has no address")
    for address in addresses[:_ADDRESSES_TRIED]:
        left_s = until_s - time.monotonic()
        if left_s <= 0:
            break
        try:
            return socket.create_connection((address, place.port), timeout=left_s)
        except OSError as error:
            last = error
    raise last


def _within(timeout_s: float, ask: Callable[[], Sequence[str]]) -> Sequence[str]:
    """What a resolver finds, if it does in time: it takes no limit of its own, so it is left alone on a thread when it hangs."""
    found: list[Sequence[str]] = []
    failed: list[OSError] = []

    def run() -> None:
        try:
            found.append(ask())
        except OSError as error:
            failed.append(error)

    thread = threading.Thread(target=run, name="chopmark-lookup", daemon=True)
    thread.start()
    thread.join(timeout_s)
    if failed:
        raise failed[0]
    if not found:
        raise TimeoutError("the name was not looked up in time")
    return found[0]


class Deadline:
    """Ends what goes on on a connection when its time is over, however slowly bytes come and go.

    A limit for each read would not: who sends a byte a second keeps every one of them.

    Parameters
    ----------
    connection
        Not wrapped yet; wrapping it later does no harm.
    within_s
        Seconds from now.

    Attributes
    ----------
    is_over
        Whether the time was up.
    """

    def __init__(self, connection: socket.socket, within_s: float) -> None:
        self.is_over = False
        self._twin = connection.dup()
        self._timer = threading.Timer(max(0.0, within_s), self._end)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        self._timer.join()
        self._twin.close()

    def _end(self, *_: Any) -> None:
        self.is_over = True
        try:
            self._twin.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # it had ended already
