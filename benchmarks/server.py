"""The server beside MLflow's: what starting, an answer and a search cost each, in turn, on the same machine.

Both run as they come, with SQLite and a directory; ours asks for a token at each request and waits for the disk at each
write. CPU is that of all processes of a server. Searches are among 100,000 versions; MLflow has no metrics of versions, so
ours by a metric is held against its search by a tag.
"""

from __future__ import annotations

import json
import sqlite3
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from benchmarks import served
from benchmarks.figures import Figure
from benchmarks.filling import fill_sqlite
from benchmarks.made_registry import VERSIONS_A_MODEL, model_name
from benchmarks.peers.environments import made, pinned_version
from benchmarks.served import Load, Served, asked

__all__ = ["figures", "search_figures"]

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
    python = _mlflow_python()
    if python is None:
        return []
    found: list[Figure] = []
    with ExitStack() as stack:
        ours = stack.enter_context(served.chopmark(place / "ours"))
        theirs = stack.enter_context(served.mlflow(python, pinned_version("mlflow"), place / "mlflow"))
        found += _standing(ours, theirs)
        found += _calls(ours, theirs, rounds, 40 if quick else 200)
        found += _crowd(ours, theirs, rounds, 80 if quick else 400)
    return found


def search_figures(place: Path, rounds: int, *, quick: bool = False) -> list[Figure]:
    """Searches among many; nothing without MLflow's environment."""
    python = _mlflow_python()
    if python is None:
        return []
    count = 2_000 if quick else 100_000
    with ExitStack() as stack:
        ours = stack.enter_context(_ours_with(place / "ours_many", count))
        theirs = stack.enter_context(_mlflow_with(python, place / "mlflow_many", count))
        return _searches(ours, theirs, rounds, count, 10 if quick else 20)


def _mlflow_python() -> Path | None:
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
        found.append(_cpu(calls.what, mine, its, theirs, calls.limit))
    return found


def _crowd(ours: Served, theirs: Served, rounds: int, count: int) -> list[Figure]:
    creating = _Calls("create a version", _create, _create_there, OF_CPU_TO_WRITE)
    getting = _Calls("get a version", _get, _get_there, OF_CPU_TO_READ)
    made_here, made_there = _in_turn(ours, theirs, creating, rounds, count, CLIENTS)
    got_here, got_there = _in_turn(ours, theirs, getting, rounds, count, CLIENTS)
    wall, p99 = (
        f"server: a creation of {CLIENTS} clients' on the wall",
        f"server: get, {CLIENTS} clients, p99",
    )
    return [
        Figure(wall, _ms_each(made_here), "ms", theirs.what, _ms_each(made_there), limit=OF_TIME_TO_WRITE),
        _cpu(f"create, {CLIENTS} clients", made_here, made_there, theirs, OF_CPU_TO_WRITE),
        Figure(p99, _ms_p99(got_here), "ms", theirs.what, _ms_p99(got_there), limit_abs=GET_MS_P99),
        _cpu(f"get, {CLIENTS} clients", got_here, got_there, theirs, OF_CPU_TO_READ),
    ]


def _cpu(what: str, ours: list[Load], theirs: list[Load], against: Served, limit: float) -> Figure:
    return Figure(f"server: {what}, CPU", _cpu_ms(ours), "ms", against.what, _cpu_ms(theirs), limit=limit)


def _searches(ours: Served, theirs: Served, rounds: int, count: int, times: int) -> list[Figure]:
    page, last_page = 100, min(100, count // 100)
    name = model_name(3)
    questions = (
        ("by name", f'name = "{name}"', f"name='{name}'"),
        ("by tag", 'tags.region = "region3"', "tags.region='region3'"),
        ("by metric", "metrics.auc > 0.99", "tags.region='region4'"),
        ("all, as updated", "", ""),
    )
    found = []
    for what, where, there in questions:
        for number in (1, last_page):
            mine = _to_page(ours, where, number, page, _ours_page)
            its = _to_page(theirs, there, number, page, _mlflow_page)
            if mine is None or its is None:
                continue  # there are fewer
            loads: tuple[list[Load], list[Load]] = ([], [])
            for _ in range(rounds):
                loads[0].append(asked(ours, lambda _, r=mine: r, range(times)))  # type: ignore[misc]
                loads[1].append(asked(theirs, lambda _, r=its: r, range(max(3, times // 4))))  # type: ignore[misc]
            found.append(_cpu(f"search of {count:,} {what}, page {number}", *loads, theirs, OF_CPU_TO_READ))
    return found


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
            load = asked(server, lambda n, s=server, r=request: r(s, n), numbers, clients)  # type: ignore[misc]
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


Page = Callable[[Served, str, str, int], tuple[bytes, str]]
"""The request for a page, by a filter and what the page before said; and under what name its answer says that."""


def _to_page(server: Served, where: str, number: int, size: int, page: Page) -> bytes | None:
    """The request that asks for a page, found by walking there; None when there are fewer."""
    cursor = ""
    with closing(served.Line(server.port)) as line:
        for _ in range(number - 1):
            request, name = page(server, where, cursor, size)
            answer: dict[str, Any] = json.loads(line.ask(request))
            cursor = answer.get(name, "")
            if not cursor:
                return None
    return page(server, where, cursor, size)[0]


def _ours_page(server: Served, where: str, cursor: str, size: int) -> tuple[bytes, str]:
    query: dict[str, Any] = {"limit": size, "where": f"{where} order by updated_at desc".strip()}
    if cursor:
        query["cursor"] = cursor
    return server.request("GET", f"{_OURS}/versions?{urlencode(query, quote_via=quote)}"), "cursor"


def _mlflow_page(server: Served, where: str, cursor: str, size: int) -> tuple[bytes, str]:
    query: dict[str, Any] = {"max_results": size, "order_by": "last_updated_timestamp DESC"}
    if where:
        query["filter"] = where
    if cursor:
        query["page_token"] = cursor
    path = f"{_MLFLOW}/model-versions/search?{urlencode(query, quote_via=quote)}"
    return server.request("GET", path), "next_page_token"


@contextmanager
def _ours_with(home: Path, count: int) -> Iterator[Served]:
    """Ours with so many versions."""
    (home / "registry").mkdir(parents=True)
    fill_sqlite(home / "registry" / "chopmark.db", count)
    with served.chopmark(home) as server:
        yield server


@contextmanager
def _mlflow_with(python: Path, home: Path, count: int) -> Iterator[Served]:
    """MLflow's with so many versions: one that its server made, copied in its database under other names."""
    version = pinned_version("mlflow")
    with served.mlflow(python, version, home) as server, closing(served.Line(server.port)) as line:
        line.ask(server.request("POST", f"{_MLFLOW}/registered-models/create", b'{"name": "fraud"}'))
        tags = [{"key": "region", "value": "region0"}, {"key": "team", "value": "risk"}]
        said = json.dumps({"name": "fraud", "source": "s3://models/fraud/1", "tags": tags}).encode()
        line.ask(server.request("POST", f"{_MLFLOW}/model-versions/create", said))
    with closing(sqlite3.connect(home / "mlflow.db")) as connection:
        _multiply(connection, count)
    with served.mlflow(python, version, home) as server:
        yield server


def _multiply(connection: sqlite3.Connection, count: int) -> None:
    models = max(1, count // VERSIONS_A_MODEL)
    names = [(model_name(n),) for n in range(models)]
    places = [(model_name(n % models), n // models + 1, n) for n in range(count)]
    copied: dict[str, tuple[dict[str, str], Sequence[tuple[Any, ...]]]] = {
        "registered_models": ({"name": "?1"}, names),
        "model_versions": (
            {"name": "?1", "version": "?2", "last_updated_time": "last_updated_time + ?3"},
            places,
        ),
        "model_version_tags": (
            {"name": "?1", "version": "?2", "value": "CASE key WHEN 'region' THEN 'region' || (?3 % 7) ELSE value END"},
            places,
        ),
    }
    for table, (changed, rows) in copied.items():
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        values = ", ".join(changed.get(column, f'"{column}"') for column in columns)
        inserted = ", ".join(f'"{column}"' for column in columns)
        connection.execute(f"CREATE TEMP TABLE one_{table} AS SELECT * FROM {table} WHERE name = 'fraud'")
        connection.executemany(f"INSERT INTO {table} ({inserted}) SELECT {values} FROM one_{table}", rows)
    connection.commit()
