"""The catalog of a million versions as one part of all figures; `benchmarks.catalog_million` measures it, and alone tells more."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure
from tests.backends.postgres import find_binaries

__all__ = ["figures", "from_json"]

P50_MS, P99_MS = 2.0, 25.0


def figures(place: Path, *, quick: bool = False) -> list[Figure]:
    """Ask the catalog in a process of its own, which prints as it goes."""
    answers = place / "catalog.json"
    home = place / "catalog"
    home.mkdir()
    command = [sys.executable, "-m", "benchmarks.catalog_million", "--json", str(answers), "--keep", str(home)]
    if find_binaries() is None:
        print("No rows for PostgreSQL, which is not installed.", file=sys.stderr)
        command += ["--on", "sqlite"]
    if quick:
        command += ["--versions", "10000", "--values", "50"]
    subprocess.run(command, check=True, stdout=sys.stderr)
    return from_json(json.loads(answers.read_text()))


def from_json(found: dict[str, Any]) -> list[Figure]:
    """Its answers as figures: the times on the wall, beside what of them was CPU."""
    figures: list[Figure] = []
    for each in found["times"]:
        for percentile, limit in (("p50", P50_MS), ("p99", P99_MS)):
            what = f"{each['database']}: {each['what']}, {percentile}"
            wall, cpu = each[f"{percentile}_ms"], each[f"{percentile}_cpu_ms"]
            figures.append(Figure(what, wall, "ms", "of it CPU", cpu, limit_abs=limit if each["is_promised"] else None))
    for each in found["ratios"]:
        against = each["what"].partition(" by ")[2]
        name = f"{each['database']}: {each['what']}"
        figures.append(Figure(name, each["ours_ms"], "ms", against, each["theirs_ms"], limit=each["limit"]))
    return figures
