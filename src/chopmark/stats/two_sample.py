"""Whether two arrays of numbers come from one distribution, and how far apart they are: on raw values, exactly.

Values are finite numbers, shapes (n,) and (m,); missing ones are dropped first (`present`), and counted apart. Where data come in
batches or are too many to keep, `chopmark.stats.drift` answers from counts.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from chopmark.errors import InvalidRequest
from chopmark.stats import kolmogorov_smirnov as ks

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "TwoSampleTest",
    "cramer_von_mises",
    "energy_distance",
    "kolmogorov_smirnov",
    "mann_whitney",
    "present",
    "samples",
    "wasserstein_distance",
]

Method = Literal["auto", "asymptotic", "exact"]

_KS_EXACT_N_MAX = 10_000
_CVM_AUTO_N_MAX = 20
_CVM_EXACT_N_MAX = 25
_LEAST_LIMIT = 0.003  # of the limiting Cramér–von Mises statistic; its distribution function is below 10⁻¹⁷ there
_LAST_TERM = 1e-7


class TwoSampleTest(msgspec.Struct, frozen=True):
    """A test that two samples come from one distribution.

    Attributes
    ----------
    statistic
        As the test defines it.
    p_value
        Two-sided; 1 where all values are one and the same.
    method
        ``asymptotic`` or ``exact``.
    """

    statistic: float
    p_value: float
    method: Literal["asymptotic", "exact"]


def kolmogorov_smirnov(first: ArrayLike, second: ArrayLike, *, method: Method = "auto") -> TwoSampleTest:
    """Greatest difference of the two empirical distribution functions.

    Parameters
    ----------
    first, second
        Finite numbers, shapes (n,) and (m,), at least one each.
    method
        ``exact`` counts all orders of the values (it errs towards 1 where values are tied); ``asymptotic`` takes the one-sample
        distribution at the effective size nm/(n + m); ``auto`` is exact up to 10,000 values in the larger sample.

    Raises
    ------
    InvalidRequest
        When a sample is empty or holds what is not finite, or the exact value would take too long.

    Notes
    -----
    Smirnov (1939), "On the estimation of the discrepancy between empirical curves of distribution for two independent
    samples", Bull. Math. Univ. Moscou 2. See `chopmark.stats.kolmogorov_smirnov` for the distributions.

    Examples
    --------
    >>> answer = kolmogorov_smirnov([1, 2, 3, 4], [3, 4, 5, 6])
    >>> answer.statistic, round(answer.p_value, 4), answer.method
    (0.5, 0.7714, 'exact')
    """
    ours, theirs = samples(first, second)
    n, m = ours.size, theirs.size
    distance = ks.distance(ours, theirs)
    is_exact = method == "exact" or (method == "auto" and max(n, m) <= _KS_EXACT_N_MAX)
    if is_exact:
        return TwoSampleTest(distance, ks.exact_p(distance, n, m), "exact")
    return TwoSampleTest(distance, ks.asymptotic_p(distance, n, m), "asymptotic")


def cramer_von_mises(first: ArrayLike, second: ArrayLike, *, method: Method = "auto") -> TwoSampleTest:
    """Squared difference of the two empirical distribution functions, summed over all values.

    Parameters
    ----------
    first, second
        Finite numbers, shapes (n,) and (m,), at least two each; tied values share their mean rank.
    method
        ``exact`` counts all orders (up to 25 values each); ``asymptotic`` takes the limiting distribution at the standardised
        statistic; ``auto`` is exact up to 20.

    Raises
    ------
    InvalidRequest
        When a sample is smaller, holds what is not finite, or is too large for an exact answer.

    Notes
    -----
    T = U/(nm(n + m)) − (4nm − 1)/(6(n + m)), Anderson (1962), "On the distribution of the two-sample Cramér–von Mises
    criterion", Ann. Math. Statist. 33(3), eqs. 9 to 15; the limit by Csörgő & Faraway (1996), JRSS B 58(1), eq. 1.2; exact by
    the recursion of Xiao, Gordon & Yakovlev (2006), J. Statist. Softw. 17(8). The asymptotic p-value is one minus a sum: below
    some 10⁻¹³ it has no correct digits, and may be 0.
    """
    ours, theirs = samples(first, second, least=2)
    n, m = ours.size, theirs.size
    if method == "exact" and max(n, m) > _CVM_EXACT_N_MAX:
        raise InvalidRequest(
            f"An exact p-value for {n:,} and {m:,} values takes too long.", hint="Use method='asymptotic'."
        )
    statistic, summed = _cramer_von_mises_statistic(ours, theirs)
    if method == "exact" or (method == "auto" and max(n, m) <= _CVM_AUTO_N_MAX):
        return TwoSampleTest(statistic, _cramer_von_mises_exact_p(summed, n, m), "exact")
    return TwoSampleTest(statistic, _cramer_von_mises_asymptotic_p(statistic, n, m), "asymptotic")


def mann_whitney(first: ArrayLike, second: ArrayLike) -> TwoSampleTest:
    """Pairs in which the value of the first sample is the larger one, ties counting half; by the normal approximation.

    Parameters
    ----------
    first, second
        Finite numbers, shapes (n,) and (m,), at least one each.

    Notes
    -----
    U of the first sample; z with a continuity correction of 1/2 and the variance for ties: Mann & Whitney (1947), Ann. Math.
    Statist. 18(1); Lehmann (1975), *Nonparametrics*, eq. 1.35. Good from some nine values in each sample.
    """
    from scipy.special import ndtr

    ours, theirs = samples(first, second)
    n, m = ours.size, theirs.size
    ranks, ties = _ranks(ours, theirs)
    u = float(ranks[:n].sum()) - n * (n + 1) / 2
    total = n + m
    tied = float((ties**3 - ties).sum()) / (total * (total - 1))
    deviation = math.sqrt(max(0.0, n * m / 12 * ((total + 1) - tied)))
    if deviation == 0:
        return TwoSampleTest(u, 1.0, "asymptotic")
    z = (max(u, n * m - u) - n * m / 2 - 0.5) / deviation
    return TwoSampleTest(u, min(1.0, 2 * float(ndtr(-z))), "asymptotic")


def wasserstein_distance(first: ArrayLike, second: ArrayLike) -> float:
    """Area between the two empirical distribution functions, ∫ |F − G| dx, in units of the values.

    The least mean distance that the values of one sample have to be moved to make the other: Vallender (1974), "Calculation of
    the Wasserstein distance between probability distributions on the line", Theory Probab. Appl. 18(4).

    Examples
    --------
    >>> wasserstein_distance([0, 1, 3], [5, 6, 8])
    5.0
    """
    import numpy as np

    gaps, widths = _gaps(*samples(first, second))
    return float((np.abs(gaps) * widths).sum())


def energy_distance(first: ArrayLike, second: ArrayLike) -> float:
    """√(2 ∫ (F − G)² dx), in the root of the values' units: Székely & Rizzo (2013), J. Statist. Plann. Inference 143(8), sec. 2."""
    import numpy as np

    gaps, widths = _gaps(*samples(first, second))
    return float(np.sqrt(2 * (np.square(gaps) * widths).sum()))


def present(values: ArrayLike) -> NDArray[np.float64]:
    """The numbers that are not NaN, as float64, shape (n,)."""
    import numpy as np

    numbers = _numbers(values)
    return numbers[~np.isnan(numbers)]


def samples(first: ArrayLike, second: ArrayLike, *, least: int = 1) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Two arrays as float64; `InvalidRequest` when one holds fewer than ``least`` values, or what is not finite."""
    import numpy as np

    both = _numbers(first), _numbers(second)
    for each in both:
        if each.size < least:
            raise InvalidRequest(f"{each.size} values are too few.", hint=f"Give at least {least} in each sample.")
        if not np.isfinite(each).all():
            raise InvalidRequest("A value is not finite.", hint="Drop missing values first, and count them apart.")
    return both


def _numbers(values: ArrayLike) -> NDArray[np.float64]:
    import numpy as np

    given = np.asarray(values)
    if given.dtype.kind not in "biuf" or given.ndim != 1:
        raise InvalidRequest(
            f"This is no row of numbers, but {given.dtype} of {given.ndim} dimensions.",
            hint="Give a one-dimensional array of numbers.",
        )
    return given.astype(np.float64, copy=False)


def _gaps(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Differences of the distribution functions between all values, and how far those are apart."""
    import numpy as np

    ours, theirs = np.sort(ours), np.sort(theirs)
    places = np.sort(np.concatenate([ours, theirs]))
    below = places[:-1]
    gaps = (
        np.searchsorted(ours, below, side="right") / ours.size
        - np.searchsorted(theirs, below, side="right") / theirs.size
    )
    return gaps, np.diff(places)


def _ranks(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Ranks from 1 in both together, tied values sharing their mean; and how many share each value."""
    import numpy as np

    _, inverse, counts = np.unique(np.concatenate([ours, theirs]), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    mean_rank: NDArray[np.float64] = last - (counts - 1) / 2
    return mean_rank[inverse], counts.astype(np.float64)


def _cramer_von_mises_statistic(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> tuple[float, float]:
    """T, and U of which it is made."""
    import numpy as np

    n, m = ours.size, theirs.size
    ranks, _ = _ranks(np.sort(ours), np.sort(theirs))
    above = np.square(ranks[:n] - np.arange(1, n + 1)).sum()
    summed = float(n * above + m * np.square(ranks[n:] - np.arange(1, m + 1)).sum())
    k, total = n * m, n + m
    return summed / (k * total) - (4 * k - 1) / (6 * total), summed


def _cramer_von_mises_asymptotic_p(statistic: float, n: int, m: int) -> float:
    k, total = n * m, n + m
    mean = (1 + 1 / total) / 6
    variance = (total + 1) * (4 * k * total - 3 * (n**2 + m**2) - 2 * k) / (45 * total**2 * 4 * k)
    limit = 1 / 6 + (statistic - mean) / math.sqrt(45 * variance)
    return 1.0 if limit < _LEAST_LIMIT else max(0.0, 1.0 - _cramer_von_mises_limit_cdf(limit))


def _cramer_von_mises_limit_cdf(x: float) -> float:
    import numpy as np
    from scipy.special import gammaln, kv

    total, k, term = np.float64(0.0), 0, 1.0
    while abs(term) >= _LAST_TERM:
        y = 4 * k + 1
        q = np.float64(y**2 / (16 * x))
        factor = math.exp(gammaln(k + 0.5) - gammaln(k + 1)) / (math.pi**1.5 * math.sqrt(x))
        term = factor * math.sqrt(y) * np.exp(-q) * kv(0.25, q)
        total += term
        k += 1
    return float(total)


def _cramer_von_mises_exact_p(summed: float, n: int, m: int) -> float:
    """Share of all orders of n and m values whose statistic is as large."""
    import numpy as np

    multiple = math.lcm(n, m)
    a, b, k = multiple // n, multiple // m, n * m
    quarters = round(4 * summed)  # mean ranks are multiples of 1/2
    least = multiple**2 * (n + m) * (6 * quarters - 4 * k * (4 * k - 1)) // (24 * k**2)
    # For each point (u, v) of a grid: what paths to it have summed up, and how many paths have.
    rows: list[tuple[Any, Any]] = [(np.zeros(1, np.int64), np.ones(1, np.int64))]
    for v in range(1, n + 1):
        values, counts = rows[-1]
        rows.append((values + (a * v) ** 2, counts))
    for u in range(1, m + 1):
        for v in range(n + 1):
            values, counts = rows[v]
            if v:
                values = np.concatenate([values, rows[v - 1][0]])
                counts = np.concatenate([counts, rows[v - 1][1]])
            distinct, inverse = np.unique(values, return_inverse=True)
            merged = np.zeros(distinct.size, np.int64)
            np.add.at(merged, inverse, counts)
            rows[v] = distinct + (a * v - b * u) ** 2, merged
    values, counts = rows[n]
    return int(counts[values >= least].sum()) / math.comb(n + m, n)
