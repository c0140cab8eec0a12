"""What work that runs by itself asks of a catalog: schedules, and the queue of jobs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from chopmark.domain.jobs import Job, JobState
from chopmark.domain.schedules import Schedule

__all__ = ["Jobs", "Schedules"]

JobList = list[Job]  # inside the classes below, ``list`` is a method
ScheduleList = list[Schedule]


class Schedules(Protocol):
    """Schedules by name."""

    def get(self, name: str) -> Schedule | None:
        """The schedule, or None."""
        ...

    def list(self, *, after: str = "", limit: int) -> ScheduleList:
        """In order of their names, from the first after ``after``."""
        ...

    def put(self, schedule: Schedule) -> None:
        """Add one, or replace the one of that name."""
        ...

    def remove(self, name: str) -> bool:
        """Remove one; whether it was there. Its jobs stay."""
        ...

    def due(self, now: datetime, *, limit: int) -> ScheduleList:
        """Enabled ones whose next firing is not after ``now``, the one that waits longest first."""
        ...

    def advance(self, schedule: Schedule, seen: Schedule) -> bool:
        """Move the next firing on, unless somebody has moved it, or changed the schedule, since it was ``seen``."""
        ...

    def next_at(self) -> datetime | None:
        """The next firing of them all."""
        ...


class Jobs(Protocol):
    """The queue of jobs.

    What may become of a job is decided in `chopmark.domain.jobs`; here it is stored, on condition that nobody else was quicker.
    """

    def now(self) -> datetime | None:
        """The time of the database's server; None where there is none and every process reads one machine's clock."""
        ...

    def add(self, job: Job) -> bool:
        """Queue a job; False, and nothing is added, when its schedule has a job for that firing already."""
        ...

    def get(self, job_id: UUID) -> Job | None:
        """The job, or None."""
        ...

    def list(
        self,
        *,
        state: JobState | None = None,
        kind: str = "",
        schedule: str = "",
        after: UUID | None = None,
        limit: int,
    ) -> JobList:
        """Those of a state, kind and schedule, newest first, from the first after (older than) ``after``."""
        ...

    def claim(self, kinds: Sequence[str], worker: str, now: datetime, lease_s: float, *, limit: int) -> JobList:
        """Take jobs of these kinds that are due, as `domain.jobs.claimed` makes them; who waits longest first.

        No two callers get the same job, and none waits for another's transaction to end.
        """
        ...

    def extend(self, job: Job, lease_until: datetime) -> bool:
        """Say that a running job is alive; False when it is no longer its worker's, by its fence."""
        ...

    def settle(self, job: Job, seen: Job) -> bool:
        """Store what became of a job; False, and nothing changes, when fence or state are no longer as ``seen``."""
        ...

    def next_at(self, kinds: Sequence[str]) -> datetime | None:
        """When the first job of these kinds may be taken: in the past when one waits."""
        ...

    def remove_ended(self, states: Sequence[JobState], before: datetime, *, limit: int) -> int:
        """Remove jobs of these states that ended before a time, at most so many; how many."""
        ...
