"""Posteriors: against exact sums, against other quadratures, and by what must hold of any counts."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cache

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from chopmark.errors import InvalidRequest
from chopmark.stats.bayes import (
    STOPPING_WARNING,
    BetaPrior,
    EffectPrior,
    Posterior,
    beta_binomial,
    effect_posterior,
    normal_effect,
)
from chopmark.stats.summaries import Mean, Proportion


@cache
def factorial(n):
    return math.factorial(n)


def exact_beta(a, b):
    return Fraction(factorial(a - 1) * factorial(b - 1), factorial(a + b - 1))


def exact_chance(a_c, b_c, a_t, b_t):
    """P(T > C) for whole parameters, as a finite sum of fractions (Miller 2014)."""
    terms = (
        exact_beta(a_c + i, b_c + b_t) / ((b_t + i) * exact_beta(1 + i, b_t) * exact_beta(a_c, b_c)) for i in range(a_t)
    )
    return sum(terms, Fraction(0))


def exact_loss(a_c, b_c, a_t, b_t):
    """E[max(C - T, 0)]: the chances under distributions with one more success each, weighted by the means."""
    c, t = Fraction(a_c, a_c + b_c), Fraction(a_t, a_t + b_t)
    return c * (1 - exact_chance(a_c + 1, b_c, a_t, b_t)) - t * (1 - exact_chance(a_c, b_c, a_t + 1, b_t))


few_counts = st.integers(0, 40).flatmap(lambda n: st.integers(0, n).map(lambda s: Proportion(s, n)))
counts = st.integers(0, 10**6).flatmap(lambda n: st.integers(0, n).map(lambda s: Proportion(s, n)))


@settings(deadline=None, max_examples=40)
@given(few_counts, few_counts)
def test_chance_and_losses_are_those_of_the_exact_sums(control, treatment):
    found = beta_binomial(control, treatment)
    shape = (control.successes + 1, control.failures + 1, treatment.successes + 1, treatment.failures + 1)
    mirrored = (shape[2], shape[3], shape[0], shape[1])
    assert found.chance_to_win == pytest.approx(float(exact_chance(*shape)), abs=1e-12, rel=1e-9)
    assert found.expected_loss_treatment == pytest.approx(float(exact_loss(*shape)), abs=1e-13, rel=1e-7)
    assert found.expected_loss_control == pytest.approx(float(exact_loss(*mirrored)), abs=1e-13, rel=1e-7)


@settings(deadline=None, max_examples=20)
@given(counts, counts, st.sampled_from(["absolute", "relative"]))
def test_no_counts_break_what_must_hold(control, treatment, scale):
    found = beta_binomial(control, treatment, scale=scale)
    assert 0 <= found.chance_to_win <= 1
    assert found.interval.low <= found.interval.high
    difference = (treatment.successes + 1) / (treatment.n + 2) - (control.successes + 1) / (control.n + 2)
    gained = found.expected_loss_control - found.expected_loss_treatment
    assert gained == pytest.approx(difference, abs=1e-9, rel=1e-6)
    back = beta_binomial(treatment, control, scale=scale)
    assert back.chance_to_win == pytest.approx(1 - found.chance_to_win, abs=1e-9)
    assert back.expected_loss_treatment == pytest.approx(found.expected_loss_control, rel=1e-9, abs=1e-300)
    if scale == "absolute":
        assert back.interval.low == pytest.approx(-found.interval.high, abs=1e-6)  # the quadrature is as fine
    failures = beta_binomial(*(Proportion(arm.failures, arm.n) for arm in (control, treatment)))
    assert failures.chance_to_win == pytest.approx(1 - found.chance_to_win, abs=1e-9)
    assert msgspec.json.decode(msgspec.json.encode(found), type=Posterior) == found


@pytest.mark.parametrize("trials", [10**6, 10**9, 10**11])
def test_many_trials_agree_with_the_normal_limit(trials):
    lift = round(math.sqrt(trials))
    control, treatment = Proportion(trials // 2, trials), Proportion(trials // 2 + lift, trials)
    found = beta_binomial(control, treatment)
    assert found.chance_to_win == pytest.approx(stats.norm.cdf(lift / math.sqrt(trials / 2)), abs=1e-6)
    limit = normal_effect(control, treatment)
    assert limit.standard_deviation is not None
    for ours, theirs in ((found.interval.low, limit.interval.low), (found.interval.high, limit.interval.high)):
        assert ours == pytest.approx(theirs, abs=1e-5 * limit.standard_deviation + 1e-13)


@pytest.mark.parametrize("scale", ["absolute", "relative"])
@pytest.mark.parametrize(
    ("control", "treatment", "prior"),
    [
        ((45, 50), (48, 50), (1.0, 1.0)),
        ((0, 20), (3, 30), (0.5, 0.5)),
        ((30, 30), (30, 30), (1.0, 1.0)),
        ((2, 9), (900, 1000), (3.0, 0.7)),
        ((0, 0), (0, 0), (1.0, 1.0)),
    ],
)
def test_the_interval_holds_the_mass_it_promises(control, treatment, prior, scale):
    c, t = (stats.beta(prior[0] + s, prior[1] + n - s) for s, n in (control, treatment))
    found = beta_binomial(
        Proportion(*control), Proportion(*treatment), prior=BetaPrior(*prior), scale=scale, confidence=0.9
    )
    for end, level in ((found.interval.low, 0.05), (found.interval.high, 0.95)):

        def below(share, end=end):
            rate = c.ppf(share)
            return t.cdf(rate * (1 + end) if scale == "relative" else rate + end)

        corner = c.cdf(1 / (1 + end) if scale == "relative" else 1 - end)  # beyond, the distribution of T is 1
        start = c.cdf(0.0 if scale == "relative" else -end)
        inner = integrate.quad(below, start, corner, epsabs=1e-10, limit=500)[0]
        assert inner + 1 - corner == pytest.approx(level, abs=1e-6)


def test_the_interval_of_two_uniform_rates_is_the_one_worked_by_hand():
    # P(T - C ≤ -d) = (1 - d)²/2 and P(T ≤ rC) = r/2 below 1.
    found = beta_binomial(Proportion(), Proportion())
    assert found.interval.low == pytest.approx(-(1 - math.sqrt(0.05)), abs=1e-8)
    relative = beta_binomial(Proportion(), Proportion(), scale="relative")
    assert (relative.interval.low, relative.interval.high) == pytest.approx((-0.95, 19.0), abs=1e-7)
    assert found.flags == ("no_data",)


def test_lower_is_better_turns_chances_and_losses_round():
    arms = (Proportion(3, 28), Proportion(12, 53))
    more, fewer = beta_binomial(*arms), beta_binomial(*arms, lower_is_better=True)
    assert fewer.chance_to_win == pytest.approx(1 - more.chance_to_win, abs=1e-12)
    assert fewer.expected_loss_treatment == more.expected_loss_control
    assert fewer.interval == more.interval
    normal = [normal_effect(*arms, lower_is_better=lower) for lower in (False, True)]
    assert normal[1].chance_to_win == pytest.approx(1 - normal[0].chance_to_win, abs=1e-12)
    assert normal[1].expected_loss_treatment == normal[0].expected_loss_control


def test_every_answer_warns_of_stopping_on_it():
    arms = (Proportion(3, 28), Proportion(12, 53))
    for found in (
        beta_binomial(*arms),
        normal_effect(*arms),
        effect_posterior(1.0, 1.0),
        normal_effect(arms[0], Proportion()),
    ):
        assert found.warning == STOPPING_WARNING
    assert "not error-controlled" in STOPPING_WARNING


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), st.floats(-1e3, 1e3), st.floats(1e-6, 1e6))
def test_a_posterior_lies_between_prior_and_data_and_is_surer(estimate, error, mean, variance):
    found = effect_posterior(estimate, error, prior=EffectPrior(mean, variance, "absolute"))
    assert min(estimate, mean) - 1e-6 <= found.estimate <= max(estimate, mean) + 1e-6
    assert found.standard_deviation is not None
    assert found.standard_deviation <= min(error, math.sqrt(variance)) * (1 + 1e-12)
    precision = 1 / error**2 + 1 / variance
    assert found.standard_deviation == pytest.approx(1 / math.sqrt(precision), rel=1e-9)
    assert found.estimate == pytest.approx((estimate / error**2 + mean / variance) / precision, rel=1e-6, abs=1e-6)
    gained = found.expected_loss_control - found.expected_loss_treatment
    assert gained == pytest.approx(found.estimate, rel=1e-9, abs=1e-9)


def test_expected_losses_are_those_of_the_normal():
    found = effect_posterior(0.3, 0.7)
    draws = stats.norm(0.3, 0.7)
    assert found.chance_to_win == pytest.approx(draws.sf(0), rel=1e-12)
    assert found.expected_loss_control == pytest.approx(draws.expect(lambda x: max(x, 0), lb=0), rel=1e-6)
    assert found.expected_loss_treatment == pytest.approx(draws.expect(lambda x: -x, ub=0), rel=1e-6)


def test_means_take_the_variance_of_the_delta_method():
    rng = np.random.default_rng(6)
    control, treatment = rng.gamma(5, 2, 400), rng.gamma(5, 2.1, 300)
    found = normal_effect(Mean.of(control), Mean.of(treatment), scale="relative")
    assert found.estimate == pytest.approx(treatment.mean() / control.mean() - 1)
    variance = treatment.var(ddof=1) / 300 / control.mean() ** 2
    variance += control.var(ddof=1) / 400 * treatment.mean() ** 2 / control.mean() ** 4
    assert found.standard_deviation == pytest.approx(math.sqrt(variance))


def test_a_prior_of_the_other_scale_is_rescaled_by_the_size_of_the_control():
    arms = (Mean(50, -4.0, 100.0), Mean(50, -3.0, 100.0))
    relative = normal_effect(*arms, prior=EffectPrior(0.1, 0.01, "relative"))
    assert relative == normal_effect(*arms, prior=EffectPrior(0.4, 0.16, "absolute"))
    absolute = normal_effect(*arms, prior=EffectPrior(0.4, 0.16, "absolute"), scale="relative")
    assert absolute.estimate == pytest.approx(
        normal_effect(*arms, prior=EffectPrior(0.1, 0.01), scale="relative").estimate
    )


@pytest.mark.parametrize(
    ("control", "treatment", "scale", "flag"),
    [
        (Proportion(0, 0), Proportion(1, 2), "absolute", "no_data"),
        (Mean(), Mean(), "relative", "no_data"),
        (Proportion(50, 50), Proportion(50, 50), "absolute", "all_equal"),
        (Proportion(50, 50), Proportion(49, 50), "absolute", "no_variance"),
        (Proportion(0, 50), Proportion(50, 50), "relative", "no_variance"),
        (Mean(2, 0.0, 1.0), Mean(2, 1.0, 1.0), "relative", "no_baseline"),
    ],
)
def test_data_that_decide_nothing_say_so(control, treatment, scale, flag):
    found = normal_effect(control, treatment, scale=scale)
    assert found.flags == (flag,)
    assert found.chance_to_win == 0.5
    assert math.isinf(found.interval.high)
    assert msgspec.json.decode(msgspec.json.encode(found), type=Posterior) == found


@pytest.mark.parametrize(
    "ask",
    [
        lambda: beta_binomial(Proportion(1, 2), Proportion(1, 2), confidence=1.0),
        lambda: beta_binomial(Proportion(1, 2), Proportion(1, 10**12)),
        lambda: beta_binomial(Proportion(0, 2), Proportion(1, 2), prior=BetaPrior(0.01, 1.0)),
        lambda: BetaPrior(0.0, 1.0),
        lambda: BetaPrior(1.0, math.nan),
        lambda: EffectPrior(0.0, 0.0),
        lambda: EffectPrior(math.inf, 1.0),
        lambda: effect_posterior(math.nan, 1.0),
        lambda: effect_posterior(0.0, 0.0),
        lambda: effect_posterior(0.0, 1.0, prior=EffectPrior(0.0, 1.0, "relative")),
        lambda: normal_effect(Proportion(1, 2), Mean(2, 1.0, 1.0)),
        lambda: normal_effect(Mean(2, 1e308, 1.0), Mean(2, -1e308, 1.0)),
    ],
)
def test_bad_input_is_refused(ask):
    with pytest.raises(InvalidRequest):
        ask()
