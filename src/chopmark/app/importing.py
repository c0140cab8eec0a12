"""Versions that leave a registry as one file, and come into another."""

from __future__ import annotations

from msgspec import structs

from chopmark.app.context import Context, resolve
from chopmark.app.evaluations import keep_evaluation
from chopmark.app.recording import state_of_version
from chopmark.app.registration import add_version, check_dataset
from chopmark.app.versions import whole_manifest
from chopmark.domain.names import check_metrics, check_text
from chopmark.domain.refs import ModelRef
from chopmark.domain.versions import Evaluation, Version
from chopmark.errors import NotFound
from chopmark.ops.keeping import ExportVersion, ImportVersion, PortableVersion
from chopmark.ops.results import Registered

__all__ = ["export_version", "import_version"]


def export_version(ctx: Context, request: ExportVersion) -> PortableVersion:
    """Everything about a version but its bytes."""
    version = resolve(ctx, request.ref)
    model = ctx.tx.models.get(version.project, version.model)
    if model is None:
        raise NotFound(f"There is no model {ModelRef(version.project, version.model)}.")
    state = state_of_version(ctx.tx, version, ctx.tx.audit.head()[0])
    return PortableVersion(state=state, model=model, manifest=whole_manifest(ctx, version), exported_at=ctx.now)


def import_version(ctx: Context, request: ImportVersion) -> Registered:
    """Add a version that was registered elsewhere, with where it comes from.

    Its parents need not be here: the manifest names them either way, and those that are here get their edge. Nobody's
    trust comes along.
    """
    check_text(request.origin.ref, "origin", 500)
    check_text(request.origin.created_by, "origin", 500)
    added = add_version(ctx, request, origin=request.origin)
    if added.created:
        for evaluation in request.evaluations:
            keep_evaluation(ctx, added.version, _here(ctx, added.version, evaluation))
    return added


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
