"""Outcomes add up exactly, in any order; what cannot be kept is refused."""

from datetime import UTC, datetime, timedelta
from functools import reduce
from operator import add
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from chopmark.base.jsons import decode, encode
from chopmark.domain.outcome_tiers import KEPT, is_readable, joined
from chopmark.domain.outcomes import (
    COST_USD_MAX,
    COUNT_MAX,
    METRIC_SUM_MAX,
    SUM_MAX,
    WINDOW,
    ErrorCounts,
    MetricSums,
    OutcomeWindow,
    Spending,
    check_window,
    window_start,
)
from chopmark.errors import InvalidRequest
from chopmark.stats.sketch import QuantileSketch

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
BARE = OutcomeWindow(endpoint=UUID(int=1), version=UUID(int=2), variant="stable", start=NOON)
COUNTS = st.integers(0, COUNT_MAX)

windows = st.builds(
    lambda counts, errors, latencies, minutes: structs.replace(
        BARE,
        start=NOON + timedelta(minutes=minutes),
        requests=counts[0],
        rows=counts[1],
        without_key=counts[2],
        request_bytes=counts[3],
        response_bytes=counts[4],
        dropped=counts[5],
        errors=ErrorCounts(*errors),
        latency=QuantileSketch.of([float(each) for each in latencies]) if latencies else QuantileSketch(),
    ),
    st.tuples(*[COUNTS] * 6),
    st.tuples(*[COUNTS] * 4),
    st.lists(st.integers(1, 10**10), max_size=5),
    st.integers(0, 3),
)


@settings(max_examples=80, deadline=None)
@given(found=st.lists(windows, min_size=1, max_size=5), chance=st.randoms())
def test_totals_are_the_same_in_any_order(found: list[OutcomeWindow], chance: object) -> None:
    total = reduce(add, found)
    for name in ("requests", "rows", "without_key", "request_bytes", "response_bytes", "dropped"):
        assert getattr(total, name) == sum(getattr(window, name) for window in found), name
    for name in ("client", "model", "timeout", "refused"):
        assert getattr(total.errors, name) == sum(getattr(window.errors, name) for window in found), name
    assert total.errors.total == sum(window.errors.total for window in found)
    assert total.latency.count == sum(window.latency.count for window in found)
    assert total.start == min(window.start for window in found)
    mixed = list(found)
    chance.shuffle(mixed)
    assert reduce(add, mixed) == total


@settings(max_examples=40, deadline=None)
@given(window=windows)
def test_a_window_comes_back_from_json(window: OutcomeWindow) -> None:
    assert decode(encode(window), OutcomeWindow) == window
    assert check_window(window) == window


@pytest.mark.parametrize("other", [{"endpoint": UUID(int=9)}, {"version": UUID(int=9)}, {"variant": "candidate"}])
def test_different_variants_do_not_add_up(other: dict[str, object]) -> None:
    with pytest.raises(InvalidRequest, match="do not add up"):
        BARE + structs.replace(BARE, **other)


def test_a_window_begins_with_a_minute() -> None:
    for late in (timedelta(seconds=1), timedelta(microseconds=1)):
        with pytest.raises(InvalidRequest, match="begins with a minute"):
            check_window(structs.replace(BARE, start=NOON + late))
        assert window_start(NOON + late) == NOON
    with pytest.raises(InvalidRequest, match="200"):
        check_window(structs.replace(BARE, variant="v" * 201))
    with pytest.raises(InvalidRequest):
        decode(encode(BARE).replace(b'"variant"', b'"requests":-1,"variant"'), OutcomeWindow)


def test_outcomes_of_nobody_are_refused() -> None:
    window = OutcomeWindow(
        endpoint=UUID(int=1), version=UUID(int=2), variant="", start=datetime(2026, 1, 1, tzinfo=UTC)
    )
    with pytest.raises(InvalidRequest, match="no name"):
        check_window(window)


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ({"requests": COUNT_MAX + 1}, "requests is 1,000,000,000,001"),
        ({"response_bytes": COUNT_MAX + 1}, "response_bytes"),
        ({"errors": ErrorCounts(timeout=COUNT_MAX + 1)}, "errors by timeout"),
        ({"spent": Spending(cost_usd=float("nan"))}, "cost_usd is nan"),
        ({"spent": Spending(cost_usd=float("inf"))}, "cost_usd is inf"),
        ({"spent": Spending(cost_usd=-0.01)}, "cost_usd is -0.01"),
        ({"spent": Spending(cost_usd=2 * COST_USD_MAX)}, r"cost_usd is 2e\+12"),
        ({"spent": Spending(input_tokens=COUNT_MAX + 1)}, "input_tokens"),
        ({"latency": QuantileSketch.of([-1.0])}, "less than nothing"),
        ({"metrics": {"a": MetricSums.of_one(1.2e154)}}, "'a' is too large"),
        ({"metrics": {"a": MetricSums.of_one(float("nan"))}}, "no numbers"),
        ({"metrics": {"a": MetricSums(COUNT_MAX + 1, 1.0, 1.0, 1.0, 1.0)}}, "number of values"),
    ],
)
def test_what_would_not_add_up_is_refused(what: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        check_window(structs.replace(BARE, **what))


def test_the_greatest_minutes_add_up_over_all_that_is_kept() -> None:
    """All minutes of 400 days, by doubling: the sum can be read, and its mean and deviation are numbers."""
    great = check_window(
        structs.replace(
            BARE,
            requests=COUNT_MAX,
            spent=Spending(cost_usd=COST_USD_MAX),
            metrics={"a": MetricSums(1, METRIC_SUM_MAX, METRIC_SUM_MAX**2, METRIC_SUM_MAX, METRIC_SUM_MAX)},
        )
    )
    minutes = int(KEPT["day"] / WINDOW)
    total, bits = great, minutes.bit_length()
    for _ in range(bits):
        total += total
    assert total.requests > minutes * COUNT_MAX
    assert is_readable(total)
    assert decode(encode(total), OutcomeWindow) == total
    assert total.metrics["a"].summary.standard_deviation >= 0


def test_a_sum_that_could_not_be_read_again_is_none() -> None:
    half = structs.replace(BARE, requests=SUM_MAX // 2 + 1)
    assert joined(None, half, "hour") == half
    assert joined(half, half, "hour") is None
    dear = structs.replace(BARE, spent=Spending(cost_usd=1.7e308))
    assert joined(dear, dear, "hour") is None
