import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chopmark.stats.moments import Moments

NUMBERS = st.lists(st.floats(-1e6, 1e6), max_size=30)


@given(NUMBERS.filter(lambda numbers: len(numbers) > 1))
def test_moments_agree_with_the_standard_library(numbers) -> None:
    summary = Moments.of(numbers)
    assert summary.count == len(numbers)
    assert (summary.minimum, summary.maximum) == (min(numbers), max(numbers))
    assert summary.mean == pytest.approx(statistics.fmean(numbers), abs=1e-6)
    assert summary.standard_deviation == pytest.approx(statistics.stdev(numbers), rel=1e-9, abs=1e-4)


@given(NUMBERS, NUMBERS)
def test_two_summaries_merge_to_that_of_all(first, second) -> None:
    merged, whole = Moments.of(first).merge(Moments.of(second)), Moments.of(first + second)
    assert (merged.count, merged.minimum, merged.maximum) == (whole.count, whole.minimum, whole.maximum)
    assert merged.mean == pytest.approx(whole.mean, abs=1e-6)
    assert merged.squares == pytest.approx(whole.squares, rel=1e-6, abs=1e-3)


def test_nothing_is_the_neutral_element() -> None:
    summary = Moments.of([1.0, 2.0])
    assert summary.merge(Moments()) == summary == Moments().merge(summary)
    assert Moments().variance is None
    assert Moments.of([3.0]).standard_deviation is None


def test_a_far_mean_does_not_cost_the_spread() -> None:
    # The textbook formula gives 0 or a negative variance here.
    numbers = [1e9 + x for x in (4.0, 7.0, 13.0, 16.0)]
    assert Moments.of(numbers).variance == pytest.approx(30.0)
    assert Moments.of(numbers[:2]).merge(Moments.of(numbers[2:])).variance == pytest.approx(30.0)
