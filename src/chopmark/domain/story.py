"""A version's whole story: everything the registry knows of it, as of one moment."""

from __future__ import annotations

from datetime import date, datetime

import msgspec

from chopmark.domain.audit import AuditEvent
from chopmark.domain.lifecycle import StageMove
from chopmark.domain.lineage_graph import LineageGraph
from chopmark.domain.manifest import Manifest
from chopmark.domain.names import counted
from chopmark.domain.usage import LoadCount, VersionUse, by_version, days_until
from chopmark.domain.versions import AliasMove, Evaluation, Model, TrustDecision, Version

__all__ = ["LOAD_DAYS", "Sibling", "VersionStory"]

LOAD_DAYS = 60
"""Days of whose loads a story tells; the last one is the day (UTC) when it was read."""


class Sibling(msgspec.Struct, frozen=True, kw_only=True):
    """A version of the same model (the version itself too), for what is drawn over versions."""

    number: int
    semver: str
    stage: str
    created_at: datetime
    metrics: dict[str, float] = {}


class VersionStory(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about a version.

    Attributes
    ----------
    told_at
        When it was read.
    version, model, manifest
        The version as it was then, its model and its files.
    evaluations, stage_moves, alias_moves, trust
        Newest first; alias moves to it and away from it.
    events
        Its trail in the audit, newest first: also moves of aliases, links that name it, and what
        happened to its model while it was there.
    loads
        How often it was loaded on each of the last `LOAD_DAYS` days with a load, newest first.
    uses
        Who uses it, in words.
    lineage
        Two steps up and down from it; None where nothing is linked to it.
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
    loads: tuple[LoadCount, ...] = ()
    uses: tuple[str, ...] = ()
    lineage: LineageGraph | None = None
    siblings: tuple[Sibling, ...] = ()

    @property
    def load_days(self) -> list[date]:
        """The days of whose loads it tells, the last one last."""
        return days_until(self.told_at.date(), LOAD_DAYS)

    @property
    def use(self) -> VersionUse | None:
        """Its loads put together; None where there were none."""
        return next(iter(by_version(self.loads, self.load_days)), None)

    def __repr__(self) -> str:
        told = ", ".join(
            (
                counted(len(self.evaluations), "evaluation"),
                counted(len(self.stage_moves), "stage move"),
                counted(len(self.events), "event"),
            )
        )
        return f"<story of {self.version.ref} as of {self.told_at:%Y-%m-%d %H:%M} UTC · {told}>"
