"""A catalog filled with the rows of a made-up registry: SQLite by inserts, PostgreSQL by COPY.

Rows come as they would in life, in the order of time, so that tables and indexes lie as in a registry that grew. In
PostgreSQL indexes and foreign keys are made afterwards, then `VACUUM ANALYZE` does what autovacuum would have done.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from benchmarks.made_registry import Rows, batches
from chopmark.catalog import upgrade_catalog
from chopmark.catalog.schema import Tables

__all__ = ["fill_postgres", "fill_sqlite"]

CACHE_KIB = 3_000_000
TABLES = {table.name: table for table in Tables().metadata.sorted_tables}


def fill_sqlite(path: Path, count: int) -> None:
    """Make the file with the catalog of so many versions."""
    upgrade_catalog(str(path))
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript(f"PRAGMA synchronous=OFF; PRAGMA cache_size=-{CACHE_KIB}; BEGIN")
    for batch in batches(count):
        for name, rows in batch.items():
            columns = _columns(name)
            marks = ", ".join("?" * len(columns))
            connection.executemany(f"INSERT INTO {name} ({', '.join(columns)}) VALUES ({marks})", _tuples(name, rows))
        _end_chain(connection.execute, batch, "?")
    connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def fill_postgres(url: str, count: int) -> None:
    """Make the tables in an empty database, with the catalog of so many versions."""
    upgrade_catalog(url)
    with psycopg.connect(url) as connection:
        connection.execute("SET maintenance_work_mem = '512MB'")
        with _without_indexes(connection), connection.cursor() as cursor:
            for batch in batches(count):
                for name, rows in batch.items():
                    columns = sql.SQL(", ").join(map(sql.Identifier, _columns(name)))
                    copied = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(name), columns)
                    with cursor.copy(copied) as copy:
                        for row in _tuples(name, rows):
                            copy.write_row(row)
                _end_chain(connection.execute, batch, "%s")
        for table in ("projects", "models", "versions", "manifests", "lineage_edges", "outbox"):
            key = "seq" if table == "outbox" else "key"
            connection.execute(
                sql.SQL("SELECT setval(pg_get_serial_sequence({}, {}), (SELECT max({}) FROM {}))").format(
                    table, key, sql.Identifier(key), sql.Identifier(table)
                )
            )
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM (ANALYZE)")


def _columns(table: str) -> list[str]:
    return [column.name for column in TABLES[table].c]


def _tuples(table: str, rows: list[dict[str, Any]]) -> Iterator[tuple[Any, ...]]:
    columns = _columns(table)
    return (tuple(row[name] for name in columns) for row in rows)


def _end_chain(execute: Any, batch: Rows, mark: str) -> None:
    """The end of the audit's chain, and that everything is recorded beside the blobs, so that no one begins to."""
    for event in batch.get("audit_events", [])[-1:]:
        execute(f"UPDATE audit_head SET seq = {mark}, hash = {mark}", (event["seq"], event["hash"]))
        execute(f"UPDATE schema_facts SET value = {mark} WHERE name = 'recorded_seq'", (str(event["seq"]),))


@contextmanager
def _without_indexes(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """The tables without indexes and constraints, which are made again afterwards."""
    constraints = connection.execute(
        "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE connamespace = current_schema()::regnamespace AND contype IN ('p', 'u', 'f') AND conrelid <> 0"
        " AND conrelid::regclass::text <> 'schema_revision' ORDER BY contype <> 'f'"
    ).fetchall()
    indexes = connection.execute(
        "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = current_schema() AND NOT EXISTS"
        " (SELECT 1 FROM pg_constraint WHERE conname = indexname)"
    ).fetchall()
    for table, name, _ in constraints:
        connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
    for name, _ in indexes:
        connection.execute(f"DROP INDEX {name}")
    yield
    for table, name, definition in reversed(constraints):
        connection.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}")
    for _, definition in indexes:
        connection.execute(definition)
