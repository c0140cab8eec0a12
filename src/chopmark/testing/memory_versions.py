"""Versions and manifests in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from chopmark.abc import catalog as abc
from chopmark.abc.catalog import Found, Release, Taken, VersionChange
from chopmark.base.jsons import decode, encode
from chopmark.domain.lineage import version_node
from chopmark.domain.manifest import Manifest
from chopmark.domain.positions import check_position, position_of
from chopmark.domain.query import FieldName, Order, Query, field_values, matches
from chopmark.domain.semver import SemVer
from chopmark.domain.versions import Alias, Version
from chopmark.testing.memory_state import Surface, first_of

__all__ = ["MemoryManifests", "MemoryVersions"]


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
        return first_of(v for v in self._all() if v.id == version_id)

    def by_number(self, model_id: UUID, number: int, *, deleted: bool = False) -> Version | None:
        """See the interface."""
        return first_of(v for v in self._shown(model_id, deleted) if v.number == number)

    def by_semver(self, model_id: UUID, semver: str, *, deleted: bool = False) -> Version | None:
        """See the interface."""
        return first_of(v for v in self._shown(model_id, deleted) if v.semver == semver)

    def by_digest(self, model_id: UUID, prefix: str, *, deleted: bool = False, limit: int = 2) -> list[Version]:
        """See the interface."""
        return [v for v in self._shown(model_id, deleted) if v.digest.startswith(prefix)][:limit]

    def latest(self, model_id: UUID) -> Version | None:
        """See the interface."""
        return first_of(self._usable(model_id))

    def highest_release(self, model_id: UUID) -> Release | None:
        """See the interface."""
        found = first_of(_by_precedence(self._of(model_id)))
        if found is None:
            return None
        return Release(found.number, found.semver, MemoryManifests(self._scope).get(found.digest))

    def in_range(self, model_id: UUID, low_key: str, high_key: str) -> Version | None:
        """See the interface."""
        return first_of(
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
        among: abc.Texts | None = None,
        limit: int,
        deleted: bool = False,
    ) -> Found:
        """See the interface."""
        found = [
            v
            for v in self._all()
            if (v.deleted_at is not None) == deleted
            and (project is None or v.project == project)
            and (among is None or v.project in among)
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
