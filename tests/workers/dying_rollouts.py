"""A process that looks at rollouts, and kills itself at a step: inside its transaction, or as soon as it is committed.

python -m tests.workers.dying_rollouts DIRECTORY DATABASE_URL inside|after STATE
"""

import os
import signal
import sys
import threading
from typing import Any, NoReturn

from chopmark.app import rollout_turns
from chopmark.base.settings import load_settings
from chopmark.domain.rollouts import Rollout
from chopmark.wiring import LocalTransport, connect
from chopmark.workers.rolling_out import RolloutLoop


def die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def die_inside(state: str) -> None:
    """When the row is written and the events are not."""
    tell = rollout_turns.tell

    def telling(ctx: Any, rollout: Rollout, event: Any) -> None:
        if rollout.state == state:
            die()
        tell(ctx, rollout, event)

    rollout_turns.tell = telling


class DiesAfter(RolloutLoop):
    """Ends the process when a step is committed."""

    state = ""

    def _advanced(self, rollout: Rollout) -> Rollout:
        made = super()._advanced(rollout)
        if made.state == self.state:
            die()
        return made


def main(directory: str, database_url: str, when: str, state: str) -> None:
    arguments = {"url": directory, "database_url": database_url or None, "actor": "worker", "worker_poll_s": 0.05}
    resolved = load_settings(arguments, environ={})
    transport: LocalTransport = connect(resolved)
    loop: RolloutLoop = (
        DiesAfter(transport, resolved.settings) if when == "after" else RolloutLoop(transport, resolved.settings)
    )
    if isinstance(loop, DiesAfter):
        loop.state = state
    else:
        die_inside(state)
    loop.run(threading.Event())


if __name__ == "__main__":
    main(*sys.argv[1:])
