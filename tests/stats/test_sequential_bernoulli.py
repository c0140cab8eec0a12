"""The Bernoulli e-process: its E against a root finder, its expectation by enumeration, and what must hold for any counts."""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.stats import binom

from chopmark.errors import InvalidRequest
from chopmark.stats.results import Interval
from chopmark.stats.sequential import BernoulliEProcess, bernoulli_p_values
from chopmark.stats.summaries import Proportion

STRENGTHS = (0.1, 0.2, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0)
WEIGHTS = (0.6, 1.0, 1.5, 1.5, 1.5, 1.0, 0.6, 0.3)

SHARES = st.sampled_from([0.001, 0.01, 0.1, 0.5, 0.9, 0.999])
ARMS = st.integers(0, 10**6).flatmap(lambda n: st.builds(Proportion, st.integers(0, n), st.just(n)))
BATCHES = st.lists(st.tuples(ARMS, ARMS), min_size=1, max_size=6)


def rates_of(baseline: float, share: float, effect: float) -> tuple[float, float]:
    def treatment(t0: float) -> float:
        return 1 / (1 + (1 - t0) / t0 * math.exp(-effect))

    t0 = brentq(lambda t: share * treatment(t) + (1 - share) * t - baseline, 1e-12, 1 - 1e-12, xtol=1e-15)
    return t0, treatment(t0)


def e_by_hand(baseline: float, share: float, control: Proportion, treatment: Proportion) -> float:
    total = 0.0
    for sign in (1, -1):
        for strength, weight in zip(STRENGTHS, WEIGHTS, strict=True):
            t0, t1 = rates_of(baseline, share, sign * strength)
            total += (
                weight
                / (2 * sum(WEIGHTS))
                * (t0 / baseline) ** control.successes
                * ((1 - t0) / (1 - baseline)) ** control.failures
                * (t1 / baseline) ** treatment.successes
                * ((1 - t1) / (1 - baseline)) ** treatment.failures
            )
    return total


def observed(test: BernoulliEProcess, batches: list[tuple[Proportion, Proportion]]) -> BernoulliEProcess:
    for control, treatment in batches:
        test = test.observe(control, treatment)
    return test


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.8])
@pytest.mark.parametrize("seed", [0.5, 0.95, 0.999, 0.02])
def test_e_is_the_mixture_of_likelihood_ratios(share: float, seed: float) -> None:
    control, treatment = Proportion(60, 64), Proportion(20, 25)
    test = BernoulliEProcess(share, baseline=seed).observe(control, treatment)
    baseline = (20 * seed + 0.5) / 21
    assert test.log_e == pytest.approx(math.log(e_by_hand(baseline, share, control, treatment)), abs=1e-9)


def test_the_baseline_of_a_batch_is_the_rate_before_it_and_of_the_first_its_own() -> None:
    first, second = (Proportion(9, 10), Proportion(7, 10)), (Proportion(30, 40), Proportion(31, 40))
    once = BernoulliEProcess(0.5).observe(*first)
    assert math.exp(once.log_e) == pytest.approx(e_by_hand(16.5 / 21, 0.5, *first))
    plain = BernoulliEProcess(0.5, baseline=16 / 20).observe(*second)  # 20 records of a seed are 20 records
    gained = np.array(once.observe(*second).log_e_by_effect) - np.array(once.log_e_by_effect)
    assert gained == pytest.approx(np.array(plain.log_e_by_effect))


@settings(max_examples=60)
@given(
    st.integers(0, 9),
    st.integers(0, 9),
    st.floats(0.01, 0.99),
    st.sampled_from([None, 0.0, 0.3, 0.95, 1.0]),
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 5), st.integers(0, 5)), max_size=2),
)
def test_over_the_random_arm_e_has_expectation_one_whatever_the_outcomes(
    successes: int, failures: int, share: float, seed: float | None, past: list[tuple[int, int, int, int]]
) -> None:
    if not successes + failures:
        return
    before = BernoulliEProcess(share, baseline=seed)
    for a, b, c, d in past:
        before = before.observe(Proportion(a, a + b), Proportion(c, c + d))
    mean = 0.0
    for i in range(successes + 1):
        for j in range(failures + 1):
            chance = binom.pmf(i, successes, share) * binom.pmf(j, failures, share)
            treatment, control = Proportion(i, i + j), Proportion(successes - i, successes + failures - i - j)
            mean += chance * math.exp(before.observe(control, treatment).log_e - before.log_e)
    assert mean == pytest.approx(1.0, abs=1e-9)


@given(BATCHES, SHARES, st.sampled_from([None, 0.0, 0.5, 0.97, 1.0]))
def test_for_any_counts_p_never_rises_and_nothing_is_nan(
    batches: list[tuple[Proportion, Proportion]], share: float, seed: float | None
) -> None:
    test = BernoulliEProcess(share, baseline=seed)
    for batch in batches:
        following = test.observe(*batch)
        assert 0.0 <= following.p_value <= test.p_value <= 1.0
        assert following.decided == (following.p_value <= 0.05)
        interval = following.interval
        assert -1.0 <= interval.low <= interval.high <= 1.0
        assert following.decided or 0.0 in interval
        assert math.isfinite(following.log_e)
        test = following


@given(BATCHES, SHARES)
def test_swapped_arms_mirror_the_answer(batches: list[tuple[Proportion, Proportion]], share: float) -> None:
    test = observed(BernoulliEProcess(share), batches)
    swapped = observed(BernoulliEProcess(1 - share), [(t, c) for c, t in batches])
    assert swapped.p_value == pytest.approx(test.p_value, rel=1e-6, abs=1e-300)
    assert swapped.interval.low == pytest.approx(-test.interval.high, abs=1e-9)
    assert swapped.interval.high == pytest.approx(-test.interval.low, abs=1e-9)


@given(BATCHES, SHARES)
def test_json_between_batches_changes_nothing(batches: list[tuple[Proportion, Proportion]], share: float) -> None:
    test = stored = BernoulliEProcess(share, alpha=0.01, baseline=0.9)
    for batch in batches:
        test = test.observe(*batch)
        stored = msgspec.json.decode(msgspec.json.encode(stored), type=BernoulliEProcess).observe(*batch)
    assert stored == test


@given(BATCHES, SHARES)
def test_many_experiments_at_once_are_the_same_arithmetic(
    batches: list[tuple[Proportion, Proportion]], share: float
) -> None:
    s0, n0, s1, n1 = (
        [list(row)] * 2 for row in zip(*((c.successes, c.n, t.successes, t.n) for c, t in batches), strict=True)
    )
    p_values = bernoulli_p_values(s0, n0, s1, n1, share)
    test = BernoulliEProcess(share)
    for k, batch in enumerate(batches):
        test = test.observe(*batch)
        assert p_values[:, k] == pytest.approx(test.p_value, rel=1e-9, abs=1e-300)


def test_observing_changes_only_the_next_value() -> None:
    before = BernoulliEProcess(0.5)
    after = before.observe(Proportion(90, 100), Proportion(50, 100))
    assert after.decided
    assert after.interval.high < 0
    assert before == BernoulliEProcess(0.5)
    assert after.observe(Proportion(), Proportion()) == after


@pytest.mark.parametrize("counts", [(50, 50), (0, 30), (100_000, 100_000)])
@pytest.mark.parametrize("seed", [None, 0.9])
def test_equal_outcomes_decide_nothing(counts: tuple[int, int], seed: float | None) -> None:
    test = BernoulliEProcess(0.5, baseline=seed).observe(Proportion(*counts), Proportion(*counts))
    assert (test.p_value, test.decided, test.flags) == (1.0, False, ("all_equal",))
    assert 0.0 in test.interval
    # nor where the arms are not what the share says, which is another test's affair
    lopsided = BernoulliEProcess(0.9, baseline=0.5).observe(Proportion(*counts), Proportion(*counts))
    assert lopsided.log_e > 3
    assert (lopsided.p_value, lopsided.flags) == (1.0, ("all_equal",))


def test_an_empty_arm_decides_nothing() -> None:
    test = BernoulliEProcess(0.5, baseline=0.95).observe(Proportion(100, 300), Proportion())
    assert (test.p_value, test.flags) == (1.0, ("no_data",))
    assert BernoulliEProcess(0.5).interval.low == -1.0
    assert BernoulliEProcess(0.5).flags == ("no_data",)


def test_the_share_of_the_batch_counts_while_a_rollout_is_ramped_up() -> None:
    """A rate that falls while treatment grows: whoever adds up the arms sees a difference that is not there."""
    quiet, busy = (Proportion(9_405, 9_900), Proportion(95, 100)), (Proportion(4_000, 5_000), Proportion(4_000, 5_000))
    told = BernoulliEProcess(0.5).observe(*quiet, treatment_share=0.01).observe(*busy, treatment_share=0.5)
    assert told.p_value > 0.5
    assert abs(told.differences.estimate) < 0.01
    control, treatment = quiet[0] + busy[0], quiet[1] + busy[1]
    assert treatment.rate - control.rate < -0.09


def test_the_interval_lies_around_the_difference_and_narrows() -> None:
    test, widths = BernoulliEProcess(0.2), []
    for _ in range(4):
        test = test.observe(Proportion(7_200, 8_000), Proportion(1_880, 2_000))
        assert test.interval.low < 0.04 < test.interval.high
        widths.append(test.interval.high - test.interval.low)
    assert widths == sorted(widths, reverse=True)
    assert test.decided
    assert test.interval.low > 0


def test_the_interval_by_hand() -> None:
    """Four records at a share of 1/4 and a baseline of 1/2: (A - π)(Y - b), its squares, and two records more in each arm."""
    test = BernoulliEProcess(0.25, baseline=0.5).observe(Proportion(1, 3), Proportion(1, 1))
    b = 0.5  # (20 · 0.5 + 0.5) / 21
    scores = [0.75 * (1 - b), -0.25 * (1 - b), -0.25 * (0 - b), -0.25 * (0 - b)]
    squares = sum(score**2 for score in scores)
    expected = 4 * 0.25 * 0.75 * b * b
    variance = max(squares, squares / 3 + 2 * expected / 3) + 2 * (0.75**2 + 0.25**2)
    level = -2 * math.log(0.9)
    rho = 40 / (level + math.log1p(level))
    reach = math.sqrt((variance + rho) * math.log((variance + rho) / (rho * 0.9**2)))
    assert test.differences.variance == pytest.approx(variance)
    assert test.differences.estimate == pytest.approx(sum(scores) / (4 * 0.25 * 0.75))
    interval = test.differences.interval(0.9)
    assert interval.high == pytest.approx(min(1.0, (sum(scores) + reach) / 0.75))
    assert interval.low == pytest.approx(max(-1.0, (sum(scores) - reach) / 0.75))


def test_the_interval_leaves_zero_out_once_decided_while_the_estimate_stays_there() -> None:
    test = BernoulliEProcess(0.5, baseline=0.9).observe(Proportion(820, 1_000), Proportion(900, 1_000))
    assert test.decided
    test = test.observe(Proportion(905, 1_000), Proportion(885, 1_000))
    assert test.differences.interval(0.05).low < 0 < test.differences.estimate
    assert test.interval.is_above(0)
    assert test.interval == Interval(0.0, test.differences.interval(0.05).high, excludes_zero=True)
    reversed_ = test.observe(Proportion(900, 1_000), Proportion(830, 1_000))
    assert reversed_.decided
    assert 0.0 in reversed_.interval


def test_enormous_counts() -> None:
    n = 10**12
    test = BernoulliEProcess(0.5).observe(Proportion(n - 10**6, n), Proportion(n, n))
    assert test.decided
    assert test.interval.low > 0.9e-6
    assert test.interval.high < 1.1e-6


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 1.5, math.nan, math.inf, True, "half"])
def test_a_share_is_between_0_and_1(share: float) -> None:
    with pytest.raises(InvalidRequest):
        BernoulliEProcess(share)
    test = BernoulliEProcess(0.5)
    with pytest.raises(InvalidRequest):
        test.observe(Proportion(1, 2), Proportion(1, 2), treatment_share=share)
    assert test == BernoulliEProcess(0.5)


@pytest.mark.parametrize("bad", [-0.1, 1.1, math.nan, math.inf])
def test_bad_parameters_are_refused(bad: float) -> None:
    with pytest.raises(InvalidRequest):
        BernoulliEProcess(0.5, alpha=bad)
    with pytest.raises(InvalidRequest):
        BernoulliEProcess(0.5, baseline=bad)
