"""Lineage and data sets in SQL: edges, and all that can be reached over them in one query."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import islice
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CTE,
    ColumnElement,
    FromClause,
    Select,
    Text,
    and_,
    bindparam,
    case,
    cast,
    collate,
    delete,
    false,
    func,
    literal_column,
    or_,
    select,
    true,
)
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from chopmark.abc.catalog import Records, Texts
from chopmark.base.clock import from_us, to_us
from chopmark.base.jsons import decoder
from chopmark.catalog.columns import UID, WORD
from chopmark.catalog.damage import row_of
from chopmark.catalog.execution import Compiler, Executor, Prepared
from chopmark.catalog.filters import ZERO, place
from chopmark.catalog.records import json_text, version_from_row
from chopmark.catalog.sight import dataset_in_sight, node_in_sight, places_of, seen_values
from chopmark.catalog.version_statements import version_columns
from chopmark.domain.datasets import DatasetRecord, DatasetRef
from chopmark.domain.lineage import (
    SHOWN,
    SOURCE_COMES_FROM_TARGET,
    TARGET_COMES_FROM_SOURCE,
    Edge,
    version_id_of,
    version_node,
)
from chopmark.domain.query import fold
from chopmark.domain.versions import Version

__all__ = ["LineageStatements", "SqlDatasets", "SqlLineage"]

ASKED_AT_ONCE = 256

_decode_dataset = decoder(DatasetRef)


class LineageStatements:
    """Statements on edges and data sets, compiled when first used."""

    def __init__(self, compiler: Compiler) -> None:
        self.compiler = compiler
        self.tables = compiler.tables

    @cached_property
    def insert(self) -> Prepared:
        """Adds nothing when the edge is there."""
        return self.compiler(self.compiler.insert_once(self.tables.edges))

    @cached_property
    def outgoing(self) -> Prepared:
        """From ``node``."""
        return self.compiler(self._edges().where(self.tables.edges.c.source == bindparam("node")))

    def incoming(self, count: int) -> Prepared:
        """To ``node``, of ``count`` relations ``r0`` … (0: of all)."""
        return self.compiler.shaped(("edges in", count), lambda: self._incoming(count))

    @cached_property
    def remove(self) -> Prepared:
        """With ``from_node``, ``relation`` and ``to_node``."""
        c = self.tables.edges.c
        ends = (c.source == bindparam("from_node"), c.target == bindparam("to_node"))
        return self.compiler(delete(self.tables.edges).where(*ends, c.relation == bindparam("of_relation")))

    @cached_property
    def remove_node(self) -> Prepared:
        """Those that begin or end at ``node``."""
        e = self.tables.edges
        node = bindparam("node", type_=e.c.source.type)
        return self.compiler(delete(e).where(or_(e.c.source == node, e.c.target == node)))

    def reach(self, *, upstream: bool, deep: bool, places: int = 0) -> Prepared:
        """Edges from ``node`` on, ``limit`` at most; ``deep``: of nodes less than ``depth`` steps away.

        With ``places`` only over versions of projects that are seen.
        """
        return self.compiler.shaped(("reach", upstream, deep, places), lambda: self._reach(upstream, deep, places))

    @cached_property
    def reaches(self) -> Prepared:
        """A row when ``goal`` is among what ``node`` comes from."""
        reached = self._reached(upstream=True, deep=False)
        return self.compiler(select(literal_column("1")).where(reached.c.node == bindparam("goal")).limit(1))

    def versions(self, count: int) -> Prepared:
        """With ``count`` ids ``id0`` and so on."""
        uid = self.tables.versions.c.uid
        return self.compiler.shaped(
            ("versions", count), lambda: version_columns(self.compiler).where(_among(uid, count, UID))
        )

    @cached_property
    def lock(self) -> Prepared | None:
        """Excludes whoever asks for the same; readers and those who only add go on.

        None where there is one writer anyway.
        """
        if not self.compiler.is_postgres:
            return None
        return Prepared(f"LOCK TABLE {self.tables.edges.fullname} IN SHARE UPDATE EXCLUSIVE MODE", {})

    @cached_property
    def dataset_put(self) -> Prepared:
        """Adds nothing when the node is there."""
        return self.compiler(self.compiler.insert_once(self.tables.datasets))

    def datasets(self, count: int, places: int) -> Prepared:
        """With ``count`` nodes ``id0`` and so on; here and below with ``places`` only what is seen."""
        c = self.tables.datasets.c
        shape = ("datasets", count, places)
        return self.compiler.shaped(shape, lambda: self._datasets(places).where(_among(c.node, count, WORD)))

    def datasets_named(self, places: int) -> Prepared:
        """Of ``name``, newest first."""
        return self.compiler.shaped(("datasets named", places), lambda: self._datasets_named(places))

    def datasets_from(self, places: int) -> Prepared:
        """From the node ``low`` to before ``high``."""
        return self.compiler.shaped(("datasets from", places), lambda: self._datasets_from(places))

    def dataset_list(self, *, contains: bool, places: int) -> Prepared:
        """By name and node from ``after_name``, ``after_node``."""
        return self.compiler.shaped(("dataset list", contains, places), lambda: self._dataset_page(contains, places))

    def _edges(self) -> Select[Any]:
        c = self.tables.edges.c
        return select(c.source, c.relation, c.target, c.at_us).order_by(c.at_us, c.key)

    def _incoming(self, count: int) -> Select[Any]:
        c = self.tables.edges.c
        found = self._edges().where(c.target == bindparam("node"))
        if count:
            wanted = [bindparam(f"r{i}", type_=c.relation.type) for i in range(count)]
            found = found.where(c.relation.in_(wanted))
        return found

    def _reach(self, upstream: bool, deep: bool, places: int) -> Select[Any]:
        reached = self._reached(upstream=upstream, deep=deep, places=places)
        # A recursive query gives its rows step by step, and is left when there are enough of them.
        if deep:
            depth = func.min(reached.c.depth)
            nodes = select(reached.c.node, depth.label("place")).group_by(reached.c.node)
            near = nodes.having(depth < bindparam("depth")).order_by(depth).limit(bindparam("nodes")).subquery("near")
        else:
            first = select(reached.c.node).limit(bindparam("nodes")).subquery("first")
            near = select(first.c.node, func.row_number().over().label("place")).subquery("near")
        source, met = self._edges_at(near, upstream, SHOWN)
        found = select(met.source, met.relation, met.target, met.at_us).select_from(source)
        if places:
            found = found.where(*(node_in_sight(end, self.tables, places) for end in (met.source, met.target)))
        return found.order_by(near.c.place, met.at_us, met.key).limit(bindparam("limit"))

    def _reached(self, *, upstream: bool, deep: bool, places: int = 0) -> CTE:
        """Nodes reached from ``node``, itself first; ``deep``: each with every depth below ``depth``."""
        start: ColumnElement[Any] = cast(bindparam("node"), Text())
        if self.compiler.is_postgres:
            start = collate(start, "C")  # as in the column that is united with it
        first = select(start.label("node"))
        if deep:
            first = first.add_columns(literal_column("0").label("depth"))
        reached = first.cte("reached", recursive=True)
        source, met = self._edges_at(reached, upstream)
        far, near = (met.target, met.source) if upstream else (met.source, met.target)
        far = case((_relation_in(met.relation, TARGET_COMES_FROM_SOURCE), near), else_=far)
        step = select(far).select_from(source)
        if places:
            step = step.where(node_in_sight(far, self.tables, places))
        if deep:
            step = step.add_columns(reached.c.depth + literal_column("1"))
            step = step.where(reached.c.depth < bindparam("depth") - literal_column("1"))
        return reached.union(step)

    def _edges_at(
        self, near: FromClause, upstream: bool, also: Sequence[str] = ()
    ) -> tuple[FromClause, ReadOnlyColumnCollection[str, Any]]:
        """Nodes joined with the edges that have their near end there, and the edges' columns."""
        e = self.tables.edges
        from_source, from_target = (*SOURCE_COMES_FROM_TARGET, *also), TARGET_COMES_FROM_SOURCE
        if not upstream:
            from_source, from_target = from_target, from_source
        begins = and_(e.c.source == near.c.node, _relation_in(e.c.relation, from_source))
        ends = and_(e.c.target == near.c.node, _relation_in(e.c.relation, from_target))
        if not self.compiler.is_postgres:
            return near.join(e, or_(begins, ends)), e.c
        # PostgreSQL takes no index for an OR between tables, and SQLite has no LATERAL.
        both = select(e).where(begins).union_all(select(e).where(ends)).lateral("met")
        return near.join(both, true()), both.c

    def _datasets(self, places: int) -> Select[Any]:
        c = self.tables.datasets.c
        found = select(c.node, c.at_us, c.body)
        return found.where(dataset_in_sight(c.node, self.tables, places)) if places else found

    def _datasets_named(self, places: int) -> Select[Any]:
        c = self.tables.datasets.c
        found = self._datasets(places).where(c.name == bindparam("name")).order_by(c.at_us.desc(), c.node)
        return found.limit(bindparam("limit"))

    def _datasets_from(self, places: int) -> Select[Any]:
        c = self.tables.datasets.c
        found = self._datasets(places).where(c.node >= bindparam("low"), c.node < bindparam("high")).order_by(c.node)
        return found.limit(bindparam("limit"))

    def _dataset_page(self, contains: bool, places: int) -> Select[Any]:
        c = self.tables.datasets.c
        name, node = (bindparam(f"after_{what}", type_=WORD) for what in ("name", "node"))
        page = self._datasets(places).where(c.name >= name, or_(c.name > name, c.node > node))
        if contains:
            page = page.where(place(func.lower(c.name, type_=WORD), bindparam("contains", type_=WORD)) > ZERO)
        return page.order_by(c.name, c.node).limit(bindparam("limit"))


class SqlLineage:
    """`chopmark.abc.catalog.Lineage`."""

    __slots__ = ("_run", "_sql")

    def __init__(self, run: Executor, statements: LineageStatements) -> None:
        self._run = run
        self._sql = statements

    def insert(self, edges: Iterable[Edge]) -> None:
        """See the interface."""
        rows = (
            {
                "source": e.source,
                "relation": e.relation,
                "target": e.target,
                "at_us": to_us(e.at),
            }
            for e in edges
        )
        self._run.change_each(self._sql.insert, rows)

    def outgoing(self, source: str) -> list[Edge]:
        """See the interface."""
        rows = self._run.all(self._sql.outgoing, {"node": source})
        return [_edge(row) for row in rows]

    def incoming(self, target: str, relations: Sequence[str] = ()) -> list[Edge]:
        """See the interface."""
        values = {f"r{i}": relation for i, relation in enumerate(relations)}
        rows = self._run.all(self._sql.incoming(len(values)), {"node": target, **values})
        return [_edge(row) for row in rows]

    def remove(self, edge: Edge) -> bool:
        """See the interface."""
        values = {"from_node": edge.source, "of_relation": edge.relation, "to_node": edge.target}
        return self._run.change(self._sql.remove, values) > 0

    def reach(
        self, node: str, *, upstream: bool, depth_max: int | None = None, among: Texts | None = None, limit: int
    ) -> list[Edge]:
        """See the interface."""
        # A node more than edges: when these are fewer than the limit, all nodes were seen.
        values: dict[str, Any] = {"node": node, "nodes": limit + 1, "limit": limit, **seen_values(among)}
        if depth_max is not None:
            values["depth"] = depth_max
        prepared = self._sql.reach(upstream=upstream, deep=depth_max is not None, places=places_of(among))
        return [_edge(row) for row in self._run.all(prepared, values)]

    def reaches(self, node: str, goal: str) -> bool:
        """See the interface."""
        return self._run.one(self._sql.reaches, {"node": node, "goal": goal}) is not None

    def versions(self, nodes: Iterable[str]) -> list[Version]:
        """See the interface."""
        ids = iter(version_id_of(node).bytes for node in nodes if node.startswith("version:"))
        found: list[Version] = []
        while asked := list(islice(ids, ASKED_AT_ONCE)):
            prepared = self._sql.versions(_power_of_two(len(asked)))
            found += [version_from_row(row) for row in self._run.all(prepared, _filled(asked))]
        return found

    def lock(self) -> None:
        """See the interface."""
        self._run.check_writing()
        if self._sql.lock is not None:
            self._run.change(self._sql.lock, {})

    def remove_versions(self, version_ids: list[UUID]) -> None:
        """Remove the edges of versions that go."""
        nodes = [{"node": version_node(each)} for each in version_ids]
        self._run.change_each(self._sql.remove_node, nodes)


class SqlDatasets:
    """`chopmark.abc.catalog.Datasets`."""

    __slots__ = ("_run", "_sql")

    def __init__(self, run: Executor, statements: LineageStatements) -> None:
        self._run = run
        self._sql = statements

    def put(self, records: Iterable[DatasetRecord]) -> None:
        """See the interface."""
        rows = (
            {"node": r.node, "name": r.dataset.name, "at_us": to_us(r.at), "body": json_text(r.dataset)}
            for r in records
        )
        self._run.change_each(self._sql.dataset_put, rows)

    def get(self, nodes: Iterable[str], *, among: Texts | None = None) -> Records:
        """See the interface."""
        wanted = iter(dict.fromkeys(nodes))
        found: Records = []
        while asked := list(islice(wanted, ASKED_AT_ONCE)):
            prepared = self._sql.datasets(_power_of_two(len(asked)), places_of(among))
            found += [_dataset(row) for row in self._run.all(prepared, {**_filled(asked), **seen_values(among)})]
        return found

    def named(self, name: str, *, among: Texts | None = None, limit: int) -> Records:
        """See the interface."""
        values = {"name": name, "limit": limit, **seen_values(among)}
        return [_dataset(row) for row in self._run.all(self._sql.datasets_named(places_of(among)), values)]

    def starting(self, prefix: str, *, among: Texts | None = None, limit: int) -> Records:
        """See the interface."""
        values = {"low": prefix, "high": prefix + "\U0010ffff", "limit": limit, **seen_values(among)}
        return [_dataset(row) for row in self._run.all(self._sql.datasets_from(places_of(among)), values)]

    def list(
        self, *, contains: str = "", after: tuple[str, str] = ("", ""), among: Texts | None = None, limit: int
    ) -> Records:
        """See the interface."""
        values: dict[str, Any] = {"after_name": after[0], "after_node": after[1], "limit": limit, **seen_values(among)}
        if contains:
            values["contains"] = fold(contains)
        prepared = self._sql.dataset_list(contains=bool(contains), places=places_of(among))
        return [_dataset(row) for row in self._run.all(prepared, values)]


def _relation_in(relation: ColumnElement[Any], names: Sequence[str]) -> ColumnElement[bool]:
    """Whether the relation is one of these, written into the statement: the planner may know them."""
    return relation.in_([literal_column(f"'{name}'") for name in names]) if names else false()


def _among(column: ColumnElement[Any], count: int, kind: Any) -> ColumnElement[bool]:
    return column.in_([bindparam(f"id{i}", type_=kind) for i in range(count)])


def _power_of_two(count: int) -> int:
    """The next one: few statements do for any number of values."""
    return 1 << (count - 1).bit_length()


def _filled(values: Sequence[Any]) -> dict[str, Any]:
    """The values, the last repeated until there are as many as the statement has places."""
    size = _power_of_two(len(values))
    return {f"id{i}": values[min(i, len(values) - 1)] for i in range(size)}


@row_of("an edge", "sssi")
def _edge(row: tuple[Any, ...]) -> Edge:
    source, relation, target, at_us = row
    return Edge(source=source, relation=relation, target=target, at=from_us(at_us))


@row_of("a data set", "sis")
def _dataset(row: tuple[Any, ...]) -> DatasetRecord:
    node, at_us, body = row
    return DatasetRecord(node=node, dataset=_decode_dataset(body), at=from_us(at_us))
