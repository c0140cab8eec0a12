"""Whether units reached the variants in the shares that were meant: a mismatch says that the assignment or the recording is broken.

Pearson's χ² test, as Fabijan and others (2019), "Diagnosing sample ratio mismatch in online controlled experiments", KDD, use it.
It is for one look at fixed shares; `chopmark.stats.sequential` has the check that may be looked at all the time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec

from chopmark.errors import InvalidRequest
from chopmark.stats.checks import check_number
from chopmark.stats.results import Flag
from chopmark.stats.summaries import Exposures

__all__ = ["SampleRatio", "sample_ratio_test"]

EXPECTED_LEAST = 5
"""Expected units of a variant below which χ² is a rough guess; Cochran (1954), Biometrics 10(4)."""


class SampleRatio(msgspec.Struct, frozen=True, kw_only=True):
    """How far the shares seen are from those that were meant.

    Attributes
    ----------
    statistic
        χ² = Σ (seen - expected)² / expected; None when units were seen in a variant that should have none.
    degrees_of_freedom
        Variants that should have units, less one.
    p_value
        That chance alone brings as much; 0 for units where none should be.
    expected
        Variant → units that were to be expected.
    flags
        ``no_data`` without units and ``approximate`` with few expected somewhere, both of which a mismatch must wait for.
    """

    statistic: float | None
    degrees_of_freedom: int
    p_value: float
    expected: Mapping[str, float]
    flags: tuple[Flag, ...] = ()

    def is_mismatch(self, alpha: float = 0.001) -> bool:
        """Whether to distrust the experiment: p < α. A low one, as the check is made of every experiment."""
        return self.p_value < alpha


def sample_ratio_test(exposures: Exposures, weights: Mapping[str, float]) -> SampleRatio:
    """Test that units were assigned by the weights.

    Parameters
    ----------
    exposures
        Units of each variant; one that is not named has none.
    weights
        Variant → weight, 0 or more, in any unit.

    Raises
    ------
    InvalidRequest
        When exposures name a variant without a weight, or no weight is above 0.

    Examples
    --------
    >>> result = sample_ratio_test(Exposures({"control": 1000, "treatment": 1100}), {"control": 1, "treatment": 1})
    >>> round(result.statistic, 3), round(result.p_value, 4), result.is_mismatch()
    (4.762, 0.0291, False)
    """
    from scipy.special import chdtrc

    _check(exposures, weights)
    scale = max(weights.values())
    weight_total = math.fsum(weight / scale for weight in weights.values())
    expected = {v: exposures.total * (weight / scale / weight_total) for v, weight in weights.items()}
    meant = {v: units for v, units in expected.items() if weights[v]}
    freedom = len(meant) - 1
    seen = exposures.counts
    if not exposures.total:
        return _result(0.0, freedom, 1.0, expected, "no_data")
    if any(count for v, count in seen.items() if not weights[v]):
        return _result(None, freedom, 0.0, expected)
    statistic = math.fsum((seen.get(v, 0) - units) ** 2 / units for v, units in meant.items() if units)
    flags: tuple[Flag, ...] = ("approximate",) if min(meant.values()) < EXPECTED_LEAST else ()
    return _result(statistic, freedom, float(chdtrc(freedom, statistic)) if freedom else 1.0, expected, *flags)


def _result(
    statistic: float | None, degrees_of_freedom: int, p_value: float, expected: Mapping[str, float], *flags: Flag
) -> SampleRatio:
    return SampleRatio(
        statistic=statistic, degrees_of_freedom=degrees_of_freedom, p_value=p_value, expected=expected, flags=flags
    )


def _check(exposures: Exposures, weights: Mapping[str, float]) -> None:
    for variant, weight in weights.items():
        check_number(f"weight of {variant}", weight, least=0.0)
    unknown = sorted(set(exposures.counts) - set(weights))
    if unknown:
        raise InvalidRequest(
            f"There is no weight for {', '.join(unknown)}.", hint="Give the weight of every variant that was shown."
        )
    if not any(weights.values()):
        raise InvalidRequest("No variant has a weight above 0.", hint="Give the shares that were meant.")
