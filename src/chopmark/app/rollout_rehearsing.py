"""A plan tried on recorded minutes (`chopmark.domain.rollout_rehearsal`)."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from uuid import UUID

from msgspec import structs

from chopmark.app.context import Context, resolve
from chopmark.app.outcome_reading import windows_between
from chopmark.domain.endpoints import parse_endpoint
from chopmark.domain.outcomes import OutcomeWindow, window_start
from chopmark.domain.rollout_plans import check_plan
from chopmark.domain.rollout_rehearsal import RecordedMinute, Rehearsal, rehearsed
from chopmark.errors import InvalidRequest, NotFound
from chopmark.ops.rollouts import RehearseRollout

__all__ = ["rehearse"]

_LONGEST = timedelta(days=2)


def rehearse(ctx: Context, request: RehearseRollout) -> Rehearsal:
    """Try a plan on what was recorded of two versions."""
    plan = check_plan(request.plan)
    ref = parse_endpoint(request.endpoint)
    endpoint = ctx.tx.endpoints.get(ref.project, ref.name)
    if endpoint is None:
        raise NotFound(f"There is no endpoint {str(ref)!r}.", hint="See what there is with: chopmark endpoint list")
    candidate, stable = resolve(ctx, request.candidate), resolve(ctx, request.stable)
    if candidate.id == stable.id:
        raise InvalidRequest(f"{candidate.ref} cannot be compared with itself.")
    until = request.until or ctx.catalog_now()
    if not timedelta(0) < until - request.since <= _LONGEST:
        raise InvalidRequest("What is replayed is at most two days, and ends after it begins.")
    found: defaultdict[datetime, dict[UUID, OutcomeWindow]] = defaultdict(dict)
    since = window_start(request.since)
    wanted = {candidate.id, stable.id}
    for window in windows_between(ctx.whole, endpoint.id, since, until):
        if window.version not in wanted:
            continue
        there = found[window.start]
        before = there.get(window.version)
        same = structs.replace(window, variant=before.variant) if before is not None else window
        there[window.version] = same if before is None else before + same
    minutes = [RecordedMinute(at, found[at].get(stable.id), found[at].get(candidate.id)) for at in sorted(found)]
    return rehearsed(plan, minutes)
