"""From the outbox to the webhooks: each event becomes a delivery of every webhook that wants it."""

from __future__ import annotations

from datetime import datetime

from chopmark.abc.catalog import Transaction
from chopmark.app.webhooks import WEBHOOKS_MAX
from chopmark.domain.deliveries import queued
from chopmark.domain.receivers import wants

__all__ = ["EVENTS_AT_ONCE", "hand_over"]

EVENTS_AT_ONCE = 500
_DELIVERIES_AT_ONCE = 20_000


def hand_over(tx: Transaction, now: datetime) -> int:
    """Queue deliveries of the oldest events that wait, and take these out of the outbox; how many events.

    The events are read before the webhooks: whoever was made before one of these events is then among them.
    """
    rows = tx.outbox.pending(limit=EVENTS_AT_ONCE)
    webhooks = tx.webhooks.list(limit=WEBHOOKS_MAX)
    rows = rows[: max(1, _DELIVERIES_AT_ONCE // max(1, len(webhooks)))]
    tx.deliveries.add(queued(w.id, row.event, now) for row in rows for w in webhooks if wants(w, row.event))
    tx.outbox.remove(row.seq for row in rows)
    return len(rows)
