"""A figure, and how two things are measured in turn."""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

__all__ = ["Figure", "compare", "cpu_s", "wall_s"]


class Figure(NamedTuple):
    """A measurement beside what it is held against.

    Attributes
    ----------
    what, ours, unit
        What was measured, its median and its unit.
    against, theirs
        The peer or floor, and its median in the same unit.
    limit
        Largest ratio that the project promises, if it promises one.
    limit_abs
        Largest value of `ours`, in its unit, if it promises that.
    """

    what: str
    ours: float
    unit: str
    against: str
    theirs: float
    limit: float | None = None
    limit_abs: float | None = None

    @property
    def ratio(self) -> float:
        """Ours by theirs."""
        return self.ours / self.theirs if self.theirs else float("inf")

    @property
    def is_met(self) -> bool:
        """Whether what is promised is kept; true when nothing is."""
        within_ratio = self.limit is None or self.ratio <= self.limit
        return within_ratio and (self.limit_abs is None or self.ours <= self.limit_abs)

    @property
    def promised(self) -> str:
        """The limits in words; empty without."""
        limits = [f"{self.limit:.2f} x"] if self.limit is not None else []
        limits += [f"{self.limit_abs:g} {self.unit}".strip()] if self.limit_abs is not None else []
        return ", ".join(limits)


def cpu_s() -> float:
    """CPU seconds of this process and of its children that have ended."""
    spent = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(s.ru_utime + s.ru_stime for s in spent)


def compare(
    ours: Callable[[], object], theirs: Callable[[], object], rounds: int, clock: Callable[[], float] = cpu_s
) -> tuple[float, float]:
    """Medians of the two in seconds, run in turn, after one round that does not count."""
    times: tuple[list[float], list[float]] = ([], [])
    for counted in range(-1, rounds):
        for kept, run in zip(times, (ours, theirs), strict=True):
            start = clock()
            run()
            if counted >= 0:
                kept.append(clock() - start)
    return statistics.median(times[0]), statistics.median(times[1])


wall_s = time.perf_counter
"""Seconds on the wall."""
