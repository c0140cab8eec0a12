"""The part of the catalog's contract that is about schedules."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec import structs

from chopmark.abc.catalog import Catalog
from chopmark.domain.schedules import Schedule
from chopmark.errors import InvalidRequest

__all__ = ["ScheduleLaws", "a_schedule"]

NOON = datetime(2026, 3, 3, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def a_schedule(name: str = "nightly", **rest: Any) -> Schedule:
    """A schedule that fires at noon."""
    fields = {"kind": "expiry", "cron": "0 12 * * *", "next_at": NOON, "updated_at": NOON - HOUR, "updated_by": "ann"}
    return Schedule(**{"name": name, **fields, **rest})


class ScheduleLaws:
    """Schedules by name, and a firing that moves on once."""

    def test_a_schedule_comes_back_as_it_was(self, catalog: Catalog) -> None:
        """With every field; a second of that name takes its place."""
        first = a_schedule(kind="backup", arguments={"place": "/ä"}, zone="Europe/Berlin", misfire="all")
        second = structs.replace(first, enabled=False, next_at=None, cron="1 1 * * *")
        with catalog.writing() as tx:
            assert tx.schedules.get("nightly") is None
            tx.schedules.put(first)
            assert tx.schedules.get("nightly") == first
            tx.schedules.put(second)
        with catalog.reading() as tx:
            assert tx.schedules.list(limit=9) == [second]

    def test_schedules_are_listed_by_name(self, catalog: Catalog) -> None:
        """Page by page."""
        with catalog.writing() as tx:
            for name in ("b", "c", "a"):
                tx.schedules.put(a_schedule(name))
            assert tx.schedules.remove("b")
            assert not tx.schedules.remove("b")
            assert [each.name for each in tx.schedules.list(limit=9)] == ["a", "c"]
            assert [each.name for each in tx.schedules.list(after="a", limit=1)] == ["c"]

    def test_those_that_are_due(self, catalog: Catalog) -> None:
        """The one that waits longest first; a paused one never."""
        with catalog.writing() as tx:
            assert tx.schedules.next_at() is None
            for name, next_at in (("late", NOON + HOUR), ("first", NOON - HOUR), ("second", NOON), ("none", None)):
                tx.schedules.put(a_schedule(name, next_at=next_at, enabled=next_at is not None))
            assert [each.name for each in tx.schedules.due(NOON, limit=9)] == ["first", "second"]
            assert [each.name for each in tx.schedules.due(NOON, limit=1)] == ["first"]
            assert tx.schedules.next_at() == NOON - HOUR

    def test_a_firing_moves_on_once(self, catalog: Catalog) -> None:
        """By whoever was first, and not when the schedule is another by now."""
        seen = a_schedule()
        then = structs.replace(seen, next_at=NOON + 24 * HOUR)
        with catalog.writing() as tx:
            tx.schedules.put(seen)
            assert tx.schedules.advance(then, seen)
            assert not tx.schedules.advance(then, seen)
            assert tx.schedules.get("nightly") == then
            changed = structs.replace(seen, cron="0 13 * * *", updated_at=NOON)
            tx.schedules.put(changed)
            assert not tx.schedules.advance(then, seen)
            assert tx.schedules.get("nightly") == changed
            tx.schedules.put(structs.replace(changed, enabled=False))
            assert not tx.schedules.advance(then, changed)
            tx.schedules.remove("nightly")
            assert not tx.schedules.advance(then, changed)

    def test_a_transaction_that_reads_changes_no_schedule(self, catalog: Catalog) -> None:
        """Refused, as any other change."""
        with catalog.reading() as tx:
            for change in (
                lambda: tx.schedules.put(a_schedule()),
                lambda: tx.schedules.remove("x"),
            ):
                with pytest.raises(InvalidRequest):
                    change()
