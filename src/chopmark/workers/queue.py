"""What a worker does in the catalog: one transaction a turn, beside the door, as it changes nothing of the registry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from chopmark.abc.catalog import Catalog, Transaction
from chopmark.domain.jobs import Job, given_up
from chopmark.domain.schedules import Schedule, fired
from chopmark.errors import ChopmarkError
from chopmark.workers.tasks import Outcome, settled
from chopmark.workers.telling import LOGGER

__all__ = ["Awaited", "Queue", "Turn"]

SCHEDULES_A_TURN = 100


class Awaited(NamedTuple):
    """When the next job may be taken, and when the next schedule fires; None: neither is known of."""

    job_at: datetime | None
    firing_at: datetime | None


class Turn(NamedTuple):
    """What a turn did.

    Attributes
    ----------
    taken
        Jobs to begin.
    lost
        Jobs that run here and are no longer this worker's.
    is_idle
        Whether it changed nothing.
    """

    taken: list[Job]
    lost: list[Job]
    is_idle: bool


class Queue:
    """The queue of one worker.

    Parameters
    ----------
    catalog
        Where the queue is.
    worker
        Who takes jobs, different for each process.
    kinds
        What it can do.
    lease_s
        For how long it has a job without saying that it is alive.
    new_id
        Makes an id of a time.
    """

    def __init__(
        self,
        catalog: Catalog,
        worker: str,
        kinds: Sequence[str],
        lease_s: float,
        new_id: Callable[[datetime], UUID],
    ) -> None:
        self._catalog = catalog
        self._worker = worker
        self._kinds = tuple(kinds)
        self._lease_s = lease_s
        self._new_id = new_id

    def awaited(self) -> Awaited:
        """What there is to wait for."""
        with self._catalog.reading() as tx:
            return Awaited(tx.jobs.next_at(self._kinds), tx.schedules.next_at())

    def turn(self, now: datetime, *, outcomes: Sequence[Outcome], alive: Sequence[Job], free: int, fires: bool) -> Turn:
        """Settle what ended, say what is alive, queue what schedules make due, and take as many jobs as are free to run.

        All or nothing: when it raises, the same may be asked again.
        """
        with self._catalog.writing() as tx:
            for outcome in outcomes:
                self._settle(tx, outcome, now)
            lease_until = now + timedelta(seconds=self._lease_s)
            lost = [job for job in alive if not tx.jobs.extend(job, lease_until)]
            queued = self._fire(tx, now) if fires else 0
            taken = tx.jobs.claim(self._kinds, self._worker, now, self._lease_s, limit=free) if free else []
            begun = [job for job in taken if not self._bury(tx, job, now)]
        return Turn(begun, lost, not (outcomes or alive or queued or taken))

    def _settle(self, tx: Transaction, outcome: Outcome, now: datetime) -> None:
        job = settled(outcome, now)
        if not tx.jobs.settle(job, outcome.job):
            LOGGER.warning("The job %s is no longer this worker's; what came of it is not kept.", job.id)
        elif job.state in ("dead", "failed"):
            LOGGER.warning("The job %s (%s) is %s: %s", job.id, job.kind, job.state, job.error)

    def _bury(self, tx: Transaction, job: Job, now: datetime) -> bool:
        """Give up a job whose attempts are used up, as its workers vanished; whether it was one."""
        if job.attempt <= job.attempts_max:
            return False
        tx.jobs.settle(given_up(job, now, "Its worker vanished during its last attempt."), job)
        LOGGER.warning("The job %s (%s) is dead: its workers vanished.", job.id, job.kind)
        return True

    def _fire(self, tx: Transaction, now: datetime) -> int:
        due = tx.schedules.due(now, limit=SCHEDULES_A_TURN)
        return sum(self._fire_one(tx, schedule, now) for schedule in due)

    def _fire_one(self, tx: Transaction, schedule: Schedule, now: datetime) -> int:
        """Queue jobs for what is due of a schedule, unless another worker was quicker; how many schedules moved on."""
        try:
            at, following = fired(schedule, now)
        except ChopmarkError as error:  # written by another release, say; the others fire all the same
            LOGGER.error("The schedule %s cannot be followed: %s", schedule.name, error.message)
            return 0
        if not tx.schedules.advance(following, schedule):
            return 0
        for time in at:
            tx.jobs.add(
                Job(
                    id=self._new_id(now),
                    kind=schedule.kind,
                    arguments=schedule.arguments,
                    schedule=schedule.name,
                    fire_at=time,
                    run_after=time,
                    created_at=now,
                    created_by=f"schedule:{schedule.name}",
                )
            )
        return 1
