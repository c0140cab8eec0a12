"""Anomaly scores against scikit-learn, SciPy and PyOD's rule."""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics

from chopmark.errors import InvalidRequest
from chopmark.stats.scores import (
    AnomalyMetrics,
    anomaly_metrics,
    combined,
    kendall,
    outlier_labels,
    pr_auc,
    precision_at_n,
)

ROWS = st.lists(st.tuples(st.integers(0, 1), st.integers(-4, 4)), min_size=1, max_size=40)
NUMBERS = st.lists(st.tuples(st.integers(-3, 3), st.floats(-1e6, 1e6)), min_size=2, max_size=120)


@given(ROWS)
@settings(deadline=None)
def test_metrics_are_scikit_learns(rows):
    labels, scores = np.array(rows).T
    found = anomaly_metrics(labels, scores)
    assert (found.n, found.anomalies) == (len(rows), labels.sum())
    if labels.any():
        precision, recall, _ = metrics.precision_recall_curve(labels, scores)
        assert found.pr_auc == pytest.approx(metrics.auc(recall, precision))
        assert found.average_precision == pytest.approx(metrics.average_precision_score(labels, scores))
        taken = scores > np.percentile(scores, 100 * (1 - labels.sum() / len(labels)))
        assert found.precision_at_n == pytest.approx(metrics.precision_score(labels, taken, zero_division=0))
    else:
        assert (found.pr_auc, found.average_precision, found.precision_at_n) == (None, None, None)
    if 0 < labels.sum() < len(labels):
        assert found.roc_auc == pytest.approx(metrics.roc_auc_score(labels, scores))
    else:
        assert found.roc_auc is None
    assert msgspec.json.decode(msgspec.json.encode(found), type=AnomalyMetrics) == found


def test_a_perfect_ranking():
    found = anomaly_metrics([0, 0, 0, 1, 1], [1, 2, 3, 8, 9])
    assert (found.roc_auc, found.average_precision, found.pr_auc, found.precision_at_n) == (1.0, 1.0, 1.0, 1.0)


def test_precision_at_n_counts_nothing_among_ties():
    assert precision_at_n([1, 0, 0, 0], [2.0, 2.0, 2.0, 2.0]) == 0.0
    assert precision_at_n([1, 0, 1, 0], [4.0, 3.0, 2.0, 1.0], n=3) == pytest.approx(2 / 3)
    assert precision_at_n([1, 0], [2.0, 1.0], n=0) == 0.0


def test_outliers_are_minus_one():
    assert outlier_labels([0.0, 1.0, 2.0, 3.0, 10.0]).tolist() == [1, 1, 1, 1, -1]
    assert outlier_labels([1.0, 1.0]).tolist() == [1, 1]
    assert outlier_labels([1.0, 2.0], quantile=0.0).tolist() == [1, -1]


@given(NUMBERS)
@settings(deadline=None)
def test_kendall_is_scipys(pairs):
    first, second = np.array(pairs, dtype=np.float64).T
    expected = stats.kendalltau(first, second).statistic
    found = kendall(first, second)
    assert (found is None) == math.isnan(expected)
    if found is not None:
        assert found == pytest.approx(expected, abs=1e-12)
        assert kendall(second, first) == pytest.approx(found, abs=1e-12)
        assert kendall(first, -second) == pytest.approx(-found, abs=1e-12)


def test_kendall_of_many_rows():
    source = np.random.default_rng(3)
    first = source.normal(size=5_000).round(1)
    second = first + source.normal(size=5_000).round(1)
    assert kendall(first, second) == pytest.approx(stats.kendalltau(first, second).statistic, abs=1e-12)


@given(st.integers(1, 30), st.integers(1, 5), st.integers(0, 1000))
@settings(deadline=None)
def test_combinations_by_their_definition(n, detectors, seed):
    table = np.random.default_rng(seed).normal(size=(n, detectors)) * 10.0 ** np.arange(detectors)
    spread = np.where(table.std(axis=0) > 0, table.std(axis=0), 1.0)
    z_scores = (table - table.mean(axis=0)) / spread if n > 1 else np.zeros_like(table)
    assert combined(table, "average") == pytest.approx(z_scores.mean(axis=1), abs=1e-9)
    assert combined(table, "maximum") == pytest.approx(z_scores.max(axis=1), abs=1e-9)
    assert combined(table, "median") == pytest.approx(np.median(z_scores, axis=1), abs=1e-9)
    assert combined(table, "rank") == pytest.approx(stats.rankdata(table, axis=0).mean(axis=1) / n)


def test_a_detector_that_says_nothing_counts_as_0():
    assert combined([[7.0, 1.0], [7.0, 3.0]]).tolist() == [-0.5, 0.5]
    assert combined([[0.1, 1e300], [0.1, -1e300]], "maximum").tolist() == [1.0, 0.0]


@pytest.mark.parametrize("how", ["average", "maximum", "median", "rank"])
def test_the_order_of_rows_and_detectors_does_not_matter(how):
    source = np.random.default_rng(0)
    table, rows = source.normal(size=(20, 4)), source.permutation(20)
    assert combined(table[rows][:, ::-1], how) == pytest.approx(combined(table, how)[rows])


@pytest.mark.parametrize(
    "call",
    [
        lambda: anomaly_metrics([0, 1], [1.0]),
        lambda: anomaly_metrics([0, 2], [1.0, 2.0]),
        lambda: anomaly_metrics([0, 1], [1.0, math.nan]),
        lambda: anomaly_metrics([], []),
        lambda: anomaly_metrics([0, 1], ["a", "b"]),
        lambda: pr_auc([0.5], [1.0]),
        lambda: precision_at_n([0, 1], [1.0, 2.0], n=3),
        lambda: precision_at_n([0, 1], [1.0, 2.0], n=-1),
        lambda: outlier_labels([1.0], quantile=1.5),
        lambda: outlier_labels([1.0], quantile=math.nan),
        lambda: combined([[1.0, math.inf]]),
        lambda: combined([1.0, 2.0]),
        lambda: combined([[1.0]], "sum"),  # type: ignore[arg-type]
        lambda: kendall([1.0], [1.0, 2.0]),
    ],
)
def test_what_cannot_be_is_refused(call):
    with pytest.raises(InvalidRequest) as refused:
        call()
    assert refused.value.hint
