"""Registration: bytes first, then rows."""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Mapping, Sequence

from msgspec import structs

from chopmark.abc.blobs import BlobStore
from chopmark.app.bytes_shown import hidden_bytes
from chopmark.app.context import Context, Outside, resolve, the_project
from chopmark.app.datasets import note_datasets
from chopmark.app.models import new_model
from chopmark.base.digest import is_digest
from chopmark.domain.bump import Proposal, check_breaking, propose_bump
from chopmark.domain.datasets import DatasetRef
from chopmark.domain.lineage import Edge, check_parent_relation, dataset_node, run_node, version_node
from chopmark.domain.llm import parse_llm_config
from chopmark.domain.manifest import FileEntry, Manifest, Member, check_manifest, manifest_digest
from chopmark.domain.names import check_metrics, check_tags, check_text, shown
from chopmark.domain.policy import missing_metadata
from chopmark.domain.refs import DEFAULT_PROJECT, ModelRef, parse_model
from chopmark.domain.semver import FIRST, SemVer
from chopmark.domain.versions import Model, Origin, ProjectRules, Version
from chopmark.errors import Conflict, GateRefused, IntegrityFailure, InvalidRequest, NotFound
from chopmark.ops.requests import PlanVersion, RegisterVersion
from chopmark.ops.results import Registered, RegistrationPlan

COMPLIANCE_MAX = 100

__all__ = ["add_version", "check_bytes", "check_dataset", "known_parents", "parent_edges", "plan", "register"]

_TEXTS = (
    "description",
    "card",
    "task",
    "owner",
    "team",
    "risk_tier",
    "business_value",
    "run_id",
    "experiment_id",
)


def check_bytes(outside: Outside, request: RegisterVersion) -> int:
    """Refuse a manifest whose bytes are not all in the store; the generation of the collection before they were asked.

    The store hashed them when they were put; here their presence and size are asked, before the
    transaction, so that no lock is held while a distant store answers.

    Raises
    ------
    InvalidRequest
        When the manifest is not well-formed.
    IntegrityFailure
        When a blob is missing or of another size.
    """
    check_manifest(request.manifest)
    if not request.manifest.files:
        return 0  # nothing that a collection could have deleted
    with outside.catalog.reading() as tx:
        generation = tx.collection.generation()
        hidden = hidden_bytes(tx, outside.actor, [f.digest for f in request.manifest.files], outside.now)
    _check_blobs(outside.store, request.manifest.files, hidden)
    return generation


def _check_blobs(store: BlobStore, files: Iterable[FileEntry], hidden: Container[str] = ()) -> None:
    for file in files:
        stat = None if file.digest in hidden else store.stat(file.digest)
        if stat is None or stat.size_bytes != file.size_bytes:
            found = "is missing" if stat is None else f"has {stat.size_bytes:,} bytes"
            msg = f"The blob of {file.path!r} {found}; the manifest says {file.size_bytes:,} bytes."
            hint = "Upload the file again, then register."
            raise IntegrityFailure(msg, hint=hint, missing=file.digest if stat is None else "")


def _hold_bytes(ctx: Context, files: Sequence[FileEntry]) -> None:
    """See to it that no bytes are collected before their version is stored.

    Collections wait until this transaction has ended. One that began since the bytes were asked for, or
    that was cut off, may have deleted some: only then the store is asked again, under the lock.
    """
    if not files:
        return
    generation = ctx.tx.collection.hold()
    if generation % 2 or generation != ctx.prepared:
        _check_blobs(ctx.store, files)


def plan(ctx: Context, request: PlanVersion) -> RegistrationPlan:
    """Say what a registration would do, or refuse it, before its bytes are stored.

    Asks every rule that `register` asks but those about bytes, and changes nothing.
    """
    ref = parse_model(request.model)
    checked = _checked(request)
    known_parents(ctx, checked.manifest.parents)
    rules = _rules(ctx, ref.project)
    known = ctx.tx.models.get(ref.project, ref.name, deleted=True)
    model = known or _model_of(ctx, ref, checked)
    if known is not None and _is_purged(ctx, known):
        model = _revived(ctx, known, checked)
    _check_model(model, checked)
    version = _record(ctx, model, checked, "")
    _require_metadata(rules, version)
    return RegistrationPlan(
        ref=version.ref, semver=version.semver, reasons=version.bump_reasons, new_model=known is None
    )


def _rules(ctx: Context, project: str) -> ProjectRules:
    found = ctx.tx.projects.get(project)
    if found is None and project == DEFAULT_PROJECT and ctx.actor.sees(project):
        return ProjectRules()
    return (found or the_project(ctx, project)).rules


def register(ctx: Context, request: RegisterVersion) -> Registered:
    """Add a version, or give back the one with the same manifest."""
    return add_version(ctx, request)


def add_version(ctx: Context, request: RegisterVersion, *, origin: Origin | None = None) -> Registered:
    """Add a version, or give back the one with the same manifest; one that comes from elsewhere may lack its parents."""
    _hold_bytes(ctx, request.manifest.files)
    ref = parse_model(request.model)
    request = _checked(request)
    parents = known_parents(ctx, request.manifest.parents, may_lack=origin is not None)
    project = the_project(ctx, ref.project)
    model = _model_for(ctx, ref, request)
    digest = manifest_digest(request.manifest)
    twins = ctx.tx.versions.by_digest(model.id, digest, limit=1)
    if twins and not request.allow_twin:
        return Registered(version=twins[0], created=False)
    version = structs.replace(_record(ctx, model, request, digest), origin=origin)
    _require_metadata(project.rules, version)
    ctx.tx.models.update(structs.replace(model, last_number=version.number, updated_at=ctx.now))
    ctx.tx.versions.insert(version, request.manifest)
    ctx.tx.lineage.insert(_edges(ctx, version, parents))
    note_datasets(ctx, version.datasets)
    ctx.emit(
        version.ref,
        digest=digest,
        semver=version.semver,
        kind=version.kind,
        format=version.format,
        runs_code=version.runs_code or None,
        origin=structs.asdict(origin) if origin else None,
    )
    return Registered(version=version, created=True)


def _checked(request: RegisterVersion) -> RegisterVersion:
    """The request with its metrics as finite floats, when everything in it is acceptable."""
    for name in _TEXTS:
        check_text(getattr(request, name), name)
    cost = request.cost_per_request
    if cost is not None and not (math.isfinite(cost) and cost >= 0):
        msg = f"cost_per_request is {shown(cost)}; it must be a finite number from zero."
        raise InvalidRequest(msg)
    if len(request.compliance) > COMPLIANCE_MAX:
        msg = f"There are {len(request.compliance):,} compliance entries; the limit is {COMPLIANCE_MAX}."
        raise InvalidRequest(msg)
    for entry in request.compliance:
        check_text(entry, "compliance entry", 500)
    for dataset in request.datasets:
        check_dataset(dataset)
    if request.manifest.kind == "external":
        _check_external(request.manifest)
    if request.manifest.kind == "llm_config":
        parse_llm_config(request.manifest.config)
    return structs.replace(request, metrics=check_metrics(request.metrics), tags=check_tags(request.tags))


def check_dataset(dataset: DatasetRef) -> None:
    """Refuse a data set whose words nobody could read and write again, or that are too long.

    Raises
    ------
    InvalidRequest
        Naming the field.
    """
    check_text(dataset.uri, "data set uri", 5_000)
    for field in ("name", "digest", "version", "split", "relation"):
        check_text(getattr(dataset, field), f"data set {field}", 500)
    for field in ("name", "uri", "version", "split"):
        text = getattr(dataset, field)
        if text != text.strip() or not text.isprintable():
            msg = f"The data set {field} {shown(text)} has blanks around it, or characters that nobody sees."
            raise InvalidRequest(msg, hint="Write it in one line, as people are to read it.")
    if not (dataset.name or dataset.digest or dataset.uri):
        raise InvalidRequest("A data set has no name, no digest and no uri.", hint="Give it at least a name.")
    if dataset.relation not in ("trained_on", "evaluated_on"):
        msg = f"{shown(dataset.relation)} is not a relation to a data set."
        raise InvalidRequest(msg, hint="A version is trained_on or evaluated_on a data set.")


def _check_external(manifest: Manifest) -> None:
    uri, digest = manifest.config.get("uri"), manifest.config.get("digest")
    if not isinstance(uri, str) or "://" not in uri:
        msg = f"An external model needs the address of its bytes, not {shown(uri)}."
        raise InvalidRequest(msg, hint="Pass uri='s3://bucket/model.bin' and the digest of those bytes.")
    check_text(uri, "uri", 5_000)
    if not isinstance(digest, str) or (digest and not is_digest(digest)):
        msg = f"{shown(digest)} is not the digest of an external model's bytes."
        raise InvalidRequest(msg, hint="Pass 'sha256:' and 64 hexadecimal digits, or leave it out.")


def known_parents(ctx: Context, parents: Iterable[Member], *, may_lack: bool = False) -> dict[str, Version]:
    """The versions that a manifest refers to, by their references; those that are here, when it may lack some."""
    found: dict[str, Version] = {}
    for parent in parents:
        check_parent_relation(parent.relation)
        try:
            found[parent.ref] = _parent(ctx, parent)
        except (NotFound, Conflict):
            if not may_lack:
                raise
    return found


def _parent(ctx: Context, parent: Member) -> Version:
    found = resolve(ctx, parent.ref)
    if found.digest != parent.digest or found.ref != parent.ref:
        msg = f"The parent {parent.ref} is not the version with digest {parent.digest[:19]}."
        raise Conflict(msg, hint="Resolve the parents again, then register.")
    return found


def _model_for(ctx: Context, ref: ModelRef, request: RegisterVersion) -> Model:
    model = ctx.tx.models.lock(ref.project, ref.name)
    if model is None:
        model = _model_of(ctx, ref, request)
        ctx.tx.models.insert(model)
        ctx.emit(model.ref, event="model.created", kind=model.kind)
    elif _is_purged(ctx, model):
        model = _revived(ctx, model, request)
        ctx.tx.models.update(model)
        ctx.emit(model.ref, event="model.created", kind=model.kind)
    _check_model(model, request)
    return model


def _is_purged(ctx: Context, model: Model) -> bool:
    return model.deleted_at is not None and not ctx.tx.versions.in_model(model.id, deleted=True, limit=1)


def _revived(ctx: Context, model: Model, request: RegisterVersion) -> Model:
    """A purged name that is registered again: nothing of before but the last number."""
    texts = {"task": request.task, "owner": request.owner, "team": request.team}
    return structs.replace(model, **texts, deleted_at=None, updated_at=ctx.now)


def _model_of(ctx: Context, ref: ModelRef, request: RegisterVersion) -> Model:
    kind = request.manifest.kind
    return new_model(ctx, ref, kind, task=request.task, owner=request.owner, team=request.team)


def _check_model(model: Model, request: RegisterVersion) -> None:
    kind = request.manifest.kind
    if model.deleted_at is not None:
        msg = f"The model {model.ref} was deleted."
        raise Conflict(msg, hint=f"Bring it back with: chopmark model restore {model.ref}")
    if model.kind != kind:
        msg = f"{model.ref} is of kind {model.kind!r}; this version is of kind {kind!r}."
        raise Conflict(msg, hint="Register it under another name.")


def _semver(ctx: Context, model: Model, request: RegisterVersion) -> tuple[SemVer, Proposal | None]:
    base = ctx.tx.versions.highest_release(model.id)
    if request.semver:
        wanted = SemVer.parse(request.semver)
        taken = ctx.tx.versions.by_semver(model.id, str(wanted), deleted=True)
        if taken is not None:
            msg = f"{taken.ref} has the version {wanted} already."
            raise Conflict(msg, hint="Choose another, or leave it out and pass bump.")
    if base is None:
        return (SemVer.parse(request.semver) if request.semver else FIRST), None
    proposal = propose_bump(base.manifest, request.manifest) if base.manifest is not None else None
    old = SemVer.parse(base.semver)
    if request.semver:
        new = SemVer.parse(request.semver)
    elif request.bump == "auto":
        new = old.bump(proposal.level if proposal else "minor")
    else:
        new = old.bump(request.bump)
    if proposal is not None and not request.allow_breaking:
        check_breaking(proposal.breaking, old, new, f"{model.ref}:{base.number}")
    return new, proposal


def _record(
    ctx: Context,
    model: Model,
    request: RegisterVersion,
    digest: str,
) -> Version:
    manifest = request.manifest
    semver, proposal = _semver(ctx, model, request)
    return Version(
        id=ctx.new_id(),
        model_id=model.id,
        project=model.project,
        model=model.name,
        number=model.last_number + 1,
        semver=str(semver),
        digest=digest,
        kind=manifest.kind,
        stage_since=ctx.now,
        format=manifest.format,
        runs_code=manifest.runs_code,
        untrusted=manifest.untrusted,
        size_bytes=manifest.size_bytes,
        file_count=len(manifest.files),
        metrics=request.metrics,
        params=manifest.params,
        config=manifest.config,
        environment=manifest.environment,
        signature=manifest.signature,
        parents=manifest.parents,
        datasets=request.datasets,
        git=request.git,
        run_id=request.run_id,
        experiment_id=request.experiment_id,
        owner=request.owner or model.owner,
        team=request.team or model.team,
        task=request.task or model.task,
        risk_tier=request.risk_tier,
        compliance=request.compliance,
        business_value=request.business_value,
        cost_per_request=request.cost_per_request,
        metadata=request.metadata,
        bump_reasons=proposal.reasons if proposal else (),
        created_at=ctx.now,
        created_by=ctx.actor.name,
        updated_at=ctx.now,
        description=request.description,
        card=request.card,
        tags=request.tags,
    )


def _require_metadata(rules: ProjectRules, version: Version) -> None:
    missing = missing_metadata(rules, version)
    if missing:
        msg = f"The project {version.project!r} requires more of a version: " + "; ".join(missing)
        raise GateRefused(msg + ".", hint="Nothing was registered.", findings=missing)


def _edges(ctx: Context, version: Version, parents: Mapping[str, Version]) -> list[Edge]:
    node = version_node(version.id)
    edges = [Edge(source=node, relation=d.relation, target=dataset_node(d), at=ctx.now) for d in version.datasets]
    if version.run_id:
        edges.append(Edge(source=node, relation="produced_by", target=run_node(version.run_id), at=ctx.now))
    return edges + parent_edges(ctx, version, parents)


def parent_edges(ctx: Context, version: Version, parents: Mapping[str, Version]) -> list[Edge]:
    """Edges of a version to those of its parents that are here."""
    node = version_node(version.id)
    edges = []
    for parent in version.parents:
        if parent.ref not in parents:
            continue  # imported without it
        other = version_node(parents[parent.ref].id)
        source, target = (other, node) if parent.relation == "ensemble_member_of" else (node, other)
        edges.append(Edge(source=source, relation=parent.relation, target=target, at=ctx.now))
    return edges
