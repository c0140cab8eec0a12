"""PostgreSQL's schema and the prefix of tables are settings, so that registries can share a database."""

from pathlib import Path
from typing import Any

import psycopg
import pytest

import chopmark as cm
from chopmark.catalog import upgrade_catalog
from chopmark.errors import Unavailable


def test_two_registries_in_one_database(postgres_url: str, tmp_path: Path) -> None:
    places: list[dict[str, Any]] = [
        {"db_schema": "models", "db_table_prefix": "cm_"},
        {"db_schema": "", "db_table_prefix": "b_"},
    ]
    for number, place in enumerate(places):
        with pytest.raises(Unavailable, match="chopmark db upgrade"):
            cm.open(tmp_path / str(number), database_url=postgres_url, **place)
        upgrade_catalog(postgres_url, schema=place["db_schema"], table_prefix=place["db_table_prefix"])
        with cm.open(tmp_path / str(number), database_url=postgres_url, **place) as registry:
            registry.register("fraud", {"n": number})
            registry.alias("fraud@champion", "fraud:1")
            assert [v.number for v in registry.search('alias = "champion" order by number')] == [1]
            assert registry.audit.verify().fault == ""
    with psycopg.connect(postgres_url) as connection:
        found = connection.execute(
            "select schemaname || '.' || tablename from pg_tables where tablename in ('cm_versions', 'b_versions')"
        ).fetchall()
    assert {name for (name,) in found} == {"models.cm_versions", "public.b_versions"}


def test_a_setting_that_names_a_place_may_be_a_path(tmp_path: Path) -> None:
    with cm.open(tmp_path / "registry", cache_dir=tmp_path / "cache", store_url=tmp_path / "store") as registry:
        registry.register("fraud", {"a": 1})
    assert any((tmp_path / "store").rglob("*"))
