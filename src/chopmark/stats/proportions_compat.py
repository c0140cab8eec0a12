"""Intervals and tests of two proportions as other libraries compute them, to compare figures with them; not for decisions.

- statsmodels (at least to 0.15.0) offers the score test of Miettinen and Nurminen (1985) for a difference of two proportions, but takes
  x₀ δ where their cubic equation has n₀ δ (in its coefficient L₁). The rates under the null hypothesis are then not the most likely
  ones, and the interval is a little off, most with few trials: `chopmark.stats.proportions.miettinen_nurminen_interval` gives
  [-0.2468, 0.0435] for 45 of 50 and 40 of 50, statsmodels [-0.2518, 0.0437]. Where its search for an end fails, so does ours.
- SciPy (at least to 1.17.1) leaves tables out of Barnard's test that are exactly as extreme as the one seen, when rounding makes
  their z a last digit smaller. The p-value is then too small: 0.448 for 5 of 10 and 5 of 15, where `chopmark.stats.exact.barnard_test`
  gives 0.565.
"""

from __future__ import annotations

import math

from chopmark.errors import InvalidRequest
from chopmark.stats.effects import normal_quantile
from chopmark.stats.exact import largest_chance
from chopmark.stats.proportions import difference, wald_interval
from chopmark.stats.results import Interval
from chopmark.stats.roots import find_root
from chopmark.stats.summaries import Proportion

__all__ = ["scipy_barnard_p", "statsmodels_score_interval", "statsmodels_score_statistic"]

_HIGH_LIMIT = 0.99999


def statsmodels_score_statistic(
    control: Proportion, treatment: Proportion, difference_tested: float, *, is_corrected: bool = True
) -> float | None:
    """The z of ``test_proportions_2indep(treatment, control, value=…, method="score", correction=…)``; None where it has none.

    >>> round(statsmodels_score_statistic(Proportion(5523, 5737), Proportion(9805, 10172), -0.01), 4)
    3.7256
    """
    if not control.n or not treatment.n:
        return None
    rates = _rates(control, treatment, difference_tested)
    if rates is None:
        return None
    total, (c, t) = control.n + treatment.n, rates
    variance = (t * (1 - t) / treatment.n + c * (1 - c) / control.n) * (total / (total - 1) if is_corrected else 1.0)
    return (difference(control, treatment) - difference_tested) / math.sqrt(variance) if variance > 0 else None


def statsmodels_score_interval(
    control: Proportion, treatment: Proportion, *, confidence: float = 0.95
) -> Interval | None:
    """The interval of ``confint_proportions_2indep(treatment, control, method="score")``; None where it fails.

    An end is sought between the estimate and a little beyond that of Wald's interval, as there.
    """
    z = normal_quantile(confidence)
    if not control.n or not treatment.n:
        return None
    wald, estimate = wald_interval(control, treatment, confidence=confidence), difference(control, treatment)

    def excess(tested: float) -> float:
        found = statsmodels_score_statistic(control, treatment, tested)
        if found is None:
            raise InvalidRequest("There is no such statistic.")
        return abs(found) - z

    try:
        high = find_root(excess, estimate, min(wald.high + abs(wald.high) / 2, _HIGH_LIMIT))
        low = find_root(excess, wald.low - abs(wald.low) / 4, estimate)
    except ValueError:  # no sign changes between them, or the statistic ends before
        return None
    return Interval(low, high)


def scipy_barnard_p(control: Proportion, treatment: Proportion) -> float:
    """The two-sided p-value of ``scipy.stats.barnard_exact`` with the arms as columns; for a few hundred trials.

    >>> round(scipy_barnard_p(Proportion(5, 10), Proportion(5, 15)), 3)
    0.448
    """
    import numpy as np

    n, m = control.n, treatment.n
    if not n or not m:
        return 1.0
    x, y = np.arange(n + 1)[:, None], np.arange(m + 1)[None, :]
    first, second, pooled = x / n, y / m, (x + y) / (n + m)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = (first - second) / np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    z[first == second] = 0.0
    return largest_chance(n, m, np.abs(z) >= abs(z[control.successes, treatment.successes]))


def _rates(control: Proportion, treatment: Proportion, delta: float) -> tuple[float, float] | None:
    """Rates of control and treatment under the null hypothesis by the cubic as it stands there."""
    x, n = control.successes + treatment.successes, control.n + treatment.n
    if not delta:
        return x / n, x / n
    second = (treatment.n + 2 * control.n) * delta - n - x
    first = (control.successes * delta - n - 2 * control.successes) * delta + x
    constant = control.successes * delta * (1 - delta)
    q = (second / (3 * n)) ** 3 - first * second / (6 * n**2) + constant / (2 * n)
    square = (second / (3 * n)) ** 2 - first / (3 * n)
    if not q or square <= 0:
        return None
    p = math.copysign(math.sqrt(square), q)
    if not -1 <= q / p**3 <= 1:
        return None
    angle = (math.pi + math.acos(q / p**3)) / 3
    rate = 2 * p * math.cos(angle) - second / (3 * n)
    return rate, rate + delta
