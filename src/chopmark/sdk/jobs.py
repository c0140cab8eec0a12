"""``registry.jobs``: work that runs by itself, and when."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from chopmark.domain.jobs import Job, JobState
from chopmark.domain.names import shown
from chopmark.domain.schedules import Misfire, Schedule
from chopmark.errors import InvalidRequest
from chopmark.ops import jobs as q
from chopmark.ops.results import Done
from chopmark.sdk.results import Page
from chopmark.sdk.surface import JobReference, Surface, checked_mapping

__all__ = ["Jobs"]


class Jobs(Surface):
    """Verbs about jobs and schedules. Workers do the jobs: `chopmark serve`, or `chopmark worker` beside it."""

    def list(
        self,
        *,
        state: JobState | None = None,
        kind: str = "",
        schedule: str = "",
        limit: int = 50,
        cursor: str = "",
    ) -> Page[Job]:
        """Jobs, newest first, a page at a time.

        Parameters
        ----------
        state
            Only those ``queued``, ``running``, ``failed`` (waiting for their next attempt), ``done``, ``dead`` or
            ``cancelled``.
        kind, schedule
            Only those of this kind of work, or of this schedule.
        """
        page: q.JobPage = self._call(q.ListJobs(state=state, kind=kind, schedule=schedule, limit=limit, cursor=cursor))
        return Page(page.items, page.cursor)

    def get(self, job: JobReference) -> Job:
        """A job as it is now."""
        found: Job = self._call(q.GetJob(job=_id_of(job)))
        return found

    def run(
        self, kind: str = "", arguments: Mapping[str, Any] | None = None, *, schedule: str = "", reason: str = ""
    ) -> Job:
        """Have something done as soon as a worker is free; answers the job, which waits.

        Parameters
        ----------
        kind, arguments
            What is done: ``retention``, ``integrity``, ``expiry``, ``rollup`` or ``backup``, and what it is told.
        schedule
            Instead: what this schedule does, now, beside its firings.
        """
        told = dict(checked_mapping(arguments, "arguments"))
        queued: Job = self._call(q.RunJob(kind=kind, arguments=told, schedule=schedule, reason=reason))
        return queued

    def retry(self, job: JobReference, *, reason: str = "") -> Job:
        """Try a job again that is dead, was cancelled, or waits for its next attempt."""
        queued: Job = self._call(q.RetryJob(job=_id_of(job), reason=reason))
        return queued

    def cancel(self, job: JobReference, *, reason: str = "") -> Job:
        """End a job that has not ended; one that runs stops at its next step."""
        ended: Job = self._call(q.CancelJob(job=_id_of(job), reason=reason))
        return ended

    def schedule(self, name: str) -> Schedule:
        """A schedule as it is now."""
        found: Schedule = self._call(q.GetSchedule(name=name))
        return found

    def schedules(self, *, limit: int = 50, cursor: str = "") -> Page[Schedule]:
        """Schedules by name, a page at a time."""
        page: q.SchedulePage = self._call(q.ListSchedules(limit=limit, cursor=cursor))
        return Page(page.items, page.cursor)

    def set_schedule(
        self,
        name: str,
        kind: str,
        cron: str,
        *,
        zone: str = "UTC",
        arguments: Mapping[str, Any] | None = None,
        misfire: Misfire = "once",
        enabled: bool = True,
        reason: str = "",
    ) -> Schedule:
        """Say when a kind of work is done; replaces the schedule of that name.

        Parameters
        ----------
        name
            Of the schedule.
        kind, arguments
            What is done, and what it is told.
        cron, zone
            ``30 2 * * *`` or ``@daily``, by the clock of an IANA time zone.
        misfire
            What becomes of times at which no worker ran: ``skip``: nothing; ``once``: one job for all of them; ``all``:
            a job for each.
        enabled
            Whether it fires.

        >>> from chopmark.testing.registry import memory_registry
        >>> registry = memory_registry()
        >>> nightly = registry.jobs.set_schedule("nightly", "backup", "@daily", arguments={"place": "/mnt/backups"})
        >>> registry.jobs.run(schedule="nightly", reason="before the move").kind
        'backup'
        """
        request = q.SetSchedule(
            name=name,
            kind=kind,
            cron=cron,
            zone=zone,
            arguments=dict(checked_mapping(arguments, "arguments")),
            misfire=misfire,
            enabled=enabled,
            reason=reason,
        )
        schedule: Schedule = self._call(request)
        return schedule

    def remove_schedule(self, name: str, *, reason: str = "") -> Done:
        """Remove a schedule; its jobs stay."""
        done: Done = self._call(q.RemoveSchedule(name=name, reason=reason))
        return done

    def pause(self, name: str, *, reason: str = "") -> Schedule:
        """Let a schedule fire no more; jobs that wait are done all the same."""
        schedule: Schedule = self._call(q.PauseSchedule(name=name, reason=reason))
        return schedule

    def resume(self, name: str, *, reason: str = "") -> Schedule:
        """Let a paused schedule fire again; what fell into the pause is not made up for."""
        schedule: Schedule = self._call(q.ResumeSchedule(name=name, reason=reason))
        return schedule


def _id_of(job: JobReference) -> UUID:
    if isinstance(job, Job):
        return job.id
    try:
        return job if isinstance(job, UUID) else UUID(job)
    except (ValueError, AttributeError, TypeError) as error:
        raise InvalidRequest(f"{shown(job)} is no id of a job.", hint="See ids with: chopmark job list") from error
