"""From an estimate and its standard error to an `Effect`: p-values and the interval, by the normal or Student's distribution."""

from __future__ import annotations

import math
import sys

from chopmark.stats.checks import check_share
from chopmark.stats.results import Effect, Flag, Interval

__all__ = [
    "is_noise",
    "no_answer",
    "normal_effect",
    "normal_quantile",
    "student_effect",
]

UNBOUNDED = Interval(-math.inf, math.inf)

_ROUNDINGS = 8


def normal_quantile(confidence: float) -> float:
    """How many standard errors an interval of this confidence reaches to either side."""
    from scipy.special import ndtri

    check_share("confidence", confidence)
    return float(-ndtri((1.0 - confidence) / 2))


def normal_effect(
    estimate: float,
    standard_error: float,
    confidence: float,
    *,
    interval: Interval | None = None,
    flags: tuple[Flag, ...] = (),
) -> Effect:
    """The effect whose estimate is normal; the interval is ± quantile · standard error unless another is given.

    Parameters
    ----------
    estimate, standard_error
        In units of the metric; the error is above 0.
    confidence
        Of the two-sided interval.
    """
    from scipy.special import ndtr

    reach = normal_quantile(confidence) * standard_error
    z = estimate / standard_error
    return Effect(
        estimate=estimate,
        standard_error=standard_error,
        statistic=z,
        p_value=min(1.0, 2 * float(ndtr(-abs(z)))),
        p_greater=float(ndtr(-z)),
        p_less=float(ndtr(z)),
        interval=interval or Interval(estimate - reach, estimate + reach),
        flags=flags,
    )


def student_effect(
    estimate: float,
    standard_error: float,
    degrees_of_freedom: float,
    confidence: float,
    *,
    flags: tuple[Flag, ...] = (),
) -> Effect:
    """The effect whose estimate by its error follows Student's t distribution; as `normal_effect` else."""
    from scipy.special import stdtr, stdtrit

    check_share("confidence", confidence)
    reach = -float(stdtrit(degrees_of_freedom, (1.0 - confidence) / 2)) * standard_error
    t = estimate / standard_error
    return Effect(
        estimate=estimate,
        standard_error=standard_error,
        statistic=t,
        p_value=min(1.0, 2 * float(stdtr(degrees_of_freedom, -abs(t)))),
        p_greater=float(stdtr(degrees_of_freedom, -t)),
        p_less=float(stdtr(degrees_of_freedom, t)),
        interval=Interval(estimate - reach, estimate + reach),
        degrees_of_freedom=degrees_of_freedom,
        flags=flags,
    )


def no_answer(estimate: float, *flags: Flag, interval: Interval = UNBOUNDED) -> Effect:
    """What is said of data that no test can judge: p = 1, and why."""
    return Effect(
        estimate=estimate,
        standard_error=0.0,
        statistic=0.0,
        p_value=1.0,
        p_greater=1.0,
        p_less=1.0,
        interval=interval,
        flags=flags,
    )


def is_noise(standard_error: float, *values: float) -> bool:
    """Whether a standard error is so small beside the values that rounding made it, and their difference."""
    return standard_error <= _ROUNDINGS * sys.float_info.epsilon * max(map(abs, values))
