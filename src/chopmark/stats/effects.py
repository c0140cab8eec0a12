"""From an estimate and its standard error to an `Effect`: p-values and the interval, by the normal or Student's distribution."""

from __future__ import annotations

import math
import sys

from chopmark.stats.checks import check_share
from chopmark.stats.results import Effect, Flag, Interval

__all__ = [
    "is_noise",
    "no_answer",
    "normal_deviate",
    "normal_effect",
    "normal_quantile",
    "student_effect",
    "student_reach",
]

UNBOUNDED = Interval(-math.inf, math.inf)

_ROUNDINGS = 8
_DEVIATE_MAX = 37.5  # further out a float holds no chance


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


def normal_deviate(effect: Effect) -> float:
    """The normal deviate that is as far in its tail as the statistic is in its own distribution, with its sign; 37.5 at most.

    What compares statistics with bounds of the normal distribution (`chopmark.stats.looks`) takes this: Student's t of few units is
    far larger where nothing differs.

    >>> round(normal_deviate(student_effect(12.7, 1.0, 1.0, 0.95)), 2)
    1.96
    """
    from scipy.special import ndtri

    if effect.degrees_of_freedom is None:
        return effect.statistic
    tail = effect.p_greater if effect.statistic > 0 else effect.p_less
    size = min(_DEVIATE_MAX, -float(ndtri(tail))) if tail > 0 else _DEVIATE_MAX
    return math.copysign(max(0.0, size), effect.statistic)


def student_reach(deviate: float, degrees_of_freedom: float) -> float:
    """The t that is as far in its tail as a normal deviate, 0 or more, is in its own: the inverse of `normal_deviate`."""
    from scipy.special import ndtr, stdtrit

    return abs(float(stdtrit(degrees_of_freedom, float(ndtr(-min(deviate, _DEVIATE_MAX))))))


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
