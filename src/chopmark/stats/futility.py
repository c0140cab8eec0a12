"""Stopping for futility: lower bounds that spend the error of overlooking an effect, beside upper ones that spend α.

Pampallona, Tsiatis and Kim (2001), "Interim monitoring of group sequential trials using spending functions for the type I and
type II error probabilities", Drug Information Journal 35(4). Bounds are on the z scale; plans are one-sided.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from chopmark.errors import InvalidRequest
from chopmark.stats.conditional_power import planned_drift
from chopmark.stats.crossing import FARTHEST_Z, LEAST_TAIL, Continuing, check_information, crossing
from chopmark.stats.group_sequential import (
    Characteristics,
    check_errors,
    costs,
    log_probability,
    spending_bounds,
    upper_bound,
)
from chopmark.stats.roots import find_root
from chopmark.stats.spending import SpendingRule, spent

__all__ = ["FutilityDesign", "futility_bounds", "with_futility"]

_BETA_PRECISION = 1e-6
_DRIFT_MOST = 4.0  # times that of the fixed test; inflation factors of real plans stay below 3


class FutilityDesign(msgspec.Struct, frozen=True):
    """One-sided bounds for both ends.

    Attributes
    ----------
    critical_values, futility_bounds
        On the z scale; the latter have none for the last look, where the test decides either way.
    beta_spent
        Type II error spent up to each look.
    characteristics
        Drift, inflation and expected information; ``asn_ratio_h0`` supposes that futility is obeyed.
    """

    critical_values: tuple[float, ...]
    futility_bounds: tuple[float, ...]
    beta_spent: tuple[float, ...]
    characteristics: Characteristics


def futility_bounds(
    information: Sequence[float], critical_values: Sequence[float], beta_spent: Sequence[float], *, drift: float
) -> tuple[float, ...]:
    """Lower bounds that spend the given type II error by each look, were the effect as large as planned for.

    Parameters
    ----------
    information
        Shares of the planned information at the looks so far, the last of the plan left out.
    critical_values
        Upper bounds at these looks.
    beta_spent
        Type II error that may have been spent up to each look.
    drift
        Mean of the statistic at full information under that effect.

    Returns
    -------
    tuple
        One bound a look, at most the critical value. -37 means: no futility at this look.

    Raises
    ------
    InvalidRequest
        For numbers out of range.
    """
    check_information(information)
    check_errors(information, beta_spent)
    state, bounds, before = Continuing(drift), [], 0.0
    for k, share in enumerate(information):
        bound = _lower(state, share, beta_spent[k] - before, critical_values[k])
        bounds.append(bound)
        before = beta_spent[k]
        if k + 1 < len(information):
            state = state.stay(share, bound, critical_values[k], information[k + 1])
    return tuple(bounds)


def with_futility(
    information: Sequence[float],
    *,
    alpha: float = 0.025,
    beta: float = 0.2,
    alpha_rule: SpendingRule = "lan_demets_obrien_fleming",
    beta_rule: SpendingRule = "lan_demets_obrien_fleming",
    alpha_parameter: float | None = None,
    beta_parameter: float | None = None,
    binding: bool = False,
) -> FutilityDesign:
    """One-sided plan that spends α upwards and β downwards; at the last look both bounds meet.

    Parameters
    ----------
    information
        Shares of the planned information, rising, at most 20.
    alpha, beta
        Error rates of the first and second kind.
    alpha_rule, beta_rule, alpha_parameter, beta_parameter
        See `chopmark.stats.spending.spent`.
    binding
        False: α is kept even if one goes on in spite of futility. True: α is kept only if one never does, and the last
        bounds are lower.

    Raises
    ------
    InvalidRequest
        For numbers out of range, or when no such plan exists.
    """
    check_information(information)
    alphas = [spent(alpha_rule, alpha, share / information[-1], parameter=alpha_parameter) for share in information]
    betas = [spent(beta_rule, beta, share / information[-1], parameter=beta_parameter) for share in information]
    if alpha + beta >= 1:
        raise InvalidRequest(f"A power of {1 - beta:g} is had without looking.", hint="Give alpha + beta below 1.")
    fixed = spending_bounds(information, alphas, sided=1)

    def bounds(drift: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
        if not binding:
            return fixed, futility_bounds(information[:-1], fixed, betas[:-1], drift=drift) if betas[:-1] else ()
        return _binding(information, alphas, betas, drift)

    def missing(drift: float) -> float:
        """What is left of the type II error at the end; falls as the drift rises."""
        high, low = bounds(drift)
        if any(a >= b for a, b in zip(low, high, strict=False)):
            return -beta
        return sum(crossing(information, (*low, high[-1]), high, drift=drift).below) - beta

    least = planned_drift(alpha, 1 - beta) / math.sqrt(information[-1])
    drift = find_root(missing, least * (1 - 1e-9), least * _DRIFT_MOST)
    if abs(missing(drift)) > _BETA_PRECISION:  # the bounds met before the last look
        raise InvalidRequest(
            "The bounds of this plan meet before its last look.", hint="Spend less early, or plan fewer looks."
        )
    high, low = bounds(drift)
    return FutilityDesign(
        high, low, tuple(betas), costs(information, (*low, high[-1]), high, drift, planned_drift(alpha, 1 - beta))
    )


def _binding(
    information: Sequence[float], alphas: Sequence[float], betas: Sequence[float], drift: float
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    null, effect = Continuing(), Continuing(drift)
    high: list[float] = []
    low: list[float] = []
    for k, share in enumerate(information):
        high.append(upper_bound(null, share, alphas[k] - (alphas[k - 1] if k else 0.0), 1))
        if k + 1 == len(information):
            break
        low.append(_lower(effect, share, betas[k] - (betas[k - 1] if k else 0.0), high[k]))
        null = null.stay(share, low[k], high[k], information[k + 1])
        effect = effect.stay(share, low[k], high[k], information[k + 1])
    return tuple(high), tuple(low)


def _lower(state: Continuing, share: float, error: float, critical: float) -> float:
    """Bound below which this much of what has stayed lies, at most the critical value."""
    if error <= LEAST_TAIL or state.below(share, -FARTHEST_Z) >= error:
        return -FARTHEST_Z
    if state.below(share, critical) <= error:
        return critical
    return find_root(lambda bound: log_probability(state.below(share, bound)) - math.log(error), -FARTHEST_Z, critical)
