"""A check of drift, both sides of it: the profile of a reference is made, current data is counted, the two are compared.

Beside it in the same run the same check by Evidently's default preset and by alibi-detect's tabular drift, each in an environment of
its own (``python -m benchmarks.peers --make evidently alibi-detect``); where one is missing its row is. Ours is measured before
and after each. What it takes of memory is how far the peak of a process rises above what it was with the data in it.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.figures import Figure
from benchmarks.peers.environments import DRIFT_PEERS, made, pinned_version

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from chopmark.stats.drift_report import DriftReport

__all__ = ["figures"]

ROWS, COLUMNS, SHIFTED = 100_000, 50, 10
MANY_ROWS = 1_000_000
LIMITS = {"evidently": 1 / 15, "alibi-detect": 1 / 2}
MEMORY_LIMIT_MIB = 64
_TITLES = {"evidently": "Evidently", "alibi-detect": "alibi-detect"}
_MIB = 1 << 20
_ROOT = Path(__file__).parents[1]


def figures(place: Path, rounds: int, *, quick: bool = False) -> list[Figure]:
    """CPU against the peers that are there, and memory above the data."""
    import numpy as np

    rows = ROWS // 10 if quick else ROWS
    reference, current = _data(rows)
    np.save(place / "reference.npy", reference)
    np.save(place / "current.npy", current)
    tables = _columns(reference), _columns(current)
    _ours_s(*tables, 1)
    found = []
    for peer in DRIFT_PEERS:
        python = made(peer)
        if python is None:
            print(f"No row for {_TITLES[peer]}: `python -m benchmarks.peers --make {peer}`.", file=sys.stderr)
            continue
        ours = _ours_s(*tables, rounds)
        theirs = _theirs_s(peer, python, place, max(1, rounds // 2))
        ours += _ours_s(*tables, rounds)
        what = f"drift of {rows:,} x {COLUMNS}, both sides, CPU"
        against = f"{_TITLES[peer]} {pinned_version(peer)}"
        limit = None if quick else LIMITS[peer]
        found.append(Figure(what, statistics.median(ours), "s", against, statistics.median(theirs), limit))
    many = MANY_ROWS // 10 if quick else MANY_ROWS
    risen_mib, data_mib = _memory_mib(many)
    what = f"drift of {many:,} x {COLUMNS}, both sides, memory"
    return [*found, Figure(what, risen_mib, "MiB", "the data", data_mib, limit_abs=MEMORY_LIMIT_MIB)]


def _data(rows: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Normal columns, the first of which have moved by half a deviation; column by column, as a data frame has them."""
    import numpy as np

    draw = np.random.default_rng(11)
    reference, current = (np.empty((rows, COLUMNS), order="F") for _ in range(2))
    for each in (reference, current):
        for column in range(COLUMNS):
            draw.standard_normal(out=each[:, column])
    current[:, :SHIFTED] += 0.5
    return reference, current


def _columns(data: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    return {f"c{i}": data[:, i] for i in range(data.shape[1])}


def _check(reference: dict[str, Any], current: dict[str, Any]) -> DriftReport:
    from chopmark.stats.drift import check_drift
    from chopmark.stats.profile import Profile

    profile = Profile.of(reference)
    report = check_drift(profile, profile.count(current))
    assert sorted(report.drifted) == sorted(list(reference)[:SHIFTED]), report.sentence
    return report


def _ours_s(reference: dict[str, Any], current: dict[str, Any], rounds: int) -> list[float]:
    found = []
    for _ in range(rounds):
        begun = time.process_time()
        _check(reference, current)
        found.append(time.process_time() - begun)
    return found


def _theirs_s(peer: str, python: Path, place: Path, rounds: int) -> list[float]:
    home = place / peer
    home.mkdir()
    environment = os.environ | {"PYTHONPATH": str(_ROOT), "HOME": str(home), "DO_NOT_TRACK": "1"}
    command = [str(python), "-m", "benchmarks.peers.drift", peer, str(place), str(rounds)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=home, env=environment)
    if done.returncode:
        raise RuntimeError(f"{peer} could not check drift:\n{done.stderr[-2000:]}")
    answer = json.loads(done.stdout)
    assert answer["drifted"] >= SHIFTED, answer
    cpu_s: list[float] = answer["cpu_s"]
    return cpu_s


def _memory_mib(rows: int) -> tuple[float, float]:
    """Rise of the peak of a process of its own, and the size of the data in it."""
    command = [sys.executable, "-m", "benchmarks.drift", str(rows)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=_ROOT)
    risen_mib, data_mib = json.loads(done.stdout)
    return risen_mib, data_mib


def _measure_memory(rows: int) -> None:
    """In a process of its own: all is imported and has run once before the data is made, so that only the check is measured."""
    small = _data(5_000)
    _check(*map(_columns, small))
    data = _data(rows)
    tables = tuple(map(_columns, data))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    _check(*tables)
    risen_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(json.dumps([risen_kib / 1024, sum(each.nbytes for each in data) / _MIB]))


if __name__ == "__main__":
    _measure_memory(int(sys.argv[1]))
