"""Quantiles of one arm and their difference between two, from all numbers or from a sketch of them.

Every function here takes an array, shape (n,), or a `QuantileSketch`. From a sketch the ends of intervals are those of bins, so
that they hold at least as often, and what is estimated is within the bin, 1.6 % at most.

For p95 latency in an experiment that is looked at all the time, freeze the control's p95 with `frozen_threshold` before the
experiment and give `exceedance` of each batch to the test for proportions: that is a metric of zeros and ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from chopmark.errors import InvalidRequest
from chopmark.stats.checks import check_count, check_number, check_numbers, check_share
from chopmark.stats.effects import is_noise, no_answer, student_effect
from chopmark.stats.results import Effect, Flag, Interval
from chopmark.stats.sketch import QuantileSketch, bin_ends, bin_of
from chopmark.stats.summaries import Proportion

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Sample: TypeAlias = ArrayLike | QuantileSketch

__all__ = [
    "QuantileEstimate",
    "QuantileSummary",
    "estimate",
    "exceedance",
    "frozen_threshold",
    "opened",
    "quantile_difference",
    "type_7",
]

# The ranks that the width is taken from are those of 95 %, whatever the confidence asked for.
_RANKS_Z = 1.959963984540054


class QuantileEstimate(msgspec.Struct, frozen=True):
    """A quantile and an interval around it.

    Attributes
    ----------
    value
        The quantile, in units of the metric.
    interval
        An end is infinite where there are too few numbers to know it.
    flags
        ``too_few`` says so; ``approximate`` that it comes from a sketch.
    """

    value: float
    interval: Interval
    flags: tuple[Flag, ...] = ()


class QuantileSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What a test of a quantile needs to know of one arm. Summaries do not add up; the sketches they are made of do.

    Attributes
    ----------
    n
        How many numbers.
    value
        The quantile.
    at_lower_rank, at_upper_rank
        What is found at shares q ∓ z·√(q(1 - q)/n), with z = 1.96.
    flags
        ``too_few`` when one of these shares is none; ``approximate`` when this comes from a sketch; ``no_data``.
    """

    n: int
    value: float
    at_lower_rank: float
    at_upper_rank: float
    flags: tuple[Flag, ...] = ()

    def __post_init__(self) -> None:
        check_count("n", self.n)
        for name in ("value", "at_lower_rank", "at_upper_rank"):
            check_number(name, getattr(self, name))
        if self.at_lower_rank > self.at_upper_rank:
            raise InvalidRequest(
                "The number at the lower rank is above that at the upper rank.", hint="Give the lower rank's first."
            )

    @classmethod
    def of(cls, sample: Sample, q: float) -> QuantileSummary:
        """Summary of an array, shape (n,), or of a sketch; quantiles by linear interpolation between neighbours (type 7).

        Raises
        ------
        InvalidRequest
            When q is not between 0 and 1, or a number is not finite.
        """
        check_share("q", q)
        sketch, n = opened(sample)
        flags: tuple[Flag, ...] = ("approximate",) if isinstance(sketch, QuantileSketch) else ()
        if n == 0:
            return cls(n=0, value=0.0, at_lower_rank=0.0, at_upper_rank=0.0, flags=("no_data",))
        reach = _RANKS_Z * math.sqrt(q * (1 - q) / n)
        lower, upper = q - reach, q + reach
        if lower < 0 or upper > 1:
            flags = (*flags, "too_few")
        value, low, high = (type_7(sketch, n, share) for share in (q, max(0.0, lower), min(1.0, upper)))
        return cls(n=n, value=value, at_lower_rank=low, at_upper_rank=high, flags=flags)

    @property
    def standard_error(self) -> float:
        """Of the quantile, by the width of its interval: (upper - lower)/(2z)·√((n - 1)/n)."""
        if self.n == 0:
            return 0.0
        halves = self.at_upper_rank / 2 - self.at_lower_rank / 2  # a difference may overflow, that of the halves cannot
        return halves / _RANKS_Z * math.sqrt((self.n - 1) / self.n)


def estimate(sample: Sample, q: float, *, confidence: float = 0.95) -> QuantileEstimate:
    """Quantile with the interval between two order statistics, which assumes nothing of the distribution.

    Parameters
    ----------
    sample
        Array of numbers, shape (n,), or a sketch; at least one number.
    q
        Share between 0 and 1, both excluded.
    confidence
        Between 0 and 1; the interval holds the quantile at least so often.

    Returns
    -------
    QuantileEstimate
        The quantile by linear interpolation (type 7; by `QuantileSketch.quantile` of a sketch). The interval is from the order
        statistic of rank k, the least with P(Binomial(n, q) ≤ k) ≥ α/2, to that of rank m + 1, where m is the least with
        P(Binomial(n, q) > m) ≤ α/2 (equal tails).

    Raises
    ------
    InvalidRequest
        When there are no numbers, one is not finite, or a share is none.

    Notes
    -----
    Conover (1999), "Practical Nonparametric Statistics", 3rd edition, section 3.2.

    Examples
    --------
    >>> estimate(range(1, 102), 0.5).interval
    Interval(low=41.0, high=61.0)
    """
    check_share("q", q)
    check_share("confidence", confidence)
    data, n = opened(sample)
    if n == 0:
        raise InvalidRequest("There are no numbers, so there is no quantile.", hint="Record some first.")
    tail = (1 - confidence) / 2
    below, above = _least_rank(n, q, tail) - 1, _greatest_rank(n, q, tail)  # ranks counted from 0
    too_few: tuple[Flag, ...] = ("too_few",) if below < 0 or above >= n else ()
    if isinstance(data, QuantileSketch):
        low = data.ends_at(below)[0] if below >= 0 else -math.inf
        high = data.ends_at(above)[1] if above < n else math.inf
        return QuantileEstimate(data.quantile(q), Interval(low, high), ("approximate", *too_few))
    low = float(data[below]) if below >= 0 else -math.inf
    high = float(data[above]) if above < n else math.inf
    return QuantileEstimate(type_7(data, n, q), Interval(low, high), too_few)


def quantile_difference(control: QuantileSummary, treatment: QuantileSummary, *, confidence: float = 0.95) -> Effect:
    """Treatment's quantile minus control's, by the width of their intervals.

    Parameters
    ----------
    control, treatment
        `QuantileSummary.of` the same share of each arm.
    confidence
        Of the interval.

    Returns
    -------
    Effect
        In units of the metric; a t test with Welch's degrees of freedom. Where nothing varies around the quantile of an arm, the
        width says nothing about it: p = 1, the interval is unbounded, and a flag says why (``all_equal`` when both arms have
        that same value, else ``no_variance``).

    Notes
    -----
    Deng, Knoblich, Lu (2018), "Applying the delta method in metric analytics", KDD, section 4: σ̂ = (X₍U₎ - X₍L₎)/(2z). Not safe
    to look at repeatedly; see `sequential_quantiles` and `exceedance` for that.

    Examples
    --------
    >>> arms = [QuantileSummary.of(range(start, start + 1000), 0.9) for start in (0, 100)]
    >>> effect = quantile_difference(*arms)
    >>> round(effect.estimate), round(effect.standard_error, 1), effect.p_value < 0.001
    (100, 13.4, True)
    """
    check_share("confidence", confidence)
    flags = tuple(dict.fromkeys((*control.flags, *treatment.flags)))
    difference = treatment.value - control.value
    check_number("the difference of the quantiles", difference)
    if min(control.n, treatment.n) == 0:
        return no_answer(difference, *dict.fromkeys((*flags, "no_data")))
    errors = [arm.standard_error for arm in (control, treatment)]
    if max(errors) == 0 and difference == 0:
        return no_answer(difference, *flags, "all_equal")
    if min(errors) == 0 or is_noise(math.hypot(*errors), control.value, treatment.value):
        return no_answer(difference, *flags, "no_variance")
    error = math.hypot(*errors)
    parts = [(e / error) ** 4 / (arm.n - 1) for e, arm in zip(errors, (control, treatment), strict=True)]
    return student_effect(difference, error, 1 / sum(parts), confidence, flags=flags)


def frozen_threshold(control: Sample, q: float = 0.95) -> float:
    """Quantile of the control, moved up to the end of its bin in a sketch, so that arrays and sketches count the same above it.

    Parameters
    ----------
    control
        What was seen of the control before the experiment, array or sketch; at least one number.
    q
        Share from 0 to 1.

    Returns
    -------
    float
        In units of the metric; at most 1.6 % above the quantile.

    Raises
    ------
    InvalidRequest
        When there are no numbers, one is not finite, or q is no share.

    Examples
    --------
    >>> latencies_ms = QuantileSketch.of(range(1, 1001))
    >>> threshold_ms = frozen_threshold(latencies_ms)
    >>> exceedance(latencies_ms, threshold_ms)
    Proportion(successes=49, n=1000)
    """
    data, n = opened(control)
    sketch = data if isinstance(data, QuantileSketch) else QuantileSketch.of(data)
    if n == 0:
        raise InvalidRequest("There are no numbers to freeze a threshold of.", hint="Record the control first.")
    return bin_ends(bin_of(sketch.quantile(q)))[1]


def exceedance(sample: Sample, threshold: float) -> Proportion:
    """How many numbers are greater than a threshold, of all.

    Parameters
    ----------
    sample
        Array of numbers, shape (n,), or a sketch; of a sketch only exact for a `frozen_threshold` (see `QuantileSketch.above`).
    threshold
        In units of the metric; chosen before the numbers were seen.

    Raises
    ------
    InvalidRequest
        When a number is not finite.
    """
    import numpy as np

    check_number("threshold", threshold)
    if isinstance(sample, QuantileSketch):
        return sample.above(threshold)
    numbers = check_numbers(sample)
    return Proportion(int(np.count_nonzero(numbers > threshold)), int(numbers.size))


def opened(sample: Sample) -> tuple[NDArray[np.float64] | QuantileSketch, int]:
    """A sketch as it is, an array in ascending order; and how many numbers."""
    import numpy as np

    if isinstance(sample, QuantileSketch):
        return sample, sample.count
    numbers = np.sort(check_numbers(sample))
    return numbers, int(numbers.size)


def type_7(data: NDArray[np.float64] | QuantileSketch, n: int, share: float) -> float:
    """The quantile by linear interpolation between neighbours; ascending numbers, or a sketch, of which there is at least one."""
    import numpy as np

    if isinstance(data, QuantileSketch):
        return data.interpolated(min(share * (n - 1), n - 1.0))
    return float(np.quantile(data, share))


def _least_rank(n: int, q: float, tail: float) -> int:
    """The least k with P(Binomial(n, q) ≤ k) ≥ tail."""
    from scipy import special

    return _first(n, lambda k: bool(special.betaincc(k + 1, n - k, q) >= tail))


def _greatest_rank(n: int, q: float, tail: float) -> int:
    """The least k with P(Binomial(n, q) > k) ≤ tail."""
    from scipy import special

    return _first(n, lambda k: bool(special.betainc(k + 1, n - k, q) <= tail))


def _first(n: int, holds: Callable[[int], bool]) -> int:
    """The least of 0 … n for which something holds that holds for all above it and for n."""
    low, high = 0, n
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low
