"""Loads of versions: counted by day, without an event."""

from __future__ import annotations

from collections import Counter
from datetime import date
from uuid import UUID

from chopmark.app.context import Context, resolve, the_model
from chopmark.base.jsons import canonical
from chopmark.base.paging import PAGE_SIZE_MAX, check_limit, decode_cursor, encode_cursor
from chopmark.domain.refs import parse_ref
from chopmark.errors import InvalidRequest
from chopmark.ops.usage import ListUsage, Recorded, RecordUsage, UsagePage

__all__ = ["list_page", "record"]

COUNT_MAX = 2**40


def record(ctx: Context, request: RecordUsage) -> Recorded:
    """Add loads to what was counted."""
    if len(request.loads) > PAGE_SIZE_MAX:
        msg = f"{len(request.loads):,} entries of loads came at once; the limit is {PAGE_SIZE_MAX:,}."
        raise InvalidRequest(msg, hint="Hand them over in several calls.")
    # Who may read may count, or nobody would know what serving uses. All that this can do is to add: and no load is of a day to come,
    # by which a version would count as used, and be kept, for years.
    today = ctx.now.date()
    counts: Counter[tuple[UUID, date]] = Counter()
    for each in request.loads:
        if not 1 <= each.count <= COUNT_MAX:
            msg = f"{each.count} is no count of loads."
            raise InvalidRequest(msg, hint=f"A count is from 1 to {COUNT_MAX:,}.")
        counts[each.version, min(each.day, today)] += each.count
    ctx.tx.loads.add(counts)
    return Recorded(sum(counts.values()))


def list_page(ctx: Context, request: ListUsage) -> UsagePage:
    """A page of loads, newest day first."""
    limit = check_limit(request.limit)
    model = the_model(ctx, parse_ref(request.ref).model, deleted=True)
    is_version = any(sign in request.ref for sign in ":@#")
    number = resolve(ctx, request.ref, deleted=True).number if is_version else None
    query = canonical(["usage", model.id, number, request.since, request.until])
    at = decode_cursor(request.cursor, query) if request.cursor else None
    items = ctx.tx.loads.list(
        model.id,
        number=number,
        since=request.since,
        until=request.until,
        after=(date.fromisoformat(at[0]), at[1]) if at else None,
        limit=limit + 1,
    )
    more, items = len(items) > limit, items[:limit]
    cursor = encode_cursor([items[-1].day.isoformat(), items[-1].number], query) if more else ""
    return UsagePage(items=items, cursor=cursor)
