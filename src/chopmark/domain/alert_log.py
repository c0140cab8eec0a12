"""Alerts as people meet them: open, acknowledged, resolved; and what happened to each of them; pure.

An alert is opened when its source fires, a monitor or a rollout, and resolved when it no longer does. While it is not resolved there is no
second one of the same source and label. Its history is bounded.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec
from msgspec import structs

from chopmark.domain.alert_rules import AlertEvent, Severity
from chopmark.domain.monitors import ActionKind, Monitor
from chopmark.domain.refs import ModelRef, parse_model
from chopmark.domain.rollouts import Rollout
from chopmark.errors import Conflict

__all__ = [
    "CHANGES_MAX",
    "UNRESOLVED",
    "Alert",
    "AlertChange",
    "AlertPhase",
    "acknowledged",
    "noted",
    "opened",
    "opened_by_rollout",
    "resolved",
]

AlertPhase = Literal["open", "acknowledged", "resolved"]
UNRESOLVED: tuple[AlertPhase, ...] = ("open", "acknowledged")

ChangeKind = Literal[
    "fired", "told", "acknowledged", "resolved", "rolled_back", "rollback_refused", "job_queued", "left_to_rollout"
]

CHANGES_MAX = 100
"""Of one alert; of more the oldest are dropped, but never the first."""


class AlertChange(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that happened to an alert.

    Attributes
    ----------
    at, by
        When, and who did it; empty for the monitor or rollout itself.
    what
        ``fired``, ``told`` (people were, once a silence was over), ``acknowledged``, ``resolved``, or what its action came to.
    text
        In words.
    """

    at: datetime
    what: ChangeKind
    by: str = ""
    text: str = ""


class Alert(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """That a monitor fired, or that a rollout found what somebody should look at.

    Attributes
    ----------
    project
        Whose it is.
    monitor, monitor_id
        That fired; empty and None of a rollout's.
    rollout_id
        Of the rollout whose alert it is; None of a monitor's.
    label
        Which of the monitor's alerts: the windows of an error budget; empty where there is one. Of a rollout's what it is about.
    on, endpoint_id
        What is watched, and the endpoint that a rollback would be of.
    state
        ``open``, ``acknowledged`` or ``resolved``.
    severity, action
        Of the monitor as it fired; a rollout's is a ``warning`` that begins nothing.
    message, value
        Why, in a sentence, and the value that fired.
    since, fired_at
        When the condition began to hold, and when it fired, by the samples' time.
    opened_at
        By the database's clock.
    acknowledged_by
        Who looks after it.
    resolved_at
        When it no longer fired.
    generation
        Of the endpoint when it fired.
    is_told
        Whether people were told, which a silence puts off.
    is_settled
        Whether its rollback was done, or refused for good.
    changes
        What happened, oldest first.
    """

    id: UUID
    project: str
    monitor: str = ""
    monitor_id: UUID | None = None
    rollout_id: UUID | None = None
    label: str = ""
    on: str
    endpoint_id: UUID | None = None
    state: AlertPhase = "open"
    severity: Severity
    action: ActionKind = "alert"
    message: str
    value: float | None = None
    since: datetime
    fired_at: datetime
    opened_at: datetime
    acknowledged_by: str = ""
    resolved_at: datetime | None = None
    generation: int = 0
    is_told: bool = True
    is_settled: bool = False
    changes: tuple[AlertChange, ...] = ()

    @property
    def source_id(self) -> UUID:
        """Of the monitor or the rollout whose it is."""
        return self.monitor_id or self.rollout_id or self.id

    @property
    def source_ref(self) -> str:
        """``[project/]name`` of its monitor, or of the endpoint of its rollout: what its events are about."""
        return str(ModelRef(self.project, self.monitor)) if self.monitor else self.on

    @property
    def name(self) -> str:
        """The monitor or the endpoint, and the label where there is one."""
        return f"{self.source_ref}/{self.label}" if self.label else self.source_ref

    def __repr__(self) -> str:
        who = f" by {self.acknowledged_by}" if self.acknowledged_by else ""
        return f"<alert {self.name} · {self.severity} · {self.state}{who} · {self.message}>"


def opened(
    monitor: Monitor,
    label: str,
    event: AlertEvent,
    alert_id: UUID,
    now: datetime,
    *,
    endpoint: tuple[UUID, int] | None = None,
    is_silenced: bool = False,
) -> Alert:
    """The alert of a monitor that fires.

    Parameters
    ----------
    endpoint
        Id and generation of the endpoint that is watched.
    is_silenced
        Whether people are not told for now.
    """
    endpoint_id, generation = endpoint or (None, 0)
    return Alert(
        id=alert_id,
        project=monitor.project,
        monitor=monitor.name,
        monitor_id=monitor.id,
        label=label,
        on=monitor.on,
        endpoint_id=endpoint_id,
        severity=event.severity,
        action=monitor.action.kind,
        message=event.message,
        value=event.value,
        since=event.since,
        fired_at=event.at,
        opened_at=now,
        generation=generation,
        is_told=not is_silenced,
        changes=(AlertChange(at=now, what="fired", text=event.message),),
    )


def opened_by_rollout(
    rollout: Rollout, event: AlertEvent, alert_id: UUID, now: datetime, *, generation: int = 0
) -> Alert:
    """The alert of a rollout that found what somebody should look at; it is about the endpoint.

    Parameters
    ----------
    generation
        Of the endpoint.
    """
    return Alert(
        id=alert_id,
        project=parse_model(rollout.endpoint_ref).project,
        rollout_id=rollout.id,
        label=event.rule,
        on=rollout.endpoint_ref,
        endpoint_id=rollout.endpoint,
        severity=event.severity,
        message=event.message,
        value=event.value,
        since=event.since,
        fired_at=event.at,
        opened_at=now,
        generation=generation,
        changes=(AlertChange(at=now, what="fired", text=event.message),),
    )


def acknowledged(alert: Alert, by: str, note: str, now: datetime) -> Alert:
    """That somebody looks after it; a second one takes it over.

    Raises
    ------
    Conflict
        When it is resolved.
    """
    if alert.state == "resolved":
        raise Conflict(f"The alert {alert.name} is resolved.", hint="Nobody needs to look after it.")
    if alert.acknowledged_by == by and not note:
        return alert
    changed = structs.replace(alert, state="acknowledged", acknowledged_by=by)
    return noted(changed, AlertChange(at=now, what="acknowledged", by=by, text=note))


def resolved(alert: Alert, text: str, now: datetime, *, by: str = "") -> Alert:
    """That it no longer fires."""
    changed = structs.replace(alert, state="resolved", resolved_at=now)
    return noted(changed, AlertChange(at=now, what="resolved", by=by, text=text))


def noted(alert: Alert, change: AlertChange) -> Alert:
    """The alert with one more change in its history."""
    changes = (*alert.changes, change)
    if len(changes) > CHANGES_MAX:
        changes = (changes[0], *changes[-(CHANGES_MAX - 1) :])
    return structs.replace(alert, changes=changes)
