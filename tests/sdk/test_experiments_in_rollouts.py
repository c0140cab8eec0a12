"""A rollout whose step waits for an experiment: it goes on when the candidate wins, back when it loses, and pauses when nothing is said."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from chopmark.base.clock import FakeClock
from chopmark.domain.experiments import Experiment
from chopmark.errors import Conflict
from chopmark.testing.registry import memory_registry
from tests.sdk.rollout_life import NAME, Life


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def compared(clock: FakeClock) -> Iterator[Life]:
    """An A/B rollout that has reached its step."""
    with memory_registry(clock=clock, actor="ada") as registry:
        life = Life(registry)
        life.confirm()
        registry.rollouts.start(NAME, "fraud:2", strategy="ab", hold=60, samples_min=0)
        for _ in range(3):
            life.go()
        assert life.shares == {"fraud:1": 5_000, "fraud:2": 5_000}
        yield life


def begun(life: Life, **said: Any) -> Experiment:
    return life.registry.experiments.start(
        "test", endpoint=NAME, control="fraud:1", treatment="fraud:2", metric="caught", window="1m", max_duration="1h",
        look_every="2m", **said,
    )  # fmt: skip


def tell(life: Life, clock: FakeClock, experiment: Experiment, stable: int, candidate: int, count: int = 1_500) -> None:
    """Of each ten units so many have a 1."""
    shown, did = [], []
    for number in range(count):
        at, unit = experiment.started_at + timedelta(seconds=number), f"u{number}"
        shown.append({"unit": unit, "at": at})
        if number % 10 < (stable if experiment.assign(unit) == "stable" else candidate):
            did.append({"unit": unit, "at": at, "caught": 1})
    clock.advance(timedelta(seconds=count + 300))
    life.registry.experiments.expose_batch(experiment, shown)
    life.registry.experiments.record_batch(experiment, did)
    for _ in range(4):
        life.go()


def test_an_experiment_takes_the_split_of_a_rollout_as_it_is(compared: Life) -> None:
    before = compared.registry.endpoints.get(NAME)
    experiment = begun(compared)
    assert compared.registry.endpoints.get(NAME) == before
    assert (experiment.plan.names, experiment.plan.control) == (("stable", "candidate"), "stable")
    assert compared.rollout.state == "progressing"
    compared.registry.experiments.stop(experiment)
    with pytest.raises(Conflict, match="A rollout moves the traffic"):
        compared.registry.experiments.start(
            "other", endpoint=NAME, control="fraud:1", treatment="fraud:3", metric="caught"
        )


def test_a_candidate_that_wins_is_promoted(compared: Life, clock: FakeClock) -> None:
    experiment = begun(compared)
    clock.advance(timedelta(minutes=10))
    assert compared.go().state == "progressing"
    tell(compared, clock, experiment, 4, 7)
    assert compared.shares["fraud:2"] == 10_000
    assert compared.rollout.state in ("baking", "completed")
    decided = compared.registry.experiments.decide(experiment)
    assert (decided.experiment.winner, decided.rollout) == ("candidate", None)


@pytest.mark.parametrize("end", ["completed", "rolled back"])
def test_a_decided_one_tells_what_became_of_its_rollout(clock: FakeClock, end: str) -> None:
    with memory_registry(clock=clock, actor="ada") as registry:
        life = Life(registry)
        life.confirm()
        experiments = registry.experiments
        made = experiments.start("test", endpoint=NAME, control="fraud:1", treatment="fraud:2", metric="caught")
        assert experiments.status(made).rollout == ""
        decided = experiments.decide(made, "treatment", reason="we know")
        assert experiments.status(made).rollout == "of fraud:2: queued"
        assert decided.rollout is not None
        if end == "rolled back":
            life.go()
            registry.rollouts.abort(NAME, reason="nothing answers")
        for _ in range(6):
            life.go()
            clock.advance(timedelta(days=1))
        status = experiments.status(made)
        command = f"chopmark rollout start {NAME} fraud:2 --reason '…'"
        assert end in status.rollout
        assert (f"To try again: {command}" in status.rollout) == (end == "rolled back")
        assert f"rollout {status.rollout}" in repr(status)
        with pytest.raises(Conflict, match="is decided for treatment") as refused:
            experiments.decide(made)
        assert refused.value.hint == f"To take its endpoint to treatment: {command}"
        kept = experiments.start("kept", control="fraud:1", treatment="fraud:2", metric="caught")
        experiments.decide(kept, "treatment", reason="we know")
        assert experiments.status(kept).rollout == ""
        with pytest.raises(Conflict, match="decided") as refused:
            experiments.decide(kept)
        assert refused.value.hint == "Start another one, by another name."


def test_a_candidate_that_loses_is_taken_back(compared: Life, clock: FakeClock) -> None:
    tell(compared, clock, begun(compared), 7, 4)
    assert compared.rollout.state == "rolled_back"
    assert "the experiment decided for the stable version" in compared.rollout.reason
    assert compared.shares["fraud:1"] == 10_000


def test_where_nothing_is_said_it_waits_for_people(compared: Life, clock: FakeClock) -> None:
    tell(compared, clock, begun(compared, minimum_effect=0.2), 5, 5)
    assert compared.rollout.pause is not None
    assert "experiment" in compared.rollout.pause.reason
    assert compared.shares == {"fraud:1": 5_000, "fraud:2": 5_000}
