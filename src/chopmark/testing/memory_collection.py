"""The collector's lock and its questions in memory (`chopmark.abc.collection`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from chopmark.abc.checking import CheckedModel, CheckedVersion
from chopmark.abc.collection import DueVersion, Holding, Usage
from chopmark.base.jsons import decode
from chopmark.domain.lineage import PARENT_RELATIONS, Edge
from chopmark.domain.manifest import Manifest
from chopmark.domain.retention import Candidate
from chopmark.domain.storage import By
from chopmark.domain.versions import Alias, Model, Project, Version

__all__ = ["MemoryCollection", "MemoryRows"]

_MEMBER = "ensemble_member_of"


class State(Protocol):
    """What is looked at of everything that is stored."""

    projects: dict[str, bytes]
    models: dict[UUID, bytes]
    versions: dict[UUID, bytes]
    manifests: dict[str, bytes]
    files: dict[UUID, frozenset[str]]
    aliases: dict[tuple[UUID, str], bytes]
    alias_moves: list[tuple[Any, bytes]]
    edges: dict[tuple[str, str, str], bytes]
    datasets: dict[str, bytes]
    keys: dict[UUID, int]
    generation: int


class Scope(Protocol):
    """One transaction's state, until it ends."""

    @property
    def read(self) -> State:
        """The state, to read."""
        ...

    @property
    def write(self) -> State:
        """The state, to change."""
        ...


class MemoryCollection:
    """`chopmark.abc.collection.Collection`."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    def generation(self) -> int:
        """See the interface."""
        return self._scope.read.generation

    def hold(self) -> int:
        """See the interface."""
        return self._scope.read.generation  # there is one writer

    def open(self) -> int:
        """See the interface."""
        return self._move(1)

    def lock(self) -> int:
        """See the interface."""
        return self._scope.write.generation

    def close(self) -> int:
        """See the interface."""
        return self._move(0)

    def _move(self, parity: int) -> int:
        state = self._scope.write
        state.generation += state.generation % 2 != parity
        return state.generation

    def due(self, before: datetime, *, after: int = 0, limit: int) -> list[DueVersion]:
        """See the interface."""
        found = [
            DueVersion(self._scope.read.keys[v.id], v.id, v.ref, deleted_at)
            for v in self._versions()
            if (deleted_at := self._due_at(v, before)) is not None
        ]
        return sorted((d for d in found if d.key > after), key=lambda d: d.key)[:limit]

    def due_users(self, before: datetime) -> list[tuple[UUID, UUID]]:
        """See the interface."""
        due = {v.id for v in self._versions() if self._due_at(v, before) is not None}
        pairs = []
        for source, relation, target in self._scope.read.edges:
            if relation in PARENT_RELATIONS:
                used, user = (source, target) if relation == _MEMBER else (target, source)
                pairs.append((UUID(used.removeprefix("version:")), UUID(user.removeprefix("version:"))))
        return [(used, user) for used, user in pairs if used in due]

    def live_blobs(self, deleted_before: datetime | None, *, after: str = "") -> Iterator[tuple[str, int]]:
        """See the interface."""
        sizes: dict[str, int] = {}
        for version in self._versions():
            if deleted_before is None or self._due_at(version, deleted_before) is None:
                sizes |= self._sizes(version)
        yield from sorted((digest, size) for digest, size in sizes.items() if digest > after)

    def referenced(self, digests: Sequence[str]) -> set[str]:
        """See the interface."""
        return set(digests) & set().union(*self._scope.read.files.values())

    def blobs_like(self, prefix: str, *, limit: int) -> list[str]:
        """See the interface."""
        digests: set[str] = set().union(*self._scope.read.files.values())
        return sorted(d for d in digests if d.startswith(prefix))[:limit]

    def manifests_like(self, prefix: str, *, limit: int) -> list[str]:
        """See the interface."""
        return sorted(d for d in self._scope.read.manifests if d.startswith(prefix))[:limit]

    def manifest_users(self, digest: str, *, limit: int) -> list[UUID]:
        """See the interface."""
        return [v.id for v in self._versions() if v.digest == digest][:limit]

    def orphan_manifests(self, deleted_before: datetime, *, after: str = "", limit: int) -> list[str]:
        """See the interface."""
        living = {v.digest for v in self._versions() if self._due_at(v, deleted_before) is None}
        return sorted(d for d in self._scope.read.manifests if d > after and d not in living)[:limit]

    def orphan_datasets(self, *, after: str = "", limit: int) -> list[str]:
        """See the interface."""
        ends = self._ends()
        return sorted(n for n in self._scope.read.datasets if n > after and n not in ends)[:limit]

    def remove_manifests(self, digests: Sequence[str]) -> set[str]:
        """See the interface."""
        used = {v.digest for v in self._versions()}
        state = self._scope.write
        return {d for d in digests if d not in used and state.manifests.pop(d, None) is not None}

    def remove_datasets(self, nodes: Sequence[str]) -> set[str]:
        """See the interface."""
        ends, state = self._ends(), self._scope.write
        return {n for n in nodes if n not in ends and state.datasets.pop(n, None) is not None}

    def candidates(self, model_id: UUID) -> list[tuple[UUID, Candidate]]:
        """See the interface."""
        aliases = [(key[0], decode(body, Alias)) for key, body in self._scope.read.aliases.items()]
        found = []
        for version in sorted(self._versions(), key=lambda v: v.number):
            if version.model_id == model_id:
                names = sorted(a.name for m, a in aliases if m == model_id and a.number == version.number)
                candidate = Candidate(
                    ref=version.ref,
                    number=version.number,
                    created_at=version.created_at,
                    stage=version.stage,
                    aliases=tuple(names),
                    deleted_at=version.deleted_at,
                )
                found.append((version.id, candidate))
        return found

    def usage(
        self, by: By, *, project: str | None = None, model_id: UUID | None = None, after: int = 0, limit: int
    ) -> list[Usage]:
        """See the interface."""
        groups: dict[int, list[Version]] = {}
        for version in self._versions():
            if project in (None, version.project) and model_id in (None, version.model_id):
                groups.setdefault(self._key(by, version), []).append(version)
        return [_usage(by, key, groups[key], self._is_deleted) for key in sorted(groups) if key > after][:limit]

    def holding(self, by: By, key: int) -> Holding:
        """See the interface."""
        mine: dict[str, int] = {}
        others: set[str] = set()
        for version in self._versions():
            sizes = self._sizes(version)
            if self._key(by, version) == key:
                mine |= sizes
            else:
                others |= set(sizes)
        shared = sum(size for digest, size in mine.items() if digest in others)
        return Holding(len(mine), sum(mine.values()) - shared, shared)

    def _versions(self) -> list[Version]:
        return [decode(body, Version) for body in self._scope.read.versions.values()]

    def _model(self, version: Version) -> Model:
        return decode(self._scope.read.models[version.model_id], Model)

    def _is_deleted(self, version: Version) -> bool:
        return version.deleted_at is not None or self._model(version).deleted_at is not None

    def _due_at(self, version: Version, before: datetime) -> datetime | None:
        times = (version.deleted_at, self._model(version).deleted_at)
        return next((at for at in times if at is not None and at < before), None)

    def _sizes(self, version: Version) -> dict[str, int]:
        manifest = decode(self._scope.read.manifests[version.digest], Manifest)
        return {f.digest: f.size_bytes for f in manifest.files}

    def _ends(self) -> set[str]:
        return {end for source, _, target in self._scope.read.edges for end in (source, target)}

    def _key(self, by: By, version: Version) -> int:
        state = self._scope.read
        if by == "version":
            return state.keys[version.id]
        if by == "model":
            return state.keys[version.model_id]
        return state.keys[decode(state.projects[version.project], Project).id]


class MemoryRows:
    """`chopmark.abc.checking.Rows`: a record is its only row, so nothing contradicts it."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    def versions(self, *, after: int = 0, limit: int) -> list[CheckedVersion]:
        """See the interface."""
        state = self._scope.read
        decoded = [decode(body, Version) for body in state.versions.values()]
        found = [CheckedVersion(state.keys[v.id], v.ref, v, ()) for v in decoded]
        return sorted((c for c in found if c.key > after), key=lambda c: c.key)[:limit]

    def models(self, *, after: int = 0, limit: int) -> list[CheckedModel]:
        """See the interface."""
        state = self._scope.read
        found = [self._model(decode(body, Model)) for i, body in state.models.items() if state.keys[i] > after]
        return sorted(found, key=lambda c: c.key)[:limit]

    def _model(self, model: Model) -> CheckedModel:
        state = self._scope.read
        versions = [decode(body, Version) for body in state.versions.values()]
        highest = max((v.number for v in versions if v.model_id == model.id), default=0)
        names = {key[1] for key in state.aliases if key[0] == model.id}
        names |= {key[1] for key, _ in state.alias_moves if key[0] == model.id}
        key = state.keys[model.id]
        return CheckedModel(key, model.id, model.ref, model.last_number, highest, tuple(sorted(names)))

    def edges(self, *, after: int = 0, limit: int) -> list[tuple[int, Edge]]:
        """See the interface."""
        edges = [decode(body, Edge) for body in self._scope.read.edges.values()]
        return [(n, edge) for n, edge in enumerate(edges, 1) if n > after][:limit]

    def missing(self, ids: Sequence[UUID]) -> set[UUID]:
        """See the interface."""
        return {i for i in ids if i not in self._scope.read.versions}

    def orphans(self) -> list[str]:
        """See the interface."""
        return []


def _usage(by: By, key: int, versions: list[Version], is_deleted: Callable[[Version], bool]) -> Usage:
    first = versions[0]
    model = first.ref.rpartition(":")[0]
    name = {"project": first.project, "model": model, "version": first.ref}[by]
    deleted = sum(1 for v in versions if is_deleted(v))
    return Usage(key, name, len(versions), deleted, sum(v.size_bytes for v in versions))
