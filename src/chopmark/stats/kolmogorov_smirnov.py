"""The two-sample test of Kolmogorov and Smirnov: statistic, asymptotic and exact p-value.

The asymptotic p-value takes the distribution of the one-sample statistic at the effective size nm/(n + m), rounded, as SciPy
does. For that distribution the methods are chosen by size as in Simard & L'Ecuyer (2011), "Computing the two-sided
Kolmogorov–Smirnov distribution", J. Statist. Softw. 39(11).
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING

from chopmark.errors import InvalidRequest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["asymptotic_p", "distance", "exact_p", "two_sided_sf"]

_EXACT_N_MAX = 140
_STEPS_MAX = 10**8
_SCALE = 140  # powers of ten that a matrix power is kept below
_SUMMED_N_MAX = 1_000
_NODES = 200


def distance(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Greatest difference of the two empirical distribution functions; arrays of finite numbers, shapes (n,) and (m,)."""
    import numpy as np

    ours, theirs = np.sort(first), np.sort(second)
    places = np.concatenate([ours, theirs])
    gaps = (
        np.searchsorted(ours, places, side="right") / ours.size
        - np.searchsorted(theirs, places, side="right") / theirs.size
    )
    return float(np.abs(gaps).max())


def asymptotic_p(statistic: float, n: int, m: int) -> float:
    """Chance of a distance so large between samples of n and m of one continuous distribution, asymptotically.

    Parameters
    ----------
    statistic
        From 0 to 1.
    n, m
        Sizes, 1 or more. It errs towards 1 where values are tied.
    """
    larger, smaller = float(max(n, m)), float(min(n, m))
    return two_sided_sf(statistic, max(1, round(larger * smaller / (larger + smaller))))


def exact_p(statistic: float, n: int, m: int) -> float:
    """Chance of a distance so large between samples of n and m of one continuous distribution.

    Parameters
    ----------
    statistic
        From 0 to 1; taken for the nearest value that samples of these sizes can have.
    n, m
        Sizes, 1 or more.

    Raises
    ------
    InvalidRequest
        When the sizes would take more than some 10⁸ steps.

    Notes
    -----
    All orders of the n + m values are equally likely: paths on a grid from (0, 0) to (n, m). The chance that a path through
    (i, j) has left the band |i/n − j/m| < d is 1 outside of it and i/(i+j)·A(i−1, j) + j/(i+j)·A(i, j−1) within. Nothing is
    subtracted, so small values keep their digits: Viehmann (2021), "Numerically more stable computation of the p-values for
    the two-sample Kolmogorov–Smirnov test", arXiv:2102.08037, sec. 3.

    Examples
    --------
    >>> round(exact_p(1.0, 3, 3), 6)
    0.1
    """
    import numpy as np

    n, m = min(n, m), max(n, m)
    least = round(statistic * (n * m // math.gcd(n, m))) * math.gcd(n, m)  # in units of 1/(nm)
    if least <= 0:
        return 1.0
    if (n + m) * min(n, 2 * least // (n + m) + 1) > _STEPS_MAX:
        raise InvalidRequest(
            f"An exact p-value for {n:,} and {m:,} values takes too long.", hint="Use the asymptotic one."
        )
    left = np.ones(n + 2)  # left[i + 1]: chance to have left the band by (i, k - i)
    left[1] = 0.0
    weights = np.arange(n + 1, dtype=np.float64)
    lowest = 0
    for k in range(1, n + m + 1):
        low = max((k * n - least) // (n + m) + 1, k - m, 0)
        high = min(-((-k * n - least) // (n + m)) - 1, n, k)
        if low > high:
            return 1.0
        left_share = weights[low : high + 1]
        kept = (left_share * left[low : high + 1] + (k - left_share) * left[low + 1 : high + 2]) / k
        left[lowest + 1 : low + 1] = 1.0
        left[low + 1 : high + 2] = kept
        lowest = low
    return min(1.0, float(left[n + 1]))


def two_sided_sf(statistic: float, n: int) -> float:
    """Chance that the empirical distribution function of n values is somewhere so far from the true one.

    Parameters
    ----------
    statistic
        From 0 to 1.
    n
        Size, 1 or more.

    Notes
    -----
    Exact for n ≤ 140 and where it is all but 1; elsewhere twice the exact one-sided chance (Smirnov 1944), or the expansion
    of Pelz & Good (1976), whose relative error there is some 10⁻⁵ at n = 141 and falls with n.
    """
    x, t = statistic, statistic * n
    square = t * x
    if t <= 0.5:  # noqa: PLR2004
        return 1.0
    if x >= 1:
        return 0.0
    if t >= n - 1:
        return min(1.0, 2 * (1 - x) ** n)
    if x >= 0.5:  # noqa: PLR2004
        return 2 * _one_sided_sf(x, n)
    if n <= _EXACT_N_MAX:
        chance = 2 * _one_sided_sf(x, n) if square > 4 else 1 - _matrix_cdf(x, n)  # noqa: PLR2004
    elif square >= 370:  # noqa: PLR2004
        chance = 0.0
    elif square >= 2.2:  # noqa: PLR2004
        chance = 2 * _one_sided_sf(x, n)
    elif n <= 100_000 and n * x**1.5 <= 1.4:  # noqa: PLR2004
        chance = 1 - _matrix_cdf(x, n)
    else:
        chance = 1 - _pelz_good_cdf(x, n)
    return min(1.0, max(0.0, chance))


def _one_sided_sf(x: float, n: int) -> float:
    """Smirnov's sum x Σ C(n, j) (x + j/n)^(j−1) (1 − x − j/n)^(n−j) over j ≤ n(1 − x).

    Many terms are a smooth function of j/n that is all but 0 at both ends, so their sum is n times its integral: with 200 nodes the
    relative error is 10⁻¹² at n = 1,000 and 10⁻⁹ at a million, where logarithms of factorials have no more digits.
    """
    from scipy.special import smirnov

    if n <= _SUMMED_N_MAX:
        return float(smirnov(n, x))
    import numpy as np
    from scipy.special import gammaln, xlogy

    nodes, weights = _gauss_legendre()
    part = (nodes + 1) / 2 * (1 - x)
    j = part * n
    logs = gammaln(n + 1) - gammaln(j + 1) - gammaln(n - j + 1) + xlogy(n - j, 1 - x - part) + xlogy(j - 1, x + part)
    return float(x * n * (1 - x) / 2 * (weights @ np.exp(logs)))


@cache
def _gauss_legendre() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    from numpy.polynomial.legendre import leggauss

    nodes, weights = leggauss(_NODES)
    return nodes, weights


def _matrix_cdf(x: float, n: int) -> float:
    """Durbin's matrix formula: Marsaglia, Tsang & Wang (2003), "Evaluating Kolmogorov's distribution", J. Statist. Softw. 8(18)."""
    import numpy as np

    k = math.ceil(n * x)
    h = k - n * x
    size = 2 * k - 1
    matrix = np.tri(size, size, 1)
    powers = h ** np.arange(1, size + 1)
    matrix[:, 0] -= powers
    matrix[-1, :] -= powers[::-1]
    matrix[-1, 0] += max(0.0, 2 * h - 1) ** size
    inverse_factorials = 1 / np.cumprod(np.concatenate([[1.0], np.arange(1, size + 1)]))
    rows, columns = np.indices((size, size))
    above = rows - columns + 1
    matrix *= np.where(above > 0, inverse_factorials[np.maximum(above, 0)], 1.0)
    power, exponent = _matrix_power(matrix, n)
    value = float(power[k - 1, k - 1])
    for i in range(1, n + 1):
        value *= i / n
        if value < 10.0**-_SCALE:
            value *= 10.0**_SCALE
            exponent -= _SCALE
    return float(value * 10.0**exponent)


def _matrix_power(matrix: NDArray[np.float64], n: int) -> tuple[NDArray[np.float64], int]:
    """A power, and the power of ten it is to be multiplied with."""
    import numpy as np

    result, exponent = np.eye(len(matrix)), 0
    factor, factor_exponent = matrix, 0
    while n:
        if n & 1:
            result, exponent = result @ factor, exponent + factor_exponent
            result, exponent = _scaled(result, exponent)
        factor, factor_exponent = _scaled(factor @ factor, 2 * factor_exponent)
        n >>= 1
    return result, exponent


def _scaled(matrix: NDArray[np.float64], exponent: int) -> tuple[NDArray[np.float64], int]:
    import numpy as np

    if np.abs(matrix).max() > 10.0**_SCALE:
        return matrix * 10.0**-_SCALE, exponent + _SCALE
    return matrix, exponent


def _pelz_good_cdf(x: float, n: int) -> float:
    """Pelz & Good (1976), "Approximating the lower tail-areas of the Kolmogorov–Smirnov one-sample statistic", JRSS B 38(2)."""
    import numpy as np

    z = x * math.sqrt(n)
    k = np.arange(0, 30)
    half = (math.pi * (k + 0.5)) ** 2  # each stands for k and -k - 1
    whole = (math.pi * np.arange(1, 30)) ** 2  # each stands for k and -k; that of 0 adds nothing
    fall, whole_fall = np.exp(-half / (2 * z * z)), np.exp(-whole / (2 * z * z))
    root = math.sqrt(math.pi / 2)
    z2, z4, z6 = z**2, z**4, z**6
    first = 2 * root / z * fall.sum()
    second = 2 * root / (6 * z4) * ((half - z2) * fall).sum()
    third = (
        2 * root / (72 * z**7) * ((6 * z6 + 2 * z4 + half * (2 * z4 - 5 * z2) + half**2 * (1 - 2 * z2)) * fall).sum()
    )
    third -= 2 * root / (36 * z**3) * (whole * whole_fall).sum()
    polynomial = (
        half**3 * (5 - 30 * z2) + half**2 * (-60 * z2 + 212 * z4) + half * (135 * z4 - 96 * z6) - 30 * z6 - 90 * z**8
    )
    fourth = 2 * root / (6480 * z**10) * (polynomial * fall).sum()
    fourth += 2 * root / (216 * z6) * ((3 * whole * z2 - whole**2) * whole_fall).sum()
    return float(first + second / n**0.5 + third / n + fourth / n**1.5)
