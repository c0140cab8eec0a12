"""``registry.alerts``: what fires, who looks after it, and what became of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal
from uuid import UUID

from chopmark.domain.alert_log import Alert, AlertChange
from chopmark.domain.audit import AuditEvent
from chopmark.domain.durations import Duration, seconds_of
from chopmark.domain.monitors import Monitor
from chopmark.domain.names import shown
from chopmark.errors import InvalidRequest
from chopmark.ops import monitors as q
from chopmark.ops.monitors import RolledBack
from chopmark.sdk.monitors import MonitorReference, monitor_name
from chopmark.sdk.results import Page
from chopmark.sdk.surface import Surface

__all__ = ["AlertReference", "Alerts"]

AlertReference = Alert | UUID | str


class Alerts(Surface):
    """Verbs about alerts. Webhooks tell of them: Slack, PagerDuty, Alertmanager, e-mail, or any address."""

    def list(
        self,
        *,
        resolved: bool | None = False,
        project: str | None = None,
        monitor: MonitorReference = "",
        limit: int = 50,
        cursor: str = "",
    ) -> Page[Alert]:
        """Alerts, newest first, a page at a time.

        Parameters
        ----------
        resolved
            False for those that fire, True for those that are over, None for all.
        monitor
            Only of this monitor.

        >>> from chopmark.testing.registry import memory_registry
        >>> memory_registry().alerts.list()
        <0 results>
        """
        name = monitor_name(monitor, self._settings.project) if monitor else ""
        request = q.ListAlerts(resolved=resolved, project=project, monitor=name, limit=limit, cursor=cursor)
        page: q.AlertPage = self._call(request)
        return Page(page.items, page.cursor)

    def get(self, alert: AlertReference) -> Alert:
        """An alert as it is now."""
        found: Alert = self._call(q.GetAlert(alert=_id_of(alert)))
        return found

    def history(self, alert: AlertReference) -> tuple[AlertChange, ...]:
        """What happened to an alert, oldest first."""
        return self.get(alert).changes

    def acknowledge(self, alert: AlertReference, *, reason: str = "") -> Alert:
        """Say that one looks after an alert; who did before is relieved."""
        seen: Alert = self._call(q.AcknowledgeAlert(alert=_id_of(alert), reason=reason))
        return seen

    def silence(self, monitor: MonitorReference, for_: Duration, *, reason: str = "") -> Monitor:
        """Tell people nothing of a monitor's alerts for some time; 0 ends a silence.

        Alerts and actions go on. What fires still when the silence is over is told then.
        """
        request = q.SilenceMonitor(
            monitor=monitor_name(monitor, self._settings.project), for_s=seconds_of(for_, "for_"), reason=reason
        )
        changed: Monitor = self._call(request)
        return changed

    def roll_back(self, alert: AlertReference, *, reason: str = "") -> RolledBack:
        """Take the endpoint of an alert back to what answered before, once, unless the guard refuses.

        It refuses when the alert is over, the endpoint was changed since it fired, a rollout is active, or the endpoint was rolled back
        lately.
        """
        found: RolledBack = self._call(q.RollBackForAlert(alert=_id_of(alert), reason=reason))
        return found

    def on(
        self, what: Literal["fired", "resolved", "acknowledged", "*"], listener: Callable[[AuditEvent], None]
    ) -> Callable[[], None]:
        """Call a function after each such event, in this process; what it returns ends that.

        >>> from chopmark.testing.registry import memory_registry
        >>> end = memory_registry().alerts.on("fired", lambda event: print(event.data["message"]))
        >>> end()
        """
        return self._transport.on(f"alert.{what}", listener)


def _id_of(alert: object) -> UUID:
    if isinstance(alert, Alert):
        return alert.id
    if isinstance(alert, UUID):
        return alert
    try:
        return UUID(str(alert))
    except ValueError as error:
        raise InvalidRequest(f"{shown(str(alert))} is no alert's id.", hint="See: chopmark alert list") from error
