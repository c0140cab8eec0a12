"""Drift scores as other libraries define them, under their names, so that thresholds set there can be moved here.

The definitions differ more than their names say: of the same two arrays one library's PSI is 0.17 and another's 2.09. For
anything new take `chopmark.stats.drift`, whose scores tell what chance alone would give. The definitions are those of Evidently
0.7, NannyML 0.13, alibi-detect 0.13 and Frouros 0.9.

`score` takes a name such as ``evidently.psi`` and two arrays, shapes (n,) and (m,): numbers without missing values, or
categories as texts. P-values and distances under ``alibi.`` are those of a 32-bit float, as that library gives them.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from chopmark.errors import InvalidRequest, NotFound
from chopmark.stats import divergences, two_sample
from chopmark.stats import kolmogorov_smirnov as ks

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Values = NDArray[Any]
    Score = Callable[[Values, Values], float]

__all__ = ["evidently_default", "level_counts", "names", "score"]

_EVIDENTLY_VALUES_MAX = 20
_EVIDENTLY_SMALL_ROWS = 1_000
_EVIDENTLY_FEW_VALUES = 5
_EVIDENTLY_LEAST_DEVIATION = 1e-3
_LEAST_SHARE = 1e-4
_NANNYML_EXACT_N = 10_000
_NANNYML_BINS = 10_000
_FROUROS_BINS = 10


def score(name: str, reference: ArrayLike, current: ArrayLike) -> float:
    """A library's score of two arrays.

    Parameters
    ----------
    name
        ``library.score``; `names` has them all.
    reference, current
        Finite numbers, or categories as texts; at least one value each.

    Returns
    -------
    float
        A distance, statistic or p-value, whatever that library gives; never NaN: where it would divide 0 by 0, the
        answer is that for equal data.

    Raises
    ------
    NotFound
        When no library has that score.
    InvalidRequest
        When it is not defined for such values.

    Examples
    --------
    >>> round(score("nannyml.jensen_shannon", ["a", "a", "b"], ["a", "b", "b"]), 4)
    0.2858
    """
    found = _SCORES.get(name)
    if found is None:
        raise NotFound(f"There is no score {name!r}.", hint=f"Use one of: {', '.join(names())}.")
    ours, theirs = _both(reference, current)
    kind = "numbers" if ours.dtype.kind == "f" else "categories"
    of_kind = found.get(kind)
    if of_kind is None:
        raise InvalidRequest(f"{name} is not defined for {kind}.", hint=f"It takes {' or '.join(found)}.")
    return float(of_kind(ours, theirs))


def names(kind: str | None = None) -> tuple[str, ...]:
    """Names of the scores that there are, or of those for ``numbers`` or ``categories``."""
    return tuple(name for name, found in _SCORES.items() if kind is None or kind in found)


def evidently_default(reference: ArrayLike, current: ArrayLike) -> str:
    """Name of the test that Evidently takes for such data when none is named, such as ``ks`` or ``wasserstein``.

    By the rows of the reference (up to 1,000 or more) and the distinct values of both.
    """
    import numpy as np

    ours, theirs = _both(reference, current)
    distinct = len(np.unique(np.concatenate([ours, theirs])))
    is_number, is_small = ours.dtype.kind == "f", ours.size <= _EVIDENTLY_SMALL_ROWS
    if is_number and distinct > _EVIDENTLY_FEW_VALUES:
        return "ks" if is_small else "wasserstein"
    if not is_small:
        return "jensenshannon"
    return "chisquare" if distinct > 2 else "z"  # noqa: PLR2004


def level_counts(reference: Values, current: Values) -> tuple[Values, NDArray[np.int64], NDArray[np.int64]]:
    """Distinct values of two arrays together, sorted, and how often each is in either."""
    import numpy as np

    levels, inverse = np.unique(np.concatenate([reference, current]), return_inverse=True)
    ours, theirs = inverse[: len(reference)], inverse[len(reference) :]
    return levels, np.bincount(ours, minlength=len(levels)), np.bincount(theirs, minlength=len(levels))


def _both(reference: ArrayLike, current: ArrayLike) -> tuple[Values, Values]:
    import numpy as np

    ours, theirs = np.asarray(reference), np.asarray(current)
    if ours.dtype.kind in "biuf" and theirs.dtype.kind in "biuf":
        return two_sample.samples(ours, theirs)
    texts = [np.asarray([str(value) for value in values.tolist()]) for values in (ours, theirs)]
    if not all(values.size and values.ndim == 1 for values in texts):
        raise InvalidRequest("An array is empty.", hint="Give at least one value in each.")
    return texts[0], texts[1]


# Evidently


def _evidently_shares(reference: Values, current: Values) -> tuple[Values, Values]:
    """One bin a value, or equal-width bins by Sturges' rule over both for more than 20 distinct numbers of the reference."""
    import numpy as np

    if reference.dtype.kind == "f" and len(np.unique(reference)) > _EVIDENTLY_VALUES_MAX:
        edges = np.histogram_bin_edges(np.concatenate([reference, current]), bins="sturges")
        counts = [np.histogram(values, edges)[0] for values in (reference, current)]
    else:
        counts = list(level_counts(reference, current)[1:])
    return counts[0] / len(reference), counts[1] / len(current)


def _evidently_filled(reference: Values, current: Values) -> tuple[Values, Values]:
    import numpy as np

    def filled(shares: Values) -> Values:
        least = shares[shares > 0].min()
        return np.where(shares == 0, least / 10**6 if least <= _LEAST_SHARE else _LEAST_SHARE, shares)

    ours, theirs = _evidently_shares(reference, current)
    return filled(ours), filled(theirs)


def _evidently_psi(reference: Values, current: Values) -> float:
    return _psi_of(*_evidently_filled(reference, current))


def _evidently_jensenshannon(reference: Values, current: Values) -> float:
    return _jensen_shannon_of(*_evidently_shares(reference, current), base=math.e)


def _evidently_kl_div(reference: Values, current: Values) -> float:
    from scipy.special import rel_entr

    ours, theirs = _evidently_filled(reference, current)
    return float(rel_entr(ours / ours.sum(), theirs / theirs.sum()).sum())


def _evidently_hellinger(reference: Values, current: Values) -> float:
    """√(1 − Σ √(pq)); of numbers with equal-width bins by Sturges' rule over the distinct values."""
    import numpy as np

    levels, *counts = level_counts(reference, current)
    if reference.dtype.kind == "f":
        edges = np.histogram_bin_edges(levels, bins="sturges")
        counts = [np.histogram(values, edges)[0] for values in (reference, current)]
    overlap = float(np.sqrt(counts[0] / len(reference) * (counts[1] / len(current))).sum())
    return math.sqrt(1 - min(1.0, overlap))


def _evidently_wasserstein(reference: Values, current: Values) -> float:
    deviation = max(float(reference.std()), _EVIDENTLY_LEAST_DEVIATION)
    return two_sample.wasserstein_distance(reference, current) / deviation


def _evidently_ks(reference: Values, current: Values) -> float:
    return two_sample.kolmogorov_smirnov(reference, current).p_value


def _evidently_chisquare(reference: Values, current: Values) -> float:
    """P-value of the current counts against the reference's shares, as if these were known exactly."""
    import numpy as np
    from scipy.special import chdtrc

    _, ours, theirs = level_counts(reference, current)
    if len(ours) == 1:
        return 1.0
    expected = ours * (len(current) / len(reference))
    if not expected.all():
        return 0.0  # a level that the reference never had
    return float(chdtrc(len(ours) - 1, (np.square(theirs - expected) / expected).sum()))


def _evidently_z(reference: Values, current: Values) -> float:
    """P-value that the share of the values above the first level is the same, pooled."""
    from scipy.special import ndtr

    _, ours, theirs = level_counts(reference, current)
    n, m = len(reference), len(current)
    p, q = 1 - ours[0] / n, 1 - theirs[0] / m
    pooled = (p * n + q * m) / (n + m)
    if pooled <= 0 or pooled >= 1:
        return 1.0
    return float(2 * (1 - ndtr(abs(p - q) / math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m)))))


# NannyML


def _nannyml_shares(reference: Values, current: Values) -> tuple[Values, Values]:
    """Bins of the reference alone (Doane's rule for numbers), and one more for what of the current data lies outside of them."""
    import numpy as np

    if reference.dtype.kind == "f":
        edges = np.histogram_bin_edges(reference, bins="doane")
        counts = [np.histogram(values, edges)[0] for values in (reference, current)]
    else:
        _, *both = level_counts(reference, current)
        counts = [each[both[0] > 0] for each in both]
    ours, theirs = counts[0] / len(reference), counts[1] / len(current)
    outside = 1 - theirs.sum()
    if outside > 0:
        return np.append(ours, 0.0), np.append(theirs, outside)
    return ours, theirs


def _nannyml_jensen_shannon(reference: Values, current: Values) -> float:
    return _jensen_shannon_of(*_nannyml_shares(reference, current), base=2)


def _nannyml_hellinger(reference: Values, current: Values) -> float:
    return _hellinger_of(*_nannyml_shares(reference, current))


def _nannyml_kolmogorov_smirnov(reference: Values, current: Values) -> float:
    """The distance; from 10,000 reference values on over as many equal-width bins of the reference."""
    import numpy as np

    if len(reference) < _NANNYML_EXACT_N:
        return ks.distance(reference, current)
    ours, edges = np.histogram(reference, np.linspace(reference.min(), reference.max(), _NANNYML_BINS + 1))
    theirs, _ = np.histogram(current, edges)
    below = np.count_nonzero(current < edges[0]) / len(current)
    return float(np.abs(np.cumsum(ours / len(reference)) - (below + np.cumsum(theirs / len(current)))).max())


def _nannyml_wasserstein(reference: Values, current: Values) -> float:
    """The distance; from 10,000 reference values on over as many bins of the reference, and roughly outside of them."""
    import numpy as np

    if len(reference) < _NANNYML_EXACT_N:
        return two_sample.wasserstein_distance(reference, current)
    ours, edges = np.histogram(reference, bins=_NANNYML_BINS)
    theirs, _ = np.histogram(current, bins=edges)
    low, high = edges[0], edges[-1]
    below, above = current[current < low], current[current > high]
    share_below = share_above = outside = 0.0
    if below.size:
        share_below = (below.size + 1) / len(current)
        places, reached = _distribution(np.append(below, low))
        outside += float((reached[:-1] * np.diff(places)).sum()) * share_below
    if above.size:
        share_above = (above.size + 1) / len(current)
        places, reached = _distribution(np.append(above, high))
        outside += float(((1 - reached)[:-1] * np.diff(places)).sum()) * share_above
    gaps = np.cumsum(ours / len(reference)) - (np.cumsum(theirs / len(current)) + share_below)
    return float((np.abs(gaps) * (edges[1] - edges[0])).sum()) + outside


def _distribution(values: Values) -> tuple[Values, Values]:
    import numpy as np

    places, counts = np.unique(values, return_counts=True)
    return places, np.cumsum(counts) / len(values)


def _nannyml_chi2(reference: Values, current: Values) -> float:
    return divergences.chi_squared(*level_counts(reference, current)[1:], continuity=True).statistic


def _nannyml_l_infinity(reference: Values, current: Values) -> float:
    return divergences.largest_difference(*level_counts(reference, current)[1:])


# alibi-detect


def _single(value: float) -> float:
    import numpy as np

    return float(np.float32(value))


def _alibi_ks(reference: Values, current: Values) -> two_sample.TwoSampleTest:
    return two_sample.kolmogorov_smirnov(reference, current, method="asymptotic")


def _alibi_chi_squared(reference: Values, current: Values) -> divergences.TableTest:
    return divergences.chi_squared(*level_counts(reference, current)[1:], continuity=True)


# Frouros


def _frouros_shares(reference: Values, current: Values) -> tuple[Values, Values]:
    """Ten equal-width bins over both."""
    import numpy as np

    edges = np.histogram_bin_edges(np.concatenate([reference, current]), bins=_FROUROS_BINS)
    return (
        np.histogram(reference, edges)[0] / len(reference),
        np.histogram(current, edges)[0] / len(current),
    )


def _frouros_psi(reference: Values, current: Values) -> float:
    """An empty bin counts for the least positive number, which adds some hundreds to the index for each per cent across."""
    import numpy as np

    ours, theirs = (np.where(each == 0, sys.float_info.min, each) for each in _frouros_shares(reference, current))
    return _psi_of(ours, theirs)


def _frouros_hellinger(reference: Values, current: Values) -> float:
    return _hellinger_of(*_frouros_shares(reference, current))


def _frouros_js(reference: Values, current: Values) -> float:
    """Nine equal-width bins over both, filled from a histogram of each by NumPy's automatic rule as if it were even within its bins."""
    import numpy as np

    low, high = min(reference.min(), current.min()), max(reference.max(), current.max())
    places = np.linspace(low, high, _FROUROS_BINS)

    def shares(values: Values) -> Values:
        counts, edges = np.histogram(values, bins="auto")
        reached = np.concatenate([[0.0], np.cumsum(counts / counts.sum())])
        return np.diff(np.interp(places, edges, reached))

    return _jensen_shannon_of(shares(reference), shares(current), base=math.e)


# What the libraries have in common


def _psi_of(ours: Values, theirs: Values) -> float:
    import numpy as np

    return float(((theirs - ours) * np.log(theirs / ours)).sum())


def _hellinger_of(ours: Values, theirs: Values) -> float:
    import numpy as np

    return float(np.sqrt(np.square(np.sqrt(ours) - np.sqrt(theirs)).sum() / 2))


def _jensen_shannon_of(ours: Values, theirs: Values, *, base: float) -> float:
    """Of shares that need not add up to one, as SciPy has it."""
    from scipy.special import rel_entr

    if not (ours.sum() > 0 and theirs.sum() > 0):
        return 0.0
    p, q = ours / ours.sum(), theirs / theirs.sum()
    middle = (p + q) / 2
    divergence = float(rel_entr(p, middle).sum() + rel_entr(q, middle).sum()) / 2
    return math.sqrt(max(0.0, divergence) / math.log(base))


_SCORES: Mapping[str, Mapping[str, Score]] = {
    "evidently.psi": {"numbers": _evidently_psi, "categories": _evidently_psi},
    "evidently.jensenshannon": {"numbers": _evidently_jensenshannon, "categories": _evidently_jensenshannon},
    "evidently.kl_div": {"numbers": _evidently_kl_div, "categories": _evidently_kl_div},
    "evidently.hellinger": {"numbers": _evidently_hellinger, "categories": _evidently_hellinger},
    "evidently.wasserstein": {"numbers": _evidently_wasserstein},
    "evidently.ks": {"numbers": _evidently_ks},
    "evidently.chisquare": {"categories": _evidently_chisquare},
    "evidently.z": {"categories": _evidently_z},
    "nannyml.jensen_shannon": {"numbers": _nannyml_jensen_shannon, "categories": _nannyml_jensen_shannon},
    "nannyml.hellinger": {"numbers": _nannyml_hellinger, "categories": _nannyml_hellinger},
    "nannyml.wasserstein": {"numbers": _nannyml_wasserstein},
    "nannyml.kolmogorov_smirnov": {"numbers": _nannyml_kolmogorov_smirnov},
    "nannyml.chi2": {"categories": _nannyml_chi2},
    "nannyml.l_infinity": {"categories": _nannyml_l_infinity},
    "alibi.ks_pvalue": {"numbers": lambda r, c: _single(_alibi_ks(r, c).p_value)},
    "alibi.ks_distance": {"numbers": lambda r, c: _single(_alibi_ks(r, c).statistic)},
    "alibi.cvm_pvalue": {"numbers": lambda r, c: _single(two_sample.cramer_von_mises(r, c).p_value)},
    "alibi.cvm_distance": {"numbers": lambda r, c: _single(two_sample.cramer_von_mises(r, c).statistic)},
    "alibi.chisquare_pvalue": {"categories": lambda r, c: _single(_alibi_chi_squared(r, c).p_value)},
    "alibi.chisquare_distance": {"categories": lambda r, c: _single(_alibi_chi_squared(r, c).statistic)},
    "frouros.psi": {"numbers": _frouros_psi},
    "frouros.js": {"numbers": _frouros_js},
    "frouros.hellinger": {"numbers": _frouros_hellinger},
    "frouros.emd": {"numbers": two_sample.wasserstein_distance},
}
