"""Paired tests against scipy, which is a test dependency only."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from chopmark.stats.paired import holm, mcnemar_p, paired_t_p


@given(st.integers(0, 400), st.integers(0, 400))
def test_mcnemar_is_the_exact_binomial_test(first: int, second: int) -> None:
    expected = stats.binomtest(first, first + second).pvalue if first + second else 1.0
    assert mcnemar_p(first, second) == pytest.approx(expected, rel=1e-9)
    assert mcnemar_p(first, second) == mcnemar_p(second, first)


def test_mcnemar_of_many_rows() -> None:
    assert mcnemar_p(500_000, 501_500) == pytest.approx(stats.binomtest(500_000, 1_001_500).pvalue, rel=1e-6)
    assert mcnemar_p(0, 100_000) == 0.0


@pytest.mark.parametrize("count", [2, 3, 30, 31, 1_000, 50_000])
@pytest.mark.parametrize("shift", [0.0, 0.02, 0.3, -2.0])
def test_the_t_test_is_scipys(count: int, shift: float) -> None:
    values = np.random.default_rng(count).normal(shift, 1.0, count)
    expected = stats.ttest_1samp(values, 0).pvalue
    assert paired_t_p(values.mean(), values.std(ddof=1), count) == pytest.approx(expected, rel=1e-6, abs=1e-300)


def test_differences_without_spread() -> None:
    assert paired_t_p(0.0, 0.0, 40) == 1.0
    assert paired_t_p(0.5, 0.0, 40) == 0.0


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.6]) == [1.0, 1.0]
    assert holm([]) == []
