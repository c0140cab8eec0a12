"""Linear models as one product of matrices: the operations of scikit-learn's own ``predict`` without what stands around them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from chopmark.formats.libraries import derives_from
from chopmark.formats.predicting.scaling import Step

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

__all__ = ["LinearScorer", "linear_scorer"]

_LARGE = 1e300  # a score beyond it, or none, is of an input that the model itself has to judge
_MATRIX_DIMENSIONS = 2


class LinearScorer:
    """A linear model.

    Parameters
    ----------
    steps
        What is done to the rows before.
    coefficients
        Shape (columns,) or (columns, scores).
    intercept
        A number, or one for each score.
    classes
        Of a classifier; None of a regression.
    """

    words = "compiled linear model"

    def __init__(self, steps: Sequence[Step], coefficients: Array, intercept: Array, classes: Array | None) -> None:
        self._steps = tuple(steps)
        self._coefficients = coefficients
        self._intercept = intercept
        self._classes = classes
        # The quicker product of one row; with several scores it adds up in another order than scikit-learn's, for some rows.
        has_one_score = coefficients.ndim < _MATRIX_DIMENSIONS or coefficients.shape[1] == 1
        self._product: Callable[[Array, Array], Array] = np.ndarray.dot if has_one_score else np.matmul
        self._is_binary = classes is not None and coefficients.ndim == _MATRIX_DIMENSIONS and coefficients.shape[1] == 1
        # One row of a classifier is answered by an array that was made before.
        self._each = [] if classes is None else [_frozen(classes[i : i + 1].copy()) for i in range(len(classes))]
        self.methods: dict[str, Callable[[Array], Array | None]] = {"predict": self._values}
        if classes is not None:
            self.methods |= {"predict": self.labels, "decision_function": self.decisions}

    def exactly(self) -> None:
        """Multiply one row as scikit-learn does: slower, and the same to the last bit where the quicker product is not."""
        self._product = np.matmul

    def probabilities(self, how: str) -> None:
        """Give ``predict_proba`` too: of a logistic function of each score, or by their exponentials together."""
        self.methods["predict_proba"] = self._logistic if how == "logistic" else self._exponential

    def labels(self, rows: Array) -> Array | None:
        """Classes; None where the model has to be asked."""
        scores = self._scores(rows)
        if len(rows) == 1:
            if self._is_binary:
                score = scores.item()
                return self._each[score > 0] if -_LARGE < score < _LARGE else None
            return self._each[scores.argmax()] if np.isfinite(scores).all() else None
        if self._classes is None or not np.isfinite(scores).all():
            return None
        places = (scores[:, 0] > 0).astype(np.intp) if self._is_binary else scores.argmax(axis=1)
        found: Array = self._classes.take(places)
        return found

    def decisions(self, rows: Array) -> Array | None:
        """Scores, in one dimension where there is one for each row."""
        scores = self._scores(rows)
        if not np.isfinite(scores).all():
            return None
        return scores[:, 0] if self._is_binary else scores

    def _values(self, rows: Array) -> Array | None:
        scores = self._scores(rows)
        return scores if np.isfinite(scores).all() else None

    def _logistic(self, rows: Array) -> Array | None:
        from scipy.special import expit

        scores = self.decisions(rows)
        if scores is None:
            return None
        likely: Array = expit(scores)
        if likely.ndim == 1:
            return np.stack([1 - likely, likely], axis=1)
        sums = likely.sum(axis=1)
        return likely / sums[:, None] if sums.all() else None

    def _exponential(self, rows: Array) -> Array | None:
        scores = self.decisions(rows)
        if scores is None or scores.ndim == 1:
            return None
        likely: Array = np.exp(scores - scores.max(axis=1)[:, None])
        likely /= likely.sum(axis=1)[:, None]
        return likely

    def _scores(self, rows: Array) -> Array:
        for step in self._steps:
            rows = step(rows)
        product = self._product(rows, self._coefficients) if len(rows) == 1 else rows @ self._coefficients
        # Not in place: coefficients may be of single precision, and the intercept of double.
        scores: Array = product + self._intercept
        return scores


def linear_scorer(model: Any, steps: Sequence[Step]) -> LinearScorer | None:
    """A linear model of scikit-learn, compiled; None when it is none.

    Whether it is one is for the agreement to say: here is decided only that it is worth a trial.
    """
    if not derives_from(model, "sklearn", "LinearClassifierMixin", "LinearModel", "BaseSGDRegressor"):
        return None
    coefficients, intercept = getattr(model, "coef_", None), getattr(model, "intercept_", None)
    if not isinstance(coefficients, np.ndarray) or coefficients.dtype.kind != "f":
        return None
    classes = getattr(model, "classes_", None)
    if classes is not None and (not isinstance(classes, np.ndarray) or coefficients.ndim != _MATRIX_DIMENSIONS):
        return None
    if intercept is None or np.asarray(intercept).dtype.kind not in "fi":
        return None
    # Of the same layout in memory as scikit-learn's: the order of the sums depends on it.
    transposed = coefficients.T if coefficients.ndim == _MATRIX_DIMENSIONS else coefficients
    return LinearScorer(steps, transposed, np.asarray(intercept), classes)


def _frozen(array: Array) -> Array:
    array.setflags(write=False)
    return array
