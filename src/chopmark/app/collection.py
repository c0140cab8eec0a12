"""The collection of garbage: what `app.garbage` finds is looked at once more under the lock, and freed.

The protocol that keeps registrations and collections from harming each other is told in
docs/adr/0010-collections-and-registrations.md.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import NamedTuple

from chopmark.abc.blobs import KeepsLeftovers
from chopmark.abc.catalog import Taken, VersionChange
from chopmark.app.context import Context, Outside, find_model, resolve
from chopmark.app.garbage import Limits, Position, Survey, limits_of, next_cursor, position_of, survey, told
from chopmark.app.recording import is_of_chain, registry_id, registry_ids, spans_of, within
from chopmark.app.retention import dropped, due_versions
from chopmark.domain.refs import parse_ref
from chopmark.errors import Conflict
from chopmark.ops.storage import CollectionPage, CollectStorage, PlanCollection, Reclaimed

__all__ = ["collect", "look", "plan"]

DELETING_THREADS = 8
_UNDER_LOCK = ("manifests", "datasets", "blobs")


class _Step(NamedTuple):
    """What `look` hands to `collect`: a step, and the position it began at."""

    at: Position
    found: Survey


def plan(ctx: Context, request: PlanCollection) -> CollectionPage:
    """Say what a collection would free."""
    at = position_of(request, ctx.now)
    found = survey(ctx.tx, ctx.store, at, limits_of(request, at))
    return CollectionPage(items=found.items, cursor=next_cursor(request, found.then))


def look(outside: Outside, request: CollectStorage) -> _Step:
    """Find what this step may free, and say in the catalog that a collection is open, before anything is deleted."""
    at = position_of(request, outside.now)
    if not request.cursor:
        _refuse_a_doubtful_catalog(outside)
    with outside.catalog.reading() as tx:
        found = survey(tx, outside.store, at, limits_of(request, at))
    if found.items and at.phase in _UNDER_LOCK and not outside.is_rehearsal:
        with outside.catalog.writing() as tx:
            tx.collection.open()
    return _Step(at, found)


def _refuse_a_doubtful_catalog(outside: Outside) -> None:
    """Bytes are garbage by the word of the catalog: it must be the one that the store belongs to.

    Raises
    ------
    Conflict
        When the store holds records of another registry, or records that the catalog knows nothing of (it is empty, was set
        back to an older copy, or two catalogs use one store).
    """
    there = registry_ids(outside.records)
    if len(there) > 1:
        msg = (
            f"The store holds the records of {len(there)} registries; a collection by one would free what others need."
        )
        raise Conflict(
            msg, hint="Give each registry a store of its own: chopmark backup, then chopmark restore --from."
        )
    # Listed first: what is recorded was committed before, and so a view that begins now has it.
    spans = spans_of(within(outside.records, there[0])) if there else []
    with outside.catalog.reading() as tx:
        first = tx.audit.list(limit=1)
        if not first:
            if there:
                msg = "The catalog is empty and the records are not; a collection would free everything."
                raise Conflict(msg, hint="If the database was lost: chopmark rebuild")
            return
        own = registry_id(first[0])
        strangers = [span for span in spans if not is_of_chain(tx, span)]
    if strangers or there not in ([], [own]):
        msg = "The records beside the blobs tell of events that this catalog does not have; a collection would free their bytes."
        raise Conflict(msg, hint="See what is wrong: chopmark fsck")


def collect(ctx: Context, request: CollectStorage) -> CollectionPage:
    """Free a step of what nothing refers to.

    A catalog that was lost, over which all bytes would be garbage, is refused when it is opened.
    """
    step: _Step = ctx.prepared
    items = step.found.items
    if items and not ctx.is_rehearsal:
        items = _freed(ctx, step, limits_of(request, step.at))
    if items:
        ctx.emit("storage", **told(items))
    return CollectionPage(items=items, cursor=next_cursor(request, step.found.then))


class _Going(NamedTuple):
    """What is to be freed, by which limits, in a collection that began at a time."""

    ctx: Context
    items: list[Reclaimed]
    limits: Limits
    began_at: datetime


def _freed(ctx: Context, step: _Step, limits: Limits) -> list[Reclaimed]:
    phase = step.at.phase
    going = _Going(ctx, step.found.items, limits, step.at.began_at)
    if phase not in _UNDER_LOCK:
        return _FREE[phase](going)
    if ctx.tx.collection.lock() % 2 == 0:
        raise Taken("Another collection has ended since this one looked.", hint="Try again.")
    freed = _FREE[phase](going)
    ctx.tx.collection.close()
    return freed


def _delete_versions(going: _Going) -> list[Reclaimed]:
    """Soft-delete what retention still drops, each model locked and judged again."""
    found: list[Reclaimed] = []
    wanted = {item.what for item in going.items}
    for ref in dict.fromkeys(parse_ref(item.what).model for item in going.items):
        model = going.ctx.tx.models.lock(ref.project, ref.name)
        if model is None or model.deleted_at is not None:
            continue
        for version in dropped(going.ctx.tx, model, going.began_at):
            if version.ref not in wanted:
                continue
            going.ctx.tx.versions.update(version.id, VersionChange(deleted_at=going.ctx.now), going.ctx.now)
            digest = resolve(going.ctx, version.ref, deleted=True).digest
            going.ctx.emit(version.ref, event="version.deleted", reason=f"retention: {version.reason}", digest=digest)
            found.append(Reclaimed("version", version.ref, 0, version.reason))
    return found


def _purge(going: _Going) -> list[Reclaimed]:
    """Purge what is still due, the models locked."""
    for ref in sorted({str(parse_ref(item.what).model) for item in going.items}):
        model = parse_ref(ref).model
        going.ctx.tx.models.lock(model.project, model.name)
    due = {d.ref: d for d in due_versions(going.ctx.tx, going.limits.purge_before).going.values()}
    found = []
    for item in going.items:
        if item.what in due and find_model(going.ctx, parse_ref(item.what).model, deleted=True) is not None:
            digest = resolve(going.ctx, item.what, deleted=True).digest
            going.ctx.tx.versions.purge(due[item.what].id)
            going.ctx.emit(item.what, event="version.purged", reason=f"collection: {item.why}", digest=digest)
            found.append(item)
    return found


def _free_leftovers(going: _Going) -> list[Reclaimed]:
    if not isinstance(going.ctx.store, KeepsLeftovers):
        return []
    removed = going.ctx.store.remove_leftovers(going.limits.put_before)
    return [Reclaimed("leftover", each.name, each.size_bytes, "a put was interrupted") for each in removed]


def _free_manifests(going: _Going) -> list[Reclaimed]:
    removed = going.ctx.tx.collection.remove_manifests([item.what for item in going.items])
    return [item for item in going.items if item.what in removed]


def _free_datasets(going: _Going) -> list[Reclaimed]:
    removed = going.ctx.tx.collection.remove_datasets([item.what for item in going.items])
    return [item for item in going.items if item.what in removed]


def _free_blobs(going: _Going) -> list[Reclaimed]:
    """Delete blobs that still nothing refers to and nobody has put since."""
    used = going.ctx.tx.collection.referenced([item.what for item in going.items])
    free = [item for item in going.items if item.what not in used]

    def delete(item: Reclaimed) -> bool:
        stat = going.ctx.store.stat(item.what)
        return stat is not None and stat.modified_at <= going.limits.put_before and going.ctx.store.delete(item.what)

    with ThreadPoolExecutor(DELETING_THREADS) as pool:
        gone = list(pool.map(delete, free))
    return [item for item, is_gone in zip(free, gone, strict=True) if is_gone]


_FREE: dict[str, Callable[[_Going], list[Reclaimed]]] = {
    "retention": _delete_versions,
    "purge": _purge,
    "manifests": _free_manifests,
    "datasets": _free_datasets,
    "blobs": _free_blobs,
    "leftovers": _free_leftovers,
}
