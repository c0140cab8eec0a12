"""Quantiles: against scipy, from arrays and from sketches alike, with the coverage that they promise."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from chopmark.errors import InvalidRequest
from chopmark.stats.quantiles import (
    QuantileEstimate,
    QuantileSummary,
    estimate,
    exceedance,
    frozen_threshold,
    quantile_difference,
)
from chopmark.stats.results import Effect
from chopmark.stats.sketch import QuantileSketch
from chopmark.stats.summaries import Proportion

values = st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=80)
shares = st.floats(0.001, 0.999)


@given(values, shares, st.floats(0.01, 0.999))
def test_the_interval_is_that_of_scipy(numbers, q, confidence):
    found = estimate(numbers, q, confidence=confidence)
    expected = stats.quantile_test(numbers, q=0, p=q).confidence_interval(confidence)
    assert found.interval.low == (-math.inf if math.isnan(expected.low) else expected.low)
    assert found.interval.high == (math.inf if math.isnan(expected.high) else expected.high)
    assert found.value == np.quantile(numbers, q)
    assert ("too_few" in found.flags) == math.isinf(found.interval.high - found.interval.low)
    assert msgspec.json.decode(msgspec.json.encode(found), type=QuantileEstimate) == found


@pytest.mark.parametrize("n", [10**3, 10**6, 10**10])
def test_ranks_of_many_numbers_are_those_of_the_binomial(n):
    from chopmark.stats.quantiles import _greatest_rank, _least_rank

    assert _least_rank(n, 0.95, 0.025) == stats.binom(n, 0.95).ppf(0.025)
    assert _greatest_rank(n, 0.95, 0.025) == stats.binom(n, 0.95).isf(0.025)


@given(st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=80), shares)
def test_the_interval_of_a_sketch_encloses_that_of_its_numbers(numbers, q):
    exact, sketched = estimate(numbers, q).interval, estimate(QuantileSketch.of(numbers), q)
    assert sketched.interval.low <= exact.low
    assert sketched.interval.high >= exact.high
    for ours, theirs in ((sketched.interval.low, exact.low), (sketched.interval.high, exact.high)):
        assert ours == theirs or ours == pytest.approx(theirs, rel=0.016)
    assert "approximate" in sketched.flags


def test_the_interval_covers_as_often_as_it_promises():
    draws = np.random.default_rng(3).exponential(size=(1000, 200))
    truth = -math.log(0.1)
    assert 0.95 <= np.mean([truth in estimate(row, 0.9).interval for row in draws]) < 0.99


def summaries(sketched, *arms: Any, q=0.9):
    return [QuantileSummary.of(QuantileSketch.of(arm) if sketched else arm, q) for arm in arms]


@pytest.mark.parametrize("sketched", [False, True])
def test_the_difference_keeps_its_error_rate_and_finds_what_there_is(sketched):
    rng = np.random.default_rng(4)
    same = [quantile_difference(*summaries(sketched, *rng.lognormal(4, 0.5, (2, 2000)))).p_value for _ in range(500)]
    assert 0.02 < np.mean(np.array(same) < 0.05) < 0.09
    shifted = quantile_difference(*summaries(sketched, rng.lognormal(4, 0.5, 4000), rng.lognormal(4.1, 0.5, 4000)))
    assert shifted.p_value < 1e-3
    truth = math.exp(4.1 + 0.5 * stats.norm.ppf(0.9)) - math.exp(4 + 0.5 * stats.norm.ppf(0.9))
    assert truth in shifted.interval
    assert ("approximate" in shifted.flags) == sketched


@given(values, values, shares)
def test_swapping_the_arms_turns_the_difference_round(first, second, q):
    one, other = QuantileSummary.of(first, q), QuantileSummary.of(second, q)
    there, back = quantile_difference(one, other), quantile_difference(other, one)
    assert back.estimate == -there.estimate
    assert back.p_value == there.p_value
    assert back.p_greater == there.p_less
    assert back.interval.low == -there.interval.high
    assert 0 <= there.p_value <= 1
    assert msgspec.json.decode(msgspec.json.encode(there), type=Effect) == there
    assert msgspec.json.decode(msgspec.json.encode(one), type=QuantileSummary) == one


def test_the_difference_is_tested_as_by_welch():
    arms = [QuantileSummary.of(rng, 0.5) for rng in (range(0, 40, 4), range(5, 65))]
    effect = quantile_difference(*arms, confidence=0.9)
    spreads = [arm.standard_error * math.sqrt(arm.n) for arm in arms]
    welch = stats.ttest_ind_from_stats(
        arms[1].value, spreads[1], arms[1].n, arms[0].value, spreads[0], arms[0].n, equal_var=False
    )
    assert (effect.statistic, effect.p_value) == pytest.approx((welch.statistic, welch.pvalue), rel=1e-9)
    assert effect.degrees_of_freedom == pytest.approx(
        sum(s**2 / a.n for s, a in zip(spreads, arms, strict=True)) ** 2
        / sum((s**2 / a.n) ** 2 / (a.n - 1) for s, a in zip(spreads, arms, strict=True))
    )
    assert effect.p_less == pytest.approx(1 - effect.p_greater)
    assert (effect.p_greater < 0.5) == (effect.estimate > 0)


def test_the_summary_takes_the_ranks_of_the_method():
    found = QuantileSummary.of(np.arange(1001.0), 0.5)
    reach = 1.959963984540054 * math.sqrt(0.25 / 1001) * 1000
    assert (found.n, found.value) == (1001, 500)
    assert found.at_lower_rank == pytest.approx(500 - reach)
    assert found.at_upper_rank == pytest.approx(500 + reach)
    assert found.standard_error == pytest.approx(math.sqrt(0.25 / 1001) * 1000 * math.sqrt(1000 / 1001))


@pytest.mark.parametrize(
    ("control", "treatment", "flag"),
    [
        ([], [1.0, 2.0, 3.0], "no_data"),
        ([5.0] * 50, [5.0] * 50, "all_equal"),
        ([5.0] * 50, [6.0] * 50, "no_variance"),
        ([5.0] * 50, list(range(50)), "no_variance"),
        ([1.0], [2.0], "no_variance"),
    ],
)
def test_data_that_decide_nothing_say_so(control, treatment, flag):
    for sketched in (False, True):
        effect = quantile_difference(*summaries(sketched, control, treatment))
        assert flag in effect.flags
        assert effect.p_value == 1
        assert math.isinf(effect.interval.high)


def test_too_few_numbers_for_the_ranks_are_told():
    assert QuantileSummary.of(range(10), 0.95).flags == ("too_few",)
    assert QuantileSummary.of(range(1000), 0.95).flags == ()


@given(st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=60), st.lists(st.floats(1e-3, 1e6), max_size=60), shares)
def test_arrays_and_sketches_count_the_same_above_a_frozen_threshold(control, batch, q):
    threshold = frozen_threshold(QuantileSketch.of(control), q)
    assert threshold == frozen_threshold(control, q)
    assert exceedance(QuantileSketch.of(batch), threshold) == exceedance(batch, threshold)
    exact = sorted(control)[math.floor(q * (len(control) - 1))]
    assert exact <= threshold <= exact * 1.016


def test_exceedance_counts_what_is_greater():
    assert exceedance([1.0, 2.0, 2.0, 3.0], 2.0) == Proportion(1, 4)
    assert exceedance([], 2.0) == Proportion(0, 0)


@pytest.mark.parametrize(
    "ask",
    [
        lambda: estimate([], 0.5),
        lambda: estimate([1.0, math.nan], 0.5),
        lambda: estimate([1.0], 0.0),
        lambda: estimate([1.0], 1.0),
        lambda: estimate([1.0], 0.5, confidence=1.0),
        lambda: QuantileSummary.of([1.0], math.nan),
        lambda: QuantileSummary(n=-1, value=0.0, at_lower_rank=0.0, at_upper_rank=0.0),
        lambda: QuantileSummary(n=5, value=0.0, at_lower_rank=1.0, at_upper_rank=0.0),
        lambda: QuantileSummary(n=5, value=math.nan, at_lower_rank=0.0, at_upper_rank=0.0),
        lambda: frozen_threshold([]),
        lambda: exceedance([math.inf], 1.0),
        lambda: exceedance([1.0], math.nan),
    ],
)
def test_bad_input_is_refused(ask):
    with pytest.raises(InvalidRequest):
        ask()
