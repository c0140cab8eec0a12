"""One look at a rollout, and what follows from it: the shell around `chopmark.domain.rollout_steps.advance`.

What is decided is decided before the transaction that writes, from one that reads. It is written when the row still has the revision
that was read and the endpoint the generation that was seen; otherwise somebody was quicker, and the next look is at what they did.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from msgspec import structs

from chopmark.abc.catalog import Transaction
from chopmark.app.alerts import take_up_of_rollout
from chopmark.app.context import Context, Outside
from chopmark.app.endpoints import set_split
from chopmark.app.models import locked
from chopmark.app.named_versions import gone_of, is_servable
from chopmark.app.rollout_observing import observed
from chopmark.domain.alert_rules import AlertEvent
from chopmark.domain.endpoints import Endpoint, RoutingMark, parse_endpoint
from chopmark.domain.rollout_copies import copies_event
from chopmark.domain.rollout_gone import without_gone
from chopmark.domain.rollout_steps import advance as advanced
from chopmark.domain.rollouts import ACTIVE, Advance, Rollout, RolloutEvent, RolloutState, SetSplit, asked_under
from chopmark.errors import NotFound
from chopmark.ops import rollouts as q

__all__ = ["advance", "find", "look", "tell"]

_GONE = "{} was deleted or archived before its turn came"
_NAMES: dict[RolloutState, str] = {
    "aborting": "rollout.aborting",
    "completed": "rollout.completed",
    "rolled_back": "rollout.rolled_back",
    "failed": "rollout.failed",
    "superseded": "rollout.superseded",
}


class _Look(NamedTuple):
    """What was read and decided: the row, what becomes of it, the generation of the endpoint that was seen, and when.

    ``heard`` is what an alert is to tell people, or what resolves one, unless it was told already.
    """

    row: Rollout
    after: Advance
    generation: int
    now: datetime
    heard: AlertEvent | None = None


def find(
    tx: Transaction, endpoint: str, request: q.GetRollout | q.AdvanceRollout | q.CommandRollout | q.ListRolloutEvents
) -> Rollout:
    """The rollout that is meant: of that id, or else the newest of the endpoint.

    Raises
    ------
    NotFound
        When the endpoint has none, or none of that id.
    """
    ref = parse_endpoint(endpoint)
    if request.rollout is not None:
        named = tx.rollouts.get(request.rollout)
        if named is not None and named.endpoint_ref == str(ref):
            return named
        raise NotFound(f"The endpoint {ref} has no rollout {request.rollout}.", hint="See: chopmark rollout list")
    newest = tx.rollouts.list(project=ref.project, name=ref.name, limit=1)
    if not newest:
        hint = f"Begin one with: chopmark rollout start {ref} VERSION"
        raise NotFound(f"There is no rollout of an endpoint {ref}.", hint=hint)
    return newest[0]


def look(outside: Outside, request: q.AdvanceRollout) -> _Look:
    """Read the row, then what is observed, and decide."""
    with outside.catalog.reading() as tx:
        row = find(tx, request.endpoint, request)
        now = tx.jobs.now() or outside.now
        seen = observed(tx, row, now, request.drift)
        known = row if row.state != "queued" or is_servable(tx, row.candidate.id) else _hopeless(row)
        gone = gone_of(tx, row) if row.state != "queued" else ()
        after = without_gone(row, advanced(known, seen, now), gone, now)
        heard = _untold(tx, row, copies_event(after.rollout, seen, now))
    return _Look(row, after, seen.endpoint.generation if seen.endpoint is not None else -1, now, heard)


def _untold(tx: Transaction, row: Rollout, event: AlertEvent | None) -> AlertEvent | None:
    """The event, unless people know: it fires already, or nothing does that it could resolve."""
    if event is None:
        return None
    is_firing = bool(tx.alerts.list(resolved=False, source_id=row.id, limit=1))
    return event if is_firing == (event.kind == "resolved") else None


def advance(ctx: Context, request: q.AdvanceRollout) -> Rollout:
    """Write what was decided, unless somebody was quicker: then nothing, and the row as it is by now."""
    row, after, generation, now, heard = ctx.prepared
    shown = find(ctx.tx, request.endpoint, request)
    if after.rollout is row and not after.actions and heard is None:
        return shown
    endpoint = _locked(ctx, row)
    there = ctx.whole.rollouts.lock(row.id)
    if there is None or there.revision != row.revision or generation != (endpoint.generation if endpoint else -1):
        return there or shown
    if row.state == "queued" and after.rollout.state in ACTIVE:
        locked(ctx, row.candidate.model)  # it stays until the endpoint names it
        if not is_servable(ctx.whole, row.candidate.id) or ctx.whole.rollouts.active_of(row.endpoint) is not None:
            return there
    made = after.rollout
    for split in after.actions:
        made = _asked(ctx, made, endpoint, split)
    kept = there if made is row else ctx.whole.rollouts.put(made)
    if kept is None:  # not while it is locked
        return there
    if heard is not None:
        take_up_of_rollout(ctx, kept, heard, endpoint, now)
    ctx.whole.rollouts.append(after.events)
    for event in after.events:
        tell(ctx, kept, event)
    return kept


def tell(ctx: Context, rollout: Rollout, event: RolloutEvent) -> None:
    """Leave an event of the audit of what a rollout did by itself; that a weight is confirmed is told in its own history alone."""
    if event.kind == "confirmed":
        return
    ctx.emit(
        rollout.endpoint_ref,
        event="rollout.paused" if event.kind == "paused" else _NAMES.get(event.after, "rollout.advanced"),
        rollout=str(rollout.id),
        candidate=rollout.candidate.ref,
        stable=rollout.stable.ref if rollout.stable is not None else None,
        before=event.before,
        after=event.after,
        step=event.step + 1,
        weight=event.weight,
        reason=event.reason,
        evidence=[each.words for each in event.evidence] or None,
    )


def _locked(ctx: Context, row: Rollout) -> Endpoint | None:
    ref = parse_endpoint(row.endpoint_ref)
    found = ctx.whole.endpoints.lock(ref.project, ref.name)
    return found if found is not None and found.id == row.endpoint else None


def _asked(ctx: Context, made: Rollout, endpoint: Endpoint | None, split: SetSplit) -> Rollout:
    """The row once the endpoint has the split; without an endpoint there is nobody to ask."""
    if endpoint is None:
        return made
    reason = f"the rollout of {made.candidate.ref}: {made.reason or 'its split is asked for again'}"
    if made.is_released:
        reason = f"the rollback window of the rollout of {made.candidate.ref} is over"
    set_to = set_split(ctx, endpoint, split.variants, split.shadows, reason)
    return asked_under(made, RoutingMark(ctx.whole.routing.mark().epoch, set_to.generation))


def _hopeless(row: Rollout) -> Rollout:
    """One that waits for its turn with a version that is gone."""
    return structs.replace(row, wants="abort", reason=_GONE.format(row.candidate.ref))
