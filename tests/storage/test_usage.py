"""What takes room, and why bytes are kept, on every back end."""

import io
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

import chopmark as cm
from chopmark.base.clock import FakeClock
from chopmark.base.digest import digest_of
from chopmark.errors import InvalidRequest, NotFound
from chopmark.ops.storage import Usage
from chopmark.testing.registry import memory_registry


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(step=timedelta(seconds=1))


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def registry(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> Iterator[cm.Registry]:
    """Two projects that share a file of 1,000 bytes, and one deleted version."""
    if request.param == "memory":
        opened = memory_registry(clock=clock)
    else:
        url = request.getfixturevalue("postgres_catalog_url") if request.param == "postgres" else None
        opened = cm.open(tmp_path / "registry", database_url=url, clock=clock)
    with opened as made:
        made.projects.create("risk")
        shared = {"other/shared": b"s" * 1000}
        made.register("fraud", {"t": 1}, artifacts={**shared, "other/own": b"o" * 10})
        made.register("fraud", {"t": 2}, artifacts=shared)
        made.register("risk/churn", {"t": 3}, artifacts={**shared, "other/same": b"s" * 1000})
        made.versions.delete("fraud:1")
        yield made


def held(page: Iterable[Usage]) -> dict[str, tuple[int, ...]]:
    return {
        u.name: (u.versions, u.deleted_versions, u.files, u.logical_bytes, u.unique_bytes, u.shared_bytes) for u in page
    }


def test_usage_by_project_model_and_version(registry: cm.Registry) -> None:
    assert held(registry.storage.usage("project")) == {
        "default": (2, 1, 4, 2024, 24, 1000),
        "risk": (1, 0, 2, 2007, 7, 1000),
    }
    assert held(registry.storage.usage("model", project="default")) == {"fraud": (2, 1, 4, 2024, 24, 1000)}
    assert held(registry.storage.usage("version", model="fraud")) == {
        "fraud:1": (1, 1, 3, 1017, 17, 1000),
        "fraud:2": (1, 0, 2, 1007, 7, 1000),
    }


def test_usage_goes_on_where_a_page_ended(registry: cm.Registry) -> None:
    first = registry.storage.usage("version", limit=2)
    assert len(first) == 2
    assert first.cursor
    rest = registry.storage.usage("version", limit=2, cursor=first.cursor)
    assert {u.name for u in [*first, *rest]} == {"fraud:1", "fraud:2", "risk/churn:1"}
    assert rest.cursor == ""
    with pytest.raises(InvalidRequest, match="cursor"):
        registry.storage.usage("model", limit=2, cursor=first.cursor)


def test_totals_tell_what_a_collection_would_free(registry: cm.Registry, clock: FakeClock) -> None:
    found = registry.storage.totals()
    assert (found.blobs, found.raw_bytes, found.garbage_blobs) == (5, 1031, 0)
    clock.advance(timedelta(days=31))
    registry._transport.store.put(io.BytesIO(b"young"))
    found = registry.storage.totals()
    assert (found.blobs, found.garbage_blobs) == (6, 2)
    planned = [i for i in registry.storage.garbage() if i.kind == "blob"]
    assert found.garbage_bytes == sum(i.size_bytes for i in planned) == 17


def test_why_bytes_are_kept(registry: cm.Registry, clock: FakeClock) -> None:
    why = registry.storage.why(digest_of(b"s" * 1000)[:20])
    assert (why.digest, why.kind, why.size_bytes) == (digest_of(b"s" * 1000), "blob", 1000)
    assert [(u.ref, u.paths, u.roles) for u in why.users] == [
        ("fraud:1", ("other/shared",), ("other",)),
        ("fraud:2", ("other/shared",), ("other",)),
        ("risk/churn:1", ("other/same", "other/shared"), ("other",)),
    ]
    assert why.users[0].deleted_at is not None
    assert why.collectable_at is None
    version = registry.get("fraud:2")
    manifest = registry.storage.why(version.digest)
    assert (manifest.kind, [u.ref for u in manifest.users]) == ("manifest", ["fraud:2"])
    stat = registry._transport.store.put(io.BytesIO(b"nobody's"))
    nobody = registry.storage.why(stat.digest)
    assert nobody.users == []
    assert nobody.collectable_at == stat.modified_at + timedelta(hours=24)
    clock.advance(timedelta(days=31))
    own = registry.storage.why(digest_of(b"o" * 10))
    assert [u.ref for u in own.users] == ["fraud:1"]
    assert own.collectable_at is not None, "its version is due"


def test_lost_bytes_are_explained_too(registry: cm.Registry) -> None:
    digest = digest_of(b"o" * 10)
    registry._transport.store.delete(digest)
    why = registry.storage.why(digest)
    assert why.size_bytes is None
    assert [u.ref for u in why.users] == ["fraud:1"]


@pytest.mark.parametrize("text", ["", "sha256:", "sha256:1234567", "fraud:1", "sha256:zzzzzzzz", "SHA256:12345678"])
def test_what_is_no_digest(registry: cm.Registry, text: str) -> None:
    with pytest.raises(InvalidRequest, match="not the beginning of a digest"):
        registry.storage.why(text)


def test_a_digest_that_nobody_knows(registry: cm.Registry) -> None:
    with pytest.raises(NotFound):
        registry.storage.why("sha256:" + "0" * 64)
