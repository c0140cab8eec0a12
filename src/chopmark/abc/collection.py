"""What the collection of garbage asks of a catalog: who may go, what is referred to, and the collector's lock."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

import msgspec

from chopmark.domain.retention import Candidate
from chopmark.domain.storage import By

__all__ = ["Collection", "DueVersion", "Holding", "Usage"]


class DueVersion(msgspec.Struct, frozen=True):
    """A version that was deleted, itself or with its model, before a time.

    Attributes
    ----------
    key
        Goes up from one to the next; pass the last one to go on.
    deleted_at
        When it was deleted.
    """

    key: int
    id: UUID
    ref: str
    deleted_at: datetime


class Usage(msgspec.Struct, frozen=True):
    """What a project, model or version holds.

    Attributes
    ----------
    key
        Goes up from one to the next; pass the last one to go on.
    versions, deleted_versions
        How many, and how many of them are soft-deleted, themselves or with their model.
    logical_bytes
        Sum of the sizes of the versions' files: what downloading them all would take.
    """

    key: int
    name: str
    versions: int
    deleted_versions: int
    logical_bytes: int


class Holding(msgspec.Struct, frozen=True):
    """How many different files, the bytes that nobody else refers to, and those that others share."""

    files: int
    unique_bytes: int
    shared_bytes: int


class Collection(Protocol):
    """The collector's lock, and what it asks.

    The generation is even while no collection is open. An odd one says that a collection may be
    deleting bytes, or was cut off while it did: who relies on bytes being there looks again.
    """

    def generation(self) -> int:
        """The generation, as this transaction sees it."""
        ...

    def hold(self) -> int:
        """The generation; no collection deletes anything until this transaction has ended."""
        ...

    def open(self) -> int:
        """Make the generation odd when it is not; gives it. To be committed before anything is deleted."""
        ...

    def lock(self) -> int:
        """The generation; until this transaction ends nobody holds or locks it.

        What is read afterwards shows all that was committed by those who held it.
        """
        ...

    def close(self) -> int:
        """Make the generation even; gives it. Only under `lock`."""
        ...

    def due(self, before: datetime, *, after: int = 0, limit: int) -> list[DueVersion]:
        """Versions deleted before a time, from the first key after ``after``."""
        ...

    def due_users(self, before: datetime) -> list[tuple[UUID, UUID]]:
        """Each version of `due` that another one has as a parent or member, with that other one."""
        ...

    def live_blobs(self, deleted_before: datetime | None, *, after: str = "") -> Iterator[tuple[str, int]]:
        """Digest and size of the files of all versions but those deleted before a time, sorted, each once.

        Begins after the digest ``after``. With None no version is left out.
        """
        ...

    def referenced(self, digests: Sequence[str]) -> set[str]:
        """Those of the digests that a file of some version has, soft-deleted or not."""
        ...

    def blobs_like(self, prefix: str, *, limit: int) -> list[str]:
        """Digests of files that begin so (``sha256:…``), sorted."""
        ...

    def manifests_like(self, prefix: str, *, limit: int) -> list[str]:
        """Digests of manifests that begin so, sorted."""
        ...

    def manifest_users(self, digest: str, *, limit: int) -> list[UUID]:
        """Versions, soft-deleted too, with this manifest."""
        ...

    def orphan_manifests(self, deleted_before: datetime, *, after: str = "", limit: int) -> list[str]:
        """Digests of manifests that only versions deleted before a time have, or none, sorted."""
        ...

    def orphan_datasets(self, *, after: str = "", limit: int) -> list[str]:
        """Nodes of data sets that no edge leads to, sorted."""
        ...

    def remove_manifests(self, digests: Sequence[str]) -> set[str]:
        """Remove those that no version has; which were removed."""
        ...

    def remove_datasets(self, nodes: Sequence[str]) -> set[str]:
        """Remove those that no edge leads to; which were removed."""
        ...

    def candidates(self, model_id: UUID) -> list[tuple[UUID, Candidate]]:
        """All versions of a model by number, as retention looks at them; loads and who needs them are left empty."""
        ...

    def usage(
        self, by: By, *, project: str | None = None, model_id: UUID | None = None, after: int = 0, limit: int
    ) -> list[Usage]:
        """What each project, model or version holds, within a project or model, by key."""
        ...

    def holding(self, by: By, key: int) -> Holding:
        """Bytes that only the project, model or version with this key refers to, and that it shares."""
        ...
