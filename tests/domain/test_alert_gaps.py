"""Alerts across gaps: whoever was away arrives at what one who looked every minute has seen; and clocks at the calendar's ends."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chopmark.domain.alert_rules import AlertEvent, AlertState, Sample, ThresholdRule
from chopmark.domain.alerts import advance
from chopmark.errors import InvalidRequest

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def minute(number: float) -> datetime:
    return NOON + timedelta(minutes=number)


def rule(**changed: Any) -> ThresholdRule:
    return ThresholdRule(
        **{"name": "r", "metric": "error rate", "operator": ">", "threshold": 2.0, "no_data": "ok", **changed}
    )


def stepped(
    the_rule: ThresholdRule, values: dict[int, float | None], *, every_minute: bool
) -> tuple[AlertState, list[AlertEvent]]:
    """Samples at minutes; between them a step a minute without one, or none."""
    state, events = AlertState(), list[AlertEvent]()
    for number in range(max(values) + 1):
        if number not in values and not every_minute:
            continue
        value = values.get(number)
        state, new = advance(the_rule, state, None if value is None else Sample(minute(number), value), minute(number))
        events += new
    return state, events


def test_nothing_has_held_where_nothing_was_seen() -> None:
    """Two true samples six hours apart are no six hours of a condition that holds."""
    state, events = stepped(rule(for_seconds=300), {0: 3.0, 360: 3.0}, every_minute=False)
    assert state.phase == "pending"
    assert [(e.kind, e.at) for e in events] == [("pending", NOON), ("pending", minute(360))]
    assert state.pending_since == minute(360)


def test_a_gap_that_is_no_longer_than_data_may_be_missing_is_none() -> None:
    assert stepped(rule(for_seconds=300), {0: 3.0, 5: 3.0}, every_minute=False)[0].phase == "firing"
    assert stepped(rule(for_seconds=300), {0: 3.0, 6: 3.0}, every_minute=False)[0].phase == "pending"
    keep = rule(for_seconds=300, no_data="keep")
    assert stepped(keep, {0: 3.0, 360: 3.0}, every_minute=False)[0].phase == "firing"


def test_with_no_time_to_wait_only_steps_count() -> None:
    strict = rule(for_seconds=120, no_data_after_seconds=0)
    assert stepped(strict, {0: 3.0, 1: 3.0, 2: 3.0}, every_minute=False)[0].phase == "firing"


def test_an_alert_resolves_and_fires_within_a_gap() -> None:
    _, events = stepped(rule(keep_firing_for_seconds=120), {0: 3.0, 60: 3.0}, every_minute=False)
    assert [(e.kind, e.at) for e in events] == [("firing", NOON), ("resolved", minute(7)), ("firing", minute(60))]
    alerting = rule(no_data="alerting", for_seconds=120)
    _, events = stepped(alerting, {0: 1.0, 60: 1.0}, every_minute=False)
    assert [(e.kind, e.at) for e in events] == [
        ("pending", minute(5)),
        ("firing", minute(7)),
        ("resolved", minute(60)),
    ]
    assert "has no data since 2026-05-01T12:00:00" in events[0].message


def test_data_that_never_came_were_missing_from_the_first_step_on() -> None:
    state, events = stepped(rule(no_data="alerting"), {0: None, 60: 1.0}, every_minute=False)
    assert [(e.kind, e.at) for e in events] == [("firing", minute(5)), ("resolved", minute(60))]
    assert state.phase == "ok"


MINUTES = st.dictionaries(st.integers(0, 60), st.sampled_from([None, 1.0, 1.8, 3.0, 3.0]), min_size=1, max_size=12).map(
    lambda found: {0: None, **found}
)
RULES = st.builds(
    rule,
    operator=st.sampled_from([">", "<"]),
    for_seconds=st.sampled_from([0, 60, 300]),
    keep_firing_for_seconds=st.sampled_from([0, 60, 240]),
    cooldown_seconds=st.sampled_from([0, 180, 900]),
    no_data=st.sampled_from(["ok", "alerting", "keep"]),
    no_data_after_seconds=st.sampled_from([60, 300, 600]),
)


@given(RULES, MINUTES)
def test_who_was_away_arrives_at_the_same_minutes(the_rule: ThresholdRule, values: dict[int, float | None]) -> None:
    assert stepped(the_rule, values, every_minute=True) == stepped(the_rule, values, every_minute=False)


FIRST, LAST = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, tzinfo=UTC)


@pytest.mark.parametrize("time", [FIRST, LAST, LAST.replace(tzinfo=timezone(-timedelta(hours=23)))])
def test_times_at_the_ends_of_the_calendar_are_refused(time: datetime) -> None:
    for call in (
        lambda: advance(rule(), AlertState(), None, time),
        lambda: Sample(time, 1.0),
        lambda: AlertState(at=time),
    ):
        with pytest.raises(InvalidRequest, match="Give a year from 1900") as caught:
            call()
        assert caught.value.hint


def test_a_clock_that_goes_back_for_longer_than_there_are_years_is_refused() -> None:
    state = AlertState(at=datetime(9900, 1, 1, tzinfo=UTC), pending_since=datetime(1900, 1, 1, tzinfo=UTC))
    with pytest.raises(InvalidRequest, match="The clock says"):
        advance(rule(), state, None, datetime(1950, 1, 1, tzinfo=UTC))


def test_a_state_says_since_when_and_no_longer_than_it_holds() -> None:
    rule = ThresholdRule(
        name="slow", metric="p95", operator=">", threshold=1, for_seconds=60, keep_firing_for_seconds=60
    )
    noon, minute = datetime(2026, 5, 1, 12, tzinfo=UTC), timedelta(minutes=1)
    state = AlertState()
    seen = []
    for k, value in enumerate([2.0, 2.0, 0.0, 0.0, 2.0, 2.0]):
        state, _ = advance(rule, state, Sample(noon + k * minute, value), noon + k * minute)
        seen.append((state.phase, state.pending_since, state.clear_since))
    assert seen == [
        ("pending", noon, None),
        ("firing", noon, None),
        ("firing", noon, noon + 2 * minute),
        ("ok", None, None),
        ("pending", noon + 4 * minute, None),
        ("firing", noon + 4 * minute, None),
    ]
