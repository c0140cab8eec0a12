"""Alerts on how fast an error budget is used up, over a long and a short window at once.

The burn rate of a window is its share of errors by the share that the objective allows; at 1 the budget lasts exactly its
period. An alert fires while both windows burn faster than its factor: the long one so that a blip does not page, the short one so
that the page ends soon after the trouble does (Beyer, Murphy, Rensin, Kawahara and Thorne 2018, "The Site Reliability Workbook",
chapter 5, table 5-8). The errors and requests of a minute arrive together; a window of W minutes at minute t sums t-W+1 … t.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Self

import msgspec

from chopmark.domain.alert_rules import AlertEvent, AlertState, Sample, Severity, ThresholdRule, check_aware, check_name
from chopmark.domain.alerts import SKEW_SECONDS, advance
from chopmark.errors import InvalidRequest
from chopmark.stats.checks import check_count, check_number

__all__ = [
    "BURN_WINDOWS",
    "BurnRateRule",
    "BurnRateState",
    "BurnWindows",
    "MinuteCount",
    "MinuteCounts",
    "advance_burn_rates",
    "burn_rate",
]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MINUTE = timedelta(minutes=1)
_SKEW_MINUTES = SKEW_SECONDS // 60
_WINDOW_MINUTES_MAX = 43_200
_WINDOWS_MAX = 16


class BurnWindows(msgspec.Struct, frozen=True):
    """A pair of windows and the burn rate that both must exceed.

    Attributes
    ----------
    name
        Told in the events, after the rule's.
    factor
        Burn rate; more than 0.
    long_minutes, short_minutes
        Lengths of the windows; the long one is not the shorter.
    severity
        Of its alerts.
    """

    name: str
    factor: float
    long_minutes: int
    short_minutes: int
    severity: Severity = "critical"

    def __post_init__(self) -> None:
        check_name("name", self.name)
        check_number("factor", self.factor, least=0.0)
        if self.factor == 0 or not 1 <= self.short_minutes <= self.long_minutes <= _WINDOW_MINUTES_MAX:
            raise InvalidRequest(
                f"The windows {self.name} cannot be: {self.factor:g} over {self.long_minutes} and {self.short_minutes} minutes.",
                hint=f"Give a factor above 0 and 1 to {_WINDOW_MINUTES_MAX:,} minutes, the long window first.",
            )


BURN_WINDOWS = (
    BurnWindows("page_fast", 14.4, 60, 5),
    BurnWindows("page_slow", 6.0, 360, 30),
    BurnWindows("ticket_fast", 3.0, 1440, 120, "warning"),
    BurnWindows("ticket_slow", 1.0, 4320, 360, "warning"),
)
"""Of a budget for 30 days the first pages after 2 % within an hour, the second after 5 % within six hours; the others are for
office hours: 10 % within one day and within three."""


class BurnRateRule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An objective and the windows that watch it.

    Attributes
    ----------
    name
        Of the rule; its events have the windows' name after a slash.
    objective
        Share of requests that must succeed, above 0 and below 1.
    windows
        One alert each.
    for_seconds, keep_firing_for_seconds, cooldown_seconds
        As in `ThresholdRule`; none are wanted as a rule, since the windows do that work.
    events_min
        Requests that the long window must hold before its errors say anything.
    """

    name: str
    objective: float
    windows: tuple[BurnWindows, ...] = BURN_WINDOWS
    for_seconds: float = 0.0
    keep_firing_for_seconds: float = 0.0
    cooldown_seconds: float = 0.0
    events_min: int = 0

    def __post_init__(self) -> None:
        check_name("name", self.name)
        check_number("objective", self.objective)
        if not 0 < self.objective < 1:
            raise InvalidRequest(
                f"An objective of {self.objective:g} leaves no budget.", hint="Give one such as 0.999."
            )
        names = [pair.name for pair in self.windows]
        if not 1 <= len(names) <= _WINDOWS_MAX or len(set(names)) < len(names):
            raise InvalidRequest(
                "The pairs of windows need names of their own.", hint=f"Give 1 to {_WINDOWS_MAX} pairs, each name once."
            )
        for pair in self.windows:
            self.alert(pair)

    def alert(self, pair: BurnWindows) -> ThresholdRule:
        """The rule of one pair: that the slower of its two burn rates is above its factor."""
        return ThresholdRule(
            name=f"{self.name}/{pair.name}",
            metric=f"burn rate over {pair.long_minutes} and {pair.short_minutes} min",
            operator=">",
            threshold=pair.factor,
            severity=pair.severity,
            for_seconds=self.for_seconds,
            keep_firing_for_seconds=self.keep_firing_for_seconds,
            events_min=self.events_min,
            no_data="ok",
            no_data_after_seconds=0.0,
            cooldown_seconds=self.cooldown_seconds,
        )


class MinuteCount(msgspec.Struct, frozen=True):
    """What happened within one minute.

    Attributes
    ----------
    at
        Aware; any time within the minute.
    errors, total
        Counts; errors are among the total.
    """

    at: datetime
    errors: int
    total: int

    def __post_init__(self) -> None:
        check_aware(self.at)
        check_count("errors", self.errors)
        check_count("total", self.total)
        if self.errors > self.total:
            raise InvalidRequest(f"{self.errors:,} errors of {self.total:,} requests cannot be.")


class MinuteCounts(msgspec.Struct, frozen=True):
    """Counts of consecutive minutes, the newest last; a minute that nobody reported counts nothing.

    Attributes
    ----------
    last
        The newest minute, in minutes since 1970.
    errors, totals
        By minute.
    """

    last: int
    errors: tuple[int, ...] = (0,)
    totals: tuple[int, ...] = (0,)

    def until(self, minute: int, minutes_max: int) -> Self:
        """Moved on to a minute, and cut to so many."""
        ahead = max(0, minute - self.last)
        if not ahead and len(self.totals) <= minutes_max:
            return self
        gap = (0,) * min(ahead, minutes_max)
        return type(self)(self.last + ahead, (*self.errors, *gap)[-minutes_max:], (*self.totals, *gap)[-minutes_max:])

    def put(self, minute: int, errors: int, total: int, minutes_max: int) -> Self:
        """With the counts of a minute in their place, instead of what was there; one that is too old changes nothing."""
        moved = self.until(minute, minutes_max)
        place = minute - moved.last - 1  # from the end
        if place < -minutes_max:
            return moved
        lead = (0,) * (-place - len(moved.totals))
        old_errors, old_totals = [*lead, *moved.errors], [*lead, *moved.totals]
        old_errors[place], old_totals[place] = errors, total
        return type(self)(moved.last, tuple(old_errors), tuple(old_totals))

    def window(self, minutes: int) -> tuple[int, int]:
        """Errors and requests of the newest minutes."""
        return sum(self.errors[-minutes:]), sum(self.totals[-minutes:])


class BurnRateState(msgspec.Struct, frozen=True, omit_defaults=True):
    """Everything that is remembered between two steps.

    Attributes
    ----------
    counts
        As far back as the longest window; None before the first step.
    alerts
        Name of a pair of windows → state of its alert.
    """

    counts: MinuteCounts | None = None
    alerts: Mapping[str, AlertState] = {}


def burn_rate(errors: int, total: int, objective: float) -> float | None:
    """(errors / total) / (1 - objective); None when there were no requests.

    Examples
    --------
    >>> round(burn_rate(40, 1000, 0.99), 6)
    4.0
    """
    return errors / total / (1 - objective) if total else None


def advance_burn_rates(
    rule: BurnRateRule, state: BurnRateState, sample: MinuteCount | None, now: datetime
) -> tuple[BurnRateState, tuple[AlertEvent, ...]]:
    """One step of the alerts on an error budget: the next state, and what changed.

    The alerts are judged once a minute, at the newest minute that is known. A minute that is reported again takes the place of
    what was reported before, so nothing is counted twice; one that comes late is put where it belongs, and counts from the next
    judgement on. A window without requests does not fire.

    Parameters
    ----------
    rule
        As it stands now. Windows that became longer begin with the minutes that are known.
    state
        `BurnRateState()` at first, then what the last step gave.
    sample
        Counts of a whole minute; None when there are none, which moves the windows on to ``now``.
    now
        Aware. When it falls more than five minutes behind the state, a clock was set back: the minutes move with it.

    Raises
    ------
    InvalidRequest
        When a time has no zone, or the sample lies more than five minutes ahead of ``now``.
    """
    check_aware(now)
    now_minute, minute = _minute(now), _minute(sample.at if sample else now)
    if minute > now_minute + _SKEW_MINUTES:
        raise InvalidRequest(
            f"A minute that begins {minute - now_minute:,} minutes from now has no counts yet.",
            hint="Compare the clocks.",
        )
    minutes_max = max(pair.long_minutes for pair in rule.windows)
    known = _with_clock(state.counts, now_minute)
    counts = (known or MinuteCounts(minute)).until(minute, minutes_max)
    if sample is not None:
        counts = counts.put(minute, sample.errors, sample.total, minutes_max)
    if known is not None and counts.last == known.last:
        return BurnRateState(counts, state.alerts), ()
    at = _EPOCH + counts.last * _MINUTE
    alerts: dict[str, AlertState] = {}
    events: list[AlertEvent] = []
    for pair in rule.windows:
        judged = _sample(rule, pair, counts, at)
        alerts[pair.name], new = advance(rule.alert(pair), state.alerts.get(pair.name, AlertState()), judged, now)
        events += new
    return BurnRateState(counts, alerts), tuple(events)


def _sample(rule: BurnRateRule, pair: BurnWindows, counts: MinuteCounts, at: datetime) -> Sample:
    windows = [counts.window(minutes) for minutes in (pair.long_minutes, pair.short_minutes)]
    rates = [burn_rate(errors, total, rule.objective) for errors, total in windows]
    known = [rate for rate in rates if rate is not None]
    return Sample(at, min(known) if len(known) == len(rates) else None, events=windows[0][1])


def _with_clock(counts: MinuteCounts | None, now_minute: int) -> MinuteCounts | None:
    if counts is None or counts.last <= now_minute + _SKEW_MINUTES:
        return counts
    return msgspec.structs.replace(counts, last=now_minute)


def _minute(time: datetime) -> int:
    return (time - _EPOCH) // _MINUTE
