"""Recording: what is counted on the way is what the sketch would have counted."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chopmark.base.clock import FakeClock
from chopmark.domain.outcomes import Comparison
from chopmark.gateway import minutes as module
from chopmark.gateway.minutes import Minutes
from chopmark.gateway.recording import Tally, TallyKey
from chopmark.stats.sketch import QuantileSketch

NOW = FakeClock()()
KEY = TallyKey(UUID(int=1), UUID(int=2), "stable")


@given(st.lists(st.integers(1, 10**13), min_size=1, max_size=200))
def test_latencies_fall_into_the_bins_of_the_sketch(latencies_ns: list[int]) -> None:
    tally = Tally()
    for each in latencies_ns:
        tally.answered(each, 1, 10, 20)
    minutes = Minutes()
    minutes.add({KEY: tally.taken()}, NOW)
    (window,) = minutes.unreported(10)
    assert window.latency == QuantileSketch.of([float(each) for each in latencies_ns])


def test_counts_of_a_minute_add_up() -> None:
    tally, minutes = Tally(), Minutes()
    for second in range(3):
        tally.answered(1_000, 2, 10, 20, has_key=second > 0)
        tally.failed("model", 5)
        minutes.add({KEY: tally.taken()}, NOW + timedelta(seconds=second))
    (window,) = minutes.unreported(10)
    assert (window.requests, window.rows, window.errors.model, window.without_key) == (6, 6, 3, 1)
    assert (window.request_bytes, window.response_bytes, window.latency.count) == (45, 60, 3)


def test_what_changed_is_reported_until_it_was_received() -> None:
    tally, minutes = Tally(), Minutes()
    tally.answered(1_000, 1, 1, 1)
    minutes.add({KEY: tally.taken()}, NOW)
    first = minutes.unreported(10)
    tally.answered(1_000, 1, 1, 1)
    minutes.add({KEY: tally.taken()}, NOW)  # while the first report is on its way
    minutes.received(first, NOW)
    (again,) = minutes.unreported(10)
    assert again.requests == 2
    minutes.received([again], NOW)
    assert minutes.unreported(10) == []
    later = NOW + timedelta(minutes=2)
    minutes.received([], later)
    tally.answered(1_000, 1, 1, 1)
    minutes.add({KEY: tally.taken()}, later)
    assert [w.requests for w in minutes.unreported(10)] == [1]


def test_totals_that_nobody_takes_are_bounded_and_what_goes_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MINUTES_MAX", 3)
    minutes, tally = Minutes(), Tally()
    for minute in range(6):
        tally.answered(1_000, 1, 1, 1)
        minutes.add({KEY: tally.taken()}, NOW + timedelta(minutes=minute))
    waiting = minutes.unreported(100)
    assert len(waiting) == 3
    told = sum(w.requests for w in waiting) + sum(w.dropped for w in waiting)
    assert told == 6


def test_requests_a_second_are_those_of_ten_seconds() -> None:
    tally = Tally()
    for second in range(15):
        for _ in range(second):
            tally.answered(1_000, 1, 1, 1)
        tally.taken()
    assert tally.requests_per_s == sum(range(5, 15)) / 10
    assert not tally.is_idle


def test_comparisons_add_up() -> None:
    both = Comparison(2, 1, 0.5, 0.5, 0.4) + Comparison(1, 1, -0.25, 0.25, 0.25)
    assert both == Comparison(3, 2, 0.25, 0.75, 0.4)
