"""Reading the audit and walking its chain."""

from __future__ import annotations

from chopmark.app.context import Context
from chopmark.base.jsons import canonical
from chopmark.base.paging import PAGE_SIZE_MAX, check_limit, decode_cursor, encode_cursor
from chopmark.domain.audit import GENESIS, find_fault
from chopmark.domain.names import check_text
from chopmark.ops import requests as q
from chopmark.ops.results import AuditPage, AuditVerdict

__all__ = ["list_page", "verify"]


def list_page(ctx: Context, request: q.ListAudit) -> AuditPage:
    """A page of events."""
    limit = check_limit(request.limit)
    query = canonical(["audit", request.target, request.event, request.newest_first])
    at: int | None = decode_cursor(request.cursor, query)[0] if request.cursor else None
    items = ctx.tx.audit.list(
        after_seq=0 if request.newest_first or at is None else at,
        before_seq=at if request.newest_first else None,
        target=check_text(request.target, "target", 1_000),
        event=check_text(request.event, "event", 200),
        newest_first=request.newest_first,
        limit=limit + 1,
    )
    more, items = len(items) > limit, items[:limit]
    return AuditPage(items=items, cursor=encode_cursor([items[-1].seq], query) if more else "")


def verify(ctx: Context, request: q.VerifyAudit) -> AuditVerdict:  # noqa: ARG001 - it has no fields
    """Walk the whole chain, a page at a time."""
    head, seq = GENESIS, 0
    while page := ctx.tx.audit.list(after_seq=seq, limit=PAGE_SIZE_MAX):
        fault = find_fault(page, head, seq + 1)
        if fault is not None:
            return AuditVerdict(events=fault.seq - 1, head=head, fault=fault.reason, fault_seq=fault.seq)
        head, seq = page[-1].hash, page[-1].seq
    noted = ctx.tx.audit.head()
    if noted != (seq, head):
        reason = f"the chain ends at event {seq}, and its noted end is event {noted[0]}: events were removed"
        return AuditVerdict(events=seq, head=head, fault=reason, fault_seq=seq + 1)
    return AuditVerdict(events=seq, head=head)
