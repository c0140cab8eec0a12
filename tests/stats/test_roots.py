"""Where functions are 0."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chopmark.stats.roots import find_root


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e3), st.floats(1e-3, 1e3), st.sampled_from([1.0, -1.0]))
def test_a_root_between_two_ends_is_found(root: float, left: float, right: float, sign: float) -> None:
    found = find_root(lambda x: sign * math.expm1((x - root) / 1e3), root - left, root + right)
    assert found == pytest.approx(root, rel=1e-12, abs=1e-12)


def test_a_root_at_an_end_is_that_end() -> None:
    assert find_root(lambda x: x, 0.0, 1.0) == 0.0
    assert find_root(lambda x: x - 1, 0.0, 1.0) == 1.0


def test_no_more_precision_is_had_than_was_asked_for() -> None:
    asked: list[float] = []

    def off(x: float) -> float:
        asked.append(x)
        return x**3 - 2.0

    assert find_root(off, 0.0, 2.0, precision=1e-2) == pytest.approx(2 ** (1 / 3), abs=1e-2)
    coarse = len(asked)
    asked.clear()
    assert find_root(off, 0.0, 2.0) == pytest.approx(2 ** (1 / 3), abs=1e-13)
    assert coarse < len(asked)


def test_ends_on_one_side_are_the_callers_fault() -> None:
    with pytest.raises(ValueError, match="different signs"):
        find_root(lambda x: x + 1, 0.0, 1.0)
