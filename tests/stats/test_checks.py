"""What the checks of arguments let through, what they refuse, and what they say of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chopmark.errors import InvalidRequest
from chopmark.stats import checks
from chopmark.stats.summaries import Exposures, Mean, Proportion

Word = Literal["one", "two"]

NO_NUMBERS: tuple[Any, ...] = (math.nan, math.inf, -math.inf, 10**400, -(10**400), True, "0.5", None, [0.5])


@pytest.mark.parametrize("value", NO_NUMBERS, ids=lambda v: repr(v)[:12])
@pytest.mark.parametrize(
    "check",
    [
        checks.check_number,
        checks.check_share,
        checks.check_positive,
        lambda name, value: checks.check_between(name, value, 0, 1),
        lambda name, value: checks.check_whole(name, value, 0, 9),
    ],
    ids=["number", "share", "positive", "between", "whole"],
)
def test_what_is_no_number_is_refused_by_its_name(check: Callable[[str, Any], None], value: Any) -> None:
    with pytest.raises(InvalidRequest, match="the name is "):
        check("the name", value)


@pytest.mark.parametrize("value", [-1, True, 1.0, "1", None, math.nan])
def test_what_is_no_count_is_refused(value: Any) -> None:
    with pytest.raises(InvalidRequest, match=r"n is .*, which is no count"):
        checks.check_count("n", value)


@pytest.mark.parametrize("value", [np.int64(3), np.uint8(3), np.array(3)])
def test_a_numpy_count_is_told_how_to_become_a_plain_one(value: Any) -> None:
    with pytest.raises(InvalidRequest, match=r"into a plain number with int\(\)"):
        checks.check_count("n", value)
    checks.check_count("n", int(value))


@pytest.mark.parametrize("make", [Proportion, Mean, lambda n: Exposures({"a": n})])
def test_summaries_say_it_too(make: Callable[[Any], object]) -> None:
    with pytest.raises(InvalidRequest, match=r"Turn int64 into a plain number with int\(\)"):
        make(np.int64(0))


def test_a_numpy_number_that_is_no_float_is_told_too() -> None:
    with pytest.raises(InvalidRequest, match=r"Turn float32 into a plain number with float\(\)"):
        checks.check_number("mean", np.float32(0.5))
    checks.check_number("mean", np.float64(0.5))  # which is a float


@pytest.mark.parametrize("value", ["3", None, 1.5, -1])
def test_what_int_would_not_mend_has_no_such_hint(value: Any) -> None:
    with pytest.raises(InvalidRequest) as refused:
        checks.check_count("n", value)
    assert "int()" not in str(refused.value)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_ranges_are_what_they_say(value: float) -> None:
    def passes(check: Callable[..., None], *bounds: float) -> bool:
        try:
            check("x", value, *bounds)
        except InvalidRequest:
            return False
        return True

    assert passes(checks.check_number)
    assert passes(checks.check_between, -1.0, 1.0) == (-1 <= value <= 1)
    assert passes(checks.check_share) == (0 < value < 1)
    assert passes(checks.check_positive) == (value > 0)


def test_the_ends_of_a_range_belong_to_it_and_those_of_a_share_do_not() -> None:
    for end in (0, 1, 0.0, 1.0):
        checks.check_between("x", end, 0, 1)
        with pytest.raises(InvalidRequest, match=f"x is {end}"):
            checks.check_share("x", end)


def test_a_hint_of_ones_own_replaces_the_usual_one() -> None:
    said = r"x is 95\.\nGive 0\.95\."
    with pytest.raises(InvalidRequest, match=said):
        checks.check_share("x", 95, hint="Give 0.95.")
    with pytest.raises(InvalidRequest, match=said):
        checks.check_between("x", 95, 0, 1, hint="Give 0.95.")


def test_shares_are_ones_and_sum_to_one() -> None:
    checks.check_shares({"a": 0.1, "b": 0.2, "c": 0.7})
    checks.check_shares(dict.fromkeys(map(str, range(7)), 1 / 7))
    with pytest.raises(InvalidRequest, match="share of b is 0"):
        checks.check_shares({"a": 1.0 - 1e-12, "b": 0.0})
    with pytest.raises(InvalidRequest, match=r"sum to 1.1"):
        checks.check_shares({"a": 0.6, "b": 0.5})


def test_a_word_is_one_of_them() -> None:
    checks.check_word("side", "one", Word)
    with pytest.raises(InvalidRequest, match=r"side is 'three'\.\nUse one of: one, two\."):
        checks.check_word("side", "three", Word)


def test_arrays_hold_finite_numbers() -> None:
    assert checks.check_numbers([[1, 2], [3, 4]]).tolist() == [1.0, 2.0, 3.0, 4.0]
    with pytest.raises(InvalidRequest, match="An outcome is not finite"):
        checks.check_numbers([1.0, math.nan], "an outcome")
    with pytest.raises(InvalidRequest, match="holds no numbers"):
        checks.check_numbers(["1"])
