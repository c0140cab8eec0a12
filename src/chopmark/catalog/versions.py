"""Versions and manifests in SQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, Select, bindparam, delete, func, literal_column, select, update

from chopmark.abc.catalog import Found, KeyedField, Taken, VersionChange
from chopmark.base.clock import to_us
from chopmark.base.jsons import encode
from chopmark.catalog.damage import row_of
from chopmark.catalog.execution import Compiler, Executor, Prepared
from chopmark.catalog.records import (
    deprecation_text,
    file_rows,
    json_text,
    metric_rows,
    optional_us,
    param_rows,
    tag_rows,
    version_from_row,
    version_row,
    word_rows,
)
from chopmark.catalog.schema import WORD
from chopmark.catalog.search import Search
from chopmark.domain.manifest import Manifest
from chopmark.domain.query import Query
from chopmark.domain.versions import Version
from chopmark.domain.words import words_of
from chopmark.errors import NotFound

__all__ = ["SqlManifests", "SqlVersions", "VersionStatements", "version_columns"]

BLOBS_A_PAGE = 5_000
NUMBER_MAX = 2**63 - 1  # of a database's integer

_decode_manifest = msgspec.json.Decoder(Manifest).decode


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
        """Highest precedence of ``model``, whatever became of it."""
        order = (self._v.semver_key.desc(), self._v.number.desc())
        return self._first((), *order)

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
        c = self._v
        within = (c.digest >= bindparam("low"), c.digest < bindparam("high"))
        return self.compiler.shaped(
            ("by_digest", deleted),
            lambda: self._select((*within, *self._shown(deleted)), c.number.desc()),
        )

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
        c = self._keyed(field)
        row: Select[Any] = select(literal_column("1")).where(c.key == bindparam("key", type_=WORD)).limit(1)
        return self.compiler.shaped(("has_key", field), lambda: row)

    def keys(self, field: KeyedField) -> Prepared:
        """Distinct keys: each step looks up the one after the last, and reads no row between."""
        c = self._keyed(field)
        first = select(func.min(c.key, type_=WORD).label("key")).cte("found", recursive=True)
        following = select(func.min(c.key, type_=WORD)).where(c.key > first.c.key).scalar_subquery()
        found = first.union_all(select(following).where(first.c.key.is_not(None)))
        listed = select(found.c.key).where(found.c.key.is_not(None)).limit(bindparam("limit"))
        return self.compiler.shaped(("keys", field), lambda: listed)

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

    def _select(self, where: Sequence[ColumnElement[bool]], *order: Any) -> Select[Any]:
        of_model = self.tables.models.c.uid == bindparam("model")
        page = self.version.where(of_model, *where).order_by(*order)
        return page.limit(bindparam("limit"))

    def _page(self, where: Sequence[ColumnElement[bool]], *order: Any) -> Prepared:
        return self.compiler(self._select(where, *order))

    def _first(self, where: Sequence[ColumnElement[bool]], *order: Any) -> Prepared:
        of_model = self.tables.models.c.uid == bindparam("model")
        return self.compiler(self.version.where(of_model, *where).order_by(*order).limit(1))

    def _in_model(self, where: ColumnElement[bool]) -> Prepared:
        of_model = self.tables.models.c.uid == bindparam("model")
        return self.compiler(self.version.where(of_model, where))


class SqlVersions:
    """`chopmark.abc.catalog.Versions`."""

    __slots__ = ("_remove_edges", "_run", "_sql")

    def __init__(
        self,
        run: Executor,
        statements: VersionStatements,
        remove_edges: Callable[[list[UUID]], None],
    ) -> None:
        self._run = run
        self._sql = statements
        self._remove_edges = remove_edges

    def insert(self, version: Version, manifest: Manifest) -> None:
        """See the interface."""
        added = self._run.add(self._sql.insert, version_row(version))
        if added is None:
            raise self._refusal(version)
        key = added[0]
        body = {"digest": version.digest, "body": encode(manifest).decode()}
        self._run.change(self._sql.manifest_insert, body)
        tags = tag_rows(version.tags, key, to_us(version.created_at), version.stage)
        self._run.change_each(self._sql.insert_files, file_rows(manifest, key))
        self._run.change_each(self._sql.insert_metrics, metric_rows(version, key))
        self._run.change_each(self._sql.insert_params, param_rows(version, key))
        self._run.change_each(self._sql.insert_tags, tags)
        self._run.change_each(self._sql.insert_words, word_rows(words_of(version), key, to_us(version.created_at)))

    def by_id(self, version_id: UUID) -> Version | None:
        """See the interface."""
        return self._one(self._sql.by_id, {"id": version_id.bytes})

    def by_number(self, model_id: UUID, number: int, *, deleted: bool = False) -> Version | None:
        """See the interface."""
        if not 0 < number <= NUMBER_MAX:
            return None
        values = {"model": model_id.bytes, "number": number}
        return _shown(self._one(self._sql.by_number, values), deleted)

    def by_semver(self, model_id: UUID, semver: str, *, deleted: bool = False) -> Version | None:
        """See the interface."""
        values = {"model": model_id.bytes, "semver": semver}
        return _shown(self._one(self._sql.by_semver, values), deleted)

    def by_digest(self, model_id: UUID, prefix: str, *, deleted: bool = False, limit: int = 2) -> list[Version]:
        """See the interface."""
        high = prefix + "g"  # the first letter after the hexadecimal digits
        values = {"model": model_id.bytes, "low": prefix, "high": high, "limit": limit}
        return self._all(self._sql.by_digest(deleted=deleted), values)

    def latest(self, model_id: UUID) -> Version | None:
        """See the interface."""
        return self._one(self._sql.latest, {"model": model_id.bytes})

    def highest_release(self, model_id: UUID) -> Version | None:
        """See the interface."""
        return self._one(self._sql.highest_release, {"model": model_id.bytes})

    def in_range(self, model_id: UUID, low_key: str, high_key: str) -> Version | None:
        """See the interface."""
        values = {"model": model_id.bytes, "low": low_key, "high": high_key}
        return self._one(self._sql.in_range, values)

    def in_stage(self, model_id: UUID, stage: str, *, limit: int = 100) -> list[Version]:
        """See the interface."""
        values = {"model": model_id.bytes, "stage": stage, "limit": limit}
        return self._all(self._sql.in_stage, values)

    def in_model(self, model_id: UUID, *, deleted: bool = False, limit: int) -> list[Version]:
        """See the interface."""
        values = {"model": model_id.bytes, "limit": limit}
        return self._all(self._sql.in_model(deleted=deleted), values)

    def search(
        self,
        query: Query,
        *,
        project: str | None = None,
        model_id: UUID | None = None,
        after: Sequence[Any] | None = None,
        limit: int,
        deleted: bool = False,
    ) -> Found:
        """See the interface."""
        return self._sql.search.page(
            self._run,
            query,
            project=project,
            model_id=model_id,
            after=after,
            limit=limit,
            deleted=deleted,
        )

    def has_key(self, field: KeyedField, key: str) -> bool:
        """See the interface."""
        return self._run.one(self._sql.has_key(field), {"key": key}) is not None

    def keys(self, field: KeyedField, *, limit: int) -> list[str]:
        """See the interface."""
        return [_key(row) for row in self._run.all(self._sql.keys(field), {"limit": limit})]

    def update(self, version_id: UUID, change: VersionChange, at: datetime) -> None:
        """See the interface."""
        columns = {"updated_us": to_us(at), **_changed_columns(change)}
        prepared = self._sql.update(tuple(columns))
        row = self._run.add(prepared, {"id": version_id.bytes, **columns})
        if row is None:
            raise _no_version(version_id)
        key, created_us, stage = row
        if change.tags is not msgspec.UNSET:
            self._run.change(self._sql.delete_tags, {"of_version": key})
            rows = tag_rows(change.tags, key, created_us, stage)
            self._run.change_each(self._sql.insert_tags, rows)
        elif change.stage is not msgspec.UNSET:
            self._run.change(self._sql.restage_tags, {"of_version": key, "stage": stage})
        if any(getattr(change, name) is not msgspec.UNSET for name in _WITH_WORDS):
            self._renew_words(version_id, key)

    def _renew_words(self, version_id: UUID, key: int) -> None:
        """Make the rows of words those of the version as it is now, touching only what differs."""
        version = self._one(self._sql.by_id, {"id": version_id.bytes})
        if version is None:
            raise _no_version(version_id)
        wanted = dict.fromkeys(words_of(version))
        there = {_word(row) for row in self._run.all(self._sql.words, {"of_version": key})}
        gone = [{"word": word, "version_key": key} for word in there if word not in wanted]
        self._run.change_each(self._sql.delete_word, gone)
        new = [word for word in wanted if word not in there]
        self._run.change_each(self._sql.insert_words, word_rows(new, key, to_us(version.created_at)))

    def purge(self, version_id: UUID) -> None:
        """See the interface."""
        self._remove_edges([version_id])
        if not self._run.change(self._sql.purge, {"id": version_id.bytes}):
            raise _no_version(version_id)

    def blob_users(self, digest: str, *, limit: int = 100) -> list[Version]:
        """See the interface."""
        return self._all(self._sql.blob_users, {"digest": digest, "limit": limit})

    def referenced_blobs(self) -> Iterator[str]:
        """See the interface."""
        last = ""
        while rows := self._run.all(self._sql.blobs, {"after": last}):
            digests = [_digest(row) for row in rows]
            yield from digests
            last = digests[-1]

    def _one(self, prepared: Prepared, values: dict[str, Any]) -> Version | None:
        row = self._run.one(prepared, values)
        return None if row is None else version_from_row(row)

    def _all(self, prepared: Prepared, values: dict[str, Any]) -> list[Version]:
        return [version_from_row(row) for row in self._run.all(prepared, values)]

    def _refusal(self, version: Version) -> Taken | NotFound:
        if self.by_number(version.model_id, version.number, deleted=True):
            what = f"the number {version.number}"
        elif self.by_semver(version.model_id, version.semver, deleted=True):
            what = f"the SemVer {version.semver}"
        elif self.by_id(version.id):
            what = f"the id {version.id}"
        else:
            return NotFound(f"There is no model with the id {version.model_id}.")
        msg = f"A version of {version.model} has {what} already."
        return Taken(msg, hint="Register again: the next free one is chosen then.")


class SqlManifests:
    """`chopmark.abc.catalog.Manifests`."""

    __slots__ = ("_run", "_sql")

    def __init__(self, run: Executor, statements: VersionStatements) -> None:
        self._run = run
        self._sql = statements

    def get(self, digest: str) -> Manifest | None:
        """See the interface."""
        row = self._run.one(self._sql.manifest_get, {"digest": digest})
        return None if row is None else _manifest(row)


@row_of("a manifest", "s")
def _manifest(row: tuple[Any, ...]) -> Manifest:
    return _decode_manifest(row[0])


@row_of("a version's file", "s")
def _digest(row: tuple[Any, ...]) -> str:
    digest: str = row[0]
    return digest


@row_of("a key", "s")
def _key(row: tuple[Any, ...]) -> str:
    key: str = row[0]
    return key


@row_of("a version's word", "s")
def _word(row: tuple[Any, ...]) -> str:
    word: str = row[0]
    return word


def _shown(version: Version | None, deleted: bool) -> Version | None:
    if version is not None and version.deleted_at is not None and not deleted:
        return None
    return version


def _no_version(version_id: UUID) -> NotFound:
    return NotFound(f"There is no version with the id {version_id}.")


_WITH_WORDS = ("description", "card", "tags")

_COLUMNS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "stage": ("stage", str),
    "stage_since": ("stage_since_us", to_us),
    "description": ("description", str),
    "card": ("card", str),
    "tags": ("tags", lambda tags: json_text(dict(tags))),
    "annotations": ("annotations", lambda notes: json_text(dict(notes))),
    "deprecation": ("deprecation", deprecation_text),
    "deleted_at": ("deleted_us", optional_us),
}


def _changed_columns(change: VersionChange) -> dict[str, Any]:
    changed: dict[str, Any] = {}
    for field, (column, convert) in _COLUMNS.items():
        value = getattr(change, field)
        if value is not msgspec.UNSET:
            changed[column] = convert(value)
    return changed
