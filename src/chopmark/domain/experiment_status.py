"""What an experiment says at a time: a word, a sentence to act on, and the figures behind them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec

from chopmark.stats.verdicts import Decision

__all__ = ["ExperimentStatus", "MetricReading", "UncountedRecords", "VariantStatus"]


class VariantStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A variant's part in an experiment.

    Attributes
    ----------
    name, version, percent
        Which, what it is, and its share of the units.
    exposed
        Units that were shown it.
    observed
        Of these, units that are judged: the windows of all of their batch are over.
    values
        Metric → its rate, mean or ratio over the units that are judged; None where nothing was recorded.
    """

    name: str
    version: str
    percent: float
    exposed: int
    observed: int
    values: Mapping[str, float | None]

    def __repr__(self) -> str:
        told = ", ".join(f"{name} {value:.4g}" for name, value in self.values.items() if value is not None)
        return (
            f"{self.name} ({self.version}, {self.percent:g} %): {self.observed:,} of {self.exposed:,} units judged"
            + (f", {told}" if told else "")
        )


class MetricReading(msgspec.Struct, frozen=True, kw_only=True):
    """A treatment beside the control in one metric.

    Attributes
    ----------
    metric, role, variant
        Which, and what the metric is for: ``primary``, ``guardrail`` or ``secondary``.
    estimate, low, high
        Treatment minus control, and the interval that holds at all looks together; None where it has no end, or nothing is known.
    p_value
        Adjusted for the treatments, or secondary metrics, that are judged together.
    standing
        ``better``, ``worse``, ``same``, ``not better`` or ``unclear``.
    flags
        What makes it a weak answer.
    """

    metric: str
    role: str
    variant: str
    estimate: float | None
    low: float | None
    high: float | None
    p_value: float
    standing: str
    flags: tuple[str, ...] = ()


class UncountedRecords(msgspec.Struct, frozen=True, kw_only=True):
    """What is known and does not count.

    Attributes
    ----------
    units_in_two
        Units that were shown two variants, or another than they were dealt.
    of_units_in_two, never_exposed
        Records of those, and of units that were shown nothing.
    early, late
        Records from before a unit's exposure, and from after its window.
    """

    units_in_two: int = 0
    of_units_in_two: int = 0
    never_exposed: int = 0
    early: int = 0
    late: int = 0


class ExperimentStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What an experiment says at a time.

    Attributes
    ----------
    experiment, at, state
        Which, when, and whether it is ``running``, ``stopped``, ``decided`` or ``archived``.
    decision
        ``winner``, ``no difference``, ``continue``, ``futile``, ``inconclusive`` or ``invalid``; see `chopmark.stats.Verdict`.
    winner
        The variant, possibly the control; empty unless the decision is ``winner``.
    sentence
        What happened and what to do.
    is_final
        Whether one may stop and act on it.
    breached
        Treatment → guardrails that it breaches.
    variants
        In the plan's order.
    readings
        Every treatment in every metric, the primary first.
    ratio_p
        p-value of the check that units fell to the variants by their shares, over all looks.
    uncounted
        What does not count.
    units, awaited
        Units that are judged, and those that are observed still.
    batches
        Looks so far.
    units_per_day
        Exposed since the start.
    units_needed
        To find ``minimum_effect`` with the power that was planned, by what is known of the control now; None where that says nothing.
    days_left
        At the present rate, and no more than until its end; None when nothing is exposed any more.
    ends_at
        From when on nobody is exposed.
    plan_digest
        Of what was laid down at the start.
    rollout
        Of a decided one, what became of the rollout of the treatment that won, and how to try it again; empty where there is none.
    """

    experiment: str
    at: datetime
    state: str
    decision: Decision
    winner: str = ""
    sentence: str
    is_final: bool
    breached: Mapping[str, tuple[str, ...]] = {}
    variants: tuple[VariantStatus, ...]
    readings: tuple[MetricReading, ...] = ()
    ratio_p: float = 1.0
    uncounted: UncountedRecords = UncountedRecords()
    units: int = 0
    awaited: int = 0
    batches: int = 0
    units_per_day: float = 0.0
    units_needed: int | None = None
    days_left: float | None = None
    ends_at: datetime
    plan_digest: str
    rollout: str = ""

    def __repr__(self) -> str:
        head = f"<experiment {self.experiment} · {self.state} · {self.decision}>"
        rollout = [f"rollout {self.rollout}"] if self.rollout else []
        return "\n  ".join([head, self.sentence, *rollout, *map(repr, self.variants)])
