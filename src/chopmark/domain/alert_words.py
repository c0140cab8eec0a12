"""What an alert says to a person."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from chopmark.domain.alert_rules import ThresholdRule

__all__ = ["Told", "duration_words", "firing_words", "pending_words", "resolved_words"]

_DIGITS, _DIGITS_MAX = 6, 17
_OPERATORS = {
    "<": "below",
    "<=": "at or below",
    ">": "above",
    ">=": "at or above",
    "==": "exactly",
    "!=": "other than",
}
_DIRECTIONS = {"higher": "higher than", "lower": "lower than", "either": "away from"}
_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60))


class Told(msgspec.Struct, frozen=True):
    """What a step of an alert rests on.

    Attributes
    ----------
    why
        Why there are no data; empty when there are.
    value, measure, limit, baseline
        The sample's value, what of it is compared, with what, and what would have been usual.
    since
        When there were data last.
    """

    why: str
    value: float | None = None
    measure: float | None = None
    limit: float = 0.0
    baseline: float | None = None
    since: datetime | None = None


def pending_words(rule: ThresholdRule, told: Told) -> str:
    """Sentence about a condition that began to hold."""
    wait = f"stays so for {duration_words(rule.for_seconds)}" if rule.for_seconds else "still is when the cooldown ends"
    return f"{_condition(rule, told)}; it fires when it {wait}."


def firing_words(rule: ThresholdRule, told: Told, held: timedelta) -> str:
    """Sentence about an alert that fires, and how long its condition has held."""
    how_long = f" for {duration_words(held.total_seconds())}" if held else ""
    return f"{_condition(rule, told)}{how_long}."


def resolved_words(rule: ThresholdRule, told: Told, fired: timedelta) -> str:
    """Sentence about an alert that no longer fires, and how long it did."""
    return f"{_condition(rule, told, no_longer=True)}, after firing for {duration_words(fired.total_seconds())}."


def duration_words(seconds: float) -> str:
    """Length of time in its two largest units.

    Examples
    --------
    >>> duration_words(5400), duration_words(90), duration_words(2.5)
    ('1 h 30 min', '1 min 30 s', '2.5 s')
    """
    rest, words = seconds, []
    for unit, size in _UNITS:
        count, rest = divmod(rest, size)
        if count:
            words.append(f"{count:.0f} {unit}")
    if rest or not words:
        words.append(f"{rest:g} s")
    return " ".join(words[:2])


def _condition(rule: ThresholdRule, told: Told, *, no_longer: bool = False) -> str:
    if told.value is None or told.measure is None:
        since = f" since {told.since.isoformat(timespec='seconds')}" if told.since else ""
        return f"{rule.metric} has {told.why}{since}"
    measure, limit = _apart(told.measure, told.limit)
    words = f"{'no longer ' if no_longer else ''}{_OPERATORS[rule.operator]} {limit}"
    if rule.direction is None or told.baseline is None:
        return f"{rule.metric} is {measure}, {words}"
    off = f"{measure} {_DIRECTIONS[rule.direction]} its baseline {told.baseline:g}"
    return f"{rule.metric} is {told.value:g}, {off}: {words}"


def _apart(value: float, limit: float) -> tuple[str, str]:
    """Both in as few digits, six or more, as tell them apart: 0.9499999 is not said to be 0.95, and below it."""
    for digits in range(_DIGITS, _DIGITS_MAX):
        first, second = f"{value:.{digits}g}", f"{limit:.{digits}g}"
        if first != second or value == limit:
            return first, second
    return repr(value), repr(limit)
