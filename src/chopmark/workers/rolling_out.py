"""The loop that moves rollouts on: it looks at each that is open, several times a second where routers are waited for.

Everything it decides by is in the catalog, and each step is written on condition that nobody was quicker, so several may run, and
each may be killed anywhere.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from uuid import UUID

from chopmark.abc.rollouts import RolloutPlace
from chopmark.base.clock import Clock
from chopmark.base.paging import PAGE_SIZE_MAX
from chopmark.base.settings import Settings
from chopmark.domain.access import Actor
from chopmark.domain.rollouts import ACTIVE, Rollout
from chopmark.errors import ChopmarkError
from chopmark.ops.rollouts import AdvanceRollout
from chopmark.wiring import LocalTransport
from chopmark.workers.clock import CatalogClock
from chopmark.workers.measuring import Measurer
from chopmark.workers.pulse import Pulse
from chopmark.workers.telling import LOGGER

__all__ = ["ACTOR", "RolloutLoop", "rolling_out"]

ACTOR = Actor("chopmark:rollout", kind="system")

_POLL_S = 1.0
_POLL_WAITING_S = 0.2
"""While routers have yet to confirm: they report as soon as they have a new routing."""

_STEPS_A_LOOK = 20
_SHARE_OF_TIME = 0.1
"""Of this thread's time that one rollout may take: the longer it goes on, the more there is to add up."""


class RolloutLoop:
    """Looks at rollouts, and does what is due, until it is stopped.

    Parameters
    ----------
    transport
        The registry.
    settings
        ``worker_poll_s`` when it is shorter than a second.
    clock
        Instead of the catalog's, in tests; it only says which rollouts hold nothing any more.
    """

    def __init__(self, transport: LocalTransport, settings: Settings, *, clock: Clock | None = None) -> None:
        self._transport = transport
        self._poll_s = min(_POLL_S, settings.worker_poll_s)
        self._clock = clock or CatalogClock(transport.catalog)
        self._wake = threading.Event()
        self._told: set[str] = set()
        self._rests: dict[UUID, tuple[int, float]] = {}
        self._pulse = Pulse("Rollouts", self._poll_s)

    def check(self) -> None:
        """Raise `Unavailable` when it has not looked for two minutes."""
        self._pulse.check()

    def run(self, stop: threading.Event) -> None:
        """Move rollouts on until ``stop`` is set."""
        ends = [self._transport.on(event, lambda _: self._wake.set()) for event in ("rollout.*", "endpoint.*")]
        watch = threading.Thread(target=self._wake_at, args=(stop,), name="chopmark-rollout-stop", daemon=True)
        watch.start()
        try:
            while not stop.is_set():
                pause_s = self.turn()
                if not stop.is_set():
                    self._wake.wait(pause_s)
                self._wake.clear()
        finally:
            stop.set()
            for end in ends:
                end()

    def _wake_at(self, stop: threading.Event) -> None:
        stop.wait()
        self._wake.set()

    def turn(self) -> float:
        """Look at all that are open, and do what is due; seconds to wait before the next turn unless something happens."""
        try:
            waits = [self._timed(rollout) for rollout in self._open()]
        except Exception as error:  # noqa: BLE001 - whatever it is, rollouts are in the catalog, and the next turn may do better
            return self._pulse.failed(error)
        self._pulse.well()
        return min(self._poll_s, _POLL_WAITING_S) if any(waits) else self._poll_s

    def _open(self) -> list[Rollout]:
        """Those of which something may be due, oldest first."""
        found: list[Rollout] = []
        before: RolloutPlace | None = None
        with self._transport.catalog.reading() as tx:
            while page := tx.rollouts.list(is_open=True, before=before, limit=PAGE_SIZE_MAX):
                found += page
                before = RolloutPlace(page[-1].created_at, page[-1].id)
        if not found:
            return []
        now = self._clock()
        self._rests = {each.id: self._rests[each.id] for each in found if each.id in self._rests}
        return [rollout for rollout in reversed(found) if not _is_held(rollout, now)]

    def _timed(self, rollout: Rollout) -> bool:
        """Look at one, unless its last look took so long that it rests, and nobody has changed it since."""
        revision, rests_until_s = self._rests.get(rollout.id, (-1, 0.0))
        begun_s = time.monotonic()
        if revision == rollout.revision and begun_s < rests_until_s:
            return False
        looked, waits = self._look(rollout)
        took_s = 0.0 if waits else time.monotonic() - begun_s
        self._rests[rollout.id] = looked.revision, begun_s + took_s / _SHARE_OF_TIME
        return waits

    def _look(self, rollout: Rollout) -> tuple[Rollout, bool]:
        """Take one on as far as it goes now; what it is then, and whether routers are waited for."""
        try:
            for _ in range(_STEPS_A_LOOK):
                seen, rollout = rollout, self._advanced(rollout)
                if rollout.revision == seen.revision or (rollout.state, rollout.step) == (seen.state, seen.step):
                    break
        except Exception as error:  # noqa: BLE001 - one that cannot be moved on keeps no other waiting
            is_known = isinstance(error, ChopmarkError)
            why = error.message if isinstance(error, ChopmarkError) else repr(error)
            if why not in self._told:
                told = None if is_known else error
                LOGGER.warning("The rollout %s cannot be moved on: %s", rollout.id, why, exc_info=told)
            self._told = {*self._told, why} if len(self._told) < PAGE_SIZE_MAX else {why}
            return rollout, False
        return rollout, rollout.state in ACTIVE and rollout.confirmed_at is None and rollout.pause is None

    def _advanced(self, rollout: Rollout) -> Rollout:
        request = AdvanceRollout(endpoint=rollout.endpoint_ref, rollout=rollout.id)
        made: Rollout = self._transport.act(request, ACTOR)
        return made


def _is_held(rollout: Rollout, now: datetime) -> bool:
    """Whether it has ended, and its rollback window has not: there is nothing to do for it yet."""
    window = timedelta(seconds=rollout.plan.rollback_window_s)
    has_window = rollout.is_final and rollout.state != "failed" and rollout.ended_at is not None
    return has_window and now < (rollout.ended_at or now) + window


@contextmanager
def rolling_out(transport: LocalTransport, settings: Settings) -> Iterator[RolloutLoop]:
    """Move rollouts on beside what happens in the block, and measure for them; a step that is being written at its end is waited for."""
    loop, measurer, stop = RolloutLoop(transport, settings), Measurer(transport, settings, ACTOR), threading.Event()
    threads = [
        threading.Thread(target=loop.run, args=(stop,), name="chopmark-rollouts", daemon=True),
        threading.Thread(target=measurer.run, args=(stop,), name="chopmark-measurer", daemon=True),
    ]
    for thread in threads:
        thread.start()
    try:
        yield loop
    finally:
        stop.set()
        until_s = time.monotonic() + settings.worker_stop_s + settings.lock_timeout_s
        for thread in threads:
            thread.join(max(until_s - time.monotonic(), 0.0))
