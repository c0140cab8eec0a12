"""Experiments with planned looks: few units at the first of them, and an error rate that has to hold all the same."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from chopmark.stats.effects import normal_deviate, normal_effect, student_effect, student_reach
from chopmark.stats.experiment import Experiment
from chopmark.stats.looks import LookRule, PlannedLooks
from chopmark.stats.means import guarded_test, welch_test
from chopmark.stats.plans import Batch, Metric, Plan, Summary
from chopmark.stats.readings import fixed_effect, repeated_interval
from chopmark.stats.summaries import Cuped, Mean, Proportion, Ratio

Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]
MOST = 0.073  # of 1,000 runs at 5 %, with a probability of 0.999
RUNS = 1_000


def normal(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return random.normal(size=shape)


def lognormal(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return random.lognormal(size=shape)


def winners(
    draw: Draw, n: int, share: float, looks: int, rule: LookRule, deviate: Callable[[Mean, Mean], float]
) -> float:
    """Share of experiments without a difference that a look calls decided."""
    bounds = PlannedLooks.evenly(looks, rule=rule).boundaries
    random = np.random.default_rng(31)
    values, treated = draw(random, (RUNS, n)), random.random((RUNS, n)) < share
    hits = 0
    for value, arm in zip(values, treated, strict=True):
        ends = [round(n * (k + 1) / looks) for k in range(looks)]
        arms = [(Mean.of(value[:end][~arm[:end]]), Mean.of(value[:end][arm[:end]])) for end in ends]
        hits += any(abs(deviate(*both)) >= bound for both, bound in zip(arms, bounds, strict=True))
    return hits / RUNS


@pytest.mark.parametrize("draw", [normal, lognormal])
@pytest.mark.parametrize(
    ("n", "share", "looks", "rule"),
    [
        (16, 0.5, 4, "lan_demets_obrien_fleming"),
        (16, 0.5, 4, "pocock"),
        (1_000, 0.01, 4, "pocock"),
        (1_000, 0.01, 10, "pocock"),
        (200, 0.1, 5, "pocock"),
    ],
)
def test_equal_means_seldom_win_at_few_units(draw: Draw, n: int, share: float, looks: int, rule: LookRule) -> None:
    found = winners(draw, n, share, looks, rule, lambda c, t: normal_deviate(fixed_effect(c, t, 0.95)))
    assert found <= MOST


def test_t_taken_for_z_would_win_far_too_often() -> None:
    """The harness can tell; and that Welch's error alone is not enough at a small canary of a skewed metric."""
    assert winners(normal, 1_000, 0.01, 4, "pocock", lambda c, t: welch_test(c, t).statistic) > 0.15
    assert winners(lognormal, 1_000, 0.01, 4, "pocock", lambda c, t: normal_deviate(welch_test(c, t))) > 0.15


def planned(metric: Metric, *, n: int, looks: PlannedLooks | None = None) -> Experiment:
    return Experiment.planned(
        Plan(
            variants={"a": 0.5, "b": 0.5},
            control="a",
            metrics=(metric,),
            method="planned",
            planned_n=n,
            looks=looks or PlannedLooks.evenly(4),
        )
    )


def seen(experiment: Experiment, a: Summary, b: Summary) -> Experiment:
    name = experiment.plan.primary.name
    return experiment.observe(Batch(records={"a": {name: a}, "b": {name: b}})).look()


def test_two_units_an_arm_decide_nothing_by_their_t() -> None:
    cost = Metric(name="cost", kind="mean", role="primary")
    experiment = seen(planned(cost, n=16), Mean.of([1.0, 1.01]), Mean.of([1.2, 1.21]))
    effect = welch_test(Mean.of([1.0, 1.01]), Mean.of([1.2, 1.21]))
    assert experiment.looks["b"].looks[-1].z == pytest.approx(-stats.norm.ppf(effect.p_value / 2))
    assert effect.p_value == pytest.approx(0.00125, rel=0.01)
    assert experiment.verdict.decision == "continue"
    assert 0.0 in experiment.readings[0].interval


@pytest.mark.parametrize(
    ("kind", "arms"),
    [
        ("ratio", (Ratio.of([1.0, 1.01], [1.0, 1.0]), Ratio.of([1.2, 1.21], [1.0, 1.0]))),
        ("cuped", (Cuped.of([1.0, 1.01], [1.0, 1.0]), Cuped.of([1.2, 1.21], [1.0, 1.0]))),
    ],
)
def test_nor_do_those_of_a_ratio_or_an_adjusted_mean(kind: str, arms: tuple[Summary, Summary]) -> None:
    metric = Metric(name="x", kind=kind, role="primary")  # type: ignore[arg-type]
    assert seen(planned(metric, n=16), *arms).verdict.decision == "continue"


@pytest.mark.parametrize("freedom", [1.0, 2.3, 17.0, 1e6])
@pytest.mark.parametrize("t", [-40.0, -3.0, -0.1, 0.0, 0.4, 12.0])
def test_the_deviate_is_as_far_in_its_tail(freedom: float, t: float) -> None:
    z = normal_deviate(student_effect(t, 1.0, freedom, 0.95))
    if abs(z) < 37:
        assert student_reach(abs(z), freedom) == pytest.approx(abs(t), rel=1e-6, abs=1e-9)
        assert stats.norm.logsf(abs(z)) == pytest.approx(stats.t.logsf(abs(t), freedom), rel=1e-9)
    assert math.copysign(1.0, z) == math.copysign(1.0, t)


def test_a_normal_statistic_stays_what_it_is_and_no_deviate_is_infinite() -> None:
    assert normal_deviate(normal_effect(60.0, 1.0, 0.95)) == 60.0
    assert normal_deviate(student_effect(-1e300, 1.0, 1e9, 0.95)) == -37.5


def test_the_guarded_error_is_welchs_for_arms_of_one_size_and_never_smaller() -> None:
    small, large = Mean.from_deviation(5, 1.0, 0.1), Mean.from_deviation(500, 1.3, 2.0)
    assert guarded_test(large, small).standard_error == pytest.approx(2.0 * math.sqrt(1 / 500 + 1 / 5), rel=0.01)
    wide = Mean.from_deviation(5, 1.3, 9.0)
    assert guarded_test(large, wide).p_value == pytest.approx(welch_test(large, wide).p_value)
    same = Mean.from_deviation(500, 1.0, 0.1)
    assert guarded_test(large, same).p_value == pytest.approx(welch_test(large, same).p_value)
    assert guarded_test(Mean(1, 2.0), large).flags == ("too_few",)


@pytest.mark.parametrize("shift", np.linspace(0.0, 4.0, 9))
def test_the_interval_of_a_look_leaves_zero_out_when_it_decides(shift: float) -> None:
    arms = Mean.from_deviation(6, 0.0, 1.0), Mean.from_deviation(9, shift, 2.0)
    effect = fixed_effect(*arms, 0.95)
    for bound in (1.5, 2.5, 4.0):
        interval = repeated_interval(effect, *arms, bound, sided=2)
        assert (0.0 not in interval) == (abs(normal_deviate(effect)) >= bound)
        assert effect.estimate in interval
    assert repeated_interval(effect, *arms, 2.5, sided=1).high == math.inf


def test_a_rate_of_few_records_is_judged_exactly_at_a_look() -> None:
    success = Metric(name="s", kind="proportion", role="primary", threshold=0.02)
    rare = seen(planned(success, n=400), Proportion(0, 50), Proportion(4, 50))
    assert rare.readings[0].flags == ("exact",)
    assert rare.verdict.decision == "continue"
    assert 0.0 in rare.readings[0].interval
    sure = Metric(name="s", kind="proportion", role="primary")
    found = seen(planned(sure, n=120, looks=PlannedLooks.evenly(6)), Proportion(0, 10), Proportion(9, 10))
    assert found.looks["b"].looks[-1].z == pytest.approx(-stats.norm.ppf(stats.fisher_exact([[0, 10], [9, 1]])[1] / 2))
