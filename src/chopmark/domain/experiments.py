"""Experiments on versions: what is laid down before the first unit is shown anything, and what may become of it.

Nouns
-----
plan
    Which versions are compared, in which metrics, at which error rate and among whom. It is frozen at the start, and its digest is in
    the audit. Only the time at which an experiment ends may be set anew, and that is recorded.
unit
    Whoever always meets the same variant: a user. Units are dealt by `chopmark.stats.assign`.
exposure
    That a unit was shown its variant: what counts of it begins there.
window
    How long a unit is observed from its first exposure on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from chopmark.base.clock import to_us
from chopmark.base.digest import digest_of
from chopmark.base.jsons import canonical
from chopmark.domain.experiment_status import ExperimentStatus
from chopmark.domain.experiment_units import ObservedTime, UnitMetric
from chopmark.domain.names import check_name, shown
from chopmark.domain.refs import ModelRef, parse_model
from chopmark.domain.traffic import WEIGHT_TOTAL, Variant
from chopmark.errors import Conflict, InvalidRequest
from chopmark.stats.assign import Assignment
from chopmark.stats.plans import Metric, Plan

__all__ = [
    "REQUEST_UNIT",
    "ROW_FIELDS",
    "Experiment",
    "ExperimentMetric",
    "ExperimentPlan",
    "check_effect",
    "check_metrics",
    "check_plan",
    "extended",
    "lengths_of",
    "parse_experiment",
    "shares_of",
]

Share = Annotated[float, Meta(gt=0, lt=1)]
Seconds = Annotated[float, Meta(gt=0, le=366 * 86_400)]
State = Literal["running", "stopped", "decided", "archived"]

REQUEST_UNIT = "request"
ROW_FIELDS = ("unit", "request_id", "at", "id", "variant")
"""What stands in a row beside the metrics, none of which can have such a name."""

LOOKS_PLANNED = 400
BATCHES_MAX = 10 * LOOKS_PLANNED
BATCH_LEAST_S = 1.0
METRICS_MAX = 20
_US = 1_000_000
_WINDOW_SHARE_MOST = 4.0


class ExperimentMetric(msgspec.Struct, frozen=True, kw_only=True):
    """One number that variants are compared by, made of one number for each unit.

    Attributes
    ----------
    name
        As it is recorded.
    kind
        ``proportion``: the share of units of which a 1 was recorded; ``mean``: the mean over units of the sum of what was recorded of
        each; ``ratio``: sum by sum, such as errors by requests, with the unit as what was dealt.
    role
        The one ``primary`` metric decides who wins, a ``guardrail`` may forbid it, a ``secondary`` one is told.
    better
        Which way is good.
    threshold
        By how much a primary metric must be better to matter, and by how much a guardrail may be worse; in the metric's units.
    baseline
        Rate to expect of a proportion: it lends power to the first looks.
    unrecorded
        What a unit counts of which nothing was recorded in its window: ``zero``, or that it is ``left_out``, as where a label is missing.
    """

    name: str
    kind: Literal["proportion", "mean", "ratio"] = "proportion"
    role: Literal["primary", "guardrail", "secondary"] = "secondary"
    better: Literal["higher", "lower"] = "higher"
    threshold: Annotated[float, Meta(ge=0)] = 0.0
    baseline: Share | None = None
    unrecorded: Literal["zero", "left_out"] = "zero"


class ExperimentPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What an experiment is to find out; nothing of it changes once it has begun.

    Attributes
    ----------
    variants, control
        Exact versions and their shares, in the order in which units are dealt, and the name of the one that the others are compared with.
    metrics
        One of them primary.
    alpha
        Chance of ever deciding where nothing differs, over all looks and treatments; each guardrail has its own.
    power, minimum_effect
        For the days that are left, and to give up early: the difference of the primary metric that is worth finding, and how surely.
    unit
        What a unit is, in a word; ``request`` when each request is dealt by itself.
    endpoint
        Whose gateways deal; empty when callers route themselves.
    salt
        Units are dealt by it.
    window_s
        How long a unit is observed.
    batch_s
        Length of the stretches of time whose units are told together.
    """

    variants: tuple[Variant, ...]
    control: str
    metrics: tuple[ExperimentMetric, ...]
    alpha: Share = 0.05
    power: Share = 0.8
    minimum_effect: Annotated[float, Meta(gt=0)] | None = None
    unit: str = "user"
    endpoint: str = ""
    salt: str
    window_s: Seconds
    batch_s: Seconds

    @property
    def digest(self) -> str:
        """Of everything above, as ``sha256:…``."""
        return digest_of(canonical(self))

    @property
    def names(self) -> tuple[str, ...]:
        """Of the variants, in their order."""
        return tuple(variant.name for variant in self.variants)

    @property
    def assignment(self) -> Assignment:
        """Who gets what."""
        return Assignment(self.salt, {variant.name: variant.weight for variant in self.variants})

    @property
    def primary(self) -> ExperimentMetric:
        """The metric that decides."""
        return next(metric for metric in self.metrics if metric.role == "primary")

    @property
    def unit_metrics(self) -> list[UnitMetric]:
        """How the metrics are made of units."""
        return [UnitMetric(m.name, m.kind, m.unrecorded == "zero") for m in self.metrics]

    @property
    def comparison(self) -> Plan:
        """The plan as the statistics take it."""
        return Plan(
            variants={variant.name: variant.weight / WEIGHT_TOTAL for variant in self.variants},
            control=self.control,
            metrics=tuple(
                Metric(
                    name=m.name, kind=m.kind, role=m.role, better=m.better, threshold=m.threshold, baseline=m.baseline
                )
                for m in self.metrics
            ),
            alpha=self.alpha,
        )

    def place(self, metric: str) -> int:
        """Where a metric is in the plan.

        Raises
        ------
        InvalidRequest
            When it is not.
        """
        for place, each in enumerate(self.metrics):
            if each.name == metric:
                return place
        known = ", ".join(each.name for each in self.metrics)
        raise InvalidRequest(f"The experiment has no metric {shown(metric)}.", hint=f"It has {known}.")


class Experiment(msgspec.Struct, frozen=True, kw_only=True):
    """An experiment, and what became of it.

    Attributes
    ----------
    id
        Never used again.
    plan
        What was laid down.
    endpoint_id
        Of the endpoint whose gateways deal; None when callers route themselves.
    state
        ``running`` until somebody stops or decides it, also when its time is over; ``archived`` without its units' rows.
    ends_at
        From when on nobody is exposed.
    ended_at, ended_by
        When and by whom it was stopped or decided.
    winner
        What was decided for.
    final
        What it said when it was archived.
    """

    id: UUID
    project: str
    name: str
    description: str = ""
    plan: ExperimentPlan
    endpoint_id: UUID | None = None
    state: State = "running"
    started_at: datetime
    started_by: str
    ends_at: datetime
    ended_at: datetime | None = None
    ended_by: str = ""
    winner: str = ""
    final: ExperimentStatus | None = None

    @property
    def ref(self) -> str:
        """``[project/]name``."""
        return str(ModelRef(self.project, self.name))

    @property
    def exposes_until(self) -> datetime:
        """From when on nobody is exposed."""
        return self.ends_at if self.ended_at is None else min(self.ends_at, self.ended_at)

    @property
    def time(self) -> ObservedTime:
        """When units are exposed and observed."""
        return ObservedTime(
            to_us(self.started_at),
            to_us(self.exposes_until),
            round(self.plan.window_s * _US),
            round(self.plan.batch_s * _US),
        )

    def assign(self, unit: str) -> str:
        """The variant that a unit meets: the same in every process, language and restart, and nothing is written.

        Once the experiment has ended everybody meets the variant that it was decided for, else the control.

        Raises
        ------
        InvalidRequest
            When the unit is an empty text.
        """
        if not unit:
            raise InvalidRequest(
                "Nobody is dealt a variant by an empty text.", hint=f"Give the {self.plan.unit} that asks."
            )
        if self.state != "running":
            return self.winner or self.plan.control
        return str(self.plan.assignment.arm(unit))

    def __repr__(self) -> str:
        where = f" on {self.plan.endpoint}" if self.plan.endpoint else ""
        arms = ", ".join(map(repr, self.plan.variants))
        won = f" · {self.winner}" if self.winner else ""
        return f"<experiment {self.ref}{where} · {self.state}{won} · {arms}>"


def parse_experiment(text: str, project: str = "default") -> ModelRef:
    """Read ``[project/]name``.

    Raises
    ------
    InvalidRequest
        When it is none.
    """
    return parse_model(text, project, "experiment")


def shares_of(percents: Sequence[float | None]) -> list[float]:
    """Shares in percent that sum up to 100: those that are given, or equal ones where none is.

    Raises
    ------
    InvalidRequest
        When some are given and some not.

    >>> shares_of([None, None, None])
    [33.34, 33.33, 33.33]
    """
    said = [percent for percent in percents if percent is not None]
    if not said:
        each, rest = divmod(WEIGHT_TOTAL, len(percents))
        return [(each + (place < rest)) / 100 for place in range(len(percents))]
    if len(said) != len(percents):
        raise InvalidRequest("Some variants have a share and some have none.", hint="Give each its share, or none.")
    return said


def lengths_of(max_duration_s: float, window_s: float, look_every_s: float | None) -> tuple[float, float]:
    """Length of a batch, and how long units are exposed: a whole number of batches.

    Raises
    ------
    InvalidRequest
        When a time is too short or too long beside the others.
    """
    if window_s > max_duration_s * _WINDOW_SHARE_MOST:
        msg = f"Units would be observed for {window_s:g} s, and exposed for {max_duration_s:g} s only."
        raise InvalidRequest(msg, hint="Run it longer, or observe each unit for a shorter time.")
    batch_s = max(BATCH_LEAST_S, max_duration_s / LOOKS_PLANNED) if look_every_s is None else look_every_s
    if not BATCH_LEAST_S <= batch_s <= max(max_duration_s, BATCH_LEAST_S) or max_duration_s / batch_s > BATCHES_MAX:
        msg = f"A look every {batch_s:g} s does not fit an experiment of {max_duration_s:g} s."
        raise InvalidRequest(msg, hint=f"Look at most {BATCHES_MAX:,} times, and not more often than every second.")
    batch_s = round(batch_s * _US) / _US
    batches = -(-round(max_duration_s * _US) // round(batch_s * _US))
    return batch_s, batches * batch_s


def check_metrics(metrics: Sequence[ExperimentMetric]) -> None:
    """Refuse metrics that cannot be recorded or compared: too many, or one by the name of another field of a row."""
    if len(metrics) > METRICS_MAX:
        raise InvalidRequest(f"{len(metrics)} metrics are too many.", hint=f"Give at most {METRICS_MAX}.")
    for metric in metrics:
        check_name(metric.name, "metric")
        if metric.name in ROW_FIELDS:
            raise InvalidRequest(
                f"A metric cannot be called {metric.name}: what is recorded has a field of that name.",
                hint=f"Call it otherwise than {', '.join(ROW_FIELDS)}.",
            )


def check_effect(effect: float | None, primary: str, kind: str) -> None:
    """Refuse a minimum effect that the primary metric cannot have."""
    if effect is None:
        return
    if not math.isfinite(effect) or effect <= 0:
        raise InvalidRequest(f"A minimum effect of {effect:g} cannot be found.", hint="Give a number above 0.")
    if kind == "proportion" and effect > 1:
        raise InvalidRequest(
            f"A minimum effect of {effect:g} is more than {primary}, a proportion, can differ by.",
            hint="Shares go to 1: give 0.05 for 5 points.",
        )


def check_plan(plan: ExperimentPlan) -> ExperimentPlan:
    """The plan, once it can be judged by.

    Raises
    ------
    InvalidRequest
        When variants, metrics or error rates cannot be, or requests of sticky units would be judged one by one.
    """
    check_name(plan.unit, "unit")
    if plan.endpoint and plan.unit == REQUEST_UNIT:
        raise InvalidRequest(
            f"The endpoint {plan.endpoint} deals by key: requests of one user are alike, and judged one by one they would look surer than they "
            "are.",
            hint='Give unit="user", and what is counted by request as a ratio of unit sums: '
            '{"name": "success", "kind": "ratio"}, recorded as value 1 or 0 for each request.',
        )
    check_metrics(plan.metrics)
    _ = plan.comparison  # refuses what the statistics cannot compare
    check_effect(plan.minimum_effect, plan.primary.name, plan.primary.kind)
    return plan


def extended(experiment: Experiment, max_duration_s: float, now: datetime) -> Experiment:
    """The experiment with another end, by a whole number of batches.

    Raises
    ------
    Conflict
        When it is not running, or that end has passed.
    """
    if experiment.state != "running":
        raise Conflict(f"The experiment {experiment.ref} is {experiment.state}.", hint="Start another one.")
    batch_us = round(experiment.plan.batch_s * _US)
    batches = -(-round(max_duration_s * _US) // batch_us)
    if batches > BATCHES_MAX:
        msg = f"{max_duration_s:g} s are too long for looks every {experiment.plan.batch_s:g} s."
        raise InvalidRequest(msg, hint="Start another experiment.")
    ends_at = experiment.started_at + timedelta(microseconds=batches * batch_us)
    if ends_at <= now or (experiment.ends_at <= now and ends_at < experiment.ends_at):
        raise Conflict("An experiment cannot have ended already.", hint="Give a longer time, or stop it.")
    return msgspec.structs.replace(experiment, ends_at=ends_at)
