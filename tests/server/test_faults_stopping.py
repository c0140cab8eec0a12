"""SIGTERM: what is worked on is ended, nobody is waited for without end, and the process ends with 0."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
import urllib3

from faults.serving_processes import Installation, until
from tests.server.raw import Raw, connected

STOP_S = 4.0


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    """Closes, at the end, what a test leaves open while the server ends."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    """On SQLite and a directory; nothing started yet."""
    made = Installation(tmp_path, serve_stop_s=STOP_S, worker_stop_s=2, worker_lease_s=2, worker_poll_s=0.2)
    yield made
    made.close()


def upload(url: str, data: bytes, opened: ExitStack) -> Raw:
    """An upload whose head was sent."""
    digest = hashlib.sha256(data).hexdigest()
    raw = opened.enter_context(closing(connected(url)))
    head = f"PUT /api/v1/blobs/sha256:{digest} HTTP/1.1\r\nhost: here\r\ncontent-length: {len(data)}\r\n\r\n"
    raw.send(head.encode())
    return raw


def refuses_connections(url: str) -> bool:
    host, _, port = url.removeprefix("http://").partition(":")
    try:
        socket.create_connection((host, int(port)), 5).close()
    except OSError:
        return True
    return False


def test_it_ends_what_it_works_on_and_lets_hearers_go(installation: Installation, opened: ExitStack) -> None:
    """A hundred hear events, an upload comes slowly and a registration is under way."""
    server = installation.serve("--workers", "1")
    streams = [
        urllib3.request("GET", f"{server.url}/api/v1/events", preload_content=False, retries=False, timeout=30)
        for _ in range(100)
    ]
    assert {stream.status for stream in streams} == {200}
    data = b"slow" * 200_000
    slow = upload(server.url, data, opened)
    slow.send(data[:100_000])
    with installation.client(server.url) as registry, ThreadPoolExecutor(1) as pool:
        registered = pool.submit(lambda: [registry.register("fraud", {"n": n}) for n in range(3)])
        assert len(registered.result(60)) == 3
        server.process.send_signal(signal.SIGTERM)
        begun = time.monotonic()
        until(lambda: refuses_connections(server.url), 60)
        for at in range(100_000, len(data), 100_000):  # it goes on after the signal, and is ended
            slow.send(data[at : at + 100_000])
            time.sleep(0.05)
        reply = slow.reply()
        assert (reply.status, reply.headers["connection"]) == (200, "close")
        assert server.process.wait(30) == 0
    assert time.monotonic() - begun < STOP_S
    for stream in streams:
        stream.read()  # each was ended as a stream is, and not torn
        stream.close()
    with installation.client() as behind:
        assert behind._transport.store.stat(f"sha256:{hashlib.sha256(data).hexdigest()}") is not None
        assert [f.code for f in behind.storage.check(content=True).findings] in ([], ["blobs_orphaned"])


@pytest.mark.slow
def test_who_never_ends_is_not_waited_for(installation: Installation, opened: ExitStack) -> None:
    """Uploads that drip, heads that never end, and hearers that hear nothing."""
    server = installation.serve("--workers", "1")
    data = b"x" * 1_000_000
    dripping = [upload(server.url, data, opened) for _ in range(5)]
    for each in dripping:
        each.send(data[:1000])
    heads = [opened.enter_context(closing(connected(server.url))) for _ in range(5)]
    for each in heads:
        each.send(b"GET /api/v1/models HTT")
    deaf = [opened.enter_context(closing(connected(server.url, receive_bytes=4096))) for _ in range(5)]
    for each in deaf:
        each.send(b"GET /api/v1/events HTTP/1.1\r\nhost: here\r\n\r\n")
    stop = threading.Event()

    def drip() -> None:
        while not stop.wait(0.2):
            for each in dripping:
                try:
                    each.send(b"x")
                except OSError:
                    return

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        time.sleep(0.5)
        took_s = server.stop(60)
    finally:
        stop.set()
        thread.join()
    assert took_s < STOP_S + 4
    replies = [each.reply() for each in dripping]
    assert [(r.status, r.headers["content-type"], r.headers["retry-after"]) for r in replies] == [
        (503, "application/problem+json", "1")
    ] * len(dripping)
    assert "Traceback" not in server.said()
    with installation.client() as behind:
        assert behind._transport.store.stat(f"sha256:{hashlib.sha256(data).hexdigest()}") is None
        assert not behind.storage.check().findings


def test_a_job_is_finished_or_its_lease_returned(installation: Installation) -> None:
    server = installation.serve("--workers", "0")
    with installation.client(server.url) as registry:
        for n in range(20):
            registry.register(f"m{n}", {"n": n})
        jobs = [registry.jobs.run("integrity", {"share": 1.0}) for _ in range(4)]
        server.stop()
        server = installation.again(server, "--workers", "2")
        until(lambda: any(job.state in ("running", "done") for job in registry.jobs.list(kind="integrity")), 30)
        took_s = server.stop()
    assert took_s < STOP_S + 2
    with installation.client() as behind:
        left = [behind.jobs.get(job) for job in jobs]
        assert {job.state for job in left} <= {"done", "queued"}, left
        assert all(job.lease_until is None for job in left if job.state == "queued")
    server = installation.again(server, "--workers", "2")
    with installation.client(server.url) as registry:
        until(lambda: all(registry.jobs.get(job).state == "done" for job in jobs), 60)
        assert {registry.jobs.get(job).attempt for job in jobs} == {1}, (
            "an attempt that was handed back counts for nothing"
        )


def test_a_signal_while_it_waits_for_its_database(installation: Installation) -> None:
    server = installation.serve(ready=False, database_url="postgresql://nobody@127.0.0.1:1/none", connect_timeout_s=2)
    server.until_said("Waiting for the database")
    assert server.stop(10) < 5
    assert not server.said().count("Traceback")


def test_a_signal_as_it_starts(installation: Installation) -> None:
    with installation.client() as behind:
        behind.register("fraud", {"a": 1})
    for pause_s in (0.6, 0.9, 1.2, 1.5):
        server = installation.serve(ready=False)
        time.sleep(pause_s)
        if "Serving" not in server.said():
            server.until_said("Serving")
        assert server.stop(20) < 10
        assert "Traceback" not in server.said()


AT_ONCE = """
import gc, os, signal, sys
from chopmark.cli import main

collect = gc.collect
gc.collect = lambda *given: (os.kill(os.getpid(), signal.SIGTERM), collect(*given))[1]  # it tidies up right before it serves
sys.argv[1:] = ["serve", "--port", "0"]
main()
"""


def test_a_signal_between_starting_and_serving_is_not_lost(tmp_path: Path) -> None:
    environ = {**os.environ, "CHOPMARK_URL": str(tmp_path / "registry"), "CHOPMARK_SERVE_AUTH": "none"}
    command = [sys.executable, "-c", AT_ONCE]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "Serving" in done.stdout + done.stderr) == (0, True), done.stderr
