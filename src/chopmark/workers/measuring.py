"""The loop that measures what rollouts ask for and a look cannot read: drift, which needs profiles, and these are files.

It has a thread of its own, so that a store that does not answer keeps no rollout from going back. What it measured it hands in with a look;
the row keeps it, so that of several workers one measures, once a minute.
"""

from __future__ import annotations

import threading

from chopmark.abc.rollouts import RolloutPlace
from chopmark.base.clock import Clock
from chopmark.base.paging import PAGE_SIZE_MAX
from chopmark.base.settings import Settings
from chopmark.domain.access import Actor
from chopmark.domain.rollout_drift import due_metrics
from chopmark.domain.rollouts import Rollout
from chopmark.errors import ChopmarkError
from chopmark.ops.rollouts import AdvanceRollout
from chopmark.sdk.live_drift import candidate_drift
from chopmark.wiring import LocalTransport
from chopmark.workers.acting import ActingTransport
from chopmark.workers.clock import CatalogClock
from chopmark.workers.pulse import Pulse
from chopmark.workers.telling import LOGGER

__all__ = ["Measurer"]

_TRIES = 3
"""A look that somebody else was quicker with has taken nothing of what was measured."""


class Measurer:
    """Measures drift for the rollouts whose plans ask for it, until it is stopped.

    Parameters
    ----------
    transport
        The registry.
    settings
        ``worker_poll_s``: how often it looks for what is due.
    actor
        Who looks at rollouts.
    clock
        Instead of the catalog's, in tests.
    """

    def __init__(
        self, transport: LocalTransport, settings: Settings, actor: Actor, *, clock: Clock | None = None
    ) -> None:
        self._transport = transport
        self._settings = settings
        self._actor = actor
        self._acting = ActingTransport(transport, actor)
        self._clock = clock or CatalogClock(transport.catalog)
        self._pulse = Pulse("Measurements of rollouts", settings.worker_poll_s)

    def run(self, stop: threading.Event) -> None:
        """Measure until ``stop`` is set."""
        while not stop.is_set():
            stop.wait(self.turn(stop))

    def turn(self, stop: threading.Event | None = None) -> float:
        """Measure what is due; seconds to wait before the next turn."""
        try:
            for rollout in self._due():
                if stop is not None and stop.is_set():
                    break
                self._measure(rollout)
        except Exception as error:  # noqa: BLE001 - what is due stays due, and the next turn may do better
            return self._pulse.failed(error)
        self._pulse.well()
        return self._settings.worker_poll_s

    def _due(self) -> list[Rollout]:
        found: list[Rollout] = []
        before: RolloutPlace | None = None
        now = self._clock()
        with self._transport.catalog.reading() as tx:
            while page := tx.rollouts.list(is_open=True, before=before, limit=PAGE_SIZE_MAX):
                found += [rollout for rollout in page if due_metrics(rollout, now)]
                before = RolloutPlace(page[-1].created_at, page[-1].id)
        return found

    def _measure(self, rollout: Rollout) -> None:
        """Measure for one, and hand it in; one that cannot be looked at keeps no other from it."""
        at = self._clock()
        metrics = due_metrics(rollout, at)
        try:
            drift = candidate_drift(self._acting, self._settings, rollout, metrics, at)
            request = AdvanceRollout(endpoint=rollout.endpoint_ref, rollout=rollout.id, drift=drift)
            for _ in range(_TRIES):
                after: Rollout = self._transport.act(request, self._actor)
                if not due_metrics(after, at):
                    return
        except ChopmarkError as error:
            LOGGER.warning("The drift of %s was not measured: %s", rollout.endpoint_ref, error.message)
