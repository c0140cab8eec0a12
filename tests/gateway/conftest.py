"""A registry of real models, served with its gateway on a real socket."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import urllib3
from prometheus_client.parser import text_string_to_metric_families
from sklearn.ensemble import IsolationForest
from sklearn.linear_model import LogisticRegression

import chopmark as cm
from chopmark.base.settings import load_settings
from chopmark.server.serving import application, data_plane_of, served
from chopmark.wiring import connect

COLUMNS = 10
_WITHIN_S = 30.0


class Served(NamedTuple):
    """A registry, and where its gateway answers."""

    url: str
    registry: cm.Registry
    directory: Path

    def ask(self, path: str, body: Any = None, method: str = "POST", **headers: str) -> urllib3.BaseHTTPResponse:
        """One request; underscores in names of headers stand for hyphens."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        return urllib3.request(method, self.url + path, body=sent, headers=named, retries=False, timeout=60)

    def counter(self, name: str, **labels: str) -> float:
        """One of the gateway's counts for Prometheus; 0 when it is not there."""
        text = self.ask("/metrics", method="GET").data.decode()
        samples = (s for family in text_string_to_metric_families(text) for s in family.samples)
        return next((s.value for s in samples if s.name == f"chopmark_gateway_{name}" and s.labels == labels), 0.0)

    def until_ready(self) -> None:
        """Wait until every endpoint answers as it was last set."""
        until(lambda: self.ask("/v2/health/ready", method="GET").status == 200)


def until(is_so: Any, within_s: float = _WITHIN_S) -> None:
    """Wait for something that comes by itself."""
    limit = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < limit, "it did not come"
        time.sleep(0.02)


def rows(count: int, seed: int = 0) -> np.ndarray:
    """Rows of numbers, the same each time."""
    return np.random.default_rng(seed).normal(size=(count, COLUMNS))


def filled(registry: cm.Registry) -> None:
    """Two versions of a classifier and one of a detector."""
    data = rows(400)
    truth = (data[:, 0] + data[:, 1] > 0).astype(int)
    for strength in (1.0, 0.01):
        registry.register("fraud", LogisticRegression(C=strength).fit(data, truth), example=data)
    registry.register("odd", IsolationForest(n_estimators=25, random_state=0).fit(data), example=data)


@pytest.fixture(scope="session")
def filled_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a registry of three versions, never to be changed."""
    directory = tmp_path_factory.mktemp("filled") / "registry"
    with cm.open(directory, actor="ada") as registry:
        filled(registry)
    return directory


@contextmanager
def serving(directory: Path, beside: Path, **settings: object) -> Iterator[Served]:
    """The registry of a directory, served with its gateway."""
    said = {"url": str(directory), "actor": "ada", "serve_auth": "none", "gateway_poll_s": 0.1, **settings}
    resolved = load_settings(said, environ={})
    transport = connect(resolved)
    plane = data_plane_of(transport, resolved.settings, address="here", hints=transport.routing_hints)
    with (
        served(application(transport, resolved.settings, data_plane=plane)) as url,
        cm.open(url, actor="ada", cache_dir=str(beside / "cache")) as registry,
    ):
        yield Served(url, registry, directory)
    transport.close()


@pytest.fixture
def gateway(filled_directory: Path, tmp_path: Path) -> Iterator[Served]:
    """A registry of three versions, served to whoever asks."""
    shutil.copytree(filled_directory, tmp_path / "registry")
    with serving(tmp_path / "registry", tmp_path) as found:
        yield found


@pytest.fixture
def gateway_url(gateway: Served) -> str:
    """Where a gateway answers for ``fraud-api`` and ``odd-api``."""
    gateway.registry.endpoints.create("fraud-api", "fraud:1")
    gateway.registry.endpoints.create("odd-api", "odd:1")
    until(lambda: gateway.ask("/v2/models/odd-api/ready", method="GET").status == 200)
    gateway.until_ready()
    return gateway.url
