"""Two-sample tests against SciPy, against counting all orders by hand, and by what must hold of any data."""

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from chopmark.errors import InvalidRequest
from chopmark.stats import kolmogorov_smirnov as ks
from chopmark.stats.two_sample import (
    cramer_von_mises,
    energy_distance,
    kolmogorov_smirnov,
    mann_whitney,
    present,
    wasserstein_distance,
)

numbers = arrays(np.float64, st.integers(2, 40), elements=st.integers(-8, 8).map(float))


def pairs(count, seed=5):
    draw = np.random.default_rng(seed)
    for at in range(count):
        n, m = draw.integers(2, 300, 2)
        first, second = draw.normal(size=n), draw.normal(size=m) * (1 + at % 2) + (0.0, 0.3, 2.0)[at % 3]
        yield (first, second) if at % 5 else (first.round(), second.round())


@pytest.mark.parametrize("method", ["exact", "asymptotic"])
def test_kolmogorov_smirnov_is_scipys(method):
    for first, second in pairs(60):
        wanted = stats.ks_2samp(first, second, method="exact" if method == "exact" else "asymp")
        found = kolmogorov_smirnov(first, second, method=method)
        assert found.statistic == pytest.approx(wanted.statistic, rel=1e-12)
        assert found.p_value == pytest.approx(wanted.pvalue, rel=1e-9)


@pytest.mark.parametrize("n", [1, 2, 3, 10, 77, 140, 141, 600, 1_000, 1_001, 8_000])
def test_the_distribution_of_the_one_sample_distance_is_scipys(n):
    for z in np.linspace(0.05, 5, 60):
        if z / np.sqrt(n) <= 1:
            wanted = stats.kstwo.sf(z / np.sqrt(n), n)
            assert ks.two_sided_sf(z / np.sqrt(n), n) == pytest.approx(wanted, rel=1e-9, abs=1e-300)


def test_the_distribution_of_large_samples_nears_kolmogorovs_and_takes_no_time():
    for z in (0.5, 1.0, 1.4, 1.6, 3.0):
        assert ks.two_sided_sf(z / 1e4, 10**8) == pytest.approx(stats.kstwobign.sf(z), rel=1e-3)


def all_orders(n, m, statistic):
    """Share of all orders of n and m values whose statistic is as large as that of each."""
    ranks = np.arange(n + m, dtype=float)
    found = []
    for chosen in combinations(range(n + m), n):
        is_first = np.isin(np.arange(n + m), chosen)
        found.append(round(statistic(ranks[is_first], ranks[~is_first]), 9))
    return np.array(found)


@pytest.mark.parametrize(("n", "m"), [(1, 1), (3, 3), (4, 2), (2, 7), (5, 4)])
def test_exact_p_values_are_shares_of_all_orders(n, m):
    distances = all_orders(n, m, lambda a, b: kolmogorov_smirnov(a, b).statistic)
    for distance in np.unique(distances):
        assert ks.exact_p(distance, n, m) == pytest.approx((distances >= distance).mean(), rel=1e-12)
    if min(n, m) > 1:
        squares = all_orders(n, m, lambda a, b: cramer_von_mises(a, b, method="asymptotic").statistic)
        first = np.arange(n, dtype=float)
        second = np.arange(n, n + m, dtype=float)
        extreme = cramer_von_mises(first, second, method="exact")
        assert extreme.p_value == pytest.approx((squares >= round(extreme.statistic, 9)).mean(), rel=1e-12)


def test_a_small_exact_p_value_keeps_its_digits():
    first, second = np.arange(40.0), np.arange(40.0) + 40
    assert kolmogorov_smirnov(first, second).p_value == pytest.approx(2 / math.comb(80, 40), rel=1e-12)


def test_cramer_von_mises_and_mann_whitney_are_scipys():
    for first, second in pairs(60):
        wanted = stats.cramervonmises_2samp(first, second, method="asymptotic")
        found = cramer_von_mises(first, second, method="asymptotic")
        assert found.statistic == pytest.approx(wanted.statistic, rel=1e-9, abs=1e-12)
        assert found.p_value == pytest.approx(wanted.pvalue, rel=1e-6, abs=1e-15)
        ranked = stats.mannwhitneyu(first, second, method="asymptotic")
        ours = mann_whitney(first, second)
        assert (ours.statistic, ours.p_value) == pytest.approx((ranked.statistic, ranked.pvalue), rel=1e-12)


def test_exact_cramer_von_mises_is_scipys_with_ties_too():
    draw = np.random.default_rng(2)
    for _ in range(20):
        first, second = draw.integers(0, 5, draw.integers(2, 9)), draw.integers(0, 6, draw.integers(2, 9))
        wanted = stats.cramervonmises_2samp(first, second, method="exact").pvalue
        assert cramer_von_mises(first, second).p_value == pytest.approx(wanted, rel=1e-12)


def test_distances_are_scipys():
    for first, second in pairs(40):
        assert wasserstein_distance(first, second) == pytest.approx(
            stats.wasserstein_distance(first, second), rel=1e-11
        )
        assert energy_distance(first, second) == pytest.approx(stats.energy_distance(first, second), rel=1e-11)


@settings(deadline=None)
@given(numbers, numbers)
def test_swapping_the_samples_changes_no_p_value_and_nothing_is_nan(first, second):
    for test in (kolmogorov_smirnov, cramer_von_mises, mann_whitney):
        one, other = test(first, second), test(second, first)
        assert one.p_value == pytest.approx(other.p_value, rel=1e-9, abs=1e-12)
        assert 0 <= one.p_value <= 1
        assert np.isfinite(one.statistic)
    for distance in (wasserstein_distance, energy_distance):
        assert distance(first, second) == pytest.approx(distance(second, first), rel=1e-9, abs=1e-12)
        assert distance(first, first) == 0


@given(numbers, st.integers(1, 100))
def test_a_shift_is_as_far_as_it_shifts(first, shift):
    assert wasserstein_distance(first, first + shift) == pytest.approx(shift)


def test_one_value_throughout_is_no_difference():
    same = np.full(30, 7.0)
    assert {t(same, same).p_value for t in (kolmogorov_smirnov, mann_whitney, cramer_von_mises)} == {1.0}


@pytest.mark.parametrize("wrong", [[], [1.0, np.nan], [np.inf], ["a"], [[1.0]]])
def test_what_is_no_sample_is_refused(wrong):
    for call in (kolmogorov_smirnov, mann_whitney, wasserstein_distance):
        with pytest.raises(InvalidRequest):
            call(np.array(wrong), [1.0, 2.0])


def test_what_takes_too_long_is_refused():
    with pytest.raises(InvalidRequest, match="too long"):
        ks.exact_p(0.5, 10**6, 10**6 - 1)
    with pytest.raises(InvalidRequest, match="too long"):
        cramer_von_mises(np.arange(26), np.arange(3), method="exact")


def test_missing_values_are_dropped_when_asked_to():
    assert present([1.0, np.nan, 3.0]).tolist() == [1.0, 3.0]
