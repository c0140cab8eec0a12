"""Lineage: the part around a node, and what is affected when it turns out to be bad."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import zip_longest

from chopmark.app.context import Context, resolve
from chopmark.app.datasets import find_datasets
from chopmark.domain.lineage import Edge, kind_of_node, run_node, version_id_of, version_node
from chopmark.domain.lineage_graph import Impact, LineageGraph, LineageNode, affected_by, evaluated_on
from chopmark.domain.names import check_text, shown
from chopmark.domain.versions import Version
from chopmark.errors import InvalidRequest, NotFound
from chopmark.ops.lineage import GetImpact, GetLineage

__all__ = ["find_nodes", "find_version_node", "graph", "impact", "known_nodes"]

EDGES_MAX = 10_000
DEPTH_MAX = 1_000
_VERSION_NODE = re.compile("version:[0-9a-f]{32}")


def graph(ctx: Context, request: GetLineage) -> LineageGraph:
    """What something comes from and what comes from it."""
    _check_size(request)
    roots = find_nodes(ctx, request.of)
    ways = {"up": (True,), "down": (False,), "both": (True, False)}[request.direction]
    walks = [
        ctx.tx.lineage.reach(root, upstream=upstream, depth_max=request.depth, limit=request.limit + 1)
        for root in roots
        for upstream in ways
    ]
    edges = _in_turn(walks)
    nodes = _ends(roots, edges[: request.limit])
    return LineageGraph(
        roots=tuple(roots),
        direction=request.direction,
        nodes=tuple(known_nodes(ctx, nodes)),
        edges=tuple(edges[: request.limit]),
        truncated=len(edges) > request.limit,
    )


def impact(ctx: Context, request: GetImpact) -> Impact:
    """Which versions come from something, and which of them are live."""
    roots = find_nodes(ctx, request.of)
    edges = _in_turn([ctx.tx.lineage.reach(root, upstream=False, limit=EDGES_MAX + 1) for root in roots])
    known = {node.id: node for node in known_nodes(ctx, _ends(roots, edges[:EDGES_MAX]))}
    affected = affected_by(roots, edges[:EDGES_MAX], known)
    return Impact(
        roots=tuple(known[root] for root in roots),
        affected=affected,
        evaluated=evaluated_on(roots, edges[:EDGES_MAX], known),
        truncated=len(edges) > EDGES_MAX,
    )


def find_nodes(ctx: Context, text: str) -> list[str]:
    """Nodes that a text means: one, or all data sets of a name.

    Raises
    ------
    InvalidRequest, NotFound, Conflict
        When it means nothing, or not one thing.
    """
    if text.startswith("dataset:"):
        return [record.node for record in find_datasets(ctx, text)]
    if text.startswith("run:"):
        return [_known_run(ctx, text)]
    return [version_node(find_version_node(ctx, text, deleted=True).id)]


def find_version_node(ctx: Context, text: str, *, deleted: bool = False) -> Version:
    """The version that a reference or the text of a node means."""
    if _VERSION_NODE.fullmatch(text):
        version = ctx.tx.versions.by_id(version_id_of(text))
        if version is None or (version.deleted_at is not None and not deleted):
            raise NotFound(f"There is no version with the node {text}.", hint="Name it by its reference: fraud:4.")
        return version
    return resolve(ctx, text, deleted=deleted)


def known_nodes(ctx: Context, nodes: Sequence[str]) -> list[LineageNode]:
    """The nodes with what is known of them, in the same order."""
    known = {version_node(v.id): _of_version(v) for v in ctx.tx.lineage.versions(nodes)}
    for record in ctx.tx.datasets.get(node for node in nodes if node.startswith("dataset:")):
        known[record.node] = LineageNode(
            id=record.node, kind="dataset", label=record.name, dataset=record.dataset, created_at=record.at
        )
    return [known.get(node) or _unknown(node) for node in nodes]


def _known_run(ctx: Context, text: str) -> str:
    node = run_node(check_text(text.removeprefix("run:"), "run", 500))
    if not ctx.tx.lineage.incoming(node):
        msg = f"No version was produced by the run {shown(text.removeprefix('run:'))}."
        raise NotFound(msg, hint="Runs are known by the run_id that a version is registered with.")
    return node


def _of_version(version: Version) -> LineageNode:
    return LineageNode(
        id=version_node(version.id),
        kind="version",
        label=version.ref,
        project=version.project,
        model=version.model,
        number=version.number,
        semver=version.semver,
        stage=version.stage,
        aliases=version.aliases,
        format=version.format,
        digest=version.digest,
        size_bytes=version.size_bytes,
        created_at=version.created_at,
        created_by=version.created_by,
        deleted=version.deleted_at is not None,
    )


def _unknown(node: str) -> LineageNode:
    """A run, of which only the id is known, or what a damaged row points to."""
    return LineageNode(id=node, kind=kind_of_node(node), label=node.partition(":")[2])


def _ends(roots: Iterable[str], edges: Iterable[Edge]) -> list[str]:
    ends = (end for edge in edges for end in (edge.source, edge.target))
    return list(dict.fromkeys([*roots, *ends]))


def _in_turn(walks: Sequence[Sequence[Edge]]) -> list[Edge]:
    """Edges of several walks, the nearest of each first, each once: a limit cuts all walks alike."""
    found = {
        (edge.source, edge.relation, edge.target): edge
        for turn in zip_longest(*walks)
        for edge in turn
        if edge is not None
    }
    return list(found.values())


def _check_size(request: GetLineage) -> None:
    if not 1 <= request.limit <= EDGES_MAX:
        msg = f"A part of the lineage has 1 to {EDGES_MAX:,} edges, not {request.limit}."
        raise InvalidRequest(msg, hint="Ask for one direction or a smaller depth, or follow it from a farther node.")
    if request.depth is not None and not 1 <= request.depth <= DEPTH_MAX:
        msg = f"A depth is 1 to {DEPTH_MAX:,} steps, not {request.depth}."
        raise InvalidRequest(msg, hint="Leave the depth out to go to the end.")
