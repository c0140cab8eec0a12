"""What a collection would free: surveyed a step at a time, from a position that goes through its phases.

Order: versions that retention drops are deleted; versions deleted long enough ago are purged; then
the rows and the bytes that nothing refers to; last what interrupted puts have left. A phase sees
what those before it will have done, so that a plan says exactly what the real run frees.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import chain
from typing import Any, NamedTuple

from chopmark.abc.blobs import BlobStat, BlobStore, KeepsLeftovers
from chopmark.abc.catalog import Transaction
from chopmark.app.named_versions import named_versions
from chopmark.app.retention import Due, dropped, due_versions
from chopmark.base.clock import from_us, to_us
from chopmark.base.digest import PREFIX
from chopmark.base.jsons import canonical, converted
from chopmark.base.paging import check_limit, decode_cursor, encode_cursor
from chopmark.domain.lineage import version_node
from chopmark.domain.storage import side_by_side
from chopmark.ops.storage import CollectStorage, Reclaimed

__all__ = [
    "PHASES",
    "Limits",
    "Position",
    "Survey",
    "limits_of",
    "needed_blobs",
    "next_cursor",
    "position_of",
    "stored_after",
    "survey",
    "told",
]

PHASES = ("retention", "purge", "manifests", "datasets", "blobs", "leftovers")
MODELS_A_STEP = 100
BLOBS_A_STEP = 20_000
"""Blobs that one step looks at before it answers, found or not."""

_SHARDS = [f"{n:02x}" for n in range(256)]


class Position(NamedTuple):
    """Where a collection is: its phase, after which thing of it, and when it began."""

    phase: str
    after: list[str | int]
    began_at: datetime


class Limits(NamedTuple):
    """What may go: versions deleted, and bytes put, before these times; and how much a step takes."""

    purge_before: datetime
    put_before: datetime
    step: int


class _Look(NamedTuple):
    """What a phase looks at: rows, bytes, from where on, and by which limits."""

    tx: Transaction
    store: BlobStore
    at: Position
    limits: Limits


class Survey(NamedTuple):
    """What a step found, and where the next one begins (None: nowhere)."""

    items: list[Reclaimed]
    then: Position | None


def position_of(request: CollectStorage, now: datetime) -> Position:
    """Where a request goes on; the beginning without a cursor."""
    if not request.cursor:
        return Position(PHASES[0], [], now)
    phase, after, began_us = decode_cursor(request.cursor, _query(request))
    return Position(phase, converted(after, list[str | int]), from_us(began_us))


def next_cursor(request: CollectStorage, then: Position | None) -> str:
    """The cursor of a position; empty after the last."""
    return "" if then is None else encode_cursor([then.phase, then.after, to_us(then.began_at)], _query(request))


def _query(request: CollectStorage) -> bytes:
    return canonical(["collection", request.grace_hours, request.purge_after_days])


def limits_of(request: CollectStorage, at: Position) -> Limits:
    """Times and counts of a request.

    Times are measured from the beginning: what is deleted or put after that is left to the next collection.
    """
    purge_before = at.began_at - timedelta(days=request.purge_after_days)
    put_before = at.began_at - timedelta(hours=request.grace_hours)
    return Limits(purge_before, put_before, check_limit(request.limit))


def survey(tx: Transaction, store: BlobStore, at: Position, limits: Limits) -> Survey:
    """One step of a phase."""
    step = {
        "retention": _retention,
        "purge": _purge,
        "manifests": _manifests,
        "datasets": _datasets,
        "blobs": _blobs,
        "leftovers": _leftovers,
    }[at.phase]
    items, after = step(_Look(tx, store, at, limits))
    if after is not None:
        return Survey(items, at._replace(after=after))
    following = PHASES.index(at.phase) + 1
    return Survey(items, Position(PHASES[following], [], at.began_at) if following < len(PHASES) else None)


_Step = tuple[list[Reclaimed], list[str | int] | None]


def _retention(look: _Look) -> _Step:
    project, name, number = "", "", 0
    if look.at.after:
        project, name, number = str(look.at.after[0]), str(look.at.after[1]), int(look.at.after[2])
    items: list[Reclaimed] = []
    # The model that the last step ended in comes first, from its next version on.
    here = look.tx.models.get(project, name) if name else None
    page = look.tx.models.list(project=None, after=(project, name), limit=MODELS_A_STEP)
    for model in [*([here] if here is not None else []), *page]:
        for version in dropped(look.tx, model, look.at.began_at):
            if model is here and version.number <= number:
                continue
            if len(items) == look.limits.step:
                return items, [project, name, number]
            items.append(Reclaimed("version", version.ref, 0, version.reason))
            project, name, number = model.project, model.name, version.number
        project, name, number = model.project, model.name, 2**53
    return items, [project, name, number] if len(page) == MODELS_A_STEP else None


def _purge(look: _Look) -> _Step:
    after = int(look.at.after[0]) if look.at.after else 0
    due = sorted(due_versions(look.tx, look.limits.purge_before).going.values(), key=lambda d: d.key)
    page = [d for d in due if d.key > after][: look.limits.step + 1]
    items = [
        Reclaimed("purge", d.ref, 0, f"it was deleted on {d.deleted_at:%Y-%m-%d}") for d in page[: look.limits.step]
    ]
    return items, [page[look.limits.step - 1].key] if len(page) > look.limits.step else None


def _manifests(look: _Look) -> _Step:
    after = str(look.at.after[0]) if look.at.after else ""
    kept = {d.id for d in due_versions(look.tx, look.limits.purge_before).needed.values()}
    digests = look.tx.collection.orphan_manifests(look.limits.purge_before, after=after, limit=look.limits.step)
    needed = {v.digest for i in kept if (v := look.tx.versions.by_id(i)) is not None}
    needed.update(named_versions(look.tx).values())
    items = [Reclaimed("manifest", d, 0, "no version has it") for d in digests if d not in needed]
    return items, [digests[-1]] if len(digests) == look.limits.step else None


def _datasets(look: _Look) -> _Step:
    after = str(look.at.after[0]) if look.at.after else ""
    nodes = look.tx.collection.orphan_datasets(after=after, limit=look.limits.step)
    more: list[str | int] | None = [nodes[-1]] if len(nodes) == look.limits.step else None
    if not after:
        nodes = [*nodes, *_left_by(look.tx, due_versions(look.tx, look.limits.purge_before))]
    return [Reclaimed("dataset", node, 0, "no version was trained or evaluated on it") for node in nodes], more


def _left_by(tx: Transaction, due: Due) -> list[str]:
    """Data sets that only versions which are to be purged lead to."""
    going = {version_node(i) for i in due.going}
    nodes = {e.target for source in going for e in tx.lineage.outgoing(source) if e.target.startswith("dataset:")}
    known = {record.node for record in tx.datasets.get(nodes)}
    return sorted(
        node
        for node in known
        if {e.source for e in tx.lineage.incoming(node)} <= going and not tx.lineage.outgoing(node)
    )


def _blobs(look: _Look) -> _Step:
    after = str(look.at.after[0]) if look.at.after else ""
    needed = needed_blobs(look.tx, due_versions(look.tx, look.limits.purge_before))
    found: list[BlobStat] = []
    more = False
    stored = ((s.digest, s) for s in stored_after(look.store, after))
    live = look.tx.collection.live_blobs(look.limits.purge_before, after=after)
    for looked_at, (digest, stat, size_bytes) in enumerate(side_by_side(stored, live), 1):
        after = digest
        if (
            stat is not None
            and size_bytes is None
            and digest not in needed
            and stat.modified_at <= look.limits.put_before
        ):
            found.append(stat)
        if len(found) == look.limits.step or looked_at == BLOBS_A_STEP:
            more = True
            break
    purged = look.tx.collection.referenced([s.digest for s in found])
    return [_blob(stat, was_used=stat.digest in purged) for stat in found], [after] if more else None


def _blob(stat: BlobStat, *, was_used: bool) -> Reclaimed:
    why = "only versions that are purged refer to it" if was_used else "no version refers to it"
    return Reclaimed("blob", stat.digest, stat.stored_bytes, f"{why}; put on {stat.modified_at:%Y-%m-%d}")


def needed_blobs(tx: Transaction, due: Due) -> set[str]:
    """Blobs of versions that are due and that somebody still needs, and of those that endpoints and open rollouts name."""
    digests = {v.digest for i in due.needed if (v := tx.versions.by_id(i)) is not None}
    digests.update(named_versions(tx).values())
    manifests = (tx.manifests.get(digest) for digest in digests)
    return {f.digest for m in manifests if m is not None for f in m.files}


def stored_after(store: BlobStore, after: str) -> Iterator[BlobStat]:
    """Blobs of a store by digest, from the first after one, without listing all that come before."""
    if not after:
        return iter(store.list())
    first = after.removeprefix(PREFIX)[:2]
    rest = chain.from_iterable(store.list(shard) for shard in _SHARDS if shard >= first)
    return (stat for stat in rest if stat.digest > after)


def _leftovers(look: _Look) -> _Step:
    left = look.store.leftovers(look.limits.put_before) if isinstance(look.store, KeepsLeftovers) else ()
    return [Reclaimed("leftover", each.name, each.size_bytes, "a put was interrupted") for each in left], None


def told(items: list[Reclaimed]) -> dict[str, Any]:
    """How many of each kind, and their bytes."""
    return {**Counter(str(i.kind) for i in items), "size_bytes": sum(i.size_bytes for i in items)}
