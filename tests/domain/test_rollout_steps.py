"""One step of a rollout at a time: what moves it, what holds it, and what nothing holds."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from chopmark.base.jsons import decode, encode
from chopmark.domain.endpoints import Endpoint, Router, RouterReport, RoutingMark, ServedVariant
from chopmark.domain.rollout_commands import COMMANDS, Command, allowed, commanded, retried, undone
from chopmark.domain.rollout_plans import Check, FreezeWindow, PlanStep, RolloutPlan, check_plan, frozen_until, plan_for
from chopmark.domain.rollout_steps import advance
from chopmark.domain.rollout_totals import ArmTotals, Gauge
from chopmark.domain.rollouts import (
    Observation,
    Rollout,
    RolloutAlert,
    RolloutEvent,
    SetSplit,
    asked_under,
)
from chopmark.domain.traffic import PinnedVersion, Variant
from chopmark.errors import Conflict, InvalidRequest
from chopmark.stats.summaries import Proportion

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
OLD = PinnedVersion(id=UUID(int=1), model="fraud", number=1, digest="sha256:" + "1" * 64)
NEW = PinnedVersion(id=UUID(int=2), model="fraud", number=2, digest="sha256:" + "2" * 64)
CHECKS = (Check(name="error_rate", kind="errors", threshold=0.1),)


def plan(*weights: int, **fields: Any) -> RolloutPlan:
    steps = tuple(PlanStep(weight=w, hold_s=60.0, samples_min=100) for w in weights or (1_000, 10_000))
    bake = PlanStep(weight=10_000, hold_s=60.0, samples_min=100)
    return check_plan(RolloutPlan(**{"steps": steps, "bake": bake, "checks": CHECKS, **fields}))


class Bench:
    """An endpoint whose routers do as they are told, until a test says otherwise."""

    def __init__(self, of: RolloutPlan | None = None) -> None:
        self.now = NOON
        self.endpoint = Endpoint(
            id=UUID(int=9),
            project="default",
            name="api",
            variants=(Variant(name="stable", version=OLD, weight=10_000),),
            generation=1,
            created_at=NOON,
            created_by="ada",
            updated_at=NOON,
            updated_by="ada",
        )
        self.mark = RoutingMark("e1", 1)
        self.tables = {"r1": (self.mark, self.endpoint), "r2": (self.mark, self.endpoint)}
        self.silent: set[str] = set()
        self.behind: set[str] = set()
        self.failed: set[str] = set()
        self.requests, self.bad = 0, 0
        self.more: dict[str, Any] = {}
        self.events: list[RolloutEvent] = []
        self.splits: list[SetSplit] = []
        self.rollout = self.begin(of or plan())

    def begin(self, of: RolloutPlan) -> Rollout:
        return Rollout(
            id=UUID(int=100),
            endpoint=self.endpoint.id,
            candidate=NEW,
            plan=of,
            created_at=self.now,
            created_by="ada",
            since=self.now,
        )

    def set(self, split: SetSplit) -> None:
        self.mark = replace(self.mark, generation=self.mark.generation + 1)
        self.endpoint = replace(
            self.endpoint, variants=split.variants, shadows=split.shadows, generation=self.mark.generation
        )

    def seen(self) -> Observation:
        for name in self.tables:
            if name not in self.behind:
                self.tables[name] = (self.mark, self.endpoint)
        routers = tuple(self._router(name, *table) for name, table in self.tables.items())
        counts = Proportion(self.bad, self.requests)
        candidate = ArmTotals(requests=self.requests, errors=counts, failures=counts)
        return Observation(
            **{"mark": self.mark, "endpoint": self.endpoint, "routers": routers, "candidate": candidate, **self.more}
        )

    def _router(self, name: str, mark: RoutingMark, endpoint: Endpoint) -> Router:
        served = tuple(
            ServedVariant(
                endpoint="api",
                variant=v.name,
                version=v.version.ref,
                digest=v.version.digest,
                weight=v.weight,
                generation=endpoint.generation,
                state="failed" if name in self.failed and v.version == NEW else "serving",
                since=self.now,
            )
            for v in endpoint.variants
        )
        report = RouterReport(id=name, mark=mark, started_at=NOON, served=served)
        age = timedelta(seconds=60 if name in self.silent else 0)
        return Router(report=report, seen_at=self.now - age)

    def step(self, seconds: float = 0.0, requests: int = 0, bad: int = 0) -> Rollout:
        """Time passes, requests come, and the worker looks once."""
        self.now += timedelta(seconds=seconds)
        self.requests, self.bad = self.requests + requests, self.bad + bad
        after = advance(self.rollout, self.seen(), self.now)
        self.rollout = after.rollout
        for split in after.actions:
            self.set(split)
            self.rollout = asked_under(self.rollout, self.mark)
        self.splits += after.actions
        self.events += after.events
        self.rollout = decode(encode(self.rollout), Rollout)  # it is a row
        return self.rollout

    def until(self, state: str, step: int | None = None) -> Rollout:
        for _ in range(60):
            if self.rollout.state == state and step in (None, self.rollout.step) and self.rollout.confirmed_at:
                return self.rollout
            self.step(seconds=30, requests=100)
        raise AssertionError(f"{self.rollout!r} never was {state}: {self.rollout.waiting}")

    def command(self, command: Command) -> Rollout:
        given = commanded(self.rollout, command, by="ada", reason="so", now=self.now)
        self.rollout, self.events = given.rollout, [*self.events, *given.events]
        return self.rollout

    def end(self, turns: int = 60) -> Rollout:
        for _ in range(turns):
            if self.step(seconds=30, requests=100).is_final:
                return self.rollout
        raise AssertionError(f"{self.rollout!r} never ended: {self.rollout.waiting}")


def test_a_canary_goes_all_the_way_and_lets_go_of_the_old_version() -> None:
    bench = Bench()
    assert bench.end().state == "completed"
    moves = [event.after for event in bench.events if event.kind == "moved"]
    assert moves == ["preparing", "progressing", "progressing", "promoting", "baking", "completed"]
    assert all(event.reason for event in bench.events)
    assert bench.events[0].reason == "the candidate is being loaded"
    assert [split.weight for split in bench.splits] == [0, 1_000, 10_000, 10_000]
    assert {v.version.number: v.weight for v in bench.endpoint.variants} == {2: 10_000, 1: 0}
    bench.step(seconds=3_500)
    assert len(bench.endpoint.variants) == 2
    assert bench.step(seconds=200).is_released
    assert {v.version.number: v.weight for v in bench.endpoint.variants} == {2: 10_000}
    assert bench.step(seconds=200) == bench.rollout


def test_what_is_set_is_not_asked_for_again() -> None:
    bench = Bench()
    bench.until("progressing", 0)
    asked = len(bench.splits)
    for _ in range(5):
        bench.step()
    assert len(bench.splits) == asked
    assert advance(bench.rollout, bench.seen(), bench.now).rollout is bench.rollout


def test_a_step_waits_for_its_hold_its_requests_and_every_live_router() -> None:
    bench = Bench()
    bench.until("progressing", 0)
    begun = bench.requests
    assert bench.step(seconds=59, requests=500).step == 0
    bench.requests = begun + 99
    assert "waiting for requests" in bench.step(seconds=30).waiting
    bench.requests, bench.more = begun, {"stable": ArmTotals(requests=100)}
    assert "none reached it yet" in bench.step(seconds=1).waiting
    bench.requests, bench.more = begun + 99, {}
    bench.behind.add("r2")
    assert bench.step(requests=100).step == 1
    assert "r2" in bench.step(seconds=300, requests=500).waiting
    assert bench.rollout.confirmed_at is None
    bench.silent.add("r2")  # as good as dead
    assert bench.step().confirmed_at is not None


def test_no_live_router_confirms_nothing() -> None:
    bench = Bench()
    bench.silent = {"r1", "r2"}
    bench.step()
    assert bench.step(seconds=3_000).state == "preparing"
    assert bench.rollout.waiting == "no router reports"


def test_a_bad_candidate_goes_back_with_reason_and_evidence() -> None:
    bench = Bench()
    bench.until("progressing", 0)
    assert bench.step(seconds=1, requests=100, bad=40).state == "aborting"
    assert bench.splits[-1].weight == 0
    event = bench.events[-1]
    assert event.reason == "failed error_rate"
    assert "40 of 100 requests" in event.evidence[0].words
    assert "beta-binomial" in event.evidence[0].words
    assert bench.step(seconds=1).state == "rolled_back"
    assert {v.version.number: v.weight for v in bench.endpoint.variants} == {1: 10_000, 2: 0}  # stays loaded
    bench.step(seconds=3_601)
    assert {v.version.number: v.weight for v in bench.endpoint.variants} == {1: 10_000}


@pytest.mark.parametrize("hold", ["pause", "window", "alert"])
def test_what_holds_stops_raising_and_never_stops_aborting(hold: str) -> None:
    window = FreezeWindow(starts_at=NOON + timedelta(minutes=2), ends_at=NOON + timedelta(days=1))
    bench = Bench(plan(freezes=(window,) if hold == "window" else ()))
    for _ in range(4):
        bench.step(seconds=1)
    assert bench.rollout.state == "progressing"
    if hold == "pause":
        bench.command("pause")
    elif hold == "alert":
        bench.more = {"alerts": (RolloutAlert("slow", "pause"),)}
    bench.now = NOON + timedelta(minutes=3)
    for _ in range(5):
        assert bench.step(seconds=120, requests=200).step == 0
    assert bench.rollout.waiting.startswith(("paused", "frozen", "the alert"))
    assert bench.step(requests=500, bad=400).state == "aborting"
    assert bench.step().state == "rolled_back"


def test_pause_and_abort_together_abort_in_either_order() -> None:
    for first, second in (("pause", "abort"), ("abort", "pause")):
        bench = Bench()
        bench.until("progressing", 0)
        bench.command(first)  # type: ignore[arg-type]
        if first == "pause":
            bench.command("abort")
        else:
            with pytest.raises(Conflict, match="being aborted"):
                bench.command(second)  # type: ignore[arg-type]
        assert bench.end().state == "rolled_back"


def test_an_inconclusive_verdict_pauses_and_is_held_once_more() -> None:
    bench = Bench()
    bench.until("progressing", 0)
    assert bench.step(seconds=61, requests=200, bad=21).pause is not None
    assert bench.events[-1].kind == "paused"
    assert "21 of 200" in bench.events[-1].evidence[0].words
    assert bench.step(seconds=600, requests=500, bad=0).step == 0
    bench.command("resume")
    assert bench.step(seconds=59).step == 0
    assert bench.step(seconds=2).step == 1


def test_missing_measurements_never_pass_and_the_deadline_ends_it() -> None:
    gauge = Check(name="drift", kind="gauge", threshold=1.0)
    bench = Bench(plan(checks=(gauge,), deadline_s=7_200.0))
    bench.until("progressing", 0)
    for value in (None, float("nan")):
        bench.more = {"candidate": ArmTotals(requests=10_000, gauges={"drift": Gauge(value, bench.now)})}
        assert bench.step(seconds=600).step == 0
    bench.more = {}
    assert bench.end(turns=400).state == "rolled_back"
    assert "not promoted within 7200 s (waiting for requests and measurements)" in bench.rollout.reason


def test_traffic_that_stops_holds() -> None:
    bench = Bench()
    bench.until("progressing", 0)
    assert bench.step(seconds=50_000).step == 0


def test_a_version_that_cannot_be_loaded_fails_and_later_rolls_back() -> None:
    bench = Bench()
    bench.failed.add("r2")
    bench.step()
    assert bench.step().state == "aborting"
    assert bench.step().state == "failed"
    assert "r2 cannot load fraud:2" in bench.rollout.reason
    assert bench.step().is_released, "what never answered is no way back"
    assert [v.version.number for v in bench.endpoint.variants] == [1]
    bench = Bench()
    bench.until("progressing", 0)
    bench.failed.add("r1")
    bench.step()
    assert bench.step().state == "rolled_back"


def test_a_split_that_somebody_else_set_is_not_fought() -> None:
    bench = Bench()
    bench.until("progressing", 0)
    bench.set(SetSplit(variants=(Variant(name="stable", version=OLD, weight=10_000),)))
    assert bench.step().pause is not None
    asked = len(bench.splits)
    bench.step(seconds=600, requests=500)
    assert len(bench.splits) == asked
    bench.command("resume")
    bench.step()
    assert bench.splits[-1].weight == 1_000
    assert bench.end().state == "completed"


def test_a_restored_database_is_noticed() -> None:
    bench = Bench()
    bench.until("progressing", 0)
    bench.mark = RoutingMark("e2", bench.mark.generation + 5)
    bench.behind = {"r1", "r2"}
    assert "restored from a backup" in bench.step(seconds=600, requests=500).waiting
    assert bench.step(seconds=600, requests=500).step == 0
    bench.command("resume")
    assert "r1, r2" in bench.step(seconds=600, requests=500).waiting
    bench.behind = set()
    assert bench.end().state == "completed"


def test_an_old_observation_decides_nothing() -> None:
    bench = Bench()
    bench.until("progressing", 0)
    old = bench.seen()
    bench.until("progressing", 1)
    assert advance(bench.rollout, old, bench.now).rollout is bench.rollout


def test_a_clock_that_is_set_back_neither_hastens_nor_stops_it() -> None:
    bench = Bench()
    bench.until("progressing", 0)
    bench.step(seconds=30, requests=100)
    bench.now -= timedelta(hours=5)
    bench.step(requests=100)
    assert bench.step(seconds=20, requests=100).step == 0
    assert bench.step(seconds=11, requests=100).step == 1


def test_a_router_that_was_last_heard_before_the_clock_was_set_back_is_waited_for() -> None:
    bench = Bench(plan(2_500, 5_000))
    bench.until("progressing", 0)
    late = [router for router in bench.seen().routers if router.report.id == "r2"]
    bench.now -= timedelta(hours=1)
    bench.step()
    stuck = replace(late[0], report=replace(late[0].report, served=()))
    held = replace(bench.seen(), routers=(bench.seen().routers[0], stuck))
    bench.requests += 500
    after = advance(bench.rollout, held, bench.now + timedelta(minutes=5)).rollout
    assert (after.step, after.waiting) == (0, "not confirmed by r2")


def test_superseded_goes_to_zero_first_and_baking_stays() -> None:
    bench = Bench()
    bench.until("progressing", 1)
    bench.more = {"superseded_by": "the rollout of fraud:3"}
    assert bench.step().state == "aborting"
    assert bench.splits[-1].weight == 0
    assert bench.step().state == "superseded"
    bench = Bench()
    bench.until("baking")
    bench.more = {"superseded_by": "the rollout of fraud:3"}
    assert bench.step().state == "superseded"
    assert {v.version.number: v.weight for v in bench.endpoint.variants} == {2: 10_000, 1: 0}


def test_one_rollout_at_a_time_and_only_from_one_version() -> None:
    bench = Bench()
    bench.more = {"is_free": False}
    assert bench.step().waiting == "another rollout has the endpoint"
    bench.more = {}
    bench.endpoint = replace(
        bench.endpoint,
        variants=(Variant(name="a", version=OLD, weight=5_000), Variant(name="b", version=NEW, weight=5_000)),
    )
    assert bench.step().waiting == "several versions share the traffic"
    bench.endpoint = replace(bench.endpoint, variants=(Variant(name="stable", version=NEW, weight=10_000),))
    assert bench.step().state == "failed"


def test_blue_green_waits_at_its_gate() -> None:
    bench = Bench(plan_for("blue-green", checks=CHECKS, hold_s=60))
    bench.until("progressing", 0)
    assert bench.step(seconds=900).waiting == "waiting for the approval switch"
    assert {v.version.number: v.weight for v in bench.endpoint.variants} == {1: 10_000, 2: 0}
    bench.command("approve")
    assert bench.step().step == 1
    assert bench.end().state == "completed"


def test_a_shadow_gets_copies_and_no_traffic() -> None:
    bench = Bench(plan_for("shadow", percents=[20], checks=CHECKS))
    bench.until("progressing", 0)
    assert [(s.version, s.weight) for s in bench.endpoint.shadows] == [(NEW, 2_000)]
    assert [(v.version, v.weight) for v in bench.endpoint.variants] == [(OLD, 10_000)]


@pytest.mark.parametrize(("said", "state"), [("winner", "promoting"), ("loser", "aborting"), ("", "progressing")])
def test_an_experiment_decides(said: str, state: str) -> None:
    bench = Bench(plan_for("ab", checks=(), hold_s=60))
    bench.until("progressing", 0)
    bench.more = {"experiment": said}
    assert bench.step(seconds=61, requests=500).state == state


def test_promoting_skips_holds_and_not_readiness() -> None:
    bench = Bench(plan(1_000, 5_000, 10_000))
    bench.until("progressing", 0)
    bench.behind.add("r2")
    bench.command("promote")
    assert bench.step().step == 1
    bench.command("promote_full")
    assert bench.step(seconds=600, requests=500).step == 1
    assert "r2" in bench.rollout.waiting
    bench.behind.clear()
    bench.step()
    assert bench.step().state == "promoting"
    assert bench.end().state == "completed"


def test_undo_is_quick_within_the_window_and_by_steps_after() -> None:
    bench = Bench()
    bench.end()
    back = undone(bench.rollout, UUID(int=101), by="ada", now=bench.now)
    assert (back.candidate, [s.weight for s in back.plan.steps], back.state) == (OLD, [10_000], "queued")
    late = undone(bench.rollout, UUID(int=101), by="ada", now=bench.now + timedelta(hours=2))
    assert late.plan == bench.rollout.plan
    bench.rollout = back
    assert bench.end().state == "completed"
    assert bench.endpoint.variants[0].version == OLD
    with pytest.raises(Conflict, match="only what was rolled back"):
        retried(bench.rollout, UUID(int=102), by="ada", now=bench.now)


def test_a_disabled_command_says_why() -> None:
    bench = Bench()
    assert {c for c, why in allowed(bench.rollout, bench.now).items() if not why} == {"pause", "abort", "promote_full"}
    bench.until("progressing", 0)
    audit = FreezeWindow(starts_at=bench.now, ends_at=bench.now + timedelta(hours=1), reason="an audit")
    frozen = replace(bench.rollout, plan=replace(bench.rollout.plan, freezes=(audit,)))
    said = allowed(frozen, bench.now)
    assert said["promote"] == "Nothing may be raised now: an audit."
    assert said["resume"] == "It is not paused."
    assert said["approve"] == "No approval is waited for."
    assert said["undo"] == "It is progressing; abort it instead."
    assert not said["abort"]
    bench.command("pause")
    assert allowed(bench.rollout, bench.now)["promote"] == "It is paused: resume it first."
    bench.command("abort")
    bench.end()
    assert {c for c, why in allowed(bench.rollout, bench.now).items() if not why} == {"retry"}
    for command in COMMANDS:
        if command != "retry":
            with pytest.raises(Conflict):
                bench.command(command)
    assert retried(bench.rollout, UUID(int=103), by="ada", now=bench.now).state == "queued"


def test_a_deleted_endpoint_ends_it() -> None:
    bench = Bench()
    bench.until("progressing", 0)
    seen = replace(bench.seen(), endpoint=None)
    first = advance(bench.rollout, seen, bench.now)
    assert first.rollout.state == "aborting"
    assert advance(first.rollout, seen, bench.now).rollout.state == "rolled_back"


def test_an_abort_ends_without_routers_only_after_a_while() -> None:
    bench = Bench()
    bench.until("progressing", 0)
    bench.command("abort")
    bench.step()
    bench.silent = {"r1", "r2"}
    assert bench.step(seconds=30).state == "aborting"
    assert bench.step(seconds=31).state == "rolled_back"
    assert "no router reported" in bench.rollout.reason


@pytest.mark.parametrize(
    "fields",
    [
        {"steps": ()},
        {"steps": (PlanStep(weight=500), PlanStep(weight=100))},
        {"steps": (PlanStep(weight=500, mirror=100),)},
        {"bake": PlanStep(weight=500)},
        {"checks": (CHECKS[0], CHECKS[0])},
        {"checks": (Check(name="nothing", kind="events"),)},
        {"checks": (Check(name="drift", kind="gauge", threshold=1.0, versus_stable=True),)},
        {"checks": (Check(name="errors", kind="errors", threshold=10.0),)},
        {"checks": (Check(name="success", kind="success", threshold=0.9),)},
        {"checks": (Check(name="late", kind="latency", threshold=0.0),)},
        {"checks": (Check(name="errors", kind="errors", threshold=0.1, better="higher"),)},
        {"steps": (PlanStep(weight=0, mirror=100),), "checks": (Check(name="e", kind="errors", versus_stable=True),)},
        {"freezes": (FreezeWindow(),)},
    ],
)
def test_plans_that_cannot_be_meant_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        plan(**fields)


def test_freezes_over_midnight() -> None:
    weekly = FreezeWindow(weekdays=(0,), start_minute=22 * 60, end_minute=6 * 60)  # NOON is a Monday
    assert frozen_until((weekly,), NOON) is None
    until = frozen_until((weekly,), NOON + timedelta(hours=12))
    assert until is not None
    assert until[0] == NOON + timedelta(hours=18)
    assert frozen_until((weekly,), NOON + timedelta(hours=18)) is None
