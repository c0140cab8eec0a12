"""A catalog in memory, for tests: slow, small, and true to the interface.

It keeps JSON, as the databases do, so that what comes out is never what went in by identity. A
writing block works on a copy of the state, which takes the place of the old one when it succeeds.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import date, datetime
from typing import Any, TypeVar
from uuid import UUID

import msgspec

from chopmark.abc import catalog as abc
from chopmark.abc.catalog import Events, Found, Moves, OutboxRow, StoredAnswer, Taken, Texts, VersionChange
from chopmark.base.clock import to_us
from chopmark.base.jsons import decode, encode
from chopmark.domain.audit import GENESIS, AuditEvent, event_hash
from chopmark.domain.lifecycle import StageMove
from chopmark.domain.lineage import version_node
from chopmark.domain.manifest import Manifest
from chopmark.domain.positions import check_position, position_of
from chopmark.domain.query import FieldName, Order, Query, field_values, fold, matches
from chopmark.domain.semver import SemVer
from chopmark.domain.usage import LoadCount
from chopmark.domain.versions import Alias, AliasMove, Evaluation, Model, Project, TrustDecision, Version
from chopmark.errors import Conflict, InvalidRequest, NotFound, TimedOut
from chopmark.testing.memory_collection import MemoryCollection, MemoryRows
from chopmark.testing.memory_lineage import MemoryDatasets, MemoryLineage

__all__ = ["MemoryCatalog"]

T = TypeVar("T")
Rows = list[tuple[Any, bytes]]


def _first(values: Iterable[T]) -> T | None:
    return next(iter(values), None)


class State:
    """Everything that is stored."""

    def __init__(self) -> None:
        self.projects: dict[str, bytes] = {}
        self.models: dict[UUID, bytes] = {}
        self.versions: dict[UUID, bytes] = {}
        self.manifests: dict[str, bytes] = {}
        self.files: dict[UUID, frozenset[str]] = {}
        self.aliases: dict[tuple[UUID, str], bytes] = {}
        self.alias_moves: Rows = []
        self.stage_moves: Rows = []
        self.evaluations: Rows = []
        self.edges: dict[tuple[str, str, str], bytes] = {}
        self.datasets: dict[str, bytes] = {}
        self.decisions: Rows = []
        self.loads: dict[tuple[UUID, date], int] = {}
        self.audit: list[bytes] = []
        self.outbox: dict[int, bytes] = {}
        self.outbox_seq = 0
        self.recorded_seq = 0
        self.generation = 0
        self.keys: dict[UUID, int] = {}
        self.answers: dict[tuple[str, str], StoredAnswer] = {}

    def copy(self) -> State:
        """A state that can be changed without changing this one."""
        other = State()
        for name, value in vars(self).items():
            setattr(other, name, value.copy() if isinstance(value, dict | list) else value)
        return other


class Scope:
    """One transaction's state, until it ends."""

    def __init__(self, state: State, *, is_writing: bool) -> None:
        self._state: State | None = state
        self._is_writing = is_writing

    def end(self) -> None:
        """Refuse everything from now on."""
        self._state = None

    @property
    def read(self) -> State:
        """The state, to read."""
        if self._state is None:
            raise InvalidRequest("This transaction has ended.", hint="Work inside the with block.")
        return self._state

    @property
    def write(self) -> State:
        """The state, to change."""
        state = self.read
        if not self._is_writing:
            raise InvalidRequest("This transaction only reads.", hint="Open it with writing().")
        return state

    def model(self, model_id: UUID) -> Model:
        """The model with this id, to hang something on."""
        body = self.write.models.get(model_id)
        if body is None:
            raise NotFound(f"There is no model with the id {model_id}.")
        return decode(body, Model)

    def version(self, version_id: UUID) -> Version:
        """The version with this id, to change it or hang something on it."""
        body = self.write.versions.get(version_id)
        if body is None:
            raise NotFound(f"There is no version with the id {version_id}.")
        return decode(body, Version)


class Surface:
    """What the surfaces share: the scope they work in."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope


class MemoryProjects(Surface):
    """`chopmark.abc.catalog.Projects`."""

    def get(self, name: str) -> Project | None:
        """See the interface."""
        body = self._scope.read.projects.get(name)
        return None if body is None else decode(body, Project)

    def list(self, *, after: str = "", limit: int) -> list[Project]:
        """See the interface."""
        names = sorted(n for n in self._scope.read.projects if n > after)
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
        return _first(m for m in self._all(deleted) if (m.project, m.name) == (project, name))

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
        limit: int,
        deleted: bool = False,
    ) -> list[Model]:
        """See the interface."""
        found = [
            m
            for m in self._all(deleted)
            if (project is None or m.project == project)
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


class MemoryVersions(Surface):
    """`chopmark.abc.catalog.Versions`."""

    def insert(self, version: Version, manifest: Manifest) -> None:
        """See the interface."""
        self._scope.model(version.model_id)
        for other in self._of(version.model_id):
            if other.number == version.number or other.semver == version.semver:
                raise Taken(f"{other.ref} has this number or SemVer already.")
        if version.id in self._scope.write.versions:
            raise Taken(f"There is a version with the id {version.id} already.")
        state = self._scope.write
        state.keys.setdefault(version.id, len(state.keys) + 1)
        state.versions[version.id] = encode(msgspec.structs.replace(version, aliases=()))
        state.manifests.setdefault(version.digest, encode(manifest))
        state.files[version.id] = frozenset(f.digest for f in manifest.files)

    def by_id(self, version_id: UUID) -> Version | None:
        """See the interface."""
        return _first(v for v in self._all() if v.id == version_id)

    def by_number(self, model_id: UUID, number: int, *, deleted: bool = False) -> Version | None:
        """See the interface."""
        return _first(v for v in self._shown(model_id, deleted) if v.number == number)

    def by_semver(self, model_id: UUID, semver: str, *, deleted: bool = False) -> Version | None:
        """See the interface."""
        return _first(v for v in self._shown(model_id, deleted) if v.semver == semver)

    def by_digest(self, model_id: UUID, prefix: str, *, deleted: bool = False, limit: int = 2) -> list[Version]:
        """See the interface."""
        return [v for v in self._shown(model_id, deleted) if v.digest.startswith(prefix)][:limit]

    def latest(self, model_id: UUID) -> Version | None:
        """See the interface."""
        return _first(self._usable(model_id))

    def highest_release(self, model_id: UUID) -> Version | None:
        """See the interface."""
        return _first(_by_precedence(self._of(model_id)))

    def in_range(self, model_id: UUID, low_key: str, high_key: str) -> Version | None:
        """See the interface."""
        return _first(
            v
            for v in _by_precedence(self._usable(model_id))
            if low_key <= _precedence(v) < high_key and not SemVer.parse(v.semver).prerelease
        )

    def in_stage(self, model_id: UUID, stage: str, *, limit: int = 100) -> list[Version]:
        """See the interface."""
        there = [v for v in self._shown(model_id, deleted=False) if v.stage == stage]
        return sorted(there, key=lambda v: (v.stage_since, v.number), reverse=True)[:limit]

    def in_model(self, model_id: UUID, *, deleted: bool = False, limit: int) -> list[Version]:
        """See the interface."""
        return self._shown(model_id, deleted)[:limit]

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
        found = [
            v
            for v in self._all()
            if (v.deleted_at is not None) == deleted
            and (project is None or v.project == project)
            and (model_id is None or v.model_id == model_id)
            and matches(query.where, v)
        ]
        positions = sorted((position_of(query.order, v) for v in found), key=lambda p: _sort_key(query.order, p))
        if after is not None:
            start = _sort_key(query.order, check_position(query.order, after))
            positions = [p for p in positions if _sort_key(query.order, p) > start]
        by_id = {v.id.hex: v for v in found}
        page = positions[:limit]
        versions = [by_id[p[-1]] for p in page]
        return Found(versions, page[-1] if len(positions) > limit else None)

    def has_key(self, field: abc.KeyedField, key: str) -> bool:
        """See the interface."""
        return any(field_values(FieldName(field, key), v) for v in self._all())

    def keys(self, field: abc.KeyedField, *, limit: int) -> list[str]:
        """See the interface."""
        keys = {k for v in self._all() for k in getattr(v, field) if field_values(FieldName(field, k), v)}
        return sorted(keys)[:limit]

    def update(self, version_id: UUID, change: VersionChange, at: datetime) -> None:
        """See the interface."""
        stored = self._scope.version(version_id)
        fields = {n: v for n in change.__struct_fields__ if (v := getattr(change, n)) is not msgspec.UNSET}
        changed = msgspec.structs.replace(stored, updated_at=at, **fields)
        self._scope.write.versions[version_id] = encode(changed)

    def purge(self, version_id: UUID) -> None:
        """See the interface."""
        version = self._scope.version(version_id)
        state, node = self._scope.write, version_node(version_id)
        del state.versions[version_id], state.files[version_id]
        for key, body in list(state.aliases.items()):
            if key[0] == version.model_id and decode(body, Alias).number == version.number:
                del state.aliases[key]
        state.stage_moves = [row for row in state.stage_moves if row[0] != version_id]
        state.evaluations = [row for row in state.evaluations if row[0] != version_id]
        state.loads = {k: n for k, n in state.loads.items() if k[0] != version_id}
        state.edges = {k: e for k, e in state.edges.items() if node not in (k[0], k[2])}

    def blob_users(self, digest: str, *, limit: int = 100) -> list[Version]:
        """See the interface."""
        files = self._scope.read.files
        return [v for v in self._all() if digest in files[v.id]][:limit]

    def referenced_blobs(self) -> Iterator[str]:
        """See the interface."""
        yield from sorted(set().union(*self._scope.read.files.values()))

    def _all(self) -> Iterator[Version]:
        state = self._scope.read
        for body in state.versions.values():
            version = decode(body, Version)
            names = sorted(
                name
                for (model_id, name), alias in state.aliases.items()
                if model_id == version.model_id and decode(alias, Alias).number == version.number
            )
            yield msgspec.structs.replace(version, aliases=tuple(names))

    def _of(self, model_id: UUID) -> list[Version]:
        found = (v for v in self._all() if v.model_id == model_id)
        return sorted(found, key=lambda v: v.number, reverse=True)

    def _shown(self, model_id: UUID, deleted: bool) -> list[Version]:
        return [v for v in self._of(model_id) if deleted or v.deleted_at is None]

    def _usable(self, model_id: UUID) -> list[Version]:
        shown = self._shown(model_id, deleted=False)
        return [v for v in shown if v.state == "ready" and v.stage != "archived"]


class MemoryManifests(Surface):
    """`chopmark.abc.catalog.Manifests`."""

    def get(self, digest: str) -> Manifest | None:
        """See the interface."""
        body = self._scope.read.manifests.get(digest)
        return None if body is None else decode(body, Manifest)


class MemoryAliases(Surface):
    """`chopmark.abc.catalog.Aliases`."""

    def get(self, model_id: UUID, name: str) -> Alias | None:
        """See the interface."""
        body = self._scope.read.aliases.get((model_id, name))
        return None if body is None else decode(body, Alias)

    def version(self, model_id: UUID, name: str) -> Version | None:
        """See the interface."""
        alias = self.get(model_id, name)
        versions = MemoryVersions(self._scope)
        return None if alias is None else versions.by_number(model_id, alias.number, deleted=True)

    def list(self, model_id: UUID) -> list[Alias]:
        """See the interface."""
        mine = sorted(key for key in self._scope.read.aliases if key[0] == model_id)
        return [decode(self._scope.read.aliases[key], Alias) for key in mine]

    def put(self, model_id: UUID, alias: Alias) -> None:
        """See the interface."""
        state = self._scope.write
        if MemoryVersions(self._scope).by_number(model_id, alias.number, deleted=True) is None:
            raise NotFound(f"{alias.model} has no version {alias.number}.")
        state.aliases[model_id, alias.name] = encode(alias)

    def remove(self, model_id: UUID, name: str) -> None:
        """See the interface."""
        if self._scope.write.aliases.pop((model_id, name), None) is None:
            raise NotFound(f"There is no alias {name}.")

    def record(self, model_id: UUID, move: AliasMove) -> None:
        """See the interface."""
        self._scope.model(model_id)
        self._scope.write.alias_moves.append(((model_id, move.name), encode(move)))

    def history(self, model_id: UUID, name: str = "", *, until: datetime | None = None, limit: int) -> Moves:
        """See the interface."""
        rows = [(of_model, body) for (of_model, of_name), body in self._scope.read.alias_moves if name in ("", of_name)]
        moves = _of_key(rows, model_id, AliasMove)
        return _newest(moves, lambda m: m.at, until)[:limit]


class MemoryStages(Surface):
    """`chopmark.abc.catalog.Stages`."""

    def record(self, version_id: UUID, move: StageMove) -> None:
        """See the interface."""
        self._scope.version(version_id)
        self._scope.write.stage_moves.append((version_id, encode(move)))

    def history(self, version_id: UUID, *, until: datetime | None = None, limit: int) -> list[StageMove]:
        """See the interface."""
        moves = _of_key(self._scope.read.stage_moves, version_id, StageMove)
        return _newest(moves, lambda m: m.at, until)[:limit]


class MemoryEvaluations(Surface):
    """`chopmark.abc.catalog.Evaluations`."""

    def insert(self, version_id: UUID, evaluation: Evaluation) -> None:
        """See the interface."""
        self._scope.version(version_id)
        rows = self._scope.write.evaluations
        if any(decode(body, Evaluation).id == evaluation.id for _, body in rows):
            raise Conflict(f"There is an evaluation with the id {evaluation.id} already.")
        rows.append((version_id, encode(evaluation)))

    def list(self, version_id: UUID, *, limit: int) -> list[Evaluation]:
        """See the interface."""
        rows = _of_key(self._scope.read.evaluations, version_id, Evaluation)
        return _newest(rows, lambda e: e.at)[:limit]


class MemoryTrust(Surface):
    """`chopmark.abc.catalog.Trust`."""

    def get(self, digest: str) -> list[TrustDecision]:
        """See the interface."""
        rows = _of_key(self._scope.read.decisions, digest, TrustDecision)
        return _newest(rows, lambda d: d.at)

    def insert(self, decision: TrustDecision) -> None:
        """See the interface."""
        self._scope.write.decisions.append((decision.digest, encode(decision)))

    def remove(self, digest: str) -> int:
        """See the interface."""
        state = self._scope.write
        kept = [row for row in state.decisions if row[0] != digest]
        removed = len(state.decisions) - len(kept)
        state.decisions = kept
        return removed


class MemoryLoads(Surface):
    """`chopmark.abc.catalog.Loads`."""

    def add(self, counts: Mapping[tuple[UUID, date], int]) -> None:
        """See the interface."""
        state = self._scope.write
        for key, count in counts.items():
            if key[0] in state.versions:
                state.loads[key] = state.loads.get(key, 0) + count

    def list(
        self,
        model_id: UUID,
        *,
        number: int | None = None,
        since: date | None = None,
        until: date | None = None,
        after: tuple[date, int] | None = None,
        limit: int,
    ) -> list[LoadCount]:
        """See the interface."""
        found = [
            LoadCount(project=v.project, model=v.model, number=v.number, day=day, count=count)
            for v, day, count in self._of(model_id)
            if number in (None, v.number)
            and (since is None or since <= day)
            and (until is None or day <= until)
            and (after is None or (day, v.number) < after)
        ]
        return sorted(found, key=lambda c: (c.day, c.number), reverse=True)[:limit]

    def last_days(self, model_id: UUID) -> dict[UUID, date]:
        """See the interface."""
        found: dict[UUID, date] = {}
        for version, day, _ in self._of(model_id):
            found[version.id] = max(day, found.get(version.id, day))
        return found

    def _of(self, model_id: UUID) -> Iterator[tuple[Version, date, int]]:
        state = self._scope.read
        for (version_id, day), count in state.loads.items():
            version = decode(state.versions[version_id], Version)
            if version.model_id == model_id:
                yield version, day, count


class MemoryAudit(Surface):
    """`chopmark.abc.catalog.Audit`."""

    def append(self, event: AuditEvent) -> AuditEvent:
        """See the interface."""
        chain = self._scope.write.audit
        previous = decode(chain[-1], AuditEvent).hash if chain else GENESIS
        event = msgspec.structs.replace(event, seq=len(chain) + 1, previous=previous, hash="")
        event = decode(encode(event), AuditEvent)
        event = msgspec.structs.replace(event, hash=event_hash(event))
        chain.append(encode(event))
        return event

    def list(
        self,
        *,
        after_seq: int = 0,
        before_seq: int | None = None,
        target: str = "",
        event: str = "",
        newest_first: bool = False,
        limit: int,
    ) -> list[AuditEvent]:
        """See the interface."""
        chain = [decode(body, AuditEvent) for body in self._scope.read.audit]
        found = [
            e
            for e in chain
            if e.seq > after_seq
            and (before_seq is None or e.seq < before_seq)
            and target in ("", e.target)
            and event in ("", e.event)
        ]
        return (found[::-1] if newest_first else found)[:limit]

    def about(self, targets: Texts, beginnings: Texts, *, after_seq: int = 0, limit: int) -> Events:
        """See the interface."""
        events = self.list(after_seq=after_seq, limit=len(self._scope.read.audit))
        begins = tuple(beginnings)
        return [e for e in events if e.target in targets or e.target.startswith(begins)][:limit]

    def first_after(self, time: datetime) -> int | None:
        """See the interface."""
        to_us(time)
        events = self.list(limit=len(self._scope.read.audit))
        return _first(e.seq for e in events if e.at > time)

    def head(self) -> tuple[int, str]:
        """See the interface."""
        chain = self._scope.read.audit
        return len(chain), decode(chain[-1], AuditEvent).hash if chain else GENESIS


class MemoryRecorded(Surface):
    """`chopmark.abc.catalog.Recorded`."""

    def position(self) -> int:
        """See the interface."""
        return self._scope.read.recorded_seq

    def move(self, seq: int) -> None:
        """See the interface."""
        self._scope.write.recorded_seq = max(seq, self._scope.write.recorded_seq)

    def put_back(self, events: Iterable[AuditEvent]) -> None:
        """See the interface."""
        chain = self._scope.write.audit
        if chain:
            raise Conflict("This catalog has events of its own already.")
        chain += map(encode, events)
        self._scope.write.recorded_seq = len(chain)


class MemoryOutbox(Surface):
    """`chopmark.abc.catalog.Outbox`."""

    def add(self, event: AuditEvent) -> None:
        """See the interface."""
        state = self._scope.write
        state.outbox_seq += 1
        state.outbox[state.outbox_seq] = encode(event)

    def pending(self, *, after_seq: int = 0, limit: int) -> list[OutboxRow]:
        """See the interface."""
        waiting = [(seq, body) for seq, body in self._scope.read.outbox.items() if seq > after_seq]
        return [OutboxRow(seq, decode(body, AuditEvent)) for seq, body in waiting[:limit]]

    def delivered(self, seqs: Iterable[int], at: datetime) -> None:
        """See the interface."""
        to_us(at)
        for seq in seqs:
            self._scope.write.outbox.pop(seq, None)


class MemoryIdempotencyKeys(Surface):
    """`chopmark.abc.catalog.IdempotencyKeys`."""

    def get(self, actor: str, key: str) -> StoredAnswer | None:
        """See the interface."""
        return self._scope.read.answers.get((actor, key))

    def put(self, actor: str, key: str, op: str, answer: StoredAnswer) -> None:
        """See the interface."""
        if (actor, key) in self._scope.write.answers:
            raise Taken(f"The idempotency key {key} of {op} was used already.")
        self._scope.write.answers[actor, key] = answer


class MemoryTransaction:
    """`chopmark.abc.catalog.Transaction`."""

    def __init__(self, scope: Scope) -> None:
        self.projects: abc.Projects = MemoryProjects(scope)
        self.models: abc.Models = MemoryModels(scope)
        self.versions: abc.Versions = MemoryVersions(scope)
        self.manifests: abc.Manifests = MemoryManifests(scope)
        self.aliases: abc.Aliases = MemoryAliases(scope)
        self.stages: abc.Stages = MemoryStages(scope)
        self.evaluations: abc.Evaluations = MemoryEvaluations(scope)
        self.lineage: abc.Lineage = MemoryLineage(scope, self.versions.by_id)
        self.datasets: abc.Datasets = MemoryDatasets(scope)
        self.trust: abc.Trust = MemoryTrust(scope)
        self.loads: abc.Loads = MemoryLoads(scope)
        self.audit: abc.Audit = MemoryAudit(scope)
        self.outbox: abc.Outbox = MemoryOutbox(scope)
        self.recorded: abc.Recorded = MemoryRecorded(scope)
        self.idempotency: abc.IdempotencyKeys = MemoryIdempotencyKeys(scope)
        self.collection: abc.Collection = MemoryCollection(scope)
        self.rows: abc.Rows = MemoryRows(scope)


class MemoryCatalog:
    """`chopmark.abc.catalog.Catalog` in memory; it ends with the process, and is of one process.

    Parameters
    ----------
    lock_timeout_s
        How long a writer waits for others.
    """

    def __init__(self, lock_timeout_s: float = 30.0) -> None:
        self._state = State()
        self._writer = threading.Lock()
        self._owner: int | None = None
        self._lock_timeout_s = lock_timeout_s
        self._is_closed = False

    def reading(self) -> AbstractContextManager[abc.Transaction]:
        """See the interface."""
        return self._reading()

    def writing(self) -> AbstractContextManager[abc.Transaction]:
        """See the interface."""
        return self._writing()

    def close(self) -> None:
        """See the interface."""
        self._is_closed = True

    @contextmanager
    def _reading(self) -> Iterator[abc.Transaction]:
        self._check_open()
        scope = Scope(self._state, is_writing=False)
        try:
            yield MemoryTransaction(scope)
        finally:
            scope.end()

    @contextmanager
    def _writing(self) -> Iterator[abc.Transaction]:
        self._check_open()
        if self._owner == threading.get_ident():
            raise InvalidRequest("This thread is inside writing() already.", hint="Use that transaction.")
        if not self._writer.acquire(timeout=self._lock_timeout_s):
            raise TimedOut(f"Others have been writing for {self._lock_timeout_s:g} seconds.")
        self._owner = threading.get_ident()
        state = self._state.copy()
        scope = Scope(state, is_writing=True)
        try:
            yield MemoryTransaction(scope)
            self._state = state
        finally:
            scope.end()
            self._owner = None
            self._writer.release()

    def _check_open(self) -> None:
        if self._is_closed:
            raise InvalidRequest("The catalog was closed.", hint="Open it again.")


def _of_key(rows: Rows, key: Any, kind: type[T]) -> list[T]:
    return [decode(body, kind) for k, body in rows if k == key]


def _newest(records: list[T], time: Callable[[T], datetime], until: datetime | None = None) -> list[T]:
    """Those not after ``until``, newest first; of one time, the one that was added last."""
    found = [r for r in reversed(records) if until is None or time(r) <= until]
    return sorted(found, key=time, reverse=True)


def _precedence(version: Version) -> str:
    return SemVer.parse(version.semver).sort_key


def _by_precedence(versions: Iterable[Version]) -> list[Version]:
    return sorted(versions, key=lambda v: (_precedence(v), v.number), reverse=True)


def _sort_key(order: Sequence[Order], position: Sequence[Any]) -> list[Any]:
    *values, created_us, uid = position
    keys: list[Any] = [_Directed(v, o.descending) for o, v in zip(order, values, strict=True)]
    if not any(o.field.name == "created_at" for o in order):
        keys.append(-created_us)
    return [*keys, -int(uid, 16)]


class _Directed:
    """A value that sorts up or down, missing last either way; kinds sort before values."""

    __slots__ = ("_descending", "_value")

    def __init__(self, value: Any, descending: bool) -> None:
        kind = 0 if isinstance(value, bool) else 2 if isinstance(value, str) else 1
        self._value = None if value is None else (kind, value)
        self._descending = descending

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Directed) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __lt__(self, other: _Directed) -> bool:
        if self._value is None or other._value is None:
            return self._value is not None and other._value is None
        return other._value < self._value if self._descending else self._value < other._value
