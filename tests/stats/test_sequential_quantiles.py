"""The sequential quantile test: against a search by hand, valid at every look, the same from sketches."""

from __future__ import annotations

import math
from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, special

from chopmark.errors import InvalidRequest
from chopmark.stats.sequential_quantiles import SequentialQuantileTest, sequential_test
from chopmark.stats.sketch import QuantileSketch, bin_of

few_values = st.lists(st.integers(0, 12).map(float), min_size=1, max_size=25)
levels = st.sampled_from([0.05, 0.25, 0.5, 0.75, 0.95])


def log_mixture(successes, n, q, planned_n, alpha):
    """ln M of the paper, from the density that mixes the alternatives."""
    twice = 2 * math.log(1 / alpha)
    rho = planned_n * q * (1 - q) / (twice + math.log(1 + twice))
    r = max(rho - q * (1 - q), 1e-3 * q * (1 - q))
    a, b = r / (1 - q), r / q
    null = successes * math.log(q) + (n - successes) * math.log(1 - q)
    return special.betaln(a + successes, b + n - successes) - special.betaln(a, b) - null


def by_hand(first, second, q, planned_n, alpha=0.05):
    """Both infima taken by search: over every x at and between the values, and over every share at or around x."""
    points = sorted({*first, *second})
    points = [points[0] - 1, *points, *((a + b) / 2 for a, b in pairwise(points)), points[-1] + 1]
    least = math.inf
    for x in points:
        total = 0.0
        for arm in (first, second):
            n = len(arm)
            below, upto = sum(v < x for v in arm), sum(v <= x for v in arm)
            ends = [log_mixture(s, n, q, planned_n, alpha) for s in (below, upto)]
            if upto > below:
                inner = optimize.minimize_scalar(
                    lambda s, n=n: log_mixture(s, n, q, planned_n, alpha),
                    bounds=(below, upto),
                    method="bounded",
                    options={"xatol": 1e-10},
                )
                ends.append(inner.fun)
            total += min(ends)
        least = min(least, total)
    return min(1.0, math.exp(-least))


@settings(max_examples=60, deadline=None)
@given(few_values, few_values, levels, st.sampled_from([1, 10, 200]))
def test_the_least_evidence_is_found(first, second, q, planned_n):
    found = sequential_test(first, second, q, planned_n=planned_n)
    assert found.p_value == pytest.approx(by_hand(first, second, q, planned_n), rel=1e-6)
    assert sequential_test(second, first, q, planned_n=planned_n).p_value == pytest.approx(found.p_value, rel=1e-12)
    assert msgspec.json.decode(msgspec.json.encode(found), type=SequentialQuantileTest) == found


@given(
    st.lists(st.floats(0.1, 1e5), min_size=1, max_size=60),
    st.lists(st.floats(0.1, 1e5), min_size=1, max_size=60),
    levels,
)
def test_sketches_are_tested_by_their_bins(first, second, q):
    from_sketches = sequential_test(QuantileSketch.of(first), QuantileSketch.of(second), q)
    from_bins = sequential_test([bin_of(v) for v in first], [bin_of(v) for v in second], q)
    assert from_sketches.p_value == from_bins.p_value
    assert from_sketches.flags == ("approximate",)


@pytest.mark.parametrize("sketched", [False, True])
def test_looking_often_keeps_the_error_rate_and_finds_a_difference(sketched):
    rng = np.random.default_rng(5)

    def ever_significant(shift):
        arms = [rng.lognormal(4, 0.5, 600), rng.lognormal(4 + shift, 0.5, 600)]
        kind = QuantileSketch.of if sketched else np.asarray
        return any(
            sequential_test(kind(arms[0][:n]), kind(arms[1][:n]), 0.75, planned_n=300).p_value <= 0.05
            for n in range(30, 601, 30)
        )

    assert np.mean([ever_significant(0.0) for _ in range(150)]) <= 0.05
    assert np.mean([ever_significant(0.5) for _ in range(30)]) >= 0.9


def test_far_more_numbers_than_planned_make_no_nan():
    arms = [np.arange(1e5), np.arange(1e5) + 3e3]
    assert 0 < sequential_test(arms[0], arms[1], 0.5, planned_n=1).p_value < 1e-6
    assert sequential_test([1.0], [1.0], 0.5, planned_n=10**9).p_value == 1
    assert sequential_test(arms[0], arms[0] + 1e6, 0.5).p_value == 0


def test_an_empty_arm_decides_nothing():
    assert sequential_test([], [1.0], 0.5) == SequentialQuantileTest(1.0, 0.0, ("no_data",))


@pytest.mark.parametrize(
    "ask",
    [
        lambda: sequential_test([1.0], [math.nan], 0.5),
        lambda: sequential_test([1.0], [1.0], 1.0),
        lambda: sequential_test([1.0], [1.0], 0.5, alpha=0.0),
        lambda: sequential_test([1.0], [1.0], 0.5, planned_n=0),
        lambda: sequential_test([1.0], [1.0], 0.5, planned_n=10**12),
        lambda: sequential_test([1.0], QuantileSketch.of([1.0]), 0.5),
    ],
)
def test_bad_input_is_refused(ask):
    with pytest.raises(InvalidRequest):
        ask()
