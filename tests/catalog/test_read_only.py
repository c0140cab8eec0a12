"""Catalogs that may only be read, and those that a killed process left to be played back."""

import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import chopmark as cm
from chopmark.base import forks
from chopmark.catalog import connections
from chopmark.catalog.locks import LockFile
from chopmark.errors import Unavailable

READ = """
import os, sys, tempfile
import chopmark as cm
from chopmark.errors import ChopmarkError

def live(place):
    with cm.open(place, actor="bob", progress="never") as registry:
        print(registry.load("fraud"), registry.storage.check().ok)
        registry.promote("fraud", "staging", reason="its turn")

with tempfile.TemporaryDirectory() as scratch:  # all is imported, for Python itself may be out of reach afterwards
    with cm.open(scratch, actor="bob") as registry:
        registry.register("fraud", {"t": 0})
    live(scratch)
if os.geteuid() == 0:  # for whom the modes of files do not count
    os.setgroups([])
    os.setgid(65_534)
    os.setuid(65_534)
try:
    live(sys.argv[1])
except ChopmarkError as error:
    print(type(error).__name__, error.message)
    print(error.hint)
"""

LEAVE_A_LOG = """
import os, signal, sys
import chopmark as cm
registry = cm.open(sys.argv[1], actor="ada")
registry.register("fraud", {"t": 2})
os.kill(os.getpid(), signal.SIGKILL)
"""

LEAVE_A_JOURNAL = """
import os, signal, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA journal_mode = DELETE")
connection.execute("PRAGMA cache_size = 1")
connection.execute("BEGIN")
connection.execute("CREATE TABLE half AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) "
                   "SELECT i, hex(randomblob(50)) FROM n")
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """A registry with a version, where another user may go."""
    directory = Path(tempfile.mkdtemp(prefix="chopmark-read-only-"))
    directory.chmod(0o755)
    registry = directory / "registry"
    with cm.open(registry, actor="ada") as opened:
        opened.register("fraud", {"t": 1})
    yield registry
    for path in (registry, *registry.rglob("*")):
        path.chmod(0o755)
    shutil.rmtree(directory)


def seal(place: Path) -> None:
    for path in (place, *place.rglob("*")):
        path.chmod(stat.S_IMODE(path.stat().st_mode) & ~0o222 | 0o444)


def as_somebody(place: Path) -> list[str]:
    """What `READ` prints of the registry, as a user for whom the modes of files count."""
    command = [sys.executable, "-c", READ, str(place)]
    done = subprocess.run(command, cwd=place.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    warmed_up, *lines = done.stdout.splitlines()
    assert warmed_up == "{'t': 0} True"
    return lines


def killed(script: str, path: Path) -> None:
    assert subprocess.run([sys.executable, "-c", script, str(path)], check=False).returncode == -signal.SIGKILL


def test_a_registry_in_a_read_only_directory_is_read_and_not_written(place: Path) -> None:
    before = {path.name for path in place.iterdir()}
    seal(place)
    loaded, refused, hint = as_somebody(place)
    assert loaded == "{'t': 1} True"
    assert refused.startswith("Denied The lock file")
    assert hint == "Give this user write permission on the directory."
    assert {path.name for path in place.iterdir()} == before


def test_a_log_that_cannot_be_read_there_is_told(place: Path) -> None:
    killed(LEAVE_A_LOG, place)
    assert (place / "chopmark.db-wal").stat().st_size > 0
    (place / "chopmark.db-shm").unlink()
    seal(place)
    refused, hint = as_somebody(place)
    assert refused.startswith("Denied The last writes to the catalog")
    assert hint.startswith("Open it once as a user who may write")


def test_a_journal_that_a_killed_process_left_is_played_back(place: Path) -> None:
    database = place / "chopmark.db"
    killed(LEAVE_A_JOURNAL, database)
    assert database.with_name("chopmark.db-journal").stat().st_size > 0
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        sqlite3.connect(f"file:{database}?mode=ro", uri=True).execute("SELECT count(*) FROM half")
    with cm.open(place, actor="ada") as registry:
        assert registry.load("fraud") == {"t": 1}
        assert registry.storage.check().ok
        assert registry.register("fraud", {"t": 2}).number == 2


def test_a_set_up_that_failed_at_its_first_step_is_done_again(tmp_path: Path) -> None:
    place = tmp_path / "registry"
    place.mkdir()
    with sqlite3.connect(place / "chopmark.db") as connection:
        connection.execute("CREATE TABLE schema_revision (version_num VARCHAR(32) NOT NULL)")
    connection.close()
    with cm.open(place, actor="ada") as registry:
        assert registry.register("fraud", {"t": 1}).number == 1


def test_what_is_read_without_locks_must_not_change_meanwhile(place: Path) -> None:
    database = place / "chopmark.db"
    reader = connections._immutable(database, sqlite3.OperationalError("why"))
    assert isinstance(reader, connections.Immutable)
    reader.check_unchanged()
    with cm.open(place, actor="ada") as registry:
        registry.register("fraud", {"t": 2})
        with pytest.raises(Unavailable, match="was changed while it was read"):
            reader.check_unchanged()
    with pytest.raises(Unavailable):
        reader.check_unchanged()
    forks.close(reader)


def test_a_lock_that_cannot_be_given_back_goes_with_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = LockFile(tmp_path / "lock"), LockFile(tmp_path / "lock")
    assert one.try_lock()

    def fail(_descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("chopmark.catalog.locks._unlock", fail)
    one.unlock()
    assert other.try_lock()
    assert not one.try_lock()
