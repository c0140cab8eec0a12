"""Means and shares of events at every look, against scipy and by what must hold for any numbers."""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.special import betaln

from chopmark.errors import InvalidRequest
from chopmark.stats.sequential import EventShare, MeanSequence, asymptotic_sequence, mean_p_values, share_log_e
from chopmark.stats.sequential.means import _normal_squared, _student_squared
from chopmark.stats.summaries import Exposures, Mean

NUMBERS = st.floats(-1e6, 1e6)
MEANS = st.builds(Mean, st.integers(1, 10**6), NUMBERS, st.floats(0, 1e9))
BATCHES = st.lists(st.tuples(MEANS, MEANS), min_size=1, max_size=5)


@pytest.mark.parametrize("freedom", [30, 100, 248, 5_000, 1e7])
@pytest.mark.parametrize("t", [0.5, 2.0, 3.5, 5.0])
def test_the_normal_deviate_is_as_far_in_its_tail(freedom: float, t: float) -> None:
    expected = stats.norm.isf(stats.t.sf(t, freedom))
    assert math.sqrt(_normal_squared(t * t, freedom)) == pytest.approx(expected, rel=1e-3)
    assert _student_squared(_normal_squared(t * t, freedom), freedom) == pytest.approx(t * t, rel=1e-9)


def test_many_records_give_the_asymptotic_sequence_of_the_paper() -> None:
    control, treatment = Mean.from_deviation(60_000, 3.0, 2.0), Mean.from_deviation(60_000, 3.02, 2.1)
    test = MeanSequence(0.05, 50_000).observe(control, treatment)
    error = math.sqrt(control.variance / control.n + treatment.variance / treatment.n)
    plain = asymptotic_sequence(0.02, error, 120_000, 50_000, 0.05)
    assert test.p_value == pytest.approx(plain.p_value, rel=1e-3)
    assert test.interval.low == pytest.approx(plain.interval.low, abs=1e-5)
    assert test.interval.high == pytest.approx(plain.interval.high, abs=1e-5)


def test_the_larger_variance_counts() -> None:
    """A canary that has not seen the tail yet is not believed; nor is a small arm that spreads more averaged away."""
    wide, narrow = Mean.from_deviation(20_000, 5.0, 10.0), Mean.from_deviation(400, 5.6, 1.0)
    test = MeanSequence(0.05, 20_000).observe(wide, narrow)
    assert (test.interval.high - test.interval.low) / 2 > 2.5 * 10.0 / math.sqrt(400)
    other = MeanSequence(0.05, 20_000).observe(
        Mean.from_deviation(20_000, 5.0, 1.0), Mean.from_deviation(400, 5.6, 10.0)
    )
    assert (other.interval.high - other.interval.low) / 2 > 2.5 * 10.0 / math.sqrt(400)


@pytest.mark.parametrize(
    ("control", "treatment", "flag"),
    [
        (Mean(), Mean.of([1.0, 2.0]), "no_data"),
        (Mean.from_deviation(249, 0.0, 1.0), Mean.from_deviation(9_000, 9.0, 1.0), "too_few"),
        (Mean(500, 2.0, 0.0), Mean(500, 2.0, 0.0), "all_equal"),
        (Mean(500, 2.0, 0.0), Mean(500, 3.0, 0.0), "no_variance"),
        (Mean(500, 0.1, 1e-32), Mean(500, 0.1 + 1e-16, 2e-32), "all_equal"),  # what rounding leaves of equal values
        (Mean(500, 0.0, 0.0), Mean(500, 1.0, 5e-324), "no_variance"),
    ],
)
def test_nothing_is_said_without_grounds(control: Mean, treatment: Mean, flag: str) -> None:
    test = MeanSequence(0.05, 1_000).observe(control, treatment)
    assert (test.p_value, test.decided, test.flags) == (1.0, False, (flag,))
    assert (test.interval.low, test.interval.high) == (-math.inf, math.inf)


def test_with_the_least_number_in_each_arm_it_speaks() -> None:
    test = MeanSequence(0.05, 1_000).observe(Mean.from_deviation(250, 0.0, 1.0), Mean.from_deviation(250, 1.0, 1.0))
    assert (test.decided, test.flags) == (True, ())


def test_arms_that_hardly_vary() -> None:
    test = MeanSequence(0.05, 1_000).observe(Mean(500, 1.0, 1e-18), Mean(500, 2.0, 1e-18))
    assert (test.decided, test.flags) == (True, ())
    assert 1.0 - 1e-6 < test.interval.low <= test.interval.high < 1.0 + 1e-6


def test_even_one_record_in_an_arm_is_survived() -> None:
    test = MeanSequence(0.05, 1_000, min_per_arm=0).observe(Mean(1, 5.0, 0.0), Mean(900, 1.0, 3.0))
    assert test.flags == ("too_few",)
    assert MeanSequence(0.05, 1_000, min_per_arm=0).observe(Mean(2, 5.0, 0.1), Mean(2, 1.0, 3.0)).p_value <= 1.0


@given(BATCHES, st.sampled_from([0.001, 0.05, 0.4]))
def test_for_any_numbers_p_never_rises_and_the_interval_agrees(batches: list[tuple[Mean, Mean]], alpha: float) -> None:
    test = MeanSequence(alpha, 10_000)
    swapped, stored = test, test
    for control, treatment in batches:
        following = test.observe(control, treatment)
        assert 0.0 <= following.p_value <= test.p_value
        interval = following.interval
        assert interval.low <= following.estimate <= interval.high or following.flags
        assert following.decided or 0.0 in interval
        test, swapped = following, swapped.observe(treatment, control)
        stored = msgspec.json.decode(msgspec.json.encode(stored), type=MeanSequence).observe(control, treatment)
        assert swapped.p_value == test.p_value
        assert (swapped.interval.low, swapped.interval.high) == (-interval.high, -interval.low)
    assert stored == test


def test_the_look_that_decides_leaves_zero_out() -> None:
    """P and interval are two sides of one inequality: where p is alpha the interval ends at 0."""
    for shift in np.linspace(0.05, 0.2, 60):
        test = MeanSequence(0.05, 4_000).observe(
            Mean.from_deviation(2_000, 0.0, 1.0), Mean.from_deviation(2_000, shift, 1.2)
        )
        half = (test.interval.high - test.interval.low) / 2
        assert (test.estimate > half) == test.decided


def test_batches_or_all_at_once() -> None:
    values = np.random.default_rng(3).normal(size=(2, 4_000))
    parts = MeanSequence(0.05, 8_000)
    for k in range(0, 4_000, 500):
        parts = parts.observe(Mean.of(values[0, k : k + 500]), Mean.of(values[1, k : k + 500]))
    whole = MeanSequence(0.05, 8_000).observe(Mean.of(values[0]), Mean.of(values[1]))
    assert parts.interval.low == pytest.approx(whole.interval.low, rel=1e-9)
    assert parts.p_value <= whole.p_value


def test_many_experiments_at_once_are_the_same_arithmetic() -> None:
    random = np.random.default_rng(8)
    values = random.lognormal(size=(3, 2, 20, 60))
    test = [MeanSequence(0.1, 2_000, 150) for _ in range(3)]
    looks = np.zeros((3, 20, 6))
    expected = np.zeros((3, 20))
    for k in range(20):
        for run in range(3):
            test[run] = test[run].observe(Mean.of(values[run, 0, k]), Mean.of(values[run, 1, k]))
            c, t = test[run].control, test[run].treatment
            looks[run, k] = (c.n, c.mean, c.m2, t.n, t.mean, t.m2)
            expected[run, k] = test[run].p_value
    found = mean_p_values(*np.moveaxis(looks, -1, 0), alpha=0.1, planned_n=2_000, min_per_arm=150)
    assert found == pytest.approx(expected, rel=1e-12)
    assert (found[:, :2] == 1.0).all()
    assert (found[:, 3:] < 1.0).any()


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_bad_parameters_are_refused(bad: float) -> None:
    with pytest.raises(InvalidRequest):
        MeanSequence(bad, 100)
    with pytest.raises(InvalidRequest):
        MeanSequence(0.05, bad)
    with pytest.raises(InvalidRequest):
        MeanSequence(0.05, 100, min_per_arm=-1)


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.floats(0.01, 0.99), st.floats(0.5, 1e4))
def test_two_shares_are_the_beta_binomial(a: int, b: int, share: float, k: float) -> None:
    expected = betaln(k * share + a, k * (1 - share) + b) - betaln(k * share, k * (1 - share))
    expected -= a * math.log(share) + b * math.log(1 - share)
    assert share_log_e((a, b), (share, 1 - share), k) == pytest.approx(expected, rel=1e-9, abs=1e-6)
    assert share_log_e((b, a), (1 - share, share), k) == pytest.approx(expected, rel=1e-9, abs=1e-6)


def test_the_e_value_of_three_shares_has_expectation_one() -> None:
    shares, n = (0.5, 0.3, 0.2), 7
    mean = sum(
        stats.multinomial.pmf((a, b, n - a - b), n, shares) * math.exp(share_log_e((a, b, n - a - b), shares, 9.0))
        for a in range(n + 1)
        for b in range(n + 1 - a)
    )
    assert mean == pytest.approx(1.0, abs=1e-12)


COUNTS = st.fixed_dictionaries({"a": st.integers(0, 10**5), "b": st.integers(0, 10**5), "c": st.integers(0, 10**5)})


@given(st.lists(COUNTS, min_size=1, max_size=5))
def test_batches_of_events_only_add_up(batches: list[dict[str, int]]) -> None:
    shares = {"a": 0.2, "b": 0.3, "c": 0.5}
    check = EventShare(shares)
    for batch in batches:
        following = check.observe(Exposures(batch))
        assert 0.0 <= following.p_value <= check.p_value
        check = msgspec.json.decode(msgspec.json.encode(following), type=EventShare)
        assert check == following
    whole = EventShare(shares).observe(sum((Exposures(b) for b in batches), Exposures()))
    assert check.log_e == pytest.approx(whole.log_e, rel=1e-12)
    assert check.p_value <= whole.p_value * (1 + 1e-9)


def test_a_wrong_sample_ratio_is_found_and_a_right_one_is_not() -> None:
    check = EventShare({"control": 0.5, "treatment": 0.5})
    assert not check.observe(Exposures({"control": 50_100, "treatment": 49_900})).decided
    assert check.observe(Exposures({"control": 51_000, "treatment": 49_000})).decided
    assert check.flags == ("no_data",)
    assert check.p_value == 1.0


def test_shares_may_change_and_the_evidence_is_kept() -> None:
    first, second = {"control": 0.99, "treatment": 0.01}, {"control": 0.5, "treatment": 0.5}
    check = EventShare(first).observe(Exposures({"control": 9_850, "treatment": 150}))
    after = check.observe(Exposures({"control": 500, "treatment": 500}), shares=second)
    alone = EventShare(second).observe(Exposures({"control": 500, "treatment": 500}))
    assert after.log_e == pytest.approx(check.log_e + alone.log_e)
    assert after.events == 11_000
    assert after.observe(Exposures({"control": 1}), shares=second).log_e_before == after.log_e_before


@pytest.mark.parametrize(
    "shares", [{"a": 1.0}, {"a": 0.5, "b": 0.4}, {"a": 0.0, "b": 1.0}, {}, {"a": math.nan, "b": 0.5}]
)
def test_shares_sum_to_one(shares: dict[str, float]) -> None:
    with pytest.raises(InvalidRequest):
        EventShare(shares)
    check = EventShare({"a": 0.5, "b": 0.5})
    with pytest.raises(InvalidRequest):
        check.observe(Exposures({"a": 1}), shares=shares)
    with pytest.raises(InvalidRequest):
        check.observe(Exposures({"x": 1}))
