"""Monitors and alerts through the library: what fires is told, acted on once, looked after, silenced, and over."""

import random
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

import chopmark as cm
from chopmark.base.clock import FakeClock
from chopmark.domain.alert_log import Alert
from chopmark.domain.endpoints import Endpoint
from chopmark.domain.feedback import Judged, JudgedFeedback
from chopmark.domain.monitors import Monitor
from chopmark.domain.outcomes import ErrorCounts, OutcomeWindow
from chopmark.errors import Conflict, Denied, InvalidRequest, NotFound
from chopmark.testing.registry import memory_registry
from chopmark.workers.kinds import WORKS
from chopmark.workers.watching import Watcher
from tests.registries import in_process

MINUTE = timedelta(minutes=1)
SETTLED = timedelta(seconds=20)


class Watch:
    """An endpoint with traffic, minute by minute, by a clock that is moved by hand."""

    def __init__(self, registry: cm.Registry, clock: FakeClock) -> None:
        self.registry = registry
        self.transport: Any = registry._transport
        self.clock = clock
        self.versions = [registry.register("fraud", {"n": n}) for n in range(3)]
        self.endpoint = registry.endpoints.create("fraud-api", self.versions[0])
        self.watcher = self.another_watcher()

    def another_watcher(self) -> Watcher:
        return Watcher(self.transport, self.registry.settings, clock=self.clock)

    def answered_by(self, number: int) -> Endpoint:
        self.endpoint = self.registry.endpoints.split("fraud-api", f"fraud:{number}", reason="next")
        return self.endpoint

    def monitor(self, **rule: Any) -> Monitor:
        return self.registry.monitors.create("fraud-api", **{"above": 0.05, **rule})

    def minutes(self, *failed: int, requests: int = 100) -> None:
        """Traffic of whole minutes, so many of whose requests fail; monitors are looked at after each."""
        for bad in failed:
            start = self.clock.now.replace(second=0, microsecond=0)
            window = OutcomeWindow(
                endpoint=self.endpoint.id,
                version=self.endpoint.variants[0].version.id,
                variant="stable",
                start=start,
                requests=requests,
                errors=ErrorCounts(model=bad),
            )
            with self.transport.catalog.writing() as tx:
                tx.outcomes.put("r1", [window])
            self.clock.now = start + MINUTE + SETTLED
            self.watcher.turn()

    def firing(self) -> list[Alert]:
        return list(self.registry.alerts.list())

    def events(self, *names: str) -> list[str]:
        return [e.event for e in self.registry.audit.list(limit=200) if e.event in names]

    def work(self) -> list[dict[str, Any]]:
        """Do the jobs that wait, as a worker does; what they answered."""
        return [done(self, job) for job in self.registry.jobs.list(state="queued")]


def done(watch: Watch, job: Any) -> dict[str, Any]:
    from chopmark.workers.tasks import Task

    task = Task(job, watch.transport, watch.registry.settings)
    return dict(WORKS[job.kind](task) or {})


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=["memory", "sqlite"])
def watch(request: pytest.FixtureRequest, tmp_path: Any, clock: FakeClock) -> Iterator[Watch]:
    with in_process(request.param, request, tmp_path, clock) as registry:
        yield Watch(registry, clock)


def test_errors_rise_and_fall(watch: Watch) -> None:
    made = watch.monitor(for_="2m", severity="critical")
    assert (
        repr(made)
        == "<monitor fraud-api.error_rate · fraud-api error_rate > 0.05 for 2 min · critical · not evaluated yet>"
    )
    heard: list[str] = []
    end = watch.registry.alerts.on("*", lambda event: heard.append(event.event))
    watch.minutes(0, 0, 20)
    assert watch.registry.monitors.get(made).standing.phase == "pending"
    assert watch.firing() == []
    watch.minutes(20, 20)
    (alert,) = watch.firing()
    assert (alert.state, alert.severity, alert.value) == ("open", "critical", 0.2)
    assert alert.message == "the error rate is 0.2, above 0.05 for 2 min."
    watch.minutes(20, 20)
    assert len(watch.firing()) == 1, "one alert of one monitor"
    assert watch.registry.alerts.acknowledge(alert, reason="I look").acknowledged_by == "ada"
    watch.minutes(0)
    assert watch.firing() == []
    (over,) = watch.registry.alerts.list(resolved=True)
    assert over.id == alert.id
    assert [change.what for change in watch.registry.alerts.history(alert)] == ["fired", "acknowledged", "resolved"]
    with pytest.raises(Conflict):
        watch.registry.alerts.acknowledge(alert)
    end()
    watch.minutes(20, 20, 20)
    assert len(watch.registry.alerts.list(resolved=None)) == 2, "what fires again is another alert"
    assert heard == ["alert.fired", "alert.acknowledged", "alert.resolved"]
    names = ("alert.fired", "alert.acknowledged", "alert.resolved")
    assert watch.events(*names) == [*heard, "alert.fired"]


def test_two_workers_open_one_alert(watch: Watch) -> None:
    watch.monitor()
    other = watch.another_watcher()
    watch.minutes(20)
    other.turn()
    watch.watcher.turn()
    assert watch.events("alert.fired") == ["alert.fired"]


def test_a_bad_version_is_taken_back_once(watch: Watch) -> None:
    watch.answered_by(2)
    watch.monitor(action="rollback", severity="critical")
    watch.minutes(0, 50)
    (alert,) = watch.firing()
    (job,) = watch.registry.jobs.list()
    assert (job.kind, job.created_by) == ("rollback", "monitor:fraud-api.error_rate")
    assert done(watch, job) == {"done": True, "why": "fraud-api went back from fraud:2 to fraud:1."}
    after = watch.registry.endpoints.get("fraud-api")
    assert [v.version.ref for v in after.variants] == ["fraud:1"]
    assert done(watch, job)["done"], "a job that is done twice"
    assert watch.registry.endpoints.get("fraud-api").generation == after.generation
    (told,) = watch.registry.audit.list(event="endpoint.rolled_back")
    assert (told.data["evidence"], told.data["alert"]) == (alert.message, str(alert.id))
    assert told.data["before"]["variants"][0]["version"] == "fraud:2"
    watch.minutes(0)
    assert [c.what for c in watch.registry.alerts.history(alert)] == [
        "fired",
        "job_queued",
        "rolled_back",
        "resolved",
    ]


def test_two_bad_versions_do_not_take_turns(watch: Watch) -> None:
    """After 3 is left for 2, and 2 is as bad: first the cooldown, then 1, and never 3 again."""
    watch.answered_by(2)
    watch.answered_by(3)
    monitor = watch.monitor(action={"kind": "rollback", "cooldown": "10m"})
    watch.minutes(50)
    assert [answer["why"] for answer in watch.work()] == ["fraud-api went back from fraud:3 to fraud:2."]
    watch.endpoint = watch.registry.endpoints.get("fraud-api")
    watch.minutes(0, 50)
    (last,) = (job for job in watch.registry.jobs.list() if job.arguments["alert"] == str(watch.firing()[0].id))
    assert "the cooldown lasts for another" in done(watch, last)["why"]
    assert watch.registry.endpoints.get("fraud-api").variants[0].version.ref == "fraud:2"
    assert watch.events("alert.rollback_refused") == ["alert.rollback_refused"]
    watch.minutes(0)
    watch.clock.advance(timedelta(minutes=10))
    watch.watcher.turn()
    watch.minutes(50)
    answer = watch.registry.alerts.roll_back(watch.firing()[0])
    assert (answer.done, answer.why) == (True, "fraud-api went back from fraud:2 to fraud:1.")
    watch.endpoint = watch.registry.endpoints.get("fraud-api")
    watch.minutes(0)
    watch.clock.advance(timedelta(minutes=10))
    watch.watcher.turn()
    watch.minutes(50)
    answer = watch.registry.alerts.roll_back(watch.firing()[0])
    assert (answer.done, answer.why) == (False, "There is no earlier version that could answer.")
    assert monitor.action.cooldown_s == 600


def test_the_way_back_is_not_taken_from_another_choice(watch: Watch) -> None:
    watch.answered_by(2)
    watch.monitor(action="rollback")
    watch.minutes(50)
    watch.answered_by(3)
    assert "was changed since the alert fired" in watch.work()[0]["why"]
    assert watch.registry.endpoints.get("fraud-api").variants[0].version.ref == "fraud:3"


def test_an_archived_version_is_no_way_back(watch: Watch) -> None:
    watch.answered_by(2)
    watch.answered_by(3)
    watch.registry.stages.archive("fraud:2", reason="bad")
    watch.monitor(action="rollback")
    watch.minutes(50)
    assert watch.work()[0]["why"] == "fraud-api went back from fraud:3 to fraud:1."


def test_an_active_rollout_hears_of_the_alert_itself(watch: Watch) -> None:
    from chopmark.app.way_back import rollout_alerts

    watch.monitor(action="rollback", severity="critical")
    watch.minutes(0)
    rollout = watch.registry.rollouts.start("fraud-api", "fraud:2")
    for _ in range(5):
        watch.registry.rollouts.get("fraud-api")
        _advance(watch)
    watch.minutes(50)
    (alert,) = watch.firing()
    assert len(watch.registry.jobs.list()) == 0
    assert watch.registry.alerts.history(alert)[-1].what == "left_to_rollout"
    with watch.transport.catalog.reading() as tx:
        (heard,) = rollout_alerts(tx, watch.endpoint.id, rollout.created_at)
        assert rollout_alerts(tx, watch.endpoint.id, watch.clock.now + MINUTE) == ()
    assert (heard.action, heard.message) == ("rollback", alert.message)
    for _ in range(3):
        _advance(watch)
    told = watch.registry.rollouts.get("fraud-api").rollout
    assert told.state in ("aborting", "rolled_back")
    assert told.reason == f"the alert {alert.name} fires"


def test_an_alert_that_fired_before_does_not_end_what_mends_it(watch: Watch) -> None:
    watch.monitor(action="rollback")
    watch.minutes(50)
    watch.clock.advance(MINUTE)
    watch.registry.rollouts.start("fraud-api", "fraud:2", reason="it mends it")
    for _ in range(5):
        _advance(watch)
    assert watch.registry.rollouts.get("fraud-api").rollout.state == "preparing", "nobody has loaded it yet"
    assert [answer["done"] for answer in watch.work()] == [False], "nor by the job that was queued before"
    assert watch.registry.rollouts.get("fraud-api").rollout.state == "preparing"


def _advance(watch: Watch) -> None:
    from chopmark.ops.rollouts import AdvanceRollout

    watch.registry._transport.call(AdvanceRollout(endpoint="fraud-api"))


def test_a_job_is_queued_once(watch: Watch) -> None:
    watch.monitor(action={"kind": "job", "job": "expiry", "arguments": {"key_days": 3}})
    watch.minutes(50, 50, 50)
    (job,) = watch.registry.jobs.list()
    assert (job.kind, job.arguments) == ("expiry", {"key_days": 3})


def test_silence_puts_off_what_people_are_told(watch: Watch) -> None:
    monitor = watch.monitor()
    watch.registry.alerts.silence(monitor, "10m", reason="a load test")
    watch.minutes(50, 50)
    (event,) = watch.registry.audit.list(event="alert.fired")
    assert event.data["silenced"] is True
    assert not watch.firing()[0].is_told
    watch.registry.alerts.silence(monitor, 0)
    watch.minutes(50)
    first, second = watch.registry.audit.list(event="alert.fired")
    assert (first.data["alert"], second.data.get("silenced")) == (second.data["alert"], None)
    assert [c.what for c in watch.firing()[0].changes] == ["fired", "told"]
    watch.minutes(50)
    assert len(watch.registry.audit.list(event="alert.fired")) == 2


def test_who_is_disabled_or_deleted_fires_no_more(watch: Watch) -> None:
    monitor = watch.monitor()
    watch.minutes(50)
    assert watch.registry.monitors.disable(monitor, reason="x").enabled is False
    assert watch.firing() == []
    watch.minutes(50)
    assert watch.firing() == []
    watch.registry.monitors.enable(monitor)
    watch.minutes(50)
    assert len(watch.firing()) == 1
    watch.registry.monitors.delete(monitor)
    assert watch.firing() == []
    assert len(watch.registry.alerts.list(resolved=True)) == 2
    with pytest.raises(NotFound):
        watch.registry.monitors.get(monitor)


def test_a_trial_changes_nothing(watch: Watch) -> None:
    monitor = watch.monitor(for_="2m")
    watch.minutes(0, 50, 50, 50)
    before = watch.registry.monitors.get(monitor)
    strict = watch.registry.monitors.create("fraud-api", above=0.01, name="strict")
    tried = watch.registry.monitors.test(strict, minutes=4)
    assert [sample.value for sample in tried.samples] == [0.0, 0.5, 0.5, 0.5]
    assert [event.kind for event in tried.events] == ["firing"]
    assert tried.standing.phase == "firing"
    assert watch.registry.monitors.get(strict).standing.phase == "ok"
    assert watch.registry.monitors.get(monitor) == before


def test_how_a_monitor_stands_is_never_called_well_for_want_of_data(watch: Watch) -> None:
    """Its phase in JSON is what it was; the word for people says what is wanting."""
    monitors = watch.registry.monitors
    made = [
        watch.monitor(),
        monitors.create("fraud-api", above=0.05, no_data="ok", name="quiet-is-well"),
        monitors.create("fraud-api", metric="requests_per_second", below=1, name="gone"),
    ]
    watch.clock.now += MINUTE + SETTLED
    watch.watcher.turn()

    def words() -> list[str]:
        return [repr(monitors.get(each)).rpartition(" · ")[2] for each in made]

    assert words() == ["without data>", "ok>", "firing>"]
    assert monitors.get(made[0]).standing.phase == "ok"
    watch.minutes(0)
    assert words() == ["ok>"] * 3
    watch.registry.endpoints.delete("fraud-api")
    watch.clock.now += MINUTE
    watch.watcher.turn()
    assert words()[:2] == ["not known>", "not known>"]
    assert monitors.test(made[0], minutes=2).standing.why == "There is no endpoint fraud-api."


def test_a_version_is_watched_by_its_alias(watch: Watch) -> None:
    watch.registry.alias("fraud@champion", "fraud:1")
    made = watch.registry.monitors.create("fraud@champion", above=0.05)
    assert made.name == "fraud.champion.error_rate"
    watch.minutes(50)
    assert [alert.on for alert in watch.firing()] == ["fraud@champion"]
    watch.registry.alias("fraud@champion", "fraud:2")
    watch.minutes(50)
    assert len(watch.firing()) == 1, "without data what fires stays"
    watch.answered_by(2)
    watch.minutes(0)
    assert watch.firing() == []


def test_what_is_recorded_from_outside_is_watched(watch: Watch) -> None:
    monitor = watch.registry.monitors.create("fraud:3", metric="metrics.score", below=0.5)
    watch.registry.outcomes.record("fraud:3", metrics={"score": 0.25}, at=watch.clock.now)
    watch.minutes(0)
    (alert,) = watch.registry.alerts.list(monitor=monitor)
    assert alert.value == 0.25


def test_late_truth_is_watched(watch: Watch) -> None:
    """Half of what is known of the last day's answers was wrong: labels that come later count when they are known."""
    monitor = watch.registry.monitors.create("fraud-api", metric="accuracy", below=0.8, requests_min=4)
    assert monitor.minutes == 1_440

    def said(first: int, right: str) -> None:
        asked = watch.clock.now - timedelta(minutes=1)
        with watch.transport.catalog.writing() as tx:
            tx.feedback.put(
                JudgedFeedback(
                    watch.endpoint.id,
                    watch.endpoint.variants[0].version.id,
                    "stable",
                    asked,
                    bytes([first + n]) * 16,
                    watch.clock.now,
                    Judged("a", each, each == "a", None, is_number=False, value=None),
                )
                for n, each in enumerate(right)
            )

    watch.minutes(0)
    said(0, "aba")
    watch.minutes(0)
    assert watch.firing() == [], "three labels say nothing yet"
    said(3, "b")
    watch.minutes(0)
    (alert,) = watch.firing()
    assert (alert.value, alert.message) == (0.5, "the share of right answers is 0.5, below 0.8.")
    said(4, "a" * 8)
    watch.minutes(0)
    assert watch.firing() == []


@pytest.mark.parametrize("minutes", [1, 59, 61, 200, 1_440])
def test_each_minute_is_tried_of_late_truth_as_it_would_be_counted_by_itself(watch: Watch, minutes: int) -> None:
    """Pieces of a time that are read once come to what the whole time does."""
    monitor = watch.registry.monitors.create("fraud-api", metric="accuracy", below=0.8, minutes=minutes)
    rng = random.Random(5)
    asked = [watch.clock.now - rng.random() * timedelta(hours=26) for _ in range(300)]
    with watch.transport.catalog.writing() as tx:
        tx.feedback.put(
            JudgedFeedback(
                watch.endpoint.id,
                watch.endpoint.variants[0].version.id,
                "stable",
                at,
                n.to_bytes(16, "big"),
                watch.clock.now,
                Judged("a", "ab"[n % 2], n % 2 == 0, None, is_number=False, value=None),
            )
            for n, at in enumerate(asked)
        )
    samples = watch.registry.monitors.test(monitor, minutes=130).samples
    assert len(samples) == 130
    assert {b.at - a.at for a, b in pairwise(samples)} == {MINUTE}
    for sample in samples:
        right = [n % 2 == 0 for n, at in enumerate(asked) if sample.at - minutes * MINUTE <= at < sample.at]
        assert (sample.events, sample.value) == (len(right), sum(right) / len(right) if right else None)


def test_an_endpoint_that_is_gone_is_said(watch: Watch) -> None:
    monitor = watch.monitor()
    watch.registry.endpoints.delete("fraud-api")
    watch.minutes(0)
    assert watch.registry.monitors.get(monitor).standing.why == "There is no endpoint fraud-api."


def test_pages(watch: Watch) -> None:
    for n in range(5):
        watch.monitor(name=f"m{n}")
    watch.minutes(50)
    listed = watch.registry.monitors.list(limit=2)
    assert [m.name for m in listed] == ["m0", "m1"]
    assert [m.name for m in watch.registry.monitors.list(limit=9, cursor=listed.cursor)] == ["m2", "m3", "m4"]
    first = watch.registry.alerts.list(limit=3)
    rest = watch.registry.alerts.list(limit=3, cursor=first.cursor)
    assert len({alert.id for alert in (*first, *rest)}) == 5
    assert rest.cursor == ""


def test_old_alerts_are_forgotten(watch: Watch) -> None:
    watch.monitor()
    watch.minutes(50, 0, 50)
    watch.clock.advance(timedelta(days=91))
    (job,) = [watch.registry.jobs.run("expiry")]
    done(watch, job)
    assert [alert.state for alert in watch.registry.alerts.list(resolved=None)] == ["open"]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({}, "exactly one"),
        ({"above": 1, "below": 0}, "exactly one"),
        ({"objective": 0.99, "for_": "5m"}, "windows of an objective"),
        ({"above": 1, "for_": "soon"}, "for_ is"),
        ({"above": 1, "action": "explode"}, "action is not valid"),
        ({"above": 1, "metric": "nothing"}, "no metric"),
        ({"above": 1, "severity": "loud"}, "severity"),
    ],
)
def test_what_cannot_be_meant_is_refused(said: dict[str, Any], why: str) -> None:
    registry = memory_registry()
    made = registry.endpoints.create("fraud-api", registry.register("fraud", {"n": 1}))
    with pytest.raises(InvalidRequest, match=why):
        registry.monitors.create(made, **said)
    assert registry.monitors.list() == registry.monitors.list("default")
    assert len(registry.monitors.list()) == 0


def test_what_is_not_there_is_not_watched() -> None:
    registry = memory_registry()
    for on in ("nothing", "fraud:1", "fraud@champion"):
        with pytest.raises(NotFound):
            registry.monitors.create(on, above=1)
    with pytest.raises(NotFound):
        registry.alerts.get("00000000-0000-7000-8000-000000000000")


def test_who_may_deploy_may_not_have_any_job_run() -> None:
    registry = memory_registry(role="maintainer")
    made = registry.endpoints.create("fraud-api", registry.register("fraud", {"n": 1}))
    assert registry.monitors.create(made, above=1, action="rollback").action.kind == "rollback"
    with pytest.raises(Denied, match="configure"):
        registry.monitors.create(made, above=1, name="x", action={"kind": "job", "job": "expiry"})


def test_over_http(registry: cm.Registry) -> None:
    """Every way to reach a registry gives the same monitors."""
    made = registry.endpoints.create("fraud-api", registry.register("fraud", {"n": 1}))
    monitors: list[Callable[[], Monitor]] = [
        lambda: registry.monitors.create(made, above=0.05, for_="5m", action="rollback"),
        lambda: registry.monitors.create(made, objective=0.999),
        lambda: registry.monitors.create(made, metric="latency_ms_p95", unusual=True, direction="up"),
    ]
    found = [make() for make in monitors]
    assert [registry.monitors.get(m.name) for m in found] == found
    assert sorted(m.name for m in registry.monitors.list()) == [
        "fraud-api.budget",
        "fraud-api.error_rate",
        "fraud-api.latency_ms_p95.unusual",
    ]
    with pytest.raises(Conflict):
        monitors[0]()
    evaluated = registry.monitors.evaluate(found[0])
    assert evaluated.opened == ()
    assert registry.monitors.test(found[0], minutes=3).events == ()
    silent = registry.alerts.silence(found[0], "1h", reason="a test")
    assert silent.silenced_until is not None
    assert registry.alerts.list(resolved=None) == registry.alerts.list()
    assert registry.monitors.delete(found[0]).ref == "fraud-api.error_rate"


_WATCH_NOTHING: list[tuple[dict[str, Any], str]] = [
    ({"above": float("nan")}, "threshold is nan"),
    ({"below": float("inf")}, "threshold is inf"),
    ({"above": "0.1"}, "threshold is '0.1'"),
    ({"above": 0.1, "resolve_at": float("nan")}, "resolve_threshold is nan"),
    ({"objective": float("nan")}, "objective is nan"),
    ({"unusual": float("nan")}, "sensitivity is nan"),
    ({"above": 95}, "threshold of error_rate is 95"),
    ({"metric": "success_rate", "below": 95.0}, r"such as 0\.95 for 95 %"),
    ({"metric": "accuracy", "below": -0.1}, "It is a share"),
    ({"above": 0.5, "resolve_at": -1.0}, "resolve_threshold of error_rate is -1"),
    ({"metric": "latency_ms_p95", "above": -1}, "never below 0"),
    ({"metric": "drift.age", "above": -1}, "never below 0"),
    ({"metric": "cost_usd", "below": -1}, "never below 0"),
]


def test_thresholds_that_watch_nothing_are_refused_in_the_same_words(registry: cm.Registry) -> None:
    made = registry.endpoints.create("fraud-api", registry.register("fraud", {"n": 1}))
    for said, words in _WATCH_NOTHING:
        with pytest.raises(InvalidRequest) as refused:
            registry.monitors.create(made, **said)
        assert re.search(words, str(refused.value)), said


def test_what_callers_record_may_be_less_than_nothing(watch: Watch) -> None:
    made = watch.registry.monitors.create("fraud-api", metric="metrics.balance", below=-5)
    assert repr(made).count("metrics.balance < -5") == 1


def test_a_monitor_that_cannot_be_evaluated_says_why_until_it_can(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unknown is not to be read as health; and nothing of what was not judged is passed over."""
    made = watch.monitor()
    watch.minutes(0)
    assert watch.registry.monitors.get(made).standing.why == ""

    def overflows(*_: Any, **__: Any) -> Any:
        raise OverflowError("too large")

    with monkeypatch.context() as patched:
        patched.setattr("chopmark.app.monitors.stepped", overflows)
        watch.minutes(20)
        standing = watch.registry.monitors.get(made).standing
        assert standing.why == "It could not be evaluated: OverflowError: too large"
        assert watch.registry.monitors.evaluate(made).due_at > watch.clock.now, "else it would be tried without rest"
        assert watch.firing() == []
    watch.minutes(0)
    assert watch.registry.monitors.get(made).standing.why == ""
    assert watch.events("alert.fired", "alert.resolved") == ["alert.fired", "alert.resolved"]
