"""Experiments and their units in memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from typing import Any
from uuid import UUID

from msgspec import structs

from chopmark.abc.catalog import Taken
from chopmark.abc.experiments import ExperimentList
from chopmark.base.jsons import decode, encode
from chopmark.domain.experiment_units import (
    NOWHERE,
    SEEN_IN_TWO,
    ExposedUnits,
    ObservedTime,
    RecordedUnits,
    UnitExposure,
    UnitOutcome,
)
from chopmark.domain.experiments import Experiment
from chopmark.testing.memory_state import Surface

__all__ = ["MemoryExperimentUnits", "MemoryExperiments"]

_STAYS = ("id", "project", "name", "plan", "endpoint_id", "started_at", "started_by")


class MemoryExperiments(Surface):
    """`chopmark.abc.experiments.Experiments`."""

    def get(self, project: str, name: str) -> Experiment | None:
        """See the interface."""
        return next((e for e in self._all() if (e.project, e.name) == (project, name)), None)

    def lock(self, project: str, name: str) -> Experiment | None:
        """See the interface: there is one writer."""
        _ = self._scope.write
        return self.get(project, name)

    def list(
        self,
        *,
        project: str | None = None,
        among: Collection[str] | None = None,
        archived: bool = False,
        after: tuple[str, str] = ("", ""),
        limit: int,
    ) -> ExperimentList:
        """See the interface."""
        return [
            e
            for e in self._all()
            if (e.project, e.name) > after
            and project in (None, e.project)
            and (among is None or e.project in among)
            and (archived or e.state != "archived")
        ][:limit]

    def on_endpoint(self, endpoint_id: UUID, *, limit: int) -> ExperimentList:
        """See the interface."""
        stored = [decode(body, Experiment) for body in reversed(self._scope.read.experiments.values())]
        found = [e for e in stored if e.endpoint_id == endpoint_id]
        return sorted(found, key=lambda e: e.started_at, reverse=True)[:limit]

    def insert(self, experiment: Experiment) -> None:
        """See the interface."""
        stored = self._scope.write.experiments
        is_taken = experiment.id in stored or self.get(experiment.project, experiment.name) is not None
        if is_taken or self._is_held(experiment):
            raise Taken(f"There is an experiment {experiment.ref} already, or one runs on its endpoint.")
        stored[experiment.id] = encode(experiment)

    def put(self, experiment: Experiment) -> bool:
        """See the interface."""
        stored = self._scope.write.experiments
        if experiment.id not in stored:
            return False
        there = decode(stored[experiment.id], Experiment)
        stored[experiment.id] = encode(structs.replace(experiment, **{name: getattr(there, name) for name in _STAYS}))
        return True

    def _is_held(self, experiment: Experiment) -> bool:
        if experiment.endpoint_id is None or experiment.state != "running":
            return False
        return any(e.endpoint_id == experiment.endpoint_id and e.state == "running" for e in self._all())

    def _all(self) -> Iterator[Experiment]:
        found = [decode(body, Experiment) for body in self._scope.read.experiments.values()]
        return iter(sorted(found, key=lambda e: (e.project, e.name)))


class MemoryExperimentUnits(Surface):
    """`chopmark.abc.experiments.ExperimentUnits`."""

    def expose(self, experiment_id: UUID, exposures: Iterable[UnitExposure]) -> None:
        """See the interface."""
        stored = self._scope.write.experiment_units
        for unit, variant, at_us in exposures:
            known = stored.get((experiment_id, unit))
            if known is None:
                stored[experiment_id, unit] = variant, at_us
            else:
                kept = variant if known[0] == variant else SEEN_IN_TWO
                stored[experiment_id, unit] = kept, min(known[1], at_us)

    def record(self, experiment_id: UUID, outcomes: Iterable[UnitOutcome]) -> None:
        """See the interface."""
        stored = self._scope.write.experiment_outcomes
        for unit, metric, key, at_us, y, x in outcomes:
            place, said = (experiment_id, metric, unit, key), (at_us, y, x)
            stored[place] = min(stored.get(place, said), said)

    def exposed(self, experiment_id: UUID, time: ObservedTime) -> list[ExposedUnits]:
        """See the interface."""
        counts: defaultdict[tuple[int, int], int] = defaultdict(int)
        for (experiment, _), (variant, at_us) in self._scope.read.experiment_units.items():
            if experiment == experiment_id and at_us < time.until_us:
                counts[variant, time.batch(at_us) if variant >= 0 else 0] += 1
        return [ExposedUnits(variant, batch, counts[variant, batch]) for variant, batch in sorted(counts)]

    def recorded(self, experiment_id: UUID, metric: int, time: ObservedTime, *, any_of: bool) -> list[RecordedUnits]:
        """See the interface."""
        state = self._scope.read
        by_unit: defaultdict[bytes, list[tuple[int, float, float]]] = defaultdict(list)
        for experiment, place, unit, key in sorted(state.experiment_outcomes):
            if (experiment, place) == (experiment_id, metric):
                by_unit[unit].append(state.experiment_outcomes[experiment, place, unit, key])
        sums: dict[tuple[int, int], RecordedUnits] = {}
        for unit, said in by_unit.items():
            found = _of_unit(state.experiment_units.get((experiment_id, unit)), said, time, any_of=any_of)
            before = sums.get(found[:2])
            sums[found[:2]] = found if before is None else _added(before, found)
        return [sums[key] for key in sorted(sums)]

    def forget(self, experiment_id: UUID) -> int:
        """See the interface."""
        state = self._scope.write
        for place in [place for place in state.experiment_outcomes if place[0] == experiment_id]:
            del state.experiment_outcomes[place]
        units = [place for place in state.experiment_units if place[0] == experiment_id]
        for unit in units:
            del state.experiment_units[unit]
        return len(units)


def _of_unit(
    exposure: tuple[int, int] | None, said: list[tuple[int, float, float]], time: ObservedTime, *, any_of: bool
) -> RecordedUnits:
    """One unit's part of the sums."""
    if exposure is None or exposure[1] >= time.until_us:
        return RecordedUnits(NOWHERE, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0, len(said), 0, 0)
    variant, since_us = exposure
    counts = [(y, x) for at_us, y, x in said if since_us <= at_us < since_us + time.window_us]
    early, late = (
        sum(at_us < since_us for at_us, _, _ in said),
        sum(at_us >= since_us + time.window_us for at_us, _, _ in said),
    )
    y = (max if any_of else sum)([y for y, _ in counts]) if counts else 0.0
    x = sum([x for _, x in counts])
    batch = time.batch(since_us) if variant >= 0 else 0
    return RecordedUnits(variant, batch, bool(counts) + 0, y, x, y * y, x * x, y * x, len(said), early, late)


def _added(first: RecordedUnits, second: RecordedUnits) -> RecordedUnits:
    summed: list[Any] = [a + b for a, b in zip(first[2:], second[2:], strict=True)]
    return RecordedUnits(first.variant, first.batch, *summed)
