"""What recording outcomes takes, and what a year of them takes on disk.

- ``record_batch`` of a million rows in process, and of a hundred thousand over HTTP, each with a time, a latency, an error and a metric.
- The database of one endpoint with two variants after a year of constant traffic, moved into hours and days as it grows old.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np

import chopmark as cm
from benchmarks.figures import Figure, compare
from chopmark.app.outcome_folding import fold_a_part
from chopmark.app.outcome_reading import windows_between
from chopmark.base.settings import load_settings
from chopmark.catalog.opening import open_catalog
from chopmark.domain.outcomes import ErrorCounts, MetricSums, OutcomeWindow
from chopmark.server.serving import application, served
from chopmark.stats.sketch import QuantileSketch
from chopmark.wiring import connect

__all__ = ["figures"]

ROWS_A_SECOND = 1_000_000
ROWS_A_SECOND_OVER_HTTP = 100_000
DISK_MB_MAX = 50.0

_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
_REQUESTS_A_MINUTE = 3_000
_SHAPES = 97


def figures(place: Path, rounds: int, *, quick: bool = False) -> list[Figure]:
    """All of them."""
    return [_in_process(place, rounds), _over_http(place, rounds), _on_disk(place, days=60 if quick else 365)]


def _rows(count: int) -> dict[str, Any]:
    rng = np.random.default_rng(3)
    now = datetime.now(UTC).timestamp()
    return {
        "at": np.sort(now - rng.uniform(0, 3_600, count)),
        "latency_ms": rng.lognormal(1, 0.5, count),
        "error": rng.uniform(size=count) < 0.01,
        "metrics": {"amount": rng.normal(50, 9, count)},
    }


def _in_process(place: Path, rounds: int) -> Figure:
    data = _rows(ROWS_A_SECOND)
    with cm.open(place / "own") as registry:
        version = registry.register("fraud", {"n": 1})
        record = partial(registry.outcomes.record_batch, version, **data)
        ours, floor = compare(record, lambda: np.sort(data["latency_ms"][::-1]), rounds)
    what = "recording a million outcomes in process"
    return Figure(what, ours, "s", "numpy sorts their latencies", floor, limit_abs=1.0)


def _over_http(place: Path, rounds: int) -> Figure:
    data = _rows(ROWS_A_SECOND_OVER_HTTP)
    resolved = load_settings({"url": str(place / "behind"), "actor": "ada", "serve_auth": "none"}, environ={})
    transport = connect(resolved)
    with (
        served(application(transport, resolved.settings)) as url,
        cm.open(url, cache_dir=str(place / "cache")) as registry,
    ):
        version = registry.register("fraud", {"n": 1})
        record = partial(registry.outcomes.record_batch, version, **data)
        ours, floor = compare(record, lambda: np.sort(data["latency_ms"][::-1]), rounds)
    transport.close()
    what = "recording a hundred thousand outcomes over HTTP"
    return Figure(what, ours, "s", "numpy sorts their latencies", floor, limit_abs=1.0)


def _on_disk(place: Path, days: int) -> Figure:
    directory = place / "year"
    directory.mkdir()
    path = directory / "chopmark.db"
    catalog = open_catalog(f"sqlite:///{path}")
    empty_mb = _size_mb(directory)
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    counted = 0
    for hour in range(days * 24):
        start = begin + hour * _HOUR
        with catalog.writing() as tx:
            windows = [_window(start + n * _MINUTE, variant) for n in range(60) for variant in range(2)]
            tx.outcomes.put("router", windows)
            counted += sum(window.requests for window in windows)
        while True:
            with catalog.writing() as tx:
                if not fold_a_part(tx, start + _HOUR).more:
                    break
    end = begin + days * _DAY
    with catalog.reading() as tx:
        found = sum(window.requests for window in windows_between(tx, UUID(int=1), begin, end))
    if found != counted:
        raise AssertionError(f"{found:,} of {counted:,} requests are left")
    catalog.close()
    what = f"database of one endpoint, {days} days of constant traffic"
    return Figure(what, _size_mb(directory), "MB", "the same without traffic", empty_mb, limit_abs=DISK_MB_MAX)


_KNOWN: dict[int, tuple[QuantileSketch, MetricSums]] = {}


def _window(start: datetime, variant: int) -> OutcomeWindow:
    requests = _REQUESTS_A_MINUTE * (1 if variant else 9) // 10
    latency, amount = _shape(int(start.timestamp()) // 60 % _SHAPES * 2 + variant, requests)
    return OutcomeWindow(
        endpoint=UUID(int=1),
        version=UUID(int=variant + 2),
        variant=("stable", "candidate")[variant],
        start=start,
        requests=requests,
        rows=requests - 3,
        errors=ErrorCounts(model=2, timeout=1),
        request_bytes=requests * 300,
        response_bytes=requests * 120,
        latency=latency,
        metrics={"amount": amount},
    )


def _shape(seed: int, requests: int) -> tuple[QuantileSketch, MetricSums]:
    """Latencies and a metric of one minute; a year repeats some two hundred of them."""
    if seed not in _KNOWN:
        rng = np.random.default_rng(seed)
        amounts = rng.normal(50, 9, requests)
        sums = MetricSums(requests, *map(float, (amounts.sum(), amounts @ amounts, amounts.min(), amounts.max())))
        _KNOWN[seed] = QuantileSketch.of(rng.lognormal(1, 0.6, requests - 3) * 1e6), sums
    return _KNOWN[seed]


def _size_mb(directory: Path) -> float:
    return sum(each.stat().st_size for each in directory.iterdir()) / 1e6
