"""What is sent to a webhook for an event; pure."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from chopmark.base.jsons import encode
from chopmark.domain.audit import AuditEvent
from chopmark.domain.cloud_events import CloudEvent, cloud_event
from chopmark.domain.notices import (
    HttpMessage,
    Message,
    Notice,
    alertmanager_message,
    library_message,
    mail_message,
    notice_of,
    pagerduty_message,
    slack_message,
)
from chopmark.domain.receivers import Hidden, Webhook, live_secrets
from chopmark.domain.webhooks import signed_headers

__all__ = ["TEST", "message_for", "notice_message", "trial_event"]

TEST = "test"
"""Name of the event that only tries a webhook; its type is ``chopmark.test``."""

_CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"


def message_for(
    webhook: Webhook, hidden: Hidden, event: AuditEvent, registry: str, message_id: str, now: datetime
) -> Message:
    """What is sent to a webhook for an event: signed anew at each attempt, else always the same.

    Parameters
    ----------
    webhook, hidden
        Who is told.
    event, registry
        What happened, and in which registry.
    message_id
        The same at each attempt.
    now
        The time of the attempt.
    """
    told = cloud_event(event, registry)
    if webhook.kind == "webhook":
        return _signed(hidden, told, message_id, now)
    notice = _test_notice(told) if event.event == TEST else notice_of(event, told.source)
    return notice_message(webhook, hidden, notice, message_id)


def notice_message(webhook: Webhook, hidden: Hidden, notice: Notice, message_id: str) -> Message:
    """What is sent to people: a notice in the words of their service.

    Raises
    ------
    ValueError
        For the kind ``webhook``, which is told events and no notices.
    """
    match webhook.kind:
        case "slack":
            return slack_message(notice, hidden.url)
        case "pagerduty":
            return pagerduty_message(notice, hidden.url, hidden.credential)
        case "alertmanager":
            token = {"authorization": f"Bearer {hidden.credential}"} if hidden.credential else {}
            return alertmanager_message(notice, hidden.url, token)
        case "email":
            return mail_message(
                notice,
                hidden.url,
                sender=webhook.sender,
                to=webhook.to,
                message_id=message_id,
                username=webhook.username,
                password=hidden.credential,
            )
        case "apprise":
            return library_message(notice, hidden.url)
        case "webhook":
            raise ValueError(webhook.kind)


def _signed(hidden: Hidden, told: CloudEvent, message_id: str, now: datetime) -> HttpMessage:
    body = encode(told)
    secrets = [secret.value for secret in live_secrets(hidden.secrets, now)]
    signed = signed_headers(secrets, message_id, now, body)
    return HttpMessage(url=hidden.url, headers={"content-type": _CONTENT_TYPE, **signed}, body=body)


def trial_event(webhook: Webhook, event_id: UUID, actor: str, now: datetime) -> AuditEvent:
    """An event that did not happen: to try whether a receiver hears. It has the number 0, which no event of the audit has."""
    return AuditEvent(seq=0, id=event_id, at=now, actor=actor, event=TEST, target=f"webhook:{webhook.id}")


def _test_notice(told: CloudEvent) -> Notice:
    return Notice(
        title="A test of Chopmark",
        text=f"{told.data.actor} tried whether notices arrive here. They do.",
        key=f"{told.source}:{told.data.target}",
        kind=told.type,
        source=told.source,
        at=told.time,
    )
