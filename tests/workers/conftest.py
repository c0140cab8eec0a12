"""A worker on a thread, whose clock can be moved and whose work can be watched."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec import structs

import chopmark as cm
from chopmark.base.ids import uuid7
from chopmark.domain.jobs import Job
from chopmark.testing.registry import memory_registry
from chopmark.workers.loop import Worker
from chopmark.workers.tasks import Work

QUICK = {"worker_poll_s": 0.05, "worker_lease_s": 0.6, "worker_stop_s": 0.5, "progress": "never"}


class MovedClock:
    """The machine's time and some more."""

    def __init__(self) -> None:
        self.by = timedelta(0)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.by


class Workshop:
    """A registry, and workers in it."""

    def __init__(self, registry: cm.Registry) -> None:
        self.registry = registry
        self.transport: Any = registry._transport
        self.clock = MovedClock()

    @contextmanager
    def works(self, works: Mapping[str, Work], **settings: Any) -> Iterator[Worker]:
        """A worker that can do these, for the length of the block."""
        chosen = structs.replace(self.registry.settings, **{**QUICK, **settings})
        worker = Worker(self.transport, chosen, works=works, clock=self.clock)
        stop = threading.Event()
        thread = threading.Thread(target=worker.run, args=(stop,), daemon=True)
        thread.start()
        try:
            yield worker
        finally:
            stop.set()
            thread.join(30)
            assert not thread.is_alive()

    def add(self, kind: str = "probe", **rest: Any) -> Job:
        """A job of any kind, straight into the queue."""
        now = self.clock()
        job = Job(**{"id": uuid7(now), "kind": kind, "run_after": now, "created_at": now, **rest})
        with self.transport.catalog.writing() as tx:
            tx.jobs.add(job)
        return job

    def job(self, job: Job) -> Job:
        return self.registry.jobs.get(job)

    def until(self, job: Job, *states: str) -> Job:
        """The job as soon as it is in one of the states."""
        wait_for(lambda: self.job(job).state in states)
        return self.job(job)


def wait_for(met: Callable[[], bool], within_s: float = 20.0) -> None:
    deadline = time.monotonic() + within_s
    while not met():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


@pytest.fixture
def workshop() -> Iterator[Workshop]:
    """On memory."""
    with memory_registry(actor="ada") as registry:
        yield Workshop(registry)
