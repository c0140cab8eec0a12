"""Drift as a check of a rollout: when it is measured, what is remembered of it, and what it says of a step."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from chopmark.domain.manifest import FileEntry, Manifest
from chopmark.domain.rollout_drift import check_measurable, drift_metrics, due_metrics, measured_variant
from chopmark.domain.rollout_plans import Check, RolloutPlan, check_plan, plan_for
from chopmark.domain.rollout_rehearsal import RecordedMinute, rehearsed
from chopmark.domain.rollout_totals import Gauge
from chopmark.domain.rollouts import Observation, Rollout
from chopmark.errors import InvalidRequest
from tests.domain.test_rollout_steps import CHECKS, Bench, plan

DRIFT = Check(name="drift", kind="gauge", threshold=1.0)
ANSWERS = Check(name="answers", kind="gauge", metric="drift.predictions", threshold=2.0)
MINUTE = timedelta(minutes=1)


class Measured(Bench):
    """A rollout whose plan asks for drift; a look is handed what a test says, and else nothing."""

    def __init__(self, of: RolloutPlan | None = None) -> None:
        super().__init__(of or plan(checks=(*CHECKS, DRIFT)))
        self.handed: dict[str, Gauge] = {}
        for _ in range(3):
            self.step(requests=200)

    def seen(self) -> Observation:
        seen = super().seen()
        return replace(seen, candidate=replace(seen.candidate, gauges=self.handed))

    def measure(self, value: float | None, of: Rollout | None = None, *, why: str = "", lost: bool = False) -> None:
        """A look with what was measured of the step, or of that of an earlier row, and later ones without."""
        row = of or self.rollout
        self.handed = {"drift": Gauge(value, self.now, row.place, row.confirmed_at, why, is_unknowable=lost)}
        self.step()
        self.handed = {}

    @property
    def verdict(self) -> tuple[str, str]:
        check = self.rollout.checks[-1]
        return check.verdict, check.evidence


def test_what_was_measured_counts_until_it_is_too_old() -> None:
    bench = Measured()
    assert bench.rollout.confirmed_at is not None
    bench.step()
    assert bench.verdict == ("no_data", "drift: no number")
    bench.measure(0.25)
    assert bench.verdict == ("pass", "drift: 0.25, at most 1 is allowed")
    bench.step(50, requests=200)
    assert bench.verdict[0] == "pass", "no look in between had a number"
    assert bench.rollout.step == 0
    bench.step(251)
    assert bench.verdict == ("no_data", "drift: its number is too old")
    assert bench.rollout.waiting == "waiting for requests and measurements"
    bench.measure(0.0)
    assert bench.rollout.step == 1, "it is held, and passes"


def test_it_fails_when_it_was_beyond_three_times_in_a_row() -> None:
    bench = Measured()
    for value, verdict in ((1.5, "inconclusive"), (0.5, "pass"), (1.5, "inconclusive"), (1.5, "inconclusive")):
        bench.now += MINUTE
        bench.measure(value)
        bench.rollout = replace(bench.rollout, pause=None)
        assert bench.verdict[0] == verdict
        bench.step()
        bench.rollout = replace(bench.rollout, pause=None)
        assert bench.verdict[0] == verdict, "a look without one counts nothing twice"
    bench.now += MINUTE
    bench.measure(9.0)
    assert bench.rollout.state == "aborting"
    assert bench.rollout.reason == "failed drift"
    (why,) = (e for e in bench.events if e.after == "aborting")
    assert why.evidence[0].words == "drift: 9, at most 1 is allowed; 3 times in a row"


def test_too_few_rows_wait_and_what_can_never_be_known_pauses() -> None:
    bench = Measured()
    bench.measure(None, why="Too few rows were sampled: 20.")
    assert bench.verdict == ("no_data", "drift: Too few rows were sampled: 20.")
    bench.step(3_600, requests=500)
    assert (bench.rollout.step, bench.rollout.pause) == (0, None)
    bench.measure(None, why="fraud:2 has no profile of its data.", lost=True)
    assert bench.verdict == ("inconclusive", "drift: fraud:2 has no profile of its data.")
    assert bench.rollout.waiting == "paused: inconclusive: drift"


def test_what_was_measured_before_the_step_is_not_of_it() -> None:
    bench = Measured()
    bench.measure(0.25)
    before = bench.rollout
    bench.step(60, requests=200)
    assert bench.rollout.step == 1
    bench.step()
    bench.step()
    assert bench.rollout.confirmed_at is not None
    assert bench.verdict[0] == "no_data", "each step is measured by itself"
    bench.measure(0.25, before)
    assert bench.verdict[0] == "no_data"
    bench.measure(0.25, replace(before, confirmed_at=bench.rollout.confirmed_at))  # a clock that stands still
    assert bench.verdict[0] == "no_data"
    bench.measure(0.25, replace(bench.rollout, confirmed_at=before.confirmed_at))
    assert bench.verdict[0] == "no_data"
    bench.measure(0.25)
    assert bench.verdict[0] == "pass"


def test_it_is_due_once_a_minute_while_requests_are_watched() -> None:
    bench = Measured(plan(checks=(*CHECKS, DRIFT, ANSWERS)))
    both = ("drift", "drift.predictions")
    assert drift_metrics(bench.rollout.plan) == both
    assert due_metrics(bench.rollout, bench.now) == both
    bench.handed = {name: Gauge(None, bench.now, 0, bench.rollout.confirmed_at) for name in both}
    bench.step()
    assert due_metrics(bench.rollout, bench.now + timedelta(seconds=59)) == (), "also when there was nothing to say"
    assert due_metrics(bench.rollout, bench.now + MINUTE) == both
    bench.handed = {}
    bench.command("abort")
    bench.step()
    assert due_metrics(bench.rollout, bench.now + MINUTE) == ()
    assert due_metrics(Measured(plan()).rollout, bench.now) == ()


def test_a_look_that_goes_no_further_remembers_it_all_the_same() -> None:
    bench = Measured()
    bench.command("pause")
    bench.endpoint = replace(bench.endpoint, variants=bench.endpoint.variants[:1])  # by hand
    bench.step()
    bench.measure(0.5)
    assert due_metrics(bench.rollout, bench.now) == ()


def test_once_a_clock_was_set_back_nobody_knows_how_old_a_number_is_and_it_is_measured_again() -> None:
    bench = Measured()
    bench.measure(9.0)
    bench.rollout = replace(bench.rollout, pause=None)
    bench.now -= timedelta(hours=3)
    assert due_metrics(bench.rollout, bench.now) == (), "the row goes back first"
    bench.step(10)
    assert bench.verdict == ("no_data", "drift: no number")
    assert bench.rollout.checks[-1].beyond == 1
    assert due_metrics(bench.rollout, bench.now) == ("drift",)
    bench.now += MINUTE
    bench.measure(9.0)
    assert bench.rollout.checks[-1].beyond == 2


def test_copies_are_measured_while_it_is_a_shadow() -> None:
    bench = Measured(plan_for("shadow", checks=(DRIFT,)))
    assert bench.rollout.confirmed_at is not None
    assert measured_variant(bench.rollout) == "shadow"
    bench.command("promote")
    bench.step()
    assert measured_variant(bench.rollout) == ""


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"kind": "events"}, "is a gauge, of which less is better"),
        ({"better": "higher"}, "is a gauge, of which less is better"),
        ({"threshold": -1.0}, "never below 0"),
        ({"versus_stable": True}, "cannot be compared with the stable version"),
        ({"metric": "drift.amount", "kind": "latency"}, "drift.amount is a gauge"),
    ],
)
def test_checks_that_cannot_be_meant_are_refused(fields: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidRequest, match=why):
        check_plan(plan(checks=(replace(DRIFT, **fields),)))


def test_what_can_never_be_measured_is_refused_at_the_start(manifests: dict[int, Manifest]) -> None:
    asking = plan(checks=(ANSWERS,))
    check_measurable(asking, "fraud:2", manifests[1], "api", 0.1)
    check_measurable(plan(), "fraud:2", manifests[0], "api", 0.0)
    for count, said in ((0, "no profile of its data"), (2, "2 profiles of data")):
        with pytest.raises(InvalidRequest, match=f"asks for drift.predictions, and fraud:2 has {said}"):
            check_measurable(asking, "fraud:2", manifests[count], "api", 0.1)
    with pytest.raises(InvalidRequest, match="api samples no requests"):
        check_measurable(asking, "fraud:2", manifests[1], "api", 0.0)


@pytest.fixture
def manifests() -> dict[int, Manifest]:
    def of(count: int) -> Manifest:
        files = [
            FileEntry(path=f"profiles/{n}.json", digest="sha256:" + "a" * 64, size_bytes=1, role="profile")
            for n in range(count)
        ]
        return Manifest(kind="artifact", files=tuple(files))

    return {count: of(count) for count in range(3)}


def test_a_rehearsal_says_that_it_does_not_replay_it() -> None:
    minute = RecordedMinute(datetime.fromisoformat("2026-03-02T12:00:00+00:00"), None, None)
    found = rehearsed(plan(checks=(*CHECKS, DRIFT)), [minute])
    assert any("drift is not replayed: samples are counted by the hour" in said for said in found.caveats)
    assert not any("drift" in said for said in rehearsed(plan(), [minute]).caveats)
