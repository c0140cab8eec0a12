"""Versions that an open rollout names stay, also when somebody has split the endpoint by hand; one that is gone gets no traffic."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

import chopmark as cm
from chopmark.abc.catalog import VersionChange
from chopmark.base.clock import FakeClock
from chopmark.errors import Conflict
from chopmark.ops.storage import Reclaimed
from tests.sdk.rollout_life import NAME, Life

PLAN: dict[str, Any] = {"steps": [10, 100], "hold": "1h", "samples_min": 0}


@pytest.fixture
def clock() -> FakeClock:
    """One by which a router that has just reported is not silent a few readings later."""
    return FakeClock(step=timedelta(milliseconds=1))


@pytest.fixture
def split(own: cm.Registry) -> Life:
    """A rollout of fraud:2 from fraud:1 that paused, as somebody let fraud:3 answer."""
    life = Life(own)
    own.rollouts.start(NAME, "fraud:2", **PLAN)
    life.confirm()
    life.go()
    life.go()
    own.endpoints.split(NAME, {"fraud:3": 100}, reason="by hand")
    assert life.go().waiting == "paused: somebody else set the split"
    return life


def lose(life: Life, *numbers: int) -> None:
    """Rows as releases before this one left them: versions deleted although a rollout names them."""
    own: Any = life.registry._transport
    with own.catalog.writing() as tx:
        for number in numbers:
            version = life.versions[number - 1]
            tx.versions.update(version.id, VersionChange(deleted_at=version.created_at), version.created_at)


def purge(life: Life, *numbers: int) -> None:
    """The same, and their rows too."""
    lose(life, *numbers)
    own: Any = life.registry._transport
    with own.catalog.writing() as tx:
        for number in numbers:
            tx.versions.purge(life.versions[number - 1].id)


@pytest.mark.parametrize("ref", ["fraud:1", "fraud:2"])
def test_what_an_open_rollout_names_cannot_be_taken_away(split: Life, ref: str) -> None:
    registry = split.registry
    ways: list[Callable[[], object]] = [
        lambda: registry.versions.delete(ref, reason="r"),
        lambda: registry.versions.delete(ref, force=True, reason="r"),
        lambda: registry.stages.archive(ref, reason="r"),
    ]
    for way in ways:
        with pytest.raises(Conflict, match=f"the rollout of fraud:2 to fraud-api needs {ref}") as refused:
            way()
        assert refused.value.hint == "First: chopmark rollout abort fraud-api"
    assert f"the rollout of fraud:2 to fraud-api needs {ref}" in registry.versions.uses(ref)
    lose(split, int(ref[-1]))
    with pytest.raises(Conflict, match=f"needs {ref}"):
        registry.versions.purge(ref, force=True, reason="r")


def test_what_a_rollout_let_go_can_be_taken_away(split: Life) -> None:
    split.registry.rollouts.abort(NAME, reason="not that one")
    split.look()
    split.confirm()
    assert split.look().state == "rolled_back"
    split.registry.endpoints.split(NAME, {"fraud:3": 100})
    for ref in ("fraud:1", "fraud:2"):
        split.registry.versions.delete(ref)


def test_a_rollout_in_the_queue_that_is_aborted_holds_nothing(own: cm.Registry) -> None:
    life = Life(own)
    own.rollouts.start(NAME, "fraud:2")
    own.rollouts.abort(NAME)
    own.versions.delete("fraud:2")
    assert life.look().state == "rolled_back"


def test_a_rollout_of_an_endpoint_that_is_gone_holds_nothing(split: Life) -> None:
    split.registry.endpoints.delete(NAME)
    split.registry.versions.delete("fraud:2")


def test_an_endpoint_is_named_with_what_lets_go_of_its_version(own: cm.Registry) -> None:
    Life(own)
    own.endpoints.split(NAME, {"fraud:1": 60, "fraud:2": 40})
    with pytest.raises(Conflict) as refused:
        own.versions.delete("fraud:1")
    assert refused.value.hint.endswith("chopmark endpoint split fraud-api fraud:2=100")
    own.endpoints.split(NAME, {"fraud:1": 100})
    with pytest.raises(Conflict) as refused:
        own.versions.delete("fraud:1")
    assert refused.value.hint.endswith("chopmark endpoint split fraud-api VERSION=100")


@pytest.mark.parametrize("gone", [(1,), (2,), (1, 2)])
@pytest.mark.parametrize("end", [lose, purge])
def test_what_is_gone_is_not_brought_back(split: Life, gone: tuple[int, ...], end: Callable[..., None]) -> None:
    end(split, *gone)
    for command in ("resume", "approve", "promote"):
        with pytest.raises(Conflict, match="deleted or archived") as refused:
            getattr(split.registry.rollouts, command)(NAME)
        assert refused.value.hint == "End it: chopmark rollout abort fraud-api"
    split.registry.rollouts.abort(NAME, reason="it is gone")
    split.look()
    split.confirm()
    ended = split.look()
    assert ended.state == "rolled_back"
    if 1 in gone:
        assert split.shares == {"fraud:3": 10_000}
        assert "the endpoint stays as it is" in ended.reason
    else:
        assert split.shares == {"fraud:1": 10_000}


def test_a_step_to_a_version_that_is_gone_pauses(own: cm.Registry) -> None:
    life = Life(own)
    own.rollouts.start(NAME, "fraud:2", steps=[10, 50, 100], hold=0, samples_min=0)
    life.confirm()
    before = life.look()
    own.rollouts.promote(NAME, full=True)
    lose(life, 2)
    life.confirm()
    paused = life.look()
    assert (paused.state, paused.step, paused.waiting) == (
        before.state,
        before.step,
        "paused: fraud:2 is deleted or archived",
    )
    assert own.rollouts.events(NAME)[-1].kind == "paused"
    assert own.audit.list(event="rollout.paused", limit=9)
    own.versions.restore("fraud:2")
    own.rollouts.resume(NAME)
    assert life.go().pause is None
    for _ in range(4):
        life.go()
    assert life.shares["fraud:2"] == 10_000


def test_bytes_of_what_traffic_names_are_not_collected(split: Life, clock: FakeClock) -> None:
    """Versions purged although a rollout (1, 2) or an endpoint (3) names them: their manifests and files stay."""
    registry: Any = split.registry
    free = registry.register("fraud", {"threshold": 0.1})
    registry.versions.delete(free.ref)
    lose(split, 1)
    purge(split, 2, 3)

    own = registry._transport
    with own.catalog.reading() as tx:
        files = {each.digest for each in tx.manifests.get(free.digest).files}
    clock.advance(timedelta(days=40))
    freed: list[Reclaimed] = []
    registry.storage.collect(told=freed.append)
    assert {item.what for item in freed} == {free.ref, free.digest, *files}
    with own.catalog.reading() as tx:
        for version in split.versions:
            manifest = tx.manifests.get(version.digest)
            assert manifest is not None, version.ref
            assert all(own.store.stat(file.digest) is not None for file in manifest.files)
        assert tx.versions.by_id(split.versions[0].id) is not None
