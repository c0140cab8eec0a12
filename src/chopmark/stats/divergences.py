"""How far two rows of counts over the same bins are apart: indices, distances and tests of a table with two rows.

The shares of a row are its counts by their sum. A bin that is empty in both rows changes none of the answers; a row without
any count is refused, since it has no shares.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgspec

from chopmark.errors import InvalidRequest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "LEAST_SHARE",
    "TableTest",
    "chi_squared",
    "g_test",
    "hellinger",
    "jensen_shannon",
    "kullback_leibler",
    "largest_difference",
    "psi",
    "shares",
    "total_variation",
]

LEAST_SHARE = 1e-4
"""What an empty bin counts for in a population stability index, which would be infinite without."""


class TableTest(msgspec.Struct, frozen=True):
    """A test that two rows of counts come from the same shares.

    Attributes
    ----------
    statistic
        0 or more.
    p_value
        Chance of a statistic so large when they do; 1 where fewer than two bins hold anything.
    degrees_of_freedom
        One less than the bins that hold anything.
    """

    statistic: float
    p_value: float
    degrees_of_freedom: int


def psi(reference: ArrayLike, current: ArrayLike, *, least_share: float = LEAST_SHARE) -> float:
    """Population stability index: Σ (q − p) ln(q / p).

    Parameters
    ----------
    reference, current
        Counts, shape (bins,).
    least_share
        A smaller share is taken for this one; the shares are not normalised again.

    Raises
    ------
    InvalidRequest
        When a row is empty, has a negative or fractional count, or the two differ in length.

    Notes
    -----
    Symmetric; it is Jeffreys' divergence, Kullback & Leibler (1951), "On information and sufficiency", Ann. Math. Statist.
    22(1), eq. 2.6, of binned shares. Without drift its mean is near (B − 1)(1/n + 1/m): Yurdakul & Naranjo (2020),
    "Statistical properties of the population stability index", J. Risk Model Validation 14(4).

    Examples
    --------
    >>> round(psi([50, 50], [60, 40]), 5)
    0.04055
    """
    import numpy as np

    p, q = (np.maximum(row, least_share) for row in _both(reference, current))
    return float(((q - p) * np.log(q / p)).sum())


def jensen_shannon(reference: ArrayLike, current: ArrayLike, *, base: float = 2.0) -> float:
    """Jensen–Shannon distance: the root of the divergence; from 0 to √(log_base 2).

    Parameters
    ----------
    reference, current
        Counts, shape (bins,).
    base
        Of the logarithm; with 2 the greatest distance is 1.

    Notes
    -----
    Lin (1991), "Divergence measures based on the Shannon entropy", IEEE Trans. Inf. Theory 37(1), eq. 4.1 with equal
    weights; the root is a metric: Endres & Schindelin (2003), IEEE Trans. Inf. Theory 49(7).
    """
    p, q = _both(reference, current)
    return math.sqrt(
        max(0.0, (_relative_entropy(p, (p + q) / 2) + _relative_entropy(q, (p + q) / 2)) / 2 / math.log(base))
    )


def kullback_leibler(reference: ArrayLike, current: ArrayLike, *, least_share: float = LEAST_SHARE) -> float:
    """Kullback–Leibler divergence Σ p ln(p / q) of the reference from the current shares, floored as in `psi`, then normalised."""
    import numpy as np

    p, q = (np.maximum(row, least_share) for row in _both(reference, current))
    return max(0.0, _relative_entropy(p / p.sum(), q / q.sum()))


def hellinger(reference: ArrayLike, current: ArrayLike) -> float:
    """Hellinger distance √(Σ (√p − √q)² / 2): from 0 to 1; Hellinger (1909), J. reine angew. Math. 136."""
    import numpy as np

    p, q = _both(reference, current)
    return float(np.sqrt(np.square(np.sqrt(p) - np.sqrt(q)).sum() / 2))


def total_variation(reference: ArrayLike, current: ArrayLike) -> float:
    """Total variation distance Σ |p − q| / 2: the share of rows that would have to move to another bin; from 0 to 1."""
    import numpy as np

    p, q = _both(reference, current)
    return float(np.abs(p - q).sum() / 2)


def largest_difference(reference: ArrayLike, current: ArrayLike) -> float:
    """Greatest difference of the shares of one bin (the L∞ distance): from 0 to 1."""
    import numpy as np

    p, q = _both(reference, current)
    return float(np.abs(p - q).max())


def chi_squared(reference: ArrayLike, current: ArrayLike, *, continuity: bool = False) -> TableTest:
    """Pearson's test that two rows of counts come from the same shares.

    Parameters
    ----------
    reference, current
        Counts, shape (bins,).
    continuity
        Take Yates' correction when only two bins hold anything.

    Notes
    -----
    Σ (o − e)² / e against χ² with bins − 1 degrees of freedom: Pearson (1900), Phil. Mag. 50; Yates (1934), Suppl. J. R.
    Statist. Soc. 1(2). Approximate where a cell is expected to hold fewer than five.

    Examples
    --------
    >>> answer = chi_squared([50, 50], [60, 40])
    >>> round(answer.statistic, 4), round(answer.p_value, 4), answer.degrees_of_freedom
    (2.0202, 0.1552, 1)
    """
    observed, expected = _table(reference, current)
    if continuity and observed.shape[1] == 2:  # noqa: PLR2004
        observed = _continuous(observed, expected)
    return _against_chi_squared(float(((observed - expected) ** 2 / expected).sum()), observed.shape[1] - 1)


def g_test(reference: ArrayLike, current: ArrayLike) -> TableTest:
    """Test of the likelihood ratio, 2 Σ o ln(o / e), against χ²: Wilks (1935), Ann. Math. Statist. 6(4)."""
    from scipy.special import xlogy

    observed, expected = _table(reference, current)
    return _against_chi_squared(max(0.0, 2 * float(xlogy(observed, observed / expected).sum())), observed.shape[1] - 1)


def shares(counts: ArrayLike) -> NDArray[np.float64]:
    """Each count by their sum; shape (bins,)."""
    row = _counts(counts)
    found: NDArray[np.float64] = row / row.sum()
    return found


def _both(reference: ArrayLike, current: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    p, q = shares(reference), shares(current)
    if p.shape != q.shape:
        raise InvalidRequest(
            f"{p.size:,} bins and {q.size:,} are not the same.", hint="Count both with the same profile."
        )
    return p, q


def _counts(counts: ArrayLike) -> NDArray[np.float64]:
    import numpy as np

    given = np.asarray(counts)
    is_number = given.dtype.kind in "uif" and given.ndim == 1
    if not is_number or not (np.isfinite(given) & (given >= 0) & (given == np.floor(given))).all():
        raise InvalidRequest("These are no counts.", hint="Give a row of whole numbers, 0 or more.")
    row = given.astype(np.float64)
    if not row.sum() > 0:
        raise InvalidRequest("There is nothing in any bin.", hint="Count some rows first.")
    return row


def _relative_entropy(p: NDArray[np.float64], q: NDArray[np.float64]) -> float:
    from scipy.special import rel_entr

    return float(rel_entr(p, q).sum())


def _table(reference: ArrayLike, current: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What the bins hold that hold anything, and what they would of equal shares; both of shape (2, bins)."""
    import numpy as np

    _both(reference, current)
    observed = np.stack([_counts(reference), _counts(current)])
    observed = observed[:, observed.sum(axis=0) > 0]
    expected: NDArray[Any] = observed.sum(axis=1, keepdims=True) * (observed.sum(axis=0) / observed.sum())
    return observed, expected


def _continuous(observed: NDArray[np.float64], expected: NDArray[np.float64]) -> NDArray[np.float64]:
    import numpy as np

    missing = expected - observed
    nearer: NDArray[np.float64] = observed + np.sign(missing) * np.minimum(0.5, np.abs(missing))
    return nearer


def _against_chi_squared(statistic: float, degrees_of_freedom: int) -> TableTest:
    from scipy.special import chdtrc

    p_value = float(chdtrc(degrees_of_freedom, statistic)) if degrees_of_freedom else 1.0
    return TableTest(statistic, p_value, degrees_of_freedom)
