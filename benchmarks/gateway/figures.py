"""All figures of the gateway."""

from __future__ import annotations

from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.gateway import changes, logs, neighbours, servers, serving, starting, within
from benchmarks.gateway.models import FOREST, Given, prepared, registered
from benchmarks.gateway.servers import infer, mlserver_python
from benchmarks.served import Served

__all__ = ["figures"]


def figures(place: Path, rounds: int, *, quick: bool = False) -> list[Figure]:
    """All of it; without MLServer's environment the rows beside it are left out."""
    given = prepared(place / "made")
    found = within.figures(given, rounds, quick=quick)
    registered(place / "registry", given)
    first = infer("/v2/models/anomalies-batched/infer", given.row)
    with servers.chopmark(place / "ours", str(place / "registry"), first) as ours:
        found += _served(place, ours, given, rounds, quick=quick)
    found += logs.figures(place, place / "registry", given, rounds, quick=quick)
    found += starting.figures(place / "start", place / "made", given)
    return found + changes.figures(place, given, quick=quick)


def _served(place: Path, ours: Served, given: Given, rounds: int, *, quick: bool) -> list[Figure]:
    python = mlserver_python()
    found = serving.logistic_figures(place, ours, given, python, rounds, 2_000 if quick else 20_000)
    found += serving.batching_figures(ours, given, rounds, 200 if quick else 1_000)
    if python is None:
        return found
    candidates = serving.BATCHINGS[1:2] if quick else serving.BATCHINGS
    request = infer(f"/v2/models/{FOREST}/infer", given.row)
    batching = serving.best_batching(place, python, request, candidates, 200 if quick else 1_000)
    found += serving.forest_figures(place, ours, given, python, batching, rounds, 200 if quick else 1_000)
    return found + neighbours.figures(place, ours, given, python, batching, quick=quick)
