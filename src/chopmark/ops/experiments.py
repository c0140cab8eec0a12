"""Verbs about experiments: what they are asked with and what they answer."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from chopmark.base.paging import PAGE_SIZE
from chopmark.domain.experiments import Experiment, ExperimentMetric
from chopmark.domain.rollout_plans import Strategy
from chopmark.domain.rollouts import Rollout
from chopmark.ops.requests import Request

__all__ = [
    "ROWS_MAX",
    "ArchiveExperiment",
    "DecideExperiment",
    "DecidedExperiment",
    "ExperimentArm",
    "ExperimentPage",
    "ExposeUnits",
    "ExtendExperiment",
    "GetExperiment",
    "ListExperiments",
    "RecordUnits",
    "ShowExperiment",
    "StartExperiment",
    "StopExperiment",
    "TakenRows",
    "UnitRecord",
    "UnitShown",
]

ROWS_MAX = 20_000

Seconds = Annotated[float, Meta(gt=0, le=366 * 86_400)]
Probability = Annotated[float, Meta(gt=0, lt=1)]
UnitText = Annotated[str, Meta(min_length=1, max_length=1_000)]
IdText = Annotated[str, Meta(max_length=1_000)]
Pair = Annotated[tuple[float, ...], Meta(min_length=2, max_length=2)]


class ExperimentArm(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A variant of an experiment.

    Attributes
    ----------
    name
        What it is called.
    version
        A reference; what it means at the start is kept.
    percent
        Of the units; equal shares where none is said.
    """

    name: str
    version: str
    percent: Annotated[float, Meta(gt=0, le=100)] | None = None


class StartExperiment(Request, frozen=True, kw_only=True):
    """Begin an experiment: its plan is frozen, and its endpoint, if there is one, deals the variants from now on.

    Attributes
    ----------
    experiment
        ``[project/]name``.
    variants, control
        What is compared, and the name of the variant that the others are compared with.
    metrics
        One of them primary.
    endpoint
        Whose gateways deal; empty when callers route themselves.
    alpha, power, minimum_effect, unit
        See `chopmark.domain.experiments.ExperimentPlan`.
    max_duration_s
        How long units are exposed.
    window_s
        How long each unit is observed from its first exposure on.
    look_every_s
        Length of the stretches of time whose units are judged together; by default a 400th of the whole, and no less than a second.
    """

    experiment: str
    variants: Annotated[tuple[ExperimentArm, ...], Meta(min_length=2, max_length=20)]
    control: str
    metrics: Annotated[tuple[ExperimentMetric, ...], Meta(min_length=1, max_length=20)]
    endpoint: str = ""
    alpha: Probability = 0.05
    power: Probability = 0.8
    minimum_effect: Annotated[float, Meta(gt=0)] | None = None
    unit: str = "user"
    max_duration_s: Seconds = 14 * 86_400.0
    window_s: Seconds = 3_600.0
    look_every_s: Seconds | None = None
    description: str = ""
    reason: str = ""


class GetExperiment(Request, frozen=True, kw_only=True):
    """Look up an experiment as it was laid down, and what became of it."""

    experiment: str


class ListExperiments(Request, frozen=True, kw_only=True):
    """A page of experiments by project and name; archived ones too when ``archived``."""

    project: str | None = None
    archived: bool = False
    limit: int = PAGE_SIZE
    cursor: str = ""


class ExperimentPage(msgspec.Struct, frozen=True, kw_only=True):
    """Experiments, and the cursor of the next page."""

    items: list[Experiment]
    cursor: str = ""


class ShowExperiment(Request, frozen=True, kw_only=True):
    """What an experiment says now: a word, a sentence to act on, and the figures behind them."""

    experiment: str


class StopExperiment(Request, frozen=True, kw_only=True):
    """End an experiment: nobody is exposed any more, and its endpoint answers with the control alone.

    Units that were exposed are observed until their windows are over.
    """

    experiment: str
    reason: str = ""


class ExtendExperiment(Request, frozen=True, kw_only=True):
    """Set anew how long units are exposed, counted from the start: the only thing of a plan that may change, and it is recorded."""

    experiment: str
    max_duration_s: Seconds
    reason: str = ""


class DecideExperiment(Request, frozen=True, kw_only=True):
    """End an experiment for a variant, which its endpoint then answers with: a treatment by a rollout, the control at once.

    Attributes
    ----------
    winner
        A variant; ``auto`` for the one that has won, which is refused when none has. Another choice needs a reason.
    strategy
        Of the rollout.
    """

    experiment: str
    winner: str = "auto"
    strategy: Strategy = "replace"
    reason: str = ""


class DecidedExperiment(msgspec.Struct, frozen=True, kw_only=True):
    """What was decided, and the rollout that follows; None when the control stays, or callers route themselves."""

    experiment: Experiment
    rollout: Rollout | None = None

    def __repr__(self) -> str:
        return "\n  ".join([repr(self.experiment), *([repr(self.rollout)] if self.rollout else [])])


class ArchiveExperiment(Request, frozen=True, kw_only=True):
    """Put an experiment that has ended away: what it said last is kept, and what is known of its units is removed."""

    experiment: str
    reason: str = ""


class UnitShown(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """That a unit was shown a variant.

    Attributes
    ----------
    unit
        As it was dealt by; only a keyed hash of it is kept.
    variant
        What it was shown; empty for what it is dealt.
    at
        When; now unless said.
    request_id
        Of a gateway's answer: says variant and time.
    """

    unit: UnitText
    variant: str = ""
    at: datetime | None = None
    request_id: IdText = ""


class UnitRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What happened to a unit.

    Attributes
    ----------
    unit
        As it was dealt by.
    values
        Metric → value; of a ratio ``[numerator, denominator]``, or the numerator of 1.
    at
        When it happened; now unless said.
    id
        One that comes again with the same id counts once. Without any, what has a time is known by that time and its values, and
        an answer by its request id.
    request_id
        Of a gateway's answer: with it the unit counts as exposed by that answer.
    """

    unit: IdText = ""
    values: dict[str, float | Pair]
    at: datetime | None = None
    id: IdText = ""
    request_id: IdText = ""


class ExposeUnits(Request, frozen=True, kw_only=True):
    """Say which units were shown what; again, late or in any order makes no difference."""

    experiment: str
    exposures: Annotated[tuple[UnitShown, ...], Meta(max_length=ROWS_MAX)]


class RecordUnits(Request, frozen=True, kw_only=True):
    """Say what happened to units; again, late or in any order makes no difference."""

    experiment: str
    records: Annotated[tuple[UnitRecord, ...], Meta(max_length=ROWS_MAX)]


class TakenRows(msgspec.Struct, frozen=True, kw_only=True):
    """What was taken.

    Attributes
    ----------
    rows
        How many were.
    outside
        How many were not, as they are from before the start or after the end, or answers of variants that the experiment has not.
    astray
        How many exposures were of another variant than the unit is dealt; such units count nowhere.
    """

    rows: int = 0
    outside: int = 0
    astray: int = 0
