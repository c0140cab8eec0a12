"""Unusual values of a metric: the stated rate of false alarms, what is found, and what cannot be."""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chopmark.errors import InvalidRequest
from chopmark.stats import robust_season, tails
from chopmark.stats.anomalies import MetricBaseline, false_alarms_per_day

NOISES = {
    "normal": lambda source, n: source.normal(size=n),
    "student3": lambda source, n: source.standard_t(3, size=n),
    "exponential": lambda source, n: source.exponential(size=n),
    "lognormal": lambda source, n: np.exp(source.normal(size=n)),
}


def seasonal(source, noise, n, phase_count):
    """A season of swing 3, every second phase half as noisy again."""
    phases = np.arange(n) % phase_count
    season = 3 * np.sin(2 * np.pi * np.arange(phase_count) / phase_count)
    return season[phases] + NOISES[noise](source, n) * (1 + 0.5 * (phases % 2)), phases


def alarms_by_day(noise, *, days, samples_per_day, phase_count, sensitivity, direction="both", runs=25, after=20_000):
    found, history = 0, days * samples_per_day
    for seed in range(runs):
        values, phases = seasonal(np.random.default_rng(seed), noise, history + after, phase_count)
        baseline = MetricBaseline.of(
            values[:history],
            phases[:history],
            samples_per_day=samples_per_day,
            phase_count=phase_count,
            sensitivity=sensitivity,
            direction=direction,
        )
        found += np.abs(baseline.check_all(values[history:], phases[history:])).sum()
    return found / (runs * after) * samples_per_day


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize(
    ("days", "samples_per_day", "phase_count", "sensitivity"),
    [(60, 24, 24, 0.75), (60, 24, 24, 0.5), (21, 288, 24, 0.75), (21, 288, 288, 0.75), (60, 24, 1, 0.75)],
)
def test_false_alarms_come_at_the_stated_rate(noise, days, samples_per_day, phase_count, sensitivity):
    found = alarms_by_day(
        noise, days=days, samples_per_day=samples_per_day, phase_count=phase_count, sensitivity=sensitivity
    )
    assert false_alarms_per_day(sensitivity) / 2 <= found <= false_alarms_per_day(sensitivity) * 2


@pytest.mark.parametrize("direction", ["up", "down"])
def test_one_side_has_all_the_alarms(direction):
    found = alarms_by_day(
        "lognormal", days=60, samples_per_day=24, phase_count=24, sensitivity=0.75, direction=direction
    )
    assert 0.5 <= found <= 2.0


def test_few_cycles_err_towards_silence_and_say_so():
    found = alarms_by_day("normal", days=42, samples_per_day=24, phase_count=168, sensitivity=0.75)
    assert 0.1 <= found <= 1.0
    values, phases = seasonal(np.random.default_rng(0), "normal", 42 * 24, 168)
    assert MetricBaseline.of(values, phases, samples_per_day=24, phase_count=168).flags == ("approximate",)


def test_a_value_is_unusual_for_its_hour():
    values, phases = seasonal(np.random.default_rng(1), "normal", 24 * 60, 24)
    baseline = MetricBaseline.of(values, phases, samples_per_day=24, phase_count=24, sensitivity=0.6)
    assert baseline.check(3.0, 6).anomaly == "none"  # the top of the season
    night = baseline.check(4.0, 18)
    assert (night.anomaly, baseline.check(-12.0, 6).anomaly) == ("high", "low")
    assert night.expected == pytest.approx(-3.0, abs=0.6)
    assert night.low is not None
    assert night.high is not None
    assert night.low < night.expected < night.high < 4.0
    assert baseline.check(night.high, 18).anomaly == "none"


@pytest.mark.parametrize(("direction", "seen"), [("up", {"high"}), ("down", {"low"}), ("both", {"high", "low"})])
def test_only_the_watched_side_is_unusual(direction, seen):
    values = np.random.default_rng(2).normal(size=600)
    baseline = MetricBaseline.of(values, samples_per_day=288, direction=direction)
    found = {baseline.check(value).anomaly for value in (-50.0, 50.0)} - {"none"}
    assert found == seen
    assert (baseline.low is None, baseline.high is None) == (direction == "up", direction == "down")


def test_outliers_of_the_history_do_not_move_the_centre():
    source = np.random.default_rng(3)
    values, phases = seasonal(source, "normal", 24 * 60, 24)
    spoilt = values.copy()
    spoilt[source.choice(values.size, 60, replace=False)] += 500
    clean = MetricBaseline.of(values, phases, samples_per_day=24, phase_count=24)
    robust = MetricBaseline.of(spoilt, phases, samples_per_day=24, phase_count=24)
    assert robust.centers == pytest.approx(clean.centers, abs=0.5)
    assert np.mean(robust.spreads) == pytest.approx(np.mean(clean.spreads), rel=0.3)


def test_phases_that_do_not_differ_are_drawn_together():
    values = np.random.default_rng(4).normal(10, 1, 24 * 20)
    baseline = MetricBaseline.of(values, samples_per_day=24, phase_count=24)
    medians = np.median(values.reshape(20, 24), axis=0)
    assert np.std(baseline.centers) < np.std(medians) / 2
    assert np.ptp(baseline.spreads) < 0.6


@given(st.integers(0, 500), st.floats(0, 0.9))
@settings(max_examples=25, deadline=None)
def test_more_sensitivity_is_never_calmer(seed, sensitivity):
    values = np.random.default_rng(seed).standard_t(3, size=400)
    calm, touchy = (
        MetricBaseline.of(values, samples_per_day=1440, sensitivity=s) for s in (sensitivity, sensitivity + 0.1)
    )
    assert (touchy.high or 0) <= (calm.high or 0)
    assert (touchy.low or 0) >= (calm.low or 0)
    assert calm.high
    assert calm.low


@given(st.integers(0, 500), st.sampled_from([1.0, 1e-9, 1e9]), st.sampled_from([0.0, 1e3, -1e3]))
@settings(max_examples=25, deadline=None)
def test_the_unit_of_the_metric_does_not_matter(seed, scale, shift):
    source = np.random.default_rng(seed)
    values, later = source.normal(size=300), source.standard_t(2, size=200)
    plain = MetricBaseline.of(values, samples_per_day=288, phase_count=3, sensitivity=0.8)
    other = MetricBaseline.of((values + shift) * scale, samples_per_day=288, phase_count=3, sensitivity=0.8)
    assert other.high == pytest.approx(plain.high, rel=1e-6)
    assert other.check_all((later + shift) * scale).tolist() == plain.check_all(later).tolist()


def test_check_all_is_check():
    values = np.random.default_rng(5).standard_t(2, size=300)
    baseline = MetricBaseline.of(values, samples_per_day=288, phase_count=3, sensitivity=0.9)
    signs = {"high": 1, "low": -1, "none": 0}
    found = baseline.check_all(values)
    assert found.any()
    assert found.tolist() == [signs[baseline.check(float(v), i % 3).anomaly] for i, v in enumerate(values)]


def test_a_constant_metric_has_no_variance_and_any_other_value_is_an_anomaly():
    baseline = MetricBaseline.of([5.0] * 60, samples_per_day=24)
    assert "no_variance" in baseline.flags
    assert (baseline.check(5.0).anomaly, baseline.check(5.1).anomaly, baseline.check(4.9).anomaly) == (
        "none",
        "high",
        "low",
    )


def test_a_metric_that_is_mostly_zero():
    values = [0.0] * 500 + [1.0, 2.0] * 20
    baseline = MetricBaseline.of(np.random.default_rng(6).permutation(values), samples_per_day=288)
    assert baseline.check(0.0).anomaly == "none"
    assert baseline.check(1.0).anomaly == "none"
    assert baseline.check(1e3).anomaly == "high"


def test_it_goes_through_json():
    baseline = MetricBaseline.of(np.random.default_rng(7).normal(size=100), samples_per_day=24, phase_count=2)
    assert msgspec.json.decode(msgspec.json.encode(baseline), type=MetricBaseline) == baseline


def test_far_quantiles_of_known_distributions():
    source = np.random.default_rng(8)
    normal = [tails.upper_quantile(source.normal(size=5_000), 1e-4) for _ in range(40)]
    assert np.median(normal) == pytest.approx(3.719, abs=0.25)
    pareto = [tails.upper_quantile(source.pareto(3, size=5_000) + 1, 1e-4) for _ in range(40)]
    assert np.median(pareto) == pytest.approx(1e-4 ** (-1 / 3), rel=0.25)
    assert tails.upper_quantile(np.arange(1_000.0), 0.1) == pytest.approx(899.1)
    assert tails.upper_quantile(np.zeros(100), 1e-6) == 0.0


def test_occurrences_count_within_a_phase():
    assert robust_season.occurrences(np.array([0, 1, 0, 0, 1]), 2).tolist() == [0, 0, 1, 2, 1]


@pytest.mark.parametrize(
    "call",
    [
        lambda: false_alarms_per_day(1.1),
        lambda: false_alarms_per_day(math.nan),
        lambda: MetricBaseline.of([1.0] * 49, samples_per_day=24),
        lambda: MetricBaseline.of([math.nan] * 60, samples_per_day=24),
        lambda: MetricBaseline.of(["a"] * 60, samples_per_day=24),
        lambda: MetricBaseline.of([1.0] * 60, samples_per_day=0),
        lambda: MetricBaseline.of([1.0] * 60, samples_per_day=math.inf),
        lambda: MetricBaseline.of([1.0] * 60, samples_per_day=24, sensitivity=1.0),
        lambda: MetricBaseline.of([1.0] * 60, samples_per_day=24, phase_count=0),
        lambda: MetricBaseline.of([1.0] * 60, samples_per_day=24, phase_count=30),
        lambda: MetricBaseline.of([1.0] * 60, [0] * 59, samples_per_day=24),
        lambda: MetricBaseline.of([1.0] * 60, [1] * 60, samples_per_day=24),
        lambda: MetricBaseline.of([1.0] * 60, [0.5] * 60, samples_per_day=24),
        lambda: MetricBaseline.of([1.0] * 60, samples_per_day=24, direction="sideways"),  # type: ignore[arg-type]
        lambda: MetricBaseline.of([1.0] * 60, samples_per_day=24).check(math.nan),
        lambda: MetricBaseline.of([1.0] * 60, samples_per_day=24).check(1.0, 1),
        lambda: MetricBaseline.of([1.0] * 60, samples_per_day=24).check(1.0, -1),
        lambda: MetricBaseline.of([1.0] * 60, samples_per_day=24).check_all([1.0], [1]),
    ],
)
def test_what_cannot_be_is_refused(call):
    with pytest.raises(InvalidRequest) as refused:
        call()
    assert refused.value.hint
