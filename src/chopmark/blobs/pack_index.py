"""Where each packed blob is: an SQLite file that can be made again from the packs at any time.

It is written after the packs are on the medium, and itself without waiting for the medium: a power cut may take its last
rows, never leave it broken, and whoever opens it next reads what the packs have beyond it.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from chopmark.base import forks
from chopmark.base.digest import PREFIX
from chopmark.blobs.filesystem import Identity

__all__ = ["DAMAGED", "UNUSABLE_NOW", "Indexed", "PackIndex", "Row"]

UNUSABLE_NOW = sqlite3.OperationalError
"""Raised when the file cannot be used at the moment: locked for long, disk full, not to be opened."""
DAMAGED = sqlite3.DatabaseError
"""Raised when the file is damaged, or of another release. `UNUSABLE_NOW` is a kind of it."""

_VERSION = 1
_BUSY_TIMEOUT_S = 60.0
_PAGE_ROWS = 1000
_ASKED_AT_ONCE = 500
_PACKS = "SELECT pack, read_bytes, dead_bytes, is_closed FROM packs"
_TABLES = f"""
CREATE TABLE IF NOT EXISTS packs (
    pack INTEGER PRIMARY KEY, read_bytes INTEGER NOT NULL, dead_bytes INTEGER NOT NULL DEFAULT 0,
    is_closed INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS blobs (
    digest BLOB PRIMARY KEY, pack INTEGER NOT NULL, offset INTEGER NOT NULL, size_bytes INTEGER NOT NULL,
    put_us INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS blobs_by_pack ON blobs (pack, offset);
CREATE TABLE IF NOT EXISTS verified (
    digest BLOB PRIMARY KEY, device INTEGER, inode INTEGER, size_bytes INTEGER, mtime_ns INTEGER, ctime_ns INTEGER
) WITHOUT ROWID;
PRAGMA user_version = {_VERSION};
"""


class Row(NamedTuple):
    """A packed blob: where its header is, how long its bytes are, and when it was put last."""

    digest: str
    pack: int
    offset: int
    size_bytes: int
    put_us: int


class Indexed(NamedTuple):
    """A pack as the index knows it.

    Attributes
    ----------
    pack
        Its number.
    read_bytes
        How far its records are known.
    dead_bytes
        What of that is taken by records that are not there any more.
    is_closed
        Whether nothing may be added to it.
    """

    pack: int
    read_bytes: int
    dead_bytes: int
    is_closed: bool


class PackIndex:
    """One connection for all threads of a process, closed while it forks.

    Parameters
    ----------
    path
        Of the SQLite file; None for an index that lives in memory, where the directory may not be written to.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._connect()

    @property
    def is_in_memory(self) -> bool:
        """Whether nobody else sees it, and it sees nobody's changes."""
        return self._path is None

    def check(self) -> None:
        """Raise `DAMAGED` when the file is."""
        with self._reading() as connection:
            (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise DAMAGED(found)

    # Looking up

    def find(self, digest: str) -> Row | None:
        """Where a blob is; None when it is in no pack."""
        with self._reading() as connection:
            found = connection.execute(
                "SELECT pack, offset, size_bytes, put_us FROM blobs WHERE digest = ?", (_key(digest),)
            ).fetchone()
        return None if found is None else Row(digest, *found)

    def find_all(self, digests: Iterable[str]) -> dict[str, Row]:
        """Where those of many blobs are that are in packs."""
        found: dict[str, Row] = {}
        keys = [_key(digest) for digest in digests]
        with self._reading() as connection:
            for start in range(0, len(keys), _ASKED_AT_ONCE):
                part = keys[start : start + _ASKED_AT_ONCE]
                marks = ", ".join("?" * len(part))
                for key, *rest in connection.execute(
                    f"SELECT digest, pack, offset, size_bytes, put_us FROM blobs WHERE digest IN ({marks})",  # noqa: S608
                    part,
                ):
                    digest = PREFIX + key.hex()
                    found[digest] = Row(digest, *rest)
        return found

    def rows(self, prefix: str = "") -> Iterator[Row]:
        """All blobs in order of their digests, whose hexadecimal digits start with ``prefix``."""
        low, high = bytes.fromhex(prefix.ljust(64, "0")), bytes.fromhex(prefix.ljust(64, "f"))
        after = None
        while True:
            with self._reading() as connection:
                page = connection.execute(
                    f"SELECT digest, pack, offset, size_bytes, put_us FROM blobs "  # noqa: S608 - one of two operators
                    f"WHERE digest {'>=' if after is None else '>'} ? AND digest <= ? ORDER BY digest LIMIT {_PAGE_ROWS}",
                    (low if after is None else after, high),
                ).fetchall()
            yield from (Row(PREFIX + digest.hex(), *rest) for digest, *rest in page)
            if len(page) < _PAGE_ROWS:
                return
            after = page[-1][0]

    def in_pack(self, pack: int) -> list[Row]:
        """The blobs of one pack, in the order they stand in it."""
        with self._reading() as connection:
            found = connection.execute(
                "SELECT digest, pack, offset, size_bytes, put_us FROM blobs WHERE pack = ? ORDER BY offset", (pack,)
            ).fetchall()
        return [Row(PREFIX + digest.hex(), *rest) for digest, *rest in found]

    def packs(self) -> list[Indexed]:
        """All packs in order."""
        with self._reading() as connection:
            found = connection.execute(f"{_PACKS} ORDER BY pack").fetchall()
        return [_indexed(row) for row in found]

    def pack(self, number: int) -> Indexed | None:
        """One pack."""
        with self._reading() as connection:
            found = connection.execute(f"{_PACKS} WHERE pack = ?", (number,)).fetchone()
        return None if found is None else _indexed(found)

    def last(self) -> Indexed | None:
        """The pack with the highest number."""
        with self._reading() as connection:
            found = connection.execute(f"{_PACKS} ORDER BY pack DESC LIMIT 1").fetchone()
        return None if found is None else _indexed(found)

    # Changing: by whoever holds the lock of the packs

    def add(self, pack: int, read_bytes: int, rows: Iterable[Row]) -> None:
        """Note blobs of a pack, or their new places, and how far it is known."""
        with self._writing() as connection:
            connection.execute(
                "INSERT INTO packs (pack, read_bytes) VALUES (?, ?) "
                "ON CONFLICT (pack) DO UPDATE SET read_bytes = excluded.read_bytes",
                (pack, read_bytes),
            )
            connection.executemany(
                "INSERT OR REPLACE INTO blobs VALUES (?, ?, ?, ?, ?)",
                sorted((_key(row.digest), row.pack, row.offset, row.size_bytes, row.put_us) for row in rows),
            )

    def touch(self, digests: Sequence[str], put_us: int) -> None:
        """Note that blobs were put again."""
        with self._writing() as connection:
            connection.executemany(
                "UPDATE blobs SET put_us = ? WHERE digest = ?", [(put_us, _key(digest)) for digest in digests]
            )

    def remove(self, row: Row, record_bytes: int) -> None:
        """Forget a blob, whose record takes so much of its pack."""
        with self._writing() as connection:
            connection.execute(
                "DELETE FROM blobs WHERE digest = ? AND pack = ? AND offset = ?",
                (_key(row.digest), row.pack, row.offset),
            )
            connection.execute("UPDATE packs SET dead_bytes = dead_bytes + ? WHERE pack = ?", (record_bytes, row.pack))

    def note_pack(self, found: Indexed) -> None:
        """Note what is known of a pack."""
        with self._writing() as connection:
            connection.execute("INSERT OR REPLACE INTO packs VALUES (?, ?, ?, ?)", found)

    def remove_pack(self, pack: int) -> None:
        """Forget a pack and whatever is still said to be in it."""
        with self._writing() as connection:
            connection.execute("DELETE FROM blobs WHERE pack = ?", (pack,))
            connection.execute("DELETE FROM packs WHERE pack = ?", (pack,))

    # Files that were verified

    def verified(self, digest: str) -> Identity | None:
        """The file that was last found to hold a blob."""
        with self._reading() as connection:
            found = connection.execute(
                "SELECT device, inode, size_bytes, mtime_ns, ctime_ns FROM verified WHERE digest = ?", (_key(digest),)
            ).fetchone()
        return None if found is None else Identity(*found)

    def note_verified(self, digest: str, identity: Identity) -> None:
        """Remember a file that was just found to hold a blob; what cannot be remembered is verified once more."""
        with suppress(sqlite3.OperationalError), self._writing() as connection:
            connection.execute("INSERT OR REPLACE INTO verified VALUES (?, ?, ?, ?, ?, ?)", (_key(digest), *identity))

    def forget_verified(self, digest: str) -> None:
        """Forget a file."""
        with self._writing() as connection:
            connection.execute("DELETE FROM verified WHERE digest = ?", (_key(digest),))

    # The connection

    def close(self) -> None:
        """Close the connection; it opens again when it is used again."""
        with self._lock:
            if self._connection is not None and self._path is not None:
                forks.close(self._connection)
                self._connection = None

    def suspend(self) -> None:
        """Close the connection, and let nobody use it before `resume`; by the same thread."""
        self._lock.acquire()
        self.close()

    def resume(self) -> None:
        """Go on after `suspend`."""
        with suppress(RuntimeError):  # when that was interrupted
            self._lock.release()

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            yield self._connection or self._connect()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            connection = self._connection or self._connect()
            try:  # also around the first: an interruption may come when it has succeeded
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def _connect(self) -> sqlite3.Connection:
        path = self._path
        if path is None:
            connection = _open(":memory:")
        else:
            # SQLite would leave out the group's right to write, whatever the umask says.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666))
            connection = forks.opened(path, lambda: _open(str(path)))
        self._connection = connection
        if path is not None:
            weakref.finalize(self, forks.close, connection)
        return connection


def _open(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    try:
        # NORMAL: never broken by a power cut, and no wait for the medium at a commit.
        connection.execute("PRAGMA synchronous = NORMAL")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version not in {0, _VERSION}:
            raise sqlite3.DatabaseError(f"it is of layout {version}")  # noqa: TRY301 closed like any other that is unusable
        if version != _VERSION:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript("BEGIN IMMEDIATE;" + _TABLES + "COMMIT;")
    except BaseException:
        connection.close()
        raise
    return connection


def _indexed(row: tuple[int, int, int, int]) -> Indexed:
    pack, read_bytes, dead_bytes, is_closed = row
    return Indexed(pack, read_bytes, dead_bytes, bool(is_closed))


def _key(digest: str) -> bytes:
    return bytes.fromhex(digest.removeprefix(PREFIX))
