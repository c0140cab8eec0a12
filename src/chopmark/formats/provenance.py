"""The state of the working tree that a version was made in."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from chopmark.domain.versions import Git

__all__ = ["git_state"]

TIMEOUT_SECONDS = 5.0


def git_state(directory: Path, *, timeout_seconds: float = TIMEOUT_SECONDS) -> Git | None:
    """Commit, branch and whether tracked or new files differ from the commit.

    Asks the ``git`` command, changes nothing (not even git's index), and never fails: None when
    the directory is in no repository, the repository has no commit or belongs to somebody else,
    ``git`` is missing, or does not answer in time.

    Parameters
    ----------
    directory
        Anywhere within the working tree.
    timeout_seconds
        For each of the two questions.
    """
    try:
        head = _ask(directory, timeout_seconds, "rev-parse", "--verify", "HEAD")
        status = _ask(directory, timeout_seconds, "status", "--porcelain=v2", "--branch", "--untracked-files=normal")
    except (OSError, subprocess.SubprocessError):
        return None
    lines = status.splitlines()
    branch = next((line.removeprefix("# branch.head ") for line in lines if line.startswith("# branch.head ")), "")
    return Git(
        commit=head.strip(),
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
        capture_output=True,
        env=environment,
        stdin=subprocess.DEVNULL,
        timeout=timeout_seconds,
        text=True,
        errors="replace",
    )
    return answer.stdout
