"""Versions: found, described, deleted, restored, purged."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, structs

from chopmark.abc.catalog import VersionChange
from chopmark.app.context import Context, resolve, the_model
from chopmark.app.models import check_reason, locked
from chopmark.app.unknown_keys import did_you_mean, unknown_keys
from chopmark.app.uses import IN_USE_HINT, refuse_when_served, uses_of
from chopmark.base.jsons import canonical, plain_values
from chopmark.base.paging import check_limit, decode_cursor, encode_cursor
from chopmark.domain.manifest import Manifest, manifest_digest
from chopmark.domain.metrics import direction_of
from chopmark.domain.names import check_key, check_name, check_tags, check_text
from chopmark.domain.query import FieldName, Order, Present, Query, both, keys_in, parse_query, text_condition
from chopmark.domain.refs import parse_model, parse_ref
from chopmark.domain.versions import AliasMove, Version
from chopmark.errors import Conflict, IntegrityFailure, InvalidRequest, NotFound
from chopmark.ops import requests as q
from chopmark.ops.results import Done, VersionPage

__all__ = [
    "best",
    "delete",
    "get",
    "lock_and_resolve",
    "manifest",
    "purge",
    "restore",
    "search",
    "update",
    "whole_manifest",
]

_RESTORE = "Restore the catalog from a backup."


def get(ctx: Context, request: q.GetVersion) -> Version:
    """The version a reference means."""
    return resolve(ctx, request.ref, deleted=request.deleted)


def manifest(ctx: Context, request: q.GetManifest) -> Manifest:
    """The manifest of a version."""
    return whole_manifest(ctx, resolve(ctx, request.ref, deleted=True))


def whole_manifest(ctx: Context, version: Version) -> Manifest:
    """The manifest of a version, which is the one it was registered with.

    Raises
    ------
    IntegrityFailure
        When it is missing from the catalog or was changed there.
    """
    found = ctx.tx.manifests.get(version.digest)
    if found is None:
        msg = f"The manifest of {version.ref} is missing from the catalog."
        raise IntegrityFailure(msg, hint=_RESTORE)
    _check_whole(version, found)
    return found


def _check_whole(version: Version, found: Manifest) -> None:
    """Refuse a manifest that is not the one that was registered: trust and loading rest on it."""
    if manifest_digest(found) != version.digest:
        msg = f"The manifest of {version.ref} was changed in the catalog: it is not {version.digest[:19]}."
        raise IntegrityFailure(msg, hint=_RESTORE, ref=version.ref)
    recorded = (version.kind, version.format, version.runs_code, version.untrusted)
    if recorded != (found.kind, found.format, found.runs_code, found.untrusted):
        msg = f"The catalog's row of {version.ref} was changed: it does not say what its manifest says."
        raise IntegrityFailure(msg, hint=_RESTORE, ref=version.ref)


def search(ctx: Context, request: q.SearchVersions) -> VersionPage:
    """A page of the versions that meet a filter."""
    limit = check_limit(request.limit)
    query = _query(request.where, request.text)
    if request.project is not None:
        check_name(request.project, "project")
    model = the_model(ctx, parse_model(request.model)) if request.model else None
    fingerprint = canonical([request.where, request.text, request.project, request.model, request.deleted])
    found = ctx.tx.versions.search(
        query,
        project=request.project,
        model_id=model.id if model else None,
        after=decode_cursor(request.cursor, fingerprint) if request.cursor else None,
        limit=limit,
        deleted=request.deleted,
    )
    cursor = encode_cursor(found.position, fingerprint) if found.position is not None else ""
    unknown = {} if request.cursor else unknown_keys(ctx, _doubtful(query, found.versions))
    return VersionPage(items=found.versions, cursor=cursor, unknown=unknown)


def _query(where: str, text: str) -> Query:
    query = parse_query(where)
    return query if not text else structs.replace(query, where=both(query.where, text_condition(text)))


def _doubtful(query: Query, found: list[Version]) -> list[FieldName]:
    """Fields by key that may be mistyped: an order shows nothing of it, a condition finds nothing."""
    ordered = [term.field for term in query.order if term.field.key]
    return list(dict.fromkeys([*ordered, *([] if found else keys_in(query.where))]))


def best(ctx: Context, request: q.BestVersion) -> VersionPage:
    """The versions of a model with the best values of a metric; of an unknown one the highest."""
    limit = check_limit(request.limit)
    model = the_model(ctx, parse_model(request.model))
    key = check_key(request.by.removeprefix("metrics."), "metric")
    field = FieldName("metrics", key)
    query = parse_query(request.where)
    if query.order:
        msg = f"What 'best' asks for is in order of {field} and takes no other: {request.where!r}."
        raise InvalidRequest(msg, hint="Leave out 'order by', or search with it.")
    where = both(query.where, Present(field))
    direction = request.direction or direction_of(key) or "maximize"
    order = (Order(field, direction == "maximize"),)
    found = ctx.tx.versions.search(Query(where, order), model_id=model.id, limit=limit)
    if not found.versions:
        meeting = f" that meets {request.where!r}" if request.where else ""
        msg = f"{model.ref} has no version with the metric {key!r}{meeting}."
        near = did_you_mean(unknown_keys(ctx, [field]))
        raise NotFound(msg, hint=near or f"See them with: chopmark search --model {model.ref}")
    return VersionPage(items=found.versions)


def update(ctx: Context, request: q.UpdateVersion) -> Version:
    """Change what is said about a version."""
    version = resolve(ctx, request.ref)
    changes: dict[str, Any] = {}
    for name in ("description", "card"):
        if getattr(request, name) is not UNSET:
            changes[name] = check_text(getattr(request, name), name)
    for key in request.remove_tags:
        check_key(key, "tag")
    if request.tags or request.remove_tags:
        tags = {**version.tags, **check_tags(request.tags)}
        changes["tags"] = {k: v for k, v in tags.items() if k not in request.remove_tags}
    if request.annotations:
        changes["annotations"] = _annotations(version, request.annotations)
    changes = {k: v for k, v in changes.items() if getattr(version, k) != v}
    if not changes:
        return version
    ctx.tx.versions.update(version.id, VersionChange(**changes), ctx.now)
    ctx.emit(
        version.ref,
        reason=request.reason,
        before={k: getattr(version, k) for k in changes},
        after=changes,
    )
    return resolve(ctx, version.ref)


def _annotations(version: Version, given: dict[str, Any]) -> dict[str, Any]:
    for key in given:
        check_key(key, "annotation")
    merged = {k: v for k, v in {**version.annotations, **given}.items() if v is not None}
    return plain_values(merged, "annotations")


def delete(ctx: Context, request: q.DeleteVersion) -> Version:
    """Soft-delete a version; refused while it is used. With force its aliases are removed."""
    version = lock_and_resolve(ctx, request.ref)
    refuse_when_served(ctx, [version])
    _refuse_when_used(ctx, version, request.force, request.reason)
    for name in version.aliases:
        _remove_alias(ctx, version, name, request.reason)
    ctx.tx.versions.update(version.id, VersionChange(deleted_at=ctx.now), ctx.now)
    ctx.emit(
        version.ref,
        reason=request.reason,
        digest=version.digest,
        forced=request.force or None,
        aliases=list(version.aliases) or None,
    )
    return resolve(ctx, version.ref, deleted=True)


def _remove_alias(ctx: Context, version: Version, name: str, reason: str) -> None:
    ctx.tx.aliases.remove(version.model_id, name)
    ctx.tx.aliases.record(
        version.model_id,
        AliasMove(
            project=version.project,
            model=version.model,
            name=name,
            number=None,
            previous=version.number,
            actor=ctx.actor.name,
            at=ctx.now,
            reason=reason,
        ),
    )


def restore(ctx: Context, request: q.RestoreVersion) -> Version:
    """Bring a soft-deleted version back, in the stage it was in."""
    version = lock_and_resolve(ctx, request.ref, deleted=True)
    if version.deleted_at is None:
        msg = f"{version.ref} is not deleted."
        raise Conflict(msg)
    ctx.tx.versions.update(version.id, VersionChange(deleted_at=None), ctx.now)
    ctx.emit(version.ref, reason=request.reason, digest=version.digest)
    return resolve(ctx, version.ref)


def purge(ctx: Context, request: q.PurgeVersion) -> Done:
    """Remove the rows of a soft-deleted version for good."""
    version = lock_and_resolve(ctx, request.ref, deleted=True)
    check_reason(request.reason, f"Purging {version.ref}")
    if version.deleted_at is None:
        msg = f"{version.ref} is not deleted; only what was deleted before can be purged."
        raise Conflict(msg, hint=f"First: chopmark delete {version.ref}")
    refuse_when_served(ctx, [version])
    _refuse_when_used(ctx, version, request.force, request.reason)
    ctx.tx.versions.purge(version.id)
    ctx.emit(version.ref, reason=request.reason, digest=version.digest)
    return Done(version.ref, "purged; its bytes stay in the store until they are collected")


def lock_and_resolve(ctx: Context, ref: str, *, deleted: bool = False) -> Version:
    """Resolve a reference with no other transaction changing the model's versions."""
    locked(ctx, str(parse_ref(ref).model))
    return resolve(ctx, ref, deleted=deleted)


def _refuse_when_used(ctx: Context, version: Version, force: bool, reason: str) -> None:
    found = uses_of(ctx, version)
    if found and not force:
        msg = f"{version.ref} is used: " + "; ".join(found[:20]) + "."
        raise Conflict(msg, hint=IN_USE_HINT, uses=found)
    if found:
        check_reason(reason, f"Removing {version.ref} while it is used")
