"""Measures of drift of one column, from the counts of a reference and of current data in the same bins.

Each has a definition, an expectation for data of these sizes that did not drift at all, and a test. Missing values are dropped
before every measure but the one of their share.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, NamedTuple

from chopmark.stats import divergences
from chopmark.stats import kolmogorov_smirnov as ks
from chopmark.stats.binning import ColumnCounts, LevelBins, NumericBins
from chopmark.stats.column_counts import OTHER_GROUPS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "BACKED_BY",
    "DEFINITIONS",
    "MeasureName",
    "Measured",
    "are_others_told",
    "measure_column",
    "missing_share",
]

MeasureName = Literal[
    "psi",
    "jensen_shannon",
    "hellinger",
    "total_variation",
    "chi_squared",
    "kolmogorov_smirnov",
    "wasserstein",
    "unseen",
    "others",
    "missing",
]

BACKED_BY: Mapping[MeasureName, tuple[MeasureName, ...]] = {
    "psi": ("chi_squared",),
    "jensen_shannon": ("chi_squared",),
    "hellinger": ("chi_squared",),
    "total_variation": ("chi_squared",),
    "chi_squared": ("chi_squared",),
    "kolmogorov_smirnov": ("kolmogorov_smirnov",),
    "wasserstein": ("kolmogorov_smirnov", "chi_squared", "unseen"),
    "unseen": ("unseen",),
    "others": ("others",),
    "missing": ("missing",),
}
"""Measure → the tests that tell whether it may be chance: one of them is enough."""

_GROUPS = "up to 10 groups of the reference's bins with about equally many of its values, open at both ends"
DEFINITIONS: Mapping[str, str] = {
    "psi/numeric/1": f"population stability index over {_GROUPS}; a share below 0.0001 counts as that",
    "psi/category/1": "population stability index over the levels and other; a share below 0.0001 counts as that",
    "jensen_shannon/numeric/1": f"root of the Jensen–Shannon divergence, base 2, over {_GROUPS}",
    "jensen_shannon/category/1": "root of the Jensen–Shannon divergence, base 2, over the levels and other",
    "hellinger/numeric/1": f"Hellinger distance over {_GROUPS}",
    "hellinger/category/1": "Hellinger distance over the levels and other",
    "total_variation/numeric/1": f"total variation distance over {_GROUPS}",
    "total_variation/category/1": "total variation distance over the levels and other",
    "chi_squared/numeric/1": f"Pearson's χ² over {_GROUPS}, neighbours joined until each is expected to hold five",
    "chi_squared/category/1": "Pearson's χ² over the levels and other, those that are expected to hold fewer than five joined",
    "kolmogorov_smirnov/numeric/1": "greatest difference of the distribution functions at the edges of the reference's bins; "
    "exact where it has one bin a value",
    "wasserstein/numeric/1": "area between the distribution functions from counts and sums of the reference's bins, by the reference's "
    "standard deviation: exact but where the two cross within a bin, and never too large",
    "unseen/numeric/1": "share of the values below the reference's least or above its greatest",
    "unseen/category/1": "share of the values in levels that the reference does not have",
    "others/category/1": "of levels that the profile does not keep one by one, in 64 groups by a hash: where those of the reference repeat "
    "enough, the share of the values that are in other such levels than they were, at most; else the total variation distance",
    "missing/numeric/1": "difference of the shares of missing values",
    "missing/category/1": "difference of the shares of missing values",
}
"""Definition → what is computed, in words. A definition never changes; what is computed otherwise gets another number."""

_LEAST_EXPECTED = 5
_TELLING = 400.0  # with a half replaced χ² of 63 degrees of freedom then grows by 100, nine times its deviation
_LEAST_DEVIATION = 1e-300  # nothing can be divided by a smaller one
_MEAN_OF_ABSOLUTE = math.sqrt(2 / math.pi)  # of a standard normal variable
_MEAN_OF_KOLMOGOROV = math.sqrt(math.pi / 2) * math.log(2)


class Measured(NamedTuple):
    """A measure of one column.

    Attributes
    ----------
    name
        Of the measure.
    value
        0 or more.
    expected
        About what it is for data of these sizes that did not drift.
    p_value
        Of the test that it is itself; None for one that others back.
    """

    name: MeasureName
    value: float
    expected: float
    p_value: float | None = None


def missing_share(reference: ColumnCounts, current: ColumnCounts) -> Measured:
    """Difference of the shares of missing values; both have rows."""
    n, m = reference.rows, current.rows
    share = (reference.missing + current.missing) / (n + m)
    expected = _MEAN_OF_ABSOLUTE * math.sqrt(share * (1 - share) * (1 / n + 1 / m))
    answer = divergences.chi_squared(
        (reference.missing, reference.present), (current.missing, current.present), continuity=True
    )
    return Measured("missing", abs(current.missing / m - reference.missing / n), expected, answer.p_value)


def measure_column(column: NumericBins | LevelBins, current: ColumnCounts, *, groups: int) -> list[Measured]:
    """All measures of a column but its missing values.

    Parameters
    ----------
    column
        With the reference's counts, at least one of them present.
    current
        Counts in the same bins, at least one of them present.
    groups
        How many groups numeric bins are joined to.

    Notes
    -----
    Without drift, to first order: with B bins that hold anything, E[PSI] ≈ (B − 1)(1/n + 1/m) (Yurdakul & Naranjo 2020), and
    PSI ≈ 8 Hellinger² ≈ 8 JS² ln 2; a difference of shares is normal, of mean absolute value √(2/π) σ; and the mean of
    Kolmogorov's distribution is √(π/2) ln 2, times √(1/n + 1/m).
    """
    import numpy as np

    ours, theirs = np.array(column.reference.counts[:-1]), np.array(current.counts[:-1])
    if isinstance(column, LevelBins):
        found = _of_shares(ours, theirs, _joined_rare(ours, theirs))
        return [*found, *_new_levels(column, current), *_other_levels(column, current)]
    place = _groups(ours, groups)
    grouped = [np.bincount(place, weights=row).astype(np.int64) for row in (ours, theirs)]
    found = _of_shares(grouped[0], grouped[1], _joined_neighbours(grouped[0], grouped[1]))
    return [*found, *_of_distribution(column, current), _beyond(column, current)]


def _of_shares(
    ours: NDArray[np.int64], theirs: NDArray[np.int64], tested: tuple[NDArray[np.int64], NDArray[np.int64]]
) -> list[Measured]:
    import numpy as np

    n, m = int(ours.sum()), int(theirs.sum())
    spread = 1 / n + 1 / m
    together = (ours + theirs) / (n + m)
    psi_expected = max(0, int(np.count_nonzero(together)) - 1) * spread
    answer = divergences.chi_squared(*tested)
    deviations = np.sqrt(together * (1 - together) * spread)
    return [
        Measured("psi", divergences.psi(ours, theirs), psi_expected),
        Measured("jensen_shannon", divergences.jensen_shannon(ours, theirs), math.sqrt(psi_expected / 8 / math.log(2))),
        Measured("hellinger", divergences.hellinger(ours, theirs), math.sqrt(psi_expected / 8)),
        Measured(
            "total_variation",
            divergences.total_variation(ours, theirs),
            float(deviations.sum()) * _MEAN_OF_ABSOLUTE / 2,
        ),
        Measured("chi_squared", answer.statistic, float(answer.degrees_of_freedom), answer.p_value),
    ]


# Numeric columns


def _groups(ours: NDArray[np.int64], groups: int) -> NDArray[np.int64]:
    """Group of each bin: by where the middle of its reference values lies among all; what is below and above joins the ends."""
    import numpy as np

    middle = np.cumsum(ours) - ours / 2
    place = np.minimum(groups - 1, np.floor(groups * middle / ours.sum())).astype(np.int64)
    _, dense = np.unique(place, return_inverse=True)
    dense[0], dense[-1] = dense[min(1, len(dense) - 1)], dense[max(0, len(dense) - 2)]
    found: NDArray[np.int64] = dense - dense.min()
    return found


def _joined_neighbours(
    ours: NDArray[np.int64], theirs: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Neighbours joined until both rows are expected to hold five of each."""
    import numpy as np

    n, m = int(ours.sum()), int(theirs.sum())
    least = _LEAST_EXPECTED * (n + m) / min(n, m)
    kept: list[list[int]] = []
    for first, second in zip(ours.tolist(), theirs.tolist(), strict=True):
        if kept and sum(kept[-1]) < least:
            kept[-1][0] += first
            kept[-1][1] += second
        else:
            kept.append([first, second])
    if len(kept) > 1 and sum(kept[-1]) < least:
        last = kept.pop()
        kept[-1][0] += last[0]
        kept[-1][1] += last[1]
    joined = np.array(kept, dtype=np.int64)
    return joined[:, 0], joined[:, 1]


def _of_distribution(column: NumericBins, current: ColumnCounts) -> list[Measured]:
    import numpy as np

    n, m = column.reference.present, current.present
    reached = np.cumsum(column.reference.counts[:-2]) / n  # at the least value and at each upper edge
    reached_now = np.cumsum(current.counts[:-2]) / m
    distance = float(np.abs(reached - reached_now).max())
    if (
        current.between
    ):  # the reference has nothing between: just below each value it stands where the one before left it
        distance = max(distance, float(np.abs(reached[:-1] - reached_now[:-1] - np.array(current.between) / m).max()))
    spread = math.sqrt(1 / n + 1 / m)
    found = [Measured("kolmogorov_smirnov", distance, _MEAN_OF_KOLMOGOROV * spread, ks.asymptotic_p(distance, n, m))]
    if column.standard_deviation > _LEAST_DEVIATION:
        deviation = column.standard_deviation
        edges = _standardised(column)
        area = _area(column.reference, edges, reached, deviation)
        with np.errstate(over="ignore", invalid="ignore"):
            value = float(np.abs(area - _area(current, edges, reached_now, deviation)).sum())
        expected = _MEAN_OF_ABSOLUTE * spread * _root_variance(edges, reached, area[1:-1])
        found.append(Measured("wasserstein", value if math.isfinite(value) else sys.float_info.max / 4, expected))
    return found


def _standardised(column: NumericBins) -> NDArray[np.float64]:
    """Least value and upper edges, less the mean and by the standard deviation of the reference."""
    import numpy as np

    edges = np.array((column.minimum, *column.uppers))
    return (edges / 2 - column.mean / 2) / (column.standard_deviation / 2)  # halves: a difference may overflow


def _area(
    counted: ColumnCounts, edges: NDArray[np.float64], reached: NDArray[np.float64], deviation: float
) -> NDArray[np.float64]:
    """Area under the distribution function between edges; before the first; and, less all of it, after the last.

    Within (a, b] it is b·F(b) − a·F(a) less the sum of the values there by n, whatever their places.
    """
    import numpy as np

    sums = np.array(counted.sums) / deviation / counted.present
    reaching = edges * reached
    before, after = reaching[0] - sums[0], edges[-1] - reaching[-1] - sums[-1]
    return np.concatenate([[before], np.diff(reaching) - sums[1:-1], [after]])


def _root_variance(edges: NDArray[np.float64], reached: NDArray[np.float64], area: NDArray[np.float64]) -> float:
    """∫ √(F(1 − F)) dx, of which the distance of two samples is expected to be a multiple: within each bin from the mean of F there."""
    import numpy as np

    widths = np.diff(edges)
    mean = np.divide(area, widths, out=reached[1:].copy(), where=widths > 0)
    mean = np.clip(mean, reached[:-1], reached[1:])
    return float((widths * np.sqrt(np.clip(mean * (1 - mean), 0, None))).sum())


def _beyond(column: NumericBins, current: ColumnCounts) -> Measured:
    n, m = column.reference.present, current.present
    below, above = current.counts[0], current.counts[-2]
    chances = [
        _chance_unseen(n, m, found) if known == 0 else 1.0
        for found, known in ((below, column.reference.counts[0]), (above, column.reference.counts[-2]))
    ]
    return Measured("unseen", (below + above) / m, 2 / (n + 1), min(1.0, 2 * min(chances)))


def _chance_unseen(n: int, m: int, found: int) -> float:
    """Chance that the so many greatest of n + m values of one distribution are all among the m."""
    from scipy.special import gammaln

    logs = gammaln(m + 1) - gammaln(m - found + 1) + gammaln(n + m - found + 1) - gammaln(n + m + 1)
    return min(1.0, math.exp(float(logs)))


# Categorical columns


def _joined_rare(ours: NDArray[np.int64], theirs: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Those levels joined that one of the rows is expected to hold fewer than five of."""
    import numpy as np

    n, m = int(ours.sum()), int(theirs.sum())
    order = np.argsort(ours + theirs, kind="stable")
    together = (ours + theirs)[order]
    is_rare = together * min(n, m) < _LEAST_EXPECTED * (n + m)
    if is_rare.any() and together[is_rare].sum() * min(n, m) < _LEAST_EXPECTED * (n + m):
        is_rare[: int(is_rare.sum()) + 1] = True  # too few even together: with the least frequent of the others
    joined = [np.append(row[order][~is_rare], row[order][is_rare].sum()) for row in (ours, theirs)]
    return joined[0], joined[1]


def _new_levels(column: LevelBins, current: ColumnCounts) -> list[Measured]:
    """The share of new levels, where the reference keeps all that it has; those seen once tell how much is still unseen (Good 1953)."""
    if column.is_open:
        return []
    n, m, new = column.reference.present, current.present, current.counts[-2]
    counts = column.reference.counts[: len(column.levels)]
    once, twice = (sum(count == times for count in counts) for times in (1, 2))
    # That of many rare levels some are new is no surprise, and that one level's values all fall to one side may be chance alone.
    chance = max(_chance_of_rare(n, m, new, once, twice), _chance_unseen(n, m, new))
    return [Measured("unseen", new / m, once / n, chance)]


def _chance_of_rare(n: int, m: int, found: int, once: int, twice: int) -> float:
    """Chance of at least so many values of m in levels that n others did not have, one distribution having given them all.

    A level of rate λ is new with e^{-nλ}, and then has mλ values, as expected. So the values of new levels X are expected to be r = m / n times
    the levels seen once F₁, and as no level is both, the variance of X − rF₁ is r E F₁ + r² (E F₁ + 2 E F₂) exactly, if counts are
    Poisson's. X is taken to be gamma distributed with that mean and variance, for F₁ + 1 and F₂ + 1: what was not seen may be luck.
    """
    from scipy.special import gammaincc

    if not found:
        return 1.0
    ratio = m / n
    mean = ratio * (once + 1)
    variance = mean + ratio * ratio * (once + 1 + 2 * (twice + 1))
    return float(gammaincc(mean * mean / variance, found * mean / variance))


def are_others_told(column: LevelBins, current: ColumnCounts) -> bool:
    """Whether it would be seen that half of the values in levels that are not kept are now in others."""
    return _others_weight(column, current) >= _TELLING


def _others_weight(column: LevelBins, current: ColumnCounts) -> float:
    """What χ² over the groups is expected to grow by when all those levels are replaced by as many others that are as frequent.

    A group's share is then the sum over other levels, of variance Σ p² (1 − 1/G) / G for G groups; of two such the squared difference by
    their mean 1/G, summed over the groups, is 2 (G − 1) Σ p², times n m / (n + m) of the counts. With a share r of the values
    replaced it is r² as much. Σ p² is estimated by Σ c (c − 1) / n (n − 1).
    """
    n, m = sum(column.reference.others), sum(current.others)
    if min(n, m) < _LEAST_EXPECTED * OTHER_GROUPS:
        return 0.0
    return (n * m / (n + m)) * 2 * (OTHER_GROUPS - 1) * column.pairs / (n * (n - 1))


def _other_levels(column: LevelBins, current: ColumnCounts) -> list[Measured]:
    import numpy as np

    ours, theirs = np.array(column.reference.others), np.array(current.others)
    n, m = int(ours.sum()), int(theirs.sum())
    if min(n, m) < _LEAST_EXPECTED * OTHER_GROUPS:
        return []
    share = m / current.present
    answer = divergences.chi_squared(*_joined_rare(ours, theirs))
    if are_others_told(column, current):
        weight = _others_weight(column, current)
        value, expected = (min(1.0, math.sqrt(x / weight)) for x in (answer.statistic, answer.degrees_of_freedom))
    else:
        together = (ours + theirs) / (n + m)
        deviations = np.sqrt(together * (1 - together) * (1 / n + 1 / m))
        value = divergences.total_variation(ours, theirs)
        expected = float(deviations.sum()) * _MEAN_OF_ABSOLUTE / 2
    return [Measured("others", value * share, expected * share, answer.p_value)]
