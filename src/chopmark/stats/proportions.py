"""Two proportions: the pooled z test, and intervals of their difference, treatment minus control.

- `z_test`: Fleiss, Levin and Paik (2003), "Statistical methods for rates and proportions", 3rd ed., eq. 3.5, without a
  correction for continuity.
- `wilson_interval`: Wilson (1927), "Probable inference, the law of succession, and statistical inference", JASA 22(158).
- `wald_interval`: the same book, eq. 3.11; too short for few trials and for rates near 0 or 1, and there for comparison.
- `agresti_caffo_interval`: Agresti and Caffo (2000), "Simple and effective confidence intervals for proportions and differences
  of proportions result from adding two successes and two failures", The American Statistician 54(4).
- `newcombe_interval`: Newcombe (1998), "Interval estimation for the difference between independent proportions", Statistics in
  Medicine 17(8), method 10.
- `miettinen_nurminen_interval`, `score_statistic`: Miettinen and Nurminen (1985), "Comparative analysis of two rates",
  Statistics in Medicine 4(2), eqs. 8 to 9; without their factor N / (N - 1) it is the statistic of Farrington and Manning (1990).

All take two `Proportion` and refuse what is no confidence with `InvalidRequest`. An arm without trials gives an interval from
-1 to 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from chopmark.errors import InvalidRequest
from chopmark.stats.effects import no_answer, normal_effect, normal_quantile
from chopmark.stats.results import Effect, Flag, Interval
from chopmark.stats.roots import find_root
from chopmark.stats.summaries import Proportion

__all__ = [
    "agresti_caffo_interval",
    "constrained_rates",
    "difference",
    "miettinen_nurminen_interval",
    "newcombe_interval",
    "newcombe_reaching",
    "score_bound",
    "score_statistic",
    "unpooled_error",
    "wald_interval",
    "wilson_interval",
    "z_test",
]

EXPECTED_LEAST = 5
"""Expected successes or failures of an arm below which the z test is said to rest on too few; Cochran (1954), "Some methods for
strengthening the common χ² tests", Biometrics 10(4)."""

ANYTHING = Interval(-1.0, 1.0)

_STEPS_MAX = 200
_PRECISION = 1e-15
_OFF_THE_ESTIMATE = 1e-12


def z_test(control: Proportion, treatment: Proportion, *, confidence: float = 0.95) -> Effect:
    """Test that two rates are equal, by the pooled variance; the interval is Newcombe's.

    Parameters
    ----------
    control, treatment
        Successes and trials.
    confidence
        Of the interval.

    Returns
    -------
    Effect
        The difference of the rates. z = (p₁ - p₀) / √(p̄ (1 - p̄) (1/n₁ + 1/n₀)), p̄ over both arms. Flags: ``no_data``,
        ``all_equal`` when all trials of both arms end alike (p = 1), ``too_few`` when fewer than five successes or failures are
        expected in an arm: use `chopmark.stats.exact` there.

    Examples
    --------
    >>> effect = z_test(Proportion(900, 1000), Proportion(930, 1000))
    >>> round(effect.statistic, 3), round(effect.p_value, 4)
    (2.405, 0.0162)
    """
    interval = newcombe_interval(control, treatment, confidence=confidence)
    if not control.n or not treatment.n:
        return no_answer(0.0, "no_data", interval=interval)
    both = control + treatment
    if not both.successes or not both.failures:
        return no_answer(0.0, "all_equal", interval=interval)
    error = math.sqrt(both.successes * both.failures / (both.n * control.n * treatment.n))
    expected_least = min(both.successes, both.failures) * min(control.n, treatment.n) / both.n
    flags: tuple[Flag, ...] = ("too_few",) if expected_least < EXPECTED_LEAST else ()
    return normal_effect(difference(control, treatment), error, confidence, interval=interval, flags=flags)


def difference(control: Proportion, treatment: Proportion) -> float:
    """Rate of the treatment minus that of the control, rounded once; 0 when an arm has no trials."""
    if not control.n or not treatment.n:
        return 0.0
    return (treatment.successes * control.n - control.successes * treatment.n) / (control.n * treatment.n)


def unpooled_error(control: Proportion, treatment: Proportion) -> float:
    """Standard error √(p₁ (1 - p₁) / n₁ + p₀ (1 - p₀) / n₀); each arm has trials."""
    return math.sqrt(sum(p.successes * p.failures / p.n**3 for p in (control, treatment)))


def wilson_interval(proportion: Proportion, *, confidence: float = 0.95) -> Interval:
    """Interval of one rate, within 0 and 1: all rates that a z test of them does not reject.

    >>> interval = wilson_interval(Proportion(9, 10))
    >>> round(interval.low, 4), round(interval.high, 4)
    (0.5958, 0.9821)
    """
    return _wilson(proportion, normal_quantile(confidence))


def _wilson(proportion: Proportion, z: float) -> Interval:
    if not proportion.n:
        return Interval(0.0, 1.0)
    x, n = proportion.successes, proportion.n
    middle, reach = x + z * z / 2, z * math.sqrt(x * proportion.failures / n + z * z / 4)
    low = 0.0 if x == 0 else (middle - reach) / (n + z * z)
    high = 1.0 if x == n else (middle + reach) / (n + z * z)
    return Interval(max(0.0, low), min(1.0, high))


def wald_interval(control: Proportion, treatment: Proportion, *, confidence: float = 0.95) -> Interval:
    """Estimate ± z · unpooled standard error, without a correction; it may reach beyond -1 and 1."""
    z = normal_quantile(confidence)
    if not control.n or not treatment.n:
        return ANYTHING
    estimate, reach = difference(control, treatment), z * unpooled_error(control, treatment)
    return Interval(estimate - reach, estimate + reach)


def agresti_caffo_interval(control: Proportion, treatment: Proportion, *, confidence: float = 0.95) -> Interval:
    """The Wald interval after one success and one failure more in each arm; it may reach a little beyond -1 and 1."""
    z = normal_quantile(confidence)
    if not control.n or not treatment.n:
        return ANYTHING
    fuller = [Proportion(p.successes + 1, p.n + 2) for p in (control, treatment)]
    estimate, reach = difference(*fuller), z * unpooled_error(*fuller)
    return Interval(estimate - reach, estimate + reach)


def newcombe_interval(control: Proportion, treatment: Proportion, *, confidence: float = 0.95) -> Interval:
    """Hybrid of the Wilson intervals of both arms, without a correction; within -1 and 1, good for few trials.

    >>> interval = newcombe_interval(Proportion(50, 50), Proportion(50, 50))
    >>> round(interval.low, 4), round(interval.high, 4)
    (-0.0713, 0.0713)
    """
    return newcombe_reaching(control, treatment, normal_quantile(confidence))


def newcombe_reaching(control: Proportion, treatment: Proportion, z: float) -> Interval:
    """`newcombe_interval` by the normal quantile, which may be too far out for a confidence to tell from 1."""
    c, t = (_wilson(p, z) for p in (control, treatment))
    if not control.n or not treatment.n:
        return ANYTHING
    estimate = difference(control, treatment)
    low = estimate - math.hypot(treatment.rate - t.low, c.high - control.rate)
    high = estimate + math.hypot(t.high - treatment.rate, control.rate - c.low)
    return Interval(max(-1.0, low), min(1.0, high))


def miettinen_nurminen_interval(control: Proportion, treatment: Proportion, *, confidence: float = 0.95) -> Interval:
    """All differences that `score_statistic` does not reject, to 1e-12; within -1 and 1."""
    z = normal_quantile(confidence)
    return Interval(score_bound(control, treatment, -z), score_bound(control, treatment, z))


def score_statistic(
    control: Proportion, treatment: Proportion, difference_tested: float, *, is_corrected: bool = True
) -> float:
    """How many standard errors the difference seen lies above the one tested, with the variance under the latter.

    Parameters
    ----------
    control, treatment
        Each with at least one trial.
    difference_tested
        Strictly within -1 and 1.
    is_corrected
        Multiply the variance by N / (N - 1), as Miettinen and Nurminen do and Farrington and Manning do not.

    Returns
    -------
    float
        z; 0 when nothing varies, as when all trials of both arms end alike and 0 is tested.

    Raises
    ------
    InvalidRequest
        When an arm has no trials, or the difference is not within -1 and 1.
    """
    if not control.n or not treatment.n:
        raise InvalidRequest("An arm has no trials.", hint="Wait until both arms have some.")
    if not -1.0 < difference_tested < 1.0:
        raise InvalidRequest(f"Rates cannot differ by {difference_tested!r}.", hint="Give a share within -1 and 1.")
    variance = _score_variance(control, treatment, difference_tested, is_corrected=is_corrected)
    return (difference(control, treatment) - difference_tested) / math.sqrt(variance) if variance > 0 else 0.0


def score_bound(control: Proportion, treatment: Proportion, z: float, *, is_corrected: bool = True) -> float:
    """The difference that lies z standard errors above the estimate (below it where z is negative), by `score_statistic`."""
    end = math.copysign(1.0, z)
    if not control.n or not treatment.n:
        return end
    estimate = difference(control, treatment)
    if estimate == end:
        return end

    def excess(tested: float) -> float:
        return (tested - estimate) ** 2 - z * z * _score_variance(control, treatment, tested, is_corrected=is_corrected)

    start = estimate + _OFF_THE_ESTIMATE * (end - estimate)  # at the estimate itself the variance may be 0
    if excess(start) >= 0:
        return estimate
    return find_root(excess, start, end)


def constrained_rates(control: Proportion, treatment: Proportion, difference_tested: float) -> tuple[float, float]:
    """Most likely rates of control and treatment among those that differ by exactly so much.

    The root of the derivative of the log-likelihood, which falls from end to end of the control's possible rates: Newton's steps,
    halving where one leads out of what is left. (The closed form of the cubic loses the digits of rates near 0.)
    """
    low, high = max(0.0, -difference_tested), min(1.0, 1.0 - difference_tested)
    if low >= high:
        return low, low + difference_tested
    slope = _slope(control, treatment, difference_tested)
    for end, sign in ((low, 1), (high, -1)):
        if sign * slope(end)[0] <= 0:  # nothing draws away from this end
            return end, min(1.0, max(0.0, end + difference_tested))
    rate = min(max((control + treatment).rate - difference_tested / 2, low), high)
    for _ in range(_STEPS_MAX):
        if not low < rate < high:
            rate = (low + high) / 2
        value, derivative = slope(rate)
        low, high = (rate, high) if value > 0 else (low, rate)
        step = value / derivative if derivative else 0.0
        rate -= step
        if abs(step) <= _PRECISION * abs(rate) or high - low <= _PRECISION * high:
            break
    rate = min(max(rate, low), high)
    return rate, min(1.0, max(0.0, rate + difference_tested))


def _slope(control: Proportion, treatment: Proportion, shift: float) -> Callable[[float], tuple[float, float]]:
    """Derivative of the log-likelihood by the control's rate, and the derivative of that, which is below 0."""
    counts = [control.successes, control.failures, treatment.successes, treatment.failures]

    def at(rate: float) -> tuple[float, float]:
        chances = [rate, 1.0 - rate, rate + shift, 1.0 - rate - shift]
        value = derivative = 0.0
        for sign, count, chance in zip((1, -1, 1, -1), counts, chances, strict=True):
            if count:
                share = count / max(chance, 1e-300)
                value += sign * share
                derivative -= share / max(chance, 1e-300)
        return value, derivative

    return at


def _score_variance(control: Proportion, treatment: Proportion, tested: float, *, is_corrected: bool) -> float:
    c, t = constrained_rates(control, treatment, tested)
    total = control.n + treatment.n
    return (c * (1 - c) / control.n + t * (1 - t) / treatment.n) * (total / (total - 1) if is_corrected else 1.0)
