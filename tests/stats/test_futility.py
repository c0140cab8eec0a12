"""Futility bounds, conditional and predictive power: against simulation, quadrature and by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from chopmark.errors import InvalidRequest
from chopmark.stats.conditional_power import b_value, conditional_power, current_trend, planned_drift, predictive_power
from chopmark.stats.crossing import crossing
from chopmark.stats.futility import futility_bounds, with_futility

RULES = ["lan_demets_obrien_fleming", "lan_demets_pocock"]


@pytest.mark.parametrize("binding", [False, True])
@pytest.mark.parametrize("rule", RULES)
def test_both_errors_are_kept_in_simulation(rule, binding):
    information = np.array([0.3, 0.6, 0.8, 1.0])
    plan = with_futility(information.tolist(), alpha=0.05, beta=0.15, alpha_rule=rule, beta_rule=rule, binding=binding)
    steps = np.sqrt(np.diff(information, prepend=0.0))
    noise = (np.random.default_rng(7).normal(size=(40_000, 4)) * steps).cumsum(axis=1)
    low = np.array([*plan.futility_bounds, plan.critical_values[-1]])

    def rejected(drift, *, obey):
        z = (noise + drift * information) / np.sqrt(information)
        alive, won = np.ones(len(z), bool), np.zeros(len(z), bool)
        for k in range(4):
            won |= alive & (z[:, k] >= plan.critical_values[k])
            alive &= (z[:, k] < plan.critical_values[k]) & ((z[:, k] >= low[k]) | (not obey))
        return won.mean()

    assert rejected(plan.characteristics.drift, obey=True) == pytest.approx(0.85, abs=0.0075)
    if binding:
        assert rejected(0.0, obey=True) == pytest.approx(0.05, abs=0.0045)
        assert rejected(0.0, obey=False) > 0.052  # which is why binding bounds bind
    else:
        assert rejected(0.0, obey=False) == pytest.approx(0.05, abs=0.0045)
        assert rejected(0.0, obey=True) <= rejected(0.0, obey=False)


@settings(max_examples=15, deadline=None)
@given(st.floats(0.005, 0.1), st.floats(0.05, 0.4), st.sampled_from(RULES), st.sampled_from(RULES), st.booleans())
def test_bounds_spend_beta_and_meet_at_the_end(alpha, beta, alpha_rule, beta_rule, binding):
    information = [0.25, 0.5, 0.75, 1.0]
    plan = with_futility(
        information, alpha=alpha, beta=beta, alpha_rule=alpha_rule, beta_rule=beta_rule, binding=binding
    )
    low = (*plan.futility_bounds, plan.critical_values[-1])
    left = crossing(information, low, plan.critical_values, drift=plan.characteristics.drift)
    assert np.cumsum(left.below) == pytest.approx(plan.beta_spent, abs=1e-8)
    assert all(a < b for a, b in zip(plan.futility_bounds, plan.critical_values, strict=False))
    assert plan.characteristics.inflation_factor >= 1
    again = futility_bounds(
        information[:-1], plan.critical_values[:-1], plan.beta_spent[:-1], drift=plan.characteristics.drift
    )
    assert again == pytest.approx(plan.futility_bounds, abs=1e-6)


def test_a_single_look_is_the_fixed_test():
    plan = with_futility([1.0], alpha=0.025, beta=0.1)
    assert plan.futility_bounds == ()
    assert plan.critical_values == pytest.approx([stats.norm.isf(0.025)])
    assert plan.characteristics.inflation_factor == pytest.approx(1.0)


@pytest.mark.parametrize("wrong", [{"alpha": 0.5, "beta": 0.5}, {"alpha": 0.0}, {"beta": 1.0}, {"beta_rule": "none"}])
def test_a_plan_that_cannot_be_is_refused(wrong):
    with pytest.raises(InvalidRequest):
        with_futility([0.5, 1.0], **wrong)


def test_no_futility_where_nothing_is_spent():
    assert futility_bounds([0.5], [2.5], [0.0], drift=2.8) == (-37.0,)
    assert futility_bounds([0.5], [2.5], [0.9999], drift=2.8) == (2.5,)  # it may spend all there is


@given(st.floats(0.01, 0.99), st.floats(-5, 5), st.floats(-3, 6), st.floats(1, 3))
def test_conditional_power_is_that_of_the_rest_of_the_walk(information, z, drift, critical):
    rest = stats.norm(b_value(information, z) + drift * (1 - information), math.sqrt(1 - information))
    power = conditional_power(information, z, drift=drift, critical_value=critical)
    assert power == pytest.approx(rest.sf(critical), rel=1e-9, abs=1e-300)
    assert power <= conditional_power(information, z + 0.1, drift=drift, critical_value=critical)
    assert power <= conditional_power(information, z, drift=drift + 0.1, critical_value=critical)


@pytest.mark.parametrize(("information", "z"), [(0.2, 1.0), (0.5, -0.4), (0.9, 2.2)])
def test_predictive_power_is_conditional_power_over_what_is_known_of_the_drift(information, z):
    known = stats.norm(current_trend(information, z), 1 / math.sqrt(information))

    def weighed(drift):
        return known.pdf(drift) * conditional_power(information, z, drift=drift, critical_value=1.96)

    mean, spread = known.mean(), known.std()
    expected, _ = integrate.quad(weighed, mean - 12 * spread, mean + 12 * spread, epsabs=1e-12, limit=200)
    assert predictive_power(information, z, critical_value=1.96) == pytest.approx(expected, abs=1e-9)


def test_at_the_end_the_power_is_known():
    assert (
        conditional_power(1.0, 2.0, drift=-5, critical_value=1.96)
        == predictive_power(1.0, 2.0, critical_value=1.96)
        == 1
    )
    assert (
        conditional_power(1.0, 1.9, drift=5, critical_value=1.96)
        == predictive_power(1.0, 1.9, critical_value=1.96)
        == 0
    )
    assert planned_drift(0.025, 0.8) == pytest.approx(2.8015852, abs=1e-6)


@pytest.mark.parametrize(("information", "z"), [(0.0, 1.0), (1.1, 1.0), (-0.5, 1.0), (math.nan, 1.0), (0.5, math.inf)])
def test_no_power_is_told_of_what_cannot_be(information, z):
    with pytest.raises(InvalidRequest):
        conditional_power(information, z, drift=2.8, critical_value=1.96)
    with pytest.raises(InvalidRequest):
        predictive_power(information, z, critical_value=1.96)
    with pytest.raises(InvalidRequest):
        current_trend(information, z)
