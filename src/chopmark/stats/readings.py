"""How a treatment stands to the control in one metric: numbers, and whether they are better, worse, or the same."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, cast

import msgspec

from chopmark.stats.effects import normal_quantile, student_reach
from chopmark.stats.exact import FISHER_TRIALS_MAX, fisher_test
from chopmark.stats.means import cuped_means, cuped_slope, guarded_test, ratio_mean
from chopmark.stats.multiplicity import holm
from chopmark.stats.plans import Metric, Summary
from chopmark.stats.proportions import newcombe_reaching, z_test
from chopmark.stats.results import Effect, Flag, Interval
from chopmark.stats.sequential.difference import without_zero
from chopmark.stats.sketch import QuantileSketch
from chopmark.stats.summaries import Cuped, Mean, Proportion, Ratio

__all__ = [
    "Reading",
    "adjusted",
    "fixed_effect",
    "linearised",
    "records_of",
    "repeated_interval",
    "standing",
    "value_of",
]

Standing = Literal["better", "worse", "same", "not better", "unclear"]
DECIDES_NOTHING: frozenset[Flag] = frozenset(
    {"no_data", "too_few", "no_variance", "all_equal", "not_constant", "too_early"}
)


_P_LEAST = 1e-300


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """A treatment against the control in one metric.

    Attributes
    ----------
    metric, variant
        Which.
    control_value, treatment_value
        Rate, mean, ratio or quantile; None where nothing was recorded.
    estimate
        Treatment minus control: in the metric's units, and of a quantile the share of records beyond the limit.
    interval
        Of the estimate; sequential ones hold at all looks together.
    p_value, p_adjusted
        Two-sided; adjusted over treatments (primary), or over secondary metrics and treatments (Holm).
    is_significant
        Whether the adjusted value is at most α, by data that can decide at all.
    decided_n
        Records of both arms at which a sequential test decided; 0 before, and for other methods.
    flags
        What makes it a weak answer.
    """

    metric: str
    variant: str
    control_value: float | None
    treatment_value: float | None
    estimate: float | None
    interval: Interval
    p_value: float
    p_adjusted: float
    is_significant: bool
    decided_n: int = 0
    flags: tuple[Flag, ...] = ()


def standing(metric: Metric, reading: Reading) -> Standing:
    """What a reading says of a treatment, by the metric's direction and threshold.

    ``better`` and ``worse``: significant, and the whole interval lies beyond the threshold on that side. ``same``: it lies between the
    thresholds. ``not better``: it leaves no room for an improvement that matters. Data that cannot decide are ``unclear``.
    """
    if not DECIDES_NOTHING.isdisjoint(reading.flags):
        return "unclear"
    gain = reading.interval if metric.better == "higher" else reading.interval.mirrored
    if reading.is_significant and gain.is_above(metric.threshold):
        return "better"
    if reading.is_significant and gain.is_below(-metric.threshold):
        return "worse"
    if gain.is_above(-metric.threshold) and gain.is_below(metric.threshold):
        return "same"
    return "not better" if gain.is_below(metric.threshold) else "unclear"


def adjusted(readings: Sequence[Reading], alpha: float) -> list[Reading]:
    """Readings of one family with p-values adjusted by Holm, and whether they are significant at α among all of them."""
    values = holm([each.p_value for each in readings])
    return [
        msgspec.structs.replace(
            each, p_adjusted=p, is_significant=p <= alpha and DECIDES_NOTHING.isdisjoint(each.flags)
        )
        for each, p in zip(readings, values, strict=True)
    ]


def fixed_effect(control: Summary, treatment: Summary, confidence: float) -> Effect:
    """The test of two summaries of one kind, at a fixed horizon or a planned look.

    Of rates it has Newcombe's interval, and is Fisher's test of few; of all that has a mean it is `guarded_test`, for a small canary of a
    skewed metric has not seen its tail, at the end as little as at an early look.
    """
    match control, treatment:
        case Proportion(), Proportion():
            return _rate_effect(control, treatment, confidence)
        case Mean(), Mean():
            return guarded_test(control, treatment, confidence=confidence)
        case _:
            return guarded_test(*linearised(control, treatment), confidence=confidence)


def repeated_interval(effect: Effect, control: Summary, treatment: Summary, boundary: float, *, sided: int) -> Interval:
    """What a planned look leaves possible: all differences that the effect does not take beyond the bound of the look."""
    if not DECIDES_NOTHING.isdisjoint(effect.flags):
        return effect.interval
    if "exact" in effect.flags:
        found = _agreeing(cast("Proportion", control), cast("Proportion", treatment), boundary, effect)
    else:
        freedom = effect.degrees_of_freedom
        reach = (boundary if freedom is None else student_reach(boundary, freedom)) * effect.standard_error
        found = Interval(effect.estimate - reach, effect.estimate + reach)
    return Interval(found.low, math.inf) if sided == 1 else found


def _rate_effect(control: Proportion, treatment: Proportion, confidence: float) -> Effect:
    effect = z_test(control, treatment, confidence=confidence)
    if "too_few" not in effect.flags or control.n + treatment.n > FISHER_TRIALS_MAX:
        return effect
    found = fisher_test(control, treatment)
    effect = msgspec.structs.replace(
        effect,
        statistic=_deviate(found.p_value, effect.estimate),
        p_value=found.p_value,
        p_greater=found.p_greater,
        p_less=found.p_less,
        flags=("exact",),
    )
    return msgspec.structs.replace(effect, interval=_agreeing(control, treatment, normal_quantile(confidence), effect))


def _agreeing(control: Proportion, treatment: Proportion, z: float, effect: Effect) -> Interval:
    """Newcombe's interval, with 0 in it if and only if the exact test does not reject so far out."""
    interval = newcombe_reaching(control, treatment, z)
    if abs(effect.statistic) < z:
        return Interval(min(0.0, interval.low), max(0.0, interval.high))
    return without_zero(interval, 1 if effect.statistic > 0 else -1, effect.estimate)


def _deviate(p_value: float, estimate: float) -> float:
    """The normal deviate of a two-sided p-value, with the sign of the estimate."""
    from scipy.special import ndtri

    return math.copysign(-float(ndtri(max(p_value, _P_LEAST) / 2)), estimate)


def linearised(control: Summary, treatment: Summary) -> tuple[Mean, Mean]:
    """Both arms as the means that their tests at a fixed horizon compare: see `ratio_mean` and `cuped_means`."""
    match control, treatment:
        case Ratio(), Ratio():
            return ratio_mean(control), ratio_mean(treatment)
        case Cuped(), Cuped():
            return cuped_means(control, treatment, cuped_slope(control, treatment))
        case _:
            msg = (
                "ratios and adjusted means are linearised; a sketch is compared by the share of records beyond a limit"
            )
            raise TypeError(msg)


def records_of(summary: Summary | None) -> int:
    """How many records a summary is of."""
    match summary:
        case None:
            return 0
        case QuantileSketch():
            return summary.count
        case _:
            return summary.n


def value_of(metric: Metric, summary: Summary | None) -> float | None:
    """The number a person calls the metric's value; None where nothing was recorded."""
    match summary:
        case Proportion() if summary.n:
            return summary.rate
        case Mean() if summary.n:
            return summary.mean
        case Ratio() if summary.mean_x:
            return summary.ratio
        case Cuped() if summary.n:
            return summary.mean_y
        case QuantileSketch() if summary.count:
            found = summary.quantile(metric.quantile)
            return found if math.isfinite(found) else None
        case _:
            return None
