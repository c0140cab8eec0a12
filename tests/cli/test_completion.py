"""What the shell is offered."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from chopmark.cli.completion import ReferenceBashComplete
from chopmark.cli.program import ROOT
from tests.cli.running import Program, in_process
from tests.furnished import Furnish


def offered(program: Program, *words: str, at: Path | None = None) -> list[str]:
    complete = ShellComplete(ROOT, {}, "chopmark", "_CHOPMARK_COMPLETE")
    *before, last = words
    place = str(at or program.place)
    return [item.value for item in complete.get_completions(["--at", place, *before], last)]


def furnish(program: Program) -> None:
    program.register()
    program.register("fraud", "{}")
    program.register("ranker")
    program.ok("alias", "set", "fraud@champion", "fraud:1")


@pytest.fixture
def furnished(program: Program, furnish_once: Furnish) -> Program:
    furnish_once(program.directory, lambda: furnish(program))
    return program


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("get", "fr"), ["fraud"]),
        (("get", "fraud:"), ["fraud:2", "fraud:1"]),
        (("get", "fraud@"), ["fraud@champion"]),
        (("get", "fraud#prod"), ["fraud#production"]),
        (("promote", "fraud:1", "st"), ["staging"]),
        (("alias", "history", "fraud@c"), ["fraud@champion"]),
        (("list", ""), ["fraud", "ranker"]),
        (("search", "--model", "ra"), ["ranker"]),
        (("project", "get", ""), ["default"]),
        (("dep",), ["deprecate"]),
        (("get", "nosuch@"), []),
        (("get", "a b\x00:"), []),
    ],
)
def test_names_of_the_registry(furnished: Program, words: tuple[str, ...], expected: list[str]) -> None:
    assert offered(furnished, *words) == expected


def test_a_bounded_number(program: Program) -> None:
    from chopmark.sdk.opening import open_registry

    with open_registry(program.place) as registry:
        for number in range(60):
            registry.models.create(f"model-{number:02}")
    assert len(offered(program, "get", "model")) == 50


def test_nothing_is_made_and_nothing_is_raised_where_no_registry_is(program: Program) -> None:
    assert offered(program, "get", "fr") == []
    assert not program.place.exists()


def test_nothing_is_raised_over_a_broken_registry(program: Program) -> None:
    program.place.mkdir()
    (program.place / "chopmark.db").write_bytes(b"no database" * 100)
    assert offered(program, "get", "fr") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts(tmp_path: Path, shell: str) -> None:
    done = in_process("completion", shell, cwd=tmp_path)
    assert done.returncode == 0
    assert "_CHOPMARK_COMPLETE" in done.stdout


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("chopmark get fraud@ch", ["champion"]),
        ("chopmark get fraud:", ["2", "1"]),
        ("chopmark get fr", ["fraud"]),
        ("chopmark promote fraud:1 st", ["staging"]),
        ("chopmark promote fraud:1 ", ["development", "staging", "canary", "production"]),
    ],
)
def test_bash_completes_words_with_colons(furnished: Program, line: str, expected: list[str]) -> None:
    script = ReferenceBashComplete(ROOT, {}, "chopmark", "_CHOPMARK_COMPLETE").source()
    program = furnished.directory / "program"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m chopmark "$@"\n')
    program.chmod(0o755)
    asked = (
        f"complete() {{ :; }}; compopt() {{ :; }}\n{script}\n"
        f"COMP_LINE='{line}'; COMP_POINT={len(line)}; COMP_WORDBREAKS=$' \\t\\n\"><=;|&(:@'\n"
        f"COMPREPLY=(); _chopmark_completion '{program}'\n"
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", asked],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "CHOPMARK_URL": str(furnished.place)},
    )
    assert done.stdout.split() == expected, done.stderr
