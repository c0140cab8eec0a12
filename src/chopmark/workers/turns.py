"""One worker's turn at one webhook: its deliveries in order, each noted before the next one is sent."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from chopmark.abc.catalog import Catalog, Transaction
from chopmark.abc.notify import Post
from chopmark.app.recording import registry_id
from chopmark.base.clock import Clock
from chopmark.domain.audit import AuditEvent
from chopmark.domain.deliveries import (
    Answer,
    Delivery,
    attempted,
    cleaned,
    held_until,
    is_gone,
    is_success,
)
from chopmark.domain.receivers import Hidden, Webhook
from chopmark.domain.telling import message_for
from chopmark.errors import ChopmarkError

__all__ = ["Turn"]

TURN_S = 10.0
"""After so long a webhook is given back, so that others come to be served too."""

_AGAIN_AT_ONCE = 8
_FIRST_AT_ONCE = 32


class _Found(NamedTuple):
    """What there is to send."""

    webhook: Webhook
    hidden: Hidden | ChopmarkError
    registry: str
    deliveries: list[tuple[Delivery, AuditEvent | None]]


class Turn:
    """A webhook while it is this worker's.

    Parameters
    ----------
    catalog, post, clock
        Where deliveries are, what sends them, and the time.
    webhook, fence, failures
        Which one, the fence that the claim gave, and how many attempts in a row went wrong before.
    lease_s
        For how long it is this worker's without a sign of life.
    is_stopping
        Whether to begin nothing more.
    gone
        Told of a webhook whose receiver wants nothing any more.
    """

    def __init__(
        self,
        catalog: Catalog,
        post: Post,
        clock: Clock,
        webhook: UUID,
        *,
        fence: int,
        failures: int,
        lease_s: float,
        is_stopping: Callable[[], bool],
        gone: Callable[[UUID], None],
    ) -> None:
        self._catalog = catalog
        self._post = post
        self._clock = clock
        self._webhook = webhook
        self._fence = fence
        self._failures = failures
        self._lease_s = lease_s
        self._is_stopping = is_stopping
        self._gone = gone
        self._kept_at_s = time.monotonic()

    def run(self) -> None:
        """Send what is due until nothing is left, an attempt goes wrong, or the time is up; then give the webhook back."""
        began_s, is_ours = time.monotonic(), True
        while is_ours and time.monotonic() - began_s < TURN_S:
            found = self._found()
            if found is None or not found.deliveries:
                break
            for delivery, event in found.deliveries:
                if self._is_stopping():
                    break
                is_ours, goes_on = self._send(found, delivery, event)
                if not goes_on:
                    return
            if self._is_stopping():
                break
        if is_ours:
            self._keep(None)

    def _found(self) -> _Found | None:
        now = self._clock()
        with self._catalog.reading() as tx:
            webhook = tx.webhooks.get(self._webhook)
            if webhook is None or webhook.state != "active":
                return None
            again = tx.deliveries.due(webhook.id, "failed", now, limit=_AGAIN_AT_ONCE)
            first = tx.deliveries.due(webhook.id, "queued", now, limit=_FIRST_AT_ONCE)
            events = [(each, _event(tx, each.seq)) for each in (*again, *first)]
            registry = registry_id(tx.audit.list(limit=1)[0]) if events else ""
            sealed = tx.webhooks.sealed(webhook.id) or ""
        try:
            return _Found(webhook, self._post.unseal(webhook.id, sealed), registry, events)
        except ChopmarkError as error:
            return _Found(webhook, error, registry, events)

    def _send(self, found: _Found, delivery: Delivery, event: AuditEvent | None) -> tuple[bool, bool]:
        """Send one and note it; whether the webhook is still this worker's, and whether to go on."""
        if time.monotonic() - self._kept_at_s > self._lease_s / 3 and not self._keep(self._lease_s):
            return False, False
        answer = self._answered(found, delivery, event)
        is_good = is_success(answer)
        self._failures = 0 if is_good else self._failures + 1
        at = self._clock()
        after = attempted(delivery, answer, at, random.random())  # noqa: S311 - no secret
        pause = None if is_good else held_until(self._failures, answer, at)
        with self._catalog.writing() as tx:
            until = at + timedelta(seconds=self._lease_s) if is_good else None
            is_ours = tx.webhooks.note(
                self._webhook, self._fence, until=until, failures=self._failures, held_until=pause
            )
            if is_ours:
                tx.deliveries.settle(after, delivery)  # unless somebody has it sent again: then it is, once more
        self._kept_at_s = time.monotonic()
        if is_ours and is_gone(answer):
            self._gone(self._webhook)
        return is_ours, is_ours and is_good

    def _answered(self, found: _Found, delivery: Delivery, event: AuditEvent | None) -> Answer:
        if event is None:
            return Answer(error="The event is not in the audit any more.")
        if isinstance(found.hidden, ChopmarkError):
            return Answer(error=f"{found.hidden.message} {found.hidden.hint}".strip())
        try:
            message = message_for(found.webhook, found.hidden, event, found.registry, delivery.id, self._clock())
            answer = self._post.send(message)
        except ChopmarkError as error:
            answer = Answer(error=f"{error.message} {error.hint}".strip())
        return cleaned(answer, found.hidden.told())

    def _keep(self, for_s: float | None) -> bool:
        """Say that the webhook is served still, or give it back; False when it is another's by now."""
        until: datetime | None = None if for_s is None else self._clock() + timedelta(seconds=for_s)
        with self._catalog.writing() as tx:
            is_ours = tx.webhooks.note(
                self._webhook, self._fence, until=until, failures=self._failures, held_until=None
            )
        self._kept_at_s = time.monotonic()
        return is_ours


def _event(tx: Transaction, seq: int) -> AuditEvent | None:
    found = tx.audit.list(after_seq=seq - 1, limit=1)
    return found[0] if found and found[0].seq == seq else None
