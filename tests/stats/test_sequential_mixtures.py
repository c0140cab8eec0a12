"""Mixtures of one state against integrals of their definitions, and what looking costs an ordinary test."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats
from scipy.special import betaln

from chopmark.errors import InvalidRequest
from chopmark.stats.reference.sequential import METHODS
from chopmark.stats.sequential import (
    asymptotic_sequence,
    beta_binomial_boundary,
    beta_binomial_log_mixture,
    msprt,
    normal_mixture_boundary,
    normal_mixture_log_e,
    peeking_error,
)
from chopmark.stats.sequential.mixtures import _log_above
from chopmark.stats.summaries import Proportion

POSITIVE = st.floats(1e-3, 1e6)
ALPHAS = st.floats(1e-6, 0.45)


def test_msprt_is_the_integral_over_its_prior() -> None:
    control, treatment, tau = Proportion(405, 436), Proportion(1_009, 1_113), 0.02
    variance = sum(arm.rate * (1 - arm.rate) / arm.n for arm in (control, treatment))
    difference, deviation = treatment.rate - control.rate, math.sqrt(variance)
    prior, likelihood = stats.norm(0, tau), stats.norm(difference, deviation)
    mixed = integrate.quad(lambda d: prior.pdf(d) * likelihood.pdf(d), -0.3, 0.3, points=[0.0, difference])[0]
    found = msprt(control, treatment, tau)
    assert found.log_e == pytest.approx(math.log(mixed / likelihood.pdf(0.0)), rel=1e-7)
    # at the end of the interval the hypothesis is just at 1/alpha
    moved = integrate.quad(lambda d: stats.norm.pdf(d, found.interval.low, tau) * likelihood.pdf(d), -0.3, 0.3)[0]
    assert moved / likelihood.pdf(found.interval.low) == pytest.approx(20, rel=1e-6)


@pytest.mark.parametrize(
    ("control", "treatment"), [(Proportion(), Proportion(1, 2)), (Proportion(9, 9), Proportion(5, 5))]
)
def test_msprt_without_grounds(control: Proportion, treatment: Proportion) -> None:
    found = msprt(control, treatment, 0.1)
    assert (found.p_value, found.log_e) == (1.0, 0.0)
    assert found.flags in {("no_data",), ("no_variance",)}


@given(st.floats(-10, 10), st.floats(1e-3, 10), st.integers(2, 10**7), POSITIVE, ALPHAS)
def test_p_and_interval_of_the_asymptotic_sequence_agree(
    estimate: float, error: float, n: int, planned_n: float, alpha: float
) -> None:
    found = asymptotic_sequence(estimate, error, n, planned_n, alpha)
    margin = min(abs(found.interval.low), abs(found.interval.high))
    if margin > 1e-9 * (abs(estimate) + error):
        assert (0.0 in found.interval) == (found.p_value > alpha)


def test_the_asymptotic_sequence_without_grounds() -> None:
    assert asymptotic_sequence(1.0, 0.0, 10, 100).flags == ("no_variance",)
    assert asymptotic_sequence(0.0, 0.0, 0, 100).flags == ("no_data",)
    assert asymptotic_sequence(1.0, 0.0, 10, 100).p_value == 1.0


@given(POSITIVE, POSITIVE, ALPHAS, st.booleans())
def test_at_the_normal_boundary_the_mixture_is_one_over_alpha(
    variance: float, variance_opt: float, alpha: float, one_sided: bool
) -> None:
    boundary = normal_mixture_boundary(variance, variance_opt, alpha=alpha, one_sided=one_sided)
    log_e = normal_mixture_log_e(boundary, variance, variance_opt, one_sided=one_sided)
    assert log_e == pytest.approx(-math.log(alpha), rel=1e-8)


def test_far_on_the_wrong_side_a_one_sided_mixture_is_small_not_nan() -> None:
    assert -1e5 < normal_mixture_log_e(-1e4, 10.0, 10.0, one_sided=True) < -9
    assert -1e6 < beta_binomial_log_mixture(-9e4, 9e4 * 0.9, 0.1, 100.0, one_sided=True) < -10


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9])
def test_the_tail_of_a_beta_is_continued_where_floats_end(share: float) -> None:
    """The chance that Beta(a, b) exceeds a share: by its logarithm, on both sides of what a float can hold."""
    grid = np.geomspace(1e2, 1e6, 60)
    found = np.array([_log_above(2.5, b, share) for b in grid])
    assert (np.diff(found) < 0).all()
    deep = grid * share > 1e3
    b = grid[deep]
    log_density = (b - 1) * math.log1p(-share) + 1.5 * math.log(share) - betaln(2.5, b)
    laplace = log_density - np.log((b - 1) / (1 - share) - 1.5 / share)
    assert deep.any()
    assert found[deep] == pytest.approx(laplace, abs=1e-2)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
@pytest.mark.parametrize("treated", [0, 3, 17, 40])
@pytest.mark.parametrize("one_sided", [False, True])
def test_the_beta_binomial_mixture_is_the_integral_over_its_prior(share: float, treated: int, one_sided: bool) -> None:
    n, variance_opt = 40, 12.0
    level = -2 * math.log(0.1 if one_sided else 0.05)
    r = variance_opt / (level + math.log1p(level)) - share * (1 - share)
    prior = stats.beta(r / (1 - share), r / share)
    low = share if one_sided else 0.0

    def mixed(q: float) -> float:
        return prior.pdf(q) * math.exp(stats.binom.logpmf(treated, n, q) - stats.binom.logpmf(treated, n, share))

    expected = integrate.quad(mixed, low, 1.0, epsabs=0, epsrel=1e-10, limit=200)[0]
    expected /= prior.sf(share) if one_sided else 1.0
    found = beta_binomial_log_mixture(
        treated - share * n, share * (1 - share) * n, share, variance_opt, one_sided=one_sided
    )
    assert found == pytest.approx(math.log(expected), rel=1e-6, abs=1e-6)


@given(st.integers(1, 10**5), st.sampled_from([0.01, 0.1, 0.5, 0.9]), POSITIVE, ALPHAS)
def test_the_beta_binomial_boundary_is_reached_or_the_largest_there_is(
    n: int, share: float, variance_opt: float, alpha: float
) -> None:
    variance = n * share * (1 - share)
    boundary = beta_binomial_boundary(variance, share, variance_opt, alpha=alpha)
    log_e = beta_binomial_log_mixture(boundary, variance, share, variance_opt)
    assert boundary <= variance / share * (1 + 1e-12)
    if boundary < variance / share * (1 - 1e-9):
        assert log_e == pytest.approx(-math.log(alpha), rel=1e-6)
    else:
        assert log_e <= -math.log(alpha) * (1 + 1e-6)


def test_two_looks_are_the_bivariate_normal() -> None:
    z = stats.norm.isf(0.025)
    both = stats.multivariate_normal(cov=[[1, math.sqrt(0.5)], [math.sqrt(0.5), 1]])
    inside = both.cdf([z, z], lower_limit=[-z, -z])
    assert peeking_error(0.05, 2) == pytest.approx(1 - inside, abs=1e-7)


def test_more_looks_cost_more_as_simulated() -> None:
    errors = [peeking_error(0.05, k) for k in (1, 2, 5, 20, 100, 300)]
    assert errors == sorted(errors)
    assert errors[0] == 0.05
    assert 0.4 < errors[-1] < 0.5
    rough = np.cumsum(np.random.default_rng(1).normal(size=(20_000, 100)), axis=1) / np.sqrt(np.arange(1, 101))
    assert peeking_error(0.05, 100) == pytest.approx((np.abs(rough) > 1.959964).any(axis=1).mean(), abs=0.015)


@pytest.mark.parametrize("looks", [0, -1, 1_001, 2.5, True])
def test_looks_are_counted(looks: int) -> None:
    with pytest.raises(InvalidRequest):
        peeking_error(0.05, looks)


def test_bad_input_is_refused() -> None:
    for refused in (
        lambda: msprt(Proportion(1, 2), Proportion(1, 2), 0.0),
        lambda: asymptotic_sequence(math.nan, 1.0, 3, 10),
        lambda: asymptotic_sequence(0.0, -1.0, 3, 10),
        lambda: normal_mixture_log_e(0.0, -1.0, 1.0),
        lambda: normal_mixture_boundary(1.0, 1.0, alpha_opt=0.6, one_sided=True),
        lambda: beta_binomial_log_mixture(0.0, 1.0, 1.0, 1.0),
        lambda: beta_binomial_boundary(1.0, 0.5, 1.0, alpha=0.0),
    ):
        with pytest.raises(InvalidRequest):
            refused()


def test_the_reference_methods_of_this_part() -> None:
    assert set(METHODS) == {
        "anytime_binomial_share",
        "asymptotic_confidence_sequence",
        "msprt_two_proportions",
        "normal_mixture_boundary",
        "beta_binomial_mixture_boundary",
        "naive_peeking_type1",
    }
