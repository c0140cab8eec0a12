"""Rows against the record they come from, in SQL."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any
from uuid import UUID

from msgspec import structs
from sqlalchemy import Table, bindparam, exists, func, literal_column, select

from chopmark.abc.checking import UNREADABLE_TIME, CheckedModel, CheckedVersion
from chopmark.base.clock import from_us, to_us
from chopmark.base.jsons import decode
from chopmark.catalog.damage import row_of
from chopmark.catalog.execution import Compiler, Executor, Prepared, Row
from chopmark.catalog.records import (
    file_rows,
    metric_rows,
    param_rows,
    tag_rows,
    version_from_row,
    version_row,
    word_rows,
)
from chopmark.catalog.version_statements import version_columns
from chopmark.domain.lineage import Edge
from chopmark.domain.manifest import Manifest
from chopmark.domain.names import counted
from chopmark.domain.refs import ModelRef
from chopmark.domain.versions import Version
from chopmark.domain.words import words_of
from chopmark.errors import ChopmarkError

__all__ = ["RowStatements", "SqlRows"]

# Of what a version's record does not hold, or what no row can contradict.
_NOT_COMPARED = ("uid", "model_uid", "body", "card", "description", "tags", "annotations", "deprecation")


class RowStatements:
    """Statements of the check, compiled when first used."""

    def __init__(self, compiler: Compiler) -> None:
        self.compiler = compiler
        self.tables = compiler.tables

    @cached_property
    def compared(self) -> list[str]:
        """Columns of a version that its record holds too."""
        return [
            c.name for c in self.tables.versions.c if c.name not in (*_NOT_COMPARED, "key", "project_key", "model_key")
        ]

    @cached_property
    def versions(self) -> Prepared:
        """Key, reference and columns to compare, from the first key after ``after``."""
        t = self.tables
        p, m, v = t.projects, t.models, t.versions
        joined = v.join(m, m.c.key == v.c.model_key).join(p, p.c.key == m.c.project_key)
        columns = [v.c[name] for name in self.compared]
        page = select(v.c.key, p.c.name, m.c.name, v.c.number, v.c.project_key, m.c.project_key, *columns)
        page = page.select_from(joined).where(v.c.key > bindparam("after"))
        return self.compiler(page.order_by(v.c.key).limit(bindparam("limit")))

    @cached_property
    def version(self) -> Prepared:
        """What `version_from_row` reads, of ``key``."""
        return self.compiler(version_columns(self.compiler).where(self.tables.versions.c.key == bindparam("key")))

    @cached_property
    def version_key(self) -> Prepared:
        """Key of ``id``."""
        c = self.tables.versions.c
        return self.compiler(select(c.key).where(c.uid == bindparam("id")))

    @cached_property
    def manifest(self) -> Prepared:
        """Body of ``digest``."""
        c = self.tables.manifests.c
        return self.compiler(select(c.body).where(c.digest == bindparam("digest")))

    @cached_property
    def rows_of(self) -> dict[str, Prepared]:
        """Rows of ``key`` in each table beside the version's."""
        t = self.tables
        tables = {"metric": t.metrics, "parameter": t.params, "tag": t.tags, "word": t.words, "file": t.files}
        return {
            what: self.compiler(select(*table.c).where(table.c.version_key == bindparam("key")))
            for what, table in tables.items()
        }

    @cached_property
    def columns_of(self) -> dict[str, list[str]]:
        """Names of their columns."""
        t = self.tables
        tables = {"metric": t.metrics, "parameter": t.params, "tag": t.tags, "word": t.words, "file": t.files}
        return {what: [c.name for c in table.c] for what, table in tables.items()}

    @cached_property
    def models(self) -> Prepared:
        """Key, id, names and numbers, from the first key after ``after``."""
        t = self.tables
        p, m, v = t.projects, t.models, t.versions
        highest = select(func.coalesce(func.max(v.c.number), 0)).where(v.c.model_key == m.c.key).scalar_subquery()
        page = select(m.c.key, m.c.uid, p.c.name, m.c.name, m.c.last_number, highest)
        page = page.select_from(m.join(p, p.c.key == m.c.project_key)).where(m.c.key > bindparam("after"))
        return self.compiler(page.order_by(m.c.key).limit(bindparam("limit")))

    @cached_property
    def alias_names(self) -> Prepared:
        """Every alias that the model with ``key`` has or had."""
        a, h = self.tables.aliases, self.tables.alias_moves
        of_model = [t.c.model_key == bindparam("key") for t in (a, h)]
        both = select(a.c.name).where(of_model[0]).union(select(h.c.name).where(of_model[1]))
        return self.compiler(both.order_by(literal_column("1")))

    @cached_property
    def edges(self) -> Prepared:
        """From the first key after ``after``."""
        c = self.tables.edges.c
        page = select(c.key, c.source, c.relation, c.target, c.at_us).where(c.key > bindparam("after"))
        return self.compiler(page.order_by(c.key).limit(bindparam("limit")))

    @cached_property
    def orphans(self) -> dict[str, Prepared]:
        """How many rows of each table belong to a version or model that is not there."""
        t = self.tables
        of_version = (t.files, t.metrics, t.params, t.tags, t.words, t.loads, t.stage_moves, t.evaluations, t.aliases)
        found = {table.name: self._without(table, "version_key", t.versions) for table in of_version}
        found[t.versions.name] = self._without(t.versions, "model_key", t.models)
        found[t.models.name] = self._without(t.models, "project_key", t.projects)
        found[t.alias_moves.name] = self._without(t.alias_moves, "model_key", t.models)
        return found

    def _without(self, table: Table, column: str, owner: Table) -> Prepared:
        there = exists(select(literal_column("1")).where(owner.c.key == table.c[column]))
        return self.compiler(select(func.count()).select_from(table).where(~there))


class SqlRows:
    """`chopmark.abc.checking.Rows`."""

    __slots__ = ("_run", "_sql")

    def __init__(self, run: Executor, statements: RowStatements) -> None:
        self._run = run
        self._sql = statements

    def versions(self, *, after: int = 0, limit: int) -> list[CheckedVersion]:
        """See the interface."""
        rows = self._run.all(self._sql.versions, {"after": after, "limit": limit})
        return [self._checked(row) for row in rows]

    def _checked(self, row: Row) -> CheckedVersion:
        key, project, model, number, project_key, of_model, *columns = row
        ref = f"{_ref(project, model)}:{number}"
        whole = self._run.one(self._sql.version, {"key": key})
        try:
            version = version_from_row(whole) if whole is not None else None
        except ChopmarkError as error:
            return CheckedVersion(key, ref, None, (error.message,))
        if version is None:
            return CheckedVersion(key, ref, None, ("its row cannot be read",))
        faults = list(self._column_faults(version, columns))
        if project_key != of_model:
            faults.append("its column project_key is not that of its model")
        faults += self._beside_faults(version, key)
        return CheckedVersion(key, ref, version, tuple(faults))

    def _column_faults(self, version: Version, columns: list[Any]) -> Iterable[str]:
        expected = version_row(version)
        for name, there in zip(self._sql.compared, columns, strict=True):
            if expected[name] != there:
                yield f"its column {name} says {there!r}, its record {expected[name]!r}"

    def _beside_faults(self, version: Version, key: int) -> Iterable[str]:
        made_us = to_us(version.created_at)
        expected: dict[str, Callable[[], Iterable[dict[str, Any]]]] = {
            "metric": lambda: metric_rows(version, key),
            "parameter": lambda: param_rows(version, key),
            "tag": lambda: tag_rows(version.tags, key, made_us, version.stage),
            "word": lambda: word_rows(words_of(version), key, made_us),
            "file": lambda: self._file_rows(version, key),
        }
        for what, make in expected.items():
            columns = self._sql.columns_of[what]
            wanted = {tuple(values[c] for c in columns) for values in make()}
            there = {tuple(row) for row in self._run.all(self._sql.rows_of[what], {"key": key})}
            yield from _differences(what, columns, there, wanted)

    def _file_rows(self, version: Version, key: int) -> list[dict[str, Any]]:
        row = self._run.one(self._sql.manifest, {"digest": version.digest})
        try:
            return file_rows(decode(row[0].encode(), Manifest), key) if row is not None else []
        except (ValueError, AttributeError):
            return []  # the manifest is checked by itself

    def models(self, *, after: int = 0, limit: int) -> list[CheckedModel]:
        """See the interface."""
        rows = self._run.all(self._sql.models, {"after": after, "limit": limit})
        return [self._checked_model(row) for row in rows]

    def _checked_model(self, row: Row) -> CheckedModel:
        key, uid, project, name, last, highest = row
        ref = _ref(project, name)
        names = self._alias_names(key)
        try:
            return structs.replace(_model_from_row((key, uid, ref, last, highest)), alias_names=names)
        except ChopmarkError:
            return CheckedModel(key, None, ref, 0, 0, names)

    def _alias_names(self, key: int) -> tuple[str, ...]:
        return tuple(str(row[0]) for row in self._run.all(self._sql.alias_names, {"key": key}))

    def edges(self, *, after: int = 0, limit: int) -> list[tuple[int, Edge]]:
        """See the interface."""
        return [
            (row[0], _checked_edge(row)) for row in self._run.all(self._sql.edges, {"after": after, "limit": limit})
        ]

    def missing(self, ids: Sequence[UUID]) -> set[UUID]:
        """See the interface."""
        return {i for i in ids if self._run.one(self._sql.version_key, {"id": i.bytes}) is None}

    def orphans(self) -> list[str]:
        """See the interface."""
        counts = {name: self._run.one(prepared, {}) for name, prepared in self._sql.orphans.items()}
        return [
            f"{counted(row[0], 'row')} of {name} belong to nothing" for name, row in counts.items() if row and row[0]
        ]


def _ref(project: object, model: object) -> str:
    """As far as the rows tell."""
    return str(ModelRef(str(project), str(model)))


@row_of("a model", "ibsii")
def _model_from_row(row: Row) -> CheckedModel:
    key, uid, ref, last, highest = row
    return CheckedModel(key, UUID(bytes=uid), ref, last, highest, ())


@row_of("an edge", "isssi")
def _edge_from_row(row: Row) -> Edge:
    _, source, relation, target, at_us = row
    return Edge(source=source, relation=relation, target=target, at=from_us(at_us))


def _checked_edge(row: Row) -> Edge:
    try:
        return _edge_from_row(row)
    except ChopmarkError:
        source, relation, target = map(str, row[1:4])
        return Edge(source=source, relation=relation, target=target, at=UNREADABLE_TIME)


def _differences(what: str, columns: list[str], there: set[Row], wanted: set[Row]) -> Iterable[str]:
    named = columns.index({"word": "word", "file": "digest"}.get(what, "key"))
    extra = sorted({str(row[named]) for row in there - wanted})
    missing = sorted({str(row[named]) for row in wanted - there})
    changed = [name for name in extra if name in missing]
    for name in changed:
        yield f"the row of its {what} {name!r} is not what its record says"
    for name in extra:
        if name not in changed:
            yield f"there is a row of a {what} {name!r} that its record does not have"
    for name in missing:
        if name not in changed:
            yield f"the row of its {what} {name!r} is missing"
