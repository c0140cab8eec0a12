"""Estimated accuracy beside the measured one: in summaries, comparisons and monitors, from what routers sampled."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

import chopmark as cm
from chopmark.base.clock import FakeClock
from chopmark.domain.endpoints import Endpoint, RouterReport, RoutingMark
from chopmark.domain.outcome_tiers import beginning
from chopmark.domain.profile_windows import ProfileWindow
from chopmark.domain.request_ids import RequestIds
from chopmark.errors import InvalidRequest, NotFound
from chopmark.ops.endpoints import GetRouting, ReportRouter
from chopmark.stats.estimated_accuracy import EstimatedAccuracy
from chopmark.wiring import LocalTransport
from tests.registries import in_process, over_http

NOW = datetime(2026, 3, 2, 12, 0, 30, tzinfo=UTC)


class World:
    """An endpoint of two versions: of the first is known how often its scores were right, of the second is not."""

    def __init__(self, registry: cm.Registry, clock: FakeClock) -> None:
        self.registry, self.clock = registry, clock
        source = np.random.default_rng(7)
        self.scores = source.beta(1, 1, 4_000)
        labels = source.random(4_000) < self.scores
        data = {"amount": source.normal(size=4_000)}
        self.first = registry.register(
            "fraud", {"n": 1}, dataset=cm.dataset(data, name="held-out"), scores=self.scores, labels=labels.astype(int)
        )
        self.second = registry.register(
            "fraud", {"n": 2}, dataset=cm.dataset(data, name="held-out"), scores=self.scores
        )
        self.endpoint: Endpoint = registry.endpoints.create("api", {self.first: 50, self.second: 50})

    def sampled(self, scores: Any, variant: int = 0, router: str = "r1", name: str = "", hours_ago: int = 0) -> None:
        """A router's count of an hour, which replaces what it said before."""
        one = self.endpoint.variants[variant]
        profile = self.registry.profiles.get(one.version.ref)
        counts = profile.count({"amount": np.zeros(len(scores))}, scores=scores)
        window = ProfileWindow(
            endpoint=self.endpoint.id,
            version=one.version.id,
            variant=name or one.name,
            start=beginning(self.clock.now - timedelta(hours=hours_ago), "hour"),
            counts=counts,
        )
        report = RouterReport(id=router, mark=RoutingMark(), started_at=self.clock.now)
        self.registry._transport.call(ReportRouter(report=report, profiles=(window,)))

    def asked(self, requests: int, variant: int = 0) -> None:
        one = self.endpoint.variants[variant]
        self.registry.outcomes.record(one.version.ref, requests=requests, endpoint="api", variant=one.name)

    def told(self, *, right: int, wrong: int) -> None:
        """What turned out to be true of answers of the first variant."""
        one = self.endpoint.variants[0]
        secret = bytes.fromhex(self.registry._transport.call(GetRouting()).routing.secret)
        ids = RequestIds(secret, self.endpoint.id, one.version.id, self.endpoint.generation, one.name)
        at_ms = int(self.clock.now.timestamp() * 1_000)
        for n in range(right + wrong):
            self.registry.feedback.record(ids.made(at_ms, n + 1), correct=n < right)

    def outcome(self, variant: int = 0, **more: Any) -> Any:
        version = (self.first, self.second)[variant].ref
        return next(v for v in self.registry.outcomes.summary("api", **more).variants if v.version == version)

    def estimate(self, variant: int = 0, **more: Any) -> EstimatedAccuracy:
        found = self.outcome(variant, **more).estimated
        assert isinstance(found, EstimatedAccuracy)
        return found


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """Stands still at half past a minute."""
    made = FakeClock(NOW)
    monkeypatch.setattr("chopmark.sdk.outcomes.system_clock", made)
    return made


@pytest.fixture(params=["memory", "sqlite", "http"])
def world(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> Iterator[World]:
    kind = request.param
    opened = over_http(tmp_path, clock) if kind == "http" else in_process(kind, request, tmp_path, clock)
    with opened as registry:
        yield World(registry, clock)


def sure(count: int) -> Any:
    """Scores of which 95 % are right."""
    return np.concatenate([np.linspace(0.01, 0.09, count // 2), np.linspace(0.91, 0.99, count // 2)])


def unsure(count: int) -> Any:
    """Scores of which 60 % are right."""
    return np.linspace(0.3, 0.7, count)


def test_both_are_shown_the_measured_one_with_coverage_and_the_estimated_one(world: World) -> None:
    world.asked(1_000)
    world.asked(1_000, variant=1)
    world.told(right=7, wrong=3)
    assert world.outcome().labels.accuracy == 0.7
    assert world.outcome().labels.coverage == 0.01
    assert "sample_share" in world.estimate().why
    world.sampled(sure(400))
    world.sampled(unsure(200), router="r2")
    found = world.estimate()
    assert world.outcome().labels.accuracy == 0.7, "what was measured stays what it was"
    assert (found.rows, found.reference_rows, found.threshold, found.why) == (600, 4_000, 0.5, "")
    assert found.accuracy == pytest.approx((400 * 0.95 + 200 * 0.6) / 600, abs=0.04)
    assert (found.low or 0) < (found.accuracy or 0) < (found.high or 0)
    assert found.since == beginning(NOW, "hour")
    assert "concept drift" in found.caveat
    said = repr(world.outcome())
    assert "accuracy 0.7 of 1 %" in said
    assert "estimated accuracy 0.8" in said
    world.sampled(sure(400), variant=1)
    assert world.estimate(variant=1).why.startswith("The version's profile has no calibration.")
    assert world.estimate(variant=1).accuracy is None


def test_hours_beyond_the_time_do_not_count_and_those_within_add_up(world: World) -> None:
    world.asked(10)
    world.sampled(unsure(300), hours_ago=3)
    world.sampled(sure(300))
    assert world.estimate(over="1h").rows == 300
    assert (world.estimate(over="1h").accuracy or 0) > 0.9
    both = world.estimate(over="6h")
    assert both.rows == 600
    assert both.since == beginning(NOW - timedelta(hours=3), "hour")


def test_variants_of_a_version_add_up_and_a_shadow_is_apart(world: World) -> None:
    world.asked(10)
    world.sampled(sure(300))
    world.sampled(sure(200), name="other")
    world.sampled(unsure(800), name="shadow")
    assert world.estimate().rows == 300
    assert world.estimate(by="version").rows == 500


def test_a_comparison_has_both_under_names_of_their_own(world: World) -> None:
    third = world.registry.register(
        "fraud",
        {"n": 3},
        dataset=cm.dataset({"amount": np.zeros(4_000)}, name="held-out"),
        scores=world.scores,
        labels=(np.random.default_rng(8).random(4_000) < world.scores).astype(int),
    )
    world.endpoint = world.registry.endpoints.split("api", {world.first: 50, third: 50}, reason="r")
    for variant, scores in enumerate((sure(400), unsure(400))):
        world.asked(500, variant)
        world.sampled(scores, variant)
    found = world.registry.outcomes.compare(world.first, third)
    differences = {each.metric: each for each in found.differences}
    assert "accuracy" not in differences
    assert differences["estimated_accuracy"].difference == pytest.approx(-0.35, abs=0.05)
    assert differences["estimated_accuracy"].p_value is None
    assert found.candidate.estimated is not None
    assert found.candidate.estimated.rows == 400


def test_what_was_recorded_of_a_model_has_no_estimate(world: World) -> None:
    world.registry.outcomes.record(world.first, requests=3)
    (found,) = world.registry.outcomes.summary(model="fraud").variants
    assert found.estimated is None


def test_the_threshold_of_the_registration_is_what_decides(world: World) -> None:
    labels = (np.random.default_rng(9).random(4_000) < world.scores).astype(int)
    version = world.registry.register(
        "fraud",
        {"n": 4},
        dataset=cm.dataset({"amount": np.zeros(4_000)}, name="held-out"),
        scores=world.scores,
        labels=labels,
        score_threshold=0.2,
    )
    world.endpoint = world.registry.endpoints.split("api", {version: 100}, reason="r")
    world.asked(10)
    world.sampled(np.full(300, 0.3))
    (found,) = (v.estimated for v in world.registry.outcomes.summary("api").variants if v.version == version.ref)
    assert found is not None
    assert found.threshold == 0.2
    assert found.accuracy == pytest.approx(0.3, abs=0.1), "0.3 is called positive, and is so three times of ten"
    with pytest.raises(InvalidRequest, match="threshold"):
        world.registry.register(
            "fraud",
            {"n": 5},
            dataset=cm.dataset({"amount": np.zeros(4_000)}, name="x"),
            scores=world.scores,
            labels=labels,
            score_threshold=1.5,
        )


@pytest.mark.parametrize("world", ["memory", "sqlite"], indirect=True)  # whose store is here
def test_a_profile_that_is_gone_is_why_nothing_is_said(world: World) -> None:
    world.asked(10)
    world.sampled(sure(300))
    assert world.estimate().accuracy is not None
    (profile,) = world.registry.profiles.list(world.first)
    cast("LocalTransport", world.registry._transport).store.delete(profile.digest)
    assert world.estimate().accuracy is None
    assert world.estimate().why
    assert world.outcome().requests == 10


def evaluated(world: World, monitor: Any) -> Any:
    world.clock.advance(timedelta(seconds=80))
    world.registry.monitors.evaluate(monitor)
    return world.registry.monitors.get(monitor).standing


def test_a_monitor_fires_when_the_estimate_falls_and_resolves(world: World) -> None:
    monitors = world.registry.monitors
    monitor = monitors.create("api", metric="estimated_accuracy", below=0.8, requests_min=200)
    candidate = monitors.create("api", metric="estimated_accuracy", below=0.8, variant="candidate", name="of-candidate")
    assert monitor.minutes == 60
    assert "sample_share" in evaluated(world, monitor).why
    world.sampled(sure(400))
    standing = evaluated(world, monitor)
    assert (standing.phase, standing.events, standing.why) == ("ok", 400, "")
    assert standing.value > 0.9
    trial = monitors.test(monitor, minutes=5)
    assert trial.samples[-1].value == pytest.approx(standing.value)
    assert len(trial.samples) == 5, "each minute"
    world.sampled(unsure(2_000))
    world.sampled(unsure(2_000), name="shadow")
    assert evaluated(world, monitor).phase == "firing"
    (alert,) = world.registry.alerts.list()
    assert alert.message.startswith("the estimated accuracy is 0.")
    world.sampled(sure(400), variant=1)
    assert evaluated(world, candidate).why.startswith("The version's profile has no calibration.")
    assert evaluated(world, monitor).events == 2_000, "the variant of which nothing can be said is left out"
    world.sampled(sure(4_000))
    assert evaluated(world, monitor).phase == "ok"


def test_a_monitor_of_it_takes_a_threshold_of_an_endpoint(world: World) -> None:
    create = world.registry.monitors.create
    with pytest.raises(InvalidRequest, match="threshold only"):
        create("api", metric="estimated_accuracy", unusual=True)
    with pytest.raises(InvalidRequest, match="endpoint's requests"):
        create("fraud:1", metric="estimated_accuracy", below=0.8)
    with pytest.raises(InvalidRequest, match="share"):
        create("api", metric="estimated_accuracy", below=80)
    made = create("api", metric="estimated_accuracy", below=0.8)
    world.registry.monitors.delete(made)
    with pytest.raises(NotFound):
        world.registry.monitors.evaluate(made)
