"""Monitors and alerts in SQL."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from functools import cached_property
from typing import Any
from uuid import UUID

import msgspec
from msgspec import structs
from sqlalchemy import ColumnElement, Select, bindparam, delete, or_, select, update

from chopmark.abc.catalog import Taken
from chopmark.abc.monitors import AlertList, Ids, MonitorList, WatchedMonitor
from chopmark.base.clock import from_us, to_us
from chopmark.base.jsons import decoder
from chopmark.catalog.columns import UID
from chopmark.catalog.damage import row_of
from chopmark.catalog.execution import Compiler, Executor, Prepared
from chopmark.catalog.named_pages import named_page, named_page_values
from chopmark.catalog.records import json_text
from chopmark.catalog.sight import in_sight, places_of, seen_values
from chopmark.domain.alert_log import Alert
from chopmark.domain.alert_rules import Severity
from chopmark.domain.monitor_steps import MonitorState, standing_of
from chopmark.domain.monitors import Action, Monitor, MonitorRule

__all__ = ["MonitorStatements", "SqlAlerts", "SqlMonitors"]

_LAST = b"\xff" * 16
"""After every id."""


class _Body(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What is said of a monitor and never asked by, as one JSON text in its row."""

    on: str
    variant: str = ""
    metric: str
    minutes: int = 1
    rule: MonitorRule
    severity: Severity = "warning"
    action: Action = Action()
    description: str = ""
    silenced_until: datetime | None = None


_read_body = decoder(_Body)
_read_state = decoder(MonitorState)
_read_alert = decoder(Alert)
_MOVED = ("enabled", "body", "state", "due_us", "updated_us", "updated_by")


class MonitorStatements:
    """Statements on monitors and alerts, compiled when first used."""

    def __init__(self, compiler: Compiler) -> None:
        self.compiler = compiler
        self.tables = compiler.tables.watching

    @cached_property
    def get(self) -> Prepared:
        """By ``project`` and ``name``."""
        c = self.tables.monitors.c
        return self.compiler(self._monitors().where(c.project == bindparam("project"), c.name == bindparam("name")))

    @cached_property
    def by_id(self) -> Prepared:
        """By ``uid``."""
        return self.compiler(self._monitors().where(self.tables.monitors.c.uid == bindparam("uid")))

    def list(self, *, in_project: bool, places: int) -> Prepared:
        """After ``after_project`` and ``after_name``, of ``project``, or of those in sight."""
        return self.compiler.shaped(
            ("monitors", in_project, places),
            lambda: named_page(self._monitors(), self.tables.monitors, in_project=in_project, places=places),
        )

    @cached_property
    def insert(self) -> Prepared:
        """Returns nothing when the name or id is taken."""
        m = self.tables.monitors
        return self.compiler(self.compiler.insert_once(m).returning(m.c.key))

    @cached_property
    def put(self) -> Prepared:
        """What may change of ``monitor``, when its revision is ``seen``."""
        m = self.tables.monitors
        values: dict[str, Any] = {name: bindparam(f"new_{name}") for name in _MOVED}
        same = (m.c.uid == bindparam("monitor"), m.c.revision == bindparam("seen"))
        return self.compiler(update(m).where(*same).values(revision=m.c.revision + 1, **values))

    @cached_property
    def remove(self) -> Prepared:
        """By ``uid``."""
        m = self.tables.monitors
        return self.compiler(delete(m).where(m.c.uid == bindparam("uid")))

    @cached_property
    def due(self) -> Prepared:
        """By ``now``, and those after ``beyond``."""
        c = self.tables.monitors.c
        is_due = or_(c.due_us <= bindparam("now"), c.due_us > bindparam("beyond"))
        found = select(c.uid).where(c.enabled == 1, is_due).order_by(c.due_us, c.key)
        return self.compiler(found.limit(bindparam("limit")))

    @cached_property
    def alert(self) -> Prepared:
        """By ``uid``."""
        return self.compiler(self._alerts().where(self.tables.alerts.c.uid == bindparam("uid")))

    def alerts(self, *, resolved: bool | None, of_source: bool, in_project: bool, places: int) -> Prepared:
        """Older than ``after``, of ``source``, of ``project``, or of those in sight."""
        shape = ("alerts", resolved, of_source, in_project, places)
        return self.compiler.shaped(shape, lambda: self._alert_page(resolved, of_source, in_project, places))

    @cached_property
    def firing(self) -> Prepared:
        """Of ``endpoint``."""
        c = self.tables.alerts.c
        found = self._alerts().where(c.endpoint_uid == bindparam("endpoint")).order_by(c.uid.desc())
        return self.compiler(found.limit(bindparam("limit")))

    @cached_property
    def insert_alert(self) -> Prepared:
        """Returns nothing when the id is taken, or another one fires."""
        a = self.tables.alerts
        return self.compiler(self.compiler.insert_once(a).returning(a.c.key))

    @cached_property
    def put_alert(self) -> Prepared:
        """What may change of ``alert``."""
        a = self.tables.alerts
        values: dict[str, Any] = {
            name: bindparam(f"new_{name}", type_=a.c[name].type)
            for name in ("firing_uid", "endpoint_uid", "resolved_us", "body")
        }
        return self.compiler(update(a).where(a.c.uid == bindparam("alert")).values(**values))

    @cached_property
    def remove_alerts(self) -> Prepared:
        """Up to ``limit`` that were resolved before ``before``."""
        a = self.tables.alerts
        old = select(a.c.key).where(a.c.resolved_us < bindparam("before")).limit(bindparam("limit"))
        return self.compiler(delete(a).where(a.c.key.in_(old)))

    def _monitors(self) -> Select[Any]:
        c = self.tables.monitors.c
        said = (c.uid, c.project, c.name, c.enabled, c.body, c.state, c.revision)
        return select(*said, c.created_us, c.created_by, c.updated_us, c.updated_by)

    def _alerts(self) -> Select[Any]:
        return select(self.tables.alerts.c.body)

    def _alert_page(self, resolved: bool | None, of_source: bool, in_project: bool, places: int) -> Select[Any]:
        c = self.tables.alerts.c
        conditions: list[ColumnElement[bool]] = [c.uid < bindparam("after", type_=UID)]
        if resolved is not None:
            conditions.append(c.resolved_us.is_not(None) if resolved else c.resolved_us.is_(None))
        if of_source:
            conditions.append(c.monitor_uid == bindparam("source"))
        if in_project:
            conditions.append(c.project == bindparam("project"))
        if places:
            conditions.append(in_sight(c.project, places))
        return self._alerts().where(*conditions).order_by(c.uid.desc()).limit(bindparam("limit"))


class SqlMonitors:
    """`chopmark.abc.monitors.Monitors`."""

    __slots__ = ("_run", "_sql")

    def __init__(self, run: Executor, statements: MonitorStatements) -> None:
        self._run = run
        self._sql = statements

    def get(self, project: str, name: str) -> WatchedMonitor | None:
        """See the interface."""
        row = self._run.one(self._sql.get, {"project": project, "name": name})
        return None if row is None else _monitor(row)

    def by_id(self, monitor_id: UUID) -> WatchedMonitor | None:
        """See the interface."""
        row = self._run.one(self._sql.by_id, {"uid": monitor_id.bytes})
        return None if row is None else _monitor(row)

    def list(
        self,
        *,
        project: str | None = None,
        among: Collection[str] | None = None,
        after: tuple[str, str] = ("", ""),
        limit: int,
    ) -> MonitorList:
        """See the interface."""
        values = named_page_values(project, among, after, limit)
        prepared = self._sql.list(in_project=project is not None, places=places_of(among))
        return [_monitor(row).monitor for row in self._run.all(prepared, values)]

    def insert(self, monitor: Monitor, state: MonitorState, due: datetime) -> None:
        """See the interface."""
        values = {
            "uid": monitor.id.bytes,
            "project": monitor.project,
            "name": monitor.name,
            "revision": 1,
            "created_us": to_us(monitor.created_at),
            "created_by": monitor.created_by,
            **_moved(monitor, state, due),
        }
        if self._run.add(self._sql.insert, values) is None:
            raise Taken(f"There is a monitor {monitor.ref} already.")

    def put(self, seen: WatchedMonitor, monitor: Monitor, state: MonitorState, due: datetime) -> bool:
        """See the interface."""
        values: dict[str, Any] = {f"new_{name}": value for name, value in _moved(monitor, state, due).items()}
        values |= {"monitor": seen.monitor.id.bytes, "seen": seen.revision}
        return self._run.change(self._sql.put, values) > 0

    def remove(self, monitor_id: UUID) -> bool:
        """See the interface."""
        return self._run.change(self._sql.remove, {"uid": monitor_id.bytes}) > 0

    def due(self, now: datetime, beyond: datetime, *, limit: int) -> Ids:
        """See the interface."""
        values = {"now": to_us(now), "beyond": to_us(beyond), "limit": limit}
        return [_id(row) for row in self._run.all(self._sql.due, values)]


class SqlAlerts:
    """`chopmark.abc.monitors.Alerts`."""

    __slots__ = ("_run", "_sql")

    def __init__(self, run: Executor, statements: MonitorStatements) -> None:
        self._run = run
        self._sql = statements

    def get(self, alert_id: UUID) -> Alert | None:
        """See the interface."""
        row = self._run.one(self._sql.alert, {"uid": alert_id.bytes})
        return None if row is None else _alert(row)

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
        values: dict[str, Any] = {"after": _LAST if after is None else after.bytes, "limit": limit}
        values |= seen_values(among)
        if project is not None:
            values["project"] = project
        if source_id is not None:
            values["source"] = source_id.bytes
        prepared = self._sql.alerts(
            resolved=resolved,
            of_source=source_id is not None,
            in_project=project is not None,
            places=places_of(among),
        )
        return [_alert(row) for row in self._run.all(prepared, values)]

    def firing(self, endpoint_id: UUID, *, limit: int) -> AlertList:
        """See the interface."""
        values = {"endpoint": endpoint_id.bytes, "limit": limit}
        return [_alert(row) for row in self._run.all(self._sql.firing, values)]

    def put(self, alert: Alert) -> None:
        """See the interface."""
        moved = _alert_moved(alert)
        changed = {f"new_{name}": value for name, value in moved.items()}
        if self._run.change(self._sql.put_alert, {"alert": alert.id.bytes, **changed}):
            return
        values = {
            "uid": alert.id.bytes,
            "project": alert.project,
            "monitor_uid": alert.source_id.bytes,
            "label": alert.label,
            **moved,
        }
        if self._run.add(self._sql.insert_alert, values) is None:
            raise Taken(f"The alert {alert.name} fires already.")

    def remove(self, before: datetime, *, limit: int) -> int:
        """See the interface."""
        return self._run.change(self._sql.remove_alerts, {"before": to_us(before), "limit": limit})


def _moved(monitor: Monitor, state: MonitorState, due: datetime) -> dict[str, Any]:
    body = _Body(**{name: getattr(monitor, name) for name in _Body.__struct_fields__})
    return {
        "enabled": int(monitor.enabled),
        "body": json_text(body),
        "state": json_text(state),
        "due_us": to_us(due),
        "updated_us": to_us(monitor.updated_at),
        "updated_by": monitor.updated_by,
    }


def _alert_moved(alert: Alert) -> dict[str, Any]:
    is_firing = alert.resolved_at is None
    return {
        "firing_uid": alert.source_id.bytes if is_firing else None,
        "endpoint_uid": alert.endpoint_id.bytes if is_firing and alert.endpoint_id is not None else None,
        "resolved_us": None if alert.resolved_at is None else to_us(alert.resolved_at),
        "body": json_text(alert),
    }


@row_of("a monitor", "bssissiisis")
def _monitor(row: tuple[Any, ...]) -> WatchedMonitor:
    uid, project, name, enabled, body, state_text, revision, created_us, created_by, updated_us, updated_by = row
    said, state = _read_body(body), _read_state(state_text)
    monitor = Monitor(
        id=UUID(bytes=uid),
        project=project,
        name=name,
        enabled=bool(enabled),
        created_at=from_us(created_us),
        created_by=created_by,
        updated_at=from_us(updated_us),
        updated_by=updated_by,
        standing=standing_of(state),
        **structs.asdict(said),
    )
    return WatchedMonitor(monitor, state, revision)


@row_of("a monitor", "b")
def _id(row: tuple[Any, ...]) -> UUID:
    return UUID(bytes=row[0])


@row_of("an alert", "s")
def _alert(row: tuple[Any, ...]) -> Alert:
    return _read_alert(row[0])
