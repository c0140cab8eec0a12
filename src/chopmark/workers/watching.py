"""The loop that watches: it has monitors evaluated whose next minute has settled.

What it decides by is in the catalog, and an evaluation is one transaction, so it may be killed anywhere and run beside others: of two
that evaluate a monitor at once one writes, and the other sees what it wrote.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from uuid import UUID

from chopmark.base.clock import Clock
from chopmark.base.settings import Settings
from chopmark.domain.access import Actor
from chopmark.domain.monitors import Monitor
from chopmark.errors import ChopmarkError, NotFound, Unavailable
from chopmark.ops.monitors import Evaluated, EvaluateMonitor
from chopmark.sdk.live_drift import drift_for
from chopmark.wiring import LocalTransport
from chopmark.workers.acting import ActingTransport
from chopmark.workers.clock import CatalogClock
from chopmark.workers.pulse import Pulse
from chopmark.workers.telling import LOGGER

__all__ = ["Watcher", "watching"]

_ACTOR = Actor("chopmark:monitors", kind="system")
_AT_ONCE = 100
_FAILED_PAUSE_S = 60.0
_BEYOND = timedelta(minutes=30)
"""A monitor due later than that waits for a time that a clock showed which was set back since."""


class Watcher:
    """Has monitors evaluated, until it is stopped.

    Parameters
    ----------
    transport
        The registry.
    settings
        ``worker_poll_s``.
    clock
        Instead of the catalog's own, in tests.
    """

    def __init__(self, transport: LocalTransport, settings: Settings, *, clock: Clock | None = None) -> None:
        self._transport = transport
        self._settings = settings
        self._acting = ActingTransport(transport, _ACTOR)
        self._clock = clock or CatalogClock(transport.catalog)
        self._failed: dict[UUID, float] = {}
        self._pulse = Pulse("Monitors", settings.worker_poll_s)

    def check(self) -> None:
        """Raise `Unavailable` when it has not looked for two minutes."""
        self._pulse.check()

    def run(self, stop: threading.Event) -> None:
        """Watch until ``stop`` is set."""
        while not stop.is_set():
            stop.wait(self.turn(stop))

    def turn(self, stop: threading.Event | None = None) -> float:
        """Evaluate what is due; seconds to wait before the next turn."""
        try:
            goes_on = self._do(stop)
        except Exception as error:  # noqa: BLE001 - whatever it is, what is due is in the catalog, and the next turn may do better
            return self._pulse.failed(error)
        self._pulse.well()
        return 0.0 if goes_on else self._settings.worker_poll_s

    def _do(self, stop: threading.Event | None) -> bool:
        """Evaluate those that are due; whether some are due still."""
        now = self._clock()
        with self._transport.catalog.reading() as tx:
            found = [tx.monitors.by_id(each) for each in tx.monitors.due(now, now + _BEYOND, limit=_AT_ONCE)]
        goes_on = False
        for seen in found:
            if seen is None or self._is_paused(seen.monitor.id):
                continue
            if stop is not None and stop.is_set():
                return False
            goes_on |= self._evaluate(seen.monitor)
        return goes_on

    def _evaluate(self, monitor: Monitor) -> bool:
        """Evaluate one; whether it is due again at once. One that cannot be evaluated keeps the others from nothing."""
        try:
            request = EvaluateMonitor(monitor=monitor.ref, drift=drift_for(self._acting, self._settings, monitor))
            answer: Evaluated = self._transport.act(request, _ACTOR)
        except NotFound:
            return False
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001 - it is tried again, after a pause of its own
            self._failed[monitor.id] = time.monotonic()
            told = error.message if isinstance(error, ChopmarkError) else repr(error)
            LOGGER.warning("The monitor %s could not be evaluated: %s", monitor.ref, told)
            return False
        self._failed.pop(monitor.id, None)
        return answer.due_at <= self._clock()

    def _is_paused(self, monitor_id: UUID) -> bool:
        failed_at_s = self._failed.get(monitor_id)
        return failed_at_s is not None and time.monotonic() - failed_at_s < _FAILED_PAUSE_S


@contextmanager
def watching(transport: LocalTransport, settings: Settings) -> Iterator[Watcher]:
    """Have monitors evaluated beside what happens in the block; what is being evaluated at its end is waited for."""
    watcher, stop = Watcher(transport, settings), threading.Event()
    thread = threading.Thread(target=watcher.run, args=(stop,), name="chopmark-watcher", daemon=True)
    thread.start()
    try:
        yield watcher
    finally:
        stop.set()
        thread.join(settings.worker_stop_s + settings.lock_timeout_s)
