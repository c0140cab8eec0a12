"""What tests answer survives JSON, and holds no NaN."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chopmark.stats.results import Effect, Interval

ends = st.floats(allow_nan=False)


@given(ends.filter(lambda end: end < math.inf), ends.filter(lambda end: end > -math.inf))
def test_an_interval_survives_json_whatever_its_ends(low, high):
    interval = Interval(low, high)
    assert msgspec.json.decode(msgspec.json.encode(interval), type=Interval) == interval


def test_an_infinite_end_is_null_in_json():
    assert msgspec.json.encode(Interval(-math.inf, 1.5)) == b'{"low":null,"high":1.5}'
    assert 0.0 in msgspec.json.decode(b'{"low":null,"high":1.5}', type=Interval)


@pytest.mark.parametrize("field", ["estimate", "standard_error", "statistic", "p_value", "p_greater", "p_less"])
def test_an_effect_holds_no_nan(field):
    numbers = dict.fromkeys(("estimate", "standard_error", "statistic", "p_value", "p_greater", "p_less"), 0.5)
    with pytest.raises(AssertionError, match="NaN"):
        Effect(**(numbers | {field: math.nan}), interval=Interval(0, 1))
