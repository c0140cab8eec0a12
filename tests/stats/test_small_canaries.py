"""Arms of few records: what is plain is said, by exact tests, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from chopmark.stats.experiment import Experiment
from chopmark.stats.looks import PlannedLooks
from chopmark.stats.means import welch_test
from chopmark.stats.plans import Batch, Metric, Plan, Summary
from chopmark.stats.readings import fixed_effect
from chopmark.stats.summaries import Cuped, Mean, Proportion, Ratio

SUMMARISED: dict[str, Callable[..., Summary]] = {
    "mean": lambda y, _: Mean.of(y),
    "ratio": lambda y, _: Ratio.of(y, np.ones(y.size)),
    "cuped": Cuped.of,
}
SUCCESS = Metric(name="s", kind="proportion", role="primary", threshold=0.05)


@pytest.mark.parametrize("method", ["fixed", "planned"])
def test_what_is_plain_at_a_small_canary_is_said(method: str) -> None:
    plan = Plan(
        variants={"a": 0.99, "b": 0.01},
        control="a",
        metrics=(SUCCESS,),
        method=method,  # type: ignore[arg-type]
        planned_n=10_000,
        looks=PlannedLooks.evenly(1) if method == "planned" else None,
    )
    experiment = Experiment.planned(plan)
    few = Batch(records={"a": {"s": Proportion(0, 9_900)}, "b": {"s": Proportion(4, 100)}})
    plain = Batch(records={"a": {"s": Proportion(0, 9_900)}, "b": {"s": Proportion(60, 100)}})
    found = [
        after if method == "fixed" else after.look() for after in (experiment.observe(part) for part in (plain, few))
    ]
    assert [each.verdict.winner for each in found] == ["b", None]
    assert [each.readings[0].is_significant for each in found] == [True, True]
    assert [each.readings[0].flags for each in found] == [("exact",)] * 2


counts = st.tuples(st.integers(0, 12), st.integers(0, 40)).map(lambda c: Proportion(c[0], sum(c)))


@given(counts, counts)
def test_small_counts_are_tested_exactly_and_interval_and_p_agree(control: Proportion, treatment: Proportion) -> None:
    effect = fixed_effect(control, treatment, 0.95)
    if "exact" not in effect.flags:
        return
    table = [[control.successes, control.failures], [treatment.successes, treatment.failures]]
    assert effect.p_value == pytest.approx(stats.fisher_exact(table)[1], rel=1e-6)
    assert effect.p_less == pytest.approx(stats.fisher_exact(table, alternative="greater")[1], rel=1e-6)
    assert effect.p_greater == pytest.approx(stats.fisher_exact(table, alternative="less")[1], rel=1e-6)
    assert (0.0 not in effect.interval) == (effect.p_value <= 0.05)
    assert effect.estimate in effect.interval or effect.estimate == 0
    swapped = fixed_effect(treatment, control, 0.95)
    assert swapped.p_value == pytest.approx(effect.p_value)
    assert swapped.statistic == pytest.approx(-effect.statistic, abs=1e-9)


def test_more_trials_than_the_exact_test_takes_are_few_still() -> None:
    effect = fixed_effect(Proportion(3, 11_000_000), Proportion(0, 110_000), 0.95)
    assert effect.flags == ("too_few",)
    both = fixed_effect(Proportion(1, 5_900_000), Proportion(3, 5_900_000), 0.95)
    assert both.flags == ("too_few",)


@pytest.mark.parametrize("units", [10, 100, 1_000])
@pytest.mark.parametrize("kind", ["mean", "ratio", "cuped"])
def test_a_small_canary_of_a_skewed_metric_finds_nothing_at_a_fixed_end_either(units: int, kind: str) -> None:
    random = np.random.default_rng(units)
    found, runs = {"fixed": 0, "welch": 0}, 400
    for _ in range(runs):
        both = random.lognormal(0, 2, 9_000 + units)
        other = random.normal(1, 0.1, both.size)
        control, treatment = (
            SUMMARISED[kind](y, x) for y, x in ((both[units:], other[units:]), (both[:units], other[:units]))
        )
        found["fixed"] += fixed_effect(control, treatment, 0.95).p_value <= 0.05
        found["welch"] += welch_test(Mean.of(both[units:]), Mean.of(both[:units])).p_value <= 0.05
    assert found["fixed"] <= 0.06 * runs
    assert found["welch"] >= 0.09 * runs, "the usual test is fooled by these data"


def test_arms_of_one_size_have_the_test_of_textbooks() -> None:
    random = np.random.default_rng(1)
    arms = Mean.of(random.lognormal(size=300)), Mean.of(random.lognormal(size=300))
    assert fixed_effect(*arms, 0.95).p_value == pytest.approx(welch_test(*arms).p_value, rel=1e-9)
