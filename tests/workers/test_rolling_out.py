"""Workers that move rollouts on: two at once, one that is killed around its commit, a database that does not answer."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

import chopmark as cm
from chopmark.base.clock import system_clock
from chopmark.base.settings import load_settings
from chopmark.domain.rollouts import RolloutEvent
from chopmark.errors import Unavailable
from chopmark.testing.registry import memory_transport
from chopmark.wiring import LocalTransport
from chopmark.workers.rolling_out import RolloutLoop, rolling_out
from tests.sdk.rollout_life import NAME, Life

ROOT = Path(__file__).parents[2]
MOVES = ["preparing", "progressing", "progressing", "promoting", "baking", "completed"]
QUICK: dict[str, Any] = {"steps": [10, 50], "hold": 0, "samples_min": 0}


def moves(events: list[RolloutEvent]) -> list[str]:
    return [event.after for event in events if event.kind == "moved"]


def wait_for(is_so: Callable[[], bool], within_s: float = 30.0) -> None:
    until_s = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < until_s, "it did not come"
        time.sleep(0.02)


@contextmanager
def reporting(life: Life) -> Iterator[None]:
    """A router that takes every routing and says so."""
    stop = threading.Event()

    def report() -> None:
        while not stop.wait(0.03):
            life.confirm()

    thread = threading.Thread(target=report, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(30)


def settings(**said: Any) -> Any:
    return load_settings({"actor": "ada", "worker_poll_s": 0.05, **said}, environ={}).settings


@pytest.fixture
def transport() -> Iterator[LocalTransport]:
    made = memory_transport(settings(), clock=system_clock)
    yield made
    made.close()


def test_a_rollout_is_moved_on_by_itself_each_step_once(own: cm.Registry) -> None:
    life = Life(own)
    transport: Any = own._transport
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(rolling_out(transport, settings()))
        stack.enter_context(reporting(life))
        own.rollouts.start(NAME, "fraud:2", **QUICK)
        wait_for(lambda: life.rollout.is_final)
    assert life.rollout.state == "completed"
    assert moves(list(own.rollouts.events(NAME))) == MOVES
    assert [e.event for e in own.audit.list(target=NAME, limit=100)].count("rollout.completed") == 1
    assert own.audit.verify().fault == ""


@pytest.fixture
def clock() -> Any:
    """The real one: routers and workers are threads here."""
    return system_clock


@pytest.mark.slow
@pytest.mark.parametrize("database", ["sqlite", "postgres"])
@pytest.mark.parametrize("when", ["inside", "after"])
@pytest.mark.parametrize("state", ["progressing", "promoting"])
def test_what_a_killed_worker_had_begun_is_done_once_by_the_next(
    tmp_path: Path, when: str, state: str, database: str, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue("postgres_catalog_url") if database == "postgres" else ""
    directory = tmp_path / "registry"
    with cm.open(directory, actor="ada", database_url=url or None) as registry:
        life = Life(registry)
        registry.rollouts.start(NAME, "fraud:2", **QUICK)
        with reporting(life):
            command = [sys.executable, "-m", "tests.workers.dying_rollouts", str(directory), url, when, state]
            dying = subprocess.Popen(command, cwd=ROOT)
            assert dying.wait(60) == -signal.SIGKILL
            left = life.rollout
            assert (left.state == state) == (when == "after"), "all of a step, or nothing"
            said = moves(list(registry.rollouts.events(NAME)))
            assert said == MOVES[: len(said)]
            assert said[-1] == left.state
            transport: Any = registry._transport
            with rolling_out(transport, settings()):
                wait_for(lambda: life.rollout.is_final)
        assert life.rollout.state == "completed"
        assert moves(list(registry.rollouts.events(NAME))) == MOVES
        assert registry.audit.verify().fault == ""


def test_one_that_cannot_be_moved_on_keeps_no_other_waiting(
    transport: LocalTransport, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    life = Life(cm.Registry(transport, settings()))
    life.registry.endpoints.create("other-api", "fraud:1")
    bad = life.registry.rollouts.start("other-api", "fraud:2", **QUICK)
    life.registry.rollouts.start(NAME, "fraud:2", **QUICK)
    loop = RolloutLoop(transport, settings())
    advanced = loop._advanced
    monkeypatch.setattr(loop, "_advanced", lambda r: unreachable() if r.id == bad.id else advanced(r))
    with caplog.at_level(logging.WARNING, "chopmark"):
        for _ in range(3):
            loop.turn()
    assert life.rollout.state == "preparing"
    assert life.registry.rollouts.get("other-api").rollout.state == "queued"
    assert sum("cannot be moved on" in line for line in caplog.messages) == 1, "told once"


def unreachable() -> Any:
    raise Unavailable("it does not answer")


def test_a_database_that_does_not_answer_is_told_once_and_asked_again(
    transport: LocalTransport, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = RolloutLoop(transport, settings())
    with caplog.at_level(logging.WARNING, "chopmark"):
        with monkeypatch.context() as patched:
            patched.setattr(transport.catalog, "reading", unreachable)
            pauses = [loop.turn() for _ in range(12)]
        assert pauses[:3] == [0.05, 0.1, 0.2]
        assert pauses[-1] == 30
        assert loop.turn() == 0.05
    assert [line[:14] for line in caplog.messages] == ["Rollouts wait,", "Rollouts are l"]
    loop.check()
    loop._pulse._well_at_s -= 121
    with pytest.raises(Unavailable, match="not been looked at"):
        loop.check()


def test_one_whose_look_takes_long_rests_until_somebody_changes_it(transport: LocalTransport) -> None:
    life = Life(cm.Registry(transport, settings()))
    life.registry.rollouts.start(NAME, "fraud:2", **QUICK)
    life.registry.rollouts.pause(NAME)
    loop = RolloutLoop(transport, settings())
    looks = 0
    advanced = loop._advanced

    def slowly(rollout: Any) -> Any:
        nonlocal looks
        looks += 1
        time.sleep(0.05)
        return advanced(rollout)

    loop._advanced = slowly  # type: ignore[method-assign]
    for _ in range(5):
        loop.turn()
    assert looks <= 2, "the first wrote why it waits"
    life.registry.rollouts.abort(NAME)
    loop.turn()
    assert life.rollout.state == "rolled_back", "a command is done at once"


def test_whatever_one_raises_keeps_no_other_waiting(
    transport: LocalTransport, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    registry = cm.Registry(transport, settings())
    for n in range(2):
        registry.register("fraud", {"n": n})
    for name in ("first", "second"):
        registry.endpoints.create(name, "fraud:1")
        registry.rollouts.start(name, "fraud:2", **QUICK)
    advanced = RolloutLoop._advanced

    def broken(self: RolloutLoop, rollout: Any) -> Any:
        if rollout.endpoint_ref == "first":
            raise RuntimeError("a surprise")
        return advanced(self, rollout)

    monkeypatch.setattr(RolloutLoop, "_advanced", broken)
    loop = RolloutLoop(transport, settings())
    loop.turn()
    loop.turn()
    states = [registry.rollouts.get(name).rollout.state for name in ("first", "second")]
    assert states == ["queued", "preparing"]
    assert caplog.text.count("a surprise") > 0
    assert len([record for record in caplog.records if "cannot be moved on" in record.getMessage()]) == 1


def test_what_rollouts_ask_for_is_measured_beside_and_never_in_the_way(
    transport: LocalTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    life = Life(cm.Registry(transport, settings()))
    hangs, asked = threading.Event(), threading.Event()

    def stands_still(*_: Any) -> Any:
        asked.set()
        assert hangs.wait(30)
        return {}

    monkeypatch.setattr("chopmark.workers.measuring.due_metrics", lambda *_: ("drift",))
    monkeypatch.setattr("chopmark.workers.measuring.candidate_drift", stands_still)
    with rolling_out(transport, settings()), reporting(life):
        life.registry.rollouts.start(NAME, "fraud:2", **QUICK)
        assert asked.wait(30)
        life.registry.rollouts.abort(NAME)
        wait_for(lambda: life.rollout.is_final)
        hangs.set()
    assert not [t for t in threading.enumerate() if t.name in {"chopmark-rollouts", "chopmark-measurer"}]
