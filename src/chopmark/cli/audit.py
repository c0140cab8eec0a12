"""``chopmark audit``: what happened, in a chain that shows any change."""

from __future__ import annotations

import click

from chopmark.cli.command import Group
from chopmark.cli.failures import INTEGRITY
from chopmark.cli.options import cursor_option, limit_option, option, pass_session
from chopmark.cli.output import complain
from chopmark.cli.session import Session
from chopmark.cli.tables import Column
from chopmark.cli.words import count, stamp, value

__all__ = ["audit"]

audit = Group(
    "audit",
    help="What happened, in a chain of events that shows any change of it.",
    examples="""
    chopmark audit list --newest --limit 20
    chopmark audit verify
    """,
)

_COLUMNS = (
    Column("SEQ", lambda e: str(e.seq), right=True),
    Column("WHEN (UTC)", lambda e: stamp(e.at), whole=True),
    Column("EVENT", lambda e: e.event),
    Column("TARGET", lambda e: e.target),
    Column("BY", lambda e: e.actor),
    Column("REASON", lambda e: value(e.data.get("reason", ""))),
)


@audit.command(
    "list",
    examples="""
    chopmark audit list --newest --limit 20
    chopmark audit list --event version.promoted --target fraud:4
    chopmark audit list --json           with all the facts of each event
    """,
)
@option(
    "--target", default="", metavar="REF", help="Only what happened to exactly this: fraud:3, fraud@champion, fraud."
)
@option("--event", default="", metavar="NAME", help="Only events of exactly this name: version.promoted.")
@option("--newest", is_flag=True, help="Newest first; oldest first otherwise.")
@limit_option()
@cursor_option()
@pass_session
def list_events(session: Session, target: str, event: str, newest: bool, limit: int, cursor: str) -> None:
    """List events of the audit."""
    page = session.registry().audit.list(target=target, event=event, newest_first=newest, limit=limit, cursor=cursor)
    session.output.page(page, _COLUMNS, name=lambda e: e.target, cursor=page.cursor, empty="No events found.")


@audit.command(
    "verify",
    examples="""
    chopmark audit verify
    """,
)
@click.pass_context
@pass_session
def verify(session: Session, ctx: click.Context) -> None:
    """Walk the whole chain: whether any event was changed, removed or inserted.

    Exits with 6 when it is broken. Keep the hash of the last event elsewhere: a chain that was
    cut short at its end shows only by comparison.
    """
    found = session.registry().audit.verify()
    verdict = "broken" if found.fault else "whole"
    facts = [("last hash", found.head), ("fault", f"at {found.fault_seq}: {found.fault}" if found.fault else "")]
    title = f"The chain of {count(found.events, 'event')} is {verdict}"
    session.output.record(found, name=found.head, title=title, facts=facts)
    if found.fault:
        complain("The audit was changed after it was written.", "Compare it with a backup of the database.")
        ctx.exit(INTEGRITY)
