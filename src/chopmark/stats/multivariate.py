"""Drift of many columns together, which none of them may show alone.

`PcaReconstruction` keeps the directions in which the reference varies and measures how far rows lie from them: it sees relations between
columns that have changed. `domain_classifier` asks how well a classifier tells the two samples apart; it needs scikit-learn, or any
classifier that it is given. `maximum_mean_discrepancy` compares the samples as they are, for some thousands of rows.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import msgspec

from chopmark.errors import InvalidRequest
from chopmark.stats import agreement
from chopmark.stats.boosting import gradient_boosting
from chopmark.stats.checks import check_count, check_number, check_positive, check_share
from chopmark.stats.results import Interval
from chopmark.stats.summaries import Mean

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "Discrepancy",
    "DomainClassifier",
    "PcaReconstruction",
    "domain_classifier",
    "maximum_mean_discrepancy",
    "usual_range",
]

_MMD_ROWS_MAX = 8_000
_PERMUTATIONS_AT_ONCE = 64
_FOLDS = 5
_ROWS_LEAST = 2


class PcaReconstruction(msgspec.Struct, frozen=True, kw_only=True):
    """The directions in which a reference varies most, and how far rows are from them.

    Attributes
    ----------
    n
        Rows of the reference.
    centers, scales
        Mean and standard deviation (by n) of each column; the scale of a column that does not vary is 1.
    components
        Unit vectors of the scaled columns, shape (kept, columns).
    explained
        Share of the variance that they keep.

    Notes
    -----
    A column's missing value counts as its mean. The error of a row is ‖z − VVᵀz‖ for its scaled columns z, by principal components V
    that keep at least a share of the variance: Jolliffe (2002), "Principal component analysis", ch. 10.1, as in NannyML.
    """

    n: int
    centers: tuple[float, ...]
    scales: tuple[float, ...]
    components: tuple[tuple[float, ...], ...]
    explained: float

    @classmethod
    def fit(cls, reference: ArrayLike, *, share: float = 0.65) -> Self:
        """Directions that keep a share of the variance of a reference.

        Parameters
        ----------
        reference
            Shape (n, columns), n ≥ 2; NaN is a missing value, and each column has at least one that is not.
        share
            Above 0, below 1.

        Raises
        ------
        InvalidRequest
            When the rows or the share cannot be, or nothing varies.
        """
        import numpy as np

        rows = _rows(reference, missing=True)
        check_share("share", share)
        if len(rows) < _ROWS_LEAST or np.isnan(rows).all(axis=0).any():
            raise InvalidRequest(
                "Directions need two rows, and a value in each column.",
                hint="Drop columns that are missing everywhere.",
            )
        centers = np.nanmean(rows, axis=0)
        away = np.where(np.isnan(rows), 0.0, rows - centers)
        scales = np.sqrt(np.square(away).mean(axis=0))
        varies = scales > np.finfo(np.float64).eps * 10 * np.maximum(1.0, np.abs(centers))
        scales = np.where(varies, scales, 1.0)
        scaled = np.where(varies, away / scales, 0.0)
        covariance = scaled.T @ scaled
        values, vectors = np.linalg.eigh(covariance)
        values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1]
        if not values.sum() > 0:
            raise InvalidRequest("Nothing varies in the reference.", hint="Give columns that do.")
        kept_share = np.cumsum(values) / values.sum()
        kept = min(int(np.searchsorted(kept_share, share, side="right")) + 1, len(values))
        return cls(
            n=len(rows),
            centers=tuple(centers.tolist()),
            scales=tuple(scales.tolist()),
            components=tuple(map(tuple, vectors[:, :kept].T.tolist())),
            explained=min(1.0, float(kept_share[kept - 1])),
        )

    def distances(self, rows: ArrayLike) -> NDArray[np.float64]:
        """Distance of each row from the kept directions, in scaled units, shape (n,).

        Parameters
        ----------
        rows
            Shape (n, columns), NaN where missing.
        """
        import numpy as np

        table = _rows(rows, missing=True)
        if table.shape[1] != len(self.centers):
            raise InvalidRequest(
                f"{table.shape[1]} columns, and the reference has {len(self.centers)}.", hint="Give the same columns."
            )
        away = (table - np.asarray(self.centers)) / np.asarray(self.scales)
        scaled = np.where(np.isnan(away), 0.0, away)
        components = np.asarray(self.components)
        return np.asarray(np.linalg.norm(scaled - (scaled @ components.T) @ components, axis=1))

    def error(self, rows: ArrayLike) -> Mean:
        """Mean distance of rows, which adds up over batches."""
        return Mean.of(self.distances(rows))


def usual_range(values: ArrayLike, *, deviations: float = 3.0) -> Interval:
    """Mean plus and minus some standard deviations (by n) of what chunks of the reference gave, shape (chunks,)."""
    import numpy as np

    numbers = np.asarray(values, dtype=np.float64)
    if not numbers.size or not np.isfinite(numbers).all():
        raise InvalidRequest("A range needs finite numbers, at least one.", hint="Leave out chunks without rows.")
    check_number("deviations", deviations, least=0.0)
    return Interval(
        float(numbers.mean() - deviations * numbers.std()), float(numbers.mean() + deviations * numbers.std())
    )


class DomainClassifier(msgspec.Struct, frozen=True, kw_only=True):
    """How well two samples can be told apart.

    Attributes
    ----------
    reference_n, current_n
        Rows of either.
    roc_auc
        On rows that the classifier was not fitted on: 0.5 where they cannot, 1 where they always can.
    """

    reference_n: int
    current_n: int
    roc_auc: float


def domain_classifier(
    reference: ArrayLike, current: ArrayLike, *, classifier: Callable[[], Any] | None = None, folds: int = _FOLDS
) -> DomainClassifier:
    """Tell two samples apart by a classifier, cross-validated.

    Parameters
    ----------
    reference, current
        Shapes (n, columns) and (m, columns), each at least ``folds`` rows; NaN where missing if the classifier takes it.
    classifier
        Makes a classifier with ``fit`` and ``predict_proba``; scikit-learn's histogram gradient boosting when None.
    folds
        At least 2. Rows are dealt to them in runs, without shuffling.

    Raises
    ------
    InvalidRequest
        When rows or folds cannot be.
    Unsupported
        When no classifier was given and scikit-learn is not installed.

    Notes
    -----
    Lopez-Paz & Oquab (2017), "Revisiting classifier two-sample tests", ICLR, sec. 3, with the area under the ROC curve, over all
    folds' predictions together, in place of accuracy.
    """
    import numpy as np

    ours, theirs = _rows(reference, missing=True), _rows(current, missing=True)
    check_count("folds", folds)
    if ours.shape[1] != theirs.shape[1] or folds < 2 or min(len(ours), len(theirs)) < folds:  # noqa: PLR2004
        raise InvalidRequest(
            f"{ours.shape} and {theirs.shape} cannot be told apart in {folds} folds.",
            hint="Give the same columns, at least two folds, and a row of each sample to every fold.",
        )
    make = classifier or partial(gradient_boosting, "classifier", "A domain classifier")
    rows = np.concatenate([ours, theirs])
    truth = np.repeat([0, 1], [len(ours), len(theirs)])
    fold = np.concatenate([_runs(len(ours), folds), _runs(len(theirs), folds)])
    chances = np.empty(len(rows))
    for k in range(folds):
        fitted = make()
        fitted.fit(rows[fold != k], truth[fold != k])
        chances[fold == k] = np.asarray(fitted.predict_proba(rows[fold == k]))[:, 1]
    area = agreement.roc_auc(truth == 1, chances)
    return DomainClassifier(reference_n=len(ours), current_n=len(theirs), roc_auc=0.5 if area is None else float(area))


def _runs(n: int, folds: int) -> NDArray[np.intp]:
    """Fold of each row: runs of equal length, the first ones longer by what is left over."""
    import numpy as np

    lengths = np.full(folds, n // folds)
    lengths[: n % folds] += 1
    return np.repeat(np.arange(folds), lengths)


class Discrepancy(msgspec.Struct, frozen=True, kw_only=True):
    """Maximum mean discrepancy of two samples.

    Attributes
    ----------
    reference_n, current_n
        Rows of either.
    sigma_squared
        Width of the kernel, in squared units of the columns.
    mmd2
        Unbiased, so that it may be negative; 0 is expected where both have one distribution.
    p_value
        Of random divisions of the rows, how many gave as much; None when none were made.
    """

    reference_n: int
    current_n: int
    sigma_squared: float
    mmd2: float
    p_value: float | None = None


def maximum_mean_discrepancy(
    reference: ArrayLike,
    current: ArrayLike,
    *,
    sigma_squared: float | None = None,
    permutations: int = 0,
    seed: int = 0,
) -> Discrepancy:
    """Difference of two samples by the kernel exp(−‖x − y‖²/(2σ²)).

    Parameters
    ----------
    reference, current
        Shapes (n, columns) and (m, columns), each at least 2 rows, together at most 8,000; scale columns first.
    sigma_squared
        σ²; the median squared distance of two rows of the reference when None.
    permutations
        Random divisions of the rows for the p-value, (1 + as large)/(1 + all), by a generator that starts at ``seed``.

    Raises
    ------
    InvalidRequest
        When rows or parameters cannot be.

    Notes
    -----
    Gretton et al. (2012), "A kernel two-sample test", JMLR 13, eq. 3 (the unbiased statistic) and sec. 8 (the median rule). Memory
    is 8·(n + m)² bytes, twice.
    """
    import numpy as np

    ours, theirs = _rows(reference), _rows(current)
    n, m = len(ours), len(theirs)
    if ours.shape[1] != theirs.shape[1] or min(n, m) < _ROWS_LEAST or n + m > _MMD_ROWS_MAX:
        raise InvalidRequest(
            f"{ours.shape} and {theirs.shape} cannot be compared.",
            hint=f"Give the same columns, and 2 to {_MMD_ROWS_MAX:,} rows together: a sample of them will do.",
        )
    check_count("permutations", permutations)
    rows = np.concatenate([ours, theirs])
    rows -= rows.mean(axis=0)  # so that squares lose no digits to a large mean
    squares = np.einsum("ij,ij->i", rows, rows)
    kernel = np.maximum(squares[:, None] + squares[None, :] - 2 * (rows @ rows.T), 0.0)
    if sigma_squared is None:
        sigma_squared = float(np.median(kernel[:n, :n][np.triu_indices(n, 1)])) or 1.0
    check_positive("sigma_squared", sigma_squared)
    kernel = np.exp(kernel / (-2 * sigma_squared))
    np.fill_diagonal(kernel, 0.0)
    first = np.zeros((n + m, 1))
    first[:n] = 1.0
    found = float(_unbiased(kernel, first)[0])
    p_value = None
    if permutations:
        p_value = (1 + _as_large(kernel, n, found, permutations, seed)) / (1 + permutations)
    return Discrepancy(reference_n=n, current_n=m, sigma_squared=sigma_squared, mmd2=found, p_value=p_value)


def _unbiased(kernel: NDArray[np.float64], first: NDArray[np.float64]) -> NDArray[np.float64]:
    """The statistic for each division: column k of ``first`` is 1 for rows of the first sample. The diagonal is 0."""
    import numpy as np

    n = float(first[:, 0].sum())
    m = len(kernel) - n
    reached = kernel @ first
    within = np.einsum("ij,ij->j", first, reached)
    across = reached.sum(axis=0) - within
    rest = float(kernel.sum()) - within - 2 * across
    return np.asarray(within / (n * (n - 1)) + rest / (m * (m - 1)) - 2 * across / (n * m))


def _as_large(kernel: NDArray[np.float64], n: int, found: float, permutations: int, seed: int) -> int:
    import numpy as np

    generator = np.random.default_rng(seed)
    slack = 1e-12 * max(1.0, abs(found))
    as_large = 0
    for start in range(0, permutations, _PERMUTATIONS_AT_ONCE):
        count = min(_PERMUTATIONS_AT_ONCE, permutations - start)
        first = np.zeros((len(kernel), count))
        for column in range(count):
            first[generator.permutation(len(kernel))[:n], column] = 1.0
        as_large += int((_unbiased(kernel, first) >= found - slack).sum())
    return as_large


def _rows(values: ArrayLike, *, missing: bool = False) -> NDArray[np.float64]:
    import numpy as np

    table: NDArray[Any] = np.asarray(values)
    if table.dtype.kind not in "biuf" or table.ndim != 2 or not table.size:  # noqa: PLR2004
        raise InvalidRequest(
            f"Rows of shape {table.shape} and type {table.dtype}.", hint="Give numbers of shape (n, columns)."
        )
    wrong = np.isinf(table) if missing else ~np.isfinite(table)
    if wrong.any():
        raise InvalidRequest("A value is not finite.", hint="Drop rows with infinities, and with missing values.")
    return table.astype(np.float64)
