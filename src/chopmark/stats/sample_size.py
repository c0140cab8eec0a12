"""What an experiment needs and what it would find: numbers of units, days left, the least effect and its scale."""

from __future__ import annotations

import math

import msgspec

from chopmark.errors import InvalidRequest
from chopmark.stats.checks import check_count, check_number, check_positive, check_share
from chopmark.stats.results import Scale

__all__ = [
    "DetectableEffect",
    "SampleSize",
    "check_design",
    "check_effect",
    "harmonic_units",
    "shifted",
    "unit_of",
]

_UNITS_LEAST = 2


class SampleSize(msgspec.Struct, frozen=True):
    """Units that an experiment needs.

    Attributes
    ----------
    control_exact
        Units of control before rounding.
    ratio
        Units of treatment for each of control.
    """

    control_exact: float
    ratio: float = 1.0

    @property
    def control(self) -> int:
        """Units of control, rounded up."""
        return max(_UNITS_LEAST, math.ceil(self.control_exact))

    @property
    def treatment(self) -> int:
        """Units of treatment, rounded up."""
        return max(_UNITS_LEAST, math.ceil(self.control_exact * self.ratio))

    @property
    def total(self) -> int:
        """Units of both arms."""
        return self.control + self.treatment

    def inflated(self, factor: float) -> SampleSize:
        """For planned looks: times the inflation factor of their `Characteristics`."""
        check_number("factor", factor, least=1.0)
        return SampleSize(self.control_exact * factor, self.ratio)

    def days_left(self, control: int, treatment: int, *, days: float) -> float | None:
        """Days until both arms have their units, if they go on as they did.

        Parameters
        ----------
        control, treatment
            Units seen so far.
        days
            In how many days they came; above 0.

        Returns
        -------
        float or None
            0 when both have them; None when an arm that needs some has had none, so that it would take for ever.

        Raises
        ------
        InvalidRequest
            For counts that are none, or no time.

        Examples
        --------
        >>> SampleSize(1000.0).days_left(250, 200, days=2.0)
        8.0
        """
        check_count("control", control)
        check_count("treatment", treatment)
        check_positive("days", days)
        longest = 0.0
        for needed, seen in ((self.control, control), (self.treatment, treatment)):
            if seen >= needed:
                continue
            if seen == 0:
                return None
            longest = max(longest, (needed - seen) * days / seen)
        return longest


class DetectableEffect(msgspec.Struct, frozen=True):
    """The least effect that would be found with the power asked for.

    Attributes
    ----------
    scale
        What ``size`` is in: ``absolute`` or ``relative``.
    size
        Target minus baseline, or that by the size of the baseline; signed. None: no rate between 0 and 1 is far enough away.
    target
        Value of the metric in treatment; None as above.
    standardised
        Cohen's h for proportions, d for means; never negative.
    """

    scale: Scale
    size: float | None
    target: float | None
    standardised: float


def shifted(baseline: float, effect: float, *, scale: Scale) -> float:
    """Baseline plus an effect that is said to be absolute or relative.

    Raises
    ------
    InvalidRequest
        For numbers that are not finite, an unknown scale, or a relative effect on a baseline of 0.

    Examples
    --------
    >>> shifted(0.10, 0.02, scale="absolute"), shifted(0.10, 0.02, scale="relative")
    (0.12000000000000001, 0.10200000000000001)
    """
    check_number("baseline", baseline)
    check_number("effect", effect)
    return baseline + effect * unit_of(baseline, scale)


def unit_of(baseline: float, scale: Scale) -> float:
    """What a size of 1 is in units of the metric; `InvalidRequest` for an unknown scale, or relative to 0."""
    if scale == "absolute":
        return 1.0
    if scale != "relative":
        raise InvalidRequest(f"There is no scale {scale!r}.", hint="Say absolute or relative.")
    if baseline == 0:
        raise InvalidRequest("An effect cannot be relative to a baseline of 0.", hint="Give an absolute effect.")
    return abs(baseline)


def check_design(alpha: float, ratio: float, power: float | None = None) -> None:
    """Raise `InvalidRequest` unless level and power are in (0, 1), the power above the level, and the ratio above 0."""
    check_share("alpha", alpha)
    check_positive("ratio", ratio)
    if power is not None:
        check_share("power", power)
        if power <= alpha:
            raise InvalidRequest(
                f"A power of {power:g} at α = {alpha:g} is had without an effect.", hint="Ask for a power above α."
            )


def check_effect(effect: float) -> None:
    """Raise `InvalidRequest` when there is no effect to find."""
    if effect == 0:
        raise InvalidRequest("No number of units finds an effect of nothing.", hint="Say how large an effect matters.")


def harmonic_units(n_control: float, ratio: float) -> float:
    """``n₁ n₂ / (n₁ + n₂)``."""
    check_positive("n_control", n_control)
    return n_control * ratio / (1 + ratio)
