"""Webhooks and deliveries in memory."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from datetime import datetime, timedelta
from uuid import UUID

from msgspec import structs

from chopmark.abc.webhooks import Candidates, DeliveryList, WebhookList
from chopmark.base.clock import from_us
from chopmark.base.jsons import decode, encode
from chopmark.domain.deliveries import BELIEVED_S, Candidate, Delivery, DeliveryState
from chopmark.domain.receivers import Webhook
from chopmark.testing.memory_state import Surface, Turn

__all__ = ["MemoryDeliveries", "MemoryWebhooks"]

_LONG_AGO = from_us(0)


class MemoryWebhooks(Surface):
    """`chopmark.abc.webhooks.Webhooks`."""

    def get(self, webhook_id: UUID) -> Webhook | None:
        """See the interface."""
        found = self._scope.read.webhooks.get(webhook_id)
        return None if found is None else decode(found[0], Webhook)

    def sealed(self, webhook_id: UUID) -> str | None:
        """See the interface."""
        found = self._scope.read.webhooks.get(webhook_id)
        return None if found is None else found[1]

    def list(
        self,
        *,
        project: str | None = None,
        among: Collection[str] | None = None,
        after: UUID | None = None,
        limit: int,
    ) -> WebhookList:
        """See the interface."""
        stored = self._scope.read.webhooks
        found = [decode(stored[key][0], Webhook) for key in sorted(stored) if after is None or key > after]
        return [w for w in found if project in (None, w.project) and (among is None or w.project in among)][:limit]

    def add(self, webhook: Webhook, sealed: str) -> None:
        """See the interface."""
        self._scope.write.webhooks[webhook.id] = encode(webhook), sealed

    def put(self, webhook: Webhook) -> bool:
        """See the interface."""
        stored, there = self._scope.write.webhooks, self.get(webhook.id)
        if there is None:
            return False
        kept = {name: getattr(there, name) for name in ("project", "kind", "after_seq", "created_at", "created_by")}
        changed = structs.replace(webhook, **kept, failures=0, held_until=None)
        stored[webhook.id] = encode(changed), stored[webhook.id][1]
        return True

    def hide(self, webhook_id: UUID, sealed: str) -> bool:
        """See the interface."""
        stored = self._scope.write.webhooks
        if webhook_id not in stored:
            return False
        stored[webhook_id] = stored[webhook_id][0], sealed
        return True

    def remove(self, webhook_id: UUID) -> bool:
        """See the interface."""
        state = self._scope.write
        for key in [key for key in state.deliveries if key[0] == webhook_id]:
            del state.deliveries[key]
        state.turns.pop(webhook_id, None)
        return state.webhooks.pop(webhook_id, None) is not None

    def waiting(self, now: datetime, *, limit: int) -> Candidates:
        """See the interface."""
        state = self._scope.read
        deliveries = [decode(body, Delivery) for body in state.deliveries.values()]
        due = {d.webhook for d in deliveries if d.state == "queued" or (d.state == "failed" and _past(d.due_at, now))}
        found = []
        for webhook_id in due:
            webhook, turn = self.get(webhook_id), state.turns.get(webhook_id, Turn())
            if webhook is None or webhook.state != "active":
                continue
            if _is_over(turn.until, now) and _is_over(webhook.held_until, now):
                found.append((turn.served or _LONG_AGO, Candidate(webhook_id, webhook.failures, turn.fence)))
        return [candidate for _, candidate in sorted(found)][:limit]

    def claim(self, candidate: Candidate, worker: str, until: datetime) -> bool:  # noqa: ARG002 - who it was is for people
        """See the interface."""
        turns, webhook = self._scope.write.turns, self.get(candidate.webhook)
        turn = turns.get(candidate.webhook, Turn())
        if webhook is None or webhook.state != "active" or turn.fence != candidate.fence:
            return False
        turns[candidate.webhook] = Turn(turn.fence + 1, until, until)
        return True

    def note(
        self, webhook_id: UUID, fence: int, *, until: datetime | None, failures: int, held_until: datetime | None
    ) -> bool:
        """See the interface."""
        state, there = self._scope.write, self.get(webhook_id)
        turn = state.turns.get(webhook_id, Turn())
        if there is None or turn.fence != fence:
            return False
        state.turns[webhook_id] = turn._replace(until=until)
        changed = structs.replace(there, failures=failures, held_until=held_until)
        state.webhooks[webhook_id] = encode(changed), state.webhooks[webhook_id][1]
        return True


class MemoryDeliveries(Surface):
    """`chopmark.abc.webhooks.Deliveries`."""

    def add(self, deliveries: Iterable[Delivery]) -> None:
        """See the interface."""
        state = self._scope.write
        for each in deliveries:
            if each.webhook in state.webhooks:
                state.deliveries.setdefault((each.webhook, each.seq), encode(each))

    def get(self, webhook_id: UUID, seq: int) -> Delivery | None:
        """See the interface."""
        body = self._scope.read.deliveries.get((webhook_id, seq))
        return None if body is None else decode(body, Delivery)

    def list(
        self,
        webhook_id: UUID,
        *,
        state: DeliveryState | None = None,
        before_seq: int | None = None,
        limit: int,
    ) -> DeliveryList:
        """See the interface."""
        found = [d for d in self._of(webhook_id) if state in (None, d.state)]
        found = [d for d in found if before_seq is None or d.seq < before_seq]
        return sorted(found, key=lambda d: -d.seq)[:limit]

    def due(self, webhook_id: UUID, state: DeliveryState, now: datetime, *, limit: int) -> DeliveryList:
        """See the interface."""
        found = [d for d in self._of(webhook_id) if d.state == state]
        if state == "failed":
            found = [d for d in found if _past(d.due_at, now)]
        return sorted(found, key=lambda d: (d.due_at or _LONG_AGO, d.seq))[:limit]

    def settle(self, delivery: Delivery, seen: Delivery) -> bool:
        """See the interface."""
        stored, there = self._scope.write.deliveries, self.get(seen.webhook, seen.seq)
        if there is None or (there.state, there.attempt) != (seen.state, seen.attempt):
            return False
        stored[seen.webhook, seen.seq] = encode(delivery)
        return True

    def remove(self, before: datetime, *, limit: int) -> int:
        """See the interface."""
        stored = self._scope.write.deliveries
        old = [key for key, body in stored.items() if decode(body, Delivery).created_at < before][:limit]
        for key in old:
            del stored[key]
        return len(old)

    def _of(self, webhook_id: UUID) -> Iterator[Delivery]:
        stored = self._scope.read.deliveries
        return (decode(body, Delivery) for key, body in list(stored.items()) if key[0] == webhook_id)


def _past(time: datetime | None, now: datetime) -> bool:
    return time is not None and time <= now


def _is_over(time: datetime | None, now: datetime) -> bool:
    return time is None or time <= now or time > now + timedelta(seconds=BELIEVED_S)
