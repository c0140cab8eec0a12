"""The way back of an endpoint by itself: a rollback for an alert, once, with its guard.

Where a rollout is active the alert reaches it (`rollout_alerts`), and that rollout's own way back is taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from uuid import UUID

from msgspec import structs

from chopmark.abc.catalog import Transaction
from chopmark.app.context import Context
from chopmark.app.endpoints import pinned_version, set_split
from chopmark.domain.alert_log import Alert, AlertChange, noted
from chopmark.domain.audit import AuditEvent
from chopmark.domain.endpoints import Endpoint, parse_endpoint
from chopmark.domain.monitors import Action
from chopmark.domain.rollouts import RolloutAlert
from chopmark.domain.traffic import WEIGHT_TOTAL, PinnedVersion
from chopmark.domain.variants import Wanted, named_variants
from chopmark.domain.way_back import ROLLED_BACK, before_now, main_version, refusal
from chopmark.errors import Conflict, NotFound

__all__ = ["roll_back_for", "rollout_alerts"]

_ALERTS_MAX = 100
_EVENTS_A_PAGE = 100
_EVENTS_MAX = 1_000


def rollout_alerts(tx: Transaction, endpoint_id: UUID, since: datetime) -> tuple[RolloutAlert, ...]:
    """Alerts of an endpoint that fire, want a pause or a rollback, and were opened since a rollout began.

    One that fired before is not about the candidate: a version that mends what is wrong must get through.
    """
    return tuple(
        RolloutAlert(alert.name, alert.action, alert.message)
        for alert in tx.alerts.firing(endpoint_id, limit=_ALERTS_MAX)
        if (alert.action == "pause" or alert.action == "rollback") and alert.opened_at >= since  # noqa: PLR1714 - types
    )


def roll_back_for(ctx: Context, alert: Alert, action: Action, now: datetime) -> Alert:
    """Take the endpoint of an alert back to what answered before, unless its guard refuses; the alert with what came of it.

    The endpoint is locked, and goes back only from the generation at which the alert fired.
    """
    ref = parse_endpoint(alert.on)
    endpoint = ctx.tx.endpoints.lock(ref.project, ref.name)
    if endpoint is not None and endpoint.id != alert.endpoint_id:
        endpoint = None
    why = refusal(alert, endpoint, _last_rollback(ctx, alert.on), action.cooldown_s, now)
    if not why and endpoint is not None and ctx.whole.rollouts.active_of(endpoint.id) is not None:
        why = "A rollout is active, which hears of the alert itself."
    target = _target(ctx, endpoint) if endpoint is not None and not why else None
    if endpoint is None or target is None:
        return _refused(ctx, alert, why or "There is no earlier version that could answer.", now)
    before = main_version(endpoint)
    reason = f"the alert {alert.name} fires: {alert.message}"
    changed = set_split(ctx, endpoint, named_variants([Wanted(target, WEIGHT_TOTAL)], endpoint.variants), (), reason)
    said = f"{endpoint.ref} went back from {before.version} to {target.ref}."
    ctx.emit(
        endpoint.ref,
        event=ROLLED_BACK,
        before={"variants": [{"version": before.version, "digest": before.digest, "weight": WEIGHT_TOTAL}]},
        after={"variants": [{"version": target.ref, "digest": target.digest, "weight": WEIGHT_TOTAL}]},
        generation=changed.generation,
        alert=str(alert.id),
        monitor=alert.source_ref if alert.monitor else None,
        severity=alert.severity,
        evidence=alert.message,
        value=alert.value,
        since=alert.since.isoformat(),
        reason=reason,
    )
    return _settled(ctx, alert, AlertChange(at=now, what="rolled_back", by=ctx.actor.name, text=said))


def _refused(ctx: Context, alert: Alert, why: str, now: datetime) -> Alert:
    ctx.emit(
        alert.source_ref,
        event="alert.rollback_refused",
        alert=str(alert.id),
        rollout=alert.rollout_id and str(alert.rollout_id),
        label=alert.label,
        on=alert.on,
        severity=alert.severity,
        message=alert.message,
        reason=why,
        silenced=not alert.is_told or None,
    )
    return _settled(ctx, alert, AlertChange(at=now, what="rollback_refused", by=ctx.actor.name, text=why))


def _settled(ctx: Context, alert: Alert, change: AlertChange) -> Alert:
    after = structs.replace(noted(alert, change), is_settled=True)
    ctx.tx.alerts.put(after)
    return after


def _last_rollback(ctx: Context, endpoint: str) -> datetime | None:
    found = ctx.whole.audit.list(target=endpoint, event=ROLLED_BACK, newest_first=True, limit=1)
    return found[0].at if found else None


def _target(ctx: Context, endpoint: Endpoint) -> PinnedVersion | None:
    """The latest that answered before and can answer still, with the very bytes."""
    for answered in before_now(endpoint, _events(ctx, endpoint)):
        with suppress(NotFound, Conflict):
            version = pinned_version(ctx, answered.version)
            if version.digest == answered.digest:
                return version
    return None


def _events(ctx: Context, endpoint: Endpoint) -> Iterator[AuditEvent]:
    """Of the endpoint since it was made, newest first, as far back as is looked."""
    before: int | None = None
    for _ in range(_EVENTS_MAX // _EVENTS_A_PAGE):
        page = ctx.whole.audit.list(target=endpoint.ref, before_seq=before, newest_first=True, limit=_EVENTS_A_PAGE)
        for event in page:
            if event.at < endpoint.created_at:
                return
            yield event
        if len(page) < _EVENTS_A_PAGE:
            return
        before = page[-1].seq
