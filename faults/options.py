"""What a run of the faults is asked."""

from __future__ import annotations

import random
import shutil
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Options"]


@dataclass(frozen=True)
class Options:
    """What was asked on the command line, for every part.

    Attributes
    ----------
    seed
        Where all randomness comes from, by `random`.
    short
        Whether this is the short form that CI runs.
    kills
        How many processes the kill harness kills.
    versions
        How many versions the catalog of `faults.startup` holds.
    scratch
        A directory of this run, removed at its end. Use one below it of your own.
    keep
        Where `kept` moves what a finding is about.
    """

    seed: int
    short: bool
    kills: int
    versions: int
    scratch: Path
    keep: Path

    def rounds(self, full: int, short: int) -> int:
        """The number for this form of the run."""
        return short if self.short else full

    def random(self, *what: object) -> random.Random:
        """Randomness of its own for a part, a round, …: the same for the same seed, whatever ran before."""
        return random.Random(":".join(map(str, (self.seed, *what))))

    def place(self, name: str) -> Path:
        """A directory of that name in the scratch directory, made."""
        path = self.scratch / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def kept(self, name: str, directory: Path) -> Path:
        """Copy the directory that a finding is about to where it survives the run; where it is now."""
        target = self.keep / name
        shutil.copytree(directory, target, symlinks=True, dirs_exist_ok=True)
        return target
