"""Outcomes as they grow old: sums are exact in any order, spans are what they say, and numbers of callers add up."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import reduce
from operator import add
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from chopmark.domain.outcome_summaries import compared, summarised
from chopmark.domain.outcome_tiers import GRAINS, KEPT, LENGTH, beginning, by_grain, cut, span_seconds
from chopmark.domain.outcomes import ErrorCounts, MetricSums, OutcomeWindow, check_window
from chopmark.errors import InvalidRequest
from chopmark.stats.sketch import QuantileSketch

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)

windows = st.builds(
    lambda minute, requests, version, variant, values: OutcomeWindow(
        endpoint=UUID(int=1),
        version=UUID(int=version),
        variant=variant,
        start=NOON + timedelta(minutes=minute),
        requests=requests,
        errors=ErrorCounts(client=requests // 3),
        latency=QuantileSketch.of([float(v) for v in values]) if values else QuantileSketch(),
        metrics={"m": reduce(add, map(MetricSums.of_one, map(float, values)), MetricSums())} if values else {},
    ),
    st.integers(0, 5_000),
    st.integers(0, 2**40),
    st.integers(1, 2),
    st.sampled_from(["stable", "candidate"]),
    st.lists(st.integers(1, 2**20), max_size=4),
)


@settings(max_examples=60, deadline=None)
@given(found=st.lists(windows, max_size=12), chance=st.randoms(), grain=st.sampled_from(GRAINS))
def test_sums_by_hour_and_day_are_exact_in_any_order(found: list[OutcomeWindow], chance: Any, grain: Any) -> None:
    expected = by_grain(found, grain)
    mixed = list(found)
    chance.shuffle(mixed)
    assert by_grain(mixed, grain) == expected  # whole numbers: sums of floats are exact here, too
    assert by_grain(by_grain(mixed, "hour").values() if grain == "day" else mixed, grain) == expected
    assert sum(w.requests for w in expected.values()) == sum(w.requests for w in found)
    assert sum(w.errors.client for w in expected.values()) == sum(w.errors.client for w in found)
    assert all(start == beginning(start, grain) == w.start for (_, start, _, _), w in expected.items())


def test_what_is_moved_is_moved_by_whole_hours_and_days() -> None:
    now = NOON + timedelta(minutes=31, seconds=7)
    assert cut(now, "minute") == NOON - timedelta(hours=48)
    assert cut(now, "hour") == datetime(2026, 1, 26, tzinfo=UTC)
    assert cut(now, "day") == datetime(2025, 1, 26, tzinfo=UTC)
    for grain in GRAINS:
        assert timedelta(0) <= now - KEPT[grain] - cut(now, grain) < LENGTH["day"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1h", 3_600), ("90s", 90), ("1.5d", 129_600), ("2w", 1_209_600), (60, 60), (timedelta(minutes=5), 300)],
)
def test_spans_are_read(text: Any, seconds: float) -> None:
    assert span_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "1y", "-1h", "nan", "inf", "401d", 0, None, [], "0s", "1e9d"])
def test_what_is_no_span_is_refused(text: Any) -> None:
    with pytest.raises(InvalidRequest, match=r"no (span|length)"):
        span_seconds(text)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.floats(-1e6, 1e6), max_size=6), max_size=5))
def test_sums_of_a_metric_are_those_of_its_values(parts: Sequence[Sequence[float]]) -> None:
    total = reduce(add, (reduce(add, map(MetricSums.of_one, part), MetricSums()) for part in parts), MetricSums())
    values = np.array([value for part in parts for value in part])
    assert total.count == values.size
    if not values.size:
        assert total == MetricSums()
        return
    assert (total.least, total.greatest) == (values.min(), values.max())
    assert total.mean == pytest.approx(values.mean(), abs=1e-6)
    if values.size > 1:
        spread = max(abs(values).max(), 1.0)
        assert total.summary.standard_deviation == pytest.approx(values.std(ddof=1), abs=1e-5 * spread, rel=1e-6)


def one(**more: Any) -> OutcomeWindow:
    return OutcomeWindow(endpoint=UUID(int=1), version=UUID(int=2), variant="stable", start=NOON, **more)


@pytest.mark.parametrize(
    "metrics",
    [
        {"": MetricSums.of_one(1.0)},
        {"x" * 101: MetricSums.of_one(1.0)},
        {"m": MetricSums(1, float("nan"), 1.0, 1.0, 1.0)},
        {"m": MetricSums(1, 1.0, float("inf"), 1.0, 1.0)},
        {"m": MetricSums(1, 1.0, 1.0, 2.0, 1.0)},
        {"m": MetricSums(1, 1.0, -1.0, 1.0, 1.0)},
        {f"m{n}": MetricSums.of_one(1.0) for n in range(51)},
    ],
)
def test_metrics_that_cannot_be_are_refused(metrics: dict[str, MetricSums]) -> None:
    with pytest.raises(InvalidRequest):
        check_window(one(metrics=metrics))


def test_a_window_without_zone_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="no time zone"):
        check_window(structs.replace(one(), start=datetime(2026, 3, 2, 12)))  # noqa: DTZ001


def test_rates_say_whose_fault_it_was() -> None:
    window = one(requests=100, rows=80, errors=ErrorCounts(client=10, model=5, timeout=3, refused=2))
    found = summarised(window, "fraud:1", "stable", 50.0)
    assert (found.success_rate, found.error_rate, found.requests_per_s) == (0.8, 10 / 90, 2.0)
    nothing = summarised(one(), "fraud:1", "stable", 50.0)
    assert (nothing.success_rate, nothing.error_rate, nothing.latency_ms_p50) == (None, None, None)
    clients = summarised(one(requests=3, errors=ErrorCounts(client=3)), "fraud:1", "stable", 50.0)
    assert (clients.success_rate, clients.error_rate) == (0.0, None)
    garbage = summarised(one(requests=12, rows=8, errors=ErrorCounts(unreadable=2, client=1, model=1)), "f:1", "", 1.0)
    assert (garbage.success_rate, garbage.error_rate, garbage.requests) == (0.8, 1 / 9, 12)


def test_what_one_of_two_does_not_have_is_not_compared() -> None:
    a = one(requests=100, latency=QuantileSketch.of([1e6] * 100), metrics={"m": MetricSums.of_one(1.0)})
    b = one(requests=100, errors=ErrorCounts(model=50))
    said = [summarised(each, "fraud:1", "", 1.0) for each in (a, b)]
    found = {d.metric: d for d in compared((a, said[0]), (b, said[1]))}
    assert set(found) == {"success_rate", "error_rate"}
    assert (found["error_rate"].difference, found["success_rate"].difference) == (0.5, -0.5)
    assert found["error_rate"].p_value is not None
    assert found["error_rate"].p_value < 1e-9
    assert compared((one(), summarised(one(), "a", "", 1.0)), (b, said[1])) == ()
