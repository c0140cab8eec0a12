"""Errors without truth: the estimate follows where errors are large, and learns nothing from what it should not."""

import math
import sys

import lightgbm
import numpy as np
import pytest

from chopmark.errors import InvalidRequest, Unsupported
from chopmark.stats.direct_loss import DirectLoss


def regression(seed, n, mean):
    """Errors grow with the size of the first feature."""
    source = np.random.RandomState(seed)
    first, second = source.normal(mean, 1, n), source.normal(0, 1, n)
    predictions = 2 * first - second
    truth = predictions + source.normal(0, 1, n) * (0.25 + 0.3 * np.abs(first))
    return np.column_stack([first, second]), truth, predictions


# What NannyML 0.13.1 estimates on these two chunks after this reference.
NANNYML = {
    "mae": (0.39328021769229354, 0.4899504015458525),
    "mse": (0.27515567437637506, 0.4267231077264913),
    "rmse": (0.5245528327789062, 0.6532404670000866),
}


@pytest.mark.parametrize("regressor", [None, lambda: lightgbm.LGBMRegressor(verbosity=-1, n_jobs=1)])
@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_estimates_are_nannymls(regressor):
    known = DirectLoss(*regression(1, 4_000, 0), regressor=regressor)
    for place, (seed, mean) in enumerate([(2, 0), (3, 1)]):
        features, truth, predictions = regression(seed, 1_000, mean)
        found = known.estimate(features, predictions)
        assert found.n == 1_000
        for name, expected in NANNYML.items():
            assert getattr(found, name) == pytest.approx(expected[place], abs=0.02)
        assert found.mae == pytest.approx(np.abs(truth - predictions).mean(), rel=0.1)
        assert found.rmse == pytest.approx(math.sqrt(found.mse))


class Below:
    def fit(self, rows, values):
        assert rows.shape[1] == 3  # the features and the prediction, never the truth
        assert (values >= 0).all()

    def predict(self, rows):
        return np.full(len(rows), -1.0)


def test_an_error_is_never_below_0():
    found = DirectLoss(*regression(1, 50, 0), regressor=Below).estimate([[0.0, 0.0]], [0.0])
    assert (found.mae, found.mse, found.rmse) == (0.0, 0.0, 0.0)


def test_without_scikit_learn_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    with pytest.raises(Unsupported, match="scikit-learn") as refused:
        DirectLoss(*regression(1, 50, 0))
    assert "chopmark[sklearn]" in refused.value.hint


@pytest.mark.parametrize(
    "call",
    [
        lambda: DirectLoss([[1.0]], [1.0, 2.0], [1.0]),
        lambda: DirectLoss([[1.0], [2.0]], [1.0, math.nan], [1.0, 2.0]),
        lambda: DirectLoss([[1.0], [math.inf]], [1.0, 2.0], [1.0, 2.0]),
        lambda: DirectLoss([1.0, 2.0], [1.0, 2.0], [1.0, 2.0]),
        lambda: DirectLoss(*regression(1, 50, 0), regressor=Below).estimate([[1.0, 2.0]], [math.nan]),
        lambda: DirectLoss(*regression(1, 50, 0), regressor=Below).estimate(np.empty((0, 2)), []),
    ],
)
def test_what_cannot_be_is_refused(call):
    with pytest.raises(InvalidRequest) as refused:
        call()
    assert refused.value.hint
