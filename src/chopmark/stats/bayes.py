"""Posterior of the effect of a treatment: chance to win, expected loss, credible interval.

`beta_binomial` is exact for rates of any size. `normal_effect` is for means too, and for effects that other methods estimated
(`effect_posterior`); it assumes that the estimate is normal. None of them keeps an error rate for somebody who looks repeatedly
and stops at a good moment: each answer says so in ``warning``, and `chopmark.stats.sequential` is for that.
"""

from __future__ import annotations

import math

import msgspec

from chopmark.errors import InvalidRequest
from chopmark.stats.beta_quadrature import Shape, cdf, density, grid, posterior
from chopmark.stats.checks import check_number, check_positive, check_share
from chopmark.stats.effects import UNBOUNDED
from chopmark.stats.rate_effects import difference_of, ratio_of
from chopmark.stats.results import Flag, Interval, Scale
from chopmark.stats.summaries import Mean, Proportion

__all__ = [
    "STOPPING_WARNING",
    "BetaPrior",
    "EffectPrior",
    "Posterior",
    "beta_binomial",
    "effect_posterior",
    "normal_effect",
]

STOPPING_WARNING = (
    "Stopping as soon as this looks good is not error-controlled: look once, at a time that was fixed beforehand, "
    "or use a sequential test."
)


class BetaPrior(msgspec.Struct, frozen=True):
    """What is believed of a rate before any trial: as if of ``a`` successes and ``b`` failures; both above 0."""

    a: float = 1.0
    b: float = 1.0

    def __post_init__(self) -> None:
        for name, value in (("a", self.a), ("b", self.b)):
            check_positive(f"the prior's {name}", value)


class EffectPrior(msgspec.Struct, frozen=True):
    """What is believed of an effect before any data: normal.

    Attributes
    ----------
    mean, variance
        In units of the scale, and their square; the variance is above 0.
    scale
        A prior of the other scale than the effect's is rescaled by the size of the control's mean.
    """

    mean: float = 0.0
    variance: float = 1.0
    scale: Scale = "relative"

    def __post_init__(self) -> None:
        check_number("the prior's mean", self.mean)
        check_positive("the prior's variance", self.variance)


class Posterior(msgspec.Struct, frozen=True, kw_only=True):
    """What is believed of the effect (treatment minus control) after the data.

    Attributes
    ----------
    chance_to_win
        That the treatment is better.
    estimate
        Posterior mean; of a relative effect between rates the posterior median, since a mean need not exist.
    standard_deviation
        Of the effect; None where `estimate` is a median.
    interval
        Equal-tailed credible interval at the confidence that was asked for.
    expected_loss_treatment
        What is lost on average by shipping the treatment, should the control be better. By `beta_binomial` always in units of
        the rate; otherwise on the scale of the effect.
    expected_loss_control
        What is lost on average by keeping the control, should the treatment be better.
    scale
        Of the estimate and the interval.
    warning
        That stopping on any of this is not error-controlled.
    flags
        With ``no_data``, ``no_variance`` or ``all_equal`` an answer decides nothing: the chance is 0.5 and the interval unbounded.
    """

    chance_to_win: float
    estimate: float
    standard_deviation: float | None
    interval: Interval
    expected_loss_treatment: float
    expected_loss_control: float
    scale: Scale = "absolute"
    warning: str = STOPPING_WARNING
    flags: tuple[Flag, ...] = ()


_UNIFORM = BetaPrior()


def beta_binomial(
    control: Proportion,
    treatment: Proportion,
    *,
    prior: BetaPrior = _UNIFORM,
    scale: Scale = "absolute",
    lower_is_better: bool = False,
    confidence: float = 0.95,
) -> Posterior:
    """Compare two rates by their Beta posteriors.

    Parameters
    ----------
    control, treatment
        Successes of trials; without any, the prior speaks.
    prior
        Of either rate.
    scale
        Of the estimate and the interval; losses are always in units of the rate.
    lower_is_better
        When a success is a failure, such as for error rates.
    confidence
        Of the interval.

    Returns
    -------
    Posterior
        Chances, losses and means within 10⁻⁶, most of them within 10⁻¹².

    Raises
    ------
    InvalidRequest
        When the confidence is no share, or there are more than 10¹² trials.

    Notes
    -----
    P(T > C) = ∫ f_T·F_C dx and E[max(C - T, 0)] = ∫ F_T·(1 - F_C) dx, by quadrature. Stucchio (2015), "Bayesian A/B testing at
    VWO", sections 3 and 4.

    Examples
    --------
    >>> found = beta_binomial(Proportion(45, 50), Proportion(48, 50))
    >>> round(found.chance_to_win, 4), round(found.expected_loss_treatment, 4)
    (0.8655, 0.0037)
    """
    check_share("confidence", confidence)
    shapes = [posterior(counts, prior.a, prior.b) for counts in (control, treatment)]
    nodes = grid(shapes)
    below = [cdf(shape, nodes.x, nodes.y) for shape in shapes]
    above = [cdf(Shape(shape.b, shape.a), nodes.y, nodes.x) for shape in shapes]
    wins = float((density(shapes[1], nodes) * below[0]).sum())
    fails = float((density(shapes[0], nodes) * below[1]).sum())
    dx = nodes.x * nodes.y * nodes.weights
    short, over = float((below[1] * above[0] * dx).sum()), float((below[0] * above[1] * dx).sum())
    if lower_is_better:
        wins, fails, short, over = fails, wins, over, short
    effect = (ratio_of if scale == "relative" else difference_of)(*shapes)
    low, high = effect.quantile((1 - confidence) / 2), effect.quantile((1 + confidence) / 2)
    estimate = shapes[1].mean - shapes[0].mean
    if scale == "relative":
        low, estimate, high = math.expm1(low), math.expm1(effect.quantile(0.5)), math.expm1(high)
    spread = math.hypot(*(_standard_deviation(shape) for shape in shapes))
    no_data: tuple[Flag, ...] = ("no_data",) if min(control.n, treatment.n) == 0 else ()
    return Posterior(
        chance_to_win=wins / (wins + fails),
        estimate=estimate,
        standard_deviation=None if scale == "relative" else spread,
        interval=Interval(low, high),
        expected_loss_treatment=short,
        expected_loss_control=over,
        scale=scale,
        flags=no_data,
    )


def normal_effect(
    control: Proportion | Mean,
    treatment: Proportion | Mean,
    *,
    prior: EffectPrior | None = None,
    scale: Scale = "absolute",
    lower_is_better: bool = False,
    confidence: float = 0.95,
) -> Posterior:
    """Compare two rates or means by a normal posterior of their difference, or of it relative to the control.

    Parameters
    ----------
    control, treatment
        Summaries of one kind; a rate's variance is p(1 - p).
    prior
        Of the effect; None for a flat one.
    scale
        ``relative`` divides the difference by the control's mean; the variance is that of the delta method:
        s_T²/(n_T·m_C²) + s_C²·m_T²/(n_C·m_C⁴).
    lower_is_better
        When a smaller mean wins, such as for latencies.
    confidence
        Of the interval.

    Returns
    -------
    Posterior
        When an arm is empty or does not vary, or a relative effect is asked for of a control whose mean is 0, nothing is decided
        and a flag says so.

    Raises
    ------
    InvalidRequest
        When the confidence is no share, or the summaries are of different kinds.

    Notes
    -----
    Stucchio (2015), "Bayesian A/B testing at VWO"; Deng, Knoblich, Lu (2018), "Applying the delta method in metric analytics",
    KDD, section 3, for the variance.

    Examples
    --------
    >>> found = normal_effect(Proportion(307, 395), Proportion(47, 87), scale="relative")
    >>> round(found.estimate, 3), found.chance_to_win < 0.001
    (-0.305, True)
    """
    check_share("confidence", confidence)
    if isinstance(control, Proportion) != isinstance(treatment, Proportion):
        raise InvalidRequest("A rate cannot be compared with a mean.", hint="Give two summaries of one kind.")
    (mean_c, variance_c), (mean_t, variance_t) = _moments(control), _moments(treatment)
    difference = mean_t - mean_c
    flag = _what_is_missing(control.n, treatment.n, mean_c, variance_c, variance_t, difference, scale)
    if flag is not None:
        return _undecided(0.0 if scale == "relative" else difference, scale, flag)
    if scale == "relative":
        estimate = difference / mean_c
        error = math.hypot(math.sqrt(variance_t) / mean_c, math.sqrt(variance_c) / mean_c * (mean_t / mean_c))
    else:
        estimate, error = difference, math.hypot(math.sqrt(variance_t), math.sqrt(variance_c))
    return effect_posterior(
        estimate,
        error,
        prior=None if prior is None else _rescaled(prior, scale, abs(mean_c)),
        scale=scale,
        lower_is_better=lower_is_better,
        confidence=confidence,
    )


def effect_posterior(
    estimate: float,
    standard_error: float,
    *,
    prior: EffectPrior | None = None,
    scale: Scale = "absolute",
    lower_is_better: bool = False,
    confidence: float = 0.95,
) -> Posterior:
    """Posterior of an effect that some other method estimated, such as the delta method of a ratio, or CUPED.

    Parameters
    ----------
    estimate, standard_error
        Of the effect; the error is above 0.
    prior
        Of the effect, on the same scale; None for a flat one.
    scale
        What the estimate is, told on in the answer.
    lower_is_better
        When a smaller effect wins.
    confidence
        Of the interval.

    Raises
    ------
    InvalidRequest
        When a number is not finite, the error not above 0, or the prior is of another scale.

    Notes
    -----
    Precisions add up: 1/σ² = 1/s² + 1/v, μ = σ²(x/s² + m/v). P(effect > 0) = Φ(μ/σ), E[max(effect, 0)] = μ·Φ(μ/σ) + σ·φ(μ/σ).

    Examples
    --------
    >>> found = effect_posterior(0.02, 0.01, prior=EffectPrior(0.0, 0.0001, "absolute"))
    >>> round(found.estimate, 6), round(found.chance_to_win, 4)
    (0.01, 0.9214)
    """
    from scipy import special

    check_share("confidence", confidence)
    check_number("estimate", estimate)
    check_positive("standard_error", standard_error)
    if prior is not None and prior.scale != scale:
        raise InvalidRequest(
            f"The prior is {prior.scale}, the effect {scale}.", hint="Give a prior on the scale of the effect."
        )
    mean, deviation = (estimate, standard_error) if prior is None else _combined(estimate, standard_error, prior)
    z = mean / deviation
    above, below = float(special.ndtr(z)), float(special.ndtr(-z))
    peak = deviation * math.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
    gain, loss = max(0.0, mean * above + peak), max(0.0, peak - mean * below)
    if lower_is_better:
        above, gain, loss = below, loss, gain
    reach = float(special.ndtri((1 + confidence) / 2)) * deviation
    return Posterior(
        chance_to_win=above,
        estimate=mean,
        standard_deviation=deviation,
        interval=Interval(mean - reach, mean + reach),
        expected_loss_treatment=loss,
        expected_loss_control=gain,
        scale=scale,
    )


def _combined(estimate: float, error: float, prior: EffectPrior) -> tuple[float, float]:
    """Mean and standard deviation after the data; by the data's weight, so that no reciprocal overflows."""
    prior_deviation = math.sqrt(prior.variance)
    total = math.hypot(error, prior_deviation)
    weight = (prior_deviation / total) ** 2
    return weight * estimate + (error / total) ** 2 * prior.mean, error * (prior_deviation / total)


def _moments(arm: Proportion | Mean) -> tuple[float, float]:
    """Mean of an arm, and variance of that mean."""
    if isinstance(arm, Proportion):
        return arm.rate, arm.rate * (arm.failures / arm.n) / arm.n if arm.n else 0.0
    return arm.mean, arm.variance / arm.n if arm.n else 0.0


def _what_is_missing(
    n_c: int, n_t: int, mean_c: float, variance_c: float, variance_t: float, difference: float, scale: Scale
) -> Flag | None:
    if min(n_c, n_t) == 0:
        return "no_data"
    if min(variance_c, variance_t) == 0:
        return "all_equal" if difference == variance_c == variance_t else "no_variance"
    return "no_baseline" if scale == "relative" and mean_c == 0 else None


def _undecided(estimate: float, scale: Scale, flag: Flag) -> Posterior:
    return Posterior(
        chance_to_win=0.5,
        estimate=estimate,
        standard_deviation=0.0,
        interval=UNBOUNDED,
        expected_loss_treatment=0.0,
        expected_loss_control=0.0,
        scale=scale,
        flags=(flag,),
    )


def _rescaled(prior: EffectPrior, scale: Scale, baseline: float) -> EffectPrior:
    if prior.scale == scale:
        return prior
    if scale == "absolute":
        return EffectPrior(prior.mean * baseline, prior.variance * baseline * baseline, scale)
    return EffectPrior(prior.mean / baseline, prior.variance / baseline / baseline, scale)


def _standard_deviation(shape: Shape) -> float:
    total = shape.a + shape.b
    return math.sqrt(shape.a / total * (shape.b / total) / (total + 1))
