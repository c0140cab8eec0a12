"""The part of the catalog's contract that is about the queue of jobs."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from msgspec import structs

from chopmark.abc.catalog import Catalog, StoredAnswer
from chopmark.base.ids import uuid7
from chopmark.domain.jobs import Job, cancelled, claimed, failed, finished, given_up, retried, returned
from chopmark.errors import InvalidRequest
from chopmark.testing.catalog_fixtures import Stop, write_and_stop

__all__ = ["JobLaws", "a_job"]

NOON = datetime(2026, 3, 3, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
LEASE_S = 60.0


def a_job(kind: str = "expiry", run_after: datetime = NOON, **rest: Any) -> Job:
    """A job that waits."""
    return Job(**{"id": uuid7(run_after), "kind": kind, "run_after": run_after, "created_at": NOON, **rest})


class JobLaws:
    """A job is one worker's at a time, and who lost it changes nothing."""

    def test_a_job_comes_back_as_it_was(self, catalog: Catalog) -> None:
        """With every field, at both ends of its life."""
        job = a_job("backup", arguments={"place": "Größe\n", "verify": True}, schedule="nightly", fire_at=NOON)
        with catalog.writing() as tx:
            assert tx.jobs.add(job)
            assert tx.jobs.get(job.id) == job
            (taken,) = tx.jobs.claim(["backup"], "w1", NOON, LEASE_S, limit=1)
            assert taken == claimed(job, "w1", NOON, LEASE_S)
            done = finished(taken, NOON + MINUTE, {"blobs": 3, "next": "0a"})
            assert tx.jobs.settle(done, taken)
        with catalog.reading() as tx:
            assert tx.jobs.get(job.id) == done
            assert tx.jobs.get(UUID(int=1)) is None

    def test_a_firing_is_one_job(self, catalog: Catalog) -> None:
        """Of a schedule and a time; what somebody asks for has no time, and may be many."""
        with catalog.writing() as tx:
            assert tx.jobs.add(a_job(schedule="s", fire_at=NOON))
            assert not tx.jobs.add(a_job(schedule="s", fire_at=NOON))
            assert tx.jobs.add(a_job(schedule="s", fire_at=NOON + MINUTE))
            assert tx.jobs.add(a_job(schedule="t", fire_at=NOON))
            assert tx.jobs.add(a_job(schedule="s"))
            assert tx.jobs.add(a_job(schedule="s"))
            assert len(tx.jobs.list(limit=9)) == 5

    def test_who_waits_longest_is_claimed_first(self, catalog: Catalog) -> None:
        """Of the kinds that were named, when due, as many as were asked for."""
        jobs = [a_job(run_after=NOON + n * MINUTE) for n in (3, 1, 2, 9)]
        with catalog.writing() as tx:
            for job in [*jobs, a_job("backup")]:
                tx.jobs.add(job)
            now = NOON + 5 * MINUTE
            assert tx.jobs.next_at(["expiry"]) == NOON + MINUTE
            assert tx.jobs.next_at(["expiry", "backup"]) == NOON
            assert tx.jobs.next_at(["unknown"]) is None
            assert tx.jobs.next_at([]) is None
            assert tx.jobs.claim([], "w", now, LEASE_S, limit=9) == []
            assert [job.id for job in tx.jobs.claim(["expiry"], "w", now, LEASE_S, limit=2)] == [jobs[1].id, jobs[2].id]
            assert [job.id for job in tx.jobs.claim(["expiry"], "w", now, LEASE_S, limit=9)] == [jobs[0].id]
            assert tx.jobs.claim(["expiry"], "w", now, LEASE_S, limit=9) == []
            assert tx.jobs.next_at(["expiry"]) == now + MINUTE  # its lease runs out before the next one is due

    def test_a_lease_that_ran_out_is_claimed_again(self, catalog: Catalog) -> None:
        """Not before, and not while it is extended; whoever had it can neither extend nor settle it."""
        with catalog.writing() as tx:
            tx.jobs.add(a_job())
            (first,) = tx.jobs.claim(["expiry"], "w1", NOON, LEASE_S, limit=1)
            assert tx.jobs.claim(["expiry"], "w2", NOON + timedelta(seconds=59), LEASE_S, limit=1) == []
            assert tx.jobs.extend(first, NOON + 2 * MINUTE)
            assert tx.jobs.claim(["expiry"], "w2", NOON + MINUTE, LEASE_S, limit=1) == []
            (second,) = tx.jobs.claim(["expiry"], "w2", NOON + 2 * MINUTE, LEASE_S, limit=1)
            assert (second.attempt, second.fence, second.worker) == (2, 2, "w2")
            assert not tx.jobs.extend(first, NOON + 9 * MINUTE)
            for late in (
                finished(first, NOON, {"late": 1}),
                failed(first, NOON, "late", 0.5),
                given_up(first, NOON, "late"),
                returned(first, NOON),
            ):
                assert not tx.jobs.settle(late, first)
            assert tx.jobs.get(first.id) == second
            assert tx.jobs.settle(finished(second, NOON + 3 * MINUTE, {}), second)
            assert not tx.jobs.extend(second, NOON + 9 * MINUTE)
            assert not tx.jobs.settle(failed(second, NOON, "twice", 0.5), second)

    def test_what_becomes_of_a_job(self, catalog: Catalog) -> None:
        """It fails and waits, is returned, is given up, is tried again, is cancelled: each as the rules say."""
        with catalog.writing() as tx:
            tx.jobs.add(a_job(attempts_max=2))
            (seen,) = tx.jobs.claim(["expiry"], "w", NOON, LEASE_S, limit=1)
            waits = failed(seen, NOON, "the store does not answer", 0.0, {"at": 7})
            assert tx.jobs.settle(waits, seen)
            assert tx.jobs.get(seen.id) == waits
            assert tx.jobs.next_at(["expiry"]) == waits.run_after > NOON
            (seen,) = tx.jobs.claim(["expiry"], "w", waits.run_after, LEASE_S, limit=1)
            assert (seen.attempt, seen.result) == (2, {"at": 7})
            back = returned(seen, NOON)
            assert tx.jobs.settle(back, seen)
            (seen,) = tx.jobs.claim(["expiry"], "w", NOON, LEASE_S, limit=1)
            dead = failed(seen, NOON, "again", 0.0)
            assert tx.jobs.settle(dead, seen)
            assert tx.jobs.get(seen.id) == dead
            assert (dead.state, dead.result) == ("dead", {"at": 7})
            assert tx.jobs.next_at(["expiry"]) is None
            assert tx.jobs.settle(retried(dead, NOON), dead)
            (seen,) = tx.jobs.claim(["expiry"], "w", NOON, LEASE_S, limit=1)
            assert seen.attempt == 1
            assert tx.jobs.settle(cancelled(seen, NOON), seen)
            assert not tx.jobs.settle(finished(seen, NOON, {}), seen)
            assert tx.jobs.next_at(["expiry"]) is None

    def test_jobs_are_listed_newest_first(self, catalog: Catalog) -> None:
        """By state, kind and schedule, page by page."""
        jobs = [
            a_job(kind, NOON + n * MINUTE, schedule=schedule)
            for n, (kind, schedule) in enumerate([("expiry", ""), ("backup", "s"), ("expiry", "s"), ("expiry", "")])
        ]
        with catalog.writing() as tx:
            for job in jobs:
                tx.jobs.add(job)
            tx.jobs.claim(["backup"], "w", NOON + 9 * MINUTE, LEASE_S, limit=1)
        with catalog.reading() as tx:

            def found(**where: Any) -> list[int]:
                ids = [job.id for job in jobs]
                return [ids.index(job.id) for job in tx.jobs.list(**{"limit": 9, **where})]

            assert found() == [3, 2, 1, 0]
            assert found(limit=2) == [3, 2]
            assert found(after=jobs[2].id, limit=1) == [1]
            assert found(kind="expiry") == [3, 2, 0]
            assert found(state="running") == [1]
            assert found(state="queued", schedule="s") == [2]
            assert found(state="dead") == []

    def test_two_claims_at_once_share_nothing(self, catalog: Catalog) -> None:
        """Each job is given to one of them, from whatever threads they come."""
        count, workers = 60, 4
        with catalog.writing() as tx:
            for n in range(count):
                tx.jobs.add(a_job(run_after=NOON + timedelta(seconds=n)))
        taken: list[tuple[str, UUID]] = []

        def take(worker: str) -> None:
            while True:
                with catalog.writing() as tx:
                    jobs = tx.jobs.claim(["expiry"], worker, NOON + 9 * MINUTE, LEASE_S, limit=3)
                if not jobs:
                    return
                taken.extend((worker, job.id) for job in jobs)

        threads = [threading.Thread(target=take, args=(f"w{n}",)) for n in range(workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with catalog.reading() as tx:
            holders = {(job.worker, job.id) for job in tx.jobs.list(limit=count + 1)}
        assert len(taken) == count
        assert set(taken) == holders

    def test_what_ended_long_ago_is_removed(self, catalog: Catalog) -> None:
        """Of the states that were named, at most so many; what has not ended never."""
        with catalog.writing() as tx:
            for n in range(6):
                tx.jobs.add(a_job(run_after=NOON + timedelta(seconds=n)))
            seen = tx.jobs.claim(["expiry"], "w", NOON + MINUTE, LEASE_S, limit=5)
            for n, job in enumerate(seen[:3]):
                tx.jobs.settle(finished(job, NOON + n * MINUTE, {}), job)
            tx.jobs.settle(given_up(seen[3], NOON, "x"), seen[3])
            assert tx.jobs.remove_ended(["done"], NOON + 2 * MINUTE, limit=1) == 1
            assert tx.jobs.remove_ended(["done", "cancelled"], NOON + 2 * MINUTE, limit=9) == 1
            assert tx.jobs.remove_ended(["done"], NOON + 2 * MINUTE, limit=9) == 0
            left = [job.state for job in tx.jobs.list(limit=9)]
        assert sorted(left) == ["dead", "done", "queued", "running"]

    def test_a_transaction_that_reads_changes_no_job(self, catalog: Catalog) -> None:
        """Nor does one that fails."""
        job = a_job()
        with catalog.writing() as tx:
            tx.jobs.add(job)
        with catalog.reading() as tx:
            for change in (
                lambda: tx.jobs.add(a_job()),
                lambda: tx.jobs.claim(["expiry"], "w", NOON, LEASE_S, limit=1),
                lambda: tx.jobs.extend(job, NOON),
                lambda: tx.jobs.settle(job, job),
                lambda: tx.jobs.remove_ended(["done"], NOON, limit=1),
            ):
                with pytest.raises(InvalidRequest):
                    change()
        with pytest.raises(Stop):
            write_and_stop(catalog, lambda tx: tx.jobs.claim(["expiry"], "w", NOON, LEASE_S, limit=1))
        with catalog.reading() as tx:
            assert tx.jobs.get(job.id) == job

    def test_the_servers_time_moves_on(self, catalog: Catalog) -> None:
        """Where there is a server, within a transaction too; elsewhere there is none."""
        with catalog.reading() as tx:
            first, second = tx.jobs.now(), tx.jobs.now()
        assert (first is None) == (second is None)
        if first is not None and second is not None:
            assert first < second
            assert abs(datetime.now(UTC) - second) < timedelta(minutes=5)

    def test_old_answers_are_forgotten(self, catalog: Catalog) -> None:
        """Those of idempotency keys, at most so many at a time."""
        with catalog.writing() as tx:
            for n in range(4):
                answer = StoredAnswer("sha256:" + "a" * 64, b"{}", NOON + n * MINUTE)
                tx.idempotency.put("ann", f"k{n}", "alias.set", answer)
            assert tx.idempotency.expire(NOON + 3 * MINUTE, limit=2) == 2
            assert tx.idempotency.expire(NOON + 3 * MINUTE, limit=9) == 1
            assert tx.idempotency.expire(NOON + 3 * MINUTE, limit=9) == 0
            assert tx.idempotency.get("ann", "k3") == structs.replace(answer)
            assert tx.idempotency.get("ann", "k1") is None
