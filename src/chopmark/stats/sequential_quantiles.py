"""Whether two arms have the same quantile, safe to ask at every record."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

from chopmark.errors import InvalidRequest
from chopmark.stats.checks import check_count, check_share
from chopmark.stats.quantiles import opened, type_7
from chopmark.stats.results import Flag
from chopmark.stats.roots import find_root
from chopmark.stats.sketch import QuantileSketch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from chopmark.stats.quantiles import Sample

__all__ = ["SequentialQuantileTest", "sequential_test"]

_PLANNED_MAX = 10**9  # beyond, rounding would show in the p-value


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
    check_share("q", q)
    check_share("alpha", alpha)
    check_count("planned_n", planned_n)
    if not 0 < planned_n <= _PLANNED_MAX:
        raise InvalidRequest(
            f"planned_n is {planned_n:,}.",
            hint=f"Give the numbers that are expected in each arm, 1 to {_PLANNED_MAX:,}.",
        )
    if isinstance(control, QuantileSketch) != isinstance(treatment, QuantileSketch):
        raise InvalidRequest("An array cannot be tested against a sketch.", hint="Make sketches of both.")
    (first, n_first), (second, n_second) = opened(control), opened(treatment)
    if min(n_first, n_second) == 0:
        return SequentialQuantileTest(1.0, 0.0, ("no_data",))
    flags: tuple[Flag, ...] = ("approximate",) if isinstance(first, QuantileSketch) else ()
    log_evidence = _least_log_evidence(_levels(first), _levels(second), q, _concentration(q, planned_n, alpha))
    difference = type_7(second, n_second, q) - type_7(first, n_first, q)
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
    from scipy import special

    a, b = concentration / (1 - q), concentration / q
    log_odds = math.log(q) - math.log1p(-q)

    def derivative(successes: float) -> float:
        return float(special.digamma(a + successes) - special.digamma(b + n - successes) - log_odds)

    if derivative(0) >= 0 or derivative(n) <= 0:  # only by rounding, when n is next to nothing beside a and b
        return q * n
    return find_root(derivative, 0, n)


def _levels(data: NDArray[np.float64] | QuantileSketch) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Distinct values (of a sketch, numbers of bins), ascending, and how many lie at or below each."""
    import numpy as np

    if isinstance(data, QuantileSketch):
        bins, upto = data.cumulative()
        return bins.astype(np.float64), upto
    values, counts = np.unique(data, return_counts=True)
    return values, counts.cumsum()
