"""What every part of the catalog's contract uses."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from chopmark.abc.catalog import Catalog, Transaction
from chopmark.testing.catalog_records import Records

__all__ = ["CatalogFixtures", "Stop", "write_and_stop"]


class Stop(Exception):
    """Raised inside a block to end it."""


class CatalogFixtures:
    """What every part of the suite uses."""

    @pytest.fixture
    def catalog(self) -> Catalog:
        """An empty catalog; a subclass gives it."""
        raise NotImplementedError

    @pytest.fixture
    def records(self) -> Records:
        """Records for this test."""
        return Records()


def write_and_stop(catalog: Catalog, change: Callable[[Transaction], object]) -> None:
    """Change something in a block that is ended by an error."""
    with catalog.writing() as tx:
        change(tx)
        raise Stop
