"""Whether a rule over a metric is pending, firing or resolved: one pure step at a time.

``advance(rule, state, sample, now)`` gives the next state and what happened. Time is the samples' own, so that a worker that was
away and works off a backlog arrives at the same minutes as one that was there. The state is JSON; nothing else is remembered.

- The rule's condition begins at the first true sample and has held ``for`` when a true sample lies that much later; a false one
  starts it anew. A firing alert resolves at the first false sample, or once no sample was true for ``keep_firing_for``.
- Between two samples that lie further apart than ``no_data_after``, data were missing: what that means for the rule happens at the times
  at which it would have been seen, also when nobody looked.
- A sample that is not newer than the last one with data is late or a duplicate, and is passed over; whoever repeats the newest
  one has none, and missing data are judged by ``now``.
- A sample's time that is more than `SKEW_SECONDS` ahead of ``now`` is taken to be ``now``: a wrong clock at the source must not
  make everything that follows look late.
- Time does not go backwards. When ``now`` falls more than `SKEW_SECONDS` behind the state, a clock was set back: the times in
  the state are moved back with it, so that what has passed stays passed and samples are taken again. After a smaller step
  samples are passed over until the clock has caught up.
"""

from __future__ import annotations

import operator as operators
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from msgspec.structs import replace

from chopmark.domain.alert_rules import (
    AlertEvent,
    AlertState,
    EventKind,
    Sample,
    ThresholdRule,
    check_aware,
)
from chopmark.domain.alert_words import Told, firing_words, pending_words, resolved_words
from chopmark.errors import InvalidRequest

__all__ = [
    "SKEW_SECONDS",
    "AlertEvent",
    "AlertState",
    "Sample",
    "Step",
    "ThresholdRule",
    "advance",
]

SKEW_SECONDS = 300
"""How far clocks may disagree before a time is taken for a wrong one."""

_SKEW = timedelta(seconds=SKEW_SECONDS)
_DECIDED = ("at", "sampled_at", "pending_since", "firing_since", "clear_since", "resolved_at")

_COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    "<": operators.lt,
    "<=": operators.le,
    ">": operators.gt,
    ">=": operators.ge,
    "==": operators.eq,
    "!=": operators.ne,
}


Step = tuple[AlertState, tuple[AlertEvent, ...]]


def advance(rule: ThresholdRule, state: AlertState, sample: Sample | None, now: datetime) -> Step:
    """One step of an alert: the next state, and what changed.

    A sample given twice is not counted twice, so a worker may be killed anywhere and begin again.

    Parameters
    ----------
    rule
        As it stands now; it may have changed since the last step.
    state
        `AlertState()` at first, then what the last step gave.
    sample
        The newest, or the next of a backlog, oldest first; None when there is none.
    now
        Aware. Only missing data and wrong clocks are judged by it.

    Raises
    ------
    InvalidRequest
        When ``now`` has no zone, or a time lies at the ends of the calendar.

    Examples
    --------
    >>> from datetime import UTC
    >>> rule = ThresholdRule(name="slow", metric="p95 in ms", operator=">", threshold=250)
    >>> noon = datetime(2026, 5, 1, 12, tzinfo=UTC)
    >>> state, events = advance(rule, AlertState(), Sample(noon, 312.0), noon)
    >>> state.phase, events[0].message
    ('firing', 'p95 in ms is 312, above 250.')
    """
    check_aware(now)
    state = _moved_with_clock(state, now)
    if state.started_at is None:
        state = replace(state, started_at=now)
    told = _judged(rule, sample, state)
    at = _time_of(sample, told, state, now)
    state, missed = _through_gap(rule, state, at)
    told = _judged(rule, sample, state)  # another limit may hold by now
    is_known = sample is not None and sample.at == state.sampled_at
    if told.measure is not None and not is_known and (state.sampled_at is None or at > state.sampled_at):
        holds = _COMPARE[rule.operator](told.measure, told.limit)
        state = replace(state, sampled_at=at)
    elif rule.no_data != "keep" and _is_missing(rule, state, at):
        told = _told_missing(state, told.why)
        holds = rule.no_data == "alerting"
    else:
        return state, missed
    at = at if state.at is None else max(at, state.at)
    state, events = _moved(rule, replace(state, at=at), told, holds=holds, at=at)
    return state, missed + events


def _through_gap(rule: ThresholdRule, state: AlertState, until: datetime) -> Step:
    """What missing data did before a time, at the times at which it would have been seen."""
    events: tuple[AlertEvent, ...] = ()
    waited = state.sampled_at or state.started_at
    if rule.no_data == "keep" or not rule.no_data_after_seconds or waited is None:
        return state, events
    first = waited + timedelta(seconds=rule.no_data_after_seconds)
    told = _told_missing(state)
    while (at := _next_change(rule, state, first, until)) is not None:
        state, new = _moved(rule, replace(state, at=at), told, holds=rule.no_data == "alerting", at=at)
        events += new
    return state, events


def _next_change(rule: ThresholdRule, state: AlertState, first: datetime, until: datetime) -> datetime | None:
    """The first time after the last step and before ``until`` at which going on without data might change something."""
    waits = (
        (state.pending_since, rule.for_seconds),
        (state.resolved_at, rule.cooldown_seconds),
        (state.clear_since, rule.keep_firing_for_seconds),
    )
    times = [first, *(since + timedelta(seconds=wait) for since, wait in waits if since is not None)]
    return min((t for t in times if first <= t < until and (state.at is None or t > state.at)), default=None)


def _told_missing(state: AlertState, why: str = "") -> Told:
    return Told(why or "no data", since=state.sampled_at or state.started_at)


def _time_of(sample: Sample | None, told: Told, state: AlertState, now: datetime) -> datetime:
    """The sample's time; ``now`` when there is none, it is a wrong one, or it is the very sample that is known already."""
    if sample is None or sample.at > now + _SKEW:
        return now
    return now if told.measure is not None and sample.at == state.sampled_at else sample.at


def _moved(rule: ThresholdRule, state: AlertState, told: Told, *, holds: bool, at: datetime) -> Step:
    if state.phase == "firing":
        return _while_firing(rule, state, told, holds=holds, at=at)
    if not holds:
        return replace(state, phase="ok", pending_since=None), ()
    since = state.pending_since or at
    if _has_passed(rule.for_seconds, since, at) and _is_cooled_down(rule, state, at):
        state = replace(state, phase="firing", pending_since=since, firing_since=at, clear_since=None)
        return state, (_event(rule, "firing", at, since, told, firing_words(rule, told, at - since)),)
    if state.phase == "pending":
        return state, ()
    state = replace(state, phase="pending", pending_since=at)
    return state, (_event(rule, "pending", at, at, told, pending_words(rule, told)),)


def _while_firing(rule: ThresholdRule, state: AlertState, told: Told, *, holds: bool, at: datetime) -> Step:
    if holds:
        return replace(state, clear_since=None), ()
    clear_since = state.clear_since or at
    if not _has_passed(rule.keep_firing_for_seconds, clear_since, at):
        return replace(state, clear_since=clear_since), ()
    fired_at = state.firing_since or at
    state = replace(state, phase="ok", pending_since=None, clear_since=None, resolved_at=at)
    return state, (_event(rule, "resolved", at, fired_at, told, resolved_words(rule, told, at - fired_at)),)


def _event(
    rule: ThresholdRule,
    kind: EventKind,
    at: datetime,
    since: datetime,
    told: Told,
    message: str,
) -> AlertEvent:
    return AlertEvent(
        rule=rule.name, kind=kind, severity=rule.severity, at=at, since=since, value=told.value, message=message
    )


def _judged(rule: ThresholdRule, sample: Sample | None, state: AlertState) -> Told:
    """What of a sample is compared, or why nothing can be."""
    if sample is None or sample.value is None:
        return Told("no data")
    if rule.events_min and (sample.events or 0) < rule.events_min:
        return Told(f"only {sample.events or 0:,} of the {rule.events_min:,} events that are wanted")
    limit = _limit(rule, state)
    if rule.direction is None:
        return Told("", value=sample.value, measure=sample.value, limit=limit)
    if sample.baseline is None:
        return Told("no baseline")
    off = sample.value - sample.baseline
    measure = {"higher": off, "lower": -off, "either": abs(off)}[rule.direction]
    return Told("", value=sample.value, measure=measure, limit=limit, baseline=sample.baseline)


def _limit(rule: ThresholdRule, state: AlertState) -> float:
    if state.phase == "firing" and rule.resolve_threshold is not None:
        return rule.resolve_threshold
    return rule.threshold


def _is_missing(rule: ThresholdRule, state: AlertState, at: datetime) -> bool:
    """Whether data have been missing for long enough; a repeated sample at one time is not missing data."""
    if state.sampled_at is not None:
        return at > state.sampled_at and _has_passed(rule.no_data_after_seconds, state.sampled_at, at)
    return state.started_at is not None and _has_passed(rule.no_data_after_seconds, state.started_at, at)


def _is_cooled_down(rule: ThresholdRule, state: AlertState, at: datetime) -> bool:
    return state.resolved_at is None or _has_passed(rule.cooldown_seconds, state.resolved_at, at)


def _has_passed(seconds: float, since: datetime, at: datetime) -> bool:
    return (at - since).total_seconds() >= seconds


def _moved_with_clock(state: AlertState, now: datetime) -> AlertState:
    if state.started_at is not None and state.started_at > now + _SKEW:
        state = replace(state, started_at=now)
    if state.at is None or state.at <= now + _SKEW:
        return state
    back = state.at - now
    times = {name: getattr(state, name) for name in _DECIDED}
    try:
        moved = {name: time - back for name, time in times.items() if time is not None}
    except OverflowError as error:
        raise InvalidRequest(
            f"The clock says {now}, and the alert was last looked at {state.at}.", hint="Begin with a new state."
        ) from error
    if "sampled_at" in moved:
        moved["sampled_at"] -= timedelta.resolution  # or a sample of this very moment would look known
    return replace(state, **moved)
