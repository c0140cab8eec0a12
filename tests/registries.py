"""One registry, on every pair of catalog and store that is quick to make."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import chopmark as cm
from chopmark.base.clock import FakeClock
from chopmark.base.settings import load_settings
from chopmark.server.serving import application, served
from chopmark.testing.registry import memory_registry, memory_transport

POSTGRES = pytest.param("postgres", marks=pytest.mark.slow)
"""In the slow lane: what a catalog must do is asked of PostgreSQL by the contract suite, in the quick one."""


@pytest.fixture
def clock() -> FakeClock:
    """A clock that moves a second with every reading."""
    return FakeClock(step=timedelta(seconds=1))


@contextmanager
def over_http(directory: Path, clock: FakeClock, **settings: Any) -> Iterator[cm.Registry]:
    """A registry in memory behind a server of its own on a real socket."""
    resolved = load_settings({"actor": "ada", "serve_auth": "none", **settings}, environ={})
    behind = memory_transport(resolved.settings, clock=clock)
    with (
        served(application(behind, resolved.settings)) as url,
        cm.open(url, clock=clock, actor="ada", cache_dir=str(directory / "cache"), **settings) as opened,
    ):
        yield opened
    behind.close()


@contextmanager
def in_process(kind: str, request: pytest.FixtureRequest, directory: Path, clock: FakeClock) -> Iterator[cm.Registry]:
    """A registry whose catalog this process opens."""
    if kind == "memory":
        opened = memory_registry(clock=clock, actor="ada")
    elif kind == "sqlite":
        opened = cm.open(directory / "registry", clock=clock, actor="ada")
    else:
        url = request.getfixturevalue("postgres_catalog_url")
        opened = cm.open(directory / "registry", database_url=url, clock=clock, actor="ada")
    with opened:
        yield opened


@pytest.fixture(params=["memory", "sqlite", POSTGRES, "http"])
def registry(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> Iterator[cm.Registry]:
    """An empty registry of actor ada, however it is reached."""
    if request.param == "http":
        with over_http(tmp_path, clock) as opened:
            yield opened
    else:
        with in_process(request.param, request, tmp_path, clock) as opened:
            yield opened


@pytest.fixture(params=["memory", "sqlite", POSTGRES])
def own(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> Iterator[cm.Registry]:
    """The same without a server between, for what is only where the catalog is."""
    with in_process(request.param, request, tmp_path, clock) as opened:
        yield opened


@pytest.fixture
def local(tmp_path: Path, clock: FakeClock) -> Iterator[cm.Registry]:
    """An empty registry on SQLite and a directory, for what is the same on every back end."""
    with cm.open(tmp_path / "registry", clock=clock, actor="ada") as opened:
        yield opened
