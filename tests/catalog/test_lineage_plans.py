"""What is reached over edges is found by indexes, in both databases."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from chopmark.catalog import open_catalog, upgrade_catalog
from chopmark.catalog.sqlite import SqliteCatalog
from chopmark.domain.lineage import Edge
from chopmark.testing.catalog_records import Records

EDGES = 3_000


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[SqliteCatalog]:
    catalog = open_catalog(str(tmp_path / "catalog.db"))
    assert isinstance(catalog, SqliteCatalog)
    yield catalog
    catalog.close()


def chain() -> list[Edge]:
    at = Records().now()
    return [Edge(source=f"c{n + 1}", relation="retrained_from", target=f"c{n}", at=at) for n in range(EDGES)]


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("upstream", [False, True])
def test_sqlite_searches_edges_by_either_end(catalog: SqliteCatalog, upstream: bool, deep: bool) -> None:
    prepared = catalog.statements.lineage.reach(upstream=upstream, deep=deep)
    values = {**prepared.defaults, "node": "a", "nodes": 9, "limit": 9, "depth": 3}
    with sqlite3.connect(catalog.path) as connection:
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {prepared.sql}", values)]
    connection.close()
    about_edges = [step for step in plan if "lineage_edges" in step]
    assert len(about_edges) == 4, plan
    assert all(
        "SEARCH" in step and ("(source=? AND relation=?" in step or "(target=? AND relation=?" in step)
        for step in about_edges
    ), plan


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("upstream", [False, True])
def test_postgres_searches_edges_by_either_end(postgres_url: str, upstream: bool, deep: bool) -> None:
    upgrade_catalog(postgres_url)
    catalog = open_catalog(postgres_url)
    try:
        with catalog.writing() as tx:
            tx.lineage.insert(chain())
        prepared = catalog.statements.lineage.reach(upstream=upstream, deep=deep)
    finally:
        catalog.close()
    values = {**prepared.defaults, "node": "c9", "nodes": 9, "limit": 9, "depth": 3}
    with psycopg.connect(postgres_url) as connection:
        plan = [row[0] for row in connection.execute(f"EXPLAIN {prepared.sql}", values)]
    text = "\n".join(plan)
    assert "Seq Scan on lineage_edges" not in text, text
    assert text.count("lineage_edges_once") + text.count("lineage_edges_target") >= 4, text
