"""Endpoints: made, split, changed, deleted. What they name is resolved at once, and kept from going while they use it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec import UNSET, structs

from chopmark.app.context import Context, resolve, the_project
from chopmark.app.models import locked
from chopmark.app.named_pages import named_page
from chopmark.app.routing import advance
from chopmark.domain.endpoints import Endpoint, check_endpoint, parse_endpoint
from chopmark.domain.names import check_name, check_text, shown
from chopmark.domain.prediction_logs import INPUT, unknown_columns
from chopmark.domain.refs import parse_ref
from chopmark.domain.traffic import PinnedVersion, Shadow, Variant, weight_of
from chopmark.domain.variants import Wanted, changed_config, named_variants
from chopmark.domain.versions import Version
from chopmark.errors import Conflict, InvalidRequest, NotFound
from chopmark.ops import endpoints as q
from chopmark.ops.results import Done

__all__ = [
    "ENDPOINTS_MAX",
    "create",
    "delete",
    "get",
    "list_page",
    "locked_endpoint",
    "pinned_version",
    "set_split",
    "split",
    "update",
]

ENDPOINTS_MAX = 1_000


def create(ctx: Context, request: q.CreateEndpoint) -> Endpoint:
    """Make an endpoint."""
    ref = parse_endpoint(request.endpoint)
    the_project(ctx, ref.project)
    check_name(ref.name, "endpoint")
    if ctx.tx.endpoints.get(ref.project, ref.name) is not None:
        msg = f"There is an endpoint {ref} already."
        raise Conflict(msg, hint=f"Change what answers behind it with: chopmark endpoint split {ref} VERSION=100")
    if len(ctx.whole.endpoints.list(limit=ENDPOINTS_MAX)) >= ENDPOINTS_MAX:
        raise Conflict(f"There are {ENDPOINTS_MAX:,} endpoints, which is the limit.", hint="Delete what nobody calls.")
    wanted, shadows = _pinned(ctx, request.split, request.shadows)
    endpoint = check_endpoint(
        Endpoint(
            id=ctx.new_id(),
            project=ref.project,
            name=ref.name,
            description=check_text(request.description, "description"),
            variants=named_variants(wanted),
            shadows=shadows,
            config=request.config,
            generation=advance(ctx),
            created_at=ctx.now,
            created_by=ctx.actor.name,
            updated_at=ctx.now,
            updated_by=ctx.actor.name,
        )
    )
    _check_redacted(ctx, endpoint)
    ctx.tx.endpoints.insert(endpoint)
    ctx.emit(endpoint.ref, generation=endpoint.generation, after=_facts(endpoint), reason=request.reason)
    return endpoint


def get(ctx: Context, request: q.GetEndpoint) -> Endpoint:
    """Look up an endpoint."""
    ref = parse_endpoint(request.endpoint)
    return _there(ctx.tx.endpoints.get(ref.project, ref.name), str(ref))


def list_page(ctx: Context, request: q.ListEndpoints) -> q.EndpointPage:
    """A page of endpoints by project and name."""
    items, cursor = named_page(
        request,
        ["endpoints", request.project],
        lambda after, limit: ctx.tx.endpoints.list(project=request.project, after=after, limit=limit),
    )
    return q.EndpointPage(items=items, cursor=cursor)


def split(ctx: Context, request: q.SplitEndpoint) -> Endpoint:
    """Say which versions answer from now on; what is said already changes nothing."""
    seen = _locked(ctx, request.endpoint)
    wanted, shadows = _pinned(ctx, request.split, request.shadows)
    changed = structs.replace(seen, variants=named_variants(wanted, seen.variants), shadows=shadows)
    return _changed(ctx, seen, changed, ("variants", "shadows"), request.reason)


def update(ctx: Context, request: q.UpdateEndpoint) -> Endpoint:
    """Change what is said of an endpoint, or how it runs."""
    seen = _locked(ctx, request.endpoint)
    description = seen.description if request.description is UNSET else check_text(request.description, "description")
    changed = structs.replace(seen, description=description, config=changed_config(seen.config, request.config))
    _check_redacted(ctx, changed)
    return _changed(ctx, seen, changed, ("description", "config"), request.reason)


def delete(ctx: Context, request: q.DeleteEndpoint) -> Done:
    """Remove an endpoint."""
    seen = _locked(ctx, request.endpoint)
    ctx.tx.endpoints.remove(seen.id)
    ctx.emit(seen.ref, generation=advance(ctx), before=_facts(seen), reason=request.reason)
    return Done(ref=seen.ref, message="deleted; routers stop answering by that name within a second")


def set_split(
    ctx: Context, seen: Endpoint, variants: tuple[Variant, ...], shadows: tuple[Shadow, ...], reason: str
) -> Endpoint:
    """Give a locked endpoint these variants and shadows, as a rollout asks; what they are already changes nothing."""
    changed = structs.replace(seen, variants=variants, shadows=shadows)
    return _changed(ctx, seen, changed, ("variants", "shadows"), reason, event="endpoint.split")


def locked_endpoint(ctx: Context, text: str) -> Endpoint:
    """The endpoint, which nobody else changes until this transaction ends."""
    return _locked(ctx, text)


def pinned_version(ctx: Context, ref: str) -> PinnedVersion:
    """The version that a reference means now, if it can answer; it stays until this transaction ends."""
    return _resolved(ctx, [ref])[ref]


def _changed(
    ctx: Context, seen: Endpoint, changed: Endpoint, fields: Sequence[str], reason: str, *, event: str = ""
) -> Endpoint:
    check_endpoint(changed)
    if all(getattr(seen, name) == getattr(changed, name) for name in fields):
        return seen
    made = structs.replace(changed, generation=advance(ctx), updated_at=ctx.now, updated_by=ctx.actor.name)
    ctx.tx.endpoints.put(made)
    before, after = _facts(seen), _facts(made)
    moved = [name for name in fields if before.get(name) != after.get(name)]
    if "variants" in fields:
        moved = list(fields)  # who reads of a split wants all of it
    ctx.emit(
        made.ref,
        event=event,
        generation=made.generation,
        before={name: before[name] for name in moved},
        after={name: after[name] for name in moved},
        reason=reason,
    )
    return made


def _locked(ctx: Context, text: str) -> Endpoint:
    ref = parse_endpoint(text)
    return _there(ctx.tx.endpoints.lock(ref.project, ref.name), str(ref))


def _there(endpoint: Endpoint | None, ref: str) -> Endpoint:
    if endpoint is None:
        raise NotFound(f"There is no endpoint {ref!r}.", hint="See what there is with: chopmark endpoint list")
    return endpoint


def _pinned(
    ctx: Context, split: Sequence[q.Share], shadows: Sequence[q.ShadowShare]
) -> tuple[list[Wanted], tuple[Shadow, ...]]:
    """What references mean now, and kept so until this transaction ends."""
    versions = _resolved(ctx, [*(each.version for each in split), *(each.version for each in shadows)])
    wanted = [Wanted(versions[each.version], weight_of(each.percent), each.name) for each in split]
    return wanted, tuple(Shadow(version=versions[s.version], weight=weight_of(s.percent)) for s in shadows)


def _resolved(ctx: Context, refs: Iterable[str]) -> dict[str, PinnedVersion]:
    """Exact versions by reference, their models locked: a version that is deleted just now is seen to be, or is kept."""
    parsed = {text: parse_ref(text) for text in dict.fromkeys(refs)}
    for model in sorted({str(ref.model) for ref in parsed.values()}):
        locked(ctx, model)
    return {text: _servable(resolve(ctx, text)) for text in parsed}


def _servable(version: Version) -> PinnedVersion:
    if version.state != "ready":
        raise Conflict(f"{version.ref} is {version.state}, not ready.")
    if version.stage == "archived":
        msg = f"{version.ref} is archived, and answers nobody."
        raise Conflict(msg, hint=f"First: chopmark promote {version.ref} development --reason '…'")
    model = version.ref.rpartition(":")[0]
    return PinnedVersion(id=version.id, model=model, number=version.number, digest=version.digest, kind=version.kind)


def _check_redacted(ctx: Context, endpoint: Endpoint) -> None:
    """Refuse to leave columns out of a log that no version has, where all of them say which they have: perhaps mistyped ones.

    Of outputs, and of tensors that a model takes as columns, only gateways know.
    """
    named = [name for name in endpoint.config.log_redact if name.startswith(INPUT)]
    if not named:
        return
    versions = [ctx.tx.versions.by_id(each.version.id) for each in endpoint.variants]
    signatures = [version.signature for version in versions if version is not None]
    fields = [field for signature in signatures if signature is not None for field in signature.inputs]
    is_told = all(signature is not None and signature.inputs for signature in signatures)
    if not is_told or any(field.shape for field in fields):
        return
    known = list(dict.fromkeys(f"{INPUT}{field.name}" for field in fields))
    unknown = unknown_columns(named, known)
    if unknown:
        msg = f"log_redact names {shown(unknown[0])}, and no version that answers there takes it."
        raise InvalidRequest(msg, hint=f"They take {', '.join(known[:20])}.")


def _facts(endpoint: Endpoint) -> dict[str, Any]:
    """What an event tells of an endpoint."""
    return {
        "variants": [
            {"name": v.name, "version": v.version.ref, "digest": v.version.digest, "weight": v.weight}
            for v in endpoint.variants
        ],
        "shadows": [
            {"version": s.version.ref, "digest": s.version.digest, "weight": s.weight} for s in endpoint.shadows
        ],
        "description": endpoint.description,
        "config": msgspec.to_builtins(endpoint.config),
    }
