"""Outcomes as they grow old: minutes become hours, hours become days, and what was counted is counted once throughout.

Tiers do not overlap. A minute is moved into its hour when it is older than 48 hours, an hour into its day when it is older than 35
days, and a day is forgotten after 400. What is of one time lies in one tier, so that a sum over all three is the same before and
after a move. A report about a minute that may have been moved is refused, as it could replace nothing any more.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from msgspec import structs

from chopmark.domain.durations import Duration, seconds_of
from chopmark.domain.outcomes import SUM_MAX, WINDOW, ErrorCounts, OutcomeWindow
from chopmark.errors import InvalidRequest

__all__ = [
    "AHEAD_MAX",
    "GRAINS",
    "KEPT",
    "LENGTH",
    "Grain",
    "beginning",
    "by_grain",
    "cut",
    "is_readable",
    "joined",
    "span_seconds",
]

Grain = Literal["minute", "hour", "day"]

GRAINS: tuple[Grain, ...] = ("minute", "hour", "day")
LENGTH: dict[Grain, timedelta] = {"minute": WINDOW, "hour": timedelta(hours=1), "day": timedelta(days=1)}
KEPT: dict[Grain, timedelta] = {"minute": timedelta(hours=48), "hour": timedelta(days=35), "day": timedelta(days=400)}
"""How long each stays what it is."""

AHEAD_MAX = timedelta(hours=1)
"""A minute that is to come is refused when it is further away than clocks differ."""

Key = tuple[UUID, datetime, UUID, str]


def beginning(time: datetime, grain: Grain) -> datetime:
    """Beginning of the minute, hour or day (UTC) that a time lies in."""
    if grain == "minute":
        return time.replace(second=0, microsecond=0)
    if grain == "hour":
        return time.replace(minute=0, second=0, microsecond=0)
    return time.replace(hour=0, minute=0, second=0, microsecond=0)


def cut(now: datetime, grain: Grain) -> datetime:
    """Before this, windows of a grain are moved on: the beginning of an hour or day, so that it is moved as a whole."""
    return beginning(now - KEPT[grain], "hour" if grain == "minute" else "day")


def by_grain(windows: Iterable[OutcomeWindow], grain: Grain) -> dict[Key, OutcomeWindow]:
    """Sums by endpoint, beginning, version and variant, each of the order in which its windows came."""
    found: dict[Key, OutcomeWindow] = {}
    for window in windows:
        start = beginning(window.start, grain)
        key = (window.endpoint, start, window.version, window.variant)
        before = found.get(key)
        found[key] = structs.replace(window, start=start) if before is None else before + window
    return found


def joined(before: OutcomeWindow | None, window: OutcomeWindow, grain: Grain) -> OutcomeWindow | None:
    """A window added to what is known of its hour or day; None when that sum could not be read again."""
    moved = structs.replace(window, start=beginning(window.start, grain))
    try:
        total = moved if before is None else before + moved
    except (ArithmeticError, InvalidRequest):
        return None
    return total if is_readable(total) else None


def is_readable(window: OutcomeWindow) -> bool:
    """Whether a sum of windows can be written and read again: what is not finite becomes nothing, and counts have an end."""
    counts = (
        *(getattr(window, name) for name in ("requests", "rows", "without_key", "request_bytes", "response_bytes")),
        *(window.latency.count, window.dropped, window.compared.rows, window.compared.agreed),
        *(getattr(window.errors, name) for name in ErrorCounts.__struct_fields__),
        *(window.spent.input_tokens, window.spent.output_tokens, window.spent.fell_back),
        *(sums.count for sums in window.metrics.values()),
    )
    shifts = (window.compared.shift_sum, window.compared.shift_abs_sum, window.compared.shift_abs_greatest)
    sums = (number for each in window.metrics.values() for number in (each.total, each.total_squares))
    return (
        min(counts) >= 0 and max(counts) <= SUM_MAX and all(map(math.isfinite, (window.spent.cost_usd, *shifts, *sums)))
    )


def span_seconds(text: Duration, what: str = "over") -> float:
    """Seconds of a span of time: a number of them, or ``30s``, ``15m``, ``1h``, ``7d``, ``2w``.

    Raises
    ------
    InvalidRequest
        When it is none, or not more than nothing.

    Examples
    --------
    >>> span_seconds("1h"), span_seconds("1.5d"), span_seconds(90)
    (3600.0, 129600.0, 90.0)
    """
    found = seconds_of(text, what)
    if not 0 < found <= KEPT["day"].total_seconds():
        raise InvalidRequest(f"{what} is {text!r}, which is no span of up to 400 days.", hint="Say 15m, 1h or 7d.")
    return found
