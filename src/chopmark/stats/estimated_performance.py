"""How good a classifier is expected to be while its labels are not known yet, from its own calibrated scores.

When a score is a probability, a row scored p is positive with chance p: the cells of the confusion matrix have known expectations, and
what is made of them follows. This is confidence-based performance estimation (CBPE): Białek et al. (2024), "Estimating model
performance under covariate shift without labels", arXiv:2401.08348, sec. 3. It sees that the inputs have moved to where the model is
less sure. It does not see that the same inputs have come to mean something else: `CAVEAT`.

`expected_performance` answers exactly from rows, `ScoreTable` from counts and sums by bins of the score, which add up.
Whether scores are probabilities at all is told by `calibration`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Self

import msgspec

from chopmark.errors import InvalidRequest
from chopmark.stats.checks import check_count, check_number, check_share

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

__all__ = ["CAVEAT", "ExpectedPerformance", "ScoreTable", "expected_performance"]

CAVEAT = (
    "Expected from calibrated scores, without labels: it shows inputs that moved to where the model is less sure, and cannot show "
    "concept drift, where the same inputs come to mean something else. Compare with labels as soon as some arrive."
)
_BINS = 512
_BINS_MAX = 1_000_000
_ROUNDING = 1e-9


class ExpectedPerformance(msgspec.Struct, frozen=True, kw_only=True):
    """Expected metrics of a binary classifier on rows whose labels are not known; printed with the caveat.

    Attributes
    ----------
    n
        Rows.
    true_positives, false_positives, false_negatives, true_negatives
        Expected rows in each cell.
    accuracy, precision, recall, specificity, f1
        Ratios of the expected cells; one without cases is 0.
    accuracy_standard_error
        How far the realised accuracy lies from the expected one by chance alone, √Σp(1 − p)/n.
    roc_auc, average_precision
        None without rows of both kinds (a positive one for the second).
    caveat
        What the estimate cannot see.
    """

    n: int
    true_positives: float
    false_positives: float
    false_negatives: float
    true_negatives: float
    accuracy: float
    accuracy_standard_error: float
    precision: float
    recall: float
    specificity: float
    f1: float
    roc_auc: float | None
    average_precision: float | None
    caveat: str = CAVEAT

    def __str__(self) -> str:
        ranked = "" if self.roc_auc is None else f", ROC-AUC {self.roc_auc:.4f}"
        return (
            f"Expected on {self.n:,} rows: accuracy {self.accuracy:.4f} ± {self.accuracy_standard_error:.4f}, precision "
            f"{self.precision:.4f}, recall {self.recall:.4f}, F1 {self.f1:.4f}{ranked}.\n{self.caveat}"
        )


class ScoreTable(msgspec.Struct, frozen=True, kw_only=True):
    """Rows by bins of the score, which add up with ``+``: half of the bins below the decision threshold, half from it on.

    Attributes
    ----------
    threshold
        Score from which a row is called positive; above 0 and below 1.
    counts
        Rows of each bin, by rising score.
    sums, squares
        Sums of the calibrated probabilities of each bin, and of their squares.

    Notes
    -----
    The expected cells, and so accuracy, precision, recall and F1, are exact. Rows in one bin count as ties for ROC-AUC and
    average precision; with 512 bins that moves the first by some 10⁻⁵ and the second by some 10⁻³ on spread scores.
    """

    threshold: float
    counts: tuple[int, ...]
    sums: tuple[float, ...]
    squares: tuple[float, ...]

    def __post_init__(self) -> None:
        check_share("threshold", self.threshold)
        if len(self.counts) % 2 or not len(self.counts) == len(self.sums) == len(self.squares) or not self.counts:
            raise InvalidRequest(
                "A score table has one count, sum and sum of squares for each bin.", hint="Make it by `ScoreTable.of`."
            )
        for count, total, squares in zip(self.counts, self.sums, self.squares, strict=True):
            check_count("count", count)
            check_number("sum", total, least=0.0)
            check_number("sum of squares", squares, least=0.0)
            slack = _ROUNDING * (count + 1)
            if total > count + slack or squares > total + slack:
                raise InvalidRequest(
                    f"{count:,} probabilities cannot add up to {total!r}.", hint="Make it by `ScoreTable.of`."
                )

    @classmethod
    def of(
        cls,
        probabilities: ArrayLike,
        *,
        scores: ArrayLike | None = None,
        threshold: float = 0.5,
        bins: int = _BINS,
    ) -> Self:
        """Table of rows.

        Parameters
        ----------
        probabilities
            Shape (n,), from 0 to 1: chance of each row to be positive.
        scores
            Shape (n,), from 0 to 1: what the model decides and ranks by, when that is not the probability itself.
        threshold
            Score from which a row is called positive.
        bins
            An even number.

        Raises
        ------
        InvalidRequest
            When one is not a number from 0 to 1, shapes differ, or the threshold or the bins cannot be.
        """
        import numpy as np

        chances, ranks = _both(probabilities, scores)
        check_share("threshold", threshold)
        check_count("bins", bins)
        if bins % 2 or not 2 <= bins <= _BINS_MAX:  # noqa: PLR2004
            raise InvalidRequest(f"{bins!r} bins.", hint=f"Give an even number from 2 to {_BINS_MAX:,}.")
        half = bins // 2
        below = np.minimum(np.floor(ranks / threshold * half), half - 1)
        above = half + np.minimum(np.floor((ranks - threshold) / (1 - threshold) * half), half - 1)
        places = np.where(ranks >= threshold, above, below).astype(np.intp)
        return cls(
            threshold=threshold,
            counts=tuple(np.bincount(places, minlength=bins).tolist()),
            sums=tuple(np.bincount(places, weights=chances, minlength=bins).tolist()),
            squares=tuple(np.bincount(places, weights=chances * chances, minlength=bins).tolist()),
        )

    def __add__(self, other: Self) -> Self:
        if self.threshold != other.threshold or len(self.counts) != len(other.counts):
            raise InvalidRequest(
                "Score tables of different thresholds or bins do not add up.", hint="Make both with the same ones."
            )
        return type(self)(
            threshold=self.threshold,
            counts=tuple(a + b for a, b in zip(self.counts, other.counts, strict=True)),
            sums=tuple(a + b for a, b in zip(self.sums, other.sums, strict=True)),
            squares=tuple(a + b for a, b in zip(self.squares, other.squares, strict=True)),
        )

    @property
    def n(self) -> int:
        """Rows."""
        return sum(self.counts)

    def performance(self) -> ExpectedPerformance:
        """What the classifier is expected to do on these rows.

        Raises
        ------
        InvalidRequest
            When there are none.
        """
        import numpy as np

        counts, sums = np.asarray(self.counts, np.float64), np.asarray(self.sums)
        variance = max(0.0, float(sums.sum()) - math.fsum(self.squares))
        return _performance(counts, np.minimum(sums, counts), len(self.counts) // 2, variance)


def expected_performance(
    probabilities: ArrayLike, *, scores: ArrayLike | None = None, threshold: float = 0.5
) -> ExpectedPerformance:
    """What a classifier is expected to do on rows whose labels are not known, exactly.

    Parameters
    ----------
    probabilities
        Shape (n,), n ≥ 1, from 0 to 1: chance of each row to be positive, calibrated (`chopmark.stats.calibration`).
    scores
        Shape (n,), from 0 to 1: what the model decides and ranks by, when that is not the probability itself.
    threshold
        Score from which a row is called positive; above 0 and below 1.

    Raises
    ------
    InvalidRequest
        When one is not a number from 0 to 1, shapes differ, or there are no rows.

    Notes
    -----
    Rows called positive bring p to the true and 1 − p to the false positives; the others likewise. Expected ROC-AUC is
    Σᵢⱼ pᵢ(1 − pⱼ)·[sᵢ > sⱼ] / (Σp · Σ(1 − p)), with half of a pair of equal scores, a row with itself included.

    Examples
    --------
    >>> known = expected_performance([0.9, 0.8, 0.3, 0.1])
    >>> round(known.accuracy, 3), round(known.precision, 3), round(known.roc_auc, 4)
    (0.825, 0.85, 0.8634)
    """
    import numpy as np

    chances, ranks = _both(probabilities, scores)
    check_share("threshold", threshold)
    places, inverse, counts = np.unique(ranks, return_inverse=True, return_counts=True)
    sums = np.bincount(inverse.reshape(-1), weights=chances, minlength=places.size)
    below = int(np.searchsorted(places, threshold, side="left"))
    return _performance(counts.astype(np.float64), np.minimum(sums, counts), below, float(chances @ (1 - chances)))


def _performance(
    counts: NDArray[np.float64], sums: NDArray[np.float64], below: int, variance: float
) -> ExpectedPerformance:
    """From groups of equal scores, rising: rows, expected positives, and how many groups lie below the threshold."""
    rest = counts - sums
    n = float(counts.sum())
    if not n:
        raise InvalidRequest("Nothing can be expected of no rows.", hint="Give at least one.")
    tp, fp = float(sums[below:].sum()), float(rest[below:].sum())
    fn, tn = float(sums[:below].sum()), float(rest[:below].sum())
    return ExpectedPerformance(
        n=round(n),
        true_positives=tp,
        false_positives=fp,
        false_negatives=fn,
        true_negatives=tn,
        accuracy=(tp + tn) / n,
        accuracy_standard_error=math.sqrt(max(0.0, variance)) / n,
        precision=_share(tp, tp + fp),
        recall=_share(tp, tp + fn),
        specificity=_share(tn, tn + fp),
        f1=_share(2 * tp, 2 * tp + fp + fn),
        roc_auc=_roc_auc(sums, rest),
        average_precision=_average_precision(counts, sums),
    )


def _share(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0


def _roc_auc(sums: NDArray[np.float64], rest: NDArray[np.float64]) -> float | None:
    import numpy as np

    pairs = float(sums.sum()) * float(rest.sum())
    if not pairs > 0:
        return None
    below = np.cumsum(rest) - rest
    return min(1.0, float(sums @ (below + rest / 2)) / pairs)


def _average_precision(counts: NDArray[np.float64], sums: NDArray[np.float64]) -> float | None:
    import numpy as np

    total = float(sums.sum())
    if not total > 0:
        return None
    taken, found = np.cumsum(counts[::-1]), np.cumsum(sums[::-1])
    precision = np.divide(found, taken, out=np.zeros_like(found), where=taken > 0)
    return min(1.0, float(precision @ (sums[::-1] / total)))


def _both(probabilities: ArrayLike, scores: ArrayLike | None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    chances = _shares(probabilities, "probability")
    ranks = chances if scores is None else _shares(scores, "score")
    if chances.shape != ranks.shape:
        raise InvalidRequest(
            f"{chances.size:,} probabilities and {ranks.size:,} scores.", hint="Give one of each for a row."
        )
    return chances, ranks


def _shares(values: ArrayLike, what: str) -> NDArray[np.float64]:
    import numpy as np

    numbers: NDArray[Any] = np.asarray(values)
    if numbers.dtype.kind not in "biuf" and numbers.size:
        raise InvalidRequest(f"An array of {numbers.dtype} holds no {what}.", hint="Give numbers from 0 to 1.")
    shares = numbers.astype(np.float64).reshape(-1)
    if not ((shares >= 0) & (shares <= 1)).all():
        raise InvalidRequest(f"A {what} is not from 0 to 1.", hint="Drop missing ones, and calibrate margins first.")
    return shares
