"""Searches in SQL: one statement for a page, made once for its shape.

Which index serves which search (`plans` says when):

- a range of a metric or a value of a parameter that few versions have: ``version_metrics`` (key,
  value), ``version_params`` (key, kind, number, head); their rows are sorted;
- a word, or the beginning of one: ``version_words`` (word, time); few rows are sorted, and many of
  one word are read backwards;
- one value of a tag, with or without a stage: ``version_tags`` (key, head, time), which has the
  stage beside it, read backwards;
- ``order by metrics.x``: the versions that have the metric in the order of ``version_metrics``, from
  the bound on that a filter sets, and when they are used up, those without it; but few versions of a
  model, project, name, stage, owner, team or format are sorted, and so are few of a tag in a stage;
- full text walks past so many rows a page (`plans.LOOKED_AT_MAX`): where that walk ends is found first, by reading the index
  that leads, and the page may hold few versions or none, with the position to go on from. Nothing is left out by that;
- a stage, owner, team or format: ``versions_by_stage`` and so on; within a model or project: ``versions_by_model``,
  ``versions_by_project``; a model's name: ``models_by_name``; anything else: ``versions_by_time``,
  read backwards until the page is full.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, Select, and_, bindparam, func, literal_column, null, or_, select
from sqlalchemy.sql.expression import FromClause
from sqlalchemy.sql.schema import Table

from chopmark.abc.catalog import Found, Texts
from chopmark.catalog import plans
from chopmark.catalog.columns import HEAD_LENGTH, WORD
from chopmark.catalog.execution import Compiler, Executor, Prepared, Row
from chopmark.catalog.filters import Slots, Test, clause, compared, field_here, param_here, word_here
from chopmark.catalog.orders import ZERO_DOUBLE, Sorted, SortKey, Term, after, joined, order_by, sort_keys, timed
from chopmark.catalog.plans import (
    Plan,
    bounded,
    fields_of,
    is_leading_field,
    is_long,
    is_prefix,
    is_stage,
    leaders_of,
    led_by,
    parts_of,
    plan_of,
    required,
    sorts_newest_first,
    unled,
)
from chopmark.catalog.records import NUMBER, TEXT, version_from_row
from chopmark.catalog.schema import Tables
from chopmark.catalog.sight import keys_in_sight, places_of, seen_values
from chopmark.domain.positions import position_of
from chopmark.domain.query import Query

__all__ = ["Search"]

FIRST_UID = bytes(16)
"""Before every id: a place with it is after all rows of its moment."""


class Search:
    """Runs searches.

    Parameters
    ----------
    compiler
        Of the catalog's statements.
    columns
        Select of versions as they are read.
    """

    def __init__(self, compiler: Compiler, columns: Select[Any]) -> None:
        self.compiler = compiler
        self.tables = compiler.tables
        self.columns = columns

    def page(
        self,
        run: Executor,
        query: Query,
        *,
        project: str | None,
        model_id: UUID | None,
        after: Sequence[Any] | None,
        among: Texts | None = None,
        limit: int,
        deleted: bool,
    ) -> Found:
        """One page; see `chopmark.abc.catalog.Versions.search`."""
        slots = Slots()
        if project is None and among is not None and len(among) == 1:
            (project,), among = among, None  # which an index serves
        plan = plan_of(
            query,
            slots,
            after=after,
            in_project=project is not None,
            in_model=model_id is not None,
            deleted=deleted,
            limit=limit,
            places=places_of(among),
        )
        slots.values.update(seen_values(among))
        if project is not None:
            slots.values["project"] = project
        if model_id is not None:
            slots.values["model"] = model_id.bytes
        rows: list[Any] = []
        end = None
        plan = self._led(run, plan, slots)
        for part in parts_of(plan):
            end = self._end(run, part, slots)
            values = {**slots.values, "limit": limit + 1 - len(rows)}
            if end is None:
                rows += self._newest(run, part, values) or run.all(self._prepared(part), values)
            else:
                rows += run.all(self._prepared(bounded(part)), {**values, "end": end.value, "end_us": end.made_us})
            if len(rows) > limit or end is not None:
                break
        versions = [version_from_row(row) for row in rows[:limit]]
        if len(rows) > limit:
            return Found(versions, position_of(query.order, versions[-1]))
        return Found(versions, None if end is None else end.position(plan.terms))

    def _newest(self, run: Executor, plan: Plan, values: dict[str, Any]) -> list[Row]:
        """A full page of the newest of few rows, without looking up the versions of the others; none if that is no page.

        Some more than a page are taken, as one or another may be deleted or not meet the rest.
        """
        if not sorts_newest_first(plan):
            return []
        count = 2 * plan.rows_most
        last = run.one(self.compiler.shaped(("end", plan, count), partial(self._end_of, plan, count)), values)
        if last is None:
            return []
        rows = run.all(self._prepared(bounded(plan)), {**values, "end": None, "end_us": last[1]})
        return rows if len(rows) >= values["limit"] else []

    def _end(self, run: Executor, plan: Plan, slots: Slots) -> End | None:
        """Where a long walk ends before it is through; None when it is not long, or has fewer rows to go."""
        if not is_long(plan):
            return None
        count = plans.LOOKED_AT_MAX
        row = run.one(self.compiler.shaped(("end", plan, count), partial(self._end_of, plan, count)), slots.values)
        if row is None:
            return None
        value, made_us = row
        begins_there = slots.values.get("after_uid") == FIRST_UID and slots.values["after_us"] == made_us
        if begins_there and (plan.part != "present" or slots.values["a0"] == value):
            return None  # more rows of one moment than a page walks past
        return End(value, made_us)

    def _end_of(self, plan: Plan, count: int) -> Select[Any]:
        """The last of so many rows of the walk: its value, if that is the order, and its time of making."""
        v = self.tables.versions
        if plan.part == "present":
            key = sort_keys(plan.terms, self.tables)[0]
            c = key.source.c
            order = c.value.desc() if plan.terms[0].descending else c.value.asc()
            where = [c.key == bindparam("k0", type_=WORD), *(compared(t, c.value, NUMBER) for t in plan.bounds)]
            if plan.place is not None:
                where.append(_from(c.value, c.created_us, plan.terms[0].descending))
            rows = select(c.value, c.created_us).where(*where).order_by(order, c.created_us.desc())
        else:
            c = _table_of(plan.leader, self.tables).c if plan.leader else v.c
            where = [self._here(plan.leader)] if plan.leader else self._walked(plan)
            if plan.place is not None:
                where.append(c.created_us <= bindparam("after_us", type_=c.created_us.type))
            rows = select(null(), c.created_us).where(*where).order_by(c.created_us.desc())
        return rows.limit(literal_column("1")).offset(literal_column(str(count - 1)))

    def _walked(self, plan: Plan) -> list[ColumnElement[bool]]:
        """Conditions by which an index of the versions in the order of time is chosen."""
        v = self.tables.versions.c
        where = [v.project_key == self._project_key()] if plan.in_project else []
        fields = (test for test in required(plan.where) if is_leading_field(test) and test.field != "name")
        return [*where, *(field_here(test, v[test.field]) for test in fields)]

    def _prepared(self, plan: Plan) -> Prepared:
        return self.compiler.shaped(plan, lambda: self.statement(plan))

    def statement(self, plan: Plan) -> Select[Any]:
        """The statement of a plan: the keys of the page first, then the rows of those keys."""
        order, chosen = self._chosen(plan)
        labelled = [e.label(f"s{i}") for i, (e, _) in enumerate(order)]
        page = self._limited(chosen.add_columns(*labelled), plan)
        again = [
            page.c[f"s{i}"].desc() if descending else page.c[f"s{i}"].asc() for i, (_, descending) in enumerate(order)
        ]
        of_page = page.c.key == self.tables.versions.c.key
        source = self.columns.get_final_froms()[0].join(page, of_page)
        return self.columns.select_from(source).order_by(*again)

    def _limited(self, chosen: Select[Any], plan: Plan) -> FromClause:
        if not self.compiler.is_postgres:
            return chosen.limit(bindparam("limit")).subquery("page")
        # A plan that PostgreSQL keeps for every value must know that few rows are wanted.
        most = chosen.limit(literal_column(str(plan.rows_most))).subquery("most")
        return select(most).limit(bindparam("limit")).subquery("page")

    def _chosen(self, plan: Plan) -> tuple[list[Sorted], Select[Any]]:
        t, v = self.tables, self.tables.versions
        keys = sort_keys(plan.terms, t)
        source, made, key = self._source(plan, keys)
        source = joined(self._named(source, plan), keys, inner=plan.part == "present")
        where = self._conditions(plan, key)
        if plan.part == "present":
            where += [compared(test, keys[0].values[0], NUMBER) for test in plan.bounds]
            keys = [msgspec.structs.replace(keys[0], is_missing=None), *keys[1:]]
        elif plan.part == "missing":
            where.append(keys.pop(0).is_missing)
        if plan.is_bounded and plan.part == "present":
            value = keys[0].values[0]
            where.append(_up_to(value, made, plan.terms[0].descending))
        elif plan.is_bounded:
            where.append(made >= bindparam("end_us", type_=made.type))
        keys = [timed(key, made) for key in keys]
        if plan.place is not None:
            skipped = len(plan.terms) - len(keys)
            where.append(after(keys, plan.place[skipped:], made, v.c.uid, skipped))
        order = order_by(keys, made, v.c.uid)
        by = [e.desc() if descending else e.asc() for e, descending in order]
        chosen = select(v.c.key).select_from(source).where(*where).order_by(*by)
        return order, chosen

    def _led(self, run: Executor, plan: Plan, slots: Slots) -> Plan:
        """The plan, led by those tests that turn out to be met by the fewest rows, if they are few."""
        fewest, best, leaders = plans.FEW + 1, None, leaders_of(plan, slots)
        if leaders == [plan.leader] and not plan.in_project:
            return plan  # its index is in the order of time: few or many, it is walked
        for leader in leaders:
            probe = self.compiler.shaped(("probe", leader), partial(self._probe, leader))
            count = _count(run.one(probe, {**slots.values, "most": fewest}))
            if count < fewest:
                fewest, best = count, leader
        if best is not None:
            return led_by(plan, best)
        if plan.leader and plan.in_project:
            in_project = (Test("in_project", "", "scope"),)
            probe = self.compiler.shaped(("probe", in_project), partial(self._probe, in_project))
            if _count(run.one(probe, {**slots.values, "most": plans.FEW + 1})) <= plans.FEW:
                return unled(plan)
        return plan

    def _probe(self, leader: tuple[Test, ...]) -> Select[Any]:
        """How many rows meet the tests; none above ``most`` is counted."""
        return _counted(_table_of(leader, self.tables), self._here(leader))

    def _project_key(self) -> Any:
        p = self.tables.projects.alias("in_project")
        return select(p.c.key).where(p.c.name == bindparam("project", type_=WORD)).scalar_subquery()

    def _source(self, plan: Plan, keys: list[SortKey]) -> tuple[FromClause, ColumnElement[Any], ColumnElement[Any]]:
        """The table that leads, with the versions, and its columns of the time of making and the version's key."""
        v = self.tables.versions
        if plan.leader:
            table = self._leading(plan.leader)
            return table.join(v, table.c.version_key == v.c.key), table.c.created_us, table.c.version_key
        if plan.part == "present":
            c = keys[0].source.c
            return v, c.created_us, c.version_key
        return v, v.c.created_us, v.c.key

    def _leading(self, leader: tuple[Test, ...]) -> Any:
        """Rows with ``version_key`` and ``created_us``: of a table, or where one version can have several, distinct.

        A database takes no distinct rows apart again, so that those of versions lead too.
        """
        table = _table_of(leader, self.tables)
        if not self._is_apart(leader):
            return table
        key = table.c.key if table is self.tables.versions else table.c.version_key
        rows = select(key.label("version_key"), table.c.created_us).where(self._here(leader))
        return rows.distinct().subquery("led")

    def _is_apart(self, leader: tuple[Test, ...]) -> bool:
        return is_prefix(leader[0]) or _table_of(leader, self.tables) is self.tables.versions

    def _here(self, leader: tuple[Test, ...]) -> ColumnElement[bool]:
        """That a row of the leading table meets the tests."""
        t, (first, *_) = self.tables, leader
        if first.op == "scope":
            return self._in_scope(first.field)
        if first.field == "name":
            m = t.models.alias("named")
            return t.versions.c.model_key.in_(select(m.c.key).where(compared(first, m.c.name, TEXT)))
        if is_leading_field(first):
            return field_here(first, t.versions.c[first.field])
        return _of_key(leader, t)

    def _in_scope(self, limit: str) -> ColumnElement[bool]:
        c = self.tables.versions.c
        if limit == "deleted":
            return c.deleted_us.is_not(None)
        of_model: ColumnElement[bool] = c.model_key == self._model_key()
        return of_model if limit == "in_model" else c.project_key == self._project_key()

    def _model_key(self) -> Any:
        m = self.tables.models.alias("in_model")
        return select(m.c.key).where(m.c.uid == bindparam("model", type_=m.c.uid.type)).scalar_subquery()

    def _named(self, source: FromClause, plan: Plan) -> FromClause:
        t = self.tables
        fields = {*fields_of(plan.where), *(term.field for term in plan.terms)}
        if fields & {"name", "project"}:
            source = source.join(t.models, t.models.c.key == t.versions.c.model_key)
        if "project" in fields:
            source = source.join(t.projects, t.projects.c.key == t.versions.c.project_key)
        return source

    def _conditions(self, plan: Plan, key: ColumnElement[Any]) -> list[ColumnElement[bool]]:
        t, v = self.tables, self.tables.versions.c
        gone = v.deleted_us.is_not(None)
        where: list[ColumnElement[bool]] = [gone if plan.deleted else ~gone]
        if plan.in_project:
            where.append(v.project_key == self._project_key())
        if plan.in_model:
            where.append(v.model_key == self._model_key())
        if plan.places:
            where.append(v.project_key.in_(keys_in_sight(t, plan.places)))
        if plan.leader and not self._is_apart(plan.leader):
            where.append(self._here(plan.leader))
        has_stage = bool(plan.leader) and plan.leader[0].field == "tags"
        for term in required(plan.where):
            if has_stage and isinstance(term, Test) and is_stage(term):
                where.append(compared(term, t.tags.c.stage, TEXT))
            elif term not in plan.leader and not (plan.part == "present" and term in plan.bounds):
                where.append(clause(term, t, key))
        return where


class End(msgspec.Struct, frozen=True):
    """The row at which a walk ends: its value, if that is the order, and its time of making."""

    value: float | None
    made_us: int

    def position(self, terms: Sequence[Term]) -> list[Any]:
        """The place after every row of this value and time."""
        values = [self.made_us if term.field == "created_at" else self.value for term in terms]
        return [*values, self.made_us, FIRST_UID.hex()]


def _from(value: Any, made: Any, descending: bool) -> ColumnElement[bool]:
    """That a row in the order of a value, then newest first, is at the place to go on after, or beyond it."""
    want, want_us = bindparam("a0", type_=value.type), bindparam("after_us", type_=made.type)
    within, beyond = (value <= want, value < want) if descending else (value >= want, value > want)
    return and_(within, or_(beyond, made <= want_us))


def _up_to(value: Any, made: Any, descending: bool) -> ColumnElement[bool]:
    """That a row in that order is at the end of the walk, or before it."""
    end, end_us = bindparam("end", type_=value.type), bindparam("end_us", type_=made.type)
    within, before = (value >= end, value > end) if descending else (value <= end, value < end)
    return and_(within, or_(before, made >= end_us))


def _table_of(leader: Sequence[Test], tables: Tables) -> Table:
    by_field = {"metrics": tables.metrics, "params": tables.params, "tags": tables.tags, "text": tables.words}
    return by_field.get(leader[0].field, tables.versions)


def _of_key(leader: Sequence[Test], tables: Tables) -> ColumnElement[bool]:
    """That a row of a table by key or word meets the tests."""
    c, first = _table_of(leader, tables).c, leader[0]
    if first.field == "text":
        return word_here(first, c)
    of_key = c.key == bindparam(first.key, type_=WORD)
    if first.field == "metrics":
        return and_(of_key, *(compared(test, c.value, NUMBER) for test in leader))
    if first.field == "tags" and len(leader) > 1:
        return and_(_of_key(leader[:1], tables), *(compared(test, c.stage, TEXT) for test in leader[1:]))
    (slot,) = first.values
    whole = param_here(first, c) if first.field == "params" else compared(first, c.value, TEXT)
    if slot.kind != TEXT:
        return and_(of_key, whole)
    value = bindparam(slot.name, type_=WORD)
    if first.field == "params":
        of_key = and_(of_key, c.kind == literal_column(str(TEXT)), c.number == ZERO_DOUBLE)
    if slot.is_short:
        return and_(of_key, c.head == value)
    head = func.substr(value, 1, literal_column(str(HEAD_LENGTH)), type_=WORD)
    return and_(of_key, c.head == head, whole)


def _counted(table: Table, where: ColumnElement[bool]) -> Select[Any]:
    rows = select(literal_column("1")).select_from(table).where(where).limit(bindparam("most")).subquery("rows")
    return select(func.count()).select_from(rows)


def _count(row: Row | None) -> int:
    return 0 if row is None else int(row[0])
