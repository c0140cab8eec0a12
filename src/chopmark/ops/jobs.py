"""Verbs about work that runs by itself: what they are asked with and what they answer."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta

from chopmark.base.paging import PAGE_SIZE
from chopmark.domain.jobs import Job, JobState
from chopmark.domain.schedules import Misfire, Schedule
from chopmark.ops.requests import Request
from chopmark.ops.storage import Finding

__all__ = [
    "CancelJob",
    "ExpireRegistry",
    "Expired",
    "GetJob",
    "GetSchedule",
    "JobPage",
    "ListJobs",
    "ListSchedules",
    "PauseSchedule",
    "RemoveSchedule",
    "ResumeSchedule",
    "RetryJob",
    "RunJob",
    "SchedulePage",
    "SetSchedule",
    "SweepPage",
    "SweepStorage",
]

Days = Annotated[float, Meta(ge=0, le=36_500)]


class SetSchedule(Request, frozen=True, kw_only=True):
    """Say when a kind of work is done; replaces the schedule of that name.

    Attributes
    ----------
    kind, arguments
        What is done (`chopmark.domain.job_kinds`).
    cron, zone
        When: minute, hour, day of month, month and day of week by the clock of an IANA time zone.
    misfire
        What becomes of times at which no worker ran: ``skip``: nothing; ``once``: one job for all of them; ``all``: a
        job for each.
    enabled
        Whether it fires; a paused one is resumed later.
    """

    name: str
    kind: str
    cron: str
    zone: str = "UTC"
    arguments: dict[str, Any] = msgspec.field(default_factory=dict)
    misfire: Misfire = "once"
    enabled: bool = True
    reason: str = ""


class RemoveSchedule(Request, frozen=True, kw_only=True):
    """Remove a schedule; its jobs stay."""

    name: str
    reason: str = ""


class PauseSchedule(Request, frozen=True, kw_only=True):
    """Let a schedule fire no more; jobs that wait are done all the same."""

    name: str
    reason: str = ""


class ResumeSchedule(Request, frozen=True, kw_only=True):
    """Let a paused schedule fire again; what fell into the pause is not made up for."""

    name: str
    reason: str = ""


class GetSchedule(Request, frozen=True, kw_only=True):
    """Look up a schedule."""

    name: str


class ListSchedules(Request, frozen=True, kw_only=True):
    """A page of schedules by name."""

    limit: int = PAGE_SIZE
    cursor: str = ""


class SchedulePage(msgspec.Struct, frozen=True, kw_only=True):
    """Schedules, and the cursor of the next page."""

    items: list[Schedule]
    cursor: str = ""


class ListJobs(Request, frozen=True, kw_only=True):
    """A page of jobs, newest first: of a state, a kind, a schedule."""

    state: JobState | None = None
    kind: str = ""
    schedule: str = ""
    limit: int = PAGE_SIZE
    cursor: str = ""


class JobPage(msgspec.Struct, frozen=True, kw_only=True):
    """Jobs, and the cursor of the next page."""

    items: list[Job]
    cursor: str = ""


class GetJob(Request, frozen=True, kw_only=True):
    """Look up a job."""

    job: UUID


class RunJob(Request, frozen=True, kw_only=True):
    """Have something done as soon as a worker is free: a kind of work, or what a schedule does.

    Attributes
    ----------
    kind, arguments
        What is done; left out when a schedule says it.
    schedule
        The schedule whose work is done now, beside its firings.
    """

    kind: str = ""
    arguments: dict[str, Any] = msgspec.field(default_factory=dict)
    schedule: str = ""
    reason: str = ""


class RetryJob(Request, frozen=True, kw_only=True):
    """Try a job again that is dead, was cancelled, or waits for its next attempt."""

    job: UUID
    reason: str = ""


class CancelJob(Request, frozen=True, kw_only=True):
    """End a job that has not ended; one that runs stops at its next step."""

    job: UUID
    reason: str = ""


class SweepStorage(Request, frozen=True, kw_only=True):
    """Read and hash every blob whose digest begins so, a part of them; follow the cursor for the rest.

    Attributes
    ----------
    prefix
        First hexadecimal digits of the digests, one to four.
    """

    prefix: Annotated[str, Meta(pattern="^[0-9a-f]{1,4}$")]
    cursor: str = ""


class SweepPage(msgspec.Struct, frozen=True, kw_only=True):
    """What a part of a sweep found damaged or missing.

    Attributes
    ----------
    findings
        As a check of the registry tells them.
    checked, read_bytes
        Blobs that were looked at, and bytes that were read and hashed.
    cursor
        Of the next part; empty after the last.
    """

    findings: list[Finding]
    checked: int
    read_bytes: int
    cursor: str = ""


class ExpireRegistry(Request, frozen=True, kw_only=True):
    """Forget what is older than so many days, a part of it.

    Beside what is told here, who put which bytes is forgotten after a week, routers that have not reported for an hour are, and
    events that nobody is told of. What became of requests is forgotten after two days; nothing is made of it before that yet.

    Attributes
    ----------
    key_days
        Of keys; a call that is repeated later is a new one.
    job_days, dead_days
        Of jobs that are done or cancelled, and of dead ones.
    token_days
        Of tokens, since they expired or were revoked.
    delivery_days
        Of deliveries to webhooks, whatever became of them.
    """

    key_days: Days = 7.0
    job_days: Days = 30.0
    dead_days: Days = 180.0
    token_days: Days = 90.0
    delivery_days: Days = 30.0


class Expired(msgspec.Struct, frozen=True, kw_only=True):
    """How many were forgotten, and whether there may be more."""

    keys: int
    jobs: int
    tokens: int = 0
    deliveries: int = 0
    outcomes: int = 0
    more: bool
