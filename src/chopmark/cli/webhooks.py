"""``chopmark webhook``: telling others of what happens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, get_args

import click

from chopmark.cli.changes import show_done
from chopmark.cli.command import Group
from chopmark.cli.options import cursor_option, dry_run_option, limit_option, option, pass_session, reason_option
from chopmark.cli.output import Fact, note
from chopmark.cli.session import Session
from chopmark.cli.tables import Column
from chopmark.cli.words import stamp, when
from chopmark.domain.access import EVERYWHERE
from chopmark.domain.deliveries import ATTEMPTS_MAX, Attempt, Delivery, DeliveryState
from chopmark.domain.notices import TARGETS, TargetKind
from chopmark.domain.receivers import Webhook

__all__ = ["webhook"]

F = TypeVar("F", bound=Callable[..., Any])

_NOT_DELIVERED = 1

webhook = Group(
    "webhook",
    help="Who is told of events, and what became of it.",
    examples="""
    chopmark webhook create https://ci.example/hooks/7 --event 'version.*' --in risk
    chopmark webhook test 019b1c7e-7d1c-7000-8000-1f0c8a5be9d2
    chopmark webhook deliveries 019b1c7e-7d1c-7000-8000-1f0c8a5be9d2 --state dead
    """,
)

_WEBHOOKS = (
    Column("WEBHOOK", lambda w: str(w.id), whole=True),
    Column("KIND", lambda w: w.kind),
    Column("WHERE", lambda w: w.url),
    Column("OF", lambda w: "everything" if w.project == EVERYWHERE else w.model or w.project),
    Column("EVENTS", lambda w: ", ".join(w.events) or "all"),
    Column("STATE", lambda w: w.state),
    Column("FAILURES", lambda w: str(w.failures) if w.failures else "", right=True),
)

_DELIVERIES = (
    Column("DELIVERY", lambda d: d.id, whole=True),
    Column("EVENT", lambda d: d.event),
    Column("OF", lambda d: d.target),
    Column("STATE", lambda d: d.state),
    Column("ATTEMPT", lambda d: str(d.attempt) if d.attempt else "", right=True),
    Column("LAST ANSWER", lambda d: _told(d.attempts[-1]) if d.attempts else ""),
    Column("NEXT (UTC)", lambda d: stamp(d.due_at) if d.due_at else ""),
)


def _webhook_argument() -> Callable[[F], F]:
    return click.argument(
        "webhook_id", metavar="WEBHOOK", help="The id of a webhook, as 'chopmark webhook list' shows."
    )


def _delivery_argument() -> Callable[[F], F]:
    return click.argument(
        "delivery", metavar="DELIVERY", help="The id of a delivery: its receiver has it as the header webhook-id."
    )


def _credential_option() -> Callable[[F], F]:
    return option(
        "--credential-file",
        "credential_file",
        type=click.File(),
        default=None,
        metavar="FILE",
        help="Where PagerDuty's key, the mail server's password or Alertmanager's token stands; - for standard input.",
    )


def _letter_options(command: F) -> F:
    for decorate in (
        option("--username", default=None, metavar="NAME", help="To log in at the mail server with."),
        option("--from", "sender", default=None, metavar="ADDRESS", help="Whom letters are from."),
        option("--to", multiple=True, metavar="ADDRESS", help="Whom letters go to; can be given again."),
    ):
        command = decorate(command)
    return command


def _read(credential_file: Any) -> str | None:
    return None if credential_file is None else str(credential_file.read(4_096)).strip()


def _told(attempt: Attempt) -> str:
    return attempt.error or str(attempt.status)


def _show(session: Session, found: Webhook, record: Any = None) -> None:
    state = f"{found.state}: {found.why}" if found.why else found.state
    facts: list[Fact] = [
        ("of", "the whole registry" if found.project == EVERYWHERE else found.project),
        ("model", found.model),
        ("events", ", ".join(found.events) or "all"),
        ("to", ", ".join(found.to)),
        ("from", found.sender),
        ("state", state),
        ("failures", f"{found.failures} in a row" if found.failures else ""),
        ("held until", when(found.held_until) if found.held_until else ""),
        ("made", f"{when(found.created_at)} by {found.created_by}"),
        ("about", found.description),
    ]
    title = f"webhook {found.id} · {found.kind} · {found.url}"
    session.output.record(record or found, name=str(found.id), title=title, facts=facts)


def _show_delivery(session: Session, found: Delivery) -> None:
    facts: list[Fact] = [
        ("webhook", str(found.webhook)),
        ("event", f"{found.event} of {found.target}, number {found.seq} of the audit"),
        ("attempts", f"{found.attempt} of {ATTEMPTS_MAX}" if found.attempt else ""),
        ("next", when(found.due_at) if found.due_at else ""),
        ("ended", when(found.ended_at) if found.ended_at else ""),
    ]
    facts += [(f"{stamp(a.at)}", f"{_told(a)} ({a.duration_ms:.0f} ms) {a.body}".strip()) for a in found.attempts]
    session.output.record(found, name=found.id, title=f"delivery {found.id} · {found.state}", facts=facts)


@webhook.command(
    "create",
    examples="""
    chopmark webhook create https://ci.example/hooks/7 --event 'version.*' --in risk
    chopmark webhook create https://hooks.slack.com/services/T0/B0/x --kind slack --event version.promoted
    chopmark webhook create --kind pagerduty --credential-file key.txt --event storage.damaged --everything
    chopmark webhook create smtp://mail.example --kind email --from models@example.com --to ada@example.com
    """,
)
@click.argument(
    "address", metavar="[URL]", required=False, default="", help="Where they are told. PagerDuty's is known."
)
@option("--kind", type=click.Choice(TARGETS), default="webhook", help="How they are told.  [webhook]")
@option("--event", "events", multiple=True, metavar="NAME", help="Only these: version.promoted, 'version.*'.")
@option("--in", "project", default=None, metavar="PROJECT", help="Whose events.  [the project of the settings]")
@option("--everything", is_flag=True, help="Events of the whole registry.")
@option("--model", default="", metavar="MODEL", help="Only events of this model.")
@_credential_option()
@_letter_options
@option("--description", default="", metavar="TEXT", help="What it is for.")
@reason_option()
@dry_run_option()
@pass_session
def create(
    session: Session,
    address: str,
    kind: TargetKind,
    events: tuple[str, ...],
    project: str | None,
    everything: bool,
    model: str,
    credential_file: Any,
    to: tuple[str, ...],
    sender: str | None,
    username: str | None,
    description: str,
    reason: str,
) -> None:
    """Have somebody told of events, and print the secret that signs, this once.

    What they get is signed after Standard Webhooks; workers send it ('chopmark serve', 'chopmark worker').
    """
    if everything and project:
        raise click.UsageError("Either --everything or --in a project.")
    made = session.registry().webhooks.create(
        address,
        project=EVERYWHERE if everything else project,
        kind=kind,
        events=events,
        model=model,
        credential=_read(credential_file) or "",
        to=to,
        sender=sender or "",
        username=username or "",
        description=description,
        reason=reason,
    )
    if session.dry_run:
        _show(session, made.webhook, made)
        return
    session.output.text(made.secret or str(made.webhook.id), record=made)
    shown = " Its secret is shown this once; the receiver checks signatures with it." if made.secret else ""
    note(f"Webhook {made.webhook.id} is told from now on.{shown} Try it: chopmark webhook test {made.webhook.id}")


@webhook.command(
    "list",
    examples="""
    chopmark webhook list
    chopmark webhook list --in risk --json
    """,
)
@option("--in", "project", default=None, metavar="PROJECT", help="Only of this project; * for the whole registry's.")
@limit_option()
@cursor_option()
@pass_session
def list_webhooks(session: Session, project: str | None, limit: int, cursor: str) -> None:
    """List webhooks that you may configure."""
    found = session.registry().webhooks.list(project, limit=limit, cursor=cursor)
    empty = "There are no webhooks that you may configure."
    session.output.page(found, _WEBHOOKS, name=lambda w: str(w.id), cursor=found.cursor, empty=empty)


@webhook.command(
    "get",
    examples="""
    chopmark webhook get 019b1c7e-7d1c-7000-8000-1f0c8a5be9d2
    """,
)
@_webhook_argument()
@pass_session
def get(session: Session, webhook_id: str) -> None:
    """Show a webhook, and whether it is told."""
    _show(session, session.registry().webhooks.get(webhook_id))


@webhook.command(
    "update",
    examples="""
    chopmark webhook update 019b1c7e-7d1c-7000-8000-1f0c8a5be9d2 --url https://ci.example/hooks/8
    """,
)
@_webhook_argument()
@option("--url", "address", default=None, metavar="URL", help="Where they are told.")
@option("--event", "events", multiple=True, metavar="NAME", help="Only these from now on; can be given again.")
@option("--all-events", is_flag=True, help="All events from now on.")
@option("--model", default=None, metavar="MODEL", help="Only events of this model; empty for any.")
@_credential_option()
@_letter_options
@option("--description", default=None, metavar="TEXT", help="What it is for.")
@reason_option()
@dry_run_option()
@pass_session
def update(
    session: Session,
    webhook_id: str,
    address: str | None,
    events: tuple[str, ...],
    all_events: bool,
    model: str | None,
    credential_file: Any,
    to: tuple[str, ...],
    sender: str | None,
    username: str | None,
    description: str | None,
    reason: str,
) -> None:
    """Change what is given of a webhook."""
    changed = session.registry().webhooks.update(
        webhook_id,
        url=address,
        credential=_read(credential_file),
        events=events if events or all_events else None,
        model=model,
        to=to or None,
        sender=sender,
        username=username,
        description=description,
        reason=reason,
    )
    _show(session, changed)


@webhook.command(
    "pause",
    examples="""
    chopmark webhook pause 019b1c7e-7d1c-7000-8000-1f0c8a5be9d2 --reason "the receiver is being moved"
    """,
)
@_webhook_argument()
@reason_option()
@dry_run_option()
@pass_session
def pause(session: Session, webhook_id: str, reason: str) -> None:
    """Send it nothing for now; what happens is kept for it."""
    _show(session, session.registry().webhooks.pause(webhook_id, reason=reason))


@webhook.command(
    "resume",
    examples="""
    chopmark webhook resume 019b1c7e-7d1c-7000-8000-1f0c8a5be9d2
    """,
)
@_webhook_argument()
@reason_option()
@dry_run_option()
@pass_session
def resume(session: Session, webhook_id: str, reason: str) -> None:
    """Send to it again: one that was paused, or that its receiver's 410 disabled."""
    _show(session, session.registry().webhooks.resume(webhook_id, reason=reason))


@webhook.command(
    "delete",
    examples="""
    chopmark webhook delete 019b1c7e-7d1c-7000-8000-1f0c8a5be9d2
    """,
)
@_webhook_argument()
@reason_option()
@dry_run_option()
@pass_session
def delete(session: Session, webhook_id: str, reason: str) -> None:
    """Remove a webhook with its deliveries; what waits is not sent any more."""
    show_done(session, session.registry().webhooks.delete(webhook_id, reason=reason))


@webhook.command(
    "rotate",
    examples="""
    chopmark webhook rotate 019b1c7e-7d1c-7000-8000-1f0c8a5be9d2
    chopmark webhook rotate 019b1c7e-7d1c-7000-8000-1f0c8a5be9d2 --grace 0 --reason "the old one leaked"
    """,
)
@_webhook_argument()
@option("--grace", type=click.FloatRange(0, 8_760), default=24.0, help="Hours that the old one signs too.  [24]")
@reason_option()
@dry_run_option()
@pass_session
def rotate(session: Session, webhook_id: str, grace: float, reason: str) -> None:
    """Give a webhook a new secret, and print it, this once."""
    made = session.registry().webhooks.rotate(webhook_id, grace_hours=grace, reason=reason)
    if session.dry_run:
        _show(session, made.webhook, made)
        return
    session.output.text(made.secret, record=made)
    note(f"Webhook {made.webhook.id} is signed for by it; what it had signs for {grace:g} hours more.")


@webhook.command(
    "test",
    examples="""
    chopmark webhook test 019b1c7e-7d1c-7000-8000-1f0c8a5be9d2
    """,
)
@_webhook_argument()
@reason_option()
@dry_run_option()
@pass_session
def test(session: Session, webhook_id: str, reason: str) -> int:
    """Send an event chopmark.test now, and print what came back.

    Exits with 1 when the receiver did not take it. Nothing is tried again.
    """
    tried = session.registry().webhooks.test(webhook_id, reason=reason)
    facts: list[Fact] = [
        ("id", tried.id),
        ("status", str(tried.attempt.status or "")),
        ("error", tried.attempt.error),
        ("took", f"{tried.attempt.duration_ms:.0f} ms"),
        ("answer", tried.attempt.body),
    ]
    how = "delivered" if tried.delivered else "not delivered"
    session.output.record(tried, name=tried.id, title=f"test of {tried.webhook}: {how}", facts=facts)
    return 0 if tried.delivered or not tried.id else _NOT_DELIVERED


@webhook.command(
    "deliveries",
    examples="""
    chopmark webhook deliveries 019b1c7e-7d1c-7000-8000-1f0c8a5be9d2 --state dead
    """,
)
@_webhook_argument()
@option("--state", type=click.Choice(get_args(DeliveryState)), help="Only those in this state.")
@limit_option()
@cursor_option()
@pass_session
def deliveries(session: Session, webhook_id: str, state: DeliveryState | None, limit: int, cursor: str) -> None:
    """List what a webhook was told, newest event first.

    A 'failed' delivery waits for its next attempt; a 'dead' one was given up, and can be replayed.
    """
    found = session.registry().webhooks.deliveries(webhook_id, state=state, limit=limit, cursor=cursor)
    empty = "There are no such deliveries."
    session.output.page(found, _DELIVERIES, name=lambda d: d.id, cursor=found.cursor, empty=empty)


@webhook.command(
    "delivery",
    examples="""
    chopmark webhook delivery msg_019b1c7e7d1c700080001f0c8a5be9d2_17
    """,
)
@_delivery_argument()
@pass_session
def delivery(session: Session, delivery: str) -> None:
    """Show a delivery: each attempt, and how the answer begins."""
    _show_delivery(session, session.registry().webhooks.delivery(delivery))


@webhook.command(
    "replay",
    examples="""
    chopmark webhook replay msg_019b1c7e7d1c700080001f0c8a5be9d2_17 --reason "the receiver lost it"
    """,
)
@_delivery_argument()
@reason_option()
@dry_run_option()
@pass_session
def replay(session: Session, delivery: str, reason: str) -> None:
    """Send a delivery again, with the same id, whatever became of it."""
    _show_delivery(session, session.registry().webhooks.replay(delivery, reason=reason))
