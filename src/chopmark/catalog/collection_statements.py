"""Statements of the collector's lock and questions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

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

from chopmark.catalog.columns import WORD
from chopmark.catalog.execution import Compiler, Prepared
from chopmark.domain.lineage import PARENT_RELATIONS
from chopmark.domain.storage import By

__all__ = ["CollectionStatements", "bound_values"]

BLOBS_A_PAGE = 5_000
_FACT = "collection"
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


def bound_values(values: Sequence[str]) -> dict[str, Any]:
    """Parameters ``v0`` … of a statement that takes so many values."""
    return {f"v{i}": value for i, value in enumerate(values)}
