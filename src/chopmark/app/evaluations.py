"""Evaluations: metrics of a version on a data set, added as they come."""

from __future__ import annotations

from chopmark.app.context import Context, resolve
from chopmark.app.datasets import note_datasets
from chopmark.app.registration import check_dataset
from chopmark.base.paging import check_limit
from chopmark.domain.lineage import Edge, dataset_node, version_node
from chopmark.domain.names import check_metrics, check_text
from chopmark.domain.versions import Evaluation, Version
from chopmark.errors import InvalidRequest
from chopmark.ops import requests as q
from chopmark.ops.results import EvaluationList

__all__ = ["evaluate", "keep_evaluation", "list_all"]


def evaluate(ctx: Context, request: q.EvaluateVersion) -> Evaluation:
    """Record metrics of a version on a data set."""
    version = resolve(ctx, request.ref)
    metrics = check_metrics(request.metrics)
    if not metrics:
        msg = "An evaluation needs at least one metric."
        raise InvalidRequest(msg)
    check_text(request.comment, "comment")
    check_dataset(request.dataset)
    evaluation = Evaluation(
        id=ctx.new_id(),
        project=version.project,
        model=version.model,
        number=version.number,
        dataset=request.dataset,
        metrics=metrics,
        actor=ctx.actor.name,
        at=ctx.now,
        comment=request.comment,
    )
    keep_evaluation(ctx, version, evaluation)
    ctx.emit(
        version.ref,
        dataset=request.dataset.name,
        dataset_digest=request.dataset.digest,
        split=request.dataset.split,
        metrics=metrics,
        comment=request.comment,
    )
    return evaluation


def keep_evaluation(ctx: Context, version: Version, evaluation: Evaluation) -> None:
    """Write an evaluation and the edge to its data set."""
    ctx.tx.collection.hold()  # or a collection could remove the data set's row, which nothing refers to yet
    ctx.tx.evaluations.insert(version.id, evaluation)
    edge = Edge(
        source=version_node(version.id),
        relation="evaluated_on",
        target=dataset_node(evaluation.dataset),
        at=ctx.now,
    )
    ctx.tx.lineage.insert([edge])
    note_datasets(ctx, [evaluation.dataset])


def list_all(ctx: Context, request: q.ListEvaluations) -> EvaluationList:
    """Evaluations of a version, newest first."""
    version = resolve(ctx, request.ref, deleted=True)
    return EvaluationList(ctx.tx.evaluations.list(version.id, limit=check_limit(request.limit)))
