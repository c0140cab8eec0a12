"""The state of the working tree that a version was made in."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from chopmark.domain.versions import Git

__all__ = ["git_state"]

TIMEOUT_SECONDS = 5.0

AGE_MAX_S = 1.0
"""How long an answer holds for the files of the working tree: a look at all of them costs more than a registration."""

REMEMBERED_MAX = 100

_INITIAL = "(initial)"
_KEPT = ("HEAD", "index", "logs/HEAD")

Identity = tuple[int, int, int] | None


class _Answer(NamedTuple):
    """What git said, when, and by which files one sees that it holds no longer."""

    state: Git | None
    asked_s: float
    files: tuple[Path, ...]
    identities: tuple[Identity, ...]

    def holds(self) -> bool:
        """Whether nothing that git keeps of its own has changed since, not long ago."""
        return time.monotonic() - self.asked_s < AGE_MAX_S and _identities(self.files) == self.identities


_answers: dict[Path, _Answer] = {}


def git_state(directory: Path, *, timeout_seconds: float = TIMEOUT_SECONDS) -> Git | None:
    """Commit, branch and whether tracked or new files differ from the commit.

    Asks the ``git`` command, changes nothing (not even git's index), and never fails: None when
    the directory is in no repository, the repository has no commit or belongs to somebody else,
    ``git`` is missing, or does not answer in time.

    Many registrations in a row ask git once a second: an answer is given again while HEAD, its log and
    the index are the files they were. So a commit, a checkout or an ``add`` is seen at once, and a file that
    was changed by hand, or a new repository, a second later at most.

    Parameters
    ----------
    directory
        Anywhere within the working tree.
    timeout_seconds
        How long git may take.
    """
    known = _answers.get(directory)
    if known is not None and known.holds():
        return known.state
    repository = _repository(directory)
    files = _kept_files(repository) if repository is not None else ()
    identities = _identities(files)  # before git is asked: what changes meanwhile counts as new
    state = _asked(directory, timeout_seconds) if repository is not None else None
    if len(_answers) >= REMEMBERED_MAX:
        _answers.clear()
    _answers[directory] = _Answer(state, time.monotonic(), files, identities)
    return state


def _repository(directory: Path) -> Path | None:
    """What stands at the top of a working tree, a directory or (in a linked one) a file; None outside of any."""
    try:
        real = directory.resolve()  # where git finds itself
        return next((found for place in (real, *real.parents) if os.path.lexists(found := place / ".git")), None)
    except OSError:
        return None


def _kept_files(repository: Path) -> tuple[Path, ...]:
    """What is another file after each commit, checkout, reset or change of the index."""
    place = repository
    with suppress(OSError, UnicodeDecodeError):  # git will say what it thinks of it
        if repository.is_file():
            place = repository.parent / repository.read_text(encoding="utf-8").strip().removeprefix("gitdir: ")
    return tuple(place / name for name in _KEPT)


def _identities(files: Iterable[Path]) -> tuple[Identity, ...]:
    return tuple(map(_identity, files))


def _identity(path: Path) -> Identity:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def _asked(directory: Path, timeout_seconds: float) -> Git | None:
    try:
        status = _ask(directory, timeout_seconds, "status", "--porcelain=v2", "--branch", "--untracked-files=normal")
    except (OSError, subprocess.SubprocessError):
        return None
    lines = status.splitlines()
    headers = dict(line.removeprefix("# ").split(" ", 1) for line in lines if line.startswith("# branch."))
    commit, branch = headers.get("branch.oid", _INITIAL), headers.get("branch.head", "")
    if commit == _INITIAL:
        return None
    return Git(
        commit=commit,
        branch="" if branch == "(detached)" else branch,
        dirty=any(not line.startswith("#") for line in lines),
    )


def _ask(directory: Path, timeout_seconds: float, *words: str) -> str:
    # Variables that a hook or another repository's command has set would point git elsewhere.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    environment |= {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    # A repository may name a program that git runs to watch its files: not for a look at its state.
    command = ["git", "-c", "core.fsmonitor=false", "-C", str(directory), *words]
    answer = subprocess.run(
        command,
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        stdin=subprocess.DEVNULL,
        timeout=timeout_seconds,
        text=True,
        errors="replace",
    )
    return answer.stdout
