"""The loop of a worker: what it does with jobs, with its end, with a database that is away."""

import logging
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec import structs

from chopmark.domain.schedules import Schedule
from chopmark.errors import Denied, Unavailable
from chopmark.testing.memory_catalog import MemoryCatalog
from chopmark.workers.clock import CatalogClock
from chopmark.workers.defaults import make_default_schedules
from chopmark.workers.tasks import GiveUp, Task
from tests.workers.conftest import Workshop, wait_for


def test_a_job_is_done_and_keeps_what_it_answered(workshop: Workshop) -> None:
    job = workshop.add(arguments={"n": 3})
    with workshop.works({"probe": lambda task: {"twice": 2 * task.job.arguments["n"]}}) as worker:
        done = workshop.until(job, "done")
    assert (done.result, done.attempt, done.worker, done.error) == ({"twice": 6}, 1, worker.name, "")
    assert done.started_at is not None
    assert done.ended_at is not None
    assert done.lease_until is None


def test_what_a_job_does_is_audited_in_its_name(workshop: Workshop) -> None:
    def work(task: Task) -> dict[str, Any]:
        return {"number": task.registry.register("fraud", {"a": 1}).number}

    job = workshop.add()
    with workshop.works({"probe": work}):
        assert workshop.until(job, "done").result == {"number": 1}
    events = workshop.registry.audit.list(limit=9)
    assert {event.actor for event in events} == {f"job:probe:{job.id}"}


def test_a_job_that_fails_is_tried_again_after_its_pause(workshop: Workshop) -> None:
    attempts: list[int] = []

    def work(task: Task) -> dict[str, Any]:
        attempts.append(task.job.attempt)
        if len(attempts) < 3:
            raise Unavailable("The store does not answer.")
        return {}

    job = workshop.add()
    with workshop.works({"probe": work}):
        waits = workshop.until(job, "failed")
        assert waits.error == "The store does not answer."
        assert timedelta(seconds=2) < waits.run_after - workshop.clock() < timedelta(seconds=5)
        time.sleep(0.2)
        assert attempts == [1]  # its pause is kept
        for _ in range(2):
            workshop.clock.by += timedelta(seconds=30)
            time.sleep(0.2)
        assert workshop.until(job, "done").attempt == 3
    assert attempts == [1, 2, 3]


@pytest.mark.parametrize(
    ("error", "state", "says"),
    [
        (Unavailable("away \0 \ud800"), "failed", "away � ?"),
        (ZeroDivisionError("x"), "failed", "ZeroDivisionError: x"),
        (Denied("no", hint="Ask."), "dead", "no Ask."),
        (GiveUp("2 blobs", {"damaged": 2}), "dead", "2 blobs"),
    ],
    ids=["unavailable", "a fault", "denied", "given up"],
)
def test_what_an_error_means(workshop: Workshop, error: Exception, state: str, says: str) -> None:
    def work(_: Task) -> dict[str, Any]:
        raise error

    job = workshop.add()
    with workshop.works({"probe": work}):
        ended = workshop.until(job, state)
    assert ended.error == says
    assert ended.result == ({"damaged": 2} if isinstance(error, GiveUp) else {})


def test_an_answer_that_is_no_json_does_not_stop_the_worker(workshop: Workshop) -> None:
    odd, good = workshop.add("odd"), workshop.add("good")
    with workshop.works({"odd": lambda _: {"x": float("nan")}, "good": lambda _: {}}):
        assert workshop.until(odd, "dead").error
        workshop.until(good, "done")


def test_a_job_whose_workers_vanished_is_dead_in_the_end(workshop: Workshop) -> None:
    job = workshop.add(state="running", attempt=5, fence=5, worker="gone", lease_until=workshop.clock())
    ran: list[int] = []

    def work(task: Task) -> dict[str, Any]:
        ran.append(task.job.attempt)
        return {}

    with workshop.works({"probe": work}):
        dead = workshop.until(job, "dead")
    assert "vanished" in dead.error
    assert (dead.attempt, ran) == (5, [])


# The end of a worker


def test_at_its_end_what_can_stop_is_handed_back(workshop: Workshop) -> None:
    begun = threading.Event()

    def work(task: Task) -> dict[str, Any]:
        begun.set()
        while True:
            task.check()
            time.sleep(0.005)

    job = workshop.add()
    with workshop.works({"probe": work}):
        assert begun.wait(60)
    back = workshop.job(job)
    assert (back.state, back.attempt, back.fence) == ("queued", 0, 2)
    with workshop.works({"probe": lambda _: {}}):
        assert workshop.until(job, "done").attempt == 1


def test_at_its_end_what_is_nearly_done_is_finished(workshop: Workshop) -> None:
    begun = threading.Event()

    def work(_: Task) -> dict[str, Any]:
        begun.set()
        time.sleep(0.2)
        return {"whole": True}

    job = workshop.add()
    with workshop.works({"probe": work}):
        assert begun.wait(60)
    assert workshop.job(job).result == {"whole": True}


def test_what_does_not_stop_is_handed_back_and_changes_nothing_later(workshop: Workshop) -> None:
    begun, goes_on, ended = threading.Event(), threading.Event(), threading.Event()

    def work(_: Task) -> dict[str, Any]:
        begun.set()
        goes_on.wait(20)
        ended.set()
        return {"late": True}

    job = workshop.add()
    with workshop.works({"probe": work}, worker_stop_s=0.1):
        assert begun.wait(60)
    assert workshop.job(job).state == "queued"
    with workshop.works({"probe": lambda _: {"mine": True}}):
        workshop.until(job, "done")
        goes_on.set()
        assert ended.wait(60)
        time.sleep(0.1)
    assert workshop.job(job).result == {"mine": True}


# Leases


def test_a_job_is_kept_for_as_long_as_it_takes(workshop: Workshop) -> None:
    """Longer than its lease, with another worker beside."""
    runs: list[int] = []

    def work(_: Task) -> dict[str, Any]:
        runs.append(1)
        time.sleep(1.5)
        return {}

    job = workshop.add()
    with workshop.works({"probe": work}), workshop.works({"probe": work}):
        assert workshop.until(job, "done").attempt == 1
    assert runs == [1]


def test_a_cancelled_job_is_broken_off(workshop: Workshop) -> None:
    begun, broken_off = threading.Event(), threading.Event()

    def work(task: Task) -> dict[str, Any]:
        begun.set()
        try:
            while True:
                task.check()
                time.sleep(0.005)
        finally:
            broken_off.set()

    job = workshop.add()
    with workshop.works({"probe": work}):
        assert begun.wait(60)
        workshop.registry.jobs.cancel(job, reason="no longer wanted")
        assert broken_off.wait(60)
        time.sleep(0.1)
    ended = workshop.job(job)
    assert (ended.state, ended.error) == ("cancelled", "")


def test_a_job_that_takes_too_long_is_left_and_counts_as_an_attempt(workshop: Workshop) -> None:
    def work(task: Task) -> dict[str, Any]:
        while True:
            task.check()
            time.sleep(0.005)

    job = workshop.add()
    with workshop.works({"probe": work}, worker_job_timeout_s=0.3):
        failed = workshop.until(job, "failed")
    assert "worker_job_timeout_s" in failed.error
    assert failed.attempt == 1


def test_two_workers_do_each_job_once(workshop: Workshop) -> None:
    ran: list[str] = []

    def work(task: Task) -> dict[str, Any]:
        ran.append(str(task.job.id))
        return {}

    jobs = [workshop.add() for _ in range(100)]
    with workshop.works({"probe": work}, worker_jobs=4), workshop.works({"probe": work}, worker_jobs=4):
        wait_for(lambda: len(workshop.registry.jobs.list(state="done", limit=200)) == len(jobs))
    assert sorted(ran) == sorted(str(job.id) for job in jobs)


# Waiting


class Counted:
    """A catalog that counts what is asked of it, and can be away."""

    def __init__(self, catalog: MemoryCatalog) -> None:
        self._catalog = catalog
        self.reads = self.writes = 0
        self.is_away = False

    @contextmanager
    def reading(self) -> Any:
        self.reads += 1
        self._check()
        with self._catalog.reading() as tx:
            yield tx

    @contextmanager
    def writing(self) -> Any:
        self.writes += 1
        self._check()
        with self._catalog.writing() as tx:
            yield tx

    def close(self) -> None:
        self._catalog.close()

    def _check(self) -> None:
        if self.is_away:
            raise Unavailable("The database does not answer.")


@pytest.fixture
def counted(workshop: Workshop) -> Counted:
    found = Counted(workshop.transport.catalog)
    workshop.transport.catalog = found
    return found


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
def test_waiting_costs_a_look_now_and_then(workshop: Workshop, counted: Counted, busy: bool) -> None:
    """Also while jobs wait that it cannot do, or has no thread for."""
    goes_on = threading.Event()

    def work(_: Task) -> dict[str, Any]:
        return {"went on": goes_on.wait(20)}

    workshop.add("unknown")
    for _ in range(2 if busy else 0):
        workshop.add()
    with workshop.works({"probe": work}, worker_jobs=1, worker_lease_s=60.0):
        time.sleep(0.3)
        before = counted.reads, counted.writes
        time.sleep(1.0)
        reads, writes = counted.reads - before[0], counted.writes - before[1]
        goes_on.set()
    assert 5 <= reads <= 40  # 20 at 50 ms, give or take the jitter
    assert writes == 0


def test_what_is_queued_here_is_begun_at_once(workshop: Workshop) -> None:
    with workshop.works({"expiry": lambda _: {}}, worker_poll_s=3_600.0):
        time.sleep(0.1)
        job = workshop.registry.jobs.run("expiry")
        workshop.until(job, "done")


def test_a_database_that_is_away_is_waited_for_and_told_once(
    workshop: Workshop, counted: Counted, caplog: pytest.LogCaptureFixture
) -> None:
    begun, goes_on = threading.Event(), threading.Event()

    def work(_: Task) -> dict[str, Any]:
        begun.set()
        goes_on.wait(20)
        return {"kept": True}

    job = workshop.add()
    with caplog.at_level(logging.INFO, "chopmark.workers"), workshop.works({"probe": work}):
        assert begun.wait(60)
        counted.is_away = True
        goes_on.set()  # it ends while the database is away
        asked = counted.reads + counted.writes
        time.sleep(1.0)
        assert 1 <= counted.reads + counted.writes - asked < 10
        counted.is_away = False
        assert workshop.until(job, "done").result == {"kept": True}
    told = [record.getMessage() for record in caplog.records]
    assert sum("does not answer" in text for text in told) == 1
    assert sum("looked at again" in text for text in told) == 1


def test_a_worker_that_reaches_nothing_says_so(workshop: Workshop, counted: Counted) -> None:
    with workshop.works({}) as worker:
        worker.check()
        counted.is_away = True
        time.sleep(0.2)
        worker._pulse._well_at_s -= 600
        with pytest.raises(Unavailable, match="Jobs have not been looked at"):
            worker.check()
        counted.is_away = False
        wait_for(lambda: worker._pulse._failures == 0)
        worker.check()


# Schedules


def test_a_schedule_fires(workshop: Workshop) -> None:
    workshop.registry.jobs.set_schedule("each", "expiry", "0 3 * * *", arguments={"key_days": 1})
    with workshop.works({"expiry": lambda task: {"told": task.job.arguments}}):
        time.sleep(0.2)
        assert not workshop.registry.jobs.list()
        workshop.clock.by += timedelta(days=3)
        wait_for(lambda: len(workshop.registry.jobs.list(state="done")) == 1)
    (job,) = workshop.registry.jobs.list()
    assert (job.schedule, job.created_by) == ("each", "schedule:each")
    assert job.result == {"told": {"key_days": 1}}
    assert job.fire_at is not None
    assert (job.fire_at.hour, job.run_after) == (3, job.fire_at)
    (schedule,) = workshop.registry.jobs.schedules()
    assert schedule.next_at is not None
    assert schedule.next_at > workshop.clock()


def test_a_schedule_that_cannot_be_followed_keeps_no_other_from_it(
    workshop: Workshop, caplog: pytest.LogCaptureFixture
) -> None:
    past = workshop.clock() - timedelta(minutes=1)
    broken = Schedule(name="broken", kind="expiry", cron="nonsense", next_at=past, updated_at=past)
    with workshop.transport.catalog.writing() as tx:
        tx.schedules.put(broken)
        tx.schedules.put(structs.replace(broken, name="good", cron="@hourly"))
    with workshop.works({"expiry": lambda _: {}}):
        wait_for(lambda: len(workshop.registry.jobs.list(state="done")) >= 1)  # two in the first minute of an hour
    assert "The schedule broken cannot be followed" in caplog.text


def test_the_usual_schedules_are_made_once(workshop: Workshop) -> None:
    assert make_default_schedules(workshop.transport) == ["integrity", "expiry", "rollup", "retention"]
    assert make_default_schedules(workshop.transport) == []
    jobs = workshop.registry.jobs
    assert {each.name: each.enabled for each in jobs.schedules()} == {
        "expiry": True,
        "integrity": True,
        "rollup": True,
        "retention": False,
    }
    jobs.remove_schedule("integrity", reason="we have another way")
    jobs.resume("retention")
    assert make_default_schedules(workshop.transport) == []
    left = {each.name: each.enabled for each in jobs.schedules()}
    assert left == {"expiry": True, "rollup": True, "retention": True}


def test_servers_that_start_together_make_them_once(workshop: Workshop) -> None:
    threads = [threading.Thread(target=make_default_schedules, args=(workshop.transport,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(workshop.registry.audit.list(event="schedule.set")) == 4


# The clock


class Server:
    """A catalog whose server has a clock of its own."""

    def __init__(self, at: datetime | None) -> None:
        self.at = at
        self.asked = 0

    @contextmanager
    def reading(self) -> Any:
        self.asked += 1
        yield self

    @property
    def jobs(self) -> "Server":
        return self

    def now(self) -> datetime | None:
        return self.at


def test_the_clock_is_the_servers_whatever_this_machine_says() -> None:
    server, seconds = Server(datetime(2020, 1, 1, tzinfo=UTC)), [100.0]
    machine = [datetime(2026, 1, 1, tzinfo=UTC)]
    clock = CatalogClock(server, lambda: machine[0], lambda: seconds[0])  # type: ignore[arg-type]
    assert clock() == datetime(2020, 1, 1, tzinfo=UTC)
    seconds[0] += 30
    machine[0] += timedelta(days=400)  # somebody sets this machine's clock
    assert clock() == datetime(2020, 1, 1, 0, 0, 30, tzinfo=UTC)
    assert server.asked == 1
    server.at = datetime(2020, 1, 1, 0, 2, tzinfo=UTC)
    seconds[0] += 31
    assert clock() == datetime(2020, 1, 1, 0, 2, tzinfo=UTC)
    assert server.asked == 2


def test_without_a_server_it_is_this_machines() -> None:
    server, machine = Server(None), [datetime(2026, 1, 1, tzinfo=UTC)]
    clock = CatalogClock(server, lambda: machine[0])  # type: ignore[arg-type]
    assert clock() == machine[0]
    machine[0] += timedelta(hours=1)
    assert clock() == machine[0]
    assert server.asked == 1
