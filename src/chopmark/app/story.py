"""A version's story: everything about it from one transaction, so that no two parts contradict each other."""

from __future__ import annotations

from chopmark.app import lineage
from chopmark.app.audit import newest_of_trail
from chopmark.app.context import Context, resolve, the_model
from chopmark.app.uses import seen_uses_of
from chopmark.app.versions import manifest
from chopmark.domain.lineage_graph import LineageGraph
from chopmark.domain.refs import ModelRef
from chopmark.domain.story import LOAD_DAYS, Sibling, VersionStory
from chopmark.domain.usage import LoadCount, days_until
from chopmark.domain.versions import AliasMove, Version
from chopmark.ops.lineage import GetLineage
from chopmark.ops.requests import GetManifest
from chopmark.ops.story import TellStory

__all__ = ["tell"]

EVALUATIONS_MAX = 200
EVENTS_MAX = 200
MOVES_MAX = 1_000
SIBLINGS_MAX = 50
LINEAGE_DEPTH = 2
LINEAGE_EDGES_MAX = 60


def tell(ctx: Context, request: TellStory) -> VersionStory:
    """Everything about a version."""
    version = resolve(ctx, request.ref, deleted=True)
    model = ModelRef(version.project, version.model)
    tx = ctx.tx
    return VersionStory(
        told_at=ctx.now,
        version=version,
        model=the_model(ctx, model, deleted=True),
        manifest=manifest(ctx, GetManifest(ref=version.ref)),
        evaluations=tuple(tx.evaluations.list(version.id, limit=EVALUATIONS_MAX)),
        stage_moves=tuple(tx.stages.history(version.id, limit=MOVES_MAX)),
        alias_moves=tuple(m for m in tx.aliases.history(version.model_id, limit=MOVES_MAX) if _concerns(m, version)),
        trust=tuple(tx.trust.get(version.digest)),
        events=tuple(newest_of_trail(tx, model, version.number, limit=EVENTS_MAX)),
        loads=tuple(_loads(ctx, version)),
        uses=tuple(seen_uses_of(ctx, version)),
        lineage=_lineage(ctx, version),
        siblings=tuple(_siblings(ctx, version)),
    )


def _concerns(move: AliasMove, version: Version) -> bool:
    return version.number in (move.number, move.previous)


def _loads(ctx: Context, version: Version) -> list[LoadCount]:
    days = days_until(ctx.now.date(), LOAD_DAYS)
    return ctx.tx.loads.list(version.model_id, number=version.number, since=days[0], until=days[-1], limit=LOAD_DAYS)


def _siblings(ctx: Context, version: Version) -> list[Sibling]:
    newest = ctx.tx.versions.in_model(version.model_id, limit=SIBLINGS_MAX)
    if all(v.id != version.id for v in newest):
        newest = [*newest[: SIBLINGS_MAX - 1], version]
    return [
        Sibling(number=v.number, semver=v.semver, stage=v.stage, created_at=v.created_at, metrics=v.metrics)
        for v in sorted(newest, key=lambda v: v.number)
    ]


def _lineage(ctx: Context, version: Version) -> LineageGraph | None:
    request = GetLineage(of=version.ref, depth=LINEAGE_DEPTH, limit=LINEAGE_EDGES_MAX)
    found = lineage.graph(ctx, request)
    return found if found.edges else None
