"""A server whose machine's clock is set, forwards and back: tokens go by it, leases, schedules and the order of events do not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import chopmark as cm
from chopmark.base.ids import uuid7
from chopmark.domain.access import PERMISSIONS
from chopmark.domain.jobs import Job
from chopmark.errors import Unauthenticated
from faults.serving_processes import Installation, until
from tests.server.stepping_server import HELD_S, STEP

DAY_S = 86_400
LEASE_S = 2.0


class Stepping:
    """An installation whose machine's clock can be set."""

    def __init__(self, installation: Installation, file: Path) -> None:
        self.installation = installation
        self._file = file
        self.step(0)

    def step(self, by_s: float) -> None:
        beside = self._file.with_suffix(".new")
        beside.write_text(str(by_s))
        beside.replace(self._file)


@pytest.fixture
def stepping(postgres_catalog_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stepping]:
    monkeypatch.setenv(STEP, str(tmp_path / "step"))
    monkeypatch.setattr("faults.serving_processes.KEPT", (STEP,))
    made = Installation(
        tmp_path,
        module="tests.server.stepping_server",
        database_url=postgres_catalog_url,
        store_url=str(tmp_path / "blobs"),
        serve_auth="tokens",
        serve_token_cache_s=0.2,
        worker_lease_s=LEASE_S,
        worker_poll_s=0.1,
    )
    yield Stepping(made, tmp_path / "step")
    made.close()


def is_known(registry: cm.Registry) -> bool:
    try:
        registry.access.whoami()
    except Unauthenticated:
        return False
    return True


def secret(behind: cm.Registry, name: str, **facts: Any) -> str:
    made = behind.access.create_token(name, scopes=sorted(PERMISSIONS), **facts)
    return made.secret


def test_tokens_go_by_the_servers_clock_and_what_was_revoked_stays_so(stepping: Stepping) -> None:
    installation = stepping.installation
    with installation.client() as behind:
        behind.access.set_member("ada", "admin")
        admin = secret(behind, "admin")
        short = secret(behind, "short", expires_at=datetime.now(UTC) + timedelta(hours=1))
        gone = behind.access.create_token("gone", scopes=["read"])
    server = installation.serve("--workers", "0")
    with (
        installation.client(server.url, token=admin, offline_hours=0) as registry,
        installation.client(server.url, token=short, offline_hours=0) as limited,
        installation.client(server.url, token=gone.secret, offline_hours=0) as revoked,
    ):
        assert all(map(is_known, (registry, limited, revoked)))
        stepping.step(DAY_S)
        assert [is_known(each) for each in (registry, limited)] == [True, False]
        registry.access.revoke(gone.token, reason="a thief has it")  # on a day that has not come
        assert not is_known(revoked)
        stepping.step(-DAY_S)
        time.sleep(0.5)
        assert [is_known(each) for each in (registry, limited, revoked)] == [True, True, False]
        stepping.step(0)
        assert [is_known(each) for each in (registry, limited, revoked)] == [True, True, False]


@pytest.mark.slow
def test_no_job_is_taken_from_a_worker_that_is_well_and_no_schedule_fires(stepping: Stepping) -> None:
    installation = stepping.installation
    server = installation.serve("--workers", "2")
    installation.worker("--jobs", "2")
    with installation.client() as behind:
        until(lambda: len(behind.jobs.schedules()) >= 3, 60)
        jobs = [Job(id=uuid7(now), kind="hold", run_after=now, created_at=now) for now in [datetime.now(UTC)] * 3]
        with behind._transport.catalog.writing() as tx:
            for job in jobs:
                tx.jobs.add(job)
        until(lambda: sum(job.state == "running" for job in behind.jobs.list(kind="hold")) == 3, 60)
        for step_s in (DAY_S, -DAY_S, 400 * DAY_S, 0):
            stepping.step(step_s)
            time.sleep(HELD_S / 8)
        until(lambda: all(behind.jobs.get(job).state == "done" for job in jobs), 5 * HELD_S)
        assert {(behind.jobs.get(job).attempt, behind.jobs.get(job).fence) for job in jobs} == {(1, 1)}
        fired = [job for job in behind.jobs.list(limit=1000) if job.schedule]
        assert fired == []
    assert server.stop() < 20


def test_events_keep_their_order_and_the_audit_its_chain(stepping: Stepping) -> None:
    installation = stepping.installation
    with installation.client() as behind:
        behind.access.set_member("ada", "admin")
        admin = secret(behind, "admin")
    server = installation.serve("--workers", "0")
    with installation.client(server.url, token=admin) as registry:
        heard: list[tuple[int, str]] = []
        registry.on("version.registered", lambda event: heard.append((event.seq, event.target)))
        made = []
        for n, step_s in enumerate((0, DAY_S, -DAY_S, 0, 400 * DAY_S, 1)):
            stepping.step(step_s)
            made.append(registry.register("fraud", {"n": n}))
        until(lambda: len(heard) == len(made), 60)
        assert [target for _, target in heard] == [version.ref for version in made]
        assert [seq for seq, _ in heard] == sorted(seq for seq, _ in heard)
        assert registry.get("fraud") == made[-1], "the latest is that of the highest number, whatever a clock said"
        assert registry.audit.verify().fault == ""
        until(lambda: not registry.storage.check().findings, 60)
