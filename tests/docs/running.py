"""Runs the code blocks of a page, top to bottom, in one directory."""

import doctest
import os
import re
import shlex
import subprocess
import sys
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.docs.markdown import Block

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
SHELL_TIMEOUT_S = 100
_END_OF_OUTPUT = "\x1e"
# A page shows a day, a time, a hash or a size: others each time, on each machine, or with each release of a library.
_CHANGING = (
    (re.compile(r"\b20\d\d-\d\d-\d\d\b"), "DAY"),
    (re.compile(r"\b\d\d:\d\d(?::\d\d(?:\.\d+)?)?\b"), "TIME"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "HASH"),
    (re.compile(r"sha256:[0-9a-f]{6,63}\b"), "sha256:SHORT"),
    (re.compile(r"\b\d[\d,.]* (?:bytes|KiB|MiB)\b"), "SIZE"),
)


@dataclass(frozen=True)
class Command:
    """A command of a console block, and what the page says that it prints."""

    text: str
    expected: str
    line: int


class PageRun:
    """One page's run: Python blocks share a module, shell blocks a directory and their variables.

    Parameters
    ----------
    page
        What tracebacks and failures call it.
    directory
        Where everything runs; fresh.
    environ
        Environment of the shell blocks.
    """

    def __init__(self, page: str, directory: Path, environ: Mapping[str, str]) -> None:
        self.page = page
        self.directory = directory
        self.environ = dict(environ)
        # A notebook's or script's own module, so that what pickles its classes finds them.
        self.module = types.ModuleType("__main__")

    def run(self, block: Block) -> None:
        match block.language:
            case "python":
                self.run_python(block)
            case "shell":
                self.run_shell(block)
            case "console":
                self.run_console(block)
            case other:
                raise ValueError(f"{self.page}:{block.line}: blocks of {other!r} are not run")

    def run_python(self, block: Block) -> None:
        if block.text.lstrip().startswith(">>>"):
            self._run_session(block)
            return
        padded = "\n" * (block.line - 1) + block.text
        exec(compile(padded, self.page, "exec"), self.module.__dict__)

    def _run_session(self, block: Block) -> None:
        parser = doctest.DocTestParser()
        test = parser.get_doctest(block.text, self.module.__dict__, self.page, self.page, block.line - 1)
        test.globs = self.module.__dict__  # the parser made a copy
        told: list[str] = []
        doctest.DocTestRunner(_Checker(), optionflags=FLAGS).run(test, out=told.append, clear_globs=False)
        if told:
            pytest.fail("".join(told), pytrace=False)

    def run_shell(self, block: Block) -> None:
        done = self._bash(block.text)
        if done.returncode != 0:
            pytest.fail(
                f"{self.page}:{block.line}: exit code {done.returncode}\n{block.text}\n{done.stdout}", pytrace=False
            )

    def run_console(self, block: Block) -> None:
        commands = console_commands(block)
        script = "".join(f"{each.text}\nprintf '{_END_OF_OUTPUT}'\n" for each in commands)
        done = self._bash(script)
        printed = done.stdout.split(_END_OF_OUTPUT)
        for command, output in zip(commands, printed, strict=False):
            if not agrees(command.expected, output):
                pytest.fail(
                    f"{self.page}:{command.line}: $ {command.text}\nexpected:\n{command.expected}\nprinted:\n{output}",
                    pytrace=False,
                )
        if done.returncode != 0:
            pytest.fail(
                f"{self.page}:{block.line}: exit code {done.returncode} of\n{block.text}\n{done.stdout}", pytrace=False
            )

    def _bash(self, script: str) -> subprocess.CompletedProcess[str]:
        """Run a script; the next one finds the variables that it exported, and its directory."""
        state = self.directory / ".shell-state"
        before = f". {shlex.quote(str(state))}\n" if state.exists() else ""
        after = f"{{ export -p; printf 'cd %q\\n' \"$PWD\"; }} > {shlex.quote(str(state))}\n"
        return subprocess.run(
            ["bash", "-c", f"set -eu\n{before}{script}\n{after}"],
            cwd=self.directory,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SHELL_TIMEOUT_S,
            check=False,
        )


def console_commands(block: Block) -> list[Command]:
    """Commands after ``$``, with the lines that continue them and the output that follows them."""
    found: list[tuple[int, list[str], list[str]]] = []
    for number, line in enumerate(block.text.splitlines(), block.line):
        if line.startswith("$ "):
            found.append((number, [line[2:]], []))
        elif not found:
            raise ValueError(f"line {number}: a console block begins with '$ '")
        elif line.startswith("> ") and not found[-1][2]:
            found[-1][1].append(line[2:])
        else:
            found[-1][2].append(line)
    return [Command("\n".join(text), "\n".join(output), number) for number, text, output in found]


def agrees(expected: str, printed: str) -> bool:
    """Whether output is as the page shows it.

    ``...`` stands for anything, runs of white space are one space, and any day, time, hash or size is as good as another.
    """
    return _Checker().check_output(expected.strip() + "\n", printed.strip() + "\n", FLAGS)


class _Checker(doctest.OutputChecker):
    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        return super().check_output(_steady(want), _steady(got), optionflags)


def _steady(text: str) -> str:
    for pattern, word in _CHANGING:
        text = pattern.sub(word, text)
    return text


def shell_environment(home: Path, extra: Mapping[str, str], programs: Sequence[Path] = ()) -> dict[str, str]:
    """Environment of a person called ada with the project's programs first on the path, behind `programs`."""
    kept = {name: os.environ[name] for name in ("LANG", "LC_ALL", "TMPDIR", "OMP_NUM_THREADS") if name in os.environ}
    return {
        **kept,
        "PATH": os.pathsep.join(
            [*map(str, programs), str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
        ),
        "HOME": str(home),
        "LOGNAME": "ada",
        "COLUMNS": "100",
        "PYTHONUTF8": "1",
        **extra,
    }
