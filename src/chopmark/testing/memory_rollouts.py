"""Rollouts in memory."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from uuid import UUID

from msgspec import structs

from chopmark.abc.catalog import Taken
from chopmark.abc.rollouts import EventList, RolloutList, RolloutPlace
from chopmark.base.clock import to_us
from chopmark.base.jsons import decode, encode
from chopmark.domain.refs import parse_model
from chopmark.domain.rollouts import ACTIVE, Rollout, RolloutEvent, is_open
from chopmark.testing.memory_state import Surface

__all__ = ["MemoryRollouts"]


class MemoryRollouts(Surface):
    """`chopmark.abc.rollouts.Rollouts`."""

    def insert(self, rollout: Rollout) -> None:
        """See the interface."""
        stored = self._scope.write.rollouts
        if rollout.id in stored or self._is_taken(rollout):
            raise _taken(rollout)
        to_us(rollout.created_at)
        stored[rollout.id] = encode(rollout)

    def get(self, rollout_id: UUID) -> Rollout | None:
        """See the interface."""
        body = self._scope.read.rollouts.get(rollout_id)
        return None if body is None else decode(body, Rollout)

    def lock(self, rollout_id: UUID) -> Rollout | None:
        """See the interface: there is one writer."""
        _ = self._scope.write
        return self.get(rollout_id)

    def put(self, rollout: Rollout) -> Rollout | None:
        """See the interface."""
        stored = self._scope.write.rollouts
        if self._is_taken(rollout):
            raise _taken(rollout)
        there = self.get(rollout.id)
        if there is None or there.revision != rollout.revision:
            return None
        made = structs.replace(rollout, revision=rollout.revision + 1)
        stored[rollout.id] = encode(made)
        return made

    def active_of(self, endpoint_id: UUID) -> Rollout | None:
        """See the interface."""
        return next((r for r in self._all() if r.endpoint == endpoint_id and r.state in ACTIVE), None)

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
        """See the interface."""
        found = sorted(self._all(), key=_place, reverse=True)
        return [
            r
            for r in found
            if (before is None or _place(r) < before)
            and (not is_open or _is_open(r))
            and _is_of(r, project, name)
            and (among is None or parse_model(r.endpoint_ref).project in among)
        ][:limit]

    def append(self, events: Iterable[RolloutEvent]) -> None:
        """See the interface."""
        state = self._scope.write
        for event in events:
            there = state.rollout_events.get(event.rollout, ())
            numbered = structs.replace(event, seq=len(there) + 1)
            state.rollout_events[event.rollout] = (*there, encode(numbered))

    def events(self, rollout_id: UUID, *, after: int = 0, limit: int) -> EventList:
        """See the interface."""
        found = self._scope.read.rollout_events.get(rollout_id, ())
        return [decode(body, RolloutEvent) for body in found[after : after + limit]]

    def _all(self) -> RolloutList:
        return [decode(body, Rollout) for body in self._scope.read.rollouts.values()]

    def _is_taken(self, rollout: Rollout) -> bool:
        other = self.active_of(rollout.endpoint) if rollout.state in ACTIVE else None
        return other is not None and other.id != rollout.id


_is_open = is_open  # within the class the name is an argument's


def _place(rollout: Rollout) -> RolloutPlace:
    return RolloutPlace(rollout.created_at, rollout.id)


def _is_of(rollout: Rollout, project: str | None, name: str | None) -> bool:
    ref = parse_model(rollout.endpoint_ref)
    return project in (None, ref.project) and name in (None, ref.name)


def _taken(rollout: Rollout) -> Taken:
    return Taken(f"Another rollout has the endpoint {rollout.endpoint_ref}.")
