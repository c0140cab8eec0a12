"""Reading outcomes: all three tiers of a time together, and what is known of the truth."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import UUID

from msgspec import structs

from chopmark.abc.catalog import Transaction
from chopmark.domain.feedback import FeedbackTotals, LabelSummary, label_summary
from chopmark.domain.outcome_tiers import beginning
from chopmark.domain.outcomes import OutcomeWindow
from chopmark.domain.traffic import SHADOW
from chopmark.errors import InvalidRequest

__all__ = ["Group", "added", "labels_of", "windows_between"]

Group = tuple[UUID, str]
"""A version and a variant; of all variants of the version, an empty one."""

T = TypeVar("T")

_SLICE = timedelta(hours=2)
_ROWS_A_SLICE = 20_000
_ROWS_OF_TIERS = 50_000
_CONFUSED_MAX = 1_000


def windows_between(tx: Transaction, series: UUID, since: datetime, until: datetime) -> Iterator[OutcomeWindow]:
    """All that was counted for an endpoint (or a model) from a time to before another, the oldest first.

    What lies further back is known by hour, then by day: there the time begins with that of ``since``.

    Raises
    ------
    InvalidRequest
        When it is too much for one answer.
    """
    tiers = tx.outcome_tiers
    for grain in ("day", "hour"):
        first = beginning(since, grain)
        yield from _few(tiers.list(series, grain, since=first, until=until, limit=_ROWS_OF_TIERS + 1), _ROWS_OF_TIERS)
    # Minutes that wait to be moved may be older than 48 hours; by the slice, so that memory holds a part.
    oldest = next(iter(tx.outcomes.list(series, since=since, until=until, limit=1)), None)
    start = until if oldest is None else oldest.window.start
    while start < until:
        end = min(start + _SLICE, until)
        found = tx.outcomes.list(series, since=start, until=end, limit=_ROWS_A_SLICE + 1)
        yield from (each.window for each in _few(found, _ROWS_A_SLICE))
        start = end


def _few(rows: list[T], most: int) -> list[T]:
    if len(rows) > most:
        raise InvalidRequest("So many outcomes are not added up in one answer.", hint="Ask over a shorter time.")
    return rows


def added(windows: Iterable[OutcomeWindow], *, by_version: bool) -> dict[Group, OutcomeWindow]:
    """Sums by version and variant, or by version with its shadow apart, as that one's requests are copies."""
    found: dict[Group, OutcomeWindow] = {}
    for window in windows:
        variant = "" if by_version and window.variant != SHADOW else window.variant
        named = structs.replace(window, variant=variant) if variant != window.variant else window
        key = (window.version, variant)
        found[key] = found[key] + named if key in found else named
    return found


def labels_of(
    tx: Transaction, series: UUID, since: datetime, until: datetime, answered: dict[Group, int], *, by_version: bool
) -> dict[Group, LabelSummary]:
    """What is known of the truth about answers to requests of a time, by version and variant, each of which answered so many."""
    groups: dict[Group, list[FeedbackTotals]] = {}
    for totals in tx.feedback.totals(series, since=since, until=until):
        groups.setdefault((totals.version, "" if by_version else totals.variant), []).append(totals)
    if not groups:
        return {}
    pairs = tx.feedback.confused(series, since=since, until=until, limit=_CONFUSED_MAX)
    found: dict[Group, LabelSummary] = {}
    for key, totals_of in groups.items():
        confused = [p.confused for p in pairs if (p.version, "" if by_version else p.variant) == key]
        summary = label_summary(totals_of, confused, answered.get(key, 0))
        if summary is not None:
            found[key] = summary
    return found
