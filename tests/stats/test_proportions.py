"""Two proportions: by hand, from the papers' tables, by brute force, and for any counts."""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from chopmark.errors import InvalidRequest
from chopmark.stats.proportions import (
    agresti_caffo_interval,
    constrained_rates,
    difference,
    miettinen_nurminen_interval,
    newcombe_interval,
    score_bound,
    score_statistic,
    wald_interval,
    wilson_interval,
    z_test,
)
from chopmark.stats.results import Effect, Interval
from chopmark.stats.summaries import Proportion

INTERVALS = [wald_interval, agresti_caffo_interval, newcombe_interval, miettinen_nurminen_interval]


@st.composite
def proportions(draw: st.DrawFn, n_least: int = 0, n_most: int = 10**9) -> Proportion:
    n = draw(st.integers(n_least, 12) | st.integers(n_least, n_most))
    return Proportion(draw(st.sampled_from([0, n, n // 2]) | st.integers(0, n)), n)


def ends(interval: Interval) -> tuple[float, float]:
    return interval.low, interval.high


@given(proportions(1, 5_000), proportions(1, 5_000))
def test_the_square_of_z_is_pearsons_chi2(control: Proportion, treatment: Proportion) -> None:
    effect = z_test(control, treatment)
    both = control + treatment
    if not both.successes or not both.failures:
        assert (effect.p_value, effect.flags) == (1.0, ("all_equal",))
        return
    table = [[p.successes, p.failures] for p in (control, treatment)]
    expected = stats.chi2_contingency(table, correction=False)
    assert effect.statistic**2 == pytest.approx(expected.statistic, rel=1e-9, abs=1e-12)
    assert effect.p_value == pytest.approx(expected.pvalue, rel=1e-7, abs=1e-300)
    assert ("too_few" in effect.flags) == (expected.expected_freq.min() < 5)


def test_z_by_hand() -> None:
    # 40 of 100 and 60 of 100: z = 0.2 / √(0.5 · 0.5 · 2/100)
    effect = z_test(Proportion(40, 100), Proportion(60, 100), confidence=0.9)
    assert effect.statistic == pytest.approx(0.2 / math.sqrt(0.005))
    assert effect.estimate == pytest.approx(0.2)
    assert effect.p_value == pytest.approx(2 * effect.p_greater)
    assert effect.p_greater + effect.p_less == pytest.approx(1)
    assert effect.interval == newcombe_interval(Proportion(40, 100), Proportion(60, 100), confidence=0.9)
    assert effect.flags == ()


@given(proportions(), proportions())
def test_swapping_the_arms_turns_the_sign(control: Proportion, treatment: Proportion) -> None:
    one, other = z_test(control, treatment), z_test(treatment, control)
    assert one.estimate == -other.estimate
    assert one.statistic == pytest.approx(-other.statistic)
    assert one.p_value == pytest.approx(other.p_value)
    assert one.p_greater == pytest.approx(other.p_less, rel=1e-9)
    for interval in INTERVALS:
        there, back = interval(control, treatment), interval(treatment, control)
        assert ends(there) == pytest.approx((-back.high, -back.low), abs=1e-10)


@given(proportions(), proportions())
def test_failures_are_as_good_as_successes(control: Proportion, treatment: Proportion) -> None:
    turned = [Proportion(p.failures, p.n) for p in (control, treatment)]
    for interval in INTERVALS:
        there, back = interval(control, treatment), interval(*turned)
        assert ends(there) == pytest.approx((-back.high, -back.low), abs=1e-10)


@given(proportions(), proportions(), st.sampled_from([0.5, 0.8, 0.95, 0.999, 1 - 1e-12]))
def test_any_counts_have_an_answer(control: Proportion, treatment: Proportion, confidence: float) -> None:
    effect = z_test(control, treatment, confidence=confidence)
    assert 0 <= effect.p_value <= 1
    assert msgspec.json.decode(msgspec.json.encode(effect), type=Effect) == effect
    if not control.n or not treatment.n:
        assert effect.flags == ("no_data",)
        assert effect.p_value == 1
    for interval in INTERVALS:
        low, high = ends(interval(control, treatment, confidence=confidence))
        assert low <= high
        if interval is not agresti_caffo_interval:  # which is drawn towards 0
            assert low - 1e-12 <= difference(control, treatment) <= high + 1e-12
        if interval in {newcombe_interval, miettinen_nurminen_interval}:
            assert -1 <= low <= high <= 1


@given(proportions(), proportions())
def test_more_confidence_is_a_wider_interval(control: Proportion, treatment: Proportion) -> None:
    for interval in INTERVALS:
        narrow, wide = (interval(control, treatment, confidence=c) for c in (0.8, 0.99))
        assert wide.low <= narrow.low + 1e-12
        assert wide.high >= narrow.high - 1e-12


@pytest.mark.parametrize(
    ("control", "treatment", "score", "wilson"),
    [  # Newcombe (1998), table II: methods 6 (Miettinen and Nurminen) and 10 (hybrid Wilson)
        ((48, 80), (56, 70), (0.0528, 0.3382), (0.0524, 0.3339)),
        ((3, 10), (9, 10), (0.1700, 0.8406), (0.1705, 0.8090)),
        ((0, 20), (10, 10), (0.7156, 1.0000), (0.6791, 1.0000)),
    ],
)
def test_intervals_of_newcombes_table(control, treatment, score, wilson) -> None:
    arms = Proportion(*control), Proportion(*treatment)
    assert ends(miettinen_nurminen_interval(*arms)) == pytest.approx(score, abs=6e-5)
    assert ends(newcombe_interval(*arms)) == pytest.approx(wilson, abs=6e-5)


def test_wald_and_agresti_caffo_by_hand() -> None:
    z = stats.norm.ppf(0.975)
    arms = Proportion(2, 8), Proportion(6, 8)
    reach = z * math.sqrt(2 * 0.25 * 0.75 / 8)
    assert ends(wald_interval(*arms)) == pytest.approx((0.5 - reach, 0.5 + reach))
    reach = z * math.sqrt(2 * 0.3 * 0.7 / 10)
    assert ends(agresti_caffo_interval(*arms)) == pytest.approx((0.4 - reach, 0.4 + reach))


@given(proportions(1, 10**7), st.sampled_from([0.8, 0.95, 0.99]))
def test_wilson_is_what_z_does_not_reject(proportion: Proportion, confidence: float) -> None:
    interval = wilson_interval(proportion, confidence=confidence)
    z = stats.norm.ppf((1 + confidence) / 2)
    assert 0 <= interval.low <= proportion.rate <= interval.high <= 1
    for end in ends(interval):
        if 0 < end < 1:
            seen = (proportion.rate - end) ** 2 / (end * (1 - end) / proportion.n)
            assert seen == pytest.approx(z * z, rel=1e-5)


@given(proportions(1, 200), proportions(1, 200), st.floats(-0.95, 0.95).filter(lambda d: abs(d) > 1e-3))
def test_constrained_rates_are_the_most_likely(control: Proportion, treatment: Proportion, tested: float) -> None:
    c, t = constrained_rates(control, treatment, tested)
    assert t - c == pytest.approx(tested, abs=1e-12)
    low, high = max(0.0, -tested), min(1.0, 1.0 - tested)
    assert low <= c <= high

    def log_likelihood(rates):
        pairs = (
            (control.successes, rates),
            (control.failures, 1 - rates),
            (treatment.successes, rates + tested),
            (treatment.failures, 1 - rates - tested),
        )
        return sum(count * np.log(np.maximum(chance, 1e-300)) for count, chance in pairs if count)

    grid = np.linspace(low, high, 2_001)
    best = float(np.max(log_likelihood(grid)))
    assert float(log_likelihood(np.array(c))) >= best - 1e-9 * abs(best) - 1e-12


@pytest.mark.parametrize("rate", [1e-6, 1e-4, 0.5, 1 - 1e-4])
def test_constrained_rates_keep_their_digits_near_the_ends(rate: float) -> None:
    n = 10**8
    control, treatment = (
        Proportion(round(rate * n), n),
        Proportion(round(rate * n) + round((1 - rate) * rate * n / 100), n),
    )
    tested = 1e-7 * (1 - rate)
    c, t = constrained_rates(control, treatment, tested)
    slope = control.successes / c - control.failures / (1 - c) + treatment.successes / t - treatment.failures / (1 - t)
    curvature = n / (c * (1 - c)) + n / (t * (1 - t))
    assert abs(slope / curvature) <= 1e-11 * min(c, 1 - c)


@given(proportions(1, 10**6), proportions(1, 10**6), st.sampled_from([-2.5, -1.0, 1.0, 1.96]), st.booleans())
def test_a_score_bound_is_that_many_errors_away(control, treatment, z: float, is_corrected: bool) -> None:
    bound = score_bound(control, treatment, z, is_corrected=is_corrected)
    if abs(bound) > 1 - 1e-9 or abs(bound - difference(control, treatment)) < 1e-9:
        return
    assert score_statistic(control, treatment, bound, is_corrected=is_corrected) == pytest.approx(-z, rel=1e-4)


def test_the_score_of_no_difference_is_z() -> None:
    arms = Proportion(431, 5_000), Proportion(502, 5_100)
    assert score_statistic(*arms, 0.0, is_corrected=False) == pytest.approx(z_test(*arms).statistic, rel=1e-12)
    assert score_statistic(*arms, 0.0) == pytest.approx(z_test(*arms).statistic * math.sqrt(10_099 / 10_100))


def test_no_differences_can_be_seen_where_all_end_alike() -> None:
    for arms in ((Proportion(50, 50), Proportion(50, 50)), (Proportion(0, 30), Proportion(0, 9))):
        effect = z_test(*arms)
        assert (effect.p_value, effect.p_greater, effect.p_less) == (1.0, 1.0, 1.0)
        assert effect.estimate == effect.statistic == 0.0
        assert 0.0 in effect.interval
        assert effect.flags == ("all_equal",)
        score = miettinen_nurminen_interval(*arms)
        assert score.low < -0.05
        assert score.high > 0.05


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    random = np.random.default_rng(11)
    held = dict.fromkeys((newcombe_interval, miettinen_nurminen_interval), 0)
    runs = 600
    for control, treatment in zip(random.binomial(60, 0.9, runs), random.binomial(40, 0.95, runs), strict=True):
        for interval in held:
            held[interval] += 0.05 in interval(Proportion(int(control), 60), Proportion(int(treatment), 40))
    assert all(0.93 * runs <= count <= 0.985 * runs for count in held.values())


@pytest.mark.parametrize("confidence", [0.0, 1.0, -0.1, 95, math.nan, True, "0.95"])
def test_what_is_no_confidence_is_refused(confidence) -> None:
    arms = Proportion(1, 2), Proportion(1, 2)
    for method in (*INTERVALS, z_test):
        with pytest.raises(InvalidRequest, match="confidence"):
            method(*arms, confidence=confidence)


def test_scores_of_nothing_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="no trials"):
        score_statistic(Proportion(), Proportion(1, 2), 0.1)
    for tested in (-1.0, 1.0, math.nan):
        with pytest.raises(InvalidRequest, match="differ"):
            score_statistic(Proportion(1, 2), Proportion(1, 2), tested)
