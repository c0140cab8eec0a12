"""Versions that leave a registry as one file, and come into another."""

from __future__ import annotations

from msgspec import structs

from chopmark.app.context import Context, Outside, resolve
from chopmark.app.evaluations import keep_evaluation
from chopmark.app.recording import state_of_version
from chopmark.app.registration import add_version, check_bytes, check_dataset, known_parents, parent_edges
from chopmark.app.versions import whole_manifest
from chopmark.base.clock import to_us
from chopmark.domain.lineage import Edge, version_node
from chopmark.domain.manifest import check_manifest
from chopmark.domain.names import check_metrics, check_text
from chopmark.domain.refs import ModelRef
from chopmark.domain.versions import Evaluation, Version
from chopmark.errors import NotFound
from chopmark.ops.keeping import ExportVersion, ImportVersion, PortableVersion
from chopmark.ops.results import Registered

__all__ = ["check_import", "export_version", "import_version"]


def export_version(ctx: Context, request: ExportVersion) -> PortableVersion:
    """Everything about a version but its bytes."""
    version = resolve(ctx, request.ref)
    model = ctx.tx.models.get(version.project, version.model)
    if model is None:
        raise NotFound(f"There is no model {ModelRef(version.project, version.model)}.")
    state = state_of_version(ctx.tx, version, ctx.tx.audit.head()[0])
    return PortableVersion(state=state, model=model, manifest=whole_manifest(ctx, version), exported_at=ctx.now)


def check_import(outside: Outside, request: ImportVersion) -> int:
    """As `check_bytes`; a rehearsal stores nothing, so that there the bytes are where they come from."""
    if not outside.is_rehearsal:
        return check_bytes(outside, request)
    check_manifest(request.manifest)
    with outside.catalog.reading() as tx:
        return tx.collection.generation()


def import_version(ctx: Context, request: ImportVersion) -> Registered:
    """Add a version that was registered elsewhere, with where it comes from.

    Its parents need not be here: the manifest names them either way, and those that are here get their edge. A version
    that is here already gets its edges to those that have come since. Nobody's trust comes along.
    """
    check_text(request.origin.ref, "origin", 500)
    check_text(request.origin.created_by, "origin", 500)
    for time in (request.origin.created_at, request.origin.exported_at, *(each.at for each in request.evaluations)):
        to_us(time)  # refuses a time without zone
    ctx.tx.lineage.lock()  # before the model's row, as a link does
    added = add_version(ctx, request, origin=request.origin)
    if not added.created:
        return structs.replace(added, linked=_linked(ctx, added.version))
    for evaluation in request.evaluations:
        keep_evaluation(ctx, added.version, _here(ctx, added.version, evaluation))
    return added


def _linked(ctx: Context, version: Version) -> tuple[str, ...]:
    """Add the edges to parents that a version was once imported without; the references of those."""
    node = version_node(version.id)
    there = {(e.source, e.relation, e.target) for way in _edges_at(ctx, node) for e in way}
    parents = {version_node(v.id): v for v in known_parents(ctx, version.parents, may_lack=True).values()}
    for project, model in sorted({(v.project, v.model) for v in parents.values()}):
        ctx.tx.models.lock(project, model)  # so that none of them is purged meanwhile
    parents = {version_node(v.id): v for v in ctx.tx.lineage.versions(list(parents))}
    linked = []
    for edge in parent_edges(ctx, version, {v.ref: v for v in parents.values()}):
        if (edge.source, edge.relation, edge.target) in there or ctx.tx.lineage.reaches(edge.upstream, edge.downstream):
            continue  # of those that somebody linked the other way round, the older link stands
        parent = parents[edge.upstream]
        ctx.tx.lineage.insert([edge])
        source, target = (parent, version) if edge.source != node else (version, parent)
        ctx.emit(
            source.ref,
            event="lineage.linked",
            relation=edge.relation,
            to=target.ref,
            source_node=edge.source,
            target_node=edge.target,
            reason=f"{parent.ref} came after {version.ref} was imported without it",
        )
        linked.append(parent.ref)
    return tuple(linked)


def _edges_at(ctx: Context, node: str) -> tuple[list[Edge], list[Edge]]:
    return ctx.tx.lineage.outgoing(node), ctx.tx.lineage.incoming(node)


def _here(ctx: Context, version: Version, evaluation: Evaluation) -> Evaluation:
    check_dataset(evaluation.dataset)
    check_text(evaluation.comment, "comment")
    return structs.replace(
        evaluation,
        id=ctx.new_id(),
        project=version.project,
        model=version.model,
        number=version.number,
        metrics=check_metrics(evaluation.metrics),
    )
