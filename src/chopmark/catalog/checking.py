"""Asking a database whether its own structures are whole."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from urllib.parse import quote

from chopmark.base import forks
from chopmark.catalog.faults import SQLITE_ERRORS, sqlite_fault

__all__ = ["sqlite_faults"]

_FAULTS_MAX = 5


def sqlite_faults(path: Path) -> list[str]:
    """What SQLite's quick check finds in a file; empty when it finds nothing. Reads only.

    Raises
    ------
    IntegrityFailure, Unavailable
        When the file cannot be read as a database.
    """
    try:
        uri = f"file:{quote(str(path.absolute()))}?mode=ro"
        connection = forks.opened(path, lambda: sqlite3.connect(uri, uri=True))
        try:
            rows = connection.execute(f"PRAGMA quick_check({_FAULTS_MAX})").fetchall()
        finally:
            forks.close(connection)
    except SQLITE_ERRORS as error:
        raise sqlite_fault(error, str(path)) from error
    return [str(row[0]) for row in rows if row[0] != "ok"]
