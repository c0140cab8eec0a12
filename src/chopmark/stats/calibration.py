"""Whether scores are probabilities, and what makes them so: isotonic calibration."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, Self

import msgspec

from chopmark.errors import InvalidRequest
from chopmark.stats import agreement
from chopmark.stats.checks import check_count

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

__all__ = ["CalibrationCheck", "Isotonic", "calibration", "calibration_helps"]

_BINS = 10
_FOLDS = 10
_JUDGED_LEAST = 4
_NEAR_PERFECT_AUC = 0.999

Split = tuple["NDArray[np.intp]", "NDArray[np.intp]"]
"""Positions of the rows to fit on, and of those to judge by."""


class CalibrationCheck(msgspec.Struct, frozen=True, kw_only=True):
    """How far scores are from being probabilities.

    Attributes
    ----------
    n, positives
        Rows, and how many of them are positive.
    expected_calibration_error
        Mean distance of mean score and share of positives over bins of the score, weighted by rows; from 0 to 1.
    brier
        Mean squared distance of score and outcome.
    log_loss
        Mean negative log-likelihood, natural logarithm; no score is taken for less than 2⁻⁵² or more than 1 − 2⁻⁵².
    """

    n: int
    positives: int
    expected_calibration_error: float
    brier: float
    log_loss: float


def calibration(truth: ArrayLike, probabilities: ArrayLike, *, bins: int = _BINS) -> CalibrationCheck:
    """Check scores against known outcomes.

    Parameters
    ----------
    truth
        Shape (n,), n ≥ 1: 0 or 1, or truth values.
    probabilities
        Shape (n,), from 0 to 1.
    bins
        Of equal width; a score on an edge belongs to the bin above, 1 to the last.

    Raises
    ------
    InvalidRequest
        When outcomes or scores cannot be, shapes differ, or there are no rows.

    Notes
    -----
    ECE = Σ_b n_b/n·|mean outcome − mean score|: Naeini, Cooper & Hauskrecht (2015), "Obtaining well calibrated probabilities using
    Bayesian binning", AAAI. Brier (1950), "Verification of forecasts expressed in terms of probability", Mon. Weather Rev. 78: 1–3.

    Examples
    --------
    >>> round(calibration([0, 1, 1, 1], [0.25, 0.75, 0.75, 0.75]).expected_calibration_error, 4)
    0.25
    """
    import numpy as np

    outcomes, chances = _known(truth, probabilities)
    check_count("bins", bins)
    if bins < 1:
        raise InvalidRequest(f"{bins!r} bins.", hint="Give a whole number, 1 or more.")
    places = np.minimum((chances * bins).astype(np.intp), bins - 1)
    away = np.bincount(places, weights=outcomes - chances, minlength=bins)
    both = np.column_stack([1 - chances, chances])
    return CalibrationCheck(
        n=chances.size,
        positives=int(outcomes.sum()),
        expected_calibration_error=float(np.abs(away).sum()) / chances.size,
        brier=float(np.square(chances - outcomes).mean()),
        log_loss=agreement.log_loss(outcomes.astype(np.intp), both),
    )


class Isotonic(msgspec.Struct, frozen=True):
    """A rising map from score to probability, straight between its points and level beyond them.

    Attributes
    ----------
    scores, probabilities
        Its points; scores rise strictly, probabilities do not fall.
    """

    scores: tuple[float, ...]
    probabilities: tuple[float, ...]

    @classmethod
    def fit(cls, truth: ArrayLike, scores: ArrayLike) -> Self:
        """Map that fits outcomes best, by least squares.

        Parameters
        ----------
        truth
            Shape (n,), n ≥ 1: 0 or 1, or truth values.
        scores
            Shape (n,), from 0 to 1.

        Notes
        -----
        Pool adjacent violators: Zadrozny & Elkan (2002), "Transforming classifier scores into accurate multiclass probability
        estimates", KDD. Equal scores are pooled first, as scikit-learn does.
        """
        import numpy as np
        from scipy.optimize import isotonic_regression

        outcomes, ranks = _known(truth, scores)
        places, inverse, counts = np.unique(ranks, return_inverse=True, return_counts=True)
        means = np.bincount(inverse.reshape(-1), weights=outcomes) / counts
        fitted = np.clip(isotonic_regression(means, weights=counts).x, 0.0, 1.0)
        kept = np.ones(places.size, dtype=np.bool_)
        kept[1:-1] = (fitted[1:-1] != fitted[:-2]) | (fitted[1:-1] != fitted[2:])
        return cls(tuple(places[kept].tolist()), tuple(fitted[kept].tolist()))

    def apply(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Probabilities of scores, shape (n,)."""
        import numpy as np

        ranks = np.asarray(scores, dtype=np.float64)
        if not np.isfinite(ranks).all():
            raise InvalidRequest("A score is not finite.", hint="Drop missing ones first.")
        return np.interp(ranks, self.scores, self.probabilities)


def calibration_helps(
    truth: ArrayLike,
    scores: ArrayLike,
    *,
    splits: Iterable[Split] | None = None,
    judge: Literal["brier", "pooled_ece"] = "brier",
    seed: int = 0,
) -> bool:
    """Whether isotonic calibration brings scores nearer to probabilities on rows that it was not fitted on.

    Parameters
    ----------
    truth, scores
        As for `Isotonic.fit`.
    splits
        Positions to fit on and to judge by; ten folds when None, into which rows are dealt by a generator that starts at ``seed``.
    judge
        ``brier``: mean squared distance. ``pooled_ece``: calibration error of ten bins of equally many rows, over the judged rows of
        all splits together, as NannyML 0.13 has it. From some thousand rows on that says yes to most scores that are probabilities
        already: the rows of a bin are judged by maps that were fitted on the others of it, so that their errors cancel.

    Returns
    -------
    bool
        False also when there is one outcome only, or the scores part the outcomes all but perfectly (ROC-AUC above 0.999).

    Raises
    ------
    InvalidRequest
        When outcomes or scores cannot be, or there are too few.
    """
    import numpy as np

    outcomes, ranks = _known(truth, scores)
    area = agreement.roc_auc(outcomes.astype(np.bool_), ranks)
    if area is None or area > _NEAR_PERFECT_AUC:
        return False
    judged, before, after = [], [], []
    check_count("seed", seed)
    for fitted_on, judged_by in _folds(ranks.size, seed) if splits is None else splits:
        mapped = Isotonic.fit(outcomes[fitted_on], ranks[fitted_on]).apply(ranks[judged_by])
        judged.append(outcomes[judged_by])
        before.append(ranks[judged_by])
        after.append(mapped)
    known = np.concatenate(judged) if judged else outcomes[:0]
    if known.size < _JUDGED_LEAST:
        raise InvalidRequest(f"{known.size} rows are too few to judge a calibration by.", hint="Give some hundreds.")
    error = _JUDGES.get(judge)
    if error is None:
        raise InvalidRequest(f"judge is {judge!r}.", hint=f"Use one of: {', '.join(_JUDGES)}.")
    return error(known, np.concatenate(before)) > error(known, np.concatenate(after))


def _folds(n: int, seed: int) -> Iterable[Split]:
    """Ten random folds: dealt by the outcomes, they would be too much alike, and a map of nine would know the tenth."""
    import numpy as np

    fold = np.random.default_rng(seed).permutation(n) % _FOLDS
    for k in range(min(_FOLDS, n) if n > 1 else 0):
        yield np.flatnonzero(fold != k), np.flatnonzero(fold == k)


def _squared_error(outcomes: NDArray[np.float64], ranks: NDArray[np.float64]) -> float:
    import numpy as np

    return float(np.square(outcomes - ranks).mean())


def _equal_bins_error(outcomes: NDArray[np.float64], ranks: NDArray[np.float64]) -> float:
    """Calibration error over bins of equally many rows; the last one takes what is left over."""
    import numpy as np

    order = np.argsort(ranks, kind="stable")
    away = (ranks - outcomes)[order]
    bins = _BINS if ranks.size > 2 * _BINS else ranks.size // 2
    starts = np.arange(bins) * (ranks.size // bins)
    return float(np.abs(np.add.reduceat(away, starts)).sum()) / ranks.size


_JUDGES: Mapping[str, Callable[[NDArray[np.float64], NDArray[np.float64]], float]] = {
    "brier": _squared_error,
    "pooled_ece": _equal_bins_error,
}


def _known(truth: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    import numpy as np

    arrays: list[NDArray[Any]] = [np.asarray(truth), np.asarray(scores)]
    if any(array.dtype.kind not in "biuf" for array in arrays):
        raise InvalidRequest("Outcomes and scores are numbers.", hint="Give arrays of numbers.")
    outcomes, ranks = (array.astype(np.float64).reshape(-1) for array in arrays)
    if outcomes.shape != ranks.shape or not ranks.size:
        raise InvalidRequest(
            f"{outcomes.size:,} outcomes and {ranks.size:,} scores.",
            hint="Give one of each for a row, at least one row.",
        )
    if not np.isin(outcomes, (0.0, 1.0)).all() or not ((ranks >= 0) & (ranks <= 1)).all():
        raise InvalidRequest(
            "An outcome is 0 or 1, and a score is a number from 0 to 1.",
            hint="Drop missing ones, and scale margins first.",
        )
    return outcomes, ranks
