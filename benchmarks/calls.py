"""What a verb costs beside the database work it cannot do without."""

from __future__ import annotations

import pickle
import sqlite3
from collections.abc import Callable
from pathlib import Path

import chopmark as cm
from benchmarks.figures import Figure, compare, wall_s

__all__ = ["figures"]

READS = 500
WRITES = 20


def figures(place: Path, rounds: int) -> list[Figure]:
    """Resolve by each kind of reference, register, and load a 10 kB model."""
    floor = sqlite3.connect(place / "floor.db", isolation_level=None)
    floor.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE t(k INTEGER PRIMARY KEY, v)")
    floor.executemany("INSERT INTO t VALUES (?, ?)", [(i, "x" * 500) for i in range(1000)])
    blob = bytes(range(256)) * 40
    with cm.open(place / "registry", trust="own_registry") as registry:
        version = registry.register("fraud", {"blob": blob.hex(), "n": -1})
        registry.alias("fraud@champion", version)
        found = [_resolve(registry, ref, floor, rounds) for ref in ("fraud:1", "fraud@champion", "fraud:^1.0")]
        found += _register(registry, floor, blob, rounds)
        found.append(_load(registry, blob, rounds))
    floor.close()
    return found


def _times(count: int, call: Callable[[int], object]) -> Callable[[], None]:
    def run() -> None:
        for i in range(count):
            call(i)

    return run


def _resolve(registry: cm.Registry, ref: str, floor: sqlite3.Connection, rounds: int) -> Figure:
    ours, theirs = compare(
        _times(READS, lambda _: registry.get(ref)),
        _times(READS, lambda i: floor.execute("SELECT * FROM t WHERE k = ?", (i,)).fetchone()),
        rounds,
    )
    return Figure(f"get {ref}, CPU", ours / READS * 1e6, "µs", "SQLite point read", theirs / READS * 1e6)


def _register(registry: cm.Registry, floor: sqlite3.Connection, blob: bytes, rounds: int) -> list[Figure]:
    serial = iter(range(10**9))

    def register(_: int) -> None:
        registry.register("fraud", {"blob": blob.hex(), "n": next(serial)})

    def commit(i: int) -> None:  # equal values would write nothing
        floor.execute("UPDATE t SET v = ? WHERE k = ?", (f"{next(serial):0500}", i))

    found = []
    for what, clock in (("register 10 kB, CPU", None), ("register 10 kB, wall", wall_s)):
        clocks = {} if clock is None else {"clock": clock}
        ours, theirs = compare(_times(WRITES, register), _times(WRITES, commit), rounds, **clocks)
        found.append(Figure(what, ours / WRITES * 1e3, "ms", "SQLite durable commit", theirs / WRITES * 1e3))
    return found


def _load(registry: cm.Registry, blob: bytes, rounds: int) -> Figure:
    pickled = pickle.dumps({"blob": blob.hex()})
    ours, theirs = compare(
        _times(READS, lambda _: registry.load("fraud@champion")), _times(READS, lambda _: pickle.loads(pickled)), rounds
    )
    return Figure("load 10 kB by alias, CPU", ours / READS * 1e3, "ms", "unpickling 10 kB", theirs / READS * 1e3)
