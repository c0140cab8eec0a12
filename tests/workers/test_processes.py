"""Workers as processes over one PostgreSQL, and what is left when one is killed."""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import chopmark as cm
from chopmark.base.clock import system_clock
from chopmark.base.ids import uuid7
from chopmark.domain.jobs import Job, finished
from tests.workers.conftest import wait_for

ROOT = Path(__file__).parents[2]


class Processes:
    """A registry on PostgreSQL, and worker processes."""

    def __init__(self, url: str, directory: Path) -> None:
        self.url = url
        self.directory = directory
        self.lines = directory / "lines"
        self.registry = cm.open(directory / "registry", database_url=url, actor="ada")
        self.started: list[subprocess.Popen[bytes]] = []

    @property
    def catalog(self) -> Any:
        return self.registry._transport.catalog

    def start(self, jobs: int = 2) -> subprocess.Popen[bytes]:
        arguments = [self.url, str(self.directory / "registry"), str(self.lines), str(jobs)]
        process = subprocess.Popen([sys.executable, "-m", "tests.workers.probes", *arguments], cwd=ROOT)
        self.started.append(process)
        wait_for(lambda: any(line[3] == str(process.pid) for line in self.said("ready")), 60)
        return process

    def said(self, what: str) -> list[list[str]]:
        if not self.lines.exists():
            return []
        found = [line.split() for line in self.lines.read_text().splitlines()]
        return [line for line in found if line[0] == what]

    def add(self, kind: str, count: int = 1) -> list[Job]:
        now = system_clock() - timedelta(minutes=1)
        jobs = [Job(id=uuid7(now), kind=kind, run_after=now, created_at=now) for _ in range(count)]
        with self.catalog.writing() as tx:
            for job in jobs:
                assert tx.jobs.add(job)
        return jobs

    def stored(self) -> list[Job]:
        with self.catalog.reading() as tx:
            jobs: list[Job] = tx.jobs.list(limit=10_000)
        return jobs

    def close(self) -> None:
        for process in self.started:
            process.kill()
            process.wait()
        self.registry.close()


@pytest.fixture
def processes(postgres_catalog_url: str, tmp_path: Path) -> Iterator[Processes]:
    """None started yet."""
    found = Processes(postgres_catalog_url, tmp_path)
    yield found
    found.close()


def test_four_workers_lose_none_and_do_none_twice(processes: Processes) -> None:
    for _ in range(4):
        processes.start(jobs=4)
    jobs = processes.add("note", 2_000)
    wait_for(lambda: len(processes.said("ran")) >= len(jobs), 90)
    wait_for(lambda: all(job.state == "done" for job in processes.stored()), 60)
    assert Counter(line[1] for line in processes.said("ran")) == Counter(str(job.id) for job in jobs)
    assert {(job.attempt, job.fence) for job in processes.stored()} == {(1, 1)}
    workers = {line[3] for line in processes.said("ran")}
    assert len(workers) == 4, "some had nothing to do: too little was tried"
    for process in processes.started:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_a_killed_workers_job_is_run_again_and_its_late_write_is_refused(processes: Processes) -> None:
    (job,) = processes.add("hang")
    doomed = processes.start()
    wait_for(lambda: bool(processes.said("ran")))
    (held,) = processes.stored()
    assert (held.state, held.fence) == ("running", 1)
    doomed.kill()
    doomed.wait()
    processes.start()
    wait_for(lambda: processes.stored()[0].state == "done", 60)
    assert [(line[1], line[2]) for line in processes.said("ran")] == [(str(job.id), "1"), (str(job.id), "2")]
    (done,) = processes.stored()
    assert (done.attempt, done.fence) == (2, 2)
    with processes.catalog.writing() as tx:  # what the dead one was about to write
        assert not tx.jobs.settle(finished(held, system_clock(), {"pid": doomed.pid}), held)
        assert not tx.jobs.extend(held, system_clock() + timedelta(hours=1))
    assert processes.stored() == [done]
    assert done.result["pid"] != doomed.pid


def test_what_a_frozen_worker_held_is_taken_over(processes: Processes) -> None:
    """A machine that stands still for longer than its lease and then goes on: its answer changes nothing."""
    processes.add("slow")
    frozen = processes.start()
    wait_for(lambda: bool(processes.said("began")))
    os.kill(frozen.pid, signal.SIGSTOP)
    processes.start()
    wait_for(lambda: processes.stored()[0].state == "done", 60)
    (done,) = processes.stored()
    os.kill(frozen.pid, signal.SIGCONT)
    wait_for(lambda: len(processes.said("ended")) == 2, 30)
    frozen.send_signal(signal.SIGTERM)
    assert frozen.wait(30) == 0
    assert processes.stored() == [done]
    assert done.result["pid"] != frozen.pid


def test_the_worker_command_works_and_ends_cleanly(postgres_catalog_url: str, tmp_path: Path) -> None:
    with cm.open(tmp_path / "registry", database_url=postgres_catalog_url, actor="ada") as registry:
        command = [sys.executable, "-m", "chopmark", "worker", "--at", str(tmp_path / "registry")]
        environ = {**os.environ, "CHOPMARK_DATABASE_URL": postgres_catalog_url}
        process = subprocess.Popen([*command, "--jobs", "1"], env=environ, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        try:
            assert "1 at a time" in process.stdout.readline()
            job = registry.jobs.run("expiry")
            wait_for(lambda: registry.jobs.get(job).state == "done", 30)
            assert len(registry.jobs.schedules()) == 4
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        process.stdout.close()
