"""What a verb costs beside the database work it cannot do without."""

from __future__ import annotations

import pickle
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import chopmark as cm
from benchmarks.figures import Figure, compare, wall_s

__all__ = ["figures"]

READS = 500
WRITES = 20
VERSIONS = 1_000
WRITERS = 8

RESOLVE_US = 150.0
REGISTER_CPU_MS = 5.0
REGISTER_COMMITS = 2.0
LOAD_MS = 1.5

REFS = (
    "fraud",
    "fraud:1",
    "fraud:1.0.0",
    "fraud:^1.0",
    "fraud:latest",
    "fraud@champion",
    "fraud#staging",
    "fraud@{digest}",
    "many",
    "many:^1.0",
    "many#development",
)


def figures(place: Path, rounds: int) -> list[Figure]:
    """Resolve by each kind of reference, register, and load a 10 kB model."""
    floor = sqlite3.connect(place / "floor.db", isolation_level=None)
    floor.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE t(k INTEGER PRIMARY KEY, v)")
    floor.executemany("INSERT INTO t VALUES (?, ?)", [(i, "x" * 500) for i in range(1000)])
    blob = bytes(range(256)) * 40
    with cm.open(place / "registry", trust="own_registry") as registry:
        version = registry.register("fraud", {"blob": blob.hex(), "n": -1})
        registry.alias("fraud@champion", version)
        registry.promote(version, "staging", reason="to have one there")
        _register_many(registry)
        found = [_resolve(registry, ref, version.digest, floor, rounds) for ref in REFS]
        found += _register(registry, floor, blob, rounds)
        found.append(_load(registry, blob, rounds))
    floor.close()
    return found


def _register_many(registry: cm.Registry) -> None:
    """A model with so many versions; their writers share commits."""
    with ThreadPoolExecutor(WRITERS) as pool:
        registered = pool.map(lambda n: registry.register("many", {"n": n}, bump="minor"), range(VERSIONS))
        for _ in registered:
            pass


def _times(count: int, call: Callable[[int], object]) -> Callable[[], None]:
    def run() -> None:
        for i in range(count):
            call(i)

    return run


def _resolve(registry: cm.Registry, ref: str, digest: str, floor: sqlite3.Connection, rounds: int) -> Figure:
    asked = ref.format(digest=digest)
    ours, theirs = compare(
        _times(READS, lambda _: registry.get(asked)),
        _times(READS, lambda i: floor.execute("SELECT * FROM t WHERE k = ?", (i,)).fetchone()),
        rounds,
    )
    what = f"get {ref}, CPU" + (f" ({VERSIONS:,} versions)" if ref.startswith("many") else "")
    each_us, theirs_us = ours / READS * 1e6, theirs / READS * 1e6
    return Figure(what, each_us, "µs", "SQLite point read", theirs_us, limit_abs=RESOLVE_US)


def _register(registry: cm.Registry, floor: sqlite3.Connection, blob: bytes, rounds: int) -> list[Figure]:
    serial = iter(range(10**9))

    def register(_: int) -> None:
        registry.register("fraud", {"blob": blob.hex(), "n": next(serial)})

    def commit(i: int) -> None:  # equal values would write nothing
        floor.execute("UPDATE t SET v = ? WHERE k = ?", (f"{next(serial):0500}", i))

    calls = _times(WRITES, register), _times(WRITES, commit)
    cpu = [s / WRITES * 1e3 for s in compare(*calls, rounds)]
    wall = [s / WRITES * 1e3 for s in compare(*calls, rounds, clock=wall_s)]
    against = "SQLite durable commit"
    return [
        Figure("register 10 kB, CPU", cpu[0], "ms", against, cpu[1], limit_abs=REGISTER_CPU_MS),
        Figure("register 10 kB, wall", wall[0], "ms", against, wall[1], limit=REGISTER_COMMITS),
    ]


def _load(registry: cm.Registry, blob: bytes, rounds: int) -> Figure:
    pickled = pickle.dumps({"blob": blob.hex()})
    ours, theirs = compare(
        _times(READS, lambda _: registry.load("fraud@champion")), _times(READS, lambda _: pickle.loads(pickled)), rounds
    )
    each_ms, theirs_ms = ours / READS * 1e3, theirs / READS * 1e3
    return Figure("load 10 kB by alias, CPU", each_ms, "ms", "unpickling 10 kB", theirs_ms, limit_abs=LOAD_MS)
