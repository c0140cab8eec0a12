"""Adjusted p-values against closed testing over all subsets, and against scipy, a test dependency only."""

import math
from collections.abc import Callable, Sequence
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from chopmark.errors import InvalidRequest
from chopmark.stats.multiplicity import (
    benjamini_hochberg,
    benjamini_yekutieli,
    bonferroni,
    hochberg,
    holm,
    hommel,
)

METHODS = [bonferroni, holm, hochberg, hommel, benjamini_hochberg, benjamini_yekutieli]
p_values = st.lists(st.floats(0, 1) | st.integers(0, 20).map(lambda i: i / 20), min_size=1, max_size=7)


def closed(values: Sequence[float], of_subset: Callable[[Sequence[float]], float]) -> list[float]:
    """A test is rejected when every subset with it is: the largest of the subsets' p-values."""
    subsets = [s for size in range(1, len(values) + 1) for s in combinations(range(len(values)), size)]
    return [max(of_subset([values[i] for i in s]) for s in subsets if at in s) for at in range(len(values))]


def simes(values: Sequence[float]) -> float:
    return min(len(values) * p / rank for rank, p in enumerate(sorted(values), 1))


@given(p_values)
def test_holm_is_closed_testing_by_bonferroni(values: list[float]) -> None:
    assert holm(values) == pytest.approx(closed(values, lambda s: min(1.0, len(s) * min(s))), rel=1e-12)


@given(p_values)
def test_hommel_is_closed_testing_by_simes(values: list[float]) -> None:
    assert hommel(values) == pytest.approx(closed(values, simes), rel=1e-12)


@given(p_values)
def test_false_discoveries_are_scipys(values: list[float]) -> None:
    assert benjamini_hochberg(values) == pytest.approx(stats.false_discovery_control(values), rel=1e-12)
    assert benjamini_yekutieli(values) == pytest.approx(stats.false_discovery_control(values, method="by"), rel=1e-12)


@given(p_values)
def test_hochberg_rejects_up_to_the_largest_that_is_small_enough(values: list[float]) -> None:
    alpha = 0.05
    ranked = sorted(values)
    least = [p for rank, p in enumerate(ranked) if p * (len(values) - rank) <= alpha]
    expected = [bool(least) and p <= max(least) for p in values]
    assert [p <= alpha for p in hochberg(values)] == expected


@given(p_values)
def test_the_stricter_never_answers_less(values: list[float]) -> None:
    for strict, mild in (
        (bonferroni, holm),
        (holm, hochberg),
        (hochberg, hommel),
        (hommel, benjamini_hochberg),
        (benjamini_yekutieli, benjamini_hochberg),
    ):
        assert all(a >= b - 1e-12 for a, b in zip(strict(values), mild(values), strict=True))


@pytest.mark.parametrize("method", METHODS)
@given(values=p_values, seed=st.randoms(use_true_random=False))
def test_the_order_given_is_the_order_answered(method, values: list[float], seed) -> None:
    order = list(range(len(values)))
    seed.shuffle(order)
    adjusted = method(values)
    assert method([values[i] for i in order]) == pytest.approx([adjusted[i] for i in order], rel=1e-12)
    assert all(p - 1e-15 <= a <= 1 for p, a in zip(values, adjusted, strict=True))


@pytest.mark.parametrize("method", METHODS)
def test_edges(method) -> None:
    assert method([]) == []
    assert method([0.03]) == [0.03]
    assert method([0.0, 1.0])[0] == 0.0
    for bad in (-0.01, 1.01, math.nan, math.inf):
        with pytest.raises(InvalidRequest, match="no p-value"):
            method([0.5, bad])


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.6]) == [1.0, 1.0]


def test_thousands_of_tests() -> None:
    values = [(i + 0.5) / 2_000 for i in range(2_000)]
    for method in METHODS:
        adjusted = method(values)
        assert len(adjusted) == 2_000
        assert adjusted == sorted(adjusted)
