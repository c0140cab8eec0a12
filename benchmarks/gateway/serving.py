"""Predictions over HTTP, ours and others' in turn."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from benchmarks.figures import Figure
from benchmarks.gateway import servers
from benchmarks.gateway.models import FOREST, FRAUD, Given
from benchmarks.gateway.servers import CROWD, Asked, Batching, asked, cpu_us, infer
from benchmarks.served import Served

__all__ = ["BATCHINGS", "Way", "batching_figures", "best_batching", "forest_figures", "in_turn", "logistic_figures"]

OF_ECHO, OF_MLSERVER, OF_MLSERVER_BATCHED, OF_UNBATCHED, OF_WAIT = 2.0, 0.1, 0.25, 1 / 15, 1.0
ALONE_OF_UNBATCHED = 1.05
"""A lone caller's wait beside that without batching: the same, as far as this can be measured."""

BATCHINGS = (Batching(16, 0.001), Batching(64, 0.001), Batching(64, 0.005), Batching(64, 0.02), Batching(32, 0.005))
KEY = "customer-4711"


class Way(NamedTuple):
    """A server, what it is sent, and how often in a round."""

    server: Served
    request: bytes
    times: int
    connections: int = CROWD


def _to(endpoint: str, row: Sequence[float], key: str = "") -> bytes:
    return infer(f"/v2/models/{endpoint}/infer", row, key)


def in_turn(ways: Mapping[str, Way], rounds: int) -> dict[str, list[Asked]]:
    """What each came to in each round, after one that does not count; everything was answered."""
    found: dict[str, list[Asked]] = {name: [] for name in ways}
    for counted in range(-1, rounds):
        for name, way in ways.items():
            times = way.times if counted >= 0 else max(2 * way.connections, way.times // 10)
            load = asked(way.server, [way.request], times, way.connections)
            load.check()
            if counted >= 0:
                found[name].append(load)
    return found


def _p99(loads: Sequence[Asked]) -> float:
    return statistics.median(load.ms_p99 for load in loads)


def logistic_figures(
    place: Path, ours: Served, given: Given, python: Path | None, rounds: int, count: int
) -> list[Figure]:
    """A logistic regression behind a split by a key: routing, validation, recording and identity are all on."""
    request = _to("fraud-api", given.row, KEY)
    what = f"gateway: logistic regression, {CROWD} connections"
    with ExitStack() as stack:
        plain, alike = (stack.enter_context(servers.echo(place / kind, kind)) for kind in ("plain", "ours"))
        ways = {
            "plain": Way(plain, request, count),
            "ours": Way(ours, request, count),
            "alike": Way(alike, request, count),
            "alone": Way(ours, _to("fraud-alone", given.row), count),
            "shadowed": Way(ours, _to("fraud-shadowed", given.row), count),
        }
        if python is not None:
            there = _to(FRAUD, given.row)
            theirs = stack.enter_context(servers.mlserver(python, place / "mlserver", place / "made", FRAUD, there))
            ways["theirs"] = Way(theirs, there, max(2 * CROWD, count // 20))
        loads = in_turn(ways, rounds)
    us = {name: cpu_us(load) for name, load in loads.items()}
    found = [
        Figure(f"{what}, CPU", us["ours"], "µs", alike.what, us["alike"], limit=OF_ECHO),
        Figure(f"{what}, CPU", us["ours"], "µs", plain.what, us["plain"], limit=OF_ECHO),
    ]
    if python is not None:
        mine, its = _p99(loads["ours"]), _p99(loads["theirs"])
        found += [
            Figure(f"{what}, CPU", us["ours"], "µs", theirs.what, us["theirs"], limit=OF_MLSERVER),
            Figure(f"{what}, p99", mine, "ms", theirs.what, its, limit=OF_WAIT),
        ]
    return [*found, Figure(f"{what}, with a shadow, all CPU", us["shadowed"], "µs", "without", us["alone"])]


def batching_figures(ours: Served, given: Given, rounds: int, count: int) -> list[Figure]:
    """A forest that is asked by its own ``predict``, with batching and without."""
    batched, unbatched = (_to(f"anomalies-{how}", given.row) for how in ("batched", "unbatched"))
    loads = in_turn(
        {
            "batched": Way(ours, batched, 4 * count),
            "unbatched": Way(ours, unbatched, max(CROWD, count // 5)),
            "batched, alone": Way(ours, batched, count // 10, 1),
            "unbatched, alone": Way(ours, unbatched, count // 10, 1),
        },
        rounds,
    )
    us = {name: cpu_us(load) for name, load in loads.items()}
    # Of a few milliseconds on the wall the quickest round says what is waited for; the others, what else the machine does.
    ms = {name: min(load.ms_p50 for load in load) for name, load in loads.items()}
    what, against = "gateway: isolation forest by predict", "unbatched"
    alone, alone_unbatched = ms["batched, alone"], ms["unbatched, alone"]
    return [
        Figure(f"{what}, {CROWD} connections, CPU", us["batched"], "µs", against, us["unbatched"], limit=OF_UNBATCHED),
        Figure(
            f"{what}, a lone caller, p50 of the best round",
            alone,
            "ms",
            against,
            alone_unbatched,
            limit=ALONE_OF_UNBATCHED,
        ),
    ]


def best_batching(place: Path, python: Path, request: bytes, candidates: Sequence[Batching], count: int) -> Batching:
    """The setting of MLServer's adaptive batching with which it takes the least CPU for the forest."""
    spent: dict[Batching, float] = {}
    for number, batching in enumerate((Batching(), *candidates)):
        home = place / f"mlserver-{number}"
        times = count if batching.size else max(CROWD, count // 4)
        with servers.mlserver(python, home, place / "made", FOREST, request, batching) as server:
            asked(server, [request], max(CROWD, count // 4))
            loads = [asked(server, [request], times) for _ in range(2)]
        spent[batching] = min(load.cpu_us for load in loads)
        print(f"{server.what}: {spent[batching]:,.0f} µs a request", file=sys.stderr)
    return min(spent, key=spent.__getitem__)


def forest_figures(
    place: Path, ours: Served, given: Given, python: Path, batching: Batching, rounds: int, count: int
) -> list[Figure]:
    """A forest, compiled, beside MLServer with that batching."""
    request = _to(FOREST, given.row)
    with servers.mlserver(python, place / "mlserver-forest", place / "made", FOREST, request, batching) as theirs:
        loads = in_turn(
            {
                "ours": Way(ours, _to("anomalies-api", given.row), 10 * count),
                "theirs": Way(theirs, request, count),
            },
            rounds,
        )
    what = f"gateway: isolation forest, {CROWD} connections"
    mine, its = cpu_us(loads["ours"]), cpu_us(loads["theirs"])
    return [
        Figure(f"{what}, CPU", mine, "µs", theirs.what, its, limit=OF_MLSERVER_BATCHED),
        Figure(f"{what}, p99", _p99(loads["ours"]), "ms", theirs.what, _p99(loads["theirs"]), limit=OF_WAIT),
    ]
