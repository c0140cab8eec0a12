"""Searches: from a query to one statement of its shape, page by page.

Which index serves which search (the last two are read backwards, newest first):

- ``order by metrics.x``: the versions that have the metric in the order of ``version_metrics``
  (key, value); when they are used up, those without it.
- ``tags.x = "…"``, with or without a stage: ``version_tags`` (key, head, time), which has the stage
  beside it.
- a stage: ``versions_by_stage``; within a model or a project: ``versions_by_model``,
  ``versions_by_project``; anything else: ``versions_by_time``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, Select, and_, bindparam, func, literal_column, select
from sqlalchemy.sql.expression import FromClause

from chopmark.abc.catalog import Found
from chopmark.catalog.execution import Compiler, Executor, Prepared
from chopmark.catalog.filters import (
    Either,
    Every,
    Negation,
    Shape,
    Slots,
    Test,
    clause,
    compared,
    shape_of,
)
from chopmark.catalog.orders import (
    Kinds,
    Sorted,
    SortKey,
    Term,
    after,
    joined,
    order_by,
    place_of,
    sort_keys,
    terms_of,
    timed,
)
from chopmark.catalog.records import TEXT, version_from_row
from chopmark.catalog.schema import HEAD_LENGTH, WORD, Tables
from chopmark.domain.positions import position_of
from chopmark.domain.query import Query

__all__ = ["Plan", "Search", "plan_of"]

Part = Literal["all", "present", "missing"]


class Plan(msgspec.Struct, frozen=True):
    """Shape of a search: plans that are equal share a statement.

    Attributes
    ----------
    where, terms, place
        Shapes of the condition, the order and the position to go on after.
    part
        Of a search ordered by a value under a key: the versions that have it come in the order
        of its index, then the others. ``all`` for every other search.
    tag
        A test for one value of a tag that every answer must pass, whose index gives the order.
    in_project, in_model, deleted
        Limits of the search.
    """

    where: Shape | None
    terms: tuple[Term, ...]
    place: Kinds | None
    part: Part
    tag: Test | None
    in_project: bool
    in_model: bool
    deleted: bool


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
        limit: int,
        deleted: bool,
    ) -> Found:
        """One page; see `chopmark.abc.catalog.Versions.search`."""
        slots = Slots()
        plan = plan_of(
            query,
            slots,
            after=after,
            in_project=project is not None,
            in_model=model_id is not None,
            deleted=deleted,
        )
        if project is not None:
            slots.values["project"] = project
        if model_id is not None:
            slots.values["model"] = model_id.bytes
        rows: list[Any] = []
        for part in _parts(plan):
            wanted = limit + 1 - len(rows)
            rows += run.all(self._prepared(part), {**slots.values, "limit": wanted})
            if len(rows) > limit:
                break
        versions = [version_from_row(row) for row in rows[:limit]]
        if len(rows) <= limit:
            return Found(versions, None)
        return Found(versions, position_of(query.order, versions[-1]))

    def _prepared(self, plan: Plan) -> Prepared:
        return self.compiler.shaped(plan, lambda: self.statement(plan))

    def statement(self, plan: Plan) -> Select[Any]:
        """The statement of a plan: the keys of the page first, then the rows of those keys."""
        order, chosen = self._chosen(plan)
        labelled = [e.label(f"s{i}") for i, (e, _) in enumerate(order)]
        page = chosen.add_columns(*labelled).subquery("page")
        again = [
            page.c[f"s{i}"].desc() if descending else page.c[f"s{i}"].asc() for i, (_, descending) in enumerate(order)
        ]
        of_page = page.c.key == self.tables.versions.c.key
        source = self.columns.get_final_froms()[0].join(page, of_page)
        return self.columns.select_from(source).order_by(*again)

    def _chosen(self, plan: Plan) -> tuple[list[Sorted], Select[Any]]:
        t, v = self.tables, self.tables.versions
        keys = sort_keys(plan.terms, t)
        source, made = self._driver(plan, keys)
        source = joined(self._named(source, plan), keys, inner=plan.part == "present")
        where = self._conditions(plan)
        if plan.part == "present":
            keys = [msgspec.structs.replace(keys[0], is_missing=None), *keys[1:]]
        elif plan.part == "missing":
            where.append(keys.pop(0).is_missing)
        keys = [timed(key, made) for key in keys]
        if plan.place is not None:
            skipped = len(plan.terms) - len(keys)
            where.append(after(keys, plan.place[skipped:], made, v.c.uid, skipped))
        order = order_by(keys, made, v.c.uid)
        by = [e.desc() if descending else e.asc() for e, descending in order]
        chosen = select(v.c.key).select_from(source).where(*where).order_by(*by)
        return order, chosen.limit(bindparam("limit"))

    def _driver(self, plan: Plan, keys: list[SortKey]) -> tuple[FromClause, ColumnElement[Any]]:
        """The table whose index gives the order, and its column of the time of making."""
        t, v = self.tables, self.tables.versions
        if plan.tag is not None:
            return t.tags.join(v, t.tags.c.version_key == v.c.key), t.tags.c.created_us
        if plan.part == "present":
            return v, keys[0].source.c.created_us
        return v, v.c.created_us

    def _named(self, source: FromClause, plan: Plan) -> FromClause:
        t = self.tables
        fields = {*_fields(plan.where), *(term.field for term in plan.terms)}
        if fields & {"name", "project"}:
            source = source.join(t.models, t.models.c.key == t.versions.c.model_key)
        if "project" in fields:
            source = source.join(t.projects, t.projects.c.key == t.versions.c.project_key)
        return source

    def _conditions(self, plan: Plan) -> list[ColumnElement[bool]]:
        t, v = self.tables, self.tables.versions.c
        gone = v.deleted_us.is_not(None)
        where: list[ColumnElement[bool]] = [gone if plan.deleted else ~gone]
        if plan.in_project:
            p = t.projects.alias("in_project")
            of_project = p.c.name == bindparam("project", type_=WORD)
            where.append(v.project_key == select(p.c.key).where(of_project).scalar_subquery())
        if plan.in_model:
            m = t.models.alias("in_model")
            of_model = m.c.uid == bindparam("model", type_=m.c.uid.type)
            where.append(v.model_key == select(m.c.key).where(of_model).scalar_subquery())
        for term in _required(plan.where):
            if plan.tag is not None and term == plan.tag:
                where.append(_tag_here(plan.tag, t))
            elif plan.tag is not None and _is_stage(term):
                where.append(compared(term, t.tags.c.stage, TEXT))
            else:
                where.append(clause(term, t))
        return where


def plan_of(
    query: Query,
    slots: Slots,
    *,
    after: Sequence[Any] | None,
    in_project: bool,
    in_model: bool,
    deleted: bool,
) -> Plan:
    """The plan of a search; its values go into ``slots``.

    Raises
    ------
    InvalidRequest
        When ``after`` is no position of this order.
    """
    where = None if query.where is None else shape_of(query.where, slots)
    terms = terms_of(query.order, slots)
    place = None if after is None else place_of(query.order, after, slots)
    by_time = all(t.field == "created_at" and t.descending for t in terms)
    tag = None
    if by_time and not in_model and not deleted:
        tag = next(filter(_is_tag, _required(where)), None)
    part: Part = "present" if terms and terms[0].is_keyed else "all"
    return Plan(where, terms, place, part, tag, in_project, in_model, deleted)


def _parts(plan: Plan) -> Iterator[Plan]:
    if plan.part == "all":
        yield plan
        return
    missing = msgspec.structs.replace(plan, part="missing")
    if plan.place is not None and plan.place[0] is None:
        yield missing
        return
    yield plan
    yield msgspec.structs.replace(missing, place=None)


def _required(where: Shape | None) -> list[Any]:
    if where is None:
        return []
    return list(where.terms) if isinstance(where, Every) else [where]


def _is_tag(shape: Shape) -> bool:
    if not isinstance(shape, Test) or shape.field != "tags" or shape.op != "=":
        return False
    return shape.values[0].kind == TEXT


def _is_stage(shape: Shape) -> bool:
    return isinstance(shape, Test) and shape.field == "stage" and shape.op == "="


def _tag_here(tag: Test, tables: Tables) -> ColumnElement[bool]:
    """The tag's row itself, found by its key and the beginning of its value."""
    c = tables.tags.c
    value = bindparam(tag.values[0].name, type_=WORD)
    head = func.substr(value, 1, literal_column(str(HEAD_LENGTH)), type_=WORD)
    of_key = c.key == bindparam(tag.key, type_=WORD)
    return and_(of_key, c.head == head, c.value == value)


def _fields(shape: Shape | None) -> Iterator[str]:
    match shape:
        case Test(field):
            yield field
        case Every(terms) | Either(terms):
            for term in terms:
                yield from _fields(term)
        case Negation(term):
            yield from _fields(term)
        case None:
            return
