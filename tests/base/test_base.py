"""Ids, clocks, digests, cursors and JSON."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chopmark.base.clock import FakeClock, from_us, parse_time, system_clock, to_us
from chopmark.base.digest import digest_of, is_digest, parse_digest
from chopmark.base.ids import uuid7
from chopmark.base.jsons import canonical, decode
from chopmark.base.paging import check_limit, decode_cursor, encode_cursor
from chopmark.errors import ChopmarkError, Denied, InvalidRequest, NotFound, TimedOut, Unavailable, from_code

times = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@given(times)
def test_microseconds_are_exact(time: datetime) -> None:
    assert from_us(to_us(time)) == time


def test_a_naive_time_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="no time zone"):
        to_us(datetime(2026, 1, 1))  # noqa: DTZ001


@pytest.mark.parametrize("text", ["2026-03-03", "2026-03-03T00:00Z", "2026-03-03T01:00:00+01:00"])
def test_times_are_read_as_utc(text: str) -> None:
    assert parse_time(text) == datetime(2026, 3, 3, tzinfo=UTC)


@given(times, times)
def test_ids_sort_by_time_and_say_what_they_are(a: datetime, b: datetime) -> None:
    one, other = uuid7(a), uuid7(b)
    assert one.version == 7
    assert one.variant == uuid.RFC_4122
    assert one.int >> 80 == to_us(a) // 1000
    if abs(a - b) >= timedelta(milliseconds=1):
        assert (one < other) == (a < b)
        assert (one.bytes < other.bytes) == (a < b)


def test_ids_of_one_moment_differ() -> None:
    now = system_clock()
    assert len({uuid7(now) for _ in range(1000)}) == 1000


def test_a_fake_clock_moves_when_told() -> None:
    clock = FakeClock(step=timedelta(seconds=1))
    assert clock() < clock()
    clock.advance(timedelta(days=-1))
    assert clock() < datetime(2026, 1, 1, tzinfo=UTC)


def test_digests() -> None:
    assert digest_of(b"") == "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert digest_of([b"a", b"b"]) == digest_of(b"ab")
    assert is_digest(digest_of(b"x"))
    for bad in ["sha256:", "sha256:" + "A" * 64, "md5:" + "a" * 64, "a" * 64, digest_of(b"") + "\n"]:
        with pytest.raises(InvalidRequest):
            parse_digest(bad)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), json_values))
def test_canonical_json_does_not_depend_on_order(value: dict[str, object]) -> None:
    backwards = dict(reversed(list(value.items())))
    assert canonical(value) == canonical(backwards)


@given(st.lists(json_values, max_size=4), st.binary())
def test_a_cursor_reads_back_for_its_own_query(position: list[object], query: bytes) -> None:
    assert canonical(decode_cursor(encode_cursor(position, query), query)) == canonical(position)
    with pytest.raises(InvalidRequest):
        decode_cursor(encode_cursor(position, query), query + b"x")


@given(st.data())
def test_an_edited_cursor_is_refused(data: st.DataObject) -> None:
    cursor = encode_cursor([1, "fraud"], b"q")
    at = data.draw(st.integers(0, len(cursor) - 1))
    other = data.draw(st.sampled_from("ABCDEFGHabcdefgh0123-_"))
    edited = cursor[:at] + other + cursor[at + 1 :]
    if edited == cursor:
        return
    try:
        position = decode_cursor(edited, b"q")
    except InvalidRequest:
        return
    assert position == [1, "fraud"]  # only the unused bits of the last character may differ


@pytest.mark.parametrize("cursor", ["", "x", "é", "a" * 5000, "====", "AAAAAAAAAAAAAAAA"])
def test_garbage_is_no_cursor(cursor: str) -> None:
    with pytest.raises(InvalidRequest):
        decode_cursor(cursor, b"q")


@pytest.mark.parametrize("limit", [0, -1, 1001])
def test_pages_have_limits(limit: int) -> None:
    with pytest.raises(InvalidRequest):
        check_limit(limit)


def test_json_that_does_not_fit_names_the_place() -> None:
    with pytest.raises(InvalidRequest, match=r"\[0\] is a text"):
        decode(b'["x"]', list[int])


def test_errors_carry_code_hint_and_builtin_meaning() -> None:
    error = NotFound("There is no model 'x'.", hint="Look.", name="x")
    assert str(error) == "There is no model 'x'.\nLook."
    assert error.details == {"name": "x"}
    assert isinstance(error, LookupError)
    assert isinstance(TimedOut("t"), Unavailable | TimeoutError)
    assert str(Denied("no", hint="ask")) == "no\nask"
    assert from_code("timed_out") is TimedOut
    assert from_code("of a newer release") is ChopmarkError


def test_errors_survive_pickling() -> None:
    import copy

    error = copy.copy(Denied("no", hint="ask", who="ada"))
    assert (error.message, error.hint, error.details) == ("no", "ask", {"who": "ada"})
