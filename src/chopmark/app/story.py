"""A version's story: everything about it from one transaction, so that no two parts contradict each other."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

from chopmark.app.context import Context, resolve, the_model
from chopmark.app.uses import uses_of
from chopmark.app.versions import manifest
from chopmark.domain.lineage import Edge, dataset_node, version_node
from chopmark.domain.refs import ModelRef
from chopmark.domain.story import Relative, Sibling, VersionStory
from chopmark.domain.versions import AliasMove, Evaluation, Version
from chopmark.ops.requests import GetManifest
from chopmark.ops.story import TellStory

__all__ = ["tell"]

EVALUATIONS_MAX = 200
EVENTS_MAX = 200
MOVES_MAX = 1_000
SIBLINGS_MAX = 50
RELATIVES_MAX = 200


def tell(ctx: Context, request: TellStory) -> VersionStory:
    """Everything about a version."""
    version = resolve(ctx, request.ref, deleted=True)
    tx = ctx.tx
    evaluations = tuple(tx.evaluations.list(version.id, limit=EVALUATIONS_MAX))
    return VersionStory(
        told_at=ctx.now,
        version=version,
        model=the_model(ctx, ModelRef(version.project, version.model), deleted=True),
        manifest=manifest(ctx, GetManifest(ref=version.ref)),
        evaluations=evaluations,
        stage_moves=tuple(tx.stages.history(version.id, limit=MOVES_MAX)),
        alias_moves=tuple(m for m in tx.aliases.history(version.model_id, limit=MOVES_MAX) if _concerns(m, version)),
        trust=tuple(tx.trust.get(version.digest)),
        events=tuple(tx.audit.list(target=version.ref, newest_first=True, limit=EVENTS_MAX)),
        uses=tuple(uses_of(ctx, version)),
        relatives=tuple(_relatives(ctx, version, evaluations)),
        siblings=tuple(_siblings(ctx, version)),
    )


def _concerns(move: AliasMove, version: Version) -> bool:
    return version.number in (move.number, move.previous)


def _siblings(ctx: Context, version: Version) -> list[Sibling]:
    newest = ctx.tx.versions.in_model(version.model_id, limit=SIBLINGS_MAX)
    if all(v.id != version.id for v in newest):
        newest = [*newest[: SIBLINGS_MAX - 1], version]
    return [
        Sibling(number=v.number, semver=v.semver, stage=v.stage, created_at=v.created_at, metrics=v.metrics)
        for v in sorted(newest, key=lambda v: v.number)
    ]


def _relatives(ctx: Context, version: Version, evaluations: tuple[Evaluation, ...]) -> Iterator[Relative]:
    node = version_node(version.id)
    data = (*version.datasets, *(e.dataset for e in evaluations))
    names = {dataset_node(d): f"{d.name} {d.version}".strip() for d in data}
    edges = [*ctx.tx.lineage.outgoing(node), *ctx.tx.lineage.incoming(node)]
    for edge in edges[:RELATIVES_MAX]:
        relative = _relative(ctx, edge, edge.target if edge.source == node else edge.source, names, node)
        if relative is not None:
            yield relative


def _relative(ctx: Context, edge: Edge, other: str, names: dict[str, str], node: str) -> Relative | None:
    kind, _, rest = other.partition(":")
    # A member points to its ensemble, which is made from it; every other edge points to what something comes from.
    comes_from = (edge.source == node) != (edge.relation == "ensemble_member_of")
    if kind != "version":
        return Relative(
            direction="from" if comes_from else "to",
            relation=edge.relation,
            kind=kind,
            label=names.get(other, rest),
        )
    found = ctx.tx.versions.by_id(UUID(rest))
    if found is None:
        return None
    return Relative(
        direction="from" if comes_from else "to",
        relation=edge.relation,
        kind=kind,
        label=found.ref,
        stage=found.stage,
    )
