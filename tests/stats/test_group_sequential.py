"""Bounds of planned looks against published tables, multivariate normal integrals and simulation."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from chopmark.errors import InvalidRequest
from chopmark.stats.crossing import FARTHEST_Z, Continuing, crossing
from chopmark.stats.group_sequential import characteristics, classic_bounds, classic_level, spending_bounds
from chopmark.stats.spending import spent


def shares(count):
    return [(k + 1) / count for k in range(count)]


@st.composite
def unequal(draw, most=6):
    steps = draw(st.lists(st.floats(0.05, 1.0), min_size=1, max_size=most))
    total = sum(steps)
    return [min(1.0, sum(steps[: k + 1]) / total) for k in range(len(steps))]


def normal_probability(information, low, high, drift):
    """Of the statistics lying in a box, by scipy's integration of the multivariate normal distribution."""
    t = np.asarray(information)
    covariance = np.sqrt(np.minimum.outer(t, t) / np.maximum.outer(t, t))
    law = stats.multivariate_normal(drift * np.sqrt(t), covariance, abseps=1e-9, releps=1e-9, maxpts=2_000_000)
    return law.cdf(np.asarray(high, float), lower_limit=np.asarray(low, float))


@pytest.mark.parametrize(
    ("count", "pocock", "obrien_fleming"),
    [
        (1, 1.960, 1.960),
        (2, 2.178, 1.977),
        (3, 2.289, 2.004),
        (5, 2.413, 2.040),
        (10, 2.555, 2.087),
        (20, 2.672, 2.126),
    ],
)
def test_classic_constants_are_those_of_the_tables(count, pocock, obrien_fleming):
    assert round(classic_bounds("pocock", shares(count))[-1], 3) == pocock
    assert round(classic_bounds("obrien_fleming", shares(count))[-1], 3) == obrien_fleming


@pytest.mark.parametrize("drift", [0.0, 2.5, -1.0])
@pytest.mark.parametrize("information", [[0.4, 1.0], [0.1, 0.45, 1.0], [0.2, 0.21, 0.9], [0.001, 0.5, 0.5006]])
def test_probabilities_are_those_of_the_multivariate_normal(information, drift):
    low, high = [-0.5, -1.0, -2.2][: len(information)], [2.6, 2.1, 1.9][: len(information)]
    left = crossing(information, low, high, drift=drift)
    for k, (above, below) in enumerate(zip(left.above, left.below, strict=True)):
        inside = normal_probability(information[:k], low[:k], high[:k], drift) if k else 1.0
        under = normal_probability(information[: k + 1], [*low[:k], -40.0], [*high[:k], high[k]], drift)
        over = normal_probability(information[: k + 1], [*low[:k], low[k]], [*high[:k], 40.0], drift)
        assert above == pytest.approx(inside - under, abs=2e-5)
        assert below == pytest.approx(inside - over, abs=2e-5)


@settings(max_examples=40, deadline=None)
@given(unequal(), st.floats(-4, 4), st.data())
def test_mirrored_bounds_have_mirrored_probabilities(information, drift, data):
    bound = st.floats(0.1, 5.0)
    low = [-data.draw(bound) for _ in information]
    high = [data.draw(bound) for _ in information]
    left = crossing(information, low, high, drift=drift)
    mirror = crossing(information, [-b for b in high], [-b for b in low], drift=-drift)
    assert mirror.above == pytest.approx(left.below, abs=1e-11)
    assert mirror.below == pytest.approx(left.above, abs=1e-11)
    assert all(0 <= p <= 1 for p in (*left.above, *left.below))
    state = Continuing(drift)
    for k, share in enumerate(information[:-1]):
        state = state.stay(share, low[k], high[k], information[k + 1])
    last = state.above(information[-1], high[-1]) + state.below(information[-1], high[-1])
    gone = sum(left.above[:-1]) + sum(left.below[:-1])
    assert gone + last == pytest.approx(1.0, abs=1e-10)  # nothing is lost on the way


@settings(max_examples=40, deadline=None)
@given(unequal(), st.sampled_from([1, 2]), st.floats(0.001, 0.4), st.floats(0.5, 4))
def test_bounds_spend_what_they_were_given(information, sided, alpha, rho):
    errors = [spent("kim_demets_power", alpha, t, sided=sided, parameter=rho) for t in information]
    bounds = spending_bounds(information, errors, sided=sided)
    low = [-math.inf if sided == 1 else -b for b in bounds]
    used = np.cumsum(crossing(information, low, bounds).above) * sided
    assert used == pytest.approx(errors, rel=1e-7)


@settings(max_examples=30, deadline=None)
@given(unequal(), st.sampled_from(["pocock", "obrien_fleming"]), st.sampled_from([1, 2]), st.floats(0.001, 0.4))
def test_classic_bounds_keep_their_level_with_unequal_information(information, rule, sided, alpha):
    bounds = classic_bounds(rule, information, alpha=alpha, sided=sided)
    for look, bound in enumerate(bounds):
        assert classic_level(rule, information, look, bound, sided=sided) == pytest.approx(alpha, rel=1e-7)
    assert classic_level(rule, information, 0, bounds[0] + 0.1, sided=sided) < alpha
    assert classic_level(rule, information, 0, -50.0, sided=sided) == pytest.approx(
        1.0 if sided == 1 else 0.0, abs=1e-9
    )


def test_more_may_be_spent_more_is_rejected():
    information = shares(6)
    tight, loose = (
        spending_bounds(information, [spent("lan_demets_pocock", a, t) for t in information], sided=1)
        for a in (0.01, 0.05)
    )
    assert all(a > b for a, b in zip(tight, loose, strict=True))


def test_what_twenty_looks_do_to_a_simulated_aa_comparison():
    """40,000 comparisons of 2,000 units each, stopped at the first look beyond its bound; the naive test is far off."""
    draws = np.random.default_rng(20240611)
    information = shares(20)
    walk = draws.normal(size=(40_000, 20)).cumsum(axis=1) / np.sqrt(np.arange(1, 21))
    for rule in ("lan_demets_obrien_fleming", "lan_demets_pocock"):
        bounds = spending_bounds(information, [spent(rule, 0.05, t, sided=2) for t in information])
        wrong = (np.abs(walk) >= bounds).any(axis=1).mean()
        assert wrong == pytest.approx(0.05, abs=0.0045)  # four standard errors
    assert (np.abs(walk) >= stats.norm.isf(0.025)).any(axis=1).mean() > 0.2


def test_a_look_at_which_nothing_may_be_spent():
    assert spending_bounds([0.5, 1.0], [0.0, 0.05])[0] == FARTHEST_Z
    assert spending_bounds([0.5, 1.0], [0.05, 0.05])[1] == FARTHEST_Z
    early = spending_bounds([0.001, 1.0], [spent("lan_demets_obrien_fleming", 0.05, t, sided=2) for t in (0.001, 1.0)])
    assert early == pytest.approx((FARTHEST_Z, stats.norm.isf(0.025)), abs=1e-9)


@pytest.mark.parametrize("power", [0.06, 0.5, 0.9, 0.999])
def test_characteristics_reach_their_power_and_one_look_costs_nothing(power):
    bounds = classic_bounds("pocock", shares(20))
    plan = characteristics(shares(20), bounds, power=power)
    left = crossing(shares(20), [-b for b in bounds], bounds, drift=plan.drift)
    assert sum(left.above) == pytest.approx(power, abs=1e-9)
    assert plan.inflation_factor > max(1.0, plan.asn_ratio_h0)
    single = characteristics([1.0], classic_bounds("pocock", [1.0]), power=power)
    assert (single.inflation_factor, single.asn_ratio_h1) == pytest.approx((1.0, 1.0), rel=1e-6)


def test_expected_information_of_two_looks_by_hand():
    bound = classic_bounds("pocock", [0.5, 1.0])[0]
    plan = characteristics([0.5, 1.0], (bound, bound), power=0.9)
    mean = plan.drift * math.sqrt(0.5)
    early_null, early_effect = 2 * stats.norm.sf(bound), stats.norm.sf(bound - mean) + stats.norm.cdf(-bound - mean)
    assert plan.inflation_factor == pytest.approx((plan.drift / (stats.norm.isf(0.025) + stats.norm.isf(0.1))) ** 2)
    assert plan.asn_ratio_h0 == pytest.approx(plan.inflation_factor * (1 - 0.5 * early_null))
    assert plan.asn_ratio_h1 == pytest.approx(plan.inflation_factor * (1 - 0.5 * early_effect))
    assert plan.asn_ratio_h1 < 1 < plan.asn_ratio_h0


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: classic_bounds("pocock", []),
        lambda: classic_bounds("pocock", shares(21)),
        lambda: classic_bounds("pocock", [0.5, 0.5]),
        lambda: classic_bounds("pocock", [0.5, 0.5004]),
        lambda: classic_bounds("pocock", [0.0, 1.0]),
        lambda: classic_bounds("pocock", [0.5, math.nan]),
        lambda: classic_bounds("haybittle", [1.0]),  # type: ignore[arg-type]
        lambda: classic_bounds("pocock", [1.0], alpha=0.0),
        lambda: classic_bounds("pocock", [1.0], sided=3),  # type: ignore[arg-type]
        lambda: spending_bounds([0.5, 1.0], [0.04, 0.03]),
        lambda: spending_bounds([0.5, 1.0], [0.04]),
        lambda: spending_bounds([1.0], [math.nan]),
        lambda: crossing([0.5, 1.0], [-1.0], [1.0]),
        lambda: crossing([1.0], [1.0], [-1.0]),
        lambda: crossing([1.0], [math.nan], [1.0]),
        lambda: crossing([1.0], [-1.0], [1.0], drift=math.inf),
        lambda: characteristics([1.0], [1.96], power=0.05),
    ],
)
def test_bad_input_is_refused_with_a_hint(wrong):
    with pytest.raises(InvalidRequest) as refused:
        wrong()
    assert refused.value.hint


@pytest.mark.parametrize(
    ("rule", "parameter", "half"),
    [
        ("lan_demets_obrien_fleming", None, 4 * stats.norm.sf(stats.norm.isf(0.05 / 4) / math.sqrt(0.5))),
        ("lan_demets_pocock", None, 0.05 * math.log(1 + (math.e - 1) / 2)),
        ("kim_demets_power", 3.0, 0.05 / 8),
        ("hwang_shih_decani", -4.0, 0.05 * (1 - math.exp(2)) / (1 - math.exp(4))),
        ("hwang_shih_decani", 0.0, 0.025),
    ],
)
def test_spending_by_hand(rule, parameter, half):
    assert spent(rule, 0.05, 0.5, sided=2, parameter=parameter) == pytest.approx(half, rel=1e-12)
    assert spent(rule, 0.05, 0.0, sided=2, parameter=parameter) == 0.0
    assert spent(rule, 0.05, 1.0, sided=2, parameter=parameter) == 0.05
    assert spent(rule, 0.05, 1.7, sided=2, parameter=parameter) == 0.05


@given(
    st.sampled_from([("lan_demets_obrien_fleming", None), ("lan_demets_pocock", None), ("kim_demets_power", 2.0)])
    | st.floats(-800, 800).map(lambda gamma: ("hwang_shih_decani", gamma)),
    st.floats(1e-9, 0.999),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_spending_rises_and_stays_below_its_whole(rule, alpha, first, second):
    assume(first <= second)
    name, parameter = rule
    early, late = (spent(name, alpha, t, sided=2, parameter=parameter) for t in (first, second))
    assert 0 <= early <= late * (1 + 1e-12) <= alpha * (1 + 1e-9)


@pytest.mark.parametrize(
    ("rule", "parameter"),
    [
        ("kim_demets_power", None),
        ("kim_demets_power", 0.0),
        ("lan_demets_pocock", 2.0),
        ("hwang_shih_decani", math.nan),
        ("flat", None),
    ],
)
def test_a_spending_rule_and_its_parameter_fit(rule, parameter):
    with pytest.raises(InvalidRequest):
        spent(rule, 0.05, 0.5, parameter=parameter)
