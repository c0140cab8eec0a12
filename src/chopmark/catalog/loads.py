"""Loads per version and day in SQL."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from functools import cached_property
from typing import Any
from uuid import UUID

from sqlalchemy import and_, bindparam, func, or_, select

from chopmark.catalog.damage import row_of
from chopmark.catalog.execution import Compiler, Executor, Prepared
from chopmark.domain.usage import LoadCount

__all__ = ["LoadStatements", "SqlLoads"]

_EPOCH = date(1970, 1, 1).toordinal()
_FIRST, _LAST = -_EPOCH, date.max.toordinal()


class LoadStatements:
    """Statements on loads, compiled when first used."""

    def __init__(self, compiler: Compiler) -> None:
        self.compiler = compiler
        self.tables = compiler.tables

    @cached_property
    def add(self) -> Prepared:
        """Loads of ``version`` on ``day``, added to those that are there; nothing when the version is not."""
        t, v = self.tables.loads, self.tables.versions.c
        statement = self.compiler.insert_for(t, v.uid == bindparam("version"), version_key=v.key)
        more = t.c["count"] + statement.excluded["count"]
        return self.compiler(
            statement.on_conflict_do_update(index_elements=["version_key", "day"], set_={"count": more})
        )

    def list(self, *, one_version: bool) -> Prepared:
        """Of ``model`` (and ``number``) from ``since`` to ``until``, newest day first, after a place."""
        return self.compiler.shaped(("loads", one_version), lambda: self._page(one_version))

    @cached_property
    def last_days(self) -> Prepared:
        """Last day of each version of ``model`` that was ever loaded."""
        t = self.tables
        m, v, c = t.models.c, t.versions.c, t.loads.c
        joined = t.loads.join(t.versions, v.key == c.version_key).join(t.models, m.key == v.model_key)
        found = select(v.uid, func.max(c.day)).select_from(joined).where(m.uid == bindparam("model"))
        return self.compiler(found.group_by(v.uid))

    def _page(self, one_version: bool) -> Any:
        t = self.tables
        p, m, v, c = t.projects.c, t.models.c, t.versions.c, t.loads.c
        joined = (
            t.loads.join(t.versions, v.key == c.version_key)
            .join(t.models, m.key == v.model_key)
            .join(t.projects, p.key == m.project_key)
        )
        same_day = and_(c.day == bindparam("after_day"), v.number < bindparam("after_number"))
        further = or_(c.day < bindparam("after_day"), same_day)
        found = select(p.name, m.name, v.number, c.day, c["count"]).select_from(joined)
        found = found.where(m.uid == bindparam("model"), c.day.between(bindparam("since"), bindparam("until")), further)
        if one_version:
            found = found.where(v.number == bindparam("number"))
        return found.order_by(c.day.desc(), v.number.desc()).limit(bindparam("limit"))


class SqlLoads:
    """`chopmark.abc.catalog.Loads`."""

    __slots__ = ("_run", "_sql")

    def __init__(self, run: Executor, statements: LoadStatements) -> None:
        self._run = run
        self._sql = statements

    def add(self, counts: Mapping[tuple[UUID, date], int]) -> None:
        """See the interface."""
        # In one order everywhere: two who count the same versions must not wait for each other crosswise.
        rows = ({"version": uid.bytes, "day": _day(day), "count": counts[uid, day]} for uid, day in sorted(counts))
        self._run.change_each(self._sql.add, rows)

    def list(
        self,
        model_id: UUID,
        *,
        number: int | None = None,
        since: date | None = None,
        until: date | None = None,
        after: tuple[date, int] | None = None,
        limit: int,
    ) -> list[LoadCount]:
        """See the interface."""
        values: dict[str, Any] = {
            "model": model_id.bytes,
            "since": _FIRST if since is None else _day(since),
            "until": _LAST if until is None else _day(until),
            "after_day": _LAST if after is None else _day(after[0]),
            "after_number": 0 if after is None else after[1],
            "limit": limit,
        }
        if number is not None:
            values["number"] = number
        return [_load_count(row) for row in self._run.all(self._sql.list(one_version=number is not None), values)]

    def last_days(self, model_id: UUID) -> dict[UUID, date]:
        """See the interface."""
        return dict(map(_last_day, self._run.all(self._sql.last_days, {"model": model_id.bytes})))


def _day(day: date) -> int:
    return day.toordinal() - _EPOCH


@row_of("loads of a version", "ssiii")
def _load_count(row: tuple[Any, ...]) -> LoadCount:
    project, model, number, day, count = row
    return LoadCount(project=project, model=model, number=number, day=date.fromordinal(day + _EPOCH), count=count)


@row_of("loads of a version", "bi")
def _last_day(row: tuple[Any, ...]) -> tuple[UUID, date]:
    uid, day = row
    return UUID(bytes=uid), date.fromordinal(day + _EPOCH)
