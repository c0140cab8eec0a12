"""Changes of what answers: how soon all gateways have them, and whether a request is lost."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import chopmark as cm
from benchmarks.figures import Figure
from benchmarks.gateway import servers
from benchmarks.gateway.models import FRAUD, Given
from benchmarks.gateway.servers import infer
from benchmarks.postgres_server import empty_database, running_postgres
from chopmark.catalog import upgrade_catalog
from chopmark.domain.endpoints import Endpoint

__all__ = ["figures"]

CONFIRMED_S = 1.0
CHANGES, GATEWAYS = 50, 3
SWAPS, SWAPPING = 230, 32
_ENDPOINT = "fraud-api"
_LIMIT_S = 30.0
_LOOKS_EVERY_S = 0.005


def figures(place: Path, given: Given, *, quick: bool = False) -> list[Figure]:
    """Weights that three gateways take over, on SQLite and on PostgreSQL; versions swapped under load."""
    request = infer(f"/v2/models/{_ENDPOINT}/infer", given.row)
    changes = 10 if quick else CHANGES
    found = _changed(
        place / "on-sqlite", "SQLite", {"url": str(place / "on-sqlite" / "registry")}, given, request, changes
    )
    with running_postgres(place / "postgres") as server:
        home = place / "on-postgres"
        where = {"database_url": empty_database(server, "gateway"), "store_url": str(home / "blobs")}
        upgrade_catalog(where["database_url"])
        found += _changed(home, "PostgreSQL", where, given, request, changes)
    return [*found, _swapped(place / "swaps", given, request, 20 if quick else SWAPS)]


def _opened(where: Mapping[str, str]) -> cm.Registry:
    rest: dict[str, Any] = dict(where)
    return cm.open(rest.pop("url", None), **rest)


def _registered(registry: cm.Registry, given: Given, count: int) -> list[Any]:
    """Versions of one model that all differ, as their bytes do."""
    models = [given.models[FRAUD], given.models["fraud-2"]]
    return [
        registry.register(FRAUD, models[i % 2], example=given.rows[:100], params={"version": str(i)})
        for i in range(count)
    ]


def _changed(
    home: Path, what: str, where: Mapping[str, str], given: Given, request: bytes, changes: int
) -> list[Figure]:
    home.mkdir(parents=True)
    took = []
    with ExitStack() as stack:
        registry = stack.enter_context(_opened(where))
        first, second = _registered(registry, given, 2)
        registry.endpoints.create(_ENDPOINT, {first: 90, second: 10})
        settings = {f"CHOPMARK_{name.upper()}": value for name, value in where.items()}
        for number in range(GATEWAYS):
            stack.enter_context(
                servers.chopmark(home / f"gateway-{number}", None, request, "gateway", settings=settings)
            )
        for number in range(-1, changes):
            share = 10 + (number + 2) % 80
            begun = time.perf_counter()
            changed = registry.endpoints.split(_ENDPOINT, {first: 100 - share, second: share})
            _until_confirmed(registry, changed, GATEWAYS)
            if number >= 0:
                took.append(time.perf_counter() - begun)
    p50, p99 = statistics.median(took), sorted(took)[int(0.99 * len(took))]
    label = f"gateway: a change of weights that {GATEWAYS} confirm, {what}, p99"
    return [Figure(label, p99, "s", "p50", p50, limit_abs=CONFIRMED_S)]


def _until_confirmed(registry: cm.Registry, changed: Endpoint, routers: int) -> None:
    """Wait until so many routers report that they serve this generation, and nothing else.

    Raises
    ------
    TimeoutError
        When they do not.
    """
    limit = time.monotonic() + _LIMIT_S
    while time.monotonic() < limit:
        (live,) = registry.endpoints.live(_ENDPOINT).endpoints
        serve_it = all(
            variant.served.generation == changed.generation and variant.served.state == "serving"
            for variant in live.variants
        )
        if serve_it and len(live.variants) == len(changed.variants) and len(live.routers) == routers:
            return
        time.sleep(_LOOKS_EVERY_S)
    raise TimeoutError(f"not confirmed within {_LIMIT_S:g} s: {registry.endpoints.live(_ENDPOINT)!r}")


def _swapped(home: Path, given: Given, request: bytes, swaps: int) -> Figure:
    """One version after another takes over, each loaded anew, while many ask."""
    with cm.open(home / "registry") as registry:
        versions = _registered(registry, given, 3)
        registry.endpoints.create(_ENDPOINT, versions[0], config={"kept_loaded_s": 0.0})
        with (
            servers.chopmark(home / "ours", str(home / "registry"), request) as server,
            servers.crowd(server, [request], SWAPPING, told="x-chopmark-generation") as asking,
        ):
            begun = time.perf_counter()
            for number in range(1, swaps + 1):
                changed = registry.endpoints.split(_ENDPOINT, versions[number % len(versions)])
                _until_confirmed(registry, changed, 1)
            took_s = time.perf_counter() - begun
            load = servers.told_by(asking)
    if len(load.values) < swaps:
        raise RuntimeError(f"of {swaps} swaps only {len(load.values)} were seen by who asked")
    failed = sum(load.refused) + sum(load.broken)
    print(f"{swaps} swaps in {took_s:.0f} s, {sum(load.sent):,} requests; {load.words}", file=sys.stderr)
    label = f"gateway: requests lost in {swaps} swaps, {SWAPPING} connections"
    return Figure(label, failed, "requests", "of", sum(load.sent), limit_abs=0)
