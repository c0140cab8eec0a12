"""Making a lost catalog again, from the records beside the blobs."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from chopmark.abc.records import RecordStore
from chopmark.app.context import Context
from chopmark.app.recording import read_segments, registry_ids, within
from chopmark.app.routing import begin_epoch
from chopmark.domain.lineage import version_node
from chopmark.domain.records import ModelState, VersionState, Whole, edges_of, put_together
from chopmark.domain.versions import Project
from chopmark.errors import ChopmarkError, Conflict, IntegrityFailure, NotFound
from chopmark.ops.keeping import RebuildCatalog, Rebuilt

__all__ = ["chosen_registry", "rebuild", "whole_of"]

_SHOWN = 5


def rebuild(ctx: Context, request: RebuildCatalog) -> Rebuilt:
    """Fill an empty catalog with all that the records beside the blobs tell."""
    if ctx.tx.audit.head()[0] or ctx.tx.projects.list(limit=1):
        msg = "This registry has a catalog with entries; a rebuild makes one where none is left."
        raise Conflict(msg, hint="Move its database away first, or restore into another place.")
    chosen = chosen_registry(ctx.records, request.registry)
    whole, faults = whole_of(within(ctx.records, chosen))
    if faults and not request.partial:
        msg = "The records are not whole: " + "; ".join(faults[:_SHOWN]) + "."
        hint = "Bring the files back from a backup of the store, or rebuild what is left: chopmark rebuild --partial"
        raise IntegrityFailure(msg, hint=hint, faults=faults)
    _put_back_names(ctx, whole, faults)
    left = _put_back_versions(ctx, whole, faults)
    if left and not request.partial:
        msg = "Not every version can be put back: " + "; ".join(faults[:_SHOWN]) + "."
        hint = "Bring the files back from a backup of the store, or rebuild what is left: chopmark rebuild --partial"
        raise IntegrityFailure(msg, hint=hint, faults=faults)
    _put_back_aliases(ctx, whole.models)
    ctx.tx.recorded.put_back(whole.events)
    begin_epoch(ctx)
    ctx.emit(
        "registry",
        events=len(whole.events),
        models=len(whole.models),
        versions=len(whole.versions) - len(left),
        left_out=[s.version.ref for s in whole.versions if s.version.id in left] or None,
        faults=faults[:100] or None,
    )
    return Rebuilt(
        registry=chosen,
        events=len(whole.events),
        head=whole.head,
        projects=len(whole.projects),
        models=len(whole.models),
        versions=len(whole.versions) - len(left),
        faults=tuple(faults),
    )


def chosen_registry(records: RecordStore, wanted: str) -> str:
    """The registry whose records are meant.

    Raises
    ------
    NotFound
        When there are none.
    Conflict
        When there are several and it is not said which, or none of that identifier.
    """
    there = registry_ids(records)
    if not there:
        msg = "There are no records beside the blobs from which a catalog could be made again."
        raise NotFound(msg, hint="Restore the database from a backup.")
    if wanted in there:
        return wanted
    if wanted or len(there) > 1:
        msg = (
            f"There are records of other registries than {wanted!r}: {', '.join(there)}."
            if wanted
            else (f"There are records of {len(there)} registries: {', '.join(there)}.")
        )
        raise Conflict(msg, hint="Say which: chopmark rebuild --registry ID")
    return there[0]


def whole_of(records: RecordStore) -> tuple[Whole, list[str]]:
    """All that the records of one registry tell, and what is wrong with them."""
    segments, faults = read_segments(records)
    whole = put_together(segments)
    if whole.fault is not None:
        faults.append(f"at event {whole.fault.seq}: {whole.fault.reason}")
    if not whole.events and not faults:
        faults.append("there is none that could be read")
    faults += [f"{name} tells of another course of events" for name in whole.left_out]
    return whole, faults


def _put_back_names(ctx: Context, whole: Whole, faults: list[str]) -> None:
    for project in whole.projects:
        ctx.tx.projects.insert(project.project)
    for model in whole.models:
        if ctx.tx.projects.get(model.model.project) is None:
            name = model.model.project
            faults.append(f"the record of the project {name} is missing; it has no rules now")
            ctx.tx.projects.insert(Project(id=ctx.new_id(), name=name, created_at=ctx.now, created_by=ctx.actor.name))
        ctx.tx.models.insert(model.model)


def _put_back_versions(ctx: Context, whole: Whole, faults: list[str]) -> set[UUID]:
    """Put back every version whose manifest is there; returns those that could not be."""
    left = _superseded(whole.versions, faults)
    models = {state.model.id for state in whole.models}
    for state in whole.versions:
        if state.version.id in left:
            continue
        if state.version.model_id not in models:
            faults.append(f"the record of the model of {state.version.ref} is missing")
            left.add(state.version.id)
            continue
        try:
            manifest = whole.manifest_of(state)
        except ChopmarkError as error:
            faults.append(error.message)
            left.add(state.version.id)
            continue
        ctx.tx.versions.insert(state.version, manifest)
        for move in state.stage_moves:
            ctx.tx.stages.record(state.version.id, move)
        for evaluation in state.evaluations:
            ctx.tx.evaluations.insert(state.version.id, evaluation)
    datasets = {record.node: record for state in whole.versions for record in state.datasets}
    ctx.tx.datasets.put(datasets.values())
    nodes = {version_node(version_id) for version_id in left}
    ctx.tx.lineage.insert(e for e in edges_of(whole.versions) if not {e.source, e.target} & nodes)
    for trusted in whole.trust:
        for decision in trusted.decisions:
            ctx.tx.trust.insert(decision)
    return left


def _superseded(versions: Iterable[VersionState], faults: list[str]) -> set[UUID]:
    """Versions whose SemVer another one has: they were purged, and the record of that is lost."""
    taken: dict[tuple[UUID, str], VersionState] = {}
    left: set[UUID] = set()
    for state in sorted(versions, key=lambda s: s.version.number, reverse=True):
        key = state.version.model_id, state.version.semver
        if key in taken:
            left.add(state.version.id)
            faults.append(f"{state.version.ref} was purged, and the record of that is missing")
        else:
            taken[key] = state
    return left


def _put_back_aliases(ctx: Context, models: Iterable[ModelState]) -> None:
    for state in models:
        for alias in state.aliases:
            if ctx.tx.versions.by_number(state.model.id, alias.number, deleted=True) is not None:
                ctx.tx.aliases.put(state.model.id, alias)
        for move in state.alias_moves:
            ctx.tx.aliases.record(state.model.id, move)
