"""Alerts of a shadow that receives nothing, on every back end: one a rollout, told like all others, over with the first copy."""

import threading
import time
from datetime import timedelta
from typing import Any

import pytest

import chopmark as cm
from chopmark.base.clock import FakeClock
from chopmark.domain.audit import AuditEvent
from chopmark.domain.notices import notice_of
from chopmark.domain.trail import told
from tests.sdk.rollout_life import NAME, Life

QUICK: dict[str, Any] = {"strategy": "shadow", "hold": 0, "samples_min": 10, "copies_within": "2s"}


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(step=timedelta(milliseconds=1))


@pytest.fixture
def life(registry: cm.Registry) -> Life:
    return Life(registry)


@pytest.fixture
def near(own: cm.Registry) -> Life:
    return Life(own)


def pass_by(life: Life, clock: FakeClock) -> None:
    """More than two seconds, also by a database that has a clock of its own."""
    before = life.registry.endpoints.live().at
    clock.advance(timedelta(seconds=3))
    if life.registry.endpoints.live().at - before < timedelta(seconds=2):
        time.sleep(2.1)


def mirroring(life: Life, clock: FakeClock, version: str = "fraud:2", **options: Any) -> None:
    """A step that mirrors was confirmed, and so long ago that an alert is due."""
    life.registry.rollouts.start(NAME, version, **{**QUICK, **options})
    life.confirm()
    for _ in range(3):
        life.go()
    assert life.registry.endpoints.get(NAME).shadows
    assert life.rollout.confirmed_at is not None
    assert not life.registry.alerts.list(), "not yet"
    pass_by(life, clock)


def events(life: Life) -> list[AuditEvent]:
    return [e for e in life.registry.audit.list(target=NAME, limit=100) if e.event.startswith("alert.")]


def test_one_alert_says_why_and_the_first_copies_resolve_it(life: Life, clock: FakeClock) -> None:
    mirroring(life, clock)
    for _ in range(3):
        life.go()
    (alert,) = life.registry.alerts.list()
    assert (alert.rollout_id, alert.monitor, alert.monitor_id) == (life.rollout.id, "", None)
    assert (alert.name, alert.on, alert.severity, alert.action) == (f"{NAME}/no_copies", NAME, "warning", "alert")
    assert "no request came to fraud-api that a version could read" in alert.message
    seen = life.registry.alerts.acknowledge(alert, reason="I look")
    assert (seen.state, life.registry.alerts.get(alert.id).acknowledged_by) == ("acknowledged", "ada")
    life.go()
    assert len(life.registry.alerts.list(resolved=None)) == 1
    life.answer(1, 20)
    life.answer(2, 20)
    life.go()
    assert not life.registry.alerts.list()
    (over,) = life.registry.alerts.list(resolved=True)
    assert [change.what for change in over.changes] == ["fired", "acknowledged", "resolved"]
    assert over.changes[-1].text == "fraud:2 gets copies: 20 by now."
    life.go()
    assert [e.event for e in events(life)] == ["alert.fired", "alert.acknowledged", "alert.resolved"]
    assert life.registry.audit.verify().fault == ""


def test_the_end_of_the_rollout_resolves_it_in_the_same_transaction(near: Life, clock: FakeClock) -> None:
    mirroring(near, clock)
    near.go()
    assert len(near.registry.alerts.list()) == 1
    near.registry.rollouts.abort(NAME, reason="nobody asks")
    assert near.look().state == "aborting"
    (over,) = near.registry.alerts.list(resolved=True)
    assert over.changes[-1].text == "The step that mirrors is over.", "with the first step of the way back"
    near.go()
    assert near.rollout.state == "rolled_back"
    assert not near.registry.alerts.list()


def test_requests_that_nobody_mirrors_are_told_as_that(near: Life, clock: FakeClock) -> None:
    near.answer(1, 7)
    mirroring(near, clock)
    near.answer(1, 400)
    near.confirm()
    near.look()
    (alert,) = near.registry.alerts.list()
    assert "400 requests were answered, and no router copied any of the 1 that it should" in alert.message
    assert "See whether they have it loaded: chopmark live" in alert.message


def test_those_who_are_told_of_alerts_are_told_of_it(near: Life, clock: FakeClock) -> None:
    heard: list[AuditEvent] = []
    end = near.registry.alerts.on("*", heard.append)
    mirroring(near, clock)
    near.go()
    near.answer(2, 20)
    near.go()
    end()
    fired, over = [notice_of(event, "urn:chopmark:registry:ab12") for event in heard]
    assert fired.title.startswith("fraud-api: The shadow fraud:2 got no copy in ")
    assert fired.text.splitlines()[0].startswith(f"Rollout {near.rollout.id} of fraud-api/no_copies, since ")
    assert (fired.key, fired.severity, fired.lasts) == (over.key, "warning", True)
    assert (fired.resolved, over.resolved) == (False, True)
    assert f"by its rollout {near.rollout.id}: The shadow" in told(heard[0])
    assert f"found it well again, by its rollout {near.rollout.id}: fraud:2 gets copies" in told(heard[1])


def test_two_workers_that_find_it_at_once_tell_it_once(near: Life, clock: FakeClock) -> None:
    mirroring(near, clock)
    start = threading.Barrier(2)

    def looks() -> None:
        start.wait()
        for _ in range(10):
            near.look()

    threads = [threading.Thread(target=looks) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [e.event for e in events(near)] == ["alert.fired"]


def test_an_alert_of_a_rollout_takes_nothing_back(near: Life, clock: FakeClock) -> None:
    mirroring(near, clock)
    near.go()
    (alert,) = near.registry.alerts.list()
    found = near.registry.alerts.roll_back(alert)
    assert not found.done
    assert "A rollout is active" in found.why
    assert near.registry.endpoints.get(NAME).shadows


def test_nobody_is_told_who_does_not_want_to_be(near: Life, clock: FakeClock) -> None:
    mirroring(near, clock, copies_within=0)
    near.go()
    assert not near.registry.alerts.list(resolved=None)
