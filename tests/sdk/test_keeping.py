"""What a registry can be made again from: its records, a backup; and versions that travel as files."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

import chopmark as cm
from chopmark.abc.blobs import BlobStat, BlobStore
from chopmark.app import recording
from chopmark.app.garbage import stored_after
from chopmark.base.clock import FakeClock
from chopmark.blobs.records import LocalRecords
from chopmark.domain.records import decode_segment, encode_segment
from chopmark.errors import AlreadyRegistered, Conflict, Denied, IntegrityFailure, InvalidRequest, NotFound, Unavailable
from tests.sdk.life import live, seen
from tests.stored_bytes import change_stored

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
    rebuilt = cm.rebuild(lived)
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
    assert cm.rebuild(lived).events == rebuilt.events + 5


def records_of(registry: Path, part: str) -> list[Path]:
    return sorted((registry / "blobs" / "records").glob(f"*/{part}/*"))


def test_an_empty_catalog_beside_records_is_not_taken_for_a_new_registry(lived: Path) -> None:
    lose_database(lived)
    with pytest.raises(IntegrityFailure, match="tell of one that is not") as refused:
        cm.open(lived)
    assert "chopmark rebuild" in refused.value.hint
    cm.rebuild(lived)
    cm.open(lived).close()


def test_a_catalog_that_is_there_is_not_rebuilt(lived: Path) -> None:
    with pytest.raises(Conflict, match="has a catalog"):
        cm.rebuild(lived)
    with pytest.raises(NotFound, match="no records"):
        cm.rebuild(lived.parent / "elsewhere")


def test_a_missing_manifest_is_told_and_only_a_partial_rebuild_goes_on(lived: Path) -> None:
    with cm.open(lived) as registry:
        lost = registry.versions.search("", limit=100)[0].digest
    for segment in records_of(lived, "events"):
        told = decode_segment(segment.read_bytes(), segment.name)
        kept = {digest: text for digest, text in told.manifests.items() if digest != lost}
        segment.write_bytes(encode_segment(msgspec.structs.replace(told, manifests=kept)))
    lose_database(lived)
    with pytest.raises(IntegrityFailure, match="Not every version can be put back") as refused:
        cm.rebuild(lived)
    assert "--partial" in refused.value.hint
    rebuilt = cm.rebuild(lived, partial=True)
    assert len(rebuilt.faults) == 1
    with cm.open(lived) as registry:
        assert len(registry.versions.search("", limit=100)) == rebuilt.versions - 1  # one is deleted
        assert registry.audit.verify().fault == ""
        last = registry.audit.list(newest_first=True, limit=1)[0]
        assert last.data["faults"] == list(rebuilt.faults)
        assert len(last.data["left_out"]) == 1
        then = registry.audit.at(last.at)
        assert sum(len(m.versions) for m in then.models) == rebuilt.versions


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
        cm.rebuild(lived)


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
        cm.rebuild(place)
    assert cm.rebuild(place, partial=True).models == 3
    with cm.open(place) as registry:
        assert [m.name for m in registry.models.list()] == ["m0", "m2", "m3"]
        assert registry.audit.verify().fault_seq == 4


def test_many_small_records_become_few(tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "EVENTS_MERGED", 4)
    place = tmp_path / "registry"
    for i in range(20):
        with cm.open(place, clock=clock) as registry:
            registry.register("m", {"i": i})
    assert len(records_of(place, "events")) <= 6
    with cm.open(place) as registry:
        before = seen(registry)
    lose_database(place)
    cm.rebuild(place)
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
        cm.rebuild(place)
    cm.rebuild(place, partial=True)
    with cm.open(place) as registry:
        assert seen(registry, without=OWN) == before


def test_a_backup_is_brought_up_to_date_and_restored_elsewhere(lived: Path, tmp_path: Path, clock: FakeClock) -> None:
    place, elsewhere = tmp_path / "backup", tmp_path / "elsewhere"
    with cm.open(lived, clock=clock, actor="ada") as registry:
        first = registry.storage.backup(place)
        assert first.copied_blobs == first.blobs > 5
        assert registry.storage.backup(place).copied_blobs == 0
        registry.register("fraud", {"threshold": 0.99})
        second = registry.storage.backup(place)
        assert (second.copied_blobs, second.versions) == (1, first.versions + 1)
        assert len(list(place.glob("blobs/records/*/events/*"))) == 1
        before = seen(registry)
    restored = cm.restore(place, elsewhere)
    assert restored.head == second.head
    with cm.open(elsewhere) as registry:
        assert seen(registry, without=OWN) == before
        assert registry.load("fraud:3") == {"threshold": 0.99}
        assert registry.audit.verify().fault == ""
    with pytest.raises(Conflict, match="holds a registry already"):
        cm.restore(place, elsewhere)
    with pytest.raises(NotFound, match="no backup"):
        cm.restore(tmp_path / "nothing", tmp_path / "new")
    assert cm.rebuild(place).head == second.head  # a backup is a registry without its database


def test_a_backup_of_another_course_of_events_is_not_overwritten(tmp_path: Path, clock: FakeClock) -> None:
    with cm.open(tmp_path / "a", clock=clock) as registry:
        registry.register("m", {"i": 1})
        registry.storage.backup(tmp_path / "backup")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    for name in "ab":
        with cm.open(tmp_path / name, clock=clock) as registry:
            registry.register("m", {"i": name})
            if name == "a":
                registry.storage.backup(tmp_path / "backup")
                continue
            with pytest.raises(Conflict, match="another course of events"):
                registry.storage.backup(tmp_path / "backup")


def test_a_backup_refuses_damaged_bytes_and_stays_as_it_was(lived: Path, tmp_path: Path) -> None:
    with cm.open(lived) as registry:
        registry.storage.backup(tmp_path / "backup")
        digest = registry.files.list(registry.register("new", {"z": 1}))[0].digest
        change_stored(lived / "blobs", digest, lambda _data: b"changed")
        with pytest.raises(IntegrityFailure, match="damaged"):
            registry.storage.backup(tmp_path / "backup")
    with pytest.raises(NotFound):
        cm.open(tmp_path / "elsewhere2").get("new")
    cm.restore(tmp_path / "backup", tmp_path / "elsewhere")
    with cm.open(tmp_path / "elsewhere") as registry:
        assert registry.load("fraud:1") == {"threshold": 0.7}


@pytest.fixture
def other(tmp_path: Path, clock: FakeClock) -> Iterator[cm.Registry]:
    with cm.open(tmp_path / "other", clock=clock, actor="bob") as opened:
        yield opened


def test_a_version_travels_as_a_file(lived: Path, other: cm.Registry, tmp_path: Path) -> None:
    with cm.open(lived) as registry:
        original = registry.get("fraud:2")
        done = registry.files.export("fraud:2", tmp_path)
        assert Path(done.file).name == "fraud-2.chopmark"
        with pytest.raises(Conflict, match=r"a file .* already"):
            registry.files.export("fraud:2", done.file)
        registry.files.export("fraud:2", done.file, force=True)
        assert list(tmp_path.glob(".*")) == []
    version = other.files.import_file(done.file)
    assert (version.ref, version.semver, version.digest) == ("fraud:1", original.semver, original.digest)
    assert (version.metrics, version.parents) == (original.metrics, original.parents)
    assert (version.stage, version.aliases) == ("development", ())
    assert version.origin is not None
    assert (version.origin.ref, version.origin.created_by) == ("fraud:2", "ada")
    assert [(e.dataset.name, e.metrics) for e in other.versions.evaluations(version)] == [
        ("may", {"f1": 0.9}),
        ("april", {"f1": 0.8}),
    ]
    assert other.load(version) == {"threshold": 0.8}
    with pytest.warns(AlreadyRegistered):
        assert other.files.import_file(done.file) == version
    renamed = other.files.import_file(done.file, model="copy", semver="3.0.0")
    assert (renamed.ref, renamed.semver) == ("copy:1", "3.0.0")
    other.register("taken", {"q": 1}, semver=original.semver)
    with pytest.raises(Conflict, match="has the version"):
        other.files.import_file(done.file, model="taken")
    assert other.audit.list(event="version.imported")[0].data["origin"]["ref"] == "fraud:2"


def test_an_import_finds_the_parents_that_are_there(lived: Path, other: cm.Registry, tmp_path: Path) -> None:
    with cm.open(lived) as registry:
        for ref in ("fraud:1", "fraud:2", "both:1"):
            registry.files.export(ref, tmp_path)
    with pytest.raises(NotFound):
        other.load(other.files.import_file(tmp_path / "both-1.chopmark", model="lonely"))
    other.files.import_file(tmp_path / "fraud-1.chopmark")
    second = other.files.import_file(tmp_path / "fraud-2.chopmark")
    both = other.files.import_file(tmp_path / "both-1.chopmark")
    assert both.ref == "both:1"
    assert any("fraud:2" in use for use in other.versions.uses("fraud:1"))
    assert any("both:1" in use for use in other.versions.uses(second))


def test_nobody_trusts_what_was_imported_because_it_was_trusted_elsewhere(
    lived: Path, other: cm.Registry, tmp_path: Path
) -> None:
    with cm.open(lived) as registry:
        assert registry.load("code") == {"set": {1, 2}}
        registry.files.export("code", tmp_path)
    version = other.files.import_file(tmp_path / "code-1.chopmark")
    assert other.settings.trust == "own_registry"
    with pytest.raises(Denied, match="nobody has recorded trust") as refused:
        other.load(version)
    assert "chopmark trust grant code:1" in refused.value.hint
    other.trust.grant(version, reason="read it")
    assert other.load(version) == {"set": {1, 2}}


@pytest.mark.parametrize("change", ["cut", "flip", "empty", "text", "compressed", "manifest", "missing", "directory"])
def test_a_damaged_file_registers_nothing(lived: Path, other: cm.Registry, tmp_path: Path, change: str) -> None:
    with cm.open(lived) as registry:
        file = Path(registry.files.export("fraud:1", tmp_path).file)
    damage(file, change)
    with pytest.raises((IntegrityFailure, InvalidRequest, NotFound)):
        other.files.import_file(file)
    assert len(other.models.list()) == 0


def damage(file: Path, change: str) -> None:
    data = file.read_bytes()
    members = {}
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    match change:
        case "cut":
            file.write_bytes(data[: len(data) // 2])
        case "flip":
            at = data.index(b'{"threshold"')
            file.write_bytes(data[:at] + b"X" + data[at + 1 :])
        case "empty":
            file.write_bytes(b"")
        case "text":
            file.write_text("not a zip")
        case "missing":
            file.unlink()
        case "directory":
            file.unlink()
            file.mkdir()
        case "compressed":
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                for name, content in members.items():
                    archive.writestr(name, content)
        case _:
            with zipfile.ZipFile(file, "w") as archive:
                for name, content in members.items():
                    archive.writestr(name, content.replace(b'"json"', b'"raw"') if name == "manifest.json" else content)


WRITER = """
import sys
import chopmark as cm
registry = cm.open(sys.argv[1])
for i in range(10**9):
    version = registry.register("m", {"i": i, "run": sys.argv[3]})
    registry.alias("m@latest-one", version)
    if sys.argv[2]:
        registry.storage.backup(sys.argv[2])
    print(i, flush=True)
"""


def killed_while_writing(registry: Path, backup: str, run: int, delay_s: float) -> None:
    program = [sys.executable, "-c", WRITER, str(registry), backup, str(run)]
    writer = subprocess.Popen(program, stdout=subprocess.PIPE)
    assert writer.stdout is not None
    writer.stdout.readline()
    time.sleep(delay_s)
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait()
    writer.stdout.close()


def test_killed_writers_leave_records_that_the_next_one_completes(tmp_path: Path) -> None:
    place = tmp_path / "registry"
    for run, delay_s in enumerate((0.0, 0.52)):
        killed_while_writing(place, "", run, delay_s)
    with cm.open(place) as registry:
        registry.register("m", {"i": "last"})
        before = seen(registry)
    lose_database(place)
    cm.rebuild(place)
    with cm.open(place) as registry:
        assert seen(registry, without=OWN) == before
        assert all(registry.files.verify(v).ok for v in registry.versions.each())


def test_a_backup_that_is_killed_is_still_a_whole_one(tmp_path: Path) -> None:
    place, backup = tmp_path / "registry", tmp_path / "backup"
    for run, delay_s in enumerate((0.01, 0.2)):
        killed_while_writing(place, str(backup), run, delay_s)
        cm.restore(backup, tmp_path / f"restored-{run}")
        with cm.open(tmp_path / f"restored-{run}") as registry:
            assert registry.audit.verify().fault == ""
            assert all(registry.files.verify(v).ok for v in registry.versions.each())


def test_two_processes_record_one_registry(tmp_path: Path) -> None:
    place = tmp_path / "registry"
    program = WRITER.replace("10**9", "15")
    writers = [
        subprocess.Popen([sys.executable, "-c", program, str(place), "", str(run)], stdout=subprocess.DEVNULL)
        for run in range(2)
    ]
    assert [writer.wait(timeout=120) for writer in writers] == [0, 0]
    with cm.open(place) as registry:
        before = seen(registry)
    lose_database(place)
    assert cm.rebuild(place).faults == ()
    with cm.open(place) as registry:
        assert seen(registry, without=OWN) == before


def codes(registry: cm.Registry, *, content: bool = True) -> list[str]:
    found = registry.storage.check(content=content).findings
    return [finding.code for finding in found if finding.severity != "info"]


@pytest.mark.parametrize(
    ("change", "code"),
    [("cut", "record_damaged"), ("remove", "records_incomplete"), ("stranger", "records_diverged")],
)
def test_damaged_records_are_found_and_written_again(lived: Path, change: str, code: str) -> None:
    segments = records_of(lived, "events")
    first = segments[0]
    match change:
        case "cut":
            first.write_bytes(first.read_bytes()[:-100])
        case "remove":
            first.unlink()
        case _:
            shutil.copy(first, first.with_name(first.name.replace(first.stem.rpartition("-")[2], "0" * 12)))
    with cm.open(lived) as registry:
        assert code in codes(registry)
        before = seen(registry)
        assert registry.storage.record_again() == len(before["events"])
        assert codes(registry) == []
    lose_database(lived)
    assert cm.rebuild(lived).faults == ()
    with cm.open(lived) as registry:
        assert seen(registry, without=OWN) == before


def test_what_cannot_be_recorded_is_told(lived: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(records: LocalRecords, name: str, data: bytes) -> None:  # noqa: ARG001
        raise Unavailable("Could not write a record: No space left on device.")

    with cm.open(lived) as registry:
        with monkeypatch.context() as patched:
            patched.setattr(LocalRecords, "put", full)
            registry.register("late", {"x": 1})
            assert codes(registry) == ["records_behind"]
        assert codes(registry) == []


def test_a_shared_store_is_found_and_nothing_of_it_collected(tmp_path: Path, clock: FakeClock) -> None:
    for name in ("one", "two"):
        with cm.open(tmp_path / name, clock=clock) as registry:
            registry.register("m", {"of": name})
    shutil.copytree(tmp_path / "two" / "blobs", tmp_path / "one" / "blobs", dirs_exist_ok=True)
    with cm.open(tmp_path / "one", clock=clock) as registry:
        assert "store_shared" in codes(registry)
        with pytest.raises(Conflict, match="records of 2 registries"):
            registry.storage.collect(grace_hours=0)


def rebuilt(place: Path, **settings: Any) -> cm.Registry:
    lose_database(place)
    cm.rebuild(place)
    return cm.open(place, **settings)


def test_trust_is_of_bytes_and_comes_back_as_it_stood(tmp_path: Path, clock: FakeClock) -> None:
    place = tmp_path / "registry"
    with cm.open(place, clock=clock, trust="marked_only") as registry:
        for name in ("a", "b", "c", "d"):
            words = {"x"} if name in "ab" else {"y"}
            registry.register(name, words, format="pickle")
        registry.trust.grant("a", reason="read it")
        registry.promote("b", "staging", reason="r")
        registry.trust.revoke("a", reason="no")
        registry.trust.grant("c", reason="read it")
        for name in ("a", "c"):
            registry.versions.delete(f"{name}:1")
            registry.versions.purge(f"{name}:1", reason="r")
    with rebuilt(place, trust="marked_only") as registry:
        with pytest.raises(Denied, match="revoked"):
            registry.load("b")
        assert registry.load("d") == {"y"}
        assert codes(registry) == []


def test_edges_come_back_as_they_stood(tmp_path: Path, clock: FakeClock) -> None:
    place = tmp_path / "registry"
    with cm.open(place, clock=clock) as registry:
        for i in range(3):
            registry.register("m", {"i": i})
        registry.lineage.link("m:3", "replaces", "m:2", reason="r")
        registry.promote("m:2", "staging", reason="r")
        registry.lineage.unlink("m:3", "replaces", "m:2", reason="no")
        registry.register("both", members=["m:1", "m:2"])
        registry.promote("m:1", "staging", reason="r")
        registry.versions.delete("both:1")
        registry.versions.purge("both:1", reason="r")
        before = seen(registry)
    with rebuilt(place) as registry:
        assert seen(registry, without=OWN) == before
        assert codes(registry) == []
        assert registry.lineage.graph("m:2").edges == ()


def test_nothing_is_collected_by_a_catalog_that_lags_behind_its_records(tmp_path: Path, clock: FakeClock) -> None:
    place = tmp_path / "registry"
    with cm.open(place, clock=clock) as registry:
        registry.register("m", {"i": 1})
    shutil.copy(place / "chopmark.db", tmp_path / "old.db")
    with cm.open(place, clock=clock) as registry:
        registry.register("m", {"i": 2})
    shutil.copytree(place, tmp_path / "clone")
    for copied in (place, tmp_path / "clone"):
        lose_database(copied)
        shutil.copy(tmp_path / "old.db", copied / "chopmark.db")
    with cm.open(place, clock=clock) as registry:
        with pytest.raises(Conflict, match="events that this catalog does not have"):
            registry.storage.collect(grace_hours=0)
        assert "records_diverged" in codes(registry)
        blobs = len(list(registry._transport.store.list()))
    assert blobs == 2


def test_a_partial_rebuild_does_what_it_can_whatever_is_missing(tmp_path: Path, clock: FakeClock) -> None:
    place = tmp_path / "registry"
    for step in range(6):
        with cm.open(place, clock=clock) as registry:
            registry.register("m", {"i": step}, bump="patch")
            if step in (1, 3):
                registry.versions.delete(f"m:{step + 1}")
                registry.versions.purge(f"m:{step + 1}", reason="r")
    segments = records_of(place, "events")
    for lost in range(len(segments)):
        damaged = tmp_path / f"damaged-{lost}"
        shutil.copytree(place, damaged)
        records_of(damaged, "events")[lost].unlink()
        lose_database(damaged)
        done = cm.rebuild(damaged, partial=True)
        with cm.open(damaged) as registry:
            assert len(list(registry.versions.each())) == done.versions >= 3
            assert all(registry.files.verify(v).ok for v in registry.versions.each())


def test_a_rebuild_that_fails_leaves_no_empty_database(lived: Path) -> None:
    for file in records_of(lived, "events"):
        file.write_bytes(b"")
    lose_database(lived)
    with pytest.raises(IntegrityFailure):
        cm.rebuild(lived)
    assert list(lived.glob("chopmark.db*")) == []


def test_what_was_loaded_before_a_rebuild_is_not_dropped_after_it(tmp_path: Path) -> None:
    place = tmp_path / "registry"
    with cm.open(place) as registry:
        for i in range(3):
            registry.register("m", {"i": i})
        registry.models.update("m", retention=cm.Retention(newest=1, used_days=30))
        registry.load("m:1")
    with rebuilt(place) as registry:
        assert [item for item in registry.storage.garbage() if item.kind == "version"] == []


def test_a_damaged_backup_is_mended_by_the_next_one(lived: Path, tmp_path: Path) -> None:
    place = tmp_path / "backup"
    with cm.open(lived) as registry:
        (tmp_path / "noise.bin").write_bytes(random.Random(1).randbytes(99_999))
        large = registry.register("large", path=tmp_path / "noise.bin")
        registry.storage.backup(place)
        change_stored(place / "blobs", registry.files.list(large)[0].digest, lambda data: data[:-1])
        change_stored(place / "blobs", registry.files.list("fraud:1")[0].digest, lambda data: data[::-1])
        assert registry.storage.backup(place).copied_blobs == 1
        assert registry.storage.backup(place, verify=True).copied_blobs == 1
        assert registry.storage.backup(place, verify=True).copied_blobs == 0
    cm.restore(place, tmp_path / "again")


def test_a_backup_is_not_made_in_the_registry_itself(lived: Path, tmp_path: Path) -> None:
    with cm.open(lived) as registry:
        for place in (lived, lived / "blobs", lived / "inside", lived.parent, str(lived) + "/../registry"):
            with pytest.raises(InvalidRequest, match="lies in the registry itself"):
                registry.storage.backup(place)
        (tmp_path / "file").write_text("x")
        with pytest.raises(InvalidRequest, match="not a directory"):
            registry.storage.backup(tmp_path / "file")
        registry.storage.backup(tmp_path / "backup")
    with pytest.raises(InvalidRequest, match="lies in the registry itself"):
        cm.restore(tmp_path / "backup", tmp_path / "backup")


def test_files_that_are_no_records_are_passed_over(lived: Path) -> None:
    (lived / "blobs" / "records" / "note.txt").write_text("hello")
    (lived / "blobs" / "records" / "0123456789abcdef").mkdir()
    with cm.open(lived) as registry:
        registry.storage.collect()
    with rebuilt(lived) as registry:
        assert codes(registry) == []


def test_checks_and_collections_find_nothing_wrong_while_others_register(tmp_path: Path) -> None:
    def register(name: str) -> None:
        with cm.open(tmp_path / "registry") as mine:
            for i in range(25):
                mine.alias(f"{name}@newest", mine.register(name, {"i": i}))
                mine._transport.catch_up()

    with ThreadPoolExecutor(2) as pool, cm.open(tmp_path / "registry") as registry:
        running = [pool.submit(register, name) for name in ("a", "b")]
        rounds = 0
        while rounds < 3 or not all(each.done() for each in running):
            assert [f for f in registry.storage.check().findings if f.severity == "error"] == []
            registry.storage.collect(grace_hours=1)
            rounds += 1
        for each in running:
            each.result()


def test_what_was_put_while_the_store_was_listed_is_not_missing(lived: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with cm.open(lived) as registry:

        def listed_before(store: BlobStore, after: str) -> Iterator[BlobStat]:
            found = list(stored_after(store, after))
            late = registry.register("late", {"put": after})  # before the catalog is looked at, and after the store was
            assert late.digest
            yield from found

        monkeypatch.setattr("chopmark.app.checking.stored_after", listed_before)
        assert "blob_missing" not in codes(registry)
