"""Standard streams as a shell may hand them over: closed, or in an encoding that lacks characters."""

import json
import shlex
import subprocess
import sys

import pytest

from tests.cli.running import Program

WORDS = "naïve → 日本 \U0001f600"


@pytest.fixture
def two(program: Program) -> Program:
    """A registry of two versions, with texts beyond ASCII."""
    program.register("fraud", '{"threshold": 0.7}', "--description", WORDS, "--metric", "f1=0.8")
    program.register("fraud", '{"threshold": 0.8}', "--tag", "team=日本", "--metric", "f1=0.9")
    return program


def in_shell(program: Program, line: str, encoding: str = "utf-8") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["/bin/sh", "-c", f"{shlex.quote(sys.executable)} -m chopmark --at {shlex.quote(str(program.place))} {line}"],
        capture_output=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
        env={"PYTHONIOENCODING": encoding, "HOME": str(program.directory)},
    )


@pytest.mark.parametrize("closed", ["1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_a_closed_stream_swallows_and_nothing_else(two: Program, closed: str) -> None:
    ran = in_shell(two, f"tag fraud:1 seen=yes {closed}")
    assert (ran.returncode, ran.stderr) == (0, b"")
    listed = in_shell(two, f"list {closed}")
    assert (listed.returncode, listed.stderr) == (0, b"")
    assert two.ok("get", "fraud:1", "--json").json["tags"]["seen"] == "yes"
    assert two.ok("fsck").code == 0


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252:strict", "ascii"])
def test_an_encoding_without_a_character_shows_its_number(two: Program, encoding: str) -> None:
    # click takes ASCII for a locale that nobody set, and writes UTF-8 where it writes itself
    read = "utf-8" if encoding == "ascii" else encoding.partition(":")[0]
    compared = in_shell(two, "compare fraud:1 fraud:2", encoding)
    assert compared.returncode == 0, compared.stderr
    assert r"\u65e5\u672c" in compared.stdout.decode(read)
    shown = in_shell(two, "get fraud:1 --json", encoding)
    assert json.loads(shown.stdout.decode(read))["description"] == WORDS
    assert in_shell(two, "list", encoding).returncode == 0
    refused = in_shell(two, "search 'tags.日本 = 1 1'", encoding)
    assert refused.returncode == 2
    assert b"Traceback" not in refused.stderr
