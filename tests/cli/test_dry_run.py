"""``--dry-run`` answers or refuses as the real command does, and changes nothing."""

import io
from pathlib import Path
from typing import Any

import pytest

from chopmark.ops.table import OPS
from tests.cli.running import Program, Ran, leaf_commands
from tests.cli.test_completeness import COMMAND_OF
from tests.furnished import Furnish

TOLD = "dry run: nothing was changed\n"
PICKLE = b"\x80\x04K\x01."  # the number 1

COMMANDS = [
    ("delete", "fraud:2"),
    ("delete", "fraud:1", "--force", "--reason", "x"),
    ("restore", "fraud:3"),
    ("purge", "fraud:3", "--reason", "x"),
    ("promote", "fraud:2", "production", "--reason", "x"),
    ("archive", "fraud:2", "--reason", "x"),
    ("deprecate", "fraud:2", "--reason", "x", "--successor", "fraud:1"),
    ("tag", "fraud:2", "a=b"),
    ("describe", "fraud:2", "Good."),
    ("annotate", "fraud:2", "reviewed=true"),
    ("evaluate", "fraud:2", "--dataset", "model.json", "--metric", "f1=0.5"),
    ("alias", "set", "fraud@champion", "fraud:2"),
    ("alias", "set", "fraud@new", "fraud:2"),
    ("alias", "remove", "fraud@champion"),
    ("model", "create", "new"),
    ("model", "update", "fraud", "--owner", "ben"),
    ("model", "delete", "fraud", "--force", "--reason", "x"),
    ("model", "restore", "old"),
    ("model", "purge", "old", "--reason", "x"),
    ("project", "create", "risk"),
    ("project", "configure", "default", "--one-production"),
    ("trust", "grant", "coded", "--reason", "x"),
    ("trust", "revoke", "trusted"),
]


def named(value: object) -> str | None:
    return " ".join(value) if isinstance(value, tuple) else None


def furnish(program: Program) -> None:
    program.register()
    program.register("fraud", "{}")
    program.register("fraud", "[]")
    program.ok("delete", "fraud:3")
    program.register("old")
    program.ok("model", "delete", "old")
    program.ok("register", "coded", program.file("coded.pkl", PICKLE))
    program.ok("register", "trusted", program.file("trusted.pkl", b"\x80\x04K\x02."))
    program.ok("trust", "grant", "trusted", "--reason", "x")
    program.ok("alias", "set", "fraud@champion", "fraud:1")
    program.ok("promote", "fraud:2", "staging", "--reason", "x")
    program.file()


@pytest.fixture
def furnished(program: Program, furnish_once: Furnish) -> Program:
    furnish_once(program.directory, lambda: furnish(program))
    return program


def head(program: Program) -> tuple[int, str]:
    chain = program.ok("audit", "verify", "--json").json
    return chain["events"], chain["head"]


def without_times(answer: Any) -> Any:
    """The answer without what the clock and chance put in."""
    if isinstance(answer, dict):
        own = ("id", "model_id", "at", "since", "dry_run")
        return {k: without_times(v) for k, v in answer.items() if k not in own and not k.endswith(("_at", "_since"))}
    return [without_times(item) for item in answer] if isinstance(answer, list) else answer


@pytest.mark.parametrize("words", COMMANDS, ids=named)
def test_the_answer_is_the_real_one_marked(furnished: Program, words: tuple[str, ...]) -> None:
    before = head(furnished)
    told = furnished.ok(*words, "--dry-run")
    assert told.out
    assert told.err.endswith(TOLD)
    rehearsed = furnished.ok(*words, "--dry-run", "--json")
    assert rehearsed.json["dry_run"] is True
    assert TOLD not in rehearsed.err
    assert head(furnished) == before
    yes = ("--yes",) if "purge" in words else ()
    real = furnished.ok(*words, *yes, "--json").json
    assert without_times(rehearsed.json) == without_times(real)
    assert "dry_run" not in real
    assert head(furnished) != before


def test_no_secret_is_shown_of_what_is_not_made(furnished: Program) -> None:
    made = furnished.ok("webhook", "create", "https://ci.example/", "--json").json["webhook"]["id"]
    before = head(furnished)
    told = {COMMAND_OF[name] for name, op in OPS.items() if op.once}
    assert told == {"token create", "webhook create", "webhook rotate"}
    for words in (("token", "create", "ci"), ("webhook", "create", "https://x.example/"), ("webhook", "rotate", made)):
        rehearsed = furnished.ok(*words, "--dry-run")
        assert rehearsed.err == TOLD
        assert rehearsed.out
        answer = furnished.ok(*words, "--dry-run", "--json").json
        assert (answer["secret"], answer["dry_run"]) == ("", True)
        for said in (rehearsed.out, furnished.ok(*words, "--dry-run", "-q").out):
            assert "cm_" not in said
            assert "whsec_" not in said
    assert head(furnished) == before


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("delete", "fraud:1"), 4),
        (("restore", "fraud:1"), 4),
        (("purge", "fraud:1", "--reason", "x"), 4),
        (("promote", "fraud:1", "production", "--reason", "x"), 4),
        (("promote", "fraud:1", "archived", "--reason", "x"), 2),
        (("promote", "fraud:1", "nowhere", "--reason", "x"), 2),
        (("promote", "fraud:1", "staging", "--reason", " "), 2),
        (("delete", "fraud:9"), 3),
        (("alias", "remove", "fraud@none"), 3),
        (("alias", "set", "fraud@champion", "old:1"), 2),
        (("model", "delete", "fraud"), 4),
        (("model", "purge", "fraud", "--reason", "x"), 4),
        (("model", "create", "fraud"), 4),
        (("project", "create", "default"), 4),
        (("trust", "revoke", "fraud:1"), 4),
        (("tag", "fraud:9", "a=b"), 3),
    ],
    ids=named,
)
def test_refuses_as_the_real_command_does(furnished: Program, words: tuple[str, ...], code: int) -> None:
    before = head(furnished)
    rehearsed = furnished(*words, "--dry-run")
    assert rehearsed.code == code, rehearsed
    assert TOLD not in rehearsed.err
    assert rehearsed == furnished(*words)
    assert head(furnished) == before


def test_the_gate_is_asked(furnished: Program) -> None:
    furnished.ok("project", "configure", "default", "--one-production")
    furnished.ok("promote", "fraud:2", "production", "--reason", "x")
    furnished.ok("promote", "fraud:1", "staging", "--reason", "x")
    assert furnished("promote", "fraud:1", "production", "--reason", "x", "--dry-run").code == 7


def test_a_registration_is_planned(furnished: Program) -> None:
    before = head(furnished)
    words = ("register", "fraud", furnished.file(content='{"other": 1}'), "--tag", "a=b")
    plan = furnished.ok(*words, "--dry-run", "--json").json
    assert plan == {"ref": "fraud:4", "semver": plan["semver"], "reasons": plan["reasons"], "new_model": False} | {
        "dry_run": True
    }
    assert furnished.ok(*words, "--dry-run", "-q").out == "fraud:4\n"
    assert head(furnished) == before
    version = furnished.ok(*words, "--json").json
    assert (version["number"], version["semver"]) == (4, plan["semver"])
    furnished.ok("project", "configure", "default", "--require-tag", "team")
    assert furnished(*words, "--allow-twin", "--dry-run").code == 7


@pytest.mark.parametrize("words", [("model", "create", "m"), ("project", "create", "p"), ("register", "m", "FILE")])
def test_no_registry_is_made_where_there_is_none(
    program: Program, words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    words = tuple(str(program.file()) if word == "FILE" else word for word in words)
    assert program.ok(*words, "--dry-run").err.startswith(TOLD)
    assert not program.place.exists()
    assert list(temporary.iterdir()) == []
    program.ok(*words)


def test_an_upgrade_is_told(furnished: Program) -> None:
    rehearsed = furnished.ok("db", "upgrade", "--dry-run", "--json").json
    assert rehearsed == {**furnished.ok("db", "upgrade", "--json").json, "dry_run": True}


def test_every_command_that_changes_something_can_be_rehearsed() -> None:
    commands = leaf_commands()
    changing = {COMMAND_OF[name] for name, op in OPS.items() if op.event} | {"tag", "annotate", "db upgrade"}
    changing |= {"webhook pause", "webhook resume"}  # two more words for webhook.update
    changing |= {
        f"rollout {word}" for word in ("promote", "pause", "resume", "approve", "retry", "undo")
    }  # and rollout.command's
    changing -= {"worker"}  # which does by itself what is due
    rehearsable = {
        " ".join(words) for words, c in commands.items() if any("--dry-run" in param.opts for param in c.params)
    }
    assert rehearsable == changing


def test_purging_needs_a_yes(furnished: Program) -> None:
    assert furnished("purge", "fraud:3", "--reason", "x").code == 2
    furnished.ok("purge", "fraud:3", "--reason", "x", "--yes")
    assert furnished("restore", "fraud:3").code == 3


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def answered(program: Program, monkeypatch: pytest.MonkeyPatch, answer: str, *words: str) -> Ran:
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    return program(*words)


def test_purging_asks_on_a_terminal(furnished: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("purge", "fraud:3", "--reason", "x")
    ran = answered(furnished, monkeypatch, "n\n", *words)
    assert ran.code == 1
    assert "note: Nothing was changed." in ran.err
    assert answered(furnished, monkeypatch, "y\n", *words).code == 0


@pytest.mark.parametrize(
    "words", [("purge", "fraud:1", "--reason", "x"), ("model", "purge", "parent", "--reason", "x")]
)
def test_nobody_is_asked_about_what_is_refused(
    furnished: Program, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    furnished.register("parent")
    furnished.ok("register", "child", furnished.file(), "--parent", "parent:1")
    furnished.ok("model", "delete", "parent", "--force", "--reason", "x")
    ran = answered(furnished, monkeypatch, "y\n", *words)
    assert ran.code == 4
    assert "cannot be undone" not in ran.err
