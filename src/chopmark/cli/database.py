"""``chopmark db``: the schema of the database."""

from __future__ import annotations

import msgspec

from chopmark.cli.command import Group
from chopmark.cli.config import masked
from chopmark.cli.options import dry_run_option, pass_session
from chopmark.cli.output import Fact, note
from chopmark.cli.session import Session
from chopmark.errors import NotFound
from chopmark.wiring import database_revision, database_url, upgrade_database

__all__ = ["DatabaseStatus", "Upgrade", "db"]

db = Group(
    "db",
    help="The database: its schema and how current it is.",
    examples="""
    chopmark db status
    chopmark db upgrade --database postgresql://registry@db.example/models
    """,
)


class DatabaseStatus(msgspec.Struct, frozen=True):
    """Revision of the schema that is there, and of the one this release knows."""

    database: str
    revision: str
    known: str
    current: bool


class Upgrade(msgspec.Struct, frozen=True):
    """Revision of the schema before and after."""

    database: str
    before: str
    after: str


def _status(session: Session) -> DatabaseStatus:
    resolved = session.resolved()
    there, known = database_revision(resolved.settings)
    return DatabaseStatus(masked(database_url(resolved.settings)), there, known, there == known)


@db.command(
    "status",
    examples="""
    chopmark db status --json
    """,
)
@pass_session
def status(session: Session) -> None:
    """Say which schema the database has, and which one this release knows."""
    file = session.database_file()
    if file is not None and not file.exists():
        msg = f"There is no database at {file}."
        raise NotFound(msg, hint="The first 'chopmark register' makes one.")
    found = _status(session)
    facts: list[Fact] = [
        ("revision", found.revision or "none: it has no tables of ours"),
        ("this release", found.known),
        ("current", "yes" if found.current else "no: chopmark db upgrade"),
    ]
    session.output.record(found, name=found.revision, title=found.database, facts=facts)


def _rehearsed(session: Session) -> tuple[str, str]:
    """Revision before and after an upgrade, which is not made."""
    there, known = database_revision(session.resolved().settings)
    if there <= known:
        return there, known
    session.registry()  # a newer schema stays as it is, or is refused as too new
    return there, there


@db.command(
    "upgrade",
    examples="""
    chopmark db upgrade --dry-run
    chopmark db upgrade
    """,
)
@dry_run_option()
@pass_session
def upgrade(session: Session) -> None:
    """Make the tables, or bring them up to date.

    SQLite does it by itself when it is opened; PostgreSQL only here. The release before this
    one works on the new schema.
    """
    file = session.database_file()
    if file is not None and not file.exists():
        msg = f"There is no database at {file}."
        raise NotFound(msg, hint="The first 'chopmark register' makes one; SQLite needs no upgrade by hand.")
    settings = session.resolved().settings
    before, after = _rehearsed(session) if session.dry_run else upgrade_database(settings)
    done = Upgrade(masked(database_url(settings)), before, after)
    if before == after:
        note("It was current already.")
    session.output.record(done, name=after, title=done.database, facts=[("before", before), ("now", after)])
