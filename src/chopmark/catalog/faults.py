"""What a database's errors mean, as our own."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from chopmark.abc.catalog import Taken
from chopmark.errors import (
    ChopmarkError,
    Conflict,
    Denied,
    IntegrityFailure,
    InvalidRequest,
    NotFound,
    TimedOut,
    Unavailable,
)

__all__ = ["SQLITE_ERRORS", "missing", "never_changes", "sqlite_fault", "taken"]

SQLITE_ERRORS = (sqlite3.Error, UnicodeDecodeError)
"""The second when SQLite tells of a damaged schema, in bytes of it."""


def taken() -> Taken:
    """A unique value is there already."""
    msg = "Something with this id or name is stored already."
    return Taken(msg, hint="Read the present state, then decide again.")


def missing() -> NotFound:
    """A row refers to one that is not there."""
    msg = "What this belongs to (a project, model or version) is not there."
    return NotFound(msg, hint="It may have been purged meanwhile.")


def never_changes(what: str) -> Conflict:
    """A trigger refused to change history."""
    return Conflict(f"The database refused the change: {what}.")


def _full(error: str) -> ChopmarkError:
    msg = f"The catalog could not be written: {error}."
    return Unavailable(msg, hint="Make room on the disk, then try again.")


def _broken(error: str) -> ChopmarkError:
    msg = f"The catalog's file is damaged, or is not a SQLite database: {error}."
    hint = "Check the path; restore the file from a backup if it is the right one."
    return IntegrityFailure(msg, hint=hint)


def _closed_to_us(error: str) -> ChopmarkError:
    msg = f"The catalog's file cannot be opened: {error}."
    hint = "Check that this user may write to the file and its directory."
    return Denied(msg, hint=hint)


def _in_use(error: str) -> ChopmarkError:
    msg = f"The catalog's file is in use by another program: {error}."
    return TimedOut(msg, hint="Close it there (a database browser, a backup), then try again.")


def _no_lock(error: str) -> ChopmarkError:
    msg = f"The catalog's file could not be locked: {error}."
    hint = "Look at the system log for errors of that disk or mount; locks of a network file system are often at fault."
    return Unavailable(msg, hint=hint)


def _does_not_fit(error: str) -> ChopmarkError:
    return InvalidRequest(f"The database cannot hold or do this: {error}.")


_SIGNS_OF_DAMAGE = ("no such table", "no such column", "already exists", "Could not decode to UTF-8")
"""In messages without a code of their own. The revision says which tables there are."""

_SQLITE: dict[int, Callable[[str], ChopmarkError]] = {
    sqlite3.SQLITE_FULL: _full,
    sqlite3.SQLITE_IOERR: _full,
    sqlite3.SQLITE_CORRUPT: _broken,
    sqlite3.SQLITE_NOTADB: _broken,
    sqlite3.SQLITE_INTERNAL: _broken,
    sqlite3.SQLITE_MISMATCH: _broken,
    sqlite3.SQLITE_CANTOPEN: _closed_to_us,
    sqlite3.SQLITE_PERM: _closed_to_us,
    sqlite3.SQLITE_AUTH: _closed_to_us,
    sqlite3.SQLITE_READONLY: _closed_to_us,
    sqlite3.SQLITE_BUSY: _in_use,
    sqlite3.SQLITE_LOCKED: _in_use,
    sqlite3.SQLITE_PROTOCOL: _no_lock,
    sqlite3.SQLITE_TOOBIG: _does_not_fit,
}
_SQLITE_CONSTRAINTS: dict[int, Callable[[str], ChopmarkError]] = {
    sqlite3.SQLITE_CONSTRAINT_UNIQUE: lambda _: taken(),
    sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY: lambda _: taken(),
    sqlite3.SQLITE_CONSTRAINT_ROWID: lambda _: taken(),
    sqlite3.SQLITE_CONSTRAINT_NOTNULL: lambda _: missing(),
    sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY: lambda _: missing(),
    sqlite3.SQLITE_CONSTRAINT_TRIGGER: never_changes,
}


def sqlite_fault(error: Exception, path: str = "") -> Exception:
    """Our error for one of SQLite's; the same error when it tells of a fault in our code."""
    if isinstance(error, UnicodeDecodeError):
        return _broken("it holds texts that are none")
    code = getattr(error, "sqlite_errorcode", None)
    if code in (None, sqlite3.SQLITE_ERROR) and any(sign in str(error) for sign in _SIGNS_OF_DAMAGE):
        return _broken(str(error))
    if code is None:
        return error
    make = _SQLITE_CONSTRAINTS.get(code) or _SQLITE.get(code & 0xFF)
    if make is None:
        return error
    return make(f"{error} ({path})" if path else str(error))
