"""Registered names: made, described, deleted, restored, purged."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from msgspec import UNSET, structs

from chopmark.app.context import Context, the_model, the_project
from chopmark.app.uses import IN_USE_HINT, refuse_when_served, uses_of
from chopmark.base.jsons import canonical
from chopmark.base.paging import PAGE_SIZE_MAX, check_limit, decode_cursor, encode_cursor
from chopmark.domain.manifest import Kind
from chopmark.domain.names import check_key, check_name, check_tags, check_text, counted
from chopmark.domain.refs import ModelRef, parse_model
from chopmark.domain.retention import check_retention
from chopmark.domain.versions import Model, Version
from chopmark.domain.words import Wanted, meet, model_words, wanted_words
from chopmark.errors import Conflict, InvalidRequest
from chopmark.ops import requests as q
from chopmark.ops.results import Done, ModelPage

__all__ = [
    "check_reason",
    "create",
    "delete",
    "get",
    "list_page",
    "locked",
    "new_model",
    "purge",
    "restore",
    "update",
]

MODELS_READ_MAX = 5 * PAGE_SIZE_MAX
MODELS_PURGED_MAX = 100_000
_TEXTS = ("task", "owner", "team", "description", "card")


def new_model(ctx: Context, ref: ModelRef, kind: Kind, **texts: str) -> Model:
    """A record of a model made now, with texts such as ``owner`` and ``task``, checked."""
    for what, text in texts.items():
        check_text(text, what)
    model = Model(
        id=ctx.new_id(),
        project=ref.project,
        name=ref.name,
        kind=kind,
        created_at=ctx.now,
        created_by=ctx.actor.name,
        updated_at=ctx.now,
    )
    return structs.replace(model, **texts)


def create(ctx: Context, request: q.CreateModel) -> Model:
    """Make a model without a version yet."""
    ref = parse_model(request.model)
    the_project(ctx, ref.project)
    if ctx.tx.models.get(ref.project, ref.name, deleted=True):
        msg = f"There is a model {str(ref)!r} already."
        raise Conflict(msg, hint=f"See it with: chopmark model get {ref}")
    model = new_model(ctx, ref, request.kind, **{t: getattr(request, t) for t in _TEXTS})
    model = structs.replace(model, tags=check_tags(request.tags))
    ctx.tx.models.insert(model)
    ctx.emit(model.ref, kind=model.kind)
    return model


def get(ctx: Context, request: q.GetModel) -> Model:
    """Look up a model."""
    return the_model(ctx, parse_model(request.model), deleted=request.deleted)


def list_page(ctx: Context, request: q.ListModels) -> ModelPage:
    """A page of models by project and name."""
    limit = check_limit(request.limit)
    if request.project is not None:
        check_name(request.project, "project")
    query = canonical(["models", request.project, request.contains, request.text, request.deleted])
    after = decode_cursor(request.cursor, query) if request.cursor else ["", ""]
    contains = check_text(request.contains, "text to look for", 500)
    look = partial(ctx.tx.models.list, project=request.project, contains=contains, deleted=request.deleted)
    if request.text:
        wanted = wanted_words(check_text(request.text, "text to look for", 10_000))
        items, last = _with_words(look, wanted, (after[0], after[1]), limit)
    else:
        items = look(after=(after[0], after[1]), limit=limit + 1)
        last = items[limit - 1] if len(items) > limit else None
    cursor = encode_cursor([last.project, last.name], query) if last else ""
    return ModelPage(items=items[:limit], cursor=cursor)


def _with_words(
    look: Callable[..., list[Model]], wanted: tuple[Wanted, ...], after: tuple[str, str], limit: int
) -> tuple[list[Model], Model | None]:
    """Models that have the words, and the last one read when there may be more.

    Models are few, and read one after the other: at most `MODELS_READ_MAX` for one page, which may
    then be shorter than asked for and still have a next one.
    """
    found: list[Model] = []
    last: Model | None = None
    for _ in range(MODELS_READ_MAX // PAGE_SIZE_MAX):
        page = look(after=after, limit=PAGE_SIZE_MAX)
        for last in page:
            if meet(model_words(last), wanted):
                if len(found) == limit:
                    return found, found[-1]
                found.append(last)
        if last is None or len(page) < PAGE_SIZE_MAX:
            return found, None
        after = (last.project, last.name)
    return found, last


def update(ctx: Context, request: q.UpdateModel) -> Model:
    """Change what is said about a model."""
    model = the_model(ctx, parse_model(request.model))
    changes: dict[str, Any] = {
        name: check_text(getattr(request, name), name) for name in _TEXTS if getattr(request, name) is not UNSET
    }
    for key in request.remove_tags:
        check_key(key, "tag")
    if request.tags or request.remove_tags:
        merged = {**model.tags, **check_tags(request.tags)}
        changes["tags"] = {k: v for k, v in merged.items() if k not in request.remove_tags}
    if request.retention is not UNSET:
        changes["retention"] = check_retention(request.retention) if request.retention else None
    changes = {k: v for k, v in changes.items() if getattr(model, k) != v}
    if not changes:
        return model
    changed = structs.replace(model, **changes, updated_at=ctx.now)
    ctx.tx.models.update(changed)
    ctx.emit(
        model.ref,
        reason=request.reason,
        before={k: getattr(model, k) for k in changes},
        after=changes,
    )
    return changed


def delete(ctx: Context, request: q.DeleteModel) -> Model:
    """Soft-delete a model; refused while one of its versions is used."""
    model = locked(ctx, request.model)
    if model.deleted_at is not None:
        msg = f"{model.ref} is deleted already."
        raise Conflict(msg, hint=f"Bring it back with: chopmark model restore {model.ref}")
    _refuse_when_used(ctx, model, request.force, request.reason)
    changed = structs.replace(model, deleted_at=ctx.now, updated_at=ctx.now)
    ctx.tx.models.update(changed)
    ctx.emit(model.ref, reason=request.reason, forced=request.force or None)
    return changed


def restore(ctx: Context, request: q.RestoreModel) -> Model:
    """Bring a soft-deleted model back."""
    model = locked(ctx, request.model)
    if model.deleted_at is None:
        msg = f"{model.ref} is not deleted."
        raise Conflict(msg)
    if model.last_number and not ctx.tx.versions.in_model(model.id, deleted=True, limit=1):
        msg = f"Of {model.ref} only the name is left; its versions were purged."
        raise Conflict(msg, hint="Register a version to use the name again: its numbers go on.")
    changed = structs.replace(model, deleted_at=None, updated_at=ctx.now)
    ctx.tx.models.update(changed)
    ctx.emit(model.ref, reason=request.reason)
    return changed


def purge(ctx: Context, request: q.PurgeModel) -> Done:
    """Remove the versions of a soft-deleted model for good, and all that was said of it.

    Its name can be registered again; numbers go on from the last one. Its events stay in the audit.
    """
    model = locked(ctx, request.model)
    check_reason(request.reason, f"Purging {model.ref}")
    if model.deleted_at is None:
        msg = f"{model.ref} is not deleted; only what was deleted before can be purged."
        raise Conflict(msg, hint=f"First: chopmark model delete {model.ref}")
    _refuse_when_used(ctx, model, request.force, request.reason)
    versions = ctx.tx.versions.in_model(model.id, deleted=True, limit=MODELS_PURGED_MAX)
    if model.last_number == 0:
        ctx.tx.models.purge(model.id)
    else:
        _strip(ctx, model, versions)
    ctx.emit(model.ref, reason=request.reason, digests=[v.digest for v in versions][:1000])
    return Done(
        model.ref,
        f"purged with {counted(len(versions), 'version')}; their bytes stay in the store until they are collected",
    )


def _strip(ctx: Context, model: Model, versions: list[Version]) -> None:
    """Leave the bare name, deleted, with its last number: `fraud:1` must never mean another version."""
    for version in versions:
        ctx.tx.versions.purge(version.id)
    bare = dict.fromkeys(_TEXTS, "")
    ctx.tx.models.update(structs.replace(model, **bare, tags={}, updated_at=ctx.now))


def locked(ctx: Context, text: str) -> Model:
    """The model, soft-deleted too, with no other transaction changing its versions."""
    ref = parse_model(text)
    model = ctx.tx.models.lock(ref.project, ref.name)
    return model if model is not None else the_model(ctx, ref, deleted=True)


def check_reason(reason: str, what: str) -> str:
    """Return the reason when there is one.

    Raises
    ------
    InvalidRequest
        When it is blank.
    """
    if not reason.strip():
        msg = f"{what} needs a reason."
        raise InvalidRequest(msg, hint="Pass reason='…' (--reason on the command line).")
    return check_text(reason, "reason", 5_000)


def _refuse_when_used(ctx: Context, model: Model, force: bool, reason: str) -> None:
    versions = ctx.tx.versions.in_model(model.id, deleted=True, limit=MODELS_PURGED_MAX)
    inside = {v.ref for v in versions}
    refuse_when_served(ctx, versions)
    found = [use for v in versions for use in uses_of(ctx, v, ignoring=inside)]
    if found and not force:
        msg = f"{model.ref} is used: " + "; ".join(found[:20]) + "."
        raise Conflict(msg, hint=IN_USE_HINT, uses=found)
    if found:
        check_reason(reason, f"Removing {model.ref} while it is used")
