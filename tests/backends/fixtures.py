"""The fixtures by which tests ask for a real service."""

from collections.abc import Iterator

import pytest

from tests.backends.azure import AzureServer, start_azurite
from tests.backends.postgres import PostgresServer, start_postgres
from tests.backends.s3 import S3Server, start_moto, start_seaweedfs


@pytest.fixture(scope="session")
def postgres_server() -> PostgresServer:
    """Give the run's private PostgreSQL cluster."""
    return start_postgres()


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """Give the URL of an empty database that only this test sees."""
    with postgres_server.database() as url:
        yield url


@pytest.fixture
def postgres_catalog_url(postgres_server: PostgresServer) -> Iterator[str]:
    """Give the URL of a database that only this test sees, with the catalog's tables."""
    with postgres_server.with_tables() as url:
        yield url


@pytest.fixture(scope="session")
def s3_server() -> S3Server:
    """Give the run's SeaweedFS: a real S3 server with conditional puts."""
    return start_seaweedfs()


@pytest.fixture(scope="session")
def s3_double() -> S3Server:
    """Give the run's moto server: quick to start, and not to be trusted about races."""
    return start_moto()


@pytest.fixture(scope="session")
def azurite_server() -> AzureServer:
    """Give the run's Azurite, for the Azure Blob Storage path."""
    return start_azurite()
