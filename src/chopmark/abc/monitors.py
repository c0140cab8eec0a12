"""What watching asks of a catalog: monitors with what is remembered of them, and alerts."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple, Protocol
from uuid import UUID

from chopmark.domain.alert_log import Alert
from chopmark.domain.monitor_steps import MonitorState
from chopmark.domain.monitors import Monitor

__all__ = ["AlertList", "Alerts", "Monitors", "WatchedMonitor"]

MonitorList = list[Monitor]  # inside the classes below, ``list`` is a method
AlertList = list[Alert]
Ids = list[UUID]


class WatchedMonitor(NamedTuple):
    """A monitor, what is remembered of it, and a number that goes up with each change of either."""

    monitor: Monitor
    state: MonitorState
    revision: int


class Monitors(Protocol):
    """Monitors by project and name, and when each is due.

    What may become of them is decided in `chopmark.domain.monitor_steps`; here it is stored, on condition that nobody was quicker.
    ``Monitor.standing`` is made from the state, and not stored.
    """

    def get(self, project: str, name: str) -> WatchedMonitor | None:
        """The monitor, or None."""
        ...

    def by_id(self, monitor_id: UUID) -> WatchedMonitor | None:
        """The monitor with this id, or None."""
        ...

    def list(
        self,
        *,
        project: str | None = None,
        among: Collection[str] | None = None,
        after: tuple[str, str] = ("", ""),
        limit: int,
    ) -> MonitorList:
        """By project and name from the first after ``after``; of one project, or of those ``among``, or of all."""
        ...

    def insert(self, monitor: Monitor, state: MonitorState, due: datetime) -> None:
        """Add one, with revision 1; `Taken` when its name is in its project."""
        ...

    def put(self, seen: WatchedMonitor, monitor: Monitor, state: MonitorState, due: datetime) -> bool:
        """Replace one and raise its revision, unless it has another revision than was ``seen``; whether it was."""
        ...

    def remove(self, monitor_id: UUID) -> bool:
        """Remove one; whether it was there. Its alerts stay until they are old."""
        ...

    def due(self, now: datetime, beyond: datetime, *, limit: int) -> Ids:
        """Ids of enabled ones due by ``now``, the one that waits longest first; and those due after ``beyond``.

        The latter wait for a time that a clock showed which was set back since.
        """
        ...


class Alerts(Protocol):
    """Alerts by their id."""

    def get(self, alert_id: UUID) -> Alert | None:
        """The alert, or None."""
        ...

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
        """Newest first, from the first after (older than) ``after``; only resolved ones, or others, or of one source: a monitor, or a rollout."""
        ...

    def firing(self, endpoint_id: UUID, *, limit: int) -> AlertList:
        """Those of an endpoint that are not resolved, newest first."""
        ...

    def put(self, alert: Alert) -> None:
        """Add one, or replace the one with this id; `Taken` when another of its source and label is not resolved."""
        ...

    def remove(self, before: datetime, *, limit: int) -> int:
        """Forget those resolved before a time, at most so many; how many."""
        ...
