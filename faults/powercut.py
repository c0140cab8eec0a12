"""The power goes at any moment: what a registry asked of the file system is recorded once, and cut again and again.

A life of a registry is recorded by strace and read into a list of operations. Played to its end, the list must give exactly
the directory that is there, or the recording is not trusted. Then, for a moment and a seed, `faults.powercut_disk` makes a
state in which a disk may be when the power goes at that moment; a registry is opened from it and judged by what had been
acknowledged until then.

    python -m faults.powercut --replay SEED --operations FILE     # one cut again, told in full, its directory kept

No two recordings are the same, as threads take turns as they like: the one that findings are about is kept in a file.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import pickle
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

from faults.options import Options
from faults.powercut_checks import broken, known_at
from faults.powercut_disk import Disk, Mark, Model, Operation, Sync, disk_after_cut
from faults.powercut_trace import read_trace, record
from faults.powercut_workload import make_sources
from faults.report import Outcome
from faults.strace import lacking

__all__ = ["Cut", "Verdict", "cut_operations", "draw_cuts", "judge", "materialise", "recorded", "run", "unlike"]

CUTS, CUTS_SHORT = 500, 60
WORKERS = 2
FIRST = ("tmp",)
"""What is in the recorded directory before: where temporary files go, as on a machine with one file system."""

_SECTORS_APART = 3
MODELS: tuple[Model, ...] = ("posix", "ordered")


class Cut(NamedTuple):
    """When the power goes, and what decides over the rest."""

    seed: int
    at: int
    model: Model


class Verdict(NamedTuple):
    """What came of a cut."""

    cut: Cut
    findings: list[str]
    dropped: list[str]


def recorded(directory: Path, seed: int, workload: str = "faults.powercut_workload") -> list[Operation]:
    """Record the workload in a directory, and read what it did."""
    world = directory / "world"
    (world / "tmp").mkdir(parents=True)
    make_sources(directory / "sources", seed)
    command = [sys.executable, "-m", workload, world / "registry", directory / "sources", directory / "marks"]
    here = str(Path(__file__).resolve().parent.parent)
    path = os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH", ""))))
    record([*map(str, command)], directory / "trace", {**os.environ, "TMPDIR": str(world / "tmp"), "PYTHONPATH": path})
    operations = read_trace(directory / "trace", world, directory / "marks", FIRST)
    (directory / "trace").unlink()
    return operations


def unlike(operations: Sequence[Operation], world: Path) -> list[str]:
    """Paths at which the operations, all of them, give something else than what is there; nothing when the reading is right."""
    played = disk_after_cut(
        [*operations, Sync(None, len(operations))], len(operations) + 1, random.Random(0), "posix", FIRST
    )
    there = {str(p.relative_to(world)): p for p in world.rglob("*") if p.is_file()}
    differing = [name for name in there.keys() & played.files.keys() if there[name].read_bytes() != played.files[name]]
    # SQLite's index of its log is memory that processes share; it is written without calls, and made anew after a crash.
    return sorted(n for n in (there.keys() ^ played.files.keys()) | set(differing) if not n.endswith("-shm"))


def draw_cuts(operations: Sequence[Operation], seed: int, count: int) -> list[Cut]:
    """Moments at random: half of them anywhere, half just after something was acknowledged, both models in turn."""
    marks = [n for n, each in enumerate(operations) if isinstance(each, Mark)]
    cuts = []
    for n in range(count):
        own = seed * 1_000_000 + n
        rng = random.Random(own)
        at = rng.choice(marks) + 1 + rng.randint(0, _SECTORS_APART) if n % 4 < 2 else rng.randint(0, len(operations))
        cuts.append(Cut(own, min(at, len(operations)), MODELS[n % 2]))
    return cuts


def cut_operations(operations: Sequence[Operation], cut: Cut) -> Disk:
    """The disk after a cut."""
    return disk_after_cut(operations, cut.at, random.Random(cut.seed), cut.model, FIRST)


def materialise(disk: Disk, root: Path) -> None:
    """Write a disk's files into a directory."""
    root.mkdir(parents=True, exist_ok=True)
    for path in sorted(disk.directories):
        (root / path).mkdir(parents=True, exist_ok=True)
    for path, data in disk.files.items():
        (root / path).write_bytes(data)


def judge(operations: Sequence[Operation], cut: Cut, scratch: Path) -> Verdict:
    """Cut, open what is left, and say what is broken."""
    disk = cut_operations(operations, cut)
    root = scratch / f"cut-{cut.seed}"
    try:
        materialise(disk, root)
        known = known_at([each.text for each in operations[: cut.at] if isinstance(each, Mark)])
        return Verdict(cut, broken(root / "registry", known), disk.dropped)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def run(options: Options) -> list[Outcome]:
    """Record once, cut many times."""
    if reason := lacking():
        return [Outcome("power cuts, SQLite and a directory", 0, missing=reason)]
    directory = options.place("powercut")
    begun = time.perf_counter()
    operations = recorded(directory, options.seed)
    differences = unlike(operations, directory / "world")
    if differences:
        return [Outcome("power cuts", 0, [f"the recording is read wrongly: {', '.join(differences[:10])}"])]
    cuts = draw_cuts(operations, options.seed, options.rounds(CUTS, CUTS_SHORT))
    recorded_s = time.perf_counter() - begun
    verdicts = list(_judged(operations, cuts))
    counts = Counter(verdict.cut.model for verdict in verdicts)
    figures = {
        "operations": len(operations),
        "recorded_s": round(recorded_s, 1),
        **{f"cuts_{model}": counts[model] for model in MODELS},
        "cuts_with_loss": sum(1 for v in verdicts if v.dropped),
    }
    how = "unsynced writes lost or torn at sectors, unsynced names lost, over a recorded life of SQLite and a directory"
    kept = options.keep / "powercut-operations"
    if any(verdict.findings for verdict in verdicts):
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(pickle.dumps(operations))
    return [Outcome("power cuts, SQLite and a directory", len(cuts), list(_told(verdicts, kept)), figures, how)]


def _told(verdicts: Sequence[Verdict], kept: Path) -> Iterator[str]:
    for verdict in verdicts:
        if verdict.findings:
            cut = verdict.cut
            lost = "; ".join(verdict.dropped[-8:]) or "nothing"
            yield (
                f"seed {cut.seed}, after operation {cut.at}, {cut.model}: {' | '.join(verdict.findings[:5])}\n"
                f"  lost: {lost}\n  python -m faults.powercut --replay {cut.seed} --operations {kept}"
            )


def _judged(operations: Sequence[Operation], cuts: Sequence[Cut]) -> Iterator[Verdict]:
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="chopmark-cuts-", dir=memory if memory.is_dir() else None) as name:
        told = Path(name) / "operations"
        told.write_bytes(pickle.dumps(list(operations)))
        # Spawned: another part of the run may have threads just now.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(WORKERS, context, _load, (str(told),)) as pool:
            yield from pool.map(_judge_loaded, cuts, [name] * len(cuts), chunksize=5)


_operations: list[Operation] = []


def _load(path: str) -> None:
    _operations[:] = pickle.loads(Path(path).read_bytes())


def _judge_loaded(cut: Cut, scratch: str) -> Verdict:
    return judge(_operations, cut, Path(scratch))


def main() -> int:
    """Cut once more where a finding was, and keep what it left."""
    parser = argparse.ArgumentParser(prog="python -m faults.powercut", description="Repeat one power cut.")
    parser.add_argument("--replay", type=int, required=True, help="seed of the cut")
    parser.add_argument("--operations", type=Path, required=True, help="the recording that the finding names")
    asked = parser.parse_args()
    seed, number = divmod(asked.replay, 1_000_000)
    directory = Path(tempfile.mkdtemp(prefix="chopmark-cut-"))
    operations: list[Operation] = pickle.loads(asked.operations.read_bytes())
    cut = draw_cuts(operations, seed, number + 1)[-1]
    disk = cut_operations(operations, cut)
    materialise(disk, directory / "left")
    verdict = judge(operations, cut, directory)
    print(f"after operation {cut.at} of {len(operations)} ({cut.model}); what was left stands in {directory / 'left'}")
    print("lost:", *verdict.dropped, sep="\n  ")
    print("broken:", *(verdict.findings or ["nothing"]), sep="\n  ")
    return 1 if verdict.findings else 0


if __name__ == "__main__":
    sys.exit(main())
