"""Strata: by hand, against plain tests where there is one stratum, and the confounding that they take out."""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from chopmark.errors import InvalidRequest
from chopmark.stats.means import welch_test
from chopmark.stats.proportions import unpooled_error, wald_interval, z_test
from chopmark.stats.results import Effect
from chopmark.stats.stratified import CommonOddsRatio, cmh_test, post_stratified_difference
from chopmark.stats.summaries import Mean, Proportion


@st.composite
def proportions(draw: st.DrawFn) -> Proportion:
    n = draw(st.integers(0, 4) | st.integers(0, 10**6))
    return Proportion(draw(st.sampled_from([0, n]) | st.integers(0, n)), n)


strata_of_any = st.lists(st.tuples(proportions(), proportions()), max_size=5)

SCHOOL = [  # Kennedy and others' kind of table: admissions by department, control men, treatment women
    (Proportion(512, 825), Proportion(89, 108)),
    (Proportion(353, 560), Proportion(17, 25)),
    (Proportion(120, 325), Proportion(202, 593)),
    (Proportion(138, 417), Proportion(131, 375)),
    (Proportion(53, 191), Proportion(94, 393)),
    (Proportion(22, 373), Proportion(24, 341)),
]


def test_admissions_to_berkeley() -> None:
    """Bickel, Hammel and O'Connell (1975): women are admitted less over all, and no less within departments.

    The figures are those that R's mantelhaen.test(UCBAdmissions, correct = FALSE) prints, turned to women by men.
    """
    control, treatment = (sum((s[i] for s in SCHOOL), Proportion()) for i in (0, 1))
    assert z_test(control, treatment).p_value < 1e-20
    assert treatment.rate < control.rate
    result = cmh_test(SCHOOL)
    assert result.statistic == pytest.approx(1.5246, abs=6e-5)
    assert result.p_value == pytest.approx(0.2169, abs=6e-5)
    assert result.odds_ratio is not None
    assert 1 / result.odds_ratio == pytest.approx(0.9046968, abs=6e-8)
    assert 1 / result.interval.high == pytest.approx(0.7719074, abs=6e-8)
    assert 1 / result.interval.low == pytest.approx(1.0603298, abs=6e-8)
    assert post_stratified_difference(SCHOOL).estimate > 0


def test_one_stratum_is_the_plain_test() -> None:
    arms = Proportion(52, 110), Proportion(70, 121)
    result = cmh_test([arms])
    total = 231
    assert result.statistic == pytest.approx(z_test(*arms).statistic ** 2 * (total - 1) / total)
    assert result.odds_ratio is not None
    assert result.odds_ratio == pytest.approx(70 * 58 / (51 * 52))
    woolf = math.sqrt(1 / 70 + 1 / 51 + 1 / 52 + 1 / 58)  # the variance of Robins and others is Woolf's for one table
    assert math.log(result.interval.high / result.odds_ratio) == pytest.approx(stats.norm.ppf(0.975) * woolf)
    effect = post_stratified_difference([arms])
    assert effect.standard_error == pytest.approx(unpooled_error(*arms))
    assert effect.interval.low == pytest.approx(wald_interval(*arms).low)


def test_weights_are_shares_of_all_units() -> None:
    strata = [(Proportion(10, 20), Proportion(30, 40)), (Proportion(3, 30), Proportion(1, 10))]
    effect = post_stratified_difference(strata)
    assert effect.estimate == pytest.approx(0.6 * 0.25 + 0.4 * 0.0)
    assert effect.standard_error**2 == pytest.approx(0.36 * (0.25 / 20 + 0.1875 / 40) + 0.16 * (0.09 / 30 + 0.09 / 10))


@given(strata_of_any, st.sampled_from([0.5, 0.95]))
def test_any_strata_have_an_answer(strata: list[tuple[Proportion, Proportion]], confidence: float) -> None:
    result = cmh_test(strata, confidence=confidence)
    assert 0 <= result.p_value <= 1
    assert 0 <= result.interval.low <= result.interval.high
    assert msgspec.json.decode(msgspec.json.encode(result), type=CommonOddsRatio) == result
    if result.flags:
        assert (result.p_value, result.statistic) == (1.0, 0.0)
    if result.odds_ratio is not None:
        assert result.odds_ratio in result.interval
    effect = post_stratified_difference(strata, confidence=confidence)
    assert 0 <= effect.p_value <= 1
    assert effect.estimate in effect.interval
    assert msgspec.json.decode(msgspec.json.encode(effect), type=Effect) == effect
    if not any(c.n and t.n for c, t in strata):
        assert effect.flags == result.flags == ("no_data",)


@given(strata_of_any)
def test_swapping_the_arms_turns_the_sign(strata: list[tuple[Proportion, Proportion]]) -> None:
    turned = [(t, c) for c, t in strata]
    assert cmh_test(turned).p_value == pytest.approx(cmh_test(strata).p_value)
    assert post_stratified_difference(turned).estimate == pytest.approx(-post_stratified_difference(strata).estimate)
    one, other = cmh_test(strata).odds_ratio, cmh_test(turned).odds_ratio
    if one and other:
        assert one == pytest.approx(1 / other)


@given(strata_of_any, st.randoms(use_true_random=False))
def test_the_order_of_strata_does_not_matter(strata: list[tuple[Proportion, Proportion]], seed) -> None:
    mixed = list(strata)
    seed.shuffle(mixed)
    assert cmh_test(mixed).p_value == pytest.approx(cmh_test(strata).p_value, rel=1e-6)
    one, other = post_stratified_difference(mixed), post_stratified_difference(strata)
    assert one.estimate == pytest.approx(other.estimate, abs=1e-12)


def test_a_stratum_without_one_arm_is_left_out_and_told() -> None:
    whole = [(Proportion(10, 20), Proportion(30, 40))]
    thin = [*whole, (Proportion(5, 9), Proportion())]
    assert cmh_test(thin).p_value == cmh_test(whole).p_value
    effect = post_stratified_difference(thin)
    assert effect.estimate == post_stratified_difference(whole).estimate
    assert effect.flags == ("too_few",)


def test_zero_cells() -> None:
    nothing_lost = cmh_test([(Proportion(3, 5), Proportion(5, 5))])
    assert nothing_lost.odds_ratio is None  # without bounds
    assert nothing_lost.interval.high == math.inf
    assert nothing_lost.p_value < 1
    assert cmh_test([(Proportion(3, 5), Proportion(0, 5))]).odds_ratio == 0.0
    alike = cmh_test([(Proportion(5, 5), Proportion(5, 5)), (Proportion(0, 4), Proportion(0, 3))])
    assert (alike.p_value, alike.flags) == (1.0, ("all_equal",))
    assert post_stratified_difference([(Proportion(5, 5), Proportion(5, 5))]).flags == ("no_variance",)


def test_means_by_strata() -> None:
    random = np.random.default_rng(2)
    single = Mean.of(random.normal(0, 1, 5_000)), Mean.of(random.normal(0.03, 1, 5_000))
    effect, plain = post_stratified_difference([single]), welch_test(*single)
    assert effect.estimate == plain.estimate
    assert effect.flags == ()
    assert effect.standard_error == pytest.approx(plain.standard_error)
    assert effect.p_value == pytest.approx(plain.p_value, rel=1e-2)
    lonely = post_stratified_difference([(Mean.of([1.0]), Mean.of([2.0, 3.0]))])
    assert lonely.flags == ("too_few",)
    with pytest.raises(InvalidRequest, match="cannot be compared"):
        post_stratified_difference([(Mean.of([1.0]), Proportion(1, 2))])  # type: ignore[list-item]


def test_strata_take_out_what_the_mix_brought() -> None:
    """No effect within strata, but the arms' mixes differ: the plain test is fooled, the others reject as often as they say."""
    random = np.random.default_rng(8)
    rejected = {"plain": 0, "cmh": 0, "post": 0}
    runs = 500
    for _ in range(runs):
        strata = [
            (
                Proportion(int(random.binomial(n, rate)), n),
                Proportion(int(random.binomial(m, rate)), m),
            )
            for n, m, rate in ((400, 100, 0.9), (100, 400, 0.6))
        ]
        control, treatment = (sum((s[i] for s in strata), Proportion()) for i in (0, 1))
        rejected["plain"] += z_test(control, treatment).p_value < 0.05
        rejected["cmh"] += cmh_test(strata).p_value < 0.05
        rejected["post"] += post_stratified_difference(strata).p_value < 0.05
    assert rejected["plain"] > 0.9 * runs
    assert rejected["cmh"] <= 0.08 * runs
    assert rejected["post"] <= 0.085 * runs
