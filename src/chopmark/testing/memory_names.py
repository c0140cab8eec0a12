"""Projects and models in memory."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import msgspec

from chopmark.abc.catalog import Taken, Texts
from chopmark.base.jsons import decode, encode
from chopmark.domain.query import fold
from chopmark.domain.versions import Model, Project
from chopmark.errors import NotFound
from chopmark.testing.memory_state import Surface, first_of
from chopmark.testing.memory_versions import MemoryVersions

__all__ = ["MemoryModels", "MemoryProjects"]


class MemoryProjects(Surface):
    """`chopmark.abc.catalog.Projects`."""

    def get(self, name: str) -> Project | None:
        """See the interface."""
        body = self._scope.read.projects.get(name)
        return None if body is None else decode(body, Project)

    def lock(self, name: str) -> Project | None:
        """See the interface."""
        body = self._scope.write.projects.get(name)
        return None if body is None else decode(body, Project)

    def list(self, *, after: str = "", among: Texts | None = None, limit: int) -> list[Project]:
        """See the interface."""
        names = sorted(n for n in self._scope.read.projects if n > after and (among is None or n in among))
        return [decode(self._scope.read.projects[n], Project) for n in names[:limit]]

    def insert(self, project: Project) -> None:
        """See the interface."""
        if project.name in self._scope.write.projects:
            raise Taken(f"There is a project {project.name} already.")
        self._scope.write.projects[project.name] = encode(project)
        self._scope.write.keys.setdefault(project.id, len(self._scope.write.keys) + 1)

    def update(self, project: Project) -> None:
        """See the interface."""
        for name, body in self._scope.write.projects.items():
            stored = decode(body, Project)
            if stored.id == project.id:
                changed = msgspec.structs.replace(stored, description=project.description, rules=project.rules)
                self._scope.write.projects[name] = encode(changed)
                return
        raise NotFound(f"There is no project with the id {project.id}.")


class MemoryModels(Surface):
    """`chopmark.abc.catalog.Models`."""

    def get(self, project: str, name: str, *, deleted: bool = False) -> Model | None:
        """See the interface."""
        return first_of(m for m in self._all(deleted) if (m.project, m.name) == (project, name))

    def lock(self, project: str, name: str) -> Model | None:
        """See the interface."""
        _ = self._scope.write
        return self.get(project, name, deleted=True)

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
        found = [
            m
            for m in self._all(deleted)
            if (project is None or m.project == project)
            and (among is None or m.project in among)
            and fold(contains) in fold(m.name)
            and (m.project, m.name) > after
        ]
        return sorted(found, key=lambda m: (m.project, m.name))[:limit]

    def insert(self, model: Model) -> None:
        """See the interface."""
        if model.project not in self._scope.write.projects:
            raise NotFound(f"There is no project {model.project}.")
        if self.get(model.project, model.name, deleted=True) is not None:
            raise Taken(f"There is a model {model.ref} already.")
        self._scope.write.models[model.id] = encode(model)
        self._scope.write.keys.setdefault(model.id, len(self._scope.write.keys) + 1)

    def update(self, model: Model) -> None:
        """See the interface."""
        stored = self._scope.model(model.id)
        changed = msgspec.structs.replace(
            stored,
            task=model.task,
            owner=model.owner,
            team=model.team,
            description=model.description,
            card=model.card,
            tags=model.tags,
            last_number=model.last_number,
            retention=model.retention,
            updated_at=model.updated_at,
            deleted_at=model.deleted_at,
        )
        self._scope.write.models[model.id] = encode(changed)

    def purge(self, model_id: UUID) -> None:
        """See the interface."""
        self._scope.model(model_id)
        state = self._scope.write
        versions = MemoryVersions(self._scope)
        for version in versions.in_model(model_id, deleted=True, limit=len(state.versions)):
            versions.purge(version.id)
        state.alias_moves = [row for row in state.alias_moves if row[0][0] != model_id]
        del state.models[model_id]

    def _all(self, deleted: bool) -> Iterator[Model]:
        models = (decode(body, Model) for body in self._scope.read.models.values())
        return (m for m in models if deleted or m.deleted_at is None)
