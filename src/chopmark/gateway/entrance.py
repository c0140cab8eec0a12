"""Who may come in, and who answers them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping

from chopmark.base.clock import Clock
from chopmark.domain.access import EVERYWHERE
from chopmark.domain.endpoints import Endpoint, EndpointCaller, Routing
from chopmark.errors import NotFound, Unauthenticated
from chopmark.gateway.callers import Caller, Callers
from chopmark.gateway.exposing import Exposing
from chopmark.gateway.router import Route, Serving

__all__ = ["VARIANT_HEADER", "Entrance", "Headers"]

Headers = Mapping[bytes, bytes]

VARIANT_HEADER = b"x-chopmark-variant"

_EVERYWHERE = frozenset((EVERYWHERE,))
_TRUSTED = Caller(b"", _EVERYWHERE, _EVERYWHERE, None)
_ANYBODY = Caller(b"", _EVERYWHERE, frozenset(), None)


class Entrance:
    """Lets callers in and deals them to variants.

    Parameters
    ----------
    asks_callers
        Whether everybody needs a token, but where an endpoint says otherwise.
    clock
        Where the time comes from.
    exposing
        Notes who meets a variant of an experiment.
    """

    def __init__(self, *, asks_callers: bool, clock: Clock, exposing: Exposing | None = None) -> None:
        self._exposing = Exposing(clock) if exposing is None else exposing
        self._asks_callers = asks_callers
        self._clock = clock
        self._callers = Callers((), clock)

    def know(self, callers: Iterable[EndpointCaller]) -> None:
        """Take those who may call from now on."""
        self._callers = Callers(callers, self._clock)

    def check_known(self, headers: Headers) -> None:
        """Refuse who shows no token that may call anything, where everybody needs one.

        Raises
        ------
        Unauthenticated
            When there is none.
        """
        if self._asks_callers:
            self._callers.caller(headers.get(b"authorization", b""))

    def seen_refs(self, routing: Routing | None, headers: Headers) -> frozenset[str] | None:
        """Endpoints of a routing that whoever sends these headers may know of; None for all that there are and were."""
        if not self._asks_callers:
            return None
        seen = set()
        for endpoint in routing.endpoints if routing is not None else ():
            with contextlib.suppress(Unauthenticated, NotFound):
                self.caller(endpoint, headers)
                seen.add(endpoint.ref)
        return frozenset(seen)

    def caller(self, endpoint: Endpoint, headers: Headers) -> Caller:
        """Who sends a request to an endpoint.

        Raises
        ------
        Unauthenticated
            When that is not known.
        NotFound
            When there is no such endpoint for them.
        """
        if not self._asks_callers:
            return _TRUSTED
        authorization = headers.get(b"authorization")
        is_open = endpoint.config.access == "anybody"
        if authorization is None and is_open:
            return _ANYBODY
        caller = self._callers.caller(authorization or b"")
        if not is_open:
            caller.check_invoke(endpoint.project, endpoint.ref)
        return caller

    def dealt(
        self, route: Route, headers: Headers, body: bytes, caller: Caller, *, sequence: int, number: str = ""
    ) -> tuple[Serving, bool]:
        """Who answers, and whether the request says for whom it asks.

        Parameters
        ----------
        sequence
            Of the request, by which it is dealt when it says nothing of for whom it asks.
        number
            Of the version that it names; empty when it names none.

        Raises
        ------
        NotFound
            When it names a variant that there is not.
        Denied
            When it names one and may not choose.
        """
        unit = headers.get(route.key_header)
        if unit is None and route.key_of is not None:
            unit = route.key_of(body)
        has_key = unit is not None or caller.unit != b""
        if number or VARIANT_HEADER in headers:
            return _chosen(route, headers, caller, number), has_key
        if route.is_single:
            return route.serving[0], has_key
        if unit is None:
            unit = caller.unit or sequence.to_bytes(8, "big")
        serving = route.serving[route.deal(unit)]
        if has_key and self._exposing.endpoints.get(route.endpoint.id) == route.endpoint.generation:
            self._exposing.note(route.endpoint.id, unit, serving.variant.name)
        return serving, has_key


def _chosen(route: Route, headers: Headers, caller: Caller, number: str) -> Serving:
    """The variant that a caller names, who may."""
    name = headers.get(VARIANT_HEADER, b"").decode("latin-1")
    for serving in route.serving:
        if number in ("", str(serving.variant.version.number)) and name in ("", serving.variant.name):
            if not route.is_single:
                caller.check_deploy(route.endpoint.project)
            return serving
    known = ", ".join(f"{s.variant.name} ({s.variant.version.ref})" for s in route.serving)
    raise NotFound(f"{route.endpoint.ref} has no such variant.", hint=f"It has {known}.")
