"""Divergences of counts: worked by hand, against SciPy, and by what must hold of any counts."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon

from chopmark.errors import InvalidRequest
from chopmark.stats import divergences as d

rows = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=12).filter(
    lambda pairs: sum(p for p, _ in pairs) and sum(q for _, q in pairs)
)
DISTANCES = (d.psi, d.jensen_shannon, d.hellinger, d.total_variation, d.largest_difference)


def test_by_hand():
    assert d.psi([50, 50], [60, 40]) == pytest.approx(0.1 * math.log(1.2) + 0.1 * math.log(1.25))
    assert d.psi([1, 1], [2, 0]) == pytest.approx(0.5 * math.log(2) + (0.0001 - 0.5) * math.log(0.0002))
    assert d.total_variation([1, 1, 2], [2, 1, 1]) == pytest.approx(0.25)
    assert d.largest_difference([1, 1, 2], [2, 1, 1]) == pytest.approx(0.25)
    assert d.hellinger([1, 0], [0, 1]) == d.jensen_shannon([3, 0], [0, 5]) == 1.0
    assert d.jensen_shannon([1, 0], [0, 1], base=math.e) == pytest.approx(math.sqrt(math.log(2)))
    assert d.kullback_leibler([1, 1], [1, 3]) == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(2 / 3))


@given(rows)
def test_tests_are_scipys(pairs):
    ours, theirs = np.array(pairs).T
    table = np.array([ours, theirs])[:, (ours + theirs) > 0]
    wanted = stats.chi2_contingency(table, correction=False)
    found = d.chi_squared(ours, theirs)
    assert (found.statistic, found.p_value) == pytest.approx((wanted.statistic, wanted.pvalue), rel=1e-9, abs=1e-12)
    assert found.degrees_of_freedom == wanted.dof
    corrected = d.chi_squared(ours, theirs, continuity=True)
    assert corrected.p_value == pytest.approx(stats.chi2_contingency(table).pvalue, rel=1e-9, abs=1e-12)
    likelihood = stats.chi2_contingency(table, correction=False, lambda_="log-likelihood")
    assert d.g_test(ours, theirs).p_value == pytest.approx(likelihood.pvalue, rel=1e-6, abs=1e-9)


@given(rows)
def test_distances_of_any_counts(pairs):
    ours, theirs = np.array(pairs).T
    assert d.jensen_shannon(ours, theirs) == pytest.approx(jensenshannon(ours, theirs, base=2), abs=1e-7)
    for distance in DISTANCES:
        assert distance(ours, theirs) == pytest.approx(distance(theirs, ours), abs=1e-12)
        assert distance(ours, ours) == pytest.approx(0, abs=1e-7)
        assert 0 <= distance(ours, theirs) <= (math.inf if distance is d.psi else 1 + 1e-12)
    assert d.hellinger(ours, theirs) ** 2 <= d.total_variation(ours, theirs) + 1e-12


@given(rows, st.integers(2, 9))
def test_a_bin_that_is_empty_on_both_sides_changes_nothing(pairs, times):
    ours, theirs = np.array(pairs).T
    assume(len(ours) > 1)
    for distance in DISTANCES[1:]:
        assert distance(np.append(ours, 0), np.append(theirs, 0)) == pytest.approx(distance(ours, theirs))
        assert distance(ours * times, theirs * times) == pytest.approx(distance(ours, theirs), abs=1e-7)


@pytest.mark.parametrize("wrong", [[0, 0], [1, -1], [1.5, 1], [np.nan, 1], ["a", "b"], [[1, 2]], [1, 2, 3]])
def test_what_are_no_counts_is_refused(wrong):
    for call in (*DISTANCES, d.chi_squared, d.g_test):
        with pytest.raises(InvalidRequest):
            call([1, 2], wrong)
