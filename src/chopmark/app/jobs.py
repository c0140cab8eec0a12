"""Schedules and jobs: set, listed, run, tried again, cancelled.

That a job is taken, kept and settled is no op: it changes nothing of the registry, and `chopmark.workers` does it beside the
door. What a job does of the registry goes through the door, and names the job.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from chopmark.app.bytes_shown import KNOWN_FOR
from chopmark.app.context import Context
from chopmark.app.outcome_folding import fold_a_part
from chopmark.base.jsons import canonical, plain_values
from chopmark.base.paging import check_limit, decode_cursor, encode_cursor
from chopmark.domain.job_kinds import check_arguments
from chopmark.domain.jobs import Job, JobState, cancelled, retried
from chopmark.domain.names import check_name
from chopmark.domain.schedules import Schedule, check_schedule, paused, resumed
from chopmark.errors import Conflict, InvalidRequest, NotFound
from chopmark.ops import jobs as q
from chopmark.ops.results import Done

__all__ = [
    "cancel",
    "expire",
    "get",
    "get_schedule",
    "list_jobs",
    "list_schedules",
    "pause",
    "remove_schedule",
    "resume",
    "retry",
    "run",
    "set_schedule",
]

EXPIRED_A_CALL = 5_000
_ROUTERS_KEPT = timedelta(hours=1)
_ALERTS_KEPT = timedelta(days=90)


def set_schedule(ctx: Context, request: q.SetSchedule) -> Schedule:
    """Add a schedule, or replace the one of that name."""
    wanted = Schedule(
        name=request.name,
        kind=request.kind,
        cron=request.cron,
        zone=request.zone,
        arguments=plain_values(request.arguments, "arguments"),
        enabled=request.enabled,
        misfire=request.misfire,
        updated_at=ctx.now,
        updated_by=ctx.actor.name,
    )
    schedule = check_schedule(wanted, ctx.now)
    ctx.tx.schedules.put(schedule)
    ctx.emit(
        _target(schedule.name),
        kind=schedule.kind,
        cron=schedule.cron,
        zone=schedule.zone,
        arguments=schedule.arguments,
        enabled=schedule.enabled,
        misfire=schedule.misfire,
        reason=request.reason,
    )
    return schedule


def remove_schedule(ctx: Context, request: q.RemoveSchedule) -> Done:
    """Remove a schedule."""
    _the_schedule(ctx, request.name)
    ctx.tx.schedules.remove(request.name)
    ctx.emit(_target(request.name), reason=request.reason)
    return Done(ref=request.name, message="removed")


def pause(ctx: Context, request: q.PauseSchedule) -> Schedule:
    """Let a schedule fire no more."""
    schedule = paused(_the_schedule(ctx, request.name), ctx.now, ctx.actor.name)
    ctx.tx.schedules.put(schedule)
    ctx.emit(_target(schedule.name), reason=request.reason)
    return schedule


def resume(ctx: Context, request: q.ResumeSchedule) -> Schedule:
    """Let a schedule fire again."""
    schedule = resumed(_the_schedule(ctx, request.name), ctx.now, ctx.actor.name)
    ctx.tx.schedules.put(schedule)
    ctx.emit(_target(schedule.name), reason=request.reason)
    return schedule


def get_schedule(ctx: Context, request: q.GetSchedule) -> Schedule:
    """Look up a schedule."""
    return _the_schedule(ctx, request.name)


def list_schedules(ctx: Context, request: q.ListSchedules) -> q.SchedulePage:
    """A page of schedules by name."""
    limit = check_limit(request.limit)
    after = str(decode_cursor(request.cursor, b"schedules")[0]) if request.cursor else ""
    items = ctx.tx.schedules.list(after=after, limit=limit + 1)
    more, items = len(items) > limit, items[:limit]
    return q.SchedulePage(items=items, cursor=encode_cursor([items[-1].name], b"schedules") if more else "")


def list_jobs(ctx: Context, request: q.ListJobs) -> q.JobPage:
    """A page of jobs, newest first."""
    limit = check_limit(request.limit)
    query = canonical(["jobs", request.state, request.kind, request.schedule])
    after = UUID(decode_cursor(request.cursor, query)[0]) if request.cursor else None
    items = ctx.tx.jobs.list(
        state=request.state, kind=request.kind, schedule=request.schedule, after=after, limit=limit + 1
    )
    more, items = len(items) > limit, items[:limit]
    return q.JobPage(items=items, cursor=encode_cursor([str(items[-1].id)], query) if more else "")


def get(ctx: Context, request: q.GetJob) -> Job:
    """Look up a job."""
    return _the_job(ctx, request.job)


def run(ctx: Context, request: q.RunJob) -> Job:
    """Queue a job."""
    if bool(request.kind) == bool(request.schedule):
        raise InvalidRequest("Say what to run: either a kind of work or a schedule.")
    kind, arguments = request.kind, plain_values(request.arguments, "arguments")
    if request.schedule:
        if arguments:
            raise InvalidRequest("The schedule says the arguments.", hint="Name the kind of work to give others.")
        schedule = _the_schedule(ctx, request.schedule)
        kind, arguments = schedule.kind, schedule.arguments
    job = Job(
        id=ctx.new_id(),
        kind=kind,
        arguments=check_arguments(kind, arguments),
        schedule=request.schedule,
        run_after=_at_once(ctx),
        created_at=ctx.now,
        created_by=ctx.actor.name,
    )
    ctx.tx.jobs.add(job)
    ctx.emit(_job_target(job), kind=kind, arguments=arguments, schedule=request.schedule, reason=request.reason)
    return job


def retry(ctx: Context, request: q.RetryJob) -> Job:
    """Try a job again."""
    seen = _the_job(ctx, request.job)
    job = retried(seen, _at_once(ctx))
    _settle(ctx, job, seen)
    ctx.emit(_job_target(job), kind=job.kind, reason=request.reason)
    return job


def cancel(ctx: Context, request: q.CancelJob) -> Job:
    """End a job."""
    seen = _the_job(ctx, request.job)
    job = cancelled(seen, ctx.now)
    _settle(ctx, job, seen)
    ctx.emit(_job_target(job), kind=job.kind, reason=request.reason)
    return job


def expire(ctx: Context, request: q.ExpireRegistry) -> q.Expired:
    """Forget a part of what is old."""
    keys = ctx.tx.idempotency.expire(ctx.now - timedelta(days=request.key_days), limit=EXPIRED_A_CALL)
    ended = _remove(ctx, ("done", "cancelled"), request.job_days)
    dead = _remove(ctx, ("dead",), request.dead_days)
    tokens = ctx.tx.tokens.remove_ended(ctx.now - timedelta(days=request.token_days))
    deliveries = ctx.tx.deliveries.remove(ctx.now - timedelta(days=request.delivery_days), limit=EXPIRED_A_CALL)
    ctx.tx.puts.remove(ctx.now - KNOWN_FOR)
    now = ctx.catalog_now()  # by the clock that says when a router was seen
    ctx.tx.routers.remove(now - _ROUTERS_KEPT)
    alerts = ctx.tx.alerts.remove(now - _ALERTS_KEPT, limit=EXPIRED_A_CALL)
    folded = fold_a_part(ctx.whole, now)
    found: dict[str, Any] = {"keys": keys, "jobs": ended + dead, "tokens": tokens, "deliveries": deliveries}
    if any(found.values()):
        ctx.emit("registry", **found)
    more = EXPIRED_A_CALL in (keys, ended, dead, deliveries, alerts, _untold(ctx))
    return q.Expired(**found, outcomes=folded.minutes, more=more or folded.more)


def _untold(ctx: Context) -> int:
    """Take events out of the outbox that nobody is told of, as there is no webhook; how many.

    Where there is one, `chopmark.workers.handing_over` does it.
    """
    if ctx.tx.webhooks.list(limit=1):
        return 0
    seqs = [row.seq for row in ctx.tx.outbox.pending(limit=EXPIRED_A_CALL)]
    ctx.tx.outbox.remove(seqs)
    return len(seqs)


def _remove(ctx: Context, states: tuple[JobState, ...], days: float) -> int:
    return ctx.tx.jobs.remove_ended(states, ctx.now - timedelta(days=days), limit=EXPIRED_A_CALL)


def _the_schedule(ctx: Context, name: str) -> Schedule:
    found = ctx.tx.schedules.get(check_name(name, "schedule"))
    if found is None:
        raise NotFound(f"There is no schedule {name!r}.", hint="See what there is with: chopmark schedule list")
    return found


def _the_job(ctx: Context, job_id: UUID) -> Job:
    found = ctx.tx.jobs.get(job_id)
    if found is None:
        raise NotFound(f"There is no job {job_id}.", hint="See what there is with: chopmark job list")
    return found


def _settle(ctx: Context, job: Job, seen: Job) -> None:
    if not ctx.tx.jobs.settle(job, seen):
        raise Conflict(f"The job {seen.id} has just changed hands.", hint="Look at it again, then decide.")


def _at_once(ctx: Context) -> datetime:
    """Now, and not later by the clock of the database's server: where this machine's is ahead, nothing waits for that."""
    return min(ctx.now, ctx.catalog_now())


def _target(name: str) -> str:
    return f"schedule:{name}"


def _job_target(job: Job) -> str:
    return f"job:{job.id}"
