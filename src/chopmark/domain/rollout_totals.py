"""What became of the requests of one version of a rollout, in totals that may be read twice; pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec

from chopmark.domain.outcomes import OutcomeWindow
from chopmark.stats.sketch import QuantileSketch
from chopmark.stats.summaries import Proportion

__all__ = ["ArmTotals", "Gauge", "arm_totals"]


class Gauge(msgspec.Struct, frozen=True):
    """One number for a version, and when it was measured. None, NaN and infinities are no data.

    Attributes
    ----------
    place, since
        Of one that is of a step: that step's index (that after the last is the baking), and when it was confirmed.
    why
        Why there is no number, where that is known.
    is_unknowable
        Whether there will never be one: a check of it is inconclusive, and does not wait.
    """

    value: float | None
    at: datetime
    place: int = -1
    since: datetime | None = None
    why: str = ""
    is_unknowable: bool = False


class ArmTotals(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one version's requests since the rollout began; totals, so that looking twice counts nothing twice.

    Attributes
    ----------
    requests
        All that some version could have answered.
    errors
        Those that failed and not by the client's fault, of those that could be answered.
    failures
        Those without an answer, of all.
    latency
        Of those with an answer, in nanoseconds.
    events
        Recorded events by name: how many were a yes, of how many.
    gauges
        Numbers by name.
    dropped
        Copies that it never got, of a shadow.
    """

    requests: int = 0
    errors: Proportion = Proportion()
    failures: Proportion = Proportion()
    latency: QuantileSketch = QuantileSketch()
    events: Mapping[str, Proportion] = {}
    gauges: Mapping[str, Gauge] = {}
    dropped: int = 0


def arm_totals(
    window: OutcomeWindow | None,
    events: Mapping[str, Proportion] | None = None,
    gauges: Mapping[str, Gauge] | None = None,
) -> ArmTotals:
    """Totals of one version from what its routers recorded, with recorded events and numbers."""
    if window is None:
        return ArmTotals(events=events or {}, gauges=gauges or {})
    answered = window.answered
    return ArmTotals(
        requests=window.readable,
        errors=window.failed,
        failures=Proportion(answered.n - answered.successes, answered.n),
        latency=window.latency,
        events=events or {},
        gauges=gauges or {},
        dropped=window.dropped,
    )
