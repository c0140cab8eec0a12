"""Means, ratios and CUPED against scipy (a test dependency only), regressions by numpy, and for any numbers."""

import math
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from chopmark.errors import InvalidRequest
from chopmark.stats.means import CupedEffect, cuped_slope, cuped_test, ratio_test, ratio_variance, welch_test
from chopmark.stats.readings import linearised
from chopmark.stats.results import Effect
from chopmark.stats.summaries import Cuped, Mean, Ratio

sizes = st.integers(0, 3) | st.integers(2, 10**8)
numbers = st.floats(-1e150, 1e150) | st.floats(-100, 100)
means = st.builds(
    Mean,
    sizes,
    numbers | st.sampled_from([5e-324, 1e-200, 0.0]),
    st.sampled_from([0.0]) | st.floats(0, 1e300) | st.floats(0, 1e4),
)


@given(st.integers(0, 10**6), st.integers(2, 60), st.integers(2, 60), st.sampled_from([0.8, 0.95, 0.99]))
def test_welch_is_scipys(seed: int, n: int, m: int, confidence: float) -> None:
    random = np.random.default_rng(seed)
    control, treatment = random.normal(3, 2, n), random.exponential(3.5, m)
    effect = welch_test(Mean.of(control), Mean.of(treatment), confidence=confidence)
    expected = stats.ttest_ind(treatment, control, equal_var=False)
    assert effect.statistic == pytest.approx(expected.statistic, rel=1e-9, abs=1e-12)
    assert effect.degrees_of_freedom == pytest.approx(expected.df, rel=1e-9)
    assert effect.p_value == pytest.approx(expected.pvalue, rel=1e-7)
    assert effect.p_greater == pytest.approx(
        stats.ttest_ind(treatment, control, equal_var=False, alternative="greater").pvalue, rel=1e-7
    )
    interval = expected.confidence_interval(confidence)
    assert (effect.interval.low, effect.interval.high) == pytest.approx(
        (interval.low, interval.high), rel=1e-7, abs=1e-9
    )


@given(means, means, st.booleans())
def test_any_numbers_have_an_answer(control: Mean, treatment: Mean, is_relative: bool) -> None:
    effect = welch_test(control, treatment, is_relative=is_relative)
    assert 0 <= effect.p_value <= 1
    assert msgspec.json.decode(msgspec.json.encode(effect), type=Effect) == effect
    assert effect.estimate in effect.interval
    if effect.flags:
        assert (effect.p_value, effect.p_greater, effect.p_less, effect.statistic) == (1, 1, 1, 0)
        assert effect.interval.low == -math.inf
    else:
        assert effect.standard_error > 0
        assert effect.degrees_of_freedom is not None
        assert min(control.n, treatment.n) - 1 <= effect.degrees_of_freedom * (1 + 1e-9)
        assert effect.degrees_of_freedom <= (control.n + treatment.n - 2) * (1 + 1e-9)


@given(means, means)
def test_swapping_the_arms_turns_the_sign(control: Mean, treatment: Mean) -> None:
    one, other = welch_test(control, treatment), welch_test(treatment, control)
    assert one.estimate == -other.estimate
    assert one.statistic == -other.statistic
    assert one.p_value == other.p_value
    assert one.p_greater == other.p_less
    assert one.flags == other.flags


def test_degenerate_means() -> None:
    constant = Mean.of([2.0] * 20)
    assert welch_test(constant, constant).flags == ("no_variance", "all_equal")
    apart = welch_test(constant, Mean.of([3.0] * 20))
    assert (apart.p_value, apart.flags, apart.estimate) == (1.0, ("no_variance",), 1.0)
    assert welch_test(Mean.of([1.0]), constant).flags == ("too_few",)
    assert welch_test(Mean(), constant).flags == ("no_data",)
    assert welch_test(constant, Mean()).p_value == 1.0
    one_sided = welch_test(constant, Mean.of([2.0, 3.0, 4.0]))  # the other arm varies, and Welch's test can go on
    assert one_sided.flags == ()
    assert one_sided.degrees_of_freedom == pytest.approx(2)


def test_what_rounding_left_is_no_difference() -> None:
    """Sums of the same constant in other orders differ in their last digits, as does their spread."""
    parts = [Mean.of([0.1] * k) for k in (3, 7, 11, 13, 1_000, 77)]
    forward, backward = Mean(), Mean()
    for part in parts:
        forward += part
    for part in reversed(parts):
        backward += part
    drifted = Mean(1_000, math.nextafter(0.1, 1), 1e-31)
    for control, treatment in ((forward, backward), (forward, drifted), (Mean(1_000, 0.1, 0.0), drifted)):
        effect = welch_test(control, treatment)
        assert effect.p_value == 1.0
        assert effect.flags == ("no_variance", "all_equal")


def test_relative_by_hand() -> None:
    control, treatment = Mean(100, 10.0, 99 * 4.0), Mean(400, 11.0, 399 * 9.0)
    effect = welch_test(control, treatment, is_relative=True)
    assert effect.estimate == pytest.approx(0.1)
    assert effect.standard_error**2 == pytest.approx(9 / 400 / 100 + 4 / 100 * 121 / 10_000)
    assert effect.degrees_of_freedom == welch_test(control, treatment).degrees_of_freedom
    below_zero = welch_test(Mean(100, -10.0, 99 * 4.0), Mean(400, -9.0, 399 * 9.0), is_relative=True)
    assert below_zero.estimate == pytest.approx(0.1)  # larger is larger, whatever the control's sign
    for mean in (0.0, 5e-324, -1e-310):
        next_to_nothing = welch_test(Mean(100, mean, 400.0), treatment, is_relative=True)
        assert (next_to_nothing.flags, next_to_nothing.p_value) == (("no_baseline",), 1.0)


@given(st.integers(0, 10**6))
def test_a_ratio_of_ones_is_a_mean(seed: int) -> None:
    random = np.random.default_rng(seed)
    control, treatment = random.normal(2, 1, 40), random.normal(2.5, 1, 30)
    ones = [Ratio.of(values, np.ones(len(values))) for values in (control, treatment)]
    for is_relative in (False, True):
        one = ratio_test(*ones, is_relative=is_relative)
        other = welch_test(Mean.of(control), Mean.of(treatment), is_relative=is_relative)
        assert msgspec.structs.astuple(one)[:6] == pytest.approx(msgspec.structs.astuple(other)[:6], rel=1e-9)


def test_the_variance_of_a_ratio_is_that_of_the_residuals() -> None:
    random = np.random.default_rng(3)
    requests = random.poisson(5, 200) + 1.0
    cost = requests * 0.02 + random.normal(0, 0.03, 200)
    ratio = Ratio.of(cost, requests)
    residuals = cost - ratio.ratio * requests
    assert ratio_variance(ratio) == pytest.approx(residuals.var(ddof=1) / requests.mean() ** 2)


def test_the_delta_method_is_right_about_its_error() -> None:
    """Users with their own rates: the error of the difference in 2,000 experiments is the one that is told."""
    random = np.random.default_rng(5)
    estimates, errors = [], []
    for _ in range(2_000):
        arms = []
        for _ in range(2):
            users = random.poisson(6, 300) + 1.0
            arms.append(Ratio.of(random.binomial(users.astype(int), random.beta(2, 8, 300)), users))
        effect = ratio_test(*arms)
        estimates.append(effect.estimate)
        errors.append(effect.standard_error)
    assert np.std(estimates) == pytest.approx(np.mean(errors), rel=0.05)
    naive = math.sqrt(2 * 0.2 * 0.8 / (300 * 7))
    assert np.mean(errors) > 1.2 * naive  # what taking requests for units would have told


def test_an_empty_denominator_is_no_data() -> None:
    empty = Ratio.of([1.0, 2.0], [0.0, 0.0])
    assert ratio_variance(empty) == 0.0
    assert ratio_test(empty, Ratio.of([1.0, 2.0], [1.0, 3.0])).flags == ("no_data",)


@given(st.integers(0, 10**6))
def test_theta_is_the_slope_over_both_arms(seed: int) -> None:
    random = np.random.default_rng(seed)
    x = [random.normal(5, 2, n) for n in (50, 80)]
    y = [0.7 * values + random.normal(shift, 1, len(values)) for shift, values in zip((0, 0.5), x, strict=True)]
    control, treatment = (Cuped.of(*pair) for pair in zip(y, x, strict=True))
    found = cuped_test(control, treatment)
    theta = np.polyfit(np.concatenate(x), np.concatenate(y), 1)[0]
    assert found.theta == pytest.approx(theta, rel=1e-9)
    adjusted = [Mean.of(outcome - theta * before) for outcome, before in zip(y, x, strict=True)]
    expected = welch_test(*adjusted)
    assert msgspec.structs.astuple(found.effect)[:6] == pytest.approx(msgspec.structs.astuple(expected)[:6], rel=1e-7)
    assert found.unadjusted.estimate == pytest.approx(y[1].mean() - y[0].mean())
    expected_reduction = 1 - (expected.standard_error / found.unadjusted.standard_error) ** 2
    assert found.variance_reduction == pytest.approx(expected_reduction, rel=1e-7)
    assert msgspec.json.decode(msgspec.json.encode(found), type=CupedEffect) == found


def test_what_was_known_before_and_does_not_vary_changes_nothing() -> None:
    control, treatment = Cuped.of([1.0, 2.0, 4.0], [3.0] * 3), Cuped.of([2.0, 5.0, 4.0], [3.0] * 3)
    found = cuped_test(control, treatment)
    assert found.theta == found.variance_reduction == 0.0
    assert found.effect == found.unadjusted
    nothing = cuped_test(Cuped(), Cuped())
    assert nothing.effect.flags == ("no_data",)
    assert cuped_test(Cuped.of([1.0], [2.0]), treatment).effect.flags == ("too_few",)


def test_rounding_of_what_does_not_vary_takes_no_effect_away() -> None:
    """Merged constants differ in their last digits between the arms: a slope through those would be the effect itself."""
    y = np.random.default_rng(1).normal(0, 1, (2, 50))
    control, treatment = Cuped.of(y[0], [0.1] * 50), Cuped.of(y[1] + 3, [0.1] * 50)
    drifted = msgspec.structs.replace(treatment, mean_x=math.nextafter(treatment.mean_x, 1))
    found = cuped_test(control, drifted)
    assert found.theta == 0.0
    assert found.effect == found.unadjusted
    with pytest.raises(InvalidRequest, match="varies too little"):
        cuped_test(Cuped(2, 0.0, 0.0, 1e300, 1e-300, 1e10), Cuped(2, 0.0, 0.0, 1.0, 0.0, 0.0))


def test_what_is_next_to_nothing_before_is_linearised_without_it() -> None:
    """The sequential test takes the same slope: one through the rounding of constants would be the effect itself."""
    y = np.random.default_rng(1).normal(0, 1, (2, 50))
    control, treatment = Cuped.of(y[0], [0.1] * 50), Cuped.of(y[1] + 3, [0.1] * 50)
    drifted = msgspec.structs.replace(treatment, mean_x=math.nextafter(treatment.mean_x, 1))
    assert linearised(control, drifted) == (
        Mean(50, control.mean_y, control.m2_y),
        Mean(50, drifted.mean_y, drifted.m2_y),
    )


@given(st.integers(0, 10**6), st.sampled_from([0.0, 1e6, -1e9]))
def test_the_means_of_the_sequential_test_are_those_of_the_fixed_one(seed: int, level: float) -> None:
    random = np.random.default_rng(seed)
    x = [random.normal(level, 2, n) for n in (50, 80)]
    y = [0.7 * (values - level) + random.normal(0, 1, len(values)) for values in x]
    control, treatment = (Cuped.of(*pair) for pair in zip(y, x, strict=True))
    adjusted, found = welch_test(*linearised(control, treatment)), cuped_test(control, treatment).effect
    assert adjusted == found
    both = np.concatenate([*x])
    by_rows = [
        outcome - cuped_slope(control, treatment) * (before - both.mean()) for outcome, before in zip(y, x, strict=True)
    ]
    assert found.estimate == pytest.approx(by_rows[1].mean() - by_rows[0].mean(), rel=1e-6, abs=1e-6)
    first = linearised(control, treatment)[0]
    assert first.mean == pytest.approx(by_rows[0].mean(), rel=1e-6, abs=1e-6)  # near the outcome, however large x is
    ratios = Ratio.of(y[0], np.abs(x[0]) + 1), Ratio.of(y[1], np.abs(x[1]) + 1)
    assert welch_test(*linearised(*ratios)) == ratio_test(*ratios)


def test_tiny_denominators_make_a_ratio_as_long_as_a_float_holds_it() -> None:
    random = np.random.default_rng(4)
    y, x = random.normal(1, 0.1, (2, 50)), random.normal(3, 0.1, (2, 50))
    plain = ratio_test(*(Ratio.of(*pair) for pair in zip(y, x, strict=True)))
    tiny = ratio_test(*(Ratio.of(*pair) for pair in zip(y * 1e-150, x * 1e-150, strict=True)))
    assert (tiny.estimate, tiny.p_value) == pytest.approx((plain.estimate, plain.p_value))
    same = Ratio(50, 1e-165, 1e-165, 1e-300, 0.0, 0.0)  # x̄² is nothing to a float
    assert ratio_variance(same) == pytest.approx(1e-300 / 49 / 1e-165 / 1e-165)
    for huge in (Ratio(50, 1.0, 1e-310, 1.0, 0.0, 0.0), Ratio(50, 1e200, 1e-100, 1e300, 1.0, 1e200)):
        with pytest.raises(InvalidRequest, match="too large"):
            ratio_test(same, huge)
    with pytest.raises(InvalidRequest, match="too large"):
        cuped_test(Cuped(50, 0.0, 0.0, 1.0, 1e-290, 1e10), Cuped(50, 0.0, 0.0, 1.0, 0.0, 0.0))


def test_merged_batches_give_the_same_answer() -> None:
    random = np.random.default_rng(9)
    y, x = random.normal(1e6, 1, 500), random.normal(1e5, 1, 500)
    other = Cuped.of(random.normal(1e6, 1, 300), random.normal(1e5, 1, 300))
    whole = cuped_test(Cuped.of(y, x), other).effect
    parts = Cuped()
    for cut in range(0, 500, 77):
        parts = Cuped.of(y[cut : cut + 77], x[cut : cut + 77]) + parts
    merged = cuped_test(parts, other).effect
    assert merged.p_value == pytest.approx(whole.p_value, rel=1e-6)
    assert merged.estimate == pytest.approx(whole.estimate, rel=1e-7, abs=1e-8)


@pytest.mark.parametrize("confidence", [0.0, 1.0, math.nan, 95])
def test_what_is_no_confidence_is_refused(confidence) -> None:
    empty: list[tuple[Any, Any]] = [(welch_test, Mean), (ratio_test, Ratio), (cuped_test, Cuped)]
    for method, summary in empty:
        with pytest.raises(InvalidRequest, match="confidence"):
            method(summary(), summary(), confidence=confidence)


def test_means_beyond_all_numbers_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="too far apart"):
        welch_test(Mean(2, -1.7e308, 1.0), Mean(2, 1.7e308, 1.0))
