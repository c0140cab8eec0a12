"""A registry whose events are sent to a receiver, step by step or by a loop, with a clock that can be moved."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from msgspec import structs

import chopmark as cm
from chopmark.base.clock import FakeClock
from chopmark.domain.deliveries import Delivery
from chopmark.domain.receivers import Webhook
from chopmark.ops.webhooks import NewWebhook
from chopmark.workers.delivering import Courier
from tests.receivers import ALLOW, Receiver

QUICK: dict[str, Any] = {
    "webhook_allow": ALLOW,
    "webhook_timeout_s": 1.0,
    "webhook_connect_timeout_s": 1.0,
    "worker_poll_s": 0.05,
    "worker_lease_s": 2.0,
    "worker_stop_s": 5.0,
    "progress": "never",
}


class Post:
    """A registry, a receiver, and who carries events from one to the other."""

    def __init__(self, registry: cm.Registry, receiver: Receiver, clock: Callable[[], datetime] | None = None) -> None:
        self.registry = registry
        self.receiver = receiver
        self.transport: Any = registry._transport
        self.clock = clock
        self._count = 0

    def webhook(self, path: str = "/", **rest: Any) -> NewWebhook:
        return self.registry.webhooks.create(self.receiver.url + path, **rest)

    def happen(self, model: str = "fraud") -> cm.Version:
        """An event ``version.registered``, and for a new model ``model.created`` before it."""
        self._count += 1
        return self.registry.register(model, {"n": self._count})

    def courier(self, **settings: Any) -> Courier:
        chosen = structs.replace(self.registry.settings, **settings)
        return Courier(self.transport, chosen, clock=self.clock)

    def carry(self, courier: Courier | None = None, turns: int = 50) -> Courier:
        """Look and send, until nothing more is begun."""
        courier = courier or self.courier()
        for _ in range(turns):
            courier.turn()
            busy = list(courier._serving.values())
            for thread, _ in busy:
                thread.join(20)
            if not busy:
                return courier
        raise AssertionError("there is no end of it")

    @contextmanager
    def carrying(self, **settings: Any) -> Iterator[Courier]:
        """A loop of its own, for the length of the block."""
        courier, stop = self.courier(**settings), threading.Event()
        thread = threading.Thread(target=courier.run, args=(stop,), daemon=True)
        thread.start()
        try:
            yield courier
        finally:
            stop.set()
            thread.join(30)
            assert not thread.is_alive()

    def deliveries(self, webhook: NewWebhook | Webhook, **which: Any) -> list[Delivery]:
        """Oldest event first."""
        of = webhook.webhook if isinstance(webhook, NewWebhook) else webhook
        return list(reversed(list(self.registry.webhooks.deliveries(of, limit=1_000, **which))))

    def states(self, webhook: NewWebhook) -> list[str]:
        return [each.state for each in self.deliveries(webhook)]

    def now(self, webhook: NewWebhook) -> Webhook:
        return self.registry.webhooks.get(webhook.webhook)


def forward(clock: FakeClock, seconds: float) -> None:
    clock.advance(timedelta(seconds=seconds))


def wait_for(met: Callable[[], bool], within_s: float = 20.0) -> None:
    deadline_s = time.monotonic() + within_s
    while not met():
        assert time.monotonic() < deadline_s, "it did not happen"
        time.sleep(0.005)
