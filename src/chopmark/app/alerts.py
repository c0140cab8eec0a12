"""Alerts: what comes of events of monitors and rollouts, and what people say to it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from msgspec import structs

from chopmark.app.context import Context
from chopmark.app.way_back import roll_back_for
from chopmark.base.jsons import canonical
from chopmark.base.paging import check_limit, decode_cursor, encode_cursor
from chopmark.domain.alert_log import Alert, AlertChange, acknowledged, noted, opened, opened_by_rollout, resolved
from chopmark.domain.alert_rules import AlertEvent
from chopmark.domain.endpoints import Endpoint
from chopmark.domain.jobs import Job
from chopmark.domain.monitors import Action, Monitor, parse_monitor
from chopmark.domain.names import check_name
from chopmark.domain.rollouts import Rollout
from chopmark.errors import Conflict, NotFound
from chopmark.ops import monitors as q

__all__ = ["TakenUp", "acknowledge", "close_alerts", "get", "list_page", "roll_back", "take_up", "take_up_of_rollout"]

_FIRING_MAX = 100
_SETTLED = ("rolled_back", "rollback_refused")


class TakenUp(NamedTuple):
    """Alerts that an evaluation opened and resolved."""

    opened: tuple[UUID, ...] = ()
    resolved: tuple[UUID, ...] = ()


def get(ctx: Context, request: q.GetAlert) -> Alert:
    """Look up an alert."""
    return _there(ctx, request.alert)


def list_page(ctx: Context, request: q.ListAlerts) -> q.AlertPage:
    """A page of alerts, newest first."""
    limit = check_limit(request.limit)
    if request.project is not None:
        check_name(request.project, "project")
    source_id = _monitor_id(ctx, request.monitor) if request.monitor else None
    query = canonical(["alerts", request.resolved, request.project, request.monitor])
    after = UUID(decode_cursor(request.cursor, query)[0]) if request.cursor else None
    items = ctx.tx.alerts.list(
        resolved=request.resolved, project=request.project, source_id=source_id, after=after, limit=limit + 1
    )
    more, items = len(items) > limit, items[:limit]
    return q.AlertPage(items=items, cursor=encode_cursor([str(items[-1].id)], query) if more else "")


def acknowledge(ctx: Context, request: q.AcknowledgeAlert) -> Alert:
    """Say that one looks after an alert."""
    seen = _there(ctx, request.alert)
    ctx.check_may(seen.project)
    after = acknowledged(seen, ctx.actor.name, request.reason, ctx.catalog_now())
    if after == seen:
        return seen
    ctx.tx.alerts.put(after)
    ctx.emit(after.source_ref, reason=request.reason, **_facts(after))
    return after


def roll_back(ctx: Context, request: q.RollBackForAlert) -> q.RolledBack:
    """Take an endpoint back for an alert, once."""
    alert = _there(ctx, request.alert)
    ctx.check_may(alert.project)
    if alert.endpoint_id is None:
        raise Conflict(f"The alert {alert.name} is not about an endpoint.")
    if not alert.is_settled:
        watched = ctx.tx.monitors.by_id(alert.monitor_id) if alert.monitor_id is not None else None
        action = Action() if watched is None else watched.monitor.action
        alert = roll_back_for(ctx, alert, action, ctx.catalog_now())
    last = next(change for change in reversed(alert.changes) if change.what in _SETTLED)
    return q.RolledBack(alert=alert, done=last.what == "rolled_back", why=last.text)


def take_up(
    ctx: Context,
    monitor: Monitor,
    events: Iterable[tuple[str, AlertEvent]],
    endpoint: Endpoint | None,
    now: datetime,
) -> TakenUp:
    """What comes of a monitor's events: alerts opened and resolved, people told, actions begun; all in this transaction."""
    is_silenced = monitor.silenced_until is not None and now < monitor.silenced_until
    firing = {alert.label: alert for alert in _firing(ctx, monitor.id)}
    new: list[UUID] = []
    over: list[UUID] = []
    for label, event in events:
        if event.kind == "firing" and label not in firing:
            alert = _opened(ctx, monitor, label, event, endpoint, now, is_silenced=is_silenced)
            firing[label] = alert
            new.append(alert.id)
        elif event.kind == "resolved" and label in firing:
            over.append(_closed(ctx, firing.pop(label), event.message, now))
    if not is_silenced:
        for alert in firing.values():
            _tell_late(ctx, alert, now)
    return TakenUp(tuple(new), tuple(over))


def take_up_of_rollout(
    ctx: Context, rollout: Rollout, event: AlertEvent, endpoint: Endpoint | None, now: datetime
) -> TakenUp:
    """What comes of what a rollout finds of itself: an alert that nobody silences, one at a time, as the rollout is locked."""
    firing = _firing(ctx, rollout.id)
    if event.kind == "resolved":
        return TakenUp((), tuple(_closed(ctx, alert, event.message, now) for alert in firing))
    if firing:
        return TakenUp()
    generation = 0 if endpoint is None else endpoint.generation
    alert = opened_by_rollout(rollout, event, ctx.new_id(), now, generation=generation)
    _fired(ctx, alert)
    return TakenUp((alert.id,))


def close_alerts(ctx: Context, monitor: Monitor, why: str, now: datetime) -> None:
    """Resolve what fires of a monitor that is evaluated no more."""
    for alert in _firing(ctx, monitor.id):
        _closed(ctx, alert, why, now)


def _opened(
    ctx: Context,
    monitor: Monitor,
    label: str,
    event: AlertEvent,
    endpoint: Endpoint | None,
    now: datetime,
    *,
    is_silenced: bool,
) -> Alert:
    place = None if endpoint is None else (endpoint.id, endpoint.generation)
    alert = opened(monitor, label, event, ctx.new_id(), now, endpoint=place, is_silenced=is_silenced)
    alert = _acted(ctx, monitor, alert, now)
    _fired(ctx, alert)
    return alert


def _fired(ctx: Context, alert: Alert) -> None:
    ctx.tx.alerts.put(alert)
    ctx.emit(alert.source_ref, event="alert.fired", silenced=not alert.is_told or None, **_facts(alert))


def _closed(ctx: Context, alert: Alert, why: str, now: datetime) -> UUID:
    after = resolved(alert, why, now)
    ctx.tx.alerts.put(after)
    facts = _facts(after) | {"message": why}
    ctx.emit(after.source_ref, event="alert.resolved", silenced=not alert.is_told or None, **facts)
    return after.id


def _tell_late(ctx: Context, alert: Alert, now: datetime) -> None:
    """People were not told as the monitor was silenced, and it fires still."""
    if alert.is_told:
        return
    after = noted(structs.replace(alert, is_told=True), AlertChange(at=now, what="told", text="The silence is over."))
    ctx.tx.alerts.put(after)
    ctx.emit(after.source_ref, event="alert.fired", **_facts(after))


def _acted(ctx: Context, monitor: Monitor, alert: Alert, now: datetime) -> Alert:
    """Begin what the monitor wants done, in this transaction: it happens once, with the alert or not at all."""
    action = monitor.action
    if action.kind == "alert":
        return alert
    if action.kind == "job":
        return _queued(ctx, alert, action.job, action.arguments, now)
    has_rollout = alert.endpoint_id is not None and ctx.whole.rollouts.active_of(alert.endpoint_id) is not None
    if has_rollout:
        text = f"The rollout is {'paused' if action.kind == 'pause' else 'rolled back'} at its next look."
        return noted(alert, AlertChange(at=now, what="left_to_rollout", text=text))
    if action.kind == "rollback":
        return _queued(ctx, alert, "rollback", {"alert": str(alert.id)}, now)
    return alert


def _queued(ctx: Context, alert: Alert, kind: str, arguments: dict[str, Any], now: datetime) -> Alert:
    job = Job(
        id=ctx.new_id(),
        kind=kind,
        arguments=arguments,
        run_after=now,
        created_at=ctx.now,
        created_by=f"monitor:{alert.source_ref}",
    )
    ctx.whole.jobs.add(job)
    ctx.emit(f"job:{job.id}", event="job.queued", kind=kind, arguments=arguments, reason=alert.message)
    return noted(alert, AlertChange(at=now, what="job_queued", text=f"{kind}: {job.id}"))


def _facts(alert: Alert) -> dict[str, Any]:
    """What an event tells of an alert."""
    return {
        "alert": str(alert.id),
        "rollout": alert.rollout_id and str(alert.rollout_id),
        "label": alert.label,
        "on": alert.on,
        "severity": alert.severity,
        "action": alert.action,
        "message": alert.message,
        "value": alert.value,
        "since": alert.since.isoformat(),
        "state": alert.state,
    }


def _there(ctx: Context, alert_id: UUID) -> Alert:
    found = ctx.tx.alerts.get(alert_id)
    if found is None:
        raise NotFound("There is no such alert.", hint="See what there is with: chopmark alert list")
    return found


def _firing(ctx: Context, source_id: UUID) -> list[Alert]:
    return ctx.whole.alerts.list(resolved=False, source_id=source_id, limit=_FIRING_MAX)


def _monitor_id(ctx: Context, text: str) -> UUID:
    ref = parse_monitor(text)
    found = ctx.tx.monitors.get(ref.project, ref.name)
    if found is None:
        raise NotFound(f"There is no monitor {str(ref)!r}.", hint="See what there is with: chopmark monitor list")
    return found.monitor.id
