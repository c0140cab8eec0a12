"""The collector's lock and its questions in SQL."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    and_,
    bindparam,
    case,
    cast,
    delete,
    except_,
    exists,
    func,
    literal,
    literal_column,
    or_,
    select,
    union_all,
    update,
)

from chopmark.abc.collection import DueVersion, Holding, Usage
from chopmark.base.clock import from_us, to_us
from chopmark.catalog.damage import row_of
from chopmark.catalog.execution import Compiler, Executor, Prepared
from chopmark.catalog.schema import WORD
from chopmark.domain.lineage import PARENT_RELATIONS
from chopmark.domain.refs import ModelRef
from chopmark.domain.retention import Candidate
from chopmark.domain.storage import By
from chopmark.errors import IntegrityFailure

__all__ = ["CollectionStatements", "SqlCollection"]

BLOBS_A_PAGE = 5_000
NEVER_US = -(2**62)
_FACT = "collection"
_LAST = "sha256:g"  # after all digests: the first letter after the hexadecimal digits
_MEMBER = "ensemble_member_of"


class CollectionStatements:
    """Statements of the collection, compiled when first used."""

    def __init__(self, compiler: Compiler) -> None:
        self.compiler = compiler
        self.tables = compiler.tables

    @cached_property
    def generation(self) -> Prepared:
        """As this transaction sees it."""
        return self.compiler(self._fact())

    @cached_property
    def hold(self) -> Prepared:
        """The same, kept from changing by others until this transaction ends."""
        return self.compiler(self._fact().with_for_update(read=True))

    @cached_property
    def lock(self) -> Prepared:
        """The same, for this transaction alone."""
        return self.compiler(self._fact().with_for_update())

    @cached_property
    def move(self) -> Prepared:
        """Another generation."""
        f = self.tables.facts
        return self.compiler(update(f).where(f.c.name == _FACT).values(value=bindparam("generation")))

    @cached_property
    def due(self) -> Prepared:
        """Deleted before ``before``, from the first key after ``after``."""
        t = self.tables
        p, m, v = t.projects, t.models, t.versions
        columns = (v.c.key, v.c.uid, p.c.name, m.c.name, v.c.number)
        own = select(*columns, v.c.deleted_us).where(v.c.deleted_us.is_not(None), *self._own_due())
        whole = select(*columns, m.c.deleted_us).where(
            m.c.deleted_us < bindparam("before"), or_(v.c.deleted_us.is_(None), v.c.deleted_us >= bindparam("before"))
        )
        joined = v.join(m, m.c.key == v.c.model_key).join(p, p.c.key == m.c.project_key)
        later = v.c.key > bindparam("after")
        both = union_all(*(part.select_from(joined).where(later) for part in (own, whole)))
        return self.compiler(both.order_by(literal_column("1")).limit(bindparam("limit")))

    @cached_property
    def due_users(self) -> tuple[Prepared, Prepared]:
        """Version deleted before ``before`` and the node that needs it: a child, or an ensemble."""
        e, v, m = self.tables.edges.c, self.tables.versions, self.tables.models
        node = literal("version:", WORD) + self._hex(v.c.uid)
        parents = [literal(r, WORD) for r in PARENT_RELATIONS if r != _MEMBER]
        due = v.join(m, m.c.key == v.c.model_key)
        children = select(v.c.uid, e.source).select_from(
            due.join(self.tables.edges, and_(e.target == node, e.relation.in_(parents)))
        )
        ensembles = select(v.c.uid, e.target).select_from(
            due.join(self.tables.edges, and_(e.source == node, e.relation == _MEMBER))
        )
        return self.compiler(children.where(self._is_due())), self.compiler(ensembles.where(self._is_due()))

    @cached_property
    def blobs_bound(self) -> Prepared:
        """The digest with which a page after ``after`` ends; nothing when it is the last page."""
        f = self.tables.files
        page = select(f.c.digest).where(f.c.digest > bindparam("after")).order_by(f.c.digest)
        return self.compiler(page.offset(BLOBS_A_PAGE - 1).limit(1))

    @cached_property
    def live_blobs(self) -> Prepared:
        """Digest and size after ``after`` to ``bound``, but of versions deleted before ``before``.

        With a limit instead of a bound PostgreSQL joins all files before it takes the first of them.
        """
        f, v, m = self.tables.files, self.tables.versions, self.tables.models
        joined = f.join(v, v.c.key == f.c.version_key).join(m, m.c.key == v.c.model_key)
        page = select(f.c.digest, func.max(f.c.size_bytes)).select_from(joined)
        within = (f.c.digest > bindparam("after"), f.c.digest <= bindparam("bound"))
        page = page.where(*within, ~self._is_due()).group_by(f.c.digest)
        return self.compiler(page.order_by(f.c.digest))

    def referenced(self, count: int) -> Prepared:
        """Those of ``count`` digests ``v0`` … that a file of a version has."""
        return self.compiler.shaped(("referenced", count), lambda: self._among(count))

    def removal(self, count: int, what: str) -> Prepared:
        """Delete manifests or data sets that are one of ``count`` values ``v0`` … and unused."""
        return self.compiler.shaped(("collection_remove", what, count), lambda: self._removal(count, what))

    def like(self, what: str) -> Prepared:
        """Digests from ``low`` to before ``high``, of files or manifests."""
        column = self.tables.files.c.digest if what == "files" else self.tables.manifests.c.digest
        page = select(column).distinct().where(column >= bindparam("low"), column < bindparam("high"))
        return self.compiler.shaped(("like", what), lambda: page.order_by(column).limit(bindparam("limit")))

    @cached_property
    def manifest_users(self) -> Prepared:
        """Ids of versions with the manifest ``digest``."""
        c = self.tables.versions.c
        page = select(c.uid).where(c.digest == bindparam("digest")).order_by(c.key)
        return self.compiler(page.limit(bindparam("limit")))

    @cached_property
    def orphan_manifests(self) -> Prepared:
        """After ``after``: those of no version but the ones deleted before ``before``."""
        s, v, m = self.tables.manifests, self.tables.versions, self.tables.models
        living = select(v.c.digest).select_from(v.join(m, m.c.key == v.c.model_key)).where(~self._is_due())
        page = except_(select(s.c.digest).where(s.c.digest > bindparam("after")), living)
        return self.compiler(page.order_by(literal_column("1")).limit(bindparam("limit")))

    @cached_property
    def orphan_datasets(self) -> Prepared:
        """After ``after``: those that no edge leads to or from."""
        n, e = self.tables.datasets.c, self.tables.edges.c
        page = select(n.node).where(
            n.node > bindparam("after"),
            ~exists().where(e.target == n.node),
            ~exists().where(e.source == n.node),
        )
        return self.compiler(page.order_by(n.node).limit(bindparam("limit")))

    @cached_property
    def candidates(self) -> Prepared:
        """Of ``model``, by number."""
        t = self.tables
        p, m, v, a = t.projects, t.models, t.versions, t.aliases
        listed = func.string_agg if self.compiler.is_postgres else func.group_concat
        names = select(listed(a.c.name, literal_column("','"))).where(a.c.version_key == v.c.key).scalar_subquery()
        joined = v.join(m, m.c.key == v.c.model_key).join(p, p.c.key == m.c.project_key)
        columns = (v.c.uid, p.c.name, m.c.name, v.c.number, v.c.created_us, v.c.stage, v.c.deleted_us, names)
        page = select(*columns).select_from(joined).where(m.c.uid == bindparam("model"))
        return self.compiler(page.order_by(v.c.number))

    def usage(self, by: By, *, project: bool, model: bool) -> Prepared:
        """By key after ``after``, within ``project`` or ``model``."""
        return self.compiler.shaped(("usage", by, project, model), lambda: self._usage(by, project, model))

    def holding(self, by: By) -> Prepared:
        """Unique and shared bytes of ``key``."""
        return self.compiler.shaped(("holding", by), lambda: self._holding(by))

    def _fact(self) -> Select[Any]:
        f = self.tables.facts.c
        return select(f.value).where(f.name == _FACT)

    def _hex(self, uid: ColumnElement[Any]) -> ColumnElement[Any]:
        return func.encode(uid, "hex") if self.compiler.is_postgres else func.lower(func.hex(uid), type_=WORD)

    def _own_due(self) -> tuple[ColumnElement[bool], ...]:
        return (self.tables.versions.c.deleted_us < bindparam("before"),)

    def _is_due(self) -> ColumnElement[bool]:
        """Deleted before ``before``, itself or with its model; never null."""
        kept_us = 2**62  # one that is not deleted is deleted later than any time
        v, m = self.tables.versions.c, self.tables.models.c
        before = bindparam("before", type_=BigInteger())
        return or_(func.coalesce(v.deleted_us, kept_us) < before, func.coalesce(m.deleted_us, kept_us) < before)

    def _among(self, count: int) -> Select[Any]:
        column = self.tables.files.c.digest
        return select(column).distinct().where(column.in_(_values(count)))

    def _removal(self, count: int, what: str) -> Any:
        t = self.tables
        if what == "manifests":
            used = select(t.versions.c.digest)
            table, column = t.manifests, t.manifests.c.digest
            unused: ColumnElement[bool] = column.not_in(used.where(t.versions.c.digest.in_(_values(count))))
        else:
            table, column, e = t.datasets, t.datasets.c.node, t.edges.c
            unused = and_(~exists().where(e.target == column), ~exists().where(e.source == column))
        return delete(table).where(column.in_(_values(count)), unused).returning(column)

    def _group(self, by: By) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
        """What is counted by: its key, and the column of a version that holds it."""
        t = self.tables
        of_group = {"project": t.projects.c.key, "model": t.models.c.key, "version": t.versions.c.key}
        of_version = {
            "project": t.versions.c.project_key,
            "model": t.versions.c.model_key,
            "version": t.versions.c.key,
        }
        return of_group[by], of_version[by]

    def _usage(self, by: By, project: bool, model: bool) -> Select[Any]:
        t = self.tables
        p, m, v = t.projects, t.models, t.versions
        key, _ = self._group(by)
        deleted = or_(v.c.deleted_us.is_not(None), m.c.deleted_us.is_not(None))
        joined = v.join(m, m.c.key == v.c.model_key).join(p, p.c.key == m.c.project_key)
        page = select(
            key,
            func.max(p.c.name),
            func.max(m.c.name),
            func.max(v.c.number),
            func.count(),
            _sum(case((deleted, 1), else_=0)),
            _sum(v.c.size_bytes),
        ).select_from(joined)
        page = page.where(key > bindparam("after"))
        if project:
            page = page.where(p.c.name == bindparam("project"))
        if model:
            page = page.where(m.c.uid == bindparam("model"))
        return page.group_by(key).order_by(key).limit(bindparam("limit"))

    def _holding(self, by: By) -> Any:
        t = self.tables
        f, v = t.files, t.versions
        _, column = self._group(by)
        mine = (
            select(f.c.digest, func.max(f.c.size_bytes).label("size_bytes"))
            .select_from(f.join(v, v.c.key == f.c.version_key))
            .where(column == bindparam("key"))
            .group_by(f.c.digest)
            .subquery()
        )
        g, w = f.alias("others"), v.alias("their")
        _, of_other = self._group(by)
        other = exists(
            select(literal_column("1"))
            .select_from(g.join(w, w.c.key == g.c.version_key))
            .where(g.c.digest == mine.c.digest, w.c[of_other.name] != bindparam("key"))
        )
        return select(
            func.count(),
            func.coalesce(_sum(case((other, 0), else_=mine.c.size_bytes)), 0),
            func.coalesce(_sum(case((other, mine.c.size_bytes), else_=0)), 0),
        )


def _sum(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """A sum that stays an integer: PostgreSQL makes a decimal number of it."""
    return cast(func.sum(column), BigInteger)


def _values(count: int) -> list[ColumnElement[Any]]:
    return [bindparam(f"v{i}", type_=WORD) for i in range(count)]


def _bound(values: Sequence[str]) -> dict[str, Any]:
    return {f"v{i}": value for i, value in enumerate(values)}


class SqlCollection:
    """`chopmark.abc.collection.Collection`."""

    __slots__ = ("_run", "_sql")

    def __init__(self, run: Executor, statements: CollectionStatements) -> None:
        self._run = run
        self._sql = statements

    def generation(self) -> int:
        """See the interface."""
        return self._read(self._sql.generation)

    def hold(self) -> int:
        """See the interface."""
        return self._read(self._sql.hold)

    def open(self) -> int:
        """See the interface."""
        return self._move(parity=1)

    def lock(self) -> int:
        """See the interface."""
        self._run.check_writing()
        return self._read(self._sql.lock)

    def close(self) -> int:
        """See the interface."""
        return self._move(parity=0)

    def _read(self, prepared: Prepared) -> int:
        row = self._run.one(prepared, {})
        if row is None:
            msg = "The row that holds the generation of the collection is gone."
            raise IntegrityFailure(msg, hint="Restore the catalog from a backup.")
        return _generation(row)

    def _move(self, *, parity: int) -> int:
        generation = self.lock()
        if generation % 2 != parity:
            generation += 1
            self._run.change(self._sql.move, {"generation": str(generation)})
        return generation

    def due(self, before: datetime, *, after: int = 0, limit: int) -> list[DueVersion]:
        """See the interface."""
        values = {"before": to_us(before), "after": after, "limit": limit}
        return [_due(row) for row in self._run.all(self._sql.due, values)]

    def due_users(self, before: datetime) -> list[tuple[UUID, UUID]]:
        """See the interface."""
        values = {"before": to_us(before)}
        return [_user(row) for prepared in self._sql.due_users for row in self._run.all(prepared, values)]

    def live_blobs(self, deleted_before: datetime | None, *, after: str = "") -> Iterator[tuple[str, int]]:
        """See the interface."""
        before = NEVER_US if deleted_before is None else to_us(deleted_before)
        while after < _LAST:
            row = self._run.one(self._sql.blobs_bound, {"after": after})
            bound = _LAST if row is None else _word(row)
            yield from map(
                _sized, self._run.all(self._sql.live_blobs, {"before": before, "after": after, "bound": bound})
            )
            after = bound

    def referenced(self, digests: Sequence[str]) -> set[str]:
        """See the interface."""
        return self._some(self._sql.referenced(len(digests)), digests)

    def blobs_like(self, prefix: str, *, limit: int) -> list[str]:
        """See the interface."""
        return self._like("files", prefix, limit)

    def manifests_like(self, prefix: str, *, limit: int) -> list[str]:
        """See the interface."""
        return self._like("manifests", prefix, limit)

    def manifest_users(self, digest: str, *, limit: int) -> list[UUID]:
        """See the interface."""
        values = {"digest": digest, "limit": limit}
        return [_uid(row) for row in self._run.all(self._sql.manifest_users, values)]

    def orphan_manifests(self, deleted_before: datetime, *, after: str = "", limit: int) -> list[str]:
        """See the interface."""
        values = {"before": to_us(deleted_before), "after": after, "limit": limit}
        return [_word(row) for row in self._run.all(self._sql.orphan_manifests, values)]

    def orphan_datasets(self, *, after: str = "", limit: int) -> list[str]:
        """See the interface."""
        values = {"after": after, "limit": limit}
        return [_word(row) for row in self._run.all(self._sql.orphan_datasets, values)]

    def remove_manifests(self, digests: Sequence[str]) -> set[str]:
        """See the interface."""
        self._run.check_writing()
        return self._some(self._sql.removal(len(digests), "manifests"), digests)

    def remove_datasets(self, nodes: Sequence[str]) -> set[str]:
        """See the interface."""
        self._run.check_writing()
        return self._some(self._sql.removal(len(nodes), "datasets"), nodes)

    def candidates(self, model_id: UUID) -> list[tuple[UUID, Candidate]]:
        """See the interface."""
        return [_candidate(row) for row in self._run.all(self._sql.candidates, {"model": model_id.bytes})]

    def usage(
        self, by: By, *, project: str | None = None, model_id: UUID | None = None, after: int = 0, limit: int
    ) -> list[Usage]:
        """See the interface."""
        prepared = self._sql.usage(by, project=project is not None, model=model_id is not None)
        values: dict[str, Any] = {"after": after, "limit": limit}
        if project is not None:
            values["project"] = project
        if model_id is not None:
            values["model"] = model_id.bytes
        return [_usage(by, row) for row in self._run.all(prepared, values)]

    def holding(self, by: By, key: int) -> Holding:
        """See the interface."""
        row = self._run.one(self._sql.holding(by), {"key": key})
        return Holding(0, 0, 0) if row is None else Holding(*row)

    def _some(self, prepared: Prepared, values: Sequence[str]) -> set[str]:
        return {_word(row) for row in self._run.all(prepared, _bound(values))} if values else set()

    def _like(self, what: str, prefix: str, limit: int) -> list[str]:
        values = {"low": prefix, "high": prefix + "g", "limit": limit}  # the first letter after the hexadecimal digits
        return [_word(row) for row in self._run.all(self._sql.like(what), values)]


@row_of("the generation of the collection", "s")
def _generation(row: tuple[Any, ...]) -> int:
    return int(row[0])


@row_of("a deleted version", "ibssii")
def _due(row: tuple[Any, ...]) -> DueVersion:
    key, uid, project, model, number, deleted_us = row
    return DueVersion(key, UUID(bytes=uid), f"{ModelRef(project, model)}:{number}", from_us(deleted_us))


@row_of("a version", "b")
def _uid(row: tuple[Any, ...]) -> UUID:
    return UUID(bytes=row[0])


@row_of("a lineage edge", "bs")
def _user(row: tuple[Any, ...]) -> tuple[UUID, UUID]:
    uid, node = row
    return UUID(bytes=uid), UUID(node.removeprefix("version:"))


@row_of("a version's file", "si")
def _sized(row: tuple[Any, ...]) -> tuple[str, int]:
    digest, size_bytes = row
    return digest, size_bytes


@row_of("a digest or node", "s")
def _word(row: tuple[Any, ...]) -> str:
    word: str = row[0]
    return word


@row_of("a version", "bssiisIS")
def _candidate(row: tuple[Any, ...]) -> tuple[UUID, Candidate]:
    uid, project, model, number, created_us, stage, deleted_us, aliases = row
    candidate = Candidate(
        ref=f"{ModelRef(project, model)}:{number}",
        number=number,
        created_at=from_us(created_us),
        stage=stage,
        aliases=tuple(sorted(aliases.split(","))) if aliases else (),
        deleted_at=None if deleted_us is None else from_us(deleted_us),
    )
    return UUID(bytes=uid), candidate


def _usage(by: By, row: tuple[Any, ...]) -> Usage:
    key, project, model, number, versions, deleted, logical_bytes = row
    ref = str(ModelRef(project, model))
    name = {"project": project, "model": ref, "version": f"{ref}:{number}"}[by]
    return Usage(key, name, versions, deleted, logical_bytes)
