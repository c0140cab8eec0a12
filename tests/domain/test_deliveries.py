"""What may become of a delivery, who is sent to, and how long is waited."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from chopmark.domain.audit import AuditEvent
from chopmark.domain.deliveries import (
    ASKED_PAUSE_MAX_S,
    ATTEMPTS_MAX,
    BELIEVED_S,
    DELAYS_S,
    HELD_MAX_S,
    LEASE_MAX_S,
    Answer,
    Candidate,
    Delivery,
    attempted,
    chosen,
    cleaned,
    delay_s,
    held_until,
    is_success,
    message_id,
    parse_message_id,
    queued,
    replayed,
    retry_after_s,
)
from chopmark.errors import Conflict, InvalidRequest

NOON = datetime(2026, 3, 3, 12, tzinfo=UTC)
HOOK = UUID(int=7)
EVENT = AuditEvent(seq=3, id=UUID(int=1), at=NOON, actor="ada", event="version.promoted", target="fraud:1")


def a_delivery() -> Delivery:
    return queued(HOOK, EVENT, NOON)


def test_the_schedule_is_from_five_seconds_to_six_hours() -> None:
    assert list(DELAYS_S) == [5, 300, 1_800, 7_200, 18_000, 21_600]
    assert ATTEMPTS_MAX == 7


@given(st.lists(st.sampled_from([0, 200, 204, 301, 400, 410, 429, 500, 503]), max_size=12), st.floats(0, 1))
def test_a_delivery_ends_delivered_or_dead_and_its_id_stays(statuses: list[int], jitter: float) -> None:
    delivery, now = a_delivery(), NOON
    for status in statuses:
        before = delivery
        answer = Answer(status=status, error="" if status else "no answer")
        delivery = attempted(delivery, answer, now, jitter)
        assert delivery.id == message_id(HOOK, 3)
        assert delivery.attempt == before.attempt + 1 <= ATTEMPTS_MAX
        assert (delivery.state == "delivered") == is_success(answer)
        assert (delivery.state == "failed") == (delivery.due_at is not None) == (delivery.ended_at is None)
        if delivery.state == "failed":
            assert delivery.due_at is not None
            wait_s = (delivery.due_at - now).total_seconds()
            assert 0.9 * DELAYS_S[before.attempt] <= wait_s <= DELAYS_S[before.attempt]
            now = delivery.due_at
        else:
            assert delivery.state == "delivered" or status == 410 or delivery.attempt == ATTEMPTS_MAX
            break


def test_an_error_is_no_success_whatever_its_status() -> None:
    assert not is_success(Answer(status=200, error="cut"))
    assert is_success(Answer(status=299))
    assert not is_success(Answer(status=300))


def test_a_replay_begins_anew_with_the_same_id() -> None:
    dead = attempted(a_delivery(), Answer(status=410), NOON, 0.0)
    again = replayed(dead)
    assert (again.state, again.attempt, again.id, again.attempts) == ("queued", 0, dead.id, dead.attempts)
    with pytest.raises(Conflict):
        replayed(again)


def test_the_last_twenty_attempts_are_kept() -> None:
    delivery = a_delivery()
    for n in range(30):
        failed = attempted(delivery, Answer(status=500, body=str(n)), NOON, 0.0)
        delivery = structs.replace(failed, attempt=1, state="queued")
    assert [a.body for a in delivery.attempts] == [str(n) for n in range(10, 30)]


@given(st.text(max_size=60))
def test_any_wish_is_bounded(text: str) -> None:
    assert 0 <= retry_after_s(text, NOON) <= ASKED_PAUSE_MAX_S


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("90", 90), (" 90 ", 90), ("9" * 400, ASKED_PAUSE_MAX_S), ("-5", 0), ("1.5", 0), ("", 0), ("²", 0),
     ("Tue, 03 Mar 2026 12:00:30 GMT", 30), ("Tue, 03 Mar 2026 11:00:00 GMT", 0), ("Tue, 03 Mar 2066 12:00:30 GMT", ASKED_PAUSE_MAX_S),
     ("Tue, 03 Mar 2026 12:00:30", 0), ("Tue, 99 Mar 2026 12:00:30 GMT", 0)],
)  # fmt: skip
def test_wishes(text: str, seconds: float) -> None:
    assert retry_after_s(text, NOON) == seconds


def test_a_wish_is_heeded_when_it_is_longer_than_the_schedule() -> None:
    asked = attempted(a_delivery(), Answer(status=503, retry_after="60"), NOON, 1.0)
    assert asked.due_at == NOON + timedelta(seconds=60)
    short = attempted(a_delivery(), Answer(status=503, retry_after="1"), NOON, 1.0)
    assert short.due_at == NOON + timedelta(seconds=5)


def test_holds_grow_and_end() -> None:
    fails = Answer(status=500)
    found = [held_until(n, fails, NOON) for n in range(1, 60)]
    assert found[:2] == [None, None]
    pauses = [(each - NOON).total_seconds() for each in found[2:] if each is not None]
    assert pauses[:7] == [5, 10, 20, 40, 80, 160, 300]
    assert set(pauses[6:]) == {HELD_MAX_S}
    assert held_until(1, Answer(status=500, retry_after="60"), NOON) is None, "only who is busy asks for a pause"
    assert held_until(1, Answer(status=429, retry_after="60"), NOON) == NOON + timedelta(seconds=60)


def test_what_is_believed_is_longer_than_anything_that_is_meant() -> None:
    assert max(HELD_MAX_S, LEASE_MAX_S) + 300 < BELIEVED_S


@given(
    st.lists(st.integers(0, 3), max_size=20),
    st.integers(0, 5),
    st.integers(0, 5),
    st.integers(1, 12),
)
def test_those_that_fail_get_half_of_the_threads(failures: list[int], failing: int, well: int, slots: int) -> None:
    candidates = [Candidate(UUID(int=n + 1), bad, 0) for n, bad in enumerate(failures)]
    bad_ones = [UUID(int=100 + n) for n in range(failing)]
    taken = chosen(candidates, bad_ones, running=failing + well, slots=slots)
    assert len(taken) <= max(0, slots - failing - well)
    assert [c for c in candidates if c in taken] == taken, "in their order"
    if sum(c.failures > 0 for c in taken):
        assert failing + sum(c.failures > 0 for c in taken) <= max(1, slots // 2)
    if len(taken) < slots - failing - well:
        assert all(c in taken for c in candidates if not c.failures), "one that answers was left out"


def test_message_ids_are_read_back() -> None:
    assert parse_message_id(message_id(HOOK, 3)) == (HOOK, 3)
    for text in ("", "msg_1", message_id(HOOK, 3) + "x", message_id(HOOK, 3).upper(), f"msg_{HOOK.hex}_03"):
        with pytest.raises(InvalidRequest):
            parse_message_id(text)


def test_what_is_kept_of_an_answer_holds_no_secret_and_no_nul() -> None:
    answer = Answer(error="bad whsec_x", body="whsec_x\0\ud800")
    assert cleaned(answer, ["whsec_x"]) == Answer(error="bad …", body="…�?")


@given(st.integers(1, 100), st.floats(0, 1))
def test_delays_are_never_longer_than_said(attempt: int, jitter: float) -> None:
    assert 4.5 <= delay_s(attempt, jitter) <= 21_600
