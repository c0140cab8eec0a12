"""What the routers of an endpoint confirm of a rollout, by what they report; pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from chopmark.domain.endpoints import Endpoint, Router, RoutingMark, ServedVariant, is_served_by
from chopmark.domain.live import is_silent
from chopmark.domain.rollouts import Asked, Observation, Rollout, SetSplit, split_of

__all__ = ["is_old", "is_split_set", "lagging", "live_routers", "load_failure", "still_dealing"]

_SHOWN = 3


def live_routers(seen: Observation, now: datetime) -> tuple[Router, ...]:
    """Those of the endpoint that reported lately.

    A report that lies ahead is one of before the clock was set back: its router may well live, and is waited for.
    """
    return tuple(
        router
        for router in seen.routers
        if not is_silent(router, now) and (seen.endpoint is None or is_served_by(seen.endpoint, router.report.only))
    )


def is_old(rollout: Rollout, seen: Observation) -> bool:
    """Whether it was seen before what the row asked was set."""
    if rollout.asked is None:
        return False
    mark = rollout.asked.mark
    return (seen.mark.epoch, seen.mark.generation) < (mark.epoch, mark.generation)


def is_split_set(rollout: Rollout, seen: Observation) -> bool:
    """Whether the endpoint is meant to be as the rollout asked: by versions and weights, whatever the names are."""
    if seen.endpoint is None or rollout.asked is None:
        return False
    wanted = split_of(rollout, rollout.asked)
    return _weights(wanted) == _weights(seen.endpoint)


def lagging(rollout: Rollout, seen: Observation) -> str:
    """Why not every router has confirmed what was asked; empty when all have. There being none confirms nothing.

    The routers of what was seen are those that live, here and below.
    """
    if not seen.routers:
        return "no router reports"
    asked, endpoint = rollout.asked, seen.endpoint
    if asked is None or endpoint is None:
        return "nothing was asked"
    return _named([r for r in seen.routers if not _has_confirmed(r, rollout, asked, seen.mark, endpoint.ref)])


def still_dealing(rollout: Rollout, seen: Observation) -> str:
    """Which routers may still give the candidate traffic; empty when none does, by the newest routing."""
    if seen.endpoint is None:
        return ""
    least, late = seen.endpoint.generation, []
    for router in seen.routers:
        has_newest = router.report.mark.epoch == seen.mark.epoch and router.report.mark.generation >= least
        if not has_newest or any(_deals(served, rollout, seen.endpoint.ref) for served in router.report.served):
            late.append(router)
    return _named(late)


def load_failure(rollout: Rollout, seen: Observation) -> str:
    """Which router cannot load the candidate, and why; empty when none says so."""
    if seen.endpoint is None or rollout.asked is None:
        return ""
    for router in seen.routers:
        for served in router.report.served:
            is_ours = served.endpoint == seen.endpoint.ref and served.digest == rollout.candidate.digest
            if is_ours and served.state == "failed" and served.generation >= rollout.asked.mark.generation:
                return f"{router.report.id} cannot load {rollout.candidate.ref}: {served.why or 'no reason given'}"
    return ""


def _deals(served: ServedVariant, rollout: Rollout, name: str) -> bool:
    is_ours = served.endpoint == name and served.digest == rollout.candidate.digest
    return is_ours and served.state == "serving" and served.weight > 0


def _named(late: Sequence[Router]) -> str:
    if not late:
        return ""
    names = sorted(router.report.id for router in late)
    more = f" and {len(names) - _SHOWN} others" if len(names) > _SHOWN else ""
    return f"not confirmed by {', '.join(names[:_SHOWN])}{more}"


def _has_confirmed(router: Router, rollout: Rollout, asked: Asked, newest: RoutingMark, name: str) -> bool:
    if router.report.mark.epoch != newest.epoch or router.report.mark.generation < asked.mark.generation:
        return False
    table = [s for s in router.report.served if s.endpoint == name and s.generation >= asked.mark.generation]
    if not table or any(served.state != "serving" for served in table):
        return False
    return _served_weights(table) == {
        variant.version.digest: variant.weight for variant in split_of(rollout, asked).variants
    }


def _served_weights(table: Sequence[ServedVariant]) -> dict[str, int]:
    return {served.digest: served.weight for served in table}


def _weights(split: SetSplit | Endpoint) -> tuple[dict[UUID, int], dict[UUID, int]]:
    return {v.version.id: v.weight for v in split.variants}, {s.version.id: s.weight for s in split.shadows}
