"""Several servers and workers over one PostgreSQL and one S3 store behave as one, also when some are killed."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import urllib3

import chopmark as cm
from chopmark.domain.access import PERMISSIONS
from chopmark.errors import ChopmarkError, Unauthenticated
from faults.serving_processes import Installation, Running, until
from tests.backends.s3 import S3Server

LEASE_S = 2.0
TOKEN_CACHE_S = 1.0


@pytest.fixture
def installation(
    postgres_catalog_url: str, s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Installation]:
    """Nothing started yet."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.secret_access_key)
    made = Installation(
        tmp_path,
        database_url=postgres_catalog_url,
        store_url=f"s3://{s3_server.bucket}/{tmp_path.name}-{time.time_ns()}",
        store_endpoint=s3_server.endpoint_url,
        worker_lease_s=LEASE_S,
        worker_poll_s=0.2,
        worker_stop_s=2,
    )
    yield made
    made.close()


def both(installation: Installation, *arguments: str, **settings: Any) -> tuple[Running, Running]:
    """Two servers."""
    first = installation.serve(*arguments, ready=False, **settings)
    second = installation.serve(*arguments, ready=False, **settings)
    first.until_ready()
    second.until_ready()
    return first, second


class Subscriber:
    """Hears all events of one server, as its plain client, and goes on after a break."""

    def __init__(self, url: str) -> None:
        self.heard: list[tuple[int, str]] = []
        self._url = url
        self._ended = threading.Event()
        self._began = threading.Event()
        self._thread = threading.Thread(target=self._hear, daemon=True)
        self._thread.start()
        assert self._began.wait(60)

    def _hear(self) -> None:
        while not self._ended.is_set():
            try:
                self._hear_once()
            except (urllib3.exceptions.HTTPError, OSError):
                time.sleep(0.1)

    def _hear_once(self) -> None:
        headers = {"last-event-id": str(self.heard[-1][0])} if self.heard else {}
        stream = urllib3.request(
            "GET", f"{self._url}/api/v1/events", headers=headers, preload_content=False, retries=False, timeout=30
        )
        rest = b""
        for piece in stream.stream(4096):
            self._began.set()
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                if line.startswith(b"data: "):
                    event = json.loads(line.removeprefix(b"data: "))["data"]
                    self.heard.append((event["seq"], event["target"]))
            if self._ended.is_set():
                return

    def until_heard(self, count: int) -> list[tuple[int, str]]:
        until(lambda: len(self.heard) >= count, 30)
        self._ended.set()
        return list(self.heard)


def at_once(*works: Callable[[], Any]) -> list[Any]:
    """What came of works that were begun together; of one that failed, the error."""
    barrier = threading.Barrier(len(works))

    def begun(work: Callable[[], Any]) -> Any:
        barrier.wait(30)
        try:
            return work()
        except ChopmarkError as error:
            return error

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(begun, works))


def test_no_number_is_given_twice_and_every_subscriber_hears_the_same(installation: Installation) -> None:
    first, second = both(installation, "--workers", "0")
    hearing = [Subscriber(first.url), Subscriber(second.url)]
    clients = [installation.client(url) for url in (first.url, second.url) * 2]

    def register(which: int) -> Callable[[], list[cm.Version]]:
        registry = clients[which]
        return lambda: [registry.register("fraud", {"who": which, "n": n}) for n in range(8)]

    registered = [version for found in at_once(*map(register, range(4))) for version in found]
    assert sorted(version.number for version in registered) == list(range(1, 33))
    assert len({version.semver for version in registered}) == 32
    with installation.client() as behind:
        events = [(e.seq, e.target) for e in behind.audit.list(limit=1000)]
        assert behind.audit.verify().fault == ""
    heard = [each.until_heard(len(events)) for each in hearing]
    assert heard == [events, events]
    assert [seq for seq, _ in events] == list(range(1, len(events) + 1))
    for registry in clients:
        registry.close()


def test_a_move_is_made_by_one_of_those_who_saw_the_same(installation: Installation) -> None:
    first, second = both(installation, "--workers", "0")
    with installation.client(first.url) as registry:
        registry.register("fraud", {"a": 1})

    def ask(url: str, body: dict[str, str], **headers: str) -> urllib3.BaseHTTPResponse:
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        place = f"{url}/api/v1/versions/fraud:1/promote"
        return urllib3.request("POST", place, body=json.dumps(body), headers=named, retries=False, timeout=30)

    stages = ["staging", "development"] * 3
    for turn, stage in enumerate(stages):
        etag = urllib3.request("GET", f"{second.url}/api/v1/versions/fraud:1").headers["etag"]

        def promote(n: int, stage: str = stage, etag: str = etag) -> int:
            return ask((first.url, second.url)[n % 2], {"stage": stage, "reason": f"by {n}"}, if_match=etag).status

        found = at_once(*(lambda n=n: promote(n) for n in range(6)))
        assert sorted(found) == [200, 412, 412, 412, 412, 412], turn

    # Without a condition: from development to staging once; to the others it is the stage that the version has already.
    urls = (first.url, second.url) * 3
    answers = at_once(*(lambda url=url: ask(url, {"stage": "staging", "reason": "r"}).status for url in urls))
    assert sorted(answers) == [200, 409, 409, 409, 409, 409]
    with installation.client() as behind:
        assert len(behind.stages.history("fraud:1")) == len(stages) + 1


def test_a_token_that_is_revoked_at_one_server_is_refused_at_the_other(installation: Installation) -> None:
    first, second = both(installation, "--workers", "0", serve_auth="tokens", serve_token_cache_s=TOKEN_CACHE_S)
    with installation.client() as behind:
        scopes = sorted(PERMISSIONS)
        behind.access.set_member("ada", "admin")
        behind.access.set_member("eve", "viewer")
        admin = behind.access.create_token("admin", scopes=scopes).secret
        eve = behind.access.create_token("eve", owner="eve", scopes=["read"])
    with installation.client(first.url, token=admin) as registry:
        registry.register("fraud", {"a": 1})
    with (
        installation.client(second.url, token=eve.secret, offline_hours=0) as thief,
        installation.client(first.url, token=admin) as registry,
    ):
        thief.get("fraud")
        registry.access.revoke(eve.token, reason="a thief has it")
        revoked_at = time.monotonic()
        until(lambda: is_refused(thief), 10 * TOKEN_CACHE_S)
        took_s = time.monotonic() - revoked_at
        assert took_s < TOKEN_CACHE_S + 1.0
        with installation.client(first.url, token=eve.secret, offline_hours=0) as near:
            assert is_refused(near)


def is_refused(registry: cm.Registry) -> bool:
    try:
        registry.get("fraud")
    except Unauthenticated:
        return True
    return False


def test_jobs_are_done_once_by_whoever_is_there(installation: Installation) -> None:
    first, second = both(installation, "--workers", "2")
    installation.worker("--jobs", "2")
    with installation.client(first.url) as one, installation.client(second.url) as other:
        queued = [registry.jobs.run("expiry") for _ in range(60) for registry in (one, other)]
        until(lambda: not other.jobs.list(state="queued") and not other.jobs.list(state="running"), 60)
        jobs = {job.id: job for job in other.jobs.list(kind="expiry", limit=1000)}
    done = [jobs[job.id] for job in queued]
    assert {(job.state, job.attempt, job.fence) for job in done} == {("done", 1, 1)}
    assert len({job.worker for job in done}) > 1, "one did it all: too little was tried"


@pytest.mark.slow
def test_a_server_and_a_worker_are_killed_and_nothing_acknowledged_is_lost(installation: Installation) -> None:
    first, second = both(installation, "--workers", "0")
    hearing = Subscriber(second.url)  # before anything happens: the first worker makes the usual schedules
    doomed = installation.worker("--jobs", "2")
    acknowledged: list[tuple[str, str]] = []
    killed, stop = threading.Event(), threading.Event()

    def work(which: int, url: str) -> None:
        # One address and nothing before it: while its server is away the client's calls fail, and it goes on when it is back.
        with installation.client(url, cache_dir=str(installation.directory / f"client-{which}")) as registry:
            n = 0
            while not stop.is_set():
                n += 1
                try:
                    version = registry.register("fraud", {"who": which, "n": n}, tags={"token": f"{which}-{n}"})
                except ChopmarkError:
                    assert killed.is_set()
                    time.sleep(0.1)
                    continue
                acknowledged.append((version.ref, version.digest))

    with ThreadPoolExecutor(4) as pool, installation.client(second.url) as registry, ExitStack() as ending:
        ending.callback(stop.set)
        workers = [pool.submit(work, n, url) for n, url in enumerate((first.url, second.url) * 2)]

        # more than the doomed worker does at once, so that it holds some when the first is done
        jobs = [registry.jobs.run("integrity", {"share": 1.0}) for _ in range(6)]
        until(lambda: len(acknowledged) >= 15 and bool(registry.jobs.list(state="done", limit=1)), 60)
        killed.set()
        doomed.kill()
        first.kill()
        before = len(acknowledged)
        installation.worker("--jobs", "2")
        first = installation.again(first, "--workers", "0")
        until(lambda: len(acknowledged) >= before + 20, 60)
        until(lambda: not registry.jobs.list(state="queued", limit=1) and not registry.jobs.list(state="running"), 60)
        stop.set()
        for each in workers:
            each.result(60)
        done = [registry.jobs.get(job) for job in jobs]
    assert {job.state for job in done} == {"done"}
    again = [job for job in done if job.attempt > 1]
    assert {(job.attempt, job.fence) for job in again} == {(2, 2)}
    assert not any(str(doomed.pid) in job.worker for job in again)
    with installation.client() as behind:
        found = {version.ref: version for version in behind.versions.each("order by number")}
        assert {ref: found[ref].digest for ref, _ in acknowledged} == dict(acknowledged)
        assert len(acknowledged) == len({ref for ref, _ in acknowledged})
        assert {version.state for version in found.values()} == {"ready"}
        tokens = [version.tags["token"] for version in found.values()]
        assert len(tokens) == len(set(tokens)), "a call that was sent again was done twice"
        for ref, _ in acknowledged[-5:]:
            assert behind.load(ref)["who"] in range(4)
        events = [(e.seq, e.target) for e in behind.audit.list(limit=1000)]
        assert behind.audit.verify().fault == ""
        codes = {f.code for f in behind.storage.check(content=True).findings}
        assert codes <= {"blobs_orphaned"}, codes  # bytes that were put by calls that were cut off
    assert hearing.until_heard(len(events)) == events
