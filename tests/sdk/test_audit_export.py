"""Checkpoints and exports: every kind of tampering is noticed, with nothing but the verifier key."""

import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import chopmark as cm
from chopmark.base.jsons import canonical
from chopmark.domain.audit import GENESIS, AuditEvent, event_hash
from chopmark.domain.checkpoint import parse_verifier
from chopmark.errors import ChopmarkWarning, Conflict, IntegrityFailure, InvalidRequest, NotFound, Unavailable
from chopmark.sdk.audit_files import verify_export
from chopmark.sdk.audit_keys import create_key, loose_permissions, open_note, read_key, verifier_of

EVENTS = 11


@pytest.fixture
def key(tmp_path: Path) -> str:
    """The verifier key of ada, whose key file is beside the registry."""
    return str(create_key(tmp_path / "ada.key", "example.org/ada"))


@pytest.fixture
def registry(tmp_path: Path, key: str) -> cm.Registry:
    """A registry whose checkpoints that key signs, with a short story."""
    assert key
    registry = cm.open(tmp_path / "registry", actor="ada", audit_key_file=str(tmp_path / "ada.key"))
    for number in range(EVENTS - 2):
        registry.register("fraud", {"n": number})
    return registry


@pytest.fixture
def exported(registry: cm.Registry, tmp_path: Path) -> Path:
    """The events in a file; the checkpoint is beside it."""
    registry.audit.export(tmp_path / "audit.jsonl")
    return tmp_path / "audit.jsonl"


def note_of(file: Path) -> Path:
    return file.with_name(file.name + ".checkpoint")


def events_of(file: Path) -> list[AuditEvent]:
    return [msgspec.json.decode(line, type=AuditEvent) for line in file.read_bytes().splitlines()]


def write(file: Path, events: list[AuditEvent]) -> None:
    file.write_bytes(b"".join(canonical(e) + b"\n" for e in events))


def rechained(events: list[AuditEvent]) -> list[AuditEvent]:
    """The events as a chain that is whole in itself: what somebody with all the code can make."""
    done: list[AuditEvent] = []
    for seq, event in enumerate(events, 1):
        linked = msgspec.structs.replace(event, seq=seq, previous=done[-1].hash if done else GENESIS)
        done.append(msgspec.structs.replace(linked, hash=event_hash(linked)))
    return done


def changed(event: AuditEvent) -> AuditEvent:
    return msgspec.structs.replace(event, actor="mallory")


TAMPERINGS: dict[str, Callable[[list[AuditEvent]], list[AuditEvent]]] = {
    "changed": lambda e: [*e[:4], changed(e[4]), *e[5:]],
    "changed, its own hash too": lambda e: [*e[:4], msgspec.structs.replace(changed(e[4]), hash=event_hash(changed(e[4]))), *e[5:]],
    "first removed": lambda e: e[1:],
    "one removed": lambda e: [*e[:4], *e[5:]],
    "last removed": lambda e: e[:-1],
    "all removed": lambda e: e[:0],
    "one inserted": lambda e: [*e[:4], e[3], *e[4:]],
    "one appended": lambda e: rechained([*e, changed(e[-1])]),
    "two swapped": lambda e: [*e[:4], e[5], e[4], *e[6:]],
    "reversed": lambda e: e[::-1],
    "one changed and all written anew": lambda e: rechained([*e[:4], changed(e[4]), *e[5:]]),
    "one removed and all written anew": lambda e: rechained([*e[:4], *e[5:]]),
    "two swapped and all written anew": lambda e: rechained([*e[:4], e[5], e[4], *e[6:]]),
    "last changed and written anew": lambda e: rechained([*e[:-1], changed(e[-1])]),
}  # fmt: skip


def test_an_export_verifies_without_a_registry(registry: cm.Registry, exported: Path, key: str) -> None:
    head = registry.audit.verify().head
    registry.close()
    shutil.rmtree(registry.location)
    verdict = verify_export(exported, note_of(exported), key)
    assert (verdict.fault, verdict.events, verdict.head) == ("", EVENTS, head)
    assert open_note(note_of(exported).read_text(), key).origin.startswith("chopmark/")


@pytest.mark.parametrize("name", TAMPERINGS)
def test_tampering_with_an_export_is_noticed(name: str, exported: Path, key: str) -> None:
    write(exported, TAMPERINGS[name](events_of(exported)))
    verdict = verify_export(exported, note_of(exported), key)
    assert verdict.fault
    assert verdict.fault_seq >= 1


@pytest.mark.parametrize(
    "tamper",
    [
        lambda raw: raw[:-1],
        lambda raw: raw + b"\n",
        lambda raw: raw + b"garbage\n",
        lambda raw: raw.replace(b'"ada"', b'"eve"', 1),
        lambda raw: raw.replace(b'{"actor"', b'{"extra":1,"actor"', 1),
        lambda raw: raw.replace(b'"seq":3', b'"seq":9,"seq":3', 1),
        lambda raw: raw.replace(b",", b", ", 1),
        lambda raw: raw.replace(b"\n", b"\r\n"),
        lambda raw: raw.replace(b"\n", b"\n\n", 1),
        lambda raw: b"\xef\xbb\xbf" + raw,
        lambda raw: raw[:0],
        lambda raw: bytes(len(raw)),
        lambda raw: raw[: len(raw) // 2],
    ],
)
def test_tampering_with_the_bytes_is_noticed(tamper: Callable[[bytes], bytes], exported: Path, key: str) -> None:
    exported.write_bytes(tamper(exported.read_bytes()))
    assert verify_export(exported, note_of(exported), key).fault


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_flipped_bit_is_noticed(exported: Path, key: str, data: st.DataObject) -> None:
    raw = exported.read_bytes()
    place, bit = data.draw(st.integers(0, len(raw) - 1)), data.draw(st.integers(0, 7))
    other = exported.with_name("flipped.jsonl")
    other.write_bytes(raw[:place] + bytes([raw[place] ^ 1 << bit]) + raw[place + 1 :])
    assert verify_export(other, note_of(exported), key).fault


def test_a_checkpoint_that_was_changed_or_is_of_others(exported: Path, key: str, tmp_path: Path) -> None:
    note = note_of(exported).read_text()
    eve = str(create_key(tmp_path / "eve.key", "example.org/eve"))
    namesake = str(create_key(tmp_path / "namesake.key", "example.org/ada"))
    for other in (eve, namesake):
        with pytest.raises(IntegrityFailure, match="has no signature of the key"):
            verify_export(exported, note, other)
    lines = note.splitlines()
    smaller = "\n".join([lines[0], str(EVENTS - 1), *lines[2:]]) + "\n"
    renamed = note.replace(lines[0], "chopmark/0000000000000000", 1)
    with cm.open(tmp_path / "other", audit_key_file=str(tmp_path / "ada.key")) as registry:
        swapped = "\n".join([*lines[:4], registry.audit.checkpoint().splitlines()[4]]) + "\n"
    for text in (smaller, renamed, swapped):
        with pytest.raises(IntegrityFailure, match=r"signature of example\.org/ada is wrong"):
            verify_export(exported, text, key)
    with pytest.raises(InvalidRequest, match="no signed checkpoint"):
        verify_export(exported, "garbage\n", key)
    with pytest.raises(InvalidRequest, match="not a verifier key"):
        verify_export(exported, note, "garbage")
    with pytest.raises(NotFound):
        verify_export(exported, tmp_path / "nowhere", key)
    with pytest.raises(NotFound):
        verify_export(tmp_path / "nowhere", note, key)


def test_a_later_export_against_an_earlier_checkpoint(registry: cm.Registry, exported: Path, key: str) -> None:
    registry.promote("fraud:1", "staging", reason="r")
    later = exported.with_name("later.jsonl")
    registry.audit.export(later)
    assert verify_export(later, note_of(exported), key).fault_seq == EVENTS + 1
    assert verify_export(later, note_of(exported), key, may_have_grown=True).fault == ""
    write(later, rechained([changed(e) for e in events_of(later)]))
    assert verify_export(later, note_of(exported), key, may_have_grown=True).fault


def replace_events(registry: cm.Registry, events: list[AuditEvent]) -> None:
    """Write other events, and the end that fits them, as somebody with the database file can."""
    with sqlite3.connect(Path(registry.location) / "chopmark.db") as database:
        for (name,) in database.execute("select name from sqlite_master where type = 'trigger'").fetchall():
            database.execute(f"drop trigger {name}")
        database.execute("delete from audit_events")
        for e in events:
            database.execute(
                "insert into audit_events (seq, uid, at_us, actor, event, target, data, previous, hash)"
                " values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (e.seq, e.id.bytes, round(e.at.timestamp() * 1e6), e.actor, e.event, e.target, canonical(e.data).decode(), e.previous, e.hash),
            )  # fmt: skip
        last = events[-1] if events else None
        database.execute("update audit_head set seq = ?, hash = ?", (last.seq, last.hash) if last else (0, GENESIS))


def test_a_chain_that_was_written_anew_shows_against_a_checkpoint(registry: cm.Registry, exported: Path) -> None:
    note = note_of(exported)
    registry.promote("fraud:1", "staging", reason="r")
    assert registry.audit.verify(note).fault == ""
    events = list(registry.audit.list(limit=100))
    replace_events(registry, rechained([*events[:4], changed(events[4]), *events[5:]]))
    assert registry.audit.verify().fault == ""  # whole in itself
    verdict = registry.audit.verify(note)
    assert (verdict.fault_seq, "written anew" in verdict.fault) == (EVENTS, True)
    replace_events(registry, events[: EVENTS - 2])
    assert registry.audit.verify().fault == ""
    assert "events were removed" in registry.audit.verify(note).fault
    replace_events(registry, [])
    assert registry.audit.verify(note).fault


def test_a_broken_chain_is_not_signed(registry: cm.Registry, tmp_path: Path) -> None:
    events = list(registry.audit.list(limit=100))
    replace_events(registry, [*events[:4], changed(events[4]), *events[5:]])
    with pytest.raises(IntegrityFailure, match="broken at event 5"):
        registry.audit.checkpoint()
    with pytest.raises(IntegrityFailure, match="broken at event 5"):
        registry.audit.export(tmp_path / "broken.jsonl")
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_file()) == ["ada.key"]


def test_a_checkpoint_of_another_registry(registry: cm.Registry, tmp_path: Path) -> None:
    with cm.open(tmp_path / "other", actor="ada", audit_key_file=str(tmp_path / "ada.key")) as other:
        empty = other.audit.checkpoint()
        assert other.audit.verify(empty).fault == ""
        assert empty.startswith("chopmark/empty\n0\n")
        other.register("fraud", {"n": 1})
        assert other.audit.verify(empty).fault == ""
        note = other.audit.checkpoint()
        for n in range(EVENTS):
            other.register("fraud", {"n": n + 2})
        longer = other.audit.checkpoint()
    for checkpoint in (note, longer):
        with pytest.raises(Conflict, match=r"checkpoint is of chopmark/\w{16}, and this registry is chopmark/\w{16}"):
            registry.audit.verify(checkpoint)
    assert registry.audit.verify(empty).fault == ""
    events = list(registry.audit.list(limit=100))
    replace_events(registry, [*events[:4], changed(events[4]), *events[5:]])
    assert registry.audit.verify(note).fault_seq == 5  # broken, whatever it is held against


def test_a_chain_that_was_written_anew_from_its_first_event_does_not_pass(registry: cm.Registry) -> None:
    note = registry.audit.checkpoint()
    events = list(registry.audit.list(limit=100))
    replace_events(registry, rechained([changed(events[0]), *events[1:]]))
    assert registry.audit.verify().fault == ""
    with pytest.raises(Conflict, match="this registry is") as refused:
        registry.audit.verify(note)
    assert "written anew from its first event" in refused.value.hint


def test_files_are_never_written_over(registry: cm.Registry, exported: Path, tmp_path: Path) -> None:
    for file in (exported, tmp_path / "x.jsonl"):
        (tmp_path / "x.jsonl.checkpoint").write_text("kept")
        with pytest.raises(Conflict, match="already"):
            registry.audit.export(file)
    assert not (tmp_path / "x.jsonl").exists()
    with pytest.raises(Unavailable):
        registry.audit.export(tmp_path / "nowhere" / "x.jsonl")


def test_a_key_file_is_its_owners_alone(tmp_path: Path) -> None:
    file = tmp_path / "home" / "audit.key"
    verifier = create_key(file, "ada")
    assert parse_verifier(str(verifier)) == verifier == verifier_of(read_key(file))
    assert loose_permissions(file) == ""
    if os.name == "posix":
        file.chmod(0o644)
        assert loose_permissions(file) == "0644"
    with pytest.raises(Conflict, match="already"):
        create_key(file, "ada")
    with pytest.raises(InvalidRequest, match="in the registry"):
        create_key(tmp_path / "registry" / "sub" / "audit.key", "ada", registry=tmp_path / "registry")
    assert not (tmp_path / "registry").exists()


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
def test_who_signs_with_a_key_that_others_may_use_is_warned(registry: cm.Registry, tmp_path: Path) -> None:
    (tmp_path / "ada.key").chmod(0o644)
    with pytest.warns(ChopmarkWarning, match=r"0644.*chmod 600"):
        note = registry.audit.checkpoint()
    with pytest.warns(ChopmarkWarning, match=r"0644"):
        registry.audit.export(tmp_path / "loose.jsonl")
    assert registry.audit.verify(note).fault == ""


def test_keys_that_are_none(tmp_path: Path, registry: cm.Registry) -> None:
    file = tmp_path / "ada.key"
    for content in (b"", b"garbage", b"\xff\xfe", file.read_bytes().replace(b"ada", b"eve")):
        (tmp_path / "bad.key").write_bytes(content)
        with pytest.raises(InvalidRequest) as refused:
            read_key(tmp_path / "bad.key")
        assert file.read_text().strip()[-20:] not in str(refused.value)
    file.unlink()
    for ask in (registry.audit.checkpoint, lambda: registry.audit.export(tmp_path / "x")):
        with pytest.raises(NotFound, match="no key"):
            ask()
    with pytest.raises(NotFound, match="key of whoever signed it"):
        registry.audit.verify("o\n0\nx\n")
