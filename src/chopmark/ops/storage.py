"""What is asked and answered about the room that a registry takes, and whether it is whole."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from chopmark.base.paging import PAGE_SIZE
from chopmark.domain.storage import By
from chopmark.ops.requests import Request

__all__ = [
    "BlobUser",
    "CheckPage",
    "CheckStorage",
    "CollectStorage",
    "CollectionPage",
    "ExplainBlob",
    "Finding",
    "PlanCollection",
    "Reclaimed",
    "StorageTotals",
    "TotalStorage",
    "Usage",
    "UsageByName",
    "UsagePage",
    "Why",
]

STEP_SIZE = 500
"""Things that one call of a collection frees: it holds the collector's lock meanwhile."""

Hours = Annotated[float, Meta(ge=0, le=24 * 365 * 10)]
Days = Annotated[float, Meta(ge=0, le=365 * 100)]
Kind = Literal["version", "purge", "manifest", "dataset", "blob", "leftover"]
Severity = Literal["error", "warning", "info"]


class CollectStorage(Request, frozen=True, kw_only=True):
    """Free what nothing refers to any more, a step of it; follow the cursor for the rest.

    Attributes
    ----------
    grace_hours
        Bytes put within so many hours stay: a registration that is under way needs them.
    purge_after_days
        Versions are purged so long after they were deleted.
    """

    grace_hours: Hours = 24.0
    purge_after_days: Days = 30.0
    limit: int = STEP_SIZE
    cursor: str = ""


class PlanCollection(CollectStorage, frozen=True, kw_only=True):
    """Say what a collection would free, a page of it; changes nothing."""


class Reclaimed(msgspec.Struct, frozen=True):
    """One thing that a collection frees, or would free.

    Attributes
    ----------
    kind
        ``version`` is soft-deleted because no retention rule keeps it; ``purge``: a version deleted
        long enough ago loses its rows; ``manifest``, ``dataset``: rows that nothing refers to;
        ``blob``: bytes that nothing refers to; ``leftover``: a file of an interrupted put.
    what
        A reference, a digest or a name.
    size_bytes
        Bytes in the store that this frees; 0 for rows.
    why
        In words.
    """

    kind: Kind
    what: str
    size_bytes: int
    why: str


class CollectionPage(msgspec.Struct, frozen=True, kw_only=True):
    """What a step of a collection freed or would free, and the cursor of the next one (empty after the last)."""

    items: list[Reclaimed]
    cursor: str = ""


class UsageByName(Request, frozen=True, kw_only=True):
    """A page of what projects, models or versions hold."""

    by: By = "model"
    project: str | None = None
    model: str | None = None
    limit: int = PAGE_SIZE
    cursor: str = ""


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What a project, model or version holds.

    Attributes
    ----------
    versions, deleted_versions
        How many, and how many of them are soft-deleted: they hold their bytes until they are purged.
    files
        How many different files.
    logical_bytes
        Sum over all versions: what downloading each would take.
    unique_bytes
        Bytes that nobody else holds: what purging it would free.
    shared_bytes
        Bytes that others hold as well, counted once.
    """

    name: str
    versions: int
    deleted_versions: int
    files: int
    logical_bytes: int
    unique_bytes: int
    shared_bytes: int


class UsagePage(msgspec.Struct, frozen=True, kw_only=True):
    """What projects, models or versions hold, oldest first, and the cursor of the next page."""

    items: list[Usage]
    cursor: str = ""


class TotalStorage(Request, frozen=True, kw_only=True):
    """Count the blobs of the store, a part of them; follow the cursor and add up."""

    grace_hours: Hours = 24.0
    purge_after_days: Days = 30.0
    cursor: str = ""


class StorageTotals(msgspec.Struct, frozen=True, kw_only=True):
    """What the store holds.

    Attributes
    ----------
    blobs, raw_bytes, stored_bytes
        How many blobs, their length, and what they take in the store (some are compressed).
    garbage_blobs, garbage_bytes
        Those that a collection would free now, and what they take in the store.
    cursor
        Of the next part; empty after the last.
    """

    blobs: int = 0
    raw_bytes: int = 0
    stored_bytes: int = 0
    garbage_blobs: int = 0
    garbage_bytes: int = 0
    cursor: str = ""


class ExplainBlob(Request, frozen=True, kw_only=True):
    """Say who refers to the bytes of a digest, or to a manifest; eight digits or more are enough."""

    digest: str
    grace_hours: Hours = 24.0
    purge_after_days: Days = 30.0


class BlobUser(msgspec.Struct, frozen=True):
    """A version that refers to a digest: at which paths, in which roles, and whether it is deleted."""

    ref: str
    paths: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    deleted_at: datetime | None = None


class Why(msgspec.Struct, frozen=True, kw_only=True):
    """Why bytes are kept.

    Attributes
    ----------
    digest, kind
        The whole digest, and whether it is that of a ``blob`` or of a ``manifest``.
    size_bytes, stored_bytes, modified_at
        Of a blob that is in the store; None when it is missing there.
    users
        Versions that refer to it, at most 100.
    collectable_at
        When nothing refers to it: since when a collection may free it.
    """

    digest: str
    kind: Literal["blob", "manifest"]
    size_bytes: int | None = None
    stored_bytes: int | None = None
    modified_at: datetime | None = None
    users: list[BlobUser] = []
    collectable_at: datetime | None = None


class CheckStorage(Request, frozen=True, kw_only=True):
    """Check rows against each other and against the bytes, a part of it; follow the cursor for the rest.

    Attributes
    ----------
    content
        Whether every byte is read and hashed; without it presence and sizes are compared.
    """

    content: bool = True
    cursor: str = ""


class Finding(msgspec.Struct, frozen=True):
    """One thing that is not as it should be.

    Attributes
    ----------
    severity
        ``error``: something is lost or was changed; ``warning``: it will not do for long;
        ``info``: good to know.
    code
        Stable name of the kind of finding.
    where
        A reference, digest, file or row.
    what
        What is wrong.
    next_step
        What to do.
    """

    severity: Severity
    code: str
    where: str
    what: str
    next_step: str


class CheckPage(msgspec.Struct, frozen=True, kw_only=True):
    """Findings of a part of the check.

    Attributes
    ----------
    findings
        What was found in this part.
    phase
        What was looked at: ``blobs``, ``store``, ``versions`` …
    checked
        How many things of that phase.
    read_bytes
        How many bytes were read and hashed.
    cursor
        Of the next part; empty after the last.
    """

    findings: list[Finding]
    phase: str
    checked: int
    read_bytes: int = 0
    cursor: str = ""
