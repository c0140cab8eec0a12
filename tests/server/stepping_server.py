"""`chopmark` on a machine whose clock somebody sets: by so many seconds as stand in the file ``CHOPMARK_TEST_STEP``.

It can also do a job of a kind that only waits, so that something runs while the clock is set.
"""

from __future__ import annotations

import os
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import chopmark.base.clock

STEP = "CHOPMARK_TEST_STEP"
HELD_S = 5.0


def stepping() -> datetime:
    """What this machine believes the time is."""
    return datetime.now(UTC) + timedelta(seconds=float(Path(os.environ[STEP]).read_text()))


def hold(task: Any) -> dict[str, Any]:
    """Work for some seconds."""
    until_s = time.monotonic() + HELD_S
    while time.monotonic() < until_s:
        task.check()
        time.sleep(0.05)
    return {"held_s": HELD_S}


if __name__ == "__main__":
    chopmark.base.clock.system_clock = stepping  # before anything else takes it from there
    from chopmark.cli.program import run
    from chopmark.workers.kinds import WORKS

    WORKS["hold"] = hold
    sys.exit(run(sys.argv[1:]))
