"""A seeded simulator of object store, database and clock, in which the real code runs: many schedules, one after the other.

python -m faults.simulation --replay SEED        # one schedule again, told step by step
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from faults.options import Options
from faults.report import Outcome
from faults.simulated_checks import findings
from faults.simulated_clients import draw_plan, make_sources, start
from faults.simulated_objects import Weather
from faults.simulated_turns import Deadlock, Threads
from faults.simulated_world import World, installed

__all__ = ["Simulator", "run", "simulating"]

SCHEDULES, SCHEDULES_SHORT = 100_000, 1_200
WORKERS = 2
CHECKED_EVERY, AGAIN_EVERY = 3, 6
"""After every so many schedules `fsck` runs; and the registry is rebuilt, backed up and restored."""

_WEATHERS: tuple[dict[str, float], ...] = (
    {},
    {"kill": 0.01},
    {"refused": 0.04, "answer_lost": 0.04},
    {"doubled": 0.08, "stale_listing": 0.3},
    {
        "refused": 0.02,
        "answer_lost": 0.03,
        "doubled": 0.03,
        "torn": 0.03,
        "torn_repeated": 0.5,
        "stale_listing": 0.1,
        "kill": 0.006,
    },
)

LATE: dict[str, float] = {"late": 0.05}
"""Requests that a store does after their client gave up; ``--late`` runs schedules with it. Not among the weathers of `run`,
because a deletion that arrives so late takes bytes that a registration stored again meanwhile, and object stores have no
fence against it: a known limit of collections, that this weather shows."""


class Simulator:
    """Runs schedules by their seeds.

    Parameters
    ----------
    scratch
        A directory in memory, if there is one.

    Attributes
    ----------
    counts
        What happened in all schedules so far.
    late
        Whether the weather is `LATE`.
    """

    def __init__(self, scratch: Path) -> None:
        self.late = False
        self.threads = Threads()
        self.scratch = scratch
        self.sources = make_sources(scratch / "sources")
        self.counts: Counter[str] = Counter()
        self.world: World | None = None

    def schedule(self, seed: int, *, told: Callable[[str], None] | None = None) -> list[str]:
        """Run one; what it found."""
        rng = random.Random(seed)
        plan = draw_plan(rng)
        world = self.world = World(rng, self.threads, self.scratch, told=told)
        if told is not None:
            told(str(plan))
        weather = rng.choice(_WEATHERS) if not self.late else LATE
        world.weather.__dict__.update(Weather(**weather).__dict__)
        database = world.database_weather
        database.kill = world.weather.kill
        database.refused, database.answer_lost = world.weather.refused / 2, world.weather.answer_lost / 2
        log = start(world, plan, self.sources)
        try:
            world.turns.run()
        except Deadlock as error:
            return [f"nobody can go on: {error}"]
        found = findings(world, plan, log, checked=seed % CHECKED_EVERY == 0, again=seed % AGAIN_EVERY == 0)
        self.counts["steps"] += len(log.attempts)
        self.counts["points"] += world.turns.points
        self.counts["kills"] += len(world.turns.killed)
        for attempt in log.attempts:
            self.counts[attempt.ended or "killed"] += 1
        self.counts["blobs_collected"] += len(world.bucket.deletions)
        return found

    def the_world(self) -> World:
        """The world of the schedule that runs."""
        if self.world is None:
            raise RuntimeError("no schedule runs")
        return self.world


@contextmanager
def simulating() -> Iterator[Simulator]:
    """A simulator, with the product put into its worlds while the block lasts."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="chopmark-simulated-", dir=memory if memory.is_dir() else None) as name:
        simulator = Simulator(Path(name))
        known, tempfile.tempdir, here = tempfile.tempdir, name, Path.cwd()
        os.chdir(name)  # out of any repository, which each registration would ask git about
        try:
            with warnings.catch_warnings(), installed(simulator.the_world):
                warnings.simplefilter("ignore")
                yield simulator
        finally:
            tempfile.tempdir = known
            os.chdir(here)
            simulator.threads.close()


def run(options: Options) -> list[Outcome]:
    """Run the schedules in two processes, whose sets are in the same order as in a replay."""
    count = options.rounds(SCHEDULES, SCHEDULES_SHORT)
    first = options.seed * 1_000_000
    each = -(-count // WORKERS)
    begun = time.perf_counter()
    workers = [_worker(first + n * each, min(each, count - n * each)) for n in range(WORKERS)]
    found: list[str] = []
    counts: Counter[str] = Counter()
    for worker in workers:
        answer, errors = worker.communicate()
        if worker.returncode:
            found.append(f"a worker broke: {errors}")
            continue
        told = json.loads(answer)
        found += [f"seed {seed}: {text}\n  python -m faults.simulation --replay {seed}" for seed, text in told["found"]]
        counts.update(told["counts"])
    seconds = time.perf_counter() - begun
    how = (
        "the SDK, dispatch and stores on a simulated S3, database and clock; kills, time-outs, duplicates, cut uploads"
    )
    figures = {"schedules_s": round(count / seconds, 1), **counts}
    return [Outcome("simulated schedules on S3", count, found, figures, how)]


def _worker(first: int, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "faults.simulation", "--first", str(first), "--count", str(count), "--json"]
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def main() -> int:
    """Run schedules one after the other, or one again."""
    parser = argparse.ArgumentParser(prog="python -m faults.simulation", description="Run simulated schedules.")
    parser.add_argument("--first", type=int, default=0, help="seed of the first schedule")
    parser.add_argument("--count", type=int, default=1_000, help="how many")
    parser.add_argument("--json", action="store_true", help="what was found, for the part that started this")
    parser.add_argument("--late", action="store_true", help="only with requests that are done after their time-out")
    parser.add_argument("--replay", type=int, help="run the schedule of this seed and tell each step")
    asked = parser.parse_args()
    if os.environ.get("PYTHONHASHSEED") != "0":  # sets of texts have another order in every process otherwise
        os.execve(sys.executable, [sys.executable, "-m", "faults.simulation", *sys.argv[1:]], _fixed())
    with simulating() as simulator:
        simulator.late = asked.late
        if asked.replay is not None:
            found = simulator.schedule(asked.replay, told=print)
            print("\n".join(found) or "nothing was broken")
            return 1 if found else 0
        begun = time.process_time()
        all_found = [
            (seed, text) for seed in range(asked.first, asked.first + asked.count) for text in simulator.schedule(seed)
        ]
        if asked.json:
            print(json.dumps({"found": all_found, "counts": simulator.counts}))
            return 0
        print(*(f"seed {seed}: {text}" for seed, text in all_found), sep="\n")
        cpu_ms = (time.process_time() - begun) / asked.count * 1000
        print(f"{asked.count:,} schedules, {cpu_ms:.1f} ms CPU each; {dict(simulator.counts)}")
        return 1 if all_found else 0


def _fixed() -> dict[str, str]:
    return {**os.environ, "PYTHONHASHSEED": "0"}


if __name__ == "__main__":
    sys.exit(main())
