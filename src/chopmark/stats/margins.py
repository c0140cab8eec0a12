"""Tests against a margin: not worse by as much (non-inferiority, for guardrails), and not different by as much (equivalence).

- `noninferiority` of proportions: the score test of Farrington and Manning (1990), "Test statistics and sample size formulae for
  comparative binomial trials with null hypothesis of non-zero risk difference or non-unity relative risk", Statistics in Medicine
  9(12); or Wald's, which is too sure of itself near 0 and 1.
- of means: Welch's t with the null hypothesis moved by the margin.
- `equivalence`: two one-sided tests; Schuirmann (1987), "A comparison of the two one-sided tests procedure and the power approach
  for assessing the equivalence of average bioavailability", Journal of Pharmacokinetics and Biopharmaceutics 15(6).
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgspec

from chopmark.errors import InvalidRequest
from chopmark.stats.checks import check_number, check_share
from chopmark.stats.means import welch_test
from chopmark.stats.proportions import difference, score_bound, score_statistic, unpooled_error
from chopmark.stats.results import Flag
from chopmark.stats.summaries import Mean, Proportion

__all__ = ["Equivalence", "MarginTest", "equivalence", "noninferiority"]

Method = Literal["score", "wald"]


class MarginTest(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a treatment is worse by a margin, or less.

    Attributes
    ----------
    estimate
        Treatment minus control, in units of the metric.
    margin
        What it may be worse by at most, in the same units.
    statistic
        Standard errors between the estimate and the margin; of a mean it follows Student's distribution.
    p_value
        One-sided, that the treatment is worse by the margin or more.
    bound
        One-sided bound of the difference at confidence 1 - α: a lower one where more is better, an upper one else; None where
        nothing is known.
    is_met
        Whether the treatment is shown not to be worse by the margin: p ≤ α.
    degrees_of_freedom
        Of a t test; None for proportions.
    flags
        As in an `Effect`; with any of them p is 1.
    """

    estimate: float
    margin: float
    statistic: float
    p_value: float
    bound: float | None
    is_met: bool
    degrees_of_freedom: float | None = None
    flags: tuple[Flag, ...] = ()


class Equivalence(msgspec.Struct, frozen=True, kw_only=True):
    """Two one-sided tests.

    Attributes
    ----------
    not_below, not_above
        That the treatment is less than the margin below, and less than it above the control.
    p_value
        The larger of both.
    is_met
        Whether both are shown: p ≤ α.
    """

    not_below: MarginTest
    not_above: MarginTest
    p_value: float
    is_met: bool


def noninferiority(
    control: Proportion | Mean,
    treatment: Proportion | Mean,
    margin: float,
    *,
    is_higher_better: bool = True,
    alpha: float = 0.05,
    method: Method = "score",
) -> MarginTest:
    """Test the null hypothesis that a treatment is worse than the control by a margin or more.

    Parameters
    ----------
    control, treatment
        Two proportions, or two means.
    margin
        An absolute difference, 0 or more (below 1 for proportions), in units of the metric.
    is_higher_better
        Where it is, the null hypothesis is: difference ≤ -margin; else: difference ≥ margin.
    alpha
        One-sided level.
    method
        Of proportions: ``score``, or ``wald`` with the unpooled variance.

    Raises
    ------
    InvalidRequest
        When the margin is no such number, or a mean is to be compared with a proportion.

    Examples
    --------
    >>> result = noninferiority(Proportion(5523, 5737), Proportion(9805, 10172), margin=0.01)
    >>> result.is_met, round(result.p_value, 6)
    (True, 9.7e-05)
    """
    check_share("the level alpha", alpha)
    check_number("margin", margin, least=0.0)
    side = -1 if is_higher_better else 1  # on which side of the control worse is
    if isinstance(control, Proportion) and isinstance(treatment, Proportion):
        if margin >= 1:
            raise InvalidRequest(f"A margin of {margin:g} allows everything.", hint="Give a share below 1.")
        found = _of_proportions(control, treatment, side * margin, side, alpha, method)
    elif isinstance(control, Mean) and isinstance(treatment, Mean):
        found = _of_means(control, treatment, side * margin, side, alpha)
    else:
        raise InvalidRequest("A mean cannot be compared with a proportion.", hint="Give two of a kind.")
    return MarginTest(
        estimate=found.estimate,
        margin=margin,
        statistic=found.statistic,
        p_value=found.p_value,
        bound=found.bound,
        is_met=found.p_value <= alpha,
        degrees_of_freedom=found.degrees_of_freedom,
        flags=found.flags,
    )


def equivalence(
    control: Proportion | Mean,
    treatment: Proportion | Mean,
    margin: float,
    *,
    alpha: float = 0.05,
    method: Method = "score",
) -> Equivalence:
    """Test the null hypothesis that treatment and control differ by a margin or more; parameters of `noninferiority`.

    >>> equivalence(Mean.from_deviation(400, 10.0, 1.0), Mean.from_deviation(400, 10.02, 1.0), margin=0.2).is_met
    True
    """
    below, above = (
        noninferiority(control, treatment, margin, is_higher_better=higher, alpha=alpha, method=method)
        for higher in (True, False)
    )
    p_value = max(below.p_value, above.p_value)
    return Equivalence(not_below=below, not_above=above, p_value=p_value, is_met=p_value <= alpha)


class _Found(NamedTuple):
    estimate: float
    statistic: float
    p_value: float
    bound: float | None
    degrees_of_freedom: float | None = None
    flags: tuple[Flag, ...] = ()


def _of_proportions(
    control: Proportion, treatment: Proportion, tested: float, side: int, alpha: float, method: Method
) -> _Found:
    from scipy.special import ndtr, ndtri

    if method not in {"score", "wald"}:
        raise InvalidRequest(f"There is no method {method!r}.", hint="Use score or wald.")
    estimate = difference(control, treatment)
    if not control.n or not treatment.n:
        return _Found(estimate, 0.0, 1.0, None, flags=("no_data",))
    reach = side * -float(ndtri(alpha))
    if method == "score":
        z = score_statistic(control, treatment, tested, is_corrected=False)
        bound = score_bound(control, treatment, reach, is_corrected=False)
        both = control + treatment
        if not tested and (not both.successes or not both.failures):
            return _Found(estimate, 0.0, 1.0, bound, flags=("all_equal",))
    else:
        error = unpooled_error(control, treatment)
        if not error:
            return _Found(estimate, 0.0, 1.0, None, flags=("no_variance",))
        z, bound = (estimate - tested) / error, estimate + reach * error
    return _Found(estimate, z, float(ndtr(side * z)), bound)


def _of_means(control: Mean, treatment: Mean, tested: float, side: int, alpha: float) -> _Found:
    from scipy.special import stdtr, stdtrit

    effect = welch_test(control, treatment)
    if effect.flags or effect.degrees_of_freedom is None:
        return _Found(effect.estimate, 0.0, 1.0, None, flags=effect.flags)
    freedom = effect.degrees_of_freedom
    t = (effect.estimate - tested) / effect.standard_error
    bound = effect.estimate - side * float(stdtrit(freedom, alpha)) * effect.standard_error
    return _Found(effect.estimate, t, float(stdtr(freedom, side * t)), bound, freedom)
