"""Several ways to do the same work, in turn: CPU and wall of each, and nothing of what one left to the disk is paid by the next."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from benchmarks.figures import Figure, cpu_s, wall_s

__all__ = ["BASE", "Here", "Spent", "Way", "against_base", "in_turn", "median"]

BASE = "cp + SHA-256, no sync"
"""Copying with ``cp`` and hashing with hashlib, one after the other, without waiting for the disk: what all are held against."""


class Spent(NamedTuple):
    """Seconds on the wall, and of CPU: user and system, of the process and of its children that have ended."""

    wall_s: float
    cpu_s: float

    def in_unit(self, unit: str) -> float:
        """The one called ``wall`` or ``CPU``."""
        return self.wall_s if unit == "wall" else self.cpu_s


class Way(Protocol):
    """One way to do the work. Only `run` is timed, by itself; the other two put all as it was before."""

    def prepare(self) -> None:
        """Bring about what the work starts from."""

    def run(self) -> Spent:
        """Do it."""

    def tidy(self) -> None:
        """Put what it left out of the way."""


class Here:
    """A way that is a call in this process.

    Parameters
    ----------
    call
        The work.
    before, after
        What comes before and after it and is not timed.
    """

    def __init__(
        self,
        call: Callable[[], object],
        *,
        before: Callable[[], object] = lambda: None,
        after: Callable[[], object] = lambda: None,
    ) -> None:
        self._call = call
        self._before = before
        self._after = after

    def prepare(self) -> None:
        """Do what comes before."""
        self._before()

    def run(self) -> Spent:
        """Time the call."""
        cpu, wall = cpu_s(), wall_s()
        self._call()
        return Spent(wall_s() - wall, cpu_s() - cpu)

    def tidy(self) -> None:
        """Do what comes after."""
        self._after()


def in_turn(ways: Mapping[str, Way], rounds: int) -> dict[str, list[Spent]]:
    """What each way spent in each round, after a round that does not count.

    The order turns round by round, so that none always follows the same other one. Before each the disk is given all that
    waits for it: otherwise whoever syncs would pay for what those before him left unsynced.
    """
    spent: dict[str, list[Spent]] = {name: [] for name in ways}
    for counted in range(-1, rounds):
        names = list(ways) if counted % 2 else list(reversed(list(ways)))
        for name in names:
            way = ways[name]
            way.prepare()
            try:
                os.sync()
                took = way.run()
            finally:
                way.tidy()
            if counted >= 0:
                spent[name].append(took)
    return spent


def median(spent: Sequence[Spent]) -> Spent:
    """The median of each of the two."""
    return Spent(statistics.median(s.wall_s for s in spent), statistics.median(s.cpu_s for s in spent))


def against_base(
    what: str, ours: Sequence[Spent], theirs: Sequence[Spent], *, against: str = BASE, limit: float | None = None
) -> list[Figure]:
    """The figures on the wall, which the limit is for, and of CPU."""
    our, their = median(ours), median(theirs)
    return [
        Figure(f"{what}, {unit}", our.in_unit(unit), "s", against, their.in_unit(unit), limit=promised)
        for unit, promised in (("wall", limit), ("CPU", None))
    ]
