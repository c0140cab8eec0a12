"""``/readyz``: each part with a word; what hangs or fails is told, and asked by one at a time."""

import asyncio
import io
import shutil
import threading
import time
from pathlib import Path
from typing import NoReturn

import pytest

from chopmark.base.settings import load_settings
from chopmark.errors import IntegrityFailure, Unavailable
from chopmark.server.app import App
from chopmark.server.readiness import Part, Readiness
from chopmark.server.serving import application, served
from chopmark.wiring import LocalTransport, connect
from chopmark.workers.delivering import Courier
from chopmark.workers.loop import Worker
from chopmark.workers.process import work_beside
from chopmark.workers.watching import Watcher
from tests.server.conftest import Plain, served_registry


def well() -> None:
    """Nothing is wrong."""


def words(readiness: Readiness, times: int = 1) -> list[dict[str, str]]:
    async def ask() -> list[dict[str, str]]:
        return list(await asyncio.gather(*(readiness.words() for _ in range(times))))

    return asyncio.run(ask())


def unwell(readiness: Readiness) -> set[str]:
    return {name for name, word in words(readiness)[0].items() if word != "ok"}


def test_each_part_has_a_word() -> None:
    def gone() -> None:
        raise Unavailable("postgresql://user:secret@db is gone")

    def damaged() -> None:
        raise IntegrityFailure("x")

    def wrong() -> None:
        raise ZeroDivisionError

    parts = {"a": Part(well), "b": Part(gone), "c": Part(damaged), "d": Part(wrong)}
    assert words(Readiness(parts)) == [{"a": "ok", "b": "unavailable", "c": "integrity_failure", "d": "error"}]


def test_what_hangs_is_told_in_time_and_asked_once() -> None:
    free, asked = threading.Event(), 0

    def hang() -> None:
        nonlocal asked
        asked += 1
        free.wait(20)

    readiness = Readiness({"slow": Part(hang), "quick": Part(well)}, within_s=0.2)

    async def several() -> list[dict[str, str]]:
        found = await asyncio.gather(*(readiness.words() for _ in range(5)))
        return [*found, await readiness.words()]

    begun = time.monotonic()
    assert asyncio.run(several()) == [{"slow": "timed_out", "quick": "ok"}] * 6
    assert time.monotonic() - begun < 5
    assert asked == 1
    free.set()
    readiness.close()


def test_what_was_well_is_not_asked_again_at_once() -> None:
    asked: list[str] = []
    readiness = Readiness(
        {"kept": Part(lambda: asked.append("kept"), 60.0), "new": Part(lambda: asked.append("new"), 0.0)}
    )
    words(readiness)
    words(readiness)
    assert sorted(asked) == ["kept", "new", "new"]


BESIDE = ("workers", "deliveries", "rollouts", "monitors")
"""What runs beside a server."""


def test_a_server_tells_of_database_migrations_store_and_workers(tmp_path: Path) -> None:
    resolved = load_settings({"url": str(tmp_path / "registry"), "serve_auth": "none"}, environ={})
    behind = connect(resolved)
    with work_beside(behind, resolved.settings) as working:
        app = application(behind, resolved.settings, working.checks)
        with served(app) as url:
            plain = Plain(url, behind)
            behind.store.put(io.BytesIO(b"some bytes"))
            ready = plain.ask("GET", "/readyz")
            assert (ready.status, ready.json()) == (
                200,
                {
                    "status": "ready",
                    "parts": dict.fromkeys(("database", "migrations", "store", *BESIDE), "ok"),
                },
            )
            time.sleep(1.1)
            shutil.rmtree(tmp_path / "registry" / "blobs")
            gone = plain.ask("GET", "/readyz")
            assert (gone.status, gone.json()["code"]) == (503, "unavailable")
            assert gone.json()["details"]["parts"]["store"] == "unavailable"
            assert gone.json()["detail"] == "Not ready: store is unavailable."
            assert gone.headers["retry-after"]
            assert plain.ask("GET", "/healthz").status == 200
    behind.close()


@pytest.mark.parametrize(
    ("method", "part"), [("check", "database"), ("check_tables", "migrations"), ("check_store", "store")]
)
def test_each_part_alone_makes_it_not_ready(method: str, part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(_: LocalTransport) -> None:
        raise Unavailable("postgresql://user:secret@db.internal does not answer.")

    monkeypatch.setattr(LocalTransport, method, gone)
    for plain in served_registry():
        answer = plain.ask("GET", "/readyz")
        assert answer.status == 503
        assert {name for name, word in answer.json()["details"]["parts"].items() if word != "ok"} == {part}
        assert "db.internal" not in answer.data.decode()


def test_a_worker_that_does_not_reach_its_queue_makes_it_not_ready() -> None:
    def silent() -> None:
        raise Unavailable("The worker w has not reached its queue for 130 s.")

    for plain in served_registry():
        app = application(plain.behind, load_settings({"serve_auth": "none"}, environ={}).settings, {"workers": silent})
        assert isinstance(app, App)
        with served(app) as url:
            answer = Plain(url, plain.behind).ask("GET", "/readyz")
        assert (answer.status, answer.json()["details"]["parts"]["workers"]) == (503, "unavailable")


@pytest.mark.parametrize(
    ("kind", "part"),
    [
        (Worker, "workers"),
        (Courier, "deliveries"),
        (Watcher, "monitors"),
    ],
)
def test_what_no_longer_looks_for_its_work_makes_it_not_ready(
    kind: type, part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: object, **__: object) -> NoReturn:
        raise Unavailable("There is no queue any more.")

    monkeypatch.setattr(kind, "_do", lost)
    monkeypatch.setattr("chopmark.workers.pulse._STALE_S", 0.5)
    resolved = load_settings(
        {"url": str(tmp_path / "registry"), "serve_auth": "none", "worker_poll_s": 0.1}, environ={}
    )
    behind = connect(resolved)
    with work_beside(behind, resolved.settings) as working:
        readiness = Readiness({name: Part(check, kept_s=0) for name, check in working.checks.items()})
        limit = time.monotonic() + 60
        while (found := unwell(readiness)) != {part} and time.monotonic() < limit:
            time.sleep(0.05)
        readiness.close()
    behind.close()
    assert found == {part}


def test_tables_that_are_too_old_are_told(tmp_path: Path) -> None:
    resolved = load_settings({"url": str(tmp_path / "registry")}, environ={})
    behind = connect(resolved)
    behind.check_tables()
    behind._revisions = lambda: ("0003", "0006")
    with pytest.raises(Unavailable, match="revision 0003; this release needs 0006"):
        behind.check_tables()
    behind._revisions = lambda: ("0009", "0006")  # a newer release's tables are good for the one before
    behind.check_tables()
    behind.close()
