"""Migrations end where the tables of the code are, and refuse what they should not touch."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from chopmark.catalog import open_catalog, schema_revision, upgrade_catalog
from chopmark.catalog.migrations import HEAD
from chopmark.catalog.schema import Tables
from chopmark.catalog.upgrades import judged, migrate
from chopmark.errors import IntegrityFailure, InvalidRequest, Unavailable
from chopmark.testing.catalog_records import Records

PREFIXES = ["", "cm_"]


def routings(url: str, tables: Tables) -> list[tuple[Any, ...]]:
    """The row of the routing, which differs from database to database."""
    at = f"{tables.schema}." if tables.schema else ""
    with connected(url) as connection:
        return [tuple(row) for row in connection.exec_driver_sql(f"SELECT * FROM {at}{tables.routing.name}")]


def check_routings(*found: list[tuple[Any, ...]]) -> None:
    """Each database has one row, an epoch that begins now, and a secret of its own."""
    for rows in found:
        ((key, epoch, generation, secret),) = rows
        assert (key, generation, UUID(epoch).version, len(bytes.fromhex(secret))) == (1, 0, 7, 32)
    assert len({row[3] for rows in found for row in rows}) == len(found)


@contextmanager
def connected(url: str) -> Iterator[sqlalchemy.Connection]:
    engine = sqlalchemy.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def differences(url: str, tables: Tables) -> list[Any]:
    """What alembic would change to come from the database to the code's tables."""
    with connected(url) as connection:
        options = {
            "version_table": tables.revision_table,
            "version_table_schema": tables.schema or None,
            "include_schemas": bool(tables.schema),
            "compare_type": True,
            "compare_server_default": True,
        }
        context = MigrationContext.configure(connection, opts=options)
        return list(compare_metadata(context, tables.metadata))


def described(url: str, tables: Tables) -> dict[str, Any]:
    """What the comparison does not look at: primary keys, foreign keys, and the words of indexes."""
    with connected(url) as connection:
        inspector = sqlalchemy.inspect(connection)
        schema = tables.schema or None
        return {
            name.removeprefix(tables.prefix): (
                inspector.get_pk_constraint(name, schema)["constrained_columns"],
                sorted(
                    str(k["constrained_columns"]) + str(k["options"]) for k in inspector.get_foreign_keys(name, schema)
                ),
                sorted(
                    str(i["name"]).removeprefix(tables.prefix) + str(i["column_names"])
                    for i in inspector.get_indexes(name, schema)
                ),
            )
            for name in inspector.get_table_names(schema)
            if name != tables.revision_table
        }


def first_rows(url: str, tables: Tables) -> list[list[tuple[Any, ...]]]:
    """What is in the tables before anything happens."""
    at = f"{tables.schema}." if tables.schema else ""
    names = (tables.revision_table, tables.facts.name, tables.audit_head.name)
    with connected(url) as connection:
        return [sorted(tuple(row) for row in connection.exec_driver_sql(f"SELECT * FROM {at}{name}")) for name in names]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_migrated_sqlite_has_the_tables_of_the_code(tmp_path: Path, prefix: str) -> None:
    migrated, made = (f"sqlite:///{tmp_path}/{name}.db" for name in ("migrated", "made"))
    tables = Tables(prefix)
    assert upgrade_catalog(made, table_prefix=prefix) == ("", HEAD)
    with connected(migrated) as connection:
        migrate(connection, tables)
    assert first_rows(migrated, tables) == first_rows(made, tables)
    check_routings(routings(migrated, tables), routings(made, tables))
    with connected(migrated) as one, connected(made) as other:
        triggers = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' ORDER BY name"
        assert one.exec_driver_sql(triggers).all() == other.exec_driver_sql(triggers).all() != []
    assert differences(migrated, tables) == []
    assert described(migrated, tables) == described(made, tables)
    with connected(migrated) as one, connected(made) as other:
        words = "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND sql LIKE '%WITHOUT ROWID%' ORDER BY name"
        clustered = [row.name for row in one.exec_driver_sql(words)]
        assert clustered == [row.name for row in other.exec_driver_sql(words)]
        assert len(clustered) >= 9


@pytest.mark.parametrize(("schema", "prefix"), [("", ""), ("registry", "cm_")])
def test_migrated_postgres_has_the_tables_of_the_code(postgres_url: str, schema: str, prefix: str) -> None:
    tables, made = Tables(prefix, schema), Tables(prefix, "made")
    with connected(postgres_url) as connection:
        if schema:
            connection.exec_driver_sql(f"CREATE SCHEMA {schema}")
        migrate(connection, tables)
    assert differences(postgres_url, tables) == []
    assert upgrade_catalog(postgres_url, schema="made", table_prefix=prefix) == ("", HEAD)
    assert first_rows(postgres_url, tables) == first_rows(postgres_url, made)
    check_routings(routings(postgres_url, tables), routings(postgres_url, made))
    with connected(postgres_url) as connection:
        triggers = "SELECT event_manipulation FROM information_schema.triggers WHERE trigger_schema = '{}' ORDER BY 1"
        places = (schema or "public", "made")
        one, other = (connection.exec_driver_sql(triggers.format(place)).all() for place in places)
        assert one == other != []
        collations = {
            place: {
                (row.table_name, row.column_name): row.collation_name
                for row in connection.exec_driver_sql(
                    f"SELECT * FROM information_schema.columns WHERE table_schema = '{place}'"
                )
                if row.table_name != tables.revision_table
            }
            for place in (schema or "public", "made")
        }
    assert collations[schema or "public"] == collations["made"]
    assert described(postgres_url, tables) == described(postgres_url, made)


@pytest.mark.parametrize("backend", ["sqlite", "postgres"])
def test_upgrading_twice_changes_nothing(backend: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue("postgres_url") if backend == "postgres" else f"{tmp_path}/c.db"
    assert schema_revision(url) == ""
    assert upgrade_catalog(url) == ("", HEAD)
    assert upgrade_catalog(url) == (HEAD, HEAD)
    assert schema_revision(url) == HEAD


@pytest.mark.parametrize("backend", ["sqlite", "postgres"])
def test_upgrades_at_once_do_not_collide(backend: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue("postgres_url") if backend == "postgres" else f"{tmp_path}/c.db"
    upgrade = f"import sys; from chopmark.catalog import upgrade_catalog as u; sys.exit(u({url!r})[1] != {HEAD!r})"

    def run(_: int) -> int:
        return subprocess.run([sys.executable, "-c", upgrade], check=False).returncode

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(run, range(3))) == [0, 0, 0]
    catalog = open_catalog(url)
    catalog.close()


def test_postgres_is_not_changed_by_opening_it(postgres_url: str) -> None:
    with pytest.raises(Unavailable, match="no tables yet") as caught:
        open_catalog(postgres_url)
    assert "chopmark db upgrade" in caught.value.hint
    assert schema_revision(postgres_url) == ""


@pytest.mark.parametrize("backend", ["sqlite", "postgres"])
def test_tables_of_a_newer_release(backend: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue("postgres_url") if backend == "postgres" else f"sqlite:///{tmp_path}/c.db"
    upgrade_catalog(url)
    with connected(url) as connection:  # a release that only added
        connection.exec_driver_sql("UPDATE schema_revision SET version_num = '0999'")
    open_catalog(url).close()
    with connected(url) as connection:  # one that took something away
        connection.exec_driver_sql("UPDATE schema_facts SET value = '0998' WHERE name = 'compatible_from'")
    with pytest.raises(Unavailable, match="newer Chopmark") as caught:
        open_catalog(url)
    assert "Upgrade this installation" in caught.value.hint
    with pytest.raises(Unavailable, match="newer Chopmark"):
        upgrade_catalog(url)


def test_what_a_revision_means() -> None:
    assert judged("", "") == "empty"
    assert judged(HEAD, HEAD) == "usable"
    assert judged("0000", "0000") == "older"
    assert judged("9999", HEAD) == "usable"
    assert judged("9999", "9999") == "newer"


@pytest.mark.parametrize("prefix", ["Bad", "a b", "x;", "1a", "a" * 31, "é"])
def test_a_prefix_that_needs_quoting_is_refused(prefix: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest):
        open_catalog(f"{tmp_path}/c.db", table_prefix=prefix)
    with pytest.raises(InvalidRequest):
        open_catalog("postgresql://localhost/x", schema=prefix)


@pytest.mark.parametrize("backend", ["sqlite", "postgres"])
@pytest.mark.parametrize("change", ["UPDATE cm_audit_events SET actor = 'eve'", "DELETE FROM cm_audit_events"])
def test_the_database_refuses_to_change_the_audit(
    backend: str, change: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue("postgres_url") if backend == "postgres" else f"sqlite:///{tmp_path}/c.db"
    upgrade_catalog(url, table_prefix="cm_")
    catalog = open_catalog(url, table_prefix="cm_")
    with catalog.writing() as tx:
        event = tx.audit.append(Records().event())
    with (
        pytest.raises(sqlalchemy.exc.DBAPIError, match="events of the audit never change"),
        connected(url) as connection,
    ):
        connection.exec_driver_sql(change)
    with catalog.reading() as tx:
        assert tx.audit.list(limit=9) == [event]
    catalog.close()


def test_an_interrupted_set_up_is_an_integrity_failure(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/c.db"
    upgrade_catalog(url)
    with connected(url) as connection:
        connection.exec_driver_sql("DELETE FROM schema_revision")
    with pytest.raises(IntegrityFailure):
        open_catalog(url)


def test_the_end_of_the_chain_is_needed(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/c.db"
    catalog = open_catalog(url)
    with connected(url) as connection:
        connection.exec_driver_sql("DELETE FROM audit_head")
    with pytest.raises(IntegrityFailure), catalog.writing() as tx:
        tx.audit.append(Records().event())
    catalog.close()
