"""``chopmark audit``: trails, moments, keys, checkpoints and exports."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.running import Program


@pytest.fixture
def program(program: Program, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Program:
    """A program with a version, an alias and a promotion, and settings of its own user."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    program.register()
    program.ok("alias", "set", "fraud@champion", "fraud:1", "--reason", "best")
    program.ok("promote", "fraud:1", "staging", "--reason", "checked")
    return program


@pytest.fixture
def key(program: Program) -> str:
    """A verifier key, whose other half is in the user's directory."""
    return program.ok("audit", "key", "create", "--name", "example.org/ada").out.strip()


def test_a_trail_reads_as_a_story(program: Program) -> None:
    lines = program.ok("audit", "trail", "fraud@champion").out.splitlines()
    assert lines[0].split() == ["WHEN", "(UTC)", "BY", "WHAT", "REASON"]
    assert "moved fraud:1 from development to staging" in lines[-1]
    assert lines[-1].endswith("checked")
    items = program.ok("audit", "trail", "fraud:1", "--json").json["items"]
    assert [e["event"] for e in items] == ["model.created", "version.registered", "alias.set", "version.promoted"]
    assert program("audit", "trail", "fraud:2").code == 3


def test_a_moment(program: Program) -> None:
    then = program.ok("audit", "at", "2999-01-01")
    assert then.out.splitlines()[1].split()[:4] == ["fraud:1", "1.0.0", "staging", "champion"]
    assert "after event 5" in then.err
    assert program.ok("audit", "at", "2999-01-01T12:00Z", "fraud@champion", "-q").out == "fraud:1\n"
    (model,) = program.ok("audit", "at", "2999-01-01", "fraud", "--json").json["models"]
    assert model["aliases"] == {"champion": 1}
    assert "no versions on 2001-01-01" in program.ok("audit", "at", "2001-01-01").err
    assert program("audit", "at", "2001-01-01", "fraud").code == 3
    assert program("audit", "at", "yesterday").code == 2


def test_a_model_that_was_deleted_then(program: Program) -> None:
    program.ok("model", "delete", "fraud", "--force", "--reason", "old")
    assert "deleted" in program.ok("audit", "at", "2999-01-01", "fraud").out


def test_keys(program: Program, key: str, tmp_path: Path) -> None:
    file = tmp_path / "config" / "chopmark" / "audit.key"
    assert file.stat().st_mode & 0o077 == 0
    assert program.ok("audit", "key", "show").out.strip() == key
    assert program("audit", "key", "create").code == 4
    file.chmod(0o640)
    assert "chmod 600" in program.ok("audit", "key", "show").err
    assert program.ok("audit", "key", "show", "--json").json["verifier_key"] == key


def test_no_key_within_the_registry(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHOPMARK_AUDIT_KEY_FILE", str(program.place / "audit.key"))
    ran = program("audit", "key", "create")
    assert ran.code == 2
    assert "in the registry" in ran.err


def test_an_export_is_verified_elsewhere(
    program: Program, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program.ok("audit", "export", tmp_path / "audit.jsonl")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "auditor"))
    shutil.rmtree(program.place)
    ran = program.ok("audit", "verify", tmp_path / "audit.jsonl", "--key", key)
    assert ran.out.startswith("The chain of 5 events is whole")
    assert program("audit", "verify", tmp_path / "audit.jsonl").code == 3  # whose key?
    events = (tmp_path / "audit.jsonl").read_text()
    (tmp_path / "audit.jsonl").write_text(events.replace("checked", "CHECKED"))
    ran = program("audit", "verify", tmp_path / "audit.jsonl", "--key", key)
    assert ran.code == 6
    assert "at 5: the event was changed" in ran.out
    assert not program.place.exists()


CHANGES: dict[str, tuple[int, Callable[[str], str]]] = {
    "nothing": (0, lambda note: note),
    "another size": (6, lambda note: note.replace("\n5\n", "\n4\n")),
    "no signature": (2, lambda note: note.partition("\n\n")[0]),
    "garbage": (2, lambda note: note[::-1]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_chain_against_a_checkpoint(program: Program, key: str, tmp_path: Path, change: str) -> None:
    code, changed = CHANGES[change]
    note = tmp_path / "note"
    note.write_text(changed(program.ok("audit", "checkpoint").out))
    program.ok("tag", "fraud:1", "team=risk")
    assert program("audit", "verify", "--checkpoint", note).code == code
    assert program("audit", "verify", "--checkpoint", note, "--key", key).code == code
    assert program("audit", "verify", "--checkpoint", tmp_path / "none").code == 3


def test_a_checkpoint_of_another_registry_is_no_tampering(program: Program, key: str, tmp_path: Path) -> None:
    note = tmp_path / "note"
    note.write_text(program.ok("audit", "checkpoint").out)
    other = tmp_path / "other"
    assert program("register", "m", program.file(), at=other).code == 0
    ran = program("audit", "verify", "--checkpoint", note, "--key", key, at=other)
    assert ran.code == 4
    assert "The checkpoint is of chopmark/" in ran.err


def test_a_key_needs_a_checkpoint(program: Program, key: str) -> None:
    assert program("audit", "verify", "--key", key).code == 2
    assert program("audit", "verify", "--key", "x", "--checkpoint", "/nowhere").code in (2, 3)
