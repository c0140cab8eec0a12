"""Work that runs by itself: what a job is, and what may become of it; pure.

Nouns
-----
*kind*: what is done (``integrity``); a function of a worker, with arguments of its own (`chopmark.domain.job_kinds`).
*schedule*: when (`chopmark.domain.schedules`). *Firing*: one time of it. *Job*: one firing, or one wish of somebody; it is tried
until it is done. *Worker*: a process that takes jobs. *Lease*: until when a worker has a job. *Fence*: a number that goes
up each time a job changes hands.

States
------
::

    queued ──→ running ──→ done
      ↑  ↑       │ │ └───→ dead ──(retry)──→ queued
      │  └─────── │ └────→ failed ──→ running        its next attempt, after a pause
      │  returned │
      │           └─(its lease ran out)──→ running   of another worker
      └─ anything that has not ended ──(cancel)──→ cancelled ──(retry)──→ queued

What must stay true
-------------------
1. A firing of a schedule becomes one job, however many processes look at the clock: (schedule, fire time) is unique.
2. At one time one worker has a job. Who lost it changes nothing of it: whatever is written after a claim carries the fence that
   the claim gave, and changes no row that has another.
3. A job that began is tried again when its worker vanishes, until its attempts are used up. So what a kind does must be
   such that doing it twice does no harm.
4. Nothing is silently given up: a job ends as ``done``, by somebody's hand as ``cancelled``, or as ``dead``, which stays in sight and
   can be tried again.
5. Leases are compared by one clock: that of the database's server where there is one (`chopmark.workers.clock`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

import msgspec
from msgspec import structs

from chopmark.errors import Conflict

__all__ = [
    "ATTEMPTS_MAX",
    "ENDED",
    "ERROR_LENGTH_MAX",
    "OPEN",
    "Job",
    "JobState",
    "backoff_s",
    "cancelled",
    "claimable_at",
    "claimed",
    "failed",
    "finished",
    "given_up",
    "is_due",
    "retried",
    "returned",
    "should_extend",
]

JobState = Literal["queued", "running", "failed", "done", "dead", "cancelled"]

OPEN: tuple[JobState, ...] = ("queued", "running", "failed")
"""States in which a worker may still take it."""

ENDED: tuple[JobState, ...] = ("done", "dead", "cancelled")

ATTEMPTS_MAX = 5
ERROR_LENGTH_MAX = 2_000

_FIRST_PAUSE_S = 5.0
_LONGEST_PAUSE_S = 3_600.0
_DOUBLINGS_MAX = 30  # far beyond the longest pause, and far from what overflows


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One piece of work.

    Attributes
    ----------
    kind, arguments
        What is done.
    schedule, fire_at
        The schedule and its time; empty and None for a job that somebody asked for.
    state
        ``queued``: never tried; ``running``; ``failed``: its last attempt failed and the next one waits; ``done``;
        ``dead``: given up; ``cancelled``: somebody ended it.
    attempt, attempts_max
        How often it was begun, and how often it may be.
    run_after
        Not to be begun before.
    lease_until
        While it runs: when it is taken for lost unless its worker says that it is alive.
    worker
        Who had it last.
    fence
        Goes up whenever the job changes hands; see the module.
    result
        What it answered, or what it left for its next attempt.
    error
        Why the last attempt failed.
    created_by
        Who asked for it; a schedule's is the schedule.
    """

    id: UUID
    kind: str
    arguments: dict[str, Any] = {}
    schedule: str = ""
    fire_at: datetime | None = None
    state: JobState = "queued"
    attempt: int = 0
    attempts_max: int = ATTEMPTS_MAX
    run_after: datetime
    lease_until: datetime | None = None
    worker: str = ""
    fence: int = 0
    result: dict[str, Any] = {}
    error: str = ""
    created_at: datetime
    created_by: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None

    def __repr__(self) -> str:
        tried = f" · attempt {self.attempt} of {self.attempts_max}" if self.attempt else ""
        return f"<job {self.id} · {self.kind} · {self.state}{tried}>"


def claimable_at(job: Job) -> datetime | None:
    """From when a worker may take a job: after its pause, or when its lease has run out; None when it has ended."""
    if job.state == "running":
        return job.lease_until
    return job.run_after if job.state in OPEN else None


def is_due(job: Job, now: datetime) -> bool:
    """Whether a worker may take it now."""
    time = claimable_at(job)
    return time is not None and time <= now


def claimed(job: Job, worker: str, now: datetime, lease_s: float) -> Job:
    """The job as a worker takes it; what a catalog's claim makes of it.

    A job whose attempts are used up is claimed all the same, so that its claimer gives it up (`given_up`): its last worker
    vanished.
    """
    return structs.replace(
        job,
        state="running",
        attempt=job.attempt + 1,
        fence=job.fence + 1,
        worker=worker,
        lease_until=now + timedelta(seconds=lease_s),
        started_at=now,
    )


def should_extend(job: Job, now: datetime, limit_s: float) -> bool:
    """Whether a worker still says that its job is alive; one that takes longer than the limit is left to another attempt."""
    return job.started_at is not None and now < job.started_at + timedelta(seconds=limit_s)


def finished(job: Job, now: datetime, result: Mapping[str, Any]) -> Job:
    """A job that did what it should."""
    return structs.replace(job, state="done", lease_until=None, result=dict(result), error="", ended_at=now)


def failed(job: Job, now: datetime, error: str, jitter: float, result: Mapping[str, Any] | None = None) -> Job:
    """A job whose attempt failed: it waits for the next one, or is dead when that was the last.

    Parameters
    ----------
    error
        Why.
    jitter
        From 0 to 1, drawn by the caller; see `backoff_s`.
    result
        What the attempt leaves to the next one; what was there stays when None.
    """
    if job.attempt >= job.attempts_max:
        return given_up(job, now, error, result)
    return structs.replace(
        job,
        state="failed",
        run_after=now + timedelta(seconds=backoff_s(job.attempt, jitter)),
        lease_until=None,
        result=job.result if result is None else dict(result),
        error=_cut(error),
    )


def given_up(job: Job, now: datetime, error: str, result: Mapping[str, Any] | None = None) -> Job:
    """A job that no further attempt would help."""
    return structs.replace(
        job,
        state="dead",
        attempt=min(job.attempt, job.attempts_max),
        lease_until=None,
        result=job.result if result is None else dict(result),
        error=_cut(error),
        ended_at=now,
    )


def returned(job: Job, now: datetime) -> Job:
    """A job that its worker hands back because it ends: at once anybody's, and no attempt was used."""
    return structs.replace(
        job, state="queued", attempt=job.attempt - 1, fence=job.fence + 1, run_after=now, lease_until=None
    )


def cancelled(job: Job, now: datetime) -> Job:
    """A job that somebody ended. A worker that has it learns so when it next says that it is alive.

    Raises
    ------
    Conflict
        When it has ended already.
    """
    if job.state in ENDED:
        raise Conflict(f"The job {job.id} has ended already: it is {job.state}.")
    return structs.replace(job, state="cancelled", fence=job.fence + 1, lease_until=None, ended_at=now)


def retried(job: Job, now: datetime) -> Job:
    """A job that is tried again from its first attempt, at once.

    Raises
    ------
    Conflict
        When it is done, runs, or waits for its first attempt.
    """
    if job.state not in ("dead", "cancelled", "failed"):
        hint = f"Run it once more as a new one: chopmark job run {job.kind}" if job.state == "done" else ""
        raise Conflict(f"The job {job.id} is {job.state}; there is nothing to try again.", hint=hint)
    return structs.replace(job, state="queued", attempt=0, fence=job.fence + 1, run_after=now, ended_at=None)


def backoff_s(attempt: int, jitter: float) -> float:
    """Seconds between a failed attempt and the next: 5, 10, 20 … up to an hour, each shortened by up to half.

    Parameters
    ----------
    attempt
        The one that failed, from 1.
    jitter
        From 0 to 1: of the half that is left to chance. Jobs that failed together do not all come back together.

    Examples
    --------
    >>> [backoff_s(n, 1.0) for n in (1, 2, 3, 20)]
    [5.0, 10.0, 20.0, 3600.0]
    >>> backoff_s(2, 0.0)
    5.0
    """
    longest_s: float = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** min(attempt - 1, _DOUBLINGS_MAX))
    return longest_s * (0.5 + 0.5 * jitter)


def _cut(text: str) -> str:
    return text if len(text) <= ERROR_LENGTH_MAX else text[: ERROR_LENGTH_MAX - 1] + "…"
