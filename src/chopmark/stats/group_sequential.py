"""Bounds for a test that is looked at a few times, so that all looks together keep its error rate.

- `classic_bounds`: Pocock (1977), "Group sequential methods in the design and analysis of clinical trials", Biometrika 64(2), and
  O'Brien and Fleming (1979), "A multiple testing procedure for clinical trials", Biometrics 35(3).
- `spending_bounds`: Lan and DeMets (1983), Biometrika 70(3): the error spent up to each look is given, the bound follows.
- `characteristics`: Jennison and Turnbull (2000), chapters 2 and 19.

Bounds are on the z scale. The probabilities are those of `chopmark.stats.crossing`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, get_args

import msgspec

from chopmark.errors import InvalidRequest
from chopmark.stats.checks import check_share
from chopmark.stats.conditional_power import planned_drift
from chopmark.stats.crossing import FARTHEST_Z, LEAST_TAIL, Continuing, check_information, crossing
from chopmark.stats.roots import find_root
from chopmark.stats.spending import check_sided

__all__ = [
    "Characteristics",
    "ClassicRule",
    "characteristics",
    "check_errors",
    "classic_bounds",
    "classic_level",
    "costs",
    "log_probability",
    "spending_bounds",
    "upper_bound",
]

ClassicRule = Literal["pocock", "obrien_fleming"]
"""``pocock``: the same bound at each look. ``obrien_fleming``: ``C / sqrt(t / t_K)``, high at first."""


class Characteristics(msgspec.Struct, frozen=True):
    """What a plan costs beside one look at the end with the same α and power.

    Attributes
    ----------
    drift
        Mean of the statistic at full information, at which the plan has its power.
    inflation_factor
        Most information that may be needed, by that of the fixed test.
    asn_ratio_h1, asn_ratio_h0
        Expected information (or units) by that of the fixed test, under the effect planned for and under none.
    """

    drift: float
    inflation_factor: float
    asn_ratio_h1: float
    asn_ratio_h0: float


def classic_bounds(
    rule: ClassicRule, information: Sequence[float], *, alpha: float = 0.05, sided: Literal[1, 2] = 2
) -> tuple[float, ...]:
    """Bounds of Pocock or O'Brien and Fleming for looks that are all planned.

    Parameters
    ----------
    rule
        ``pocock`` or ``obrien_fleming``.
    information
        Shares of the planned information, rising, at most 20; unequal ones are allowed.
    alpha
        Error of all looks, of both sides together.
    sided
        2: leaves by either end. 1: upwards only.

    Raises
    ------
    InvalidRequest
        For an unknown rule or numbers out of range.

    Examples
    --------
    >>> [round(z, 3) for z in classic_bounds("obrien_fleming", [0.2, 0.4, 0.6, 0.8, 1.0])]
    [4.562, 3.226, 2.634, 2.281, 2.04]
    """
    shares = tuple(information)
    constant = _classic_constant(rule, shares, alpha, sided)
    return tuple(constant * shape for shape in _shape(rule, shares))


def classic_level(
    rule: ClassicRule, information: Sequence[float], look: int, z: float, *, sided: Literal[1, 2] = 2
) -> float:
    """Smallest α at which such a plan would have stopped at a look with this statistic: its repeated p-value.

    Parameters
    ----------
    look
        Position in ``information``, from 0.
    z
        The statistic; two-sided, its sign does not matter.

    Notes
    -----
    Jennison and Turnbull (1989), "Interim analyses: the repeated confidence interval approach", JRSS B 51(3).
    """
    check_sided(sided)
    shapes = _shape(rule, information)
    return min(1.0, _classic_error((z if sided == 1 else abs(z)) / shapes[look], shapes, tuple(information), sided))


@lru_cache(maxsize=128)
def _classic_constant(rule: ClassicRule, information: tuple[float, ...], alpha: float, sided: Literal[1, 2]) -> float:
    check_share("alpha", alpha)
    check_sided(sided)
    check_information(information)
    shapes = _shape(rule, information)
    return find_root(lambda c: _classic_error(c, shapes, information, sided) - alpha, -FARTHEST_Z, FARTHEST_Z)


def _classic_error(constant: float, shapes: Sequence[float], information: Sequence[float], sided: int) -> float:
    high = [constant * shape for shape in shapes]
    if sided == 1:
        return sum(crossing(information, [-math.inf] * len(high), high).above)
    if constant <= 0:
        return 1.0
    return 2 * sum(crossing(information, [-bound for bound in high], high).above)


def _shape(rule: ClassicRule, information: Sequence[float]) -> tuple[float, ...]:
    if rule not in get_args(ClassicRule):
        raise InvalidRequest(
            f"There is no boundary {rule!r} with all looks planned.",
            hint=f"Use one of: {', '.join(get_args(ClassicRule))}.",
        )
    return tuple(1.0 if rule == "pocock" else math.sqrt(information[-1] / share) for share in information)


def spending_bounds(
    information: Sequence[float], alpha_spent: Sequence[float], *, sided: Literal[1, 2] = 2
) -> tuple[float, ...]:
    """Bounds that spend the given error by each look.

    Parameters
    ----------
    information
        Shares of the planned information at the looks so far, rising, at most 20.
    alpha_spent
        Error that may have been spent up to each look, of both sides together; never falling (see `chopmark.stats.spending.spent`).
    sided
        1 or 2; two-sided, half of it is spent at each end.

    Returns
    -------
    tuple
        One bound a look. A look at which nothing (or less than 1e-300) may be spent has a bound of 37.

    Raises
    ------
    InvalidRequest
        For numbers out of range.

    Examples
    --------
    >>> [round(z, 3) for z in spending_bounds([0.5, 1.0], [0.0125, 0.05])]  # rho = 2
    [2.498, 2.018]
    """
    check_information(information)
    check_errors(information, alpha_spent)
    check_sided(sided)
    state, bounds, before = Continuing(), [], 0.0
    for k, share in enumerate(information):
        bound = upper_bound(state, share, (alpha_spent[k] - before) / sided, sided)
        bounds.append(bound)
        before = alpha_spent[k]
        if k + 1 < len(information):
            state = state.stay(share, -math.inf if sided == 1 else -bound, bound, information[k + 1])
    return tuple(bounds)


def characteristics(
    information: Sequence[float],
    critical_values: Sequence[float],
    *,
    alpha: float = 0.05,
    sided: Literal[1, 2] = 2,
    power: float = 0.8,
) -> Characteristics:
    """Drift at which a plan without futility has a power, and what it costs beside the fixed test.

    Parameters
    ----------
    information, critical_values
        Of the plan, look by look; two-sided, the lower bounds mirror the upper ones.
    alpha, sided
        As the bounds were made for.
    power
        Probability of leaving at the effect's own end.

    Raises
    ------
    InvalidRequest
        For numbers out of range.

    Examples
    --------
    >>> bounds = classic_bounds("pocock", [0.5, 1.0])
    >>> round(characteristics([0.5, 1.0], bounds).inflation_factor, 3)
    1.11
    """
    check_share("alpha", alpha)
    check_share("power", power)
    check_sided(sided)
    if power <= alpha:
        raise InvalidRequest(
            f"A power of {power:g} at α = {alpha:g} is had without an effect.", hint="Ask for more power."
        )
    low = [-math.inf if sided == 1 else -bound for bound in critical_values]
    fixed = planned_drift(alpha / sided, power)

    def missing(drift: float) -> float:
        return sum(crossing(information, low, critical_values, drift=drift).above) - power

    most = 2 * fixed / math.sqrt(information[-1])
    while missing(most) < 0:
        most *= 2
    drift = find_root(missing, 0.0, most)
    return costs(information, low, critical_values, drift, fixed)


def costs(
    information: Sequence[float], low: Sequence[float], high: Sequence[float], drift: float, fixed: float
) -> Characteristics:
    """What a plan with these bounds and drift costs beside a fixed test with its own."""

    def expected(mean: float) -> float:
        left = crossing(information, low, high, drift=mean)
        stops = [a + b for a, b in zip(left.above, left.below, strict=True)]
        stops[-1] = 1.0 - sum(stops[:-1])
        return sum(share * stop for share, stop in zip(information, stops, strict=True))

    unit = (drift / fixed) ** 2
    return Characteristics(drift, unit * information[-1], unit * expected(drift), unit * expected(0.0))


def upper_bound(state: Continuing, share: float, error: float, sided: int) -> float:
    """Bound above which this much of what has stayed lies."""
    least = -FARTHEST_Z if sided == 1 else 0.0
    if error <= LEAST_TAIL or state.above(share, FARTHEST_Z) >= error:
        return FARTHEST_Z
    if state.above(share, least) <= error:
        return least
    return find_root(lambda bound: log_probability(state.above(share, bound)) - math.log(error), least, FARTHEST_Z)


def log_probability(probability: float) -> float:
    """Its logarithm, that of hardly anything for 0."""
    return math.log(max(probability, LEAST_TAIL / 10))


def check_errors(information: Sequence[float], errors: Sequence[float]) -> None:
    """Raise `InvalidRequest` unless there is an error spent for each look, rising and below 1."""
    if len(errors) != len(information):
        raise InvalidRequest("There are not as many errors spent as looks.", hint="Give one for each look.")
    before = 0.0
    for error in errors:
        if not before <= error < 1:
            raise InvalidRequest(
                f"{error!r} cannot be spent after {before:g}.", hint="Errors rise from look to look, below 1."
            )
        before = error
