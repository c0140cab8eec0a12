"""What a router deals by: one immutable table an endpoint, replaced as a whole when all of its versions are ready."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from chopmark.base.clock import Clock
from chopmark.domain.endpoints import Endpoint, Routing, RoutingMark, ServedVariant
from chopmark.domain.request_ids import RequestIds
from chopmark.domain.traffic import SHADOW, PinnedVersion, Shadow, Variant
from chopmark.errors import Unavailable
from chopmark.gateway.dealing import Deal, dealt_by
from chopmark.gateway.holding import Held, HeldKey, Holding, key_of
from chopmark.gateway.keys import key_in
from chopmark.gateway.protocols.asked import Asked, Identity
from chopmark.gateway.recording import Counts, Tally, TallyKey
from chopmark.gateway.samples import Samples
from chopmark.gateway.telling import LOGGER

if TYPE_CHECKING:
    from chopmark.gateway.execution import Execution

__all__ = ["Copied", "Route", "Router", "Serving", "Shadowing"]


class Serving:
    """A variant that answers: what is read of it at each request."""

    __slots__ = ("_endpoint", "_generation", "execution", "head", "held", "ids", "since", "tally", "variant")

    def __init__(
        self, endpoint: Endpoint, variant: Variant, held: Held, tally: Tally, secret: bytes, since: datetime
    ) -> None:
        version = variant.version
        self.variant = variant
        self.held = held
        self.execution = cast("Execution", held.running)  # of a language model a chat; it has other ways
        self.tally = tally
        self.since = since
        self._endpoint = endpoint.ref
        self._generation = endpoint.generation
        self.ids = RequestIds(secret, endpoint.id, version.id, endpoint.generation, variant.name)
        self.head = _head(
            model=version.model,
            version=str(version.number),
            digest=version.digest,
            variant=variant.name,
            generation=str(endpoint.generation),
        )

    def identity(self, request_id: str) -> Identity:
        """Who answers a request."""
        version = self.variant.version
        return Identity(
            self._endpoint,
            version.model,
            version.number,
            version.digest,
            self.variant.name,
            self._generation,
            request_id,
        )


class Copied(NamedTuple):
    """A request that a shadow gets: what was asked, what was answered, and how long its body was."""

    asked: Asked
    answer: Any
    request_bytes: int


class Shadowing:
    """A version that is asked beside the others, whose answers are compared; ``waiting`` for it, and how many it is ``working`` on.

    ``variant`` is what it is counted as, and ``samples`` are some of its copies with what it answered.
    """

    __slots__ = ("execution", "held", "samples", "shadow", "tally", "variant", "waiting", "working")

    def __init__(self, shadow: Shadow, held: Held, tally: Tally, samples: Samples | None = None) -> None:
        self.shadow = shadow
        self.variant = Variant(name=SHADOW, version=shadow.version, weight=0)
        self.samples = samples
        self.held = held
        self.execution = cast("Execution", held.running)
        self.tally = tally
        self.waiting: deque[Copied] = deque()
        self.working = 0


class Route:
    """The table of one endpoint, as of one generation. Requests that began with it end with it."""

    __slots__ = (
        "by_number",
        "config",
        "deal",
        "endpoint",
        "is_chat",
        "is_single",
        "key_header",
        "key_of",
        "samples",
        "secret",
        "serving",
        "shadows",
    )

    def __init__(
        self,
        endpoint: Endpoint,
        serving: tuple[Serving, ...],
        shadows: tuple[Shadowing, ...],
        samples: Samples | None,
        secret: bytes,
    ) -> None:
        self.endpoint = endpoint
        self.samples = samples
        self.secret = secret
        self.config = endpoint.config
        self.serving = serving
        self.shadows = shadows
        self.deal = _among(serving, endpoint)
        self.is_single = len(serving) == 1
        self.key_header = endpoint.config.key_header.lower().encode()
        self.key_of = key_in(endpoint.config.key_field)
        self.is_chat = endpoint.variants[0].version.kind == "llm_config"
        self.by_number: Mapping[str, Serving] = MappingProxyType({str(s.variant.version.number): s for s in serving})


class Router:
    """Deals by the newest routing whose versions are loaded.

    Parameters
    ----------
    holding
        What loads versions and keeps them.
    clock
        Where the time comes from.

    All of it happens on one event loop. A table is replaced by one assignment, when every version of the new one has been loaded and
    tried; until then, and when one cannot be loaded, the table before it answers.
    """

    def __init__(self, holding: Holding, clock: Clock) -> None:
        self.routes: dict[str, Route] = {}
        self.routing: Routing | None = None
        self.tallies: dict[TallyKey, Tally] = {}
        self.note = ""
        self._holding = holding
        self._clock = clock
        self._listeners: list[Callable[[], None]] = []
        self._wanted: frozenset[str] = frozenset()

    @property
    def waiting(self) -> frozenset[str]:
        """Endpoints that are meant to be served and have no table yet."""
        return self._wanted - self.routes.keys()

    @property
    def mark(self) -> RoutingMark:
        """Which routing it knows."""
        return self.routing.mark if self.routing is not None else RoutingMark()

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call a function after each replacement of a table, and when other endpoints are meant to be served."""
        self._listeners.append(listener)

    def take(self, routing: Routing) -> bool:
        """Deal by a routing from now on, as its versions become ready; False when it is older than the one it knows."""
        known = self.mark
        if is_older(routing.mark, known):
            note = (
                f"The control plane offered generation {routing.mark.generation} of {routing.mark.epoch or 'no epoch'}, older than "
                f"generation {known.generation} of {known.epoch}: it was refused."
            )
            if note != self.note:  # it is offered again several times a second
                LOGGER.error("%s", note)
            self.note = note
            return False
        if known.epoch and routing.mark.epoch != known.epoch:
            LOGGER.warning(
                "The control plane began a new epoch, as its database was set back: generation %d is taken after %d.",
                routing.mark.generation,
                known.generation,
            )
        self.note = ""
        self.routing = routing
        self.settle()
        return True

    def settle(self) -> None:
        """Bring tables and loaded versions nearer to the routing: load what is missing, replace what is ready, let go of the rest."""
        routing = self.routing
        if routing is None:
            return
        secret = bytes.fromhex(routing.secret)
        wanted = {endpoint.ref: endpoint for endpoint in routing.endpoints}
        is_changed = self._wanted != wanted.keys()
        self._wanted = frozenset(wanted)
        for ref in [ref for ref in self.routes if ref not in wanted]:
            del self.routes[ref]
            is_changed = True
        for ref, endpoint in wanted.items():
            route = self.routes.get(ref)
            if route is not None and self._is_up_to_date(route, endpoint, secret):
                continue
            made = self._made(endpoint, route, secret)
            if made is not None:
                self.routes[ref] = made
                is_changed = True
        self._holding.release(self._needed(routing))
        if is_changed:
            for listener in self._listeners:
                listener()

    def _made(self, endpoint: Endpoint, before: Route | None, secret: bytes) -> Route | None:
        """The endpoint's table, once all of its versions are loaded."""
        for version in _versions(endpoint):
            self._holding.want(version, endpoint.config, self.settle)
        now = self._clock()
        serving = []
        for variant in endpoint.variants:
            held = self._holding.get(key_of(variant.version, endpoint.config))
            if held is None and variant.weight == 0 and self._why_failed(endpoint, variant.version):
                continue  # who has no traffic and cannot be loaded keeps no other from being served
            if held is None:
                return None
            since = _since(before, variant) or now
            tally = self._tally(endpoint, variant.version, variant.name)
            serving.append(Serving(endpoint, variant, held, tally, secret, since))
        # A shadow never keeps the others waiting: without its version there is none until it is loaded.
        shadows = [
            Shadowing(
                shadow,
                held,
                self._tally(endpoint, shadow.version, SHADOW),
                Samples.of(endpoint.config, _copies_of(before, shadow)),
            )
            for shadow in endpoint.shadows
            if (held := self._holding.get(key_of(shadow.version, endpoint.config))) is not None
        ]
        samples = Samples.of(endpoint.config, before.samples if before is not None else None)
        return Route(endpoint, tuple(serving), tuple(shadows), samples, secret)

    def _is_up_to_date(self, route: Route, endpoint: Endpoint, secret: bytes) -> bool:
        if route.endpoint != endpoint or route.secret != secret:
            return False
        missing = _missing(route)
        for version in (*(s.version for s in endpoint.shadows), *(v.version for v in missing)):
            self._holding.want(version, endpoint.config, self.settle)
        if any(self._holding.get(key_of(v.version, endpoint.config)) is not None for v in missing):
            return False
        ready = sum(self._holding.get(key_of(s.version, endpoint.config)) is not None for s in endpoint.shadows)
        return len(route.shadows) == ready

    def why_not_served(self, endpoint: Endpoint) -> Unavailable:
        """Why an endpoint of the routing has no table, for callers: which version it waits for, and not what only operators may read."""
        for variant in endpoint.variants:
            if self._why_failed(endpoint, variant.version):
                msg = f"{endpoint.ref} is not served: {variant.version.ref} cannot be loaded."
                return Unavailable(msg, hint="Why is told by: chopmark live")
        return Unavailable(
            f"{endpoint.ref} is being loaded.", hint="Try again in a second; see how it stands with: chopmark live"
        )

    def _why_failed(self, endpoint: Endpoint, version: PinnedVersion) -> str:
        return self._holding.why_failed(key_of(version, endpoint.config))

    def _tally(self, endpoint: Endpoint, version: PinnedVersion, variant: str) -> Tally:
        return self.tallies.setdefault(TallyKey(endpoint.id, version.id, variant), Tally())

    def _needed(self, routing: Routing) -> dict[HeldKey, float]:
        tables = [*routing.endpoints, *(route.endpoint for route in self.routes.values())]
        return {key_of(v, e.config): e.config.kept_loaded_s for e in tables for v in _versions(e)}

    def counted(self) -> dict[TallyKey, Counts]:
        """What was counted since the last time, of those where anything was; called once a second."""
        found = {}
        routes = self.routes.values()
        in_force = {id(s.tally) for r in routes for s in r.serving} | {id(s.tally) for r in routes for s in r.shadows}
        for key, tally in list(self.tallies.items()):
            counts = tally.taken()
            if counts.requests or counts.dropped:
                found[key] = counts
            elif tally.is_idle and id(tally) not in in_force and not self._holding.works_on(key.version_id):
                del self.tallies[key]
        return found

    def served(self) -> Iterator[ServedVariant]:
        """What it serves, and what it has yet to serve."""
        for route in self.routes.values():
            for serving in route.serving:
                yield self._told(route.endpoint, serving)
            for variant in _missing(route):
                yield self._pending(route.endpoint, variant)
        for endpoint in self.routing.endpoints if self.routing is not None else ():
            known = self.routes.get(endpoint.ref)
            if known is not None and known.endpoint.generation == endpoint.generation:
                continue
            for variant in endpoint.variants:
                yield self._pending(endpoint, variant)

    def _told(self, endpoint: Endpoint, serving: Serving) -> ServedVariant:
        variant = serving.variant
        return ServedVariant(
            endpoint=endpoint.ref,
            variant=variant.name,
            version=variant.version.ref,
            digest=variant.version.digest,
            weight=variant.weight,
            generation=endpoint.generation,
            since=serving.since,
            requests_per_s=serving.tally.requests_per_s,
            execution=serving.held.running.words,
        )

    def _pending(self, endpoint: Endpoint, variant: Variant) -> ServedVariant:
        why = self._why_failed(endpoint, variant.version)
        return ServedVariant(
            endpoint=endpoint.ref,
            variant=variant.name,
            version=variant.version.ref,
            digest=variant.version.digest,
            weight=variant.weight,
            generation=endpoint.generation,
            state="failed" if why else "loading",
            since=self._clock(),
            why=why,
        )


def _copies_of(before: Route | None, shadow: Shadow) -> Samples | None:
    """What was sampled of a shadow's copies by the table before."""
    known = before.shadows if before is not None else ()
    return next((each.samples for each in known if each.shadow.version == shadow.version), None)


def is_older(offered: RoutingMark, known: RoutingMark) -> bool:
    """Whether a routing is older than another: of an earlier epoch, or of a lower generation of the same."""
    return (offered.epoch, offered.generation) < (known.epoch, known.generation)


def _missing(route: Route) -> list[Variant]:
    """Variants that a table is without: they have no traffic, and could not be loaded."""
    if len(route.serving) == len(route.endpoint.variants):
        return []
    there = {serving.variant.name for serving in route.serving}
    return [variant for variant in route.endpoint.variants if variant.name not in there]


def _among(serving: Sequence[Serving], endpoint: Endpoint) -> Deal:
    """How units are dealt among those that are loaded: as among all, since whoever is missing has no traffic."""
    deal = dealt_by(endpoint)
    if len(serving) == len(endpoint.variants):
        return deal
    place_of = {each.variant.name: place for place, each in enumerate(serving)}
    places = [place_of.get(variant.name, 0) for variant in endpoint.variants]
    return lambda unit: places[deal(unit)]


def _versions(endpoint: Endpoint) -> list[PinnedVersion]:
    return [v.version for v in endpoint.variants] + [s.version for s in endpoint.shadows]


def _since(before: Route | None, variant: Variant) -> datetime | None:
    """Since when a router has served this version as this variant."""
    if before is None:
        return None
    same = (
        s.since for s in before.serving if s.variant.version.id == variant.version.id and s.variant.name == variant.name
    )
    return next(same, None)


def _head(**identity: str) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((f"x-chopmark-{name}".encode(), value.encode()) for name, value in identity.items())
