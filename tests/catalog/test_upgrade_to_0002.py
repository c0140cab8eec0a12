"""Rows of the first tables, brought to the second: found by words and data sets as if they were registered now."""

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from alembic import command
from alembic.config import Config

import chopmark as cm
from chopmark.catalog import migrations, open_catalog, upgrade_catalog
from chopmark.catalog.schema import Tables
from chopmark.domain.datasets import DatasetRef
from chopmark.domain.query import parse_query
from tests.catalog.test_migrations import connected

SCRIPTS = str(Path(migrations.__file__).parent)


def register(place: Path) -> None:
    """A registry with everything that the new tables are about."""
    with cm.open(place) as registry:
        march = DatasetRef(name="payments", digest="sha256:" + "a" * 64, split="train", row_count=3)
        april = DatasetRef(name="payments", uri="s3://data/april", version="4")
        first = registry.register(
            "card-fraud",
            {"a": 1},
            description="An Isolation Forest, ﬁne Größe",
            card="# Card\n\n" + " ".join(f"word{n}" for n in range(3_000)),
            tags={"team": "risk_eu", "empty": ""},
            dataset=march,
        )
        registry.register("card-fraud", {"a": 2}, dataset=april, parents=[first])
        registry.register("churn", {"b": 1})
        registry.versions.evaluate(first, {"f1": 0.5}, dataset="holdout")
        registry.versions.evaluate(first, {"f1": 0.6}, dataset=DatasetRef(name="payments", uri="s3://data/april"))
        registry.versions.delete("churn:1", reason="by mistake")


def make_old(url: str, tables: Tables, new: sqlalchemy.Connection) -> None:
    """Tables of the first revision, with the rows that a registry of then would have."""
    with connected(url) as old:
        config = Config()
        config.set_main_option("script_location", SCRIPTS)
        config.attributes.update(connection=old, tables=tables)
        command.upgrade(config, "0001")
    with connected(url) as old:
        there = sqlalchemy.MetaData()
        there.reflect(old, schema=tables.schema or None)
        for table in there.sorted_tables:
            name = table.name.removeprefix(tables.prefix)
            if name in ("schema_revision", "audit_head"):
                continue
            columns = [c.name for c in table.c]
            known = {row["name"] for row in old.execute(table.select()).mappings()} if name == "schema_facts" else set()
            rows = new.exec_driver_sql(f"SELECT {', '.join(columns)} FROM {name}").all()
            for row in (dict(zip(columns, row, strict=True)) for row in rows):
                if name != "schema_facts" or row["name"] not in {*known, "collection", "recorded_seq"}:
                    old.execute(table.insert(), row)


def leave_lost_edges(connection: sqlalchemy.Connection, place: str) -> list[tuple[Any, ...]]:
    """Add what the release before left of purged versions; the edges that were there."""
    edges = edges_in(connection, place)
    there = next(source for source, *_ in edges)
    lost = "version:" + "0" * 32
    for key, (source, relation, target) in enumerate(
        ((there, "ensemble_member_of", lost), (lost, "derived_from", there)), 100
    ):
        connection.exec_driver_sql(
            f"INSERT INTO {place}lineage_edges (key, source, relation, target, at_us) "
            f"VALUES ({key}, '{source}', '{relation}', '{target}', 0)"
        )
    return edges


def edges_in(connection: sqlalchemy.Connection, place: str) -> list[tuple[Any, ...]]:
    rows = connection.exec_driver_sql(f"SELECT source, relation, target FROM {place}lineage_edges")
    return sorted(map(tuple, rows))


def filled(connection: sqlalchemy.Connection, place: str) -> dict[str, list[tuple[Any, ...]]]:
    """Rows that the second revision adds, in order."""
    asked = {
        "words": f"SELECT word, created_us, version_key FROM {place}version_words",
        "datasets": f"SELECT node, name, body FROM {place}datasets",
        "sizes": f"SELECT version_key, digest, size_bytes FROM {place}version_files",
        "facts": f"SELECT name, value FROM {place}schema_facts WHERE name IN ('collection', 'recorded_seq')",
    }
    return {what: sorted(map(tuple, connection.exec_driver_sql(sql))) for what, sql in asked.items()}


@pytest.mark.parametrize(("backend", "schema", "prefix"), [("sqlite", "", "cm_"), ("postgres", "registry", "cm_")])
def test_old_rows_are_found_as_new_ones(
    backend: str, schema: str, prefix: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    old_url = request.getfixturevalue("postgres_url") if backend == "postgres" else f"sqlite:///{tmp_path}/old.db"
    register(tmp_path / "new")
    tables = Tables(prefix, schema)
    with connected(f"sqlite:///{tmp_path}/new/chopmark.db") as new:
        expected = filled(new, "")
        if backend == "postgres":
            with connected(old_url) as old:
                old.exec_driver_sql("CREATE SCHEMA registry")
        make_old(old_url, tables, new)
    place = f"{schema}.{prefix}" if schema else prefix
    with connected(old_url) as old:
        edges = leave_lost_edges(old, place)
    assert len(edges) == 5
    assert upgrade_catalog(old_url, schema=schema, table_prefix=prefix) == ("0001", migrations.HEAD)
    with connected(old_url) as old:
        found = filled(old, place)
        assert edges_in(old, place) == edges
    assert found["words"] == expected["words"]
    assert found["datasets"] == expected["datasets"]
    assert found["sizes"] == expected["sizes"]
    assert all(size_bytes > 0 for _, _, size_bytes in found["sizes"])
    assert found["facts"] == [("collection", "0"), ("recorded_seq", "0")]
    assert len(found["words"]) > 2_000
    assert {name for _, name, _ in found["datasets"]} == {"payments", "holdout"}
    catalog = open_catalog(old_url, schema=schema, table_prefix=prefix)
    with catalog.reading() as tx:
        page = tx.versions.search(parse_query('text ~ "grösse FINE eu word9"'), limit=9)
        checked = tx.rows.versions(limit=9)
        gone = tx.versions.search(parse_query('text ~ "churn"'), limit=9, deleted=True)
    catalog.close()
    assert [v.ref for v in page.versions] == ["card-fraud:1"]
    assert [v.ref for v in gone.versions] == ["churn:1"]
    assert [(c.ref, c.faults) for c in checked] == [("card-fraud:1", ()), ("card-fraud:2", ()), ("churn:1", ())]
