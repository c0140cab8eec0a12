"""Verbs about telling others: what they are asked with and what they answer."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from chopmark.base.paging import PAGE_SIZE
from chopmark.domain.deliveries import Attempt, Delivery, DeliveryState
from chopmark.domain.notices import TargetKind
from chopmark.domain.receivers import Webhook, WebhookState
from chopmark.ops.requests import Request

__all__ = [
    "CreateWebhook",
    "DeleteWebhook",
    "DeliveryPage",
    "GetDelivery",
    "GetWebhook",
    "ListDeliveries",
    "ListWebhooks",
    "NewWebhook",
    "ReplayDelivery",
    "RotateWebhook",
    "TestWebhook",
    "UpdateWebhook",
    "WebhookPage",
    "WebhookTrial",
]


class CreateWebhook(Request, frozen=True, kw_only=True):
    """Have somebody told of events; the secret that signs is in the answer and nowhere else.

    Attributes
    ----------
    project
        Whose events; ``*`` for those of the whole registry.
    kind
        How they are told: ``webhook`` by signed CloudEvents; ``slack``, ``pagerduty``, ``alertmanager``, ``email`` and
        ``apprise`` by notices for people.
    url
        Where: ``https://…``; for e-mail ``smtp://host:587`` or ``smtps://host``; PagerDuty's is known.
    credential
        PagerDuty's routing key, the mail server's password, or a bearer token for Alertmanager. Shown nowhere.
    events
        Names of events, or patterns with ``*``; none for all.
    model
        Only events of this model; empty for any.
    to, sender, username
        Of letters.
    """

    project: str
    kind: TargetKind = "webhook"
    url: str = ""
    credential: str = ""
    events: tuple[str, ...] = ()
    model: str = ""
    to: tuple[str, ...] = ()
    sender: str = ""
    username: str = ""
    description: str = ""
    reason: str = ""

    def __repr__(self) -> str:
        return f"<create a webhook of {self.project}>"


class NewWebhook(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook that was just made, or given a new secret.

    Attributes
    ----------
    webhook
        What may be seen of it.
    secret
        What signs, ``whsec_…``; empty for kinds that are not signed, and in the answer to a repeated call.
    """

    webhook: Webhook
    secret: str = ""

    def __repr__(self) -> str:
        return f"<new {repr(self.webhook)[1:]}"


class GetWebhook(Request, frozen=True, kw_only=True):
    """Look up a webhook; nothing of its secrets."""

    webhook: UUID


class ListWebhooks(Request, frozen=True, kw_only=True):
    """A page of webhooks by id: of a project, of the whole registry (``*``), or all that one may configure."""

    project: str | None = None
    limit: int = PAGE_SIZE
    cursor: str = ""


class WebhookPage(msgspec.Struct, frozen=True, kw_only=True):
    """Webhooks, and the cursor of the next page."""

    items: list[Webhook]
    cursor: str = ""


class UpdateWebhook(Request, frozen=True, kw_only=True):
    """Change a webhook; what is UNSET stays.

    Attributes
    ----------
    state
        ``paused``: what happens is kept for it; ``disabled``: it is not; ``active``: it is told again.
    """

    webhook: UUID
    url: str | UnsetType = UNSET
    credential: str | UnsetType = UNSET
    events: tuple[str, ...] | UnsetType = UNSET
    model: str | UnsetType = UNSET
    to: tuple[str, ...] | UnsetType = UNSET
    sender: str | UnsetType = UNSET
    username: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    state: WebhookState | UnsetType = UNSET
    reason: str = ""

    def __repr__(self) -> str:
        return f"<update the webhook {self.webhook}>"


class DeleteWebhook(Request, frozen=True, kw_only=True):
    """Remove a webhook with its deliveries; what waits is not sent any more."""

    webhook: UUID
    reason: str = ""


class RotateWebhook(Request, frozen=True, kw_only=True):
    """Give a webhook a new secret; those that it has sign beside it for some hours.

    Attributes
    ----------
    grace_hours
        For so long both sign; 0 when the old one is in wrong hands.
    """

    webhook: UUID
    grace_hours: Annotated[float, Meta(ge=0, le=8_760)] = 24.0
    reason: str = ""


class TestWebhook(Request, frozen=True, kw_only=True):
    """Send a webhook an event ``chopmark.test`` now, whatever its state; nothing is tried again."""

    __test__ = False  # for pytest, which takes the name for a test's

    webhook: UUID
    reason: str = ""


class WebhookTrial(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a test.

    Attributes
    ----------
    id
        The header ``webhook-id`` of what was sent; empty for a rehearsal, which sends nothing.
    delivered
        Whether the receiver has it.
    attempt
        What it answered.
    """

    webhook: UUID
    id: str
    delivered: bool
    attempt: Attempt

    def __repr__(self) -> str:
        how = "delivered" if self.delivered else "not delivered"
        return f"<test of {self.webhook} · {how} · {self.attempt.status or self.attempt.error}>"


class ListDeliveries(Request, frozen=True, kw_only=True):
    """A page of the deliveries of a webhook, newest event first; of a state."""

    webhook: UUID
    state: DeliveryState | None = None
    limit: int = PAGE_SIZE
    cursor: str = ""


class DeliveryPage(msgspec.Struct, frozen=True, kw_only=True):
    """Deliveries, and the cursor of the next page."""

    items: list[Delivery]
    cursor: str = ""


class GetDelivery(Request, frozen=True, kw_only=True):
    """Look up a delivery by its id, the header ``webhook-id``."""

    delivery: str


class ReplayDelivery(Request, frozen=True, kw_only=True):
    """Send a delivery again, with the same id, whatever became of it."""

    delivery: str
    reason: str = ""
