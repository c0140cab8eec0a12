"""How a monitor moves on: from what was counted to its next state and what changed; pure.

A minute is judged once, `SETTLE` after it ended, so that what routers report late is in it. Whoever repeats a step with the same
state and the same windows gets the same, so that a worker may be killed anywhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec
from msgspec import structs

from chopmark.domain.alert_rules import AlertEvent, AlertState, Phase, Sample
from chopmark.domain.alerts import advance
from chopmark.domain.burn_rates import BurnRateRule, BurnRateState, advance_burn_rates
from chopmark.domain.monitor_samples import Counts, counts_by_minute, minute_counts, samples
from chopmark.domain.monitors import (
    AnomalyWatch,
    BurnRateWatch,
    Monitor,
    Standing,
    metric_words,
    threshold_rule,
)
from chopmark.domain.outcomes import WINDOW, OutcomeWindow, window_start
from chopmark.errors import InvalidRequest
from chopmark.stats.anomalies import MetricBaseline, Reading

__all__ = ["SETTLE", "MonitorState", "MonitorStep", "Span", "due_at", "span", "standing_of", "stepped"]

SETTLE = timedelta(seconds=15)
"""After the end of a minute until it is judged: routers report each second."""

CATCH_UP = timedelta(hours=6)
"""What lies further back is not judged any more by a worker that was away."""

HISTORY = timedelta(hours=48)
"""By which an anomaly is one; minutes are kept so long."""

_MINUTES_AT_ONCE = 240
_SUMS_AT_ONCE = 20_000
_LATE = timedelta(minutes=10)
_BASELINE_KEPT = timedelta(hours=6)
_BASELINE_RETRY = timedelta(minutes=30)
_DAY = timedelta(days=1)
_HOURS = 24
_OF_AN_HOUR_LEAST = 3
_HISTORY_LEAST = 50


class MonitorState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything that is remembered of a monitor between two steps.

    Attributes
    ----------
    until
        Minutes that began before were judged.
    alert, burn
        Of a threshold or an anomaly, and of a budget.
    baseline, baseline_at
        What is usual, and when that was last looked for.
    sample
        The last.
    why
        Why it could not be judged.
    """

    until: datetime
    alert: AlertState = AlertState()
    burn: BurnRateState = BurnRateState()
    baseline: MetricBaseline | None = None
    baseline_at: datetime | None = None
    sample: Sample | None = None
    why: str = ""


class Span(NamedTuple):
    """Which windows a step reads, those that begin from ``read_from`` to before ``until``; it judges those from ``since``."""

    read_from: datetime
    since: datetime
    until: datetime


class MonitorStep(NamedTuple):
    """The next state, and what changed: events of the rule, the label of each alert first."""

    state: MonitorState
    events: tuple[tuple[str, AlertEvent], ...] = ()


def due_at(state: MonitorState) -> datetime:
    """When the next minute can be judged."""
    return state.until + WINDOW + SETTLE


def span(monitor: Monitor, state: MonitorState, now: datetime) -> Span | None:
    """What is to be judged now; None when no minute has settled."""
    newest = window_start(now - SETTLE)
    since = max(state.until, window_start(now - CATCH_UP))
    if since > newest + _LATE:  # the clock was set back: what was judged is judged by the new one
        since = newest - WINDOW
    at_once = max(1, min(_MINUTES_AT_ONCE, _SUMS_AT_ONCE // monitor.minutes))
    until = min(newest, since + at_once * WINDOW)
    if until <= since:
        return None
    read_from = since - (monitor.minutes - 1) * WINDOW
    if isinstance(monitor.rule, BurnRateWatch):
        read_from = since - _LATE
    elif isinstance(monitor.rule, AnomalyWatch) and _wants_baseline(state, since):
        read_from = since - HISTORY
    return Span(read_from, since, until)


def stepped(
    monitor: Monitor,
    state: MonitorState,
    windows: Sequence[OutcomeWindow],
    over: Span,
    now: datetime,
    labelled: Sample | None = None,
) -> MonitorStep:
    """One step over what `span` asked for.

    Parameters
    ----------
    windows
        All that begin from ``over.read_from`` to before ``over.until``, of what is watched.
    now
        By the clock that ``over`` was made with.
    labelled
        The sample at ``over.until`` of a metric that needs the truth.
    """
    counts = counts_by_minute(monitor, windows)
    if state.alert.started_at is None:  # data are waited for from here on, whenever somebody looks first
        state = structs.replace(state, alert=structs.replace(state.alert, started_at=over.since))
    if isinstance(monitor.rule, BurnRateWatch):
        return _burnt(monitor, monitor.rule, state, counts, over, now)
    if isinstance(monitor.rule, AnomalyWatch):
        return _unusual(monitor, monitor.rule, state, counts, over, now)
    rule, alert, sample = threshold_rule(monitor), state.alert, state.sample
    events: list[AlertEvent] = []
    judged = (labelled,) if labelled is not None else samples(monitor, counts, over.since, over.until)
    for sample in judged:
        alert, new = advance(rule, alert, sample, now)
        events += new
    state = structs.replace(state, until=over.until, alert=alert, sample=sample, why="")
    return MonitorStep(state, tuple(("", event) for event in events))


def standing_of(state: MonitorState) -> Standing:
    """How a monitor with this state stands."""
    phases = {state.alert.phase, *(alert.phase for alert in state.burn.alerts.values())}
    phase: Phase = "firing" if "firing" in phases else "pending" if "pending" in phases else "ok"
    sample = state.sample
    return Standing(
        phase=phase,
        at=None if sample is None else sample.at,
        value=None if sample is None else sample.value,
        events=None if sample is None else sample.events,
        why=state.why,
    )


# An error budget


def _burnt(
    monitor: Monitor,
    rule: BurnRateWatch,
    state: MonitorState,
    counts: dict[datetime, Counts],
    over: Span,
    now: datetime,
) -> MonitorStep:
    burn_rule = BurnRateRule(name=monitor.ref, objective=rule.objective, events_min=rule.requests_min)
    burn = state.burn
    found: list[AlertEvent] = []
    late = (c for c in minute_counts(counts, over.read_from, over.since) if c.total and burn.counts)
    for count in (*late, *minute_counts(counts, over.since, over.until)):
        burn, new = advance_burn_rates(burn_rule, burn, count, now)
        found += new
    last = next(samples(monitor, counts, over.until - WINDOW, over.until))
    state = structs.replace(state, until=over.until, burn=burn, sample=last, why="")
    return MonitorStep(state, tuple((event.rule.rpartition("/")[2], event) for event in found))


# What is unusual


def _unusual(
    monitor: Monitor,
    rule: AnomalyWatch,
    state: MonitorState,
    counts: dict[datetime, Counts],
    over: Span,
    now: datetime,
) -> MonitorStep:
    if _wants_baseline(state, over.since):
        state = _with_baseline(monitor, rule, state, counts, over)
    if state.baseline is None:
        return MonitorStep(structs.replace(state, until=over.until))
    judged, alert, last = threshold_rule(monitor), state.alert, state.sample
    events: list[AlertEvent] = []
    for last in samples(monitor, counts, over.since, over.until, monitor.minutes):
        reading = _reading(state.baseline, rule, last, monitor.minutes)
        alert, new = advance(judged, alert, _scored(last, reading), now)
        events += [_told(monitor, event, reading) for event in new]
    state = structs.replace(state, until=over.until, alert=alert, sample=last)
    return MonitorStep(state, tuple(("", event) for event in events))


def _wants_baseline(state: MonitorState, at: datetime) -> bool:
    if state.baseline_at is None or state.baseline_at > at:
        return True
    return at - state.baseline_at >= (_BASELINE_RETRY if state.baseline is None else _BASELINE_KEPT)


def _with_baseline(
    monitor: Monitor, rule: AnomalyWatch, state: MonitorState, counts: dict[datetime, Counts], over: Span
) -> MonitorState:
    begin = over.since - HISTORY + (monitor.minutes - 1) * WINDOW
    known = [
        each
        for each in samples(monitor, counts, begin, over.since, monitor.minutes)
        if each.value is not None and (each.events or 0) >= rule.requests_min
    ]
    state = structs.replace(state, baseline_at=over.since, why="")
    if len(known) < _HISTORY_LEAST:
        why = f"What is usual is not known yet: {len(known)} readings, and {_HISTORY_LEAST} are wanted."
        return structs.replace(state, why=why if state.baseline is None else "")
    phases = [_hour(each, monitor.minutes) for each in known]
    has_hours = all(phases.count(hour) >= _OF_AN_HOUR_LEAST for hour in range(_HOURS))
    try:
        baseline = MetricBaseline.of(
            [each.value for each in known if each.value is not None],
            phases if has_hours else [0] * len(known),
            samples_per_day=_DAY / (monitor.minutes * WINDOW),
            phase_count=_HOURS if has_hours else 1,
            sensitivity=rule.sensitivity,
            direction=rule.direction,
        )
    except InvalidRequest as error:
        return structs.replace(state, why=error.message)
    return structs.replace(state, baseline=baseline)


def _reading(baseline: MetricBaseline, rule: AnomalyWatch, sample: Sample, minutes: int) -> Reading | None:
    if sample.value is None or (sample.events or 0) < rule.requests_min:
        return None
    return baseline.check(sample.value, _hour(sample, minutes) if len(baseline.centers) == _HOURS else 0)


def _hour(sample: Sample, minutes: int) -> int:
    """The hour of the day in which the middle of a sample lies."""
    return (sample.at - minutes * WINDOW / 2).hour


def _scored(sample: Sample, reading: Reading | None) -> Sample:
    """What the rule is asked about: 1 for too high, -1 for too low."""
    if reading is None:
        return Sample(sample.at, events=sample.events)
    side = {"high": 1.0, "low": -1.0, "none": 0.0}[reading.anomaly]
    return Sample(sample.at, side, sample.events)


def _told(monitor: Monitor, event: AlertEvent, reading: Reading | None) -> AlertEvent:
    if reading is None:
        return structs.replace(event, message=f"There is no data of {metric_words(monitor.metric)}.", value=None)
    low = "any low value" if reading.low is None else f"{reading.low:.6g}"
    high = "any high one" if reading.high is None else f"{reading.high:.6g}"
    usual = f"{low} to {high} is usual at this time"
    what = "is usual again" if event.kind == "resolved" else "is unusual"
    value = reading.value if math.isfinite(reading.value) else None
    message = f"{metric_words(monitor.metric)} is {reading.value:.6g}, which {what}: {usual}."
    return structs.replace(event, message=message, value=value)
