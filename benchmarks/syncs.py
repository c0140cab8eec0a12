"""How often a registration asks the disk to make something durable, counted from outside by strace."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
from pathlib import Path

from benchmarks.figures import Figure

__all__ = ["figures", "syncs_of_a_registration"]

REPEATS = 5
SYNCS = 2.0

# The background writes half a second after a change. Marks are system calls that do nothing: kill with signal 0.
_REGISTERING = """
import os, sys, time
import chopmark as cm

def mark():
    time.sleep(1.2)
    os.kill(os.getpid(), 0)

with cm.open(sys.argv[1], trust="own_registry") as registry:
    registry.register("fraud", {"blob": "00" * 10_000, "n": -1})
    for n in range(int(sys.argv[2])):
        mark()
        registry.register("fraud", {"blob": "00" * 10_000, "n": n})
        os.kill(os.getpid(), 0)
    mark()
"""


def figures(place: Path) -> list[Figure]:
    """What waits for the disk; counted only where strace is installed, as nobody else sees those of SQLite."""
    counted = syncs_of_a_registration(place / "traced")
    if counted is None:
        return []
    before, after = counted
    against = "one for bytes, one for rows"
    return [
        Figure("register 10 kB, syncs before the answer", before, "", against, SYNCS, limit=1.0),
        Figure("register 10 kB, syncs in the background", after, "", against, SYNCS),
    ]


def syncs_of_a_registration(place: Path) -> tuple[float, float] | None:
    """Syncs before the answer and after it, in the background, of one registration; None without strace."""
    strace = shutil.which("strace")
    if strace is None:
        return None
    trace = place.with_suffix(".strace")
    traced = [strace, "-f", "-qq", "-o", str(trace), "-e", "trace=fsync,fdatasync,kill", "-e", "signal=none"]
    command = [*traced, sys.executable, "-c", _REGISTERING, str(place), str(REPEATS)]
    if subprocess.run(command, check=False, capture_output=True).returncode != 0:
        return None  # a container may forbid tracing
    return counted(trace.read_text())


def counted(trace: str) -> tuple[float, float]:
    """Medians of the syncs between the marks of a trace: within registrations, and between them."""
    counts: list[int] = []
    for line in trace.splitlines():
        if " kill(" in line:
            counts.append(0)
        elif counts and ("sync(" in line):  # a call that was interrupted is told again without its bracket
            counts[-1] += 1
    return statistics.median(counts[0:-1:2]), statistics.median(counts[1:-1:2])
