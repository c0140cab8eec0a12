"""The catalog in a SQLite file: one writer with group commit, many readers."""

from __future__ import annotations

import sqlite3
import time
import weakref
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from sqlalchemy.dialects.sqlite import pysqlite as dialects

from chopmark.abc.catalog import Transaction
from chopmark.base import forks
from chopmark.catalog.connections import Immutable, closing, connect_reader, connect_writer
from chopmark.catalog.damage import row_of
from chopmark.catalog.execution import Compiler, Executor
from chopmark.catalog.faults import SQLITE_ERRORS, sqlite_fault
from chopmark.catalog.group_commit import GroupCommit, Turn
from chopmark.catalog.locks import WriterLock
from chopmark.catalog.readers import Readers
from chopmark.catalog.schema import Tables
from chopmark.catalog.transaction import SqlTransaction, Statements
from chopmark.catalog.upgrades import judged, make_tables, migrate, revision_queries, too_new
from chopmark.errors import (
    ChopmarkError,
    Denied,
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
CLOSE_WAIT_S = 1.0
CLOSE_AT_EXIT_S = 5.0


class Journal:
    """The writer's connection and its right to write (`group_commit.Journal`).

    The first of a group needs no savepoint, as all that can be undone is its own; SQLite would copy each page
    that it changes, to a file when there are many.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._lock: WriterLock | None = None
        self._is_first = False

    @property
    def connection(self) -> sqlite3.Connection:
        """The connection, opened when it is not."""
        if self._connection is None:
            self._connection = connect_writer(self._path)
        return self._connection

    def take_lock(self, timeout_s: float) -> None:
        """Take the right to write, and have a connection."""
        forks.check_not_forked(self._path)
        if self._lock is None:
            self._lock = WriterLock(self._path)
        self._lock.acquire(timeout_s)
        _ = self.connection

    def begin(self, timeout_s: float) -> None:
        """See the interface."""
        try:
            self.take_lock(timeout_s)
            self._is_first = True
            self._run("BEGIN IMMEDIATE")
        except BaseException:
            self.abandon()
            raise

    def savepoint(self) -> None:
        """See the interface."""
        if not self._is_first:
            self._run("SAVEPOINT member")

    def release(self) -> None:
        """See the interface."""
        self._check_in_transaction()
        if self._is_first:
            self._is_first = False
        else:
            self._run("RELEASE member")

    def undo(self) -> None:
        """See the interface."""
        self._check_in_transaction()
        if self._is_first:
            self._run("ROLLBACK")
            self._run("BEGIN IMMEDIATE")
            return
        try:
            self.connection.execute("ROLLBACK TO member")
        except sqlite3.OperationalError as error:
            if "no such savepoint" in str(error):
                return  # an interruption came before it, or after its release
            raise sqlite_fault(error) from error
        self._run("RELEASE member")

    def commit(self) -> None:
        """See the interface."""
        try:
            self._run("COMMIT")
        except Exception:
            self.abandon()
            raise
        self.abandon()

    def abandon(self) -> None:
        """See the interface."""
        try:
            if self.is_in_transaction():
                self._run("ROLLBACK")
        finally:
            if self._lock is not None:
                self._lock.release()

    def is_in_transaction(self) -> bool:
        """See the interface."""
        return self._connection is not None and self._connection.in_transaction

    def close(self) -> None:
        """See the interface.

        The last connection to close checkpoints, which takes the lock, for it keeps others out. Who
        has the lock has a connection too: without the lock this one is not the last.
        """
        lock, self._lock = self._lock, None
        connection, self._connection = self._connection, None
        if lock is not None:
            with suppress(ChopmarkError):
                lock.acquire(CLOSE_WAIT_S)
        if connection is not None:
            forks.close(connection)
        if lock is not None:
            lock.close()

    def forget(self) -> None:
        """Let go of what a forked child inherited."""
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.close()  # the parent's descriptors still hold what they hold

    def _check_in_transaction(self) -> None:
        if not self.is_in_transaction():
            msg = "SQLite gave up the transaction (the disk may be full), and nothing of it was stored."
            raise Unavailable(msg, hint="Make room on the disk, then try again.")

    def _run(self, sql: str) -> None:
        try:
            self.connection.execute(sql)
        except SQLITE_ERRORS as error:
            raise sqlite_fault(error) from error


class Writer:
    """The writer's connection, its lock and its group commit."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self.journal = Journal(path)
        self.group = GroupCommit(self.journal, timeout_s)
        self._pause: Turn | None = None

    @property
    def connection(self) -> sqlite3.Connection:
        """The connection, opened when it is not."""
        return self.journal.connection

    def close(self, timeout_s: float) -> None:
        """Close, after the write that is in flight; those that wait are refused.

        A write that does not end in time closes the connection at its own end.
        """
        self.group.close(timeout_s)

    @contextmanager
    def alone(self) -> Iterator[sqlite3.Connection]:
        """The connection, under the lock, without a transaction."""
        turn = Turn(is_alone=True)
        try:
            if not self.group.take(turn, self.timeout_s):
                raise TimedOut("Other threads write to the catalog all the time.", hint="Try again.")
            self.journal.take_lock(self.timeout_s)
            yield self.journal.connection
        finally:
            self.group.abort(turn)

    def suspend(self, deadline_s: float) -> None:
        """Close the connection after the write in flight, and keep others waiting until `resume`."""
        if self.group.is_inside():
            return
        turn = self._pause = Turn(is_alone=True)
        if self.group.take(turn, max(0.0, deadline_s - time.monotonic())):
            self.journal.close()

    def resume(self) -> None:
        """Go on after `suspend`."""
        turn, self._pause = self._pause, None
        if turn is not None:
            self.group.abort(turn)


@lru_cache(maxsize=8)
def _statements(tables: Tables) -> Statements:
    """Compiled once in a process, whatever the number of catalogs that it opens."""
    return Statements(Compiler(tables, dialects.dialect(paramstyle="named")))


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
        self.statements = _statements(tables)
        self._is_closed = False
        self._set_up()
        forks.watch(self)
        self._bring_up_to_date()

    def reading(self) -> AbstractContextManager[Transaction]:
        """See the interface."""
        return _Reading(self)

    def reading_now(self) -> AbstractContextManager[Transaction] | None:
        """See the interface: readers wait for nobody once they have a connection."""
        block = _Reading(self)
        return block if block.take_now() else None

    def writing(self) -> AbstractContextManager[Transaction]:
        """See the interface."""
        return _Writing(self)

    def close(self) -> None:
        """See the interface.

        Readers first: the writer's connection is then the last, and takes the write-ahead log away.
        """
        self._writer.group.refuse()
        self._is_closed = True
        self._close_readers()
        self._writer.close(self._timeout_s)
        self._close_writer.detach()

    def check_open(self) -> None:
        """Raise when the catalog was closed."""
        if self._is_closed:
            msg = "The catalog was closed, and cannot be used any more."
            raise InvalidRequest(msg, hint="Open it again.")

    def writer(self) -> Writer:
        """The writer."""
        return self._writer

    def suspend(self, deadline_s: float) -> None:
        """See `forks.Suspendable`."""
        self._writer.suspend(deadline_s)
        self.readers.suspend(deadline_s)

    def resume(self) -> None:
        """See `forks.Suspendable`."""
        self.readers.resume()
        self._writer.resume()

    def start_anew(self) -> None:
        """See `forks.Suspendable`."""
        self._close_writer.detach()
        self._close_readers.detach()
        self._writer.journal.forget()
        self._set_up()
        if self._is_closed:
            self.close()

    def _set_up(self) -> None:
        path, limit = self.path, self._pool_size
        self.readers = Readers(lambda: connect_reader(path), limit, self._timeout_s)
        self._writer = Writer(path, self._timeout_s)
        # Also at the end of the process: Python would close the connections under those who use them.
        # What was made last is called first, so readers go before the writer here too.
        self._close_writer = weakref.finalize(self, self._writer.close, min(self._timeout_s, CLOSE_AT_EXIT_S))
        self._close_readers = weakref.finalize(self, self.readers.close)

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

    __slots__ = ("_catalog", "_generation", "_immutable", "_readers", "_run")

    def __init__(self, catalog: SqliteCatalog) -> None:
        self._catalog = catalog
        self._run: Executor | None = None
        self._readers: Readers | None = None
        self._immutable: Immutable | None = None
        self._generation = forks.generation()

    def take_now(self) -> bool:
        """Take a connection if one is idle; whether it was."""
        self._readers = self._catalog.readers
        return self._readers.take_now(id(self))

    def __enter__(self) -> Transaction:
        catalog = self._catalog
        try:
            catalog.check_open()
            self._readers = catalog.readers
            connection = self._readers.take(id(self))
            self._immutable = connection if isinstance(connection, Immutable) else None
            connection.execute("BEGIN")
            self._run = Executor(connection, SQLITE_ERRORS, sqlite_fault, is_writing=False)
            return SqlTransaction(self._run, catalog.statements)
        except SQLITE_ERRORS as error:
            self._give()
            raise sqlite_fault(error) from error
        except BaseException:
            self._give()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if self._run is not None:
                self._run.close()
                if kind is None and self._immutable is not None:
                    self._immutable.check_unchanged()
        finally:
            self._give()

    def __del__(self) -> None:
        self._give()  # when an interruption came before the end of the block could do it

    def _give(self) -> None:
        if self._readers is not None and self._generation == forks.generation():
            self._readers.give(id(self))
            self._readers = None


class _Writing:
    """A block that writes."""

    __slots__ = ("_catalog", "_generation", "_run", "_turn", "_writer")

    def __init__(self, catalog: SqliteCatalog) -> None:
        self._catalog = catalog
        self._run: Executor | None = None
        self._writer: Writer | None = None
        self._turn = Turn()
        self._generation = forks.generation()

    def __enter__(self) -> Transaction:
        catalog = self._catalog
        try:
            catalog.check_open()
            self._writer = writer = catalog.writer()
            writer.group.enter(self._turn)
            self._run = Executor(writer.connection, SQLITE_ERRORS, sqlite_fault, is_writing=True)
            return SqlTransaction(self._run, catalog.statements)
        except BaseException:
            self._abort()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if self._run is not None:
                self._run.close()
            if self._generation != forks.generation():
                forks.refuse(self._catalog.path, when=kind is None)
            elif self._writer is not None:
                self._writer.group.leave(self._turn, succeeded=kind is None)
                self._writer = None
        except BaseException:
            self._abort()
            raise

    def __del__(self) -> None:
        self._abort()  # when an interruption came before the end of the block could do it

    def _abort(self) -> None:
        if self._writer is not None and self._generation == forks.generation():
            self._writer.group.abort(self._turn)
            self._writer = None


def sqlite_revision(path: Path, tables: Tables) -> tuple[str, str]:
    """Revision of the file's tables, and the oldest code that works with it; empty without.

    Raises
    ------
    IntegrityFailure
        When the file is not a SQLite database.
    """
    if not _has_database(path):
        return "", ""
    with closing(connect_reader(path)) as connection:
        return _read_revision(connection, tables)


def _has_database(path: Path) -> bool:
    """Whether the file is there, with anything in it."""
    try:
        if not path.parent.is_dir():
            msg = f"There is no directory {path.parent} to hold the catalog {path.name}."
            raise Unavailable(msg, hint="Make the directory, or choose another.")
        if path.is_dir():
            msg = f"{path} is a directory; the catalog is a file."
            raise InvalidRequest(msg)
        return path.exists() and path.stat().st_size > 0
    except ChopmarkError:
        raise
    except PermissionError as error:
        msg = f"This user may not look into {path.parent}, where the catalog is."
        raise Denied(msg, hint="Give this user read permission on the directory.") from error
    except OSError as error:
        msg = f"The catalog {path} cannot be looked for: {error.strerror}."
        raise Unavailable(msg, hint="Look at the system log for errors of that disk or mount, then repeat.") from error


def upgrade_sqlite(path: Path, tables: Tables, lock_timeout_s: float) -> None:
    """Make the file's tables, or bring them up to date."""
    writer = Writer(path, lock_timeout_s)
    try:
        _migrate(writer, path, tables)
    finally:
        writer.close(lock_timeout_s)


def _read_revision(connection: sqlite3.Connection, tables: Tables) -> tuple[str, str]:
    names = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?"
    try:
        if not connection.execute(names, (tables.revision_table,)).fetchone()[0]:
            return "", ""
        ask_revision, ask_compatible = revision_queries(tables)
        revision = connection.execute(ask_revision).fetchone()
        if revision is None and not connection.execute(names, (tables.facts.name,)).fetchone()[0]:
            return "", ""  # the set-up failed when it had made no more than a table to note its steps in
        compatible_from = connection.execute(ask_compatible).fetchone()
    except SQLITE_ERRORS as error:
        raise sqlite_fault(error) from error
    if revision is None or compatible_from is None:
        msg = "The catalog's table of revisions is empty: its set-up did not end."
        raise IntegrityFailure(msg, hint="Restore it from a backup.")
    return _revision((revision[0], compatible_from[0]))


@row_of("the revision", "ss")
def _revision(row: tuple[str, ...]) -> tuple[str, str]:
    revision, compatible_from = row
    return revision, compatible_from


def _migrate(writer: Writer, path: Path, tables: Tables) -> None:
    """Under the writer's lock: of two processes that open a new file, one makes the tables."""
    from sqlalchemy import create_engine
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.pool import StaticPool

    with writer.alone() as driver:
        _check_journal(driver)
        revision, compatible_from = _read_revision(driver, tables)
        standing = judged(revision, compatible_from)
        if standing == "newer":
            raise too_new(f"The catalog {path}", revision)
        if standing == "usable":
            return
        engine = create_engine("sqlite://", creator=lambda: driver, poolclass=StaticPool)
        try:
            with engine.begin() as connection:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                (make_tables if standing == "empty" else migrate)(connection, tables)
        except DBAPIError as error:
            cause = error.orig
            raise (sqlite_fault(cause) if isinstance(cause, sqlite3.Error) else error) from error


def _check_journal(connection: sqlite3.Connection) -> None:
    try:
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    except SQLITE_ERRORS as error:
        raise sqlite_fault(error) from error
    if mode != "wal":
        msg = f"The file system of the catalog cannot hold a write-ahead log ({mode})."
        raise Unavailable(msg, hint="Put the catalog on a local disk, or use PostgreSQL.")
