"""What telling others asks of a catalog: webhooks, and events on their way to them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Protocol
from uuid import UUID

from chopmark.domain.deliveries import Candidate, Delivery, DeliveryState
from chopmark.domain.receivers import Webhook

__all__ = ["Candidates", "Deliveries", "DeliveryList", "WebhookList", "Webhooks"]

WebhookList = list[Webhook]  # inside the classes below, ``list`` is a method
DeliveryList = list[Delivery]
Candidates = list[Candidate]


class Webhooks(Protocol):
    """Webhooks by their id, and whose turn it is to be sent to.

    What may become of them is decided in `chopmark.domain.deliveries`; here it is stored, on condition that nobody was quicker.
    """

    def get(self, webhook_id: UUID) -> Webhook | None:
        """The webhook, or None."""
        ...

    def sealed(self, webhook_id: UUID) -> str | None:
        """What is hidden of it, sealed; None when there is no such webhook."""
        ...

    def list(
        self,
        *,
        project: str | None = None,
        among: Collection[str] | None = None,
        after: UUID | None = None,
        limit: int,
    ) -> WebhookList:
        """By id from the first after ``after``; of one project, or of those ``among``, or of all."""
        ...

    def add(self, webhook: Webhook, sealed: str) -> None:
        """Add one."""
        ...

    def put(self, webhook: Webhook) -> bool:
        """Replace what people say of one, and nothing of how its sending stands; whether it was there."""
        ...

    def hide(self, webhook_id: UUID, sealed: str) -> bool:
        """Replace what is hidden of one; whether it was there."""
        ...

    def remove(self, webhook_id: UUID) -> bool:
        """Remove one with its deliveries; whether it was there."""
        ...

    def waiting(self, now: datetime, *, limit: int) -> Candidates:
        """Active ones for which something is due, that are neither held nor sent to; who was served longest ago first.

        A lease or a hold that ends later than `chopmark.domain.deliveries.BELIEVED_S` from now was written by a clock that has
        been set back since, and is none.
        """
        ...

    def claim(self, candidate: Candidate, worker: str, until: datetime) -> bool:
        """Take one until a time, with the next fence; False when somebody was quicker."""
        ...

    def note(
        self, webhook_id: UUID, fence: int, *, until: datetime | None, failures: int, held_until: datetime | None
    ) -> bool:
        """Say how sending stands: kept until a time, or given back; False, and nothing changes, when the fence is another."""
        ...


class Deliveries(Protocol):
    """Deliveries by webhook and event."""

    def add(self, deliveries: Iterable[Delivery]) -> None:
        """Queue those that are not there."""
        ...

    def get(self, webhook_id: UUID, seq: int) -> Delivery | None:
        """The delivery, or None."""
        ...

    def list(
        self,
        webhook_id: UUID,
        *,
        state: DeliveryState | None = None,
        before_seq: int | None = None,
        limit: int,
    ) -> DeliveryList:
        """Those of a webhook, newest event first, from the first before ``before_seq``."""
        ...

    def due(self, webhook_id: UUID, state: DeliveryState, now: datetime, *, limit: int) -> DeliveryList:
        """Queued ones in the order of their events, or failed ones that are due, who waits longest first."""
        ...

    def settle(self, delivery: Delivery, seen: Delivery) -> bool:
        """Store what became of one; False, and nothing changes, when state or attempt are no longer as ``seen``."""
        ...

    def remove(self, before: datetime, *, limit: int) -> int:
        """Forget those that were queued first before a time, at most so many; how many."""
        ...
