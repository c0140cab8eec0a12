"""Whether a shadow gets copies: when people are told that it gets none, with which reason, and when that is over."""

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from chopmark.domain.alert_rules import AlertEvent
from chopmark.domain.rollout_copies import copies_event
from chopmark.domain.rollout_plans import RolloutPlan, plan_for
from chopmark.domain.rollout_totals import ArmTotals
from chopmark.domain.rollouts import Rollout
from chopmark.domain.traffic import Variant
from chopmark.stats.summaries import Proportion
from tests.domain.test_rollout_steps import CHECKS, OLD, Bench

WITHIN_S = 300.0


class Shadowed(Bench):
    """A rollout to ``api`` whose shadow gets copies when a test says so."""

    def __init__(self, of: RolloutPlan | None = None, share: float = 20) -> None:
        super().__init__(of or plan_for("shadow", percents=[share], checks=CHECKS))
        self.asked(1_000)  # before it began
        self.step()
        self.step()
        self.step()

    def begin(self, of: RolloutPlan) -> Rollout:
        return replace(super().begin(of), endpoint_ref="api")

    def asked(self, requests: int, unanswered: int = 0) -> None:
        """Requests to the stable version."""
        before = self.more.get("stable", ArmTotals())
        failures = before.failures + Proportion(unanswered, requests)
        self.more["stable"] = ArmTotals(requests=before.requests + requests, failures=failures)

    def drop(self, copies: int) -> None:
        self.more["candidate"] = ArmTotals(dropped=copies)

    def event(self, seconds: float = 0.0) -> AlertEvent | None:
        """A look, and what it has people told."""
        self.step(seconds)
        return copies_event(self.rollout, self.seen(), self.now)

    def told(self, seconds: float = WITHIN_S) -> str:
        event = self.event(seconds)
        assert event is not None
        assert (event.kind, event.severity) == ("firing", "warning")
        return event.message


def test_it_is_told_after_the_wait_and_not_before() -> None:
    bench = Shadowed()
    confirmed = bench.rollout.confirmed_at
    assert confirmed is not None
    assert bench.event(WITHIN_S - 1) is None
    event = bench.event(1)
    assert event is not None
    assert (event.kind, event.since, event.at) == ("firing", confirmed, bench.now)
    assert event.message == (
        "The shadow fraud:2 got no copy in 5 min: no request came to api that a version could read: "
        "none at all, or only such as were refused. See which: chopmark outcomes summary api"
    )
    assert bench.rollout.waiting == "holding", "the row says nothing of it"
    bench.step(WITHIN_S)
    assert bench.rollout.waiting == "waiting for requests and measurements"


def test_what_is_in_the_way_is_told_with_what_to_do() -> None:
    bench = Shadowed()
    bench.asked(30, unanswered=30)
    assert "30 requests came and none was answered, and what is not answered is not copied. See what" in bench.told()
    bench.asked(20)
    assert "20 requests were answered, and with a share of 0.2 that is too few to expect a copy" in bench.told()
    bench.asked(20)
    assert "40 requests were answered, and no router copied any of the 0.2 that it should" in bench.told()
    bench.drop(7)
    assert (
        "7 copies were dropped, as no more than 100 may wait for it. Let more wait: chopmark endpoint" in bench.told()
    )


def test_a_split_by_hand_and_routers_that_do_not_confirm_are_told_as_that() -> None:
    bench = Shadowed()
    bench.endpoint = replace(bench.endpoint, shadows=())
    assert "api does not mirror to it any more, as somebody else set the split. Ask" in bench.told()
    bench = Shadowed()
    bench.endpoint = replace(bench.endpoint, variants=(Variant(name="stable", version=OLD, weight=10_000),), shadows=())
    bench.rollout = replace(bench.rollout, confirmed_at=None)
    assert "somebody else set the split" in bench.told()
    bench = Shadowed()
    bench.rollout = replace(bench.rollout, confirmed_at=None)
    bench.silent = {"r1"}
    bench.behind = {"r2"}
    bench.mark = replace(bench.mark, generation=bench.mark.generation + 1)
    bench.rollout = replace(bench.rollout, asked=replace(bench.rollout.asked, mark=bench.mark))  # type: ignore[type-var]
    assert "the routers have not confirmed the step (not confirmed by r2). See what they say" in bench.told()
    bench.silent = {"r1", "r2"}
    assert "(no router reports)" in bench.told()


def test_it_is_over_with_the_first_copy_the_step_or_the_rollout() -> None:
    bench = Shadowed()
    bench.told()
    bench.step(requests=1)
    over = bench.event()
    assert over is not None
    assert (over.kind, over.message) == ("resolved", "fraud:2 gets copies: 1 by now.")
    bench = Shadowed()
    bench.told()
    bench.command("promote")
    over = bench.event()
    assert over is not None
    assert (over.kind, over.message) == ("resolved", "The step that mirrors is over.")
    bench = Shadowed()
    bench.told()
    bench.command("abort")
    for _ in range(4):
        over = bench.event()
    assert over is not None
    assert (over.kind, over.message) == ("resolved", "The rollout has ended: it is rolled back.")


def test_requests_of_before_the_step_are_not_told_as_copies_nor_as_asked() -> None:
    bench = Shadowed()
    assert bench.rollout.before.asked == 1_000
    assert "no request came" in bench.told()


@pytest.mark.parametrize("of", [plan_for(percents=[10]), plan_for("blue-green"), "silent"])
def test_nothing_is_told_where_nothing_mirrors_or_nobody_wants_to_know(of: Any) -> None:
    silent = replace(plan_for("shadow", checks=CHECKS), copies_within_s=0.0)
    bench = Shadowed(silent if of == "silent" else of)
    for _ in range(5):
        assert bench.event(WITHIN_S) is None


def test_an_old_observation_tells_nothing() -> None:
    bench = Shadowed()
    bench.now += timedelta(seconds=2 * WITHIN_S)
    old = replace(bench.seen(), mark=replace(bench.mark, generation=0))
    assert copies_event(bench.rollout, old, bench.now) is None
