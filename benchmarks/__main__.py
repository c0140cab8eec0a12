"""Measure, and print a table and JSON.

    python -m benchmarks [--only PART …] [--json FILE] [--mib 1024] [--rounds 5] [--quick]

Every figure is a ratio to a peer or a physical floor measured in the same run, the two in turn, so that
a busy machine slows both. Times are CPU of this process and its children unless they say wall; each
figure is the median of the rounds. The parts are independent of one another; ``catalog`` and ``growth`` fill
catalogs with a million versions, take longer than all the others, and are measured when they are named. A figure above its
limit is told, and is no error: a time says nothing in a test.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from benchmarks import (
    calls,
    catalog,
    drift,
    experiments,
    imports,
    outcomes,
    rollouts,
    searches,
    server,
    sharing,
    stores,
    syncs,
    transfers,
)
from benchmarks.figures import Figure
from benchmarks.gateway import figures as gateway


class Sizes(NamedTuple):
    """How much is measured, and how often."""

    rounds: int
    mib: int
    quick: bool


PARTS: dict[str, Callable[[Path, Sizes], list[Figure]]] = {
    "imports": lambda _, sizes: imports.figures(sizes.rounds),
    "calls": lambda place, sizes: calls.figures(place, sizes.rounds),
    "syncs": lambda place, _: syncs.figures(place),
    "stores": lambda place, sizes: stores.figures(place, sizes.rounds, sizes.mib, quick=sizes.quick),
    "sharing": lambda place, sizes: sharing.figures(place, large_bytes=(8 if sizes.quick else 64) << 20),
    "experiments": lambda _, sizes: experiments.figures(sizes.rounds),
    "drift": lambda place, sizes: drift.figures(place, sizes.rounds, quick=sizes.quick),
    "outcomes": lambda place, sizes: outcomes.figures(place, sizes.rounds, quick=sizes.quick),
    "server": lambda place, sizes: server.figures(place, sizes.rounds, quick=sizes.quick),
    "searches": lambda place, sizes: searches.figures(place, sizes.rounds, quick=sizes.quick),
    "growth": lambda place, sizes: searches.growth_figures(place, sizes.rounds, quick=sizes.quick),
    "transfers": lambda place, sizes: transfers.figures(place, sizes.rounds, sizes.mib, quick=sizes.quick),
    "gateway": lambda place, sizes: gateway.figures(place, sizes.rounds, quick=sizes.quick),
    "rollouts": lambda place, sizes: rollouts.figures(place, sizes.rounds, quick=sizes.quick),
    "catalog": lambda place, sizes: catalog.figures(place, quick=sizes.quick),
}
ONLY_WHEN_NAMED = {"catalog", "growth"}


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--only", nargs="+", choices=PARTS, metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("--mib", type=int, help="size of the large file (1024; 64 with --quick)")
    parser.add_argument("--rounds", type=int, help="how often each is measured (5; 3 with --quick)")
    parser.add_argument("--quick", action="store_true", help="less of everything, to see that it runs")
    options = parser.parse_args()
    sizes = Sizes(
        options.rounds or (3 if options.quick else 5), options.mib or (64 if options.quick else 1024), options.quick
    )
    figures: list[Figure] = []
    print(f"Python {platform.python_version()}, {platform.machine()}, {platform.system()}, {load()}\n", flush=True)
    with tempfile.TemporaryDirectory(prefix="chopmark-bench-", dir=Path.cwd(), ignore_cleanup_errors=True) as scratch:
        Path(scratch).chmod(0o755)  # PostgreSQL runs as another user when this runs as root
        for name in [part for part in PARTS if part in (options.only or PARTS.keys() - ONLY_WHEN_NAMED)]:
            place = Path(scratch) / name
            place.mkdir()
            figures += PARTS[name](place, sizes)
    print(table(figures))
    print(f"\n{load()} at the end")
    if options.json:
        options.json.write_text(json.dumps([as_json(f) for f in figures], indent=2) + "\n")
    if not all(f.is_met for f in figures):
        print("\nA figure is above its limit.", file=sys.stderr)


def load() -> str:
    """How busy the machine is: times of more than the processors have room for say little."""
    return f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors"


def as_json(figure: Figure) -> dict[str, object]:
    """A figure with what follows from it."""
    return figure._asdict() | {"ratio": figure.ratio, "is_met": figure.is_met}


def table(figures: list[Figure]) -> str:
    """The figures as aligned columns."""
    rows = [("WHAT", "TAKES", "AGAINST", "TAKES", "RATIO", "LIMIT")]
    for f in figures:
        limit = f.promised + ("" if f.is_met else "  missed")
        rows.append((f.what, f"{f.ours:.3f} {f.unit}", f.against, f"{f.theirs:.3f} {f.unit}", f"{f.ratio:.2f}", limit))
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)).rstrip() for r in rows)


if __name__ == "__main__":
    main()
