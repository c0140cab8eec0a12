"""Answers on the same rows: how far two of them agree, and how good they are against a truth.

Arrays go in, plain numbers come out. Ranks of equal values are their mean rank. The metrics are
those that scikit-learn computes under the same names.
"""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "Turn",
    "agreement",
    "average_precision",
    "class_metrics",
    "class_rates",
    "log_loss",
    "number_metrics",
    "pearson",
    "power_of_two",
    "roc_auc",
    "spearman",
    "turns",
]

_LEAST_PROBABILITY = 2.0**-52


class Turn(msgspec.Struct, frozen=True):
    """Rows that are answered ``before`` by one and ``after`` by another."""

    before: Any
    after: Any
    count: int
    rows: tuple[int, ...]


def agreement(first: NDArray[Any], second: NDArray[Any]) -> float:
    """Share of rows with the same answer; arrays of one length, at least 1."""
    return float((first == second).mean())


def turns(first: NDArray[Any], second: NDArray[Any], rows_max: int) -> list[Turn]:
    """Where two answers differ, by direction, the most frequent first; at most ``rows_max`` rows of each."""
    import numpy as np

    differing = np.flatnonzero(first != second)
    before, after = first[differing], second[differing]
    found = []
    for old in np.unique(before):
        for new in np.unique(after[before == old]):
            rows = differing[(before == old) & (after == new)]
            found.append(Turn(old.item(), new.item(), len(rows), tuple(int(r) for r in rows[:rows_max])))
    return sorted(found, key=lambda t: -t.count)


def class_rates(answers: NDArray[Any]) -> dict[str, float]:
    """Class → share of rows, in the order of the classes."""
    import numpy as np

    classes, counts = np.unique(answers, return_counts=True)
    return {str(c): float(n / len(answers)) for c, n in zip(classes, counts, strict=True)}


def pearson(first: NDArray[np.float64], second: NDArray[np.float64]) -> float | None:
    """Correlation of numbers over the rows where both are finite; None when one does not vary."""
    import numpy as np

    known = np.isfinite(first) & np.isfinite(second)
    x, y = first[known], second[known]
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:  # noqa: PLR2004
        return None
    x, y = x - x.mean(), y - y.mean()
    x, y = x / np.abs(x).max(), y / np.abs(y).max()  # so that no square overflows
    product = float(np.sqrt((x @ x) * (y @ y)))
    return None if product == 0 else max(-1.0, min(1.0, float(x @ y) / product))


def spearman(first: NDArray[np.float64], second: NDArray[np.float64]) -> float | None:
    """Correlation of ranks over the rows where both are finite; None when one does not vary."""
    import numpy as np

    known = np.isfinite(first) & np.isfinite(second)
    return pearson(_ranks(first[known]), _ranks(second[known]))


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks from 1; equal values share their mean rank."""
    import numpy as np

    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    mean_rank: NDArray[np.float64] = last - (counts - 1) / 2
    return mean_rank[inverse.reshape(-1)]


def class_metrics(truth: NDArray[Any], answers: NDArray[Any], positive: Any = None) -> dict[str, float]:
    """Accuracy, precision, recall and F1.

    Parameters
    ----------
    truth, answers
        Classes, row by row.
    positive
        The class that precision, recall and F1 are about, beside the accuracy of both classes
        counted alike; without one they are means over the classes (``precision_macro`` …). A ratio
        without cases is 0.
    """
    import numpy as np

    metrics = {"accuracy": float((truth == answers).mean())}
    if positive is not None:
        precision, recall, f1 = _ratios(truth == positive, answers == positive)
        balanced = float(np.mean([(answers[truth == c] == c).mean() for c in np.unique(truth)]))
        return {**metrics, "balanced_accuracy": balanced, "precision": precision, "recall": recall, "f1": f1}
    classes = np.unique(np.concatenate([truth, answers]))
    ratios = np.array([_ratios(truth == c, answers == c) for c in classes]).mean(axis=0)
    names = ("precision_macro", "recall_macro", "f1_macro")
    return {**metrics, **{name: float(value) for name, value in zip(names, ratios, strict=True)}}


def _ratios(truth: NDArray[np.bool_], answers: NDArray[np.bool_]) -> tuple[float, float, float]:
    hits, found, there = int((truth & answers).sum()), int(answers.sum()), int(truth.sum())
    precision = hits / found if found else 0.0
    recall = hits / there if there else 0.0
    return precision, recall, 2 * hits / (found + there) if found + there else 0.0


def roc_auc(truth: NDArray[np.bool_], scores: NDArray[np.float64]) -> float | None:
    """Chance that a positive row scores above a negative one, ties counting half; None without both."""
    positives = int(truth.sum())
    negatives = len(truth) - positives
    if not positives or not negatives:
        return None
    above = float(_ranks(scores)[truth].sum()) - positives * (positives + 1) / 2
    return above / (positives * negatives)


def average_precision(truth: NDArray[np.bool_], scores: NDArray[np.float64]) -> float | None:
    """Precision at each threshold, weighted by the recall it adds; None without a positive row."""
    import numpy as np

    positives = int(truth.sum())
    if not positives:
        return None
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)  # of runs of equal scores
    hits = np.cumsum(truth[order])[ends]
    precision = hits / (ends + 1)
    gained = np.diff(np.concatenate([[0], hits])) / positives
    return float((precision * gained).sum())


def log_loss(truth: NDArray[np.intp], probabilities: NDArray[np.float64]) -> float:
    """Mean negative log-likelihood, natural logarithm.

    Parameters
    ----------
    truth
        Column of the true class, row by row.
    probabilities
        Shape (n, classes); rows are normalised, and none is taken for less than 2⁻⁵².
    """
    import numpy as np

    kept = np.clip(probabilities, _LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY)
    kept = kept / kept.sum(axis=1, keepdims=True)
    return float(-np.log(kept[np.arange(len(truth)), truth]).mean())


def number_metrics(truth: NDArray[np.float64], answers: NDArray[np.float64]) -> dict[str, float]:
    """Mean absolute error, root mean squared error, and R² (left out when the truth does not vary).

    Parameters
    ----------
    truth, answers
        Finite numbers, row by row. Errors near the greatest number there is do not overflow; an R²
        that is beyond it is left out.
    """
    import numpy as np

    halves = np.abs(answers / 2 - truth / 2)  # a difference of two numbers may overflow, that of their halves cannot
    unit = power_of_two(halves)
    errors = halves / unit
    metrics = {"mae": _scaled(float(errors.mean()), 2 * unit)}
    metrics["rmse"] = _scaled(float(np.sqrt(np.square(errors).mean())), 2 * unit)
    truth_unit = power_of_two(truth)
    scaled = truth / truth_unit
    spread = float(np.sqrt(np.square(scaled - scaled.mean()).sum()))
    if spread > 0:
        ratio = float(np.sqrt(np.square(errors).sum())) / spread * (unit / truth_unit) * 2
        r2 = 1 - ratio * ratio
        if math.isfinite(r2):
            metrics["r2"] = r2
    return metrics


def power_of_two(values: NDArray[np.float64]) -> float:
    """The greatest power of two up to the largest magnitude (1 for zeros): numbers divided by it have no large squares.

    A division by it does not round.
    """
    import numpy as np

    peak = float(np.abs(values).max())
    return math.ldexp(1.0, math.frexp(peak)[1] - 1) if peak > 0 else 1.0


def _scaled(value: float, unit: float) -> float:
    return min(value * unit, sys.float_info.max)
