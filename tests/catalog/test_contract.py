"""The contract suite over every catalog, and over SQLite and PostgreSQL with a prefix and a schema."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from chopmark.abc.catalog import Catalog
from chopmark.catalog import open_catalog, plans
from chopmark.testing.catalog_search import SearchLaws
from chopmark.testing.catalog_suite import CatalogFixtures, CatalogSuite
from chopmark.testing.memory_catalog import MemoryCatalog
from tests.backends.postgres import PostgresServer


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


class TestSqliteWithoutFew(CatalogFixtures, SearchLaws):
    """Searches as they are among a million versions, where a condition is met by too many to sort."""

    @pytest.fixture
    def catalog(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Catalog]:
        monkeypatch.setattr(plans, "FEW", 0)
        catalog = open_catalog(f"sqlite:///{tmp_path}/catalog.db")
        yield catalog
        catalog.close()


class TestPostgres(CatalogSuite):
    @pytest.fixture
    def catalog(self, postgres_server: PostgresServer) -> Iterator[Catalog]:
        with postgres_server.with_tables(schema="registry", table_prefix="cm_") as url:
            catalog = open_catalog(url, schema="registry", table_prefix="cm_")
            yield catalog
            catalog.close()
