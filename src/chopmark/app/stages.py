"""Stage moves of versions, each with a reason, and their history."""

from __future__ import annotations

from datetime import datetime

from msgspec import UNSET, UnsetType, structs

from chopmark.abc.catalog import VersionChange
from chopmark.app.context import Context, resolve, the_project
from chopmark.app.models import check_reason
from chopmark.app.uses import refuse_when_served
from chopmark.app.versions import lock_and_resolve
from chopmark.base.clock import later, to_us
from chopmark.base.paging import check_limit
from chopmark.domain.lifecycle import StageMove, check_move, check_stage
from chopmark.domain.policy import production_findings
from chopmark.domain.versions import Deprecation, Version
from chopmark.errors import Conflict, GateRefused, InvalidRequest
from chopmark.ops import requests as q
from chopmark.ops.results import StageAnswer, StageHistoryAnswer

__all__ = ["archive", "deprecate", "history", "promote", "stage_at"]

_OWN_VERBS = {"archived": "archive", "deprecated": "deprecate"}


def promote(ctx: Context, request: q.PromoteVersion) -> Version:
    """Move a version to another stage; production asks the project's rules."""
    check_stage(request.stage)
    if request.stage in _OWN_VERBS:
        verb = _OWN_VERBS[request.stage]
        msg = f"A version enters {request.stage!r} by its own verb, not by promotion."
        raise InvalidRequest(msg, hint=f"Use: chopmark {verb} {request.ref} --reason '…'")
    version = lock_and_resolve(ctx, request.ref)
    check_reason(request.reason, f"Moving {version.ref} to {request.stage}")
    if version.state != "ready":
        msg = f"{version.ref} is {version.state}, not ready."
        raise Conflict(msg)
    check_move(version.ref, version.stage, request.stage)
    if request.stage == "production":
        _ask_production_gate(ctx, version)
    lifted = None if request.stage == "production" and version.deprecation else UNSET
    return _moved(ctx, version, request.stage, request.reason, lifted)


def _ask_production_gate(ctx: Context, version: Version) -> None:
    rules = the_project(ctx, version.project).rules
    others = ctx.tx.versions.in_stage(version.model_id, "production", limit=10)
    findings = production_findings(rules, others)
    if findings:
        msg = f"{version.ref} may not enter production: " + "; ".join(findings) + "."
        hint = f"First move {others[0].ref} on: chopmark promote {others[0].ref} staging --reason '…', or deprecate it."
        raise GateRefused(msg, hint=hint, findings=findings)


def archive(ctx: Context, request: q.ArchiveVersion) -> Version:
    """Move a version to ``archived``; from there only ``development`` is open."""
    version = lock_and_resolve(ctx, request.ref)
    check_reason(request.reason, f"Archiving {version.ref}")
    check_move(version.ref, version.stage, "archived")
    refuse_when_served(ctx, [version])
    return _moved(ctx, version, "archived", request.reason)


def deprecate(ctx: Context, request: q.DeprecateVersion) -> Version:
    """Say that a version should no longer be used from a day on.

    One in production moves to ``deprecated`` when that day has come; a later day only announces it.
    """
    version = lock_and_resolve(ctx, request.ref)
    check_reason(request.reason, f"Deprecating {version.ref}")
    if version.stage == "archived":
        msg = f"{version.ref} is archived; it is out of use already."
        raise Conflict(msg)
    successor = resolve(ctx, request.successor).ref if request.successor else ""
    if successor == version.ref:
        msg = f"{version.ref} cannot be its own successor."
        raise InvalidRequest(msg)
    if request.at is not None:
        to_us(request.at)
    mark = Deprecation(request.at or ctx.now, request.reason, successor)
    if version.stage == "production" and mark.at <= ctx.now:
        return _moved(ctx, version, "deprecated", request.reason, mark)
    ctx.tx.versions.update(version.id, VersionChange(deprecation=mark), ctx.now)
    ctx.emit(version.ref, reason=request.reason, successor=successor, effective_at=mark.at.isoformat())
    return resolve(ctx, version.ref)


def _moved(
    ctx: Context,
    version: Version,
    stage: str,
    reason: str,
    deprecation: Deprecation | UnsetType | None = UNSET,
) -> Version:
    at = _after_all_moves(ctx, version, stage)
    move = StageMove(
        project=version.project,
        model=version.model,
        number=version.number,
        from_stage=version.stage,
        to_stage=stage,
        actor=ctx.actor.name,
        at=at,
        reason=reason,
    )
    change = VersionChange(stage=stage, stage_since=at, deprecation=deprecation)
    ctx.tx.versions.update(version.id, change, ctx.now)
    ctx.tx.stages.record(version.id, move)
    facts = structs.asdict(deprecation) if isinstance(deprecation, Deprecation) else {}
    ctx.emit(
        version.ref,
        from_stage=move.from_stage,
        to_stage=stage,
        reason=reason,
        digest=version.digest,
        successor=facts.get("successor", ""),
    )
    return resolve(ctx, version.ref)


def _after_all_moves(ctx: Context, version: Version, stage: str) -> datetime:
    """Now, or just after the last move when the clock stands before it: history keeps the order of events."""
    there = ctx.tx.versions.in_stage(version.model_id, stage, limit=1)
    return later(ctx.now, version.stage_since, *(v.stage_since for v in there))


def history(ctx: Context, request: q.StageHistory) -> StageHistoryAnswer:
    """Stage moves of a version, newest first."""
    version = resolve(ctx, request.ref, deleted=True)
    limit = check_limit(request.limit)
    return StageHistoryAnswer(ctx.tx.stages.history(version.id, limit=limit))


def stage_at(ctx: Context, request: q.StageAt) -> StageAnswer:
    """The stage a version was in at a time."""
    version = resolve(ctx, request.ref, deleted=True)
    to_us(request.at)  # refuses a time without zone
    if request.at < version.created_at:
        return StageAnswer(version.ref, "")
    last = ctx.tx.stages.history(version.id, until=request.at, limit=1)
    return StageAnswer(version.ref, last[0].to_stage if last else "development")
