"""Each class of error ends the program with its own code, by really provoking it."""

import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from chopmark.base.digest import digest_of
from tests.cli.running import Program, in_process
from tests.stored_bytes import change_stored


def test_0_when_all_is_well(program: Program) -> None:
    assert program.register() == "fraud:1"


def test_1_when_this_installation_cannot(program: Program) -> None:
    ran = program("rebuild", at="https://registry.example")
    assert ran.code == 1
    assert "is a server" in ran.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("nosuch",),
        ("promote", "fraud:1", "staging"),
        ("get", "fraud:not-a-version"),
        ("search", "metrics. >"),
        ("list", "--limit", "0"),
        ("register", "fraud"),
        ("register", "fraud", "model.json", "--metric", "auc=high"),
        ("register", "fraud", "model.json", "--metric", "auc=nan"),
        ("register", "fraud", "model.json", "--tag", "a=1", "--tag", "a=2"),
        ("purge", "fraud:2", "--reason", "x"),
    ],
)
def test_2_when_it_cannot_be_meant(program: Program, arguments: tuple[str, ...]) -> None:
    program.register()
    program.register("fraud", "{}")
    program.ok("delete", "fraud:2")
    before = program.event_count
    ran = program(*arguments)
    assert ran.code == 2, ran
    assert ran.err.startswith("error: ")
    assert "Traceback" not in ran.err
    assert program.event_count == before


def test_3_when_nothing_has_that_name(program: Program) -> None:
    program.register()
    ran = program("get", "fruad")
    assert (ran.code, ran.out) == (3, "")
    assert "There is no model 'fruad'" in ran.err


def test_3_and_no_registry_is_made_when_there_is_none(program: Program) -> None:
    for words in (("get", "x"), ("list",), ("delete", "x:1"), ("db", "status"), ("tag", "x:1", "a=b", "--dry-run")):
        ran = program(*words)
        assert ran.code == 3, words
        assert "There is no" in ran.err
    assert not program.place.exists()


def test_4_when_the_state_forbids_it(program: Program) -> None:
    program.register()
    ran = program("promote", "fraud:1", "production", "--reason", "x")
    assert ran.code == 4
    assert "hint: From development it can move to staging, archived." in ran.err


@pytest.fixture
def foreign_place() -> Iterator[Path]:
    """A directory that everybody may read and only its owner may write."""
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        place.chmod(0o755)
        yield place
        for path in (place, *(p for p in place.rglob("*") if p.is_dir())):
            path.chmod(0o755)


@contextmanager
def nobody() -> Iterator[None]:
    """Act as a user without rights; a person who runs the tests is one already, root is not."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_5_when_it_may_not_be_written(program: Program, foreign_place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(foreign_place)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(foreign_place))
    place = foreign_place / "registry"
    assert program("register", "fraud", program.file(), at=place).code == 0
    assert program("tag", "fraud:1", "a=b", at=place).code == 0  # everything is imported now
    for path in (place, *place.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    with nobody():
        ran = program("tag", "fraud:1", "a=c", at=place)
    assert ran.code == 5, ran
    assert "Traceback" not in ran.err


def test_6_when_bytes_were_changed(program: Program) -> None:
    program.register()
    tamper(program.place)
    ran = program("verify", "fraud:1", "--json")
    assert ran.code == 6
    assert len(ran.json["faults"]) == 1
    assert program("download", "fraud:1", program.directory / "out").code == 6
    assert not (program.directory / "out").exists()


def tamper(place: Path) -> None:
    change_stored(place / "blobs", digest_of(b'{"threshold": 0.7}'), lambda data: data.replace(b"7", b"9"))


def test_7_when_a_gate_refuses(program: Program) -> None:
    program.ok("project", "create", "risk", "--require-tag", "team", "--one-production")
    ran = program("register", "risk/fraud", program.file(), "--json")
    assert ran.code == 7
    assert ran.json["code"] == "gate_refused"
    assert ran.json["details"]["findings"] == ["tag 'team' is missing"]


def test_8_when_the_database_does_not_answer(program: Program) -> None:
    url = "postgresql://nobody@127.0.0.1:1/none"
    ran = program("list", "--database", url, "--store", str(program.directory / "blobs"))
    assert ran.code == 8, ran.err


def test_9_when_another_writer_does_not_end(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    program.register()
    monkeypatch.setenv("CHOPMARK_LOCK_TIMEOUT_S", "0.2")
    monkeypatch.setattr("chopmark.catalog.connections.BUSY_TIMEOUT_MS", 200)
    holder = sqlite3.connect(program.place / "chopmark.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    try:
        assert program("tag", "fraud:1", "a=b").code == 9
    finally:
        holder.rollback()
        holder.close()


def test_an_unexpected_error_is_short_and_says_how_to_see_more(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    program.register()

    def broken(*_: object, **__: object) -> None:
        raise KeyError("threshold")

    monkeypatch.setattr("chopmark.sdk.versions.Versions.get", broken)
    ran = program("get", "fraud")
    assert ran.code == 1
    assert "Unexpected KeyError" in ran.err
    assert "--debug" in ran.err
    assert "Traceback" not in ran.err
    assert "Traceback" in program("get", "fraud", "--debug").err


def test_a_problem_is_json_when_json_was_asked_for(program: Program) -> None:
    program.register()
    for words, code in ((("get", "nosuch"), "not_found"), (("promote", "fraud"), "invalid_request")):
        ran = program(*words, "--json")
        assert set(ran.json) == {"code", "message", "hint", "details"}
        assert ran.json["code"] == code
        assert ran.err.startswith("error: ")


def test_a_closed_pipe_is_no_error(tmp_path: Path, program: Program) -> None:
    program.register()
    done = subprocess.run(
        ["bash", "-c", f"'{sys.executable}' -m chopmark list --at registry | true; exit ${{PIPESTATUS[0]}}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert done.returncode in {0, 141}


def test_interrupted_quietly(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    program.register()

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("chopmark.sdk.versions.Versions.get", interrupted)
    ran = program("get", "fraud")
    assert ran.code == 130
    assert ran.err.strip() == ""


def test_the_module_is_the_program(tmp_path: Path) -> None:
    done = in_process("--version", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout.startswith("chopmark ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("promot", "fraud:1"), "'promote'"),
        (("modle", "list"), "'model'"),
        (("model", "lst"), "Did you mean 'list'?"),
        (("list", "--limt", "3"), "'--limit'"),
    ],
)
def test_what_is_mistyped_is_put_right(program: Program, words: tuple[str, ...], said: str) -> None:
    ran = program(*words)
    assert ran.code == 2
    assert said in ran.err


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (("promote", "fraud:1", "staging"), "--reason"),
        (("purge", "fraud:1", "--dry-run"), "--reason"),
        (("trust", "grant", "fraud:1"), "--reason"),
        (("evaluate", "fraud:1", "--metric", "f1=1"), "--dataset"),
        (("evaluate", "fraud:1", "--dataset", "d"), "--metric"),
    ],
)
def test_an_option_that_is_needed_is_asked_for(program: Program, words: tuple[str, ...], option: str) -> None:
    program.register()
    ran = program(*words)
    assert ran.code == 2
    assert f"error: Missing option '{option}'" in ran.err
