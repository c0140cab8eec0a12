"""Searches over HTTP among many versions: beside MLflow's, and among ten times as many.

CPU is that of all processes of a server. MLflow has no metrics of versions, so ours by a metric is held against its search by
a tag.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from benchmarks import served
from benchmarks.figures import Figure
from benchmarks.filling import fill_sqlite
from benchmarks.made_registry import VERSIONS_A_MODEL, model_name
from benchmarks.peers.environments import pinned_version
from benchmarks.served import Load, Served, asked
from benchmarks.server import OF_CPU_TO_READ, cpu_figure, mlflow_python

__all__ = ["figures", "growth_figures"]

MANY, TENFOLD = 100_000, 1_000_000
OF_CPU_AMONG_TENFOLD = 1.5
PAGE, LAST_PAGE = 100, 100
_MLFLOW = "/api/2.0/mlflow"
_OURS = "/api/v1"
_QUESTIONS = (
    ("by name", f'name = "{model_name(3)}"', f"name='{model_name(3)}'"),
    ("by tag", 'tags.region = "region3"', "tags.region='region3'"),
    ("by metric", "metrics.auc > 0.99", "tags.region='region4'"),
    ("all, as updated", "", ""),
)
"""In words, as ours is asked, and as MLflow's is; all in the order of their last change, newest first."""


def figures(place: Path, rounds: int, *, quick: bool = False) -> list[Figure]:
    """Beside MLflow's; nothing without MLflow's environment."""
    python = mlflow_python()
    if python is None:
        return []
    count = 2_000 if quick else MANY
    with ExitStack() as stack:
        ours = stack.enter_context(_ours_with(place / "ours_many", count))
        theirs = stack.enter_context(_mlflow_with(python, place / "mlflow_many", count))
        return _searches(ours, theirs, rounds, count, 10 if quick else 20)


def growth_figures(place: Path, rounds: int, *, quick: bool = False) -> list[Figure]:
    """Among a million versions beside among a hundred thousand; filling them takes minutes."""
    many, tenfold = (2_000, 20_000) if quick else (MANY, TENFOLD)
    with ExitStack() as stack:
        few = stack.enter_context(_ours_with(place / "few", many))
        more = stack.enter_context(_ours_with(place / "more", tenfold))
        found = []
        for what, where, _ in _QUESTIONS:
            for number in (1, min(LAST_PAGE, many // PAGE)):
                here, there = (_to_page(server, where, number, PAGE, _ours_page) for server in (more, few))
                if here is None or there is None:
                    continue  # there are fewer
                mine, its = _in_turn((more, here), (few, there), rounds * 2, 5 if quick else 40)
                name = f"search of {tenfold:,} {what}, page {number}"
                against = few._replace(what=f"of {many:,}")
                found.append(cpu_figure(name, mine, its, against, OF_CPU_AMONG_TENFOLD))
    return found


def _in_turn(
    one: tuple[Served, bytes], other: tuple[Served, bytes], rounds: int, times: int
) -> tuple[list[Load], list[Load]]:
    """The same requests again and again, after a round that does not count; the order turns."""
    loads: tuple[list[Load], list[Load]] = ([], [])
    for number in range(-1, rounds):
        pairs = list(zip(loads, (one, other), strict=True))
        for kept, (server, request) in pairs if number % 2 else reversed(pairs):
            load = asked(server, _always(request), range(times))
            if number >= 0:
                kept.append(load)
    return loads


def _searches(ours: Served, theirs: Served, rounds: int, count: int, times: int) -> list[Figure]:
    found = []
    for what, where, there in _QUESTIONS:
        for number in (1, min(LAST_PAGE, count // PAGE)):
            mine = _to_page(ours, where, number, PAGE, _ours_page)
            its = _to_page(theirs, there, number, PAGE, _mlflow_page)
            if mine is None or its is None:
                continue  # there are fewer
            loads: tuple[list[Load], list[Load]] = ([], [])
            for _ in range(rounds):
                loads[0].append(asked(ours, _always(mine), range(times)))
                loads[1].append(asked(theirs, _always(its), range(max(3, times // 4))))
            found.append(cpu_figure(f"search of {count:,} {what}, page {number}", *loads, theirs, OF_CPU_TO_READ))
    return found


def _always(request: bytes) -> Callable[[int], bytes]:
    return lambda _: request


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
    begun = time.perf_counter()
    fill_sqlite(home / "registry" / "chopmark.db", count)
    print(f"{count:,} versions filled in {time.perf_counter() - begun:.0f} s", file=sys.stderr, flush=True)
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
