"""Live drift: sampled requests beside the profile of the version that answered, and monitors of it."""

from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

import chopmark as cm
from chopmark.base.clock import FakeClock
from chopmark.domain.live_drift import measured_drift
from chopmark.domain.outcome_tiers import beginning
from chopmark.domain.profile_windows import ProfileWindow
from chopmark.errors import IntegrityFailure, InvalidRequest
from chopmark.sdk.profiles import Profiles
from chopmark.wiring import LocalTransport
from chopmark.workers.watching import Watcher
from tests.registries import in_process

COLUMNS = ("amount", "age")


def table(seed: int, shift: float = 0.0, rows: int = 2_000) -> dict[str, np.ndarray]:
    made = np.random.default_rng(seed).normal(size=(rows, 2))
    return {"amount": made[:, 0] + shift, "age": made[:, 1]}


class Sampled:
    """An endpoint whose version has a profile, and what a router sampled of it."""

    def __init__(self, registry: cm.Registry, clock: FakeClock) -> None:
        self.registry, self.clock = registry, clock
        self.transport = cast("LocalTransport", registry._transport)
        self.version = registry.register("fraud", {"n": 1}, dataset=cm.dataset(table(0), name="train"))
        self.endpoint = registry.endpoints.create("fraud-api", self.version)
        self.watcher = Watcher(self.transport, registry.settings, clock=clock)

    def sampled(self, *tables: dict[str, np.ndarray], variant: str = "stable", router: str = "r1") -> None:
        profile = self.registry.profiles.get(self.version)
        total = sum((profile.count(each) for each in tables[1:]), profile.count(tables[0]))
        window = ProfileWindow(
            endpoint=self.endpoint.id,
            version=self.version.id,
            variant=variant,
            start=beginning(self.clock.now, "hour"),
            counts=total,
        )
        with self.transport.catalog.writing() as tx:
            tx.profile_counts.put(router, [window])

    def minute(self) -> None:
        self.clock.advance(timedelta(seconds=80))
        self.watcher.turn()


@pytest.fixture(params=["memory", "sqlite"])
def sampled(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    clock = FakeClock()
    with in_process(request.param, request, tmp_path, clock) as registry:
        yield Sampled(registry, clock)


def test_requests_like_the_profile_have_not_drifted_and_others_have_by_column(sampled: Sampled) -> None:
    drift = sampled.registry.outcomes.drift
    assert drift("fraud-api") == ()
    sampled.sampled(table(1))
    (found,) = drift("fraud-api")
    assert (found.variant, found.version, found.report.verdict) == ("stable", "fraud:1", "ok")
    sampled.sampled(table(2, shift=1.0, rows=4_000), router="r2")
    (found,) = drift("fraud-api")
    assert (found.report.current_rows, found.report.drifted) == (6_000, ("amount",))
    assert repr(found).endswith("· amount drifted>")


def test_a_monitor_of_drift_fires_and_resolves(sampled: Sampled) -> None:
    monitors = sampled.registry.monitors
    any_column = monitors.create("fraud-api", metric="drift", above=1, severity="critical")
    age = monitors.create("fraud-api", metric="drift.age", above=1)
    gone = monitors.create("fraud-api", metric="drift.height", above=1)
    sampled.minute()
    assert "sample_share" in monitors.get(age).standing.why
    sampled.sampled(table(1))
    sampled.minute()
    assert monitors.get(any_column).standing.value == 0.0
    assert monitors.get(gone).standing.why == "The profile has no column 'height'."
    assert repr(monitors.get(gone)).endswith(" · not known>")
    assert repr(monitors.get(age)).endswith(" · ok>")
    tried = monitors.test(age, minutes=3)
    assert [sample.value for sample in tried.samples] == [None] * 3
    assert tried.standing.why.startswith("A test does not measure drift;")
    sampled.sampled(table(2, shift=1.0, rows=4_000), router="r2")
    sampled.minute()
    (alert,) = sampled.registry.alerts.list()
    assert alert.monitor == any_column.ref
    assert alert.value is not None
    assert alert.value > 1
    assert alert.message.startswith("the drift of requests is ")
    assert monitors.get(age).standing.value == 0.0
    sampled.clock.advance(timedelta(hours=3))
    sampled.sampled(table(3, rows=9_000))
    sampled.minute()
    assert list(sampled.registry.alerts.list()) == []


def test_a_profile_that_cannot_be_read_is_why_nothing_is_said(
    sampled: Sampled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monitor = sampled.registry.monitors.create("fraud-api", metric="drift", above=1)
    sampled.sampled(table(1))

    def damaged(*_: Any) -> None:
        raise IntegrityFailure("The profile of fraud:1 is not what it was.")

    with monkeypatch.context() as patched:
        patched.setattr(Profiles, "get", damaged)
        sampled.minute()
        assert sampled.registry.monitors.get(monitor).standing.why == "The profile of fraud:1 is not what it was."
    sampled.minute()
    assert sampled.registry.monitors.get(monitor).standing.value == 0.0, "it is measured again at the next minute"


def test_shadows_count_for_who_asks_for_them_only(sampled: Sampled) -> None:
    sampled.sampled(table(1))
    sampled.sampled(table(2, shift=2.0), variant="shadow")
    found = sampled.registry.outcomes.drift("fraud-api")
    assert {each.variant for each in found} == {"stable", "shadow"}
    assert measured_drift("drift", "", found).severity == 0.0
    severity = measured_drift("drift", "shadow", found).severity
    assert severity is not None
    assert severity > 1
    assert measured_drift("drift", "candidate", found).severity is None


def test_too_few_rows_say_nothing(sampled: Sampled) -> None:
    sampled.sampled(table(1, shift=5.0, rows=20))
    measured = measured_drift("drift", "", sampled.registry.outcomes.drift("fraud-api"))
    assert (measured.severity, measured.rows, measured.why) == (None, 20, "Too few rows were sampled: 20.")


def test_drift_is_held_against_a_threshold_of_an_endpoint(sampled: Sampled) -> None:
    with pytest.raises(InvalidRequest, match="threshold only"):
        sampled.registry.monitors.create("fraud-api", metric="drift", unusual=True)
    with pytest.raises(InvalidRequest, match="endpoint's requests"):
        sampled.registry.monitors.create("fraud:1", metric="drift.age", above=1)
