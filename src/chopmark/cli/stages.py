"""Stages of a version: moves between them, and their history."""

from __future__ import annotations

from chopmark.cli.changes import show_version
from chopmark.cli.command import command
from chopmark.cli.completion_items import complete_reference
from chopmark.cli.options import (
    dry_run_option,
    limit_option,
    option,
    parsed_time,
    pass_session,
    reason_option,
    reference_argument,
    stage_argument,
)
from chopmark.cli.session import Session
from chopmark.cli.tables import Column
from chopmark.cli.words import stamp
from chopmark.ops.results import StageAnswer

__all__ = ["archive", "deprecate", "history", "promote"]


@command(
    "promote",
    examples="""
    chopmark promote fraud:4 staging --reason "passes the March checks"
    chopmark promote fraud:4 production --reason "beats the champion" --dry-run
    """,
)
@reference_argument()
@stage_argument()
@reason_option(required=True)
@dry_run_option()
@pass_session
def promote(session: Session, ref: str, stage: str, reason: str) -> None:
    """Move a version to another stage.

    Allowed are development → staging; staging → development, canary, production; canary →
    staging, production; production → staging; deprecated → production; archived →
    development. Archiving and deprecating are verbs of their own.
    """
    show_version(session, session.registry().promote(ref, stage, reason=reason))


@command(
    "archive",
    examples="""
    chopmark archive fraud:2 --reason "replaced by fraud:4"
    """,
)
@reference_argument()
@reason_option(required=True)
@dry_run_option()
@pass_session
def archive(session: Session, ref: str, reason: str) -> None:
    """Move a version to the stage 'archived'.

    It is the latest of its model no more; from there it can only go back to development.
    """
    show_version(session, session.registry().stages.archive(ref, reason=reason))


@command(
    "deprecate",
    examples="""
    chopmark deprecate fraud:3 --reason "drifts" --successor fraud:4
    chopmark deprecate fraud:3 --reason "end of contract" --from 2027-01-01
    """,
)
@reference_argument()
@reason_option(required=True)
@option("--successor", metavar="REF", default=None, shell_complete=complete_reference, help="What to use instead.")
@option("--from", "since", metavar="TIME", default=None, help="From when, in UTC unless said.  [now]")
@dry_run_option()
@pass_session
def deprecate(session: Session, ref: str, reason: str, successor: str | None, since: str | None) -> None:
    """Say that a version should no longer be used.

    Loading it warns from then on; a version in production moves to the stage 'deprecated'
    when the day has come.
    """
    at = parsed_time(since)
    show_version(session, session.registry().stages.deprecate(ref, reason=reason, at=at, successor=successor))


_MOVES = (
    Column("WHEN (UTC)", lambda m: stamp(m.at), whole=True),
    Column("FROM", lambda m: m.from_stage),
    Column("TO", lambda m: m.to_stage),
    Column("BY", lambda m: m.actor),
    Column("REASON", lambda m: m.reason),
)


@command(
    "history",
    examples="""
    chopmark history fraud:4
    chopmark history fraud:4 --on 2026-03-03      the stage on that day
    """,
)
@reference_argument()
@option("--on", "time", metavar="TIME", default=None, help="Only the stage it was in at a time (UTC unless said).")
@limit_option()
@pass_session
def history(session: Session, ref: str, time: str | None, limit: int) -> None:
    """List the stage moves of a version, newest first: from, to, who, when, why."""
    registry = session.registry()
    at = parsed_time(time)
    if at is not None:
        stage = registry.stages.at(ref, at)
        answer = StageAnswer(ref, stage)
        session.output.record(answer, name=stage, title=stage or f"{ref} did not exist yet")
        return
    moves = registry.stages.history(ref, limit=limit)
    session.output.page(moves, _MOVES, name=lambda m: m.to_stage, empty=f"{ref} has not moved yet.")
