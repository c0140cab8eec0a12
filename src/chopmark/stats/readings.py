"""How a treatment stands to the control in one metric: numbers, and whether they are better, worse, or the same."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, cast

import msgspec

from chopmark.stats.means import cuped_means, cuped_slope, cuped_test, ratio_mean, ratio_test, welch_test
from chopmark.stats.multiplicity import holm
from chopmark.stats.plans import Metric, Summary
from chopmark.stats.proportions import newcombe_interval, z_test
from chopmark.stats.results import Effect, Flag, Interval
from chopmark.stats.sketch import QuantileSketch
from chopmark.stats.summaries import Cuped, Mean, Proportion, Ratio

__all__ = ["Reading", "adjusted", "fixed_effect", "linearised", "standing", "value_of"]

Standing = Literal["better", "worse", "same", "not better", "unclear"]
DECIDES_NOTHING: frozenset[Flag] = frozenset(
    {"no_data", "too_few", "no_variance", "all_equal", "not_constant", "too_early"}
)


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
    flags: tuple[Flag, ...] = ()


def standing(metric: Metric, reading: Reading) -> Standing:
    """What a reading says of a treatment, by the metric's direction and threshold.

    ``better`` and ``worse``: significant, and the whole interval lies beyond the threshold on that side. ``same``: it lies between the
    thresholds. ``not better``: it leaves no room for an improvement that matters. Data that cannot decide are ``unclear``.
    """
    if not DECIDES_NOTHING.isdisjoint(reading.flags):
        return "unclear"
    low, high = reading.interval.low, reading.interval.high
    if metric.better == "lower":
        low, high = -high, -low
    if reading.is_significant and low > metric.threshold:
        return "better"
    if reading.is_significant and high < -metric.threshold:
        return "worse"
    if -metric.threshold < low and high < metric.threshold:
        return "same"
    return "not better" if high < metric.threshold else "unclear"


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
    """The test at a fixed horizon of two summaries of one kind; of rates with Newcombe's interval."""
    match control:
        case Proportion():
            other = cast("Proportion", treatment)
            effect = z_test(control, other, confidence=confidence)
            return msgspec.structs.replace(effect, interval=newcombe_interval(control, other, confidence=confidence))
        case Mean():
            return welch_test(control, cast("Mean", treatment), confidence=confidence)
        case Ratio():
            return ratio_test(control, cast("Ratio", treatment), confidence=confidence)
        case Cuped():
            return cuped_test(control, cast("Cuped", treatment), confidence=confidence).effect
        case QuantileSketch():
            msg = "a sketch is compared by the share of records beyond a limit"
            raise TypeError(msg)


def linearised(control: Summary, treatment: Summary) -> tuple[Mean, Mean]:
    """Both arms as the means that their tests at a fixed horizon compare: see `ratio_mean` and `cuped_means`."""
    match control, treatment:
        case Ratio(), Ratio():
            return ratio_mean(control), ratio_mean(treatment)
        case Cuped(), Cuped():
            return cuped_means(control, treatment, cuped_slope(control, treatment))
        case _:
            msg = "only ratios and adjusted means are linearised"
            raise TypeError(msg)


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
