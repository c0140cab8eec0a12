"""Workers that watch: what fires reaches people, two of them do no harm, and one that is killed loses and doubles nothing."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

import chopmark as cm
from chopmark.base.clock import FakeClock
from chopmark.base.ids import uuid7
from chopmark.domain.monitor_steps import MonitorState, due_at
from chopmark.domain.monitors import Action, Monitor, ThresholdWatch
from chopmark.domain.outcomes import ErrorCounts, OutcomeWindow, window_start
from chopmark.errors import Unavailable
from chopmark.testing.registry import memory_registry
from chopmark.workers.watching import Watcher, watching
from tests.receivers import Receiver, receiving
from tests.workers.couriers import QUICK, Post, wait_for

ROOT = Path(__file__).parents[2]
MINUTE = timedelta(minutes=1)
LATE = pytest.param("postgres", marks=pytest.mark.slow)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


class Traffic:
    """An endpoint, its traffic, and monitors that have been there for a while."""

    def __init__(self, registry: cm.Registry) -> None:
        self.registry = registry
        self.transport: Any = registry._transport
        registry.register("fraud", {"n": 1})
        self.endpoint = registry.endpoints.create("fraud-api", "fraud:1")
        self.endpoint = registry.endpoints.split("fraud-api", registry.register("fraud", {"n": 2}), reason="next")

    def minute(self, start: datetime, failed: int) -> None:
        window = OutcomeWindow(
            endpoint=self.endpoint.id,
            version=self.endpoint.variants[0].version.id,
            variant="stable",
            start=window_start(start),
            requests=100,
            errors=ErrorCounts(model=failed),
        )
        with self.transport.catalog.writing() as tx:
            tx.outcomes.put("r1", [window])

    def monitors(self, now: datetime, count: int, *, since: timedelta = 10 * MINUTE) -> list[str]:
        state = MonitorState(until=window_start(now - since))
        names = [f"m{n:02}" for n in range(count)]
        with self.transport.catalog.writing() as tx:
            for name in names:
                monitor = Monitor(
                    id=uuid7(now),
                    project="default",
                    name=name,
                    on="fraud-api",
                    metric="error_rate",
                    rule=ThresholdWatch(threshold=0.05),
                    severity="critical",
                    action=Action(kind="rollback"),
                    created_at=now,
                    created_by="ada",
                    updated_at=now,
                    updated_by="ada",
                )
                tx.monitors.insert(monitor, state, due_at(state))
        return names

    def told(self, event: str) -> list[str]:
        return sorted(e.target for e in self.registry.audit.list(event=event, limit=200))


def test_people_are_told_what_fires_and_that_it_is_over(receiver: Receiver) -> None:
    """Errors rise: a page with what to do next; they fall: the same page resolved."""
    clock = FakeClock(datetime(2026, 3, 2, 12, tzinfo=UTC))
    with memory_registry(clock=clock, actor="ada", **QUICK) as registry:
        post, traffic = Post(registry, receiver, clock), Traffic(registry)
        said: dict[str, Any] = {"kind": "pagerduty", "credential": "0" * 32, "events": ["alert.*"]}
        registry.webhooks.create(receiver.url + "/page", **said)
        registry.webhooks.create(receiver.url + "/slack", kind="slack", events=["alert.fired", "alert.resolved"])
        registry.webhooks.create(receiver.url + "/manager", kind="alertmanager", events=["alert.*"])
        monitor = registry.monitors.create("fraud-api", above=0.05, severity="critical", action="rollback")
        watcher = Watcher(traffic.transport, registry.settings, clock=clock)

        def pass_minute(failed: int) -> None:
            traffic.minute(clock.now, failed)
            clock.now = window_start(clock.now) + MINUTE + timedelta(seconds=20)
            watcher.turn()
            post.carry()

        pass_minute(0)
        assert receiver.heard == []
        pass_minute(20)
        (alert,) = registry.alerts.list()
        registry.alerts.acknowledge(alert, reason="I look")
        post.carry()
        pass_minute(0)
        pages = bodies(receiver, "/page")
        assert [page["event_action"] for page in pages] == ["trigger", "acknowledge", "resolve"]
        assert len({page["dedup_key"] for page in pages}) == 1
        page = pages[0]["payload"]
        assert page["severity"] == "critical"
        assert page["summary"] == "fraud-api: the error rate is 0.2, above 0.05."
        assert f"chopmark alert ack {alert.id}" in page["custom_details"]["text"]
        assert "rolled back by itself" in page["custom_details"]["text"]
        slack = bodies(receiver, "/slack")
        assert [body["text"].split()[0] for body in slack] == [":rotating_light:", ":white_check_mark:"]
        manager = [body[0] for body in bodies(receiver, "/manager")]
        assert len({json.dumps(each["labels"], sort_keys=True) for each in manager}) == 1, "else it would not resolve"
        assert manager[0]["endsAt"] > "2027" > manager[-1]["endsAt"]
        receiver.heard.clear()
        registry.alerts.silence(monitor, "1h", reason="a load test")
        registry.webhooks.create(receiver.url + "/program", events=["alert.*"])
        pass_minute(20)
        assert [heard.path for heard in receiver.heard] == ["/program"]
        assert bodies(receiver, "/program")[0]["data"]["data"]["silenced"] is True


def bodies(receiver: Receiver, path: str) -> list[Any]:
    found = [heard for heard in receiver.heard if heard.path.partition("/api")[0] == path]
    return [json.loads(heard.body) for heard in found]


@pytest.mark.parametrize("database", ["sqlite", LATE])
def test_two_that_watch_at_once_open_each_alert_once(
    tmp_path: Path, database: str, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue("postgres_catalog_url") if database == "postgres" else None
    with cm.open(tmp_path / "registry", actor="ada", database_url=url) as registry:
        traffic, now = Traffic(registry), datetime.now(UTC)
        traffic.minute(now - 5 * MINUTE, 20)
        names = traffic.monitors(now, 20)
        start = threading.Barrier(2)

        def watch() -> None:
            watcher = Watcher(traffic.transport, registry.settings)
            start.wait()
            while watcher.turn() == 0.0:
                pass

        threads = [threading.Thread(target=watch) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert traffic.told("alert.fired") == names
        assert sorted(a.monitor for a in registry.alerts.list(limit=100)) == names
        jobs = registry.jobs.list(kind="rollback", limit=100)
        assert sorted(job.created_by for job in jobs) == [f"monitor:{name}" for name in names]


@pytest.mark.parametrize("how", ["before", "after"])
@pytest.mark.parametrize("database", ["sqlite", LATE])
def test_one_that_is_killed_loses_and_doubles_nothing(
    tmp_path: Path, database: str, how: str, request: pytest.FixtureRequest
) -> None:
    directory = tmp_path / "registry"
    url = request.getfixturevalue("postgres_catalog_url") if database == "postgres" else ""

    def start(how: str) -> int:
        command = [sys.executable, "-m", "tests.workers.dying_watchers", str(directory), url, how]
        return subprocess.run(command, cwd=ROOT, check=False, timeout=60).returncode

    with cm.open(directory, actor="ada", database_url=url or None) as registry:
        traffic, now = Traffic(registry), datetime.now(UTC)
        traffic.minute(now - 5 * MINUTE, 20)
        names = traffic.monitors(now, 2)
        assert start(how) == -signal.SIGKILL
        assert len(traffic.told("alert.fired")) == (0 if how == "before" else 1)
        assert len(registry.jobs.list(kind="rollback")) == (0 if how == "before" else 1)
        assert start("lives") == 0
        assert traffic.told("alert.fired") == names
        assert sorted(a.monitor for a in registry.alerts.list()) == names
        assert len(registry.jobs.list(kind="rollback")) == 2


def test_one_monitor_that_cannot_be_evaluated_keeps_no_other_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with memory_registry(actor="ada") as registry:
        traffic, now = Traffic(registry), datetime.now(UTC)
        traffic.minute(now - 5 * MINUTE, 20)
        traffic.monitors(now, 3)
        act, asked = traffic.transport.act, []

        def broken(request: Any, actor: Any, **options: Any) -> Any:
            name = getattr(request, "monitor", "")
            asked.append(name)
            if name == "m01":
                raise ZeroDivisionError
            return act(request, actor, **options)

        monkeypatch.setattr(traffic.transport, "act", broken)
        watcher = Watcher(traffic.transport, registry.settings)
        watcher.turn()
        watcher.turn()
        assert traffic.told("alert.fired") == ["m00", "m02"]
        assert asked.count("m01") == 1, "it has a pause of its own"
        watcher.check()


def test_a_catalog_that_does_not_answer_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with memory_registry(actor="ada") as registry:
        traffic, now = Traffic(registry), datetime.now(UTC)
        traffic.minute(now - 5 * MINUTE, 20)
        traffic.monitors(now, 1)
        watcher = Watcher(traffic.transport, structs.replace(registry.settings, worker_poll_s=1.0))

        def gone(*_: Any, **__: Any) -> Any:
            raise Unavailable("There is no catalog.")

        with monkeypatch.context() as patched:
            patched.setattr(traffic.transport, "act", gone)
            assert [watcher.turn() for _ in range(3)] == [1.0, 2.0, 4.0]
        watcher.turn()
        assert traffic.told("alert.fired") == ["m00"]


def test_it_runs_beside_a_server_until_it_is_told_to_stop() -> None:
    with memory_registry(actor="ada", worker_poll_s=0.05) as registry:
        traffic, now = Traffic(registry), datetime.now(UTC)
        with watching(traffic.transport, registry.settings):
            traffic.minute(now - 5 * MINUTE, 20)
            traffic.monitors(now, 1)
            wait_for(lambda: traffic.told("alert.fired") == ["m00"])
        assert not [t for t in threading.enumerate() if t.name == "chopmark-watcher"]
