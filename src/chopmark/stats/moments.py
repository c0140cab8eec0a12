"""Count, mean, spread and range of numbers, in a summary that adds up.

Adding one number follows Welford (1962), "Note on a method for calculating corrected sums of
squares and products", Technometrics 4(3); adding two summaries follows Chan, Golub and LeVeque
(1979), "Updating formulae and a pairwise algorithm for computing sample variances", STAN-CS-79-773.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import msgspec

__all__ = ["Moments", "merged"]


def merged(first: tuple[int, float, float], second: tuple[int, float, float]) -> tuple[int, float, float]:
    """Count, mean and sum of squared deviations of two sets of numbers together; neither is empty."""
    (n, mean, squares), (other_n, other_mean, other_squares) = first, second
    both, delta = n + other_n, other_mean - mean
    return both, mean + delta * other_n / both, squares + other_squares + delta * delta * n * other_n / both


class Moments(msgspec.Struct, frozen=True):
    """Summary of finite numbers; the empty summary is the neutral element of `merge`.

    Attributes
    ----------
    count
        How many numbers.
    mean
        Their mean; 0 when there are none.
    squares
        Sum of squared deviations from the mean (M2).
    minimum, maximum
        Smallest and largest; infinite, the wrong way round, when there are none.
    """

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0
    minimum: float = math.inf
    maximum: float = -math.inf

    @classmethod
    def of(cls, values: Iterable[float]) -> Moments:
        """Summary of numbers, one at a time; every number must be finite."""
        summary = cls()
        for value in values:
            summary = summary.add(value)
        return summary

    def add(self, value: float) -> Moments:
        """The summary with one more number."""
        count = self.count + 1
        delta = value - self.mean
        mean = self.mean + delta / count
        return Moments(
            count,
            mean,
            self.squares + delta * (value - mean),
            min(self.minimum, value),
            max(self.maximum, value),
        )

    def merge(self, other: Moments) -> Moments:
        """Summary of both sets of numbers together; associative and commutative up to rounding."""
        if not other.count:
            return self
        if not self.count:
            return other
        return Moments(
            *merged((self.count, self.mean, self.squares), (other.count, other.mean, other.squares)),
            min(self.minimum, other.minimum),
            max(self.maximum, other.maximum),
        )

    @property
    def variance(self) -> float | None:
        """Sample variance (n - 1); None for fewer than two numbers."""
        return self.squares / (self.count - 1) if self.count > 1 else None

    @property
    def standard_deviation(self) -> float | None:
        """Square root of the sample variance; None for fewer than two numbers."""
        variance = self.variance
        return None if variance is None else math.sqrt(variance)
