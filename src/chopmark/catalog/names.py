"""Projects and models in SQL."""

from __future__ import annotations

from functools import cached_property
from typing import Any
from uuid import UUID

from sqlalchemy import Select, bindparam, delete, func, or_, select, update

from chopmark.abc.catalog import Taken, Texts
from chopmark.catalog.columns import WORD
from chopmark.catalog.damage import row_of
from chopmark.catalog.execution import Compiler, Executor, Prepared
from chopmark.catalog.filters import ZERO, place
from chopmark.catalog.records import (
    json_text,
    model_from_row,
    model_row,
    project_from_row,
    project_row,
)
from chopmark.catalog.sight import in_sight, places_of, seen_values
from chopmark.domain.query import fold
from chopmark.domain.versions import Model, Project
from chopmark.errors import NotFound

__all__ = ["NameStatements", "SqlModels", "SqlProjects"]

CHANGEABLE = (
    "task", "owner", "team", "description", "card", "tags", "last_number", "retention", "updated_us",
    "deleted_us",
)  # fmt: skip


class NameStatements:
    """Statements on projects and models, compiled when first used."""

    def __init__(self, compiler: Compiler) -> None:
        self.compiler = compiler
        self.tables = compiler.tables

    @cached_property
    def project_get(self) -> Prepared:
        """By ``name``."""
        return self.compiler(self._projects().where(self.tables.projects.c.name == bindparam("name")))

    @cached_property
    def project_lock(self) -> Prepared:
        """The same, locked until the transaction ends (SQLite has one writer anyway)."""
        p = self.tables.projects
        return self.compiler(self._projects().where(p.c.name == bindparam("name")).with_for_update(of=p))

    def project_list(self, places: int) -> Prepared:
        """By name from ``after``, with ``places`` only those that are seen."""
        return self.compiler.shaped(("projects", places), lambda: self._project_page(places))

    @cached_property
    def project_insert(self) -> Prepared:
        """Returns the key, or nothing when the name is taken."""
        p = self.tables.projects
        return self.compiler(self.compiler.insert_once(p).returning(p.c.key))

    @cached_property
    def project_update(self) -> Prepared:
        """Description and rules of ``id``."""
        p = self.tables.projects
        values: dict[str, Any] = {c: bindparam(c) for c in ("description", "rules")}
        return self.compiler(update(p).where(p.c.uid == bindparam("id")).values(values))

    @cached_property
    def model_get(self) -> Prepared:
        """By ``project`` and ``name``, soft-deleted too."""
        return self.compiler(self._model())

    @cached_property
    def model_lock(self) -> Prepared:
        """The same, locked until the transaction ends (SQLite has one writer anyway)."""
        return self.compiler(self._model().with_for_update(of=self.tables.models))

    def model_list(self, *, in_project: bool, contains: bool, deleted: bool, places: int) -> Prepared:
        """By project and name from ``after_project``, ``after_name``, with ``places`` only of projects that are seen."""
        shape = ("models", in_project, contains, deleted, places)
        return self.compiler.shaped(shape, lambda: self._model_page(in_project, contains, deleted, places))

    @cached_property
    def model_insert(self) -> Prepared:
        """Adds nothing when the name is taken, or ``project`` is not there."""
        p = self.tables.projects.c
        of_project = p.name == bindparam("project")
        statement = self.compiler.insert_for(self.tables.models, of_project, project_key=p.key)
        return self.compiler(statement.on_conflict_do_nothing())

    @cached_property
    def model_update(self) -> Prepared:
        """What may change, of ``id``."""
        m = self.tables.models
        values = {c: bindparam(c, type_=m.c[c].type) for c in CHANGEABLE}
        return self.compiler(update(m).where(m.c.uid == bindparam("id")).values(values))

    @cached_property
    def model_purge(self) -> Prepared:
        """By ``id``; what hangs on it goes by the foreign keys."""
        m = self.tables.models
        return self.compiler(delete(m).where(m.c.uid == bindparam("id")))

    @cached_property
    def version_uids(self) -> Prepared:
        """Ids of all versions of a model."""
        m, v = self.tables.models, self.tables.versions
        joined = v.join(m, m.c.key == v.c.model_key)
        return self.compiler(select(v.c.uid).select_from(joined).where(m.c.uid == bindparam("id")))

    def _projects(self) -> Select[Any]:
        c = self.tables.projects.c
        return select(c.uid, c.name, c.description, c.rules, c.created_us, c.created_by)

    def _project_page(self, places: int) -> Select[Any]:
        p = self.tables.projects
        page = self._projects().where(p.c.name > bindparam("after")).order_by(p.c.name)
        if places:
            page = page.where(in_sight(p.c.name, places))
        return page.limit(bindparam("limit"))

    def _models(self) -> Select[Any]:
        p, m = self.tables.projects, self.tables.models
        c = m.c
        return select(
            c.uid, p.c.name, c.name, c.kind, c.task, c.owner, c.team, c.description, c.card, c.tags,
            c.last_number, c.retention, c.created_us, c.created_by, c.updated_us, c.deleted_us,
        ).select_from(m.join(p, p.c.key == c.project_key))  # fmt: skip

    def _model(self) -> Select[Any]:
        return self._models().where(
            self.tables.projects.c.name == bindparam("project"),
            self.tables.models.c.name == bindparam("name"),
        )

    def _model_page(self, in_project: bool, contains: bool, deleted: bool, places: int) -> Select[Any]:
        p, m = self.tables.projects.c.name, self.tables.models.c.name
        after_project, after_name = (bindparam(f"after_{what}", type_=WORD) for what in ("project", "name"))
        later = or_(p > after_project, m > after_name)
        page = self._models().where(p >= after_project, later).order_by(p, m)
        if in_project:
            page = page.where(p == bindparam("project"))
        if places:
            page = page.where(in_sight(p, places))
        if contains:
            wanted = bindparam("contains", type_=WORD)
            page = page.where(place(func.lower(m, type_=WORD), wanted) > ZERO)
        if not deleted:
            page = page.where(self.tables.models.c.deleted_us.is_(None))
        return page.limit(bindparam("limit"))


class SqlProjects:
    """`chopmark.abc.catalog.Projects`."""

    __slots__ = ("_run", "_sql")

    def __init__(self, run: Executor, statements: NameStatements) -> None:
        self._run = run
        self._sql = statements

    def get(self, name: str) -> Project | None:
        """See the interface."""
        row = self._run.one(self._sql.project_get, {"name": name})
        return None if row is None else project_from_row(row)

    def lock(self, name: str) -> Project | None:
        """See the interface."""
        self._run.check_writing()
        row = self._run.one(self._sql.project_lock, {"name": name})
        return None if row is None else project_from_row(row)

    def list(self, *, after: str = "", among: Texts | None = None, limit: int) -> list[Project]:
        """See the interface."""
        values = {"after": after, "limit": limit, **seen_values(among)}
        rows = self._run.all(self._sql.project_list(places_of(among)), values)
        return [project_from_row(row) for row in rows]

    def insert(self, project: Project) -> None:
        """See the interface."""
        if self._run.add(self._sql.project_insert, project_row(project)) is None:
            msg = f"There is a project {project.name} already."
            raise Taken(msg, hint="Choose another name, or use that one.")

    def update(self, project: Project) -> None:
        """See the interface."""
        values = {
            "id": project.id.bytes,
            "description": project.description,
            "rules": json_text(project.rules),
        }
        if not self._run.change(self._sql.project_update, values):
            msg = f"There is no project with the id {project.id}."
            raise NotFound(msg)


class SqlModels:
    """`chopmark.abc.catalog.Models`."""

    __slots__ = ("_remove_edges", "_run", "_sql")

    def __init__(self, run: Executor, statements: NameStatements, remove_edges: Any) -> None:
        self._run = run
        self._sql = statements
        self._remove_edges = remove_edges

    def get(self, project: str, name: str, *, deleted: bool = False) -> Model | None:
        """See the interface."""
        found = self._one(self._sql.model_get, project, name)
        if found is not None and found.deleted_at is not None and not deleted:
            return None
        return found

    def lock(self, project: str, name: str) -> Model | None:
        """See the interface."""
        self._run.check_writing()
        return self._one(self._sql.model_lock, project, name)

    def list(
        self,
        *,
        project: str | None,
        contains: str = "",
        after: tuple[str, str] = ("", ""),
        among: Texts | None = None,
        limit: int,
        deleted: bool = False,
    ) -> list[Model]:
        """See the interface."""
        prepared = self._sql.model_list(
            in_project=project is not None, contains=bool(contains), deleted=deleted, places=places_of(among)
        )
        values = {"after_project": after[0], "after_name": after[1], "limit": limit, **seen_values(among)}
        if project is not None:
            values["project"] = project
        if contains:
            values["contains"] = fold(contains)
        return [model_from_row(row) for row in self._run.all(prepared, values)]

    def insert(self, model: Model) -> None:
        """See the interface."""
        if self._run.change(self._sql.model_insert, model_row(model)):
            return
        if self._run.one(self._sql.project_get, {"name": model.project}) is None:
            raise NotFound(f"There is no project {model.project}.", hint="Make it first.")
        msg = f"There is a model {model.ref} already."
        raise Taken(msg, hint="Choose another name, or register into that one.")

    def update(self, model: Model) -> None:
        """See the interface."""
        row = model_row(model)
        values = {name: row[name] for name in CHANGEABLE}
        if not self._run.change(self._sql.model_update, {"id": model.id.bytes, **values}):
            raise _no_model(model.id)

    def purge(self, model_id: UUID) -> None:
        """See the interface."""
        values = {"id": model_id.bytes}
        self._remove_edges([_uid(row) for row in self._run.all(self._sql.version_uids, values)])
        if not self._run.change(self._sql.model_purge, values):
            raise _no_model(model_id)

    def _one(self, prepared: Prepared, project: str, name: str) -> Model | None:
        row = self._run.one(prepared, {"project": project, "name": name})
        return None if row is None else model_from_row(row)


@row_of("a version", "b")
def _uid(row: tuple[Any, ...]) -> UUID:
    return UUID(bytes=row[0])


def _no_model(model_id: UUID) -> NotFound:
    return NotFound(f"There is no model with the id {model_id}.")
