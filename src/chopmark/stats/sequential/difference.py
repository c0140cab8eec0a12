"""The mean difference of two success rates under random assignment, at every look: sums that make a confidence sequence.

A record has an arm A (1 for treatment, drawn with the share π), an outcome Y and a predictable baseline b. As A is drawn,
(A - π)·(Y - b) has the mean π(1-π)·d, where d is the difference of the success rates at that moment, whatever the rates are and
however they drift. Sums of it over those of π(1-π) estimate the mean difference so far, weighted by what each batch could
tell; no batch is compared with another, so neither drift nor a share that is ramped up biases it.
"""

from __future__ import annotations

import msgspec

from chopmark.stats.results import Interval
from chopmark.stats.sequential.mixtures import normal_mixture_boundary
from chopmark.stats.summaries import Proportion

__all__ = ["DifferenceSums", "without_zero"]

_VARIANCE_OPT = 40.0  # about where a difference of half a log odds ratio shows
_RECORDS_MORE = 2.0


class DifferenceSums(msgspec.Struct, frozen=True):
    """Sums over records.

    Attributes
    ----------
    covariance
        Of (A - π)·(Y - b).
    squares
        Of its square.
    squares_expected
        Of what the square is expected to be, given Y, over the random arm: π(1-π)·(Y - b)².
    information
        Of π(1-π).
    arms_squared
        The mean of (1-π)² + π², the squares of an utterly surprising record in each arm; times ``records``.
    records
        How many there were.
    """

    covariance: float = 0.0
    squares: float = 0.0
    squares_expected: float = 0.0
    information: float = 0.0
    arms_squared: float = 0.0
    records: int = 0

    def add(
        self, control: Proportion, treatment: Proportion, share: float, rate: float, failure_rate: float
    ) -> DifferenceSums:
        """With a batch, whose baseline is the rate (and 1 minus it, the failure rate)."""
        rest, spread = 1.0 - share, share * (1.0 - share)
        hit, miss = failure_rate * failure_rate, rate * rate
        by_treatment = treatment.successes * failure_rate - treatment.failures * rate
        by_control = control.successes * failure_rate - control.failures * rate
        of_treatment = treatment.successes * hit + treatment.failures * miss
        of_control = control.successes * hit + control.failures * miss
        n = control.n + treatment.n
        return DifferenceSums(
            self.covariance + rest * by_treatment - share * by_control,
            self.squares + rest * rest * of_treatment + share * share * of_control,
            self.squares_expected + spread * (of_treatment + of_control),
            self.information + spread * n,
            self.arms_squared + (rest * rest + share * share) * n,
            self.records + n,
        )

    @property
    def estimate(self) -> float:
        """The mean difference so far; 0 when there were no records."""
        return self.covariance / self.information if self.information else 0.0

    @property
    def variance(self) -> float:
        """Intrinsic time V of the covariance.

        A third of the squares and two thirds of their expectation make exp(λS - λ²V/2) a supermartingale for every λ, without any
        limit: Delyon (2009), "Exponential inequalities for sums of weakly dependent variables", Electronic Journal of Probability 14,
        theorem 4. The expectation is that of equal arms, so the squares count whole where they are more. And two
        more records in each arm are taken to have surprised utterly, since an arm of few records does not know its own rate.
        """
        if not self.records:
            return 0.0
        mixed = (self.squares + 2.0 * self.squares_expected) / 3.0
        return max(self.squares, mixed) + _RECORDS_MORE * self.arms_squared / self.records

    def interval(self, alpha: float) -> Interval:
        """The confidence sequence (S ± u(V)) / Σ π(1-π) at this look, u by `normal_mixture_boundary`; within -1 and 1."""
        if not self.information:
            return Interval(-1.0, 1.0)
        half = normal_mixture_boundary(self.variance, _VARIANCE_OPT, alpha=alpha, alpha_opt=alpha) / self.information
        return Interval(max(-1.0, min(1.0, self.estimate - half)), min(1.0, max(-1.0, self.estimate + half)))


def without_zero(interval: Interval, side: int, estimate: float) -> Interval:
    """An interval cut at 0, when another test ruled 0 out to one side (1: greater, -1: less) and the estimate is there."""
    if 0.0 not in interval or estimate * side <= 0:
        return interval
    if side > 0:
        return Interval(0.0, interval.high, excludes_zero=True)
    return Interval(interval.low, 0.0, excludes_zero=True)
