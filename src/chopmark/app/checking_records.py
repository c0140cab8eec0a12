"""The check of the records beside the blobs: whether a lost catalog could be made again from them."""

from __future__ import annotations

from chopmark.abc.records import RecordStore
from chopmark.app.context import Context
from chopmark.app.recording import is_of_chain, registry_id, registry_ids, spans_of, within
from chopmark.base.wording import within_sentence
from chopmark.domain.names import counted
from chopmark.domain.records import Span, decode_segment
from chopmark.errors import IntegrityFailure, NotFound
from chopmark.ops.storage import Finding

__all__ = ["SEGMENTS_A_PART", "record_findings"]

SEGMENTS_A_PART = 50
_AGAIN = "Write them again from the catalog: chopmark rebuild --records"


def record_findings(ctx: Context, after: str, *, content: bool) -> tuple[list[Finding], int, str | None]:
    """Check some segments, from the one whose name comes after ``after``.

    Returns
    -------
    tuple
        Findings, how many segments were looked at, and after which name to go on (None: that was the last).
    """
    first = ctx.tx.audit.list(limit=1)
    if not first:
        return [], 0, None
    own = registry_id(first[0])
    records = within(ctx.records, own)
    found = _about_all(ctx, own, records) if not after else []
    listed: list[Span] = ctx.prepared  # before this view of the catalog began
    part = sorted({span for span in listed if span.name > after})[:SEGMENTS_A_PART]
    for span in part:
        found += _about_one(ctx, records, span, content=content)
    return found, len(part), part[-1].name if len(part) == SEGMENTS_A_PART else None


def _about_all(ctx: Context, own: str, records: RecordStore) -> list[Finding]:
    found = []
    others = [other for other in registry_ids(ctx.records) if other != own]
    if others:
        what = f"the store also holds records of {counted(len(others), 'other registry')} ({', '.join(others)})"
        step = "Give each a store of its own; a collection by one would free the bytes of the other."
        found.append(Finding("error", "store_shared", own, what, step))
    position, head = ctx.tx.recorded.position(), ctx.tx.audit.head()[0]
    # Listed now, after the position was read; twice when something is missing, for some may just be put together.
    gaps, covered = _coverage(spans_of(records))
    if gaps or covered < position:
        gaps, covered = _coverage(spans_of(records))
    found += [
        Finding("error", "records_incomplete", own, f"events {first} to {last} are recorded nowhere", _AGAIN)
        for first, last in gaps
    ]
    if covered < position:
        what = f"events {covered + 1} to {position} were recorded, and are there no more"
        found.append(Finding("error", "records_incomplete", own, what, _AGAIN))
    elif covered < head:
        what = f"events {covered + 1} to {head} are not recorded yet"
        step = "The next change or backup records them; look whether the store can be written: chopmark doctor"
        found.append(Finding("warning", "records_behind", own, what, step))
    return found


def _coverage(spans: list[Span]) -> tuple[list[tuple[int, int]], int]:
    """First and last events of the runs that no segment has, and the last event that one has."""
    gaps: list[tuple[int, int]] = []
    covered = 0
    for span in spans:
        if span.first > covered + 1:
            gaps.append((covered + 1, span.first - 1))
        covered = max(covered, span.last)
    return gaps, covered


def _about_one(ctx: Context, records: RecordStore, span: Span, *, content: bool) -> list[Finding]:
    if not is_of_chain(ctx.tx, span):
        what = f"it tells of another course of events up to {span.last} than the catalog"
        step = f"If the catalog is right: {within_sentence(_AGAIN)}. If the records are: move the database away, then: chopmark rebuild"
        return [Finding("error", "records_diverged", span.name, what, step)]
    if not content:
        return []
    try:
        decode_segment(records.get(span.name), span.name)
    except NotFound:
        return []  # put together with others since it was listed
    except IntegrityFailure as error:
        return [Finding("error", "record_damaged", span.name, error.message, _AGAIN)]
    return []
