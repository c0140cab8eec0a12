"""Burn rates: against the definition, minute by minute, and whatever arrives late, twice or not at all."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chopmark.domain.alert_rules import ThresholdRule
from chopmark.domain.burn_rates import (
    BURN_WINDOWS,
    BurnRateRule,
    BurnRateState,
    BurnWindows,
    MinuteCount,
    MinuteCounts,
    advance_burn_rates,
    burn_rate,
)
from chopmark.errors import InvalidRequest

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
SMALL = (BurnWindows("fast", 5.0, 6, 2), BurnWindows("slow", 2.0, 12, 4, "warning"))

Counts = tuple[int, int]
minutes_of_counts = st.lists(
    st.integers(0, 20).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total))), max_size=40
)


def minute(number: float) -> datetime:
    return NOON + timedelta(minutes=number)


def small(**changed: Any) -> BurnRateRule:
    return BurnRateRule(**{"name": "api", "objective": 0.9, "windows": SMALL, **changed})


def play(rule: BurnRateRule, counts: Sequence[Counts | None]) -> tuple[list[dict[str, str]], BurnRateState]:
    state = BurnRateState()
    phases: list[dict[str, str]] = []
    for number, count in enumerate(counts):
        sample = MinuteCount(minute(number), *count) if count else None
        state, _ = advance_burn_rates(rule, state, sample, minute(number))
        phases.append({name: alert.phase for name, alert in state.alerts.items()})
    return phases, state


@given(minutes_of_counts)
def test_it_fires_exactly_while_both_windows_exceed_the_factor(counts: list[Counts]) -> None:
    phases, _ = play(small(), counts)
    for t in range(len(counts)):
        for pair in SMALL:
            rates = []
            for length in (pair.long_minutes, pair.short_minutes):
                window = counts[max(0, t - length + 1) : t + 1]
                errors, total = sum(e for e, _ in window), sum(n for _, n in window)
                rates.append(errors / total / (1 - 0.9) if total else 0.0)
            assert (phases[t][pair.name] == "firing") is all(rate > pair.factor for rate in rates)


@given(minutes_of_counts)
def test_a_restart_between_any_two_steps_changes_nothing(counts: list[Counts]) -> None:
    state = BurnRateState()
    for number, count in enumerate(counts):
        state = msgspec.json.decode(msgspec.json.encode(state), type=BurnRateState)
        state, _ = advance_burn_rates(small(), state, MinuteCount(minute(number), *count), minute(number))
    assert state == play(small(), counts)[1]


def test_an_event_names_the_rule_its_windows_and_the_rate() -> None:
    rule = BurnRateRule(name="fraud-api", objective=0.99)
    state, events = advance_burn_rates(rule, BurnRateState(), MinuteCount(NOON, 50, 100), NOON)
    assert [e.rule for e in events] == [f"fraud-api/{pair.name}" for pair in BURN_WINDOWS]
    assert [e.severity for e in events] == ["critical", "critical", "warning", "warning"]
    assert events[0].message == "burn rate over 60 and 5 min is 50, above 14.4."
    _, events = advance_burn_rates(rule, state, MinuteCount(minute(90), 0, 10**6), minute(90))
    assert events[0].message == "burn rate over 60 and 5 min is 0, no longer above 14.4, after firing for 1 h 30 min."


def test_a_window_without_requests_does_not_fire() -> None:
    phases, _ = play(small(), [(9, 10), None, None, (0, 0), (9, 10)])
    assert [p["fast"] for p in phases] == ["firing", "firing", "ok", "ok", "firing"]


def test_few_requests_say_nothing() -> None:
    phases, _ = play(small(events_min=25), [(10, 10), (10, 10), (10, 10)])
    assert [p["fast"] for p in phases] == ["ok", "ok", "firing"]


def test_a_minute_reported_twice_is_counted_once() -> None:
    state, events = advance_burn_rates(small(), BurnRateState(), MinuteCount(NOON, 9, 10), NOON)
    assert len(events) == 2
    for later in (0, 0.5, 0.9):
        assert advance_burn_rates(small(), state, MinuteCount(NOON, 9, 10), minute(later)) == (state, ())
        assert advance_burn_rates(small(), state, None, minute(later)) == (state, ())


@given(minutes_of_counts, st.randoms(use_true_random=False))
def test_a_late_minute_is_put_where_it_belongs(counts: list[Counts], chance: Any) -> None:
    """Whatever the order, the counts are in the end those of the minutes."""
    last = len(counts)
    order = [*range(last)]
    chance.shuffle(order)
    state, _ = advance_burn_rates(small(), BurnRateState(), None, minute(last))
    for number in order:
        state, _ = advance_burn_rates(small(), state, MinuteCount(minute(number), *counts[number]), minute(last))
    state, _ = advance_burn_rates(small(), state, MinuteCount(minute(last), 0, 5), minute(last))
    ordered = play(small(), [*counts, (0, 5)])[1]
    assert state.counts is not None
    assert ordered.counts is not None
    assert [state.counts.window(n) for n in range(1, 13)] == [ordered.counts.window(n) for n in range(1, 13)]


def test_a_late_minute_counts_from_the_next_judgement_on() -> None:
    state, _ = advance_burn_rates(small(), BurnRateState(), MinuteCount(minute(1), 0, 1), minute(1))
    state, events = advance_burn_rates(small(), state, MinuteCount(minute(0), 99, 99), minute(1))
    assert events == ()
    state, events = advance_burn_rates(small(), state, MinuteCount(minute(2), 9, 10), minute(2))
    assert [e.rule for e in events] == ["api/fast", "api/slow"]


def test_a_minute_that_is_older_than_every_window_changes_nothing() -> None:
    state, _ = advance_burn_rates(small(), BurnRateState(), MinuteCount(minute(100), 0, 1), minute(100))
    assert advance_burn_rates(small(), state, MinuteCount(minute(80), 9, 9), minute(100)) == (state, ())


def test_a_long_silence_empties_the_windows_and_takes_no_time() -> None:
    state, _ = advance_burn_rates(small(), BurnRateState(), MinuteCount(NOON, 9, 10), NOON)
    state, events = advance_burn_rates(small(), state, None, NOON + timedelta(days=3650))
    assert [e.kind for e in events] == ["resolved", "resolved"]
    assert state.counts is not None
    assert state.counts.window(12) == (0, 0)
    assert len(state.counts.totals) == 12


def test_a_clock_that_is_set_back_takes_the_minutes_with_it() -> None:
    state, _ = advance_burn_rates(small(), BurnRateState(), MinuteCount(minute(600), 9, 10), minute(600))
    state, _ = advance_burn_rates(small(), state, MinuteCount(minute(1), 9, 10), minute(1))
    state, events = advance_burn_rates(small(), state, MinuteCount(minute(2), 0, 99), minute(2))
    assert [e.kind for e in events] == ["resolved", "resolved"]
    assert events[0].at == minute(2)


def test_the_memory_is_that_of_the_longest_window() -> None:
    state = play(small(), [(1, 2)] * 100)[1]
    assert state.counts == MinuteCounts(int(NOON.timestamp()) // 60 + 99, (1,) * 12, (2,) * 12)


def test_windows_that_become_longer_begin_with_what_is_known() -> None:
    state = play(small(), [(1, 2)] * 100)[1]
    longer = small(windows=(BurnWindows("fast", 5.0, 20, 2),))
    state, _ = advance_burn_rates(longer, state, MinuteCount(minute(100), 1, 2), minute(100))
    assert state.counts is not None
    assert state.counts.window(20) == (13, 26)
    assert set(state.alerts) == {"fast"}


def test_the_rate() -> None:
    assert burn_rate(1, 1000, 0.999) == pytest.approx(1.0)
    assert burn_rate(0, 0, 0.999) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"name": ""},
        {"objective": 1.0},
        {"objective": 0.0},
        {"objective": float("nan")},
        {"windows": ()},
        {"windows": (SMALL[0], SMALL[0])},
        {"for_seconds": -1.0},
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        small(**changed)


@pytest.mark.parametrize(
    ("factor", "long_minutes", "short_minutes"), [(0, 60, 5), (-1, 60, 5), (1, 5, 60), (1, 60, 0), (1, 50_000, 5)]
)
def test_windows_that_cannot_be_are_refused(factor: float, long_minutes: int, short_minutes: int) -> None:
    with pytest.raises(InvalidRequest):
        BurnWindows("w", factor, long_minutes, short_minutes)


@pytest.mark.parametrize(("errors", "total"), [(-1, 5), (6, 5), (0, -1)])
def test_counts_that_cannot_be_are_refused(errors: int, total: int) -> None:
    with pytest.raises(InvalidRequest):
        MinuteCount(NOON, errors, total)


def test_the_usual_windows_and_a_rule_without_delays() -> None:
    assert [(p.name, p.factor, p.long_minutes, p.short_minutes, p.severity) for p in BURN_WINDOWS] == [
        ("page_fast", 14.4, 60, 5, "critical"),
        ("page_slow", 6, 360, 30, "critical"),
        ("ticket_fast", 3, 1440, 120, "warning"),
        ("ticket_slow", 1, 4320, 360, "warning"),
    ]
    assert BurnRateRule(name="api", objective=0.9).alert(BURN_WINDOWS[2]) == ThresholdRule(
        name="api/ticket_fast",
        metric="burn rate over 1440 and 120 min",
        operator=">",
        threshold=3,
        severity="warning",
        no_data="ok",
        no_data_after_seconds=0,
    )


@given(st.lists(st.integers(1, 9), min_size=1, max_size=12), st.integers(1, 12), st.integers(0, 11))
def test_a_count_is_put_in_its_minute_only(counts: list[int], minutes_max: int, back: int) -> None:
    held = MinuteCounts(100, (0,) * len(counts), tuple(counts))
    after = held.put(100 - back, 0, 50, minutes_max)
    wanted = dict(enumerate(reversed(counts))) | ({back: 50} if back < minutes_max else {})
    assert after.last == 100
    assert len(after.totals) == len(after.errors) <= max(minutes_max, 1)
    for age in range(minutes_max):
        got = after.totals[-age - 1] if age < len(after.totals) else 0
        assert got == wanted.get(age, 0)


def test_five_minutes_ahead_are_a_clock_like_any_other() -> None:
    state, _ = advance_burn_rates(small(), BurnRateState(), MinuteCount(minute(5), 9, 10), NOON)
    assert state.counts is not None
    assert state.counts.last == int(minute(5).timestamp()) // 60
    with pytest.raises(InvalidRequest, match="6 minutes from now"):
        advance_burn_rates(small(), BurnRateState(), MinuteCount(minute(6), 9, 10), NOON)


def test_a_minute_of_the_future_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="minutes from now"):
        advance_burn_rates(small(), BurnRateState(), MinuteCount(minute(10), 0, 1), NOON)


def test_nothing_is_counted_before_it_is_reported() -> None:
    assert MinuteCounts(5).window(9) == (0, 0)
