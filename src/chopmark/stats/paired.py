"""Tests of two systems on the same rows: whether one is better, or it may be chance.

- `mcnemar_p`: the exact form of McNemar (1947), "Note on the sampling error of the difference
  between correlated proportions or percentages", Psychometrika 12(2).
- `balanced_mcnemar_p`: the same with two classes that count alike, however rare one is; exact.
- `paired_t_p`: the paired test of Student (1908), "The probable error of a mean", Biometrika 6(1).
"""

from __future__ import annotations

import math
from itertools import accumulate

__all__ = ["balanced_mcnemar_p", "mcnemar_p", "paired_t_p"]

_TERM_LEAST = 1e-18
_FRACTION_STEPS = 500
_FRACTION_LEAST = 1e-300
_FRACTION_PRECISION = 1e-15


def mcnemar_p(first_only: int, second_only: int) -> float:
    """Two-sided p-value that two systems are right equally often, from the rows where only one is.

    Parameters
    ----------
    first_only, second_only
        Rows that only the first, only the second answers rightly. Under equality each of them is
        as likely of either kind, so the smaller count is binomial(n, 1/2); the value is exact.
    """
    n, k = first_only + second_only, min(first_only, second_only)
    if n == 0:
        return 1.0
    log_term = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) - n * math.log(2)
    term = total = 1.0  # in units of the last term
    while k > 0 and term > _TERM_LEAST * total:
        term *= k / (n - k + 1)
        total += term
        k -= 1
    return min(1.0, 2.0 * math.exp(log_term + math.log(total)))


def balanced_mcnemar_p(rare: tuple[int, int, int], common: tuple[int, int, int]) -> float:
    """Two-sided p-value that the balanced accuracies of two systems are equal.

    Parameters
    ----------
    rare, common
        Of each class: its rows (at least 1), those that only the first, and those that only the
        second system answers rightly.

    Notes
    -----
    A row weighs one over the rows of its class. As in McNemar's test each row that one system alone
    answers rightly is as likely of either kind, so the difference is a weighted sum of two binomial
    counts (n, 1/2), and its distribution is summed up exactly. Where one system is better at one
    class and the other at the other, the sum spreads less than that, and the test errs towards
    equality.
    """
    if rare[1] + rare[2] > common[1] + common[2]:
        rare, common = common, rare  # the sum below runs over the fewer
    rows, first, second = rare
    other_rows, other_first, other_second = common
    n, other_n = first + second, other_first + other_second
    seen = abs(other_rows * (first - second) + rows * (other_first - other_second))  # in units of 1/(rows·other_rows)
    if seen == 0:
        return 1.0
    below = list(accumulate(_binomial(other_n, k) for k in range(other_n + 1)))

    def at_most(k: int) -> float:
        return 0.0 if k < 0 else below[min(k, other_n)]

    total = 0.0
    for k in range(n + 1):
        lead = other_rows * (2 * k - n)
        # 2·j - other_n of the other class must reach -(seen + lead)/rows downwards or (seen - lead)/rows upwards
        low = ((-seen - lead) // rows + other_n) // 2
        high = (-((lead - seen) // rows) + other_n + 1) // 2
        total += _binomial(n, k) * (at_most(low) + at_most(other_n - high))
    return min(1.0, total)


def _binomial(n: int, k: int) -> float:
    """Chance of k heads in n throws."""
    return math.exp(math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) - n * math.log(2))


def paired_t_p(mean: float, standard_deviation: float, count: int) -> float:
    """Two-sided p-value that the mean of paired differences is 0.

    Parameters
    ----------
    mean, standard_deviation, count
        Of the differences; the deviation is the sample's (n - 1), and the count at least 2. It
        holds for differences of any shape when there are many; 30 is the usual least number.
    """
    if standard_deviation == 0:
        return 1.0 if mean == 0 else 0.0
    t = mean / standard_deviation * math.sqrt(count)
    freedom = count - 1
    return max(0.0, min(1.0, _incomplete_beta(freedom / 2, 0.5, freedom / (freedom + t * t))))  # rounding steps over


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """Regularised incomplete beta function: DLMF 8.17.22, by Lentz's method."""
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):
        return 1.0 - _incomplete_beta(b, a, 1 - x)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    c, d = 1.0, 1.0 / _away_from_zero(1 - (a + b) * x / (a + 1))
    fraction = d
    for m in range(1, _FRACTION_STEPS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for numerator in (even, odd):
            d = 1.0 / _away_from_zero(1 + numerator * d)
            c = _away_from_zero(1 + numerator / c)
            fraction *= d * c
        if abs(d * c - 1) < _FRACTION_PRECISION:
            break
    return math.exp(log_front) * fraction / a


def _away_from_zero(value: float) -> float:
    return value if abs(value) > _FRACTION_LEAST else _FRACTION_LEAST
