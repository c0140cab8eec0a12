"""Aliases, trust and counts of loads in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from uuid import UUID

from chopmark.abc.pointers import Moves
from chopmark.base.jsons import decode, encode
from chopmark.domain.usage import LoadCount
from chopmark.domain.versions import Alias, AliasMove, TrustDecision, Version
from chopmark.errors import NotFound
from chopmark.testing.memory_state import Surface, newest, of_key
from chopmark.testing.memory_versions import MemoryVersions

__all__ = ["MemoryAliases", "MemoryLoads", "MemoryTrust"]


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
        moves = of_key(rows, model_id, AliasMove)
        return newest(moves, lambda m: m.at, until)[:limit]


class MemoryTrust(Surface):
    """`chopmark.abc.catalog.Trust`."""

    def get(self, digest: str) -> list[TrustDecision]:
        """See the interface."""
        rows = of_key(self._scope.read.decisions, digest, TrustDecision)
        return newest(rows, lambda d: d.at)

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
