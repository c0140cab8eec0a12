"""What changes a verdict in the smallest way: each of these was once not noticed when the code was changed there (see `scripts/mutate_decisions.py`)."""

from __future__ import annotations

import math
from typing import Any, Literal

import msgspec
import numpy as np
import pytest

from chopmark.errors import InvalidRequest
from chopmark.stats.experiment import Experiment
from chopmark.stats.looks import LowPower, PlannedLooks
from chopmark.stats.plans import Batch, Metric, Plan
from chopmark.stats.proportions import newcombe_interval
from chopmark.stats.readings import Reading, adjusted, fixed_effect, repeated_interval, standing
from chopmark.stats.results import Interval
from chopmark.stats.sequential import BernoulliEProcess, EventShare, MeanSequence
from chopmark.stats.sequential.bernoulli import bernoulli_p_values
from chopmark.stats.sequential.difference import DifferenceSums, without_zero
from chopmark.stats.sequential.means import mean_p_values
from chopmark.stats.sequential.mixtures import normal_mixture_boundary
from chopmark.stats.sequential.shares import share_log_e
from chopmark.stats.sketch import QuantileSketch
from chopmark.stats.summaries import Cuped, Exposures, Mean, Proportion, Ratio
from chopmark.stats.verdicts import Evidence, Verdict, decide

S = Metric(name="s", kind="proportion", role="primary", threshold=0.02)
ERRORS = Metric(name="errors", kind="proportion", role="guardrail", better="lower", threshold=0.01)
SLOW = Metric(name="slow", kind="quantile", role="guardrail", better="lower")


def reading(low: float, high: float, variant: str = "b", metric: str = "s", **more: Any) -> Reading:
    known: dict[str, Any] = {
        "control_value": None,
        "treatment_value": None,
        "estimate": (low + high) / 2,
        "interval": Interval(low, high),
        "p_value": 0.01,
        "p_adjusted": 0.01,
        "is_significant": True,
        **more,
    }
    return Reading(metric=metric, variant=variant, **known)


def said(*primary: Reading, guardrails: tuple[Reading, ...] = (), metric: Metric = S, **known: Any) -> Verdict:
    names = ["a", *(r.variant for r in primary)]
    plan = Plan(
        variants={name: 1 / len(names) for name in names},
        control="a",
        metrics=(metric, ERRORS, SLOW),
        planned_n=known.pop("planned_n", None),
    )
    evidence: dict[str, Any] = {
        "ratio_p": 1.0,
        "is_mismatch": False,
        "units": 1_000,
        "may_decide": True,
        "has_ended": False,
        **known,
    }
    return decide(plan, Evidence(primary=primary, guardrails=guardrails, **evidence))


def experiment(*metrics: Metric, shares: dict[str, float] | None = None, **plan: Any) -> Experiment:
    return Experiment.planned(Plan(variants=shares or {"a": 0.5, "b": 0.5}, control="a", metrics=metrics, **plan))


def batch(name: str = "s", exposures: dict[str, int] | None = None, shares: Any = None, **records: Any) -> Batch:
    return Batch(
        records={variant: {name: summary} for variant, summary in records.items()},
        exposures=Exposures(exposures or {}),
        shares=shares,
    )


# Verdicts


def test_where_none_is_left_each_is_told_with_its_reason() -> None:
    verdict = said(
        reading(-0.001, 0.05, "b"), reading(-0.2, -0.1, "c"), guardrails=(reading(0.02, 0.04, "b", "errors"),)
    )
    assert verdict.decision == "inconclusive"
    assert verdict.breached == {"b": ("errors",)}
    assert verdict.sentence == "No treatment may win: b breaches errors; c is worse. Stop, and keep a."


def test_a_verdict_that_was_reached_tells_of_a_lead_that_has_gone() -> None:
    gone: Any = {"flags": ("gone",), "decided_n": 1_200, "is_significant": False}
    verdict = said(reading(-0.3, 0.3, "b", **gone), reading(0.1, 0.2, "c"), reading(-0.3, 0.3, "d", **gone))
    assert (verdict.decision, verdict.winner) == ("winner", "c")
    assert "s did differ with b at 1,200 records" in verdict.sentence
    assert "find what changed. s did differ with d at 1,200 records" in verdict.sentence
    assert "s is 0 points lower than with a (interval -30 points to 30 points)" in verdict.sentence


def test_the_best_of_those_that_wait_is_named_with_all_that_is_missing() -> None:
    silent = tuple(
        reading(-1, 1, v, m, flags=flags, is_significant=False)
        for v in ("b", "c")
        for m, flags in (("errors", ("no_data",)), ("slow", ("gone", "too_few")))
    )
    breach = reading(0.02, 0.04, "d", "errors")
    waiting = (reading(0.03, 0.05, "b"), reading(0.2, 0.3, "c"), reading(0.5, 0.6, "d"))
    verdict = said(*waiting, guardrails=(*silent, breach))
    assert (verdict.decision, verdict.winner, verdict.breached) == ("continue", None, {"d": ("errors",)})
    assert verdict.sentence.startswith("c is better, and does not win yet: s is 25 points higher than with a")
    assert "but nothing was recorded of errors; slow has too few records after its limit was set. A guardrail" in (
        verdict.sentence
    )
    # The least of several that wait is no more than one of them.
    assert said(*waiting[::-1], guardrails=(*silent, breach)).sentence == verdict.sentence


def test_all_units_are_there_and_the_last_look_was_not_taken() -> None:
    verdict = said(reading(-0.1, 0.1, is_significant=False), planned_n=1_000, units=1_000)
    assert verdict.decision == "continue"
    assert "the 1,000 units that were planned are there, and the last look was not taken" in verdict.sentence
    assert "999 of 1,000 units so far" in said(reading(-0.1, 0.1), planned_n=1_000, units=999).sentence


@pytest.mark.parametrize(
    ("estimate", "better", "is_breach"),
    [
        (-0.02, "higher", False),
        (-0.0201, "higher", True),
        (0.02, "lower", False),
        (0.0201, "lower", True),
        (0.0, "lower", False),
    ],
)
def test_a_guardrail_that_does_not_vary_is_breached_beyond_its_threshold(
    estimate: float, better: Any, *, is_breach: bool
) -> None:
    plan = Plan(
        variants={"a": 0.5, "b": 0.5},
        control="a",
        metrics=(S, Metric(name="g", kind="mean", role="guardrail", better=better, threshold=0.02)),
    )
    flat = reading(-math.inf, math.inf, "b", "g", estimate=estimate, flags=("no_variance",), is_significant=False)
    verdict = decide(
        plan,
        Evidence(
            primary=[reading(0.1, 0.2)],
            guardrails=[flat],
            ratio_p=1.0,
            is_mismatch=False,
            units=10,
            may_decide=True,
            has_ended=False,
        ),
    )
    assert (verdict.decision == "inconclusive") == is_breach
    assert (verdict.winner == "b") == (not is_breach)


@pytest.mark.parametrize("better", ["higher", "lower"])
def test_equal_constants_breach_nothing(better: Any) -> None:
    guard = Metric(name="g", kind="mean", role="guardrail", better=better)
    flat = Mean.of([5.0] * 400)
    records: Any = {v: {"s": Proportion(k, 400), "g": flat} for v, k in (("a", 200), ("b", 390))}
    after = experiment(S, guard).observe(Batch(records=records))
    assert after.verdict.winner == "b"
    assert after.verdict.breached == {}


def test_an_interval_next_to_the_threshold_is_told_with_digits_enough() -> None:
    assert "(interval -9 points to -2.0004 points)" in said(reading(-0.09, -0.020004)).sentence
    assert "(interval 12.3 points to 98.8 points)" in said(reading(0.1234, 0.98765)).sentence
    assert "(interval 2.00000001 points to 90 points)" in said(reading(0.0200000001, 0.9)).sentence
    assert said(reading(0.020000000000001, 0.9)).winner == "b"  # more digits than are told


def test_records_of_who_was_not_exposed() -> None:
    after = experiment(S).observe(batch(exposures={"a": 3}, a=Proportion(1, 2), b=Proportion(1, 1)))
    assert after.verdict.decision == "invalid"
    assert "There are 1 records of 0 units that were exposed to b: a unit" in after.verdict.sentence
    assert after.verdict.sentence.endswith("Record each unit once, at the end of its time, and start anew.")
    assert "difference looks surer than it is." in after.verdict.sentence


# Readings


@pytest.mark.parametrize("flag", ["no_data", "too_few", "no_variance", "all_equal", "not_constant", "too_early"])
def test_data_that_cannot_decide_are_unclear_and_not_significant(flag: Any) -> None:
    each = reading(0.5, 0.6, flags=(flag,))
    assert standing(S, each) == "unclear"
    [found] = adjusted([each], 0.05)
    assert not found.is_significant
    assert adjusted([msgspec.structs.replace(each, flags=())], 0.05)[0].is_significant


def test_p_at_alpha_is_significant_and_decided() -> None:
    assert adjusted([reading(0.5, 0.6, p_value=0.05)], 0.05)[0].is_significant
    assert BernoulliEProcess(0.5, alpha=0.05, p_value=0.05).decided
    assert MeanSequence(0.05, 1_000, p_value=0.05).decided
    assert EventShare({"a": 0.5, "b": 0.5}, alpha=0.05, p_value=0.05).decided


@pytest.mark.parametrize("sided", [1, 2])
@pytest.mark.parametrize("arms", [(Proportion(2, 9), Proportion(8, 9)), (Proportion(8, 9), Proportion(2, 9))])
def test_the_interval_of_a_look_at_few_rates_is_that_of_the_bound(
    arms: tuple[Proportion, Proportion], sided: Literal[1, 2]
) -> None:
    control, treatment = arms
    effect = fixed_effect(control, treatment, 0.95)
    assert effect.flags == ("exact",)
    wide = repeated_interval(effect, control, treatment, 3.0, sided=sided)
    newcombe = newcombe_interval(control, treatment, confidence=math.erf(3 / math.sqrt(2)))
    assert wide.low == pytest.approx(min(0.0, newcombe.low))
    assert wide.high == (math.inf if sided == 1 else pytest.approx(max(0.0, newcombe.high)))


@pytest.mark.parametrize(("few", "sign"), [((0, 9, 9, 9), 1), ((9, 9, 0, 9), -1)])
def test_an_exact_test_that_decides_leaves_zero_out_to_its_side(few: tuple[int, int, int, int], sign: int) -> None:
    arms = Proportion(few[0], few[1]), Proportion(few[2], few[3])
    effect = fixed_effect(*arms, 0.95)
    assert effect.flags == ("exact",)
    assert effect.statistic * sign > 2
    found = repeated_interval(effect, *arms, 2.0, sided=2)
    assert 0.0 not in found
    assert effect.estimate in found
    undecided = repeated_interval(effect, *arms, 20.0, sided=2)
    assert undecided.low <= 0 <= undecided.high
    assert undecided.low >= -1
    assert undecided.high <= 1


@pytest.mark.parametrize(("arms", "sign"), [((5, 56, 0, 66), -1), ((0, 66, 5, 56), 1)])
def test_an_exact_test_may_decide_where_the_interval_of_its_bound_has_zero(
    arms: tuple[int, int, int, int], sign: int
) -> None:
    """Then the interval ends at 0, without it, on the side of the estimate."""
    control, treatment = Proportion(*arms[:2]), Proportion(*arms[2:])
    assert 0.0 in newcombe_interval(control, treatment, confidence=0.975)
    effect = fixed_effect(control, treatment, 0.975)
    assert effect.flags == ("exact",)
    assert effect.p_value <= 0.025
    assert effect.interval.excludes_zero
    ends = (effect.interval.low, effect.interval.high)
    assert min(abs(end) for end in ends) == 0
    assert max(ends, key=abs) * sign > 0.1
    for successes in range(13):  # where the test has not decided, 0 is in it
        other = fixed_effect(Proportion(4, 12), Proportion(successes, 12), 0.95)
        assert (0.0 in other.interval) == (other.p_value > 0.05) or "exact" not in other.flags


def test_intervals_are_as_wide_as_the_confidence_says() -> None:
    rates, means = (Proportion(400, 1_000), Proportion(450, 1_000)), (Mean.of([1.0, 2, 4]), Mean.of([2.0, 3, 9]))
    units = np.arange(1.0, 60)
    ratios = Ratio.of(units, units % 7 + 1), Ratio.of(units * 1.1, units % 5 + 1)
    cuped = Cuped.of(units, units % 7), Cuped.of(units * 1.1, units % 5)
    for control, treatment in (rates, means, ratios, cuped):
        narrow, wide = (fixed_effect(control, treatment, c).interval for c in (0.8, 0.999))
        assert wide.low < narrow.low < narrow.high < wide.high


# Experiments


def test_treatments_share_the_error_of_the_primary_metric_and_none_of_a_guardrail() -> None:
    shares = {"a": 0.5, "b": 0.25, "c": 0.25}
    looks = PlannedLooks.evenly(4)
    planned = experiment(S, shares=shares, method="planned", planned_n=4_000, looks=looks)
    assert {v: each.alpha for v, each in planned.looks.items()} == {"b": 0.025, "c": 0.025}
    used = experiment(S, method="planned", planned_n=4_000, looks=looks.observe(0.25, 0.1))
    assert used.looks["b"].looks == ()
    records: Any = {v: {"s": Proportion(40, 90), "errors": Proportion(9, 90)} for v in shares}
    seen = experiment(S, ERRORS, shares=shares).observe(Batch(records=records))
    assert seen.rates["b"]["s"].alpha == 0.025
    assert seen.rates["b"]["errors"].alpha == 0.05


def test_the_checks_of_the_ratio_have_their_own_error() -> None:
    planned = experiment(S, ratio_alpha=0.01)
    assert (planned.ratio_check.alpha, planned.record_check.alpha) == (0.01, 0.01)
    p = 0.005
    off = msgspec.structs.replace(planned, record_check=msgspec.structs.replace(planned.record_check, p_value=p))
    assert off.verdict.decision == "invalid"
    assert experiment(S).record_check.alpha == 0.001


def test_a_limit_that_was_given_holds_from_the_first_batch() -> None:
    p95 = Metric(name="p95", kind="quantile", role="guardrail", better="lower", limit=300.0)
    planned = experiment(S, p95)
    assert planned.limits == {"p95": 300.0}
    sketch = QuantileSketch.of([100.0] * 90 + [400.0] * 10)
    slower = QuantileSketch.of([100.0] * 50 + [400.0] * 50)
    records: Any = {"a": {"s": Proportion(50, 100), "p95": sketch}, "b": {"s": Proportion(50, 100), "p95": slower}}
    [found] = [r for r in planned.observe(Batch(records=records)).readings if r.metric == "p95"]
    assert found.estimate == pytest.approx(0.4)
    assert found.control_value == pytest.approx(sketch.quantile(0.95))
    assert found.treatment_value == pytest.approx(slower.quantile(0.95))


def test_what_it_refuses_says_what_to_do() -> None:
    ended = experiment(S, method="fixed", planned_n=10).observe(batch(a=Proportion(3, 5), b=Proportion(3, 5)))
    with pytest.raises(InvalidRequest) as refused:
        ended.observe(batch(a=Proportion(1, 1), b=Proportion(1, 1)))
    assert refused.value.hint == "Read its verdict; plan another experiment for what comes now."
    with pytest.raises(InvalidRequest) as refused:
        experiment(S).look()
    assert refused.value.hint == "Read its verdict; it is safe at any time."


def test_rates_are_bet_on_by_the_shares_of_the_batch() -> None:
    shares = {"a": 0.6, "b": 0.3, "c": 0.1}
    during = {"a": 0.2, "b": 0.2, "c": 0.6}
    metric = msgspec.structs.replace(S, baseline=0.4)
    planned = experiment(metric, shares=shares)
    first = planned.observe(batch(a=Proportion(30, 60), b=Proportion(20, 30), c=Proportion(5, 10)))
    assert first.rates["b"]["s"].treatment_share == pytest.approx(1 / 3)
    assert first.rates["b"]["s"].baseline == 0.4
    assert first.rates["c"]["s"].treatment_share == pytest.approx(1 / 7)
    second = first.observe(batch(shares=during, a=Proportion(20, 40), b=Proportion(30, 40), c=Proportion(70, 120)))
    by_hand = BernoulliEProcess(1 / 3, 0.025, 0.4).observe(Proportion(30, 60), Proportion(20, 30))
    by_hand = by_hand.observe(Proportion(20, 40), Proportion(30, 40), 0.5)
    assert second.rates["b"]["s"].log_e == pytest.approx(by_hand.log_e)
    [b, _] = second.readings
    assert b.estimate == pytest.approx((by_hand.interval.low + by_hand.interval.high) / 2)
    assert b.flags == ("mixed_shares",)


def test_a_quantile_expects_its_own_share_beyond_the_limit() -> None:
    p90 = Metric(name="p90", kind="quantile", role="guardrail", quantile=0.9, better="lower", limit=5.0)
    values = QuantileSketch.of(np.arange(1.0, 10))
    records: Any = {v: {"s": Proportion(5, 9), "p90": values} for v in "ab"}
    after = experiment(S, p90).observe(Batch(records=records))
    assert after.rates["b"]["p90"].baseline == pytest.approx(0.1)
    assert after.rates["b"]["s"].baseline is None


@pytest.mark.parametrize(
    ("method", "watched"), [("fixed", {"errors"}), ("planned", {"errors"}), ("sequential", {"errors", "s"})]
)
def test_only_what_is_watched_is_bet_on(method: Any, watched: set[str]) -> None:
    looks = PlannedLooks.evenly(2) if method == "planned" else None
    records: Any = {v: {"s": Proportion(30, 90), "errors": Proportion(9, 90)} for v in "ab"}
    after = experiment(S, ERRORS, method=method, planned_n=9_000, looks=looks).observe(Batch(records=records))
    assert set(after.rates["b"]) == watched
    assert [r.decided_n for r in after.readings] == [0, 0]


def test_sequences_of_means_are_narrowest_where_the_plan_ends() -> None:
    cost = Metric(name="c", kind="mean", role="primary")
    values = Mean.of(np.arange(300.0))
    shares = {"a": 0.5, "b": 0.3, "c": 0.2}
    records: Any = dict.fromkeys(shares, values)
    ending = experiment(cost, shares=shares, planned_n=10_000).observe(batch("c", **records))
    assert ending.means["b"]["c"].planned_n == pytest.approx(8_000)
    assert ending.means["c"]["c"].planned_n == pytest.approx(7_000)
    assert experiment(cost, shares=shares).observe(batch("c", **records)).means["b"]["c"].planned_n == 5_000


@pytest.mark.parametrize("kind", ["ratio", "cuped"])
def test_sequences_of_ratios_are_of_the_totals_once(kind: Any) -> None:
    metric = Metric(name="r", kind=kind, role="primary")
    units = np.arange(1.0, 301)
    summary: Any = (Ratio if kind == "ratio" else Cuped).of(units, units % 7 + 1)
    after = experiment(metric).observe(batch("r", a=summary))
    assert after.readings[0].flags == ("no_data",)
    other = experiment(metric).observe(batch("r", b=summary))
    assert other.readings[0].flags == ("no_data",)
    both = after.observe(batch("r", b=summary)).observe(batch("r", a=summary, b=summary))
    assert (both.means["b"]["r"].control.n, both.means["b"]["r"].treatment.n) == (600, 600)


def test_looks_go_on_for_those_that_have_not_ended() -> None:
    shares = {"a": 0.5, "b": 0.25, "c": 0.25}
    looks = PlannedLooks.evenly(2)
    planned = experiment(S, shares=shares, method="planned", planned_n=4_000, looks=looks)
    half = batch(a=Proportion(500, 1_000), b=Proportion(450, 500), c=Proportion(255, 500))
    first = planned.observe(half).look()
    assert [len(first.looks[v].looks) for v in "bc"] == [1, 1]
    assert [first.looks[v].ended for v in "bc"] == [True, False]
    second = first.observe(half).look()
    assert [len(second.looks[v].looks) for v in "bc"] == [1, 2]
    assert second.has_ended


def test_a_look_is_taken_of_those_that_have_records() -> None:
    planned = experiment(
        S, shares={"a": 0.5, "b": 0.25, "c": 0.25}, method="planned", planned_n=400, looks=PlannedLooks.evenly(2)
    )
    first = planned.observe(batch(a=Proportion(50, 100), c=Proportion(55, 100))).look()
    assert [len(first.looks[v].looks) for v in "bc"] == [0, 1]
    assert first.readings[0].flags == ("no_data",)


def test_more_units_than_planned_are_the_last_look() -> None:
    planned = experiment(S, method="planned", planned_n=1_000, looks=PlannedLooks.evenly(1))
    after = planned.observe(batch(a=Proportion(300, 700), b=Proportion(310, 700))).look()
    assert after.looks["b"].looks[0].information == 1.0
    assert after.has_ended


def test_a_last_look_may_be_early() -> None:
    planned = experiment(S, method="planned", planned_n=1_000, looks=PlannedLooks.evenly(2))
    seen = planned.observe(batch(a=Proportion(100, 300), b=Proportion(110, 300)))
    assert not seen.look().has_ended
    early = seen.look(last=True)
    assert early.has_ended
    assert early.looks["b"].looks[0].alpha_spent == 0.05


def test_what_cannot_decide_has_no_statistic_at_a_look() -> None:
    shares, looks = {"a": 0.99, "b": 0.01}, PlannedLooks.evenly(2, rule="lan_demets_pocock")
    planned = experiment(S, shares=shares, method="planned", planned_n=24_000_000, looks=looks)
    after = planned.observe(batch(a=Proportion(3, 11_880_000), b=Proportion(6, 120_000))).look()
    assert after.looked["b"].flags == ("too_few",)
    assert after.looks["b"].looks[0].z == 0.0
    assert after.verdict.decision != "winner"


def test_one_sided_looks_have_intervals_open_above() -> None:
    planned = experiment(S, method="planned", planned_n=2_000, looks=PlannedLooks.evenly(2, sided=1))
    after = planned.observe(batch(a=Proportion(250, 500), b=Proportion(300, 500))).look()
    [found] = after.readings
    assert found.interval.high == math.inf
    assert -1 < found.interval.low < found.estimate  # type: ignore[operator]
    both = experiment(S, method="planned", planned_n=2_000, looks=PlannedLooks.evenly(2))
    [found] = both.observe(batch(a=Proportion(250, 500), b=Proportion(300, 500))).look().readings
    assert found.interval.high < 1


@pytest.mark.parametrize(("values", "flags"), [(499, ("too_few",)), (500, ())])
def test_a_fixed_quantile_needs_five_hundred_values_of_the_control(values: int, flags: tuple[str, ...]) -> None:
    p95 = Metric(name="q", kind="quantile", role="primary", better="lower")
    sketch, other = QuantileSketch.of(np.arange(1.0, values + 1)), QuantileSketch.of(np.arange(1.0, 601) * 1.5)
    after = experiment(p95, method="fixed", planned_n=1_000).observe(batch("q", a=sketch, b=other))
    assert after.readings[0].flags == flags
    alone = experiment(p95, method="fixed", planned_n=100).observe(batch("q", a=sketch))
    assert alone.readings[0].flags == ("no_data",)
    assert alone.verdict.winner is None


def test_of_a_guarding_quantile_the_records_beyond_its_limit_are_compared() -> None:
    p95 = Metric(name="q", kind="quantile", role="guardrail", better="lower")
    sketch, slower = QuantileSketch.of(np.arange(1.0, 1_001)), QuantileSketch.of(np.arange(1.0, 1_001) * 2)
    records: Any = {v: {"s": Proportion(500, 1_000), "q": q} for v, q in (("a", sketch), ("b", slower))}
    after = experiment(S, p95).observe(Batch(records=records))
    assert [r.flags for r in after.readings][1] == ("too_few",)
    after = after.observe(Batch(records=records))
    guard = after.readings[1]
    limit = after.limits["q"]
    wanted = slower.above(limit).rate - sketch.above(limit).rate
    assert guard.estimate == pytest.approx(wanted)
    assert guard.flags == ()


# Looks


def test_an_interval_of_a_plan() -> None:
    plan = PlannedLooks.evenly(2)
    assert (plan.interval(1.0, 2.0).low, plan.interval(1.0, 2.0).high) == (-math.inf, math.inf)
    seen = plan.observe(0.5, 1.0)
    reach = seen.looks[0].boundary * 2.0
    assert (seen.interval(1.0, 2.0).low, seen.interval(1.0, 2.0).high) == pytest.approx((1 - reach, 1 + reach))
    for estimate, error in [(1.0, -0.1), (math.nan, 1.0), (1.0, math.inf)]:
        with pytest.raises(InvalidRequest):
            seen.interval(estimate, error)


def test_futility_is_advice_at_its_bound_and_not_at_the_end() -> None:
    plan = PlannedLooks.evenly(2, futility=LowPower(3.0, least=0.3))
    power = plan.observe(0.5, 0.7).looks[0].conditional_power
    assert power is not None
    for least, futile in [(power, False), (power * 1.001, True)]:
        again = PlannedLooks.evenly(2, futility=LowPower(3.0, least=least)).observe(0.5, 0.7)
        assert again.futile is futile
        assert not again.ended
    assert not plan.observe(0.5, 0.0).observe(1.0, 0.0).futile


# Sequential tests


def test_events_of_a_variant_without_any_count_none() -> None:
    check = EventShare({"a": 0.5, "b": 0.3, "c": 0.2}).observe(Exposures({"a": 40}))
    assert check.log_e == pytest.approx(share_log_e([40, 0, 0], [0.5, 0.3, 0.2], 100.0))
    assert check.flags == ()
    assert EventShare({"a": 0.5, "b": 0.5}).flags == ("no_data",)
    with pytest.raises(InvalidRequest, match=r"There is no share for x, y\.") as refused:
        check.observe(Exposures({"y": 1, "x": 1}))
    assert refused.value.hint == "Variants are a, b, c."


@pytest.mark.parametrize(
    ("made", "name"),
    [
        (lambda: EventShare({"a": 0.5, "b": 0.5}, alpha=1.5), "alpha"),
        (lambda: EventShare({"a": 0.5, "b": 0.5}, concentration=0.0), "concentration"),
        (lambda: MeanSequence(1.5, 10), "alpha"),
        (lambda: MeanSequence(0.05, 0), "planned_n"),
        (lambda: MeanSequence(0.05, 10, min_per_arm=-1), "min_per_arm"),
        (lambda: BernoulliEProcess(1.5), "treatment_share"),
    ],
)
def test_what_cannot_be_is_refused_by_its_name(made: Any, name: str) -> None:
    with pytest.raises(InvalidRequest, match=name):
        made()


def mean(n: int, value: float, deviation: float = 1.0) -> Mean:
    return Mean.from_deviation(n, value, deviation)


def test_the_side_of_means_is_the_sign_of_their_difference() -> None:
    for difference, side in [(0.5, 1), (-0.5, -1), (2.5, 1)]:
        found = MeanSequence(0.05, 1_000).observe(mean(1_000, 1.0), mean(1_000, 1.0 + difference))
        assert (found.decided, found.side, found.decided_n) == (True, side, 2_000)


def test_a_lead_of_means_has_gone_only_once_it_is_lost() -> None:
    start = MeanSequence(0.05, 1_000).observe(mean(500, 0.0), mean(500, 0.5))
    assert start.decided
    assert not start.has_gone
    # Still on its side, and E above 1, although 0 is in the interval of this look.
    less = start.observe(mean(3_000, 0.0), mean(3_000, 0.0))
    assert 0.0 in less._of_this_look
    assert less.estimate > 0
    # On the other side beyond doubt: a difference there is, and 0 is not in the interval.
    turned = start.observe(mean(30_000, 0.5), mean(30_000, 0.0))
    assert 0.0 not in turned._of_this_look
    assert not turned.has_gone
    nothing = start.observe(mean(500, 0.5), mean(500, 0.0))
    assert nothing.has_gone
    assert nothing.flags == ("gone",)
    undecided = MeanSequence(0.05, 1_000).observe(mean(500, 0.0), mean(500, 0.01))
    assert not undecided.decided
    assert undecided.flags == ()


def test_a_lead_of_means_that_is_weak_has_not_gone() -> None:
    start = MeanSequence(0.05, 1_000).observe(mean(500, 0.0), mean(500, 0.5))
    for n in range(500, 6_000, 100):
        after = start.observe(mean(n, 0.0), mean(n, 0.0))
        p_now = MeanSequence(0.05, 1_000).observe(after.control, after.treatment).p_value
        if 0.0 in after._of_this_look and p_now < 0.9:
            assert not after.has_gone
            return
    pytest.fail("there was no weak lead")


def test_nearly_equal_constants_are_not_equal() -> None:
    near = MeanSequence(0.05, 1_000).observe(Mean(300, 1.0, 0.0), Mean(300, 1.0 + 1e-11, 0.0))
    assert near.flags == ("no_variance",)
    rounding = MeanSequence(0.05, 1_000).observe(Mean(40_000, 1e9, 1e-5), Mean(40_000, 1e9, 1e-5))
    assert rounding.flags == ("all_equal",)
    tiny = MeanSequence(0.05, 1_000).observe(Mean(300, 1e-9, 300e-22), Mean(300, 1e-9, 300e-22))
    assert tiny.flags == ()


def test_p_values_of_means_by_hand() -> None:
    """With few records, where the degrees of freedom count."""
    n, m, d, s0, s1, alpha, planned = 6, 9, 4.0, 1.0, 1.2, 0.05, 50.0
    welch, pooled = s0**2 / n + s1**2 / m, ((n - 1) * s0**2 + (m - 1) * s1**2) / (n + m - 2) * (1 / n + 1 / m)
    freedom = welch**2 / ((s0**2 / n) ** 2 / (n - 1) + (s1**2 / m) ** 2 / (m - 1))
    t2 = d**2 / max(welch, pooled)
    z2 = ((8 * freedom + 1) / (8 * freedom + 3)) ** 2 * freedom * math.log1p(t2 / freedom)
    wide = -2 * math.log(alpha)
    scaled = (n + m) * (wide + math.log1p(wide)) / planned
    wanted = math.exp(0.5 * (math.log1p(scaled) - z2 * scaled / (1 + scaled)))
    found = MeanSequence(alpha, planned, min_per_arm=2).observe(mean(n, 0.0, s0), mean(m, d, s1))
    assert found.p_value == pytest.approx(wanted, rel=1e-9)


def test_p_values_of_many_means_are_those_of_one() -> None:
    draw = np.random.default_rng(2)
    n = np.cumsum(draw.integers(40, 120, (5, 8)), axis=1)
    n[0, :4] = 125, 200, 250, 251
    n[0, 4:] = n[0, 3] + np.arange(1, 5) * 50
    n = np.sort(n, axis=1)
    values = draw.normal(0, 0.3, (2, 5, 8)), np.array(n) * 1.0
    many = mean_p_values(n, values[0][0], values[1], n, values[0][1], values[1], alpha=0.05, planned_n=900)
    assert many.max() <= 1
    for i in range(5):
        least = 1.0
        for k in range(8):
            size = int(n[i, k])
            one = MeanSequence(0.05, 900).observe(
                Mean(size, values[0][0][i, k], values[1][i, k]), Mean(size, values[0][1][i, k], values[1][i, k])
            )
            least = min(least, one.p_value)
            assert many[i, k] == pytest.approx(least)
    assert (many[0] < 1).tolist()[:2] == [False, False]
    equal = mean_p_values([[300]], [[1.0]], [[300.0]], [[300]], [[1.0]], [[300.0]], alpha=0.05, planned_n=900)
    assert equal.tolist() == [[1.0]]
    border = mean_p_values([[250]], [[1.0]], [[250.0]], [[250]], [[2.0]], [[250.0]], alpha=0.05, planned_n=900)
    assert border[0, 0] < 0.05


@pytest.mark.parametrize("baseline", [None, 0.9])
def test_p_values_of_many_rates_are_those_of_one(baseline: float | None) -> None:
    runs = [
        [((0, 5), (0, 5)), ((0, 40), (30, 40))],  # nothing succeeds at first
        [((5, 5), (5, 5)), ((40, 40), (9, 40))],  # everything does
        [((5, 9), (0, 0)), ((5, 9), (1, 1))],  # an arm is empty at first
        [((0, 0), (5, 9)), ((900, 1_000), (1, 1))],
        [((900, 1_000), (0, 1)), ((900, 1_000), (970, 1_000))],
    ]
    counts = np.array(runs)
    many = bernoulli_p_values(
        counts[:, :, 0, 0], counts[:, :, 0, 1], counts[:, :, 1, 0], counts[:, :, 1, 1], 0.3, baseline
    )
    for i, batches in enumerate(runs):
        one = BernoulliEProcess(0.3, baseline=baseline)
        for k, (control, treatment) in enumerate(batches):
            one = one.observe(Proportion(*control), Proportion(*treatment))
            assert many[i, k] == pytest.approx(one.p_value)


def test_an_undecided_test_of_rates_has_zero_in_its_interval() -> None:
    """Also where the sums alone leave it out."""
    test = BernoulliEProcess(0.1, baseline=0.001)  # a wrong baseline costs the test its power, and the sums nothing
    up = test.observe(Proportion(47_500, 50_000), Proportion(5_555, 5_555))
    assert not up.decided
    assert up.differences.interval(0.05).low > 0
    assert up.interval.low == 0
    assert up.interval.high == up.differences.interval(0.05).high
    for share in (0.02, 0.1, 0.5):
        for k in range(0, 200, 2):
            test = BernoulliEProcess(share, alpha=0.2).observe(Proportion(150, 200), Proportion(k, 200))
            assert test.decided or test.interval.low <= 0 <= test.interval.high
    assert 0.0 in BernoulliEProcess(0.5).interval


def test_a_lead_of_rates_that_is_weak_has_not_gone() -> None:
    start = BernoulliEProcess(0.5).observe(Proportion(400, 1_000), Proportion(500, 1_000))
    assert start.decided
    assert not start.has_gone
    seen = set()
    for n in range(500, 30_000, 250):
        after = start.observe(Proportion(int(0.45 * n), n), Proportion(int(0.45 * n), n))
        if 0.0 in after.differences.interval(0.05):
            assert after.differences.estimate > 0
            assert after.has_gone == (after.log_e < 0)
            seen.add((after.has_gone, after.log_e < 1))
    assert (False, True) in seen, "a weak lead is one still"
    assert (True, True) in seen


def test_sums_of_a_difference_by_hand() -> None:
    nothing = DifferenceSums()
    assert (nothing.estimate, nothing.variance) == (0.0, 0.0)
    assert (nothing.interval(0.05).low, nothing.interval(0.05).high) == (-1.0, 1.0)
    one = nothing.add(Proportion(700, 1_000), Proportion(260, 300), 0.25, 0.7, 0.3)
    treatment, control = 260 * 0.3**2 + 40 * 0.7**2, 700 * 0.3**2 + 300 * 0.7**2
    squares, expected = 0.75**2 * treatment + 0.25**2 * control, 0.1875 * (treatment + control)
    wanted = max(squares, (squares + 2 * expected) / 3) + 2 * (0.75**2 + 0.25**2)
    assert one.variance == pytest.approx(wanted)
    assert wanted > squares + 2 * (0.75**2 + 0.25**2)
    for alpha in (0.01, 0.2):
        half = normal_mixture_boundary(wanted, 40.0, alpha=alpha, alpha_opt=alpha) / (0.1875 * 1_300)
        assert one.interval(alpha).low == pytest.approx(one.estimate - half)


def test_zero_is_left_out_to_either_side() -> None:
    wide = Interval(-0.2, 0.3)
    up, down = without_zero(wide, 1, 0.1), without_zero(wide, -1, -0.1)
    assert (up.low, up.high, up.excludes_zero) == (0.0, 0.3, True)
    assert (down.low, down.high, down.excludes_zero) == (-0.2, 0.0, True)
    assert without_zero(wide, -1, 0.1) is wide


def test_the_side_of_rates_is_the_sign_of_their_difference() -> None:
    for control, treatment, side in [(700, 800, 1), (800, 700, -1), (100, 400, 1), (400, 100, -1)]:
        test = BernoulliEProcess(0.5).observe(Proportion(control, 1_000), Proportion(treatment, 1_000))
        assert (test.decided, test.side, test.decided_n) == (True, side, 2_000)
        assert test.interval.is_above(0) if side > 0 else test.interval.is_below(0)
        later = test.observe(Proportion(900, 1_000), Proportion(900, 1_000))
        assert (later.side, later.decided_n, later.has_gone) == (side, 2_000, False)
    with pytest.raises(InvalidRequest, match="baseline"):
        BernoulliEProcess(0.5, baseline=1.5)
    with pytest.raises(InvalidRequest, match="alpha"):
        BernoulliEProcess(0.5, alpha=0.0)
    with pytest.raises(InvalidRequest, match="treatment_share"):
        BernoulliEProcess(0.5).observe(Proportion(1, 2), Proportion(1, 2), 1.5)
