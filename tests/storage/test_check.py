"""The check of a registry: it finds every way in which a registry was damaged, and nothing where all is well."""

import io
import os
import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

import chopmark as cm
from chopmark.base.clock import FakeClock
from chopmark.errors import ChopmarkError
from chopmark.testing.registry import memory_registry
from tests.stored_bytes import change_stored


def told(registry: cm.Registry, *, content: bool = True) -> dict[str, set[str]]:
    """Code of each finding that is no information → where."""
    report = registry.storage.check(content=content)
    found: dict[str, set[str]] = {}
    for finding in report.findings:
        assert finding.what
        assert finding.next_step
        if finding.severity != "info":
            found.setdefault(finding.code, set()).add(finding.where)
    assert report.ok == (not any(f.severity == "error" for f in report.findings))
    return found


def change(registry: cm.Registry, *statements: str) -> None:
    """Change the database behind the registry's back, its triggers and foreign keys left aside."""
    with sqlite3.connect(Path(registry.location) / "chopmark.db") as database:
        for statement in statements:
            assert database.execute(statement).rowcount != 0, statement


def blob_file(registry: cm.Registry, digest: str) -> Path:
    digits = digest.removeprefix("sha256:")
    return Path(registry.location) / "blobs" / "sha256" / digits[:2] / digits[2:]


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[cm.Registry]:
    """A registry in which a little of everything has happened."""
    clock = FakeClock(step=timedelta(seconds=1))
    with cm.open(tmp_path / "registry", actor="ada", clock=clock, small_blobs="files") as opened:
        for n in (1, 2, 3):
            opened.register(
                "fraud",
                {"t": n},
                metrics={"f1": 0.5 + n / 10},
                params={"depth": n, "kind": "tree"},
                tags={"team": "risk"},
                description="Finds fraud.",
                parents=[f"fraud:{n - 1}"] if n > 1 else (),
            )
        opened.promote("fraud:2", "staging", reason="r")
        opened.promote("fraud:2", "production", reason="r")
        opened.alias("fraud@champion", "fraud:2")
        opened.versions.delete("fraud:3")
        yield opened


def test_a_healthy_registry_has_no_findings(registry: cm.Registry) -> None:
    report = registry.storage.check()
    assert report.findings == ()
    assert report.ok
    checked = {"blobs": 3, "leftovers": 0, "versions": 3, "models": 1, "edges": 2, "rows": 0, "events": 9}
    assert {phase: report.checked[phase] for phase in checked} == checked
    assert report.read_bytes == sum(s.size_bytes for s in registry._transport.store.list())


ROWS = {
    "a metric": ("update version_metrics set value = 0.99 where version_key = 1", "row_altered", "fraud:1"),
    "a metric gone": ("delete from version_metrics where version_key = 1", "row_altered", "fraud:1"),
    "a metric added": ("insert into version_metrics values ('auc', 1.0, 0, 1)", "row_altered", "fraud:1"),
    "a metric in the record": (
        """update versions set body = replace(body, '"f1":0.6', '"f1":0.9') where number = 1""",
        "row_altered",
        "fraud:1",
    ),
    "a parameter": (
        "update version_params set number = 9 where key = 'depth' and version_key = 2",
        "row_altered",
        "fraud:2",
    ),
    "a tag": ("update version_tags set value = 'x', head = 'x' where version_key = 2", "row_altered", "fraud:2"),
    "a tag in the record": ("""update versions set tags = '{"team":"x"}' where number = 2""", "row_altered", "fraud:2"),
    "a word": ("delete from version_words where word = 'finds' and version_key = 1", "row_altered", "fraud:1"),
    "a file": ("delete from version_files where version_key = 1", "row_altered", "fraud:1"),
    "a column": ("update versions set format = 'raw' where number = 1", "row_altered", "fraud:1"),
    "a semver": ("update versions set semver_key = 'zz' where number = 1", "row_altered", "fraud:1"),
    "an unreadable row": ("update versions set body = 'x' where number = 1", "row_altered", "fraud:1"),
    "a stage": ("update versions set stage = 'production' where number = 1", "stage_altered", "fraud:1"),
    "a stage move": (
        "update stage_moves set to_stage = 'canary' where to_stage = 'production'",
        "stage_altered",
        "fraud:2",
    ),
    "no stage moves": ("delete from stage_moves", "stage_altered", "fraud:2"),
    "an alias": ("update aliases set version_key = 1", "alias_altered", "fraud@champion"),
    "an alias gone": ("delete from aliases", "alias_altered", "fraud@champion"),
    "an alias's history": ("update alias_moves set number = 1", "alias_altered", "fraud@champion"),
    "a deletion": ("update versions set deleted_us = 1 where number = 1", "deletion_altered", "fraud:1"),
    "a deletion undone": ("update versions set deleted_us = null where number = 3", "deletion_altered", "fraud:3"),
    "a last number": ("update models set last_number = 2", "number_altered", "fraud"),
    "a manifest": ("update manifests set body = (select body from manifests limit 1)", "manifest_altered", "fraud:2"),
    "a manifest gone": ("delete from manifests where key = 1", "manifest_missing", "fraud:1"),
    "a manifest unreadable": ("update manifests set body = 'x' where key = 1", "manifest_altered", "fraud:1"),
    "an edge": (
        """insert into lineage_edges (source, relation, target, at_us)
        values ('version:00000000000000000000000000000000', 'derived_from', 'dataset:x', 0)""",
        "edge_dangling",
        "version:00000000000000000000000000000000 derived_from dataset:x",
    ),
    "rows of nobody": ("insert into version_loads values (77, 1, 1)", "rows_orphaned", "catalog"),
}


@pytest.mark.parametrize("name", ROWS)
def test_a_changed_row_is_found(registry: cm.Registry, name: str) -> None:
    statement, code, where = ROWS[name]
    change(registry, statement)
    found = told(registry)
    assert where in found.get(code, set()), found
    assert where in told(registry, content=False)[code]


def test_an_event_that_was_changed_is_found(registry: cm.Registry) -> None:
    with sqlite3.connect(Path(registry.location) / "chopmark.db") as database:
        for (trigger,) in database.execute("select name from sqlite_master where type = 'trigger'").fetchall():
            database.execute(f"drop trigger {trigger}")
        database.execute("update audit_events set actor = 'eve' where seq = 3")
    assert told(registry)["audit_broken"] == {"event 3"}


def test_a_version_that_nobody_registered_is_found(registry: cm.Registry) -> None:
    change(registry, "update versions set number = 9, body = body where number = 1")
    found = told(registry)
    assert found["version_unrecorded"] == {"fraud:9"}
    assert found["number_altered"] == {"fraud"}


BYTES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (Path.unlink, "blob_missing"),
    "flipped": (lambda file: file.write_bytes(file.read_bytes()[:-1] + b"!"), "blob_corrupt"),
    "cut": (lambda file: file.write_bytes(file.read_bytes()[:-1]), "blob_corrupt"),
}


@pytest.mark.parametrize("name", BYTES)
def test_lost_bytes_are_found_with_who_loses_them(registry: cm.Registry, name: str) -> None:
    damage, code = BYTES[name]
    (file,) = registry.files.list("fraud:1")
    path = blob_file(registry, file.digest)
    path.chmod(0o644)
    damage(path)
    (finding,) = registry.storage.check().findings
    assert (finding.severity, finding.code, finding.where) == ("error", code, file.digest)
    assert f"fraud:1 ({file.path})" in finding.what
    fast = {f.code for f in registry.storage.check(content=False).findings}
    assert fast == {"missing": {"blob_missing"}, "flipped": set(), "cut": {"blob_size"}}[name]


def test_damaged_bytes_in_a_pack_are_found(tmp_path: Path) -> None:
    with cm.open(tmp_path / "packed") as registry:
        registry.register("fraud", {"t": 1})
        (file,) = registry.files.list("fraud:1")
        change_stored(tmp_path / "packed" / "blobs", file.digest, lambda data: data[:-1] + b"!")
        (finding,) = registry.storage.check().findings
        assert (finding.severity, finding.code, finding.where) == ("error", "blob_corrupt", file.digest)
        (tmp_path / "packed" / "blobs" / "packs" / "notes.txt").write_bytes(b"mine")
        assert {f.code for f in registry.storage.check().findings} == {"blob_corrupt", "stranger"}


def test_what_nothing_refers_to_is_told_and_is_no_error(registry: cm.Registry, tmp_path: Path) -> None:
    registry._transport.store.put(io.BytesIO(b"nobody's"))
    blobs = tmp_path / "registry" / "blobs"
    (blobs / "tmp" / "put-dead").write_bytes(b"half")
    os.utime(blobs / "tmp" / "put-dead", (0, 0))
    (blobs / "sha256" / "notes.txt").write_bytes(b"mine")
    report = registry.storage.check()
    assert report.ok
    assert {(f.severity, f.code) for f in report.findings} == {
        ("info", "blobs_orphaned"),
        ("info", "leftovers"),
        ("warning", "stranger"),
    }
    assert "8 bytes" in next(f.what for f in report.findings if f.code == "blobs_orphaned")


def test_many_parts_find_what_one_would(registry: cm.Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    from chopmark.app import checking

    change(registry, "update version_metrics set value = 0.99", "update models set last_number = 1")

    def found() -> tuple[object, dict[str, int]]:
        report = registry.storage.check()
        # Records are written in the background, and another may come between two checks.
        return report.findings, {what: n for what, n in report.checked.items() if what != "records"}

    whole = found()
    for name in ("BLOBS_A_PART", "ROWS_A_PART", "BYTES_A_PART"):
        monkeypatch.setattr(checking, name, 1)
    assert found() == whole


@pytest.mark.parametrize("backend", ["memory", "sqlite", "postgres"])
@pytest.mark.parametrize("seed", range(2))
def test_nothing_is_found_after_a_long_story(
    backend: str, seed: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    clock = FakeClock(step=timedelta(minutes=1))
    if backend == "memory":
        opened = memory_registry(clock=clock, gc_grace_hours=0, purge_after_days=1)
    else:
        url = request.getfixturevalue("postgres_catalog_url") if backend == "postgres" else None
        opened = cm.open(tmp_path / "registry", database_url=url, clock=clock, gc_grace_hours=0, purge_after_days=1)
    with opened as registry:
        live(registry, random.Random(seed), clock)
        report = registry.storage.check()
        assert [f for f in report.findings if f.code != "blobs_orphaned"] == []
        registry.storage.collect()
        assert registry.storage.check().findings == ()


def live(registry: cm.Registry, dice: random.Random, clock: FakeClock) -> None:
    """A hundred things that people do, sensible or not."""
    for n in range(100):
        with suppress(ChopmarkError):  # what is refused must leave nothing behind
            do_something(registry, dice, clock, n)


def do_something(registry: cm.Registry, dice: random.Random, clock: FakeClock, n: int) -> None:
    model = dice.choice(["a", "b", "c"])
    ref = f"{model}:{dice.randint(1, 8)}"
    deeds: list[Callable[[], object]] = [
        lambda: registry.register(
            model,
            {"t": dice.randint(0, 3)},
            metrics={"f1": dice.random()},
            tags={"k": str(n), "empty": ""},
            params={"p": dice.choice([True, 1, 2.5, "x", None, [1]])},
            dataset=cm.DatasetRef("d", version=str(n % 3)),
            allow_twin=True,
            parents=[ref] if dice.random() < 0.3 else (),
        ),
        lambda: registry.register("mix", members=[ref], allow_twin=True),
        lambda: registry.promote(ref, dice.choice(["staging", "canary", "production"]), reason="r"),
        lambda: registry.stages.archive(ref, reason="r"),
        lambda: registry.stages.deprecate(ref, reason="r"),
        lambda: registry.alias(f"{model}@{dice.choice('xy')}", ref),
        lambda: registry.aliases.remove(f"{model}@{dice.choice('xy')}"),
        lambda: registry.versions.delete(ref, force=dice.random() < 0.5, reason="r"),
        lambda: registry.versions.restore(ref),
        lambda: registry.versions.purge(ref, reason="r", force=True),
        lambda: registry.versions.update(ref, tags={"n": str(n)}, description=f"number {n}"),
        lambda: registry.versions.evaluate(ref, dataset=cm.DatasetRef("e"), metrics={"f1": dice.random()}),
        lambda: registry.models.update(model, retention=cm.Retention(newest=dice.randint(2, 4))),
        lambda: registry.models.delete(model, reason="r", force=True),
        lambda: registry.models.restore(model),
        registry.storage.collect,
        lambda: clock.advance(timedelta(hours=dice.randint(1, 30))),
    ]
    dice.choices(deeds, weights=[12, 3, 6, 2, 2, 5, 1, 3, 2, 2, 3, 2, 1, 1, 2, 3, 3])[0]()
