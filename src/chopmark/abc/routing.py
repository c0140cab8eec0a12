"""What the gateway asks of a catalog: endpoints, the routing's mark, routers' reports and outcomes."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import NamedTuple, Protocol
from uuid import UUID

from chopmark.domain.endpoints import Endpoint, Router, RouterReport, RoutingMark
from chopmark.domain.outcomes import OutcomeWindow

__all__ = ["Endpoints", "Outcomes", "ReportedOutcome", "Routers", "RoutingMarks"]

EndpointList = list[Endpoint]  # inside the classes below, ``list`` is a method
RouterList = list[Router]


class ReportedOutcome(NamedTuple):
    """What a router counted in a minute."""

    router: str
    window: OutcomeWindow


OutcomeList = list[ReportedOutcome]


class Endpoints(Protocol):
    """Endpoints by project and name."""

    def get(self, project: str, name: str) -> Endpoint | None:
        """The endpoint, or None."""
        ...

    def lock(self, project: str, name: str) -> Endpoint | None:
        """Like `get`, and no other transaction may change it now."""
        ...

    def list(
        self,
        *,
        project: str | None = None,
        among: Collection[str] | None = None,
        after: tuple[str, str] = ("", ""),
        limit: int,
    ) -> EndpointList:
        """By project and name from the first after ``after``; of one project, or of those ``among``, or of all."""
        ...

    def using(self, version_id: UUID, *, limit: int) -> EndpointList:
        """Those with a variant or shadow of this version, by project and name."""
        ...

    def insert(self, endpoint: Endpoint) -> None:
        """Add one; `Taken` when its name is in its project."""
        ...

    def put(self, endpoint: Endpoint) -> bool:
        """Replace what may change of the one with this id (all but id, project, name and who made it); whether it was there."""
        ...

    def remove(self, endpoint_id: UUID) -> bool:
        """Remove one; whether it was there. What its routers counted stays until it is old."""
        ...


class RoutingMarks(Protocol):
    """The mark of the newest routing, and what its request ids are authenticated with: one row that is always there."""

    def mark(self) -> RoutingMark:
        """The epoch and generation, as this transaction sees them."""
        ...

    def secret(self) -> str:
        """Hexadecimal, of 32 bytes; made with the database."""
        ...

    def advance(self) -> int:
        """Add one to the generation, and tell who listens when this transaction is committed; gives the new one."""
        ...

    def begin(self, epoch: str) -> RoutingMark:
        """Begin an epoch, at the next generation; gives the new mark."""
        ...


class Routers(Protocol):
    """Routers by their id, as they last reported."""

    def put(self, report: RouterReport, at: datetime) -> None:
        """Add or replace one."""
        ...

    def list(self, *, after: str = "", limit: int) -> RouterList:
        """By id from the first after ``after``."""
        ...

    def remove(self, before: datetime) -> int:
        """Forget those that reported last before a time; how many."""
        ...


class Outcomes(Protocol):
    """What became of requests, by endpoint, version, variant, minute and router."""

    def put(self, router: str, windows: Iterable[OutcomeWindow], *, grows: bool = False) -> None:
        """Add each, or replace the one of the same router, endpoint, version, variant and minute.

        Parameters
        ----------
        grows
            What is told of a minute only grows: one with fewer requests was overtaken on its way, and replaces nothing.
        """
        ...

    def list(self, endpoint_id: UUID, *, since: datetime, until: datetime, limit: int) -> OutcomeList:
        """Those of an endpoint whose minute begins from ``since`` to before ``until``.

        By minute, version, variant and router.
        """
        ...

    def oldest(self, *, before: datetime, limit: int) -> OutcomeList:
        """Those whose minute began before a time, of all endpoints, by minute, endpoint, version, variant and router."""
        ...

    def discard(self, outcomes: Iterable[ReportedOutcome]) -> None:
        """Remove those of the same router, endpoint, version, variant and minute."""
        ...

    def remove(self, before: datetime, *, limit: int) -> int:
        """Forget those whose minute began before a time, at most so many; how many."""
        ...
