"""Searches among many versions: `python -m benchmarks.search [--versions 1000000] [--keep FILE]`.

The rows are written by SQL, as many as a registry of years would have, spread as they are there: few common words and
many rare ones, some large teams and many small ones. Times are wall milliseconds of a page of 50 through the catalog,
warm: the median of the rounds.
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chopmark.base.clock import to_us
from chopmark.catalog import open_catalog
from chopmark.catalog.records import version_row
from chopmark.domain.query import parse_query
from chopmark.testing.catalog_records import Records

VERSIONS_A_MODEL = 100
WORDS_A_VERSION = 24
VOCABULARY = 50_000
STEP_US = 60_000_000
STAGES = ("development",) * 90 + ("staging",) * 4 + ("production",) * 3 + ("archived",) * 3

QUERIES = {
    "everything": "",
    "a stage": 'stage = "production"',
    "a tag": 'tags.team = "team3"',
    "a rare tag": 'tags.team = "team977"',
    "rare word": 'text ~ "needle"',
    "common word": 'text ~ "fraud"',
    "two common words": 'text ~ "fraud churn"',
    "common and rare word": 'text ~ "fraud needle"',
    "two words that seldom meet": 'text ~ "odd even"',
    "two words that never meet": 'text ~ "never ever"',
    "rare prefix": 'text ~ "needl*"',
    "common prefix": 'text ~ "frau*"',
    "word no version has": 'text ~ "absent"',
    "rare word by metric": 'text ~ "needle" order by metrics.auc desc',
    "common word by metric": 'text ~ "fraud" order by metrics.auc desc',
    "word of 1 % by metric": 'text ~ "percent" order by metrics.auc desc',
    "metric above, by metric": "metrics.auc > 0.9 order by metrics.auc desc",
    "rare tag by metric": 'tags.team = "team977" order by metrics.auc desc',
    "stage by metric": 'stage = "production" order by metrics.auc desc',
    "stage and tag by metric": 'stage = "production" and tags.team = "team3" order by metrics.auc desc',
    "common owner": 'owner = "owner1"',
    "rare owner": 'owner = "owner9999"',
    "rare team": 'team = "team977"',
    "rare format": 'format = "exotic"',
    "owner no version has": 'owner = "nobody"',
    "rare owner by metric": 'owner = "owner9999" order by metrics.auc desc',
    "unindexed, rare": 'task = "none"',
    "best of a model": "metrics.auc order by metrics.auc desc",
    "model by metric": 'name = "m00042" order by metrics.auc desc',
}


def main() -> None:
    """Make the catalog, and time the searches."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search")
    parser.add_argument("--versions", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--keep", type=Path, help="keep the database here, and use it again")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="chopmark-bench-", dir=Path.cwd()) as scratch:
        path = options.keep or Path(scratch) / "catalog.db"
        if not path.exists():
            fill(path, options.versions)
        print(f"{options.versions:,} versions, {path.stat().st_size / 2**20:,.0f} MiB\n")
        for what, median_ms, most_ms, rows in timed(path, options.rounds):
            print(f"{what:32} {median_ms:9.2f} ms   most {most_ms:9.2f} ms   {rows:3} rows")


def timed(path: Path, rounds: int) -> Iterator[tuple[str, float, float, int]]:
    """Each search with its median and longest time."""
    catalog = open_catalog(str(path))
    for what, text in QUERIES.items():
        query, times, found = parse_query(text), [], 0
        for _ in range(rounds + 1):
            start = time.perf_counter()
            with catalog.reading() as tx:
                model = tx.models.get("default", "m00042") if what == "best of a model" else None
                found = len(tx.versions.search(query, limit=50, model_id=model and model.id).versions)
            times.append((time.perf_counter() - start) * 1e3)
            if sum(times) > 20_000:
                break
        warm = times[1:] or times
        yield what, statistics.median(warm), max(warm), found
    catalog.close()


def fill(path: Path, count: int) -> None:
    """A catalog of that many versions, the same each time."""
    open_catalog(str(path)).close()
    records = Records()
    catalog = open_catalog(str(path))
    with catalog.writing() as tx:
        models = [records.add_model(tx, f"m{n:05}") for n in range(max(1, count // VERSIONS_A_MODEL))]
    catalog.close()
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; PRAGMA cache_size=-1000000")
    connection.execute("BEGIN")
    template = version_row(records.version(models[0], 1))
    template = {k: v for k, v in template.items() if k != "model_uid"} | {"project_key": 1}
    columns = ["key", "model_key", *template]
    spread = random.Random(7)
    start_us = to_us(records.now())
    rows = (_version(template, n, len(models), start_us, spread) for n in range(count))
    _insert(connection, "versions", columns, ([row[c] for c in columns] for row in rows))
    for table, values in (("version_words", _words), ("version_metrics", _metrics), ("version_tags", _tags)):
        made = values(count, start_us, random.Random(11))
        named = [name for _, name, *_ in connection.execute(f"PRAGMA table_info({table})")]
        _insert(connection, table, named, made)
    connection.execute("COMMIT")
    connection.close()


def _insert(connection: sqlite3.Connection, table: str, columns: list[str], rows: Iterator[Any]) -> None:
    marks = ", ".join("?" * len(columns))
    connection.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", rows)


def _version(template: dict[str, Any], n: int, models: int, start_us: int, spread: random.Random) -> dict[str, Any]:
    number = n // models + 1
    made = dict.fromkeys(("created_us", "updated_us", "stage_since_us"), start_us + n * STEP_US)
    return {
        **template,
        **made,
        "key": n + 1,
        "model_key": n % models + 1,
        "uid": n.to_bytes(16),
        "number": number,
        "semver": f"1.{number}.0",
        "semver_key": f"0011{len(str(number)):03d}{number}0010~",
        "stage": _stage(n),
        "owner": f"owner{int(spread.paretovariate(0.5)) % 10_000}",
        "team": f"team{int(spread.paretovariate(0.7)) % 1_000}",
        "format": spread.choices(("skops", "onnx", "torch", "exotic"), (600_000, 300_000, 100_000, 10))[0],
    }


def _stage(n: int) -> str:
    return STAGES[n * 7_919 % len(STAGES)]


def _words(count: int, start_us: int, spread: random.Random) -> Iterator[tuple[str, int, int]]:
    by_word: list[tuple[str, int]] = []
    for n in range(count):
        words = {f"w{int(spread.paretovariate(0.6)) % VOCABULARY}" for _ in range(WORDS_A_VERSION - 4)}
        words |= {
            word for word, every in (("fraud", 2), ("churn", 3), ("percent", 100), ("needle", 50_000)) if n % every == 1
        }
        words |= {"odd" if n % 2 else "even"} | ({"odd"} if n % 20_000 == 0 else set())
        words |= {"never"} if n % 2 else {"ever"}
        by_word += ((word, n) for word in words)
    by_word.sort()
    return ((word, start_us + n * STEP_US, n + 1) for word, n in by_word)


def _metrics(count: int, start_us: int, spread: random.Random) -> Iterator[tuple[str, float, int, int]]:
    rows = sorted((key, round(spread.random(), 4), n) for key in ("auc", "f1", "recall") for n in range(count))
    return ((key, value, start_us + n * STEP_US, n + 1) for key, value, n in rows)


def _tags(count: int, start_us: int, spread: random.Random) -> Iterator[tuple[str, str, int, int, str, str]]:
    rows = sorted((f"team{int(spread.paretovariate(0.7)) % 1_000}", n) for n in range(count))
    return (("team", team, start_us + n * STEP_US, n + 1, _stage(n), team) for team, n in rows)


if __name__ == "__main__":
    main()
