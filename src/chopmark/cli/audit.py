"""``chopmark audit``: what happened, in a chain that shows any change."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click

from chopmark.cli.audit_key import audit_key
from chopmark.cli.audit_verify import verify
from chopmark.cli.command import Group
from chopmark.cli.options import (
    cursor_option,
    limit_option,
    option,
    parsed_time,
    pass_session,
    reference_argument,
)
from chopmark.cli.output import note
from chopmark.cli.session import Session
from chopmark.cli.tables import Column
from chopmark.cli.words import count, stamp, value, when
from chopmark.domain.audit import AuditEvent

__all__ = ["audit"]

audit = Group(
    "audit",
    help="What happened, in a chain of events that shows any change of it.",
    examples="""
    chopmark audit trail fraud:3
    chopmark audit at 2026-03-01 fraud@champion
    chopmark audit verify
    """,
)
audit.add_command(verify)
audit.add_command(audit_key)

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
    "trail",
    examples="""
    chopmark audit trail fraud:3
    chopmark audit trail fraud@champion --json
    """,
)
@reference_argument()
@limit_option()
@cursor_option()
@pass_session
def trail(session: Session, ref: str, limit: int, cursor: str) -> None:
    """Tell what happened to a version, oldest first.

    Its own events, moves of aliases to it and away from it, links of the lineage that name it, and
    what happened to its model meanwhile. A purged version is found by its number.
    """
    from chopmark.domain.refs import parse_ref
    from chopmark.domain.trail import told

    page = session.registry().audit.trail(ref, limit=limit, cursor=cursor)
    parsed = parse_ref(ref)
    number = int(parsed.value) if parsed.kind == "number" else _number(page)
    columns = (
        Column("WHEN (UTC)", lambda e: stamp(e.at), whole=True),
        Column("BY", lambda e: e.actor),
        Column("WHAT", lambda e: told(e, number)),
        Column("REASON", lambda e: value(e.data.get("reason", ""))),
    )
    session.output.page(page, columns, name=lambda e: str(e.seq), cursor=page.cursor)


def _number(page: Iterable[AuditEvent]) -> int | None:
    """Number of the version whose trail this is, by its first own event on the page."""
    own = (e.target.rpartition(":")[2] for e in page if e.event.startswith("version."))
    found = next(own, "")
    return int(found) if found.isdecimal() else None


@audit.command(
    "at",
    examples="""
    chopmark audit at 2026-03-01
    chopmark audit at 2026-03-01T14:00Z fraud
    chopmark audit at 2026-03-01 fraud@champion     which version it was then
    """,
)
@click.argument("time", metavar="TIME", help="A day (its beginning, UTC) or a time: 2026-03-01T14:00Z.")
@click.argument(
    "ref",
    metavar="[MODEL|REF]",
    required=False,
    help="A model, or a reference as it would have been answered then.  [everything]",
)
@pass_session
def at(session: Session, time: str, ref: str | None) -> None:
    """Show what the registry looked like at a time.

    It is computed from the events of the audit alone. Where a clock stepped back, an event counts
    as of the latest time before it.
    """
    moment = parsed_time(time)
    if moment is None:
        return
    then = session.registry().audit.at(moment, ref, project=session.chosen_project() if ref is None else None)
    if session.json:
        session.output.record(then, name="")
        return
    columns = (
        Column("VERSION", lambda v: v.ref, whole=True),
        Column("SEMVER", lambda v: v.semver),
        Column("STAGE", lambda v: v.stage),
        Column("ALIASES", lambda v: ", ".join(v.aliases)),
        Column("", lambda v: "deleted" if v.is_deleted or v.ref.rpartition(":")[0] in gone else ""),
        Column("DIGEST", lambda v: v.digest[:19], narrow=lambda v: ""),  # noqa: ARG005 - left out where it is narrow
    )
    gone = {m.ref for m in then.models if m.is_deleted}
    versions = [v for m in then.models for v in m.versions]
    session.output.page(versions, columns, name=lambda v: v.ref, empty=f"There were no versions on {when(moment)}.")
    if not session.quiet:
        note(f"{count(len(then.models), 'model')} as of {when(moment)}, after event {then.seq}.")


@audit.command(
    "export",
    examples="""
    chopmark audit export audit-2026-03.jsonl
    """,
)
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path), help="A new file.")
@pass_session
def export(session: Session, file: Path) -> None:
    """Write all events to a new file, signed.

    One event a line, as JSON, and a signed checkpoint of them in FILE.checkpoint. The chain is verified on the way: what is broken is not signed.
    Whoever has the verifier key verifies the two with 'chopmark audit verify FILE --key KEY', without
    the registry.
    """
    beside = session.registry().audit.export(file)
    checkpoint = beside.read_text(encoding="utf-8")
    origin, size, *_ = checkpoint.splitlines()
    record = {"file": str(file), "checkpoint": str(beside), "origin": origin, "events": int(size)}
    facts = [("checkpoint", str(beside)), ("origin", origin)]
    session.output.record(record, name=str(file), title=f"{count(int(size), 'event')} in {file}", facts=facts)


@audit.command(
    "checkpoint",
    examples="""
    chopmark audit checkpoint > 2026-03-01.checkpoint
    """,
)
@pass_session
def checkpoint(session: Session) -> None:
    """Print a signed checkpoint of the chain as it is now.

    Keep it where those who can write to the registry's database cannot: in another system, in a
    ticket, on paper. 'chopmark audit verify --checkpoint FILE' holds the chain against it later.
    """
    text = session.registry().audit.checkpoint()
    if session.json:
        session.output.text("", record={"checkpoint": text})
    else:
        click.echo(text, nl=False)
