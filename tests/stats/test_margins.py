"""Non-inferiority and equivalence: by hand, against scipy (a test dependency only), and their error at the margin."""

import math
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from chopmark.errors import InvalidRequest
from chopmark.stats.margins import MarginTest, equivalence, noninferiority
from chopmark.stats.proportions import z_test
from chopmark.stats.summaries import Mean, Proportion


@st.composite
def proportions(draw: st.DrawFn) -> Proportion:
    n = draw(st.integers(0, 5) | st.integers(1, 10**7))
    return Proportion(draw(st.sampled_from([0, n]) | st.integers(0, n)), n)


means = st.builds(Mean, st.integers(0, 3) | st.integers(2, 10**6), st.floats(-1e9, 1e9), st.floats(0, 1e12))
margins = st.sampled_from([0.0, 1e-6]) | st.floats(0, 0.99)


@given(proportions(), proportions(), margins, st.booleans(), st.sampled_from(["score", "wald"]))
def test_any_counts_have_an_answer(control, treatment, margin: float, is_higher_better: bool, method) -> None:
    result = noninferiority(control, treatment, margin, is_higher_better=is_higher_better, method=method)
    assert 0 <= result.p_value <= 1
    assert result.is_met == (result.p_value <= 0.05)
    assert msgspec.json.decode(msgspec.json.encode(result), type=MarginTest) == result
    if result.flags:
        assert (result.p_value, result.statistic) == (1.0, 0.0)
    elif abs(result.p_value - 0.05) > 1e-9:  # the bound clears the margin exactly when the test is met
        assert result.bound is not None
        cleared = result.bound > -margin if is_higher_better else result.bound < margin
        assert cleared == result.is_met


@given(means, means, st.floats(0, 1e9), st.booleans())
def test_any_means_have_an_answer(control: Mean, treatment: Mean, margin: float, is_higher_better: bool) -> None:
    result = noninferiority(control, treatment, margin, is_higher_better=is_higher_better)
    assert 0 <= result.p_value <= 1
    assert msgspec.json.decode(msgspec.json.encode(result), type=MarginTest) == result
    if result.flags:
        assert (result.p_value, result.bound, result.is_met, result.statistic) == (1.0, None, False, 0.0)


@given(proportions(), proportions(), margins)
def test_less_of_the_failures_is_more_of_the_successes(control, treatment, margin: float) -> None:
    turned = Proportion(control.failures, control.n), Proportion(treatment.failures, treatment.n)
    one = noninferiority(control, treatment, margin)
    other = noninferiority(*turned, margin, is_higher_better=False)
    assert one.p_value == pytest.approx(other.p_value, rel=1e-6, abs=1e-12)
    assert one.statistic == pytest.approx(-other.statistic, rel=1e-6, abs=1e-9)


@given(proportions(), proportions(), margins, margins)
def test_a_wider_margin_is_met_more_easily(control, treatment, first: float, second: float) -> None:
    narrow, wide = sorted((first, second))
    one, other = (noninferiority(control, treatment, margin).p_value for margin in (narrow, wide))
    assert other <= one + 1e-9


def test_a_margin_of_nothing_is_the_one_sided_z() -> None:
    arms = Proportion(431, 5_000), Proportion(502, 5_100)
    assert noninferiority(*arms, 0.0).p_value == pytest.approx(z_test(*arms).p_greater)
    assert noninferiority(*arms, 0.0, is_higher_better=False).p_value == pytest.approx(z_test(*arms).p_less)
    assert noninferiority(Proportion(5, 5), Proportion(5, 5), 0.0).flags == ("all_equal",)


def test_wald_by_hand() -> None:
    result = noninferiority(Proportion(900, 1_000), Proportion(890, 1_000), 0.03, method="wald")
    error = math.sqrt(0.09 / 1_000 + 0.89 * 0.11 / 1_000)
    assert result.statistic == pytest.approx(0.02 / error)
    assert result.p_value == pytest.approx(stats.norm.sf(0.02 / error))
    assert result.bound == pytest.approx(-0.01 - stats.norm.ppf(0.95) * error)
    assert noninferiority(Proportion(9, 9), Proportion(9, 9), 0.03, method="wald").flags == ("no_variance",)


def test_the_score_test_answers_where_all_end_alike() -> None:
    few = noninferiority(Proportion(10, 10), Proportion(10, 10), 0.02)
    many = noninferiority(Proportion(10_000, 10_000), Proportion(10_000, 10_000), 0.02)
    assert few.p_value > 0.3
    assert many.p_value < 1e-9


def test_means_are_scipys_with_a_shift() -> None:
    random = np.random.default_rng(4)
    control, treatment = random.exponential(1.0, 80), random.exponential(1.05, 90)
    summaries = Mean.of(control), Mean.of(treatment)
    for higher, shift, alternative in ((False, 0.4, "less"), (True, -0.4, "greater")):
        result = noninferiority(*summaries, 0.4, is_higher_better=higher)
        expected = stats.ttest_ind(treatment - shift, control, equal_var=False, alternative=alternative)
        assert result.statistic == pytest.approx(expected.statistic)
        assert result.p_value == pytest.approx(expected.pvalue)
        interval = stats.ttest_ind(treatment, control, equal_var=False).confidence_interval(0.9)
        assert result.bound == pytest.approx(interval.low if higher else interval.high)


def test_equivalence_needs_both_sides() -> None:
    near = equivalence(Mean.from_deviation(400, 10.0, 1.0), Mean.from_deviation(400, 10.02, 1.0), 0.2)
    assert near.is_met
    assert near.p_value == max(near.not_below.p_value, near.not_above.p_value)
    far = equivalence(Mean.from_deviation(400, 10.0, 1.0), Mean.from_deviation(400, 10.5, 1.0), 0.2)
    assert far.not_below.is_met
    assert not far.is_met
    assert equivalence(Proportion(900, 1_000), Proportion(901, 1_000), 0.05).is_met
    assert not equivalence(Proportion(9, 10), Proportion(9, 10), 0.05).is_met


def test_the_error_at_the_margin_is_the_level() -> None:
    random = np.random.default_rng(6)
    runs = 3_000
    pairs = zip(random.binomial(400, 0.95, runs).tolist(), random.binomial(400, 0.92, runs).tolist(), strict=True)
    met = sum(noninferiority(Proportion(c, 400), Proportion(t, 400), 0.03).is_met for c, t in pairs)
    assert 0.035 * runs <= met <= 0.06 * runs


def test_what_is_no_margin_is_refused() -> None:
    arms = Proportion(1, 2), Proportion(1, 2)
    bad: list[Any] = [-0.1, math.nan, math.inf, True, "0.1"]
    for margin in bad:
        with pytest.raises(InvalidRequest, match="margin"):
            noninferiority(*arms, margin)
    with pytest.raises(InvalidRequest, match="allows everything"):
        noninferiority(*arms, 1.0)
    with pytest.raises(InvalidRequest, match="level"):
        noninferiority(*arms, 0.1, alpha=5)
    with pytest.raises(InvalidRequest, match="method"):
        noninferiority(*arms, 0.1, method="exact")  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest, match="cannot be compared"):
        noninferiority(arms[0], Mean(2, 1.0, 1.0), 0.1)
