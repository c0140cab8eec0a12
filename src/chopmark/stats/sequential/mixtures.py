"""Always-valid tests of one state, as other tools compute them, from a mixture over effects.

Each answers for the state it is given. Over several looks the p-value to report is the least of all looks.
"""

from __future__ import annotations

import math

import msgspec

from chopmark.errors import InvalidRequest
from chopmark.stats.checks import check_number, check_positive, check_share
from chopmark.stats.results import Flag, Interval
from chopmark.stats.roots import find_root
from chopmark.stats.summaries import Proportion

__all__ = [
    "AlwaysValid",
    "asymptotic_rho",
    "asymptotic_sequence",
    "beta_binomial_boundary",
    "beta_binomial_log_mixture",
    "msprt",
    "normal_mixture_boundary",
    "normal_mixture_log_e",
    "p_of",
]

_LEAST_CHANCE, _PRECISION = 1e-200, 1e-16
_LEAST_RATE = 1e-3  # of the variance of one event: how far a prior may spread at most


class AlwaysValid(msgspec.Struct, frozen=True):
    """What a mixture says of one state.

    Attributes
    ----------
    estimate
        Treatment minus control.
    log_e
        Logarithm of the e-value (of the mixture likelihood ratio).
    p_value
        1/E, at most 1: of this state, not the least of all looks.
    interval
        The confidence sequence at this state; its ends are infinite where nothing is known.
    flags
        ``no_data``: an arm is empty. ``no_variance``: the standard error is 0, and nothing is decided.
    """

    estimate: float
    log_e: float
    p_value: float
    interval: Interval
    flags: tuple[Flag, ...] = ()


def p_of(log_e: float) -> float:
    """The p-value 1/E of a logarithm of E, at most 1."""
    return math.exp(min(0.0, -log_e))


def msprt(control: Proportion, treatment: Proportion, mixing_sd: float, alpha: float = 0.05) -> AlwaysValid:
    """Mixture sequential probability ratio test of two success rates.

    Parameters
    ----------
    control, treatment
        Everything so far.
    mixing_sd
        Standard deviation of the differences that are expected, as a share.
    alpha
        Over all looks.

    Notes
    -----
    Johari, Koomen, Pekelis and Walsh (2022), "Always valid inference: continuous monitoring of A/B tests", Operations
    Research 70(3), eq. 8: Λ = √(V/(V + τ²)) · exp(τ²d² / (2V(V + τ²))), with V the squared standard error that the counts give. That
    plug-in makes it asymptotic: with small canaries or rates near 1 it errs far more often than α. `BernoulliEProcess` does not.
    """
    check_positive("mixing_sd", mixing_sd)
    check_share("alpha", alpha)
    estimate = treatment.rate - control.rate
    if not control.n or not treatment.n:
        return AlwaysValid(estimate, 0.0, 1.0, Interval(-1.0, 1.0), ("no_data",))
    variance = sum(arm.rate * (arm.failures / arm.n) / arm.n for arm in (control, treatment))
    if not variance:
        return AlwaysValid(estimate, 0.0, 1.0, Interval(-1.0, 1.0), ("no_variance",))
    spread = variance + mixing_sd**2
    log_spread = math.log(spread / variance)
    log_e = mixing_sd**2 * estimate**2 / (2 * variance * spread) - 0.5 * log_spread
    half = math.sqrt(variance * spread * (log_spread - 2 * math.log(alpha))) / mixing_sd
    return AlwaysValid(estimate, log_e, p_of(log_e), Interval(estimate - half, estimate + half))


def asymptotic_rho(alpha: float, planned_n: float) -> float:
    """Parameter ρ that makes the asymptotic confidence sequence narrowest about ``planned_n`` records of both arms.

    Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas (2024), "Time-uniform central limit theory and asymptotic confidence
    sequences", Annals of Statistics 52(6), appendix: ρ² = (-2 ln α + ln(1 - 2 ln α)) / n*.
    """
    check_share("alpha", alpha)
    check_positive("planned_n", planned_n)
    level = -2 * math.log(alpha)
    return math.sqrt((level + math.log1p(level)) / planned_n)


def asymptotic_sequence(
    estimate: float, standard_error: float, n: int, planned_n: float, alpha: float = 0.05
) -> AlwaysValid:
    """Asymptotic confidence sequence around an estimate.

    Parameters
    ----------
    estimate, standard_error
        In units of the metric.
    n
        Records of both arms.
    planned_n
        Where it is to be narrowest; see `asymptotic_rho`.
    alpha
        Over all looks.

    Notes
    -----
    Waudby-Smith et al. (2024), theorem 2.2: half width = s · √((1 + 1/(nρ²)) · (ln(nρ² + 1) - 2 ln α)). Valid in the limit of many
    records. `MeanSequence` guards the beginning.
    """
    check_number("estimate", estimate)
    check_number("standard_error", standard_error, least=0.0)
    scaled = n * asymptotic_rho(alpha, planned_n) ** 2
    if not n or not standard_error:
        flag: Flag = "no_variance" if n else "no_data"
        return AlwaysValid(estimate, 0.0, 1.0, Interval(-math.inf, math.inf), (flag,))
    log_e = 0.5 * ((estimate / standard_error) ** 2 * scaled / (1 + scaled) - math.log1p(scaled))
    half = standard_error * math.sqrt((1 + 1 / scaled) * (math.log1p(scaled) - 2 * math.log(alpha)))
    return AlwaysValid(estimate, log_e, p_of(log_e), Interval(estimate - half, estimate + half))


def _normal_rho(variance_opt: float, alpha_opt: float, *, one_sided: bool = False) -> float:
    """Prior precision for which the boundary is lowest about a variance: Howard et al. (2021), eq. 25 without Lambert's W."""
    check_positive("variance_opt", variance_opt)
    check_share("alpha_opt", alpha_opt)
    level = -2 * math.log(2 * alpha_opt if one_sided else alpha_opt)
    if level <= 0:
        raise InvalidRequest(f"alpha_opt is {alpha_opt}, too large for one side.", hint="Give less than 0.5.")
    return variance_opt / (level + math.log1p(level))


def normal_mixture_log_e(
    s: float, variance: float, variance_opt: float, *, alpha_opt: float = 0.05, one_sided: bool = False
) -> float:
    """Logarithm of the normal mixture of a martingale S at the intrinsic time V.

    Parameters
    ----------
    s, variance
        Sum of centred observations, and of their variances (units, units squared).
    variance_opt, alpha_opt
        About which variance, and at which α, the boundary is lowest.
    one_sided
        Whether only a growing S counts.

    Notes
    -----
    Howard, Ramdas, McAuliffe and Sekhon (2021), "Time-uniform, nonparametric, nonasymptotic confidence sequences", Annals of
    Statistics 49(2), propositions 4 and 5; Robbins (1970).
    """
    from scipy.special import log_ndtr

    check_number("s", s)
    check_number("variance", variance, least=0.0)
    rho = _normal_rho(variance_opt, alpha_opt, one_sided=one_sided)
    total = variance + rho
    log_e = 0.5 * math.log(rho / total) + s * s / (2 * total)
    if one_sided:
        log_e += math.log(2.0) + float(log_ndtr(s / math.sqrt(total)))
    return log_e


def normal_mixture_boundary(
    variance: float, variance_opt: float, *, alpha: float = 0.05, alpha_opt: float = 0.05, one_sided: bool = False
) -> float:
    """Value of S from which `normal_mixture_log_e` reaches ln(1/α); parameters and paper as there."""
    from scipy.special import log_ndtr

    check_share("alpha", alpha)
    check_number("variance", variance, least=0.0)
    rho = _normal_rho(variance_opt, alpha_opt, one_sided=one_sided)
    total = variance + rho
    wanted = 0.5 * math.log(total / rho) - math.log(alpha)
    if not one_sided:
        return math.sqrt(2 * total * wanted)
    # In units of √total: x²/2 + ln Φ(x) rises, and ln Φ is between -ln 2 and 0 to the right of 0.
    level = wanted - math.log(2.0)
    root = find_root(lambda x: 0.5 * x * x + float(log_ndtr(x)) - level, 0.0, math.sqrt(2 * wanted) + 1.0)
    return root * math.sqrt(total)


class _BetaPrior(msgspec.Struct, frozen=True):
    """A Beta prior around the null share g of treatment, for events of which n happened."""

    share: float
    first: float
    second: float

    def log_mixture(self, s: float, events: float, *, one_sided: bool = False) -> float:
        from scipy.special import betaln

        treated = min(max(s + self.share * events, 0.0), events)
        first, second = self.first + treated, self.second + events - treated
        log_e = float(betaln(first, second) - betaln(self.first, self.second))
        log_e -= treated * math.log(self.share) + (events - treated) * math.log1p(-self.share)
        if one_sided:
            log_e += _log_above(first, second, self.share) - _log_above(self.first, self.second, self.share)
        return log_e


def _log_above(first: float, second: float, share: float) -> float:
    """Logarithm of the chance that a Beta(first, second) share is above another."""
    from scipy.special import betaincc, betaln

    above = float(betaincc(first, second, share))
    if above > _LEAST_CHANCE:
        return math.log(above)
    # Far in the tail, DLMF 8.17.8: the terms of the series fall from the start.
    term = total = 1.0
    place = second + 1.0
    while term > _PRECISION * total:
        term *= (first + place - 1.0) / place * (1.0 - share)
        total += term
        place += 1.0
    logs = second * math.log1p(-share) + first * math.log(share) - math.log(second) - float(betaln(first, second))
    return logs + math.log(total)


def _beta_prior(share: float, variance_opt: float, alpha_opt: float, *, one_sided: bool = False) -> _BetaPrior:
    check_share("share", share)
    one_event = share * (1 - share)
    r = max(_normal_rho(variance_opt, alpha_opt, one_sided=one_sided) - one_event, _LEAST_RATE * one_event)
    return _BetaPrior(share, r / (1 - share), r / share)


def beta_binomial_log_mixture(
    s: float, variance: float, share: float, variance_opt: float, *, alpha_opt: float = 0.05, one_sided: bool = False
) -> float:
    """Logarithm of the beta-binomial mixture of events by arm.

    Parameters
    ----------
    s
        Events in treatment minus those expected, g·n.
    variance
        g·(1 - g)·n, of n events.
    share
        The null share g of treatment.
    variance_opt, alpha_opt
        About which variance, and at which α, the boundary is lowest.
    one_sided
        Whether only more than the share counts.

    Notes
    -----
    Howard et al. (2021), propositions 6 and 7: a prior Beta(r/h, r/g), h = 1 - g, on the share; one-sided it is cut at g.
    """
    check_number("s", s)
    check_number("variance", variance, least=0.0)
    prior = _beta_prior(share, variance_opt, alpha_opt, one_sided=one_sided)
    return prior.log_mixture(s, variance / (share * (1 - share)), one_sided=one_sided)


def beta_binomial_boundary(
    variance: float, share: float, variance_opt: float, *, alpha: float = 0.05, alpha_opt: float = 0.05
) -> float:
    """Value of S from which the two-sided `beta_binomial_log_mixture` reaches ln(1/α); parameters and paper as there.

    Where even events in treatment alone do not reach it, the largest S that can be, variance / g.
    """
    check_share("alpha", alpha)
    check_number("variance", variance, least=0.0)
    prior = _beta_prior(share, variance_opt, alpha_opt)
    events, most = variance / (share * (1 - share)), variance / share
    level = -math.log(alpha)
    if prior.log_mixture(most, events) <= level:
        return most
    return find_root(lambda s: prior.log_mixture(s, events) - level, 0.0, most)
