"""``chopmark job``, ``chopmark schedule`` and ``chopmark worker``: work that runs by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, get_args

import click

from chopmark.cli.changes import show_done
from chopmark.cli.command import Group, command
from chopmark.cli.options import (
    cursor_option,
    dry_run_option,
    json_value,
    limit_option,
    option,
    pairs_option,
    pass_session,
    reason_option,
)
from chopmark.cli.output import Fact
from chopmark.cli.session import Session
from chopmark.cli.tables import Column
from chopmark.cli.words import pairs, stamp, when
from chopmark.domain.job_kinds import KINDS
from chopmark.domain.jobs import Job, JobState
from chopmark.domain.schedules import Misfire, Schedule

__all__ = ["job", "schedule", "worker"]

F = TypeVar("F", bound=Callable[..., Any])

_STATES = click.Choice(get_args(JobState))
_KINDS = ", ".join(KINDS)

job = Group(
    "job",
    help="Work that runs by itself: what waits, what was done, what could not be.",
    examples="""
    chopmark job list --state dead
    chopmark job run backup --set place=/mnt/backups/models
    """,
)

schedule = Group(
    "schedule",
    help="When work runs by itself.",
    examples="""
    chopmark schedule list
    chopmark schedule resume retention
    """,
)

_JOBS = (
    Column("JOB", lambda j: str(j.id), whole=True),
    Column("KIND", lambda j: j.kind),
    Column("STATE", lambda j: j.state),
    Column("ATTEMPT", lambda j: str(j.attempt) if j.attempt > 1 else "", right=True),
    Column("QUEUED (UTC)", lambda j: stamp(j.created_at), whole=True),
    Column("ENDED (UTC)", lambda j: stamp(j.ended_at), whole=True),
    Column("ERROR", lambda j: j.error),
)

_SCHEDULES = (
    Column("SCHEDULE", lambda s: s.name, whole=True),
    Column("KIND", lambda s: s.kind),
    Column("WHEN", lambda s: s.cron, whole=True),
    Column("ZONE", lambda s: s.zone),
    Column("NEXT (UTC)", lambda s: stamp(s.next_at) or "paused", whole=True),
    Column("TOLD", lambda s: pairs(s.arguments)),
)


def _job_argument() -> Callable[[F], F]:
    return click.argument("job_id", metavar="JOB", help="The id of a job, as 'chopmark job list' shows it.")


def _name_argument() -> Callable[[F], F]:
    return click.argument("name", metavar="NAME", help="The name of a schedule.")


def _told_option() -> Callable[[F], F]:
    return pairs_option("--set", "What the work is told, as often as needed: place=/mnt/backups.", json_value)


def _show_job(session: Session, found: Job) -> None:
    facts: list[Fact] = [
        ("told", pairs(found.arguments)),
        ("schedule", found.schedule and f"{found.schedule}, for {when(found.fire_at) or 'now'}"),
        ("attempts", f"{found.attempt} of {found.attempts_max}" if found.attempt else ""),
        ("not before", when(found.run_after) if found.state in ("queued", "failed") else ""),
        ("worker", found.worker),
        ("queued", f"{when(found.created_at)} by {found.created_by}"),
        ("begun", when(found.started_at)),
        ("ended", when(found.ended_at)),
        ("result", pairs(found.result)),
        ("error", found.error),
    ]
    session.output.record(
        found, name=str(found.id), title=f"job {found.id} · {found.kind} · {found.state}", facts=facts
    )


def _show_schedule(session: Session, found: Schedule) -> None:
    next_at = when(found.next_at) if found.enabled else "paused"
    facts: list[Fact] = [
        ("told", pairs(found.arguments)),
        ("when", f"{found.cron} ({found.zone})"),
        ("next", next_at),
        ("when missed", found.misfire),
    ]
    session.output.record(found, name=found.name, title=f"{found.name} · {found.kind}", facts=facts)


@job.command(
    "list",
    examples="""
    chopmark job list
    chopmark job list --state dead
    chopmark job list --kind integrity --json
    """,
)
@option("--state", type=_STATES, help="Only those in this state.")
@option("--kind", default="", metavar="KIND", help=f"Only those of this kind of work: {_KINDS}.")
@option("--schedule", default="", metavar="NAME", help="Only those of this schedule.")
@limit_option()
@cursor_option()
@pass_session
def list_jobs(session: Session, state: JobState | None, kind: str, schedule: str, limit: int, cursor: str) -> None:
    """List jobs, newest first.

    A 'failed' job waits for its next attempt; a 'dead' one was given up, and waits for somebody.
    """
    found = session.registry().jobs.list(state=state, kind=kind, schedule=schedule, limit=limit, cursor=cursor)
    session.output.page(found, _JOBS, name=lambda j: str(j.id), cursor=found.cursor, empty="There are no such jobs.")


@job.command(
    "get",
    examples="""
    chopmark job get 019b1c7e-7d1c-7000-8000-1f0c8a5be9d2
    """,
)
@_job_argument()
@pass_session
def get_job(session: Session, job_id: str) -> None:
    """Show a job: what it was told, what it answered, why it failed."""
    _show_job(session, session.registry().jobs.get(job_id))


@job.command(
    "run",
    examples="""
    chopmark job run integrity --set share=1
    chopmark job run --schedule nightly --reason "before the move"
    """,
)
@click.argument("kind", metavar="[KIND]", required=False, default="", help=f"What to do: {_KINDS}.")
@_told_option()
@option("--schedule", default="", metavar="NAME", help="Do what this schedule does, now.")
@reason_option()
@dry_run_option()
@pass_session
def run_job(session: Session, kind: str, set: dict[str, Any], schedule: str, reason: str) -> None:  # noqa: A002
    """Have something done as soon as a worker is free.

    Workers run in 'chopmark serve', or as 'chopmark worker' beside it.
    """
    _show_job(session, session.registry().jobs.run(kind, set, schedule=schedule, reason=reason))


@job.command(
    "retry",
    examples="""
    chopmark job retry 019b1c7e-7d1c-7000-8000-1f0c8a5be9d2 --reason "the disk is back"
    """,
)
@_job_argument()
@reason_option()
@dry_run_option()
@pass_session
def retry_job(session: Session, job_id: str, reason: str) -> None:
    """Try a job again that is dead, was cancelled, or waits for its next attempt."""
    _show_job(session, session.registry().jobs.retry(job_id, reason=reason))


@job.command(
    "cancel",
    examples="""
    chopmark job cancel 019b1c7e-7d1c-7000-8000-1f0c8a5be9d2
    """,
)
@_job_argument()
@reason_option()
@dry_run_option()
@pass_session
def cancel_job(session: Session, job_id: str, reason: str) -> None:
    """End a job that has not ended; one that runs stops at its next step."""
    _show_job(session, session.registry().jobs.cancel(job_id, reason=reason))


@schedule.command(
    "set",
    examples="""
    chopmark schedule set nightly backup "30 2 * * *" --set place=/mnt/backups
    chopmark schedule set weekly integrity @weekly --zone Europe/Berlin --set share=0.25
    """,
)
@_name_argument()
@click.argument("kind", metavar="KIND", help=f"What to do: {_KINDS}.")
@click.argument("cron", metavar="WHEN", help="Minute, hour, day, month, weekday, in quotation marks; or @daily …")
@option("--zone", default="UTC", metavar="ZONE", help="Whose clock is meant: Europe/Berlin.  [UTC]")
@_told_option()
@option(
    "--misfire",
    type=click.Choice(get_args(Misfire)),
    default="once",
    help="What becomes of times at which no worker ran.  [once]",
)
@option("--paused", is_flag=True, help="Let it not fire yet.")
@reason_option()
@dry_run_option()
@pass_session
def set_schedule(
    session: Session,
    name: str,
    kind: str,
    cron: str,
    zone: str,
    set: dict[str, Any],  # noqa: A002
    misfire: Misfire,
    paused: bool,
    reason: str,
) -> None:
    """Say when a kind of work is done; replaces the schedule of that name."""
    found = session.registry().jobs.set_schedule(
        name, kind, cron, zone=zone, arguments=set, misfire=misfire, enabled=not paused, reason=reason
    )
    _show_schedule(session, found)


@schedule.command(
    "get",
    examples="""
    chopmark schedule get integrity
    """,
)
@_name_argument()
@pass_session
def get_schedule(session: Session, name: str) -> None:
    """Show a schedule, and when it fires next."""
    _show_schedule(session, session.registry().jobs.schedule(name))


@schedule.command(
    "list",
    examples="""
    chopmark schedule list
    """,
)
@limit_option()
@cursor_option()
@pass_session
def list_schedules(session: Session, limit: int, cursor: str) -> None:
    """List schedules by name, and when each fires next."""
    found = session.registry().jobs.schedules(limit=limit, cursor=cursor)
    empty = "There are no schedules; the first start of 'chopmark serve' makes some."
    session.output.page(found, _SCHEDULES, name=lambda s: s.name, cursor=found.cursor, empty=empty)


@schedule.command(
    "remove",
    examples="""
    chopmark schedule remove nightly
    """,
)
@_name_argument()
@reason_option()
@dry_run_option()
@pass_session
def remove_schedule(session: Session, name: str, reason: str) -> None:
    """Remove a schedule; its jobs stay."""
    show_done(session, session.registry().jobs.remove_schedule(name, reason=reason))


@schedule.command(
    "pause",
    examples="""
    chopmark schedule pause integrity --reason "the store is being moved"
    """,
)
@_name_argument()
@reason_option()
@dry_run_option()
@pass_session
def pause(session: Session, name: str, reason: str) -> None:
    """Let a schedule fire no more; jobs that wait are done all the same."""
    _show_schedule(session, session.registry().jobs.pause(name, reason=reason))


@schedule.command(
    "resume",
    examples="""
    chopmark schedule resume retention --reason "agreed with the team"
    """,
)
@_name_argument()
@reason_option()
@dry_run_option()
@pass_session
def resume(session: Session, name: str, reason: str) -> None:
    """Let a paused schedule fire again; what fell into the pause is not made up for."""
    _show_schedule(session, session.registry().jobs.resume(name, reason=reason))


@command(
    "worker",
    examples="""
    chopmark worker
    chopmark worker --jobs 4 --database postgresql://db/chopmark --store s3://models
    """,
)
@option(
    "--jobs",
    "threads",
    type=click.IntRange(1, 100),
    default=None,
    help="Jobs at one time.  [the setting worker_jobs: 2]",
)
@pass_session
def worker(session: Session, threads: int | None) -> None:
    """Do the jobs of this registry until it is told to stop.

    Runs where database and store can be reached, as many of them as wanted. Ctrl-C or SIGTERM ends it: what it works on
    is finished, or handed back when that takes longer than the setting worker_stop_s.
    """
    from chopmark.workers.process import work

    session.arguments |= {"worker_jobs": threads}
    work(session.resolved(), tell=click.echo)
