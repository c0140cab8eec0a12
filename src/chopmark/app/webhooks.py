"""Webhooks and deliveries: made, changed, tried, listed, replayed. Sending what happens is the workers' (`chopmark.workers.delivering`).

Webhooks show answers of others' machines and addresses that may be secrets, so that looking at them takes the same permission as
making them.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

from msgspec import UNSET, structs

from chopmark.abc.catalog import Transaction
from chopmark.app.context import Context, Outside, the_project
from chopmark.app.recording import registry_id
from chopmark.app.sight import seen_by
from chopmark.base.ids import random_bytes, uuid7
from chopmark.base.jsons import canonical
from chopmark.base.paging import check_limit, decode_cursor, encode_cursor
from chopmark.domain.access import EVERYWHERE, Actor, check_permission
from chopmark.domain.deliveries import Answer, Attempt, Delivery, cleaned, is_success, parse_message_id, replayed
from chopmark.domain.receivers import (
    SECRET_BYTES,
    Hidden,
    Secret,
    Webhook,
    check_webhook,
    rotated,
    written_secret,
)
from chopmark.domain.refs import DEFAULT_PROJECT
from chopmark.domain.telling import message_for, trial_event
from chopmark.errors import Conflict, InvalidRequest, NotFound
from chopmark.ops import webhooks as q
from chopmark.ops.event_names import check_events
from chopmark.ops.results import Done

__all__ = [
    "create",
    "delete",
    "get",
    "get_delivery",
    "list_deliveries",
    "list_page",
    "replay",
    "rotate",
    "send_test",
    "test",
    "update",
]

PERMISSION = "configure"
WEBHOOKS_MAX = 1_000
_SAID = ("events", "model", "to", "sender", "username", "description", "state")
_TOLD = ("url", "events", "model", "to", "sender", "username", "description", "state", "why")


class Trial(NamedTuple):
    """What was sent to try a webhook, and what came of it."""

    id: str
    answer: Answer


def create(ctx: Context, request: q.CreateWebhook) -> q.NewWebhook:
    """Make a webhook; its secret is told this once."""
    project = _known_project(ctx, request.project)
    if len(ctx.whole.webhooks.list(limit=WEBHOOKS_MAX)) >= WEBHOOKS_MAX:
        raise Conflict(f"There are {WEBHOOKS_MAX:,} webhooks, which is the limit.", hint="Delete what nobody needs.")
    wanted = Webhook(
        id=ctx.new_id(),
        project=project,
        kind=request.kind,
        url=request.url,
        events=check_events(request.events),
        model=request.model,
        to=request.to,
        sender=request.sender,
        username=request.username,
        description=request.description,
        after_seq=ctx.tx.audit.head()[0],
        created_at=ctx.now,
        created_by=ctx.actor.name,
        updated_at=ctx.now,
    )
    secret = _new_secret() if request.kind == "webhook" else ""
    secrets = (Secret(secret),) if secret else ()
    webhook, hidden = check_webhook(wanted, Hidden(url=request.url, credential=request.credential, secrets=secrets))
    ctx.post.check(webhook.kind, hidden.url)
    ctx.tx.webhooks.add(webhook, ctx.post.seal(webhook.id, hidden))
    said = {name: getattr(webhook, name) for name in ("url", "events", "model", "to", "description")}
    ctx.emit(_target(webhook), project=project, kind=webhook.kind, reason=request.reason, **_plain(said))
    return q.NewWebhook(webhook=webhook, secret=secret)


def get(ctx: Context, request: q.GetWebhook) -> Webhook:
    """Look up a webhook."""
    return _the_webhook(ctx.tx, ctx.actor, request.webhook, "webhook.get")


def list_page(ctx: Context, request: q.ListWebhooks) -> q.WebhookPage:
    """A page of webhooks by id, of what one may configure."""
    limit = check_limit(request.limit)
    if request.project is not None:
        ctx.check_may(_known_project(ctx, request.project))
    grants = ctx.actor.grants
    everywhere = ctx.actor.may(PERMISSION, EVERYWHERE)
    among = None if everywhere else sorted(p for p in grants or {} if ctx.actor.may(PERMISSION, p))
    query = canonical(["webhooks", request.project])
    after = UUID(decode_cursor(request.cursor, query)[0]) if request.cursor else None
    items = ctx.tx.webhooks.list(project=request.project, among=among, after=after, limit=limit + 1)
    more, items = len(items) > limit, items[:limit]
    return q.WebhookPage(items=items, cursor=encode_cursor([str(items[-1].id)], query) if more else "")


def update(ctx: Context, request: q.UpdateWebhook) -> Webhook:
    """Change a webhook, pause it, or have it told again."""
    seen = _the_webhook(ctx.tx, ctx.actor, request.webhook, "webhook.update")
    said: dict[str, Any] = {n: getattr(request, n) for n in _SAID if getattr(request, n) is not UNSET}
    check_events(said.get("events", ()))
    if said.get("state", seen.state) != seen.state:
        said["why"] = "" if said["state"] == "active" else request.reason
    hidden = _hidden(ctx, seen) if request.url is not UNSET or request.credential is not UNSET else None
    wanted = structs.replace(seen, **said, updated_at=ctx.now)
    changed, changed_hidden = _checked(wanted, hidden, request)
    after = {name: getattr(changed, name) for name in _TOLD if getattr(changed, name) != getattr(seen, name)}
    if not after and changed_hidden == hidden:
        return seen
    if changed_hidden is not None:
        ctx.post.check(changed.kind, changed_hidden.url)
        ctx.tx.webhooks.hide(seen.id, ctx.post.seal(seen.id, changed_hidden))
    ctx.tx.webhooks.put(changed)
    before = {name: getattr(seen, name) for name in after}
    credential = True if request.credential is not UNSET else None  # that it was, not what it is
    ctx.emit(
        _target(seen), reason=request.reason, before=_plain(before), after=_plain(after), credential_changed=credential
    )
    return structs.replace(changed, failures=0, held_until=None)


def _checked(wanted: Webhook, hidden: Hidden | None, request: q.UpdateWebhook) -> tuple[Webhook, Hidden | None]:
    if hidden is None:
        # The address is not asked for: what is shown of it is no longer one, so one that could be stands in for it.
        stand_in = {"email": "smtps://host", "apprise": "none://host"}.get(wanted.kind, "https://host")
        key = "0" * 32 if wanted.kind == "pagerduty" else ""
        checked, _ = check_webhook(wanted, Hidden(url=stand_in, credential=key))
        return structs.replace(checked, url=wanted.url), None
    new = {name: value for name in ("url", "credential") if (value := getattr(request, name)) is not UNSET}
    return check_webhook(wanted, structs.replace(hidden, **new))


def delete(ctx: Context, request: q.DeleteWebhook) -> Done:
    """Remove a webhook."""
    webhook = _the_webhook(ctx.tx, ctx.actor, request.webhook, "webhook.delete")
    ctx.tx.webhooks.remove(webhook.id)
    ctx.emit(_target(webhook), project=webhook.project, kind=webhook.kind, url=webhook.url, reason=request.reason)
    return Done(ref=str(webhook.id), message="deleted, with its deliveries")


def rotate(ctx: Context, request: q.RotateWebhook) -> q.NewWebhook:
    """Give a webhook a new secret, told this once."""
    webhook = _the_webhook(ctx.tx, ctx.actor, request.webhook, "webhook.rotate")
    if webhook.kind != "webhook":
        msg = f"A receiver of the kind {webhook.kind} is not signed for."
        raise Conflict(msg, hint=f"Change its address or credential instead: chopmark webhook update {webhook.id}")
    hidden, secret = _hidden(ctx, webhook), _new_secret()
    secrets = rotated(hidden.secrets, secret, ctx.now, timedelta(hours=request.grace_hours))
    ctx.tx.webhooks.hide(webhook.id, ctx.post.seal(webhook.id, structs.replace(hidden, secrets=secrets)))
    ctx.emit(_target(webhook), grace_hours=request.grace_hours, reason=request.reason)
    return q.NewWebhook(webhook=webhook, secret=secret)


def send_test(outside: Outside, request: q.TestWebhook) -> Trial | None:
    """Try a webhook; nothing is sent for a rehearsal."""
    with outside.catalog.reading() as tx:
        seen = seen_by(outside.actor, tx)
        webhook = _the_webhook(seen, outside.actor, request.webhook, "webhook.test")
        sealed = seen.webhooks.sealed(webhook.id) or ""
        registry = registry_id(tx.audit.list(limit=1)[0])
    if outside.is_rehearsal:
        return None
    hidden = outside.post.unseal(webhook.id, sealed)
    event_id = uuid7(outside.now)
    event = trial_event(webhook, event_id, outside.actor.name, outside.now)
    message_id = f"test_{event_id.hex}"
    message = message_for(webhook, hidden, event, registry, message_id, outside.now)
    return Trial(message_id, cleaned(outside.post.send(message), hidden.told()))


def test(ctx: Context, request: q.TestWebhook) -> q.WebhookTrial:
    """Note what came of a test."""
    webhook = _the_webhook(ctx.tx, ctx.actor, request.webhook, "webhook.test")
    trial: Trial = ctx.prepared or Trial("", Answer(error="Nothing was sent: it was a rehearsal."))
    answer = trial.answer
    attempt = Attempt(
        at=ctx.now, status=answer.status, error=answer.error, body=answer.body, duration_ms=answer.duration_ms
    )
    ctx.emit(_target(webhook), status=answer.status or None, delivered=is_success(answer), reason=request.reason)
    return q.WebhookTrial(webhook=webhook.id, id=trial.id, delivered=is_success(answer), attempt=attempt)


def list_deliveries(ctx: Context, request: q.ListDeliveries) -> q.DeliveryPage:
    """A page of the deliveries of a webhook, newest event first."""
    limit = check_limit(request.limit)
    webhook = _the_webhook(ctx.tx, ctx.actor, request.webhook, "delivery.list")
    query = canonical(["deliveries", str(webhook.id), request.state])
    before = int(decode_cursor(request.cursor, query)[0]) if request.cursor else None
    items = ctx.tx.deliveries.list(webhook.id, state=request.state, before_seq=before, limit=limit + 1)
    more, items = len(items) > limit, items[:limit]
    return q.DeliveryPage(items=items, cursor=encode_cursor([items[-1].seq], query) if more else "")


def get_delivery(ctx: Context, request: q.GetDelivery) -> Delivery:
    """Look up a delivery."""
    return _the_delivery(ctx, request.delivery, "delivery.get")


def replay(ctx: Context, request: q.ReplayDelivery) -> Delivery:
    """Send a delivery again."""
    seen = _the_delivery(ctx, request.delivery, "delivery.replay")
    again = replayed(seen)
    if not ctx.tx.deliveries.settle(again, seen):
        raise Conflict(f"The delivery {seen.id} was just sent.", hint="Look at it again, then decide.")
    ctx.emit(f"webhook:{seen.webhook}", delivery=seen.id, state=seen.state, reason=request.reason)
    return again


def _the_webhook(tx: Transaction, actor: Actor, webhook_id: UUID, op: str) -> Webhook:
    """A webhook that the actor may configure; for whom its project is hidden, it is not there."""
    found = tx.webhooks.get(webhook_id)
    if found is None:
        raise NotFound("There is no such webhook.", hint="See what there is with: chopmark webhook list")
    check_permission(actor, PERMISSION, op, found.project)
    return found


def _the_delivery(ctx: Context, text: str, op: str) -> Delivery:
    webhook_id, seq = parse_message_id(text)
    hint = "See what there is with: chopmark webhook deliveries"
    found = None
    if ctx.tx.webhooks.get(webhook_id) is not None:
        _the_webhook(ctx.tx, ctx.actor, webhook_id, op)
        found = ctx.tx.deliveries.get(webhook_id, seq)
    if found is None:
        raise NotFound("There is no such delivery.", hint=hint)
    return found


def _hidden(ctx: Context, webhook: Webhook) -> Hidden:
    return ctx.post.unseal(webhook.id, ctx.tx.webhooks.sealed(webhook.id) or "")


def _known_project(ctx: Context, name: str) -> str:
    if not name:
        raise InvalidRequest("Whose events are meant is not said.", hint="Name a project, or * for the whole registry.")
    if name != EVERYWHERE and (name != DEFAULT_PROJECT or not ctx.actor.sees(name)):
        the_project(ctx, name)
    return name


def _new_secret() -> str:
    return written_secret(random_bytes(SECRET_BYTES))


def _target(webhook: Webhook) -> str:
    return f"webhook:{webhook.id}"


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Facts for an event, without those that are empty."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items() if value != ()}
