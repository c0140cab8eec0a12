"""A database that is not up yet, that goes and comes back, and that is there and answers nothing."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3

from chopmark.errors import ChopmarkError, Unavailable
from faults.serving_processes import Installation, Running, status_of, until
from tests.server.own_postgres import OwnPostgres


@pytest.fixture
def database() -> Iterator[OwnPostgres]:
    """Not started yet."""
    made = OwnPostgres()
    yield made
    made.close()


@pytest.fixture
def installation(database: OwnPostgres, tmp_path: Path) -> Iterator[Installation]:
    made = Installation(
        tmp_path,
        database_url=database.url,
        store_url=str(tmp_path / "blobs"),
        connect_timeout_s=3,
        serve_timeout_s=3,
        worker_lease_s=2,
        worker_poll_s=0.2,
    )
    yield made
    made.close()


def answer(server: Running, path: str = "/api/v1/models") -> urllib3.BaseHTTPResponse:
    return urllib3.request("GET", server.url + path, retries=False, timeout=20)


def is_refused(server: Running) -> bool:
    """Whether a read is refused the way that says when to come again; anything else but an answer is a fault."""
    found = answer(server)
    assert found.status in (200, 503, 504), found.data
    if found.status == 200:
        return False
    assert found.status == 503, found.data
    assert int(found.headers["retry-after"]) >= 1
    assert found.json()["code"] == "unavailable"
    return True


def test_it_waits_for_a_database_that_is_not_up_yet(database: OwnPostgres, installation: Installation) -> None:
    server = installation.serve("--workers", "1", ready=False)
    server.until_said("Waiting for the database")
    time.sleep(1.5)
    assert server.process.poll() is None
    assert server.said().count("Waiting") == 1
    assert status_of(server.url + "/healthz") == 0
    database.start()
    server.until_ready(30)
    with installation.client(server.url) as registry:
        registry.register("fraud", {"a": 1})
    assert server.stop() < 10


@pytest.mark.slow
def test_it_goes_on_when_the_database_is_back(database: OwnPostgres, installation: Installation) -> None:
    database.start()
    server = installation.serve("--workers", "1")
    with installation.client(server.url, offline_hours=0) as registry, installation.client(server.url) as hearing:
        heard: list[str] = []
        hearing.on("version.registered", lambda event: heard.append(event.target))
        registered = [registry.register("fraud", {"n": n}).ref for n in range(3)]
        until(lambda: heard == registered, 60)
        for how in (signal.SIGINT, signal.SIGQUIT):
            database.stop(how)
            until(lambda: is_refused(server), 60)
            until(lambda: answer(server, "/readyz").status == 503, 60)
            ready = answer(server, "/readyz")
            assert (ready.status, ready.json()["code"]) == (503, "unavailable")
            assert int(ready.headers["retry-after"]) >= 1
            assert status_of(server.url + "/healthz") == 200
            with pytest.raises(Unavailable):
                registry.register("fraud", {"lost": how.name})
            for _ in range(30):  # more than the pool has connections
                assert is_refused(server)
            database.start()
            until(lambda: status_of(server.url + "/readyz") == 200, 60)
            assert not any(is_refused(server) for _ in range(30))
            registered.append(registry.register("fraud", {"back": how.name}).ref)
            until(lambda: heard == registered, 60)
        job = registry.jobs.run("expiry")
        until(lambda: registry.jobs.get(job).state == "done", 30)
        until(lambda: not registry.storage.check().findings, 15)  # what was not recorded beside the blobs is soon
    assert "Traceback" not in server.said()
    assert server.stop() < 10


@pytest.mark.slow
def test_a_registration_that_the_database_breaks_off_is_there_whole_or_not_at_all(
    database: OwnPostgres, installation: Installation
) -> None:
    database.start()
    server = installation.serve("--workers", "0")
    acknowledged: list[tuple[str, str]] = []
    stop = threading.Event()

    def register() -> None:
        with installation.client(server.url) as registry:
            n = 0
            while not stop.is_set():
                n += 1
                try:
                    version = registry.register("fraud", {"n": n}, tags={"n": str(n)})
                except ChopmarkError:
                    time.sleep(0.05)
                else:
                    acknowledged.append((version.ref, version.digest))

    thread = threading.Thread(target=register)
    thread.start()
    for turn in range(3):
        seen = len(acknowledged)
        until(lambda seen=seen: len(acknowledged) > seen + 5, 60)  # type: ignore[misc]
        database.stop(signal.SIGQUIT if turn % 2 else signal.SIGINT)
        time.sleep(0.3)
        database.start()
    seen = len(acknowledged)
    until(lambda: len(acknowledged) > seen + 3, 60)
    stop.set()
    thread.join(30)
    with installation.client() as behind:
        found = {version.ref: version for version in behind.versions.each("")}
        assert {ref: found[ref].digest for ref, _ in acknowledged} == dict(acknowledged)
        ns = [version.tags["n"] for version in found.values()]
        assert len(ns) == len(set(ns)), "a call that was sent again was done twice"
        assert {f.code for f in behind.storage.check(content=True).findings} <= {"blobs_orphaned"}


@pytest.mark.slow
def test_a_database_that_answers_nothing_keeps_no_other_waiting(
    database: OwnPostgres, installation: Installation
) -> None:
    database.start()
    server = installation.serve("--workers", "1")
    with installation.client(server.url) as registry:
        registry.register("fraud", {"a": 1})
    database.freeze()
    begun = time.monotonic()
    pool = urllib3.PoolManager(maxsize=40)
    found: list[int] = []

    def ask() -> None:
        found.append(pool.request("GET", server.url + "/api/v1/models", retries=False, timeout=30).status)

    threads = [threading.Thread(target=ask) for _ in range(30)]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    for _ in range(5):  # what needs no database is answered meanwhile, and at once
        asked = time.monotonic()
        assert status_of(server.url + "/healthz") == 200
        assert time.monotonic() - asked < 1
    until(lambda: answer(server, "/readyz").status == 503, 60)
    for thread in threads:
        thread.join(30)
    assert set(found) <= {503, 504}, found
    assert time.monotonic() - begun < 20
    database.thaw()
    until(lambda: status_of(server.url + "/readyz") == 200, 60)
    assert not is_refused(server)
    assert server.stop() < 15
