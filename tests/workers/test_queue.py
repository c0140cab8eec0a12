"""Claims, leases and clocks that step, against what must stay true of a queue."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from chopmark.abc.catalog import Catalog
from chopmark.base.ids import uuid7
from chopmark.catalog import open_catalog
from chopmark.domain.jobs import Job, cancelled, retried
from chopmark.domain.schedules import Schedule, check_schedule
from chopmark.errors import Conflict
from chopmark.testing.memory_catalog import MemoryCatalog
from chopmark.workers.queue import Queue
from chopmark.workers.tasks import Outcome
from tests.backends.postgres import PostgresServer

START = datetime(2026, 3, 3, 12, tzinfo=UTC)
LEASE_S = 60.0
HOW = st.sampled_from(["finished", "failed", "given_up", "returned"])


class Workers(RuleBasedStateMachine):
    """Three workers, somebody with a terminal, and a clock that goes where it likes."""

    catalog: Catalog
    held = Bundle("held")

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.queues = [Queue(self.catalog, f"w{n}", ("expiry",), LEASE_S, uuid7) for n in range(3)]
        self.fences: dict[UUID, set[int]] = {}
        self.ended: dict[UUID, Job] = {}
        self.newest: dict[UUID, int] = {}
        with self.catalog.writing() as tx:
            for job in tx.jobs.list(limit=1000):
                tx.jobs.settle(cancelled(job, START), job) if job.state not in ("done", "dead", "cancelled") else None
            tx.jobs.remove_ended(("done", "dead", "cancelled"), datetime(2100, 1, 1, tzinfo=UTC), limit=9999)
            hourly = Schedule(name="hourly", kind="expiry", cron="0 * * * *", misfire="all", updated_at=START)
            tx.schedules.put(check_schedule(hourly, START))

    @rule(after_s=st.integers(0, 200), attempts_max=st.integers(1, 3))
    def queue(self, after_s: int, attempts_max: int) -> None:
        job = Job(
            id=uuid7(self.now),
            kind="expiry",
            run_after=self.now + timedelta(seconds=after_s),
            created_at=self.now,
            attempts_max=attempts_max,
        )
        with self.catalog.writing() as tx:
            assert tx.jobs.add(job)

    @rule(by_s=st.one_of(st.integers(1, 100), st.integers(-400, 9_000)))
    def step(self, by_s: int) -> None:
        self.now += timedelta(seconds=by_s)

    @rule(target=held, worker=st.integers(0, 2), free=st.integers(1, 3), fires=st.booleans())
    def take(self, worker: int, free: int, fires: bool) -> list[Job]:
        before = self.stored()
        turn = self.queues[worker].turn(self.now, outcomes=[], alive=[], free=free, fires=fires)
        for job in turn.taken:
            # Nobody else's lease on it stands, and its fence was never given before.
            was = before.get(job.id)
            assert was is None or was.state != "running" or (was.lease_until or START) <= self.now
            assert job.fence not in self.fences.setdefault(job.id, set())
            assert job.attempt <= job.attempts_max
            self.fences[job.id].add(job.fence)
            self.newest[job.id] = job.fence
        return turn.taken

    @rule(jobs=held, worker=st.integers(0, 2))
    def beat(self, jobs: list[Job], worker: int) -> None:
        before = self.stored()
        lost = self.queues[worker].turn(self.now, outcomes=[], alive=jobs, free=0, fires=False).lost
        for job in jobs:
            is_held = self.is_held(before, job)
            assert (job in lost) is not is_held
            if is_held:
                assert self.stored()[job.id].lease_until == self.now + timedelta(seconds=LEASE_S)

    @rule(jobs=held, worker=st.integers(0, 2), how=HOW)
    def settle(self, jobs: list[Job], worker: int, how: Any) -> None:
        before = self.stored()
        outcomes = [Outcome(job, how, {"fence": job.fence}, "why") for job in jobs]
        self.queues[worker].turn(self.now, outcomes=outcomes, alive=[], free=0, fires=False)
        after = self.stored()
        for job in jobs:
            if not self.is_held(before, job):  # who lost it changes nothing
                assert after.get(job.id) == before.get(job.id)

    @rule(data=st.data(), again=st.booleans())
    def by_hand(self, data: st.DataObject, again: bool) -> None:
        stored = self.stored()
        if not stored:
            return
        seen = stored[data.draw(st.sampled_from(sorted(stored)))]
        try:
            job = retried(seen, self.now) if again else cancelled(seen, self.now)
        except Conflict:
            return
        with self.catalog.writing() as tx:
            assert tx.jobs.settle(job, seen)
        self.ended.pop(seen.id, None)

    @invariant()
    def a_firing_is_one_job(self) -> None:
        firings = [(job.schedule, job.fire_at) for job in self.stored().values() if job.fire_at]
        assert len(firings) == len(set(firings))
        hours = sorted(at for _, at in firings)
        assert hours == [START + timedelta(hours=n + 1) for n in range(len(hours))]

    @invariant()
    def what_ended_stays(self) -> None:
        for job in self.stored().values():
            known = self.ended.get(job.id)
            assert known is None or known == job
            if job.state in ("done", "dead", "cancelled"):
                self.ended[job.id] = job
                assert job.ended_at is not None
            if job.state == "running":
                assert job.fence == self.newest[job.id]
            assert job.attempt <= job.attempts_max or job.state == "running"

    def stored(self) -> dict[UUID, Job]:
        with self.catalog.reading() as tx:
            return {job.id: job for job in tx.jobs.list(limit=1000)}

    def is_held(self, stored: dict[UUID, Job], job: Job) -> bool:
        there = stored.get(job.id)
        return there is not None and there.state == "running" and there.fence == job.fence

    def teardown(self) -> None:
        """Whatever happened: given time, every job ends."""
        works = self.queues[0]
        for _ in range(2_000):
            self.now += timedelta(hours=1)
            taken = works.turn(self.now, outcomes=[], alive=[], free=50, fires=False).taken
            if not taken and works.awaited().job_at is None:
                break
            done = [Outcome(job, "finished", {}) for job in taken]
            works.turn(self.now, outcomes=done, alive=[], free=0, fires=False)
        assert {job.state for job in self.stored().values()} <= {"done", "dead", "cancelled"}


@contextmanager
def opened(kind: str, request: pytest.FixtureRequest) -> Iterator[Catalog]:
    if kind == "memory":
        yield MemoryCatalog()
        return
    with TemporaryDirectory() as directory:
        url = (
            f"sqlite:///{Path(directory)}/c.db" if kind == "sqlite" else request.getfixturevalue("postgres_catalog_url")
        )
        catalog = open_catalog(url)
        yield catalog
        catalog.close()


@pytest.mark.parametrize(("kind", "examples"), [("memory", 60), ("sqlite", 15), ("postgres", 8)])
def test_what_must_stay_true_of_a_queue(kind: str, examples: int, request: pytest.FixtureRequest) -> None:
    with opened(kind, request) as catalog:
        machine = type("Machine", (Workers,), {"catalog": catalog})
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=examples,
                stateful_step_count=30,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )


def test_claims_at_once_on_postgres_wait_for_nobody(postgres_server: PostgresServer) -> None:
    """A claim passes over what an open transaction has locked, and takes no more than it was asked for."""
    with postgres_server.with_tables() as url:
        catalog, other = open_catalog(url, lock_timeout_s=2.0), open_catalog(url, lock_timeout_s=2.0)
        with catalog.writing() as tx:
            for n in range(10):
                tx.jobs.add(Job(id=uuid7(START + timedelta(seconds=n)), kind="k", run_after=START, created_at=START))
        with catalog.writing() as one, other.writing() as two:
            first = one.jobs.claim(["k"], "w1", START, LEASE_S, limit=4)
            second = two.jobs.claim(["k"], "w2", START, LEASE_S, limit=4)
            third = two.jobs.claim(["k"], "w2", START, LEASE_S, limit=4)
        assert (len(first), len(second), len(third)) == (4, 4, 2)
        assert len({job.id for job in [*first, *second, *third]}) == 10
        catalog.close()
        other.close()
