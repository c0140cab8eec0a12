"""Exact tests by enumeration in fractions, against scipy (a test dependency only), and their level."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from chopmark.errors import InvalidRequest
from chopmark.stats.exact import barnard_test, boschloo_test, fisher_test
from chopmark.stats.proportions import z_test
from chopmark.stats.summaries import Proportion

TESTS = [fisher_test, barnard_test, boschloo_test]


@st.composite
def proportions(draw: st.DrawFn, n_least: int = 1, n_most: int = 9) -> Proportion:
    n = draw(st.integers(n_least, n_most))
    return Proportion(draw(st.integers(0, n)), n)


def table(control: Proportion, treatment: Proportion) -> list[list[int]]:
    return [[treatment.successes, control.successes], [treatment.failures, control.failures]]


@given(proportions(n_most=400), proportions(n_most=400))
def test_fisher_is_scipys(control: Proportion, treatment: Proportion) -> None:
    result = fisher_test(control, treatment)
    for got, alternative in ((result.p_value, "two-sided"), (result.p_greater, "greater"), (result.p_less, "less")):
        expected = stats.fisher_exact(table(control, treatment), alternative=alternative).pvalue
        assert got == pytest.approx(expected, rel=1e-8, abs=1e-300)


def largest_over_rates(control_n: int, treatment_n: int, region: set[tuple[int, int]]) -> float:
    """On a fine grid, from binomials by scipy."""
    rates = np.linspace(0, 1, 4_001)
    c = stats.binom.pmf(np.arange(control_n + 1)[:, None], control_n, rates)
    t = stats.binom.pmf(np.arange(treatment_n + 1)[:, None], treatment_n, rates)
    return float(max(sum(c[x] * t[y] for x, y in region))) if region else 0.0


@settings(max_examples=40)
@given(proportions(), proportions())
def test_barnard_counts_every_table_that_is_as_extreme(control: Proportion, treatment: Proportion) -> None:
    n, m = control.n, treatment.n

    def square(x: int, y: int) -> Fraction:  # of the pooled z, exactly
        together = x + y
        spread = Fraction(together * (n + m - together), (n + m) ** 2) * (Fraction(1, n) + Fraction(1, m))
        return (Fraction(y, m) - Fraction(x, n)) ** 2 / spread if spread else Fraction(0)

    seen = square(control.successes, treatment.successes)
    region = {(x, y) for x in range(n + 1) for y in range(m + 1) if square(x, y) >= seen}
    result = barnard_test(control, treatment)
    assert result.p_value == pytest.approx(min(1.0, largest_over_rates(n, m, region)), rel=2e-5)
    assert result.p_value >= largest_over_rates(n, m, region) * (1 - 1e-9) or result.p_value == 1


@settings(max_examples=25)
@given(proportions(n_most=7), proportions(n_most=7))
def test_boschloo_counts_every_table_that_fisher_finds_as_rare(control: Proportion, treatment: Proportion) -> None:
    n, m = control.n, treatment.n

    def rare(x: int, y: int, *, greater: bool) -> Fraction:
        together = x + y
        ways = [
            (k, math.comb(m, k) * math.comb(n, together - k)) for k in range(max(0, together - n), min(m, together) + 1)
        ]
        return Fraction(sum(w for k, w in ways if (k >= y if greater else k <= y)), math.comb(n + m, together))

    sided = []
    for greater in (True, False):
        seen = rare(control.successes, treatment.successes, greater=greater)
        region = {(x, y) for x in range(n + 1) for y in range(m + 1) if rare(x, y, greater=greater) <= seen}
        sided.append(min(1.0, largest_over_rates(n, m, region)))
    result = boschloo_test(control, treatment)
    both = control + treatment
    if both.successes and both.failures:
        assert (result.p_greater, result.p_less) == pytest.approx(tuple(sided), rel=2e-5)
        assert result.p_value == pytest.approx(min(1.0, 2 * min(sided)), rel=2e-5)


@given(proportions(n_most=40), proportions(n_most=40))
def test_boschloo_is_never_above_fisher_on_one_side(control: Proportion, treatment: Proportion) -> None:
    fisher, boschloo = fisher_test(control, treatment), boschloo_test(control, treatment)
    assert boschloo.p_greater <= fisher.p_greater * (1 + 1e-7)
    assert boschloo.p_less <= fisher.p_less * (1 + 1e-7)


@pytest.mark.parametrize("test", TESTS)
@given(control=proportions(n_most=30), treatment=proportions(n_most=30))
def test_swapping_the_arms_turns_the_sides(test, control: Proportion, treatment: Proportion) -> None:
    one, other = test(control, treatment), test(treatment, control)
    assert one.p_value == pytest.approx(other.p_value, rel=1e-6)
    assert one.p_greater == pytest.approx(other.p_less, rel=1e-6)
    assert one.estimate == -other.estimate
    assert all(0 < p <= 1 for p in (one.p_value, one.p_greater, one.p_less))


@pytest.mark.parametrize("test", TESTS)
def test_the_level_is_held_at_every_rate(test) -> None:
    """The sum of the chances of all tables that are rejected at 5 % stays below 5 %: what exact means."""
    n, m, alpha = 11, 14, 0.05
    rejected = {
        (x, y) for x in range(n + 1) for y in range(m + 1) if test(Proportion(x, n), Proportion(y, m)).p_value <= alpha
    }
    assert 0.015 < largest_over_rates(n, m, rejected) <= alpha


def test_scipys_barnard_where_no_tie_is_lost() -> None:
    for control, treatment in ((Proportion(7, 12), Proportion(17, 20)), (Proportion(5, 8), Proportion(21, 33))):
        expected = stats.barnard_exact(table(control, treatment), n=128).pvalue
        assert barnard_test(control, treatment).p_value == pytest.approx(expected, rel=5e-3)


@pytest.mark.parametrize("test", TESTS)
def test_degenerate_tables(test) -> None:
    for control, treatment, flag in (
        (Proportion(8, 8), Proportion(5, 5), "all_equal"),
        (Proportion(0, 8), Proportion(0, 5), "all_equal"),
        (Proportion(), Proportion(3, 5), "no_data"),
        (Proportion(3, 5), Proportion(), "no_data"),
    ):
        result = test(control, treatment)
        assert (result.p_value, result.p_greater, result.p_less) == (1.0, 1.0, 1.0)
        assert result.flags == (flag,)


def test_many_trials() -> None:
    control, treatment = Proportion(700_000, 1_000_000), Proportion(701_500, 1_000_000)
    assert fisher_test(control, treatment).p_value == pytest.approx(z_test(control, treatment).p_value, rel=0.01)
    for test in (barnard_test, boschloo_test):
        wide = test(Proportion(450, 500), Proportion(470, 500))
        assert wide.p_value == pytest.approx(z_test(Proportion(450, 500), Proportion(470, 500)).p_value, rel=0.25)
        with pytest.raises(InvalidRequest, match="too many"):
            test(Proportion(1, 500), Proportion(1, 501))
    with pytest.raises(InvalidRequest, match="too many"):
        fisher_test(Proportion(1, 5_000_000), Proportion(1, 5_000_001))
