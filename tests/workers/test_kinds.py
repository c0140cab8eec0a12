"""The kinds of work, in a registry on disk."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

import chopmark as cm
from chopmark.app.dispatch import Handler
from chopmark.app.sweeping import look, sweep
from chopmark.base.clock import system_clock
from chopmark.domain.deliveries import queued
from chopmark.domain.job_kinds import KINDS
from chopmark.domain.jobs import Job
from chopmark.ops.requests import SetAlias
from chopmark.workers.kinds import WORKS
from tests.workers.conftest import Workshop


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Workshop]:
    """On SQLite and a directory, blobs as files of their own."""
    with cm.open(
        tmp_path / "registry", actor="ada", small_blobs="files", compression="none", progress="never"
    ) as opened:
        yield Workshop(opened)


def run(workshop: Workshop, kind: str, *states: str, **arguments: Any) -> Job:
    """One job of a kind, done by a worker."""
    job = workshop.registry.jobs.run(kind, arguments)
    with workshop.works(WORKS):
        return workshop.until(job, *(states or ("done",)))


def blob_files(workshop: Workshop) -> list[Path]:
    return sorted(
        p for p in Path(workshop.registry.settings.url, "blobs").rglob("*") if p.is_file() and len(p.name) > 40
    )


def test_every_kind_is_there_twice() -> None:
    """What it may be told, and what does it."""
    assert set(WORKS) == set(KINDS)


def test_retention_frees_what_the_settings_allow(disk: Workshop) -> None:
    disk.registry.register("fraud", {"a": 1})
    disk.registry.versions.delete("fraud:1")
    kept = run(disk, "retention")
    assert kept.result == {"freed": {}, "size_bytes": 0}
    disk.registry._settings = structs.replace(disk.registry.settings, gc_grace_hours=0.0, purge_after_days=0.0)
    freed = run(disk, "retention")
    assert freed.result["freed"]["purge"] == 1
    assert freed.result["freed"]["blob"] >= 1
    assert freed.result["size_bytes"] > 0
    assert blob_files(disk) == []
    collected = disk.registry.audit.list(event="storage.collected", limit=9)
    assert {event.actor for event in collected} == {f"job:retention:{freed.id}"}


def test_a_share_of_the_blobs_follows_on_the_one_before(disk: Workshop) -> None:
    """In four jobs every blob is read once, and the fifth begins anew."""
    for n in range(40):
        disk.registry.register("fraud", {"n": n})
    results = [run(disk, "integrity", share=0.25).result for _ in range(5)]
    assert [(r["from"], r["next"]) for r in results] == [
        ("00", "40"),
        ("40", "80"),
        ("80", "c0"),
        ("c0", "00"),
        ("00", "40"),
    ]
    assert sum(r["checked"] for r in results[:4]) == 40
    assert min(r["checked"] for r in results) > 0
    assert all(r["read_bytes"] > 0 and r["damaged"] == 0 for r in results)
    assert len(disk.registry.audit.list(event="storage.damaged")) == 0


def test_damage_is_found_told_and_found_again(disk: Workshop) -> None:
    for n in range(12):
        disk.registry.register("fraud", {"n": n})
    files = blob_files(disk)
    assert len(files) == 12
    for file, change in ((files[0], b'{"n":9'), (files[1], None)):
        good = file.read_bytes()
        file.chmod(0o644)
        file.unlink() if change is None else file.write_bytes(change + good[len(change) :][::-1])
    dead = run(disk, "integrity", "dead", share=0.5)
    assert (dead.result["from"], dead.result["next"]) == ("00", "80")
    assert run(disk, "integrity", share=0.25).result["from"] == "80"  # others go on
    assert "2 blobs damaged or missing" in dead.error
    assert dead.attempt == 1
    assert {finding["code"] for finding in dead.result["findings"]} == {"blob_corrupt", "blob_missing"}
    events = disk.registry.audit.list(event="storage.damaged")
    assert {event.actor for event in events} == {f"job:integrity:{dead.id}"}
    assert sum(event.data["damaged"] for event in events) == 2
    # Mended and tried again, the same share is read, not the next one.
    for n in range(12):
        disk.registry.register("mended", {"n": n})
    again = disk.registry.jobs.retry(dead, reason="registered again")
    with disk.works(WORKS):
        done = disk.until(again, "done")
    assert (done.result["from"], done.result["checked"]) == ("00", dead.result["checked"])


def test_damage_that_nobody_needs_is_no_finding(disk: Workshop) -> None:
    disk.registry.register("fraud", {"n": 1})
    disk.registry.versions.delete("fraud:1")
    disk.registry.versions.purge("fraud:1", reason="r")
    (file,) = blob_files(disk)
    file.chmod(0o644)
    file.write_bytes(b"rubbish")
    assert run(disk, "integrity", share=1).result["checked"] == 0


def test_what_is_purged_while_bytes_are_read_is_no_finding(disk: Workshop) -> None:
    disk.registry.register("fraud", {"n": 1})
    (file,) = blob_files(disk)
    file.chmod(0o644)
    file.write_bytes(b"rubbish")
    handlers = disk.transport._dispatch.handlers

    def purged_meanwhile(outside: Any, request: Any) -> Any:
        found = look(outside, request)
        if found.faults:
            disk.registry.versions.delete("fraud:1")
            disk.registry.versions.purge("fraud:1", reason="r")
        return found

    disk.transport._dispatch.handlers = {**handlers, "storage.sweep": Handler(sweep, purged_meanwhile)}
    done = run(disk, "integrity", share=1)
    assert (done.result["checked"], done.result["damaged"]) == (1, 0)


def test_expiry_forgets_old_keys_and_jobs(disk: Workshop) -> None:
    registry = disk.registry
    registry.register("fraud", {"n": 1})
    for n in range(3):
        registry._transport.call(SetAlias(alias=f"fraud@a{n}", target="fraud:1"), key=f"k{n}")
    old = run(disk, "expiry")
    nothing = {"keys": 0, "jobs": 0, "tokens": 0, "deliveries": 0}
    assert old.result == nothing
    fresh = run(disk, "expiry", key_days=0.01, job_days=0.01)
    assert fresh.result == nothing
    with disk.transport.catalog.writing() as tx:  # what ended two days ago
        seen = tx.jobs.get(old.id)
        tx.jobs.settle(structs.replace(seen, ended_at=seen.ended_at - timedelta(days=2)), seen)
    swept = run(disk, "expiry", key_days=0.01, job_days=1)
    assert swept.result == {**nothing, "jobs": 1}
    assert [job.id for job in registry.jobs.list(kind="expiry")] == [swept.id, fresh.id]
    (event,) = registry.audit.list(event="registry.expired")
    assert event.data == {**nothing, "jobs": 1}


def test_expiry_forgets_old_tokens_puts_and_deliveries(disk: Workshop) -> None:
    registry, now = disk.registry, system_clock()
    for days in (1, 89, 91):
        ended = registry.access.create_token(f"t{days}").token
        with disk.transport.catalog.writing() as tx:
            tx.tokens.revoke(ended.id, now - timedelta(days=days))
            tx.puts.note(f"sha256:{days:064}", "bob", now - timedelta(days=days / 10))
    webhook = registry.webhooks.create("https://ci.example/hook").webhook
    version = registry.register("fraud", {"n": 1})
    with disk.transport.catalog.writing() as tx:
        (told,) = [row.event for row in tx.outbox.pending(limit=9) if row.event.target == version.ref]
        tx.deliveries.add(
            structs.replace(queued(webhook.id, told, now - timedelta(days=days)), seq=days) for days in (1, 29, 31)
        )
    swept = run(disk, "expiry")
    assert swept.result == {"keys": 0, "jobs": 0, "tokens": 1, "deliveries": 1}
    assert len(registry.access.tokens()) == 2
    assert [each.seq for each in registry.webhooks.deliveries(webhook)] == [29, 1]
    with disk.transport.catalog.writing() as tx:
        digests = [f"sha256:{days:064}" for days in (1, 89, 91)]
        assert tx.puts.shown(digests, "bob", now - timedelta(days=30), ["default"]) == {digests[0]}
        assert tx.outbox.pending(limit=1), "where there is a webhook, events wait for who tells of them"
    again = run(disk, "expiry", token_days=0.5, delivery_days=0.5)
    assert (again.result["tokens"], again.result["deliveries"]) == (2, 2)


def test_expiry_takes_out_what_nobody_is_told_of(disk: Workshop) -> None:
    disk.registry.register("fraud", {"n": 1})
    run(disk, "expiry")
    with disk.transport.catalog.reading() as tx:
        assert [row.event.event for row in tx.outbox.pending(limit=9)] == []


def test_a_backup_can_be_restored(disk: Workshop, tmp_path: Path) -> None:
    disk.registry.register("fraud", {"n": 1})
    made = run(disk, "backup", place=str(tmp_path / "copy"))
    assert made.result["versions"] == 1
    cm.restore(tmp_path / "copy", tmp_path / "again")
    with cm.open(tmp_path / "again") as restored:
        assert restored.load("fraud") == {"n": 1}


def test_a_backup_into_the_registry_itself_is_given_up_at_once(disk: Workshop) -> None:
    disk.registry.register("fraud", {"n": 1})
    dead = run(disk, "backup", "dead", place=str(Path(disk.registry.settings.url) / "copy"))
    assert dead.attempt == 1
    assert "lies in the registry itself" in dead.error
