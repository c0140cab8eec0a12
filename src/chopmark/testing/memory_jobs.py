"""Schedules and the queue of jobs in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from uuid import UUID

from msgspec import structs

from chopmark.abc.jobs import JobList, ScheduleList
from chopmark.base.jsons import decode, encode
from chopmark.domain.jobs import Job, JobState, claimable_at, claimed, is_due
from chopmark.domain.schedules import Schedule
from chopmark.testing.memory_state import Surface

__all__ = ["MemoryJobs", "MemorySchedules"]


class MemorySchedules(Surface):
    """`chopmark.abc.jobs.Schedules`."""

    def get(self, name: str) -> Schedule | None:
        """See the interface."""
        body = self._scope.read.schedules.get(name)
        return None if body is None else decode(body, Schedule)

    def list(self, *, after: str = "", limit: int) -> ScheduleList:
        """See the interface."""
        return [each for each in self._all() if each.name > after][:limit]

    def put(self, schedule: Schedule) -> None:
        """See the interface."""
        self._scope.write.schedules[schedule.name] = encode(schedule)

    def remove(self, name: str) -> bool:
        """See the interface."""
        return self._scope.write.schedules.pop(name, None) is not None

    def due(self, now: datetime, *, limit: int) -> ScheduleList:
        """See the interface."""
        waiting = [(each.next_at, each.name, each) for each in self._all() if each.enabled and each.next_at is not None]
        return [each for next_at, _, each in sorted(waiting, key=lambda w: w[:2]) if next_at <= now][:limit]

    def advance(self, schedule: Schedule, seen: Schedule) -> bool:
        """See the interface."""
        there = self.get(seen.name)
        if there is None or not there.enabled:
            return False
        if (there.next_at, there.updated_at) != (seen.next_at, seen.updated_at):
            return False
        self.put(structs.replace(there, next_at=schedule.next_at))
        return True

    def next_at(self) -> datetime | None:
        """See the interface."""
        return min((each.next_at for each in self._all() if each.enabled and each.next_at is not None), default=None)

    def _all(self) -> Iterator[Schedule]:
        stored = self._scope.read.schedules
        return (decode(stored[name], Schedule) for name in sorted(stored))


class MemoryJobs(Surface):
    """`chopmark.abc.jobs.Jobs`."""

    def now(self) -> datetime | None:
        """See the interface."""
        return None

    def add(self, job: Job) -> bool:
        """See the interface."""
        firing = (job.schedule, job.fire_at)
        if job.fire_at is not None and any((each.schedule, each.fire_at) == firing for each in self._all()):
            return False
        self._scope.write.jobs[job.id] = encode(job)
        return True

    def get(self, job_id: UUID) -> Job | None:
        """See the interface."""
        body = self._scope.read.jobs.get(job_id)
        return None if body is None else decode(body, Job)

    def list(
        self,
        *,
        state: JobState | None = None,
        kind: str = "",
        schedule: str = "",
        after: UUID | None = None,
        limit: int,
    ) -> JobList:
        """See the interface."""
        found = [
            job
            for job in self._all()
            if state in (None, job.state)
            and kind in ("", job.kind)
            and schedule in ("", job.schedule)
            and (after is None or job.id < after)
        ]
        return sorted(found, key=lambda job: job.id, reverse=True)[:limit]

    def claim(self, kinds: Sequence[str], worker: str, now: datetime, lease_s: float, *, limit: int) -> JobList:
        """See the interface."""
        jobs = self._scope.write.jobs
        due = [job for job in self._all() if job.kind in kinds and is_due(job, now)]
        taken = [claimed(job, worker, now, lease_s) for job in sorted(due, key=_waiting_since)][:limit]
        jobs.update((job.id, encode(job)) for job in taken)
        return sorted(taken, key=lambda job: (job.run_after, job.id))

    def extend(self, job: Job, lease_until: datetime) -> bool:
        """See the interface."""
        jobs, there = self._scope.write.jobs, self.get(job.id)
        if there is None or there.fence != job.fence or there.state != "running":
            return False
        jobs[job.id] = encode(structs.replace(there, lease_until=lease_until))
        return True

    def settle(self, job: Job, seen: Job) -> bool:
        """See the interface."""
        jobs, there = self._scope.write.jobs, self.get(seen.id)
        if there is None or (there.fence, there.state) != (seen.fence, seen.state):
            return False
        jobs[seen.id] = encode(job)
        return True

    def next_at(self, kinds: Sequence[str]) -> datetime | None:
        """See the interface."""
        times = (claimable_at(job) for job in self._all() if job.kind in kinds)
        return min((time for time in times if time is not None), default=None)

    def remove_ended(self, states: Sequence[JobState], before: datetime, *, limit: int) -> int:
        """See the interface."""
        jobs = self._scope.write.jobs
        gone = [job.id for job in self._all() if job.state in states and job.ended_at and job.ended_at < before][:limit]
        for job_id in gone:
            del jobs[job_id]
        return len(gone)

    def _all(self) -> Iterator[Job]:
        return (decode(body, Job) for body in list(self._scope.read.jobs.values()))


def _waiting_since(job: Job) -> tuple[datetime, UUID]:
    return claimable_at(job) or job.created_at, job.id
