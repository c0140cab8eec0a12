"""Verbs about monitors and alerts: what they are asked with and what they answer."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from chopmark.base.paging import PAGE_SIZE
from chopmark.domain.alert_log import Alert
from chopmark.domain.alert_rules import AlertEvent, Sample, Severity
from chopmark.domain.live_drift import MeasuredDrift
from chopmark.domain.monitors import Action, Monitor, MonitorRule, Standing
from chopmark.ops.requests import Request

__all__ = [
    "AcknowledgeAlert",
    "AlertPage",
    "CreateMonitor",
    "DeleteMonitor",
    "DisableMonitor",
    "EnableMonitor",
    "EvaluateMonitor",
    "Evaluated",
    "GetAlert",
    "GetMonitor",
    "ListAlerts",
    "ListMonitors",
    "MonitorPage",
    "MonitorTrial",
    "RollBackForAlert",
    "RolledBack",
    "SilenceMonitor",
    "TryMonitor",
]

TRIAL_MINUTES_MAX = 360


class CreateMonitor(Request, frozen=True, kw_only=True):
    """Watch a metric of an endpoint or a version.

    Attributes
    ----------
    monitor
        ``[project/]name``, in the project of what is watched.
    on
        An endpoint, or a version by any reference.
    variant
        Only this variant of the endpoint.
    metric
        One of `chopmark.domain.monitors.METRICS`, or ``metrics.NAME`` for the mean of a recorded one.
    minutes
        How many minutes a sample sums up; at least 60 of drift and estimated accuracy.
    rule, severity, action
        When it fires, how bad that is, and what happens.
    """

    monitor: str
    on: str
    variant: str = ""
    metric: str = "error_rate"
    minutes: int = 1
    rule: MonitorRule
    severity: Severity = "warning"
    action: Action = Action()
    description: str = ""
    reason: str = ""


class GetMonitor(Request, frozen=True, kw_only=True):
    """Look up a monitor."""

    monitor: str


class ListMonitors(Request, frozen=True, kw_only=True):
    """A page of monitors by project and name, of a project or of all that one sees."""

    project: str | None = None
    limit: int = PAGE_SIZE
    cursor: str = ""


class MonitorPage(msgspec.Struct, frozen=True, kw_only=True):
    """Monitors, and the cursor of the next page."""

    items: list[Monitor]
    cursor: str = ""


class EnableMonitor(Request, frozen=True, kw_only=True):
    """Have a monitor evaluated again, from now on; what fell into the pause is not made up for."""

    monitor: str
    reason: str = ""


class DisableMonitor(Request, frozen=True, kw_only=True):
    """Have a monitor evaluated no more; its alerts are resolved."""

    monitor: str
    reason: str = ""


class DeleteMonitor(Request, frozen=True, kw_only=True):
    """Remove a monitor; its alerts are resolved, and stay in sight until they are old."""

    monitor: str
    reason: str = ""


class TryMonitor(Request, frozen=True, kw_only=True):
    """What a monitor would have made of each of the last minutes, as if it had begun then; nothing is changed.

    Attributes
    ----------
    minutes
        How far to look back.
    """

    monitor: str
    minutes: Annotated[int, Meta(ge=1, le=TRIAL_MINUTES_MAX)] = 60


class MonitorTrial(msgspec.Struct, frozen=True, kw_only=True):
    """What a monitor would have made of some minutes.

    Attributes
    ----------
    samples
        What it would have judged, oldest first.
    events
        What would have happened.
    standing
        How it would stand now.
    """

    monitor: Monitor
    samples: tuple[Sample, ...] = ()
    events: tuple[AlertEvent, ...] = ()
    standing: Standing = Standing()


class EvaluateMonitor(Request, frozen=True, kw_only=True):
    """Judge the minutes that have settled since a monitor was last evaluated; workers do this by themselves.

    Attributes
    ----------
    drift
        How far requests have drifted, of a monitor of drift: its evaluation reads profiles, which are files.
    """

    monitor: str
    drift: MeasuredDrift | None = None


class Evaluated(msgspec.Struct, frozen=True, kw_only=True):
    """What came of an evaluation.

    Attributes
    ----------
    due_at
        When there is something to judge again.
    opened, resolved
        Alerts.
    """

    monitor: Monitor
    due_at: datetime
    opened: tuple[UUID, ...] = ()
    resolved: tuple[UUID, ...] = ()


class SilenceMonitor(Request, frozen=True, kw_only=True):
    """Tell people nothing of a monitor's alerts for some time; alerts and actions go on.

    Attributes
    ----------
    for_s
        For how long from now; 0 ends a silence.
    """

    monitor: str
    for_s: Annotated[float, Meta(ge=0, le=31_622_400)]
    reason: str = ""


class ListAlerts(Request, frozen=True, kw_only=True):
    """A page of alerts, newest first.

    Attributes
    ----------
    resolved
        Only those that are, or are not; None for all.
    monitor
        Only of this monitor.
    """

    resolved: bool | None = None
    project: str | None = None
    monitor: str = ""
    limit: int = PAGE_SIZE
    cursor: str = ""


class AlertPage(msgspec.Struct, frozen=True, kw_only=True):
    """Alerts, and the cursor of the next page."""

    items: list[Alert]
    cursor: str = ""


class GetAlert(Request, frozen=True, kw_only=True):
    """Look up an alert, with its history."""

    alert: UUID


class AcknowledgeAlert(Request, frozen=True, kw_only=True):
    """Say that one looks after an alert."""

    alert: UUID
    reason: str = ""


class RollBackForAlert(Request, frozen=True, kw_only=True):
    """Take an endpoint back to what answered before, for an alert that fires; refused by its guard, it says why.

    Once for an alert: asked again it answers what came of it.
    """

    alert: UUID
    reason: str = ""


class RolledBack(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a rollback for an alert.

    Attributes
    ----------
    done
        Whether the endpoint went back.
    why
        Why it did not, or what it went from and to.
    """

    alert: Alert
    done: bool
    why: str
