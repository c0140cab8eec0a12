"""Backups and records while others write: nothing that was recorded is left out unseen."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import chopmark as cm
from chopmark import wiring
from chopmark.abc.records import RecordStore
from chopmark.app import recording
from chopmark.app.rebuild import whole_of
from chopmark.app.recording import LOOKS_MAX, registry_id, spans_of, within
from chopmark.base.clock import FakeClock
from chopmark.errors import IntegrityFailure, Unavailable
from chopmark.sdk.backup import write_records
from chopmark.testing.memory_records import MemoryRecords
from chopmark.testing.registry import memory_registry


class Disturbed(MemoryRecords):
    """Records over which something happens before the next file is read, and whose listings may leave some out."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: list[Callable[[], object]] = []
        self.hidden: list[str] = []

    def get(self, name: str) -> bytes:
        if self.meanwhile:
            self.meanwhile.pop()()
        return super().get(name)

    def names(self, prefix: str = "") -> Iterator[str]:
        return (name for name in super().names(prefix) if name not in self.hidden)


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[cm.Registry]:
    monkeypatch.setattr(recording, "EVENTS_MERGED", 4)
    with memory_registry(clock=FakeClock(step=timedelta(milliseconds=1)), progress="never") as opened:
        transport: Any = opened._transport
        transport.records = transport._dispatch.records = transport._recorder._records = Disturbed()
        yield opened


def records_of(registry: cm.Registry) -> tuple[Any, RecordStore]:
    (first,) = registry.audit.list(limit=1)
    everything = registry._transport.records
    return everything, within(everything, registry_id(first))


def add_events(registry: cm.Registry, until: int) -> None:
    """Register until the audit has so many events, each recorded in a file of its own, as far as they stay apart."""
    while (length := len(registry._transport._dispatch.catalog._state.audit)) < until:
        registry.register("m", {"n": length})
        registry._transport.catch_up()


def test_segments_that_are_put_together_while_they_are_read_are_read_all_the_same(registry: cm.Registry) -> None:
    add_events(registry, 7)
    disturbed, own = records_of(registry)
    assert len(spans_of(own)) > 1
    disturbed.meanwhile = [lambda: add_events(registry, 8)]  # the eighth event puts all of them together
    whole, faults = whole_of(own)
    assert faults == []
    assert len(whole.events) == 8
    assert len(spans_of(own)) == 2, "four events in each"


def test_what_happens_while_it_is_recorded_is_left_to_the_next_turn(registry: cm.Registry) -> None:
    """Else a server under load would write a file for every few events, and never come to an end."""
    registry.register("m", {"n": 0})
    transport: Any = registry._transport
    before = len(transport._dispatch.catalog._state.audit)
    more = [3, 2, 1]

    class Busy(MemoryRecords):
        def put(self, name: str, data: bytes) -> None:
            super().put(name, data)
            if more:
                registry.register("m", {"n": more.pop()})

    transport.records = transport._dispatch.records = transport._recorder._records = Busy()
    assert transport._recorder.catch_up() == before
    _, own = records_of(registry)
    assert [span.last for span in spans_of(own)] == [before]
    waiting = len(transport._dispatch.catalog._state.audit) - before
    assert waiting == 1
    assert transport._recorder.catch_up() == waiting


def test_a_segment_that_is_listed_and_never_there_is_a_fault(registry: cm.Registry) -> None:
    add_events(registry, 6)
    _, own = records_of(registry)
    looks: list[str] = []

    class Lists(MemoryRecords):
        def names(self, prefix: str = "") -> Iterator[str]:
            looks.append(prefix)
            return own.names(prefix)

    whole, faults = whole_of(Lists())
    assert len(looks) == LOOKS_MAX
    assert whole.events == []
    assert all("is listed and is not there" in fault for fault in faults)
    assert len(faults) == len(spans_of(own))


def test_records_of_which_nothing_can_be_read_are_not_whole() -> None:
    assert whole_of(MemoryRecords())[1] == ["there is none that could be read"]


def test_a_backup_that_ends_after_a_newer_one_takes_nothing_of_it_away(registry: cm.Registry) -> None:
    add_events(registry, 5)
    _, own = records_of(registry)
    older, _ = whole_of(own)
    add_events(registry, 7)
    newer, _ = whole_of(own)
    target = MemoryRecords()
    write_records(target, newer)
    write_records(target, older)
    assert whole_of(target)[0].events == newer.events
    write_records(target, newer)
    assert len(spans_of(target)) == 1, "and the next one cleans up"


def test_a_backup_is_refused_while_the_store_does_not_list_what_was_recorded(
    registry: cm.Registry, tmp_path: Path
) -> None:
    add_events(registry, 6)
    disturbed, own = records_of(registry)
    last = spans_of(own)[-1]
    disturbed.hidden = [name for name in disturbed._files if name.endswith(last.name)]
    with pytest.raises(Unavailable, match="lists fewer records than were written"):
        registry.storage.backup(tmp_path / "backup")
    disturbed.hidden = []
    assert registry.storage.backup(tmp_path / "backup").events == last.last


def test_a_restore_from_records_that_are_not_listed_says_so(
    registry: cm.Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_events(registry, 6)
    registry.storage.backup(tmp_path / "backup")
    monkeypatch.setattr(recording, "spans_of", lambda _: [])
    with pytest.raises(IntegrityFailure, match="there is none that could be read"):
        cm.restore(tmp_path / "backup", tmp_path / "again")


def test_the_name_of_a_new_registry_is_synced_with_those_of_all_new_directories_above(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(wiring, "sync_directory", synced.append)
    for _ in range(2):
        cm.open(tmp_path / "a" / "b" / "registry").close()
        assert synced == [tmp_path / "a" / "b", tmp_path / "a", tmp_path], "when it is made, and not when it is there"
