"""Links: edges that people add to the lineage and take back; cycles are refused."""

from __future__ import annotations

from collections.abc import Sequence

from chopmark.app.context import Context
from chopmark.app.datasets import note_datasets, one_dataset
from chopmark.app.lineage import find_version_node, known_nodes
from chopmark.app.models import check_reason
from chopmark.app.registration import check_dataset
from chopmark.domain.lineage import (
    Edge,
    check_link,
    dataset_node,
    edges_on_path,
    is_followed,
    kind_of_node,
    run_node,
    version_id_of,
    version_node,
)
from chopmark.domain.names import check_text
from chopmark.domain.versions import Version
from chopmark.errors import Conflict, InvalidRequest, NotFound
from chopmark.ops.lineage import LineageLink, LinkLineage, UnlinkLineage
from chopmark.ops.results import Done

__all__ = ["link", "unlink"]

EDGES_ASKED_MAX = 100_000
EVALUATIONS_MAX = 100_000
STEPS_SHOWN = 8


def link(ctx: Context, request: LinkLineage) -> LineageLink:
    """Add an edge.

    Raises
    ------
    InvalidRequest
        When the relation does not lead from such a source to such a target.
    Conflict
        When the edge is there, or would close a cycle; shows the way round.
    """
    ctx.tx.collection.hold()  # the row of a data set that nothing leads to yet stays until the edge does
    edge = _edge(ctx, request.source, request.relation, _target(ctx, request), deleted=False)
    # Two links at once that close a cycle together: the second must see the first.
    ctx.tx.lineage.lock()
    _hold_versions(ctx, edge)
    source, target = known_nodes(ctx, [edge.source, edge.target])
    if _is_there(ctx, edge):
        raise Conflict(f"There is an edge {source.label} {edge.relation} {target.label} already.")
    _refuse_cycle(ctx, edge)
    ctx.tx.lineage.insert([edge])
    made = LineageLink(source=source, relation=edge.relation, target=target, at=ctx.now)
    ctx.emit(
        source.label,
        relation=edge.relation,
        to=target.label,
        source_node=edge.source,
        target_node=edge.target,
        reason=check_reason(request.reason, "A link"),
    )
    return made


def unlink(ctx: Context, request: UnlinkLineage) -> Done:
    """Take back an edge that was linked.

    Raises
    ------
    NotFound
        When there is no such edge.
    Conflict
        When it follows from what a registration or an evaluation recorded.
    """
    target_node = _find_target(ctx, request.target, deleted=True)
    edge = _edge(ctx, request.source, request.relation, target_node, deleted=True)
    source, target = known_nodes(ctx, [edge.source, edge.target])
    if not _is_there(ctx, edge):
        msg = f"There is no edge {source.label} {edge.relation} {target.label}."
        raise NotFound(msg, hint=f"See its edges with: chopmark lineage {source.label} --depth 1")
    fact = _fact_behind(ctx, edge)
    if fact:
        msg = f"The edge {source.label} {edge.relation} {target.label} follows from {fact}, which never changes."
        raise Conflict(msg, hint="Only links that were added later can be taken back.")
    ctx.tx.lineage.remove(edge)
    ctx.emit(
        source.label,
        relation=edge.relation,
        to=target.label,
        source_node=edge.source,
        target_node=edge.target,
        reason=check_reason(request.reason, "Taking back a link"),
    )
    return Done(source.label, f"no longer {edge.relation} {target.label}")


def _edge(ctx: Context, source: str, relation: str, target: str, *, deleted: bool) -> Edge:
    if source.startswith(("dataset:", "run:")):
        check_link(kind_of_node(source), relation, kind_of_node(target))
    version = find_version_node(ctx, source, deleted=deleted)
    ctx.check_may(version.project)
    node = version_node(version.id)
    check_link("version", relation, kind_of_node(target))
    if node == target:
        raise InvalidRequest(f"{source} cannot be {relation} itself.")
    return Edge(source=node, relation=relation, target=target, at=ctx.now)


def _target(ctx: Context, request: LinkLineage) -> str:
    dataset = request.dataset
    if (dataset is None) == (not request.target):
        msg = "A link needs a target, or the data set itself; not both."
        raise InvalidRequest(msg, hint="For example: link('fraud:4', 'retrained_from', 'fraud:3', reason='…').")
    if dataset is None:
        return _find_target(ctx, request.target, deleted=False)
    check_dataset(dataset)
    check_link("version", request.relation, "dataset")
    note_datasets(ctx, [dataset])
    return dataset_node(dataset)


def _find_target(ctx: Context, text: str, *, deleted: bool) -> str:
    if text.startswith("dataset:"):
        return one_dataset(ctx, text).node
    if text.startswith("run:"):
        return run_node(check_text(text.removeprefix("run:"), "run", 500))
    return version_node(find_version_node(ctx, text, deleted=deleted).id)


def _hold_versions(ctx: Context, edge: Edge) -> None:
    """Keep the versions from being purged until the edge to them is there."""
    nodes = [node for node in (edge.source, edge.target) if kind_of_node(node) == "version"]
    for project, model in sorted({(v.project, v.model) for v in ctx.tx.lineage.versions(nodes)}):
        ctx.tx.models.lock(project, model)
    if len(ctx.tx.lineage.versions(nodes)) < len(nodes):
        raise NotFound("A version was purged while it was linked.", hint="See what there is with: chopmark list")


def _is_there(ctx: Context, edge: Edge) -> bool:
    return any((e.relation, e.target) == (edge.relation, edge.target) for e in ctx.tx.lineage.outgoing(edge.source))


def _refuse_cycle(ctx: Context, edge: Edge) -> None:
    if kind_of_node(edge.target) != "version":
        return  # data sets and runs come from nothing
    if is_followed(edge):
        if not ctx.tx.lineage.reaches(edge.upstream, edge.downstream):
            return
        edges = ctx.tx.lineage.reach(edge.upstream, upstream=True, limit=EDGES_ASKED_MAX)
        way = edges_on_path(filter(is_followed, edges), edge.upstream, edge.downstream)
    else:
        way = edges_on_path(_replaced(ctx, edge.target), edge.target, edge.source)
        if not way:
            return
    raise _cycle(ctx, edge, way)


def _replaced(ctx: Context, node: str) -> list[Edge]:
    """What a version replaces, what that replaces, and so on: few steps, each asked for itself."""
    found: list[Edge] = []
    waiting, seen = [node], {node}
    for each in waiting:  # grows while it is walked
        for edge in ctx.tx.lineage.outgoing(each):
            if edge.relation == "replaces":
                found.append(edge)
                if edge.target not in seen:
                    seen.add(edge.target)
                    waiting.append(edge.target)
    return found


def _cycle(ctx: Context, edge: Edge, way: Sequence[Edge]) -> Conflict:
    ends = dict.fromkeys(end for e in (edge, *way) for end in (e.source, e.target))
    labels = {node.id: node.label for node in known_nodes(ctx, list(ends))}
    steps = [f"{labels[e.source]} {e.relation} {labels[e.target]}" for e in way]
    shown = steps[:STEPS_SHOWN]
    if len(steps) > len(shown):
        shown.append(f"and so on, {len(steps):,} steps in all")
    msg = (
        f"{labels[edge.source]} {edge.relation} {labels[edge.target]} would close a cycle, "
        f"because {'; '.join(shown) or 'of a way that is very long, or not yours to see'}."
    )
    hint = "Take back the link that is wrong first: chopmark unlink SOURCE RELATION TARGET --reason '…'"
    return Conflict(msg, hint=hint, path=[[e.source, e.relation, e.target] for e in way])


def _fact_behind(ctx: Context, edge: Edge) -> str:
    """What was recorded that the edge follows from; empty for one that was linked."""
    ends = {version_node(v.id): v for v in ctx.tx.lineage.versions([edge.source, edge.target])}
    version = ends[edge.downstream]
    if edge.relation in ("trained_on", "evaluated_on"):
        if any((d.relation, dataset_node(d)) == (edge.relation, edge.target) for d in version.datasets):
            return f"the registration of {version.ref}"
        return _evaluation_behind(ctx, edge, version)
    if edge.relation == "produced_by":
        return f"the registration of {version.ref}" if run_node(version.run_id) == edge.target else ""
    other = ends[edge.upstream]
    if any((p.relation, p.ref) == (edge.relation, other.ref) for p in version.parents):
        return f"the manifest of {version.ref}"
    return ""


def _evaluation_behind(ctx: Context, edge: Edge, version: Version) -> str:
    if edge.relation != "evaluated_on":
        return ""
    found = ctx.tx.evaluations.list(version_id_of(edge.source), limit=EVALUATIONS_MAX)
    if any(dataset_node(e.dataset) == edge.target for e in found):
        return f"an evaluation of {version.ref}"
    return ""
