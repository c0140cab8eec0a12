"""What only SQLite has to prove: files, processes, forks and crashes."""

import gc
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from chopmark.abc.catalog import Catalog
from chopmark.catalog import open_catalog
from chopmark.catalog.connections import CHECKPOINT_PAGES, JOURNAL_KEPT_BYTES
from chopmark.catalog.locks import WriterLock
from chopmark.catalog.sqlite import Journal, SqliteCatalog
from chopmark.domain.audit import find_fault
from chopmark.domain.query import parse_query
from chopmark.errors import IntegrityFailure, InvalidRequest, TimedOut, Unavailable
from chopmark.testing.catalog_records import Records

WRITE_NUMBERS = """
import sys
import msgspec
from chopmark.catalog import open_catalog
from chopmark.testing.catalog_records import Records
records = Records()
catalog = open_catalog(sys.argv[1])
with catalog.reading() as tx:
    model = tx.models.get("default", "fraud")
for _ in range(int(sys.argv[2])):
    with catalog.writing() as tx:
        locked = tx.models.lock("default", "fraud")
        number = locked.last_number + 1
        records.add_version(tx, model, number)
        tx.models.update(msgspec.structs.replace(locked, last_number=number))
        tx.audit.append(records.event(pid=sys.argv[3]))
    print(number, flush=True)
catalog.close()
"""

HANG_IN_A_BLOCK = """
import sys, time
from chopmark.catalog import open_catalog
from chopmark.testing.catalog_records import Records
records = Records()
catalog = open_catalog(sys.argv[1])
with catalog.writing() as tx:
    tx.projects.insert(records.project("kept"))
with catalog.writing() as tx:
    for n in range(2000):
        tx.projects.insert(records.project(f"lost{n}"))
    print("inside", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "catalog.db"


@pytest.fixture
def catalog(path: Path) -> Iterator[SqliteCatalog]:
    catalog = open_catalog(str(path))
    assert isinstance(catalog, SqliteCatalog)
    yield catalog
    catalog.close()


def start(program: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> str:
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return out


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_two_processes_write_at_once(path: Path, catalog: Catalog) -> None:
    records, each = Records(), 40
    with catalog.writing() as tx:
        model = records.add_model(tx)
    processes = [start(WRITE_NUMBERS, path, each, n) for n in range(2)]
    given = [int(number) for process in processes for number in finish(process).split()]
    assert sorted(given) == list(range(1, 2 * each + 1))
    with catalog.reading() as tx:
        assert [v.number for v in tx.versions.in_model(model.id, limit=999)] == sorted(given, reverse=True)
        events = tx.audit.list(limit=999)
    assert len(events) == 2 * each
    assert find_fault(events) is None


def test_a_busy_process_does_not_starve_another(path: Path, catalog: Catalog) -> None:
    with catalog.writing() as tx:
        Records().add_model(tx)
    busy = start(WRITE_NUMBERS, path, 100_000, "busy")
    try:
        line_of(busy)
        waits_s = []
        for n in range(10):
            began = time.monotonic()
            with catalog.writing() as tx:
                waits_s.append(time.monotonic() - began)
                tx.projects.insert(Records().project(f"p{n}"))
            line_of(busy)  # it writes in between, too
    finally:
        busy.kill()
        busy.communicate()
    assert max(waits_s) < 2.0


def test_a_writer_killed_inside_a_block_leaves_nothing_of_it(path: Path) -> None:
    process = start(HANG_IN_A_BLOCK, path)
    assert line_of(process) == "inside"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    began = time.monotonic()
    catalog = open_catalog(str(path), lock_timeout_s=5)
    with catalog.reading() as tx:
        assert [p.name for p in tx.projects.list(limit=9)] == ["kept"]
    with catalog.writing() as tx:
        tx.projects.insert(Records().project("after"))
    assert time.monotonic() - began < 5
    catalog.close()
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


def test_settings_of_the_connections(catalog: SqliteCatalog) -> None:
    def read(connection: sqlite3.Connection, *names: str) -> list[object]:
        return [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names]

    with catalog.writing():
        writer = catalog.writer().connection
    assert read(writer, "journal_mode", "synchronous", "foreign_keys", "busy_timeout") == ["wal", 2, 1, 5000]
    (pages,) = read(writer, "wal_autocheckpoint")
    assert pages == CHECKPOINT_PAGES
    assert pages * 4096 < JOURNAL_KEPT_BYTES  # or else the log would be cut and grown again and again
    reader = catalog.readers.take(0)
    reader.execute("BEGIN")
    assert read(reader, "query_only") == [1]
    with pytest.raises(sqlite3.OperationalError):
        reader.execute("DELETE FROM projects")
    reader.execute("ROLLBACK")
    reader.execute("PRAGMA query_only = OFF")
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.execute("DELETE FROM projects")
    reader.close()


def test_catalogs_of_a_process_share_what_is_compiled(tmp_path: Path) -> None:
    """Making the tables' SQL and the statements takes ten times as long as all else that an opening does."""
    first, second, other = (
        open_catalog(str(tmp_path / f"{name}.db"), table_prefix=prefix)
        for name, prefix in (("a", ""), ("b", ""), ("c", "cm_"))
    )
    try:
        assert isinstance(first, SqliteCatalog)
        assert isinstance(second, SqliteCatalog)
        assert isinstance(other, SqliteCatalog)
        assert first.statements is second.statements
        assert first.statements is not other.statements
        for catalog in (first, second, other):
            with catalog.writing() as tx:
                tx.projects.insert(Records().project(catalog.path.stem))
        for catalog in (first, second, other):
            with catalog.reading() as tx:
                assert [project.name for project in tx.projects.list(limit=9)] == [catalog.path.stem]
    finally:
        for each in (first, second, other):
            each.close()


def test_threads_share_commits(catalog: SqliteCatalog) -> None:
    blocks, barrier = 8 * 10, threading.Barrier(8)

    def write(thread: int) -> None:
        records = Records()
        barrier.wait()
        for n in range(10):
            with catalog.writing() as tx:
                tx.projects.insert(records.project(f"p{thread}-{n}"))

    before = catalog.writer().group.commits
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    assert 1 <= catalog.writer().group.commits - before < blocks
    with catalog.reading() as tx:
        assert len(tx.projects.list(limit=999)) == blocks


def test_waiting_for_another_process_has_a_limit(path: Path) -> None:
    catalog = open_catalog(str(path), lock_timeout_s=0.05)
    holder = WriterLock(path)
    holder.acquire(1)
    with pytest.raises(TimedOut, match=r"0\.05 seconds") as caught, catalog.writing():
        pass
    assert "catalog.db-writer.lock" in caught.value.hint
    holder.release()
    with catalog.writing() as tx:
        tx.projects.insert(Records().project("after"))
    holder.close()
    catalog.close()


def test_who_queues_first_is_served_next(path: Path) -> None:
    path.touch()
    holder, waiter = WriterLock(path), WriterLock(path)
    holder.acquire(1)
    assert waiter._queue.try_lock()  # as somebody who waits for the writer's lock does
    holder.release()
    with pytest.raises(TimedOut):
        holder.acquire(0.01)  # the lock is free, but another is in front
    waiter._queue.unlock()
    holder.acquire(1)
    for lock in (holder, waiter):
        lock.close()


def test_all_readers_in_use_is_a_clear_error(path: Path) -> None:
    catalog = open_catalog(str(path), pool_size=1, lock_timeout_s=0.01)
    with catalog.reading(), pytest.raises(TimedOut, match="1 reading connections"), catalog.reading():
        pass
    with catalog.reading():
        pass
    catalog.close()


def test_who_cannot_wait_reads_by_an_idle_connection_or_not_at_all(path: Path) -> None:
    catalog = open_catalog(str(path), pool_size=1, lock_timeout_s=5)
    assert catalog.reading_now() is None  # none was opened yet, and opening is waiting
    with catalog.reading():
        assert catalog.reading_now() is None
    for _ in range(3):
        block = catalog.reading_now()
        assert block is not None
        with block as tx:
            assert tx.projects.list(limit=1) == []
            assert catalog.reading_now() is None
        with catalog.writing(), catalog.reading():
            assert catalog.reading_now() is None
    catalog.close()
    assert catalog.reading_now() is None


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("these are notes, not a database\n" * 100)
    with pytest.raises(IntegrityFailure, match="not a SQLite database"):
        open_catalog(str(path))
    assert list(tmp_path.iterdir()) == [path]


def test_a_truncated_database(path: Path) -> None:
    catalog = open_catalog(str(path))
    records = Records()
    with catalog.writing() as tx:
        model = records.add_model(tx)
        for n in range(1, 200):
            records.add_version(tx, model, n, card="x" * 1000)
    catalog.close()
    for leftover in path.parent.glob("*-wal"):
        leftover.unlink()
    size = path.stat().st_size
    os.truncate(path, size // 2)

    def read() -> None:
        damaged = open_catalog(str(path))
        try:
            with damaged.reading() as tx:
                tx.versions.search(parse_query('owner = "x"'), limit=9)
                tx.versions.in_model(model.id, limit=999)
        finally:
            damaged.close()

    with pytest.raises(IntegrityFailure):
        read()


@pytest.mark.parametrize("url", ["", "sqlite:///", ":memory:", "sqlite:///:memory:", "mysql://localhost/x"])
def test_an_address_that_cannot_hold_a_catalog(url: str) -> None:
    with pytest.raises(InvalidRequest):
        open_catalog(url)


def test_places_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="no directory"):
        open_catalog(str(tmp_path / "none" / "catalog.db"))
    with pytest.raises(InvalidRequest, match="is a directory"):
        open_catalog(str(tmp_path))
    with pytest.raises(InvalidRequest, match="no schemas"):
        open_catalog(str(tmp_path / "c.db"), schema="registry")
    assert list(tmp_path.iterdir()) == []


def test_odd_characters_in_the_path(tmp_path: Path) -> None:
    directory = tmp_path / "a b%20c?mode=ro#é"
    directory.mkdir()
    catalog = open_catalog(str(directory / "cat%alog?.db"))
    with catalog.writing() as tx:
        tx.projects.insert(Records().project("here"))
    catalog.close()
    assert (directory / "cat%alog?.db").stat().st_size > 0


UNWRITABLE = """
import os, sys
from chopmark.catalog import open_catalog, sqlite
from chopmark.errors import Denied
if os.geteuid() == 0:  # nothing is denied to root
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
try:
    with open_catalog(sys.argv[1]).writing():
        pass
except Denied as error:
    print(error.code, bool(error.hint))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permission bits on directories")
def test_a_directory_that_may_not_be_written() -> None:
    with TemporaryDirectory() as name:  # everybody can reach it, other than pytest's own
        Path(name).chmod(0o555)
        assert finish(start(UNWRITABLE, f"{name}/catalog.db")).split() == ["denied", "True"]
        assert list(Path(name).iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permission bits on directories")
def test_a_catalog_that_may_not_be_written() -> None:
    with TemporaryDirectory() as name:
        open_catalog(f"{name}/catalog.db").close()
        Path(name).chmod(0o555)
        assert finish(start(UNWRITABLE, f"{name}/catalog.db")).split() == ["denied", "True"]


def test_a_full_disk_is_told_to_the_writer(catalog: SqliteCatalog) -> None:
    records = Records()
    with catalog.writing() as tx:
        records.add_model(tx)
    writer = catalog.writer().connection
    pages = writer.execute("PRAGMA page_count").fetchone()[0]
    writer.execute(f"PRAGMA max_page_count = {pages}")

    def fill() -> None:
        with catalog.writing() as tx:
            for n in range(1000):
                tx.projects.insert(records.project(f"p{n}", description="x" * 1000))

    with pytest.raises(Unavailable, match=r"could not be written|gave up"):
        fill()
    writer.execute("PRAGMA max_page_count = 1000000")
    with catalog.writing() as tx:
        assert [p.name for p in tx.projects.list(limit=9)] == ["default"]
        tx.projects.insert(records.project("after"))


def test_an_unused_catalog_closes_its_writer(path: Path) -> None:
    catalog = open_catalog(str(path))
    with catalog.writing() as tx:
        tx.projects.insert(Records().project("x"))
    del catalog, tx
    gc.collect()
    again = open_catalog(str(path), lock_timeout_s=1)
    with again.writing() as tx:
        assert tx.projects.get("x") is not None
    again.close()


def test_a_number_beyond_the_database_is_nobodys(catalog: Catalog) -> None:
    with catalog.writing() as tx:
        model = Records().add_model(tx)
        assert tx.versions.by_number(model.id, 2**80) is None


def test_each_of_a_group_is_undone_alone_and_the_first_needs_no_savepoint(path: Path, catalog: Catalog) -> None:
    """What SQLite would copy for a savepoint it copies only for those who join another's transaction."""
    catalog.close()
    journal = Journal(path)
    told: list[str] = []
    journal.connection.execute("CREATE TABLE t (name)")
    journal.connection.set_trace_callback(told.append)
    journal.begin(1.0)
    for name, end in (("a", journal.undo), ("b", journal.release), ("c", journal.undo), ("d", journal.release)):
        journal.savepoint()
        journal.connection.execute("INSERT INTO t VALUES (?)", (name,))
        end()
    journal.commit()
    assert [name for (name,) in journal.connection.execute("SELECT name FROM t")] == ["b", "d"]
    assert told.count("SAVEPOINT member") == 2
    journal.close()
