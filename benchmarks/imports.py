"""What starting costs: an interpreter alone is the floor."""

from __future__ import annotations

import subprocess
import sys

from benchmarks.figures import Figure, compare

__all__ = ["figures"]


def figures(rounds: int) -> list[Figure]:
    """CPU of ``import chopmark`` and of ``chopmark --help``."""

    def run(*arguments: str) -> None:
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)

    found = []
    for what, arguments in (
        ("import chopmark, CPU", ("-c", "import chopmark")),
        ("chopmark --help, CPU", ("-m", "chopmark", "--help")),
    ):
        ours, theirs = compare(lambda a=arguments: run(*a), lambda: run("-c", "pass"), rounds)  # type: ignore[misc]
        found.append(Figure(what, ours * 1e3, "ms", "python -c pass", theirs * 1e3))
    return found
