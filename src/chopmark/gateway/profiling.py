"""What sampled requests look like, counted in the bins of their version's reference profile, hour by hour.

Nothing here is on the way of a request: samples that were kept anyway are counted once a second on a thread. Totals of an hour are
reported until they were received, and replace each other, as those of minutes do.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from msgspec import structs

from chopmark.base.clock import Clock
from chopmark.domain.outcome_tiers import beginning
from chopmark.domain.profile_windows import ProfileWindow, counted_profile
from chopmark.domain.request_ids import read_request_id
from chopmark.domain.traffic import SHADOW, PinnedVersion
from chopmark.errors import ChopmarkError, InvalidRequest, Unavailable
from chopmark.gateway.router import Route, Router, Serving, Shadowing
from chopmark.gateway.samples import Sample, Samples
from chopmark.gateway.telling import LOGGER
from chopmark.stats.binning import NumericBins, count_values

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from chopmark.stats.profile import Counts, Profile

__all__ = ["Profiling"]

PROFILES_MAX = 64
_PROBABILITIES = "predict_proba"
"""What estimators call the output that has them, a column for each class."""

_HOURS_MAX = 500
"""Totals that may wait for a control plane that is away; the oldest go first."""


class _Key(NamedTuple):
    endpoint: UUID
    version: UUID
    variant: str
    start: datetime


class _Taken(NamedTuple):
    """Samples of one endpoint that were not counted yet: of who answered, or of copies that a ``shadow`` got."""

    route: Route
    samples: Sequence[Sample]
    shadow: UUID | None = None


class Profiling:
    """Counts samples.

    Parameters
    ----------
    router
        Whose samples.
    profile_of
        Gives the reference profile of a version, None where it has none; may block.
    clock
        Where the time comes from.
    """

    def __init__(self, router: Router, profile_of: Callable[[PinnedVersion], Profile | None], clock: Clock) -> None:
        self._router = router
        self._profile_of = profile_of
        self._clock = clock
        self._profiles: OrderedDict[UUID, Profile | None] = OrderedDict()
        self._seen: dict[tuple[str, UUID | None], tuple[Samples, int]] = {}
        self._totals: dict[_Key, ProfileWindow] = {}
        self._changed: set[_Key] = set()
        self._start = beginning(clock(), "hour")

    async def count(self) -> None:
        """Count what was kept since the last time."""
        taken = self._taken()
        if not taken:
            return
        self._start = max(self._start, beginning(self._clock(), "hour"))  # an hour that ended is not begun again
        found = await asyncio.to_thread(self._counted, taken)
        for key, counts in found:
            self._add(key, counts)

    def unreported(self, limit: int) -> list[ProfileWindow]:
        """Totals that changed since they were received, oldest first."""
        return [total for key, total in self._totals.items() if key in self._changed][:limit]

    def received(self, windows: Sequence[ProfileWindow]) -> None:
        """Note what was received, and forget of it what has ended."""
        for window in windows:
            key = _Key(window.endpoint, window.version, window.variant, window.start)
            if self._totals.get(key) is window:
                self._changed.discard(key)
                if key.start < beginning(self._clock(), "hour") and key.start < self._start:
                    del self._totals[key]

    def _taken(self) -> list[_Taken]:
        found = []
        there: dict[tuple[str, UUID | None], tuple[Samples, int]] = {}
        for ref, route in self._router.routes.items():
            for shadow, samples in _kept(route):
                before, seen = self._seen.get((ref, shadow), (None, 0))
                new = samples.since(seen if before is samples else 0)
                there[ref, shadow] = samples, samples.taken
                if new:
                    found.append(_Taken(route, new, shadow))
        self._seen = there
        return found

    def _add(self, key: _Key, counts: Counts) -> None:
        known = self._totals.get(key)
        if known is not None and known.counts.profile != counts.profile:
            known = None
        total = counts if known is None else known.counts + counts
        self._totals[key] = ProfileWindow(
            endpoint=key.endpoint, version=key.version, variant=key.variant, start=key.start, counts=total
        )
        self._changed.add(key)
        while len(self._totals) > _HOURS_MAX:
            oldest = next(iter(self._totals))
            del self._totals[oldest]
            self._changed.discard(oldest)

    # On a thread

    def _counted(self, taken: Sequence[_Taken]) -> list[tuple[_Key, Counts]]:
        found = []
        for route, samples, shadow in taken:
            parts = {(shadow, SHADOW): samples} if shadow is not None else _by_variant(route, samples)
            for (version, variant), mine in parts.items():
                counts = self._counts(route, version, variant, mine)
                if counts is not None:
                    found.append((_Key(route.endpoint.id, version, variant, self._start), counts))
        return found

    def _counts(self, route: Route, version: UUID, variant: str, samples: Sequence[Sample]) -> Counts | None:
        among: Sequence[Serving | Shadowing] = (*route.serving, *route.shadows)
        serving = next((s for s in among if s.variant.version.id == version), None)
        if serving is None:
            return None
        try:
            profile = self._known(serving.variant.version)
            if profile is None:
                return None
            layout = serving.execution.layout
            names = [field.name for field in layout.inputs]
            asks = any(field.name == _PROBABILITIES for field in layout.more)
            return _count(profile, names, samples, asks_for_probabilities=asks)
        except Unavailable:
            return None  # asked again with the next samples
        except (ChopmarkError, TypeError, ValueError) as error:
            LOGGER.debug("Samples of %s as %s could not be counted", route.endpoint.ref, variant, exc_info=error)
            return None

    def _known(self, pinned: PinnedVersion) -> Profile | None:
        if pinned.id not in self._profiles:
            self._profiles[pinned.id] = self._profile_of(pinned)
            while len(self._profiles) > PROFILES_MAX:
                self._profiles.popitem(last=False)
        self._profiles.move_to_end(pinned.id)
        return self._profiles[pinned.id]


def _kept(route: Route) -> Iterator[tuple[UUID | None, Samples]]:
    """What is sampled of an endpoint: of who answers, and of each shadow."""
    if route.samples is not None:
        yield None, route.samples
    for shadowing in route.shadows:
        if shadowing.samples is not None:
            yield shadowing.shadow.version.id, shadowing.samples


def _by_variant(route: Route, samples: Sequence[Sample]) -> dict[tuple[UUID, str], list[Sample]]:
    found: dict[tuple[UUID, str], list[Sample]] = {}
    for sample in samples:
        said = read_request_id(sample.request_id, route.secret)
        found.setdefault((said.version_id, said.variant), []).append(sample)
    return found


def _count(
    profile: Profile, names: Sequence[str], samples: Sequence[Sample], *, asks_for_probabilities: bool
) -> Counts | None:
    """Rows of samples in the bins of those columns of a profile that the model takes.

    Of a profile with a calibration, probabilities are counted and nothing else that was answered, for accuracy is estimated by them.
    """
    tables = [_columns(sample.inputs, names, profile) for sample in samples]
    kept = counted_profile(profile, set(tables[0]))
    if not kept.columns:
        return None
    table = {column.name: _joined([each[column.name] for each in tables]) for column in kept.columns}
    if isinstance(kept.scores, NumericBins) and kept.calibration is not None:
        scores = _probabilities(samples, asked_for_only=asks_for_probabilities)
        return structs.replace(kept.count(table), scores=count_values(kept.scores, scores))
    if kept.scores is not None:
        answers = _answers(samples)
        if answers is not None:
            try:
                return kept.count(table, scores=answers)
            except InvalidRequest:  # what it answers by itself is not what it was profiled with
                pass
    return structs.replace(kept, scores=None).count(table)


def _columns(inputs: Any, names: Sequence[str], profile: Profile) -> dict[str, NDArray[Any]]:
    if isinstance(inputs, dict):
        return {name: array for name, array in inputs.items() if array.ndim == 1}
    if inputs.ndim != 2 or inputs.shape[1] != len(names):  # noqa: PLR2004
        raise InvalidRequest("These inputs are no table.")
    known = {column.name for column in profile.columns}
    if not known & set(names) and len(profile.columns) == len(names):  # an array's columns have no names
        names = [column.name for column in profile.columns]
    return {name: inputs[:, place] for place, name in enumerate(names)}


def _answers(samples: Sequence[Sample]) -> NDArray[Any] | None:
    """What the model answered, one value a row; None when it answers otherwise."""
    found = []
    for sample in samples:
        first = next(iter(sample.outputs.values()))
        if first.ndim == 2 and first.shape[1] == 1:  # noqa: PLR2004
            first = first[:, 0]
        if first.ndim != 1:
            return None
        found.append(first)
    return _joined(found)


def _probabilities(samples: Sequence[Sample], *, asked_for_only: bool) -> NDArray[Any]:
    """Of each row to be positive, of the samples that were answered with them.

    Parameters
    ----------
    asked_for_only
        Whether the model gives probabilities only to who asks for them: then its usual answer is none.
    """
    import numpy as np

    found = [np.empty(0)]
    for sample in samples:
        answer = sample.outputs.get(_PROBABILITIES)
        if answer is None and not asked_for_only:
            answer = next(iter(sample.outputs.values()))
        if answer is None or answer.dtype.kind != "f":
            continue
        if answer.ndim == 2 and answer.shape[1] == 2 and np.allclose(answer.sum(axis=1), 1, atol=1e-3):  # noqa: PLR2004
            answer = answer[:, 1]
        elif answer.ndim == 2 and answer.shape[1] == 1:  # noqa: PLR2004
            answer = answer[:, 0]
        if answer.ndim == 1:
            found.append(answer)
    return np.concatenate(found)


def _joined(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    import numpy as np

    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
