"""One registry, on every pair of catalog and store that is quick to make."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

import chopmark as cm
from chopmark.base.clock import FakeClock
from chopmark.testing.registry import memory_registry


@pytest.fixture
def clock() -> FakeClock:
    """A clock that moves a second with every reading."""
    return FakeClock(step=timedelta(seconds=1))


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def registry(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> Iterator[cm.Registry]:
    """An empty registry of actor ada."""
    if request.param == "memory":
        opened = memory_registry(clock=clock, actor="ada")
    elif request.param == "sqlite":
        opened = cm.open(tmp_path / "registry", clock=clock, actor="ada")
    else:
        url = request.getfixturevalue("postgres_catalog_url")
        opened = cm.open(tmp_path / "registry", database_url=url, clock=clock, actor="ada")
    with opened:
        yield opened


@pytest.fixture
def local(tmp_path: Path, clock: FakeClock) -> Iterator[cm.Registry]:
    """An empty registry on SQLite and a directory, for what is the same on every back end."""
    with cm.open(tmp_path / "registry", clock=clock, actor="ada") as opened:
        yield opened
