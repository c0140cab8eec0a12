"""How much of an error may be spent by when: the error rate as a function of the information seen.

- ``lan_demets_obrien_fleming``, ``lan_demets_pocock``: Lan and DeMets (1983), "Discrete sequential boundaries for clinical
  trials", Biometrika 70(3), their α1* and α2*.
- ``kim_demets_power``: Kim and DeMets (1987), "Design and analysis of group sequential tests based on the type I error spending
  rate function", Biometrika 74(1).
- ``hwang_shih_decani``: Hwang, Shih and DeCani (1990), "Group sequential designs using a family of type I error probability
  spending functions", Statistics in Medicine 9(12).
"""

from __future__ import annotations

import math
from typing import Literal, get_args

from chopmark.errors import InvalidRequest
from chopmark.stats.checks import check_number, check_share

__all__ = ["SpendingRule", "check_sided", "check_spending", "spent"]

SpendingRule = Literal[
    "lan_demets_obrien_fleming", "lan_demets_pocock", "kim_demets_power", "hwang_shih_decani"
]  # fmt: skip

_LINEAR = 1e-9  # of a gamma so near 0 the function is a straight line


def spent(
    rule: SpendingRule, alpha: float, fraction: float, *, sided: Literal[1, 2] = 1, parameter: float | None = None
) -> float:
    """Error that may have been spent when a share of the information is there.

    Parameters
    ----------
    rule
        OBF-type ``2s(1 - Φ(z(1 - α/2s) / √t))`` with s sides; Pocock-type ``α ln(1 + (e - 1)t)``; Kim-DeMets ``α t^ρ``;
        Hwang-Shih-DeCani ``α (1 - exp(-γt)) / (1 - exp(-γ))``.
    alpha
        The whole error, of both sides together, in (0, 1).
    fraction
        Share t of the planned information; above 1 counts as 1.
    sided
        1 or 2.
    parameter
        ρ > 0 of Kim-DeMets, γ of Hwang-Shih-DeCani; none for the others.

    Raises
    ------
    InvalidRequest
        For an unknown rule, a parameter that is missing or not wanted, or numbers out of range.

    Examples
    --------
    >>> round(spent("kim_demets_power", 0.05, 0.5, parameter=2), 4)
    0.0125
    """
    check_spending(rule, parameter)
    check_share("alpha", alpha)
    check_sided(sided)
    check_number("fraction", fraction, least=0.0)
    if fraction >= 1:
        return alpha
    if fraction == 0:
        return 0.0
    if rule == "lan_demets_pocock":
        return alpha * math.log1p((math.e - 1) * fraction)
    if rule == "lan_demets_obrien_fleming":
        from scipy.special import ndtr, ndtri

        return float(2 * sided * ndtr(ndtri(alpha / (2 * sided)) / math.sqrt(fraction)))
    assert parameter is not None  # noqa: S101 - checked above
    if rule == "kim_demets_power":
        return float(alpha * fraction**parameter)
    return _exponential(alpha, fraction, parameter)


def _exponential(alpha: float, fraction: float, gamma: float) -> float:
    """Hwang, Shih and DeCani; written so that no exponential overflows."""
    if abs(gamma) < _LINEAR:
        return alpha * fraction
    if gamma > 0:
        return alpha * math.expm1(-gamma * fraction) / math.expm1(-gamma)
    return alpha * math.exp(gamma * (1 - fraction)) * math.expm1(gamma * fraction) / math.expm1(gamma)


def check_spending(rule: str, parameter: float | None) -> None:
    """Raise `InvalidRequest` unless there is such a rule and the parameter suits it."""
    if rule not in get_args(SpendingRule):
        raise InvalidRequest(
            f"There is no spending rule {rule!r}.", hint=f"Use one of: {', '.join(get_args(SpendingRule))}."
        )
    if rule.startswith("lan_demets"):
        if parameter is not None:
            raise InvalidRequest(f"The rule {rule} takes no parameter.", hint="Leave the parameter out.")
        return
    if parameter is None:
        raise InvalidRequest(f"The rule {rule} needs a parameter.", hint="Give rho, such as 2, or gamma, such as -4.")
    check_number("parameter", parameter)
    if rule == "kim_demets_power" and parameter <= 0:
        raise InvalidRequest(f"A power of {parameter:g} spends nothing in order.", hint="Give a rho above 0.")


def check_sided(sided: int) -> None:
    """Raise `InvalidRequest` unless the test has one side or two."""
    if sided not in {1, 2}:
        raise InvalidRequest(f"A test has no {sided!r} sides.", hint="Give 1 or 2.")
