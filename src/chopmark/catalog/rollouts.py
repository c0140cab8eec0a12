"""Rollouts in SQL."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from functools import cached_property
from typing import Any
from uuid import UUID

from msgspec import structs
from sqlalchemy import Select, and_, bindparam, func, or_, select, update

from chopmark.abc.catalog import Taken
from chopmark.abc.rollouts import EventList, RolloutList, RolloutPlace
from chopmark.base.clock import to_us
from chopmark.base.jsons import decoder
from chopmark.catalog.damage import row_of
from chopmark.catalog.execution import Compiler, Executor, Prepared
from chopmark.catalog.records import json_text
from chopmark.catalog.sight import in_sight, places_of, seen_values
from chopmark.domain.refs import parse_model
from chopmark.domain.rollouts import ACTIVE, Rollout, RolloutEvent, is_open

__all__ = ["RolloutStatements", "SqlRollouts"]

_read_rollout = decoder(Rollout)
_read_event = decoder(RolloutEvent)
_MOVED = ("body", "is_open", "holds_uid")


class RolloutStatements:
    """Statements on rollouts, compiled when first used."""

    def __init__(self, compiler: Compiler) -> None:
        self.compiler = compiler
        self.tables = compiler.tables

    @cached_property
    def get(self) -> Prepared:
        """By ``uid``."""
        return self.compiler(self._rollouts().where(self.tables.rollouts.c.uid == bindparam("uid")))

    @cached_property
    def lock(self) -> Prepared:
        """The same, for this transaction alone."""
        found = self._rollouts().where(self.tables.rollouts.c.uid == bindparam("uid"))
        return self.compiler(found.with_for_update())

    @cached_property
    def holding(self) -> Prepared:
        """The one that has ``endpoint``."""
        return self.compiler(self._rollouts().where(self.tables.rollouts.c.holds_uid == bindparam("endpoint")))

    @cached_property
    def insert(self) -> Prepared:
        """Returns nothing when the id or the endpoint is taken."""
        r = self.tables.rollouts
        return self.compiler(self.compiler.insert_once(r).returning(r.c.key))

    @cached_property
    def put(self) -> Prepared:
        """What may change of ``rollout``, when it has the revision ``seen``."""
        r = self.tables.rollouts
        values: dict[str, Any] = {name: bindparam(f"new_{name}", type_=r.c[name].type) for name in _MOVED}
        values["revision"] = bindparam("seen") + 1
        same = r.c.uid == bindparam("rollout"), r.c.revision == bindparam("seen")
        return self.compiler(update(r).where(*same).values(**values))

    def list(self, *, in_project: bool, named: bool, is_open: bool, is_further: bool, places: int) -> Prepared:
        """Newest first."""
        shape = ("rollouts", in_project, named, is_open, is_further, places)
        return self.compiler.shaped(shape, lambda: self._page(*shape[1:]))

    @cached_property
    def last_event(self) -> Prepared:
        """The last place of ``rollout``."""
        r, e = self.tables.rollouts, self.tables.rollout_events
        found = select(func.max(e.c.seq)).join_from(r, e, e.c.rollout_key == r.c.key)
        return self.compiler(found.where(r.c.uid == bindparam("rollout")))

    @cached_property
    def append(self) -> Prepared:
        """To ``rollout``."""
        r, e = self.tables.rollouts, self.tables.rollout_events
        return self.compiler(self.compiler.insert_for(e, r.c.uid == bindparam("rollout"), rollout_key=r.c.key))

    @cached_property
    def events(self) -> Prepared:
        """Of ``rollout``, after ``after``."""
        r, e = self.tables.rollouts, self.tables.rollout_events
        found = select(e.c.seq, e.c.body).join_from(r, e, e.c.rollout_key == r.c.key)
        found = found.where(r.c.uid == bindparam("rollout"), e.c.seq > bindparam("after")).order_by(e.c.seq)
        return self.compiler(found.limit(bindparam("limit")))

    def _rollouts(self) -> Select[Any]:
        c = self.tables.rollouts.c
        return select(c.revision, c.body)

    def _page(self, in_project: bool, named: bool, is_open: bool, is_further: bool, places: int) -> Select[Any]:
        c = self.tables.rollouts.c
        page = self._rollouts()
        if in_project:
            page = page.where(c.project == bindparam("project"))
        if named:
            page = page.where(c.name == bindparam("name"))
        if is_open:
            page = page.where(c.is_open == 1)
        if places:
            page = page.where(in_sight(c.project, places))
        if is_further:
            at, uid = bindparam("before_us", type_=c.created_us.type), bindparam("before_uid", type_=c.uid.type)
            page = page.where(or_(c.created_us < at, and_(c.created_us == at, c.uid < uid)))
        return page.order_by(c.created_us.desc(), c.uid.desc()).limit(bindparam("limit"))


class SqlRollouts:
    """`chopmark.abc.rollouts.Rollouts`."""

    __slots__ = ("_run", "_sql")

    def __init__(self, run: Executor, statements: RolloutStatements) -> None:
        self._run = run
        self._sql = statements

    def insert(self, rollout: Rollout) -> None:
        """See the interface."""
        ref = parse_model(rollout.endpoint_ref)
        values = {
            "uid": rollout.id.bytes,
            "endpoint_uid": rollout.endpoint.bytes,
            "project": ref.project,
            "name": ref.name,
            "revision": rollout.revision,
            "created_us": to_us(rollout.created_at),
            **_moved(rollout),
        }
        if self._run.add(self._sql.insert, values) is None:
            raise _taken(rollout)

    def get(self, rollout_id: UUID) -> Rollout | None:
        """See the interface."""
        return self._one(self._sql.get, {"uid": rollout_id.bytes})

    def lock(self, rollout_id: UUID) -> Rollout | None:
        """See the interface."""
        self._run.check_writing()
        return self._one(self._sql.lock, {"uid": rollout_id.bytes})

    def put(self, rollout: Rollout) -> Rollout | None:
        """See the interface."""
        if rollout.state in ACTIVE:
            other = self.active_of(rollout.endpoint)
            if other is not None and other.id != rollout.id:
                raise _taken(rollout)
        values = {f"new_{name}": value for name, value in _moved(rollout).items()}
        seen = {"rollout": rollout.id.bytes, "seen": rollout.revision}
        if not self._run.change(self._sql.put, {**values, **seen}):
            return None
        return structs.replace(rollout, revision=rollout.revision + 1)

    def active_of(self, endpoint_id: UUID) -> Rollout | None:
        """See the interface."""
        return self._one(self._sql.holding, {"endpoint": endpoint_id.bytes})

    def list(
        self,
        *,
        project: str | None = None,
        name: str | None = None,
        among: Collection[str] | None = None,
        is_open: bool = False,
        before: RolloutPlace | None = None,
        limit: int,
    ) -> RolloutList:
        """See the interface."""
        values: dict[str, Any] = {"limit": limit, **seen_values(among)}
        if project is not None:
            values["project"] = project
        if name is not None:
            values["name"] = name
        if before is not None:
            values |= {"before_us": to_us(before.created_at), "before_uid": before.id.bytes}
        prepared = self._sql.list(
            in_project=project is not None,
            named=name is not None,
            is_open=is_open,
            is_further=before is not None,
            places=places_of(among),
        )
        return [_rollout(row) for row in self._run.all(prepared, values)]

    def append(self, events: Iterable[RolloutEvent]) -> None:
        """See the interface."""
        by_rollout: defaultdict[UUID, list[RolloutEvent]] = defaultdict(list)
        for event in events:
            by_rollout[event.rollout].append(event)
        for rollout, those in by_rollout.items():
            last = self._run.one(self._sql.last_event, {"rollout": rollout.bytes})
            first = 1 + (last[0] if last is not None and last[0] is not None else 0)
            rows = (
                {"rollout": rollout.bytes, "seq": seq, "body": json_text(structs.replace(event, seq=seq))}
                for seq, event in enumerate(those, first)
            )
            self._run.change_each(self._sql.append, rows)

    def events(self, rollout_id: UUID, *, after: int = 0, limit: int) -> EventList:
        """See the interface."""
        values = {"rollout": rollout_id.bytes, "after": after, "limit": limit}
        return [_event(row) for row in self._run.all(self._sql.events, values)]

    def _one(self, prepared: Prepared, values: dict[str, Any]) -> Rollout | None:
        row = self._run.one(prepared, values)
        return None if row is None else _rollout(row)


def _taken(rollout: Rollout) -> Taken:
    return Taken(f"Another rollout has the endpoint {rollout.endpoint_ref}.")


def _moved(rollout: Rollout) -> dict[str, Any]:
    holds = rollout.endpoint.bytes if rollout.state in ACTIVE else None
    return {"body": json_text(rollout), "is_open": int(is_open(rollout)), "holds_uid": holds}


@row_of("a rollout", "is")
def _rollout(row: tuple[Any, ...]) -> Rollout:
    revision, body = row
    return structs.replace(_read_rollout(body), revision=revision)


@row_of("what happened to a rollout", "is")
def _event(row: tuple[Any, ...]) -> RolloutEvent:
    seq, body = row
    return structs.replace(_read_event(body), seq=seq)
