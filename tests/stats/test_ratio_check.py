"""The sample-ratio check against scipy (a test dependency only), and what it refuses."""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from chopmark.errors import InvalidRequest
from chopmark.stats.ratio_check import SampleRatio, sample_ratio_test
from chopmark.stats.summaries import Exposures

variants = st.lists(st.tuples(st.integers(0, 10**9), st.floats(1e-3, 1e3)), min_size=1, max_size=6)


@given(variants)
def test_it_is_scipys(arms: list[tuple[int, float]]) -> None:
    counts = {f"v{i}": count for i, (count, _) in enumerate(arms)}
    weights = {f"v{i}": weight for i, (_, weight) in enumerate(arms)}
    result = sample_ratio_test(Exposures(counts), weights)
    assert 0 <= result.p_value <= 1
    assert msgspec.json.decode(msgspec.json.encode(result), type=SampleRatio) == result
    assert sum(result.expected.values()) == pytest.approx(sum(counts.values()))
    if len(arms) > 1 and any(counts.values()):
        expected = stats.chisquare(list(counts.values()), list(result.expected.values()))
        assert result.statistic == pytest.approx(expected.statistic, rel=1e-6, abs=1e-6)
        assert result.p_value == pytest.approx(expected.pvalue, rel=1e-5, abs=1e-300)


def test_by_hand() -> None:
    result = sample_ratio_test(Exposures({"a": 60, "b": 40}), {"a": 2, "b": 2})
    assert result.statistic == pytest.approx(4.0)
    assert result.degrees_of_freedom == 1
    assert result.p_value == pytest.approx(0.0455, abs=1e-4)
    assert not result.is_mismatch()
    assert result.is_mismatch(0.05)


def test_the_unit_of_the_weights_does_not_matter() -> None:
    seen = Exposures({"a": 6_000, "b": 4_100})
    results = [sample_ratio_test(seen, {"a": 6 * unit, "b": 4 * unit}) for unit in (1, 0.1, 1e-300, 2.0**1000)]
    assert {round(r.p_value, 12) for r in results} == {round(results[0].p_value, 12)}


def test_a_variant_nobody_saw_counts() -> None:
    result = sample_ratio_test(Exposures({"a": 100}), {"a": 1, "b": 1})
    assert result.is_mismatch()
    assert result.expected == {"a": 50.0, "b": 50.0}


def test_edges() -> None:
    nothing = sample_ratio_test(Exposures(), {"a": 1, "b": 1})
    assert (nothing.p_value, nothing.flags) == (1.0, ("no_data",))
    single = sample_ratio_test(Exposures({"a": 10}), {"a": 1})
    assert (single.p_value, single.degrees_of_freedom) == (1.0, 0)
    few = sample_ratio_test(Exposures({"a": 3, "b": 4}), {"a": 1, "b": 1})
    assert few.flags == ("approximate",)
    unwanted = sample_ratio_test(Exposures({"a": 1_000, "b": 1}), {"a": 1, "b": 0})
    assert (unwanted.p_value, unwanted.statistic) == (0.0, None)
    assert unwanted.is_mismatch()
    ended = sample_ratio_test(Exposures({"a": 1_000, "b": 0, "c": 990}), {"a": 1, "b": 0, "c": 1})
    assert ended.degrees_of_freedom == 1
    assert not ended.is_mismatch()


def test_equal_shares_are_rarely_told_apart() -> None:
    counts = np.random.default_rng(1).binomial(5_000, 0.3, 4_000).tolist()
    ps = [sample_ratio_test(Exposures({"a": c, "b": 5_000 - c}), {"a": 3, "b": 7}).p_value for c in counts]
    assert np.mean(np.array(ps) < 0.05) == pytest.approx(0.05, abs=0.012)


def test_what_cannot_be_meant_is_refused() -> None:
    seen = Exposures({"a": 5, "b": 6})
    with pytest.raises(InvalidRequest, match="no weight for b"):
        sample_ratio_test(seen, {"a": 1})
    with pytest.raises(InvalidRequest, match="above 0"):
        sample_ratio_test(seen, {"a": 0, "b": 0})
    for weight in (-1, math.nan, math.inf):
        with pytest.raises(InvalidRequest, match="weight of a"):
            sample_ratio_test(seen, {"a": weight, "b": 1})
