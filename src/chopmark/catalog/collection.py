"""The collector's lock and its questions in SQL."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from chopmark.abc.collection import DueVersion, Holding, Usage
from chopmark.base.clock import from_us, to_us
from chopmark.catalog.collection_statements import CollectionStatements, bound_values
from chopmark.catalog.damage import row_of
from chopmark.catalog.execution import Executor, Prepared
from chopmark.domain.refs import ModelRef
from chopmark.domain.retention import Candidate
from chopmark.domain.storage import By
from chopmark.errors import IntegrityFailure

__all__ = ["SqlCollection"]

NEVER_US = -(2**62)
_LAST = "sha256:g"  # after all digests: the first letter after the hexadecimal digits


class SqlCollection:
    """`chopmark.abc.collection.Collection`."""

    __slots__ = ("_run", "_sql")

    def __init__(self, run: Executor, statements: CollectionStatements) -> None:
        self._run = run
        self._sql = statements

    def generation(self) -> int:
        """See the interface."""
        return self._read(self._sql.generation)

    def hold(self) -> int:
        """See the interface."""
        return self._read(self._sql.hold)

    def open(self) -> int:
        """See the interface."""
        return self._move(parity=1)

    def lock(self) -> int:
        """See the interface."""
        self._run.check_writing()
        return self._read(self._sql.lock)

    def close(self) -> int:
        """See the interface."""
        return self._move(parity=0)

    def _read(self, prepared: Prepared) -> int:
        row = self._run.one(prepared, {})
        if row is None:
            msg = "The row that holds the generation of the collection is gone."
            raise IntegrityFailure(msg, hint="Restore the catalog from a backup.")
        return _generation(row)

    def _move(self, *, parity: int) -> int:
        generation = self.lock()
        if generation % 2 != parity:
            generation += 1
            self._run.change(self._sql.move, {"generation": str(generation)})
        return generation

    def due(self, before: datetime, *, after: int = 0, limit: int) -> list[DueVersion]:
        """See the interface."""
        values = {"before": to_us(before), "after": after, "limit": limit}
        return [_due(row) for row in self._run.all(self._sql.due, values)]

    def due_users(self, before: datetime) -> list[tuple[UUID, UUID]]:
        """See the interface."""
        values = {"before": to_us(before)}
        return [_user(row) for prepared in self._sql.due_users for row in self._run.all(prepared, values)]

    def live_blobs(self, deleted_before: datetime | None, *, after: str = "") -> Iterator[tuple[str, int]]:
        """See the interface."""
        before = NEVER_US if deleted_before is None else to_us(deleted_before)
        while after < _LAST:
            row = self._run.one(self._sql.blobs_bound, {"after": after})
            bound = _LAST if row is None else _word(row)
            yield from map(
                _sized, self._run.all(self._sql.live_blobs, {"before": before, "after": after, "bound": bound})
            )
            after = bound

    def referenced(self, digests: Sequence[str]) -> set[str]:
        """See the interface."""
        return self._some(self._sql.referenced(len(digests)), digests)

    def blobs_like(self, prefix: str, *, limit: int) -> list[str]:
        """See the interface."""
        return self._like("files", prefix, limit)

    def manifests_like(self, prefix: str, *, limit: int) -> list[str]:
        """See the interface."""
        return self._like("manifests", prefix, limit)

    def manifest_users(self, digest: str, *, limit: int) -> list[UUID]:
        """See the interface."""
        values = {"digest": digest, "limit": limit}
        return [_uid(row) for row in self._run.all(self._sql.manifest_users, values)]

    def orphan_manifests(self, deleted_before: datetime, *, after: str = "", limit: int) -> list[str]:
        """See the interface."""
        values = {"before": to_us(deleted_before), "after": after, "limit": limit}
        return [_word(row) for row in self._run.all(self._sql.orphan_manifests, values)]

    def orphan_datasets(self, *, after: str = "", limit: int) -> list[str]:
        """See the interface."""
        values = {"after": after, "limit": limit}
        return [_word(row) for row in self._run.all(self._sql.orphan_datasets, values)]

    def remove_manifests(self, digests: Sequence[str]) -> set[str]:
        """See the interface."""
        self._run.check_writing()
        return self._some(self._sql.removal(len(digests), "manifests"), digests)

    def remove_datasets(self, nodes: Sequence[str]) -> set[str]:
        """See the interface."""
        self._run.check_writing()
        return self._some(self._sql.removal(len(nodes), "datasets"), nodes)

    def candidates(self, model_id: UUID) -> list[tuple[UUID, Candidate]]:
        """See the interface."""
        return [_candidate(row) for row in self._run.all(self._sql.candidates, {"model": model_id.bytes})]

    def usage(
        self, by: By, *, project: str | None = None, model_id: UUID | None = None, after: int = 0, limit: int
    ) -> list[Usage]:
        """See the interface."""
        prepared = self._sql.usage(by, project=project is not None, model=model_id is not None)
        values: dict[str, Any] = {"after": after, "limit": limit}
        if project is not None:
            values["project"] = project
        if model_id is not None:
            values["model"] = model_id.bytes
        return [_usage(by, row) for row in self._run.all(prepared, values)]

    def holding(self, by: By, key: int) -> Holding:
        """See the interface."""
        row = self._run.one(self._sql.holding(by), {"key": key})
        return Holding(0, 0, 0) if row is None else Holding(*row)

    def _some(self, prepared: Prepared, values: Sequence[str]) -> set[str]:
        return {_word(row) for row in self._run.all(prepared, bound_values(values))} if values else set()

    def _like(self, what: str, prefix: str, limit: int) -> list[str]:
        values = {"low": prefix, "high": prefix + "g", "limit": limit}  # the first letter after the hexadecimal digits
        return [_word(row) for row in self._run.all(self._sql.like(what), values)]


@row_of("the generation of the collection", "s")
def _generation(row: tuple[Any, ...]) -> int:
    return int(row[0])


@row_of("a deleted version", "ibssii")
def _due(row: tuple[Any, ...]) -> DueVersion:
    key, uid, project, model, number, deleted_us = row
    return DueVersion(key, UUID(bytes=uid), f"{ModelRef(project, model)}:{number}", from_us(deleted_us))


@row_of("a version", "b")
def _uid(row: tuple[Any, ...]) -> UUID:
    return UUID(bytes=row[0])


@row_of("a lineage edge", "bs")
def _user(row: tuple[Any, ...]) -> tuple[UUID, UUID]:
    uid, node = row
    return UUID(bytes=uid), UUID(node.removeprefix("version:"))


@row_of("a version's file", "si")
def _sized(row: tuple[Any, ...]) -> tuple[str, int]:
    digest, size_bytes = row
    return digest, size_bytes


@row_of("a digest or node", "s")
def _word(row: tuple[Any, ...]) -> str:
    word: str = row[0]
    return word


@row_of("a version", "bssiisIS")
def _candidate(row: tuple[Any, ...]) -> tuple[UUID, Candidate]:
    uid, project, model, number, created_us, stage, deleted_us, aliases = row
    candidate = Candidate(
        ref=f"{ModelRef(project, model)}:{number}",
        number=number,
        created_at=from_us(created_us),
        stage=stage,
        aliases=tuple(sorted(aliases.split(","))) if aliases else (),
        deleted_at=None if deleted_us is None else from_us(deleted_us),
    )
    return UUID(bytes=uid), candidate


def _usage(by: By, row: tuple[Any, ...]) -> Usage:
    key, project, model, number, versions, deleted, logical_bytes = row
    ref = str(ModelRef(project, model))
    name = {"project": project, "model": ref, "version": f"{ref}:{number}"}[by]
    return Usage(key, name, versions, deleted, logical_bytes)
