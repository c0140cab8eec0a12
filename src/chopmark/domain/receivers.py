"""Who is told of events, and of which: webhooks; pure.

Nouns
-----
*Webhook*: who is told: a receiver, what it wants to hear, and whether it is told at present. *Kind*: how the receiver wants to be
told (`chopmark.domain.notices`); the kind ``webhook`` is told by signed CloudEvents, the others by notices for people. *Hidden*: what
only sending needs: the whole address, a credential, the secrets that sign. *Delivery*: one event on its way to one webhook
(`chopmark.domain.deliveries`).

What must stay true
-------------------
1. What is hidden is kept sealed, and stands in no answer, event, log or error. A new secret is in one answer, once.
2. A webhook of a project is told what that project's readers may read, and nothing else; one of the whole registry is told
   everything. It belongs to the project, not to who made it.
3. A webhook hears what happens after it was made. While it is paused, what happens is kept for it; while it is disabled, it is not.
4. A secret that was replaced signs until its time is over, beside the new one.
5. What is sent goes to the address that was checked (`chopmark.domain.addresses`).
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from email.utils import parseaddr
from typing import Literal
from uuid import UUID

import msgspec
from msgspec import structs

from chopmark.domain.access import EVERYWHERE
from chopmark.domain.addresses import parse_place
from chopmark.domain.audit import AuditEvent
from chopmark.domain.cloud_events import Wanted
from chopmark.domain.names import check_name, check_text, shown
from chopmark.domain.notices import TargetKind
from chopmark.domain.refs import DEFAULT_PROJECT, parse_model
from chopmark.domain.sight import is_seen
from chopmark.domain.webhooks import SECRET_PREFIX
from chopmark.errors import InvalidRequest

__all__ = [
    "SECRET_BYTES",
    "Hidden",
    "Secret",
    "Webhook",
    "WebhookState",
    "check_webhook",
    "live_secrets",
    "rotated",
    "shown_url",
    "wants",
    "written_secret",
]

WebhookState = Literal["active", "paused", "disabled"]

SECRET_BYTES = 32
_SECRETS_MAX = 4
_RECIPIENTS_MAX = 20
_CREDENTIAL_LENGTH_MAX = 500
_PAGERDUTY_KEY_LENGTH = 32
_PAGERDUTY = "https://events.pagerduty.com/v2/enqueue"
_SCHEMES: dict[TargetKind, tuple[str, ...]] = {"email": ("smtp", "smtps")}
_SECRET_PATHS: tuple[TargetKind, ...] = ("slack",)


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """Who is told of events.

    Attributes
    ----------
    project
        Whose events; `EVERYWHERE` for those of the whole registry.
    kind
        How it is told.
    url
        Where, without what may be a secret in it.
    events
        Names of events, or patterns with ``*``; none for all.
    model
        Only events of this model; empty for any.
    to, sender, username
        Of letters.
    state, why
        Whether it is told, and if not, why.
    after_seq
        The last event before it was made.
    failures
        How many attempts in a row went wrong.
    held_until
        Nothing is sent before: the receiver fails, or asked for a pause.
    """

    id: UUID
    project: str
    kind: TargetKind = "webhook"
    url: str
    events: tuple[str, ...] = ()
    model: str = ""
    to: tuple[str, ...] = ()
    sender: str = ""
    username: str = ""
    description: str = ""
    state: WebhookState = "active"
    why: str = ""
    after_seq: int = 0
    created_at: datetime
    created_by: str
    updated_at: datetime
    failures: int = 0
    held_until: datetime | None = None

    def __repr__(self) -> str:
        where = "everything" if self.project == EVERYWHERE else self.project
        return f"<webhook {self.id} · {self.kind} · {self.url} · {where} · {self.state}>"


class Secret(msgspec.Struct, frozen=True):
    """What signs, and until when it does; None for as long as nobody replaces it."""

    value: str
    until: datetime | None = None

    def __repr__(self) -> str:
        return "<secret>"


class Hidden(msgspec.Struct, frozen=True, kw_only=True):
    """What only sending needs of a webhook.

    Attributes
    ----------
    url
        All of it.
    credential
        PagerDuty's routing key, a mail server's password, or a bearer token for Alertmanager.
    secrets
        The newest first; of the kind ``webhook`` only.
    """

    url: str
    credential: str = ""
    secrets: tuple[Secret, ...] = ()

    def __repr__(self) -> str:
        return "<hidden>"

    def told(self) -> list[str]:
        """Texts that must not be seen anywhere."""
        return [text for text in (self.credential, *(secret.value for secret in self.secrets)) if text]


def check_webhook(webhook: Webhook, hidden: Hidden) -> tuple[Webhook, Hidden]:
    """The webhook and what is hidden of it, once both can be meant; the webhook's ``url`` shows no secret.

    Raises
    ------
    InvalidRequest
        When they cannot. The message holds nothing that is hidden.
    """
    if webhook.project != EVERYWHERE:
        check_name(webhook.project, "project")
    check_text(webhook.description, "description")
    Wanted(kinds=webhook.events).check()
    if hidden.credential and (
        len(hidden.credential) > _CREDENTIAL_LENGTH_MAX
        or not (hidden.credential.isascii() and hidden.credential.isprintable())
    ):
        raise InvalidRequest(
            "The credential is too long, or holds what cannot be sent.", hint="Use up to 500 ASCII characters."
        )
    if webhook.kind == "pagerduty":
        hidden = structs.replace(hidden, url=hidden.url or _PAGERDUTY)
        if len(hidden.credential) != _PAGERDUTY_KEY_LENGTH:
            raise InvalidRequest(
                "That is no routing key of PagerDuty.", hint="Pass the 32 characters of its integration as credential."
            )
    if webhook.kind in ("webhook", "slack") and hidden.credential:
        raise InvalidRequest(f"A receiver of the kind {webhook.kind} takes no credential.")
    _check_letters(webhook)
    model = _model_in(webhook)
    return structs.replace(webhook, model=model, url=shown_url(webhook.kind, hidden.url)), hidden


def _check_letters(webhook: Webhook) -> None:
    if webhook.kind != "email":
        if webhook.to or webhook.sender or webhook.username:
            raise InvalidRequest("Only e-mail has recipients, a sender and a name to log in with.")
        return
    if not 1 <= len(webhook.to) <= _RECIPIENTS_MAX:
        raise InvalidRequest(f"A letter goes to 1 to {_RECIPIENTS_MAX} addresses, not {len(webhook.to)}.")
    for address in (webhook.sender, *webhook.to):
        _, plain = parseaddr(address)
        if plain != address or address.count("@") != 1 or not address.isascii() or not address.isprintable():
            raise InvalidRequest(f"{shown(address)} is no address for e-mail.", hint="Write it like ada@example.com.")
    check_text(webhook.username, "username", _CREDENTIAL_LENGTH_MAX)


def _model_in(webhook: Webhook) -> str:
    if not webhook.model:
        return ""
    everywhere = webhook.project == EVERYWHERE
    ref = parse_model(webhook.model, DEFAULT_PROJECT if everywhere else webhook.project)
    if not everywhere and ref.project != webhook.project:
        msg = f"The model {ref} is not in {webhook.project}, whose events the webhook is told."
        raise InvalidRequest(msg, hint="Make a webhook of that project.")
    return f"{ref.project}/{ref.name}"


def shown_url(kind: TargetKind, url: str) -> str:
    """The address of a receiver as it may be shown: without a query, and where the path is the secret, without that.

    Raises
    ------
    InvalidRequest
        When it is not the address of such a receiver.

    >>> shown_url("slack", "https://hooks.slack.com/services/T0/B0/abc")
    'https://hooks.slack.com/…'
    >>> shown_url("webhook", "https://ci.example/hooks/1?key=abc")
    'https://ci.example/hooks/1?…'
    """
    if kind == "apprise":
        scheme, sep, rest = url.partition("://")
        if not (sep and rest and scheme.isalnum() and scheme.isascii() and url.isprintable()):
            raise InvalidRequest("That is no address of the library apprise.", hint="They begin like: discord://")
        return f"{scheme}://…"
    place = parse_place(url, _SCHEMES.get(kind, ("https", "http")))
    if kind == "email":
        return place.origin
    if kind in _SECRET_PATHS:
        return f"{place.origin}/…"
    path, query, _ = place.target.partition("?")
    return f"{place.origin}{path}{query and '?…'}"


def wants(webhook: Webhook, event: AuditEvent) -> bool:
    """Whether a webhook is told of an event."""
    if webhook.state == "disabled" or event.seq <= webhook.after_seq:
        return False
    if event.data.get("silenced") and webhook.kind != "webhook":  # programs are told that it is, people nothing
        return False
    if webhook.project != EVERYWHERE and not is_seen(event, (webhook.project,)):
        return False
    return Wanted(kinds=webhook.events, model=webhook.model).fits(event)


def written_secret(secret: bytes) -> str:
    """A secret as its receiver is given it.

    >>> written_secret(bytes(24))
    'whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'
    """
    return SECRET_PREFIX + base64.b64encode(secret).decode()


def rotated(secrets: Sequence[Secret], new: str, now: datetime, grace: timedelta) -> tuple[Secret, ...]:
    """Secrets with a new one before them; the others sign for so long still, and no longer than they would have."""
    until = now + grace
    kept = [Secret(s.value, until if s.until is None else min(until, s.until)) for s in live_secrets(secrets, now)]
    return (Secret(new), *(s for s in kept if s.until is not None and s.until > now))[:_SECRETS_MAX]


def live_secrets(secrets: Iterable[Secret], now: datetime) -> list[Secret]:
    """Secrets that sign now."""
    return [secret for secret in secrets if secret.until is None or secret.until > now]
