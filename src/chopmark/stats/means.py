"""Two means, or ratios of sums: treatment minus control.

- `welch_test`: Welch (1947), "The generalization of 'Student's' problem when several different population variances are involved",
  Biometrika 34(1-2); degrees of freedom by Satterthwaite (1946), Biometrics Bulletin 2(6).
- `ratio_test`: a ratio of sums over units, such as cost by request with the user as the unit; the variance by the delta method as in
  Deng, Knoblich and Lu (2018), "Applying the delta method in metric analytics", KDD, eq. 2.
- `cuped_test`: Deng, Xu, Kohavi and Walker (2013), "Improving the sensitivity of online controlled experiments by utilizing
  pre-experiment data", WSDM, eqs. 3 to 5.

Each answers p = 1 with a flag, and an interval without bounds, where an arm has fewer than two units (``too_few``; ``no_data`` for none)
or nothing varies (``no_variance``; ``all_equal`` when the arms agree too).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from chopmark.errors import InvalidRequest
from chopmark.stats.checks import check_share
from chopmark.stats.effects import is_noise, no_answer, student_effect
from chopmark.stats.results import Effect, Flag
from chopmark.stats.summaries import Cuped, Mean, Ratio

__all__ = [
    "CupedEffect",
    "cuped_means",
    "cuped_slope",
    "cuped_test",
    "guarded_test",
    "ratio_mean",
    "ratio_test",
    "ratio_variance",
    "welch_test",
]

_UNITS_LEAST = 2


class CupedEffect(msgspec.Struct, frozen=True, kw_only=True):
    """An effect with what was known before taken out, and what that brought.

    Attributes
    ----------
    effect
        The adjusted difference of the means.
    unadjusted
        The same test without the adjustment.
    theta
        Slope of the outcome on what was known before, over both arms joined; 0 when the latter does not vary.
    variance_reduction
        1 - (adjusted / unadjusted standard error)²; 0 when the latter is 0.
    """

    effect: Effect
    unadjusted: Effect
    theta: float
    variance_reduction: float


def welch_test(control: Mean, treatment: Mean, *, confidence: float = 0.95, is_relative: bool = False) -> Effect:
    """Test that two means are equal, whatever the variances.

    Parameters
    ----------
    control, treatment
        Summaries of one number a unit.
    confidence
        Of the two-sided interval.
    is_relative
        Give the difference as a share of the control's mean (its magnitude), with the variance by the delta method:
        var(m₁)/m₀² + var(m₀)·m₁²/m₀⁴. A control whose mean is 0 is flagged ``no_baseline``.

    Returns
    -------
    Effect
        t = (m₁ - m₀) / √(s₁²/n₁ + s₀²/n₀) and its degrees of freedom.

    Examples
    --------
    >>> effect = welch_test(Mean(20, 10.0, 76.0), Mean(20, 12.0, 76.0))
    >>> round(effect.statistic, 3), round(effect.degrees_of_freedom, 1), round(effect.p_value, 4)
    (3.162, 38.0, 0.0031)
    """
    return _compared(control, treatment, confidence=confidence, is_relative=is_relative)


def guarded_test(control: Mean, treatment: Mean, *, confidence: float = 0.95) -> Effect:
    """`welch_test` with the larger of its own and of the pooled error, for looks at few units.

    A small arm that has not seen the tail of a skewed metric yet underestimates its own variance: with a hundredth of the units in
    it, Welch's test calls equal lognormal means different in a quarter of experiments with a few looks, this one in fewer than α.
    Arms of one size have one error by both, and then it is Welch's test.
    """
    effect = welch_test(control, treatment, confidence=confidence)
    if effect.degrees_of_freedom is None:
        return effect
    pooled = (control.m2 + treatment.m2) / (control.n + treatment.n - 2) * (1 / control.n + 1 / treatment.n)
    error = max(effect.standard_error, math.sqrt(pooled))
    return student_effect(effect.estimate, error, effect.degrees_of_freedom, confidence)


def ratio_test(control: Ratio, treatment: Ratio, *, confidence: float = 0.95, is_relative: bool = False) -> Effect:
    """Test that two ratios of sums are equal; the parameters are those of `welch_test`, and a unit has two numbers.

    An arm whose denominators sum to 0 has no ratio, and is flagged ``no_data``.
    """
    arms = ratio_mean(control), ratio_mean(treatment)
    return _compared(*arms, confidence=confidence, is_relative=is_relative)


def ratio_mean(ratio: Ratio) -> Mean:
    """A ratio as a mean over its units, with the variance of `ratio_variance`; no units where the denominators sum to 0.

    Raises
    ------
    InvalidRequest
        When a float cannot hold the ratio or its variance, such as with denominators next to 0.
    """
    if not ratio.mean_x:
        return Mean()
    value = ratio.ratio
    # The root is divided, and squared then: x̄² may be too small for a float where the quotient is not.
    spread = math.sqrt(_m2_without(ratio, value)) / abs(ratio.mean_x)
    if not math.isfinite(value) or not math.isfinite(spread * spread):
        raise _too_large()
    return Mean(ratio.n, value, spread * spread)


def ratio_variance(ratio: Ratio) -> float:
    """Variance of a ratio for each unit, by the delta method: divided by the units, it is the square of the standard error.

    With R = ȳ / x̄: (s²(y) - 2 R s(y, x) + R² s²(x)) / x̄²; 0 when the denominators sum to 0.
    """
    return ratio_mean(ratio).variance


def cuped_slope(control: Cuped, treatment: Cuped) -> float:
    """θ = cov(y, x) / var(x) over the units of both arms together; 0 where x varies by no more than rounding does.

    Raises
    ------
    InvalidRequest
        When x varies so little that a float cannot hold the slope.
    """
    both = control + treatment
    spread = math.sqrt(both.m2_x / both.n) if both.n else 0.0
    theta = 0.0 if is_noise(spread, both.mean_x) else both.co_yx / both.m2_x
    if not math.isfinite(theta):
        raise InvalidRequest("What was known before varies too little.", hint="Choose another unit for it.")
    return theta


def cuped_means(control: Cuped, treatment: Cuped, theta: float) -> tuple[Mean, Mean]:
    """Both arms as means of y - θ (x - x̄ of both), whose variance is s²(y) - 2 θ s(y, x) + θ² s²(x).

    Centred, the adjusted means stay near the outcome's own, and their difference loses no digits to a large x̄.
    """
    centre = (control + treatment).mean_x
    first, second = (
        Mean(arm.n, arm.mean_y - theta * (arm.mean_x - centre), _m2_without(arm, theta)) for arm in (control, treatment)
    )
    return first, second


def cuped_test(control: Cuped, treatment: Cuped, *, confidence: float = 0.95) -> CupedEffect:
    """Test that two means are equal, after taking out what was known of the units before.

    Parameters
    ----------
    control, treatment
        Outcome y and the earlier number x of each unit; x must be from before the units were assigned.
    confidence
        Of the two-sided interval.

    Returns
    -------
    CupedEffect
        Welch's test of the `cuped_means` by the `cuped_slope`.
    """
    theta = cuped_slope(control, treatment)
    effect, unadjusted = (
        _compared(*cuped_means(control, treatment, slope), confidence=confidence) for slope in (theta, 0.0)
    )
    reduction = 1 - (effect.standard_error / unadjusted.standard_error) ** 2 if unadjusted.standard_error else 0.0
    return CupedEffect(effect=effect, unadjusted=unadjusted, theta=theta, variance_reduction=reduction)


def _m2_without(pairs: Ratio | Cuped, slope: float) -> float:
    """Sum of squared deviations of y - slope · x."""
    left = pairs.m2_y - 2 * slope * pairs.co_yx + slope * slope * pairs.m2_x
    if not math.isfinite(left):
        raise _too_large()
    return max(0.0, left)


def _too_large() -> InvalidRequest:
    return InvalidRequest(
        "The spread of these units is too large to be compared.", hint="Choose another unit of the metric."
    )


def _squared_error(arm: Mean) -> float:
    return arm.variance / arm.n


def _compared(control: Mean, treatment: Mean, *, confidence: float, is_relative: bool = False) -> Effect:
    check_share("confidence", confidence)
    arms = (control, treatment)
    least = min(arm.n for arm in arms)
    estimate = treatment.mean - control.mean if least else 0.0
    if not math.isfinite(estimate):
        raise InvalidRequest(
            f"{treatment.mean:g} and {control.mean:g} are too far apart.", hint="Choose another unit of the metric."
        )
    if least < _UNITS_LEAST:
        return no_answer(0.0 if is_relative else estimate, "too_few" if least else "no_data")
    error = math.sqrt(sum(_squared_error(arm) for arm in arms))
    if is_noise(error, control.mean, treatment.mean):
        flags: tuple[Flag, ...] = ("no_variance",)
        equal = is_noise(abs(estimate), control.mean, treatment.mean)
        return no_answer(0.0 if equal or is_relative else estimate, *flags, *(("all_equal",) if equal else ()))
    freedom = _degrees_of_freedom(arms)
    if not is_relative:
        return student_effect(estimate, error, freedom, confidence)
    return _relative(control, treatment, freedom, confidence)


def _relative(control: Mean, treatment: Mean, freedom: float, confidence: float) -> Effect:
    base = abs(control.mean)
    if not base:
        return no_answer(0.0, "no_baseline")
    share, estimate = treatment.mean / base, (treatment.mean - control.mean) / base
    error = math.hypot(math.sqrt(_squared_error(treatment)), share * math.sqrt(_squared_error(control))) / base
    if not error or not math.isfinite(error) or not math.isfinite(estimate):
        return no_answer(0.0, "no_baseline")
    return student_effect(estimate, error, freedom, confidence)


def _degrees_of_freedom(arms: Sequence[Mean]) -> float:
    """Satterthwaite's: (Σ sᵢ²/nᵢ)² / Σ (sᵢ²/nᵢ)² / (nᵢ - 1), from the shares of the sum so that no square is lost."""
    total = sum(_squared_error(arm) for arm in arms)
    return 1 / sum((_squared_error(arm) / total) ** 2 / (arm.n - 1) for arm in arms)
