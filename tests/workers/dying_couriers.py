"""A process that tells others, and may kill itself between sending something and noting it.

python -m tests.workers.dying_couriers DIRECTORY DATABASE_URL DIES
"""

import os
import signal
import sys
import threading
from pathlib import Path

from chopmark.base.settings import load_settings
from chopmark.domain.deliveries import Answer
from chopmark.domain.notices import Message
from chopmark.notify.post import CheckedPost
from chopmark.wiring import connect
from chopmark.workers.delivering import Courier
from tests.workers.couriers import QUICK


class Dying(CheckedPost):
    """Ends the process when the third answer has come."""

    sent = 0

    def send(self, message: Message) -> Answer:
        answer = super().send(message)
        self.sent += 1
        if self.sent == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer


def main(directory: str, database_url: str, dies: str) -> None:
    arguments = {"url": directory, "database_url": database_url or None, "actor": "worker", **QUICK}
    resolved = load_settings(arguments, environ={})
    transport = connect(resolved)
    post = Dying(resolved.settings, Path(directory)) if dies == "dies" else None
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    Courier(transport, resolved.settings, post=post).run(stop)
    transport.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
