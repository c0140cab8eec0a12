"""Anomaly scores: how well they rank what is known to be anomalous, and several detectors' scores made one.

Higher is more anomalous. `chopmark.stats.agreement` has ROC-AUC, average precision and the rank correlation of Spearman.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from chopmark.errors import InvalidRequest
from chopmark.stats import agreement
from chopmark.stats.checks import check_between, check_count

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

__all__ = ["AnomalyMetrics", "anomaly_metrics", "combined", "kendall", "outlier_labels", "pr_auc", "precision_at_n"]

_PAIRS_AT_ONCE = 64

How = Literal["average", "maximum", "median", "rank"]


class AnomalyMetrics(msgspec.Struct, frozen=True, kw_only=True):
    """How well scores rank anomalies.

    Attributes
    ----------
    n, anomalies
        Rows, and how many of them are anomalous.
    roc_auc
        None without rows of both kinds.
    average_precision, pr_auc
        None without an anomaly: precision by steps of recall, and the area below the same curve by trapezoids.
    precision_at_n
        `precision_at_n` at as many rows as there are anomalies; None without one.
    """

    n: int
    anomalies: int
    roc_auc: float | None
    average_precision: float | None
    pr_auc: float | None
    precision_at_n: float | None


def anomaly_metrics(labels: ArrayLike, scores: ArrayLike) -> AnomalyMetrics:
    """Metrics of a detector's scores.

    Parameters
    ----------
    labels
        Shape (n,), n ≥ 1: 1 for an anomaly, 0 for none, or truth values.
    scores
        Shape (n,), finite; higher is more anomalous.

    Raises
    ------
    InvalidRequest
        When a label or a score cannot be, or shapes differ.

    Examples
    --------
    >>> known = anomaly_metrics([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    >>> known.roc_auc, round(known.average_precision, 4), known.precision_at_n
    (0.75, 0.8333, 0.5)
    """
    truth, ranks = _labelled(labels, scores)
    return AnomalyMetrics(
        n=ranks.size,
        anomalies=int(truth.sum()),
        roc_auc=agreement.roc_auc(truth, ranks),
        average_precision=agreement.average_precision(truth, ranks),
        pr_auc=pr_auc(truth, ranks),
        precision_at_n=precision_at_n(truth, ranks) if truth.any() else None,
    )


def pr_auc(labels: ArrayLike, scores: ArrayLike) -> float | None:
    """Area below the precision-recall curve by trapezoids, from recall 0 at precision 1; None without an anomaly.

    It is too kind to few anomalies (Davis & Goadrich 2006, "The relationship between precision-recall and ROC curves", ICML, sec. 4);
    average precision is the better summary. Shapes (n,).
    """
    import numpy as np

    truth, ranks = _labelled(labels, scores)
    anomalies = int(truth.sum())
    if not anomalies:
        return None
    order = np.argsort(-ranks, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(ranks[order])), ranks.size - 1)
    hits = np.cumsum(truth[order])[ends]
    recall = np.concatenate([[0.0], hits / anomalies])
    precision = np.concatenate([[1.0], hits / (ends + 1)])
    return float(np.diff(recall) @ (precision[1:] + precision[:-1]) / 2)


def precision_at_n(labels: ArrayLike, scores: ArrayLike, n: int | None = None) -> float:
    """Share of anomalies among the rows that score highest; 0 when no row does.

    Parameters
    ----------
    labels, scores
        Shapes (n,), as for `anomaly_metrics`.
    n
        How many rows; as many as there are anomalies when None.

    Notes
    -----
    As in PyOD, rows score highest when they lie above the (1 − n/rows) quantile, interpolated; with ties these are fewer than n,
    and may be none.
    """
    import numpy as np

    truth, ranks = _labelled(labels, scores)
    wanted = int(truth.sum()) if n is None else n
    check_count("n", wanted)
    if wanted > ranks.size:
        raise InvalidRequest(f"{wanted:,} of {ranks.size:,} rows.", hint="Give at most as many as there are.")
    taken = ranks > np.percentile(ranks, 100 * (1 - wanted / ranks.size))
    return float(truth[taken].mean()) if taken.any() else 0.0


def outlier_labels(scores: ArrayLike, quantile: float = 0.9) -> NDArray[np.int64]:
    """−1 for a row that scores above a quantile of the scores (interpolated), 1 for any other, as scikit-learn's detectors say it.

    Parameters
    ----------
    scores
        Shape (n,), n ≥ 1, finite.
    quantile
        From 0 to 1.
    """
    import numpy as np

    check_between("quantile", quantile, 0, 1)
    ranks = _finite(scores, 1)
    return np.where(ranks > np.quantile(ranks, quantile), -1, 1).astype(np.int64)


def combined(scores: ArrayLike, how: How = "average") -> NDArray[np.float64]:
    """One score from those of several detectors.

    Parameters
    ----------
    scores
        Shape (n, detectors), both at least 1, finite.
    how
        ``average``, ``maximum`` or ``median`` of the detectors' z scores (deviation by n), or ``rank``: the average of mean
        ranks divided by n. A detector whose scores are all equal counts as 0.

    Returns
    -------
    ndarray
        Shape (n,).

    Notes
    -----
    Aggarwal & Sathe (2015), "Theoretical foundations and algorithms for outlier ensembles", SIGKDD Explorations 17(1), sec. 3.
    """
    import numpy as np

    table = _finite(scores, 2)
    if how == "rank":
        ranks = np.column_stack([_ranks(column) for column in table.T])
        return np.asarray(ranks.mean(axis=1) / len(table))
    rules: dict[str, Any] = {"average": np.mean, "maximum": np.max, "median": np.median}
    if how not in rules:
        raise InvalidRequest(f"how is {how!r}.", hint="Use one of: average, maximum, median, rank.")
    scaled = table / [agreement.power_of_two(column) for column in table.T]
    away = scaled - scaled.mean(axis=0)
    spread = np.where(np.ptp(scaled, axis=0) > 0, scaled.std(axis=0), 0.0)
    z_scores = np.divide(away, spread, out=np.zeros_like(away), where=spread > 0)
    return np.asarray(rules[how](z_scores, axis=1), dtype=np.float64)


def kendall(first: ArrayLike, second: ArrayLike) -> float | None:
    """Rank correlation by pairs, with ties (τ-b); None when one does not vary.

    Parameters
    ----------
    first, second
        Shapes (n,), finite.

    Notes
    -----
    τ_b = (C − D)/√((P − T₁)(P − T₂)), P the pairs, T those tied in one: Kendall (1945), "The treatment of ties in ranking problems",
    Biometrika 33: 239–251. Pairs in the wrong order are counted while merging, in n·log² n steps.
    """
    import numpy as np

    x, y = _finite(first, 1), _finite(second, 1)
    if x.shape != y.shape:
        raise InvalidRequest(f"{x.size:,} numbers and {y.size:,}.", hint="Give one of each for a row.")
    order = np.lexsort((y, x))
    pairs = x.size * (x.size - 1) // 2
    tied_x, tied_y = _tied(x), _tied(y)
    tied_both = _tied(_codes(x) * (x.size + 1) + _codes(y))
    if pairs in {tied_x, tied_y}:
        return None
    wrong = _descents(_codes(y)[order])[0]
    surplus = pairs - tied_x - tied_y + tied_both - 2 * wrong  # concordant less discordant pairs
    return max(-1.0, min(1.0, surplus / math.sqrt(pairs - tied_x) / math.sqrt(pairs - tied_y)))


def _codes(values: NDArray[Any]) -> NDArray[np.int64]:
    import numpy as np

    return np.unique(values, return_inverse=True)[1].reshape(-1).astype(np.int64)


def _tied(values: NDArray[Any]) -> int:
    """Pairs of equal values."""
    import numpy as np

    counts = np.unique(values, return_counts=True)[1].astype(object)  # whole numbers without end
    return int((counts * (counts - 1) // 2).sum())


def _descents(values: NDArray[np.int64]) -> tuple[int, NDArray[np.int64]]:
    """Pairs where the earlier value is the larger, and the values in order."""
    import numpy as np

    if values.size <= _PAIRS_AT_ONCE:
        return int(np.triu(values[:, None] > values[None, :]).sum()), np.sort(values)
    half = values.size // 2
    (left, first), (right, second) = _descents(values[:half]), _descents(values[half:])
    across = first.size * second.size - int(np.searchsorted(first, second, side="right").sum())
    return left + right + across, np.sort(np.concatenate([first, second]), kind="stable")


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks from 1; equal values share their mean rank."""
    import numpy as np

    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[inverse.reshape(-1)])


def _labelled(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    import numpy as np

    truth, ranks = np.asarray(labels).reshape(-1), _finite(scores, 1)
    if truth.shape != ranks.shape:
        raise InvalidRequest(f"{truth.size:,} labels and {ranks.size:,} scores.", hint="Give one of each for a row.")
    if not np.isin(truth, (0, 1)).all():
        raise InvalidRequest("A label is neither 0 nor 1.", hint="Give 1 for an anomaly and 0 for none.")
    return truth.astype(np.bool_), ranks


def _finite(values: ArrayLike, dimensions: int) -> NDArray[np.float64]:
    import numpy as np

    numbers: NDArray[Any] = np.asarray(values)
    if numbers.dtype.kind not in "biuf" or numbers.ndim != dimensions or not numbers.size:
        shape = "(n,)" if dimensions == 1 else "(n, detectors)"
        raise InvalidRequest(
            f"Scores of shape {numbers.shape} and type {numbers.dtype}.", hint=f"Give numbers of shape {shape}."
        )
    if not np.isfinite(numbers).all():
        raise InvalidRequest("A score is not finite.", hint="Drop such rows, and count them apart.")
    return numbers.astype(np.float64)
