"""From nothing to the first prediction of one model, and what is held then."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
from pathlib import Path

import chopmark as cm
from benchmarks.figures import Figure
from benchmarks.gateway import servers
from benchmarks.gateway.models import FRAUD, Given
from benchmarks.gateway.servers import infer

__all__ = ["figures"]

START_CPU_S, START_MIB = 1.5, 150.0
_TIMES = 3
_LOAD = """
import sys
import joblib
joblib.load(sys.argv[1])
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmRSS:")))
"""


def figures(place: Path, made: Path, given: Given) -> list[Figure]:
    """``chopmark serve`` with one logistic regression, beside a process that only loads that model."""
    place.mkdir(parents=True)
    with cm.open(place / "registry") as registry:
        version = registry.register(FRAUD, given.models[FRAUD], example=given.rows[:100])
        registry.endpoints.create("fraud-api", version)
    request = infer("/v2/models/fraud-api/infer", given.row)
    cpu_s, mib, floor_s, floor_mib = [], [], [], []
    for number in range(_TIMES):
        with servers.chopmark(place / f"ours-{number}", str(place / "registry"), request) as server:
            cpu_s.append(server.start_cpu_s)
            mib.append(server.resident_mib())
        spent_s, held_mib = _floor(made / f"{FRAUD}.joblib")
        floor_s.append(spent_s)
        floor_mib.append(held_mib)
    against, median = "joblib.load of the model", statistics.median
    return [
        Figure(
            "gateway: serve to its first prediction, CPU",
            median(cpu_s),
            "s",
            against,
            median(floor_s),
            limit_abs=START_CPU_S,
        ),
        Figure(
            "gateway: serve with one model, RSS", median(mib), "MiB", against, median(floor_mib), limit_abs=START_MIB
        ),
    ]


def _floor(model: Path) -> tuple[float, float]:
    """CPU seconds and mebibytes of a process that only loads the model."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-c", _LOAD, str(model)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return spent_s, int(said) / 1024
