"""Rollouts by the library, on every back end: what people ask, what workers do, what the endpoint and the audit say after."""

from datetime import timedelta
from typing import Any

import pytest
from msgspec import structs

import chopmark as cm
from chopmark.base.clock import FakeClock
from chopmark.domain.outcomes import MetricSums, window_start
from chopmark.domain.rollout_plans import Check, PlanStep, RolloutPlan, plan_for
from chopmark.errors import Conflict, InvalidRequest, NotFound, TimedOut
from chopmark.testing.catalog_outcomes import said
from tests.sdk.rollout_life import NAME, Life
from tests.sdk.test_rollouts_hold_versions import lose

QUICK: dict[str, Any] = {"hold": 0, "samples_min": 10}


@pytest.fixture
def clock() -> FakeClock:
    """One by which a router that has just reported is not silent a few readings later."""
    return FakeClock(step=timedelta(milliseconds=1))


@pytest.fixture
def life(registry: cm.Registry) -> Life:
    return Life(registry)


@pytest.fixture
def near(own: cm.Registry) -> Life:
    """Where a server between adds nothing."""
    return Life(own)


@pytest.fixture
def kept(local: cm.Registry) -> Life:
    """On SQLite alone, with a clock that is told the time."""
    return Life(local)


def finish(life: Life) -> None:
    """Good requests, until it has ended."""
    for _ in range(12):
        if life.go().is_final:
            return
        life.answer(life.rollout.candidate.number, 20)
    raise AssertionError(repr(life.rollout))


def test_a_canary_goes_step_by_step_and_its_version_is_the_stable_one(life: Life) -> None:
    made = life.registry.rollouts.start(NAME, "fraud:2", steps=[10, 50], reason="does better", **QUICK)
    assert (made.state, made.endpoint_ref, made.created_by) == ("queued", NAME, "ada")
    life.confirm()
    assert life.look().state == "preparing"
    assert life.shares == {"fraud:1": 10_000, "fraud:2": 0}
    assert life.go().step == 0
    assert life.shares == {"fraud:1": 9_000, "fraud:2": 1_000}
    assert life.go().waiting == "waiting for requests and measurements"
    life.answer(1, 600)
    assert life.go().step == 0, "nothing of the candidate yet, and missing data never passes"
    life.answer(1, 180)
    life.answer(2, 20)
    assert life.go().step == 1
    assert life.shares == {"fraud:1": 5_000, "fraud:2": 5_000}
    life.go()
    life.answer(1, 20)
    life.answer(2, 20)
    life.confirm()
    assert life.look().state == "promoting"
    assert life.shares == {"fraud:2": 10_000, "fraud:1": 0}
    finish(life)
    done = life.registry.rollouts.get(NAME)
    assert done.rollout.state == "completed"
    assert done.rollout.stable is not None
    assert done.rollout.stable.ref == "fraud:1"
    assert life.shares == {"fraud:2": 10_000, "fraud:1": 0}, "the version before stays loaded"
    told = [e.event for e in life.registry.audit.list(target=NAME, limit=100)]
    assert told.count("rollout.started") == 1
    assert told.count("endpoint.split") == 4
    assert told[-1] == "rollout.completed"
    assert life.registry.audit.verify().fault == ""
    moves = [e.after for e in life.registry.rollouts.events(NAME) if e.kind == "moved"]
    assert moves == ["preparing", "progressing", "progressing", "promoting", "baking", "completed"]


def test_a_bad_version_is_rolled_back_with_the_evidence(life: Life) -> None:
    life.registry.rollouts.start(NAME, "fraud:2", steps=[10, 100], **QUICK)
    life.confirm()
    life.go()
    life.go()
    life.answer(1, 900, bad=9)
    life.answer(2, 100, bad=60)
    life.confirm()
    assert life.look().state == "aborting"
    assert life.shares == {"fraud:1": 10_000, "fraud:2": 0}, "in the same transaction"
    life.confirm()
    ended = life.look()
    assert (ended.state, ended.ended_at is not None) == ("rolled_back", True)
    assert ended.reason.startswith("failed error_rate")
    (why,) = (e for e in life.registry.rollouts.events(NAME) if e.after == "aborting")
    assert any("60 of 100" in each.words for each in why.evidence)
    audit = {e.event: e for e in life.registry.audit.list(target=NAME, limit=100)}
    assert "60 of 100" in str(audit["rollout.aborting"].data["evidence"])
    assert audit["rollout.rolled_back"].data["candidate"] == "fraud:2"


def test_an_endpoint_has_one_rollout_at_a_time_and_a_newer_one_takes_its_place_when_told_to(near: Life) -> None:
    rollouts = near.registry.rollouts
    first = rollouts.start(NAME, "fraud:2", steps=[10], **QUICK)
    near.confirm()
    near.go()
    with pytest.raises(Conflict, match="has a rollout that goes on: that of fraud:2"):
        rollouts.start(NAME, "fraud:3")
    second = rollouts.start(NAME, "fraud:3", steps=[10], supersede=True, **QUICK)
    assert near.look(first).state == "aborting"
    assert near.look(second).waiting == "another rollout has the endpoint"
    near.confirm()
    assert near.look(first).state == "superseded"
    assert near.look(second).state == "preparing"
    assert [r.candidate.ref for r in rollouts.list(NAME)] == ["fraud:3", "fraud:2"]
    assert [r.id for r in rollouts.list(is_open=True)] == [second.id, first.id], "it still holds the version before"


def test_what_is_asked_is_done_or_refused_with_the_reason(life: Life) -> None:
    rollouts = life.registry.rollouts
    with pytest.raises(NotFound, match="There is no rollout of an endpoint fraud-api"):
        rollouts.pause(NAME)
    rollouts.start(NAME, "fraud:2", steps=[10, 50, 100], hold="1h", samples_min=0)
    life.confirm()
    life.go()
    life.go()
    with pytest.raises(Conflict, match="It is not paused"):
        rollouts.resume(NAME)
    assert rollouts.get(NAME).commands["retry"].startswith("It is progressing")
    rollouts.pause(NAME, reason="lunch")
    assert life.go().waiting == "paused: lunch"
    with pytest.raises(Conflict, match="resume it first"):
        rollouts.promote(NAME)
    with pytest.raises(Conflict, match="paused already"):
        rollouts.pause(NAME)
    rollouts.resume(NAME, reason="back")
    rollouts.promote(NAME, reason="seen enough")
    assert life.go().step == 1
    assert life.go().step == 1
    rollouts.promote(NAME, full=True, reason="all of it")
    assert life.go().state in {"promoting", "baking"}
    rollouts.abort(NAME, reason="complaints")
    assert life.go().state == "rolled_back"
    assert life.shares["fraud:1"] == 10_000
    with pytest.raises(Conflict, match="It has ended"):
        rollouts.abort(NAME)
    again = rollouts.retry(NAME, reason="mended")
    assert (again.state, again.plan) == ("queued", rollouts.list(NAME)[1].plan)
    commands = [e.data["command"] for e in life.registry.audit.list(event="rollout.commanded", limit=100)]
    assert commands == ["pause", "resume", "promote", "promote_full", "abort"]
    said = [(e.kind, e.by) for e in rollouts.events(NAME, rollouts.list(NAME)[1].id) if e.by]
    assert said == [("paused", "ada"), ("resumed", "ada"), ("asked", "ada"), ("asked", "ada"), ("asked", "ada")]


def test_the_way_back_is_one_command(life: Life) -> None:
    rollouts = life.registry.rollouts
    with pytest.raises(Conflict, match="there is no version before"):
        rollouts.rollback(NAME)
    rollouts.start(NAME, "fraud:2", strategy="replace")
    life.confirm()
    assert life.go().state == "progressing"
    rollouts.rollback(NAME, reason="while it goes on")
    assert life.go().state == "rolled_back"
    rollouts.start(NAME, "fraud:2", strategy="replace", hold=0, samples_min=0)
    finish(life)
    assert life.shares == {"fraud:2": 10_000, "fraud:1": 0}
    back = rollouts.rollback(NAME, reason="complaints")
    assert (back.candidate.ref, [s.weight for s in back.plan.steps]) == ("fraud:1", [10_000])
    life.look()
    life.confirm(state="loading")
    assert life.look().state == "preparing", "the window skips the steps, and not readiness"
    finish(life)
    assert life.shares["fraud:1"] == 10_000
    named = rollouts.rollback(NAME, "fraud:3", strategy="replace", reason="that one")
    assert named.candidate.ref == "fraud:3"
    finish(life)
    assert life.shares["fraud:3"] == 10_000


def test_blue_green_waits_for_its_approval(near: Life) -> None:
    rollouts = near.registry.rollouts
    rollouts.start(NAME, "fraud:2", strategy="blue-green", hold=0, samples_min=0)
    near.confirm()
    near.go()
    assert near.go().waiting == "waiting for the approval switch"
    assert near.shares == {"fraud:1": 10_000, "fraud:2": 0}, "it can be asked by name, and has no traffic"
    assert rollouts.wait(NAME, timeout=1).rollout.step == 0
    rollouts.approve(NAME, reason="the preview is well")
    with pytest.raises(TimedOut):  # not what it said before it was approved
        rollouts.wait(NAME, timeout=0)
    with pytest.raises(Conflict, match="approved already"):
        rollouts.approve(NAME)
    assert near.go().state in {"progressing", "promoting", "baking"}
    assert near.shares["fraud:2"] == 10_000


def test_a_shadow_answers_nobody(near: Life) -> None:
    near.registry.rollouts.start(NAME, "fraud:2", strategy="shadow", steps=[25], **QUICK)
    near.confirm()
    near.go()
    near.go()
    (shadow,) = near.registry.endpoints.get(NAME).shadows
    assert (shadow.version.ref, shadow.weight) == ("fraud:2", 2_500)
    assert near.shares == {"fraud:1": 10_000}
    assert near.go().waiting == "waiting for requests and measurements", "one that received nothing never passes"


def test_who_sets_the_split_by_hand_is_not_fought(near: Life) -> None:
    near.registry.rollouts.start(NAME, "fraud:2", steps=[10, 100], **QUICK)
    near.confirm()
    near.go()
    near.go()
    near.registry.endpoints.split(NAME, {"fraud:1": 30, "fraud:2": 70}, reason="by hand")
    assert near.go().waiting == "paused: somebody else set the split"
    assert near.shares == {"fraud:1": 3_000, "fraud:2": 7_000}
    near.registry.rollouts.resume(NAME, reason="go on")
    near.go()
    assert near.shares == {"fraud:1": 9_000, "fraud:2": 1_000}


def test_versions_of_a_rollout_stay_and_a_queued_one_that_is_gone_gives_up(near: Life) -> None:
    versions = near.registry.versions
    near.registry.rollouts.start(NAME, "fraud:2", steps=[10], **QUICK)
    with pytest.raises(Conflict, match="the rollout of fraud:2 to fraud-api needs fraud:2"):
        versions.delete("fraud:2", force=True, reason="before its turn")
    lose(near, 2)
    assert near.look().state == "rolled_back"
    assert "deleted or archived before its turn" in near.rollout.reason
    near.registry.rollouts.start(NAME, "fraud:3", steps=[10], **QUICK)
    near.confirm()
    near.go()
    for ref in ("fraud:1", "fraud:3"):
        with pytest.raises(Conflict, match="Requests are answered with it"):
            versions.delete(ref)
        with pytest.raises(Conflict, match="Requests are answered with it"):
            near.registry.stages.archive(ref, reason="r")


def test_a_version_that_cannot_be_loaded_fails_without_traffic(near: Life) -> None:
    near.registry.rollouts.start(NAME, "fraud:2", steps=[10], **QUICK)
    near.confirm()
    near.look()
    near.confirm(state="failed", why="no memory")
    near.look()
    near.confirm()
    ended = near.look()
    assert (ended.state, ended.weight) == ("failed", 0)
    assert "cannot load fraud:2: no memory" in ended.reason


def test_an_endpoint_that_is_deleted_ends_its_rollout(near: Life) -> None:
    near.registry.rollouts.start(NAME, "fraud:2", steps=[10], **QUICK)
    near.confirm()
    near.go()
    near.registry.endpoints.delete(NAME)
    near.look()
    assert near.look().state in {"failed", "rolled_back"}
    assert "the endpoint was deleted" in near.rollout.reason
    with pytest.raises(Conflict, match="was deleted"):
        near.registry.rollouts.retry(NAME)


def test_what_cannot_be_meant_is_refused_before_anything_is_done(near: Life) -> None:
    rollouts = near.registry.rollouts
    with pytest.raises(Conflict, match="has all of the traffic"):
        rollouts.start(NAME, "fraud:1")
    with pytest.raises(NotFound):
        rollouts.start("none", "fraud:2")
    with pytest.raises(NotFound):
        rollouts.start(NAME, "fraud:9")
    with pytest.raises(InvalidRequest, match="never go down"):
        rollouts.start(NAME, "fraud:2", steps=[50, 10])
    with pytest.raises(InvalidRequest, match="no length of time"):
        rollouts.start(NAME, "fraud:2", hold="soon")
    with pytest.raises(InvalidRequest):
        rollouts.start(NAME, "fraud:2", plan=RolloutPlan(steps=(PlanStep(weight=20_000),)))
    near.registry.endpoints.split(NAME, {"fraud:1": 50, "fraud:2": 50})
    with pytest.raises(Conflict, match="Several versions share the traffic"):
        rollouts.start(NAME, "fraud:3")
    assert list(rollouts.list()) == []
    assert [e.event for e in near.registry.audit.list(target=NAME)] == ["endpoint.created", "endpoint.split"]


def test_a_dry_run_begins_nothing(near: Life) -> None:
    assert near.registry.dry_run().rollouts.start(NAME, "fraud:2").state == "queued"
    assert list(near.registry.rollouts.list()) == []


def test_lists_are_paged_and_narrowed(near: Life) -> None:
    near.registry.endpoints.create("other-api", "fraud:1")
    for name in (NAME, "other-api"):
        near.registry.rollouts.start(name, "fraud:2")
    page = near.registry.rollouts.list(limit=1)
    rest = near.registry.rollouts.list(limit=1, cursor=page.cursor)
    assert [r.endpoint_ref for r in (*page, *rest)] == ["other-api", NAME]
    assert not rest.cursor
    assert [r.endpoint_ref for r in near.registry.rollouts.list("other-api")] == ["other-api"]
    assert list(near.registry.rollouts.list(project="elsewhere")) == []
    with pytest.raises(InvalidRequest):
        near.registry.rollouts.list(NAME, limit=1, cursor=page.cursor)


def test_waiting_has_an_end(near: Life) -> None:
    near.registry.rollouts.start(NAME, "fraud:2")
    with pytest.raises(TimedOut, match="goes on"):
        near.registry.rollouts.wait(NAME, timeout=0.01)


def test_holds_are_by_the_clock_and_the_version_before_is_let_go_when_its_window_is_over(
    kept: Life, clock: FakeClock
) -> None:
    clock.step = timedelta(0)
    kept.registry.rollouts.start(NAME, "fraud:2", steps=[10], hold="10m", samples_min=0, rollback_window="1h")
    kept.confirm()
    kept.go()
    kept.go()
    for minutes, state in ((9, "progressing"), (2, "baking"), (9, "baking"), (2, "completed")):
        clock.advance(timedelta(minutes=minutes))
        kept.confirm()
        assert kept.go().state == state, minutes
    assert kept.shares == {"fraud:2": 10_000, "fraud:1": 0}
    clock.advance(timedelta(minutes=59))
    assert not kept.go().is_released
    clock.advance(timedelta(minutes=2))
    kept.confirm()
    assert kept.go().is_released
    assert kept.shares == {"fraud:2": 10_000}
    kept.registry.versions.delete("fraud:1")
    late = kept.registry.rollouts.list(NAME)[0]
    assert [s.weight for s in late.plan.steps] == [1_000]
    with pytest.raises(NotFound, match="was deleted"):
        kept.registry.rollouts.undo(NAME)


def test_after_the_window_the_way_back_goes_by_steps(kept: Life, clock: FakeClock) -> None:
    clock.step = timedelta(0)
    kept.registry.rollouts.start(NAME, "fraud:2", steps=[10, 50], hold=0, samples_min=0, rollback_window="1m")
    finish(kept)
    clock.advance(timedelta(minutes=2))
    back = kept.registry.dry_run().rollouts.rollback(NAME)
    assert [s.weight for s in back.plan.steps] == [1_000, 5_000]
    at_once = kept.registry.rollouts.rollback(NAME, strategy="replace")
    assert [s.weight for s in at_once.plan.steps] == [10_000]


def test_a_plan_is_rehearsed_on_recorded_minutes(kept: Life, clock: FakeClock) -> None:
    clock.step = timedelta(0)
    began = clock.now
    for minute in range(40):
        kept.answer(1, 900, bad=9)
        kept.answer(2, 100, bad=30 if minute >= 20 else 1)
        kept.confirm()
        clock.advance(timedelta(minutes=1))
    rehearse = kept.registry.rollouts.rehearse
    plan = plan_for(percents=[10, 50, 100], hold_s=300)
    bad = rehearse(NAME, "fraud:2", "fraud:1", since=began + timedelta(minutes=20), plan=plan)
    assert bad.outcome == "rolled_back"
    assert (bad.moments[0].step, bad.moments[0].requests <= 200) == (0, True)
    assert "failed error_rate" in bad.moments[0].words
    good = rehearse(NAME, "fraud:2", "fraud:1", since=began, until=began + timedelta(minutes=20), plan=plan)
    assert (good.outcome, [m.step for m in good.moments]) == ("completed", [0, 1, 2, 3])
    assert "not that of each step" in good.caveats[0]
    short = rehearse(NAME, "fraud:2", "fraud:1", since=began, until=began + timedelta(minutes=7), plan=plan)
    assert (short.outcome, len(short.moments)) == ("unfinished", 1)
    nothing = rehearse(NAME, "fraud:3", "fraud:1", since=began, plan=plan)
    assert nothing.outcome == "unfinished"
    assert any("nothing was compared" in said for said in nothing.caveats)
    with pytest.raises(InvalidRequest, match="two days"):
        rehearse(NAME, "fraud:2", "fraud:1", since=began - timedelta(days=9))
    assert list(kept.registry.rollouts.list()) == []


def test_late_truth_and_recorded_metrics_are_checked(kept: Life, clock: FakeClock) -> None:
    clock.step = timedelta(0)
    checks = [
        Check(name="truth", kind="events", metric="right", threshold=0.9, better="higher", samples_min=20),
        Check(name="revenue", kind="gauge", threshold=2.0, better="higher"),
    ]
    kept.registry.rollouts.start(NAME, "fraud:2", steps=[50, 100], hold=0, samples_min=1, checks=checks)
    kept.confirm()
    kept.go()
    kept.answer(2, 50)
    kept.confirm()
    assert kept.go().checks[1].verdict == "no_data"
    place = kept.versions[1].id, window_start(clock.now)
    kept.counted[place] = structs.replace(kept.counted[place], metrics={"revenue": MetricSums.of_one(2.5)})
    kept.confirm()
    clock.advance(timedelta(seconds=1))
    assert [c.verdict for c in kept.go().checks] == ["no_data", "pass"]
    own: Any = kept.registry._transport
    with own.catalog.writing() as tx:
        tx.feedback.put(
            said(kept.endpoint.id, n, version=place[0], variant="candidate", asked_at=clock.now, correct=n % 2 == 0)
            for n in range(40)
        )
    kept.confirm()
    assert kept.look().state == "aborting"
    assert kept.rollout.reason == "failed truth"
