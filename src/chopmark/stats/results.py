"""What tests answer: numbers only, never NaN, and what about the data made the answer a weak one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import msgspec
from msgspec.structs import force_setattr

__all__ = ["Effect", "Flag", "Interval", "Scale"]

if TYPE_CHECKING:
    _End = float
else:
    _End = float | None  # JSON has no infinite numbers: such an end is written as null, and read back from it

Flag = Literal[
    "no_data",
    "too_few",
    "no_variance",
    "all_equal",
    "no_baseline",
    "approximate",
    "exact",
    "not_constant",
    "too_early",
    "gone",
    "mixed_shares",
]
"""``no_data``: an arm is empty. ``too_few``: fewer than the method is good for. ``no_variance``: nothing varies in an arm
that should. ``all_equal``: both arms hold one and the same value. ``no_baseline``: relative to a control that is 0.
``approximate``: a fallback was used. ``exact``: counts are small, and an exact test was used. ``not_constant``: the looks together rule out every constant difference.
``too_early``: the method answers at its end, which is not reached. ``gone``: a sequential test decided, and all records so far
no longer show it. ``mixed_shares``: the arms' values are of all shares together and do not compare; the estimate does."""


Scale = Literal["absolute", "relative"]
"""``absolute``: in units of the metric (0.02 of a rate is two points). ``relative``: a share of the baseline (0.02 is 2 %)."""


class Interval(msgspec.Struct, frozen=True, omit_defaults=True, repr_omit_defaults=True):
    """A range that holds the true value with a confidence; the ends may be infinite (null in JSON) where nothing is known.

    Attributes
    ----------
    low, high
        The ends, which belong to it.
    excludes_zero
        An end at 0 does not: a test ruled 0 out, and says nothing of how near to it the value may be.
    """

    low: _End
    high: _End
    excludes_zero: bool = False

    def __post_init__(self) -> None:
        for end, unknown in (("low", -math.inf), ("high", math.inf)):
            if getattr(self, end) is None:
                force_setattr(self, end, unknown)

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high and not (self.excludes_zero and value == 0)

    @property
    def mirrored(self) -> Interval:
        """That of the difference the other way round."""
        return Interval(-self.high, -self.low, self.excludes_zero)

    def is_above(self, value: float) -> bool:
        """Whether all of it is greater."""
        return self.low > value or (self.excludes_zero and self.low == value == 0)

    def is_below(self, value: float) -> bool:
        """Whether all of it is less."""
        return self.high < value or (self.excludes_zero and self.high == value == 0)


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """Treatment minus control, and how sure one is of it.

    Attributes
    ----------
    estimate
        The difference, in units of the metric (a share for proportions).
    standard_error
        Of the estimate, the one that the statistic uses; the interval of proportions has its own.
    statistic
        Its sign follows the estimate.
    p_value
        Two-sided.
    p_greater, p_less
        One-sided: that the treatment is larger, smaller.
    interval
        Two-sided, at the confidence that was asked for.
    degrees_of_freedom
        Of a t test; None where the normal distribution is used.
    flags
        What makes the answer a weak one; one with ``no_data``, ``no_variance``, ``all_equal`` or ``no_baseline`` decides nothing.
    """

    estimate: float
    standard_error: float
    statistic: float
    p_value: float
    p_greater: float
    p_less: float
    interval: Interval
    degrees_of_freedom: float | None = None
    flags: tuple[Flag, ...] = ()

    def __post_init__(self) -> None:
        numbers = (self.estimate, self.standard_error, self.statistic, self.p_value, self.p_greater, self.p_less)
        if any(map(math.isnan, (*numbers, self.interval.low, self.interval.high))):
            msg = f"an effect must not hold NaN: {numbers}"
            raise AssertionError(msg)
