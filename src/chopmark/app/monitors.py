"""Monitors: made, looked at, tried, evaluated. What they fire is told and acted on in the same transaction."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import NamedTuple
from uuid import UUID

import msgspec
from msgspec import structs

from chopmark.abc.blobs import BlobStore
from chopmark.abc.catalog import Taken, Transaction
from chopmark.abc.monitors import WatchedMonitor
from chopmark.app.alerts import close_alerts, take_up
from chopmark.app.context import Context, Outside, resolve, the_model, the_project
from chopmark.app.estimating import estimates_of
from chopmark.app.named_pages import named_page
from chopmark.base.jsons import plain_values
from chopmark.domain.access import EVERYWHERE, check_permission
from chopmark.domain.alert_rules import AlertEvent, AlertState, Sample
from chopmark.domain.burn_rates import BurnRateState
from chopmark.domain.endpoints import Endpoint, parse_endpoint
from chopmark.domain.feedback import FeedbackTotals
from chopmark.domain.live_drift import MeasuredDrift
from chopmark.domain.monitor_samples import counts_by_minute, labelled_sample, samples
from chopmark.domain.monitor_steps import SETTLE, MonitorState, Span, due_at, span, standing_of, stepped
from chopmark.domain.monitors import (
    ESTIMATED,
    LABELLED,
    Monitor,
    check_monitor,
    is_drift,
    is_sampled,
    parse_monitor,
    watched,
)
from chopmark.domain.outcome_tiers import beginning
from chopmark.domain.outcomes import WINDOW, OutcomeWindow, window_start
from chopmark.domain.refs import ModelRef
from chopmark.domain.traffic import SHADOW
from chopmark.errors import ChopmarkError, Conflict, IntegrityFailure, InvalidRequest, NotFound
from chopmark.ops import monitors as q
from chopmark.ops.results import Done
from chopmark.stats.estimated_accuracy import EstimatedAccuracy, together

__all__ = [
    "MONITORS_MAX",
    "create",
    "delete",
    "disable",
    "enable",
    "estimate",
    "evaluate",
    "get",
    "list_page",
    "silence",
    "trial",
]

LOGGER = logging.getLogger("chopmark.monitors")

MONITORS_MAX = 1_000

_WINDOWS_A_READ = 200_000
_READ_AT_ONCE = timedelta(hours=1)
_ENDPOINTS_MAX = 100
_HOUR = timedelta(hours=1)

ReadTotals = Callable[[UUID, datetime, datetime], Sequence[FeedbackTotals]]
"""What is known of the answers of a place, from a time to before another."""


class _Watched(NamedTuple):
    """What was recorded of what is watched; ``why`` it cannot be found."""

    windows: Sequence[OutcomeWindow]
    endpoint: Endpoint | None = None
    why: str = ""
    labelled: Sample | None = None


def create(ctx: Context, request: q.CreateMonitor) -> Monitor:
    """Make a monitor; it judges what happens from now on."""
    ref = parse_monitor(request.monitor)
    the_project(ctx, ref.project)
    on = _on(ctx, request.on)
    if ctx.tx.monitors.get(ref.project, ref.name) is not None:
        msg = f"There is a monitor {ref} already."
        raise Conflict(msg, hint=f"Give another name, or delete it: chopmark monitor delete {ref}")
    if len(ctx.whole.monitors.list(limit=MONITORS_MAX)) >= MONITORS_MAX:
        raise Conflict(f"There are {MONITORS_MAX:,} monitors, which is the limit.", hint="Delete what nobody needs.")
    if request.action.kind == "job":
        check_permission(ctx.actor, "configure", "monitor.create", EVERYWHERE)
    action = structs.replace(request.action, arguments=plain_values(request.action.arguments, "arguments"))
    monitor = check_monitor(
        Monitor(
            id=ctx.new_id(),
            project=ref.project,
            name=ref.name,
            on=on,
            variant=request.variant,
            metric=request.metric,
            minutes=request.minutes,
            rule=request.rule,
            severity=request.severity,
            action=action,
            description=request.description,
            created_at=ctx.now,
            created_by=ctx.actor.name,
            updated_at=ctx.now,
            updated_by=ctx.actor.name,
        )
    )
    state = MonitorState(until=window_start(ctx.catalog_now()))
    ctx.tx.monitors.insert(monitor, state, due_at(state))
    said = {name: getattr(monitor, name) for name in ("on", "variant", "metric", "minutes", "severity", "description")}
    rule, does = msgspec.to_builtins(monitor.rule), msgspec.to_builtins(monitor.action)
    ctx.emit(monitor.ref, rule=rule, action=does, reason=request.reason, **said)
    return monitor


def get(ctx: Context, request: q.GetMonitor) -> Monitor:
    """Look up a monitor."""
    return _there(ctx, request.monitor).monitor


def list_page(ctx: Context, request: q.ListMonitors) -> q.MonitorPage:
    """A page of monitors by project and name."""
    items, cursor = named_page(
        request,
        ["monitors", request.project],
        lambda after, limit: ctx.tx.monitors.list(project=request.project, after=after, limit=limit),
    )
    return q.MonitorPage(items=items, cursor=cursor)


def enable(ctx: Context, request: q.EnableMonitor) -> Monitor:
    """Have a monitor evaluated again."""
    seen = _there(ctx, request.monitor)
    if seen.monitor.enabled:
        return seen.monitor
    state = _reset(seen.state, window_start(ctx.catalog_now()))
    return _put(ctx, seen, structs.replace(seen.monitor, enabled=True), state, request.reason)


def disable(ctx: Context, request: q.DisableMonitor) -> Monitor:
    """Have a monitor evaluated no more; what fires is resolved."""
    seen = _there(ctx, request.monitor)
    if not seen.monitor.enabled:
        return seen.monitor
    close_alerts(ctx, seen.monitor, "The monitor was disabled.", ctx.catalog_now())
    state = _reset(seen.state, seen.state.until)
    return _put(ctx, seen, structs.replace(seen.monitor, enabled=False), state, request.reason)


def silence(ctx: Context, request: q.SilenceMonitor) -> Monitor:
    """Tell people nothing of a monitor for some time."""
    seen = _there(ctx, request.monitor)
    until = ctx.catalog_now() + timedelta(seconds=request.for_s) if request.for_s else None
    if until is None and seen.monitor.silenced_until is None:
        return seen.monitor
    changed = structs.replace(seen.monitor, silenced_until=until)
    told = None if until is None else until.isoformat()
    return _put(ctx, seen, changed, seen.state, request.reason, told)


def delete(ctx: Context, request: q.DeleteMonitor) -> Done:
    """Remove a monitor; what fires is resolved."""
    seen = _there(ctx, request.monitor)
    close_alerts(ctx, seen.monitor, "The monitor was deleted.", ctx.catalog_now())
    ctx.tx.monitors.remove(seen.monitor.id)
    ctx.emit(seen.monitor.ref, reason=request.reason)
    return Done(ref=seen.monitor.ref, message="deleted; its alerts stay in the history until they are old")


def trial(ctx: Context, request: q.TryMonitor) -> q.MonitorTrial:
    """What a monitor would have made of the last minutes; nothing is changed."""
    monitor, now = _there(ctx, request.monitor).monitor, ctx.catalog_now()
    until = window_start(now - SETTLE)
    state = MonitorState(until=until - request.minutes * WINDOW)
    judged: list[Sample] = []
    events: list[AlertEvent] = []
    why = ""

    @cache
    def estimated(since: datetime, until: datetime) -> EstimatedAccuracy | None:
        return _estimate(ctx.whole, ctx.store, monitor, since, until)

    totals = _read_once(_totals_of(ctx))
    while (over := span(monitor, state, now)) is not None:
        if monitor.metric in LABELLED or is_sampled(
            monitor.metric
        ):  # one sample a look, and here one is wanted for each minute
            over = over._replace(until=over.since + WINDOW)
        found = _recorded(ctx, monitor, over, totals)
        counts = counts_by_minute(monitor, found.windows)
        if monitor.metric == ESTIMATED:
            hours = beginning(over.until - monitor.minutes * WINDOW, "hour"), beginning(over.since, "hour") + _HOUR
            measured = estimated(*hours)
            found = found if measured is None else _expected(found, measured, over.until)
        elif is_drift(monitor.metric):
            untried = f"A test does not measure drift; an evaluation does: chopmark monitor evaluate {monitor.ref}"
            found = found._replace(why=found.why or untried)
        labelled = found.labelled
        judged += samples(monitor, counts, over.since, over.until) if labelled is None else (labelled,)
        state, new = stepped(monitor, state, found.windows, over, now, labelled)
        events += (event for _, event in new)
        why = found.why or state.why
    standing = structs.replace(standing_of(state), why=why)
    return q.MonitorTrial(monitor=monitor, samples=tuple(judged), events=tuple(events), standing=standing)


def evaluate(ctx: Context, request: q.EvaluateMonitor) -> q.Evaluated:
    """Judge what has settled since; what is written is written only if nobody was quicker."""
    seen, now = _there(ctx, request.monitor), ctx.catalog_now()
    monitor, over = seen.monitor, span(seen.monitor, seen.state, now) if seen.monitor.enabled else None
    if over is None:
        return q.Evaluated(monitor=monitor, due_at=due_at(seen.state))
    try:
        found = _recorded(ctx, monitor, over, _totals_of(ctx))
        if is_drift(monitor.metric):
            found = _drifted(found, request.drift or MeasuredDrift(), over.until)
        elif monitor.metric == ESTIMATED and ctx.prepared is not None:
            found = _expected(found, ctx.prepared, over.until)
        state, events = stepped(monitor, seen.state, found.windows, over, now, found.labelled)
    except (ArithmeticError, ValueError, InvalidRequest, IntegrityFailure) as error:
        return _not_evaluated(ctx, seen, error, now)
    if found.why:
        state = structs.replace(state, why=found.why)
    taken = take_up(ctx, monitor, events, found.endpoint, now)
    if not ctx.tx.monitors.put(seen, monitor, state, due_at(state)):
        raise Taken(f"The monitor {monitor.ref} was evaluated just now.")
    after = structs.replace(monitor, standing=standing_of(state))
    return q.Evaluated(monitor=after, due_at=due_at(state), opened=taken.opened, resolved=taken.resolved)


def estimate(outside: Outside, request: q.EvaluateMonitor) -> EstimatedAccuracy | None:
    """What is expected of the requests that a monitor of that watches; None of another monitor, or where nothing is there to watch.

    It is asked before the transaction that evaluates: profiles are files.
    """
    ref = parse_monitor(request.monitor)
    with outside.catalog.reading() as tx:
        seen = tx.monitors.get(ref.project, ref.name)
        if seen is None or seen.monitor.metric != ESTIMATED:
            return None
        now = tx.jobs.now() or outside.now
        return _estimate(tx, outside.store, seen.monitor, now - seen.monitor.minutes * WINDOW, now)


def _estimate(
    tx: Transaction, store: BlobStore, monitor: Monitor, since: datetime, until: datetime
) -> EstimatedAccuracy | None:
    on = parse_endpoint(monitor.on)
    endpoint = tx.endpoints.get(on.project, on.name)
    if endpoint is None:
        return None
    found = estimates_of(tx, store, endpoint.id, since, until)
    return together(
        [
            each
            for (_, variant), each in found.by_group.items()
            if (variant == monitor.variant if monitor.variant else variant != SHADOW)
        ],
        found.why,
    )


def _not_evaluated(ctx: Context, seen: WatchedMonitor, error: Exception, now: datetime) -> q.Evaluated:
    """Keep why what was counted cannot be judged, so that nobody takes silence for health; it is tried again in a minute."""
    told = error.message if isinstance(error, ChopmarkError) else f"{type(error).__name__}: {error}"
    state = structs.replace(seen.state, why=f"It could not be evaluated: {told}")
    due = max(due_at(state), now + WINDOW)
    if not ctx.tx.monitors.put(seen, seen.monitor, state, due):
        raise Taken(f"The monitor {seen.monitor.ref} was evaluated just now.")
    LOGGER.warning("The monitor %s could not be evaluated: %s", seen.monitor.ref, told)
    return q.Evaluated(monitor=structs.replace(seen.monitor, standing=standing_of(state)), due_at=due)


def _drifted(found: _Watched, measured: MeasuredDrift, at: datetime) -> _Watched:
    sample = Sample(at, measured.severity, measured.rows)
    return found._replace(labelled=sample, why=found.why or measured.why)


def _expected(found: _Watched, estimated: EstimatedAccuracy, at: datetime) -> _Watched:
    sample = Sample(at, estimated.accuracy, estimated.rows)
    return found._replace(labelled=sample, why=found.why or estimated.why)


def _there(ctx: Context, text: str) -> WatchedMonitor:
    ref = parse_monitor(text)
    found = ctx.tx.monitors.get(ref.project, ref.name)
    if found is None:
        raise NotFound(f"There is no monitor {str(ref)!r}.", hint="See what there is with: chopmark monitor list")
    return found


def _put(
    ctx: Context, seen: WatchedMonitor, changed: Monitor, state: MonitorState, reason: str, until: str | None = None
) -> Monitor:
    made = structs.replace(changed, updated_at=ctx.now, updated_by=ctx.actor.name)
    if not ctx.tx.monitors.put(seen, made, state, due_at(state)):
        raise Taken(f"The monitor {made.ref} was changed just now.")
    ctx.emit(made.ref, reason=reason, until=until)
    return structs.replace(made, standing=standing_of(state))


def _reset(state: MonitorState, until: datetime) -> MonitorState:
    """As if nothing had ever fired, from a minute on."""
    return structs.replace(state, until=until, alert=AlertState(), burn=BurnRateState(), sample=None, why="")


def _on(ctx: Context, text: str) -> str:
    """What is watched, as it is kept, once it is there."""
    if watched(text) == "version":
        resolve(ctx, text)
        return text
    ref = parse_endpoint(text)
    if ctx.tx.endpoints.get(ref.project, ref.name) is None:
        raise NotFound(f"There is no endpoint {str(ref)!r}.", hint="See what there is with: chopmark endpoint list")
    return str(ref)


def _recorded(ctx: Context, monitor: Monitor, over: Span, totals: ReadTotals) -> _Watched:
    """What was recorded of what is watched; nothing when that is gone, and why."""
    if watched(monitor.on) == "endpoint":
        ref: ModelRef = parse_endpoint(monitor.on)
        endpoint = ctx.tx.endpoints.get(ref.project, ref.name)
        if endpoint is None:
            return _Watched((), why=f"There is no endpoint {ref}.")
        return _read(ctx, monitor, over, [endpoint.id], None, totals)._replace(endpoint=endpoint)
    try:
        version = resolve(ctx, monitor.on)
        model = the_model(ctx, ModelRef(version.project, version.model))
    except ChopmarkError as error:
        return _Watched((), why=error.message)
    answers = [each.id for each in ctx.whole.endpoints.using(version.id, limit=_ENDPOINTS_MAX)]
    return _read(ctx, monitor, over, [*answers, model.id], version.id, totals)


def _read(
    ctx: Context,
    monitor: Monitor,
    over: Span,
    places: Sequence[UUID],
    version_id: UUID | None,
    totals: ReadTotals,
) -> _Watched:
    """What was recorded in some places (endpoints, or a model of which callers record), of one version or of all."""
    if is_sampled(monitor.metric):
        return _Watched((), labelled=Sample(over.until, events=0))
    if monitor.metric in LABELLED:
        since = over.until - monitor.minutes * WINDOW
        known = [
            each for place in places for each in totals(place, since, over.until) if version_id in (None, each.version)
        ]
        return _Watched((), labelled=labelled_sample(monitor, known, over.until))
    found = (window for place in places for window in _windows(ctx, place, over))
    return _Watched([window for window in found if version_id in (None, window.version)])


def _totals_of(ctx: Context) -> ReadTotals:
    return lambda place, since, until: ctx.whole.feedback.totals(place, since=since, until=until)


def _read_once(totals: ReadTotals) -> ReadTotals:
    """The same, for who asks minute by minute: each whole hour and each minute is read once, and what overlaps is added up from them."""
    read = cache(totals)

    def pieces(place: UUID, since: datetime, until: datetime) -> list[FeedbackTotals]:
        found: list[FeedbackTotals] = []
        while since < until:
            is_whole = since == beginning(since, "hour") and since + _HOUR <= until
            end = since + (_HOUR if is_whole else WINDOW)
            found += read(place, since, end)
            since = end
        return found

    return pieces


def _windows(ctx: Context, endpoint_id: UUID, over: Span) -> list[OutcomeWindow]:
    found: list[OutcomeWindow] = []
    since = over.read_from
    while since < over.until:
        until = min(since + _READ_AT_ONCE, over.until)
        reported = ctx.whole.outcomes.list(endpoint_id, since=since, until=until, limit=_WINDOWS_A_READ)
        found += (each.window for each in reported)
        since = until
    return found
