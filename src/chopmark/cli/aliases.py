"""``chopmark alias``: movable pointers and where they pointed when."""

from __future__ import annotations

import click

from chopmark.cli.changes import show_done
from chopmark.cli.command import Group
from chopmark.cli.options import (
    alias_argument,
    dry_run_option,
    force_option,
    limit_option,
    model_argument,
    option,
    parsed_time,
    pass_session,
    reason_option,
    reference_argument,
)
from chopmark.cli.output import Fact
from chopmark.cli.session import Session
from chopmark.cli.tables import Column
from chopmark.cli.version_view import version_facts, version_line
from chopmark.cli.words import stamp
from chopmark.domain.refs import ModelRef
from chopmark.domain.versions import Alias

__all__ = ["alias"]

alias = Group(
    "alias",
    help="Movable pointers such as fraud@champion, and where they pointed when.",
    examples="""
    chopmark alias set fraud@champion fraud:4 --reason "wins in March"
    chopmark alias history fraud@champion
    """,
)


def _target(found: Alias) -> str:
    return f"{ModelRef(found.project, found.model)}:{found.number}"


_COLUMNS = (
    Column("ALIAS", lambda a: a.ref, whole=True),
    Column("POINTS TO", _target),
    Column("PROTECTED", lambda a: "yes" if a.protected else ""),
    Column("MOVED (UTC)", lambda a: stamp(a.updated_at), whole=True),
    Column("BY", lambda a: a.updated_by),
)


@alias.command(
    "set",
    examples="""
    chopmark alias set fraud@champion fraud:4 --reason "wins in March"
    chopmark alias set fraud@champion fraud@challenger --dry-run
    chopmark alias set fraud@champion fraud:4 --protect
    """,
)
@alias_argument()
@reference_argument("target")
@reason_option()
@option("--protect/--unprotect", "protected", default=None, help="Set or lift protection.")
@force_option("Move it although it is protected; needs a reason.")
@dry_run_option()
@pass_session
def set_alias(session: Session, alias: str, target: str, reason: str, protected: bool | None, force: bool) -> None:
    """Point an alias to a version of the same model.

    A protected alias moves only with --force and a reason.
    """
    moved = session.registry().aliases.set(alias, target, reason=reason, protected=protected, force=force)
    facts: list[Fact] = [("protected", "yes" if moved.protected else "")]
    session.output.record(moved, name=moved.ref, title=f"{moved.ref} → {_target(moved)}", facts=facts)


@alias.command(
    "remove",
    examples="""
    chopmark alias remove fraud@challenger
    """,
)
@alias_argument()
@reason_option()
@force_option("Remove it although it is protected; needs a reason.")
@dry_run_option()
@pass_session
def remove(session: Session, alias: str, reason: str, force: bool) -> None:
    """Remove an alias; its history stays."""
    show_done(session, session.registry().aliases.remove(alias, reason=reason, force=force))


@alias.command(
    "get",
    examples="""
    chopmark alias get fraud@champion
    """,
)
@alias_argument()
@pass_session
def get_alias(session: Session, alias: str) -> None:
    """Show where an alias points, since when, and whether it is protected."""
    found = session.registry().aliases.get(alias)
    facts: list[Fact] = [
        ("protected", "yes" if found.protected else ""),
        ("moved", f"{stamp(found.updated_at)} by {found.updated_by}"),
    ]
    session.output.record(found, name=found.ref, title=f"{found.ref} → {_target(found)}", facts=facts)


@alias.command(
    "list",
    examples="""
    chopmark alias list fraud
    """,
)
@model_argument()
@pass_session
def list_aliases(session: Session, model: str) -> None:
    """List the aliases of a model by name."""
    found = session.registry().aliases.list(model)
    session.output.page(found, _COLUMNS, name=lambda a: a.ref, empty=f"{model} has no aliases.")


_MOVES = (
    Column("WHEN (UTC)", lambda m: stamp(m.at), whole=True),
    Column("FROM", lambda m: str(m.previous or "—")),
    Column("TO", lambda m: str(m.number) if m.number is not None else "(removed)"),
    Column("BY", lambda m: m.actor),
    Column("REASON", lambda m: m.reason),
)


@alias.command(
    "history",
    examples="""
    chopmark alias history fraud@champion
    """,
)
@alias_argument()
@limit_option()
@pass_session
def history(session: Session, alias: str, limit: int) -> None:
    """List the moves of an alias, newest first; also of one that was removed."""
    moves = session.registry().aliases.history(alias, limit=limit)
    session.output.page(
        moves,
        _MOVES,
        name=lambda m: f"{ModelRef(m.project, m.model)}:{m.number}" if m.number is not None else "",
    )


@alias.command(
    "at",
    examples="""
    chopmark alias at fraud@champion 2026-03-03
    """,
)
@alias_argument()
@click.argument("time", metavar="TIME", help="A day or time, in UTC unless said: 2026-03-03T14:00+01:00.")
@pass_session
def at(session: Session, alias: str, time: str) -> None:
    """Show the version that an alias pointed to at a time, as it is now."""
    asked = parsed_time(time)
    if asked is None:
        raise click.UsageError("Give a time.")
    found = session.registry().aliases.at(alias, asked)
    session.output.record(found, name=found.ref, title=version_line(found), facts=version_facts(found))
