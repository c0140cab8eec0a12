"""Schedules in SQL."""

from __future__ import annotations

from datetime import datetime
from functools import cached_property
from typing import Any

from sqlalchemy import Select, bindparam, delete, func, select, update

from chopmark.abc.jobs import ScheduleList
from chopmark.base.clock import from_us, to_us
from chopmark.base.jsons import decoder
from chopmark.catalog.damage import row_of
from chopmark.catalog.execution import Compiler, Executor, Prepared
from chopmark.catalog.records import json_text
from chopmark.domain.schedules import Schedule

__all__ = ["ScheduleStatements", "SqlSchedules"]

_read_arguments = decoder(dict[str, Any])


class ScheduleStatements:
    """Statements on schedules, compiled when first used."""

    def __init__(self, compiler: Compiler) -> None:
        self.compiler = compiler
        self.tables = compiler.tables

    @cached_property
    def get(self) -> Prepared:
        """By ``name``."""
        return self.compiler(self._all().where(self.tables.schedules.c.name == bindparam("name")))

    @cached_property
    def list(self) -> Prepared:
        """After ``after``, by name."""
        c = self.tables.schedules.c
        page = self._all().where(c.name > bindparam("after")).order_by(c.name)
        return self.compiler(page.limit(bindparam("limit")))

    @cached_property
    def put(self) -> Prepared:
        """Insert or replace."""
        return self.compiler(self.compiler.upsert(self.tables.schedules, ["name"]))

    @cached_property
    def remove(self) -> Prepared:
        """By ``name``."""
        s = self.tables.schedules
        return self.compiler(delete(s).where(s.c.name == bindparam("name")))

    @cached_property
    def due(self) -> Prepared:
        """Not after ``now``, the one that waits longest first."""
        c = self.tables.schedules.c
        found = self._all().where(c.next_us <= bindparam("now"), c.enabled == 1).order_by(c.next_us, c.name)
        return self.compiler(found.limit(bindparam("limit")))

    @cached_property
    def advance(self) -> Prepared:
        """Move ``name`` on to ``following``, when it is as it was ``seen`` and was not changed since ``changed``."""
        s = self.tables.schedules
        same = (
            s.c.name == bindparam("schedule"),
            s.c.next_us == bindparam("seen"),
            s.c.updated_us == bindparam("changed"),
            s.c.enabled == 1,
        )
        return self.compiler(update(s).where(*same).values(next_us=bindparam("following")))

    @cached_property
    def next_at(self) -> Prepared:
        """The first ``next_us`` of all."""
        c = self.tables.schedules.c
        return self.compiler(select(func.min(c.next_us)).where(c.enabled == 1))

    def _all(self) -> Select[Any]:
        return select(*self.tables.schedules.c)


class SqlSchedules:
    """`chopmark.abc.jobs.Schedules`."""

    __slots__ = ("_run", "_sql")

    def __init__(self, run: Executor, statements: ScheduleStatements) -> None:
        self._run = run
        self._sql = statements

    def get(self, name: str) -> Schedule | None:
        """See the interface."""
        row = self._run.one(self._sql.get, {"name": name})
        return None if row is None else _schedule(row)

    def list(self, *, after: str = "", limit: int) -> ScheduleList:
        """See the interface."""
        return [_schedule(row) for row in self._run.all(self._sql.list, {"after": after, "limit": limit})]

    def put(self, schedule: Schedule) -> None:
        """See the interface."""
        values = {
            "name": schedule.name,
            "kind": schedule.kind,
            "cron": schedule.cron,
            "zone": schedule.zone,
            "arguments": json_text(schedule.arguments),
            "enabled": int(schedule.enabled),
            "misfire": schedule.misfire,
            "next_us": _us(schedule.next_at),
            "updated_us": to_us(schedule.updated_at),
            "updated_by": schedule.updated_by,
        }
        self._run.change(self._sql.put, values)

    def remove(self, name: str) -> bool:
        """See the interface."""
        return self._run.change(self._sql.remove, {"name": name}) > 0

    def due(self, now: datetime, *, limit: int) -> ScheduleList:
        """See the interface."""
        return [_schedule(row) for row in self._run.all(self._sql.due, {"now": to_us(now), "limit": limit})]

    def advance(self, schedule: Schedule, seen: Schedule) -> bool:
        """See the interface."""
        values = {
            "schedule": seen.name,
            "seen": _us(seen.next_at),
            "changed": to_us(seen.updated_at),
            "following": _us(schedule.next_at),
        }
        return self._run.change(self._sql.advance, values) > 0

    def next_at(self) -> datetime | None:
        """See the interface."""
        row = self._run.one(self._sql.next_at, {})
        return None if row is None or row[0] is None else from_us(row[0])


def _us(time: datetime | None) -> int | None:
    return None if time is None else to_us(time)


@row_of("a schedule", "sssssisIis")
def _schedule(row: tuple[Any, ...]) -> Schedule:
    name, kind, cron, zone, arguments, enabled, misfire, next_us, updated_us, updated_by = row
    return Schedule(
        name=name,
        kind=kind,
        cron=cron,
        zone=zone,
        arguments=_read_arguments(arguments),
        enabled=bool(enabled),
        misfire=misfire,
        next_at=None if next_us is None else from_us(next_us),
        updated_at=from_us(updated_us),
        updated_by=updated_by,
    )
