"""Several tests at once: adjusted p-values, in the order given and at most 1.

An adjusted value is the least level at which its test is rejected among all of them: compare it with α, and nothing else.

- Against one false rejection in the family: `bonferroni`; `holm`, Holm (1979), "A simple sequentially rejective multiple test
  procedure", Scandinavian Journal of Statistics 6(2); `hochberg`, Hochberg (1988), "A sharper Bonferroni procedure for multiple
  tests of significance", Biometrika 75(4); `hommel`, Hommel (1988), "A stagewise rejective multiple test procedure based on a
  modified Bonferroni test", Biometrika 75(2). The last two want independent or positively dependent tests; the first two want
  nothing.
- Against a share of false ones among the rejections: `benjamini_hochberg`, Benjamini and Hochberg (1995), "Controlling the false
  discovery rate", Journal of the Royal Statistical Society B 57(1), for independent or positively dependent tests;
  `benjamini_yekutieli` (2001), "The control of the false discovery rate in multiple testing under dependency", Annals of
  Statistics 29(4), for any.

Each raises `InvalidRequest` when a value is not within 0 and 1. No value gives no value.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import accumulate

from chopmark.errors import InvalidRequest

__all__ = ["benjamini_hochberg", "benjamini_yekutieli", "bonferroni", "hochberg", "holm", "hommel"]


def bonferroni(p_values: Sequence[float]) -> list[float]:
    """Each times the number of tests.

    >>> bonferroni([0.01, 0.04])
    [0.02, 0.08]
    """
    _check(p_values)
    return [min(1.0, p * len(p_values)) for p in p_values]


def holm(p_values: Sequence[float]) -> list[float]:
    """Step down: the i-th smallest of m times m - i + 1, and none below a smaller one's.

    >>> holm([0.01, 0.04, 0.02])
    [0.03, 0.04, 0.04]
    """
    order = _ascending(p_values)
    return _in_place(order, accumulate((p_values[at] * (len(order) - rank) for rank, at in enumerate(order)), max))


def hochberg(p_values: Sequence[float]) -> list[float]:
    """Step up: the factors of Holm, and none above a larger one's.

    >>> hochberg([0.01, 0.04, 0.03])
    [0.03, 0.04, 0.04]
    """
    order = _ascending(p_values)[::-1]
    return _in_place(order, accumulate((p_values[at] * rank for rank, at in enumerate(order, 1)), min))


def hommel(p_values: Sequence[float]) -> list[float]:
    """Closed testing with Simes' test of each intersection: never above Hochberg's.

    Computed as Wright (1992), "Adjusted p-values for simultaneous inference", Biometrics 48(4), shows; the time grows with the
    square of the number of tests.

    >>> hommel([0.01, 0.02, 0.03])
    [0.03, 0.03, 0.03]
    """
    import numpy as np

    order = _ascending(p_values)
    if not order:
        return []
    p = np.array([p_values[at] for at in order], dtype=np.float64)
    count = len(order)
    adjusted = p.copy()
    for size in range(count, 1, -1):
        # The Simes value of the intersections of this size: exact over the largest, then over one small and the largest others.
        largest = size * p[count - size + 1 :] / np.arange(2, size + 1)
        least = float(largest.min())
        rest = count - size + 1
        adjusted[rest:] = np.maximum(adjusted[rest:], least)
        adjusted[:rest] = np.maximum(adjusted[:rest], np.minimum(least, size * p[:rest]))
    return _in_place(order, adjusted.tolist())


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Step up: the i-th smallest of m times m / i, and none above a larger one's.

    >>> benjamini_hochberg([0.01, 0.02, 0.5, 0.6])
    [0.04, 0.04, 0.6, 0.6]
    """
    return _false_discoveries(p_values, 1.0)


def benjamini_yekutieli(p_values: Sequence[float]) -> list[float]:
    """Benjamini and Hochberg's, times 1 + 1/2 + … + 1/m: whatever the tests have to do with each other.

    >>> benjamini_yekutieli([0.01, 0.04])
    [0.03, 0.06]
    """
    return _false_discoveries(p_values, math.fsum(1 / rank for rank in range(1, len(p_values) + 1)))


def _false_discoveries(p_values: Sequence[float], factor: float) -> list[float]:
    order = _ascending(p_values)[::-1]
    count = len(order)
    steps = (p_values[at] * factor * count / (count - rank) for rank, at in enumerate(order))
    return _in_place(order, accumulate(steps, min))


def _ascending(p_values: Sequence[float]) -> list[int]:
    _check(p_values)
    return sorted(range(len(p_values)), key=p_values.__getitem__)


def _in_place(order: Sequence[int], values: Iterable[float]) -> list[float]:
    """Values in the order of the ranks → in the order the p-values were given."""
    adjusted = [0.0] * len(order)
    for at, value in zip(order, values, strict=True):
        adjusted[at] = min(1.0, float(value))
    return adjusted


def _check(p_values: Sequence[float]) -> None:
    for p in p_values:
        if not 0.0 <= p <= 1.0:
            raise InvalidRequest(f"{p!r} is no p-value.", hint="A p-value is within 0 and 1.")
