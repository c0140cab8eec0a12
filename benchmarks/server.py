"""The server beside MLflow's: what starting and an answer cost each, in turn, on the same machine.

Both run as they come, with SQLite and a directory; ours asks for a token at each request and waits for the disk at each
write. CPU is that of all processes of a server. How long an answer takes at worst is held against the barest server on the
same stack: on a busy machine that says which part of the wait is ours.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import NamedTuple

from benchmarks import served
from benchmarks.figures import Figure
from benchmarks.peers.environments import made, pinned_version
from benchmarks.served import Load, Served, asked

__all__ = ["OF_CPU_TO_READ", "cpu_figure", "figures", "mlflow_python"]

CLIENTS = 8
WARM = 20
START_CPU_S, IDLE_MIB, GET_MS_P99 = 1.0, 120.0, 5.0
OF_CPU_TO_READ, OF_CPU_TO_WRITE, OF_TIME_TO_WRITE = 1 / 20, 1 / 8, 1 / 6
_MLFLOW = "/api/2.0/mlflow"
_OURS = "/api/v1"


class _Calls(NamedTuple):
    """One thing to ask for, as each of the two is asked; numbers are never the same."""

    what: str
    ours: Callable[[Served, int], bytes]
    theirs: Callable[[Served, int], bytes]
    limit: float


def figures(place: Path, rounds: int, *, quick: bool = False) -> list[Figure]:
    """Starting, and calls; nothing without MLflow's environment."""
    python = mlflow_python()
    if python is None:
        return []
    found: list[Figure] = []
    with ExitStack() as stack:
        ours = stack.enter_context(served.chopmark(place / "ours"))
        bare = stack.enter_context(served.bare_files(place / "bare"))
        theirs = stack.enter_context(served.mlflow(python, pinned_version("mlflow"), place / "mlflow"))
        found += _standing(ours, theirs)
        found += _calls(ours, theirs, rounds, 40 if quick else 200)
        found += _crowd(ours, theirs, rounds, 80 if quick else 400)
        found.append(_waits(ours, bare, rounds, 400 if quick else 1_000))
    return found


def mlflow_python() -> Path | None:
    """The Python of MLflow's environment; None where there is none, which is said."""
    python = made("mlflow")
    if python is None:
        print("No rows for the server: `make bench-peers` makes MLflow's environment.", file=sys.stderr)
    return python


def _standing(ours: Served, theirs: Served) -> list[Figure]:
    start, idle = "server: CPU to its first answer", "server: memory when idle"
    return [
        Figure(start, ours.start_cpu_s, "s", theirs.what, theirs.start_cpu_s, limit_abs=START_CPU_S),
        Figure(idle, ours.memory_mib(), "MiB", theirs.what, theirs.memory_mib(), limit_abs=IDLE_MIB),
    ]


def _calls(ours: Served, theirs: Served, rounds: int, count: int) -> list[Figure]:
    _prepare(ours, theirs)
    asked_for = (
        _Calls("create a version", _create, _create_there, OF_CPU_TO_WRITE),
        _Calls("get a version", _get, _get_there, OF_CPU_TO_READ),
        _Calls("get by alias", _by_alias, _by_alias_there, OF_CPU_TO_READ),
    )
    found = []
    for calls in asked_for:
        mine, its = _in_turn(ours, theirs, calls, rounds, count, clients=1)
        found.append(cpu_figure(calls.what, mine, its, theirs, calls.limit))
    return found


def _crowd(ours: Served, theirs: Served, rounds: int, count: int) -> list[Figure]:
    creating = _Calls("create a version", _create, _create_there, OF_CPU_TO_WRITE)
    getting = _Calls("get a version", _get, _get_there, OF_CPU_TO_READ)
    made_here, made_there = _in_turn(ours, theirs, creating, rounds, count, CLIENTS)
    got_here, got_there = _in_turn(ours, theirs, getting, rounds, count, CLIENTS)
    wall = f"server: a creation of {CLIENTS} clients' on the wall"
    return [
        Figure(wall, _ms_each(made_here), "ms", theirs.what, _ms_each(made_there), limit=OF_TIME_TO_WRITE),
        cpu_figure(f"create, {CLIENTS} clients", made_here, made_there, theirs, OF_CPU_TO_WRITE),
        cpu_figure(f"get, {CLIENTS} clients", got_here, got_there, theirs, OF_CPU_TO_READ),
    ]


def _waits(ours: Served, bare: Served, rounds: int, count: int) -> Figure:
    """The slowest answers to a version, beside those of a server that gives a file of the same bytes; many short rounds."""
    with closing(served.Line(ours.port)) as line:
        answer = line.ask(_get(ours, 0))
    with closing(served.Line(bare.port)) as line:
        line.ask(bare.request("PUT", "/version", answer))
    loads: tuple[list[Load], list[Load]] = ([], [])
    for number in range(-1, rounds * 4):
        pairs = list(zip(loads, (ours, bare), (_get, _get_bare), strict=True))
        for kept, server, request in pairs if number % 2 else reversed(pairs):
            load = asked(server, partial(request, server), range(count), CLIENTS)
            if number >= 0:
                kept.append(load)
    what = f"server: get, {CLIENTS} clients, p99"
    return Figure(what, _ms_p99(loads[0]), "ms", "bare ASGI server", _ms_p99(loads[1]), limit_abs=GET_MS_P99)


def _get_bare(server: Served, _: int) -> bytes:
    return server.request("GET", "/version")


def cpu_figure(what: str, ours: list[Load], theirs: list[Load], against: Served, limit: float) -> Figure:
    """Two loads' CPU of the server for each request."""
    return Figure(f"server: {what}, CPU", _cpu_ms(ours), "ms", against.what, _cpu_ms(theirs), limit=limit)


def _in_turn(
    ours: Served, theirs: Served, calls: _Calls, rounds: int, count: int, clients: int
) -> tuple[list[Load], list[Load]]:
    """Each in turn, after a round that does not count."""
    loads: tuple[list[Load], list[Load]] = ([], [])
    for counted in range(-1, rounds):
        for kept, server, request, many in zip(
            loads, (ours, theirs), (calls.ours, calls.theirs), (count * 5, count), strict=True
        ):
            numbers = [next(_NUMBERS) for _ in range(WARM if counted < 0 else many)]
            load = asked(server, partial(request, server), numbers, clients)
            if counted >= 0:
                kept.append(load)
    return loads


def _counting() -> Iterator[int]:
    number = 0
    while True:
        number += 1
        yield number


_NUMBERS = _counting()


def _cpu_ms(loads: list[Load]) -> float:
    return statistics.median(load.cpu_ms for load in loads)


def _ms_each(loads: list[Load]) -> float:
    return 1000 / statistics.median(load.per_s for load in loads)


def _ms_p99(loads: list[Load]) -> float:
    return statistics.median(load.ms_p99 for load in loads)


def _prepare(ours: Served, theirs: Served) -> None:
    """A version with an alias on both sides."""
    with closing(served.Line(ours.port)) as line:
        line.ask(_create(ours, 0))
        line.ask(ours.request("PUT", f"{_OURS}/aliases/fraud%40champion", b'{"target": "fraud:1"}'))
    with closing(served.Line(theirs.port)) as line:
        line.ask(theirs.request("POST", f"{_MLFLOW}/registered-models/create", b'{"name": "fraud"}'))
        line.ask(_create_there(theirs, 0))
        said = b'{"name": "fraud", "alias": "champion", "version": "1"}'
        line.ask(theirs.request("POST", f"{_MLFLOW}/registered-models/alias", said))


def _create(server: Served, number: int) -> bytes:
    config = {"uri": f"s3://models/fraud/{number}", "digest": f"sha256:{number:064x}"}
    manifest = {"kind": "external", "format": "external", "config": config}
    said = {"model": "fraud", "manifest": manifest, "tags": {"team": "risk"}}
    return server.request("POST", f"{_OURS}/versions", json.dumps(said).encode())


def _create_there(server: Served, number: int) -> bytes:
    tags = [{"key": "team", "value": "risk"}]
    said = {"name": "fraud", "source": f"s3://models/fraud/{number}", "tags": tags}
    return server.request("POST", f"{_MLFLOW}/model-versions/create", json.dumps(said).encode())


def _get(server: Served, _: int) -> bytes:
    return server.request("GET", f"{_OURS}/versions/fraud:1")


def _get_there(server: Served, _: int) -> bytes:
    return server.request("GET", f"{_MLFLOW}/model-versions/get?name=fraud&version=1")


def _by_alias(server: Served, _: int) -> bytes:
    return server.request("GET", f"{_OURS}/versions/fraud%40champion")


def _by_alias_there(server: Served, _: int) -> bytes:
    return server.request("GET", f"{_MLFLOW}/registered-models/alias?name=fraud&alias=champion")
