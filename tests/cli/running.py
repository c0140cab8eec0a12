"""Running the program in tests: in this process, or as a process of its own."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import click
import pytest

from chopmark.cli.command import Command
from chopmark.cli.program import ROOT, run

COLUMNS = "80"


class Ran(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Program:
    """The program over one registry, in this process."""

    def __init__(self, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.directory = directory
        self.place = directory / "registry"
        self.on_terminal = False
        self._capsys = capsys

    def __call__(self, *arguments: str | Path, at: Path | str | None = None) -> Ran:
        self._capsys.readouterr()
        with mock.patch.object(sys.stdout, "isatty", return_value=self.on_terminal):
            code = run([*map(str, arguments), "--at", str(at or self.place)])
        out, err = self._capsys.readouterr()
        return Ran(code, out, err)

    def ok(self, *arguments: str | Path) -> Ran:
        ran = self(*arguments)
        assert ran.code == 0, ran.err
        return ran

    def file(self, name: str = "model.json", content: str | bytes = '{"threshold": 0.7}') -> Path:
        file = self.directory / name
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        return file

    def register(self, name: str = "fraud", content: str = '{"threshold": 0.7}', *more: str) -> str:
        return self.ok("register", name, self.file(content=content), "-q", *more).out.strip()

    @property
    def event_count(self) -> int:
        return int(self.ok("audit", "verify", "--json").json["events"])


def in_process(*arguments: str, cwd: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "chopmark", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
    )


def all_commands() -> dict[tuple[str, ...], click.Command]:
    """Every command and group by its words after ``chopmark``."""
    found: dict[tuple[str, ...], click.Command] = {}

    def walk(words: tuple[str, ...], command: click.Command) -> None:
        found[words] = command
        if isinstance(command, click.Group):
            context = click.Context(command)
            for name in command.list_commands(context):
                child = command.get_command(context, name)
                assert child is not None
                walk((*words, name), child)

    walk((), ROOT)
    return found


def leaf_commands() -> dict[tuple[str, ...], Command]:
    return {words: c for words, c in all_commands().items() if isinstance(c, Command)}
