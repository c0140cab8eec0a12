"""Connections to a SQLite file, and what it takes to read one that nobody may write.

A reader of a write-ahead log keeps a file beside the database. Where the directory is not to be written (somebody else's
registry, a read-only mount, a snapshot) SQLite can read a database as ``immutable``: without locks and without the log. That
is right as long as nobody writes, so it is done only when there is no log with anything in it, each block has a connection
of its own, and a block during which the file changed ends in an error.

A process that was killed in the middle of the change to a write-ahead log, when the database was made, leaves a rollback
journal, which the next writer plays back; a reader cannot.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from chopmark.base import forks
from chopmark.catalog.faults import SQLITE_ERRORS, sqlite_fault
from chopmark.catalog.locks import WriterLock
from chopmark.catalog.sight import NODE_UID, node_uid
from chopmark.errors import ChopmarkError, Denied, Unavailable

__all__ = ["Immutable", "closing", "connect_reader", "connect_writer"]

BUSY_TIMEOUT_MS = 5_000
READER_CACHE_KIB = 16_384
WRITER_CACHE_KIB = 32_768
JOURNAL_KEPT_BYTES = 64 * 1024 * 1024
# A registration writes some 35 pages, most of them again and again: the more of them are in the log when it is carried over
# into the file, the fewer are written twice. 16 MiB of log are read back in some 20 ms after a crash.
CHECKPOINT_PAGES = 4_000
RECOVERY_WAIT_S = 30.0
# The extended codes are about a journal to be played back, and a log that cannot be begun.
_CANNOT_WRITE = frozenset({sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY})

_Seen = tuple[int, int, int]


class Immutable(sqlite3.Connection):
    """A reader without locks, of a file that must not change meanwhile."""

    file: Path
    seen: _Seen

    def check_unchanged(self) -> None:
        """Raise when somebody wrote since the connection was opened: what was read may be of two states."""
        if _seen(self.file) != self.seen or _has_content(_beside(self.file, "-wal")):
            msg = f"The catalog {self.file} was changed while it was read, and this user may not write beside it."
            raise Unavailable(msg, hint="Try again.")


def connect_reader(path: Path) -> sqlite3.Connection:
    """A connection that can only read, tried out.

    Raises
    ------
    Denied
        When nothing may be written beside the file, and it cannot be read without that.
    """
    try:
        return _tried(path, "mode=ro", sqlite3.Connection)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF not in _CANNOT_WRITE or not path.exists():
            raise sqlite_fault(error, str(path)) from error
        cause = error
    except SQLITE_ERRORS as error:
        raise sqlite_fault(error, str(path)) from error
    if os.access(path, os.W_OK) and os.access(path.parent, os.W_OK):
        return _recovered(path)
    return _immutable(path, cause)


def connect_writer(path: Path) -> sqlite3.Connection:
    """The connection that writes; the file is made when it is not there."""
    try:
        connection = _opened(path, "mode=rwc", sqlite3.Connection)
        return _set(
            connection,
            "synchronous = FULL",
            "foreign_keys = ON",
            f"cache_size = -{WRITER_CACHE_KIB}",
            f"journal_size_limit = {JOURNAL_KEPT_BYTES}",
            f"wal_autocheckpoint = {CHECKPOINT_PAGES}",
        )
    except SQLITE_ERRORS as error:
        raise sqlite_fault(error, str(path)) from error


@contextmanager
def closing(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Close the connection at the end of the block."""
    try:
        yield connection
    finally:
        with suppress(sqlite3.Error):
            forks.close(connection)


def _recovered(path: Path) -> sqlite3.Connection:
    """A reader, after a writer has played back what a killed process left."""
    lock = WriterLock(path)
    try:
        lock.acquire(RECOVERY_WAIT_S)
        with closing(connect_writer(path)) as writer:
            writer.execute("SELECT count(*) FROM sqlite_master").fetchone()
        return _tried(path, "mode=ro", sqlite3.Connection)
    except SQLITE_ERRORS as error:
        raise sqlite_fault(error, str(path)) from error
    finally:
        lock.close()


def _immutable(path: Path, cause: sqlite3.Error) -> sqlite3.Connection:
    for suffix in ("-wal", "-journal"):
        if _has_content(_beside(path, suffix)):
            msg = (
                f"The last writes to the catalog {path} are in {path.name}{suffix}, which cannot be read here: {cause}."
            )
            hint = "Open it once as a user who may write to its directory, then read it as this one."
            raise Denied(msg, hint=hint) from cause
    seen = _seen(path)
    try:
        connection = _tried(path, "mode=ro&immutable=1", Immutable)
    except SQLITE_ERRORS as error:
        raise sqlite_fault(error, str(path)) from error
    assert isinstance(connection, Immutable)  # noqa: S101 - the class was asked for
    connection.file, connection.seen = path, seen
    return connection


def _tried(path: Path, how: str, kind: type[sqlite3.Connection]) -> sqlite3.Connection:
    connection = _set(_opened(path, how, kind), "query_only = ON", f"cache_size = -{READER_CACHE_KIB}")
    try:
        connection.execute("PRAGMA schema_version").fetchone()
    except BaseException:
        forks.close(connection)
        raise
    return connection


def _opened(path: Path, how: str, kind: type[sqlite3.Connection]) -> sqlite3.Connection:
    uri = f"file:{quote(str(path.absolute()))}?{how}"

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(
            uri,
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
            timeout=BUSY_TIMEOUT_MS / 1000,
            factory=kind,
        )
        connection.create_function(NODE_UID, 1, node_uid, deterministic=True)
        return connection

    try:
        return forks.opened(path, connect)
    except ChopmarkError:
        raise
    except OSError as error:
        msg = f"The catalog {path} cannot be opened: {error.strerror}."
        raise Unavailable(msg, hint="Look at the system log for errors of that disk or mount, then repeat.") from error


def _set(connection: sqlite3.Connection, *pragmas: str) -> sqlite3.Connection:
    try:
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")
    except BaseException:
        forks.close(connection)
        raise
    return connection


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _has_content(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:
        return False


def _seen(path: Path) -> _Seen:
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns
