"""Records for tests of a catalog, each distinct, in a time that moves by itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

from chopmark.abc.catalog import Transaction
from chopmark.base.clock import FakeClock
from chopmark.base.digest import digest_of
from chopmark.base.ids import uuid7
from chopmark.domain.audit import AuditEvent
from chopmark.domain.lifecycle import StageMove
from chopmark.domain.manifest import FileEntry, Manifest, manifest_digest
from chopmark.domain.versions import Alias, AliasMove, Model, Project, Version

__all__ = ["Records"]


@dataclass
class Records:
    """Makes records that fit together.

    Attributes
    ----------
    clock
        Where times come from.
    """

    clock: FakeClock = field(default_factory=lambda: FakeClock(step=timedelta(milliseconds=7)))
    _counter: Iterator[int] = field(default_factory=lambda: count(1))

    def id(self) -> UUID:
        """A new id."""
        return uuid7(self.clock())

    def now(self) -> datetime:
        """A new time."""
        return self.clock()

    def project(self, name: str = "default", **rest: Any) -> Project:
        """A project."""
        return Project(**{"id": self.id(), "name": name, "created_at": self.now(), "created_by": "ann", **rest})

    def model(self, name: str = "fraud", project: str = "default", **rest: Any) -> Model:
        """A model."""
        now = self.now()
        fields = {"kind": "artifact", "created_at": now, "created_by": "ann", "updated_at": now}
        return Model(**{"id": self.id(), "project": project, "name": name, **fields, **rest})

    def manifest(self, *contents: bytes) -> Manifest:
        """A manifest of files with these contents (one of its own without any)."""
        contents = contents or (b"%d" % next(self._counter),)
        files = tuple(FileEntry(f"f{i}.bin", "weights", len(c), digest_of(c)) for i, c in enumerate(contents))
        return Manifest(kind="artifact", format="raw", files=files)

    def version(self, model: Model, number: int, manifest: Manifest | None = None, **rest: Any) -> Version:
        """A version of the manifest."""
        manifest = manifest or self.manifest()
        now = self.now()
        fields = {
            "semver": f"1.{number}.0",
            "digest": manifest_digest(manifest),
            "kind": "artifact",
            "format": manifest.format,
            "size_bytes": manifest.size_bytes,
            "file_count": len(manifest.files),
            "stage_since": now,
            "created_at": now,
            "created_by": "ann",
            "updated_at": now,
        }
        names = {"id": self.id(), "model_id": model.id, "project": model.project, "model": model.name, "number": number}
        return Version(**{**names, **fields, **rest})

    def alias(self, model: Model, name: str, number: int, **rest: Any) -> Alias:
        """An alias."""
        fields = {"updated_at": self.now(), "updated_by": "ann"}
        return Alias(
            **{"project": model.project, "model": model.name, "name": name, "number": number, **fields, **rest}
        )

    def alias_move(self, model: Model, name: str, number: int | None, previous: int | None) -> AliasMove:
        """A move of an alias."""
        return AliasMove(
            project=model.project,
            model=model.name,
            name=name,
            number=number,
            previous=previous,
            actor="ann",
            at=self.now(),
            reason="better",
        )

    def stage_move(self, version: Version, to_stage: str) -> StageMove:
        """A move of a version."""
        return StageMove(
            project=version.project,
            model=version.model,
            number=version.number,
            from_stage=version.stage,
            to_stage=to_stage,
            actor="ann",
            at=self.now(),
            reason="passed",
        )

    def event(self, name: str = "version.registered", target: str = "fraud:1", **data: Any) -> AuditEvent:
        """An event that is not in a chain yet."""
        return AuditEvent(seq=0, id=self.id(), at=self.now(), actor="ann", event=name, target=target, data=data)

    def add_model(self, tx: Transaction, name: str = "fraud", project: str = "default") -> Model:
        """Add a model, and its project when it is not there."""
        if tx.projects.get(project) is None:
            tx.projects.insert(self.project(project))
        model = self.model(name, project)
        tx.models.insert(model)
        return model

    def add_version(
        self, tx: Transaction, model: Model, number: int, manifest: Manifest | None = None, **rest: Any
    ) -> Version:
        """Add a version."""
        manifest = manifest or self.manifest()
        version = self.version(model, number, manifest, **rest)
        tx.versions.insert(version, manifest)
        return version
