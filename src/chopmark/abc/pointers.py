"""What points at versions and says something of them: aliases, stages, evaluations and trust."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol
from uuid import UUID

from chopmark.domain.lifecycle import StageMove
from chopmark.domain.versions import Alias, AliasMove, Evaluation, TrustDecision, Version

__all__ = ["Aliases", "Evaluations", "Moves", "Stages", "Trust"]

Moves = list[AliasMove]  # inside the classes below, ``list`` is a method


class Aliases(Protocol):
    """Aliases and their history."""

    def get(self, model_id: UUID, name: str) -> Alias | None:
        """The alias, or None."""
        ...

    def version(self, model_id: UUID, name: str) -> Version | None:
        """The version an alias points to, in one statement."""
        ...

    def list(self, model_id: UUID) -> list[Alias]:
        """Aliases of a model by name."""
        ...

    def put(self, model_id: UUID, alias: Alias) -> None:
        """Set or move an alias."""
        ...

    def remove(self, model_id: UUID, name: str) -> None:
        """Remove an alias."""
        ...

    def record(self, model_id: UUID, move: AliasMove) -> None:
        """Add to the history."""
        ...

    def history(self, model_id: UUID, name: str = "", *, until: datetime | None = None, limit: int) -> Moves:
        """Moves of an alias (of all of the model without a name) not after ``until``, newest first."""
        ...


class Stages(Protocol):
    """History of stage moves."""

    def record(self, version_id: UUID, move: StageMove) -> None:
        """Add to the history."""
        ...

    def history(self, version_id: UUID, *, until: datetime | None = None, limit: int) -> list[StageMove]:
        """Moves of a version not after ``until``, newest first."""
        ...


class Evaluations(Protocol):
    """Evaluations of versions."""

    def insert(self, version_id: UUID, evaluation: Evaluation) -> None:
        """Add one."""
        ...

    def list(self, version_id: UUID, *, limit: int) -> list[Evaluation]:
        """Those of a version, newest first."""
        ...


class Trust(Protocol):
    """Decisions to let code run, by manifest digest."""

    def get(self, digest: str) -> list[TrustDecision]:
        """Decisions on these bytes, newest first."""
        ...

    def insert(self, decision: TrustDecision) -> None:
        """Add one."""
        ...

    def remove(self, digest: str) -> int:
        """Withdraw all decisions on these bytes; how many there were."""
        ...
