"""A process that evaluates monitors, and kills itself at its first evaluation that finds something: before it is committed, or after.

python -m tests.workers.dying_watchers DIRECTORY DATABASE_URL HOW
"""

import os
import signal
import sys
from typing import Any

from chopmark.base.settings import load_settings
from chopmark.domain.access import Actor
from chopmark.ops.requests import Request
from chopmark.wiring import LocalTransport, connect
from chopmark.workers.watching import Watcher


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def before(transport: LocalTransport) -> None:
    """Die with everything written, and nothing committed."""
    handlers: Any = transport._dispatch.handlers
    handler = handlers["monitor.evaluate"]

    def run(ctx: Any, request: Any) -> Any:
        answer = handler.run(ctx, request)
        if answer.opened:
            die()
        return answer

    transport._dispatch.handlers = {**handlers, "monitor.evaluate": handler._replace(run=run)}


def after(transport: LocalTransport) -> None:
    """Die once it is committed, before anybody knows."""
    act = transport.act

    def acted(request: Request, actor: Actor, **options: Any) -> Any:
        answer = act(request, actor, **options)
        if answer.opened:
            die()
        return answer

    transport.act = acted  # type: ignore[method-assign]


def main(directory: str, database_url: str, how: str) -> None:
    resolved = load_settings({"url": directory, "database_url": database_url or None, "actor": "worker"}, environ={})
    transport = connect(resolved)
    {"before": before, "after": after, "lives": lambda _: None}[how](transport)
    watcher = Watcher(transport, resolved.settings)
    while watcher.turn() == 0.0:
        pass
    transport.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
