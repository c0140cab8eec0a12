"""A version's whole story: everything the registry knows of it, as of one moment."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from chopmark.domain.audit import AuditEvent
from chopmark.domain.lifecycle import StageMove
from chopmark.domain.manifest import Manifest
from chopmark.domain.names import counted
from chopmark.domain.versions import AliasMove, Evaluation, Model, TrustDecision, Version

__all__ = ["Relative", "Sibling", "VersionStory"]


class Sibling(msgspec.Struct, frozen=True, kw_only=True):
    """A version of the same model (the version itself too), for what is drawn over versions."""

    number: int
    semver: str
    stage: str
    created_at: datetime
    metrics: dict[str, float] = {}


class Relative(msgspec.Struct, frozen=True, kw_only=True):
    """A neighbour in the lineage.

    Attributes
    ----------
    direction
        ``from`` when the version comes from it, ``to`` when it comes from the version.
    relation
        As the edge says.
    kind, label
        ``version``, ``dataset`` or ``run``, and what people call it.
    stage
        Of a version.
    """

    direction: Literal["from", "to"]
    relation: str
    kind: str
    label: str
    stage: str = ""


class VersionStory(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about a version.

    Attributes
    ----------
    told_at
        When it was read.
    version, model, manifest
        The version as it was then, its model and its files.
    evaluations, stage_moves, alias_moves, trust, events
        Newest first; alias moves to it and away from it; events of the audit about it.
    uses
        Who uses it, in words.
    relatives
        Its neighbours in the lineage.
    siblings
        The newest versions of the model by number, and this one.
    """

    told_at: datetime
    version: Version
    model: Model
    manifest: Manifest
    evaluations: tuple[Evaluation, ...] = ()
    stage_moves: tuple[StageMove, ...] = ()
    alias_moves: tuple[AliasMove, ...] = ()
    trust: tuple[TrustDecision, ...] = ()
    events: tuple[AuditEvent, ...] = ()
    uses: tuple[str, ...] = ()
    relatives: tuple[Relative, ...] = ()
    siblings: tuple[Sibling, ...] = ()

    def __repr__(self) -> str:
        told = ", ".join(
            (
                counted(len(self.evaluations), "evaluation"),
                counted(len(self.stage_moves), "stage move"),
                counted(len(self.events), "event"),
            )
        )
        return f"<story of {self.version.ref} as of {self.told_at:%Y-%m-%d %H:%M} UTC · {told}>"
