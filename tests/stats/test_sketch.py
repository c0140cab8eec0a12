"""The sketch: merges are exact whatever the order, quantiles are within the relative error, bad input is refused."""

from __future__ import annotations

import math
from functools import reduce
from operator import add
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chopmark.errors import InvalidRequest
from chopmark.stats.sketch import RELATIVE_ERROR, QuantileSketch, bin_ends, bin_of
from chopmark.stats.summaries import Proportion

OUTER = 8193
finite = st.floats(allow_nan=False, allow_infinity=False)
ordinary = st.floats(min_value=2.0**-60, max_value=2.0**60)
signed = st.one_of(ordinary, ordinary.map(lambda value: -value), st.just(0.0))
samples = st.lists(signed, min_size=1, max_size=60)


@given(st.lists(st.lists(finite, max_size=30), min_size=1, max_size=6), st.randoms())
def test_any_order_and_any_batches_give_equal_sketches(batches, random):
    whole = QuantileSketch.of([value for batch in batches for value in batch])
    shuffled = [list(batch) for batch in batches]
    random.shuffle(shuffled)
    for batch in shuffled:
        random.shuffle(batch)
    parts = [QuantileSketch.of(batch) for batch in shuffled]
    assert reduce(add, parts) == whole
    middle = len(parts) // 2
    assert reduce(add, parts[middle:], QuantileSketch()) + reduce(add, parts[:middle], QuantileSketch()) == whole
    assert hash(reduce(add, parts)) == hash(whole)


def test_batches_longer_than_a_chunk_add_up_to_the_same():
    values = np.random.default_rng(1).normal(scale=1e3, size=200_001)
    pieces = [QuantileSketch.of(piece) for piece in np.array_split(values, 37)]
    assert reduce(add, pieces) == QuantileSketch.of(values)
    assert QuantileSketch.of(values).count == values.size


@given(finite)
def test_an_array_falls_into_the_bins_that_numbers_fall_into_one_by_one(value):
    bins, upto = QuantileSketch.of([value]).cumulative()
    assert bins.tolist() == [bin_of(value)]
    assert upto.tolist() == [1]
    low, high = bin_ends(bin_of(value))
    assert low <= value <= high


@pytest.mark.parametrize("index", [-OUTER, -OUTER + 1, -64, -1, 0, 1, 2, 64, 65, 4097, OUTER - 1, OUTER])
def test_bins_follow_each_other_without_a_gap(index):
    low, high = bin_ends(index)
    assert bin_of(low) == bin_of(high) == index
    if index < OUTER:
        assert math.nextafter(high, math.inf) == bin_ends(index + 1)[0]
        assert bin_of(math.nextafter(high, math.inf)) == index + 1


@pytest.mark.parametrize("index", [*range(1, 130), 4097, OUTER - 1])
def test_no_bin_is_wider_than_the_relative_error_allows(index):
    low, high = bin_ends(index)
    middle = 2 * low * high / (low + high)
    assert max(1 - middle / high, middle / low - 1) <= RELATIVE_ERROR * (1 + 1e-12) < 0.01


@given(samples, st.floats(0, 1))
def test_a_quantile_is_within_the_relative_error_of_the_element_of_its_rank(values, q):
    exact = sorted(values)[math.floor(q * (len(values) - 1))]
    found = QuantileSketch.of(values).quantile(q)
    assert found == pytest.approx(exact, rel=0.01, abs=0)
    assert min(values) <= found <= max(values)


@given(samples, st.floats(0, 1), st.floats(0, 1))
def test_quantiles_and_positions_rise(values, first, second):
    sketch = QuantileSketch.of(values)
    low, high = sorted((first, second))
    assert sketch.quantile(low) <= sketch.quantile(high)
    last = len(values) - 1
    assert sketch.interpolated(low * last) <= sketch.interpolated(high * last)
    assert sketch.interpolated(0) == min(values)
    assert sketch.interpolated(last) == max(values)


def test_numbers_spread_evenly_over_a_bin_are_found_again():
    inside = [64 + (i + 0.5) / 10 for i in range(10)]  # 64 to 65 is one bin
    sketch = QuantileSketch.of([60.0, *inside, 70.0])
    assert len(sketch.bins) == 2 * 3
    assert [sketch.interpolated(i + 1) for i in range(10)] == pytest.approx(inside, rel=1e-12)
    assert sketch.interpolated(5.5) == pytest.approx(64.5, rel=1e-12)


@given(samples)
def test_every_element_lies_between_the_ends_at_its_rank(values):
    sketch = QuantileSketch.of(values)
    for rank, value in enumerate(sorted(values)):
        low, high = sketch.ends_at(rank)
        assert low <= value <= high
        assert low <= sketch.interpolated(rank) <= high


@given(samples, signed)
def test_the_rank_of_a_value_is_off_by_its_bin_at_most(values, value):
    sketch = QuantileSketch.of(values)
    low, high = bin_ends(bin_of(value))
    share = sketch.rank(value)
    assert np.mean(np.array(values) < low) <= share <= np.mean(np.array(values) <= high)
    assert sketch.rank(high) == pytest.approx(np.mean(np.array(values) <= high), abs=1e-15)


@given(samples, signed)
def test_counts_above_the_end_of_a_bin_are_exact(values, value):
    end = bin_ends(bin_of(value))[1]
    expected = Proportion(sum(v > end for v in values), len(values))
    assert QuantileSketch.of(values).above(end) == expected
    assert QuantileSketch.of(values).above(value) == expected


def test_what_lies_beyond_the_range_is_counted_and_its_extremes_are_known():
    sketch = QuantileSketch.of([-1e300, -1e-300, 0.0, 5e-324, 1e25, 1e300])
    assert sketch.count == 6
    assert [int(index) for index in sketch.cumulative()[0]] == [-OUTER, 0, OUTER]
    assert (sketch.quantile(0), sketch.quantile(0.5), sketch.quantile(1)) == (-1e300, 0.0, 1e300)
    assert math.isfinite(sketch.interpolated(4.5))


@given(st.lists(finite, max_size=40))
def test_a_sketch_survives_json(values):
    sketch = QuantileSketch.of(values)
    assert msgspec.json.decode(msgspec.json.encode(sketch), type=QuantileSketch) == sketch


def test_json_is_small_whatever_the_range():
    values = [1e-15, 1.0, 1e15]
    assert len(msgspec.json.encode(QuantileSketch.of(values * 1000))) < 150
    latencies_ms = np.random.default_rng(2).lognormal(4, 0.5, 100_000)
    assert len(msgspec.json.encode(QuantileSketch.of(latencies_ms))) < 6_000


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int64, np.uint8, np.bool_, ">f8"])
def test_numbers_of_any_type_are_taken(dtype):
    values = np.array([0, 1, 1, 1]).astype(dtype)
    assert QuantileSketch.of(values) == QuantileSketch.of([0.0, 1.0, 1.0, 1.0])
    assert QuantileSketch.of(np.tile(values, (2, 1)).T[::2]).count == 4


def test_minus_zero_is_zero():
    assert msgspec.json.encode(QuantileSketch.of([-0.0])) == msgspec.json.encode(QuantileSketch.of([0.0]))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, -math.nan])
@pytest.mark.parametrize("others", [[1.0, 2.0], [-1.0, 2.0]])
def test_a_number_that_is_not_finite_is_refused(bad, others):
    with pytest.raises(InvalidRequest, match="not finite"):
        QuantileSketch.of([*others, bad])


@pytest.mark.parametrize("bad", [["a"], [None], [1j]])
def test_what_is_no_number_is_refused(bad):
    with pytest.raises(InvalidRequest, match="no numbers"):
        QuantileSketch.of(bad)


GOOD = {"bins": b"\x01\x00\x05\x00", "counts": b"\x01" + b"\x00" * 7 + b"\x02" + b"\x00" * 7}


@pytest.mark.parametrize(
    "change",
    [
        {"bins": b"\x05\x00\x01\x00"},  # not ascending
        {"bins": b"\x01\x00"},  # not as many as counts
        {"bins": b"\x01\x00\x05"},  # half a number
        {"counts": b"\x00" * 8 + b"\x02" + b"\x00" * 7},  # an empty bin
        {"counts": b"\xff" * 8 + b"\x02" + b"\x00" * 7},  # a negative count
        {"least": 1.0},  # not in the first bin
        {"greatest": 1.0},  # not in the last
        {"least": math.nan},
        {"bins": b"", "counts": b""},  # extremes of nothing
    ],
)
def test_parts_that_are_no_sketch_are_refused(change):
    whole: dict[str, Any] = GOOD | {"least": bin_ends(1)[0], "greatest": bin_ends(5)[0]}
    assert QuantileSketch(**whole).count == 3
    with pytest.raises(InvalidRequest):
        QuantileSketch(**(whole | change))


def test_an_empty_sketch_adds_nothing_and_has_no_quantiles():
    some, none = QuantileSketch.of([3.0]), QuantileSketch()
    assert some + none == none + some == some
    assert (none + none).count == 0
    assert none.above(1.0) == Proportion(0, 0)
    for ask in (
        lambda: none.quantile(0.5),
        lambda: none.rank(1.0),
        lambda: none.interpolated(0),
        lambda: none.ends_at(0),
    ):
        with pytest.raises(InvalidRequest, match="no numbers"):
            ask()


@pytest.mark.parametrize("q", [-0.01, 1.01, math.nan])
def test_a_share_beyond_0_and_1_is_refused(q):
    with pytest.raises(InvalidRequest):
        QuantileSketch.of([1.0]).quantile(q)


def test_positions_and_ranks_beyond_the_numbers_are_refused():
    sketch = QuantileSketch.of([1.0, 2.0])
    for ask in (lambda: sketch.interpolated(1.5), lambda: sketch.ends_at(2), lambda: sketch.ends_at(-1)):
        with pytest.raises(InvalidRequest, match="There is no"):
            ask()
