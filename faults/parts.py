"""The named parts. Each is a module with ``run(options: Options) -> list[Outcome]``, imported when its turn comes."""

from __future__ import annotations

import time
import traceback
from dataclasses import replace
from importlib import import_module

from faults.options import Options
from faults.report import Outcome

__all__ = ["PARTS", "run_part"]

# One line a part, in the order in which they run: name → module.
PARTS: dict[str, str] = {
    "kills": "faults.kills",
    "syscalls": "faults.syscalls",
    "syncs": "faults.syncs",
    "crowd": "faults.crowd",
    "collecting": "faults.collecting",
    "flips": "faults.flips",
    "refusals": "faults.refusals",
    "powercut": "faults.powercut",
    "simulation": "faults.simulation",
    "startup": "faults.startup",
    "serving": "faults.serving",
    "gateway": "faults.gateway",
    "rollouts": "faults.rollouts",
}


def run_part(name: str, options: Options) -> list[Outcome]:
    """Run a part; that it broke is a finding too, and the others still have their turn."""
    begun = time.perf_counter()
    try:
        outcomes: list[Outcome] = import_module(PARTS[name]).run(options)
    except Exception:  # noqa: BLE001 - told as a finding
        outcomes = [Outcome(name, 0, findings=[f"the part broke:\n{traceback.format_exc()}"])]
    seconds = round(time.perf_counter() - begun, 1)
    return [replace(o, figures={**o.figures, "part_s": seconds}) if o is outcomes[-1] else o for o in outcomes]
