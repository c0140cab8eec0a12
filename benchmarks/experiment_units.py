"""What experiments cost: rows taken in batches, and a status of many units.

    python -m benchmarks.experiment_units --units 1000000

Seconds are those of the clock, and of the processor in brackets; SQLite in a directory that is removed.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta

from msgspec import structs

import chopmark as cm
from chopmark.abc.catalog import Catalog
from chopmark.app.experiment_units import known_of
from chopmark.domain.experiment_judging import judged
from chopmark.domain.experiment_units import UNIT_BYTES, UnitExposure, UnitOutcome
from chopmark.domain.experiments import Experiment

ROWS = 100_000
_PART = 50_000
_US = 1_000_000


def main() -> None:
    """Print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--units", type=int, default=1_000_000)
    units = parser.parse_args().units
    with tempfile.TemporaryDirectory() as directory, cm.open(directory) as registry:
        versions = [registry.register("ranker", {"depth": depth}) for depth in (3, 4)]
        begun = registry.experiments.start(
            "test", control=versions[0], treatment=versions[1], metric="success", window="1m", max_duration="1h"
        )
        rows = [{"unit": f"user-{number}"} for number in range(ROWS)]
        timed(f"{ROWS:,} exposures", lambda: registry.experiments.expose_batch(begun, rows))
        records = [{**row, "success": number % 3 == 0} for number, row in enumerate(rows)]
        timed(f"{ROWS:,} records", lambda: registry.experiments.record_batch(begun, records))
        catalog: Catalog = registry._transport._dispatch.catalog  # type: ignore[attr-defined] # noqa: SLF001 - rows of the past
        earlier = structs.replace(begun, started_at=begun.started_at - timedelta(hours=1), ends_at=begun.started_at)
        fill(catalog, earlier, units)
        timed(f"status of {units:,} units", lambda: look(catalog, earlier))


def fill(catalog: Catalog, experiment: Experiment, units: int) -> None:
    """Units that came during the hour of an experiment, half of them with a success."""
    rng, time_ = random.Random(1), experiment.time
    for _ in range(0, units, _PART):
        found = [(rng.randbytes(UNIT_BYTES), rng.randrange(time_.start_us, time_.until_us)) for _ in range(_PART)]
        with catalog.writing() as tx:
            tx.experiment_units.expose(
                experiment.id, [UnitExposure(unit, rng.randrange(2), at_us) for unit, at_us in found]
            )
            outcomes = [
                UnitOutcome(unit, 0, unit, at_us + _US, float(rng.random() < 0.5), 1.0) for unit, at_us in found
            ]
            tx.experiment_units.record(experiment.id, outcomes)


def look(catalog: Catalog, experiment: Experiment) -> None:
    """What a status does."""
    with catalog.reading() as tx:
        known = known_of(tx, experiment)
    judged(experiment, known, experiment.ends_at + timedelta(hours=1))


def timed(what: str, call: Callable[[], object]) -> None:
    """Print how long a call takes."""
    began_s, cpu_s = time.perf_counter(), time.process_time()
    call()
    print(f"{what}: {time.perf_counter() - began_s:.2f} s ({time.process_time() - cpu_s:.2f})")


if __name__ == "__main__":
    main()
