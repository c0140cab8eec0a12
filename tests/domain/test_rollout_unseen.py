"""Who waits for a rollout is told when no worker looks at it, and only then."""

from datetime import timedelta

import pytest
from msgspec import structs

import chopmark as cm
from chopmark.base.clock import FakeClock
from chopmark.domain.rollout_unseen import unseen_words
from chopmark.testing.catalog_rollouts import a_rollout
from tests.sdk.rollout_life import NAME, Life

TOLD = "No worker has looked at this for {} s. Start one: chopmark serve, or chopmark worker"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(step=timedelta(0))


def told(life: Life) -> str:
    return life.registry.rollouts.get(NAME).note


def test_a_worker_that_does_not_come_is_missed(local: cm.Registry, clock: FakeClock) -> None:
    life = Life(local)
    local.rollouts.start(NAME, "fraud:2", steps=[10, 100], hold="5m", samples_min=0)
    clock.advance(timedelta(seconds=10))
    assert told(life) == ""
    clock.advance(timedelta(seconds=2))
    assert told(life) == TOLD.format(12)
    assert repr(local.rollouts.get(NAME)).endswith("chopmark worker")
    life.go()
    assert told(life) == ""
    life.go()
    assert life.rollout.waiting == "holding"
    clock.advance(timedelta(minutes=5, seconds=9))
    assert told(life) == "", "nothing was due for five minutes"
    clock.advance(timedelta(seconds=4))
    assert told(life) == TOLD.format(13)
    local.rollouts.pause(NAME)
    life.confirm()
    life.look()
    clock.advance(timedelta(hours=1))
    assert told(life) == "", "it waits for somebody"
    local.rollouts.abort(NAME)
    clock.advance(timedelta(seconds=11))
    assert told(life) == TOLD.format(11)
    life.confirm()
    life.go()
    assert life.rollout.state == "rolled_back"
    clock.advance(timedelta(hours=1))
    assert told(life) == ""


def test_a_deadline_that_passes_unseen_is_told() -> None:
    rollout = a_rollout(state="progressing", waiting="waiting for requests and measurements", pause=None, wants="")
    begun = structs.replace(rollout, started_at=rollout.created_at)
    end = rollout.created_at + timedelta(seconds=rollout.plan.deadline_s)
    assert unseen_words(begun, (), end + timedelta(seconds=10)) == ""
    assert unseen_words(begun, (), end + timedelta(seconds=20)) == TOLD.format(20)
