"""What a worker sees of a rollout, read in one transaction: the routing, the routers, and what became of requests."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from msgspec import structs

from chopmark.abc.catalog import Transaction
from chopmark.app.outcome_reading import windows_between
from chopmark.app.rollout_signals import events_of, experiment_decision, gauges_of
from chopmark.app.routing import all_routers
from chopmark.app.way_back import rollout_alerts
from chopmark.domain.endpoints import Endpoint, parse_endpoint
from chopmark.domain.monitors import is_drift
from chopmark.domain.outcome_tiers import beginning
from chopmark.domain.outcomes import OutcomeWindow
from chopmark.domain.rollout_totals import Gauge, arm_totals
from chopmark.domain.rollouts import Observation, Rollout, RolloutState

__all__ = ["Recorded", "endpoint_of", "observed", "recorded", "rivals"]

_AHEAD = timedelta(minutes=2)
"""Routers count by their own clocks."""

_RIVALS_MAX = 100
_NOTHING: Mapping[str, Gauge] = {}
_COUNTED: frozenset[RolloutState] = frozenset({"progressing", "baking"})
"""States in which anything is decided by what became of requests."""


class Recorded(NamedTuple):
    """What was recorded of a version: all its minutes together, and when the newest began."""

    window: OutcomeWindow | None = None
    newest: datetime | None = None


def endpoint_of(tx: Transaction, rollout: Rollout) -> Endpoint | None:
    """The rollout's endpoint as it is meant to be; None when it was deleted, also when another has its name by now."""
    ref = parse_endpoint(rollout.endpoint_ref)
    found = tx.endpoints.get(ref.project, ref.name)
    return found if found is not None and found.id == rollout.endpoint else None


def rivals(tx: Transaction, rollout: Rollout) -> list[Rollout]:
    """Others of the same endpoint that have not ended, newest first."""
    ref = parse_endpoint(rollout.endpoint_ref)
    found = tx.rollouts.list(project=ref.project, name=ref.name, is_open=True, limit=_RIVALS_MAX)
    return [r for r in found if r.endpoint == rollout.endpoint and r.id != rollout.id and not r.is_final]


def observed(tx: Transaction, rollout: Rollout, now: datetime, drift: Mapping[str, Gauge] = _NOTHING) -> Observation:
    """What there is to see of a rollout at this moment, and how far requests had drifted where that was measured just now."""
    endpoint, others = endpoint_of(tx, rollout), rivals(tx, rollout)
    newer = [r for r in others if (r.created_at, r.id) > (rollout.created_at, rollout.id)]
    if endpoint is None:
        return Observation(mark=tx.routing.mark(), endpoint=None)
    active = tx.rollouts.active_of(rollout.endpoint)
    stable, candidate = _arms(tx, rollout, now)
    events = events_of(tx, rollout, now)
    measured = {name: gauge for name, gauge in drift.items() if is_drift(name)}
    return Observation(
        mark=tx.routing.mark(),
        endpoint=endpoint,
        routers=tuple(all_routers(tx)),
        stable=arm_totals(stable.window, events[0], gauges_of(*stable)),
        candidate=arm_totals(candidate.window, events[1], {**gauges_of(*candidate), **measured}),
        alerts=rollout_alerts(tx, endpoint.id, rollout.started_at or now),
        experiment=experiment_decision(tx, rollout, endpoint, now),
        is_free=active is None or active.id == rollout.id,
        superseded_by=f"the rollout of {newer[0].candidate.ref}" if newer else "",
    )


def _arms(tx: Transaction, rollout: Rollout, now: datetime) -> tuple[Recorded, Recorded]:
    nothing = Recorded()
    if rollout.stable is None or rollout.started_at is None or rollout.state not in _COUNTED:
        return nothing, nothing
    wanted = rollout.stable.id, rollout.candidate.id
    # From the beginning of the hour: so nothing changes when minutes that grew old are added up by the hour.
    found = recorded(tx, rollout.endpoint, wanted, beginning(rollout.started_at, "hour"), now + _AHEAD)
    return found.get(wanted[0], nothing), found.get(wanted[1], nothing)


def recorded(
    tx: Transaction, endpoint_id: UUID, versions: Collection[UUID], since: datetime, until: datetime
) -> Mapping[UUID, Recorded]:
    """What was recorded of some versions behind an endpoint from ``since`` to before ``until``, what grew old by the hour."""
    found: dict[UUID, Recorded] = {}
    for window in windows_between(tx, endpoint_id, since, until):
        if window.version in versions:
            found[window.version] = _with(found.get(window.version), window)
    return found


def _with(before: Recorded | None, window: OutcomeWindow) -> Recorded:
    """Both together, under the first one's name: a version may be called another way after it is promoted."""
    if before is None or before.window is None or before.newest is None:
        return Recorded(window, window.start)
    named = window if window.variant == before.window.variant else _renamed(window, before.window.variant)
    return Recorded(before.window + named, max(before.newest, window.start))


def _renamed(window: OutcomeWindow, variant: str) -> OutcomeWindow:
    return structs.replace(window, variant=variant)
