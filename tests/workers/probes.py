"""A worker of the tests as a process: its jobs leave lines in a file.

    python -m tests.workers.probes DATABASE_URL DIRECTORY LINES JOBS

``note`` writes a line when it begins; ``hang`` writes one and never ends; ``slow`` writes one at its begin and one at its end.
"""

import os
import signal
import sys
import threading
import time
from typing import Any

from chopmark.base.settings import load_settings
from chopmark.wiring import connect
from chopmark.workers.loop import run_workers
from chopmark.workers.tasks import Task


def main(database_url: str, directory: str, lines: str, jobs: str) -> None:
    descriptor = os.open(lines, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def write(what: str, task: Task) -> None:
        os.write(descriptor, f"{what} {task.job.id} {task.job.fence} {os.getpid()}\n".encode())

    def note(task: Task) -> dict[str, Any]:
        write("ran", task)
        return {"pid": os.getpid()}

    def hang(task: Task) -> dict[str, Any]:
        write("ran", task)
        if task.job.attempt == 1:
            time.sleep(600)
        return {"pid": os.getpid()}

    def slow(task: Task) -> dict[str, Any]:
        write("began", task)
        time.sleep(0.3)
        write("ended", task)
        return {"pid": os.getpid()}

    resolved = load_settings(
        {
            "url": directory,
            "database_url": database_url,
            "actor": "worker",
            "worker_jobs": int(jobs),
            "worker_poll_s": 0.2,
            "worker_lease_s": 2.0,
        },
        environ={},
    )
    transport = connect(resolved)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    write_ready = os.write(descriptor, f"ready - - {os.getpid()}\n".encode())
    assert write_ready
    run_workers(transport, resolved.settings, stop, works={"note": note, "hang": hang, "slow": slow})
    transport.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
