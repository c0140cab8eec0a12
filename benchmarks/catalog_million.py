"""A catalog of a million versions: what it costs to ask it, to go through its pages, and to register into it.

    python -m benchmarks.catalog_million [--versions 1000000] [--on sqlite,postgres] [--keep DIRECTORY] [--json FILE]

All calls go through the SDK, as a user's do, and their versions are read whole. Times are milliseconds over many different
values (`questions`), some rounds of each: on the wall, and of CPU, which is this process and what of the server serves it.
Everything is in memory, so that a quiet machine shows nearly the same twice, and what only the wall missed was waiting for
a processor. The index beside a figure is what the database says leads the page's statement, for most of the values.
PostgreSQL is a cluster of the benchmark's own with the server's default settings. With ``--keep`` the databases stay, and
the next run uses them again.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import sqlite3
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

import chopmark as cm
from benchmarks import indexes
from benchmarks.figures import cpu_s
from benchmarks.filling import fill_postgres, fill_sqlite
from benchmarks.made_registry import VERSIONS_A_MODEL, model_name
from benchmarks.postgres_server import empty_database, running_postgres
from benchmarks.questions import PAGED, QUESTIONS, Question, Sizes
from chopmark.catalog import upgrade_catalog

__all__ = ["main"]

P50_MS, P99_MS, REGISTER_RATIO, PAGE_RATIO = 2.0, 25.0, 1.3, 1.3
PAGES = 1_000
PAGE_REPEATS = 200
REGISTRATIONS_A_ROUND = 20
EXPLAINED = 25
SLOWEST_S = 20.0


class Place(NamedTuple):
    """A database that is measured: a large registry, an empty one, and how to ask for plans and the server's CPU."""

    database: str
    full: cm.Registry
    empty: cm.Registry
    explain: Callable[[str, dict[str, Any]], str]
    server_cpu_s: Callable[[str], Callable[[], float]]


class Timed(NamedTuple):
    """The times of one question."""

    database: str
    what: str
    p50_ms: float
    p99_ms: float
    p50_cpu_ms: float
    p99_cpu_ms: float
    led_by: str
    is_promised: bool

    @property
    def is_met(self) -> bool:
        """Whether it is within the limits on the wall."""
        return self.p50_ms <= P50_MS and self.p99_ms <= P99_MS

    @property
    def is_met_by_cpu(self) -> bool:
        """Whether it would be on a machine that has nothing else to do."""
        return self.p50_cpu_ms <= P50_MS and self.p99_cpu_ms <= P99_MS


class Ratio(NamedTuple):
    """Something beside what it is held against, both in milliseconds."""

    database: str
    what: str
    ours_ms: float
    theirs_ms: float
    limit: float

    @property
    def ratio(self) -> float:
        """Ours by theirs."""
        return self.ours_ms / self.theirs_ms

    @property
    def is_met(self) -> bool:
        """Whether it is within the limit."""
        return self.ratio <= self.limit


def main() -> None:
    """Make the databases, measure, and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.catalog_million")
    parser.add_argument("--versions", type=int, default=1_000_000)
    parser.add_argument("--values", type=int, default=300, help="different values of each question")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--on", default="sqlite,postgres")
    parser.add_argument("--only", default="", help="questions whose name has this")
    parser.add_argument("--keep", type=Path, help="keep the databases in this directory, and use them again")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    sizes = Sizes(options.versions, max(1, options.versions // VERSIONS_A_MODEL))
    wanted = [q for q in QUESTIONS if options.only in q.what]
    timed: list[Timed] = []
    ratios: list[Ratio] = []
    with ExitStack() as rest:
        directory = options.keep
        if directory is None:
            scratch = tempfile.TemporaryDirectory(prefix="chopmark-bench-", dir=Path.cwd(), ignore_cleanup_errors=True)
            directory = Path(rest.enter_context(scratch))
            directory.chmod(0o755)  # PostgreSQL runs as another user when this runs as root
        print(f"Python {platform.python_version()}, {platform.machine()}, {sizes.versions:,} versions\n", flush=True)
        for database in options.on.split(","):
            with PLACES[database](directory.absolute() / database, sizes) as place:
                for question in wanted:
                    timed.append(_timed(place, question, sizes, options.values, options.rounds))
                    print(_timed_line(timed[-1]), flush=True)
                if not options.only:
                    for ratio in [*_paged(place), *_registered(place, options.rounds)]:
                        ratios.append(ratio)
                        print(_ratio_line(ratio), flush=True)
    if options.json:
        found = {"times": [t._asdict() for t in timed], "ratios": [r._asdict() | {"ratio": r.ratio} for r in ratios]}
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    judged: list[Timed | Ratio] = [*timed, *ratios]
    missed = [f"{t.database}: {t.what}" for t in judged if getattr(t, "is_promised", True) and not t.is_met]
    if missed:
        print("\nMissed: " + "; ".join(missed), file=sys.stderr)


def _timed_line(t: Timed) -> str:
    missed = "MISSED" if not t.is_met_by_cpu else "missed on the wall only"
    mark = "" if t.is_met else f"  {missed}" if t.is_promised else "  no promise"
    wall = f"p50 {t.p50_ms:7.2f}  p99 {t.p99_ms:7.2f} ms"
    return f"{t.database:8}  {t.what:25} {wall}  CPU {t.p50_cpu_ms:7.2f}  {t.p99_cpu_ms:7.2f} ms  {t.led_by}{mark}"


def _ratio_line(r: Ratio) -> str:
    mark = "" if r.is_met else "  MISSED"
    return f"{r.database:9} {r.what:44} {r.ours_ms:8.2f} / {r.theirs_ms:8.2f} ms = {r.ratio:5.2f} (at most {r.limit}){mark}"


def _timed(place: Place, question: Question, sizes: Sizes, values: int, rounds: int) -> Timed:
    draw = random.Random(f"{question.what}")
    asked = [_asked(place.full, question, question.text(draw, sizes)) for _ in range(values)]
    index = _index(place, asked)
    walls, cpus = [], []
    server_cpu_s = place.server_cpu_s("full")
    begun = time.perf_counter()
    for _ in range(rounds):
        for ask in asked:
            cpu, wall = time.thread_time() + server_cpu_s(), time.perf_counter()
            ask()
            walls.append((time.perf_counter() - wall) * 1e3)
            cpus.append((time.thread_time() + server_cpu_s() - cpu) * 1e3)
            if time.perf_counter() - begun > SLOWEST_S:
                break
    summed = (statistics.median(walls), _percentile(walls, 0.99), statistics.median(cpus), _percentile(cpus, 0.99))
    return Timed(place.database, question.what, *summed, index, question.is_promised)


def _asked(registry: cm.Registry, question: Question, text: str) -> Callable[[], object]:
    """The call; what it needs to know first is found out now."""
    match question.verb:
        case "get":
            return lambda: registry.get(text)
        case "get by stage":
            stage = registry.versions.list(text, limit=1)[0].stage
            return lambda: registry.get(f"{text}#{stage}")
        case "get by digest":
            name, _, _ = text.partition(":")
            digest = registry.get(text).digest
            return lambda: registry.get(f"{name}@{digest[:19]}")
        case "list":
            return lambda: registry.versions.list(text)
        case _:
            return lambda: registry.versions.search(text)


def _index(place: Place, asked: list[Callable[[], object]]) -> str:
    """The index that leads for most of the values; also the first round, which does not count."""
    found: Counter[str] = Counter()
    for ask in asked[:EXPLAINED]:
        with indexes.ran() as statements:
            ask()
        found[indexes.leading_index(statements, place.explain)] += 1
    total = sum(found.values())
    return ", ".join(name if n == total else f"{name} {n / total:.0%}" for name, n in found.most_common(3))


def _percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def _paged(place: Place) -> Iterator[Ratio]:
    """Page 1,000 beside page 1 of the same search, in turn."""
    server_cpu_s = place.server_cpu_s("full")
    for what, where in PAGED.items():
        cursor = ""
        for _ in range(PAGES - 1):
            cursor = place.full.versions.search(where, cursor=cursor).cursor
            if not cursor:
                break
        if not cursor:
            continue  # a small catalog
        times: dict[str, list[float]] = {"": [], cursor: []}
        for _ in range(PAGE_REPEATS):
            for at, kept in times.items():
                cpu = time.thread_time() + server_cpu_s()
                place.full.versions.search(where, cursor=at)
                kept.append((time.thread_time() + server_cpu_s() - cpu) * 1e3)
        first, last = map(statistics.median, times.values())
        yield Ratio(place.database, f"page 1,000 by page 1, CPU: {what}", last, first, PAGE_RATIO)


def _registered(place: Place, rounds: int) -> Iterator[Ratio]:
    """Registering 10 kB into the large catalog beside an empty one, some in turn: plan, blobs, rows and audit."""
    serial = iter(range(10**9))
    stamp = time.time_ns()
    registries = {"full": place.full, "empty": place.empty}
    for registry in registries.values():
        _register(registry, serial, stamp)
    servers = {name: place.server_cpu_s(name) for name in registries}
    times: dict[tuple[str, str], list[float]] = {}
    for _ in range(rounds * 4):
        for name, registry in registries.items():
            cpu, wall = cpu_s() + servers[name](), time.perf_counter()
            _register(registry, serial, stamp)
            measured = time.perf_counter() - wall, cpu_s() + servers[name]() - cpu
            for unit, spent in zip(("wall", "CPU"), measured, strict=True):
                times.setdefault((name, unit), []).append(spent / REGISTRATIONS_A_ROUND * 1e3)
    for unit in ("CPU", "wall"):
        ours, theirs = (statistics.median(times[name, unit]) for name in ("full", "empty"))
        yield Ratio(place.database, f"register, full by empty catalog, {unit}", ours, theirs, REGISTER_RATIO)


def _register(registry: cm.Registry, serial: Iterator[int], stamp: int) -> None:
    for n in islice(serial, REGISTRATIONS_A_ROUND):
        registry.register(
            model_name(n % 10),
            {"blob": "ab" * 5_000, "n": n, "at": stamp},
            metrics={"auc": 0.5 + n / 1e6},
            tags={"team": "team1"},
            description="a fraud model of the benchmark",
        )


@contextmanager
def _sqlite(directory: Path, sizes: Sizes) -> Iterator[Place]:
    full = directory / "full"
    full.mkdir(parents=True, exist_ok=True)
    file = full / "chopmark.db"
    if not file.exists():
        _fill("SQLite", lambda: fill_sqlite(file, sizes.versions))
    print(f"SQLite {sqlite3.sqlite_version}, {file.stat().st_size / 2**20:,.0f} MiB", flush=True)
    with (
        tempfile.TemporaryDirectory(dir=directory) as empty,
        cm.open(full) as registry,
        cm.open(empty) as other,
        sqlite3.connect(f"file:{file}?mode=ro", uri=True) as connection,
    ):
        yield Place("sqlite", registry, other, indexes.sqlite_index(connection), lambda _: _no_server_cpu_s)
    connection.close()


@contextmanager
def _postgres(directory: Path, sizes: Sizes) -> Iterator[Place]:
    with running_postgres(directory) as server, tempfile.TemporaryDirectory() as stores:
        full = server.url("full")
        with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
            there = connection.execute("SELECT 1 FROM pg_database WHERE datname = 'full'").fetchone()
        if there is None:
            full = empty_database(server, "full")
            _fill("PostgreSQL", lambda: fill_postgres(full, sizes.versions))
        empty = empty_database(server, "empty")
        upgrade_catalog(empty)
        with (
            psycopg.connect(full) as connection,
            cm.open(Path(stores) / "full", database_url=full) as registry,
            cm.open(Path(stores) / "empty", database_url=empty) as other,
            psycopg.connect(server.url("postgres"), autocommit=True) as watching,
        ):
            size = connection.execute("SELECT pg_database_size('full')").fetchone()
            connection.rollback()
            assert size is not None
            version = connection.info.server_version // 10_000
            print(f"PostgreSQL {version}, {size[0] / 2**20:,.0f} MiB", flush=True)
            explain = indexes.postgres_index(connection)
            yield Place("postgres", registry, other, explain, lambda name: _server_cpu_s(watching, name))


def _server_cpu_s(connection: psycopg.Connection[Any], database: str) -> Callable[[], float]:
    """A clock of the CPU seconds of those of the server's processes that serve this database now."""
    asked = "SELECT pid FROM pg_stat_activity WHERE datname = %s AND backend_type = 'client backend'"
    files = [Path(f"/proc/{pid}/schedstat") for (pid,) in connection.execute(asked, (database,))]
    return lambda: sum(int(file.read_text().split()[0]) for file in files) / 1e9


def _no_server_cpu_s() -> float:
    return 0.0


def _fill(what: str, fill: Callable[[], None]) -> None:
    start = time.perf_counter()
    fill()
    print(f"{what} filled in {time.perf_counter() - start:.0f} s", flush=True)


PLACES = {"sqlite": _sqlite, "postgres": _postgres}

if __name__ == "__main__":
    main()
