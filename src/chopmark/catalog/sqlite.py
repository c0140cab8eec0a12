"""The catalog in a SQLite file: one writer with group commit, many readers."""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING
from urllib.parse import quote

from sqlalchemy.dialects.sqlite import pysqlite as dialects

from chopmark.abc.catalog import Transaction
from chopmark.catalog.execution import Compiler, Executor
from chopmark.catalog.faults import sqlite_fault
from chopmark.catalog.group_commit import GroupCommit
from chopmark.catalog.locks import WriterLock
from chopmark.catalog.schema import Tables
from chopmark.catalog.transaction import SqlTransaction, Statements
from chopmark.catalog.upgrades import judged, migrate, revision_queries, too_new
from chopmark.errors import (
    ChopmarkError,
    IntegrityFailure,
    InvalidRequest,
    TimedOut,
    Unavailable,
    Unsupported,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["SqliteCatalog", "sqlite_revision", "upgrade_sqlite"]

OLDEST_SQLITE = (3, 35, 0)  # RETURNING
BUSY_TIMEOUT_MS = 5_000
READER_CACHE_KIB = 16_384
WRITER_CACHE_KIB = 32_768
JOURNAL_KEPT_BYTES = 64 * 1024 * 1024

_inherited: list[object] = []
"""Connections that a forked child must neither use nor close: both would disturb its parent."""


class Journal:
    """The writer's connection and its right to write (`group_commit.Journal`)."""

    def __init__(self, connection: sqlite3.Connection, lock: WriterLock) -> None:
        self.connection = connection
        self._lock = lock

    def begin(self, timeout_s: float) -> None:
        """See the interface."""
        self._lock.acquire(timeout_s)
        try:
            self._run("BEGIN IMMEDIATE")
        except BaseException:
            self._lock.release()
            raise

    def savepoint(self) -> None:
        """See the interface."""
        self._run("SAVEPOINT member")

    def release(self) -> None:
        """See the interface."""
        self._check_open()
        self._run("RELEASE member")

    def undo(self) -> None:
        """See the interface."""
        self._check_open()
        self._run("ROLLBACK TO member")
        self._run("RELEASE member")

    def commit(self) -> None:
        """See the interface."""
        try:
            self._run("COMMIT")
        except BaseException:
            self._roll_back()
            raise
        finally:
            self._lock.release()

    def abandon(self) -> None:
        """See the interface."""
        try:
            self._roll_back()
        finally:
            self._lock.release()

    def _roll_back(self) -> None:
        if self.connection.in_transaction:
            self._run("ROLLBACK")

    def _check_open(self) -> None:
        if not self.connection.in_transaction:
            msg = "SQLite gave up the transaction (the disk may be full), and nothing of it was stored."
            raise Unavailable(msg, hint="Make room on the disk, then try again.")

    def _run(self, sql: str) -> None:
        try:
            self.connection.execute(sql)
        except sqlite3.Error as error:
            raise sqlite_fault(error) from error


class Readers:
    """Connections that can only read, kept for the next reader.

    Parameters
    ----------
    connect
        Opens one.
    limit
        How many there are at most; who comes then waits.
    timeout_s
        For how long.
    """

    def __init__(self, connect: Callable[[], sqlite3.Connection], limit: int, timeout_s: float) -> None:
        self._connect = connect
        self._idle: deque[sqlite3.Connection] = deque()
        self._free = threading.Semaphore(limit)
        self._limit = limit
        self._timeout_s = timeout_s

    def take(self) -> sqlite3.Connection:
        """Take a connection.

        Raises
        ------
        TimedOut
            When all were in use for the whole time.
        """
        if not self._free.acquire(timeout=self._timeout_s):
            msg = f"All {self._limit} reading connections were in use for {self._timeout_s:g} seconds."
            raise TimedOut(msg, hint="Raise the pool size in the settings.")
        try:
            return self._idle.pop()
        except IndexError:
            pass
        try:
            return self._connect()
        except BaseException:
            self._free.release()
            raise

    def give(self, connection: sqlite3.Connection) -> None:
        """Give it back."""
        try:
            connection.execute("ROLLBACK")
            self._idle.append(connection)
        except sqlite3.Error:
            connection.close()  # whatever it is, the next reader gets a new one
        finally:
            self._free.release()

    def close(self) -> None:
        """Close those that nobody uses."""
        while self._idle:
            self._idle.pop().close()


class Writer:
    """The writer's connection, its lock and its group commit."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self.lock = WriterLock(path)
        try:
            self.connection = _connect_writer(path)
        except BaseException:
            self.lock.close()
            raise
        self.group = GroupCommit(Journal(self.connection, self.lock), timeout_s)

    def close(self) -> None:
        """Close, under the lock: the last connection to close checkpoints.

        When another process writes all the time the connection is left to the system instead.
        """
        try:
            self.lock.acquire(self.timeout_s)
        except ChopmarkError:
            _inherited.append(self.connection)
        else:
            self.connection.close()
        finally:
            self.lock.close()

    def forget(self) -> None:
        """Drop what a forked child inherited, without touching it."""
        _inherited.append(self.connection)
        self.lock.close()


class SqliteCatalog:
    """`chopmark.abc.catalog.Catalog` in a file.

    Parameters
    ----------
    path
        The database file; its directory must exist. The file is made, or brought up to date, when
        needed.
    tables
        Tables by prefix.
    lock_timeout_s
        How long a writer waits for others.
    pool_size
        Readers at one time.
    """

    def __init__(self, path: Path, tables: Tables, *, lock_timeout_s: float, pool_size: int) -> None:
        if sqlite3.sqlite_version_info < OLDEST_SQLITE:
            msg = f"SQLite {sqlite3.sqlite_version} is too old; 3.35 is needed."
            raise Unsupported(msg, hint="Use a Python built with a newer SQLite.")
        self.path = path
        self.tables = tables
        self._timeout_s = lock_timeout_s
        self._pool_size = pool_size
        self.statements = Statements(Compiler(tables, dialects.dialect(paramstyle="named")))
        self._mutex = threading.Lock()
        self._is_closed = False
        self._pid = 0
        self._writer: Writer | None = None
        self._close_writer: weakref.finalize[[], SqliteCatalog] | None = None
        self._set_up()
        self._bring_up_to_date()

    def reading(self) -> AbstractContextManager[Transaction]:
        """See the interface."""
        if self._pid != os.getpid():
            self._after_fork()
        return _Reading(self)

    def writing(self) -> AbstractContextManager[Transaction]:
        """See the interface."""
        if self._pid != os.getpid():
            self._after_fork()
        return _Writing(self)

    def close(self) -> None:
        """See the interface."""
        with self._mutex:
            self._is_closed = True
            self.readers.close()
            if self._close_writer is not None:
                self._close_writer()

    def check_open(self) -> None:
        """Raise when the catalog was closed."""
        if self._is_closed:
            msg = "The catalog was closed, and cannot be used any more."
            raise InvalidRequest(msg, hint="Open it again.")

    def writer(self) -> Writer:
        """The writer, opened when first needed."""
        writer = self._writer
        if writer is None:
            with self._mutex:
                writer = self._writer = self._writer or self._open_writer()
        return writer

    def _open_writer(self) -> Writer:
        self.check_open()
        writer = Writer(self.path, self._timeout_s)
        # Also at the end of the process: Python would close the connection without the lock.
        self._close_writer = weakref.finalize(self, writer.close)
        return writer

    def _set_up(self) -> None:
        self._pid = os.getpid()
        self._writer = self._close_writer = None
        path, limit = self.path, self._pool_size
        self.readers = Readers(lambda: _connect_reader(path), limit, self._timeout_s)

    def _after_fork(self) -> None:
        with self._mutex:
            if self._pid == os.getpid():
                return
            _inherited.append(self.readers)
            if self._close_writer is not None:
                self._close_writer.detach()
            if self._writer is not None:
                self._writer.forget()
            self._set_up()

    def _bring_up_to_date(self) -> None:
        try:
            revision, compatible_from = sqlite_revision(self.path, self.tables)
            standing = judged(revision, compatible_from)
            # Judged again under the writer's lock, which an up-to-date file never asks for.
            if standing != "usable":
                _migrate(self.writer(), self.path, self.tables)
        except BaseException:
            self.close()
            raise


class _Reading:
    """A block that reads."""

    __slots__ = ("_catalog", "_connection", "_readers", "_run")

    def __init__(self, catalog: SqliteCatalog) -> None:
        self._catalog = catalog

    def __enter__(self) -> Transaction:
        catalog = self._catalog
        catalog.check_open()
        self._readers = catalog.readers
        self._connection = self._readers.take()
        try:
            self._connection.execute("BEGIN")
        except sqlite3.Error as error:
            self._readers.give(self._connection)
            raise sqlite_fault(error) from error
        self._run = Executor(self._connection, sqlite3.Error, sqlite_fault, is_writing=False)
        return SqlTransaction(self._run, catalog.statements)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._run.close()
        self._readers.give(self._connection)


class _Writing:
    """A block that writes."""

    __slots__ = ("_catalog", "_group", "_run")

    def __init__(self, catalog: SqliteCatalog) -> None:
        self._catalog = catalog

    def __enter__(self) -> Transaction:
        catalog = self._catalog
        catalog.check_open()
        writer = catalog.writer()
        self._group = writer.group
        self._group.enter()
        self._run = Executor(writer.connection, sqlite3.Error, sqlite_fault, is_writing=True)
        return SqlTransaction(self._run, catalog.statements)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._run.close()
        self._group.leave(succeeded=kind is None)


def sqlite_revision(path: Path, tables: Tables) -> tuple[str, str]:
    """Revision of the file's tables, and the oldest code that works with it; empty without.

    Raises
    ------
    IntegrityFailure
        When the file is not a SQLite database.
    """
    if not path.parent.is_dir():
        msg = f"There is no directory {path.parent} to hold the catalog {path.name}."
        raise Unavailable(msg, hint="Make the directory, or choose another.")
    if path.is_dir():
        msg = f"{path} is a directory; the catalog is a file."
        raise InvalidRequest(msg)
    if not path.exists() or path.stat().st_size == 0:
        return "", ""
    with _closing(_connect_reader(path)) as connection:
        return _read_revision(connection, tables)


def upgrade_sqlite(path: Path, tables: Tables, lock_timeout_s: float) -> None:
    """Make the file's tables, or bring them up to date."""
    writer = Writer(path, lock_timeout_s)
    try:
        _migrate(writer, path, tables)
    finally:
        writer.close()


def _read_revision(connection: sqlite3.Connection, tables: Tables) -> tuple[str, str]:
    names = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?"
    try:
        if not connection.execute(names, (tables.revision_table,)).fetchone()[0]:
            return "", ""
        revision, compatible_from = (connection.execute(sql).fetchone() for sql in revision_queries(tables))
    except sqlite3.Error as error:
        raise sqlite_fault(error) from error
    if revision is None or compatible_from is None:
        msg = "The catalog's table of revisions is empty: its set-up did not end."
        raise IntegrityFailure(msg, hint="Restore it from a backup.")
    return revision[0], compatible_from[0]


def _migrate(writer: Writer, path: Path, tables: Tables) -> None:
    """Under the writer's lock: of two processes that open a new file, one makes the tables."""
    from sqlalchemy import create_engine
    from sqlalchemy.pool import StaticPool

    writer.lock.acquire(writer.timeout_s)
    try:
        _check_journal(writer.connection)
        revision, compatible_from = _read_revision(writer.connection, tables)
        standing = judged(revision, compatible_from)
        if standing == "newer":
            raise too_new(f"The catalog {path}", revision)
        if standing == "usable":
            return
        engine = create_engine("sqlite://", creator=lambda: writer.connection, poolclass=StaticPool)
        with engine.begin() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            migrate(connection, tables)
    finally:
        writer.lock.release()


def _check_journal(connection: sqlite3.Connection) -> None:
    try:
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    except sqlite3.Error as error:
        raise sqlite_fault(error) from error
    if mode != "wal":
        msg = f"The file system of the catalog cannot hold a write-ahead log ({mode})."
        raise Unavailable(msg, hint="Put the catalog on a local disk, or use PostgreSQL.")


def _connect_reader(path: Path) -> sqlite3.Connection:
    connection = _connect(path, "ro")
    _set(connection, "query_only = ON", f"cache_size = -{READER_CACHE_KIB}")
    return connection


def _connect_writer(path: Path) -> sqlite3.Connection:
    connection = _connect(path, "rwc")
    _set(
        connection,
        "synchronous = FULL",
        "foreign_keys = ON",
        f"cache_size = -{WRITER_CACHE_KIB}",
        f"journal_size_limit = {JOURNAL_KEPT_BYTES}",
    )
    return connection


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    uri = f"file:{quote(str(path.absolute()))}?mode={mode}"
    try:
        connection = sqlite3.connect(
            uri,
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
            timeout=BUSY_TIMEOUT_MS / 1000,
        )
    except sqlite3.Error as error:
        raise sqlite_fault(error, str(path)) from error
    return connection


def _set(connection: sqlite3.Connection, *pragmas: str) -> None:
    try:
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")
    except sqlite3.Error as error:
        connection.close()
        raise sqlite_fault(error) from error


@contextmanager
def _closing(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    try:
        yield connection
    finally:
        with suppress(sqlite3.Error):
            connection.close()
