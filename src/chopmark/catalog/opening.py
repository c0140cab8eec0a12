"""Opening a catalog by its URL."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from chopmark.abc.catalog import Catalog
from chopmark.abc.hints import Hints
from chopmark.base.hints import ProcessHints
from chopmark.errors import InvalidRequest

if TYPE_CHECKING:
    from chopmark.catalog.schema import Tables

__all__ = ["open_catalog", "open_hints", "schema_revision", "upgrade_catalog"]

SQLITE = "sqlite:///"
POSTGRES = ("postgresql://", "postgres://", "postgresql+psycopg://")


def open_catalog(
    url: str,
    *,
    schema: str = "",
    table_prefix: str = "",
    lock_timeout_s: float = 30.0,
    pool_size: int = 16,
    pool_timeout_s: float = 30.0,
    connect_timeout_s: float = 10.0,
    statement_timeout_s: float = 60.0,
) -> Catalog:
    """Open the catalog at a URL.

    A SQLite file is made, or brought up to date, when needed; its directory must exist. Tables in
    PostgreSQL are only made and changed by `upgrade_catalog`.

    Parameters
    ----------
    url
        ``sqlite:///path``, a plain path, or ``postgresql://user@host/database``.
    schema
        PostgreSQL schema of the tables; empty for the connection's own.
    table_prefix
        Put before the name of every table.
    lock_timeout_s
        How long a writer waits for others before `TimedOut`.
    pool_size
        Connections at one time (SQLite: for readers).
    pool_timeout_s, connect_timeout_s, statement_timeout_s
        Limits of waiting for a free connection, for PostgreSQL to answer a new one, and for one
        statement there.

    Raises
    ------
    Unavailable
        When the database does not answer, or its tables are not the ones this code needs.
    Denied
        When the file or its directory may not be written.
    IntegrityFailure
        When the file is not a SQLite database.
    Unsupported
        When the extra for the database is not installed.
    """
    tables = _tables(url, table_prefix, schema)
    if url.startswith(POSTGRES):
        from chopmark.catalog.postgres import PostgresCatalog

        return PostgresCatalog(
            url,
            tables,
            lock_timeout_s=lock_timeout_s,
            pool_size=pool_size,
            pool_timeout_s=pool_timeout_s,
            connect_timeout_s=connect_timeout_s,
            statement_timeout_s=statement_timeout_s,
        )
    from chopmark.catalog.sqlite import SqliteCatalog

    path = _sqlite_path(url, schema)
    return SqliteCatalog(path, tables, lock_timeout_s=lock_timeout_s, pool_size=pool_size)


def open_hints(url: str, *, schema: str = "", table_prefix: str = "", connect_timeout_s: float = 10.0) -> Hints:
    """What wakes who waits for another routing of the catalog at a URL: PostgreSQL's notices, else this process alone."""
    if not url.startswith(POSTGRES):
        return ProcessHints()
    from chopmark.catalog.postgres_hints import PostgresHints

    return PostgresHints(url, _tables(url, table_prefix, schema), connect_timeout_s)


def upgrade_catalog(
    url: str,
    *,
    schema: str = "",
    table_prefix: str = "",
    lock_timeout_s: float = 30.0,
    connect_timeout_s: float = 10.0,
) -> tuple[str, str]:
    """Make the tables, or bring them up to date.

    Returns
    -------
    tuple
        Revision before (empty: there were no tables) and after.
    """
    tables = _tables(url, table_prefix, schema)
    before = schema_revision(url, schema=schema, table_prefix=table_prefix)
    if url.startswith(POSTGRES):
        from chopmark.catalog.postgres import upgrade_postgres

        upgrade_postgres(url, tables, connect_timeout_s, lock_timeout_s)
    else:
        from chopmark.catalog.sqlite import upgrade_sqlite

        upgrade_sqlite(_sqlite_path(url, schema), tables, lock_timeout_s)
    return before, schema_revision(url, schema=schema, table_prefix=table_prefix)


def schema_revision(
    url: str,
    *,
    schema: str = "",
    table_prefix: str = "",
    connect_timeout_s: float = 10.0,
) -> str:
    """Revision of the tables at a URL; empty when there are none."""
    tables = _tables(url, table_prefix, schema)
    if url.startswith(POSTGRES):
        from chopmark.catalog.postgres import postgres_revision

        return postgres_revision(url, tables, connect_timeout_s)[0]
    from chopmark.catalog.sqlite import sqlite_revision

    return sqlite_revision(_sqlite_path(url, schema), tables)[0]


def _tables(url: str, prefix: str, schema: str) -> Tables:
    return _tables_for("postgresql" if url.startswith(POSTGRES) else "sqlite", prefix, schema)


@lru_cache(maxsize=8)
def _tables_for(dialect: str, prefix: str, schema: str) -> Tables:
    """Tables, and with them the statements about them: catalogs of one kind in one process share both."""
    from chopmark.catalog.schema import Tables  # brings SQLAlchemy, of which a client of a server need know nothing

    return Tables(prefix, schema, frozenset((dialect,)))


def _sqlite_path(url: str, schema: str) -> Path:
    if schema:
        msg = "SQLite has no schemas; the setting is for PostgreSQL."
        raise InvalidRequest(msg, hint="Use a table prefix instead.")
    if url.startswith(SQLITE):
        text = unquote(url.removeprefix(SQLITE))
    elif "://" in url:
        msg = f"{url.partition('://')[0]}:// is not a database that can hold a catalog."
        hint = "Use sqlite:///path or postgresql://user@host/database."
        raise InvalidRequest(msg, hint=hint)
    else:
        text = url
    if not text or text == ":memory:":
        msg = "A catalog in SQLite needs a file: several connections share it."
        raise InvalidRequest(msg, hint="For tests use chopmark.testing.MemoryCatalog.")
    return Path(text)
