"""``--dry-run`` says what would happen, refuses what would be refused, and changes nothing."""

import pytest

from tests.cli.running import Program


@pytest.fixture
def furnished(program: Program) -> Program:
    program.register()
    program.register("fraud", "{}")
    program.register("fraud", "[]")
    program.ok("delete", "fraud:3")
    program.register("old")
    program.ok("model", "delete", "old")
    program.ok("alias", "set", "fraud@champion", "fraud:1")
    program.ok("promote", "fraud:2", "staging", "--reason", "x")
    return program


@pytest.mark.parametrize(
    ("words", "op"),
    [
        (("delete", "fraud:2"), "version.delete"),
        (("delete", "fraud:1", "--force", "--reason", "x"), "version.delete"),
        (("restore", "fraud:3"), "version.restore"),
        (("purge", "fraud:3", "--reason", "x"), "version.purge"),
        (("promote", "fraud:2", "production", "--reason", "x"), "version.promote"),
        (("archive", "fraud:2", "--reason", "x"), "version.archive"),
        (("deprecate", "fraud:2", "--reason", "x"), "version.deprecate"),
        (("alias", "set", "fraud@champion", "fraud:2"), "alias.set"),
        (("alias", "set", "fraud@new", "fraud:2"), "alias.set"),
        (("alias", "remove", "fraud@champion"), "alias.remove"),
        (("model", "delete", "fraud", "--force", "--reason", "x"), "model.delete"),
        (("model", "restore", "old"), "model.restore"),
        (("model", "purge", "old", "--reason", "x"), "model.purge"),
        (("register", "fraud", "model.json", "--tag", "a=b"), "version.register"),
        (("db", "upgrade"), "db.upgrade"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else value,
)
def test_says_and_changes_nothing(furnished: Program, words: tuple[str, ...], op: str) -> None:
    before = furnished.event_count
    plan = furnished.ok(*words, "--dry-run", "--json").json
    assert plan["dry_run"] is True
    assert plan["op"] == op
    assert plan["effect"]
    assert furnished.ok(*words, "--dry-run").out
    assert furnished.event_count == before


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("delete", "fraud:1"), 4),
        (("restore", "fraud:1"), 4),
        (("purge", "fraud:1", "--reason", "x"), 4),
        (("promote", "fraud:1", "production", "--reason", "x"), 4),
        (("promote", "fraud:1", "archived", "--reason", "x"), 2),
        (("promote", "fraud:1", "nowhere", "--reason", "x"), 2),
        (("delete", "fraud:9"), 3),
        (("alias", "remove", "fraud@none"), 3),
        (("model", "delete", "fraud"), 4),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else str(value),
)
def test_refuses_as_the_real_thing_would(furnished: Program, words: tuple[str, ...], code: int) -> None:
    before = furnished.event_count
    assert furnished(*words, "--dry-run").code == code
    assert furnished.event_count == before
    assert furnished(*words).code == code


def test_the_gate_is_asked(furnished: Program) -> None:
    furnished.ok("project", "configure", "default", "--one-production")
    furnished.ok("promote", "fraud:2", "production", "--reason", "x")
    furnished.ok("promote", "fraud:1", "staging", "--reason", "x")
    assert furnished("promote", "fraud:1", "production", "--reason", "x", "--dry-run").code == 7


def test_purging_needs_a_yes(furnished: Program) -> None:
    assert furnished("purge", "fraud:3", "--reason", "x").code == 2
    furnished.ok("purge", "fraud:3", "--reason", "x", "--yes")
    assert furnished("restore", "fraud:3").code == 3


def test_purging_asks_on_a_terminal(furnished: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    ran = furnished("purge", "fraud:3", "--reason", "x")
    assert ran.code == 1
    assert "note: Nothing was changed." in ran.err
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    assert furnished("purge", "fraud:3", "--reason", "x").code == 0
