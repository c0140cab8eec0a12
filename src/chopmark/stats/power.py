"""Planning an experiment: power, sample size, the least effect that would be found, and days left.

- Two proportions by the arcsine transformation: Cohen (1988), "Statistical Power Analysis for the Behavioral Sciences", chapter 6.
- Two proportions by pooled and unpooled variances, with and without continuity correction: Fleiss, Tytun and Ury (1980), "A simple
  approximation for calculating sample sizes for comparing independent proportions", Biometrics 36(2).
- Two means by the noncentral t distribution: Cohen (1988), chapter 2; its tails are integrated here over the distribution of the
  standard deviation (Owen 1968, "A survey of properties and applications of the noncentral t-distribution", Technometrics 10(3)),
  as the usual series fails for tails that are far away.

``ratio`` is always units of treatment for each unit of control. Tests are two-sided where nothing else is said.
"""

from __future__ import annotations

import math
from typing import Literal

from chopmark.errors import InvalidRequest
from chopmark.stats.checks import check_between, check_number, check_positive
from chopmark.stats.crossing import legendre
from chopmark.stats.results import Scale
from chopmark.stats.roots import find_root
from chopmark.stats.sample_size import (
    DetectableEffect,
    SampleSize,
    check_design,
    check_effect,
    harmonic_units,
    unit_of,
)
from chopmark.stats.spending import check_sided

__all__ = [
    "arcsine_effect",
    "arcsine_target",
    "detectable_mean",
    "detectable_proportion",
    "detectable_standardised",
    "power_means",
    "power_normal",
    "power_proportions",
    "power_proportions_fleiss",
    "sample_size_means",
    "sample_size_proportions",
    "sample_size_proportions_fleiss",
]

_UNITS_MOST = 1e15
_LOG_DENSITY_DROP = 40.0  # e^-40 lies outside of what is integrated over
_NODES = 200
_UNITS_LEAST = 3.0  # in both arms together: one degree of freedom
_ROUNDING = 1e-9


def arcsine_effect(baseline_rate: float, target_rate: float) -> float:
    """Cohen's h: ``2 asin √target - 2 asin √baseline``; both in [0, 1].

    Raises
    ------
    InvalidRequest
        When one lies elsewhere.
    """
    check_between("baseline_rate", baseline_rate, 0, 1)
    check_between("target_rate", target_rate, 0, 1)
    return 2 * math.asin(math.sqrt(target_rate)) - 2 * math.asin(math.sqrt(baseline_rate))


def arcsine_target(baseline_rate: float, effect: float) -> float | None:
    """Rate that lies Cohen's h away from a baseline in [0, 1]; None when it would lie outside."""
    check_between("baseline_rate", baseline_rate, 0, 1)
    check_number("effect", effect)
    angle = 2 * math.asin(math.sqrt(baseline_rate)) + effect
    return math.sin(angle / 2) ** 2 if 0 <= angle <= math.pi else None


def power_proportions(
    baseline_rate: float, target_rate: float, n_control: float, *, alpha: float = 0.05, ratio: float = 1.0
) -> float:
    """Power of the two-sided test of two proportions, by the arcsine transformation; both tails count.

    Parameters
    ----------
    baseline_rate, target_rate
        True rates of control and treatment, in [0, 1].
    n_control
        Units of control, above 0.
    alpha, ratio
        Level in (0, 1); units of treatment for each of control.

    Raises
    ------
    InvalidRequest
        For numbers out of range.

    Examples
    --------
    >>> round(power_proportions(0.90, 0.92, 3205), 3)
    0.8
    """
    return power_normal(arcsine_effect(baseline_rate, target_rate), n_control, alpha=alpha, ratio=ratio)


def power_normal(effect_sd: float, n_control: float, *, alpha: float = 0.05, ratio: float = 1.0) -> float:
    """Power of the two-sided normal test for an effect in standard deviations (Cohen's h); arguments as of `power_means`."""
    check_number("effect_sd", effect_sd)
    check_design(alpha, ratio)
    return _normal_power(abs(effect_sd) * math.sqrt(harmonic_units(n_control, ratio)), alpha)


def sample_size_proportions(
    baseline_rate: float, target_rate: float, *, alpha: float = 0.05, power: float = 0.8, ratio: float = 1.0
) -> SampleSize:
    """Units that find a difference of two proportions, by the arcsine transformation; arguments as of `power_proportions`.

    Raises
    ------
    InvalidRequest
        For numbers out of range, a power of at most α, or equal rates.
    """
    effect = abs(arcsine_effect(baseline_rate, target_rate))
    check_design(alpha, ratio, power)
    check_effect(effect)
    return SampleSize((_normal_drift(alpha, power) / effect) ** 2 / harmonic_units(1.0, ratio), ratio)


def detectable_proportion(
    baseline_rate: float,
    n_control: float,
    *,
    scale: Scale,
    direction: Literal["up", "down"] = "up",
    alpha: float = 0.05,
    power: float = 0.8,
    ratio: float = 1.0,
) -> DetectableEffect:
    """Least change of a rate that would be found, by the arcsine transformation.

    Parameters
    ----------
    baseline_rate
        Rate of control, in [0, 1]; above 0 for a relative effect.
    n_control
        Units of control, above 0.
    scale
        Whether the answer's ``size`` is ``absolute`` (a difference of rates) or ``relative`` (by the baseline).
    direction
        Whether the rate is to rise or to fall.
    alpha, power, ratio
        Level, power, units of treatment for each of control.

    Raises
    ------
    InvalidRequest
        For numbers out of range.

    Examples
    --------
    >>> effect = detectable_proportion(0.9, 5000, scale="relative")
    >>> round(effect.size, 4), round(effect.target, 4)
    (0.018, 0.9162)
    """
    check_between("baseline_rate", baseline_rate, 0, 1)
    check_design(alpha, ratio, power)
    h = _normal_drift(alpha, power) / math.sqrt(harmonic_units(n_control, ratio))
    unit = unit_of(baseline_rate, scale)
    target = arcsine_target(baseline_rate, h if direction == "up" else -h)
    return DetectableEffect(scale, None if target is None else (target - baseline_rate) / unit, target, h)


def sample_size_proportions_fleiss(
    baseline_rate: float,
    target_rate: float,
    *,
    corrected: bool,
    alpha: float = 0.05,
    power: float = 0.8,
    sided: Literal[1, 2] = 2,
) -> SampleSize:
    """Units for each of two equal arms, by ``(z(1 - α/s) √(2 p̄ q̄) + z(power) √(p₁q₁ + p₂q₂))² / (p₁ - p₂)²``.

    Parameters
    ----------
    baseline_rate, target_rate
        True rates, in [0, 1].
    corrected
        For a test with continuity correction: ``n/4 (1 + √(1 + 4 / (n |p₁ - p₂|)))²``, so that the exact test has its power too.
    alpha, power, sided
        Level, power, and sides of the test; only the tail in the direction of the effect counts.

    Raises
    ------
    InvalidRequest
        For numbers out of range, a power of at most α, or equal rates.

    Examples
    --------
    >>> sample_size_proportions_fleiss(0.1, 0.2, corrected=True).control
    219
    """
    difference, null, effect = _spreads(baseline_rate, target_rate)
    check_design(alpha, 1.0, power)
    check_sided(sided)
    check_effect(difference)
    n = ((_quantile(1 - alpha / sided) * null + _quantile(power) * effect) / difference) ** 2
    return SampleSize(n / 4 * (1 + math.sqrt(1 + 4 / (n * difference))) ** 2 if corrected else n)


def power_proportions_fleiss(
    baseline_rate: float, target_rate: float, n_per_arm: float, *, alpha: float = 0.05, sided: Literal[1, 2] = 2
) -> float:
    """Power with equal arms by the formula of `sample_size_proportions_fleiss`, uncorrected; arguments as there.

    Equal rates that do not vary (both 0 or both 1) have a power of 0.
    """
    from scipy.special import ndtr

    difference, null, effect = _spreads(baseline_rate, target_rate)
    check_design(alpha, 1.0)
    check_sided(sided)
    check_positive("n_per_arm", n_per_arm)
    ahead = math.sqrt(n_per_arm) * difference - _quantile(1 - alpha / sided) * null
    return float(ndtr(ahead / effect)) if effect else float(ahead > 0)


def power_means(effect_sd: float, n_control: float, *, alpha: float = 0.05, ratio: float = 1.0) -> float:
    """Power of the two-sided t test of two means with equal variances; both tails count.

    Parameters
    ----------
    effect_sd
        Difference of the means in standard deviations (Cohen's d).
    n_control
        Units of control; both arms together 3 or more.
    alpha, ratio
        Level in (0, 1); units of treatment for each of control.

    Raises
    ------
    InvalidRequest
        For numbers out of range.

    Examples
    --------
    >>> round(power_means(0.3, 176), 3)
    0.801
    """
    check_number("effect_sd", effect_sd)
    check_design(alpha, ratio)
    return _t_power(abs(effect_sd), n_control, alpha, ratio)


def sample_size_means(effect_sd: float, *, alpha: float = 0.05, power: float = 0.8, ratio: float = 1.0) -> SampleSize:
    """Units that find a difference of two means; arguments as of `power_means`.

    Raises
    ------
    InvalidRequest
        For numbers out of range, a power of at most α, or no effect (or one so small that 10¹⁵ units would not do).
    """
    check_number("effect_sd", effect_sd)
    check_design(alpha, ratio, power)
    effect = abs(effect_sd)
    check_effect(effect)
    near = (_normal_drift(alpha, power) / effect) ** 2 / harmonic_units(
        1.0, ratio
    )  # of a normal test; a t test needs a few more
    check_effect(effect if near < _UNITS_MOST else 0.0)
    least = _UNITS_LEAST / (1 + ratio)
    low, high = max(least, near * 0.9), max(least, near) * 2 + 4
    low = low if _t_power(effect, low, alpha, ratio) < power else least
    if _t_power(effect, low, alpha, ratio) >= power:
        return SampleSize(low, ratio)
    while _t_power(effect, high, alpha, ratio) < power:
        high *= 2
    return SampleSize(find_root(lambda n: _t_power(effect, n, alpha, ratio) - power, low, high), ratio)


def detectable_standardised(n_control: float, *, alpha: float = 0.05, power: float = 0.8, ratio: float = 1.0) -> float:
    """Least difference of two means, in standard deviations, that would be found; arguments as of `power_means`."""
    check_design(alpha, ratio, power)
    high = 2 * _normal_drift(alpha, power) / math.sqrt(harmonic_units(n_control, ratio))
    while _t_power(high, n_control, alpha, ratio) < power:
        high *= 2
    return find_root(lambda d: _t_power(d, n_control, alpha, ratio) - power, 0.0, high)


def detectable_mean(
    baseline_mean: float,
    standard_deviation: float,
    n_control: float,
    *,
    scale: Scale,
    direction: Literal["up", "down"] = "up",
    alpha: float = 0.05,
    power: float = 0.8,
    ratio: float = 1.0,
) -> DetectableEffect:
    """Least change of a mean that would be found by the t test with equal variances.

    Parameters
    ----------
    baseline_mean, standard_deviation
        Of the metric in control; the mean not 0 for a relative effect.
    n_control, direction, alpha, power, ratio
        As of `detectable_proportion`.
    scale
        Whether the answer's ``size`` is ``absolute`` (units of the metric) or ``relative`` (by the size of the baseline).

    Raises
    ------
    InvalidRequest
        For numbers out of range.
    """
    check_number("baseline_mean", baseline_mean)
    check_number("standard_deviation", standard_deviation, least=0.0)
    unit = unit_of(baseline_mean, scale)
    d = detectable_standardised(n_control, alpha=alpha, power=power, ratio=ratio)
    change = d * standard_deviation * (1 if direction == "up" else -1)
    return DetectableEffect(scale, change / unit, baseline_mean + change, d)


def _normal_power(drift: float, alpha: float) -> float:
    from scipy.special import ndtr, ndtri

    critical = -float(ndtri(alpha / 2))
    return float(ndtr(drift - critical) + ndtr(-drift - critical))


def _normal_drift(alpha: float, power: float) -> float:
    """Mean of the statistic at which a two-sided normal test has its power, with both tails."""
    one_tail = _quantile(1 - alpha / 2) + _quantile(power)  # the other one adds next to nothing, or a little
    return find_root(lambda drift: _normal_power(drift, alpha) - power, 0.0, max(0.0, one_tail) + 1)


def _t_power(effect: float, n_control: float, alpha: float, ratio: float) -> float:
    import numpy as np
    from scipy.special import ndtr, stdtrit

    drift = effect * math.sqrt(harmonic_units(n_control, ratio))
    freedom = n_control * (1 + ratio) - 2
    if freedom < _UNITS_LEAST - 2 - _ROUNDING:
        raise InvalidRequest(f"{n_control:g} units of control are too few for a t test.", hint="Give 2 or more an arm.")
    critical = -float(stdtrit(freedom, alpha / 2))
    reach = _LOG_DENSITY_DROP / freedom  # the log density is freedom · (y + 1/2 - e^2y / 2), y the log of s/σ
    low, high = -math.sqrt(reach) - reach, math.sqrt(reach)
    points, weights = legendre(_NODES)
    y = low + (high - low) / 2 * (points + 1)
    mass = weights * np.exp(freedom * (y - np.expm1(2 * y) / 2))
    spread = critical * np.exp(y)
    return float(mass @ (ndtr(drift - spread) + ndtr(-drift - spread)) / mass.sum())


def _spreads(baseline_rate: float, target_rate: float) -> tuple[float, float, float]:
    """Difference of two rates, and the deviation of an estimate from one unit an arm: were they equal, and as they are."""
    check_between("baseline_rate", baseline_rate, 0, 1)
    check_between("target_rate", target_rate, 0, 1)
    pooled = (baseline_rate + target_rate) / 2
    own = baseline_rate * (1 - baseline_rate) + target_rate * (1 - target_rate)
    return abs(target_rate - baseline_rate), math.sqrt(2 * pooled * (1 - pooled)), math.sqrt(own)


def _quantile(level: float) -> float:
    from scipy.special import ndtri

    return float(ndtri(level))
