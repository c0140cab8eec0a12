"""What may become of a job, and when a schedule makes one."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from chopmark.domain.cron import next_times
from chopmark.domain.job_kinds import check_arguments
from chopmark.domain.jobs import (
    ENDED,
    ERROR_LENGTH_MAX,
    Job,
    backoff_s,
    cancelled,
    claimable_at,
    claimed,
    failed,
    finished,
    given_up,
    is_due,
    retried,
    returned,
    should_extend,
)
from chopmark.domain.schedules import FIRINGS_MAX, Schedule, check_schedule, fired, paused, resumed
from chopmark.errors import Conflict, InvalidRequest

NOON = datetime(2026, 3, 3, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def job(**rest: Any) -> Job:
    return Job(**{"id": UUID(int=1), "kind": "expiry", "run_after": NOON, "created_at": NOON, **rest})


def schedule(cron: str = "0 3 * * *", **rest: Any) -> Schedule:
    wanted = Schedule(name="nightly", kind="expiry", cron=cron, updated_at=NOON, **rest)
    return check_schedule(wanted, NOON)


def test_a_job_is_due_after_its_pause_or_when_its_lease_ran_out() -> None:
    waiting = job()
    assert is_due(waiting, NOON)
    assert not is_due(waiting, NOON - timedelta(microseconds=1))
    running = claimed(waiting, "w", NOON, 60)
    assert claimable_at(running) == NOON + timedelta(seconds=60)
    assert claimable_at(finished(running, NOON, {})) is None
    assert claimable_at(failed(running, NOON, "x", 1.0)) == NOON + timedelta(seconds=5)


def test_attempts_end() -> None:
    now, last = NOON, job(attempts_max=3)
    pauses = []
    while last.state != "dead":
        running = claimed(last, "w", now, 60)
        last = failed(running, now, "x", 1.0)
        pauses.append((last.run_after - now).total_seconds())
        now = max(now, last.run_after)
    assert pauses[:2] == [5.0, 10.0]
    assert (last.attempt, last.fence, last.ended_at) == (3, 3, now)


def test_a_returned_job_used_no_attempt_and_is_nobodys() -> None:
    running = claimed(job(), "w", NOON, 60)
    back = returned(running, NOON + HOUR)
    assert (back.state, back.attempt, back.lease_until) == ("queued", 0, None)
    assert back.fence > running.fence


@pytest.mark.parametrize("state", ["done", "dead", "cancelled"])
def test_what_has_ended_is_not_cancelled(state: Any) -> None:
    with pytest.raises(Conflict, match="ended already"):
        cancelled(job(state=state), NOON)


@pytest.mark.parametrize(("state", "may"), [("queued", 0), ("running", 0), ("done", 0), ("failed", 1), ("dead", 1)])
def test_what_is_tried_again(state: Any, may: int) -> None:
    seen = job(state=state, attempt=5, fence=9, ended_at=NOON if state in ENDED else None)
    if not may:
        with pytest.raises(Conflict):
            retried(seen, NOON)
        return
    again = retried(seen, NOON + HOUR)
    assert (again.state, again.attempt, again.fence, again.ended_at) == ("queued", 0, 10, None)


def test_a_long_error_is_cut() -> None:
    dead = given_up(claimed(job(), "w", NOON, 60), NOON, "é" * 9_999)
    assert len(dead.error) == ERROR_LENGTH_MAX


def test_a_job_that_takes_too_long_is_left() -> None:
    running = claimed(job(), "w", NOON, 60)
    assert should_extend(running, NOON + timedelta(seconds=59), 60)
    assert not should_extend(running, NOON + timedelta(seconds=60), 60)


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_pauses_grow_and_stay_within_an_hour(attempt: int, jitter: float) -> None:
    pause = backoff_s(attempt, jitter)
    assert 2.5 <= pause <= 3_600
    assert backoff_s(attempt + 1, jitter) >= pause
    assert backoff_s(attempt, 0.0) <= pause <= backoff_s(attempt, 1.0) == 2 * backoff_s(attempt, 0.0)


# Arguments


@pytest.mark.parametrize(
    ("kind", "arguments", "says"),
    [
        ("nothing", {}, "no kind of work"),
        ("backup", {}, "place"),
        ("backup", {"place": ""}, "length"),
        ("backup", {"place": 3}, "place"),
        ("integrity", {"share": 0}, "> 0"),
        ("integrity", {"share": 1.5}, "<= 1"),
        ("retention", {"grace_hours": 0}, "unknown field"),
        ("expiry", {"key_days": "7"}, "key_days"),
    ],
)
def test_arguments_that_cannot_be_meant(kind: str, arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidRequest, match=says):
        check_arguments(kind, arguments)


def test_arguments_stay_as_they_were_given() -> None:
    assert check_arguments("integrity", {}) == {}
    assert check_arguments("integrity", {"share": 1}) == {"share": 1}


# Schedules


@pytest.mark.parametrize(
    ("field", "value"), [("name", "ä"), ("cron", "61 * * * *"), ("cron", "0 0 30 2 *"), ("zone", "Mars"), ("kind", "x")]
)
def test_a_schedule_that_cannot_be_meant(field: str, value: str) -> None:
    wanted = structs.replace(Schedule(name="s", kind="expiry", cron="@daily", updated_at=NOON), **{field: value})
    with pytest.raises(InvalidRequest):
        check_schedule(wanted, NOON)


def test_before_its_time_nothing_is_due() -> None:
    daily = schedule()
    assert daily.next_at == NOON.replace(day=4, hour=3)
    assert fired(daily, daily.next_at - timedelta(seconds=1)) == ((), daily)
    at, following = fired(daily, daily.next_at)
    assert at == (daily.next_at,)
    assert following.next_at == daily.next_at + 24 * HOUR


@pytest.mark.parametrize(("misfire", "days"), [("skip", []), ("once", [7]), ("all", [4, 5, 6, 7])])
def test_what_becomes_of_missed_firings(misfire: Any, days: list[int]) -> None:
    at, following = fired(schedule(misfire=misfire), NOON.replace(day=7))
    assert [time.day for time in at] == days
    assert following.next_at == NOON.replace(day=8, hour=3)


@pytest.mark.parametrize(("misfire", "days"), [("skip", [7]), ("once", [7]), ("all", [4, 5, 6, 7])])
def test_the_firing_of_now_is_not_missed(misfire: Any, days: list[int]) -> None:
    at, _ = fired(schedule(misfire=misfire), NOON.replace(day=7, hour=3, minute=4))
    assert [time.day for time in at] == days


@pytest.mark.parametrize("misfire", ["skip", "once"])
def test_a_year_of_minutes_costs_a_look(misfire: Any) -> None:
    now = NOON.replace(year=2027, second=30)
    at, following = fired(schedule("* * * * *", misfire=misfire), now)
    assert at == tuple(now.replace(second=0) - timedelta(minutes=n) for n in (4, 3, 2, 1, 0))
    assert following.next_at == now.replace(second=0) + timedelta(minutes=1)


def test_all_of_many_firings_are_made_up_for_a_part_at_a_time() -> None:
    each, now = schedule("* * * * *", misfire="all"), NOON + 24 * HOUR
    found: list[datetime] = []
    while (part := fired(each, now)).at:
        assert len(part.at) <= FIRINGS_MAX
        found += part.at
        each = part.schedule
    assert found == [NOON + timedelta(minutes=n) for n in range(1, 24 * 60 + 1)]
    assert each.next_at == now + timedelta(minutes=1)


def test_a_clock_that_is_set_back_fires_nothing_twice() -> None:
    daily = schedule()
    assert daily.next_at is not None
    following = fired(daily, daily.next_at + HOUR).schedule
    assert fired(following, daily.next_at - 5 * HOUR).at == ()
    assert fired(following, daily.next_at + HOUR).at == ()


def test_a_pause_is_not_made_up_for() -> None:
    still = paused(schedule(misfire="all"), NOON, "ann")
    assert fired(still, NOON.replace(day=20)).at == ()
    again = resumed(still, NOON.replace(day=20), "ann")
    assert again.next_at == NOON.replace(day=21, hour=3)
    assert resumed(again, NOON.replace(day=25), "bob") == again


@pytest.mark.parametrize(
    ("cron", "first", "hours"),
    [
        # Berlin's clocks skip from 2 to 3 on 29 March (1 UTC) and go back from 3 to 2 on 25 October (1 UTC).
        ("30 2 * * *", datetime(2026, 3, 28, 12, tzinfo=UTC), [(29, 1, 0), (30, 0, 30)]),
        ("30 2 * * *", datetime(2026, 10, 24, 12, tzinfo=UTC), [(25, 0, 30), (26, 1, 30)]),
        ("30 * * * *", datetime(2026, 10, 24, 23, 45, tzinfo=UTC), [(25, 0, 30), (25, 1, 30), (25, 2, 30)]),
    ],
)
def test_daylight_saving(cron: str, first: datetime, hours: list[tuple[int, int, int]]) -> None:
    """One look at each firing, and one that looks after them all, see the same."""
    wanted = Schedule(name="s", kind="expiry", cron=cron, zone="Europe/Berlin", misfire="all", updated_at=first)
    each = at_once = check_schedule(wanted, first)
    found: list[datetime] = []
    for _ in hours:
        assert each.next_at is not None
        part = fired(each, each.next_at)
        found += part.at
        each = part.schedule
    assert [(time.day, time.hour, time.minute) for time in found] == hours
    assert list(fired(at_once, found[-1]).at) == found


CRONS = st.sampled_from(["*/7 * * * *", "0 * * * *", "30 2 * * *", "0 0 1 * *", "15 3 * * 1-5", "@weekly"])
ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"])


@given(CRONS, ZONES, st.lists(st.integers(0, 400_000), min_size=1, max_size=12))
def test_every_firing_is_queued_once_however_often_one_looks(cron: str, zone: str, steps_s: list[int]) -> None:
    """With ``all`` the firings are exactly those of the schedule, whatever the clock does between looks."""
    start = datetime(2026, 3, 20, tzinfo=UTC)
    each = check_schedule(
        Schedule(name="s", kind="expiry", cron=cron, zone=zone, misfire="all", updated_at=start), start
    )
    now = start
    found: list[datetime] = []
    for n, step_s in enumerate(steps_s):
        now += timedelta(seconds=step_s if n % 3 else -step_s // 2)
        part = fired(each, now)
        found += part.at
        each = part.schedule
    assert found == sorted(set(found))
    assert list(next_times(cron, start, zone, len(found))) == found if found else True
