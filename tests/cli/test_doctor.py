"""``chopmark doctor`` over registries that are well, broken and absent."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from chopmark.cli.checks import checks
from chopmark.cli.session import Session
from tests.cli.running import Program


def statuses(program: Program, code: int) -> dict[str, Any]:
    ran = program("doctor", "--json")
    assert ran.code == code, ran
    return {check["name"]: check["status"] for check in ran.json["items"]}


def snapshot(directory: Path) -> set[str]:
    return {str(p.relative_to(directory)) for p in directory.rglob("*")}


def test_a_healthy_registry(program: Program) -> None:
    program.register()
    blobs = snapshot(program.place / "blobs")
    found = statuses(program, 0)
    assert {"settings", "directory", "disk", "database", "store", "clock", "formats", "extras"} <= set(found)
    assert set(found.values()) <= {"ok", "warn"}
    assert snapshot(program.place / "blobs") >= blobs
    files = [p for p in (program.place / "blobs").rglob("*") if p.is_file()]
    assert len([p for p in files if p.stat().st_size == len('{"threshold": 0.7}')]) == 1
    assert program.ok("doctor").out.startswith("ok    chopmark")


def test_no_registry_yet(program: Program) -> None:
    before = snapshot(program.directory)
    found = statuses(program, 0)
    assert found["registry"] == "warn"
    assert "database" not in found
    assert snapshot(program.directory) == before


def test_a_database_that_is_none(program: Program) -> None:
    program.register()
    for file in program.place.glob("chopmark.db*"):
        file.unlink()
    (program.place / "chopmark.db").write_bytes(b"this is no database" * 500)
    assert statuses(program, 1)["database"] == "fail"


def test_a_directory_that_is_a_file(program: Program) -> None:
    program.place.write_text("in the way")
    assert statuses(program, 1)["directory"] == "fail"


def test_a_store_that_is_a_file(program: Program) -> None:
    program.register()
    shutil.rmtree(program.place / "blobs")
    (program.place / "blobs").write_text("in the way")
    assert statuses(program, 1)["store"] == "fail"


def test_a_setting_that_is_not_valid(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHOPMARK_POOL_SIZE", "many")
    found = statuses(program, 1)
    assert found["settings"] == "fail"


def test_a_clock_that_stands_before_the_last_event(program: Program) -> None:
    from datetime import UTC, datetime

    program.register()
    session = Session()
    session.arguments["url"] = str(program.place)
    try:
        early = {c.name: c for c in checks(session, lambda: datetime(2025, 6, 1, tzinfo=UTC))}
        wrong = {c.name: c for c in checks(session, lambda: datetime(1970, 1, 1, tzinfo=UTC))}
    finally:
        session.close()
    assert early["clock"].status == "warn"
    assert wrong["clock"].status == "fail"


def test_failing_lines_say_what_to_do(program: Program) -> None:
    program.place.write_text("in the way")
    ran = program("doctor")
    assert ran.code == 1
    assert "→" in ran.out
    assert ran.err.startswith("error: ")


def test_a_mistyped_setting_in_the_environment_is_noticed(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHOPMARK_TRSUT", "never")
    assert "CHOPMARK_TRSUT in the environment: no such setting" in program.ok("doctor").out
