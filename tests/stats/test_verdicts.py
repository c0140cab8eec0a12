"""What a treatment's reading says, and what to do about it: the decisions by themselves."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from chopmark.stats.plans import Metric, Plan
from chopmark.stats.readings import Reading, adjusted, linearised, standing, value_of
from chopmark.stats.results import Interval
from chopmark.stats.sketch import QuantileSketch
from chopmark.stats.summaries import Cuped, Mean, Proportion, Ratio
from chopmark.stats.verdicts import Evidence, Verdict, decide

SUCCESS = Metric(name="success", kind="proportion", role="primary", threshold=0.02)
COST = Metric(name="cost", kind="mean", role="primary", better="lower", threshold=0.5)
ERRORS = Metric(name="errors", kind="proportion", role="guardrail", better="lower", threshold=0.01)
SLOW = Metric(name="slow", kind="quantile", role="guardrail", better="lower")


def reading(
    low: float, high: float, *, variant: str = "b", metric: str = "success", significant: bool = True, **more: Any
) -> Reading:
    return Reading(
        **{
            "metric": metric,
            "variant": variant,
            "control_value": None,
            "treatment_value": None,
            "estimate": (low + high) / 2,
            "interval": Interval(low, high),
            "p_value": 0.01,
            "p_adjusted": 0.01,
            "is_significant": significant,
            **more,
        }
    )


def said(
    *primary: Reading,
    guardrails: tuple[Reading, ...] = (),
    metric: Metric = SUCCESS,
    planned_n: int | None = None,
    **evidence: Any,
) -> Verdict:
    names = ["a", *(r.variant for r in primary)]
    plan = Plan(
        variants={name: 1 / len(names) for name in names},
        control="a",
        metrics=(metric, ERRORS, SLOW),
        planned_n=planned_n,
    )
    known: dict[str, Any] = {
        "ratio_p": 1.0,
        "is_mismatch": False,
        "units": 1_000,
        "may_decide": True,
        "has_ended": False,
        **evidence,
    }
    return decide(plan, Evidence(primary=primary, guardrails=guardrails, **known))


@pytest.mark.parametrize(
    ("low", "high", "significant", "expected"),
    [
        (0.021, 0.1, True, "better"),
        (0.02, 0.1, True, "unclear"),
        (0.021, 0.1, False, "unclear"),
        (-0.1, -0.021, True, "worse"),
        (-0.1, -0.02, True, "not better"),
        (-0.1, -0.021, False, "not better"),
        (-0.019, 0.019, True, "same"),
        (-0.019, 0.019, False, "same"),
        (-0.02, 0.019, False, "not better"),
        (-0.019, 0.02, False, "unclear"),
        (-0.1, 0.02, False, "unclear"),
        (-0.1, 0.1, False, "unclear"),
        (0.001, 0.019, True, "same"),
    ],
)
def test_where_the_interval_lies_says_how_a_treatment_stands(
    low: float, high: float, significant: bool, expected: str
) -> None:
    assert standing(SUCCESS, reading(low, high, significant=significant)) == expected
    mirrored = Metric(name="success", kind="proportion", role="primary", better="lower", threshold=0.02)
    assert standing(mirrored, reading(-high, -low, significant=significant)) == expected


def test_without_a_threshold_any_sure_difference_matters() -> None:
    plain = Metric(name="success", kind="proportion")
    assert standing(plain, reading(0.0001, 0.1)) == "better"
    assert standing(plain, reading(0.0, 0.1)) == "unclear"
    assert standing(plain, reading(-0.1, -0.0001)) == "worse"
    assert standing(plain, reading(-0.1, 0.0)) == "unclear"
    assert standing(plain, reading(-0.1, -0.001, significant=False)) == "not better"


def test_p_values_of_a_family_are_adjusted_by_holm() -> None:
    found = adjusted([reading(0, 1, p_value=p) for p in (0.01, 0.04, 0.03)], 0.05)
    assert [r.p_adjusted for r in found] == [pytest.approx(p) for p in (0.03, 0.06, 0.06)]
    assert [r.is_significant for r in found] == [True, False, False]
    assert adjusted([reading(0, 1, p_value=0.05)], 0.05)[0].is_significant
    assert adjusted([], 0.05) == []


@pytest.mark.parametrize("flag", ["no_data", "too_few", "no_variance", "all_equal", "not_constant", "too_early"])
def test_data_that_cannot_decide_are_never_significant(flag: Any) -> None:
    assert not adjusted([reading(0, 1, p_value=0.0, flags=(flag,))], 0.05)[0].is_significant
    assert adjusted([reading(0, 1, p_value=0.0, flags=("approximate",))], 0.05)[0].is_significant


def test_a_winner_and_what_is_said_of_it() -> None:
    assert said(reading(0.03, 0.05)) == Verdict(
        decision="winner",
        winner="b",
        sentence=(
            "b wins: success is 4 points higher than with a (interval 3 points to 5 points), and 2 points is what matters. "
            "Promote b."
        ),
    )
    lower = said(reading(-3.0, -1.0), metric=COST)
    assert lower.winner == "b"
    assert lower.sentence == (
        "b wins: cost is 2 lower than with a (interval -3 to -1), and 0.5 is what matters. Promote b."
    )
    plain = Metric(name="success", kind="proportion", role="primary")
    assert said(reading(0.03, 0.05), metric=plain).sentence == (
        "b wins: success is 4 points higher than with a (interval 3 points to 5 points). Promote b."
    )
    beyond = Metric(name="p95", kind="quantile", role="primary", better="lower")
    assert said(reading(-0.05, -0.03), metric=beyond).sentence.startswith(
        "b wins: the share of p95 beyond the limit is 4 points lower than with a"
    )
    assert said(reading(0.03, 0.05)).is_final


def test_the_best_of_several_winners() -> None:
    verdict = said(reading(0.03, 0.05, variant="b"), reading(0.06, 0.09, variant="c"), reading(0.03, 0.04, variant="d"))
    assert verdict.winner == "c"
    assert " b and d beat it too." in verdict.sentence
    cheap = said(reading(-3, -1, variant="b"), reading(-9, -5, variant="c"), metric=COST)
    assert cheap.winner == "c"
    three = said(*(reading(0.03, 0.05 + k / 100, variant=v) for k, v in enumerate("bcde")))
    assert " b, c and d beat it too." in three.sentence


def test_the_control_wins_only_over_every_treatment() -> None:
    both = said(reading(-0.05, -0.03, variant="b"), reading(-0.09, -0.06, variant="c"))
    assert (both.decision, both.winner) == ("winner", "a")
    assert both.sentence == (
        "a wins: with b success is 4 points lower than with a (interval -5 points to -3 points); "
        "with c success is 7.5 points lower than with a (interval -9 points to -6 points). Keep a."
    )
    one = said(reading(-0.05, -0.03, variant="b"), reading(-0.1, 0.1, variant="c"))
    assert (one.decision, one.winner) == ("continue", None)


def test_what_breaches_a_guardrail_cannot_win() -> None:
    harm = reading(0.02, 0.04, metric="errors")
    alone = said(reading(0.03, 0.05), guardrails=(harm,))
    assert alone == Verdict(
        decision="inconclusive",
        breached={"b": ("errors",)},
        sentence="No treatment may win: b breaches errors. Stop, and keep a.",
    )
    other = said(reading(0.06, 0.09, variant="b"), reading(0.03, 0.05, variant="c"), guardrails=(harm,))
    assert other.winner == "c"
    assert other.breached == {"b": ("errors",)}
    assert "beat it" not in other.sentence
    waiting = said(reading(0.06, 0.09, variant="b"), reading(-0.1, 0.1, variant="c"), guardrails=(harm,))
    assert waiting.sentence == "Nothing can be said yet: 1,000 units so far. b breaches errors and cannot win. Go on."
    twice = said(reading(0.03, 0.05), guardrails=(harm, reading(0.02, 0.04, metric="slow")))
    assert twice.breached == {"b": ("errors", "slow")}
    assert "b breaches errors and slow" in twice.sentence


def test_every_verdict_tells_of_breaches() -> None:
    harm = (reading(0.02, 0.04, metric="errors"),)
    told = {
        "winner": (reading(-0.05, -0.03), reading(-0.09, -0.06, variant="c")),
        "no difference": (reading(0.03, 0.05), reading(-0.01, 0.01, variant="c")),
        "futile": (reading(0.03, 0.05), reading(-0.03, 0.01, variant="c")),
        "continue": (reading(0.03, 0.05), reading(-0.1, 0.1, variant="c")),
    }
    for decision, found in told.items():
        verdict = said(*found, guardrails=harm)
        assert (verdict.decision, verdict.breached) == (decision, {"b": ("errors",)})
    ended = said(*told["continue"], guardrails=harm, has_ended=True)
    assert (ended.decision, ended.breached) == ("inconclusive", {"b": ("errors",)})
    two = (*harm, reading(0.02, 0.04, metric="slow", variant="c"))
    sentence = "No treatment may win: b breaches errors; c breaches slow. Stop, and keep a."
    assert said(*told["continue"], guardrails=two).sentence == sentence
    third = reading(-0.1, 0.1, variant="d")
    waiting = said(*told["continue"], third, guardrails=two).sentence
    assert " b breaches errors and cannot win. c breaches slow and cannot win. Go on." in waiting
    assert " b beat it too." in said(reading(0.03, 0.05), reading(0.06, 0.09, variant="c")).sentence


@pytest.mark.parametrize("harmless", [(0.005, 0.04), (-0.05, -0.02), (0.0, 0.01)])
def test_a_guardrail_is_breached_beyond_its_margin_only(harmless: tuple[float, float]) -> None:
    assert said(reading(0.03, 0.05), guardrails=(reading(*harmless, metric="errors"),)).winner == "b"


def test_nothing_that_matters_is_no_difference() -> None:
    verdict = said(reading(-0.01, 0.01, variant="b"), reading(-0.015, 0.01, variant="c"))
    assert (verdict.decision, verdict.winner) == ("no difference", None)
    assert verdict.sentence == (
        "success differs by less than 2 points, which is what matters, between a and b and c. Choose by other reasons, "
        "such as cost."
    )
    worse_too = said(reading(-0.01, 0.01, variant="b"), reading(-0.09, -0.06, variant="c"))
    assert worse_too.decision == "no difference"
    assert "between a and b." in worse_too.sentence


def test_no_room_for_what_matters_is_futile() -> None:
    verdict = said(reading(-0.03, 0.01))
    assert (verdict.decision, verdict.winner) == ("futile", None)
    assert verdict.sentence == ("b cannot be shown to improve success by 2 points or more any more. Stop, and keep a.")
    assert said(reading(-0.03, 0.01, variant="b"), reading(-0.01, 0.01, variant="c")).decision == "futile"
    assert said(reading(-0.03, 0.01, variant="b"), reading(-0.1, 0.1, variant="c")).decision == "continue"
    assert said(reading(-0.1, 0.1), futile=frozenset({"b"})).decision == "futile"
    assert said(reading(0.03, 0.05), futile=frozenset({"b"})).decision == "winner"
    assert said(reading(-0.1, 0.1), futile=frozenset({"z"})).decision == "continue"


def test_an_end_without_an_answer_is_inconclusive() -> None:
    verdict = said(reading(-0.1, 0.1), has_ended=True, units=4_000)
    assert verdict == Verdict(
        decision="inconclusive",
        sentence=(
            "4,000 units were planned and are there, and do not tell whether success differs. Keep a, or plan another experiment "
            "with more units."
        ),
    )
    assert said(reading(0.03, 0.05), has_ended=True).decision == "winner"


def test_until_the_method_allows_it_nothing_is_said() -> None:
    for found in (reading(0.03, 0.05), reading(-0.05, -0.03), reading(-0.01, 0.01), reading(-0.03, 0.01)):
        assert said(found, may_decide=False).decision == "continue"
    waiting = said(reading(-0.1, 0.1), units=1_200, planned_n=4_000)
    assert waiting == Verdict(
        decision="continue", sentence="Nothing can be said yet: 1,200 of 4,000 units so far. Go on."
    )
    assert not waiting.is_final


def test_a_broken_assignment_overrules_everything() -> None:
    verdict = said(reading(0.03, 0.05), is_mismatch=True, ratio_p=0.00012, has_ended=True)
    assert (verdict.decision, verdict.winner) == ("invalid", None)
    assert verdict.sentence == (
        "Units do not fall to the variants by their shares (p = 0.00012): comparisons cannot be trusted. Look for what loses "
        "units of one variant (crashes, redirects, bots, caches), mend it and start anew."
    )


def test_ratios_and_adjusted_means_become_means_with_their_spread() -> None:
    first, second = linearised(Ratio(10, 4.0, 2.0, 90.0, 9.0, 0.0), Ratio(10, 6.0, 2.0, 90.0, 9.0, 0.0))
    assert (first.n, first.mean, second.mean) == (10, 2.0, 3.0)
    assert first.variance == pytest.approx((10.0 + 4.0 * 1.0) / 4.0)
    assert second.variance == pytest.approx((10.0 + 9.0 * 1.0) / 4.0)
    same = Cuped(10, 5.0, 2.0, 90.0, 90.0, 90.0)
    first, second = linearised(same, Cuped(10, 6.0, 2.0, 90.0, 90.0, 90.0))
    assert (first.mean, second.mean) == (5.0, 6.0)
    assert first.variance == pytest.approx(0.0)
    first, second = linearised(Cuped(10, 5.0, 1.0, 90.0, 90.0, 45.0), Cuped(10, 5.0, 3.0, 90.0, 90.0, 45.0))
    theta = (90.0 + 0.0) / (180.0 + 4.0 * 5)  # centred over both: co = 45 + 45 + 0·2·5, m2 = 90 + 90 + 2²·5
    assert first.mean == pytest.approx(5.0 + theta)
    assert second.mean == pytest.approx(5.0 - theta)
    assert first.variance == pytest.approx(10.0 - 2 * theta * 5.0 + theta**2 * 10.0)
    alone = Cuped(1, 5.0, 2.0)
    assert [arm.m2 for arm in linearised(alone, alone)] == [0.0, 0.0]
    with pytest.raises(TypeError, match="linearised"):
        linearised(Mean(), Mean())


def test_values_as_people_say_them() -> None:
    quantile = Metric(name="p", kind="quantile", quantile=0.5)
    assert value_of(SUCCESS, Proportion(3, 4)) == 0.75
    assert value_of(COST, Mean(2, 7.0, 1.0)) == 7.0
    assert value_of(COST, Ratio(2, 6.0, 3.0)) == 2.0
    assert value_of(COST, Cuped(2, 6.0, 3.0)) == 6.0
    assert value_of(quantile, QuantileSketch.of([1.0, 2.0, 3.0])) == pytest.approx(2.0, rel=0.02)
    for nothing in (None, Proportion(), Mean(), Ratio(), Cuped(), QuantileSketch.of([])):
        assert value_of(quantile, nothing) is None


def test_an_end_next_to_what_matters_is_told_apart_from_it() -> None:
    assert (
        "(interval 2.0001 points to 5 points), and 2 points is what matters" in said(reading(0.020001, 0.05)).sentence
    )
    assert "(interval 3 points to 5 points)" in said(reading(0.03, 0.05)).sentence


def test_an_end_at_zero_that_a_test_ruled_out_is_beyond_it() -> None:
    plain = Metric(name="success", kind="proportion", role="primary")
    above = reading(0.0, 0.05, interval=Interval(0.0, 0.05, excludes_zero=True))
    verdict = said(above, metric=plain)
    assert verdict.winner == "b"
    assert "(interval above 0 points to 5 points)" in verdict.sentence
    below = reading(-0.05, 0.0, interval=Interval(-0.05, 0.0, excludes_zero=True))
    verdict = said(below, metric=plain)
    assert verdict.winner == "a"
    assert "(interval -5 points to below 0 points)" in verdict.sentence
    assert said(above).decision == "continue"  # above 0 is not above two points


def test_a_guardrail_that_says_nothing_stands_in_the_way_of_its_own_treatment_only() -> None:
    silent = reading(-1, 1, variant="b", metric="errors", significant=False, flags=("no_data",))
    both = said(reading(0.06, 0.09, variant="b"), reading(0.03, 0.05, variant="c"), guardrails=(silent,))
    assert both.winner == "c"
    assert said(reading(-0.09, -0.06), guardrails=(silent,)).winner == "a"
    assert said(reading(-0.01, 0.01), guardrails=(silent,)).decision == "no difference"
    harm = reading(0.02, 0.04, variant="b", metric="slow")
    assert said(reading(0.06, 0.09), guardrails=(silent, harm)).breached == {"b": ("slow",)}
    equal = msgspec.structs.replace(silent, flags=("all_equal",))
    assert said(reading(0.06, 0.09), guardrails=(equal,)).winner == "b"


def test_records_of_more_units_than_were_exposed_make_it_invalid() -> None:
    verdict = said(reading(0.03, 0.05), unexposed={"b": (5_000, 10)})
    assert (verdict.decision, verdict.winner) == ("invalid", None)
    assert verdict.sentence.startswith("There are 5,000 records of 10 units that were exposed to b: ")
