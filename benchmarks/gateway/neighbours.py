"""Requests that are put together with one that cannot be answered, and whether they are answered all the same."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.gateway import servers
from benchmarks.gateway.models import AMOUNTS, Given
from benchmarks.gateway.servers import Batching, asked, infer
from benchmarks.served import Served

__all__ = ["figures"]

ONE_IN = 8
_COUNT = 4_000
_BELOW = -2.0
"""An amount that no logarithm is of: the request is what the endpoint takes, and the model raises."""


def figures(place: Path, ours: Served, given: Given, python: Path, batching: Batching, *, quick: bool) -> list[Figure]:
    """Shares of good requests that fail, when one of eight raises, and when one of eight is of another width."""
    row = [abs(value) for value in given.row]
    count = _COUNT // 10 if quick else _COUNT
    here, there = "/v2/models/amounts-batched/infer", f"/v2/models/{AMOUNTS}/infer"
    found = []
    with servers.mlserver(
        python, place / "mlserver-amounts", place / "made", AMOUNTS, infer(there, row), batching
    ) as theirs:
        for words, bad in (("makes the model raise", [_BELOW, *row[1:]]), ("has a column less", row[1:])):
            mine, its = (
                _lost(server, [*[infer(path, row)] * (ONE_IN - 1), infer(path, bad)], count)
                for server, path in ((ours, here), (theirs, there))
            )
            what = f"gateway: one request of {ONE_IN} {words}: neighbours lost"
            found.append(Figure(what, mine, "%", theirs.what, its, limit_abs=0))
    return found


def _lost(server: Served, requests: Sequence[bytes], count: int) -> float:
    """Share of the good requests, in percent, that were not answered; the last of the requests is bad.

    Raises
    ------
    RuntimeError
        When the bad one is answered: it would be none.
    """
    load = asked(server, requests, count)
    if load.refused[-1] + load.broken[-1] < load.sent[-1]:
        raise RuntimeError(f"{server.what} answered what it cannot answer")
    return 100 * (sum(load.refused[:-1]) + sum(load.broken[:-1])) / sum(load.sent[:-1])
