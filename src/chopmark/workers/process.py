"""A worker as a process of its own: waits for its database, says what it does, ends cleanly."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import NamedTuple

from chopmark.base.settings import Resolved, Settings
from chopmark.errors import ChopmarkError, Unavailable
from chopmark.wiring import LocalTransport, connect_when_up
from chopmark.workers.defaults import make_default_schedules
from chopmark.workers.delivering import delivering
from chopmark.workers.loop import run_workers, working
from chopmark.workers.rolling_out import rolling_out
from chopmark.workers.telling import LOGGER
from chopmark.workers.watching import watching

__all__ = ["Beside", "work", "work_beside"]


def work(resolved: Resolved, tell: Callable[[str], None]) -> None:
    """Do the jobs of the registry of these settings until a signal says to stop.

    Parameters
    ----------
    resolved
        The settings.
    tell
        Is told as soon as it works.
    """
    _log_to_stderr()
    stop = threading.Event()

    def on_signal(number: int, _: FrameType | None) -> None:
        LOGGER.info("Stopping (%s).", signal.Signals(number).name)
        stop.set()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        try:
            transport = connect_when_up(resolved, _tell_it_waits, wait=stop.wait)
        except Unavailable:
            if stop.is_set():
                return
            raise
        with contextlib.closing(transport):
            settings = resolved.settings
            transport.record_soon()
            _make_schedules(transport)
            tell(f"Doing the jobs of {transport.location}, {settings.worker_jobs} at a time")
            with delivering(transport, settings), rolling_out(transport, settings), watching(transport, settings):
                run_workers(transport, settings, stop)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Beside(NamedTuple):
    """A worker beside a server.

    ``stop`` tells it to stop, which goes on while the server ends what it works on, not after it; ``checks`` raise
    `Unavailable` while jobs (``workers``), events on their way to others (``deliveries``), rollouts (``rollouts``) or ``monitors`` are not looked
    for.
    """

    stop: Callable[[], None]
    checks: Mapping[str, Callable[[], None]]


@contextlib.contextmanager
def work_beside(transport: LocalTransport, settings: Settings) -> Iterator[Beside]:
    """Do jobs, tell others, move rollouts on and watch beside a server, for the length of the block; the usual schedules are made."""
    _make_schedules(transport)
    stop = threading.Event()
    with (
        working(transport, settings, stop) as worker,
        delivering(transport, settings) as courier,
        rolling_out(transport, settings) as rollouts,
        watching(transport, settings) as watcher,
    ):
        checks = {
            "workers": worker.check,
            "deliveries": courier.check,
            "rollouts": rollouts.check,
            "monitors": watcher.check,
        }
        yield Beside(stop.set, checks)


def _make_schedules(transport: LocalTransport) -> None:
    try:
        make_default_schedules(transport)
    except ChopmarkError as error:
        LOGGER.warning("The usual schedules were not made: %s %s", error.message, error.hint)


def _tell_it_waits(error: ChopmarkError) -> None:
    LOGGER.warning("Waiting for the database: %s", error.message)


def _log_to_stderr() -> None:
    handler = logging.StreamHandler()
    formatter = logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.INFO)
