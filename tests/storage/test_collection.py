"""Collections: what they free, what they leave, and that a plan says exactly what is freed."""

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import chopmark as cm
from chopmark.abc.blobs import BlobStore
from chopmark.base.clock import FakeClock
from chopmark.errors import Denied, NotFound
from chopmark.ops.storage import Reclaimed
from chopmark.testing.registry import memory_registry

DAY = timedelta(days=1)


def store_of(registry: cm.Registry) -> BlobStore:
    return registry._transport.store


def stored_bytes(registry: cm.Registry) -> int:
    return sum(stat.stored_bytes for stat in store_of(registry).list())


def collected_as_planned(registry: cm.Registry) -> dict[str, list[str]]:
    """Collect, see to it that exactly what was planned was freed, and say what that was."""
    planned = list(registry.storage.garbage())
    rehearsed = registry.dry_run().storage.collect()
    before = stored_bytes(registry)
    freed: list[Reclaimed] = []
    done = registry.storage.collect(told=freed.append)
    # Why bytes go is told otherwise once their versions are purged.
    assert [(i.kind, i.what, i.size_bytes) for i in freed] == [(i.kind, i.what, i.size_bytes) for i in planned]
    assert rehearsed == done
    leftovers = sum(i.size_bytes for i in planned if i.kind == "leftover")
    assert (
        before - stored_bytes(registry) == done.size_bytes - leftovers == sum(i.size_bytes for i in planned) - leftovers
    )
    assert all(registry.files.verify(v).ok for v in registry.versions.each())
    found: dict[str, list[str]] = {}
    for item in planned:
        found.setdefault(item.kind, []).append(item.what)
    return found


def test_nothing_is_freed_where_all_is_used(own: cm.Registry, clock: FakeClock) -> None:
    own.register("fraud", {"t": 1})
    clock.advance(365 * DAY)
    head = own.audit.verify()
    assert collected_as_planned(own) == {}
    assert own.audit.verify() == head


def test_a_life_from_retention_to_free_bytes(own: cm.Registry, clock: FakeClock) -> None:
    versions = [own.register("fraud", {"t": n}) for n in range(1, 6)]
    own.alias("fraud@champion", "fraud:1")
    own.models.update("fraud", retention=cm.Retention(newest=2))
    clock.advance(2 * DAY)
    assert collected_as_planned(own) == {"version": ["fraud:2", "fraud:3"]}
    (event,) = own.audit.list(target="fraud:2", event="version.deleted")
    assert event.data["reason"] == "retention: not one of the newest 2"
    assert collected_as_planned(own) == {}, "they can still be restored"
    own.versions.restore("fraud:3")
    own.models.update("fraud", retention=None)
    clock.advance(31 * DAY)
    freed = collected_as_planned(own)
    assert freed == {"purge": ["fraud:2"], "manifest": [versions[1].digest], "blob": freed["blob"]}
    assert len(freed["blob"]) == 1
    with pytest.raises(NotFound):
        own.get("fraud:2")
    assert {v.number for v in own.search()} == {1, 3, 4, 5}
    assert collected_as_planned(own) == {}


def test_shared_bytes_stay_until_the_last_who_shares_them_is_gone(own: cm.Registry, clock: FakeClock) -> None:
    own.register("one", {"t": 1}, artifacts={"other/x": b"x" * 1000})
    own.register("two", {"t": 1}, artifacts={"other/x": b"x" * 1000, "other/y": b"y"})
    own.models.delete("two", reason="r")
    clock.advance(31 * DAY)
    freed = collected_as_planned(own)
    assert freed["purge"] == ["two:1"]
    assert len(freed["blob"]) == 1
    own.versions.delete("one:1")
    clock.advance(31 * DAY)
    assert len(collected_as_planned(own)["blob"]) == 2
    assert stored_bytes(own) == 0


def test_what_somebody_still_needs_is_not_purged(own: cm.Registry, clock: FakeClock) -> None:
    own.register("base", {"t": 1})
    own.register("base", {"t": 2}, parents={"derived_from": "base:1"})
    own.register("mix", members=["base:2"])
    for ref in ("base:1", "base:2"):
        own.versions.delete(ref, force=True, reason="r")
    clock.advance(31 * DAY)
    assert collected_as_planned(own) == {}
    own.versions.restore("base:2")
    own.load("mix")
    own.versions.delete("base:2", force=True, reason="r")
    own.versions.delete("mix:1")
    clock.advance(31 * DAY)
    freed = collected_as_planned(own)
    assert sorted(freed["purge"]) == ["base:1", "base:2", "mix:1"]
    assert stored_bytes(own) == 0


def test_retention_keeps_what_another_models_version_needs(own: cm.Registry) -> None:
    for n in (1, 2, 3):
        own.register("base", {"t": n})
    own.register("child", {"t": 9}, parents={"fine_tuned_from": "base:1"})
    own.projects.configure("default", rules=cm.ProjectRules(retention=cm.Retention(newest=1)))
    assert collected_as_planned(own) == {"version": ["base:2"]}


def test_the_model_says_it_before_the_project(own: cm.Registry) -> None:
    for n in (1, 2, 3):
        own.register("fraud", {"t": n})
        own.register("kept", {"t": n})
    own.projects.configure("default", rules=cm.ProjectRules(retention=cm.Retention(newest=1)))
    own.models.update("fraud", retention=cm.Retention(newest=2))
    own.models.update("kept", retention=cm.Retention())
    assert collected_as_planned(own) == {"version": ["fraud:1"]}


def test_young_bytes_stay(own: cm.Registry, clock: FakeClock) -> None:
    stat = store_of(own).put(io.BytesIO(b"put, and not registered yet"))
    assert collected_as_planned(own) == {}
    clock.advance(DAY)
    store_of(own).put(io.BytesIO(b"put, and not registered yet"))
    assert collected_as_planned(own) == {}, "put again"
    clock.advance(DAY)
    assert collected_as_planned(own) == {"blob": [stat.digest]}


def test_many_steps_free_what_one_would(own: cm.Registry, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    from chopmark.app import garbage

    monkeypatch.setattr(garbage, "BLOBS_A_STEP", 7)
    monkeypatch.setattr(garbage, "MODELS_A_STEP", 2)
    for model in ("a", "b", "c"):
        for n in range(5):
            own.register(model, {"t": n, "m": model}, allow_twin=True)
        own.models.update(model, retention=cm.Retention(newest=1))
    freed = collected_as_planned(own)
    assert len(freed["version"]) == 12
    clock.advance(31 * DAY)
    freed = collected_as_planned(own)
    assert len(freed["purge"]) == 12
    assert len(freed["blob"]) == 12


def test_what_interrupted_puts_left_is_removed(tmp_path: Path, clock: FakeClock) -> None:
    with cm.open(tmp_path / "registry", clock=clock) as registry:
        registry.register("fraud", {"t": 1})
        left = tmp_path / "registry" / "blobs" / "tmp" / "put-dead"
        left.parent.mkdir()
        left.write_bytes(b"half")
        clock.now = datetime.now(UTC)  # the time of a file comes from the system
        assert collected_as_planned(registry) == {}
        clock.advance(2 * DAY)
        assert collected_as_planned(registry) == {"leftover": ["tmp/put-dead"]}
        assert not left.exists()


def test_data_sets_go_with_the_last_version_that_was_trained_on_them(own: cm.Registry, clock: FakeClock) -> None:
    march, april = cm.DatasetRef("march", digest="sha256:" + "a" * 64), cm.DatasetRef("april", uri="s3://data/april")
    own.register("fraud", {"t": 1}, dataset=march)
    own.register("fraud", {"t": 2}, dataset=[march, april])
    own.versions.delete("fraud:2")
    clock.advance(31 * DAY)
    assert collected_as_planned(own)["dataset"] == ["dataset:s3://data/april:"]
    own.versions.delete("fraud:1")
    clock.advance(31 * DAY)
    assert collected_as_planned(own)["dataset"] == [f"dataset:{march.digest}"]


def test_a_catalog_made_again_after_a_collection_is_as_it_was(tmp_path: Path, clock: FakeClock) -> None:
    place = tmp_path / "registry"
    with cm.open(place, clock=clock, actor="ada") as registry:
        for n in range(1, 5):
            registry.register("fraud", {"t": n}, dataset=cm.DatasetRef(f"d{n}"))
        registry.models.update("fraud", retention=cm.Retention(newest=2))
        registry.storage.collect()
        clock.advance(31 * DAY)
        assert registry.storage.collect().counts["purge"] == 2
        seen = list(registry.versions.each()), registry.models.get("fraud"), registry.audit.verify()
    for file in place.glob("chopmark.db*"):
        file.unlink()
    cm.rebuild(place)
    with cm.open(place, clock=clock, actor="ada") as registry:
        again = list(registry.versions.each()), registry.models.get("fraud")
        assert again == seen[:2]
        assert registry.storage.check().ok
        assert registry.audit.verify().events == seen[2].events + 1
        registry.storage.collect()
        assert all(registry.files.verify(v).ok for v in again[0])


def test_a_collection_may_only_be_run_by_who_may_purge(clock: FakeClock) -> None:
    registry = memory_registry(clock=clock, role="maintainer")
    assert list(registry.storage.garbage()) == []
    with pytest.raises(Denied, match="purge"):
        registry.storage.collect()


def test_every_step_that_frees_something_is_an_event(own: cm.Registry, clock: FakeClock) -> None:
    own.register("fraud", {"t": 1})
    own.versions.delete("fraud:1")
    clock.advance(31 * DAY)
    freed = own.storage.collect()
    told = [event.data for event in own.audit.list(event="storage.collected")]
    assert told == [{"purge": 1, "size_bytes": 0}, {"manifest": 1, "size_bytes": 0}, {"blob": 1, "size_bytes": 7}]
    assert freed.size_bytes == 7
    (purged,) = own.audit.list(target="fraud:1", event="version.purged")
    assert purged.data["reason"].startswith("collection: it was deleted on ")
