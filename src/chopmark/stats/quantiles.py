"""Quantiles of one arm and their difference between two, from all numbers or from a sketch of them.

Every function here takes an array, shape (n,), or a `QuantileSketch`. From a sketch the ends of intervals are those of bins, so
that they hold at least as often, and what is estimated is within the bin, 1.6 % at most.

For p95 latency in an experiment that is looked at all the time, freeze the control's p95 with `frozen_threshold` before the
experiment and give `exceedance` of each batch to the test for proportions: that is a metric of zeros and ones.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from chopmark.errors import InvalidRequest
from chopmark.stats.results import Effect, Flag, Interval
from chopmark.stats.sketch import QuantileSketch, bin_ends, bin_of
from chopmark.stats.summaries import Proportion, check_count, check_number, check_numbers

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Sample: TypeAlias = ArrayLike | QuantileSketch

__all__ = [
    "QuantileEstimate",
    "QuantileSummary",
    "SequentialQuantileTest",
    "estimate",
    "exceedance",
    "frozen_threshold",
    "quantile_difference",
    "sequential_test",
]

_RANKS_Z = (
    1.959963984540054  # the ranks that the width is taken from are those of 95 %, whatever the confidence asked for
)
_PLANNED_MAX = 10**9  # beyond, rounding would show in the p-value


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
        _check_between("q", q)
        sketch, n = _opened(sample)
        flags: tuple[Flag, ...] = ("approximate",) if isinstance(sketch, QuantileSketch) else ()
        if n == 0:
            return cls(n=0, value=0.0, at_lower_rank=0.0, at_upper_rank=0.0, flags=("no_data",))
        reach = _RANKS_Z * math.sqrt(q * (1 - q) / n)
        lower, upper = q - reach, q + reach
        if lower < 0 or upper > 1:
            flags = (*flags, "too_few")
        value, low, high = (_type_7(sketch, n, share) for share in (q, max(0.0, lower), min(1.0, upper)))
        return cls(n=n, value=value, at_lower_rank=low, at_upper_rank=high, flags=flags)

    @property
    def standard_error(self) -> float:
        """Of the quantile, by the width of its interval: (upper - lower)/(2z)·√((n - 1)/n)."""
        if self.n == 0:
            return 0.0
        halves = self.at_upper_rank / 2 - self.at_lower_rank / 2  # a difference may overflow, that of the halves cannot
        return halves / _RANKS_Z * math.sqrt((self.n - 1) / self.n)


class SequentialQuantileTest(msgspec.Struct, frozen=True):
    """Whether two arms have the same quantile, safe to ask at every record.

    Attributes
    ----------
    p_value
        Two-sided, of all numbers up to now; the least of those seen so far is valid too.
    estimate
        Quantile of the treatment minus that of the control.
    flags
        ``no_data`` when an arm is empty; ``approximate`` when the estimate comes from sketches (the p-value stays valid).
    """

    p_value: float
    estimate: float
    flags: tuple[Flag, ...] = ()


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
    _check_between("q", q)
    _check_between("confidence", confidence)
    data, n = _opened(sample)
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
    return QuantileEstimate(_type_7(data, n, q), Interval(low, high), too_few)


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
    to look at repeatedly; see `sequential_test` and `exceedance` for that.

    Examples
    --------
    >>> arms = [QuantileSummary.of(range(start, start + 1000), 0.9) for start in (0, 100)]
    >>> effect = quantile_difference(*arms)
    >>> round(effect.estimate), round(effect.standard_error, 1), effect.p_value < 0.001
    (100, 13.4, True)
    """
    from scipy import special

    _check_between("confidence", confidence)
    flags = tuple(dict.fromkeys((*control.flags, *treatment.flags)))
    difference = treatment.value - control.value
    check_number("the difference of the quantiles", difference)
    errors = [arm.standard_error for arm in (control, treatment)]
    error = math.hypot(*errors)
    if min(errors) == 0 or math.isinf(error):
        return _undecided(difference, min(error, sys.float_info.max), flags)
    parts = [(e / error) ** 4 / (arm.n - 1) for e, arm in zip(errors, (control, treatment), strict=True)]
    degrees = 1 / sum(parts)
    statistic = max(-sys.float_info.max, min(sys.float_info.max, difference / error))
    less, greater = float(special.stdtr(degrees, statistic)), float(special.stdtr(degrees, -statistic))
    reach = float(special.stdtrit(degrees, (1 + confidence) / 2)) * error
    return Effect(
        estimate=difference,
        standard_error=error,
        statistic=statistic,
        p_value=min(1.0, 2 * min(less, greater)),
        p_greater=greater,
        p_less=less,
        interval=Interval(difference - reach, difference + reach),
        degrees_of_freedom=degrees,
        flags=flags,
    )


def _undecided(difference: float, error: float, flags: tuple[Flag, ...]) -> Effect:
    reason: tuple[Flag, ...] = ()
    if "no_data" not in flags:
        reason = ("all_equal",) if difference == 0 and error == 0 else ("no_variance",)
    return Effect(
        estimate=difference,
        standard_error=error,
        statistic=0.0,
        p_value=1.0,
        p_greater=1.0,
        p_less=1.0,
        interval=Interval(-math.inf, math.inf),
        flags=(*flags, *reason),
    )


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
    data, n = _opened(control)
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


def sequential_test(
    control: Sample, treatment: Sample, q: float, *, planned_n: int = 1000, alpha: float = 0.05
) -> SequentialQuantileTest:
    """Test that two arms have the same quantile, valid at any time and however often one looks.

    Parameters
    ----------
    control, treatment
        All numbers of each arm up to now: arrays, or sketches of them (both the same). With sketches the test is of the bins
        that the numbers fall into: as valid, blind to less than 1.6 %.
    q
        Share between 0 and 1.
    planned_n
        Numbers in each arm at which the test is to be sharpest. It and ``alpha`` are chosen beforehand: another choice at each
        look would void the promise.
    alpha
        The level it is to be sharpest at.

    Returns
    -------
    SequentialQuantileTest
        With p = 1 when an arm is empty.

    Raises
    ------
    InvalidRequest
        When a share is none, a number is not finite, or an array is compared with a sketch.

    Notes
    -----
    Howard, Ramdas (2022), "Sequential estimation of quantiles with applications to A/B testing and best-arm identification",
    Bernoulli 28(3), section 5: were x the quantile of both arms, then for each arm the numbers at or below it would be successes
    of a rate q, and with a Beta(r/(1 - q), r/q) mixture over other rates
    M(s, f) = B(r/(1-q) + s, r/q + f) / (B(r/(1-q), r/q)·qˢ(1-q)ᶠ) a martingale. The product of both arms' least M, over the
    shares that F₋(x) and F(x) enclose, is taken at the x where it is least: p = 1 / min M₁(x)·M₂(x).

    Examples
    --------
    >>> sequential_test(range(1000), range(300, 1300), 0.5).p_value < 1e-6
    True
    """
    _check_between("q", q)
    _check_between("alpha", alpha)
    check_count("planned_n", planned_n)
    if not 0 < planned_n <= _PLANNED_MAX:
        raise InvalidRequest(
            f"planned_n is {planned_n:,}.",
            hint=f"Give the numbers that are expected in each arm, 1 to {_PLANNED_MAX:,}.",
        )
    if isinstance(control, QuantileSketch) != isinstance(treatment, QuantileSketch):
        raise InvalidRequest("An array cannot be tested against a sketch.", hint="Make sketches of both.")
    (first, n_first), (second, n_second) = _opened(control), _opened(treatment)
    if min(n_first, n_second) == 0:
        return SequentialQuantileTest(1.0, 0.0, ("no_data",))
    flags: tuple[Flag, ...] = ("approximate",) if isinstance(first, QuantileSketch) else ()
    log_evidence = _least_log_evidence(_levels(first), _levels(second), q, _concentration(q, planned_n, alpha))
    difference = _type_7(second, n_second, q) - _type_7(first, n_first, q)
    return SequentialQuantileTest(min(1.0, math.exp(min(0.0, -log_evidence))), difference, flags)


def _concentration(q: float, planned_n: int, alpha: float) -> float:
    """The mixture's r: ρ(v) - q(1 - q), where ρ = v/(2 ln(1/α) + ln(1 + 2 ln(1/α))) makes a two-sided normal mixture sharpest."""
    spread = q * (1 - q)
    twice = 2 * math.log(1 / alpha)
    return max(planned_n * spread / (twice + math.log1p(twice)) - spread, 1e-3 * spread)


def _least_log_evidence(
    first: tuple[NDArray[np.float64], NDArray[np.int64]],
    second: tuple[NDArray[np.float64], NDArray[np.int64]],
    q: float,
    concentration: float,
) -> float:
    """Least of ln M₁(x) + ln M₂(x) over all x. Between two values in the sample it is nowhere less than at the lower one, or the upper."""
    import numpy as np

    candidates = np.concatenate([first[0], second[0]])
    total = np.zeros(candidates.size)
    for levels, upto in (first, second):
        n = int(upto[-1])
        counts = np.concatenate([[0], upto])
        below = counts[np.searchsorted(levels, candidates, side="left")]
        within = counts[np.searchsorted(levels, candidates, side="right")]
        best = _least_evident_count(n, q, concentration)
        total += _log_mixture(np.clip(best, below, within), n, q, concentration)
    return float(total.min())


def _log_mixture(successes: NDArray[np.float64], n: int, q: float, concentration: float) -> NDArray[np.float64]:
    from scipy import special

    a, b = concentration / (1 - q), concentration / q
    failures = n - successes
    mixture: NDArray[np.float64] = special.betaln(a + successes, b + failures) - special.betaln(a, b)
    return mixture - successes * math.log(q) - failures * math.log1p(-q)


def _least_evident_count(n: int, q: float, concentration: float) -> float:
    """The (real) number of successes at which the mixture is least: where its derivative, which rises from below 0, is 0."""
    from scipy import optimize, special

    a, b = concentration / (1 - q), concentration / q
    log_odds = math.log(q) - math.log1p(-q)

    def derivative(successes: float) -> float:
        return float(special.digamma(a + successes) - special.digamma(b + n - successes) - log_odds)

    if derivative(0) >= 0 or derivative(n) <= 0:  # only by rounding, when n is next to nothing beside a and b
        return q * n
    return float(optimize.brentq(derivative, 0, n))


def _levels(data: NDArray[np.float64] | QuantileSketch) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Distinct values (of a sketch, numbers of bins), ascending, and how many lie at or below each."""
    import numpy as np

    if isinstance(data, QuantileSketch):
        bins, upto = data.cumulative()
        return bins.astype(np.float64), upto
    values, counts = np.unique(data, return_counts=True)
    return values, counts.cumsum()


def _opened(sample: Sample) -> tuple[NDArray[np.float64] | QuantileSketch, int]:
    """A sketch as it is, an array in ascending order; and how many numbers."""
    import numpy as np

    if isinstance(sample, QuantileSketch):
        return sample, sample.count
    numbers = np.sort(check_numbers(sample))
    return numbers, int(numbers.size)


def _type_7(data: NDArray[np.float64] | QuantileSketch, n: int, share: float) -> float:
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


def _check_between(name: str, share: float) -> None:
    check_number(name, share)
    if not 0 < share < 1:
        raise InvalidRequest(f"{name} is {share!r}.", hint="Give a share between 0 and 1, such as 0.95.")
