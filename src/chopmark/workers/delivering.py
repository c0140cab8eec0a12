"""The loop that tells others: it hands events over to webhooks, and gives each webhook with something due a turn on a thread.

Everything it decides by is in the catalog, so it may be killed anywhere: what it was sending is sent again when its lease is
over, with the same id.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from uuid import UUID

from chopmark.abc.notify import Post
from chopmark.base.clock import Clock
from chopmark.base.ids import random_bytes
from chopmark.base.settings import Settings
from chopmark.domain.access import Actor
from chopmark.domain.audit import AuditEvent
from chopmark.domain.deliveries import LEASE_MAX_S, Candidate, chosen
from chopmark.errors import ChopmarkError, NotFound
from chopmark.ops.webhooks import UpdateWebhook
from chopmark.wiring import LocalTransport
from chopmark.workers.clock import CatalogClock
from chopmark.workers.handing_over import EVENTS_AT_ONCE, hand_over
from chopmark.workers.pulse import Pulse
from chopmark.workers.telling import LOGGER
from chopmark.workers.turns import Turn

__all__ = ["Courier", "delivering"]

_ACTOR = Actor("chopmark:delivery", kind="system")
_GAP_S = 0.02  # events that come close together are handed over together
_CANDIDATES = 200
_GONE = "Its receiver answered 410: it wants nothing any more."


class Courier:
    """Tells others of events, until it is stopped.

    Parameters
    ----------
    transport
        The registry.
    settings
        ``webhook_at_once``, ``webhook_timeout_s``, ``worker_poll_s``, ``worker_lease_s``, ``worker_stop_s``.
    clock, post
        Instead of the catalog's and the registry's own, in tests.
    """

    def __init__(
        self, transport: LocalTransport, settings: Settings, *, clock: Clock | None = None, post: Post | None = None
    ) -> None:
        self.name = f"{socket.gethostname()}:{os.getpid()}:{random_bytes(4).hex()}"
        self._transport = transport
        self._settings = settings
        self._clock = clock or CatalogClock(transport.catalog)
        self._post = post or transport.post
        # Longer than the longest sending, so that nobody takes a webhook to which something is on its way.
        self._lease_s = min(LEASE_MAX_S, max(settings.worker_lease_s, 2 * settings.webhook_timeout_s + 5))
        self._serving: dict[UUID, tuple[threading.Thread, bool]] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._has_webhooks = True
        self._pulse = Pulse("Deliveries", settings.worker_poll_s)

    def check(self) -> None:
        """Raise `Unavailable` when it has not looked for two minutes."""
        self._pulse.check()

    def run(self, stop: threading.Event) -> None:
        """Tell others until ``stop`` is set; what is being sent then is waited for."""
        end = self._transport.on("*", self._hear)
        watch = threading.Thread(target=self._wake_at, args=(stop,), name="chopmark-delivery-stop", daemon=True)
        watch.start()
        try:
            while not stop.is_set():
                self._wake.wait(self.turn())
                if not stop.is_set():
                    time.sleep(_GAP_S)
                self._wake.clear()
        finally:
            self._stop.set()
            stop.set()
            end()
            self._wait()

    def _hear(self, event: AuditEvent) -> None:
        if self._has_webhooks or event.event == "webhook.created":
            self._wake.set()

    def _wake_at(self, stop: threading.Event) -> None:
        stop.wait()
        self._stop.set()
        self._wake.set()

    def _wait(self) -> None:
        until_s = time.monotonic() + self._settings.worker_stop_s
        for thread, _ in list(self._serving.values()):
            thread.join(max(0.0, until_s - time.monotonic()))

    def turn(self) -> float:
        """Look and do; seconds to wait before the next turn unless something happens."""
        try:
            goes_on = self._do()
        except Exception as error:  # noqa: BLE001 - whatever it is, what waits is in the catalog, and the next turn may do better
            return self._pulse.failed(error)
        self._pulse.well()
        return 0.0 if goes_on else self._settings.worker_poll_s

    def _do(self) -> bool:
        """Hand over and begin; whether there is more to hand over."""
        now = self._clock()
        with self._transport.catalog.reading() as tx:
            self._has_webhooks = bool(tx.webhooks.list(limit=1))
            waits = self._has_webhooks and bool(tx.outbox.pending(limit=1))
        if not self._has_webhooks:
            return False
        handed = 0
        if waits:
            with self._transport.catalog.writing() as tx:
                handed = hand_over(tx, now)
        self._begin()
        return handed >= EVENTS_AT_ONCE

    def _begin(self) -> None:
        now = self._clock()
        with self._lock:
            serving = {webhook: failing for webhook, (_, failing) in self._serving.items()}
        if len(serving) >= self._settings.webhook_at_once:
            return
        with self._transport.catalog.reading() as tx:
            waiting = tx.webhooks.waiting(now, limit=_CANDIDATES)
        picked = chosen(
            [each for each in waiting if each.webhook not in serving],
            [webhook for webhook, failing in serving.items() if failing],
            running=len(serving),
            slots=self._settings.webhook_at_once,
        )
        if not picked:
            return
        until = now + timedelta(seconds=self._lease_s)
        with self._transport.catalog.writing() as tx:
            # In one order everywhere, so that two workers that take the same do not wait for each other crosswise.
            taken = [each for each in sorted(picked) if tx.webhooks.claim(each, self.name, until)]
        for each in taken:
            self._serve(each)

    def _serve(self, taken: Candidate) -> None:
        turn = Turn(
            self._transport.catalog,
            self._post,
            self._clock,
            taken.webhook,
            fence=taken.fence + 1,
            failures=taken.failures,
            lease_s=self._lease_s,
            is_stopping=self._stop.is_set,
            gone=self._disable,
        )
        thread = threading.Thread(
            target=self._run_one, args=(turn, taken.webhook), name="chopmark-delivery", daemon=True
        )
        with self._lock:
            self._serving[taken.webhook] = thread, taken.failures > 0
        thread.start()

    def _run_one(self, turn: Turn, webhook: UUID) -> None:
        try:
            turn.run()
        except Exception as error:  # noqa: BLE001 - what was not noted is sent again when the lease is over
            told = error.message if isinstance(error, ChopmarkError) else repr(error)
            LOGGER.warning("What was sent to the webhook %s could not be noted: %s", webhook, told)
        finally:
            with self._lock:
                self._serving.pop(webhook, None)
            self._wake.set()

    def _disable(self, webhook: UUID) -> None:
        LOGGER.warning("The webhook %s is disabled: %s", webhook, _GONE)
        with suppress(NotFound):
            self._transport.act(UpdateWebhook(webhook=webhook, state="disabled", reason=_GONE), _ACTOR)


@contextmanager
def delivering(transport: LocalTransport, settings: Settings) -> Iterator[Courier]:
    """Tell others beside what happens in the block; what is being sent at its end is waited for."""
    courier, stop = Courier(transport, settings), threading.Event()
    thread = threading.Thread(target=courier.run, args=(stop,), name="chopmark-courier", daemon=True)
    thread.start()
    try:
        yield courier
    finally:
        stop.set()
        thread.join(settings.worker_stop_s + settings.lock_timeout_s)
