"""Summaries: any batching and any order give the same, against exact fractions and NIST's certified values."""

import math
from fractions import Fraction
from functools import reduce
from itertools import pairwise
from operator import add
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chopmark.errors import InvalidRequest
from chopmark.stats.summaries import Cuped, Exposures, Mean, Proportion, Ratio

numbers = st.floats(-1e6, 1e6) | st.integers(-3, 3).map(float) | st.floats(1e7, 1e7 + 3)
batches = st.lists(st.lists(numbers, max_size=6), min_size=1, max_size=6)


def exactly(values: list[float]) -> tuple[float, float]:
    """Mean and sum of squared deviations in fractions."""
    if not values:
        return 0.0, 0.0
    fractions = [Fraction(v) for v in values]
    mean = sum(fractions) / len(fractions)
    return float(mean), float(sum((v - mean) ** 2 for v in fractions))


@given(batches, st.randoms(use_true_random=False))
def test_means_of_batches_add_up_in_any_order(parts: list[list[float]], seed) -> None:
    mean, m2 = exactly([v for part in parts for v in part])
    scale = max((abs(v) for part in parts for v in part), default=0.0)
    shuffled = list(parts)
    seed.shuffle(shuffled)
    pairs = [Mean.of(part) for part in shuffled]
    middle = len(pairs) // 2
    tree = reduce(add, pairs[:middle], Mean()) + reduce(add, pairs[middle:], Mean())
    for whole in (reduce(add, map(Mean.of, parts), Mean()), reduce(add, pairs), tree):
        assert whole.n == sum(map(len, parts))
        assert whole.mean == pytest.approx(mean, rel=1e-13, abs=1e-15 * scale)
        assert whole.m2 == pytest.approx(m2, rel=1e-6, abs=1e-13 * scale**2)


@pytest.mark.parametrize(
    ("values", "mean", "deviation"),
    [  # NIST StRD, univariate summary statistics: NumAcc1 to NumAcc4
        ([10000001, 10000003, 10000002], 10000002, 1),
        ([1.2, *[1.1, 1.3] * 500], 1.2, 0.1),
        ([1000000.2, *[1000000.1, 1000000.3] * 500], 1000000.2, 0.1),
        ([10000000.2, *[10000000.1, 10000000.3] * 500], 10000000.2, 0.1),
    ],
)
def test_certified_values(values: list[float], mean: float, deviation: float) -> None:
    for width in (1, 2, 7, 500, len(values)):
        cuts = [*range(0, len(values), width), len(values)]
        whole = reduce(add, (Mean.of(values[a:b]) for a, b in pairwise(cuts)), Mean())
        assert whole.mean == pytest.approx(mean, rel=1e-13)
        assert whole.standard_deviation == pytest.approx(deviation, rel=1e-7)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4)), max_size=30))
def test_counts_add_up_exactly(trials: list[tuple[bool, int]]) -> None:
    parts = [Proportion.of([o for o, batch in trials if batch == b]) for b in range(5)]
    assert reduce(add, parts) == reduce(add, reversed(parts)) == Proportion.of([o for o, _ in trials])


@pytest.mark.parametrize("kind", [Ratio, Cuped])
@given(seed=st.integers(0, 10**6), cut=st.integers(0, 40))
def test_pairs_add_up(kind, seed: int, cut: int) -> None:
    random = np.random.default_rng(seed)
    y, x = random.normal(1e4, 1, 40), random.normal(-1e3, 2, 40)
    whole, merged = kind.of(y, x), kind.of(y[cut:], x[cut:]) + kind.of(y[:cut], x[:cut])
    assert msgspec.structs.astuple(merged) == pytest.approx(msgspec.structs.astuple(whole), rel=1e-9, abs=1e-9)
    assert whole.covariance == pytest.approx(np.cov(y, x)[0, 1], rel=1e-9)
    assert whole.variance_y == pytest.approx(y.var(ddof=1))
    assert whole.variance_x == pytest.approx(x.var(ddof=1))
    sums = kind.from_sums(40, y.sum(), x.sum(), y @ y, x @ x, y @ x)
    assert msgspec.structs.astuple(sums) == pytest.approx(msgspec.structs.astuple(whole), rel=1e-5, abs=1e-4)


def test_exposures_add_up() -> None:
    whole = Exposures({"a": 3}) + Exposures({"b": 2, "a": 1})
    assert whole == Exposures({"b": 2}) + Exposures({"a": 4})
    assert whole.total == 6


def test_they_survive_json() -> None:
    for value in (Proportion(3, 5), Mean.of([1.5, 2.0]), Ratio.of([1.0, 2.0], [1.0, 3.0]), Exposures({"a": 3})):
        assert msgspec.json.decode(msgspec.json.encode(value), type=type(value)) == value


def test_the_empty_summary_changes_nothing() -> None:
    pairs: list[tuple[Any, Any]] = [
        (Mean(), Mean.of([1.0, 4.0])),
        (Proportion(), Proportion(1, 3)),
        (Ratio(), Ratio.of([1.0], [2.0])),
        (Exposures(), Exposures({"a": 1})),
    ]
    for empty, some in pairs:
        assert empty + some == some + empty == some
    assert Mean.of([]) == Mean()
    assert Mean.of([]).variance == Mean.of([3.0]).variance == 0.0


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_refused_and_nothing_changes(value: float) -> None:
    before = Mean.of([1.0, 2.0])
    with pytest.raises(InvalidRequest, match="not finite"):
        before += Mean.of([1.0, value])
    assert before == Mean.of([1.0, 2.0])
    with pytest.raises(InvalidRequest):
        Mean(1, value, 0.0)
    with pytest.raises(InvalidRequest, match="not finite"):
        Ratio.of([1.0], [value])


def test_counts_that_cannot_be_are_refused() -> None:
    counts: list[tuple[Any, Any]] = [(3, 2), (-1, 2), (1, -1), (1.0, 2), (True, 2), ("1", 2)]
    for successes, n in counts:
        with pytest.raises(InvalidRequest):
            Proportion(successes, n)
    sizes: list[tuple[Any, float]] = [(-1, 0.0), (1, -0.5), (1.5, 0.0)]
    for n, m2 in sizes:
        with pytest.raises(InvalidRequest):
            Mean(n, 0.0, m2)
    with pytest.raises(InvalidRequest):
        Exposures({"a": -1})
    with pytest.raises(InvalidRequest, match="0 or 1"):
        Proportion.of([0, 1, 2])
    with pytest.raises(InvalidRequest, match="not pairs"):
        Cuped.of([1.0, 2.0], [1.0])
    with pytest.raises(InvalidRequest, match="standard_deviation"):
        Mean.from_deviation(3, 0.0, -1.0)
