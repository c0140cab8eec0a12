"""The file of a version in the hands of somebody who means ill, or on a disk that forgets."""

import hashlib
import os
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import chopmark as cm
from chopmark.base.clock import FakeClock
from chopmark.errors import AlreadyRegistered, Conflict, IntegrityFailure, InvalidRequest, NotFound
from chopmark.testing.registry import memory_registry

REFUSALS = (IntegrityFailure, InvalidRequest, NotFound)


@pytest.fixture
def theirs(tmp_path: Path, clock: FakeClock) -> Iterator[cm.Registry]:
    with cm.open(tmp_path / "theirs", clock=clock, actor="grace") as opened:
        opened.register("fraud", {"threshold": 0.7}, metrics={"f1": 0.9}, tags={"team": "risk"})
        yield opened


@pytest.fixture
def ours(clock: FakeClock) -> Iterator[cm.Registry]:
    with memory_registry(clock=clock, actor="ada") as opened:
        yield opened


@pytest.fixture
def file(theirs: cm.Registry, tmp_path: Path) -> Path:
    return Path(theirs.files.export("fraud:1", tmp_path / "fraud.chopmark").file)


CHANGES: dict[str, tuple[Callable[[int], int], int]] = {
    "lowest bit": (lambda byte: byte ^ 0x01, 1),
    "a flag": (lambda byte: byte ^ 0x20, 3),
    "another flag": (lambda byte: byte ^ 0x40, 5),
    "zero": (lambda _: 0, 7),
    "all bits": (lambda _: 0xFF, 2),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_whatever_byte_is_changed_nothing_else_is_registered(
    file: Path, theirs: cm.Registry, ours: cm.Registry, kind: str
) -> None:
    change, step = CHANGES[kind]
    data = file.read_bytes()
    wanted = theirs.get("fraud:1")
    accepted = 0
    for position in range(0, len(data), step):
        if change(data[position]) == data[position]:
            continue
        file.write_bytes(data[:position] + bytes([change(data[position])]) + data[position + 1 :])
        try:
            version = ours.files.import_file(file, model=f"m{position}")
        except REFUSALS:
            continue
        accepted += 1
        assert (version.digest, version.metrics, version.tags) == (wanted.digest, wanted.metrics, wanted.tags), position
        assert ours.load(version) == {"threshold": 0.7}
    assert accepted < len(data) / 3  # words of the archive itself that say nothing, such as its times
    assert len(ours.models.list(limit=1000)) == accepted


def test_wherever_it_is_cut_nothing_is_registered(file: Path, ours: cm.Registry) -> None:
    data = file.read_bytes()
    for length in range(0, len(data), 3):
        file.write_bytes(data[:length])
        with pytest.raises(REFUSALS):
            ours.files.import_file(file)
    assert len(ours.models.list()) == 0


def members(file: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewritten(file: Path, held: dict[str, bytes]) -> None:
    """The file with other members, every sum in it made to fit."""
    texts = {name: hashlib.sha256(held[name]).hexdigest() for name in ("version.json", "manifest.json")}
    held["SHA256SUMS"] = "".join(f"{digest}  {name}\n" for name, digest in texts.items()).encode()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in held.items():
            archive.writestr(name, content)


def test_the_sums_in_a_file_are_of_its_texts(file: Path) -> None:
    held = members(file)
    assert list(held)[:3] == ["version.json", "manifest.json", "SHA256SUMS"]
    for line in held["SHA256SUMS"].decode().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256(held[name]).hexdigest() == digest
    rewritten(file, dict(held))
    assert members(file) == held


def test_what_is_said_of_a_version_is_proven_by_the_sum_of_the_file(
    theirs: cm.Registry, ours: cm.Registry, tmp_path: Path
) -> None:
    done = theirs.files.export("fraud:1", tmp_path / "fraud.chopmark")
    file = Path(done.file)
    assert done.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    genuine = file.read_bytes()
    held = members(file)
    held["version.json"] = held["version.json"].replace(b'"f1":0.9', b'"f1":1.0').replace(b'"risk"', b'"mine"')
    rewritten(file, held)
    with pytest.raises(IntegrityFailure, match="not the file that was meant"):
        ours.files.import_file(file, sha256=done.sha256)
    with pytest.raises(InvalidRequest, match="not a SHA-256"):
        ours.files.import_file(file, sha256="4be1")
    assert len(ours.models.list()) == 0
    file.write_bytes(genuine)
    true = ours.files.import_file(file, sha256=done.sha256.upper())
    rewritten(file, held)
    with pytest.warns(AlreadyRegistered, match="tells of other metrics, tags; what was recorded here stays"):
        assert ours.files.import_file(file) == true


@pytest.mark.parametrize("name", ["blobs/" + "0" * 64, "notes.txt", "../../etc/passwd", "version.json/"])
def test_what_is_nothing_of_a_version_is_refused(file: Path, ours: cm.Registry, name: str) -> None:
    rewritten(file, {**members(file), name: b"x"})
    with pytest.raises(InvalidRequest, match="nothing of a version"):
        ours.files.import_file(file)


def test_a_member_that_is_there_twice_is_refused(file: Path, ours: cm.Registry) -> None:
    with zipfile.ZipFile(file, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("SHA256SUMS", members(file)["SHA256SUMS"])
    with pytest.raises(InvalidRequest, match="two members of one name"):
        ours.files.import_file(file)


def test_nesting_without_end_is_refused(file: Path, ours: cm.Registry) -> None:
    held = members(file)
    deep = b"[" * 100_000 + b"]" * 100_000
    held["version.json"] = held["version.json"].replace(b'{"layout"', b'{"x":' + deep + b',"layout"', 1)
    rewritten(file, held)
    with pytest.raises(InvalidRequest):
        ours.files.import_file(file)


def test_a_directory_without_end_is_not_read(file: Path, ours: cm.Registry) -> None:
    size_bytes = 3 << 30
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, size_bytes, 0, 0)
    with file.open("wb") as stream:
        stream.truncate(size_bytes)
        stream.seek(0, os.SEEK_END)
        stream.write(end)
    with pytest.raises(InvalidRequest, match="its directory takes"):
        ours.files.import_file(file)


def test_a_pipe_is_neither_imported_nor_replaced(theirs: cm.Registry, ours: cm.Registry, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InvalidRequest, match="no regular file"):
        ours.files.import_file(tmp_path / "pipe")
    (tmp_path / "lost").symlink_to(tmp_path / "nowhere")
    for name in ("pipe", "lost"):
        with pytest.raises(Conflict, match="no regular file"):
            theirs.files.export("fraud:1", tmp_path / name, force=True)


@pytest.mark.parametrize("inside", ["chopmark.db", "chopmark.db-wal", "new.chopmark", "blobs/new", "../theirs/x"])
def test_the_registry_itself_is_no_place_for_an_export(theirs: cm.Registry, inside: str) -> None:
    target = Path(theirs.location) / inside
    with pytest.raises(Conflict, match="in the registry itself"):
        theirs.files.export("fraud:1", target, force=True)
    assert theirs.storage.check().ok


def test_a_store_and_a_database_elsewhere_are_no_place_for_an_export_either(tmp_path: Path) -> None:
    place, store, database = tmp_path / "place", tmp_path / "store", tmp_path / "data" / "our.db"
    database.parent.mkdir()
    with cm.open(place, store_url=str(store), database_url=f"sqlite:///{database}") as registry:
        registry.register("m", {"x": 1})
        for target in (store / "x", database, database.with_name("our.db-wal")):
            with pytest.raises(Conflict, match="in the registry itself"):
                registry.files.export("m:1", target, force=True)
        registry.files.export("m:1", database.parent)


def test_a_rehearsal_of_an_import_checks_every_byte(file: Path, tmp_path: Path) -> None:
    data = file.read_bytes()
    at = data.index(b'{"threshold"')
    with cm.open(tmp_path / "ours") as ours:
        assert ours.dry_run().files.import_file(file).ref == "fraud:1"
        file.write_bytes(data[:at] + b"X" + data[at + 1 :])
        with pytest.raises(IntegrityFailure, match=r"model\.json"):
            ours.dry_run().files.import_file(file)
        assert len(ours.models.list()) == 0


def edges(registry: cm.Registry, ref: str) -> set[tuple[str, str]]:
    version = f"version:{registry.get(ref).id.hex}"
    found = registry.lineage.graph(ref, depth=1)
    labels = {node.id: node.label for node in found.nodes}
    return {(e.relation, labels[e.upstream]) for e in found.edges if e.downstream == version}


def test_what_came_before_its_parents_is_put_under_them_when_it_comes_again(
    theirs: cm.Registry, tmp_path: Path, clock: FakeClock
) -> None:
    theirs.register("fraud", {"threshold": 0.8}, parents=["fraud:1"])
    theirs.register("both", members={"fraud:1": 2.0, "fraud:2": 1.0}, combine="mean")
    files = {ref: theirs.files.export(ref, tmp_path).file for ref in ("fraud:1", "fraud:2", "both:1")}
    with cm.open(tmp_path / "ours", clock=clock, actor="ada") as ours:
        ours.files.import_file(files["both:1"])
        ours.files.import_file(files["fraud:1"])
        with pytest.warns(AlreadyRegistered, match="its place under fraud:1 was added"):
            ours.files.import_file(files["both:1"])
        ours.files.import_file(files["fraud:2"])
        with pytest.warns(AlreadyRegistered, match="its place under fraud:2 was added"):
            ours.files.import_file(files["both:1"])
        with pytest.warns(AlreadyRegistered, match="nothing was added"):
            ours.files.import_file(files["both:1"])
        members = {("ensemble_member_of", "fraud:1"), ("ensemble_member_of", "fraud:2")}
        assert edges(ours, "both:1") == members
        assert edges(ours, "fraud:2") == {("retrained_from", "fraud:1")}
        told = [(e.target, e.data["to"]) for e in ours.audit.list(event="lineage.linked")]
        assert told == [("fraud:1", "both:1"), ("fraud:2", "both:1")]
        with pytest.raises(Conflict, match="both:1"):
            ours.versions.delete("fraud:1")
        assert ours.storage.check().findings == ()
        place = Path(ours.location)
    for database in place.glob("chopmark.db*"):
        database.unlink()
    cm.rebuild(place)
    with cm.open(place) as ours:
        assert edges(ours, "both:1") == members
        assert ours.storage.check().ok


def test_a_link_the_other_way_round_stands(theirs: cm.Registry, ours: cm.Registry, tmp_path: Path) -> None:
    theirs.register("fraud", {"threshold": 0.8}, parents=["fraud:1"])
    files = [theirs.files.export(f"fraud:{n}", tmp_path).file for n in (1, 2)]
    ours.files.import_file(files[1], model="child")
    ours.files.import_file(files[0])
    ours.lineage.link("fraud:1", "derived_from", "child:1", reason="as we see it")
    with pytest.warns(AlreadyRegistered, match="nothing was added"):
        ours.files.import_file(files[1], model="child")
    assert edges(ours, "child:1") == set()
