"""Rollouts as people ask for them: begun, looked at, commanded, taken back. What follows is done by `chopmark.app.rollout_turns`."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from msgspec import structs

from chopmark.abc.rollouts import RolloutPlace
from chopmark.app.context import Context
from chopmark.app.endpoints import locked_endpoint, pinned_version
from chopmark.app.named_versions import gone_of
from chopmark.app.rollout_observing import rivals
from chopmark.app.rollout_turns import find
from chopmark.base.clock import from_us, to_us
from chopmark.base.jsons import canonical
from chopmark.base.paging import check_limit, decode_cursor, encode_cursor
from chopmark.domain.endpoints import EXTERNAL, Endpoint, parse_endpoint
from chopmark.domain.names import check_name
from chopmark.domain.rollout_commands import allowed, commanded, retried, undone
from chopmark.domain.rollout_drift import check_measurable
from chopmark.domain.rollout_gone import gone_words
from chopmark.domain.rollout_plans import PlanStep, RolloutPlan, Strategy, check_deadline, check_plan, plan_for
from chopmark.domain.rollout_unseen import unseen_words
from chopmark.domain.rollouts import Asked, Rollout, RolloutEvent, split_of
from chopmark.domain.traffic import WEIGHT_TOTAL, PinnedVersion, check_split
from chopmark.errors import Conflict, InvalidRequest
from chopmark.ops import rollouts as q

__all__ = ["begin", "command", "events", "get", "list_page", "roll_back", "start"]

_EVENTS_SHOWN = 20
_ROLLOUTS_LOOKED_AT = 100
_ONWARDS = frozenset({"resume", "promote", "promote_full", "approve"})


def start(ctx: Context, request: q.StartRollout) -> Rollout:
    """Begin a rollout."""
    endpoint = locked_endpoint(ctx, request.endpoint)
    candidate = pinned_version(ctx, request.candidate)
    plan = check_deadline(request.plan)
    manifest = ctx.tx.manifests.get(candidate.digest)
    check_measurable(plan, candidate.ref, manifest, endpoint.ref, endpoint.config.sample_share)
    return begin(ctx, endpoint, candidate, plan, supersede=request.supersede, reason=request.reason)


def begin(
    ctx: Context,
    endpoint: Endpoint,
    candidate: PinnedVersion,
    plan: RolloutPlan,
    *,
    supersede: bool = False,
    reason: str = "",
) -> Rollout:
    """Begin a rollout of a version that is kept, to an endpoint that is locked.

    Raises
    ------
    Conflict
        When the endpoint has a rollout that goes on and is not to be superseded, several versions share its traffic, or the
        candidate has all of it.
    """
    now = ctx.catalog_now()
    made = Rollout(
        id=ctx.new_id(),
        endpoint=endpoint.id,
        endpoint_ref=endpoint.ref,
        candidate=candidate,
        plan=check_plan(plan),
        created_at=now,
        created_by=ctx.actor.name,
        since=now,
        reason=reason,
    )
    return _begun(ctx, endpoint, made, supersede=supersede)


def get(ctx: Context, request: q.GetRollout) -> q.RolloutStatus:
    """A rollout, what may be asked of it, and what happened last."""
    rollout, now = find(ctx.tx, request.endpoint, request), ctx.catalog_now()
    events: list[RolloutEvent] = []
    while page := ctx.tx.rollouts.events(rollout.id, after=events[-1].seq if events else 0, limit=_ROLLOUTS_LOOKED_AT):
        events = [*events, *page][-_EVENTS_SHOWN:]
    return q.RolloutStatus(
        rollout=rollout,
        commands=dict(allowed(rollout, now)),
        events=tuple(events),
        at=now,
        note=unseen_words(rollout, events, now),
    )


def list_page(ctx: Context, request: q.ListRollouts) -> q.RolloutPage:
    """A page of rollouts, newest first."""
    limit = check_limit(request.limit)
    project, name = request.project, None
    if request.endpoint:
        ref = parse_endpoint(request.endpoint)
        project, name = ref.project, ref.name
    if project is not None:
        check_name(project, "project")
    query = canonical(["rollouts", project, name, request.is_open])
    items = ctx.tx.rollouts.list(
        project=project, name=name, is_open=request.is_open, before=_place(request.cursor, query), limit=limit + 1
    )
    more, items = len(items) > limit, items[:limit]
    last = [to_us(items[-1].created_at), str(items[-1].id)] if more else []
    return q.RolloutPage(items=items, cursor=encode_cursor(last, query) if more else "")


def events(ctx: Context, request: q.ListRolloutEvents) -> q.RolloutEventPage:
    """What happened to a rollout, in order."""
    rollout = find(ctx.tx, request.endpoint, request)
    return q.RolloutEventPage(
        items=ctx.tx.rollouts.events(rollout.id, after=request.after, limit=check_limit(request.limit))
    )


def command(ctx: Context, request: q.CommandRollout) -> Rollout:
    """Ask something of a rollout; it is done by a worker, at its next look."""
    ref = parse_endpoint(request.endpoint)
    endpoint = ctx.tx.endpoints.lock(ref.project, ref.name)
    found = find(ctx.tx, request.endpoint, request)
    rollout = ctx.tx.rollouts.lock(found.id) or found
    if request.command in ("retry", "undo"):
        return _again(ctx, endpoint, rollout, request)
    if request.command in _ONWARDS:
        _refuse_gone(ctx, rollout)
    now = ctx.catalog_now()
    after = commanded(rollout, request.command, by=ctx.actor.name, reason=request.reason, now=now)
    return _written(ctx, after.rollout, after.events, request.command, request.reason)


def _refuse_gone(ctx: Context, rollout: Rollout) -> None:
    """Refuse to go on with versions that nobody can be answered with."""
    gone = () if rollout.is_final else gone_of(ctx.whole, rollout)
    if gone:
        msg = f"The rollout of {rollout.candidate.ref} cannot go on: {gone_words(gone)}."
        raise Conflict(msg, hint=f"End it: chopmark rollout abort {rollout.endpoint_ref}")


def roll_back(ctx: Context, request: q.RollBack) -> Rollout:
    """Take an endpoint back: abort what goes on, or begin the way to the version before, or to the one that is named.

    Raises
    ------
    Conflict
        When there is no version to go back to.
    """
    endpoint = locked_endpoint(ctx, request.endpoint)
    target = pinned_version(ctx, request.to) if request.to else None
    active = ctx.tx.rollouts.active_of(endpoint.id)
    if active is not None and active.stable is not None and target in (None, active.stable):
        return _aborted(ctx, active, request)
    last = _last_completed(ctx, endpoint)
    if target is None and last is not None and last.stable is not None:
        target = pinned_version(ctx, last.stable.ref)
    if target is None:
        hint = f"Name it: chopmark rollback {endpoint.ref} --to VERSION"
        raise Conflict(f"No rollout of {endpoint.ref} was completed: there is no version before.", hint=hint)
    plan = _way_back(last, target, request.strategy, ctx.catalog_now())
    return begin(ctx, endpoint, target, plan, supersede=True, reason=request.reason or "rolled back")


def _way_back(last: Rollout | None, target: PinnedVersion, strategy: Strategy | None, now: datetime) -> RolloutPlan:
    """At once within the rollback window of the rollout that took its traffic; else by that one's steps."""
    if strategy is not None:
        return _brief(plan_for(strategy)) if strategy == "replace" else plan_for(strategy)
    if last is None:
        return plan_for()
    back = undone(last, UUID(int=0), by="", now=now)
    return back.plan if target == last.stable else last.plan


def _brief(plan: RolloutPlan) -> RolloutPlan:
    return structs.replace(plan, checks=(), bake=PlanStep(weight=WEIGHT_TOTAL, hold_s=0.0, samples_min=0))


def _last_completed(ctx: Context, endpoint: Endpoint) -> Rollout | None:
    """The rollout that brought what answers now; None when it came otherwise."""
    answering = [v.version for v in endpoint.variants if v.weight]
    found = ctx.whole.rollouts.list(project=endpoint.project, name=endpoint.name, limit=_ROLLOUTS_LOOKED_AT)
    is_of = (r for r in found if r.endpoint == endpoint.id and r.state == "completed")
    return next((r for r in is_of if answering == [r.candidate]), None)


def _aborted(ctx: Context, active: Rollout, request: q.RollBack) -> Rollout:
    now = ctx.catalog_now()
    rollout = ctx.tx.rollouts.lock(active.id) or active
    if rollout.state == "aborting" or rollout.wants == "abort":
        return rollout
    after = commanded(rollout, "abort", by=ctx.actor.name, reason=request.reason or "rolled back", now=now)
    return _written(ctx, after.rollout, after.events, "abort", request.reason)


def _again(ctx: Context, endpoint: Endpoint | None, rollout: Rollout, request: q.CommandRollout) -> Rollout:
    """``retry`` and ``undo``: a new rollout."""
    make = retried if request.command == "retry" else undone
    made = make(rollout, ctx.new_id(), by=ctx.actor.name, now=ctx.catalog_now())
    if endpoint is None or endpoint.id != rollout.endpoint:
        raise Conflict(f"The endpoint {rollout.endpoint_ref} was deleted.")
    pinned_version(ctx, made.candidate.ref)
    return _begun(ctx, endpoint, structs.replace(made, reason=request.reason), supersede=False, asked=request.command)


def _begun(ctx: Context, endpoint: Endpoint, made: Rollout, *, supersede: bool, asked: str = "") -> Rollout:
    if endpoint.config.target == EXTERNAL:
        msg = f"Nobody here serves {endpoint.ref}, whose target is external: no gateway would say that it has a share."
        raise Conflict(
            msg, hint=f"Say what answers there: chopmark endpoint split {endpoint.ref} {made.candidate.ref}=100"
        )
    others = rivals(ctx.whole, made)
    if others and not supersede:
        msg = (
            f"{endpoint.ref} has a rollout that goes on: that of {others[0].candidate.ref}, which is {others[0].state}."
        )
        raise Conflict(msg, hint=f"Abort it first (chopmark rollout abort {endpoint.ref}), or begin with --supersede.")
    answering = [v.version for v in endpoint.variants if v.weight]
    if not others and len(answering) != 1:
        msg = f"Several versions share the traffic of {endpoint.ref}: {', '.join(v.ref for v in answering)}."
        hint = f"Let one of them answer first: chopmark endpoint split {endpoint.ref} {answering[0].ref}=100"
        raise Conflict(msg, hint=hint)
    if not others and answering[0].id == made.candidate.id:
        raise Conflict(f"{made.candidate.ref} has all of the traffic of {endpoint.ref} already.")
    _check_split(made, answering[0])
    ctx.tx.rollouts.insert(made)
    ctx.emit(
        endpoint.ref,
        event="rollout.started",
        rollout=str(made.id),
        candidate=made.candidate.ref,
        digest=made.candidate.digest,
        strategy=made.plan.strategy,
        weights=[step.weight for step in made.plan.steps],
        supersedes=others[0].candidate.ref if others else None,
        command=asked,
        reason=made.reason,
    )
    return made


def _check_split(made: Rollout, stable: PinnedVersion) -> None:
    """Refuse at once what the endpoint could not be set to at some step."""
    if stable.id == made.candidate.id:
        return
    begun = structs.replace(made, stable=stable)
    for step in made.plan.steps:
        split = split_of(begun, Asked(weight=step.weight, mirror=step.mirror))
        check_split(split.variants, split.shadows)


def _written(ctx: Context, rollout: Rollout, happened: tuple[RolloutEvent, ...], asked: str, reason: str) -> Rollout:
    kept = ctx.tx.rollouts.put(rollout)
    if kept is None:  # not while it is locked
        raise Conflict(f"The rollout of {rollout.candidate.ref} was changed just now.", hint="Ask again.")
    ctx.tx.rollouts.append(happened)
    ctx.emit(
        rollout.endpoint_ref,
        event="rollout.commanded",
        rollout=str(rollout.id),
        candidate=rollout.candidate.ref,
        command=asked,
        state=rollout.state,
        step=rollout.step + 1,
        weight=rollout.weight,
        reason=reason,
    )
    return kept


def _place(cursor: str, query: bytes) -> RolloutPlace | None:
    if not cursor:
        return None
    created_us, rollout = decode_cursor(cursor, query)
    try:
        return RolloutPlace(from_us(int(created_us)), UUID(str(rollout)))
    except ValueError as error:
        raise InvalidRequest("The cursor is not one of this list.", hint="Begin without one.") from error
