"""Instructions of register, resolve, search and a prediction, held against committed baselines.

    python -m benchmarks.instructions [--update] [--repeat N]

Times on a busy machine say little; how many instructions a call takes is nearly the same everywhere. Valgrind's callgrind
counts them in one process: the calls are warmed up first, and counters are read before and after each run of them, so that
the start of Python is in no figure. What depends on chance is kept out: the hash seed is fixed, so is the clock, the garbage
collector is off, and nothing is recorded in the background. System calls and what the kernel does for them do not count.

The baselines in ``baselines.json`` are for one Python, SQLite and architecture. A figure that is more than 5 % above its own fails
the check; one that is more than 5 % below asks to be renewed with ``--update``, which writes what was counted.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import platform
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

__all__ = ["Judgement", "judged", "main", "read_counts"]

ROOT = Path(__file__).resolve().parents[1]
BASELINES = ROOT / "benchmarks" / "baselines.json"
TOLERANCE = 0.05
VERSIONS = 500
WARM_UP = 20
MARK = "getsid"
"""A function of the C library that nothing else calls: callgrind writes its counters down whenever it is called."""

CALLS = {
    "register 10 kB": 20,
    "resolve by number": 200,
    "resolve by alias": 200,
    "resolve by range": 200,
    "search by tag and stage": 50,
    "search by metric": 50,
    "search by words": 50,
    "20 predictions": 20,
}
"""Figures, and how many calls are counted for each."""


class Judgement(NamedTuple):
    """What a comparison with the baselines says; ``is_fault`` when the check must fail for it."""

    is_fault: bool
    text: str


def judged(counts: Mapping[str, int], baseline: Mapping[str, int], tolerance: float = TOLERANCE) -> list[Judgement]:
    """Compare what was counted with a baseline; empty when all is as it was.

    Parameters
    ----------
    counts, baseline
        Instructions a call, by figure.
    tolerance
        Largest share by which a figure may differ.
    """
    found = []
    for what in [*counts, *(w for w in baseline if w not in counts)]:
        now, then = counts.get(what), baseline.get(what)
        if now is None:
            found.append(_fault(f"{what} is in the baselines and was not counted; renew them with --update."))
        elif then is None:
            found.append(_fault(f"{what} has no baseline; write it with --update."))
        elif abs(now - then) > then * tolerance:
            told = f"{what} takes {now:,} instructions, {now / then - 1:+.1%} against its baseline of {then:,}."
            found.append(
                _fault(f"{told} Mend it, or say why in the change that renews it with --update.")
                if now > then
                else Judgement(is_fault=False, text=f"{told} Lower the baseline with --update, so that it stays.")
            )
    return found


def _fault(text: str) -> Judgement:
    return Judgement(is_fault=True, text=text)


def machine() -> str:
    """What the baselines hold for."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{python}, SQLite {sqlite3.sqlite_version}, {platform.machine()}"


def main() -> int:
    """Count, compare, and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructions")
    parser.add_argument("--update", action="store_true", help="write what was counted as the baselines of this Python")
    parser.add_argument("--repeat", type=int, default=1, help="count so many times, and say by how much they differ")
    parser.add_argument("--run", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        _run(options.run)
        return 0
    known: dict[str, dict[str, int]] = json.loads(BASELINES.read_text()) if BASELINES.exists() else {}
    if machine() not in known and not options.update:
        kinds = "; ".join(known) or "none"
        print(f"There are no baselines for {machine()} (only for: {kinds}). Make them with --update.", file=sys.stderr)
        return 2
    runs = [counted() for _ in range(options.repeat)]
    counts = runs[-1]
    for what, now in counts.items():
        then = known.get(machine(), {}).get(what)
        beside = f"{now / then - 1:+7.1%} against {then:>12,}" if then else "no baseline"
        spread = max(r[what] for r in runs) / min(r[what] for r in runs) - 1
        repeated = f"   spread {spread:.2%}" if options.repeat > 1 else ""
        print(f"{what:26} {now:>12,} instructions a call   {beside}{repeated}")
    if options.update:
        BASELINES.write_text(json.dumps({**known, machine(): counts}, indent=2) + "\n")
        print(f"Written as the baselines for {machine()}.")
        return 0
    findings = judged(counts, known[machine()])
    for finding in findings:
        print(finding.text, file=sys.stderr)
    return int(any(finding.is_fault for finding in findings))


def counted() -> dict[str, int]:
    """Count once, in a registry made for it: instructions a call, by figure.

    Raises
    ------
    RuntimeError
        When there is no valgrind.
    """
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise RuntimeError("valgrind is not installed (Debian, Ubuntu: apt-get install valgrind)")
    with tempfile.TemporaryDirectory(prefix="chopmark-instructions-") as scratch:
        place = Path(scratch) / "registry"
        place.mkdir()
        _fill(place)
        command = [
            valgrind,
            "--tool=callgrind",
            f"--dump-before={MARK}",
            f"--callgrind-out-file={scratch}/counts",
            sys.executable,
            "-m",
            "benchmarks.instructions",
            "--run",
            str(place),
        ]
        environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(ROOT)}
        # Not in a working tree: git is asked for its state once a second, so a busy machine would count more of that.
        done = subprocess.run(command, env=environment, cwd=scratch, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"counting failed:\n{done.stderr[-3000:]}")
        dumps = sorted(Path(scratch).glob("counts.*"), key=lambda p: int(p.suffix[1:]))
        return read_counts([dump.read_text() for dump in dumps])


def read_counts(dumps: Sequence[str]) -> dict[str, int]:
    """Instructions a call from what callgrind wrote down: one text before each figure's calls, one after them.

    Raises
    ------
    ValueError
        When there are more or fewer of them, or one has no total.
    """
    if len(dumps) != 2 * len(CALLS):
        raise ValueError(f"callgrind wrote {len(dumps)} sets of counters, not {2 * len(CALLS)}")
    counts = {}
    for (what, calls), dump in zip(CALLS.items(), dumps[1::2], strict=True):
        total = re.search(r"^(?:summary|totals): (\d+)", dump, re.MULTILINE)
        if total is None:
            raise ValueError(f"callgrind wrote no total for {what}")
        counts[what] = int(total[1]) // calls
    return counts


def _fill(place: Path) -> None:
    from benchmarks.filling import fill_sqlite

    fill_sqlite(place / "chopmark.db", VERSIONS)


def _run(place: Path) -> None:
    """What is counted, in the process that valgrind watches."""
    import chopmark as cm
    from chopmark.base.clock import FakeClock
    from chopmark.base.deferred import Deferred

    gc.disable()
    with (
        patch.object(Deferred, "ask", lambda _: None),
        cm.open(place, clock=FakeClock(step=timedelta(milliseconds=1)), actor="ann") as registry,
    ):
        for what, call in _calls(registry).items():
            for _ in range(WARM_UP):
                call()
            os.getsid(0)
            for _ in range(CALLS[what]):
                call()
            os.getsid(0)


def _calls(registry: object) -> dict[str, Callable[[], object]]:
    import chopmark as cm

    assert isinstance(registry, cm.Registry)
    serial = iter(range(10**6, 10**7))

    def register() -> object:
        model = {"blob": "ab" * 5_000, "n": next(serial)}
        return registry.register(
            "m00001", model, metrics={"auc": 0.5}, tags={"team": "team1"}, description="a fraud model"
        )

    def searching(where: str) -> Callable[[], object]:
        return lambda: registry.versions.search(where, limit=20)

    return {
        "register 10 kB": register,
        "resolve by number": lambda: registry.get("m00002:40"),
        "resolve by alias": lambda: registry.get("m00002@champion"),
        "resolve by range": lambda: registry.get("m00002:^1.4"),
        "search by tag and stage": searching('tags.team = "team1" and stage = "development"'),
        "search by metric": searching("metrics.auc > 0.5 order by metrics.auc desc"),
        "search by words": searching('text ~ "fraud odd"'),
        "20 predictions": _predicting(),
    }


def _predicting() -> Callable[[], object]:
    """Requests through the gateway, from the server's call to its answer, with a model that answers at once."""
    from benchmarks.gateway import inside

    body = json.dumps({"inputs": [{"name": "rows", "shape": [1, 10], "datatype": "FP64", "data": [0.5] * 10}]})
    loop = asyncio.new_event_loop()
    gateway, _, _ = loop.run_until_complete(inside.opened(inside.SPLIT))
    ask = inside.ask(gateway, body.encode(), b"customer-4711")

    async def asked() -> None:
        for _ in range(20):
            await ask()

    return lambda: loop.run_until_complete(asked())


if __name__ == "__main__":
    sys.exit(main())
