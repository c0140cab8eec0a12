"""What experiments ask of a catalog: what was laid down, and what is known of their units."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Protocol
from uuid import UUID

from chopmark.domain.experiment_units import ExposedUnits, ObservedTime, RecordedUnits, UnitExposure, UnitOutcome
from chopmark.domain.experiments import Experiment

__all__ = ["ExperimentUnits", "Experiments"]

ExperimentList = list[Experiment]  # inside the class below, ``list`` is a method


class Experiments(Protocol):
    """Experiments by project and name."""

    def get(self, project: str, name: str) -> Experiment | None:
        """The experiment, or None."""
        ...

    def lock(self, project: str, name: str) -> Experiment | None:
        """Like `get`, and no other transaction may change it now."""
        ...

    def list(
        self,
        *,
        project: str | None = None,
        among: Collection[str] | None = None,
        archived: bool = False,
        after: tuple[str, str] = ("", ""),
        limit: int,
    ) -> ExperimentList:
        """By project and name from the first after ``after``; archived ones too when ``archived``."""
        ...

    def on_endpoint(self, endpoint_id: UUID, *, limit: int) -> ExperimentList:
        """Those of an endpoint, the one that began last first."""
        ...

    def insert(self, experiment: Experiment) -> None:
        """Add one; `Taken` when its name is in its project."""
        ...

    def put(self, experiment: Experiment) -> bool:
        """Replace what may change of the one with this id (all but id, project, name, plan and its start); whether it was there."""
        ...


class ExperimentUnits(Protocol):
    """Exposures and outcomes by experiment and unit. What is written may come in any order, and again: nothing changes."""

    def expose(self, experiment_id: UUID, exposures: Iterable[UnitExposure]) -> None:
        """Add exposures; of a unit the first time is kept, and its variant, or `SEEN_IN_TWO` once another came."""
        ...

    def record(self, experiment_id: UUID, outcomes: Iterable[UnitOutcome]) -> None:
        """Add outcomes; of one unit, metric and id the first is kept by time and value."""
        ...

    def exposed(self, experiment_id: UUID, time: ObservedTime) -> list[ExposedUnits]:
        """Units exposed before the end, by variant and batch."""
        ...

    def recorded(self, experiment_id: UUID, metric: int, time: ObservedTime, *, any_of: bool) -> list[RecordedUnits]:
        """Sums over units, by variant and batch, of their totals in a metric; with ``any_of`` of the largest value instead of the total."""
        ...

    def forget(self, experiment_id: UUID) -> int:
        """Remove all that is known of the units of an experiment; how many were exposed."""
        ...
