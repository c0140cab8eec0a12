"""Ten thousand due jobs, four worker processes, one PostgreSQL with its default settings: none lost, none twice.

    python -m benchmarks.jobs [--jobs N] [--workers N] [--threads N]

Prints what a claim takes, what the whole transaction around it takes (it settles the jobs that have ended as well, and
waits for the disk), and jobs a second. A job writes a line to a file and does nothing else. Exits with 1 when one was
lost or run twice, or a claim's p99 is above 25 ms.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from benchmarks.postgres_server import empty_database, running_postgres
from chopmark.base.clock import system_clock
from chopmark.base.ids import uuid7
from chopmark.base.settings import load_settings
from chopmark.catalog import upgrade_catalog
from chopmark.catalog.jobs import SqlJobs
from chopmark.domain.jobs import Job
from chopmark.wiring import connect
from chopmark.workers.loop import run_workers
from chopmark.workers.queue import Queue
from chopmark.workers.tasks import Task

CLAIM_P99_MS_MAX = 25.0
ADDED_AT_ONCE = 500
TIMEOUT_S = 600.0


def main() -> int:
    """Run the benchmark, or one of its workers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--work", nargs=2, metavar=("URL", "DIRECTORY"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.work:
        _work(asked.work[0], Path(asked.work[1]), asked.threads)
        return 0
    with tempfile.TemporaryDirectory(prefix="chopmark-jobs-") as directory:
        place = Path(directory)
        place.chmod(0o755)  # PostgreSQL does not run as root, and its home is in here
        with running_postgres(place / "postgres") as server:
            url = empty_database(server, "jobs")
            upgrade_catalog(url)
            return _measure(url, place, asked.jobs, asked.workers, asked.threads)


def _measure(url: str, place: Path, jobs: int, workers: int, threads: int) -> int:
    with _processes(url, place, workers, threads) as processes:
        _wait_for(lambda: len(list(place.glob("ready-*"))) == workers)
        began_s = time.monotonic()
        wanted = _add(url, place, jobs)
        _wait_for(lambda: _ended(url, place, wanted))
        took_s = time.monotonic() - began_s
        for process in processes:
            process.send_signal(signal.SIGTERM)
        for process in processes:
            process.wait(60)
    ran = Counter((place / "lines").read_text().split())
    lost, twice = [job for job in wanted if job not in ran], [job for job, times in ran.items() if times > 1]
    taken = [json.loads(path.read_text()) for path in sorted(place.glob("times-*"))]
    turns = sorted(ms for each in taken for ms in each["turns"])
    claims = sorted(ms for each in taken for ms in each["claims"])
    shares = ", ".join(f"{each['jobs']:,}" for each in taken)
    print(f"{jobs:,} jobs by {workers} workers of {threads} threads: {len(lost)} lost, {len(twice)} twice")
    print(f"  {jobs / took_s:,.0f} jobs/s, queueing them included ({took_s:.1f} s); by worker {shares}")
    print(f"  claim ({len(claims):,}): p50 {_at(claims, 0.5):.1f} ms, p99 {_at(claims, 0.99):.1f} ms")
    print(f"  its transaction, with what it settles: p50 {_at(turns, 0.5):.1f} ms, p99 {_at(turns, 0.99):.1f} ms")
    return 1 if lost or twice or _at(claims, 0.99) > CLAIM_P99_MS_MAX else 0


def _at(times_ms: list[float], share: float) -> float:
    return times_ms[min(len(times_ms) - 1, int(share * len(times_ms)))]


def _open(url: str, place: Path, threads: int = 1) -> Any:
    arguments = {"url": str(place / "registry"), "database_url": url, "actor": "bench", "worker_jobs": threads}
    resolved = load_settings({**arguments, "worker_poll_s": 0.2}, environ={})
    return connect(resolved), resolved.settings


def _add(url: str, place: Path, count: int) -> set[str]:
    transport, _ = _open(url, place)
    now = system_clock() - timedelta(minutes=1)
    wanted = [Job(id=uuid7(now), kind="note", run_after=now, created_at=now) for _ in range(count)]
    for first in range(0, count, ADDED_AT_ONCE):
        with transport.catalog.writing() as tx:
            for job in wanted[first : first + ADDED_AT_ONCE]:
                tx.jobs.add(job)
    transport.close()
    return {str(job.id) for job in wanted}


def _ended(url: str, place: Path, wanted: set[str]) -> bool:
    """Whether every job is done by the catalog's word; asked only once every line is there."""
    lines = place / "lines"
    if not lines.exists() or lines.stat().st_size < 37 * len(wanted):
        return False
    transport, _ = _open(url, place)
    with transport.catalog.reading() as tx:
        is_left = any(tx.jobs.list(state=state, limit=1) for state in ("queued", "running", "failed", "dead"))
    transport.close()
    return not is_left


def _wait_for(met: Any) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not met():
        if time.monotonic() > deadline:
            raise TimeoutError("the jobs were not done in time")
        time.sleep(0.05)


@contextmanager
def _processes(url: str, place: Path, workers: int, threads: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    command = [sys.executable, "-m", "benchmarks.jobs", "--threads", str(threads), "--work", url, str(place)]
    started = [subprocess.Popen(command) for _ in range(workers)]
    try:
        yield started
    finally:
        for process in started:
            process.kill()
            process.wait()


class _Timed:
    """Times of a function's calls, where ``counts`` says that they count."""

    def __init__(self, owner: type, name: str, counts: Any) -> None:
        self.ms: list[float] = []
        original = getattr(owner, name)

        def timed(this: Any, *args: Any, **named: Any) -> Any:
            began_s = time.perf_counter()
            found = original(this, *args, **named)
            if counts(found):
                self.ms.append((time.perf_counter() - began_s) * 1_000)
            return found

        setattr(owner, name, timed)


def _work(url: str, place: Path, threads: int) -> None:
    turns = _Timed(Queue, "turn", lambda turn: bool(turn.taken))
    claims = _Timed(SqlJobs, "claim", bool)
    descriptor = os.open(place / "lines", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    done = 0

    def note(task: Task) -> dict[str, Any]:
        nonlocal done
        os.write(descriptor, f"{task.job.id}\n".encode())
        done += 1
        return {}

    transport, settings = _open(url, place, threads)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    (place / f"ready-{os.getpid()}").touch()
    run_workers(transport, settings, stop, works={"note": note})
    transport.close()
    times = {"turns": turns.ms, "claims": claims.ms, "jobs": done}
    (place / f"times-{os.getpid()}").write_text(json.dumps(times))


if __name__ == "__main__":
    sys.exit(main())
