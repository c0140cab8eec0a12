"""Agreement and metrics against scikit-learn and scipy."""

import numpy as np
import pytest
from scipy import stats as scipy_stats
from sklearn import metrics

from chopmark.stats import agreement as ours

RANDOM = np.random.default_rng(5)


def binary(rows: int = 300) -> tuple[np.ndarray, np.ndarray]:
    truth = RANDOM.random(rows) < 0.2
    return truth, np.round(RANDOM.normal(truth * 1.0, 1.0), 1)  # rounded: many ties


@pytest.mark.parametrize("seed", range(5))
def test_curves_are_scikit_learns(seed: int) -> None:
    global RANDOM  # noqa: PLW0603
    RANDOM = np.random.default_rng(seed)
    truth, scores = binary()
    assert ours.roc_auc(truth, scores) == pytest.approx(metrics.roc_auc_score(truth, scores))
    assert ours.average_precision(truth, scores) == pytest.approx(metrics.average_precision_score(truth, scores))


def test_curves_of_one_class() -> None:
    scores = np.array([0.1, 0.2, 0.3])
    none, every = np.zeros(3, bool), np.ones(3, bool)
    assert ours.roc_auc(none, scores) is None
    assert ours.roc_auc(every, scores) is None
    assert ours.average_precision(none, scores) is None
    assert ours.average_precision(every, scores) == pytest.approx(1.0)


def test_class_metrics_are_scikit_learns() -> None:
    truth, answers = RANDOM.integers(0, 4, 200), RANDOM.integers(0, 5, 200)
    found = ours.class_metrics(truth, answers)
    options = {"average": "macro", "zero_division": 0}
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(truth, answers))
    assert found["precision_macro"] == pytest.approx(metrics.precision_score(truth, answers, **options))
    assert found["recall_macro"] == pytest.approx(metrics.recall_score(truth, answers, **options))
    assert found["f1_macro"] == pytest.approx(metrics.f1_score(truth, answers, **options))
    binary_truth, binary_answers = truth == 1, answers == 1
    positive = True
    of_one = ours.class_metrics(binary_truth, binary_answers, positive)
    assert of_one["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(binary_truth, binary_answers))
    assert of_one["precision"] == pytest.approx(metrics.precision_score(binary_truth, binary_answers))
    assert of_one["recall"] == pytest.approx(metrics.recall_score(binary_truth, binary_answers))
    assert of_one["f1"] == pytest.approx(metrics.f1_score(binary_truth, binary_answers))


def test_ratios_without_cases_are_zero() -> None:
    found = ours.class_metrics(np.array([0, 0]), np.array([0, 0]), 1)
    assert found == {"accuracy": 1.0, "balanced_accuracy": 1.0, "precision": 0.0, "recall": 0.0, "f1": 0.0}


def test_log_loss_is_scikit_learns() -> None:
    truth = RANDOM.integers(0, 3, 100)
    probabilities = RANDOM.dirichlet([1, 1, 1], 100)
    probabilities[0] = [1, 0, 0]
    expected = metrics.log_loss(truth, probabilities, labels=[0, 1, 2])
    assert ours.log_loss(truth, probabilities) == pytest.approx(expected, rel=1e-9)


def test_number_metrics_are_scikit_learns() -> None:
    truth, answers = RANDOM.normal(size=80), RANDOM.normal(size=80)
    found = ours.number_metrics(truth, answers)
    assert found["mae"] == pytest.approx(metrics.mean_absolute_error(truth, answers))
    assert found["rmse"] == pytest.approx(metrics.root_mean_squared_error(truth, answers))
    assert found["r2"] == pytest.approx(metrics.r2_score(truth, answers))
    assert "r2" not in ours.number_metrics(np.ones(3), np.arange(3.0))


@pytest.mark.parametrize("size", [4e300, 1.7e308, 1e-300])
def test_number_metrics_do_not_overflow(size: float) -> None:
    truth = np.array([-1.0, 1.0, 1.0])
    found = ours.number_metrics(truth * size, truth * size / 2)
    assert found == pytest.approx({"mae": size / 2, "rmse": size / 2, "r2": 0.71875}, rel=1e-9)
    far = ours.number_metrics(truth, truth * size)
    assert all(np.isfinite(v) for v in far.values())


def test_correlations_are_scipys() -> None:
    first = np.round(RANDOM.normal(size=200), 1)
    second = np.round(first + RANDOM.normal(size=200), 1)
    assert ours.pearson(first, second) == pytest.approx(scipy_stats.pearsonr(first, second)[0])
    assert ours.spearman(first, second) == pytest.approx(scipy_stats.spearmanr(first, second)[0])
    with_gaps = np.where(np.arange(200) % 9 == 0, np.nan, first)
    known = np.isfinite(with_gaps)
    assert ours.pearson(with_gaps, second) == pytest.approx(scipy_stats.pearsonr(first[known], second[known])[0])
    assert ours.pearson(np.ones(5), np.arange(5.0)) is None
    assert ours.spearman(np.array([1.0]), np.array([2.0])) is None
    assert ours.pearson(first * 1e200, second * 1e200) == pytest.approx(ours.pearson(first, second))


def test_turns_by_direction() -> None:
    first = np.array(["a", "a", "b", "b", "a"])
    second = np.array(["b", "b", "a", "b", "a"])
    found = ours.turns(first, second, 1)
    assert [(t.before, t.after, t.count, t.rows) for t in found] == [("a", "b", 2, (0,)), ("b", "a", 1, (2,))]
    assert ours.agreement(first, second) == pytest.approx(0.4)
    assert ours.turns(first, first, 9) == []
    assert ours.class_rates(first) == {"a": 0.6, "b": 0.4}
