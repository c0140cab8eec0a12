"""How large a regression model's errors are expected to be while the truth is not known yet: direct loss estimation.

A second model learns, on a reference whose truth is known, how large the first one's errors are for given inputs; it then says so for
inputs whose truth is not known. It sees inputs moving to where errors are large, not that the same inputs come to mean something else.
The regressor is one that the caller gives, or scikit-learn's histogram gradient boosting.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from chopmark.errors import InvalidRequest
from chopmark.stats.boosting import gradient_boosting

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

__all__ = ["DirectLoss", "EstimatedErrors"]


class EstimatedErrors(msgspec.Struct, frozen=True, kw_only=True):
    """Expected errors of a regression model.

    Attributes
    ----------
    n
        Rows.
    mae, mse, rmse
        Mean absolute, mean squared and root mean squared error, in the target's units, squared for the second.
    """

    n: int
    mae: float
    mse: float
    rmse: float


class DirectLoss:
    """Two regressors that know a model's absolute and squared errors on a reference.

    Parameters
    ----------
    features
        Shape (n, columns), n ≥ 2; NaN where missing if the regressor takes it.
    truth, predictions
        Shape (n,), finite, in the target's units.
    regressor
        Makes a regressor with ``fit`` and ``predict``; scikit-learn's histogram gradient boosting when None. NannyML uses
        ``lightgbm.LGBMRegressor``.

    Raises
    ------
    InvalidRequest
        When shapes differ or a number is not finite.
    Unsupported
        When no regressor was given and scikit-learn is not installed.

    Notes
    -----
    The regressors see the features and the prediction: NannyML, "Direct loss estimation". An error below 0 counts as 0.
    """

    def __init__(
        self,
        features: ArrayLike,
        truth: ArrayLike,
        predictions: ArrayLike,
        *,
        regressor: Callable[[], Any] | None = None,
    ) -> None:
        import numpy as np

        inputs = _inputs(features, predictions)
        known = np.asarray(truth, dtype=np.float64).reshape(-1)
        if len(known) != len(inputs) or len(known) < 2 or not np.isfinite(known).all():  # noqa: PLR2004
            raise InvalidRequest(
                f"{len(inputs):,} rows and {known.size:,} finite truths.", hint="Give one of each, at least two rows."
            )
        errors = np.abs(known - inputs[:, -1])
        make = regressor or partial(gradient_boosting, "regressor", "Direct loss estimation")
        self._absolute, self._squared = make(), make()
        self._absolute.fit(inputs, errors)
        self._squared.fit(inputs, np.square(errors))

    def estimate(self, features: ArrayLike, predictions: ArrayLike) -> EstimatedErrors:
        """Expected errors on rows whose truth is not known: shapes (n, columns) and (n,), n ≥ 1."""
        import numpy as np

        inputs = _inputs(features, predictions)
        mae = float(np.maximum(self._absolute.predict(inputs), 0.0).mean())
        mse = float(np.maximum(self._squared.predict(inputs), 0.0).mean())
        return EstimatedErrors(n=len(inputs), mae=mae, mse=mse, rmse=math.sqrt(mse))


def _inputs(features: ArrayLike, predictions: ArrayLike) -> NDArray[np.float64]:
    import numpy as np

    rows, answers = np.asarray(features, dtype=np.float64), np.asarray(predictions, dtype=np.float64).reshape(-1)
    if rows.ndim != 2 or len(rows) != len(answers) or not len(rows):  # noqa: PLR2004
        raise InvalidRequest(
            f"Features of shape {rows.shape} and {answers.size:,} predictions.",
            hint="Give features of shape (n, columns) and one prediction for each row.",
        )
    if np.isinf(rows).any() or not np.isfinite(answers).all():
        raise InvalidRequest("A value is not finite.", hint="Drop rows with infinities, or without a prediction.")
    return np.column_stack([rows, answers])
