"""Alerts: timelines worked by hand, what happens around missing, late and wrong data, and laws for any timeline."""

import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chopmark.domain.alert_rules import AlertEvent, AlertState, Sample, ThresholdRule
from chopmark.domain.alert_words import duration_words
from chopmark.domain.alerts import SKEW_SECONDS, advance
from chopmark.errors import InvalidRequest

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def minute(number: float) -> datetime:
    return NOON + timedelta(minutes=number)


def rule(**changed: Any) -> ThresholdRule:
    return ThresholdRule(**{"name": "r", "metric": "error rate", "operator": ">", "threshold": 2.0, **changed})


def play(
    the_rule: ThresholdRule, values: Iterable[float | None], state: AlertState | None = None
) -> tuple[str, list[AlertEvent], AlertState]:
    """Phases by minute, by their first letters; a value of None is a minute without a sample."""
    state = state or AlertState()
    phases = ""
    events: list[AlertEvent] = []
    for number, value in enumerate(values):
        sample = None if value is None else Sample(minute(number), value)
        state, new = advance(the_rule, state, sample, minute(number))
        phases += state.phase[0]
        events += new
    return phases, events, state


def kinds(events: Sequence[AlertEvent]) -> list[str]:
    return [f"{e.kind} {(e.at - NOON) // timedelta(minutes=1)}" for e in events]


@pytest.mark.parametrize(
    ("changed", "values", "phases"),
    [
        ({}, [1, 3, 3, 1, 3], "offof"),
        ({"for_seconds": 120}, [3, 3, 3, 1, 3, 3], "ppfopp"),
        ({"for_seconds": 120}, [3, 3, 1, 3, 3, 3], "ppoppf"),
        ({"keep_firing_for_seconds": 120}, [3, 1, 1, 1], "fffo"),
        ({"keep_firing_for_seconds": 120}, [3, 1, 1, 3, 1, 1, 1], "ffffffo"),
        ({"resolve_threshold": 1.0}, [3, 2, 1.5, 1, 1.5], "fffoo"),
        ({"resolve_threshold": 1.0}, [1.5, 2, 2.5], "oof"),
        ({"cooldown_seconds": 180}, [3, 1, 3, 3, 3, 3], "foppff"),
        ({"cooldown_seconds": 180}, [3, 1, 3, 1, 3, 3], "fopoff"),
        ({"operator": "<", "threshold": 0.9}, [0.95, 0.9, 0.89], "oof"),
        ({"operator": "<=", "threshold": 0.9}, [0.95, 0.9, 0.91], "ofo"),
        ({"operator": ">=", "threshold": 2.0}, [1.9, 2.0, 1.9], "ofo"),
        ({"operator": "==", "threshold": 0.0}, [1, 0, -0.0, 2], "offo"),
        ({"operator": "!=", "threshold": 1.0}, [1, 0, 1], "ofo"),
        ({"operator": "<", "resolve_threshold": 3.0}, [1, 2.5, 3, 2.5], "ffoo"),
    ],
)
def test_timelines(changed: dict[str, Any], values: list[float], phases: str) -> None:
    assert play(rule(**changed), values)[0] == phases


def test_the_events_tell_when_since_when_and_why() -> None:
    _, events, state = play(rule(for_seconds=120, severity="critical"), [1, 3, 4, 5, 1])
    assert kinds(events) == ["pending 1", "firing 3", "resolved 4"]
    assert [e.since for e in events] == [minute(1), minute(1), minute(3)]
    assert [e.value for e in events] == [3, 5, 1]
    assert {(e.rule, e.severity) for e in events} == {("r", "critical")}
    assert [e.message for e in events] == [
        "error rate is 3, above 2; it fires when it stays so for 2 min.",
        "error rate is 5, above 2 for 2 min.",
        "error rate is 1, no longer above 2, after firing for 1 min.",
    ]
    assert (state.phase, state.resolved_at, state.pending_since) == ("ok", minute(4), None)


def test_a_rule_without_for_fires_at_once_and_is_never_pending() -> None:
    assert kinds(play(rule(), [3, 3, 1])[1]) == ["firing 0", "resolved 2"]


def test_a_cooldown_delays_and_does_not_lose() -> None:
    _, events, _ = play(rule(cooldown_seconds=180), [3, 1, 3, 3, 3])
    assert kinds(events) == ["firing 0", "resolved 1", "pending 2", "firing 4"]
    assert events[2].message == "error rate is 3, above 2; it fires when it still is when the cooldown ends."


@pytest.mark.parametrize(
    ("direction", "values", "phases"),
    [
        ("higher", [10, 13, 7, 12.5], "ofof"),
        ("lower", [10, 13, 7, 12.5], "oofo"),
        ("either", [10, 13, 7, 12], "offo"),
    ],
)
def test_a_direction_compares_with_the_baseline(direction: str, values: list[float], phases: str) -> None:
    state, got = AlertState(), ""
    for number, value in enumerate(values):
        at = minute(number)
        state, _ = advance(rule(direction=direction), state, Sample(at, value, baseline=10), at)
        got += state.phase[0]
    assert got == phases


def test_the_sentence_names_the_baseline() -> None:
    _, [event] = advance(rule(direction="higher"), AlertState(), Sample(NOON, 15, baseline=10), NOON)
    assert event.message == "error rate is 15, 5 higher than its baseline 10: above 2."


class TestMissingData:
    @pytest.mark.parametrize(
        ("policy", "values", "phases"),
        [
            ("keep", [3, None, None, None, 1], "ffffo"),
            ("ok", [3, None, None, None, 3], "ffoof"),
            ("alerting", [1, None, None, None, 1], "ooffo"),
            ("keep", [None, None, None, 3], "ooof"),
            ("ok", [None, None, None, 3], "ooof"),
            ("alerting", [None, None, None, 1], "oofo"),
        ],
    )
    def test_a_policy_is_asked_once_they_are_missing_for_long(
        self, policy: str, values: list[float | None], phases: str
    ) -> None:
        assert play(rule(no_data=policy, no_data_after_seconds=120), values)[0] == phases

    def test_what_is_pending_waits_for_data(self) -> None:
        keeping = rule(for_seconds=120, no_data="keep")
        assert play(keeping, [3, None, None, None, 3])[0] == "ppppf"
        assert play(keeping, [3, None, None, None, 1])[0] == "ppppo"

    def test_the_words_say_since_when(self) -> None:
        _, events, _ = play(rule(no_data="alerting", no_data_after_seconds=60), [1, None])
        assert events[0].message == "error rate has no data since 2026-05-01T12:00:00+00:00."
        assert events[0].value is None

    @pytest.mark.parametrize(("events", "phase"), [(99, "ok"), (100, "firing"), (None, "ok"), (0, "ok")])
    def test_too_few_events_are_no_data(self, events: int | None, phase: str) -> None:
        state, _ = advance(rule(events_min=100), AlertState(), Sample(NOON, 3, events=events), NOON)
        assert (state.phase, state.sampled_at) == (phase, NOON if phase == "firing" else None)

    def test_unknown_events_are_fewer_than_one(self) -> None:
        few = rule(events_min=1, no_data="alerting", no_data_after_seconds=0)
        _, [event] = advance(few, AlertState(), Sample(NOON, 1), NOON)
        assert "only 0 of the 1 events" in event.message

    def test_none_is_missing_at_the_time_of_a_sample(self) -> None:
        strict = rule(no_data="alerting", no_data_after_seconds=0)
        state, _ = advance(strict, AlertState(), Sample(NOON, 1), NOON)
        assert advance(strict, state, None, NOON) == (state, ())

    def test_the_words_say_how_few(self) -> None:
        few = rule(events_min=100, no_data="alerting", no_data_after_seconds=0)
        _, [event] = advance(few, AlertState(), Sample(NOON, 1, events=7), NOON)
        assert event.message.startswith("error rate has only 7 of the 100 events that are wanted since 2026")

    def test_a_sample_without_value_or_baseline_is_no_data(self) -> None:
        missing = rule(no_data="alerting", no_data_after_seconds=0, direction="either")
        for sample, words in ((Sample(NOON), "no data"), (Sample(NOON, 3), "no baseline")):
            assert words in advance(missing, AlertState(), sample, NOON)[1][0].message

    def test_a_backlog_with_gaps_is_judged_by_its_own_times(self) -> None:
        """The data came late, not with a gap of an hour."""
        strict = rule(no_data="alerting", no_data_after_seconds=180)
        state, now = AlertState(), minute(60)
        for number, value in enumerate([1, None, 1, None, None, 1]):
            state, events = advance(strict, state, Sample(minute(number), value), now)
            assert (state.phase, events) == ("ok", ())


class TestTimes:
    def test_a_backlog_gives_the_minutes_that_being_there_would_have(self) -> None:
        timed = rule(for_seconds=120, keep_firing_for_seconds=60)
        values = [1, 3, 3, 3, 1, 3, 1, 1, 1]
        _, there, _ = play(timed, values)
        state = AlertState()
        later: list[AlertEvent] = []
        for number, value in enumerate(values):
            state, new = advance(timed, state, Sample(minute(number), value), minute(500))
            later += new
        assert later == there
        assert kinds(later) == ["pending 1", "firing 3", "resolved 7"]

    def test_a_sample_given_again_is_not_counted_again(self) -> None:
        timed = rule(for_seconds=120)
        once, _ = advance(timed, AlertState(), Sample(NOON, 3), NOON)
        for seconds in (0, 60, 120, 250):
            assert advance(timed, once, Sample(NOON, 3), NOON + timedelta(seconds=seconds)) == (once, ())

    def test_repeating_the_newest_sample_is_missing_data(self) -> None:
        strict = rule(no_data="alerting", no_data_after_seconds=120)
        state, _ = advance(strict, AlertState(), Sample(NOON, 1), NOON)
        assert advance(strict, state, Sample(NOON, 1), minute(1))[0].phase == "ok"
        assert advance(strict, state, Sample(NOON, 1), minute(2))[0].phase == "firing"

    def test_a_late_sample_changes_nothing(self) -> None:
        strict = rule(no_data="ok", no_data_after_seconds=0)
        state, _ = advance(strict, AlertState(), Sample(minute(5), 3), minute(5))
        assert advance(strict, state, Sample(minute(4), 1), minute(6)) == (state, ())

    def test_data_that_come_after_their_absence_acted_are_taken(self) -> None:
        strict = rule(no_data="alerting", no_data_after_seconds=60)
        state, _ = advance(strict, AlertState(), Sample(NOON, 1), NOON)
        state, _ = advance(strict, state, None, minute(3))
        assert state.phase == "firing"
        state, [event] = advance(strict, state, Sample(minute(2), 1), minute(4))
        assert (state.phase, event.at) == ("ok", minute(3)), "and time has not gone back"

    def test_a_sample_of_a_clock_that_is_far_ahead_is_of_now(self) -> None:
        state, [event] = advance(rule(), AlertState(), Sample(minute(600), 3), NOON)
        assert (state.sampled_at, event.at) == (NOON, NOON)
        assert advance(rule(), state, Sample(minute(1), 1), minute(1))[0].phase == "ok"

    def test_two_samples_of_now_are_one(self) -> None:
        state, _ = advance(rule(), AlertState(), Sample(minute(600), 3), NOON)
        assert advance(rule(), state, Sample(minute(601), 1), NOON) == (state, ())

    def test_five_minutes_back_are_no_clock_that_was_set_back(self) -> None:
        state, _ = advance(rule(), AlertState(), Sample(minute(5), 3), minute(5))
        assert advance(rule(), state, None, minute(0)) == (state, ())
        moved, _ = advance(rule(), state, None, minute(-0.01))
        assert (moved.at, moved.started_at) == (minute(-0.01), minute(-0.01))

    def test_a_little_ahead_is_taken_as_it_is(self) -> None:
        assert SKEW_SECONDS == 300
        at = minute(5)
        assert advance(rule(), AlertState(), Sample(at, 3), NOON)[0].sampled_at == at

    def test_a_clock_that_is_set_back_keeps_what_has_passed(self) -> None:
        timed = rule(for_seconds=300)
        state, _ = advance(timed, AlertState(), Sample(minute(600), 3), minute(600))
        state, _ = advance(timed, state, Sample(minute(602), 3), minute(602))
        state, events = advance(timed, state, Sample(minute(1), 3), minute(1))
        assert (state.phase, events, state.pending_since) == ("pending", (), minute(-1))
        phases = ""
        for number in range(2, 6):
            state, events = advance(timed, state, Sample(minute(number), 3), minute(number))
            phases += state.phase[0]
        assert phases == "ppff", "two minutes on the old clock, three on the new one"

    def test_the_first_sample_after_a_clock_was_set_back_counts(self) -> None:
        state, _ = advance(rule(), AlertState(), Sample(minute(600), 3), minute(600))
        state, [event] = advance(rule(), state, Sample(minute(1), 1), minute(1))
        assert (event.kind, event.since) == ("resolved", minute(1)), (
            "it fired when the clock was set back, at the latest"
        )

    def test_a_clock_that_is_set_back_before_any_data_came(self) -> None:
        strict = rule(no_data="alerting", no_data_after_seconds=0)
        state, _ = advance(strict, AlertState(), None, minute(600))
        state, [event] = advance(strict, state, Sample(minute(1), 1), minute(1))
        assert (event.kind, state.at) == ("resolved", minute(1))

    def test_a_small_step_back_only_waits(self) -> None:
        state, _ = advance(rule(), AlertState(), Sample(minute(4), 3), minute(4))
        assert advance(rule(), state, Sample(minute(1), 1), minute(1)) == (state, ())
        assert advance(rule(), state, Sample(minute(5), 1), minute(5))[0].phase == "ok"

    def test_waiting_for_data_survives_a_clock_that_is_set_back(self) -> None:
        strict = rule(no_data="alerting", no_data_after_seconds=60)
        state, _ = advance(strict, AlertState(), None, minute(600))
        state, _ = advance(strict, state, None, NOON)
        assert state.phase == "ok"
        assert advance(strict, state, None, minute(1))[0].phase == "firing"


samples = st.lists(st.one_of(st.none(), st.floats(0, 4), st.sampled_from([1.0, 2.0, 3.0])), max_size=40)
rules = st.builds(
    rule,
    operator=st.sampled_from(["<", "<=", ">", ">=", "==", "!="]),
    for_seconds=st.sampled_from([0, 60, 150]),
    keep_firing_for_seconds=st.sampled_from([0, 60, 200]),
    cooldown_seconds=st.sampled_from([0, 120]),
    no_data=st.sampled_from(["ok", "alerting", "keep"]),
    no_data_after_seconds=st.sampled_from([0, 60, 300]),
)


@given(rules, samples)
def test_a_restart_between_any_two_steps_changes_nothing(the_rule: ThresholdRule, values: list[float | None]) -> None:
    state = AlertState()
    events: list[AlertEvent] = []
    for number, value in enumerate(values):
        sample = None if value is None else Sample(minute(number), value)
        state = msgspec.json.decode(msgspec.json.encode(state), type=AlertState)
        again = msgspec.json.decode(msgspec.json.encode(the_rule), type=ThresholdRule)
        state, new = advance(again, state, sample, minute(number))
        events += msgspec.json.decode(msgspec.json.encode(new), type=list[AlertEvent])
    assert (events, state) == play(the_rule, values)[1:]


@given(rules, samples)
def test_events_alternate_and_time_runs_forward(the_rule: ThresholdRule, values: list[float | None]) -> None:
    phases, events, _ = play(the_rule, values)
    assert [e.at for e in events] == sorted(e.at for e in events)
    turns = [e.kind for e in events if e.kind != "pending"]
    assert all(kind == ("resolved" if i % 2 else "firing") for i, kind in enumerate(turns))
    starts = sum(1 for before, after in zip("o" + phases, phases, strict=False) if before != "f" and after == "f")
    assert turns.count("firing") == starts
    for event in events:
        if event.kind == "firing":
            assert (event.at - event.since).total_seconds() >= the_rule.for_seconds


@given(st.lists(st.floats(0, 4), min_size=1, max_size=40), st.integers(0, 5), st.integers(0, 5))
def test_a_plain_rule_is_what_its_words_say(values: list[float], for_minutes: int, keep_minutes: int) -> None:
    """Against the definition: firing at t when the last ``for`` minutes held, or it fired and held within ``keep``."""
    phases, _, _ = play(rule(for_seconds=60 * for_minutes, keep_firing_for_seconds=60 * keep_minutes), values)
    holds = [value > 2 for value in values]
    firing = False
    for t in range(len(values)):
        held = t >= for_minutes and all(holds[t - for_minutes : t + 1])
        if firing:
            clear = next((i for i in range(t + 1) if not any(holds[i : t + 1])), None)
            firing = clear is None or t - clear < keep_minutes
        firing = firing or held
        assert (phases[t] == "f") is firing


@given(st.lists(st.floats(0, 4), max_size=30), st.randoms(use_true_random=False))
def test_late_samples_and_repetitions_change_nothing(values: list[float], chance: Any) -> None:
    timed = rule(for_seconds=120, keep_firing_for_seconds=60)
    state = AlertState()
    events: list[AlertEvent] = []
    for number, value in enumerate(values):
        state, new = advance(timed, state, Sample(minute(number), value), minute(number))
        events += new
        for old in chance.sample(range(number + 1), min(2, number + 1)):
            assert advance(timed, state, Sample(minute(old), values[old]), minute(number)) == (state, ())
    assert (events, state) == play(timed, values)[1:]


@pytest.mark.parametrize(
    "changed",
    [
        {"name": ""},
        {"metric": "x" * 201},
        {"operator": "=>"},
        {"severity": "fatal"},
        {"no_data": "ignore"},
        {"direction": "up"},
        {"threshold": math.nan},
        {"threshold": math.inf},
        {"for_seconds": -1},
        {"for_seconds": math.nan},
        {"keep_firing_for_seconds": 1e9},
        {"events_min": -1},
        {"events_min": 1.5},
        {"resolve_threshold": 3.0},
        {"resolve_threshold": math.nan},
        {"operator": "<", "resolve_threshold": 1.0},
        {"operator": "==", "resolve_threshold": 2.0},
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        rule(**changed)


@pytest.mark.parametrize(
    "changed",
    [{"value": math.nan}, {"value": math.inf}, {"events": -1}, {"baseline": math.nan}, {"at": datetime(2026, 5, 1)}],  # noqa: DTZ001
)
def test_a_sample_that_cannot_be_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        Sample(**{"at": NOON, "value": 1.0, **changed})


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="no zone"):
        advance(rule(), AlertState(), None, datetime(2026, 5, 1))  # noqa: DTZ001


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (2.5, "2.5 s"), (60, "1 min"), (90, "1 min 30 s"), (5400, "1 h 30 min"), (90_061, "1 d 1 h")],
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert duration_words(seconds) == words


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.9499999, "is 0.9499999, below 0.95"),
        (math.nextafter(0.95, 0.0), "is 0.9499999999999998, below 0.95"),
        (0.5, "is 0.5, below 0.95"),
    ],
)
def test_a_value_next_to_its_limit_is_told_apart_from_it(value: float, said: str) -> None:
    _, events, _ = play(rule(operator="<", threshold=0.95), [value])
    assert said in events[0].message
