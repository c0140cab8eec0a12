"""Arms compared within strata (days, countries, devices), so that a different mix of strata is no difference of the arms.

- `cmh_test`: Cochran (1954), "Some methods for strengthening the common χ² tests", Biometrics 10(4), and Mantel and Haenszel (1959),
  "Statistical aspects of the analysis of data from retrospective studies of disease", JNCI 22(4), without a correction for
  continuity; the interval by Robins, Breslow and Greenland (1986), Biometrics 42(2).
- `post_stratified_difference`: Miratrix, Sekhon and Yu (2013), "Adjusting treatment effect estimates by post-stratification in
  randomized experiments", JRSS B 75(2), eq. 1: strata weighted by their share of all units.

A stratum is a pair of summaries, control and treatment. One in which an arm has no units tells nothing of the difference.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from chopmark.errors import InvalidRequest
from chopmark.stats.checks import check_share
from chopmark.stats.effects import is_noise, no_answer, normal_effect, normal_quantile
from chopmark.stats.proportions import ANYTHING
from chopmark.stats.results import Effect, Flag, Interval
from chopmark.stats.summaries import Mean, Proportion

__all__ = ["CommonOddsRatio", "cmh_test", "post_stratified_difference"]


class CommonOddsRatio(msgspec.Struct, frozen=True, kw_only=True):
    """An odds ratio that all strata share, and whether it is 1.

    Attributes
    ----------
    statistic
        χ² of one degree of freedom.
    p_value
        Two-sided.
    odds_ratio
        Odds of a success in the treatment by those in the control, Mantel and Haenszel's; None where either is without bounds
        or both are 0.
    interval
        Of the odds ratio, from 0 upwards.
    flags
        ``no_data`` when no stratum has units of both arms, ``all_equal`` when in none of them the outcomes vary: p is 1.
    """

    statistic: float
    p_value: float
    odds_ratio: float | None
    interval: Interval
    flags: tuple[Flag, ...] = ()


def cmh_test(strata: Sequence[tuple[Proportion, Proportion]], *, confidence: float = 0.95) -> CommonOddsRatio:
    """Test that the odds of a success are equal in both arms, within strata.

    Parameters
    ----------
    strata
        Control and treatment of each.
    confidence
        Of the interval of the odds ratio.

    Returns
    -------
    CommonOddsRatio
        χ² = (Σ a - E(a))² / Σ var(a), with the hypergeometric mean and variance of the treatment's successes a of a stratum.

    Examples
    --------
    >>> strata = [(Proportion(10, 20), Proportion(15, 20)), (Proportion(30, 40), Proportion(34, 40))]
    >>> result = cmh_test(strata)
    >>> round(result.statistic, 3), round(result.odds_ratio, 3)
    (3.588, 2.286)
    """
    from scipy.special import chdtrc

    z = normal_quantile(confidence)
    excess = variance = 0.0
    for control, treatment in strata:
        both = control + treatment
        if control.n and treatment.n:
            excess += (treatment.successes * control.n - control.successes * treatment.n) / both.n
            variance += control.n * treatment.n * both.successes * both.failures / (both.n**2 * (both.n - 1))
    ratio, interval = _odds_ratio(strata, z)
    if not variance:
        flag: Flag = "all_equal" if any(c.n and t.n for c, t in strata) else "no_data"
        return CommonOddsRatio(statistic=0.0, p_value=1.0, odds_ratio=None, interval=interval, flags=(flag,))
    statistic = excess * excess / variance
    return CommonOddsRatio(
        statistic=statistic, p_value=float(chdtrc(1, statistic)), odds_ratio=ratio, interval=interval
    )


def _odds_ratio(strata: Sequence[tuple[Proportion, Proportion]], z: float) -> tuple[float | None, Interval]:
    """Mantel and Haenszel's ratio; the variance of its logarithm is that of Robins, Breslow and Greenland."""
    upper = lower = 0.0
    upper_concordant = crossed = lower_discordant = 0.0
    for control, treatment in strata:
        n = control.n + treatment.n
        if not n:
            continue
        concordant = (treatment.successes + control.failures) / n
        r = treatment.successes * control.failures / n
        s = treatment.failures * control.successes / n
        upper, lower = upper + r, lower + s
        upper_concordant += concordant * r
        lower_discordant += (1 - concordant) * s
        crossed += concordant * s + (1 - concordant) * r
    if not upper or not lower:
        return (0.0 if lower else None), Interval(0.0, math.inf)
    variance = upper_concordant / (2 * upper**2) + crossed / (2 * upper * lower) + lower_discordant / (2 * lower**2)
    ratio, reach = upper / lower, math.exp(z * math.sqrt(variance))
    return ratio, Interval(ratio / reach, ratio * reach)


def post_stratified_difference(
    strata: Sequence[tuple[Proportion, Proportion] | tuple[Mean, Mean]], *, confidence: float = 0.95
) -> Effect:
    """Difference of the arms, treatment minus control, as the mean of the differences within strata.

    Parameters
    ----------
    strata
        Control and treatment of each: proportions, or means.
    confidence
        Of the interval.

    Returns
    -------
    Effect
        Σ wₖ dₖ with the standard error √(Σ wₖ² (s₁ₖ²/n₁ₖ + s₀ₖ²/n₀ₖ)); wₖ is the share of a stratum among the units of all strata
        that have units of both arms, and s² is p (1 - p) for proportions. Flags: ``no_data`` when there are none, ``too_few`` when a
        stratum was left out or a mean has fewer than two units, ``no_variance`` when nothing varies (p = 1).

    Raises
    ------
    InvalidRequest
        When a stratum mixes a mean and a proportion.

    Examples
    --------
    >>> strata = [(Proportion(50, 100), Proportion(60, 100)), (Proportion(80, 100), Proportion(90, 100))]
    >>> effect = post_stratified_difference(strata)
    >>> round(effect.estimate, 3), round(effect.standard_error, 4)
    (0.1, 0.043)
    """
    check_share("confidence", confidence)
    if any(type(control) is not type(treatment) for control, treatment in strata):
        raise InvalidRequest("A mean cannot be compared with a proportion.", hint="Give two of a kind in each stratum.")
    known = [(control, treatment) for control, treatment in strata if control.n and treatment.n]
    nowhere = ANYTHING if all(isinstance(c, Proportion) for c, _ in strata) else Interval(-math.inf, math.inf)
    if not known:
        return no_answer(0.0, "no_data", interval=nowhere)
    total = sum(control.n + treatment.n for control, treatment in known)
    estimate = squared_error = 0.0
    for control, treatment in known:
        weight = (control.n + treatment.n) / total
        estimate += weight * (_value(treatment) - _value(control))
        squared_error += weight**2 * (_variance(control) / control.n + _variance(treatment) / treatment.n)
    is_thin = len(known) < len(strata) or any(isinstance(arm, Mean) and arm.n == 1 for pair in known for arm in pair)
    flags: tuple[Flag, ...] = ("too_few",) if is_thin else ()
    error = math.sqrt(squared_error)
    if is_noise(error, *(_value(arm) for pair in known for arm in pair)):
        return no_answer(estimate, *flags, "no_variance", interval=nowhere)
    return normal_effect(estimate, error, confidence, flags=flags)


def _value(arm: Proportion | Mean) -> float:
    return arm.rate if isinstance(arm, Proportion) else arm.mean


def _variance(arm: Proportion | Mean) -> float:
    return arm.successes * arm.failures / arm.n**2 if isinstance(arm, Proportion) else arm.variance
