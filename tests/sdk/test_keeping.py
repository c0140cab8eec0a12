"""What a registry can be made again from: its records, a backup; and versions that travel as files."""

import shutil
from pathlib import Path

import pytest

import chopmark as cm
from chopmark.base.clock import FakeClock
from chopmark.base.settings import load_settings
from chopmark.errors import Conflict, IntegrityFailure, NotFound
from chopmark.sdk.backup import back_up, restore_registry
from chopmark.sdk.opening import rebuild_registry
from tests.sdk.life import live, seen

OWN = ("registry.rebuilt",)


@pytest.fixture
def lived(tmp_path: Path, clock: FakeClock) -> Path:
    """A registry's directory, after a life."""
    with cm.open(tmp_path / "registry", clock=clock, actor="ada") as registry:
        live(registry)
    return tmp_path / "registry"


def lose_database(registry: Path) -> None:
    for file in registry.glob("chopmark.db*"):
        file.unlink()


def test_a_lost_database_is_made_again_as_it_was(lived: Path) -> None:
    with cm.open(lived) as registry:
        before = seen(registry)
        head = registry.audit.verify().head
    lose_database(lived)
    rebuilt = rebuild_registry(lived)
    assert (rebuilt.head, rebuilt.events, rebuilt.faults) == (head, len(before["events"]), ())
    with cm.open(lived) as registry:
        assert seen(registry, without=OWN) == before
        assert registry.load("fraud@old") == {"threshold": 0.7}
        verdict = registry.audit.verify()
        assert (verdict.events, verdict.fault) == (rebuilt.events + 1, "")
        assert registry.audit.list(newest_first=True, limit=1)[0].event == "registry.rebuilt"
        assert registry.register("fraud", {"threshold": 0.95}).number == 3
        assert registry.register("tmp", {"x": 3}).number == 3
        assert registry.register("whole", {"y": 2}).number == 2
    lose_database(lived)
    assert rebuild_registry(lived).events == rebuilt.events + 5


def records_of(registry: Path, part: str) -> list[Path]:
    return sorted((registry / "blobs" / "records").glob(f"*/{part}/*"))


def test_an_empty_catalog_beside_records_is_not_taken_for_a_new_registry(lived: Path) -> None:
    lose_database(lived)
    with pytest.raises(IntegrityFailure, match="tell of one that is not") as refused:
        cm.open(lived)
    assert "chopmark rebuild" in refused.value.hint
    rebuild_registry(lived)
    cm.open(lived).close()


def test_a_catalog_that_is_there_is_not_rebuilt(lived: Path) -> None:
    with pytest.raises(Conflict, match="has a catalog"):
        rebuild_registry(lived)
    with pytest.raises(NotFound, match="no records"):
        rebuild_registry(lived.parent / "elsewhere")


def test_a_damaged_record_is_told_and_only_a_partial_rebuild_goes_on(lived: Path) -> None:
    manifest = records_of(lived, "manifests")[0]
    manifest.write_bytes(manifest.read_bytes().replace(b"0", b"1", 1))
    lose_database(lived)
    with pytest.raises(IntegrityFailure, match="Manifests are missing or damaged") as refused:
        rebuild_registry(lived)
    assert "--partial" in refused.value.hint
    rebuilt = rebuild_registry(lived, partial=True)
    assert len(rebuilt.faults) == 1
    with cm.open(lived) as registry:
        assert len(registry.versions.search("", limit=100)) == rebuilt.versions - 1  # one is deleted
        assert registry.audit.verify().fault == ""
        assert registry.audit.list(newest_first=True, limit=1)[0].data["faults"] == list(rebuilt.faults)


@pytest.mark.parametrize("change", ["cut", "flip", "empty", "garbage"])
def test_a_damaged_segment_is_noticed(lived: Path, change: str) -> None:
    segment = records_of(lived, "events")[0]
    data = segment.read_bytes()
    flipped = bytearray(data)
    flipped[len(data) // 2] ^= 1
    changed = {"cut": data[: len(data) // 2], "flip": bytes(flipped), "empty": b"", "garbage": b"\xff\x00{]"}
    segment.write_bytes(changed[change])
    lose_database(lived)
    with pytest.raises(IntegrityFailure, match=r"records are not whole.*damaged"):
        rebuild_registry(lived)


def test_a_missing_segment_is_noticed_and_a_partial_rebuild_says_where(tmp_path: Path, clock: FakeClock) -> None:
    place = tmp_path / "registry"
    for i in range(4):
        with cm.open(place, clock=clock) as registry:
            registry.register(f"m{i}", {"i": i})
    segments = records_of(place, "events")
    assert len(segments) == 4
    segments[1].unlink()
    lose_database(place)
    with pytest.raises(IntegrityFailure, match="event 4: event 4 is missing"):
        rebuild_registry(place)
    assert rebuild_registry(place, partial=True).models == 3
    with cm.open(place) as registry:
        assert [m.name for m in registry.models.list()] == ["m0", "m2", "m3"]
        assert registry.audit.verify().fault_seq == 4


def test_many_small_records_become_few(tmp_path: Path, clock: FakeClock) -> None:
    place = tmp_path / "registry"
    for i in range(80):
        with cm.open(place, clock=clock) as registry:
            registry.register("m", {"i": i})
    assert len(records_of(place, "events")) < 40
    with cm.open(place) as registry:
        before = seen(registry)
    lose_database(place)
    rebuild_registry(place)
    with cm.open(place) as registry:
        assert seen(registry, without=OWN) == before


def test_a_catalog_set_back_to_an_older_copy_does_not_spoil_the_records(tmp_path: Path, clock: FakeClock) -> None:
    place = tmp_path / "registry"
    with cm.open(place, clock=clock) as registry:
        registry.register("m", {"i": 1})
    shutil.copy(place / "chopmark.db", tmp_path / "old.db")
    with cm.open(place, clock=clock) as registry:
        registry.register("m", {"i": 2})
    lose_database(place)
    shutil.copy(tmp_path / "old.db", place / "chopmark.db")
    with cm.open(place, clock=clock) as registry:
        registry.register("other", {"j": 1})
        registry.register("other", {"j": 2})
        before = seen(registry)
    lose_database(place)
    with pytest.raises(IntegrityFailure, match="another course of events"):
        rebuild_registry(place)
    rebuild_registry(place, partial=True)
    with cm.open(place) as registry:
        assert seen(registry, without=OWN) == before


def test_a_backup_is_brought_up_to_date_and_restored_elsewhere(lived: Path, tmp_path: Path, clock: FakeClock) -> None:
    place, elsewhere = tmp_path / "backup", tmp_path / "elsewhere"
    settings = load_settings({}, environ={}).settings
    with cm.open(lived, clock=clock, actor="ada") as registry:
        first = back_up(registry._transport, place, settings)
        assert first.copied_blobs == first.blobs > 5
        assert back_up(registry._transport, place, settings).copied_blobs == 0
        registry.register("fraud", {"threshold": 0.99})
        second = back_up(registry._transport, place, settings)
        assert (second.copied_blobs, second.versions) == (1, first.versions + 1)
        assert len(list(place.glob("blobs/records/*/events/*"))) == 1
        before = seen(registry)
    restored = restore_registry(place, elsewhere)
    assert restored.head == second.head
    with cm.open(elsewhere) as registry:
        assert seen(registry, without=OWN) == before
        assert registry.load("fraud:3") == {"threshold": 0.99}
        assert registry.audit.verify().fault == ""
    with pytest.raises(Conflict, match="holds a registry already"):
        restore_registry(place, elsewhere)
    with pytest.raises(NotFound, match="no backup"):
        restore_registry(tmp_path / "nothing", tmp_path / "new")
    assert rebuild_registry(place).head == second.head  # a backup is a registry without its database


def test_a_backup_of_another_course_of_events_is_not_overwritten(tmp_path: Path, clock: FakeClock) -> None:
    settings = load_settings({}, environ={}).settings
    with cm.open(tmp_path / "a", clock=clock) as registry:
        registry.register("m", {"i": 1})
        back_up(registry._transport, tmp_path / "backup", settings)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    for name in "ab":
        with cm.open(tmp_path / name, clock=clock) as registry:
            registry.register("m", {"i": name})
            if name == "a":
                back_up(registry._transport, tmp_path / "backup", settings)
                continue
            with pytest.raises(Conflict, match="another course of events"):
                back_up(registry._transport, tmp_path / "backup", settings)


def test_a_backup_refuses_damaged_bytes_and_stays_as_it_was(lived: Path, tmp_path: Path) -> None:
    settings = load_settings({}, environ={}).settings
    with cm.open(lived) as registry:
        back_up(registry._transport, tmp_path / "backup", settings)
        digest = registry.files.list(registry.register("new", {"z": 1}))[0].digest
        digits = digest.removeprefix("sha256:")
        blob = lived / "blobs" / "sha256" / digits[:2] / digits[2:]
        blob.chmod(0o644)
        blob.write_bytes(b"changed")
        with pytest.raises(IntegrityFailure, match="damaged"):
            back_up(registry._transport, tmp_path / "backup", settings)
    with pytest.raises(NotFound):
        cm.open(tmp_path / "elsewhere2").get("new")
    restore_registry(tmp_path / "backup", tmp_path / "elsewhere")
    with cm.open(tmp_path / "elsewhere") as registry:
        assert registry.load("fraud:1") == {"threshold": 0.7}
