"""Measure, and print a table and JSON.

    python -m benchmarks [--json FILE] [--mib 256] [--rounds 5]

Every figure is a ratio to a peer or a physical floor measured in the same run, the two in turn, so that
a busy machine slows both. Times are CPU of this process and its children unless they say wall; each
figure is the median of the rounds.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
from pathlib import Path

from benchmarks import calls, imports, stores
from benchmarks.figures import Figure


def main() -> None:
    """Run all benchmarks."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("--mib", type=int, default=256, help="size of the large file")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="chopmark-bench-", dir=Path.cwd()) as scratch:
        place = Path(scratch)
        figures = [
            *imports.figures(options.rounds),
            *calls.figures(place, options.rounds),
            *stores.figures(place, options.rounds, options.mib),
        ]
    print(f"Python {platform.python_version()}, {platform.machine()}, {platform.system()}\n")
    print(table(figures))
    if options.json:
        options.json.write_text(json.dumps([f._asdict() for f in figures], indent=2) + "\n")
    if not all(f.is_met for f in figures):
        print("\nA figure is above its limit.", file=sys.stderr)


def table(figures: list[Figure]) -> str:
    """The figures as aligned columns."""
    rows = [("WHAT", "OURS", "AGAINST", "THEIRS", "RATIO", "LIMIT")]
    for f in figures:
        limit = f.promised + ("" if f.is_met else "  missed")
        rows.append((f.what, f"{f.ours:.3f} {f.unit}", f.against, f"{f.theirs:.3f} {f.unit}", f"{f.ratio:.2f}", limit))
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)).rstrip() for r in rows)


if __name__ == "__main__":
    main()
