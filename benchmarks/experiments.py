"""What an experiment costs: recording arrays, merging what replicas saw, a look, and the import."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np

from benchmarks.figures import Figure, compare
from chopmark.stats import Batch, Experiment, Exposures, Mean, Metric, Plan, Proportion, QuantileSketch
from chopmark.stats.plans import Summary

__all__ = ["figures"]

ROWS = 1_000_000
MERGES = 200
LOOKS = 100
ROW_US = 0.2
"""Five million rows a second."""
MERGE_US = 100.0
IMPORT_MS = 350.0

PLAN = Plan(
    variants={"a": 0.5, "b": 0.5},
    control="a",
    metrics=(
        Metric(name="success", kind="proportion", role="primary", baseline=0.95),
        Metric(name="errors", kind="proportion", role="guardrail", better="lower"),
        Metric(name="cost", kind="mean"),
        Metric(name="latency_ms", kind="quantile", better="lower", limit=100.0),
    ),
)


def figures(rounds: int) -> list[Figure]:
    """Two arms and four metrics, one of them a sketch, on one core."""
    random = np.random.default_rng(1)
    columns = {
        "success": random.random(ROWS) < 0.95,
        "errors": random.random(ROWS) < 0.01,
        "cost": random.gamma(2.0, 3.0, ROWS),
        "latency_ms": random.lognormal(3.0, 0.6, ROWS),
    }
    is_treatment = random.random(ROWS) < 0.5
    batch, other = _recorded(columns, is_treatment), _recorded(columns, ~is_treatment)

    def split() -> None:
        for arm in (~is_treatment, is_treatment):
            for column in columns.values():
                column[arm].sum()

    def merge() -> None:
        for _ in range(MERGES):
            batch + other

    def add() -> None:
        for _ in range(MERGES):
            np.add(counts, counts)

    def look() -> None:
        experiment = Experiment.planned(PLAN)
        for _ in range(LOOKS):
            experiment = experiment.observe(batch)
        assert experiment.verdict.decision

    counts = np.ones((8, 512), dtype=np.int64)
    recorded = compare(lambda: _recorded(columns, is_treatment), split, rounds)
    merged = compare(merge, add, rounds)
    looked = compare(look, merge, rounds)
    imported = compare(lambda: _run("import chopmark.stats"), lambda: _run("pass"), rounds)
    tested = compare(lambda: _run(_FIRST_TEST), lambda: _run("import numpy"), rounds)
    row, each = 1e6 / ROWS, 1e6 / MERGES
    return [
        Figure("record a row, 2 arms x 4 metrics, CPU", recorded[0] * row, "µs", "splitting the arrays by arm and summing",
               recorded[1] * row, limit_abs=ROW_US),
        Figure("merge two replicas' batches, CPU", merged[0] * each, "µs", "adding 8 arrays of 512 counts", merged[1] * each,
               limit_abs=MERGE_US),
        Figure("observe a batch, CPU", looked[0] * 1e6 / LOOKS, "µs", "merging two batches", looked[1] * each),
        Figure("import chopmark.stats, CPU", imported[0] * 1e3, "ms", "python -c pass", imported[1] * 1e3, limit_abs=IMPORT_MS),
        Figure("import and test two rates, CPU", tested[0] * 1e3, "ms", "import numpy", tested[1] * 1e3),
    ]  # fmt: skip


_FIRST_TEST = "from chopmark.stats import Proportion, z_test; z_test(Proportion(9, 10), Proportion(8, 10))"


def _recorded(columns: dict[str, Any], is_treatment: Any) -> Batch:
    records: dict[str, dict[str, Summary]] = {}
    counts: dict[str, int] = {}
    for variant, arm in (("a", ~is_treatment), ("b", is_treatment)):
        records[variant] = {
            "success": Proportion.of(columns["success"][arm]),
            "errors": Proportion.of(columns["errors"][arm]),
            "cost": Mean.of(columns["cost"][arm]),
            "latency_ms": QuantileSketch.of(columns["latency_ms"][arm]),
        }
        counts[variant] = int(np.count_nonzero(arm))
    return Batch(exposures=Exposures(counts), records=records)


def _run(program: str) -> None:
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
