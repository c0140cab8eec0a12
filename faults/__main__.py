"""Break things on purpose, and print what came of it.

    python -m faults [--kills N] [--seed S] [--short] [--only NAME …] [--json FILE]

A finding is a promise that was broken: with any, the exit code is 1. Each says the seed and the round by which it is
seen again, and what it is about is kept.
"""

from __future__ import annotations

import argparse
import platform
import shutil
import sys
import tempfile
import time
from pathlib import Path

from faults.options import Options
from faults.parts import PARTS, run_part
from faults.report import Outcome, as_json, is_clean, table, told
from faults.servers import running

KILLS, KILLS_SHORT = 10_000, 300
VERSIONS, VERSIONS_SHORT = 1_000_000, 20_000


def main() -> int:
    """Run the parts that were asked for."""
    asked = _parser().parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="chopmark-faults-", dir=asked.scratch))
    scratch.chmod(0o755)  # servers run as another user when this runs as root
    options = Options(
        seed=asked.seed,
        short=asked.short,
        kills=asked.kills if asked.kills is not None else (KILLS_SHORT if asked.short else KILLS),
        versions=asked.versions if asked.versions is not None else (VERSIONS_SHORT if asked.short else VERSIONS),
        scratch=scratch,
        keep=asked.keep if asked.keep is not None else scratch.with_name(f"{scratch.name}-kept"),
    )
    begun = time.perf_counter()
    outcomes: list[Outcome] = []
    try:
        with running():
            for name in asked.only or PARTS:
                print(f"{name} …", file=sys.stderr, flush=True)
                outcomes += run_part(name, options)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    seconds = time.perf_counter() - begun
    print(f"Python {platform.python_version()}, {platform.machine()}, {platform.system()}; seed {options.seed}\n")
    print(table(outcomes))
    print(f"\n{seconds:.0f} s")
    if asked.json:
        facts = {"seed": options.seed, "short": options.short, "seconds": round(seconds, 1)}
        asked.json.write_text(as_json(outcomes, **facts))
    if not is_clean(outcomes):
        print(f"\n{told(outcomes)}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m faults", description="Break things on purpose.")
    parser.add_argument("--kills", type=int, help=f"processes to kill ({KILLS:,}; {KILLS_SHORT} in the short form)")
    parser.add_argument("--seed", type=int, default=1, help="where all randomness comes from")
    parser.add_argument("--short", action="store_true", help="the form that CI runs: about a minute")
    parser.add_argument("--only", nargs="+", choices=sorted(PARTS), metavar="NAME", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--json", type=Path, help="also write the outcomes here")
    parser.add_argument("--versions", type=int, help="size of the catalog that starting up is measured at")
    parser.add_argument("--scratch", type=Path, help="where to work (the system's temporary directory)")
    parser.add_argument("--keep", type=Path, help="where to keep what findings are about")
    return parser


if __name__ == "__main__":
    sys.exit(main())
