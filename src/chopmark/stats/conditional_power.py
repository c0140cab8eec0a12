"""How likely a test that is under way will be significant at its end.

- `conditional_power`: Lan and Wittes (1988), "The B-value: a tool for monitoring data", Biometrics 44(2), with ``B(t) = z √t``.
- `predictive_power`: Spiegelhalter, Freedman and Blackburn (1986), "Monitoring clinical trials: conditional or predictive
  power?", Controlled Clinical Trials 7(1), with a flat prior.

The drift is the mean of the statistic at full information: ``z(1 - α) + z(power)`` for the effect a test was planned for, 0 under
the null hypothesis, ``z / √t`` where the effect is as it looks now.
"""

from __future__ import annotations

import math

from chopmark.errors import InvalidRequest
from chopmark.stats.checks import check_number, check_share

__all__ = ["b_value", "conditional_power", "current_trend", "planned_drift", "predictive_power"]


def b_value(information: float, z: float) -> float:
    """``z √t``: what has been gathered of the statistic at the end, in its units.

    Parameters
    ----------
    information
        Share t of the planned information, in (0, 1].
    z
        The statistic now.

    Raises
    ------
    InvalidRequest
        When t lies elsewhere or z is not finite.
    """
    _check(information, z)
    return z * math.sqrt(information)


def current_trend(information: float, z: float) -> float:
    """``z / √t``: the drift, if the effect is what it looks like now. Arguments as of `b_value`."""
    _check(information, z)
    return z / math.sqrt(information)


def planned_drift(alpha: float, power: float) -> float:
    """``z(1 - α) + z(power)``: the drift that a one-sided test with one look at its end was planned for.

    Raises
    ------
    InvalidRequest
        When a level is not between 0 and 1.
    """
    from scipy.special import ndtri

    check_share("alpha", alpha)
    check_share("power", power)
    return float(ndtri(power) - ndtri(alpha))


def conditional_power(information: float, z: float, *, drift: float, critical_value: float) -> float:
    """Probability that the statistic at the end will be above a bound, given what it is now and a drift.

    Parameters
    ----------
    information
        Share t of the planned information, in (0, 1]; at 1 the answer is 0 or 1.
    z
        The statistic now.
    drift
        Mean of the statistic at full information from now on.
    critical_value
        Bound c at the end: ``z(1 - α)`` without earlier looks that could have stopped the test.

    Returns
    -------
    float
        ``1 - Φ((c - B - drift (1 - t)) / √(1 - t))``.

    Raises
    ------
    InvalidRequest
        When t lies elsewhere or a number is not finite.

    Examples
    --------
    >>> round(conditional_power(0.5, 1.0, drift=2.8, critical_value=1.96), 3)
    0.582
    """
    from scipy.special import ndtr

    gathered = b_value(information, z)
    check_number("drift", drift)
    check_number("critical_value", critical_value)
    left = 1 - information
    if left <= 0:
        return float(z >= critical_value)
    return float(ndtr((gathered + drift * left - critical_value) / math.sqrt(left)))


def predictive_power(information: float, z: float, *, critical_value: float) -> float:
    """Conditional power over all drifts, weighed by what the data say of them (flat prior).

    Parameters
    ----------
    information, z, critical_value
        As of `conditional_power`.

    Returns
    -------
    float
        ``Φ((z - c √t) / √(1 - t))``, since the drift is normal around ``z / √t`` with variance ``1 / t``.

    Raises
    ------
    InvalidRequest
        When t lies elsewhere or a number is not finite.
    """
    from scipy.special import ndtr

    _check(information, z)
    check_number("critical_value", critical_value)
    left = 1 - information
    if left <= 0:
        return float(z >= critical_value)
    return float(ndtr((z - critical_value * math.sqrt(information)) / math.sqrt(left)))


def _check(information: float, z: float) -> None:
    check_number("information", information)
    check_number("z", z)
    if not 0 < information <= 1:
        raise InvalidRequest(
            f"Information of {information:g} is no share of what is planned.", hint="Give a number above 0, at most 1."
        )
