"""The values of alerts: rules, samples, states and events. What they do is in `chopmark.domain.alerts`."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from chopmark.errors import InvalidRequest
from chopmark.stats.checks import check_count, check_number, check_word

__all__ = [
    "AlertEvent",
    "AlertState",
    "Direction",
    "EventKind",
    "NoData",
    "Operator",
    "Phase",
    "Sample",
    "Severity",
    "ThresholdRule",
    "check_aware",
    "check_name",
]

Direction = Literal["higher", "lower", "either"]
EventKind = Literal["pending", "firing", "resolved"]
NoData = Literal["ok", "alerting", "keep"]
Operator = Literal["<", "<=", ">", ">=", "==", "!="]
Phase = Literal["ok", "pending", "firing"]
Severity = Literal["info", "warning", "critical"]

_NAME_LENGTH_MAX = 200
_SECONDS_MAX = 366 * 86_400
_YEARS = (1900, 9900)


class ThresholdRule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """When a metric is bad, for how long it must be so, and when it is good again.

    Attributes
    ----------
    name
        Of the rule, told in its events.
    metric
        What its sentences call the value.
    operator, threshold
        The condition: value, operator, threshold.
    severity
        Passed on to whoever is told.
    direction
        None: the value itself is compared. Otherwise how far it lies from the sample's baseline is: upwards for ``higher``,
        downwards for ``lower``, any way for ``either``. A sample without a baseline then has no data.
    for_seconds
        How long the condition must hold before it fires.
    keep_firing_for_seconds
        How long it must not hold before it resolves.
    resolve_threshold
        Compared instead of the threshold while firing, so that a value at the threshold does not flap; on its good side.
    events_min
        A sample of fewer events, or of none known, has no data.
    no_data
        What missing data means: ``ok``, as if the condition did not hold; ``alerting``, as if it did; ``keep``, nothing: what is
        pending stays pending, and what fires fires, until data come.
    no_data_after_seconds
        How long data must be missing before that is asked. Two samples that lie further apart had missing data between them, whether or
        not anybody looked; with 0 every step wants a new sample, and only steps count. Longer than samples lie apart and lag.
    cooldown_seconds
        How long after it resolved it does not fire again; a condition that holds meanwhile is pending.

    Raises
    ------
    InvalidRequest
        When a number is out of range, a word unknown, or the resolve threshold on the bad side.
    """

    name: str
    operator: Operator
    threshold: float
    metric: str = "value"
    severity: Severity = "warning"
    direction: Direction | None = None
    for_seconds: float = 0.0
    keep_firing_for_seconds: float = 0.0
    resolve_threshold: float | None = None
    events_min: int = 0
    no_data: NoData = "keep"
    no_data_after_seconds: float = 300.0
    cooldown_seconds: float = 0.0

    def __post_init__(self) -> None:
        check_name("name", self.name)
        check_name("metric", self.metric)
        check_number("threshold", self.threshold)
        for name in ("for_seconds", "keep_firing_for_seconds", "no_data_after_seconds", "cooldown_seconds"):
            check_number(name, getattr(self, name), least=0.0)
            if getattr(self, name) > _SECONDS_MAX:
                raise InvalidRequest(f"{name} is more than a year.", hint="Give seconds.")
        check_count("events_min", self.events_min)
        check_word("operator", self.operator, Operator)
        check_word("severity", self.severity, Severity)
        check_word("no_data", self.no_data, NoData)
        if self.direction is not None:
            check_word("direction", self.direction, Direction)
        if self.resolve_threshold is not None:
            self._check_resolve(self.resolve_threshold)

    def _check_resolve(self, resolve: float) -> None:
        check_number("resolve_threshold", resolve)
        good = resolve <= self.threshold if self.operator in {">", ">="} else resolve >= self.threshold
        if self.operator in {"==", "!="} or not good:
            raise InvalidRequest(
                f"An alert for {self.operator} {self.threshold:g} cannot resolve by {resolve:g}.",
                hint="Give a threshold that is easier on > from below, on < from above; == and != have none.",
            )


class Sample(msgspec.Struct, frozen=True, omit_defaults=True):
    """The value of a metric at a time.

    Attributes
    ----------
    at
        Aware; the end of what it sums up.
    value
        None when there is none.
    events
        How many it rests on; None when nobody counted.
    baseline
        What would have been usual, for rules with a direction.

    Raises
    ------
    InvalidRequest
        When a number is not finite, or the time has no zone.
    """

    at: datetime
    value: float | None = None
    events: int | None = None
    baseline: float | None = None

    def __post_init__(self) -> None:
        check_aware(self.at)
        for name in ("value", "baseline"):
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name))
        if self.events is not None:
            check_count("events", self.events)


class AlertState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything that is remembered between two steps.

    Attributes
    ----------
    phase
        ``ok``, ``pending`` or ``firing``.
    at
        Time of the last step that decided something.
    sampled_at
        Time of the last sample with data.
    started_at
        When data were first waited for.
    pending_since
        When the condition began to hold; also while firing.
    firing_since, resolved_at
        When it last fired, and last resolved.
    clear_since
        While firing: since when the condition no longer holds.

    Raises
    ------
    InvalidRequest
        When a time has no zone, or lies at the ends of the calendar.
    """

    phase: Phase = "ok"
    at: datetime | None = None
    sampled_at: datetime | None = None
    started_at: datetime | None = None
    pending_since: datetime | None = None
    firing_since: datetime | None = None
    clear_since: datetime | None = None
    resolved_at: datetime | None = None

    def __post_init__(self) -> None:
        for name in self.__struct_fields__[1:]:
            time = getattr(self, name)
            if time is not None:
                check_aware(time)


class AlertEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A change that somebody may want to know of.

    Attributes
    ----------
    rule, severity
        Of the rule.
    kind
        ``pending``, ``firing`` or ``resolved``.
    at
        When it changed, by the samples' time.
    since
        For ``pending`` and ``firing`` when the condition began to hold, for ``resolved`` when the alert had fired.
    value
        The sample's; None when missing data made the change.
    message
        A sentence for a person.
    """

    rule: str
    kind: EventKind
    severity: Severity
    at: datetime
    since: datetime
    message: str
    value: float | None = None


def check_aware(time: datetime) -> None:
    """Raise `InvalidRequest` unless the time has a zone, and is so far from the ends of the calendar that one can reckon with it."""
    if time.tzinfo is None:
        raise InvalidRequest(f"The time {time} has no zone.", hint="Give an aware time, in UTC.")
    if not _YEARS[0] <= time.year <= _YEARS[1]:
        raise InvalidRequest(
            f"The time {time} is in the year {time.year}.", hint=f"Give a year from {_YEARS[0]} to {_YEARS[1]}."
        )


def check_name(what: str, name: str) -> None:
    """Raise `InvalidRequest` unless it has 1 to 200 characters."""
    if not 1 <= len(name) <= _NAME_LENGTH_MAX:
        raise InvalidRequest(f"{what} is {name[:80]!r}.", hint=f"Use 1 to {_NAME_LENGTH_MAX} characters.")
