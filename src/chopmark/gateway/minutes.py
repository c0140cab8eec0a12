"""Totals of minutes, which are reported until they were received."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from msgspec import structs

from chopmark.domain.outcomes import WINDOW, ErrorCounts, OutcomeWindow, window_start
from chopmark.gateway.recording import Counts, TallyKey
from chopmark.stats.sketch import QuantileSketch

__all__ = ["MINUTES_MAX", "Minutes"]

MINUTES_MAX = 5_000
"""Totals that may wait for a control plane that is away; beyond them the oldest go, and are counted."""

_ENDED_MAX = 24 * 60


class _Minute(NamedTuple):
    key: TallyKey
    start: datetime


class Minutes:
    """What routers count, by variant and minute.

    A total stays until it was reported after its minute had ended; a report replaces the one before, so that sending twice
    changes nothing.

    A minute that was reported and forgotten is over, whatever the clock says: after the clock was set back, counts go to the first
    minute that is not, as a total that began anew would replace the one that was reported.
    """

    def __init__(self) -> None:
        self._totals: dict[_Minute, OutcomeWindow] = {}
        self._changed: set[_Minute] = set()
        self._known: dict[_Minute, int] = {}  # how much of a total was received
        self._ended: dict[datetime, None] = {}

    @property
    def has_unreported(self) -> bool:
        """Whether there is anything to report."""
        return bool(self._changed)

    def add(self, counted: Mapping[TallyKey, Counts], now: datetime) -> None:
        """Add what was counted just now."""
        start = window_start(now)
        while start in self._ended:
            start += WINDOW
        for key, counts in counted.items():
            minute = _Minute(key, start)
            window = _window(minute, counts)
            before = self._totals.get(minute)
            self._totals[minute] = window if before is None else before + window
            self._changed.add(minute)
        lost = 0
        while len(self._totals) > MINUTES_MAX:
            oldest = next(iter(self._totals))
            lost += max(0, _weight(self._totals.pop(oldest)) - self._known.pop(oldest, 0))
            self._changed.discard(oldest)
        if lost:
            newest = next(reversed(self._totals))
            total = self._totals[newest]
            self._totals[newest] = structs.replace(total, dropped=total.dropped + lost)
            self._changed.add(newest)

    def unreported(self, limit: int) -> list[OutcomeWindow]:
        """Those that changed since they were received, oldest first."""
        return [self._totals[minute] for minute in self._totals if minute in self._changed][:limit]

    def received(self, windows: Sequence[OutcomeWindow], now: datetime) -> None:
        """Note what was received, and forget of it what has ended; what has changed meanwhile is sent again."""
        present = window_start(now)
        for window in windows:
            minute = _Minute(TallyKey(window.endpoint, window.version, window.variant), window.start)
            if minute in self._totals:
                self._known[minute] = _weight(window)
            if self._totals.get(minute) is window:
                self._changed.discard(minute)
        for minute in [m for m in self._totals if m.start < present and m not in self._changed]:
            del self._totals[minute]
            self._known.pop(minute, None)
            self._ended[minute.start] = None
        while len(self._ended) > _ENDED_MAX:
            del self._ended[next(iter(self._ended))]


def _weight(window: OutcomeWindow) -> int:
    """How much is lost with a total: its requests, and what it says was lost before."""
    return window.requests + window.dropped


def _window(minute: _Minute, counts: Counts) -> OutcomeWindow:
    key = minute.key
    return OutcomeWindow(
        endpoint=key.endpoint_id,
        version=key.version_id,
        variant=key.variant,
        start=minute.start,
        requests=counts.requests,
        rows=counts.rows,
        errors=ErrorCounts(**counts.errors),
        without_key=counts.without_key,
        request_bytes=counts.request_bytes,
        response_bytes=counts.response_bytes,
        latency=_sketch(counts),
        dropped=counts.dropped,
        compared=counts.compared,
        spent=counts.spent,
    )


def _sketch(counts: Counts) -> QuantileSketch:
    if not counts.bins:
        return QuantileSketch()
    bins = sorted(counts.bins)
    return QuantileSketch(
        bins=struct.pack(f"<{len(bins)}h", *bins),
        counts=struct.pack(f"<{len(bins)}q", *(counts.bins[each] for each in bins)),
        least=float(counts.least_ns),
        greatest=float(counts.greatest_ns),
    )
