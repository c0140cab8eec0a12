"""Loads are counted, without a write for each."""

import os
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import chopmark as cm
from chopmark.base.clock import FakeClock
from chopmark.errors import InvalidRequest, NotFound, Unavailable
from chopmark.ops.usage import DailyLoads, RecordUsage
from chopmark.testing.registry import memory_registry

NEW_YEAR = date(2026, 1, 1)


def counts(registry: cm.Registry, of: str, **days: Any) -> list[tuple[str, date, int]]:
    return [(each.ref, each.day, each.count) for each in registry.models.usage(of, **days)]


def test_loads_are_counted_by_version_and_day(registry: cm.Registry, clock: FakeClock) -> None:
    registry.register("fraud", {"a": 1})
    registry.register("fraud", {"a": 2})
    registry.alias("fraud@champion", "fraud:1")
    for ref in ("fraud:1", "fraud@champion", "fraud"):
        registry.load(ref)
    clock.advance(timedelta(days=1))
    registry.load("fraud:1")
    assert counts(registry, "fraud") == [
        ("fraud:1", date(2026, 1, 2), 1),
        ("fraud:2", NEW_YEAR, 1),
        ("fraud:1", NEW_YEAR, 2),
    ]
    assert counts(registry, "fraud@champion", until=NEW_YEAR) == [("fraud:1", NEW_YEAR, 2)]
    assert counts(registry, "fraud", since=datetime(2026, 1, 2, 23, tzinfo=UTC)) == [("fraud:1", date(2026, 1, 2), 1)]
    assert [e.event for e in registry.audit.list(newest_first=True, limit=1)] == ["alias.set"]


def test_pages(registry: cm.Registry) -> None:
    for number in range(3):
        registry.load(registry.register("fraud", {"a": number}))
    first = registry.models.usage("fraud", limit=2)
    rest = registry.models.usage("fraud", limit=2, cursor=first.cursor)
    assert [each.number for each in [*first, *rest]] == [3, 2, 1]
    assert rest.cursor == ""
    with pytest.raises(InvalidRequest, match="cursor"):
        registry.models.usage("fraud:1", cursor=first.cursor)


def test_an_ensemble_counts_for_its_members(local: cm.Registry) -> None:
    for number in (1, 2):
        local.register("fraud", {"a": number})
    local.load(local.register("both", members=["fraud:1", "fraud:2"]))
    assert counts(local, "both") == [("both:1", NEW_YEAR, 1)]
    assert counts(local, "fraud") == [("fraud:2", NEW_YEAR, 1), ("fraud:1", NEW_YEAR, 1)]


def test_a_prediction_counts_as_a_load(local: cm.Registry) -> None:
    sklearn = pytest.importorskip("sklearn.linear_model")
    local.register("line", sklearn.LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0]))
    local.versions.predict("line", [[2.0]])
    assert counts(local, "line") == [("line:1", NEW_YEAR, 1)]


def test_what_fails_to_load_and_what_is_rehearsed_is_not_counted(local: cm.Registry) -> None:
    version = local.register("fraud", {"a": 1})
    local.register("far", uri="s3://bucket/model.bin")
    local.dry_run().load(version)
    with pytest.raises(cm.errors.Unsupported):
        local.load("far")
    assert counts(local, "fraud") == counts(local, "far") == []


def test_a_viewer_counts_too() -> None:
    registry = memory_registry(role="viewer")
    with pytest.raises(cm.errors.Denied):
        registry.register("fraud", {"a": 1})
    assert registry._transport.call(RecordUsage(loads=())).loads == 0


def test_closing_writes_down_what_waits(tmp_path: Path) -> None:
    with cm.open(tmp_path) as first:
        first.load(first.register("fraud", {"a": 1}))
    with cm.open(tmp_path) as second:
        assert [each.count for each in second.models.usage("fraud")] == [1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_load_in_a_forked_child_counts_once(local: cm.Registry) -> None:
    version = local.register("fraud", {"a": 1})
    local.load(version)
    child = os.fork()
    if child == 0:
        local.load(version)
        local.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert counts(local, "fraud") == [("fraud:1", NEW_YEAR, 2)]


def test_a_database_that_is_away_disturbs_no_load(
    local: cm.Registry, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    version = local.register("fraud", {"a": 1})
    catalog = local._transport._dispatch.catalog
    with monkeypatch.context() as patch:

        def away() -> None:
            raise Unavailable("The database does not answer.")

        patch.setattr(catalog, "writing", away)
        for _ in range(3):
            local.load(version)
            local._transport.flush()
    assert len([r for r in caplog.records if r.name == "chopmark"]) == 1
    assert counts(local, "fraud") == []  # nobody asked for another turn yet
    local.load(version)
    assert counts(local, "fraud") == [("fraud:1", NEW_YEAR, 4)]


def test_numbers_that_are_no_counts(local: cm.Registry) -> None:
    version = local.register("fraud", {"a": 1})
    for count in (0, -1, 2**50):
        with pytest.raises(InvalidRequest, match="no count"):
            local._transport.call(RecordUsage(loads=(DailyLoads(version=version.id, day=NEW_YEAR, count=count),)))
    many = tuple(DailyLoads(version=version.id, day=NEW_YEAR) for _ in range(1_001))
    with pytest.raises(InvalidRequest, match="limit is 1,000"):
        local._transport.call(RecordUsage(loads=many))
    with pytest.raises(NotFound):
        local.models.usage("nobody")


def test_counting_costs_little(local: cm.Registry) -> None:
    """Two microseconds are the aim; ten times as much would be a write or a wait somewhere."""
    version = local.register("fraud", {"a": 1})
    count = local._transport.count_load
    count(version.id)
    best_s = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(1_000):
            count(version.id)
        best_s = min(best_s, (time.perf_counter() - start) / 1_000)
    assert best_s < 20e-6
