"""``registry.webhooks``: telling others of what happens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from msgspec import UNSET

from chopmark.domain.deliveries import Delivery, DeliveryState
from chopmark.domain.names import shown
from chopmark.domain.notices import TargetKind
from chopmark.domain.receivers import Webhook
from chopmark.errors import InvalidRequest
from chopmark.ops import webhooks as q
from chopmark.ops.results import Done
from chopmark.ops.webhooks import NewWebhook, WebhookTrial
from chopmark.sdk.results import Page
from chopmark.sdk.surface import Surface, WebhookReference

__all__ = ["Webhooks"]


class Webhooks(Surface):
    """Verbs about webhooks. Workers send what happens: `chopmark serve`, or `chopmark worker` beside it."""

    def create(
        self,
        url: str = "",
        *,
        project: str | None = None,
        kind: TargetKind = "webhook",
        events: Sequence[str] = (),
        model: str = "",
        credential: str = "",
        to: Sequence[str] = (),
        sender: str = "",
        username: str = "",
        description: str = "",
        reason: str = "",
    ) -> NewWebhook:
        """Have somebody told of events; ``secret`` of the answer is shown this once.

        Parameters
        ----------
        url
            Where: ``https://…``; for e-mail ``smtp://host:587`` or ``smtps://host``. Plain HTTP and addresses that are not
            public take the setting ``webhook_allow``.
        project
            Whose events: the registry's own project unless said otherwise; ``*`` for the whole registry.
        kind
            How: ``webhook`` by signed CloudEvents; ``slack``, ``pagerduty``, ``alertmanager``, ``email`` and ``apprise`` by
            notices for people.
        events
            Names of events, or patterns such as ``version.*``; none for all.
        model
            Only events of this model.
        credential
            PagerDuty's routing key, the mail server's password, or a bearer token for Alertmanager. It is shown nowhere.
        to, sender, username
            Of letters.

        >>> from chopmark.testing.registry import memory_registry
        >>> made = memory_registry().webhooks.create("https://ci.example/hooks/7", events=["version.*"])
        >>> made.webhook.url, made.webhook.state, made.secret.startswith("whsec_"), made.secret in repr(made)
        ('https://ci.example/hooks/7', 'active', True, False)
        """
        request = q.CreateWebhook(
            project=self._settings.project if project is None else project,
            kind=kind,
            url=url,
            credential=credential,
            events=_texts(events),
            model=model,
            to=_texts(to),
            sender=sender,
            username=username,
            description=description,
            reason=reason,
        )
        made: NewWebhook = self._call(request)
        return made

    def list(self, project: str | None = None, *, limit: int = 50, cursor: str = "") -> Page[Webhook]:
        """Webhooks of a project, of the whole registry (``*``), or all that one may configure, a page at a time."""
        page: q.WebhookPage = self._call(q.ListWebhooks(project=project, limit=limit, cursor=cursor))
        return Page(page.items, page.cursor)

    def get(self, webhook: WebhookReference) -> Webhook:
        """A webhook as it is now; nothing of its secrets."""
        found: Webhook = self._call(q.GetWebhook(webhook=_id_of(webhook)))
        return found

    def update(
        self,
        webhook: WebhookReference,
        *,
        url: str | None = None,
        credential: str | None = None,
        events: Sequence[str] | None = None,
        model: str | None = None,
        to: Sequence[str] | None = None,
        sender: str | None = None,
        username: str | None = None,
        description: str | None = None,
        reason: str = "",
    ) -> Webhook:
        """Change what is given, and leave what is not; see `create`."""
        given: dict[str, Any] = {
            "url": url,
            "credential": credential,
            "events": None if events is None else _texts(events),
            "model": model,
            "to": None if to is None else _texts(to),
            "sender": sender,
            "username": username,
            "description": description,
        }
        said = {name: UNSET if value is None else value for name, value in given.items()}
        changed: Webhook = self._call(q.UpdateWebhook(webhook=_id_of(webhook), reason=reason, **said))
        return changed

    def pause(self, webhook: WebhookReference, *, reason: str = "") -> Webhook:
        """Send it nothing for now; what happens is kept for it, as long as deliveries are."""
        changed: Webhook = self._call(q.UpdateWebhook(webhook=_id_of(webhook), state="paused", reason=reason))
        return changed

    def resume(self, webhook: WebhookReference, *, reason: str = "") -> Webhook:
        """Send to it again: one that was paused, or that its receiver's 410 disabled."""
        changed: Webhook = self._call(q.UpdateWebhook(webhook=_id_of(webhook), state="active", reason=reason))
        return changed

    def delete(self, webhook: WebhookReference, *, reason: str = "") -> Done:
        """Remove it with its deliveries; what waits is not sent any more."""
        done: Done = self._call(q.DeleteWebhook(webhook=_id_of(webhook), reason=reason))
        return done

    def rotate(self, webhook: WebhookReference, *, grace_hours: float = 24.0, reason: str = "") -> NewWebhook:
        """Give it a new secret, shown this once; the old one signs beside it for so many hours.

        >>> from chopmark.testing.registry import memory_registry
        >>> webhooks = memory_registry().webhooks
        >>> made = webhooks.create("https://ci.example/hooks/7")
        >>> webhooks.rotate(made.webhook, reason="as every year").secret == made.secret
        False
        """
        request = q.RotateWebhook(webhook=_id_of(webhook), grace_hours=grace_hours, reason=reason)
        made: NewWebhook = self._call(request)
        return made

    def test(self, webhook: WebhookReference, *, reason: str = "") -> WebhookTrial:
        """Send an event ``chopmark.test`` now, and say what came back; nothing is tried again.

        >>> from chopmark.testing.registry import memory_registry
        >>> webhooks = memory_registry(webhook_allow="127.0.0.1").webhooks
        >>> made = webhooks.create("http://127.0.0.1:9/nobody-listens-here")
        >>> tried = webhooks.test(made.webhook)
        >>> tried.delivered, tried.attempt.status
        (False, 0)
        """
        tried: WebhookTrial = self._call(q.TestWebhook(webhook=_id_of(webhook), reason=reason))
        return tried

    def deliveries(
        self, webhook: WebhookReference, *, state: DeliveryState | None = None, limit: int = 50, cursor: str = ""
    ) -> Page[Delivery]:
        """Its deliveries, newest event first, a page at a time.

        Parameters
        ----------
        state
            Only those ``queued``, ``failed`` (waiting for their next attempt), ``delivered`` or ``dead``.
        """
        request = q.ListDeliveries(webhook=_id_of(webhook), state=state, limit=limit, cursor=cursor)
        page: q.DeliveryPage = self._call(request)
        return Page(page.items, page.cursor)

    def delivery(self, delivery: str | Delivery) -> Delivery:
        """A delivery by its id, which its receiver knows as the header ``webhook-id``.

        Raises
        ------
        NotFound
            When there is none, or it was so long ago that it is forgotten.

        >>> from chopmark.testing.registry import memory_registry
        >>> memory_registry().webhooks.delivery("msg_019b1c7e7d1c700080001f0c8a5be9d2_17")
        Traceback (most recent call last):
        chopmark.errors.NotFound: There is no such delivery.
        See what there is with: chopmark webhook deliveries
        """
        found: Delivery = self._call(q.GetDelivery(delivery=_delivery_id(delivery)))
        return found

    def replay(self, delivery: str | Delivery, *, reason: str = "") -> Delivery:
        """Send a delivery again, with the same id, whatever became of it.

        >>> from chopmark.testing.registry import memory_registry
        >>> webhooks = memory_registry().webhooks
        >>> made = webhooks.create("https://ci.example/hooks/7")
        >>> [webhooks.replay(dead).state for dead in webhooks.deliveries(made.webhook, state="dead")]
        []
        """
        queued: Delivery = self._call(q.ReplayDelivery(delivery=_delivery_id(delivery), reason=reason))
        return queued


def _texts(values: Sequence[str]) -> tuple[str, ...]:
    return (values,) if isinstance(values, str) else tuple(values)


def _delivery_id(delivery: str | Delivery) -> str:
    return delivery.id if isinstance(delivery, Delivery) else delivery


def _id_of(webhook: WebhookReference) -> UUID:
    if isinstance(webhook, Webhook):
        return webhook.id
    try:
        return webhook if isinstance(webhook, UUID) else UUID(webhook)
    except (ValueError, AttributeError, TypeError) as error:
        msg = f"{shown(webhook)} is no id of a webhook."
        raise InvalidRequest(msg, hint="See ids with: chopmark webhook list") from error
