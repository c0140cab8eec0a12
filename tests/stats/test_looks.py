"""Planned looks as a value: what is allowed, what is decided, and that the answers agree with each other."""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from chopmark.errors import InvalidRequest
from chopmark.stats.conditional_power import planned_drift
from chopmark.stats.futility import with_futility
from chopmark.stats.looks import BetaSpending, LowPower, PlannedLooks

RULES = [
    ("pocock", None),
    ("obrien_fleming", None),
    ("lan_demets_obrien_fleming", None),
    ("lan_demets_pocock", None),
    ("kim_demets_power", 2.0),
    ("hwang_shih_decani", -4.0),
]
rules = st.sampled_from(RULES)


@settings(max_examples=60, deadline=None)
@given(rules, st.integers(1, 6), st.sampled_from([1, 2]), st.floats(0.001, 0.2), st.data())
def test_p_value_bound_and_interval_agree_at_every_look(rule, count, sided, alpha, data):
    plan = PlannedLooks.evenly(count, rule=rule[0], parameter=rule[1], alpha=alpha, sided=sided)
    planned = plan.boundaries
    for k in range(count):
        z = data.draw(st.floats(-5, 5))
        assume(abs(abs(z) - planned[k]) > 1e-6)
        before = plan
        plan = plan.observe((k + 1) / count, z)
        look = plan.looks[-1]
        assert before.looks == plan.looks[:-1]
        assert look.boundary == pytest.approx(planned[k], abs=1e-8)
        assert look.crossed == plan.decided == (plan.p_value <= alpha) == ((z if sided == 1 else abs(z)) >= planned[k])
        assert 0 < plan.p_value <= before.p_value <= 1
        assert look.crossed == (0.0 not in plan.interval(z, 1.0))
        assert msgspec.json.decode(msgspec.json.encode(plan), type=PlannedLooks) == plan
        if plan.decided:
            break
    assert plan.ended
    assert plan.looks[-1].last == (len(plan.looks) == count)


@pytest.mark.parametrize("sided", [1, 2])
@pytest.mark.parametrize("rule", RULES)
def test_the_bound_itself_decides_and_what_is_below_does_not(rule, sided):
    plan = PlannedLooks.evenly(3, rule=rule[0], parameter=rule[1], sided=sided).observe(1 / 3, 0.3)
    bound = plan.observe(2 / 3, 0.0).looks[-1].boundary
    assert plan.observe(2 / 3, bound).decided
    assert plan.observe(2 / 3, -bound).decided == (sided == 2)
    below = plan.observe(2 / 3, bound - 1e-6)
    assert not below.decided
    assert below.p_value == pytest.approx(0.05, abs=1e-5)


@settings(max_examples=40, deadline=None)
@given(rules, st.lists(st.floats(-6, 6), min_size=1, max_size=5))
def test_a_two_sided_plan_does_not_care_which_arm_is_which(rule, statistics):
    one = other = PlannedLooks.evenly(5, rule=rule[0], parameter=rule[1], futility=LowPower(2.8))
    for k, z in enumerate(statistics):
        if one.ended:
            break
        one, other = one.observe((k + 1) / 5, z), other.observe((k + 1) / 5, -z)
        here, there = one.looks[-1], other.looks[-1]
        assert msgspec.structs.replace(here, z=0.0) == msgspec.structs.replace(there, z=0.0)


def test_an_unplanned_look_is_refused_unless_spending_is_by_information():
    fixed = PlannedLooks.evenly(4, rule="obrien_fleming").observe(0.25, 1.0)
    for information in (0.1, 0.25, 0.4, 1.2):
        with pytest.raises(InvalidRequest, match="No look is planned"):
            fixed.observe(information, 1.0)
    assert len(fixed.looks) == 1
    skipped = fixed.observe(0.7496, 1.0)  # the second is left out, and the third is near enough
    assert [look.information for look in skipped.looks] == [0.25, 0.75]
    assert skipped.looks[-1].boundary == pytest.approx(PlannedLooks.evenly(4, rule="obrien_fleming").boundaries[2])
    with pytest.raises(InvalidRequest, match="cannot end early"):
        fixed.observe(0.5, 1.0, last=True)
    by_information = PlannedLooks.evenly(4).observe(0.25, 1.0).observe(0.4, 1.0).observe(0.41, 1.0)
    assert [look.information for look in by_information.looks] == [0.25, 0.4, 0.41]
    with pytest.raises(InvalidRequest, match="nothing new"):
        by_information.observe(0.41, 1.0)


def test_a_skipped_look_spends_nothing_and_a_spending_plan_uses_what_was_left():
    straight = PlannedLooks.evenly(1).observe(1.0, 1.0)
    assert straight.looks[-1].boundary == pytest.approx(stats.norm.isf(0.025))
    skipping = PlannedLooks.evenly(4, rule="lan_demets_pocock").observe(0.75, 1.0)
    assert skipping.looks[-1].boundary < PlannedLooks.evenly(4, rule="lan_demets_pocock").boundaries[2]


def test_never_more_than_twenty_looks():
    for count in (0, 21, 1_000_000_000):
        with pytest.raises(InvalidRequest, match="looks cannot be planned"):
            PlannedLooks.evenly(count)
    plan = PlannedLooks.evenly(2)
    for k in range(20):
        assert not plan.ended
        plan = plan.observe(0.01 * (k + 1), 0.5)
    assert plan.ended  # the twentieth spends what is left
    assert plan.looks[-1].alpha_spent == 0.05
    with pytest.raises(InvalidRequest, match="ended at its look 20"):
        plan.observe(0.5, 0.5)


def test_what_ends_a_plan():
    plan = PlannedLooks.evenly(3)
    assert (plan.p_value, plan.decided, plan.futile, plan.ended) == (1.0, False, False, False)
    assert plan.interval(0.3, 0.1).high == math.inf
    early = plan.observe(0.4, 1.0).observe(0.7, 2.2, last=True)
    assert early.ended
    assert early.looks[-1].alpha_spent == 0.05
    assert early.looks[-1].boundary < plan.observe(0.4, 1.0).observe(0.7, 2.2).looks[-1].boundary
    over = plan.observe(0.5, 1.0).observe(1.3, 1.0)
    assert over.ended
    assert not over.decided
    assert over.looks[-1].alpha_spent == 0.05
    nearly = plan.observe(0.9995, 1.0)
    assert nearly.ended
    won = plan.observe(0.5, -4.0)
    assert won.decided
    with pytest.raises(InvalidRequest, match="ended at its look 1"):
        won.observe(1.0, 0.0)


@pytest.mark.parametrize(
    ("rule", "parameter"), [("obrien_fleming", None), ("lan_demets_pocock", None), ("hwang_shih_decani", -4.0)]
)
def test_alpha_spent_is_the_planned_share(rule, parameter):
    plan = PlannedLooks.evenly(3, rule=rule, parameter=parameter, alpha=0.04)
    spent = []
    for k in range(3):
        plan = plan.observe((k + 1) / 3, 0.0)
        spent.append(plan.looks[-1].alpha_spent)
    first = 2 * stats.norm.sf(plan.looks[0].boundary)
    assert spent[0] == pytest.approx(first, rel=1e-9)
    assert sorted(spent) == spent
    assert spent[-1] == 0.04


@pytest.mark.parametrize("rule", RULES)
def test_the_first_look_of_spending_has_the_p_value_that_its_rule_gives(rule):
    plan = PlannedLooks(planned=(1.0,), rule=rule[0], parameter=rule[1])
    assert plan.observe(1.0, 2.3).p_value == pytest.approx(
        2 * stats.norm.sf(2.3), rel=1e-8
    )  # one look is the plain test
    assert plan.observe(1.0, 0.0).p_value == pytest.approx(1.0, abs=1e-8)
    assert plan.observe(1.0, 60.0).p_value <= 1e-290


@pytest.mark.parametrize("sided", [1, 2])
def test_low_conditional_power_is_futile_and_changes_no_bound(sided):
    drift = planned_drift(0.05 / sided, 0.8)
    plain = PlannedLooks.evenly(4, sided=sided)
    plan = PlannedLooks.evenly(4, sided=sided, futility=LowPower(drift, least=0.3))
    bad, good = plan.observe(0.5, 0.0), plan.observe(0.5, 2.0)
    assert bad.futile
    assert not good.futile
    assert not bad.ended
    low, high = bad.looks[-1].conditional_power, good.looks[-1].conditional_power
    assert low is not None
    assert high is not None
    assert low < 0.3 < high
    on = bad.observe(1.0, 5.0)
    assert on.decided  # advice may be left aside
    assert not on.futile
    assert on.looks[-1].conditional_power is None
    assert [x.boundary for x in on.looks] == [x.boundary for x in plain.observe(0.5, 0.0).observe(1.0, 5.0).looks]
    down = plan.observe(0.5, -2.0)
    assert down.futile == (sided == 1)


def test_beta_spending_gives_the_bounds_of_its_design():
    information = (0.3, 0.6, 1.0)
    design = with_futility(information, alpha=0.025, beta=0.2, beta_rule="lan_demets_pocock")
    futility = BetaSpending(design.characteristics.drift, 0.2, "lan_demets_pocock")
    plan = PlannedLooks(planned=information, alpha=0.025, sided=1, futility=futility)
    first = plan.observe(0.3, design.futility_bounds[0] + 0.01)
    second = first.observe(0.6, design.futility_bounds[1] - 0.01)
    assert first.looks[-1].futility_bound == pytest.approx(design.futility_bounds[0], abs=1e-8)
    assert second.looks[-1].futility_bound == pytest.approx(design.futility_bounds[1], abs=1e-8)
    assert (first.futile, second.futile) == (False, True)
    assert second.observe(1.0, 0.0).looks[-1].futility_bound is None
    assert msgspec.json.decode(msgspec.json.encode(second), type=PlannedLooks) == second


def test_the_error_rate_holds_at_looks_that_nobody_planned():
    """Looks at random information, other ones in each run; 4 standard errors of 3,000 runs."""
    draws, runs, wrong, advised = np.random.default_rng(3), 3_000, 0, 0
    patterns = [tuple(sorted({*np.round(draws.uniform(0.05, 0.95, size=3), 2)})) for _ in range(12)]
    for run in range(runs):
        shares = (*patterns[run % len(patterns)], 1.0)
        steps = np.sqrt(np.diff(shares, prepend=0.0))
        z = (draws.normal(size=len(shares)) * steps).cumsum() / np.sqrt(shares)
        bounds = _bounds(shares)
        wrong += bool((np.abs(z) >= bounds).any())
        advised += len(shares)
    assert advised > runs
    assert wrong / runs == pytest.approx(0.05, abs=4 * math.sqrt(0.05 * 0.95 / runs))


def _bounds(shares, cache={}):  # noqa: B006 - the same few patterns come again and again
    if shares not in cache:
        plan = PlannedLooks.evenly(2, rule="lan_demets_pocock")
        for share in shares:
            plan = plan.observe(share, 0.0)
        cache[shares] = np.array([look.boundary for look in plan.looks])
    return cache[shares]


@pytest.mark.parametrize(
    "wrong",
    [
        {"planned": (0.5, 0.9)},
        {"planned": (0.5, 0.4, 1.0)},
        {"planned": ()},
        {"planned": (1.0,), "alpha": 1.0},
        {"planned": (1.0,), "alpha": math.nan},
        {"planned": (1.0,), "sided": 0},
        {"planned": (1.0,), "rule": "guess"},
        {"planned": (1.0,), "rule": "pocock", "parameter": 1.0},
        {"planned": (1.0,), "rule": "kim_demets_power"},
        {"planned": (1.0,), "futility": LowPower(0.0)},
        {"planned": (1.0,), "futility": LowPower(math.nan)},
        {"planned": (1.0,), "futility": LowPower(2.8, least=1.0)},
        {"planned": (1.0,), "futility": BetaSpending(2.8)},
        {"planned": (1.0,), "sided": 1, "futility": BetaSpending(2.8, rule="kim_demets_power")},
    ],
)
def test_a_plan_that_cannot_be_meant_is_refused(wrong):
    with pytest.raises(InvalidRequest) as refused:
        PlannedLooks(**wrong)
    assert refused.value.hint


@pytest.mark.parametrize(
    ("information", "z"), [(math.nan, 0.0), (0.5, math.nan), (0.0, 1.0), (-1.0, 1.0), (0.5, math.inf)]
)
@pytest.mark.parametrize("rule", ["pocock", "lan_demets_pocock"])
def test_a_look_that_cannot_be_meant_changes_nothing(rule, information, z):
    plan = PlannedLooks.evenly(4, rule=rule)
    with pytest.raises(InvalidRequest):
        plan.observe(information, z)
    assert plan == PlannedLooks.evenly(4, rule=rule)
