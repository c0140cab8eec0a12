"""Cron: times by Debian's rules, across daylight saving, and everything that is refused."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chopmark.domain.cron import check_expression, next_times, zone_of
from chopmark.errors import InvalidRequest, Unsupported

BERLIN = "Europe/Berlin"
ZONES = ["UTC", BERLIN, "America/New_York", "Asia/Kolkata", "Africa/Cairo", "America/Havana", "Australia/Lord_Howe"]

minutes = st.sampled_from(["*", "*/15", "0", "30", "5,35", "0-10/5"])
hours = st.sampled_from(["*", "*/6", "0", "1", "2", "2,3", "0-4"])
days = st.sampled_from(["*", "1", "*/10", "13,28", "L"])
weekdays = st.sampled_from(["*", "0", "7", "1-5", "SUN", "5#2"])
expressions = st.tuples(minutes, hours, days, st.just("*"), weekdays).map(" ".join)
times = st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


def local(expression: str, after: str, zone: str = BERLIN, count: int = 3) -> list[str]:
    start = datetime.fromisoformat(after).replace(tzinfo=ZoneInfo(zone))
    return [t.astimezone(ZoneInfo(zone)).strftime("%m-%d %H:%M %z") for t in next_times(expression, start, zone, count)]


def test_a_fixed_time_in_the_gap_of_spring_runs_once_right_after_it() -> None:
    after = "2026-03-28T12:00"
    assert local("30 2 * * *", after) == ["03-29 03:00 +0200", "03-30 02:30 +0200", "03-31 02:30 +0200"]
    assert local("0,30 2 * * *", after) == ["03-29 03:00 +0200", "03-30 02:00 +0200", "03-30 02:30 +0200"]
    assert local("0 2,3 * * *", after) == ["03-29 03:00 +0200", "03-30 02:00 +0200", "03-30 03:00 +0200"]


def test_a_fixed_time_in_the_repeated_hour_of_autumn_runs_once() -> None:
    assert local("30 2 * * *", "2026-10-24T12:00") == ["10-25 02:30 +0200", "10-26 02:30 +0100", "10-27 02:30 +0100"]


def test_a_start_within_the_second_pass_does_not_bring_the_first_back() -> None:
    second_pass = datetime(2026, 10, 25, 2, 10, tzinfo=ZoneInfo(BERLIN), fold=1)
    assert next_times("30 2 * * *", second_pass, BERLIN) == (datetime(2026, 10, 26, 1, 30, tzinfo=UTC),)


def test_what_follows_the_clock_runs_through_both_hours_and_never_in_the_gap() -> None:
    assert local("30 * * * *", "2026-10-25T01:45") == ["10-25 02:30 +0200", "10-25 02:30 +0100", "10-25 03:30 +0100"]
    assert local("30 * * * *", "2026-03-29T00:45") == ["03-29 01:30 +0100", "03-29 03:30 +0200", "03-29 04:30 +0200"]
    assert local("*/30 2 * * *", "2026-03-28T12:00") == ["03-30 02:00 +0200", "03-30 02:30 +0200", "03-31 02:00 +0200"]


def test_a_midnight_that_a_zone_skips() -> None:
    assert local("0 0 * * *", "2026-04-23T12:00", "Africa/Cairo", 2) == ["04-24 01:00 +0300", "04-25 00:00 +0300"]
    assert local("*/15 0 * * 5", "2026-04-23T12:00", "Africa/Cairo", 1) == ["05-01 00:00 +0300"]


@pytest.mark.parametrize("sunday", ["0", "7", "SUN", "sun"])
def test_sunday_has_two_numbers_and_a_name(sunday: str) -> None:
    assert local(f"0 0 * * {sunday}", "2026-05-05T00:00", "UTC", 2) == ["05-10 00:00 +0000", "05-17 00:00 +0000"]


def test_days_of_month_and_of_week_are_joined_by_or_when_both_are_given() -> None:
    both = local("0 0 13 * 5", "2026-02-01T00:00", "UTC", 5)
    assert [t[:5] for t in both] == ["02-06", "02-13", "02-20", "02-27", "03-06"]
    assert [t[:5] for t in local("0 0 */13 * 5", "2026-02-01T00:00", "UTC", 2)] == ["02-27", "03-27"]


def test_a_time_that_is_due_right_now_is_not_next() -> None:
    assert local("0 12 * * *", "2026-05-05T12:00", "UTC", 1) == ["05-06 12:00 +0000"]


@pytest.mark.parametrize(
    ("named", "fields"),
    [("@hourly", "0 * * * *"), ("@Daily", "0 0 * * *"), (" @weekly ", "0 0 * * 0"), ("@yearly", "0 0 1 1 *")],
)
def test_names_stand_for_expressions(named: str, fields: str) -> None:
    assert check_expression(named) == fields
    start = datetime(2026, 5, 5, tzinfo=UTC)
    assert next_times(named, start, count=3) == next_times(fields, start, count=3)


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("60 * * * *", "bad minute"),
        ("* 24 * * *", "bad hour"),
        ("* * 0 * *", "bad day-of-month"),
        ("* * 32 2 *", "'\\* \\* 32 2 \\*' is no cron expression: bad day-of-month"),
        ("* * * 13 *", "bad month"),
        ("* * * * 8", "bad day-of-week"),
        ("5-1 * * * *", "bad minute"),
        ("*/0 * * * *", "bad minute"),
        ("1, * * * *", "bad minute"),
        ("٣ * * * *", "bad minute"),
        ("", "0 of 5 fields"),
        ("* * * *", "4 of 5 fields"),
        ("0 * * * * *", "6 of 5 fields"),
        ("@reboot", "1 of 5 fields"),
        ("* " * 200, "too long"),
        ("0 0 30 2 *", "never due"),
        ("0 0 31 4,6,9,11 *", "never due"),
        ("0 0 */31 2 1#5", "never due"),
    ],
)
def test_what_cannot_be_meant_is_refused(expression: str, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        next_times(expression, datetime(2026, 5, 5, tzinfo=UTC))


def test_a_29_february_comes_even_on_one_day_of_the_week() -> None:
    assert check_expression("0 0 29 2 *") == "0 0 29 2 *"
    assert next_times("0 0 */28 2 1#5", datetime(2026, 5, 5, tzinfo=UTC)) == (datetime(2044, 2, 29, tzinfo=UTC),)


@pytest.mark.parametrize("zone", ["", "Mars/Olympus", "../etc/passwd", "Europe", "/etc/localtime", "Europe/Berlin\0"])
def test_an_unknown_zone_is_refused(zone: str) -> None:
    with pytest.raises(InvalidRequest, match="no time zone"):
        zone_of(zone)


def test_a_start_without_a_zone_and_odd_counts_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="no zone"):
        next_times("@daily", datetime(2026, 5, 5))  # noqa: DTZ001
    for count in (0, -1, 10_001):
        with pytest.raises(InvalidRequest, match="times cannot be given"):
            next_times("@daily", datetime(2026, 5, 5, tzinfo=UTC), count=count)


def test_the_end_of_the_calendar_ends_the_times() -> None:
    assert next_times("0 * * * *", datetime(9999, 12, 31, 22, tzinfo=UTC), count=5) == (
        datetime(9999, 12, 31, 23, tzinfo=UTC),
    )


def test_without_its_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cronsim", None)
    with pytest.raises(Unsupported, match="cronsim"):
        check_expression("@daily")


@given(expressions, times, st.sampled_from(ZONES))
def test_times_are_later_one_by_one_and_asking_in_parts_changes_nothing(
    expression: str, after: datetime, zone: str
) -> None:
    found = next_times(expression, after, zone, count=6)
    assert list(found) == sorted(set(found))
    assert found[0] > after
    one_by_one = [after]
    for _ in found:
        one_by_one += next_times(expression, one_by_one[-1], zone)
    assert tuple(one_by_one[1:]) == found


@given(minutes, hours, times, st.sampled_from(ZONES[:4]))
def test_every_time_shows_on_the_clock_of_the_zone(minute: str, hour: str, after: datetime, zone: str) -> None:
    """But for a fixed time that the clock skipped, which comes right after the gap."""
    for due in next_times(f"{minute} {hour} * * *", after, zone, count=5):
        there = due.astimezone(ZoneInfo(zone))
        skipped = (due - timedelta(minutes=1)).astimezone(ZoneInfo(zone)).utcoffset() != there.utcoffset()
        assert skipped or (_fits(minute, there.minute, 60) and _fits(hour, there.hour, 24))


def _fits(field: str, value: int, size: int) -> bool:
    allowed: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        low, _, high = span.partition("-")
        first, last = (0, size - 1) if low == "*" else (int(low), int(high or low))
        allowed |= set(range(first, last + 1, int(step or 1)))
    return value in allowed
