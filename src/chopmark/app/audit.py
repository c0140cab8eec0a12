"""Reading the audit: a page of it, a version's trail, a moment in the past; and walking its chain."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterator

from chopmark.abc.catalog import Transaction
from chopmark.app.context import Context, resolve
from chopmark.base.digest import parse_digest
from chopmark.base.jsons import canonical
from chopmark.base.paging import PAGE_SIZE_MAX, check_limit, decode_cursor, encode_cursor
from chopmark.domain.audit import AuditEvent, ChainMark, walk
from chopmark.domain.names import check_name, check_text
from chopmark.domain.refs import ModelRef, Ref, parse_model, parse_ref
from chopmark.domain.replay import ModelThen, RegistryThen, Replay, selected
from chopmark.domain.trail import LINEAGE_EVENTS, concerning
from chopmark.errors import InvalidRequest, NotFound
from chopmark.ops import requests as q
from chopmark.ops.auditing import AuditAt, ReadTrail
from chopmark.ops.results import AuditPage, AuditVerdict

__all__ = ["at", "list_page", "newest_of_trail", "trail", "verify"]

VERSIONS_THEN_MAX = 10_000
Page = Callable[[int], list[AuditEvent]]


def list_page(ctx: Context, request: q.ListAudit) -> AuditPage:
    """A page of events."""
    limit = check_limit(request.limit)
    query = canonical(["audit", request.target, request.event, request.newest_first])
    position: int | None = decode_cursor(request.cursor, query)[0] if request.cursor else None
    items = ctx.tx.audit.list(
        after_seq=0 if request.newest_first or position is None else position,
        before_seq=position if request.newest_first else None,
        target=check_text(request.target, "target", 1_000),
        event=check_text(request.event, "event", 200),
        newest_first=request.newest_first,
        limit=limit + 1,
    )
    return _page(items, limit, query)


def trail(ctx: Context, request: ReadTrail) -> AuditPage:
    """A page of the events that concern a version."""
    limit = check_limit(request.limit)
    ref = parse_ref(request.ref)
    number = int(ref.value) if ref.kind == "number" else resolve(ctx, request.ref, deleted=True).number
    query = canonical(["trail", str(ref.model), number])
    after = decode_cursor(request.cursor, query)[0] if request.cursor else 0
    items: list[AuditEvent] = []
    for event in concerning(_candidates(ctx.tx, ref.model, number), str(ref.model), number):
        # What concerns it depends on what was before, so that every page is read from the start.
        if event.seq > after:
            items.append(event)
        if len(items) > limit:
            break
    if not items and not after:
        msg = f"No event tells of {ref.model}:{number}."
        raise NotFound(msg, hint=f"See what there was with: chopmark audit list --target {ref.model}")
    return _page(items, limit, query)


def newest_of_trail(tx: Transaction, model: ModelRef, number: int, *, limit: int) -> list[AuditEvent]:
    """The newest of the events that concern a version, newest first."""
    newest = deque(concerning(_candidates(tx, model, number), str(model), number), maxlen=limit)
    return list(reversed(newest))


def at(ctx: Context, request: AuditAt) -> RegistryThen:
    """What the registry looked like at a time.

    The order of events is that of their numbers. Where a clock stepped back, an event counts as of
    the latest time that stands before it, so that no event counts without those before it.
    """
    if request.project is not None:
        check_name(request.project, "project")
    ref = parse_ref(request.of) if request.of else None
    replay = Replay()
    later = ctx.tx.audit.first_after(request.at)
    for event in _then(ctx.tx, ref.model if ref else None):
        if later is not None and event.seq >= later:
            break
        replay.apply(event)
        if replay.version_count > VERSIONS_THEN_MAX and ref is None and request.project is None:
            raise _too_many()
    models = [m for m in replay.models() if request.project in (None, parse_model(m.ref).project)]
    if sum(len(m.versions) for m in models) > VERSIONS_THEN_MAX:
        raise _too_many()
    if ref is not None:
        models = [_part(models, request, ref)]
    return RegistryThen(
        at=request.at,
        seq=replay.seq,
        projects=tuple(p for p in replay.projects() if request.project in (None, p.name)),
        models=tuple(models),
    )


def _too_many() -> InvalidRequest:
    msg = f"There were more than {VERSIONS_THEN_MAX:,} versions then."
    return InvalidRequest(msg, hint="Ask for one model.")


def _part(models: list[ModelThen], request: AuditAt, ref: Ref) -> ModelThen:
    when = f"on {request.at.isoformat()}"
    if not models:
        msg = f"There was no model {str(ref.model)!r} {when}."
        raise NotFound(msg, hint=f"See its events with: chopmark audit list --target {ref.model}")
    (model,) = models
    if not any(sign in request.of for sign in ":@#"):
        return model
    found = selected(model, ref)
    if not found:
        msg = f"{ref} meant no version {when}."
        raise NotFound(
            msg, hint=f"See all of the model then: chopmark audit at {request.at:%Y-%m-%dT%H:%M:%SZ} {model.ref}"
        )
    return ModelThen(ref=model.ref, kind=model.kind, is_deleted=model.is_deleted, aliases=model.aliases, versions=found)


def verify(ctx: Context, request: q.VerifyAudit) -> AuditVerdict:
    """Walk the whole chain, a page at a time, and compare it with the place that is asked about."""
    if request.size < 0:
        msg = f"A chain has no event {request.size}."
        raise InvalidRequest(msg)
    parse_digest(request.head)
    end = walk(_all(ctx.tx), ChainMark(request.size, request.head))
    if end.fault is not None:
        return AuditVerdict(
            events=end.events, head=end.head, first=end.first, fault=end.fault.reason, fault_seq=end.fault.seq
        )
    noted = ctx.tx.audit.head()
    if noted != (end.events, end.head):
        reason = f"the chain ends at event {end.events}, and its noted end is event {noted[0]}: events were removed"
        return AuditVerdict(events=end.events, head=end.head, first=end.first, fault=reason, fault_seq=end.events + 1)
    return AuditVerdict(events=end.events, head=end.head, first=end.first)


def _page(items: list[AuditEvent], limit: int, query: bytes) -> AuditPage:
    more, items = len(items) > limit, items[:limit]
    return AuditPage(items=items, cursor=encode_cursor([items[-1].seq], query) if more else "")


def _each(page: Page) -> Iterator[AuditEvent]:
    """Events of all pages, of which ``page`` gives the one after a number."""
    seq = 0
    while events := page(seq):
        yield from events
        seq = events[-1].seq


def _all(tx: Transaction) -> Iterator[AuditEvent]:
    return _each(lambda seq: tx.audit.list(after_seq=seq, limit=PAGE_SIZE_MAX))


def _named(tx: Transaction, name: str) -> Iterator[AuditEvent]:
    return _each(lambda seq: tx.audit.list(after_seq=seq, event=name, limit=PAGE_SIZE_MAX))


def _candidates(tx: Transaction, model: ModelRef, number: int) -> Iterator[AuditEvent]:
    """Events among which are all that concern a version, each once."""
    targets, beginnings = [str(model), f"{model}:{number}"], [f"{model}@"]
    linked = [_named(tx, name) for name in LINEAGE_EVENTS]
    about = _each(lambda seq: tx.audit.about(targets, beginnings, after_seq=seq, limit=PAGE_SIZE_MAX))
    seq = 0
    for event in heapq.merge(about, *linked, key=lambda event: event.seq):
        if event.seq != seq:
            yield event
            seq = event.seq


def _then(tx: Transaction, model: ModelRef | None) -> Iterator[AuditEvent]:
    """Events that a replay needs: all, or those of a model and of its project."""
    if model is None:
        return _all(tx)
    targets, beginnings = [str(model), model.project], [f"{model}:", f"{model}@"]
    found = _each(lambda seq: tx.audit.about(targets, beginnings, after_seq=seq, limit=PAGE_SIZE_MAX))
    # A project and a model may have the same name, and a model is asked about.
    return (e for e in found if e.target == str(model) or e.target != model.project or e.event.startswith("project."))
