"""The gateway as processes that are killed, stopped and cut off from their control plane, while clients ask."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import urllib3

import chopmark as cm
from chopmark.domain.access import PERMISSIONS
from chopmark.errors import ChopmarkError
from chopmark.wiring import DATABASE_FILE
from faults.gateway_clients import Asking, Told, numbered_model, rows
from faults.serving_processes import Installation, Running, until
from tests.server.own_postgres import OwnPostgres

pytestmark = pytest.mark.timeout(600)

VERSIONS = 2


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    """On SQLite and a directory; nothing started yet."""
    made = Installation(tmp_path, gateway_poll_s=0.1, serve_stop_s=10)
    yield made
    made.close()


def fill(installation: Installation, versions: int = VERSIONS) -> None:
    """Versions that each answer their own number."""
    with installation.client() as registry:
        for number in range(1, versions + 1):
            registry.register("fraud", numbered_model(number), example=rows(20))


def answers(url: str, endpoint: str = "api", key: str = "k") -> urllib3.BaseHTTPResponse:
    return urllib3.request(
        "POST",
        f"{url}/predict/{endpoint}",
        json={"rows": rows(1).tolist()},
        headers={"x-chopmark-key": key},
        retries=False,
        timeout=30,
    )


def until_live(running: Running, endpoint: str = "api", generation: int = 0) -> None:
    def is_live() -> bool:
        found = answers(running.url, endpoint)
        return found.status == 200 and int(found.headers["x-chopmark-generation"]) >= generation

    until(is_live, 60)


def readiness(running: Running) -> dict[str, Any]:
    found: dict[str, Any] = urllib3.request("GET", f"{running.url}/readyz", retries=False, timeout=60).json()
    return found


def faults_of(told: Sequence[Told]) -> list[str]:
    return [fault for each in told if (fault := each.fault())]


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def children_of(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if stat.read_text().rpartition(")")[2].split()[1] == str(pid):
                found.append(int(stat.parent.name))
    return found


def guarded(installation: Installation) -> tuple[str, str, str]:
    """Tokens: of an administrator, of a router and of who calls."""
    with installation.client() as behind:
        for member, role in (("root", "admin"), ("router", "admin"), ("shop", "contributor")):
            behind.access.set_member(member, role)
        admin = behind.access.create_token("admin", owner="root", kind="service", scopes=sorted(PERMISSIONS))
        router = behind.access.create_token("router", owner="router", kind="service", scopes=["read", "route"])
        shop = behind.access.create_token("shop", owner="shop", kind="service", scopes=["invoke"])
    return admin.secret, router.secret, shop.secret


@pytest.mark.slow
def test_a_gateway_goes_on_while_its_control_plane_is_killed_and_follows_it_when_it_is_back(
    installation: Installation,
) -> None:
    fill(installation)
    admin, router, shop = guarded(installation)
    server = installation.serve("--workers", "0", serve_auth="tokens")
    with installation.client(server.url, token=admin) as registry:
        registry.endpoints.create("api", "fraud:1")
    gateway = installation.gateway(server.url, serve_auth="tokens", token=router)
    assert answers(gateway.url).status == 401
    with Asking(gateway.url, "api", connections=4, token=shop, pause_s=0.01) as asking:
        until(lambda: len(asking.told) > 100, 60)
        server.kill()
        until(lambda: "does not answer" in readiness(gateway)["note"], 60)
        before = len(asking.told)
        until(lambda: len(asking.told) > before + 200, 60)
        assert "does not answer" in gateway.said()
        server = installation.again(server, "--workers", "0", serve_auth="tokens")
        with installation.client(server.url, token=admin) as registry:
            registry.endpoints.split("api", "fraud:2", reason="it is back")
            until(lambda: asking.told[-1].version == 2, 60)
            until(lambda: not readiness(gateway)["note"], 60)
            until(lambda: live_is(registry, 2, routers=2), 60)
    assert faults_of(asking.told) == []
    assert "answers again" in gateway.said()
    assert "Traceback" not in gateway.said()
    assert gateway.stop(90) < 60


def live_is(registry: cm.Registry, number: int, routers: int) -> bool:
    """Whether all routers say that this version answers, and nothing else."""
    (live,) = registry.endpoints.live("api").endpoints
    said = {(v.served.version, v.served.state) for v in live.variants}
    return said == {(f"fraud:{number}", "serving")} and len(live.routers) == routers


@pytest.mark.slow
def test_assignments_outlive_a_restart(installation: Installation) -> None:
    fill(installation)
    server = installation.serve("--workers", "0")
    with installation.client(server.url) as registry:
        changed = registry.endpoints.create("api", {"fraud:1": 60, "fraud:2": 40})
    gateway = installation.gateway(server.url)
    until_live(server, generation=changed.generation)

    def met(running: Running) -> dict[str, str]:
        return {key: answers(running.url, key=key).headers["x-chopmark-variant"] for key in map(str, range(60))}

    before = met(gateway)
    assert set(before.values()) == {"stable", "candidate"}
    assert met(server) == before
    gateway.kill()
    assert met(installation.gateway(server.url, port=int(gateway.url.rpartition(":")[2]))) == before


@pytest.mark.parametrize(
    "apart", [pytest.param(True, marks=pytest.mark.slow, id="gateway"), pytest.param(False, id="serve")]
)
def test_a_stop_loses_no_request(installation: Installation, apart: bool) -> None:
    fill(installation, 1)
    server = installation.serve("--workers", "0")
    with installation.client(server.url) as registry:
        registry.endpoints.create("api", "fraud:1")
    gateway = installation.gateway(server.url) if apart else server
    until_live(gateway)
    with Asking(gateway.url, "api", connections=32) as asking:
        until(lambda: len(asking.told) > 500, 60)
        took_s = gateway.stop(90)
        time.sleep(0.2)
    assert took_s < 60
    assert [each for each in asking.told if each.status not in (200, 0)] == []
    assert {each.status for each in asking.told} == {200, 0}
    assert "Traceback" not in gateway.said()


@pytest.mark.slow
def test_hot_swaps_lose_no_request_and_every_answer_is_of_who_it_says(installation: Installation) -> None:
    fill(installation)
    server = installation.serve("--workers", "0")
    with installation.client(server.url) as registry:
        registry.endpoints.create("api", "fraud:1")
        gateway = installation.gateway(server.url)
        until_live(gateway)
        set_to: dict[int, int] = {}
        with Asking(gateway.url, "api", connections=8) as asking, Asking(server.url, "api", connections=8) as beside:
            for n in range(50):
                changed = registry.endpoints.split("api", f"fraud:{2 - n % 2}", reason="swap")
                set_to[changed.generation] = 2 - n % 2
            until(lambda: asking.told[-1].generation == beside.told[-1].generation == changed.generation, 60)
    for told in (asking.told, beside.told):
        assert faults_of(told) == []
        assert [t for t in told if t.generation in set_to and set_to[t.generation] != t.version] == []
        assert len({t.generation for t in told}) > 5, "too little was swapped under way"


class Misbehaving:
    """Answers the first number of each row, and does what a large one says."""

    def predict(self, data: Any) -> Any:
        import numpy as np

        data = np.asarray(data, dtype=float)
        match int(data[0, 0]):
            case 1_000:
                raise ValueError("as it was told")
            case 2_000:
                time.sleep(3_600)
            case 3_000:
                os._exit(7)
            case 4_000:
                os.kill(os.getpid(), signal.SIGKILL)
            case 5_000:
                _LEAK.append(np.ones(8 << 20))
            case _:
                pass
        return data[:, 0]


_LEAK: list[Any] = []


def asked(url: str, first: float) -> urllib3.BaseHTTPResponse:
    body = {"rows": [[first, 0.0, 0.0]]}
    return urllib3.request("POST", f"{url}/predict/bad", json=body, retries=False, timeout=30)


def misbehaving(installation: Installation, **config: Any) -> Running:
    """A server with an endpoint that misbehaves, in a process, and one that does not."""
    fill(installation, 1)
    with installation.client() as registry:
        registry.register("bad", Misbehaving(), format="cloudpickle", example=rows(5))
        registry.trust.grant("bad:1", reason="a test")
    server = installation.serve("--workers", "0")
    with installation.client(server.url) as registry:
        registry.endpoints.create("api", "fraud:1")
        registry.endpoints.create("bad", "bad:1", config=config)
    until(lambda: asked(server.url, 1.0).status == 200, 60)
    until_live(server)
    return server


@pytest.mark.slow
def test_a_model_that_raises_hangs_exits_or_is_killed_harms_no_other_and_comes_back(
    installation: Installation,
) -> None:
    server = misbehaving(installation, timeout_ms=1_500)
    with Asking(server.url, "api", connections=2, pause_s=0.01) as asking:
        for first, status in ((1_000.0, 500), (2_000.0, 504), (3_000.0, 500), (4_000.0, 500)):
            begun_s = time.monotonic()
            assert asked(server.url, first).status == status, first
            assert time.monotonic() - begun_s < 5
            until(lambda: asked(server.url, 1.0).status == 200, 60)
    assert faults_of(asking.told) == []
    slowest_s = max(each.ended_s - each.begun_s for each in asking.told)
    assert slowest_s < 1.5, f"a neighbour waited {slowest_s:.1f} s"


@pytest.mark.slow
def test_a_model_that_leaks_is_started_anew(installation: Installation) -> None:
    server = misbehaving(installation, memory_mib_max=400)
    first = children_of(server.pid)
    statuses = Counter(asked(server.url, 5_000.0).status for _ in range(30))
    assert set(statuses) <= {200, 500, 503}  # the last where it is started again only after a pause
    assert statuses[200] > 10
    until(lambda: asked(server.url, 1.0).status == 200, 60)
    assert not set(first) <= set(children_of(server.pid)), "it was never started anew"


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
def test_no_process_of_a_model_is_left(installation: Installation, how: signal.Signals) -> None:
    server = misbehaving(installation, timeout_ms=20_000)
    left = children_of(server.pid)
    assert left
    hanging = threading.Thread(target=lambda: suppressed(lambda: asked(server.url, 2_000.0)), daemon=True)
    hanging.start()
    time.sleep(0.3)
    if how == signal.SIGTERM:
        assert server.stop(120) < 60
    else:
        server.kill()
    until(lambda: not any(map(is_running, left)), 60)
    hanging.join(30)


def suppressed(work: Any) -> None:
    with suppress(OSError, urllib3.exceptions.HTTPError, ChopmarkError):
        work()


@pytest.mark.slow
def test_a_database_that_is_away_fails_no_request_and_nothing_is_counted_twice(tmp_path: Path) -> None:
    """Two servers and a gateway apart over one PostgreSQL, which is killed for some seconds under traffic."""
    database = OwnPostgres()
    installation = Installation(
        tmp_path,
        database_url=database.url,
        store_url=str(tmp_path / "blobs"),
        gateway_poll_s=0.2,
        connect_timeout_s=3,
    )
    try:
        database.start()
        fill(installation)
        servers = [installation.serve("--workers", "0") for _ in range(2)]
        with installation.client(servers[0].url) as registry:
            made = registry.endpoints.create("api", {"fraud:1": 50, "fraud:2": 50})
        routers = [*servers, installation.gateway(servers[1].url)]
        for each in routers:
            until_live(each, generation=made.generation)
        probes = len(routers)  # the answers that ended the waits above
        with ExitStack() as stack:
            asking = [stack.enter_context(Asking(each.url, "api", connections=2, pause_s=0.01)) for each in routers]
            until(lambda: all(len(each.told) > 100 for each in asking), 60)
            for how in (signal.SIGQUIT, signal.SIGINT):
                database.stop(how)
                before = [len(each.told) for each in asking]
                time.sleep(4)
                assert all(len(each.told) > n + 50 for each, n in zip(asking, before, strict=True))
                database.start()
                time.sleep(3)
            with installation.client(servers[1].url) as registry:
                changed = registry.endpoints.split("api", "fraud:2", reason="it is back")
                until(lambda: all(each.told[-1].generation == changed.generation for each in asking), 60)
        told = [each for one in asking for each in one.told]
        assert faults_of(told) == []
        for each in reversed(routers):
            assert each.stop(90) < 60
        counts = outcomes_of(installation, made.id)
        by_version = Counter(each.version for each in told)
        assert sum(counts.values()) == len(told) + probes
        assert abs(counts[1] - by_version[1]) + abs(counts[2] - by_version[2]) <= probes
    finally:
        installation.close()
        database.close()


def outcomes_of(installation: Installation, endpoint: UUID) -> Counter[int]:
    """Requests that are kept, by the number of the version."""
    found: Counter[int] = Counter()
    with installation.client() as behind:
        numbers = {version.id: version.number for version in behind.versions.each("")}
        now = datetime.now(UTC)
        with behind._transport.catalog.reading() as tx:
            for kept in tx.outcomes.list(
                endpoint, since=now - timedelta(days=1), until=now + timedelta(days=1), limit=10_000
            ):
                found[numbers[kept.window.version]] += kept.window.requests
    return found


@pytest.mark.slow
def test_a_control_plane_that_stands_still_keeps_nothing_waiting(installation: Installation) -> None:
    """It is there, and answers nothing: requests are answered, a model's process comes back, and a stop is a stop."""
    fill(installation, 1)
    server = installation.serve("--workers", "0", serve_gateway="off")
    with installation.client(server.url) as registry:
        registry.endpoints.create("api", "fraud:1")
        registry.endpoints.create("work", "fraud:1", config={"execution": "process"})
    gateway = installation.gateway(server.url)
    until(lambda: answers(gateway.url, "work").status == 200, 60)
    os.kill(server.pid, signal.SIGSTOP)
    try:
        with Asking(gateway.url, "api", connections=2, pause_s=0.01) as asking:
            time.sleep(2)
            (worker,) = children_of(gateway.pid)
            os.kill(worker, signal.SIGKILL)
            until(lambda: answers(gateway.url, "work").status == 200, 90)
        assert faults_of(asking.told) == []
        assert gateway.stop(90) < 60  # calls that were under way are waited for: some times five seconds
    finally:
        os.kill(server.pid, signal.SIGCONT)


@pytest.mark.slow
@pytest.mark.parametrize("apart", [True, False], ids=["gateway", "serve"])
def test_a_models_process_comes_back_while_its_control_plane_is_gone(installation: Installation, apart: bool) -> None:
    """A gateway whose server was killed, and one process whose database is taken away, start a model's process anew."""
    fill(installation, 1)
    server = installation.serve("--workers", "0")
    with installation.client(server.url) as registry:
        registry.endpoints.create("work", "fraud:1", config={"execution": "process"})
    gateway = installation.gateway(server.url) if apart else server
    until(lambda: answers(gateway.url, "work").status == 200, 60)
    (before,) = children_of(gateway.pid)
    if apart:
        server.kill()
    else:
        database = next(installation.directory.rglob(DATABASE_FILE))
        database.rename(database.with_suffix(".away"))
    os.kill(before, signal.SIGKILL)
    until(lambda: not is_running(before), 60)
    began_s = time.monotonic()
    until(lambda: answers(gateway.url, "work").status == 200, 60)
    assert time.monotonic() - began_s < 45  # it asks nobody, and so waits for no time-out
    (after,) = children_of(gateway.pid)
    assert after != before
