"""Monitors and alerts in memory."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime
from uuid import UUID

from msgspec import structs

from chopmark.abc.catalog import Taken
from chopmark.abc.monitors import AlertList, Ids, MonitorList, WatchedMonitor
from chopmark.base.clock import to_us
from chopmark.base.jsons import decode, encode
from chopmark.domain.alert_log import Alert
from chopmark.domain.monitor_steps import MonitorState, standing_of
from chopmark.domain.monitors import Monitor, Standing
from chopmark.testing.memory_state import StoredMonitor, Surface

__all__ = ["MemoryAlerts", "MemoryMonitors"]

_STAYS = ("id", "project", "name", "created_at", "created_by")


class MemoryMonitors(Surface):
    """`chopmark.abc.monitors.Monitors`."""

    def get(self, project: str, name: str) -> WatchedMonitor | None:
        """See the interface."""
        return next((w for w in self._all() if (w.monitor.project, w.monitor.name) == (project, name)), None)

    def by_id(self, monitor_id: UUID) -> WatchedMonitor | None:
        """See the interface."""
        stored = self._scope.read.monitors.get(monitor_id)
        return None if stored is None else _watched(stored)

    def list(
        self,
        *,
        project: str | None = None,
        among: Collection[str] | None = None,
        after: tuple[str, str] = ("", ""),
        limit: int,
    ) -> MonitorList:
        """See the interface."""
        return [
            w.monitor
            for w in self._all()
            if (w.monitor.project, w.monitor.name) > after
            and project in (None, w.monitor.project)
            and (among is None or w.monitor.project in among)
        ][:limit]

    def insert(self, monitor: Monitor, state: MonitorState, due: datetime) -> None:
        """See the interface."""
        stored = self._scope.write.monitors
        if monitor.id in stored or self.get(monitor.project, monitor.name) is not None:
            raise Taken(f"There is a monitor {monitor.ref} already.")
        stored[monitor.id] = _stored(monitor, state, 1, due)

    def put(self, seen: WatchedMonitor, monitor: Monitor, state: MonitorState, due: datetime) -> bool:
        """See the interface."""
        stored = self._scope.write.monitors
        there = stored.get(seen.monitor.id)
        if there is None or there.revision != seen.revision:
            return False
        before = decode(there.body, Monitor)
        kept = structs.replace(monitor, **{name: getattr(before, name) for name in _STAYS})
        stored[seen.monitor.id] = _stored(kept, state, seen.revision + 1, due)
        return True

    def remove(self, monitor_id: UUID) -> bool:
        """See the interface."""
        return self._scope.write.monitors.pop(monitor_id, None) is not None

    def due(self, now: datetime, beyond: datetime, *, limit: int) -> Ids:
        """See the interface."""
        found = [
            (stored.due, number, key)
            for number, (key, stored) in enumerate(self._scope.read.monitors.items())
            if decode(stored.body, Monitor).enabled and (stored.due <= now or stored.due > beyond)
        ]
        return [key for _, _, key in sorted(found)[:limit]]

    def _all(self) -> Iterator[WatchedMonitor]:
        found = [_watched(stored) for stored in self._scope.read.monitors.values()]
        return iter(sorted(found, key=lambda w: (w.monitor.project, w.monitor.name)))


class MemoryAlerts(Surface):
    """`chopmark.abc.monitors.Alerts`."""

    def get(self, alert_id: UUID) -> Alert | None:
        """See the interface."""
        body = self._scope.read.alerts.get(alert_id)
        return None if body is None else decode(body, Alert)

    def list(
        self,
        *,
        resolved: bool | None = None,
        project: str | None = None,
        among: Collection[str] | None = None,
        source_id: UUID | None = None,
        after: UUID | None = None,
        limit: int,
    ) -> AlertList:
        """See the interface."""
        return [
            a
            for a in self._all()
            if (after is None or a.id < after)
            and resolved in (None, a.resolved_at is not None)
            and project in (None, a.project)
            and (among is None or a.project in among)
            and source_id in (None, a.source_id)
        ][:limit]

    def firing(self, endpoint_id: UUID, *, limit: int) -> AlertList:
        """See the interface."""
        return [a for a in self._all() if a.endpoint_id == endpoint_id and a.resolved_at is None][:limit]

    def put(self, alert: Alert) -> None:
        """See the interface."""
        stored = self._scope.write.alerts
        of = (alert.source_id, alert.label)
        others = (a for a in self._all() if a.id != alert.id and a.resolved_at is None)
        if alert.resolved_at is None and any((a.source_id, a.label) == of for a in others):
            raise Taken(f"The alert {alert.name} fires already.")
        stored[alert.id] = encode(alert)

    def remove(self, before: datetime, *, limit: int) -> int:
        """See the interface."""
        old = [a.id for a in self._all() if a.resolved_at is not None and a.resolved_at < before][:limit]
        for key in old:
            del self._scope.write.alerts[key]
        return len(old)

    def _all(self) -> Iterator[Alert]:
        found = [decode(body, Alert) for body in self._scope.read.alerts.values()]
        return iter(sorted(found, key=lambda a: a.id, reverse=True))


def _stored(monitor: Monitor, state: MonitorState, revision: int, due: datetime) -> StoredMonitor:
    to_us(due)
    return StoredMonitor(encode(structs.replace(monitor, standing=Standing())), encode(state), revision, due)


def _watched(stored: StoredMonitor) -> WatchedMonitor:
    state = decode(stored.state, MonitorState)
    monitor = structs.replace(decode(stored.body, Monitor), standing=standing_of(state))
    return WatchedMonitor(monitor, state, stored.revision)
