"""The way back: from a verdict that a version is bad to no router giving it any traffic, by real requests and processes.

A server with its own router and workers, a gateway apart, and callers of both; a version that fails all it is asked goes out as a canary.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.figures import Figure
from chopmark.domain.rollouts import RolloutEvent
from chopmark.sdk.registry import Registry
from faults.gateway_clients import Asking, numbered_model, rows
from faults.serving_processes import Installation, until

__all__ = ["figures", "way_back_s"]

PROMISED_S = 2.0
_WITHIN_S = 120.0
_ASKED_BEFORE = 50


def figures(place: Path, rounds: int, *, quick: bool = False) -> list[Figure]:
    """How long the way back took, the longest of a few rollouts, and the median."""
    place.mkdir(parents=True, exist_ok=True)
    taken = _taken(place, 1 if quick else max(3, min(rounds, 10)))
    what = f"way back, verdict to weight 0 at 2 routers, {len(taken)} rollouts"
    return [
        Figure(f"{what}, longest", max(taken), "s", "promised", PROMISED_S, limit_abs=PROMISED_S),
        Figure(f"{what}, median", statistics.median(taken), "s", "promised", PROMISED_S),
    ]


def _taken(place: Path, count: int) -> list[float]:
    with ExitStack() as stack:
        installation = Installation(place)
        stack.callback(installation.close)
        with installation.client() as behind:
            behind.register("fraud", numbered_model(1), example=rows(20))
            narrow = rows(20)[:, :2]  # it takes two columns, and is asked with three
            behind.register("fraud", type(numbered_model(1))().fit(narrow, narrow.sum(axis=1)))
        server = installation.serve()
        registry = stack.enter_context(installation.client(server.url))
        registry.endpoints.create("api", "fraud:1")
        gateway = installation.gateway(server.url)
        asking = [
            stack.enter_context(Asking(each.url, "api", connections=1, pause_s=0.005, keys=500))
            for each in (server, gateway)
        ]
        until(lambda: all(sum(t.status == 200 for t in each.told) > _ASKED_BEFORE for each in asking), _WITHIN_S)
        return [_one(registry) for _ in range(count)]


def _one(registry: Registry) -> float:
    registry.rollouts.start("api", "fraud:2", steps=[20], hold="1h", reason="to be measured")
    ended = registry.rollouts.wait("api", timeout=_WITHIN_S)
    if ended.rollout.state != "rolled_back":
        raise RuntimeError(f"it was not rolled back: {ended!r}")
    time.sleep(0.5)
    return way_back_s(registry.rollouts.events("api"))


def way_back_s(events: Sequence[RolloutEvent]) -> float:
    """From the verdict to the confirmation of weight 0, by the database's clock."""
    verdict, zero = (next(e.at for e in events if e.after == state) for state in ("aborting", "rolled_back"))
    return (zero - verdict).total_seconds()
