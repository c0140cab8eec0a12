"""An experiment from its plan to its verdict."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chopmark.errors import InvalidRequest
from chopmark.stats.experiment import Experiment
from chopmark.stats.looks import LowPower, PlannedLooks
from chopmark.stats.plans import Batch, Metric, Plan, Summary
from chopmark.stats.readings import fixed_effect
from chopmark.stats.sketch import QuantileSketch
from chopmark.stats.summaries import Cuped, Exposures, Mean, Proportion, Ratio

SUCCESS = Metric(name="success", kind="proportion", role="primary", threshold=0.01)
ERRORS = Metric(name="errors", kind="proportion", role="guardrail", better="lower", threshold=0.01)
LATENCY = Metric(name="latency_ms", kind="quantile", role="guardrail", better="lower", threshold=0.05)
COST = Metric(name="cost", kind="ratio", better="lower")
REVENUE = Metric(name="revenue", kind="mean")
LIFT = Metric(name="lift", kind="cuped")


def plan(*others: Metric, primary: Metric = SUCCESS, **settings: Any) -> Plan:
    return Plan(**{"variants": {"a": 0.5, "b": 0.5}, "control": "a", "metrics": (primary, *others), **settings})


def batch(exposed: dict[str, int] | None = None, /, **metrics: tuple[Summary, ...]) -> Batch:
    """A batch of what each of a, b, … did."""
    width = max(len(found) for found in metrics.values())
    names = "abcdefgh"[:width]
    records = {v: {metric: found[i] for metric, found in metrics.items()} for i, v in enumerate(names)}
    return Batch(exposures=Exposures(exposed or {}), records=records)


def rates(a: int, b: int, n: int = 2_000) -> tuple[Proportion, Proportion]:
    return Proportion(a, n), Proportion(b, n)


def after(planned: Plan, *batches: Batch) -> Experiment:
    experiment = Experiment.planned(planned)
    for each in batches:
        experiment = experiment.observe(each)
    return experiment


def test_the_treatment_wins_when_it_is_better_by_more_than_matters() -> None:
    verdict = after(plan(), batch(success=rates(1_800, 1_900)), batch(success=rates(1_800, 1_900))).verdict
    assert (verdict.decision, verdict.winner) == ("winner", "b")
    assert verdict.sentence.startswith("b wins: success is 5 points higher than with a (interval ")
    assert "Promote b" in verdict.sentence


def test_it_does_not_win_when_its_lead_may_be_less_than_matters() -> None:
    experiment = after(plan(), batch(success=rates(8_850, 9_000, 10_000)))
    assert experiment.readings[0].is_significant
    assert experiment.readings[0].interval.low < SUCCESS.threshold
    assert experiment.verdict.decision == "continue"


def test_the_control_wins_when_every_treatment_is_worse() -> None:
    verdict = after(plan(), batch(success=rates(1_900, 1_750)), batch(success=rates(1_900, 1_750))).verdict
    assert (verdict.decision, verdict.winner) == ("winner", "a")
    assert "Keep a" in verdict.sentence


def test_a_metric_that_should_be_low_is_won_by_the_lower() -> None:
    primary = Metric(name="failures", kind="proportion", role="primary", better="lower")
    verdict = after(plan(primary=primary), batch(failures=rates(200, 100))).verdict
    assert (verdict.decision, verdict.winner) == ("winner", "b")
    assert "lower than with a" in verdict.sentence


def test_a_breached_guardrail_forbids_to_win() -> None:
    data = batch(success=rates(1_700, 1_900), errors=rates(20, 200))
    verdict = after(plan(ERRORS), data, data).verdict
    assert verdict.decision == "inconclusive"
    assert verdict.winner is None
    assert verdict.breached == {"b": ("errors",)}
    assert "b breaches errors" in verdict.sentence


def test_a_guardrail_that_is_a_little_worse_forbids_nothing() -> None:
    data = batch(success=rates(1_700, 1_900), errors=rates(20, 24))
    assert after(plan(ERRORS), data, data).verdict.decision == "winner"


def test_a_quantile_is_compared_at_the_limit_that_the_control_set_before() -> None:
    rng = np.random.default_rng(1)

    def data(slower: float) -> Batch:
        arms = (QuantileSketch.of(rng.lognormal(3, 0.5, 2_000) * k) for k in (1.0, slower))
        return batch(success=rates(1_700, 1_900), latency_ms=tuple(arms))

    first = after(plan(LATENCY), data(1.5))
    assert list(first.limits) == ["latency_ms"]
    assert first.exceeded == {}
    slow = first.observe(data(1.5)).observe(data(1.5))
    assert slow.limits == first.limits
    assert slow.exceeded["a"]["latency_ms"].n == 4_000
    assert slow.exceeded["b"]["latency_ms"].rate > 0.1 > slow.exceeded["a"]["latency_ms"].rate
    assert slow.verdict.breached == {"b": ("latency_ms",)}
    as_fast = after(plan(LATENCY), data(1.0), data(1.0), data(1.0))
    assert as_fast.verdict.decision == "winner"
    reading = as_fast.readings[1]
    assert reading.control_value == pytest.approx(np.exp(3 + 0.5 * 1.645), rel=0.05)


def test_units_that_fall_to_the_wrong_variants_make_it_invalid() -> None:
    verdict = after(plan(), batch({"a": 5_000, "b": 4_000}, success=rates(1_700, 1_900))).verdict
    assert verdict.decision == "invalid"
    assert "shares" in verdict.sentence


def test_shares_that_change_are_no_mismatch() -> None:
    ten = batch({"a": 9_000, "b": 1_000}, success=(Proportion(8_100, 9_000), Proportion(900, 1_000)))
    half = batch({"a": 5_000, "b": 5_000}, success=(Proportion(4_500, 5_000), Proportion(4_500, 5_000)))
    ten = msgspec.structs.replace(ten, shares={"a": 0.9, "b": 0.1})
    assert after(plan(), ten, half, ten).verdict.decision == "continue"
    assert after(plan(), msgspec.structs.replace(ten, shares=None)).verdict.decision == "invalid"


def test_equal_rates_end_as_no_difference() -> None:
    primary = msgspec.structs.replace(SUCCESS, threshold=0.05)
    verdict = after(plan(primary=primary), *[batch(success=rates(1_800, 1_800))] * 5).verdict
    assert verdict.decision == "no difference"
    assert "5 points" in verdict.sentence


def test_what_cannot_matter_any_more_is_futile() -> None:
    primary = msgspec.structs.replace(SUCCESS, threshold=0.03)
    data = batch(success=(Proportion(18_000, 20_000), Proportion(17_600, 20_000)))
    verdict = after(plan(primary=primary), data).verdict
    assert verdict.decision == "futile"
    assert "keep a" in verdict.sentence


def test_an_end_without_an_answer_is_inconclusive() -> None:
    verdict = after(plan(planned_n=400), batch(success=rates(180, 184, 200))).verdict
    assert verdict.decision == "inconclusive"
    assert "400 units were planned" in verdict.sentence


@pytest.mark.parametrize("rate", [0, 2_000])
def test_arms_that_are_all_alike_decide_nothing(rate: int) -> None:
    experiment = after(plan(), *[batch(success=rates(rate, rate))] * 3)
    assert experiment.readings[0].p_value == 1
    assert "all_equal" in experiment.readings[0].flags
    assert experiment.verdict.winner is None


def test_before_anything_came_it_goes_on() -> None:
    experiment = Experiment.planned(plan(ERRORS, LATENCY, COST, REVENUE, LIFT))
    assert experiment.verdict.decision == "continue"
    assert all(reading.p_value == 1 and reading.flags == ("no_data",) for reading in experiment.readings)


def test_of_several_treatments_the_best_that_may_wins() -> None:
    planned = plan(ERRORS, variants={"a": 0.25, "b": 0.25, "c": 0.25, "d": 0.25})
    success = tuple(Proportion(k, 4_000) for k in (3_400, 3_600, 3_700, 3_900))
    errors = tuple(Proportion(k, 4_000) for k in (40, 40, 40, 400))
    verdict = after(planned, batch(success=success, errors=errors)).verdict
    assert verdict.winner == "c"
    assert verdict.breached == {"d": ("errors",)}
    assert "b beat it too" in verdict.sentence


def test_treatments_share_the_error_rate() -> None:
    data = rates(1_800, 1_857)
    two = after(plan(), batch(success=data)).rates["b"]["success"]
    planned = plan(variants={"a": 0.25, "b": 0.25, "c": 0.25, "d": 0.25})
    four = after(planned, batch(success=(*data, *data))).rates["b"]["success"]
    assert two.alpha == 0.05
    assert four.alpha == pytest.approx(0.05 / 3)


@pytest.mark.parametrize(
    ("metric", "arms"),
    [
        (REVENUE, (Mean.from_deviation(3_000, 10.0, 3.0), Mean.from_deviation(3_000, 10.6, 3.0))),
        (COST, (Ratio(3_000, 10.0, 5.0, 3_000.0, 900.0, 800.0), Ratio(3_000, 8.0, 5.0, 3_000.0, 900.0, 800.0))),
        (
            LIFT,
            (Cuped(3_000, 10.0, 5.0, 9_000.0, 9_000.0, 8_000.0), Cuped(3_000, 10.3, 5.0, 9_000.0, 9_000.0, 8_000.0)),
        ),
    ],
)
def test_means_ratios_and_adjusted_means_can_decide(metric: Metric, arms: tuple[Summary, Summary]) -> None:
    primary = msgspec.structs.replace(metric, role="primary")
    experiment = after(plan(primary=primary), batch(**{metric.name: arms}))
    assert experiment.verdict.winner == "b"
    assert experiment.readings[0].p_value < 1e-3


def test_cuped_sees_what_the_plain_mean_does_not() -> None:
    arms = (Cuped(3_000, 10.0, 5.0, 9_000.0, 9_000.0, 8_900.0), Cuped(3_000, 10.05, 5.0, 9_000.0, 9_000.0, 8_900.0))
    plain = tuple(Mean(arm.n, arm.mean_y, arm.m2_y) for arm in arms)
    lift = after(plan(primary=msgspec.structs.replace(LIFT, role="primary")), batch(lift=arms))
    revenue = after(plan(primary=msgspec.structs.replace(REVENUE, role="primary")), batch(revenue=plain))
    assert lift.verdict.winner == "b"
    assert revenue.verdict.decision == "continue"


def test_a_fixed_experiment_answers_at_its_end_and_once() -> None:
    planned = plan(COST, method="fixed", planned_n=4_000)
    cost = (Ratio(1_000, 10.0, 5.0, 900.0, 90.0, 80.0), Ratio(1_000, 8.0, 5.0, 900.0, 90.0, 80.0))
    half = after(planned, batch(success=rates(900, 950, 1_000), cost=cost))
    assert half.verdict.decision == "continue"
    assert [(r.p_value, r.flags) for r in half.readings] == [(1.0, ("too_early",))] * 2
    whole = half.observe(batch(success=rates(900, 950, 1_000), cost=cost))
    assert whole.verdict.winner == "b"
    assert whole.readings[1].is_significant
    with pytest.raises(InvalidRequest, match="ended with 4,000 units"):
        whole.observe(batch(success=rates(1, 1)))


def test_a_planned_experiment_answers_at_its_looks() -> None:
    planned = plan(method="planned", planned_n=8_000, looks=PlannedLooks.evenly(4))
    part = batch(success=rates(850, 910, 1_000))
    first = after(planned, part)
    assert first.verdict.decision == "continue"
    assert first.readings[0].flags == ("too_early",)
    second = first.look().observe(part).look()
    assert second.looks["b"].decided
    assert (second.verdict.decision, second.verdict.winner) == ("winner", "b")
    with pytest.raises(InvalidRequest, match="ended"):
        second.observe(part)
    with pytest.raises(InvalidRequest, match="no planned looks"):
        after(plan()).look()


def test_a_planned_experiment_may_be_futile() -> None:
    looks = PlannedLooks.evenly(2, futility=LowPower(drift=1.5))
    planned = plan(method="planned", planned_n=4_000, looks=looks)
    experiment = after(planned, batch(success=rates(900, 901, 1_000))).look()
    assert experiment.verdict.decision == "futile"


def test_a_guardrail_is_watched_between_looks() -> None:
    planned = plan(ERRORS, method="planned", planned_n=80_000, looks=PlannedLooks.evenly(2))
    experiment = after(planned, *[batch(success=rates(1_800, 1_800), errors=rates(20, 200))] * 2)
    assert experiment.verdict.breached == {"b": ("errors",)}
    assert "b breaches errors. Stop" in experiment.verdict.sentence


def test_what_the_plan_lacks_is_refused_and_nothing_is_taken() -> None:
    experiment = after(plan(REVENUE), batch(success=rates(90, 95)))
    for wrong, said in (
        (Batch(records={"z": {"success": Proportion(1, 2)}}), "no variant 'z'"),
        (Batch(exposures=Exposures({"z": 2})), "no variant 'z'"),
        (Batch(records={"a": {"other": Proportion(1, 2)}}), "no metric 'other'"),
        (Batch(records={"a": {"revenue": Proportion(1, 2)}}), "recorded as a Mean"),
        (Batch(shares={"a": 0.5, "c": 0.5}), "other variants"),
    ):
        with pytest.raises(InvalidRequest, match=said):
            experiment.observe(wrong)
    assert experiment == after(plan(REVENUE), batch(success=rates(90, 95)))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"variants": {"a": 1.0}}, "variants compares nothing"),
        ({"variants": {"a": 0.5, "b": 0.6}}, "sum to 1.1"),
        ({"control": "z"}, "is no variant"),
        ({"metrics": (ERRORS,)}, "0 primary"),
        ({"metrics": (SUCCESS, SUCCESS)}, "one name"),
        ({"alpha": 0.0}, "alpha is 0.0"),
        ({"alpha": float("nan")}, "alpha is nan"),
        ({"method": "fixed"}, "has an end"),
        ({"looks": PlannedLooks.evenly(2)}, "belong to a planned"),
        ({"method": "sequental"}, "method is 'sequental'"),
        ({"method": "planned", "planned_n": 9, "looks": PlannedLooks.evenly(2, alpha=0.01)}, "the plan's is 0.05"),
        (
            {
                "method": "planned",
                "planned_n": 9,
                "looks": PlannedLooks.evenly(2, sided=1),
                "metrics": (Metric(name="x", kind="mean", role="primary", better="lower"),),
            },
            "lower is better",
        ),
    ],
)
def test_a_plan_that_cannot_be_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        plan(**changes)


PARTS = [
    batch(
        {"a": 510, "b": 495},
        success=rates(450 + k, 460 - k, 500),
        revenue=(Mean.of([1.0, k]), Mean.of([2.0, 3.0])),
        latency_ms=(QuantileSketch.of(np.arange(1.0, 300 + k)), QuantileSketch.of(np.arange(2.0, 280 + k))),
    )
    for k in range(4)
]


@pytest.mark.parametrize("order", list(itertools.permutations(range(4)))[::5])
def test_replicas_parts_add_up_to_one_batch_in_any_order(order: tuple[int, ...]) -> None:
    planned = plan(LATENCY, REVENUE)
    whole = after(planned, PARTS[0] + PARTS[1] + PARTS[2] + PARTS[3])
    parts = [PARTS[k] for k in order]
    found = after(planned, parts[0] + (parts[1] + parts[2]) + parts[3])
    assert found.rates == whole.rates
    assert found.totals.exposures == whole.totals.exposures
    assert found.limits == whole.limits
    assert found.verdict == whole.verdict
    assert found.totals.records["a"]["revenue"].mean == pytest.approx(whole.totals.records["a"]["revenue"].mean)


def test_it_goes_through_json_between_any_two_batches() -> None:
    planned = plan(ERRORS, LATENCY, REVENUE, msgspec.structs.replace(COST), LIFT)
    kept = stored = Experiment.planned(planned)
    for part in PARTS:
        kept = kept.observe(part)
        text = msgspec.json.encode(stored.observe(part))
        stored = msgspec.json.decode(text, type=Experiment)
        assert b"NaN" not in text
    assert stored == kept
    assert stored.verdict == kept.verdict


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(*[st.integers(0, 60)] * 4), min_size=1, max_size=5),
    st.sampled_from(["sequential", "fixed"]),
    st.floats(0, 0.2),
)
def test_any_counts_make_a_verdict_and_no_nan(counts: list[tuple[int, ...]], method: Any, threshold: float) -> None:
    primary = msgspec.structs.replace(SUCCESS, threshold=threshold)
    experiment = Experiment.planned(plan(primary=primary, method=method, planned_n=150))
    for a, more_a, b, more_b in counts:
        if method == "fixed" and experiment.has_ended:
            break
        experiment = experiment.observe(batch(success=(Proportion(a, a + more_a), Proportion(b, b + more_b))))
    verdict = experiment.verdict
    assert verdict.sentence.endswith(".")
    assert (verdict.winner is not None) == (verdict.decision == "winner")
    if verdict.winner == "b":
        assert experiment.readings[0].interval.is_above(threshold)
    assert b"NaN" not in msgspec.json.encode((experiment, verdict, experiment.readings))


def test_records_that_come_of_one_arm_only_are_no_evidence() -> None:
    parts = [
        Batch(records={"a": {"success": Proportion(4_500, 5_000)}, "b": {"success": Proportion(4_500, 5_000)}}),
        Batch(records={"a": {"success": Proportion(4_000, 5_000)}}),
        Batch(records={"b": {"success": Proportion(4_000, 5_000)}}),
    ]
    verdict = after(plan(), *parts).verdict
    assert (verdict.decision, verdict.winner) == ("invalid", None)
    skewed = Batch(records={"a": {"success": Proportion(94_000, 100_000)}, "b": {"success": Proportion(9_400, 10_000)}})
    assert after(plan(), skewed).verdict.decision == "invalid"


def test_what_adds_up_over_shares_refuses_that_they_change() -> None:
    moved = msgspec.structs.replace(batch(success=rates(1_800, 1_900)), shares={"a": 0.9, "b": 0.1})
    for planned in (plan(REVENUE), plan(method="fixed", planned_n=9_000)):
        with pytest.raises(InvalidRequest, match="Shares changed"):
            Experiment.planned(planned).observe(moved)
    same = msgspec.structs.replace(moved, shares={"a": 0.5, "b": 0.5})
    assert after(plan(REVENUE), same).units == 4_000


def test_under_changing_shares_the_estimate_lies_in_its_interval() -> None:
    ten = Batch(
        records={"a": {"success": Proportion(8_550, 9_000)}, "b": {"success": Proportion(950, 1_000)}},
        shares={"a": 0.9, "b": 0.1},
    )
    half = Batch(records={v: {"success": Proportion(4_000, 5_000)} for v in "ab"})
    experiment = after(plan(), ten, half, half)
    reading = experiment.readings[0]
    assert reading.estimate is not None
    assert reading.estimate in reading.interval
    assert experiment.verdict.decision == "continue"


def test_a_few_planned_records_are_no_proof_of_equality() -> None:
    planned = plan(method="planned", planned_n=100, looks=PlannedLooks.evenly(10))
    assert after(planned, batch(success=rates(5, 5, 5))).look().verdict.decision == "continue"


def test_a_ratio_without_denominators_says_nothing() -> None:
    primary = msgspec.structs.replace(COST, role="primary")
    arms = (Ratio(3_000, 1.0, 0.0, 900.0, 0.0, 0.0), Ratio(3_000, 1.0, 1.0, 900.0, 90.0, 80.0))
    experiment = after(plan(primary=primary), batch(cost=arms), batch(cost=arms))
    assert experiment.readings[0].p_value == 1
    assert experiment.verdict.decision == "continue"


def test_a_sequential_experiment_may_go_on_after_its_planned_end() -> None:
    """The end is a plan of what it may cost, not a part of the test: what is said afterwards holds as well."""
    short = after(plan(planned_n=2_000), batch(success=rates(900, 905, 1_000)))
    assert (short.verdict.decision, short.verdict.is_final) == ("inconclusive", True)
    longer = short.observe(batch(success=rates(9_000, 9_300, 10_000)))
    assert (longer.verdict.decision, longer.verdict.winner) == ("winner", "b")
    without_end = after(plan(), batch(success=rates(900, 905, 1_000)), batch(success=rates(9_000, 9_300, 10_000)))
    assert longer.readings[0].p_value == without_end.readings[0].p_value  # of a rate the end decides nothing


def test_a_breach_may_be_made_up_for_and_a_winner_may_turn() -> None:
    watched = plan(ERRORS)
    good = batch(success=rates(9_000, 9_300, 10_000), errors=rates(200, 200, 10_000))
    broken = after(watched, batch(success=rates(900, 950, 1_000), errors=rates(20, 80, 1_000)))
    assert (broken.verdict.decision, broken.verdict.breached) == ("inconclusive", {"b": ("errors",)})
    mended = broken.observe(good).observe(good)
    assert (mended.verdict.decision, mended.verdict.breached) == ("winner", {})
    won = after(plan(), batch(success=rates(900, 960, 1_000)))
    assert won.verdict.winner == "b"
    turned = won
    for _ in range(4):
        turned = turned.observe(batch(success=rates(900, 840, 1_000)))
    assert turned.verdict.winner == "a"


@pytest.mark.parametrize("method", ["fixed", "planned"])
def test_the_last_word_of_a_fixed_or_planned_experiment_stays(method: str) -> None:
    looks = PlannedLooks.evenly(1) if method == "planned" else None
    ended = after(plan(method=method, planned_n=2_000, looks=looks), batch(success=rates(900, 905, 1_000)))
    ended = ended.look() if looks else ended
    assert ended.verdict.decision == "inconclusive"
    with pytest.raises(InvalidRequest, match="ended with 2,000 units"):
        ended.observe(batch(success=rates(9_000, 9_300, 10_000)))


def test_answers_may_come_after_exposures() -> None:
    planned = plan(method="fixed", planned_n=2_000)
    early = Experiment.planned(planned).observe(Batch(exposures=Exposures({"a": 1_000, "b": 1_000})))
    assert early.verdict.decision == "continue"
    late = early.observe(batch(success=rates(900, 960, 1_000)))
    assert late.verdict.winner == "b"


def test_parts_without_records_keep_their_shares() -> None:
    ten = Batch(exposures=Exposures({"a": 9_000, "b": 1_000}), shares={"a": 0.9, "b": 0.1})
    with pytest.raises(InvalidRequest, match="different shares"):
        ten + Batch(exposures=Exposures({"a": 5_000, "b": 5_000}))
    assert (ten + Batch()).shares == (Batch() + ten).shares == ten.shares


def test_nobody_wins_while_a_guardrail_says_nothing() -> None:
    data = batch(success=rates(1_700, 1_900), errors=rates(20, 20))
    verdict = after(plan(LATENCY, ERRORS), data).verdict
    assert (verdict.decision, verdict.winner) == ("continue", None)
    assert verdict.sentence.startswith("b is better, and does not win yet: success is 10 points higher than with a")
    assert verdict.sentence.endswith(
        "but nothing was recorded of latency_ms. A guardrail that says nothing does not pass. Go on until they have."
    )
    ended = after(plan(LATENCY, ERRORS, planned_n=4_000), data).verdict
    assert ended.decision == "inconclusive"
    assert ended.sentence.endswith("Keep a until they have spoken.")
    assert after(plan(ERRORS), data).verdict.winner == "b"


def test_a_guardrail_of_too_few_records_does_not_pass() -> None:
    slow = Metric(name="slow_ms", kind="mean", role="guardrail", better="lower")
    few = (Mean.from_deviation(2_000, 100.0, 9.0), Mean.from_deviation(240, 900.0, 9.0))
    verdict = after(plan(slow), batch(success=rates(1_700, 1_900), slow_ms=few)).verdict
    assert (verdict.decision, verdict.winner) == ("continue", None)
    assert "slow_ms has too few records." in verdict.sentence


@pytest.mark.parametrize("kind", ["mean", "ratio"])
def test_a_guardrail_without_variance_is_breached_by_another_value(kind: Any) -> None:
    cost = Metric(name="cost", kind=kind, role="guardrail", better="lower", threshold=0.5)

    def arms(*values: float) -> tuple[Summary, ...]:
        return tuple(Mean(2_000, v) if kind == "mean" else Ratio(2_000, v, 1.0) for v in values)

    dear = after(plan(cost), batch(success=rates(1_700, 1_900), cost=arms(0.01, 9.0))).verdict
    assert (dear.decision, dear.breached) == ("inconclusive", {"b": ("cost",)})
    for harmless in ((0.01, 0.01), (0.01, 0.5), (9.0, 0.01)):
        assert after(plan(cost), batch(success=rates(1_700, 1_900), cost=arms(*harmless))).verdict.winner == "b"


def test_a_winner_whose_lead_has_gone_is_no_winner_any_more() -> None:
    primary = Metric(name="s", kind="proportion", role="primary")
    won = after(plan(primary=primary), batch(s=rates(2_250, 2_350, 2_500)))
    assert won.verdict.winner == "b"
    gone = won
    for _ in range(20):
        gone = gone.observe(batch(s=rates(45_000, 45_000, 50_000)))
    reading = gone.readings[0]
    assert reading.is_significant  # that there was a difference stays decided
    assert (reading.flags, reading.decided_n) == (("gone",), 5_000)
    assert reading.interval.low < 0 < reading.interval.high
    verdict = gone.verdict
    assert (verdict.decision, verdict.winner) == ("continue", None)
    assert "s did differ with b at 5,000 records, and no longer does over all there are now" in verdict.sentence
    assert "Do not promote b" in verdict.sentence
    assert "e-" not in verdict.sentence


def test_a_mean_whose_lead_has_gone_is_no_winner_any_more() -> None:
    primary = Metric(name="m", kind="mean", role="primary")
    won = after(plan(primary=primary), batch(m=tuple(Mean.from_deviation(2_500, v, 1.0) for v in (1.0, 1.2))))
    assert won.verdict.winner == "b"
    gone = won
    for _ in range(20):
        gone = gone.observe(batch(m=(Mean.from_deviation(50_000, 1.0, 1.0),) * 2))
    assert gone.readings[0].flags == ("gone",)
    assert 0.0 in gone.readings[0].interval
    assert gone.verdict.winner is None
    assert "at 5,000 records" in gone.verdict.sentence
    back = gone
    for _ in range(20):
        back = back.observe(batch(m=tuple(Mean.from_deviation(50_000, v, 1.0) for v in (1.0, 1.2))))
    assert (back.verdict.winner, back.readings[0].flags) == ("b", ())


def test_a_winner_stays_one_while_the_evidence_only_ebbs() -> None:
    primary = Metric(name="s", kind="proportion", role="primary")
    won = after(plan(primary=primary), batch(s=rates(820, 900, 1_000)), batch(s=rates(905, 885, 1_000)))
    assert 0 < won.rates["b"]["s"].log_e < 3
    assert won.verdict.winner == "b"
    assert "(interval above 0 points to " in won.verdict.sentence


@pytest.mark.parametrize("method", ["fixed", "planned"])
@pytest.mark.parametrize("slower", [1.0, 1.2])
def test_a_quantile_in_one_batch_is_compared_by_one_look(method: str, slower: float) -> None:
    primary = Metric(name="lat", kind="quantile", role="primary", better="lower")
    rng = np.random.default_rng(4)
    arms = tuple(QuantileSketch.of(rng.lognormal(3, 0.5, 5_000) * k) for k in (1.0, slower))
    looks = PlannedLooks.evenly(1) if method == "planned" else None
    experiment = after(plan(primary=primary, method=method, planned_n=10_000, looks=looks), batch(lat=arms))
    experiment = experiment.look() if looks else experiment
    assert experiment.verdict.winner == (None if slower == 1.0 else "a")
    assert experiment.readings[0].estimate == pytest.approx(0.0 if slower == 1.0 else 0.05, abs=0.02)


def test_a_quantile_compared_at_the_controls_own_is_right_as_often_as_it_says() -> None:
    """The limit comes of the records that are compared; its own error is that of the pooled variance, no more."""
    rng = np.random.default_rng(5)
    for n_control, n_treatment in ((1_000, 1_000), (2_000, 200)):
        values = np.sort(rng.lognormal(size=(2_000, n_control)), axis=1)
        limits = values[:, int(0.95 * n_control)]
        beyond = (rng.lognormal(size=(2_000, n_treatment)) > limits[:, None]).sum(axis=1)
        above = (values > limits[:, None]).sum(axis=1)
        hits = [
            fixed_effect(Proportion(int(a), n_control), Proportion(int(b), n_treatment), 0.95).p_value <= 0.05
            for a, b in zip(above, beyond, strict=True)
        ]
        assert np.mean(hits) <= 0.067  # 0.05 and three and a half of its errors


def test_what_a_sequential_quantile_waits_for_is_said_as_it_is() -> None:
    arms = tuple(QuantileSketch.of(np.linspace(1.0, top, 20_000)) for top in (400.0, 2_600.0))
    first = after(plan(LATENCY), batch(success=rates(1_700, 1_900), latency_ms=arms))
    assert first.readings[1].flags == ("too_few",)
    assert "latency_ms has too few records after its limit was set" in first.verdict.sentence
    assert "recorded of" not in first.verdict.sentence
    second = first.observe(batch(success=rates(1_700, 1_900), latency_ms=arms))
    assert second.verdict.breached == {"b": ("latency_ms",)}


def test_more_records_than_units_are_no_independent_ones() -> None:
    exposed = {"a": 10, "b": 10}
    verdict = after(plan(), batch(exposed, success=rates(2_250, 2_450, 2_500))).verdict
    assert (verdict.decision, verdict.winner) == ("invalid", None)
    assert "2,500 records of 10 units that were exposed to a and 2,500 records of 10 units" in verdict.sentence
    enough = {"a": 2_500, "b": 2_500}
    assert after(plan(), batch(enough, success=rates(2_250, 2_450, 2_500))).verdict.winner == "b"


def test_after_a_ramp_the_values_of_the_arms_are_flagged() -> None:
    one = msgspec.structs.replace(
        batch(success=(Proportion(9_700, 9_900), Proportion(98, 100))), shares={"a": 0.99, "b": 0.01}
    )
    half = batch(success=rates(4_000, 4_000, 5_000))
    experiment = after(plan(), one, half)
    assert "mixed_shares" in experiment.readings[0].flags
    assert "mixed_shares" not in after(plan(), half).readings[0].flags


def test_a_breach_ends_a_fixed_experiment_before_its_end() -> None:
    planned = plan(ERRORS, method="fixed", planned_n=80_000)
    verdict = after(planned, batch(success=rates(1_800, 1_800), errors=rates(20, 300))).verdict
    assert (verdict.decision, verdict.breached) == ("inconclusive", {"b": ("errors",)})


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"role": "guardrails"}, "role of x is 'guardrails'"),
        ({"better": "Lower"}, "better of x is 'Lower'"),
        ({"kind": "proporton"}, "kind of x is 'proporton'"),
        ({"threshold": 5.0}, "threshold of x is 5"),
        ({"baseline": 95.0}, "baseline of x is 95"),
        ({"threshold": -0.1}, "threshold of x is -0.1"),
        ({"quantile": 95.0}, "no quantile"),
    ],
)
def test_a_metric_that_cannot_be_is_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        Metric(**{"name": "x", "kind": "proportion", **wrong})
