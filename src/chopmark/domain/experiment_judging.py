"""What an experiment says, of what is known of its units: a pure function, and the only place where its plan meets the statistics."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from chopmark.base.clock import to_us
from chopmark.domain.alert_words import duration_words
from chopmark.domain.experiment_status import ExperimentStatus, MetricReading, UncountedRecords, VariantStatus
from chopmark.domain.experiment_units import NOWHERE, SEEN_IN_TWO, ExposedUnits, RecordedUnits, batches_of
from chopmark.domain.experiments import Experiment, ExperimentPlan
from chopmark.domain.names import counted
from chopmark.domain.traffic import WEIGHT_TOTAL
from chopmark.errors import ChopmarkError, InvalidRequest
from chopmark.stats.experiment import Experiment as Comparison
from chopmark.stats.power import sample_size_means, sample_size_proportions
from chopmark.stats.readings import Reading, linearised, standing, value_of
from chopmark.stats.summaries import Mean, Proportion
from chopmark.stats.verdicts import Verdict

__all__ = ["LOOKING_COSTS", "Known", "judged", "said_of"]

LOOKING_COSTS = 2.0
"""Units that looking always takes, by those of a test with one look at its end; see docs/explanation/experiments.md."""

_DAY_S = 86_400.0


class Known(NamedTuple):
    """What the catalog knows of an experiment's units.

    Attributes
    ----------
    exposed
        Units by variant and batch.
    recorded
        For each metric of the plan, what was recorded.
    is_dealt
        Whether its endpoint deals as the plan says, while it runs.
    is_deleted
        Whether its endpoint is there no more, while it runs.
    """

    exposed: Sequence[ExposedUnits]
    recorded: Sequence[Sequence[RecordedUnits]]
    is_dealt: bool = True
    is_deleted: bool = False


def said_of(experiment: Experiment, known: Known, now: datetime) -> ExperimentStatus:
    """What an experiment says now; where it cannot be judged, why: no experiment may hold its endpoint because its figures cannot be read."""
    try:
        return judged(experiment, known, now)
    except Exception as error:  # noqa: BLE001 - whatever it is, the experiment must be told of and ended
        return _unjudged(experiment, known, now, error)


def judged(experiment: Experiment, known: Known, now: datetime) -> ExperimentStatus:
    """What an experiment says now: of the same rows, at the same time, always the same."""
    plan, time = experiment.plan, experiment.time
    complete = time.complete(to_us(now))
    comparison = Comparison.planned(plan.comparison)
    batches = batches_of(plan.names, plan.unit_metrics, known.exposed, known.recorded, complete)
    for batch in batches:
        comparison = comparison.observe(batch)
    is_over = to_us(now) >= time.until_us + time.window_us
    needed = _needed(plan, comparison)
    exposed = sum(each.units for each in known.exposed if each.variant >= 0)
    observed = comparison.totals.exposures.total
    per_day = exposed / max(1.0, (min(now, experiment.exposes_until) - experiment.started_at).total_seconds()) * _DAY_S
    is_exposing = experiment.state == "running" and now < experiment.exposes_until
    days_left = _days_left(needed, observed, per_day, (experiment.ends_at - now).total_seconds() / _DAY_S)
    verdict = _final(plan, comparison, comparison.verdict, is_over=is_over, units=observed)
    return ExperimentStatus(
        experiment=experiment.ref,
        at=now,
        state=experiment.state,
        decision=verdict.decision,
        winner=verdict.winner or "",
        sentence=_sentence(experiment, known, verdict)
        + _added(experiment, known, verdict, exposed - observed, days_left if is_exposing and exposed else None),
        is_final=verdict.is_final,
        breached=verdict.breached,
        variants=_variants(plan, known, comparison),
        readings=_readings(plan, comparison),
        ratio_p=min(comparison.ratio_check.p_value, comparison.record_check.p_value),
        uncounted=_uncounted(known),
        units=observed,
        awaited=exposed - observed,
        batches=len(batches),
        units_per_day=per_day,
        units_needed=needed,
        days_left=days_left if is_exposing else None,
        ends_at=experiment.ends_at,
        plan_digest=plan.digest,
    )


def _unjudged(experiment: Experiment, known: Known, now: datetime, error: Exception) -> ExperimentStatus:
    plan = experiment.plan
    why = error.message if isinstance(error, ChopmarkError) else f"{type(error).__name__}: {error}"
    exposed = _exposed_of(plan, known)
    do = " Stop it, and start another one." if experiment.state == "running" else ""
    return ExperimentStatus(
        experiment=experiment.ref,
        at=now,
        state=experiment.state,
        decision="invalid",
        sentence=f"It cannot be judged: {why.rstrip('.')}.{do}",
        is_final=True,
        variants=tuple(
            VariantStatus(
                name=variant.name,
                version=variant.version.ref,
                percent=variant.weight * 100 / WEIGHT_TOTAL,
                exposed=units,
                observed=0,
                values={},
            )
            for variant, units in zip(plan.variants, exposed, strict=True)
        ),
        awaited=sum(exposed),
        ends_at=experiment.ends_at,
        plan_digest=plan.digest,
    )


def _final(plan: ExperimentPlan, comparison: Comparison, verdict: Verdict, *, is_over: bool, units: int) -> Verdict:
    """The verdict, where nothing said yet means that nothing will be: too small to matter, or the time is over."""
    if verdict.decision != "continue":
        return verdict
    primary = [each for each in comparison.readings if each.metric == plan.primary.name]
    if plan.minimum_effect is not None and primary and all(_is_too_small(plan, each) for each in primary):
        told = f"No treatment can be better by {plan.minimum_effect:g} in {plan.primary.name} any more. Stop, and keep {plan.control}."
        return msgspec.structs.replace(verdict, decision="futile", sentence=told)
    if not is_over:
        return verdict
    told = f"The time is over, and {counted(units, 'unit')} do not tell whether {plan.primary.name} differs."
    return msgspec.structs.replace(
        verdict,
        decision="inconclusive",
        sentence=f"{told} Keep {plan.control}, or plan another experiment with more units.",
    )


def _is_too_small(plan: ExperimentPlan, reading: Reading) -> bool:
    """Whether the interval, which holds at all looks, has no room for the effect that was worth finding."""
    metric = msgspec.structs.replace(plan.comparison.primary, threshold=plan.minimum_effect)
    return standing(metric, reading) in {"worse", "same", "not better"}


def _sentence(experiment: Experiment, known: Known, verdict: Verdict) -> str:
    """What the verdict says; to go on is told only to who can."""
    if experiment.state == "running" and not known.is_deleted:
        return verdict.sentence
    return verdict.sentence.removesuffix(" Go on.").removesuffix(" Go on until they have.")


def _added(experiment: Experiment, known: Known, verdict: Verdict, awaited: int, days_left: float | None) -> str:
    told = ""
    if known.is_deleted:
        told += (
            f" The endpoint {experiment.plan.endpoint} was deleted, and nobody meets the variants there any more: "
            f"chopmark experiment stop {experiment.ref} --reason '…'"
        )
        days_left = None
    elif not known.is_dealt:
        told += f" The endpoint {experiment.plan.endpoint} deals otherwise by now: start anew, or set its split back."
    if awaited and verdict.decision in {"continue", "inconclusive"}:
        told += f" {counted(awaited, 'unit')} {'is' if awaited == 1 else 'are'} observed still."
    if days_left is not None and verdict.decision == "continue":
        told += f" At the present rate it takes {duration_words(round(days_left * _DAY_S))} more."
    return told


def _needed(plan: ExperimentPlan, comparison: Comparison) -> int | None:
    """Units of all variants that find the minimum effect: those of the pair that gets least, by its share."""
    effect = plan.minimum_effect
    control: Any = comparison.totals.records.get(plan.control, {}).get(plan.primary.name)
    if effect is None or control is None or not control.n:
        return None
    shares = {variant.name: variant.weight / WEIGHT_TOTAL for variant in plan.variants}
    alpha = plan.alpha / (len(shares) - 1)
    signed = effect if plan.primary.better == "higher" else -effect
    needed = 0.0
    for name, share in shares.items():
        if name == plan.control:
            continue
        ratio = share / shares[plan.control]
        try:
            if isinstance(control, Proportion):
                size = sample_size_proportions(
                    control.rate, control.rate + signed, alpha=alpha, power=plan.power, ratio=ratio
                )
            else:
                spread = (control if isinstance(control, Mean) else linearised(control, control)[0]).standard_deviation
                if not spread:
                    return None
                size = sample_size_means(effect / spread, alpha=alpha, power=plan.power, ratio=ratio)
        except InvalidRequest:  # a rate beyond 0 and 1: there is no such effect
            return None
        needed = max(needed, size.total / (share + shares[plan.control]))
    return math.ceil(needed * LOOKING_COSTS)


def _days_left(needed: int | None, units: int, per_day: float, days_to_end: float) -> float:
    to_end = max(0.0, days_to_end)
    if needed is None or not per_day or units >= needed:  # who has what was needed, and no answer, goes on to the end
        return to_end
    return min(to_end, (needed - units) / per_day)


def _variants(plan: ExperimentPlan, known: Known, comparison: Comparison) -> tuple[VariantStatus, ...]:
    exposed = _exposed_of(plan, known)
    metrics = plan.comparison.metrics
    return tuple(
        VariantStatus(
            name=variant.name,
            version=variant.version.ref,
            percent=variant.weight * 100 / WEIGHT_TOTAL,
            exposed=exposed[place],
            observed=comparison.totals.exposures.counts.get(variant.name, 0),
            values={
                metric.name: value_of(metric, comparison.totals.records.get(variant.name, {}).get(metric.name))
                for metric in metrics
            },
        )
        for place, variant in enumerate(plan.variants)
    )


def _exposed_of(plan: ExperimentPlan, known: Known) -> list[int]:
    """Units that were shown each variant."""
    exposed = [0] * len(plan.variants)
    for each in known.exposed:
        if each.variant >= 0:
            exposed[each.variant] += each.units
    return exposed


def _readings(plan: ExperimentPlan, comparison: Comparison) -> tuple[MetricReading, ...]:
    metrics = {metric.name: metric for metric in plan.comparison.metrics}
    return tuple(
        MetricReading(
            metric=each.metric,
            role=metrics[each.metric].role,
            variant=each.variant,
            estimate=each.estimate,
            low=_finite(each.interval.low),
            high=_finite(each.interval.high),
            p_value=each.p_adjusted,
            standing=standing(metrics[each.metric], each),
            flags=each.flags,
        )
        for each in comparison.readings
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _uncounted(known: Known) -> UncountedRecords:
    found: dict[str, int] = {"of_units_in_two": 0, "never_exposed": 0, "early": 0, "late": 0}
    for metric in known.recorded:
        for each in metric:
            kind = _OF.get(each.variant)
            if kind is not None:
                found[kind] += each.records
            else:
                found["early"] += each.early
                found["late"] += each.late
    in_two = sum(each.units for each in known.exposed if each.variant == SEEN_IN_TWO)
    return UncountedRecords(units_in_two=in_two, **found)


_OF: Mapping[int, str] = {SEEN_IN_TWO: "of_units_in_two", NOWHERE: "never_exposed"}
