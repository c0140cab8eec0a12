"""Paired tests against scipy, which is a test dependency only."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from chopmark.stats.paired import balanced_mcnemar_p, mcnemar_p, paired_t_p


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


@given(
    st.tuples(st.integers(1, 12), st.integers(0, 6), st.integers(0, 6)),
    st.tuples(st.integers(1, 40), st.integers(0, 6), st.integers(0, 6)),
)
def test_the_balanced_test_is_the_sum_over_all_outcomes(
    rare: tuple[int, int, int], common: tuple[int, int, int]
) -> None:
    (rows, a, b), (other_rows, c, d) = rare, common
    seen = abs(other_rows * (a - b) + rows * (c - d))
    expected = sum(
        stats.binom.pmf(j, a + b, 0.5) * stats.binom.pmf(k, c + d, 0.5)
        for j in range(a + b + 1)
        for k in range(c + d + 1)
        if abs(other_rows * (2 * j - a - b) + rows * (2 * k - c - d)) >= seen
    )
    assert balanced_mcnemar_p(rare, common) == pytest.approx(expected, rel=1e-9)
    assert balanced_mcnemar_p(common, rare) == pytest.approx(expected, rel=1e-9)


def test_the_balanced_test_of_one_class_is_mcnemars() -> None:
    assert balanced_mcnemar_p((50, 3, 14), (950, 0, 0)) == pytest.approx(mcnemar_p(3, 14))


def test_equals_are_rarely_told_apart_when_one_class_is_rare() -> None:
    """Equal balanced accuracies, got in the same and in opposite ways."""
    random = np.random.default_rng(4)
    for first, second in (((0.7, 0.9), (0.7, 0.9)), ((0.9, 0.7), (0.7, 0.9))):
        found = 0
        for _ in range(1_000):
            rights = [
                (random.random(40) < recall, random.random(960) < specificity)
                for recall, specificity in (first, second)
            ]
            rare, common = ((len(a), int((a & ~b).sum()), int((b & ~a).sum())) for a, b in zip(*rights, strict=True))
            found += balanced_mcnemar_p(rare, common) < 0.05
        assert found / 1_000 <= 0.05 + 2 * (0.05 * 0.95 / 1_000) ** 0.5
