"""Totals of minutes while the control plane is away, and while the clock is set."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from chopmark.base.clock import FakeClock
from chopmark.domain.outcomes import OutcomeWindow, window_start
from chopmark.gateway.minutes import MINUTES_MAX, Minutes
from chopmark.gateway.recording import Counts, Tally, TallyKey

KEYS = [TallyKey(UUID(int=1 + n // 2), UUID(int=1_000 + n), ("stable", "candidate")[n % 2]) for n in range(200)]
Row = tuple[TallyKey, datetime]


def counted(requests: int) -> Counts:
    tally = Tally()
    for n in range(requests):
        tally.answered(1_000_000 * (1 + n % 7), 1, 10, 10)
    return tally.taken()


class Kept:
    """Rows of one router as a control plane keeps them: a report replaces."""

    def __init__(self) -> None:
        self.rows: dict[Row, OutcomeWindow] = {}

    def take(self, windows: list[OutcomeWindow]) -> None:
        for each in windows:
            self.rows[TallyKey(each.endpoint, each.version, each.variant), each.start] = each

    def reported(self, minutes: Minutes, now: datetime) -> None:
        while windows := minutes.unreported(500):
            self.take(windows)
            minutes.received(windows, now)

    @property
    def requests(self) -> int:
        return sum(each.requests for each in self.rows.values())

    @property
    def dropped(self) -> int:
        return sum(each.dropped for each in self.rows.values())


def test_of_a_hundred_endpoints_what_is_dropped_while_nobody_takes_it_is_counted() -> None:
    """Three hours, in part after what was not dropped had been received in part."""
    clock, minutes, kept, asked = FakeClock(), Minutes(), Kept(), 0
    minutes.add({key: counted(2) for key in KEYS}, clock())
    asked += 2 * len(KEYS)
    windows = minutes.unreported(150)
    kept.take(windows)
    minutes.received(windows, clock())
    each = counted(3)
    for _ in range(180):
        minutes.add(dict.fromkeys(KEYS, each), clock())
        asked += 3 * len(KEYS)
        clock.advance(timedelta(minutes=1))
        assert len(minutes._totals) <= MINUTES_MAX
        assert len(minutes._known) <= MINUTES_MAX
    kept.reported(minutes, clock())
    assert kept.requests < asked, "nothing was dropped: too little was tried"
    assert kept.requests + kept.dropped == asked
    assert not minutes.has_unreported


def test_a_clock_that_is_set_back_and_forth_loses_and_doubles_nothing() -> None:
    clock, minutes, kept, asked = FakeClock(), Minutes(), Kept(), 0
    steps = [0.0] * 90 + [3_600.0] + [0.0] * 90 + [-3_600.0] + [0.0] * 90 + [-3_600.0] + [0.0] * 90 + [7_200.0]
    for n, step_s in enumerate([*steps, *[0.0] * 90, -59.0, -1.5, *[0.0] * 90]):
        clock.advance(timedelta(seconds=1 + step_s))
        minutes.add({KEYS[0]: counted(1 + n % 3)}, clock())
        asked += 1 + n % 3
        kept.reported(minutes, clock())
        assert kept.requests == asked, f"after {n} s"
    assert kept.dropped == 0
    assert all(start == window_start(start) for _, start in kept.rows)
    assert len(minutes._totals) < 20


def test_a_report_that_is_late_is_sent_again_with_what_was_added() -> None:
    clock, minutes, kept = FakeClock(), Minutes(), Kept()
    minutes.add({KEYS[0]: counted(1)}, clock())
    windows = minutes.unreported(10)
    minutes.add({KEYS[0]: counted(1)}, clock())
    kept.take(windows)
    minutes.received(windows, clock())
    assert minutes.has_unreported
    kept.reported(minutes, clock())
    assert kept.requests == 2
