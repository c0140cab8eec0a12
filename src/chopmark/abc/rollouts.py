"""What rollouts ask of a catalog: one row each, written by comparison of its revision, and what happened to it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import NamedTuple, Protocol
from uuid import UUID

from chopmark.domain.rollouts import Rollout, RolloutEvent

__all__ = ["RolloutPlace", "Rollouts"]

RolloutList = list[Rollout]  # inside the class below, ``list`` is a method
EventList = list[RolloutEvent]


class RolloutPlace(NamedTuple):
    """Where a rollout stands among all: newest first."""

    created_at: datetime
    id: UUID


class Rollouts(Protocol):
    """Rollouts by their id, and by the project and name of their endpoint, which may be gone by now."""

    def insert(self, rollout: Rollout) -> None:
        """Add one; `Taken` when its id is there, or it is active and another has its endpoint."""
        ...

    def get(self, rollout_id: UUID) -> Rollout | None:
        """The rollout, or None."""
        ...

    def lock(self, rollout_id: UUID) -> Rollout | None:
        """Like `get`, and no other transaction may change it now."""
        ...

    def put(self, rollout: Rollout) -> Rollout | None:
        """Replace the row whose revision is that of the one given; what it is then, or None when it has another revision.

        `Taken` when it would be active and another has its endpoint.
        """
        ...

    def active_of(self, endpoint_id: UUID) -> Rollout | None:
        """The one that has the endpoint to itself."""
        ...

    def list(
        self,
        *,
        project: str | None = None,
        name: str | None = None,
        among: Collection[str] | None = None,
        is_open: bool = False,
        before: RolloutPlace | None = None,
        limit: int,
    ) -> RolloutList:
        """Newest first, from the first after the place ``before``.

        Of one project, or of those ``among``, or of all; of endpoints called ``name``; with ``is_open`` those alone of which
        a worker has something to do: that have not ended, or still hold the version without traffic.
        """
        ...

    def append(self, events: Iterable[RolloutEvent]) -> None:
        """Add what happened to rollouts that this transaction has put, inserted or locked; each gets the next ``seq``."""
        ...

    def events(self, rollout_id: UUID, *, after: int = 0, limit: int) -> EventList:
        """What happened to one, in order, from the first after ``after``."""
        ...
