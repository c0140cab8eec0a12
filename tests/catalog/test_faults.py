"""Errors of databases, and of the files that bring them up to date, are told as our own."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path
from typing import Any

import pytest

import chopmark as cm
from chopmark.catalog.faults import sqlite_fault
from chopmark.errors import ChopmarkError, Unavailable


def of_code(code: int, text: str) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize("name", sorted(n for n in dir(sqlite3) if n.startswith(("SQLITE_PROTOCOL", "SQLITE_IOERR"))))
def test_a_lock_that_fails_and_a_disk_that_errs_are_ours(name: str) -> None:
    found = sqlite_fault(of_code(getattr(sqlite3, name), name.lower()))
    assert isinstance(found, ChopmarkError)
    assert found.hint
    assert name.lower() in str(found)


def test_steps_that_cannot_be_read_are_told_and_nothing_is_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(*_: Any, **__: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    cm.open(tmp_path / "registry").close()
    with sqlite3.connect(tmp_path / "registry" / "chopmark.db") as older:
        older.execute("UPDATE schema_revision SET version_num = '0006'")
        for table in (
            "endpoint_versions",
            "endpoints",
            "routing",
            "routers",
            "outcomes",
            "rollout_events",
            "rollouts",
            "outcome_tiers",
            "outcome_moves",
            "feedback",
            "profile_counts",
            "monitors",
            "alerts",
            "experiment_outcomes",
            "experiment_units",
            "experiments",
        ):
            older.execute(f"DROP TABLE {table}")
    older.close()
    with monkeypatch.context() as patched:
        patched.setattr("alembic.command.upgrade", unreadable)
        with pytest.raises(Unavailable, match=r"could not be brought up to date: .*Input/output error") as raised:
            cm.open(tmp_path / "registry")
    assert "disk" in (raised.value.hint or "")
    with cm.open(tmp_path / "registry") as registry:
        assert registry.register("fraud", {"threshold": 0.5}).number == 1
