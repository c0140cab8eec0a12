"""Requests and answers about keeping a registry: made again from its records, moved as files."""

from __future__ import annotations

from datetime import datetime

import msgspec

from chopmark.domain.manifest import Manifest
from chopmark.domain.names import counted
from chopmark.domain.records import VersionState
from chopmark.domain.versions import Evaluation, Model, Origin
from chopmark.ops.requests import RegisterVersion, Request

__all__ = ["Backup", "ExportVersion", "ImportVersion", "PortableVersion", "RebuildCatalog", "Rebuilt"]


class RebuildCatalog(Request, frozen=True, kw_only=True):
    """Fill an empty catalog from the records beside the blobs.

    Attributes
    ----------
    registry
        Which registry's records, when there are those of several.
    partial
        Whether to go on when records are missing or damaged, with what is left.
    """

    registry: str = ""
    partial: bool = False


class Rebuilt(msgspec.Struct, frozen=True, kw_only=True):
    """What a rebuild put back.

    Attributes
    ----------
    registry
        Identifier of the registry: how the hash of its first event begins.
    events, head
        Length of the audit that was put back, and the hash of its last event.
    projects, models, versions
        How many there are again.
    faults
        What was missing or damaged; empty when everything is back.
    """

    registry: str
    events: int
    head: str
    projects: int
    models: int
    versions: int
    faults: tuple[str, ...] = ()


class ExportVersion(Request, frozen=True, kw_only=True):
    """Everything about a version that goes into its file."""

    ref: str


class PortableVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A version as it leaves a registry: what it is, its manifest, its model, and what hangs on it."""

    state: VersionState
    model: Model
    manifest: Manifest
    exported_at: datetime


class ImportVersion(RegisterVersion, frozen=True, kw_only=True):
    """Add a version that was registered elsewhere; its bytes are in the store already.

    Attributes
    ----------
    origin
        Where it comes from.
    evaluations
        What was measured of it there.
    """

    origin: Origin
    evaluations: tuple[Evaluation, ...] = ()


class Backup(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup holds now, and what this one had to copy.

    Attributes
    ----------
    place, registry
        Where it is, and the identifier of the registry.
    events, head
        Length of the audit in it, and the hash of its last event: it is as old as that.
    versions, blobs, size_bytes
        What it holds; blobs and bytes as they are before compression.
    copied_blobs, copied_bytes
        What was not there before.
    """

    place: str
    registry: str
    events: int
    head: str
    versions: int
    blobs: int
    size_bytes: int
    copied_blobs: int
    copied_bytes: int

    def __repr__(self) -> str:
        copied = f"{counted(self.copied_blobs, 'blob')} ({counted(self.copied_bytes, 'byte')}) copied"
        held = f"{counted(self.versions, 'version')} up to event {self.events}"
        return f"<backup in {self.place} · {held} · {copied}>"
