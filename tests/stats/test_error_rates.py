"""How often the sequential defaults err when one looks after every batch, by simulation of the product's own arithmetic.

1,000 runs at α = 0.05 stay at or below 0.073 with a probability of 0.999 if the error rate is 0.05. That the harness can
tell is shown by the tests it must fail: the ordinary z test, and the mixture SPRT with a variance from the counts.
"""

import numpy as np
import pytest

from chopmark.stats.sequential import BernoulliEProcess, MeanSequence, bernoulli_p_values, mean_p_values, msprt
from chopmark.stats.summaries import Mean, Proportion
from scripts.peeking import (
    Batches,
    curves,
    found,
    mean_looks,
    naive_p_values,
    records_at_stop,
    success_batches,
)

MOST = 0.073
RUNS = 1_000
RARE = pytest.param(0.01, 2_000, 20, marks=pytest.mark.slow)
"""A tenth of the work of all the others, and the rarest: in the slow lane."""


@pytest.mark.parametrize("rate", [0.5, 0.95, 0.99])
@pytest.mark.parametrize("share", [0.5, 0.1, 0.01])
@pytest.mark.parametrize(("size", "looks"), [(20, 100), (200, 100), (2_000, 60)])
def test_equal_rates_are_called_different_rarely_enough(rate: float, share: float, size: int, looks: int) -> None:
    batches = success_batches(rate, rate, share, size=size, looks=looks, runs=RUNS, seed=11)
    for baseline in (None, rate, 0.7):
        assert found(bernoulli_p_values(*batches, share, baseline)) <= MOST
    if size * share >= 20:
        assert found(naive_p_values(batches)) > 0.15


@pytest.mark.parametrize("share", [0.5, 0.1, 0.01])
def test_nor_does_it_matter_that_the_rate_drifts(share: float) -> None:
    looks = 100
    falling = np.linspace(0.99, 0.6, looks)
    waves = 0.9 + 0.09 * np.sin(np.linspace(0, 20, looks))
    jump = np.where(np.arange(looks) < 50, 0.99, 0.5)
    for rate in (falling, waves, jump):
        batches = success_batches(rate, rate, share, size=300, looks=looks, runs=RUNS, seed=12)
        assert found(bernoulli_p_values(*batches, share)) <= MOST
        assert found(naive_p_values(batches)) > 0.15


def test_nor_that_the_share_is_ramped_up_while_it_drifts() -> None:
    share, rate = np.repeat([0.01, 0.1, 0.25, 0.5], 25), np.linspace(0.99, 0.8, 100)
    batches = success_batches(rate, rate, share, size=300, looks=100, runs=RUNS, seed=13)
    assert found(bernoulli_p_values(*batches, share)) <= MOST
    # what it would be if the share of the batch were not told, and what adding up the arms makes of it
    assert found(bernoulli_p_values(*batches, 0.5)) > 0.5
    assert found(naive_p_values(batches)) > 0.5


@pytest.mark.parametrize("size", [10, 50, 167, 501])
@pytest.mark.parametrize("baseline", [None, 0.95])
def test_a_rate_of_97_is_told_from_95(size: int, baseline: float | None) -> None:
    batches = success_batches(0.95, 0.97, 0.5, size=size, looks=6_012 // size, runs=RUNS, seed=14)
    p_values = bernoulli_p_values(*batches, 0.5, baseline)
    assert found(p_values) >= 0.8
    assert records_at_stop(p_values, size) <= 4_400


def test_the_usual_mixture_with_a_variance_from_the_counts_does_not_hold() -> None:
    """Why it is not the default: an arm of few records has no failures yet, and so no variance to speak of."""
    batches = success_batches(0.99, 0.99, 0.01, size=1_000, looks=60, runs=200, seed=15)
    s0, n0, s1, n1 = (np.cumsum(part, axis=1).tolist() for part in batches)
    hits = 0
    for run in range(200):
        arms = zip(s0[run], n0[run], s1[run], n1[run], strict=True)
        hits += any(msprt(Proportion(a, b), Proportion(c, d), 0.05).p_value <= 0.05 for a, b, c, d in arms)
    assert hits / 200 > 0.3
    assert found(bernoulli_p_values(*batches, 0.01)) <= MOST


def _missed(batches: Batches, share: float, difference: float) -> float:
    """Share of runs whose interval leaves the truth out at any look."""
    missed = 0
    for run in zip(*(part.tolist() for part in batches), strict=True):
        test, held = BernoulliEProcess(share), True
        for s0, n0, s1, n1 in zip(*run, strict=True):
            test = test.observe(Proportion(s0, n0), Proportion(s1, n1))
            held &= difference in test.interval
        missed += not held
    return missed / len(batches.control_n)


@pytest.mark.parametrize(
    ("rate", "difference"),
    [(0.5, 0.0), (0.5, 0.05), (0.95, 0.02), (0.95, -0.1), (0.99, -0.09), (0.99, 0.005), (0.95, 0.001), (0.95, -0.001)],
)
@pytest.mark.parametrize("share", [0.5, 0.1, 0.01])
def test_the_interval_of_rates_holds_the_truth_at_every_look(rate: float, difference: float, share: float) -> None:
    batches = success_batches(rate, rate + difference, share, size=400, looks=40, runs=300, seed=16)
    assert _missed(batches, share, difference) <= 0.05


def test_the_interval_of_rates_holds_while_they_drift() -> None:
    rate = np.linspace(0.95, 0.6, 40)
    batches = success_batches(rate, rate + 0.03, 0.2, size=400, looks=40, runs=300, seed=17)
    assert _missed(batches, 0.2, 0.03) <= 0.05


def test_an_interval_of_a_single_look_would_not() -> None:
    """The harness can tell: the usual interval, taken at every look, misses far more often."""
    batches = success_batches(0.95, 0.97, 0.5, size=400, looks=40, runs=300, seed=16)
    s0, n0, s1, n1 = (np.cumsum(part, axis=1) for part in batches)
    r0, r1 = s0 / n0, s1 / n1
    half = 1.96 * np.sqrt(r0 * (1 - r0) / n0 + r1 * (1 - r1) / n1)
    assert (np.abs(r1 - r0 - 0.02) > half).any(axis=1).mean() > 0.15


def lognormal(random: np.random.Generator, shape: tuple[int, ...], _in_treatment: bool) -> np.ndarray:
    return random.lognormal(0.0, 1.5, shape)


def pareto(random: np.random.Generator, shape: tuple[int, ...], _in_treatment: bool) -> np.ndarray:
    return random.pareto(2.1, shape)


def wider_treatment(random: np.random.Generator, shape: tuple[int, ...], in_treatment: bool) -> np.ndarray:
    return random.normal(0.0, 5.0 if in_treatment else 1.0, shape)


def wider_control(random: np.random.Generator, shape: tuple[int, ...], in_treatment: bool) -> np.ndarray:
    return random.normal(0.0, 1.0 if in_treatment else 5.0, shape)


@pytest.mark.parametrize("draw", [lognormal, pareto, wider_treatment, wider_control])
@pytest.mark.parametrize(("share", "size", "count"), [(0.5, 100, 60), (0.1, 100, 60), RARE])
def test_equal_means_are_called_different_rarely_enough(draw, share: float, size: int, count: int) -> None:
    looks = mean_looks(draw, share, size=size, looks=count, runs=RUNS, seed=21)
    assert looks[3][:, -1].min() > 250 or share > 0.01, "enough to speak"
    assert found(mean_p_values(*looks, alpha=0.05, planned_n=3_000)) <= MOST
    n0, mean0, m0, n1, mean1, m1 = looks
    error = np.sqrt(m0 / (n0 - 1) / n0 + m1 / (n1 - 1) / n1)
    assert (np.abs(mean1 - mean0)[:, 5:] > 1.96 * error[:, 5:]).any(axis=1).mean() > 0.15


def test_a_shifted_mean_is_found() -> None:
    looks = mean_looks(
        lambda random, shape, in_treatment: random.normal(0.15 if in_treatment else 0.0, 1.0, shape),
        0.5,
        size=100,
        looks=60,
        runs=RUNS,
        seed=22,
    )
    assert found(mean_p_values(*looks, alpha=0.05, planned_n=3_000)) >= 0.95


def test_the_interval_of_means_holds_the_truth_at_every_look() -> None:
    random = np.random.default_rng(23)
    missed = 0
    for _ in range(200):
        test, held = MeanSequence(0.05, 3_000), True
        for _ in range(30):
            test = test.observe(Mean.of(random.lognormal(0.0, 1.0, 60)), Mean.of(random.lognormal(0.0, 1.0, 40) + 0.3))
            held &= 0.3 in test.interval
        missed += not held
    assert missed / 200 <= 0.05


def test_the_picture_shows_one_test_failing_and_the_other_not() -> None:
    lines = curves(runs=500, looks=50)
    assert lines["naive"].share[-1] > 0.15
    assert lines["chopmark"].share[-1] <= MOST
    for line in lines.values():
        assert (np.diff(line.share) >= 0).all()
        assert line.records[-1] == 5_000
