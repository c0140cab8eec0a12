"""Stages of a version: moves between them, and their history."""

from __future__ import annotations

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
from chopmark.cli.plans import Plan, show_plan, show_version
from chopmark.cli.session import Session
from chopmark.cli.tables import Column
from chopmark.cli.words import stamp
from chopmark.domain.lifecycle import check_move
from chopmark.domain.policy import production_findings
from chopmark.domain.versions import Version
from chopmark.errors import GateRefused, InvalidRequest
from chopmark.ops.results import StageAnswer

__all__ = ["archive", "deprecate", "history", "promote"]

_OWN_VERBS = {"archived": "archive", "deprecated": "deprecate"}


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
def promote(session: Session, ref: str, stage: str, reason: str, dry_run: bool) -> None:
    """Move a version to another stage.

    Allowed are development → staging; staging → development, canary, production; canary →
    staging, production; production → staging; deprecated → production; archived →
    development. Archiving and deprecating are verbs of their own.
    """
    registry = session.registry()
    if dry_run:
        version = registry.get(ref)
        if stage in _OWN_VERBS:
            msg = f"A version enters {stage!r} by its own verb, not by promotion."
            raise InvalidRequest(msg, hint=f"Use: chopmark {_OWN_VERBS[stage]} {version.ref} --reason '…'")
        check_move(version.ref, version.stage, stage)
        if stage == "production":
            _ask_rules(session, version)
        show_plan(session, _move(version, "version.promote", stage))
        return
    show_version(session, registry.promote(ref, stage, reason=reason))


def _ask_rules(session: Session, version: Version) -> None:
    registry = session.registry()
    model = f"{version.project}/{version.model}"
    found = registry.versions.search('stage = "production"', model=model, limit=10)
    findings = production_findings(registry.projects.get(version.project).rules, list(found))
    if findings:
        msg = f"{version.ref} may not enter production: " + "; ".join(findings) + "."
        raise GateRefused(msg, hint=f"First move {found[0].ref} on.", findings=findings)


def _move(version: Version, op: str, stage: str) -> Plan:
    effect = f"{version.ref} ({version.semver}) would move from {version.stage} to {stage}"
    return Plan(op, version.ref, effect)


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
def archive(session: Session, ref: str, reason: str, dry_run: bool) -> None:
    """Move a version to the stage 'archived'.

    It is the latest of its model no more; from there it can only go back to development.
    """
    registry = session.registry()
    if dry_run:
        version = registry.get(ref)
        check_move(version.ref, version.stage, "archived")
        show_plan(session, _move(version, "version.archive", "archived"))
        return
    show_version(session, registry.stages.archive(ref, reason=reason))


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
def deprecate(session: Session, ref: str, reason: str, successor: str | None, since: str | None, dry_run: bool) -> None:
    """Say that a version should no longer be used.

    Loading it warns from then on; a version in production moves to the stage 'deprecated'.
    """
    registry = session.registry()
    at = parsed_time(since)
    if dry_run:
        version = registry.get(ref)
        use = registry.get(successor).ref if successor else ""
        moves = " and move to the stage 'deprecated'" if version.stage == "production" else ""
        effect = f"{version.ref} would be marked as deprecated{moves}" + (f"; successor {use}" if use else "")
        show_plan(session, Plan("version.deprecate", version.ref, effect))
        return
    show_version(session, registry.stages.deprecate(ref, reason=reason, at=at, successor=successor))


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
