"""Streaming detectors: the detections of river and frouros, and states that may be stored between any two values."""

import math
from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import drift
from river.drift import binary
from scipy import stats

from chopmark.errors import InvalidRequest
from chopmark.stats.detectors import Adwin, AnyDetector, Cusum, Ddm, Eddm, HddmA, HddmW, Kswin, PageHinkley

ALL = (Adwin, Cusum, Ddm, Eddm, HddmA, HddmW, Kswin, PageHinkley)
OF_MISTAKES = (Ddm, Eddm, HddmA, HddmW)
TWO_SIDED = {"drift_confidence": 0.05, "warning_confidence": 0.1, "two_sided_test": True}


def numbers(seed: int, n: int = 400) -> list[float]:
    source = np.random.default_rng(seed)
    return [
        value
        for _ in range(int(source.integers(1, 4)))
        for value in source.normal(source.uniform(-3, 3), source.choice([0.1, 1.0, 3.0]), n).tolist()
    ]


def mistakes(seed: int, n: int = 400) -> list[int]:
    source = np.random.default_rng(seed)
    rates = source.choice([0.0, 0.01, 0.1, 0.3, 0.5, 0.9, 1.0], int(source.integers(1, 4)))
    return [int(value) for rate in rates for value in source.random(n) < rate]


def of_river(detector, values):
    detections, warnings = [], []
    for index, value in enumerate(values):
        detector.update(value)
        if detector.drift_detected:
            detections.append(index)
        if getattr(detector, "warning_detected", False):
            warnings.append(index)
    return detections, warnings


def of_ours(detector, values):
    detections, warnings = [], []
    for index, value in enumerate(values):
        detector = detector.observe(value)
        if detector.detected:
            detections.append(index)
        if getattr(detector, "warning", False):
            warnings.append(index)
    return detector, detections, warnings


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"delta": 1e-4, "clock": 1},
        {"delta": 0.3, "clock": 5, "max_buckets": 2, "min_window_length": 1, "grace_period": 0},
        {"delta": 0.1, "max_buckets": 8, "min_window_length": 10, "grace_period": 50},
    ],
)
def test_adwin_is_rivers(seed, parameters):
    for values in (numbers(seed), mistakes(seed)):
        theirs, ours = drift.ADWIN(**parameters), Adwin(**parameters)
        for index, value in enumerate(values):
            theirs.update(value)
            ours = ours.observe(value)
            assert ours.detected == theirs.drift_detected
            if ours.detected or index == len(values) - 1:
                assert ours.width == theirs.width
                assert ours.mean == pytest.approx(theirs.estimation, abs=1e-9)
                assert ours.m2 == pytest.approx(theirs.variance, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("mode", ["up", "down", "both"])
@pytest.mark.parametrize(
    "parameters", [{}, {"threshold": 5.0, "delta": 0.05, "alpha": 1.0}, {"min_instances": 1, "threshold": 1.0}]
)
def test_page_hinkley_is_rivers(seed, mode, parameters):
    for values in (numbers(seed), mistakes(seed)):
        expected, _ = of_river(drift.PageHinkley(mode=mode, **parameters), values)
        assert of_ours(PageHinkley(mode=mode, **parameters), values)[1] == expected


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(
    ("theirs", "ours", "parameters"),
    [
        (binary.DDM, Ddm, {}),
        (binary.DDM, Ddm, {"warm_start": 5, "warning_threshold": 1.0, "drift_threshold": 2.5}),
        (binary.EDDM, Eddm, {}),
        (binary.EDDM, Eddm, {"warm_start": 5, "beta": 0.7}),
        (binary.HDDMA, HddmA, {}),
        (binary.HDDMA, HddmA, TWO_SIDED),
        (binary.HDDMW, HddmW, {}),
        (binary.HDDMW, HddmW, {"lambda_val": 0.2, **TWO_SIDED}),
    ],
)
def test_detectors_of_mistakes_are_rivers(seed, theirs, ours, parameters):
    values = mistakes(seed)
    expected, warned = of_river(theirs(**parameters), values)
    _, found, warnings = of_ours(ours(**parameters), values)
    assert (found, warnings) == (expected, warned)


def test_the_comparison_with_river_has_detections_to_compare():
    found = {
        kind: sum(len(of_ours(kind(), mistakes(seed))[1]) for seed in range(12)) for kind in (*OF_MISTAKES, PageHinkley)
    }
    assert min(found.values()) >= 4
    assert sum(len(of_ours(Adwin(), numbers(seed))[1]) for seed in range(8)) >= 5


def test_frouros_variants():
    # Detections of frouros 0.9.0 on these streams, rebuilt after each.
    jump = np.repeat([0.0, 1.0, 3.0], [200, 300, 300])
    values = np.round(jump + 0.25 * np.sin(np.arange(800) * 0.7), 6).tolist()
    assert list(PageHinkley(definition="frouros").observe_all(values)[1]) == [261, 528]
    assert list(Cusum().observe_all(values)[1]) == [256, 525]
    assert list(Adwin(definition="frouros").observe_all([v + 1 for v in values])[1]) == [255, 543]
    assert list(Adwin().observe_all([v + 1 for v in values])[1]) != [255, 543]


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"clock": 1, "delta": 0.2, "max_buckets": 2, "min_window_length": 1, "grace_period": 5}, [60, 108]),
        ({"clock": 4, "delta": 0.05, "max_buckets": 3, "min_window_length": 2, "grace_period": 10}, [75, 115]),
    ],
)
def test_frouros_adwin_with_other_parameters(parameters, expected):
    jumps = np.repeat([0.0, 1.0, 3.0], [40, 50, 60])
    values = np.round(jumps + 0.25 * np.sin(np.arange(150) * 0.7), 6) + 1
    assert list(Adwin(definition="frouros", **parameters).observe_all(values)[1]) == expected


@pytest.mark.parametrize("kind", ALL)
def test_a_state_goes_through_json_between_any_two_values(kind):
    values = mistakes(3, n=120)
    plain, stored = kind(), kind()
    for value in values:
        plain = plain.observe(value)
        stored = msgspec.json.decode(msgspec.json.encode(stored.observe(value)), type=AnyDetector)
        assert stored == plain


@pytest.mark.parametrize("kind", ALL)
@given(seed=st.integers(0, 10_000), cuts=st.lists(st.integers(0, 300), max_size=4))
@settings(max_examples=15, deadline=None)
def test_batches_change_nothing(kind, seed, cuts):
    values = mistakes(seed, n=100)
    single, detections, _ = of_ours(kind(), values)
    whole, found = kind().observe_all(np.asarray(values))
    assert (whole, list(found)) == (single, detections)
    batched, gathered = kind(), []
    places = [0, *sorted(min(cut, len(values)) for cut in cuts), len(values)]
    for start, end in pairwise(places):
        batched, some = batched.observe_all(values[start:end])
        gathered += [start + index for index in some]
    assert (batched, gathered) == (single, detections)


@pytest.mark.parametrize("kind", ALL)
def test_a_detector_that_detected_starts_anew(kind):
    parameters = {"threshold": 5.0} if kind in {PageHinkley, Cusum} else {}
    fresh = kind(**parameters)
    values = [0] * 400 + [1] * 200 if kind is not Eddm else ([0] * 20 + [1]) * 60 + [1] * 200
    after = fresh
    for value in values:
        after = after.observe(value)
        if after.detected:
            break
    assert after.detected
    assert after.observe(0) == fresh.observe(0)


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None, "1", 1e101, [1]])
def test_what_is_no_value_is_refused_and_changes_nothing(kind, value):
    before = kind().observe(1).observe(0)
    with pytest.raises(InvalidRequest):
        before.observe(value)
    with pytest.raises(InvalidRequest):
        before.observe_all([0, 1, value])
    assert before == kind().observe(1).observe(0)


@pytest.mark.parametrize("kind", OF_MISTAKES)
def test_mistakes_are_0_or_1(kind):
    for value in (0.5, 2, -1):
        with pytest.raises(InvalidRequest, match="neither 0 nor 1"):
            kind().observe(value)
    assert kind().observe(1.0) == kind().observe(1)


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        (Adwin, {"delta": 0.0}),
        (Adwin, {"delta": 1.0}),
        (Adwin, {"clock": 0}),
        (Adwin, {"max_buckets": 0}),
        (Adwin, {"min_window_length": 1.5}),
        (PageHinkley, {"alpha": 1.1}),
        (PageHinkley, {"threshold": math.nan}),
        (Cusum, {"threshold": -1.0}),
        (Cusum, {"min_instances": -1}),
        (Ddm, {"drift_threshold": -1.0}),
        (Eddm, {"alpha": 0.8, "beta": 0.9}),
        (HddmA, {"drift_confidence": 0.0}),
        (HddmW, {"lambda_val": 1.5}),
        (Kswin, {"stat_size": 100}),
        (Kswin, {"window_size": 50, "stat_size": 30, "seed": 1}),
        (Kswin, {"alpha": math.nan}),
    ],
)
def test_parameters_that_cannot_be_are_refused(kind, parameters):
    with pytest.raises(InvalidRequest):
        kind(**parameters)


@pytest.mark.parametrize("seed", [None, 0, 42])
def test_kswin_finds_a_change_soon_after_it(seed):
    source = np.random.default_rng(5)
    values = np.concatenate([source.normal(0, 1, 500), source.normal(2, 1, 300)])
    detections = Kswin(seed=seed).observe_all(values)[1]
    assert any(500 <= index < 530 for index in detections)


def test_kswin_compares_as_scipy_does():
    source = np.random.default_rng(8)
    values = np.concatenate([source.normal(0, 1, 90), source.normal(2, 1, 60)]).tolist()
    detector, expected = Kswin(alpha=0.01, window_size=60, stat_size=20), []
    window: list[float] = []
    for index, value in enumerate(values):
        window = [*window, value][-60:]
        if len(window) == 60:
            test = stats.ks_2samp(window[:40], window[40:], method="exact")
            if test.pvalue <= 0.01 and test.statistic > 0.1:
                expected.append(index)
                window = []
    assert expected
    assert list(detector.observe_all(values)[1]) == expected


def test_kswin_draws_by_its_seed_alone():
    values = numbers(11)
    assert Kswin(seed=7).observe_all(values) == Kswin(seed=7).observe_all(values)
    found = {Kswin(seed=seed, alpha=0.05).observe_all(values)[1] for seed in range(6)}
    assert len(found) > 1


def test_adwin_keeps_a_window_of_logarithmic_size():
    after, detections = Adwin().observe_all(np.random.default_rng(1).normal(size=20_000))
    assert not detections
    assert after.width == 20_000
    assert sum(map(len, after.rows)) <= 6 * math.log2(20_000)
    assert after.variance == pytest.approx(1.0, rel=0.05)


@given(values=st.lists(st.floats(-1e100, 1e100), max_size=120))
@settings(max_examples=60, deadline=None)
def test_no_state_ever_holds_what_json_does_not(values):
    for detector in (
        Adwin(clock=1),
        PageHinkley(min_instances=1),
        Cusum(min_instances=1),
        Kswin(window_size=10, stat_size=3),
    ):
        after, _ = detector.observe_all(values)
        assert msgspec.json.decode(msgspec.json.encode(after), type=AnyDetector) == after


HUGE = {
    "constant": [1e100] * 300,
    "negative": [-1e100] * 300,
    "either way": [1e100, -1e100] * 150,
    "with nothing": [1e-300, 1e100] * 150,
    "a step": [0.0] * 150 + [1e100] * 150,
    "a step back": [1e100] * 150 + [5e-324] * 150,
    "whole numbers": [10**100] * 150 + [10**99] * 150,
}


@pytest.mark.parametrize("values", HUGE.values(), ids=HUGE)
@pytest.mark.parametrize(
    "detector",
    [
        Adwin(clock=1),
        Adwin(clock=1, definition="frouros"),
        PageHinkley(min_instances=1),
        PageHinkley(min_instances=1, definition="frouros"),
        PageHinkley(delta=1e100, threshold=1e308),
        Cusum(min_instances=1),
        Cusum(delta=-1e100, threshold=1e308),
        Kswin(window_size=10, stat_size=3),
    ],
    ids=lambda d: type(d).__name__,
)
def test_the_largest_numbers_that_are_taken_overflow_nothing(detector, values):
    after, together = detector.observe_all(values)
    assert msgspec.json.decode(msgspec.json.encode(after), type=AnyDetector) == after
    _, singly, _ = of_ours(detector, values)
    assert list(together) == singly


@pytest.mark.parametrize("value", [1e300, 1e308, -1e308, 1.5e154, 10**200, 10**400, -(10**400), math.inf, math.nan])
@pytest.mark.parametrize("kind", ALL)
def test_a_value_whose_square_overflows_is_refused_and_nothing_changes(kind, value):
    detector = kind().observe(1)
    for give in (detector.observe, lambda one: detector.observe_all([0, one, 0])):
        with pytest.raises(InvalidRequest):
            give(value)
    assert detector == kind().observe(1)


@pytest.mark.parametrize("value", [1e300, 1e308, math.inf])
@pytest.mark.parametrize("kind", [Adwin, Cusum, Kswin, PageHinkley])
def test_arrays_of_such_values_are_refused(kind, value):
    with pytest.raises(InvalidRequest, match="up to 1e\\+100"):
        kind().observe_all(np.full(50, value))


@pytest.mark.parametrize("delta", [1e101, -1e308, math.nan, math.inf, 10**400])
@pytest.mark.parametrize("kind", [Cusum, PageHinkley])
def test_a_forgiven_deviation_that_would_overflow_is_refused(kind, delta):
    with pytest.raises(InvalidRequest, match="delta is"):
        kind(delta=delta)


@pytest.mark.parametrize("value", [1 / 3, 1e12 / 3, 1e17 / 3, -1e30 / 7, 1e100, 5e-324])
@pytest.mark.parametrize("kind", [Adwin, Cusum, Kswin, PageHinkley])
def test_what_does_not_change_is_no_change_however_large(kind, value):
    """Sums of large equal values differ by their rounding, which is more than a bound for values about 1 allows."""
    after, detections = kind().observe_all([value] * 5_000)
    assert detections == ()
    if isinstance(after, Adwin):
        assert (after.mean, after.variance, after.width) == (value, 0.0, 5_000)


def test_a_change_on_top_of_a_large_level_is_seen_where_it_is_without():
    values = numbers(3)
    plain = Adwin().observe_all([round(value * 1024) / 1024 for value in values])[1]
    assert plain
    assert Adwin().observe_all([round(value * 1024) / 1024 + 2.0**40 for value in values])[1] == plain


def test_page_hinkley_with_a_threshold_of_the_values_spread_is_calm_and_sees_a_shift_of_one_deviation():
    """As the guide advises; the defaults, which are for values between 0 and 1, cry wolf here every thirty values."""
    draw = np.random.default_rng(5)
    steady, moved = draw.normal(300, 20, 20_000), draw.normal(320, 20, 300)
    detector, changes = PageHinkley(delta=10.0, threshold=400.0).observe_all(steady.tolist())
    assert len(changes) <= 5
    assert detector.observe_all(moved.tolist())[1][0] <= 60
    assert len(PageHinkley().observe_all(steady.tolist())[1]) > 500
