"""The contract suite over every catalog, and over SQLite and PostgreSQL with a prefix and a schema."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from chopmark.abc.catalog import Catalog
from chopmark.catalog import open_catalog, upgrade_catalog
from chopmark.testing.catalog_suite import CatalogSuite
from chopmark.testing.memory_catalog import MemoryCatalog


class TestMemory(CatalogSuite):
    @pytest.fixture
    def catalog(self) -> Catalog:
        return MemoryCatalog()


class TestSqlite(CatalogSuite):
    @pytest.fixture
    def catalog(self, tmp_path: Path) -> Iterator[Catalog]:
        catalog = open_catalog(f"sqlite:///{tmp_path}/catalog.db")
        yield catalog
        catalog.close()


class TestPostgres(CatalogSuite):
    @pytest.fixture
    def catalog(self, postgres_url: str) -> Iterator[Catalog]:
        upgrade_catalog(postgres_url, schema="registry", table_prefix="cm_")
        catalog = open_catalog(postgres_url, schema="registry", table_prefix="cm_")
        yield catalog
        catalog.close()
