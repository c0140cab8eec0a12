"""Power and sample sizes against scipy's distributions, the binomial distribution and by hand."""

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from chopmark.errors import InvalidRequest
from chopmark.stats import power as planning
from chopmark.stats.sample_size import SampleSize, shifted

levels = st.floats(0.001, 0.2)
powers = st.floats(0.25, 0.999)
ratios = st.floats(0.05, 20)


def t_power(effect, n, ratio, alpha):
    """By scipy's noncentral t, where it has an answer; its lower tail fails far away, and hardly counts there."""
    freedom, drift = n * (1 + ratio) - 2, effect * math.sqrt(n * ratio / (1 + ratio))
    critical = stats.t.isf(alpha / 2, freedom)
    return stats.nct.sf(critical, freedom, drift) + np.nan_to_num(stats.nct.cdf(-critical, freedom, drift))


@pytest.mark.parametrize("ratio", [0.25, 1.0, 4.0])
@pytest.mark.parametrize(("n", "effect"), [(4, 0.1), (4, 3.0), (30, 0.5), (400, 0.2), (5_000, 0.05), (200_000, 0.01)])
def test_the_t_test_has_the_power_of_the_noncentral_t(n, effect, ratio):
    assert planning.power_means(effect, n, ratio=ratio) == pytest.approx(t_power(effect, n, ratio, 0.05), rel=1e-8)
    assert planning.power_means(-effect, n, ratio=ratio) == planning.power_means(effect, n, ratio=ratio)


@pytest.mark.parametrize("n", [1.5, 1.6, 2, 3, 1e9])
def test_no_effect_has_the_power_of_its_level(n):
    assert planning.power_means(0.0, n, alpha=0.03) == pytest.approx(0.03, rel=1e-7)


def test_a_far_tail_is_a_number():
    """Where the usual series has no answer."""
    assert planning.power_means(1.179, 400, ratio=0.5) == pytest.approx(1.0, abs=1e-14)
    assert 0.9999 < planning.power_means(0.402, 400, ratio=4.0, alpha=0.01) < 1


@settings(max_examples=60, deadline=None)
@given(st.floats(1e-3, 5), levels, powers, ratios)
@example(
    0.171815469926155, 0.001730971816348448, 0.966424043566741, 0.120812275269609
)  # the far tail is below rounding
def test_the_sample_size_of_means_has_its_power(effect, alpha, power, ratio):
    size = planning.sample_size_means(effect, alpha=alpha, power=power, ratio=ratio)
    reached = planning.power_means(effect, size.control_exact, alpha=alpha, ratio=ratio)
    assert reached == pytest.approx(power, abs=1e-7) or (
        reached > power and size.control_exact * (1 + ratio) == pytest.approx(3)
    )
    assert size.control >= size.control_exact
    assert size.treatment >= size.control_exact * ratio
    assert size == planning.sample_size_means(-effect, alpha=alpha, power=power, ratio=ratio)


@settings(max_examples=60, deadline=None)
@given(st.floats(3, 1e6), levels, powers, ratios)
def test_the_least_effect_has_its_power(n, alpha, power, ratio):
    d = planning.detectable_standardised(n, alpha=alpha, power=power, ratio=ratio)
    assert planning.power_means(d, n, alpha=alpha, ratio=ratio) == pytest.approx(power, abs=1e-9)
    h = planning.detectable_proportion(0.5, n, scale="absolute", alpha=alpha, power=power, ratio=ratio).standardised
    assert planning.power_normal(h, n, alpha=alpha, ratio=ratio) == pytest.approx(power, abs=1e-11)
    assert h < d


@given(st.floats(0, 1), st.floats(0, 1), st.floats(1, 1e7), levels, ratios)
def test_the_power_of_proportions_by_hand(baseline, target, n, alpha, ratio):
    h = 2 * math.asin(math.sqrt(target)) - 2 * math.asin(math.sqrt(baseline))
    drift, critical = h * math.sqrt(n * ratio / (1 + ratio)), stats.norm.isf(alpha / 2)
    power = planning.power_proportions(baseline, target, n, alpha=alpha, ratio=ratio)
    assert power == pytest.approx(stats.norm.sf(critical - drift) + stats.norm.cdf(-critical - drift), rel=1e-9)
    assert power == pytest.approx(planning.power_proportions(target, baseline, n, alpha=alpha, ratio=ratio), rel=1e-9)
    assert alpha * (1 - 1e-9) <= power <= 1


@given(st.floats(0, 1), st.floats(0.01, 0.4), levels, powers, ratios)
def test_the_sample_size_of_proportions_has_its_power(baseline, step, alpha, power, ratio):
    target = baseline + step if baseline < 0.5 else baseline - step
    size = planning.sample_size_proportions(baseline, target, alpha=alpha, power=power, ratio=ratio)
    reached = planning.power_proportions(baseline, target, size.control_exact, alpha=alpha, ratio=ratio)
    assert reached == pytest.approx(power, abs=1e-9)


@given(
    st.floats(0.01, 0.95),
    st.floats(50, 1e6),
    st.sampled_from(["up", "down"]),
    st.sampled_from(["absolute", "relative"]),
)
def test_the_least_change_of_a_rate_says_its_scale_and_is_found(baseline, n, direction, scale):
    effect = planning.detectable_proportion(baseline, n, scale=scale, direction=direction)
    assert effect.scale == scale
    if effect.target is None:
        assert effect.size is None
        return
    assert effect.size is not None
    assert shifted(baseline, effect.size, scale=scale) == pytest.approx(effect.target, abs=1e-12)
    assert (effect.size > 0) == (direction == "up")
    assert planning.power_proportions(baseline, effect.target, n) == pytest.approx(0.8, abs=1e-6)


def test_a_change_that_no_rate_can_reach_has_no_size():
    assert planning.detectable_proportion(0.999, 50, scale="absolute").target is None
    assert planning.detectable_proportion(0.001, 50, scale="absolute", direction="down").size is None


@pytest.mark.parametrize(("direction", "sign"), [("up", 1), ("down", -1)])
def test_the_least_change_of_a_mean(direction, sign):
    d = planning.detectable_standardised(400)
    assert d == pytest.approx(0.19834, abs=1e-4)
    plain = planning.detectable_mean(-50.0, 10.0, 400, scale="absolute", direction=direction)
    share = planning.detectable_mean(-50.0, 10.0, 400, scale="relative", direction=direction)
    assert plain.size == pytest.approx(sign * 10 * d)
    assert share.size == pytest.approx(sign * 10 * d / 50)
    assert plain.target == share.target == pytest.approx(-50 + sign * 10 * d)
    assert planning.detectable_mean(3.0, 0.0, 400, scale="relative").size == 0.0


@pytest.mark.parametrize(("first", "second"), [(0.1, 0.2), (0.95, 0.97), (0.5, 0.45), (0.02, 0.05)])
def test_fleiss_reaches_its_power_and_the_correction_that_of_the_exact_test(first, second):
    plain = planning.sample_size_proportions_fleiss(first, second, corrected=False)
    assert planning.power_proportions_fleiss(first, second, plain.control_exact) == pytest.approx(0.8, abs=1e-12)
    corrected = planning.sample_size_proportions_fleiss(first, second, corrected=True)
    assert corrected.control_exact == pytest.approx(plain.control_exact + 2 / abs(first - second), rel=0.03)
    simulated = _simulated_power(first, second, plain.control)
    assert simulated == pytest.approx(0.8, abs=0.02)
    swapped = planning.sample_size_proportions_fleiss(second, first, corrected=True)
    assert swapped.control_exact == pytest.approx(corrected.control_exact)


def _simulated_power(first, second, n):
    """Share of 20,000 pairs of samples in which the pooled z test is significant."""
    draws = np.random.default_rng(11)
    a, b = draws.binomial(n, first, 20_000) / n, draws.binomial(n, second, 20_000) / n
    pooled = (a + b) / 2
    return (np.abs(a - b) > stats.norm.isf(0.025) * np.sqrt(2 * pooled * (1 - pooled) / n)).mean()


def test_one_sided_tests_need_fewer():
    one, two = (planning.sample_size_proportions_fleiss(0.1, 0.2, corrected=False, sided=s).control for s in (1, 2))
    assert (one, two) == (157, 199)


def test_rates_that_do_not_vary():
    assert planning.power_proportions_fleiss(0.0, 0.0, 100) == 0.0
    assert planning.power_proportions_fleiss(0.0, 1.0, 100) == 1.0
    assert planning.power_proportions(1.0, 1.0, 100) == pytest.approx(0.05)


def test_days_left():
    size = SampleSize(999.2, 0.5)
    assert (size.control, size.treatment, size.total) == (1000, 500, 1500)
    assert size.days_left(500, 100, days=2.0) == 8.0  # treatment is slower
    assert size.days_left(1000, 400, days=4.0) == 1.0
    assert size.days_left(1000, 500, days=1.0) == 0.0
    assert size.days_left(1000, 0, days=1.0) is None
    assert size.inflated(1.1).control == 1100
    for wrong in [(-1, 0, 1.0), (1, 1, 0.0), (1, 1, math.nan)]:
        with pytest.raises(InvalidRequest):
            size.days_left(wrong[0], wrong[1], days=wrong[2])


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: planning.power_proportions(-0.1, 0.5, 100),
        lambda: planning.power_proportions(0.1, 1.5, 100),
        lambda: planning.power_proportions(0.1, math.nan, 100),
        lambda: planning.power_proportions(0.1, 0.5, 0),
        lambda: planning.power_proportions(0.1, 0.5, 100, alpha=0.0),
        lambda: planning.power_proportions(0.1, 0.5, 100, ratio=0.0),
        lambda: planning.sample_size_proportions(0.1, 0.1),
        lambda: planning.sample_size_proportions(0.1, 0.2, power=0.05),
        lambda: planning.sample_size_proportions_fleiss(0.1, 0.1, corrected=True),
        lambda: planning.sample_size_proportions_fleiss(0.1, 0.2, corrected=True, sided=3),  # type: ignore[arg-type]
        lambda: planning.power_means(math.inf, 100),
        lambda: planning.power_means(0.1, 1.4),
        lambda: planning.power_means(0.1, -5),
        lambda: planning.sample_size_means(0.0),
        lambda: planning.sample_size_means(1e-9),
        lambda: planning.sample_size_means(0.1, power=1.0),
        lambda: planning.detectable_standardised(0.5),
        lambda: planning.detectable_mean(0.0, 1.0, 100, scale="relative"),
        lambda: planning.detectable_mean(1.0, -1.0, 100, scale="absolute"),
        lambda: planning.detectable_proportion(0.0, 100, scale="relative"),
        lambda: shifted(1.0, 0.1, scale="percent"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_meant_is_refused_with_a_hint(wrong):
    with pytest.raises(InvalidRequest) as refused:
        wrong()
    assert refused.value.hint
