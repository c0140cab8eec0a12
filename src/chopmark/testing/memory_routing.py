"""Endpoints, the routing's mark, routers and outcomes in memory."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from datetime import datetime
from uuid import UUID

from msgspec import structs

from chopmark.abc.catalog import Taken
from chopmark.abc.routing import EndpointList, OutcomeList, ReportedOutcome, RouterList
from chopmark.base.clock import to_us
from chopmark.base.jsons import decode, encode
from chopmark.domain.endpoints import Endpoint, Router, RouterReport, RoutingMark
from chopmark.domain.outcomes import OutcomeWindow
from chopmark.domain.variants import versions_of
from chopmark.testing.memory_state import Surface

__all__ = ["MemoryEndpoints", "MemoryOutcomes", "MemoryRouters", "MemoryRoutingMarks"]

_STAYS = ("id", "project", "name", "created_at", "created_by")


class MemoryEndpoints(Surface):
    """`chopmark.abc.routing.Endpoints`."""

    def get(self, project: str, name: str) -> Endpoint | None:
        """See the interface."""
        return next((e for e in self._all() if (e.project, e.name) == (project, name)), None)

    def lock(self, project: str, name: str) -> Endpoint | None:
        """See the interface: there is one writer."""
        _ = self._scope.write
        return self.get(project, name)

    def list(
        self,
        *,
        project: str | None = None,
        among: Collection[str] | None = None,
        after: tuple[str, str] = ("", ""),
        limit: int,
    ) -> EndpointList:
        """See the interface."""
        return [
            e
            for e in self._all()
            if (e.project, e.name) > after and project in (None, e.project) and (among is None or e.project in among)
        ][:limit]

    def using(self, version_id: UUID, *, limit: int) -> EndpointList:
        """See the interface."""
        return [e for e in self._all() if version_id in versions_of(e)][:limit]

    def insert(self, endpoint: Endpoint) -> None:
        """See the interface."""
        stored = self._scope.write.endpoints
        if endpoint.id in stored or self.get(endpoint.project, endpoint.name) is not None:
            raise Taken(f"There is an endpoint {endpoint.ref} already.")
        stored[endpoint.id] = encode(endpoint)

    def put(self, endpoint: Endpoint) -> bool:
        """See the interface."""
        stored = self._scope.write.endpoints
        if endpoint.id not in stored:
            return False
        there = decode(stored[endpoint.id], Endpoint)
        stored[endpoint.id] = encode(structs.replace(endpoint, **{name: getattr(there, name) for name in _STAYS}))
        return True

    def remove(self, endpoint_id: UUID) -> bool:
        """See the interface."""
        return self._scope.write.endpoints.pop(endpoint_id, None) is not None

    def _all(self) -> Iterator[Endpoint]:
        found = [decode(body, Endpoint) for body in self._scope.read.endpoints.values()]
        return iter(sorted(found, key=lambda e: (e.project, e.name)))


class MemoryRoutingMarks(Surface):
    """`chopmark.abc.routing.RoutingMarks`."""

    def mark(self) -> RoutingMark:
        """See the interface."""
        epoch, generation, _ = self._scope.read.routing
        return RoutingMark(epoch, generation)

    def secret(self) -> str:
        """See the interface."""
        return self._scope.read.routing.secret

    def advance(self) -> int:
        """See the interface."""
        return self._moved(self._scope.write.routing.epoch).generation

    def begin(self, epoch: str) -> RoutingMark:
        """See the interface."""
        return self._moved(epoch)

    def _moved(self, epoch: str) -> RoutingMark:
        state = self._scope.write
        state.routing = state.routing._replace(epoch=epoch, generation=state.routing.generation + 1)
        return self.mark()


class MemoryRouters(Surface):
    """`chopmark.abc.routing.Routers`."""

    def put(self, report: RouterReport, at: datetime) -> None:
        """See the interface."""
        to_us(at)
        self._scope.write.routers[report.id] = at, encode(report)

    def list(self, *, after: str = "", limit: int) -> RouterList:
        """See the interface."""
        found = sorted((key, at, body) for key, (at, body) in self._scope.read.routers.items() if key > after)
        return [Router(report=decode(body, RouterReport), seen_at=at) for _, at, body in found[:limit]]

    def remove(self, before: datetime) -> int:
        """See the interface."""
        routers = self._scope.write.routers
        gone = [key for key, (at, _) in routers.items() if at < before]
        for key in gone:
            del routers[key]
        return len(gone)


class MemoryOutcomes(Surface):
    """`chopmark.abc.routing.Outcomes`."""

    def put(self, router: str, windows: Iterable[OutcomeWindow], *, grows: bool = False) -> None:
        """See the interface."""
        stored = self._scope.write.outcomes
        for w in windows:
            key = (w.endpoint, w.start, w.version, w.variant, router)
            if not grows or key not in stored or decode(stored[key], OutcomeWindow).requests <= w.requests:
                stored[key] = encode(w)

    def list(self, endpoint_id: UUID, *, since: datetime, until: datetime, limit: int) -> OutcomeList:
        """See the interface."""
        stored = self._scope.read.outcomes
        keys = sorted(key for key in stored if key[0] == endpoint_id and since <= key[1] < until)
        return [ReportedOutcome(key[-1], decode(stored[key], OutcomeWindow)) for key in keys[:limit]]

    def oldest(self, *, before: datetime, limit: int) -> OutcomeList:
        """See the interface."""
        stored = self._scope.read.outcomes
        keys = sorted((k for k in stored if k[1] < before), key=lambda k: (k[1], k[0], *k[2:]))[:limit]
        return [ReportedOutcome(key[-1], decode(stored[key], OutcomeWindow)) for key in keys]

    def discard(self, outcomes: Iterable[ReportedOutcome]) -> None:
        """See the interface."""
        stored = self._scope.write.outcomes
        for router, w in outcomes:
            stored.pop((w.endpoint, w.start, w.version, w.variant, router), None)

    def remove(self, before: datetime, *, limit: int) -> int:
        """See the interface."""
        stored = self._scope.write.outcomes
        old = [key for key in stored if key[1] < before][:limit]
        for key in old:
            del stored[key]
        return len(old)
