"""A claim takes the first jobs of the index of times, however many wait, and whatever kinds there are."""

import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from chopmark.base.ids import uuid7
from chopmark.catalog import open_catalog
from chopmark.domain.jobs import Job

NOON = datetime(2026, 3, 3, 12, tzinfo=UTC)
CLAIM = {"now": 2**62, "lease": 2**62, "taker": "w", "limit": 4, "kinds": ",expiry,backup,"}


def queued(catalog: Any, count: int) -> None:
    with catalog.writing() as tx:
        for _ in range(count):
            tx.jobs.add(Job(id=uuid7(NOON), kind="expiry", run_after=NOON, created_at=NOON))


def asked(catalog: Any, what: str) -> Any:
    statements = catalog.statements.jobs
    return statements.claim if what == "claim" else statements.next_at


@pytest.mark.parametrize("what", ["claim", "next"])
def test_sqlite_takes_jobs_by_their_time(what: str, tmp_path: Path) -> None:
    catalog: Any = open_catalog(str(tmp_path / "catalog.db"))
    queued(catalog, 10)
    prepared = asked(catalog, what)
    with sqlite3.connect(catalog.path) as connection:
        values = {**prepared.defaults, **CLAIM}
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {prepared.sql}", values)]
    connection.close()
    catalog.close()
    assert any("USING" in step and "jobs_due" in step for step in plan), plan
    assert not any("jobs_kind" in step or "USE TEMP B-TREE FOR ORDER BY" in step for step in plan), plan


@pytest.mark.parametrize("what", ["claim", "next"])
def test_postgres_takes_jobs_by_their_time(what: str, postgres_catalog_url: str) -> None:
    """Also before anything is known of how they are spread, and when most of them wait."""
    catalog: Any = open_catalog(postgres_catalog_url)
    queued(catalog, 3_000)
    prepared = asked(catalog, what)
    catalog.close()
    with psycopg.connect(postgres_catalog_url) as connection:
        values = {**prepared.defaults, **CLAIM}
        plan = "\n".join(row[0] for row in connection.execute(f"EXPLAIN {prepared.sql}", values))
        connection.execute("ANALYZE")
        plan += "\n".join(row[0] for row in connection.execute(f"EXPLAIN {prepared.sql}", values))
    assert plan.count("jobs_due") == 2, plan
    assert "jobs_kind" not in plan, plan
    assert "Sort" not in plan, plan
