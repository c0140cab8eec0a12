"""Drift of many columns: directions as scikit-learn finds them, the kernel statistic by its definition, a classifier that cannot cheat."""

import math
import sys

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from chopmark.errors import InvalidRequest, Unsupported
from chopmark.stats.multivariate import PcaReconstruction, domain_classifier, maximum_mean_discrepancy, usual_range

MIXING = np.random.default_rng(7).normal(size=(2, 6))


def related(seed: int, n: int) -> np.ndarray:
    source = np.random.default_rng(seed)
    return source.normal(size=(n, 2)) @ MIXING + 0.4 * source.normal(size=(n, 6)) + np.arange(6)


def unrelated(seed: int, n: int) -> np.ndarray:
    source = np.random.default_rng(seed)
    return np.column_stack([source.permutation(column) for column in related(seed, n).T])


@pytest.mark.parametrize("share", [0.3, 0.65, 0.9])
def test_directions_are_scikit_learns(share):
    reference, current = related(1, 800), related(2, 300) + 0.3
    scaler = StandardScaler().fit(reference)
    pca = PCA(n_components=share, svd_solver="full").fit(scaler.transform(reference))
    scaled = scaler.transform(current)
    expected = np.linalg.norm(scaled - pca.inverse_transform(pca.transform(scaled)), axis=1)
    found = PcaReconstruction.fit(reference, share=share)
    assert len(found.components) == pca.n_components_
    assert found.explained == pytest.approx(pca.explained_variance_ratio_.sum())
    assert found.distances(current) == pytest.approx(expected, rel=1e-9)
    assert found.error(current).mean == pytest.approx(expected.mean())


def test_it_sees_relations_that_no_column_shows():
    directions = PcaReconstruction.fit(related(1, 2_000))
    usual = usual_range([directions.error(related(seed, 300)).mean for seed in range(10, 18)])
    assert directions.error(related(2, 300)).mean in usual
    assert directions.error(unrelated(3, 300)).mean > usual.high


def test_its_errors_add_up_and_it_goes_through_json():
    directions = PcaReconstruction.fit(related(1, 100))
    rows = related(2, 60)
    together, apart = directions.error(rows), directions.error(rows[:25]) + directions.error(rows[25:])
    assert (apart.n, apart.mean, apart.m2) == pytest.approx((together.n, together.mean, together.m2))
    assert msgspec.json.decode(msgspec.json.encode(directions), type=PcaReconstruction) == directions


def test_missing_values_count_as_the_mean_and_flat_columns_as_nothing():
    reference = np.column_stack([related(1, 100), np.full(100, 3.0)])
    directions = PcaReconstruction.fit(reference)
    rows = reference[:5].copy()
    rows[:, 2] = np.nan
    filled = rows.copy()
    filled[:, 2] = reference[:, 2].mean()
    assert directions.distances(rows) == pytest.approx(directions.distances(filled))
    assert directions.scales[-1] == 1.0
    lifted = reference[:5] + np.array([0.0] * 6 + [2.0])
    assert (directions.distances(lifted) > directions.distances(reference[:5])).all()


def by_definition(first, second, sigma_squared):
    def kernel(a, b):
        return math.exp(-float(((a - b) ** 2).sum()) / (2 * sigma_squared))

    n, m = len(first), len(second)
    within = sum(kernel(first[i], first[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    rest = sum(kernel(second[i], second[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    across = sum(kernel(a, b) for a in first for b in second) / (n * m)
    return within + rest - 2 * across


@given(st.integers(0, 1000), st.integers(2, 12), st.integers(2, 9), st.integers(1, 3), st.floats(0.1, 50))
@settings(max_examples=40, deadline=None)
def test_the_discrepancy_is_its_definition(seed, n, m, columns, sigma_squared):
    source = np.random.default_rng(seed)
    first, second = source.normal(size=(n, columns)), source.normal(1, 2, size=(m, columns))
    found = maximum_mean_discrepancy(first, second, sigma_squared=sigma_squared)
    assert found.mmd2 == pytest.approx(by_definition(first, second, sigma_squared), abs=1e-12)
    swapped = maximum_mean_discrepancy(second, first, sigma_squared=sigma_squared)
    assert swapped.mmd2 == pytest.approx(found.mmd2, abs=1e-12)
    moved = maximum_mean_discrepancy(first + 1e6, second + 1e6, sigma_squared=sigma_squared)
    assert moved.mmd2 == pytest.approx(found.mmd2, abs=1e-7)


def test_the_median_rule_is_of_pairs_of_the_reference():
    reference = np.array([[0.0], [1.0], [3.0]])
    assert maximum_mean_discrepancy(reference, reference + 10).sigma_squared == 4.0  # of 1, 4 and 9
    flat = maximum_mean_discrepancy(np.zeros((4, 2)), np.zeros((3, 2)), permutations=9)
    assert (flat.mmd2, flat.p_value) == (0.0, 1.0)


def test_the_p_value_keeps_its_word():
    source = np.random.default_rng(11)
    p_values = []
    for k in range(300):
        first, second = source.normal(size=(15, 2)), source.normal(size=(12, 2))
        found = maximum_mean_discrepancy(first, second, permutations=99, seed=k)
        assert found.p_value is not None
        p_values.append(found.p_value)
    assert min(p_values) >= 0.01
    assert sum(p <= 0.1 for p in p_values) <= 45  # 30 expected; 45 is 2.9 deviations away
    assert sum(p <= 0.5 for p in p_values) >= 120
    moved = maximum_mean_discrepancy(related(1, 60), related(2, 50) + 1.5, permutations=199)
    assert moved.p_value == pytest.approx(1 / 200)
    assert moved == maximum_mean_discrepancy(related(1, 60), related(2, 50) + 1.5, permutations=199)


def test_a_classifier_tells_samples_apart_only_where_they_differ():
    reference = related(1, 600)
    assert domain_classifier(reference, related(2, 300)).roc_auc == pytest.approx(0.5, abs=0.08)
    assert domain_classifier(reference, unrelated(3, 300)).roc_auc > 0.75
    found = domain_classifier(reference, related(4, 300) + 1.0, classifier=LogisticRegression)
    assert found.roc_auc > 0.7
    assert (found.reference_n, found.current_n) == (600, 300)


def test_a_classifier_without_scikit_learn_is_refused_with_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    with pytest.raises(Unsupported, match="scikit-learn") as refused:
        domain_classifier(related(1, 20), related(2, 20))
    assert "chopmark[sklearn]" in refused.value.hint


def test_usual_range():
    limits = usual_range([1.0, 3.0], deviations=2.0)
    assert (limits.low, limits.high) == (0.0, 4.0)


@pytest.mark.parametrize(
    "call",
    [
        lambda: PcaReconstruction.fit([[1.0, math.inf], [2.0, 1.0]]),
        lambda: PcaReconstruction.fit([[1.0, math.nan], [2.0, math.nan]]),
        lambda: PcaReconstruction.fit([[1.0, 2.0]]),
        lambda: PcaReconstruction.fit([[1.0, 2.0]] * 5),
        lambda: PcaReconstruction.fit(related(1, 9), share=1.0),
        lambda: PcaReconstruction.fit(related(1, 9)).distances(np.ones((2, 3))),
        lambda: PcaReconstruction.fit([["a"], ["b"]]),
        lambda: usual_range([]),
        lambda: usual_range([math.nan]),
        lambda: maximum_mean_discrepancy([[1.0]], [[1.0], [2.0]]),
        lambda: maximum_mean_discrepancy([[1.0], [2.0]], [[1.0, 1.0], [2.0, 1.0]]),
        lambda: maximum_mean_discrepancy([[1.0], [math.nan]], [[1.0], [2.0]]),
        lambda: maximum_mean_discrepancy([[1.0], [2.0]], [[1.0], [2.0]], sigma_squared=0.0),
        lambda: maximum_mean_discrepancy([[1.0], [2.0]], [[1.0], [2.0]], permutations=-1),
        lambda: maximum_mean_discrepancy(np.ones((5_000, 1)), np.ones((5_000, 1))),
        lambda: domain_classifier([[1.0]] * 4, [[1.0]] * 9),
        lambda: domain_classifier([[1.0]] * 9, [[1.0]] * 9, folds=1),
    ],
)
def test_what_cannot_be_is_refused(call):
    with pytest.raises(InvalidRequest) as refused:
        call()
    assert refused.value.hint
