"""Rows and circumstances that somebody changed behind the registry's back, and clocks that step."""

import sqlite3
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import chopmark as cm
from chopmark.base.clock import FakeClock
from chopmark.errors import Conflict, Denied, IntegrityFailure, InvalidRequest, NotFound


def rows(registry: cm.Registry, statement: str, *values: object) -> list[tuple]:
    """Read or change the catalog's file directly, its triggers left alone."""
    with sqlite3.connect(Path(registry.location) / "chopmark.db") as database:
        return database.execute(statement, values).fetchall()


def manifest_body(registry: cm.Registry, version: cm.Version) -> object:
    return rows(registry, "select body from manifests where digest = ?", version.digest)[0][0]


def test_a_manifest_row_that_was_changed_is_never_used(local: cm.Registry, tmp_path: Path) -> None:
    good = local.register("pk", {1, 2}, format="pickle")
    bad = local.register("pk", {3, 4}, format="pickle")
    local.trust.grant(good, reason="read it")
    rows(local, "update manifests set body = ? where digest = ?", manifest_body(local, bad), good.digest)
    with cm.open(local.location, trust="marked_only") as careful:
        for use in (
            lambda: careful.load(good),
            lambda: careful.files.download(good, tmp_path / "out"),
            lambda: careful.files.list(good),
        ):
            with pytest.raises(IntegrityFailure, match="manifest of pk:1 was changed"):
                use()
        verification = careful.files.verify(good)
    assert not verification.ok
    assert "was changed" in verification.faults[0].reason


def test_a_dry_run_runs_no_code(local: cm.Registry) -> None:
    version = local.register("pk", {1, 2}, format="pickle")
    with pytest.raises(Denied, match="dry run records nothing"):
        local.dry_run().load(version)
    assert len(local.trust.list(version)) == 0
    assert local.load(version) == {1, 2}
    assert local.dry_run().load(version) == {1, 2}


def test_revoked_trust_stays_revoked_until_a_person_trusts_again(local: cm.Registry) -> None:
    version = local.register("pk", {1, 2}, format="pickle")
    local.load(version)
    local.trust.revoke(version, reason="known bad")
    with pytest.raises(Denied, match="revoked"):
        local.load(version)
    local.trust.grant(version, reason="it was a false alarm")
    assert local.load(version) == {1, 2}


def test_a_purged_name_never_means_another_version(registry: cm.Registry) -> None:
    old = registry.register("mem", {"t": 1})
    ensemble = registry.register("ens", members=["mem:1"])
    registry.models.delete("mem", reason="r", force=True)
    registry.models.purge("mem", reason="r", force=True)
    new = registry.register("mem", {"t": 999})
    assert new.ref == "mem:2"
    for use in (lambda: registry.load(old), lambda: registry.load(ensemble), lambda: registry.alias("mem@a", old)):
        with pytest.raises(NotFound):
            use()


def test_history_keeps_the_order_of_events_when_the_clock_steps_back(registry: cm.Registry, clock: FakeClock) -> None:
    one, two = (registry.register("fraud", {"t": t}) for t in (1, 2))
    for version in (one, two):
        registry.promote(version, "staging", reason="r")
    registry.alias("fraud@champion", one)
    registry.promote(one, "production", reason="first")
    clock.advance(timedelta(days=-30))
    registry.promote(two, "production", reason="second")
    registry.promote(one, "staging", reason="back")
    registry.alias("fraud@champion", two)
    assert registry.get("fraud#production").number == 2
    assert [m.to_stage for m in registry.stages.history(one)] == ["staging", "production", "staging"]
    assert [m.number for m in registry.aliases.history("fraud@champion")] == [2, 1]
    clock.advance(timedelta(days=60))
    assert registry.aliases.at("fraud@champion", clock.now).number == 2
    assert registry.stages.at(one, clock.now) == "staging"


@pytest.mark.parametrize("text", ["\ud800", "a\0b"])
def test_texts_that_no_database_holds_are_refused_everywhere(local: cm.Registry, text: str) -> None:
    version = local.register("fraud", {"t": 1})
    local.versions.delete(local.register("fraud", {"t": 2}))
    before = len(local.audit.list(limit=1000))
    for use in (
        lambda: local.register("fraud", {"t": 3}, params={"m": text}),
        lambda: local.register("fraud", {"t": 3}, params={text: 1}),
        lambda: local.register("fraud", {"t": 3}, metadata={"m": text}),
        lambda: local.register("fraud", {"t": 3}, compliance=[text]),
        lambda: local.register("llm", config={"provider": "a", "model": text}),
        lambda: local.register("fraud", {"t": 3}, dataset=cm.DatasetRef("d", split=text)),
        lambda: local.versions.update(version, annotations={"a": text}),
        lambda: local.versions.delete(version, reason=text),
        lambda: local.versions.restore("fraud:2", reason=text),
        lambda: local.search(f"tags.a = '{text}'"),
    ):
        with pytest.raises(InvalidRequest):
            use()
    assert len(local.audit.list(limit=1000)) == before


@pytest.mark.parametrize(
    "facts",
    [
        {"description": b"bytes"},
        {"owner": b"bob"},
        {"tags": ["a"]},
        {"params": [1]},
        {"metrics": "f1"},
        {"members": {"m:1": "heavy"}},
        {"members": {"m:1": None}},
        {"metadata": {"big": "x" * 2_000_000}},
        {"compliance": ["x"] * 200_000},
        {"artifacts": {"config": {"z": 1}, "config/sub": {"z": 2}}},
        {"artifacts": {"preprocessor": {"z": 1}, "preprocessor/x.json": b"1"}},
        {"artifacts": {"other/x": None}},
    ],
)
def test_odd_types_and_sizes(local: cm.Registry, facts: Any) -> None:
    local.register("m", {"t": 1})
    model: Any = {} if "members" in facts else {"model": {"t": 2}}
    with pytest.raises(InvalidRequest):
        local.register("fraud", **model, **facts)
    assert [m.name for m in local.models.list()] == ["m"]


def test_an_empty_path_is_not_the_working_directory(local: cm.Registry) -> None:
    for use in (
        lambda: local.register("fraud", path=""),
        lambda: local.register("fraud", files={"a": ""}),
        lambda: local.register("fraud", {"t": 1}, artifacts={"other": ""}),
    ):
        with pytest.raises(InvalidRequest, match="path is empty"):
            use()


def test_numbers_of_numpy_are_numbers(local: cm.Registry) -> None:
    np = pytest.importorskip("numpy")
    version = local.register("fraud", {"t": 1}, cost_per_request=np.float64(0.5), description=np.str_("text"))
    changed = local.versions.update(version, annotations={"a": np.float32(0.5)})
    assert (changed.cost_per_request, changed.description, changed.annotations) == (0.5, "text", {"a": 0.5})


def test_times_without_a_zone_are_refused(local: cm.Registry, clock: FakeClock) -> None:
    local.alias("fraud@a", local.register("fraud", {"t": 1}))
    naive = clock.now.replace(tzinfo=None)
    for use in (
        lambda: local.stages.at("fraud:1", naive),
        lambda: local.aliases.at("fraud@a", naive),
        lambda: local.stages.deprecate("fraud:1", reason="r", at=naive),
        lambda: local.search("created_at > '9999-12-31T23:59:59-23:59'"),
    ):
        with pytest.raises(InvalidRequest):
            use()


def test_downloads_to_odd_places_are_refused_in_words(
    local: cm.Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = local.register("fraud", {"t": 1})
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    (tmp_path / "file").write_text("x")
    monkeypatch.chdir(tmp_path / "empty")
    for place in (tmp_path / "link", tmp_path / "dangling", ".", tmp_path / "file" / "x", "/proc/x", "a\0b", "x" * 300):
        with pytest.raises((Conflict, InvalidRequest, cm.errors.Unavailable)):
            local.files.download(version, place)
    local.files.download(version, "y" * 250)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["dangling", "empty", "file", "link", "registry"]


def test_an_ensemble_of_code_says_so(local: cm.Registry) -> None:
    member = local.register("pk", {1, 2}, format="pickle")
    assert local.register("both", members=[member]).runs_code


@pytest.mark.parametrize("which", ["seq = (select max(seq) from audit_events)", "seq > 0"])
def test_removed_events_at_the_end_of_the_audit_are_noticed(local: cm.Registry, which: str) -> None:
    local.alias("fraud@a", local.register("fraud", {"t": 1}))
    assert local.audit.verify().fault == ""
    triggers = [
        name
        for (name,) in rows(
            local, "select name from sqlite_master where type = 'trigger' and tbl_name = 'audit_events'"
        )
    ]
    for name in triggers:
        rows(local, f'drop trigger "{name}"')
    rows(local, f"delete from audit_events where {which}")
    verdict = local.audit.verify()
    assert "events were removed" in verdict.fault
    assert verdict.fault_seq == verdict.events + 1


def test_a_text_is_no_model_and_a_path_is_a_file(local: cm.Registry, tmp_path: Path) -> None:
    file = tmp_path / "rules.json"
    file.write_text('{"t": 1}')
    with pytest.raises(InvalidRequest, match="not a model") as caught:
        local.register("fraud", str(file))
    assert "path=" in caught.value.hint
    assert local.register("fraud", file).format == "json"
    assert local.load("fraud") == {"t": 1}


def test_choices_are_named_when_none_of_them_was_given(local: cm.Registry) -> None:
    with pytest.raises(InvalidRequest, match="bump is 'huge'; it may be major, minor, patch, auto"):
        local.register("fraud", {"t": 1}, bump="huge")  # type: ignore[arg-type]
    local.register("fraud", {"t": 1}, metrics={"f1": 1})
    with pytest.raises(InvalidRequest, match="it may be maximize, minimize"):
        local.versions.best("fraud", "f1", direction="max")  # type: ignore[call-overload]
    with pytest.raises(InvalidRequest, match="trust is 'maked'; it may be own_registry, marked_only, never"):
        cm.open(local.location, trust="maked")
    for where in ("stage = 'prodution'", "kind in ('artefact')", "state != 'redy'"):
        with pytest.raises(InvalidRequest, match="there are "):
            local.search(where)
    assert len(local.search("stage ~ 'prod'")) == 0
