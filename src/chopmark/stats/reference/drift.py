"""Cases of two data sets: made from their specification, then scored on raw arrays and as other libraries do."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from chopmark.errors import InvalidRequest
from chopmark.stats import divergences, drift_compat, two_sample

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["METHODS", "made"]

_EXACT_N_MAX = 1_000  # up to which exact p-values are told too
_ALPHA = 0.05


def numeric(case: Mapping[str, Any]) -> dict[str, Any]:
    """Scores of two arrays of numbers, which the case specifies as ``reference`` and ``current``."""
    given = made(case["reference"]), made(case["current"])
    ours, theirs = (two_sample.present(values) for values in given)
    return {
        "scipy": {
            **_tests(ours, theirs),
            "refbins10": _reference_bins(ours, theirs, 10),
            "refbins20": _reference_bins(ours, theirs, 20),
            "missing_share": _by_side(given, lambda values: 1 - len(two_sample.present(values)) / len(values)),
            "sha256_16": _by_side(given, _digest),
            "first3": _by_side(given, lambda values: [None if v != v else v for v in values[:3].tolist()]),  # noqa: PLR0124
        },
        "evidently": _evidently(ours, theirs, ("psi", "jensenshannon", "kl_div", "hellinger", "wasserstein", "ks")),
        "nannyml": _scores(
            ours, theirs, "nannyml", ("jensen_shannon", "hellinger", "wasserstein", "kolmogorov_smirnov")
        ),
        "alibi": {"KSDrift": _alibi(ours, theirs, "ks"), "CVMDrift": _alibi(ours, theirs, "cvm")},
        "frouros": {
            name: drift_compat.score(f"frouros.{ours_name}", ours, theirs)
            for name, ours_name in (("PSI", "psi"), ("JS", "js"), ("HellingerDistance", "hellinger"), ("EMD", "emd"))
        },
    }


def categorical(case: Mapping[str, Any]) -> dict[str, Any]:
    """Scores of two arrays of levels, which the case specifies as ``reference`` and ``current``."""
    given = made(case["reference"]), made(case["current"])
    levels, *counts = drift_compat.level_counts(*given)
    return {
        "scipy": {
            "levels": levels.tolist(),
            "ref_counts": counts[0].tolist(),
            "cur_counts": counts[1].tolist(),
            **_divergences(*counts),
            "chi2": _table_test(divergences.chi_squared(*counts)),
            "chi2_default_yates_for_2x2": _table_test(divergences.chi_squared(*counts, continuity=True)),
            "g_test": _table_test(divergences.g_test(*counts)),
            "l_infinity": divergences.largest_difference(*counts),
            "sha256_16": _by_side(given, _digest),
        },
        "evidently": _evidently(*given, ("psi", "jensenshannon", "kl_div", "hellinger", "chisquare")),
        "nannyml": _scores(*given, "nannyml", ("jensen_shannon", "hellinger", "l_infinity", "chi2")),
        "alibi": {"ChiSquareDrift": _alibi(*given, "chisquare")},
    }


METHODS: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {"numeric": numeric, "categorical": categorical}


# Scores


def _tests(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> dict[str, Any]:
    asymptotic = two_sample.kolmogorov_smirnov(ours, theirs, method="asymptotic")
    found: dict[str, Any] = {"ks_2samp_asymp": _test(asymptotic)}
    if max(ours.size, theirs.size) <= _EXACT_N_MAX:
        found["ks_2samp_exact"] = _test(two_sample.kolmogorov_smirnov(ours, theirs, method="exact"))
    distance, deviation = two_sample.wasserstein_distance(ours, theirs), float(ours.std())
    ranked = two_sample.mann_whitney(ours, theirs)
    return found | {
        "wasserstein_distance": distance,
        "energy_distance": two_sample.energy_distance(ours, theirs),
        "wasserstein_over_ref_std_ddof0": distance / deviation if deviation > 0 else None,
        "cramervonmises_2samp_asymp": _test(two_sample.cramer_von_mises(ours, theirs, method="asymptotic")),
        "mannwhitneyu_asymp": {"U": ranked.statistic, "pvalue": ranked.p_value},
    }


def _reference_bins(ours: NDArray[np.float64], theirs: NDArray[np.float64], bins: int) -> dict[str, Any]:
    """Bins between quantiles of the reference, open at both ends."""
    import numpy as np

    edges = np.unique(np.quantile(ours, np.arange(1, bins) / bins))
    counts = [
        np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1) for values in (ours, theirs)
    ]
    return {
        "edges": edges.tolist(),
        "ref_counts": counts[0].tolist(),
        "cur_counts": counts[1].tolist(),
        **_divergences(*counts),
    }


def _divergences(ours: NDArray[np.int64], theirs: NDArray[np.int64]) -> dict[str, float]:
    return {
        "psi": divergences.psi(ours, theirs),
        "js_distance_base2": divergences.jensen_shannon(ours, theirs),
        "hellinger": divergences.hellinger(ours, theirs),
        "tvd": divergences.total_variation(ours, theirs),
    }


def _scores(ours: NDArray[Any], theirs: NDArray[Any], library: str, wanted: Sequence[str]) -> dict[str, float]:
    return {name: drift_compat.score(f"{library}.{name}", ours, theirs) for name in wanted}


def _evidently(ours: NDArray[Any], theirs: NDArray[Any], wanted: Sequence[str]) -> dict[str, Any]:
    scores = _scores(ours, theirs, "evidently", wanted)
    return {**scores, "default_test": drift_compat.evidently_default(ours, theirs)}


def _alibi(ours: NDArray[Any], theirs: NDArray[Any], test: str) -> dict[str, Any]:
    p_value = drift_compat.score(f"alibi.{test}_pvalue", ours, theirs)
    distance = drift_compat.score(f"alibi.{test}_distance", ours, theirs)
    return {"pvalue": p_value, "distance": distance, "is_drift": int(p_value < _ALPHA)}


def _test(answer: two_sample.TwoSampleTest) -> dict[str, float]:
    return {"statistic": answer.statistic, "pvalue": answer.p_value}


def _table_test(answer: divergences.TableTest) -> dict[str, float]:
    return {"statistic": answer.statistic, "pvalue": answer.p_value, "dof": answer.degrees_of_freedom}


def _by_side(given: tuple[Any, Any], of: Callable[[Any], Any]) -> dict[str, Any]:
    return {"reference": of(given[0]), "current": of(given[1])}


# Data


def made(specification: Sequence[Any]) -> NDArray[Any]:
    """Data by a specification ``[name, seed, n, parameters …]``: float64, or texts for the levels of a category.

    Raises
    ------
    InvalidRequest
        When there is no such kind of data.
    """
    import numpy as np

    name, seed, n, *parameters = specification
    source = _SOURCES.get(name)
    if source is None:
        raise InvalidRequest(f"There is no data {name!r}.", hint=f"Use one of: {', '.join(_SOURCES)}.")
    values: NDArray[Any] = source(np.random.RandomState(seed), n, *parameters)  # the files are made with this generator
    return values


def _normal_nan(draw: Any, n: int, mean: float, deviation: float, missing_share: float) -> NDArray[Any]:
    values: NDArray[Any] = draw.normal(mean, deviation, n)
    values[draw.random_sample(n) < missing_share] = float("nan")
    return values


def _zero_exponential(draw: Any, n: int, zero_share: float, mean: float) -> NDArray[Any]:
    import numpy as np

    chosen = draw.random_sample(n)
    return np.where(chosen < zero_share, 0.0, draw.exponential(mean, n))


def _constant(_: Any, n: int, value: float) -> NDArray[Any]:
    import numpy as np

    return np.full(n, float(value))


def _constant_mix(draw: Any, n: int, value: float, other: float, every: int) -> NDArray[Any]:
    values = _constant(draw, n, value)
    values[:: int(every)] = other
    return values


def _levels(draw: Any, n: int, weights: Sequence[float], name: str) -> NDArray[Any]:
    import numpy as np

    levels = np.array([name.format(i) for i in range(len(weights))])
    reached = np.cumsum(np.asarray(weights, dtype=np.float64) / np.sum(weights))
    places = np.searchsorted(reached, draw.random_sample(n), side="right")
    chosen: NDArray[Any] = levels[np.minimum(places, len(levels) - 1)]
    return chosen


def _lognormal(draw: Any, n: int, mean: float, deviation: float) -> NDArray[Any]:
    import numpy as np

    values: NDArray[Any] = np.exp(draw.normal(mean, deviation, n)).round(9)
    return values


def _listed(_: Any, __: int, values: Sequence[float]) -> NDArray[Any]:
    import numpy as np

    return np.asarray(values, dtype=np.float64)


_SOURCES: Mapping[str, Callable[..., Any]] = {
    "normal": lambda draw, n, mean, deviation: draw.normal(mean, deviation, n),
    "lognormal": _lognormal,
    "student3": lambda draw, n, scale: draw.standard_t(3, n) * scale,
    "zero_exp": _zero_exponential,
    "poisson": lambda draw, n, mean: draw.poisson(mean, n).astype(float),
    "round_gamma": lambda draw, n, shape, scale: draw.gamma(shape, scale, n).round(1),
    "normal_nan": _normal_nan,
    "const": _constant,
    "const_mix": _constant_mix,
    "list": _listed,
    "cat": lambda draw, n, weights: _levels(draw, n, weights, "L{:02}"),
    "zipf": lambda draw, n, count, offset: _levels(
        draw, n, [1 / (rank + 1 + offset) for rank in range(int(count))], "Z{:03}"
    ),
}


def _digest(values: NDArray[Any]) -> str:
    is_text = values.dtype.kind == "U"
    data = "\x1f".join(values.tolist()).encode() if is_text else values.astype("<f8").tobytes()
    return hashlib.sha256(data).hexdigest()[:16]
