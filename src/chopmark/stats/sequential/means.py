"""Two means compared at every look: an asymptotic confidence sequence with what practice needs around it.

The sequence is that of Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas (2024), "Time-uniform central limit theory and asymptotic
confidence sequences", Annals of Statistics 52(6), theorem 2.2. It is asymptotic, so three things guard the beginning: the larger of
the pooled and of Welch's variance (a small canary that has not yet seen the tail of a skewed metric underestimates its own),
tails of Student's t with Welch's degrees of freedom, and a least number of records in each arm.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import msgspec

from chopmark.stats.checks import check_count, check_positive, check_share
from chopmark.stats.results import Flag, Interval
from chopmark.stats.sequential.difference import without_zero
from chopmark.stats.sequential.mixtures import asymptotic_rho
from chopmark.stats.summaries import Mean

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

__all__ = ["MeanSequence", "mean_p_values"]

_LEAST = 2  # records that a variance takes
_ROUNDING = 1e-13
_DEVIATION_LEAST = 1e-140  # smaller ones have squares that a float cannot hold
_EXPONENT_MAX, _T_MAX = 700.0, 1e150


class MeanSequence(msgspec.Struct, frozen=True):
    """Whether two means differ, at every look.

    Parameters
    ----------
    alpha
        The chance of ever deciding while there is no difference, over all looks together; in the limit of many records.
    planned_n
        Records of both arms about which the interval is narrowest; any number keeps it valid.
    min_per_arm
        Below so many records in an arm nothing is said: p is 1, and the interval is the whole line.

    Attributes
    ----------
    control, treatment
        Everything observed so far.
    p_value
        The least of all looks.

    Raises
    ------
    InvalidRequest
        When alpha is not between 0 and 1, or one of the numbers is not positive.

    Notes
    -----
    With z the normal deviate that is as far in its tail as the t statistic d/s is in Student's, and ρ by `asymptotic_rho`,
    E = exp(z²·nρ² / (2(1 + nρ²))) / √(1 + nρ²). Where s = 0 nothing is decided.

    Only what has been added up so far counts at a look, so that batches of the same records give the same answer at the same
    looks; p keeps the least of the looks there were.

    Examples
    --------
    >>> test = MeanSequence(alpha=0.05, planned_n=4_000)
    >>> test = test.observe(Mean.from_deviation(2_000, 10.0, 3.0), Mean.from_deviation(2_000, 10.5, 3.0))
    >>> test.decided, round(test.p_value, 5)
    (True, 1e-05)
    >>> round(test.interval.low, 2), round(test.interval.high, 2)
    (0.21, 0.79)
    """

    alpha: float
    planned_n: float
    min_per_arm: int = 250
    control: Mean = Mean()
    treatment: Mean = Mean()
    p_value: float = 1.0
    side: int = 0
    """Sign of the difference when the test decided."""
    decided_n: int = 0
    """Records of both arms when the test decided."""

    def __post_init__(self) -> None:
        check_share("alpha", self.alpha)
        check_positive("planned_n", self.planned_n)
        check_count("min_per_arm", self.min_per_arm)

    def observe(self, control: Mean, treatment: Mean) -> Self:
        """The next value, after one more batch: of the batch only, not cumulative."""
        value = msgspec.structs.replace(self, control=self.control + control, treatment=self.treatment + treatment)
        if value._silent:  # noqa: SLF001 - its own
            return value
        p_value, side, decided_n = min(self.p_value, float(_of(value).p_value)), self.side, self.decided_n
        if p_value <= self.alpha and not side:
            side, decided_n = 1 if value.estimate > 0 else -1, value.control.n + value.treatment.n
        return msgspec.structs.replace(value, p_value=p_value, side=side, decided_n=decided_n)

    @property
    def decided(self) -> bool:
        """Whether p ever reached alpha."""
        return self.p_value <= self.alpha

    @property
    def interval(self) -> Interval:
        """Where the mean difference so far is (treatment minus control, in units of the metric), at confidence 1 - alpha.

        A confidence sequence: with that confidence it holds at all looks together. It is of this look, so it may widen again,
        and is the whole line while nothing is said. Until the test decides it has 0 in it; then no more, unless what it decided
        `has_gone`: where this look alone does not rule 0 out, it ends there (``excludes_zero``).
        """
        if self._silent:
            return Interval(-math.inf, math.inf)
        found = self._of_this_look
        return found if self.has_gone else without_zero(found, self.side, self.estimate)

    @property
    def has_gone(self) -> bool:
        """Whether the test decided, and all records so far no longer show what it saw.

        That there was a difference stays decided, at the error rate alpha. But 0 is in the interval of this look again, and the
        estimate changed sides or E is not above 1, as seldom happens while a difference stays.
        """
        if not self.decided or self._silent or 0.0 not in self._of_this_look:
            return False
        return self.estimate * self.side <= 0 or float(_of(self).p_value) >= 1

    @property
    def estimate(self) -> float:
        """Mean difference so far."""
        return self.treatment.mean - self.control.mean

    @property
    def flags(self) -> tuple[Flag, ...]:
        """Why nothing is said: ``no_data`` or ``too_few`` in an arm, values that are ``all_equal`` or have ``no_variance``.

        And that a difference that was decided is ``gone``.
        """
        return self._silent or (("gone",) if self.has_gone else ())

    @property
    def _of_this_look(self) -> Interval:
        half = float(_of(self).half_width)
        return Interval(self.estimate - half, self.estimate + half)

    @property
    def _silent(self) -> tuple[Flag, ...]:
        least = min(self.control.n, self.treatment.n)
        if least < max(_LEAST, self.min_per_arm):
            return ("too_few",) if least else ("no_data",)
        c, t = self.control, self.treatment
        if _varies(c.n, c.mean, c.m2, t.n, t.mean, t.m2):
            return ()
        return ("all_equal",) if math.isclose(c.mean, t.mean, rel_tol=_ROUNDING) else ("no_variance",)


class _Look(NamedTuple):
    p_value: Any
    half_width: Any


def _look(n0: Any, mean0: Any, m20: Any, n1: Any, mean1: Any, m21: Any, alpha: float, planned_n: float) -> _Look:
    """P-value and half width of the interval for one state of each of many experiments; at least two records in an arm."""
    import numpy as np

    variance0, variance1 = np.asarray(m20) / (n0 - 1), np.asarray(m21) / (n1 - 1)
    part0, part1 = variance0 / n0, variance1 / n1
    welch = part0 + part1
    pooled = (m20 + m21) / (n0 + n1 - 2) * (1.0 / n0 + 1.0 / n1)
    error = np.sqrt(np.maximum(pooled, welch))
    shares = part0 / welch, part1 / welch
    freedom = 1.0 / (shares[0] ** 2 / (n0 - 1) + shares[1] ** 2 / (n1 - 1))
    scaled = (n0 + n1) * asymptotic_rho(alpha, planned_n) ** 2
    z_squared = _normal_squared(np.minimum(np.abs(np.asarray(mean1) - mean0) / error, _T_MAX) ** 2, freedom)
    p_value = np.exp(np.minimum(0.0, 0.5 * (np.log1p(scaled) - z_squared * scaled / (1.0 + scaled))))
    reach = (1.0 + 1.0 / scaled) * (np.log1p(scaled) - 2.0 * math.log(alpha))
    return _Look(p_value, error * np.sqrt(_student_squared(reach, freedom)))


def _varies(n0: Any, mean0: Any, m20: Any, n1: Any, mean1: Any, m21: Any) -> Any:
    """Whether the values vary by more than what rounding leaves of equal ones."""
    import numpy as np

    deviation = np.sqrt((np.asarray(m20) + m21) / (np.asarray(n0) + n1))
    return deviation > np.maximum(_ROUNDING * np.maximum(np.abs(mean0), np.abs(mean1)), _DEVIATION_LEAST)


def _of(value: MeanSequence) -> _Look:
    c, t = value.control, value.treatment
    return _look(c.n, c.mean, c.m2, t.n, t.mean, t.m2, value.alpha, value.planned_n)


def _normal_squared(t_squared: Any, freedom: Any) -> Any:
    """Square of the normal deviate that is as far in the tail as t is in Student's.

    Wallace (1959), "Bounds on normal approximations to Student's and the chi-square distributions", Annals of Mathematical
    Statistics 30(4): within 0.1 % from thirty degrees of freedom, and without underflow.
    """
    import numpy as np

    return ((8.0 * freedom + 1.0) / (8.0 * freedom + 3.0)) ** 2 * freedom * np.log1p(t_squared / freedom)


def _student_squared(z_squared: Any, freedom: Any) -> Any:
    """The inverse of `_normal_squared`."""
    import numpy as np

    exponent = z_squared * ((8.0 * freedom + 3.0) / (8.0 * freedom + 1.0)) ** 2 / freedom
    return freedom * np.expm1(np.minimum(exponent, _EXPONENT_MAX))


def mean_p_values(
    control_n: ArrayLike,
    control_mean: ArrayLike,
    control_m2: ArrayLike,
    treatment_n: ArrayLike,
    treatment_mean: ArrayLike,
    treatment_m2: ArrayLike,
    *,
    alpha: float,
    planned_n: float,
    min_per_arm: int = 250,
) -> NDArray[np.float64]:
    """`MeanSequence.p_value` after each look of many experiments at once, by the same arithmetic.

    Parameters
    ----------
    control_n, control_mean, control_m2, treatment_n, treatment_mean, treatment_m2
        Cumulative summaries at each look, shape (experiments, looks); fields as of `Mean`.
    alpha, planned_n, min_per_arm
        As for `MeanSequence`.

    Returns
    -------
    numpy.ndarray
        Shape (experiments, looks).
    """
    import numpy as np

    given = (control_n, control_mean, control_m2, treatment_n, treatment_mean, treatment_m2)
    n0, mean0, m20, n1, mean1, m21 = np.broadcast_arrays(*(np.asarray(x, dtype=np.float64) for x in given))
    says = (np.minimum(n0, n1) >= max(_LEAST, min_per_arm)) & _varies(n0, mean0, m20, n1, mean1, m21)
    p_values = np.ones(n0.shape)
    look = _look(n0[says], mean0[says], m20[says], n1[says], mean1[says], m21[says], alpha, planned_n)
    p_values[says] = look.p_value
    least: NDArray[np.float64] = np.minimum.accumulate(p_values, axis=-1)
    return least
