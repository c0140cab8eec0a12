"""The queue of jobs in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Select,
    Text,
    and_,
    bindparam,
    cast,
    delete,
    extract,
    func,
    literal,
    select,
    update,
)

from chopmark.abc.jobs import JobList
from chopmark.base.clock import from_us, to_us
from chopmark.base.jsons import decoder
from chopmark.catalog.damage import row_of
from chopmark.catalog.execution import Compiler, Executor, Prepared
from chopmark.catalog.records import json_text
from chopmark.domain.jobs import Job, JobState, claimable_at

__all__ = ["JobStatements", "SqlJobs"]

_NEWEST = b"\xff" * 17  # after every id
_read_values = decoder(dict[str, Any])
# What a job may change of its row once it is queued.
_MOVED = ("state", "attempt", "run_after_us", "due_us", "fence", "result", "error", "started_us", "ended_us")


class JobStatements:
    """Statements on jobs, compiled when first used."""

    def __init__(self, compiler: Compiler) -> None:
        self.compiler = compiler
        self.tables = compiler.tables

    @cached_property
    def now(self) -> Prepared | None:
        """Microseconds since 1970 by the server's clock; none for SQLite, which has no server."""
        if not self.compiler.is_postgres:
            return None
        microseconds = func.floor(extract("epoch", func.clock_timestamp()) * 1_000_000)
        return self.compiler(select(cast(microseconds, BigInteger)))

    @cached_property
    def add(self) -> Prepared:
        """Returns nothing when the firing is there."""
        j = self.tables.jobs
        return self.compiler(self.compiler.insert_once(j).returning(j.c.key))

    @cached_property
    def get(self) -> Prepared:
        """By ``uid``."""
        return self.compiler(self._all().where(self.tables.jobs.c.uid == bindparam("uid")))

    def list(self, *wanted: str) -> Prepared:
        """Before ``after``, newest first; equal in the wanted columns."""
        return self.compiler.shaped(("jobs", wanted), lambda: self._page(wanted))

    @cached_property
    def claim(self) -> Prepared:
        """Take ``limit`` jobs of the ``kinds`` that are due at ``now``."""
        return self.compiler(self._claim())

    @cached_property
    def extend(self) -> Prepared:
        """Move the lease of a running job on to ``lease``, when its fence is ``held``."""
        j = self.tables.jobs
        mine = and_(j.c.uid == bindparam("job"), j.c.fence == bindparam("held"), j.c.state == "running")
        return self.compiler(update(j).where(mine).values(due_us=bindparam("lease")))

    @cached_property
    def settle(self) -> Prepared:
        """Store what became of a job, when its fence is ``held`` and its state ``was``."""
        j = self.tables.jobs
        same = and_(j.c.uid == bindparam("job"), j.c.fence == bindparam("held"), j.c.state == bindparam("was"))
        return self.compiler(update(j).where(same).values({name: bindparam(f"new_{name}") for name in _MOVED}))

    @cached_property
    def next_at(self) -> Prepared:
        """The first ``due_us`` of the ``kinds``."""
        c = self.tables.jobs.c
        found = select(c.due_us).where(c.due_us.is_not(None), self._is_known(c.kind))
        return self.compiler(found.order_by(c.due_us, c.key).limit(1))

    def remove_ended(self, states: int) -> Prepared:
        """Remove ``limit`` jobs of so many states (``state0`` …) that ended before ``before``."""
        return self.compiler.shaped(("ended jobs", states), lambda: self._remove_ended(states))

    def _all(self) -> Select[Any]:
        return select(*(c for c in self.tables.jobs.c if c.name != "key"))

    def _page(self, wanted: tuple[str, ...]) -> Any:
        c = self.tables.jobs.c
        equal = [c[name] == bindparam(name) for name in wanted]
        return self._all().where(c.uid < bindparam("after"), *equal).order_by(c.uid.desc()).limit(bindparam("limit"))

    def _claim(self) -> Any:
        """One statement picks and takes; on PostgreSQL rows that another claim has just locked are passed over.

        The pick is a table expression of its own: within a condition it might be run more than once, and take more.
        """
        j, w = self.tables.jobs, self.tables.jobs.alias("waiting")
        picked = (
            select(w.c.key)
            .where(w.c.due_us <= bindparam("now"), self._is_known(w.c.kind))
            .order_by(w.c.due_us, w.c.key)
            .limit(bindparam("limit"))
            .with_for_update(skip_locked=True)
            .cte("picked")
        )
        taken = update(j).where(j.c.key.in_(select(picked.c.key)))
        taken = taken.values(
            state="running",
            attempt=j.c.attempt + 1,
            fence=j.c.fence + 1,
            worker=bindparam("taker"),
            due_us=bindparam("lease"),
            started_us=bindparam("now"),
        )
        return taken.returning(*(c for c in j.c if c.name != "key"))

    def _is_known(self, kind: Column[str]) -> ColumnElement[bool]:
        """Whether a job is of one of the ``kinds``, in words that no index answers and no statistics reckon with.

        By the index of kinds every job that waits would be read and sorted to take the first, 8 ms among 10,000 on
        PostgreSQL; that of times finds it in 0.1, whichever kinds there are.
        """
        found = func.strpos if self.compiler.is_postgres else func.instr
        return found(bindparam("kinds", type_=Text()), literal(",", Text()) + kind + literal(",", Text())) > 0

    def _remove_ended(self, states: int) -> Any:
        j, old = self.tables.jobs, self.tables.jobs.alias("old")
        ended = and_(old.c.ended_us < bindparam("before"), old.c.state.in_(_names("state", states)))
        return delete(j).where(j.c.key.in_(select(old.c.key).where(ended).limit(bindparam("limit"))))


def _names(word: str, count: int) -> list[Any]:
    return [bindparam(f"{word}{n}") for n in range(count)]


class SqlJobs:
    """`chopmark.abc.jobs.Jobs`."""

    __slots__ = ("_run", "_sql")

    def __init__(self, run: Executor, statements: JobStatements) -> None:
        self._run = run
        self._sql = statements

    def now(self) -> datetime | None:
        """See the interface."""
        row = None if self._sql.now is None else self._run.one(self._sql.now, {})
        return None if row is None else from_us(row[0])

    def add(self, job: Job) -> bool:
        """See the interface."""
        return self._run.add(self._sql.add, _row(job)) is not None

    def get(self, job_id: UUID) -> Job | None:
        """See the interface."""
        row = self._run.one(self._sql.get, {"uid": job_id.bytes})
        return None if row is None else _job(row)

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
        wanted = {"state": state or "", "kind": kind, "schedule": schedule}
        wanted = {name: value for name, value in wanted.items() if value}
        values = {**wanted, "after": _NEWEST if after is None else after.bytes, "limit": limit}
        return [_job(row) for row in self._run.all(self._sql.list(*wanted), values)]

    def claim(self, kinds: Sequence[str], worker: str, now: datetime, lease_s: float, *, limit: int) -> JobList:
        """See the interface."""
        self._run.check_writing()
        values = {
            "now": to_us(now),
            "lease": to_us(now + timedelta(seconds=lease_s)),
            "taker": worker,
            "limit": limit,
            "kinds": _listed(kinds),
        }
        jobs = [_job(row) for row in self._run.all(self._sql.claim, values)]
        return sorted(jobs, key=lambda job: (job.run_after, job.id))  # they come in no order

    def extend(self, job: Job, lease_until: datetime) -> bool:
        """See the interface."""
        values = {"job": job.id.bytes, "held": job.fence, "lease": to_us(lease_until)}
        return self._run.change(self._sql.extend, values) > 0

    def settle(self, job: Job, seen: Job) -> bool:
        """See the interface."""
        row = _row(job)
        values = {"job": seen.id.bytes, "held": seen.fence, "was": seen.state}
        return self._run.change(self._sql.settle, {**values, **{f"new_{name}": row[name] for name in _MOVED}}) > 0

    def next_at(self, kinds: Sequence[str]) -> datetime | None:
        """See the interface."""
        row = self._run.one(self._sql.next_at, {"kinds": _listed(kinds)})
        return None if row is None else from_us(row[0])

    def remove_ended(self, states: Sequence[JobState], before: datetime, *, limit: int) -> int:
        """See the interface."""
        values = {"before": to_us(before), "limit": limit, **_numbered("state", states)}
        return self._run.change(self._sql.remove_ended(len(states)), values)


def _listed(kinds: Sequence[str]) -> str:
    return f",{','.join(kinds)},"


def _numbered(word: str, texts: Sequence[str]) -> dict[str, str]:
    return {f"{word}{n}": text for n, text in enumerate(texts)}


def _us(time: datetime | None) -> int | None:
    return None if time is None else to_us(time)


def _time(us: int | None) -> datetime | None:
    return None if us is None else from_us(us)


def _row(job: Job) -> dict[str, Any]:
    return {
        "uid": job.id.bytes,
        "kind": job.kind,
        "arguments": json_text(job.arguments),
        "schedule": job.schedule,
        "fire_us": _us(job.fire_at),
        "state": job.state,
        "attempt": job.attempt,
        "attempts_max": job.attempts_max,
        "run_after_us": to_us(job.run_after),
        "due_us": _us(claimable_at(job)),
        "worker": job.worker,
        "fence": job.fence,
        "result": json_text(job.result),
        "error": job.error,
        "created_us": to_us(job.created_at),
        "created_by": job.created_by,
        "started_us": _us(job.started_at),
        "ended_us": _us(job.ended_at),
    }


@row_of("a job", "bsssIsiiiIsissisII")
def _job(row: tuple[Any, ...]) -> Job:
    uid, kind, arguments, schedule, fire_us, state, attempt, attempts_max, run_after_us, due_us, *rest = row
    worker, fence, result, error, created_us, created_by, started_us, ended_us = rest
    return Job(
        id=UUID(bytes=uid),
        kind=kind,
        arguments=_read_values(arguments),
        schedule=schedule,
        fire_at=_time(fire_us),
        state=state,
        attempt=attempt,
        attempts_max=attempts_max,
        run_after=from_us(run_after_us),
        lease_until=_time(due_us) if state == "running" else None,
        worker=worker,
        fence=fence,
        result=_read_values(result),
        error=error,
        created_at=from_us(created_us),
        created_by=created_by,
        started_at=_time(started_us),
        ended_at=_time(ended_us),
    )
