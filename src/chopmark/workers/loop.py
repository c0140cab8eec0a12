"""The loop of a worker: wait, take jobs, run them on threads, say that they are alive, settle them.

One thread asks the database; each job has a thread of its own. Everything the loop decides by is in the catalog, so it may be
killed anywhere: jobs it had are taken by others when their leases run out.
"""

from __future__ import annotations

import os
import random
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from uuid import UUID

from chopmark.base.clock import Clock
from chopmark.base.ids import random_bytes, uuid7
from chopmark.base.settings import Settings
from chopmark.domain.jobs import Job, should_extend
from chopmark.wiring import LocalTransport
from chopmark.workers.clock import CatalogClock
from chopmark.workers.kinds import WORKS
from chopmark.workers.pulse import Pulse
from chopmark.workers.queue import Awaited, Queue
from chopmark.workers.tasks import Outcome, Task, Work, attempted
from chopmark.workers.telling import LOGGER

__all__ = ["Worker", "run_workers", "working"]

_BEATS_A_LEASE = 3
_WAKING = ("job.queued", "job.retried", "schedule.set", "schedule.resumed")


class _Running:
    """A job that runs here."""

    def __init__(self, job: Job, task: Task) -> None:
        self.job = job
        self.task = task
        self.is_ours = True

    def lose(self, why: str) -> None:
        """Let go of it: it is another's, was cancelled, or takes too long."""
        self.is_ours = False
        self.task.stop(why)


class Worker:
    """Takes jobs and does them, until it is stopped.

    Parameters
    ----------
    transport
        The registry.
    settings
        ``worker_jobs`` at a time, ``worker_lease_s``, ``worker_poll_s``, ``worker_stop_s``, ``worker_job_timeout_s``.
    works
        What it can do, by kind.
    clock
        Instead of the one of `chopmark.workers.clock`, in tests.
    """

    def __init__(
        self,
        transport: LocalTransport,
        settings: Settings,
        *,
        works: Mapping[str, Work] = WORKS,
        clock: Clock | None = None,
    ) -> None:
        self.name = f"{socket.gethostname()}:{os.getpid()}:{random_bytes(4).hex()}"
        self._transport = transport
        self._settings = settings
        self._works = works
        self._clock = clock or CatalogClock(transport.catalog)
        self._queue = Queue(transport.catalog, self.name, tuple(works), settings.worker_lease_s, uuid7)
        self._running: dict[tuple[UUID, int], _Running] = {}
        self._ended: list[Outcome] = []
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._awaited = Awaited(None, None)
        self._looked_at_s = float("-inf")
        self._beat_at_s = time.monotonic()
        self._pulse = Pulse("Jobs", settings.worker_poll_s)

    def check(self) -> None:
        """Raise `Unavailable` when it has not looked for two minutes."""
        self._pulse.check()

    def run(self, stop: threading.Event) -> None:
        """Work until ``stop`` is set; what runs then is finished or handed back."""
        ends = [self._transport.on(event, lambda _: self._wake.set()) for event in _WAKING]
        watch = threading.Thread(target=self._wake_at, args=(stop,), name="chopmark-worker-stop", daemon=True)
        watch.start()
        try:
            while not stop.is_set():
                self._wait(self._turn(is_stopping=False))
            self._stop()
        finally:
            stop.set()
            for end in ends:
                end()

    def _wake_at(self, stop: threading.Event) -> None:
        stop.wait()
        self._wake.set()

    def _wait(self, pause_s: float) -> None:
        if pause_s > 0:
            self._wake.wait(pause_s)
        self._wake.clear()

    def _stop(self) -> None:
        """Ask what runs to end, settle it, and hand back what does not end in time."""
        deadline_s = time.monotonic() + self._settings.worker_stop_s
        for running in self._running.values():
            running.task.stop()
        while (self._running or self._ended) and time.monotonic() < deadline_s:
            self._turn(is_stopping=True)
            if self._running or self._ended:
                self._wake.wait(0.1)
                self._wake.clear()
        with self._lock:
            left = [Outcome(each.job, "returned") for each in self._running.values() if each.is_ours]
            self._ended += left
            self._running.clear()
        if left:
            LOGGER.warning("%d jobs did not end in time, and are handed back.", len(left))
        if self._ended:
            self._turn(is_stopping=True)

    def _turn(self, *, is_stopping: bool) -> float:
        """Look and do; seconds to wait before the next turn."""
        try:
            pause_s = self._do(is_stopping=is_stopping)
        except Exception as error:  # noqa: BLE001 - whatever it is, leases and jobs are safe, and the next turn may do better
            return self._pulse.failed(error) * _jitter()
        self._pulse.well()
        return pause_s

    def _do(self, *, is_stopping: bool) -> float:
        poll_s = self._settings.worker_poll_s
        now = self._clock()
        with self._lock:
            outcomes = list(self._ended)
        beats = (
            bool(self._running) and time.monotonic() - self._beat_at_s >= self._settings.worker_lease_s / _BEATS_A_LEASE
        )
        if not outcomes or time.monotonic() - self._looked_at_s >= poll_s:
            self._awaited, self._looked_at_s = self._queue.awaited(), time.monotonic()
        free = 0 if is_stopping else max(0, self._settings.worker_jobs - len(self._running) + len(outcomes))
        fires = not is_stopping and _is_past(self._awaited.firing_at, now)
        takes = free > 0 and (bool(outcomes) or fires or _is_past(self._awaited.job_at, now))
        if not (outcomes or beats or fires or takes):
            return self._until_next(now, poll_s)
        alive = self._alive(now, outcomes) if beats else []
        turn = self._queue.turn(now, outcomes=outcomes, alive=alive, free=free if takes else 0, fires=fires)
        with self._lock:
            self._ended = self._ended[len(outcomes) :]
        for outcome in outcomes:
            self._running.pop(_key(outcome.job), None)
        if beats:
            self._beat_at_s = time.monotonic()
        for job in turn.lost:
            LOGGER.warning(
                "The job %s (%s) was cancelled or taken from this worker; it is broken off.", job.id, job.kind
            )
            self._running[_key(job)].lose("It was no longer this worker's.")
        for job in turn.taken:
            self._begin(job)
        is_emptied = len(turn.taken) < free
        return poll_s * _jitter() if is_emptied or not takes else 0.0

    def _until_next(self, now: datetime, poll_s: float) -> float:
        """Seconds until something known is due, and at most a poll: others may queue what this process hears nothing of."""
        soon_s = min(
            ((at - now).total_seconds() for at in self._awaited if at is not None and at > now), default=poll_s
        )
        return max(0.0, min(soon_s, poll_s * _jitter()))

    def _alive(self, now: datetime, outcomes: list[Outcome]) -> list[Job]:
        """Jobs that run and may go on; those that take too long are let go."""
        ended = {_key(outcome.job) for outcome in outcomes}
        going = [each for key, each in self._running.items() if key not in ended and each.is_ours]
        for each in going:
            if not should_extend(each.job, now, self._settings.worker_job_timeout_s):
                LOGGER.warning("The job %s (%s) takes too long, and is left.", each.job.id, each.job.kind)
                each.lose("It took longer than the setting worker_job_timeout_s.")
        return [each.job for each in going if each.is_ours]

    def _begin(self, job: Job) -> None:
        task = Task(job, self._transport, self._settings)
        self._running[_key(job)] = _Running(job, task)
        thread = threading.Thread(target=self._run_one, args=(task,), name=f"chopmark-job-{job.kind}", daemon=True)
        thread.start()

    def _run_one(self, task: Task) -> None:
        outcome = attempted(self._works[task.job.kind], task)
        with self._lock:
            self._ended.append(outcome)
        self._wake.set()


def _key(job: Job) -> tuple[UUID, int]:
    """One attempt: the same job may be taken again by the worker that has just lost it."""
    return job.id, job.fence


def _is_past(at: datetime | None, now: datetime) -> bool:
    return at is not None and at <= now


def _jitter() -> float:
    """Between 0.75 and 1.25: workers that began together do not go on asking together."""
    return 0.75 + random.random() / 2  # noqa: S311 - no secret


def run_workers(
    transport: LocalTransport,
    settings: Settings,
    stop: threading.Event,
    *,
    works: Mapping[str, Work] = WORKS,
    clock: Clock | None = None,
) -> None:
    """Do jobs in this thread and some more until ``stop`` is set; see `Worker`."""
    Worker(transport, settings, works=works, clock=clock).run(stop)


@contextmanager
def working(transport: LocalTransport, settings: Settings, stop: threading.Event | None = None) -> Iterator[Worker]:
    """Do jobs beside what happens in the block; at its end, or when ``stop`` is set, they are finished or handed back."""
    worker, stop = Worker(transport, settings), stop or threading.Event()
    thread = threading.Thread(target=worker.run, args=(stop,), name="chopmark-worker", daemon=True)
    thread.start()
    try:
        yield worker
    finally:
        stop.set()
        with suppress(RuntimeError):
            thread.join(settings.worker_stop_s + settings.lock_timeout_s)
