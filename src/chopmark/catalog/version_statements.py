"""Statements on versions and manifests, compiled when first used."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from sqlalchemy import ColumnElement, Select, bindparam, delete, func, literal_column, select, update

from chopmark.abc.catalog import KeyedField
from chopmark.catalog.columns import WORD
from chopmark.catalog.execution import Compiler, Prepared
from chopmark.catalog.search import Search

__all__ = ["VersionStatements", "version_columns"]

BLOBS_A_PAGE = 5_000


def version_columns(compiler: Compiler) -> Select[Any]:
    """What `records.version_from_row` reads: the version's row with its names and aliases."""
    t = compiler.tables
    p, m, v, a = t.projects, t.models, t.versions, t.aliases
    c = v.c
    listed = func.string_agg if compiler.is_postgres else func.group_concat
    aliases = select(listed(a.c.name, literal_column("','"))).where(a.c.version_key == c.key).scalar_subquery()
    joined = v.join(m, m.c.key == c.model_key).join(p, p.c.key == m.c.project_key)
    return select(
        c.uid, m.c.uid, p.c.name, m.c.name, c.number, c.stage, c.stage_since_us, c.created_us,
        c.updated_us, c.deleted_us, c.description, c.tags, c.annotations, c.deprecation, c.body,
        c.card, aliases,
    ).select_from(joined)  # fmt: skip


class VersionStatements:
    """Statements on versions, compiled when first used."""

    def __init__(self, compiler: Compiler) -> None:
        self.compiler = compiler
        self.tables = compiler.tables
        self.search = Search(compiler, version_columns(compiler))

    @cached_property
    def by_id(self) -> Prepared:
        """By ``id``."""
        return self.compiler(self.version.where(self._v.uid == bindparam("id")))

    @cached_property
    def by_number(self) -> Prepared:
        """By ``model`` and ``number``."""
        return self._in_model(self._v.number == bindparam("number"))

    @cached_property
    def by_semver(self) -> Prepared:
        """By ``model`` and ``semver``."""
        return self._in_model(self._v.semver == bindparam("semver"))

    @cached_property
    def latest(self) -> Prepared:
        """Highest number of ``model`` that can be used."""
        return self._first(self._usable(), self._v.number.desc())

    @cached_property
    def highest_release(self) -> Prepared:
        """Highest precedence of ``model``, whatever became of it: its number, SemVer and manifest."""
        v, m = self.tables.versions, self.tables.manifests
        found = select(v.c.number, v.c.semver, m.c.body).select_from(v.outerjoin(m, m.c.digest == v.c.digest))
        ordered = found.where(self._of_model()).order_by(v.c.semver_key.desc(), v.c.number.desc())
        return self.compiler(ordered.limit(literal_column("1")))

    @cached_property
    def in_range(self) -> Prepared:
        """Highest usable release of ``model`` from ``low`` to below ``high``."""
        c = self._v
        within = (
            c.is_release == 1,
            c.semver_key >= bindparam("low"),
            c.semver_key < bindparam("high"),
        )
        return self._first((*self._usable(), *within), c.semver_key.desc(), c.number.desc())

    @cached_property
    def in_stage(self) -> Prepared:
        """Of ``model`` in ``stage``, the last to enter first."""
        c = self._v
        where = (c.stage == bindparam("stage"), c.deleted_us.is_(None))
        return self._page(where, c.stage_since_us.desc(), c.number.desc())

    def in_model(self, *, deleted: bool) -> Prepared:
        """All of ``model``, newest number first."""
        return self.compiler.shaped(
            ("in_model", deleted),
            lambda: self._select(self._shown(deleted), self._v.number.desc()),
        )

    def by_digest(self, *, deleted: bool) -> Prepared:
        """Of ``model`` with ``low`` ≤ digest < ``high``, newest number first."""
        return self.compiler.shaped(("by_digest", deleted), lambda: self._by_digest(deleted))

    def _by_digest(self, deleted: bool) -> Select[Any]:
        c = self._v
        within = (c.digest >= bindparam("low"), c.digest < bindparam("high"))
        return self._select((*within, *self._shown(deleted)), c.number.desc())

    @cached_property
    def insert(self) -> Prepared:
        """Returns the key; nothing when number or SemVer is taken, or the model is not there."""
        m = self.tables.models.c
        of_model = m.uid == bindparam("model_uid")
        statement = self.compiler.insert_for(self.tables.versions, of_model, project_key=m.project_key, model_key=m.key)
        return self.compiler(statement.on_conflict_do_nothing().returning(self._v.key))

    @cached_property
    def manifest_insert(self) -> Prepared:
        """Adds nothing when a twin brought it before."""
        return self.compiler(self.compiler.insert_once(self.tables.manifests))

    @cached_property
    def manifest_get(self) -> Prepared:
        """Body by ``digest``."""
        c = self.tables.manifests.c
        return self.compiler(select(c.body).where(c.digest == bindparam("digest")))

    @cached_property
    def insert_files(self) -> Prepared:
        """One row of `version_files`."""
        return self.compiler(self.compiler.insert(self.tables.files))

    @cached_property
    def insert_metrics(self) -> Prepared:
        """One row of `version_metrics`."""
        return self.compiler(self.compiler.insert(self.tables.metrics))

    @cached_property
    def insert_params(self) -> Prepared:
        """One row of `version_params`."""
        return self.compiler(self.compiler.insert(self.tables.params))

    @cached_property
    def insert_tags(self) -> Prepared:
        """One row of `version_tags`."""
        return self.compiler(self.compiler.insert(self.tables.tags))

    @cached_property
    def delete_tags(self) -> Prepared:
        """All tags of ``version_key``."""
        t = self.tables.tags
        return self.compiler(delete(t).where(t.c.version_key == bindparam("of_version")))

    @cached_property
    def insert_words(self) -> Prepared:
        """One row of `version_words`."""
        return self.compiler(self.compiler.insert(self.tables.words))

    @cached_property
    def words(self) -> Prepared:
        """Words of ``version_key``."""
        c = self.tables.words.c
        return self.compiler(select(c.word).where(c.version_key == bindparam("of_version")))

    @cached_property
    def delete_word(self) -> Prepared:
        """One row of `version_words`."""
        c = self.tables.words.c
        same = (c.word == bindparam("word"), c.version_key == bindparam("version_key"))
        return self.compiler(delete(self.tables.words).where(*same))

    @cached_property
    def restage_tags(self) -> Prepared:
        """The stage beside the tags of ``version_key``."""
        t = self.tables.tags
        return self.compiler(
            update(t).where(t.c.version_key == bindparam("of_version")).values(stage=bindparam("stage"))
        )

    def has_key(self, field: KeyedField) -> Prepared:
        """A row when ``key`` is there."""
        return self.compiler.shaped(("has_key", field), lambda: self._has_key(field))

    def _has_key(self, field: KeyedField) -> Select[Any]:
        row: Select[Any] = select(literal_column("1"))
        return row.where(self._keyed(field).key == bindparam("key", type_=WORD)).limit(1)

    def keys(self, field: KeyedField) -> Prepared:
        """Distinct keys: each step looks up the one after the last, and reads no row between."""
        return self.compiler.shaped(("keys", field), lambda: self._keys(field))

    def _keys(self, field: KeyedField) -> Select[Any]:
        c = self._keyed(field)
        first = select(func.min(c.key, type_=WORD).label("key")).cte("found", recursive=True)
        following = select(func.min(c.key, type_=WORD)).where(c.key > first.c.key).scalar_subquery()
        found = first.union_all(select(following).where(first.c.key.is_not(None)))
        return select(found.c.key).where(found.c.key.is_not(None)).limit(bindparam("limit"))

    def _keyed(self, field: KeyedField) -> Any:
        t = self.tables
        return {"metrics": t.metrics, "params": t.params, "tags": t.tags}[field].c

    def update(self, columns: Sequence[str]) -> Prepared:
        """Set these columns of ``id``; returns key, creation time and stage."""
        v = self.tables.versions
        values = {c: bindparam(c, type_=v.c[c].type) for c in columns}
        return self.compiler.shaped(
            ("update", *columns),
            lambda: (
                update(v).where(v.c.uid == bindparam("id")).values(values).returning(v.c.key, v.c.created_us, v.c.stage)
            ),
        )

    @cached_property
    def purge(self) -> Prepared:
        """By ``id``; what hangs on it goes by the foreign keys."""
        return self.compiler(delete(self.tables.versions).where(self._v.uid == bindparam("id")))

    @cached_property
    def blob_users(self) -> Prepared:
        """With a file of ``digest``."""
        f = self.tables.files
        users = select(f.c.version_key).where(f.c.digest == bindparam("digest"))
        page = self.version.where(self._v.key.in_(users)).order_by(self._v.key)
        return self.compiler(page.limit(bindparam("limit")))

    @cached_property
    def blobs(self) -> Prepared:
        """Digests of files after ``after``."""
        f = self.tables.files
        page = select(f.c.digest).distinct().where(f.c.digest > bindparam("after"))
        return self.compiler(page.order_by(f.c.digest).limit(BLOBS_A_PAGE))

    @cached_property
    def version(self) -> Select[Any]:
        """Any version, as it is read."""
        return version_columns(self.compiler)

    @property
    def _v(self) -> Any:
        return self.tables.versions.c

    def _usable(self) -> tuple[ColumnElement[bool], ...]:
        c = self._v
        return (c.state == "ready", c.stage != "archived", c.deleted_us.is_(None))

    def _shown(self, deleted: bool) -> tuple[ColumnElement[bool], ...]:
        return () if deleted else (self._v.deleted_us.is_(None),)

    def _of_model(self) -> ColumnElement[bool]:
        """That the version is of ``model``: by a key that is known before, so that an index of its versions has an order."""
        m = self.tables.models.alias("in_model")
        key = select(m.c.key).where(m.c.uid == bindparam("model", type_=m.c.uid.type)).scalar_subquery()
        of_model: ColumnElement[bool] = self._v.model_key == key
        return of_model

    def _select(self, where: Sequence[ColumnElement[bool]], *order: Any) -> Select[Any]:
        page = self.version.where(self._of_model(), *where).order_by(*order)
        return page.limit(bindparam("limit"))

    def _page(self, where: Sequence[ColumnElement[bool]], *order: Any) -> Prepared:
        return self.compiler(self._select(where, *order))

    def _first(self, where: Sequence[ColumnElement[bool]], *order: Any) -> Prepared:
        return self.compiler(self.version.where(self._of_model(), *where).order_by(*order).limit(literal_column("1")))

    def _in_model(self, where: ColumnElement[bool]) -> Prepared:
        return self.compiler(self.version.where(self._of_model(), where))
