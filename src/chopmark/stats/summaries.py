"""Frozen summaries that add up: what a test needs to know of one arm, whatever the batches it came in.

`Proportion`, `Mean`, `Ratio`, `Cuped` and `Exposures` are added with ``+``. The order does not matter: counts are exact, and
centred sums are merged by Chan, Golub and LeVeque (1979), "Updating formulae and a pairwise algorithm for computing sample
variances", STAN-CS-79-773, eq. 2.1, so that they agree to rounding. A number that is not finite, or a count that is negative,
is refused, and nothing changes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Self

import msgspec

from chopmark.errors import InvalidRequest
from chopmark.stats.checks import as_array, check_count, check_number, check_numbers
from chopmark.stats.moments import merged

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

__all__ = ["Cuped", "Exposures", "Mean", "Proportion", "Ratio"]


class Proportion(msgspec.Struct, frozen=True, tag="proportion"):
    """Successes of some trials, each of which succeeds or does not.

    Attributes
    ----------
    successes, n
        Counts; 0 ≤ successes ≤ n.
    """

    successes: int = 0
    n: int = 0

    def __post_init__(self) -> None:
        check_count("successes", self.successes)
        check_count("n", self.n)
        if self.successes > self.n:
            raise InvalidRequest(
                f"{self.successes:,} successes of {self.n:,} trials cannot be.",
                hint="Give successes and trials, in this order.",
            )

    @classmethod
    def of(cls, outcomes: ArrayLike) -> Self:
        """Summary of outcomes: shape (n,), each of them 0 or 1, or a truth value.

        Raises
        ------
        InvalidRequest
            When one is anything else.
        """
        import numpy as np

        values = as_array(outcomes)
        if values.dtype != np.bool_:
            values = check_numbers(values, "an outcome")
            if not np.isin(values, (0.0, 1.0)).all():
                raise InvalidRequest("An outcome is 0 or 1.", hint="Give other numbers to a `Mean`.")
        return cls(int(np.count_nonzero(values)), int(values.size))

    def __add__(self, other: Self) -> Self:
        return type(self)(self.successes + other.successes, self.n + other.n)

    @property
    def failures(self) -> int:
        """Trials that did not succeed."""
        return self.n - self.successes

    @property
    def rate(self) -> float:
        """Share of successes; 0 when there were no trials."""
        return self.successes / self.n if self.n else 0.0


class Mean(msgspec.Struct, frozen=True, tag="mean"):
    """Count, mean and sum of squared deviations of finite numbers.

    Attributes
    ----------
    n
        How many.
    mean
        Their mean; 0 when there are none.
    m2
        Sum of their squared deviations from it (units squared).
    """

    n: int = 0
    mean: float = 0.0
    m2: float = 0.0

    def __post_init__(self) -> None:
        check_count("n", self.n)
        check_number("mean", self.mean)
        check_number("m2", self.m2, least=0.0)

    @classmethod
    def of(cls, values: ArrayLike) -> Self:
        """Summary of numbers, shape (n,), by two passes over them.

        Raises
        ------
        InvalidRequest
            When one is not finite.
        """
        numbers = check_numbers(values)
        if not numbers.size:
            return cls()
        mean, m2 = _centred(numbers)
        return cls(int(numbers.size), mean, m2)

    @classmethod
    def from_deviation(cls, n: int, mean: float, standard_deviation: float) -> Self:
        """From a sample standard deviation (n - 1)."""
        check_number("standard_deviation", standard_deviation, least=0.0)
        return cls(n, mean, standard_deviation**2 * max(0, n - 1))

    def __add__(self, other: Self) -> Self:
        if not other.n or not self.n:
            return other if not self.n else self
        return type(self)(*merged((self.n, self.mean, self.m2), (other.n, other.mean, other.m2)))

    @property
    def variance(self) -> float:
        """Sample variance (n - 1); 0 for fewer than two numbers."""
        return self.m2 / (self.n - 1) if self.n > 1 else 0.0

    @property
    def standard_deviation(self) -> float:
        """Square root of the sample variance."""
        return math.sqrt(self.variance)


class _Pairs(msgspec.Struct, frozen=True):
    """Centred sums of two numbers for each unit."""

    n: int = 0
    mean_y: float = 0.0
    mean_x: float = 0.0
    m2_y: float = 0.0
    m2_x: float = 0.0
    co_yx: float = 0.0

    def __post_init__(self) -> None:
        check_count("n", self.n)
        for name in ("mean_y", "mean_x", "co_yx"):
            check_number(name, getattr(self, name))
        for name in ("m2_y", "m2_x"):
            check_number(name, getattr(self, name), least=0.0)

    @classmethod
    def of(cls, y: ArrayLike, x: ArrayLike) -> Self:
        """Summary of two arrays of one shape, (n,): the numbers of each unit."""
        ys, xs = check_numbers(y), check_numbers(x)
        if ys.shape != xs.shape:
            raise InvalidRequest(
                f"{ys.size:,} numbers and {xs.size:,} are not pairs.", hint="Give one of each for a unit."
            )
        if not ys.size:
            return cls()
        mean_y, m2_y = _centred(ys)
        mean_x, m2_x = _centred(xs)
        return cls(int(ys.size), mean_y, mean_x, m2_y, m2_x, float((ys - mean_y) @ (xs - mean_x)))

    @classmethod
    def from_sums(cls, n: int, y: float, x: float, yy: float, xx: float, yx: float) -> Self:
        """From plain sums, as other systems export them: of y, x, y², x² and y·x. Large means cost their digits."""
        if n == 0:
            return cls()
        return cls(n, y / n, x / n, max(0.0, yy - y * y / n), max(0.0, xx - x * x / n), yx - y * x / n)

    def __add__(self, other: Self) -> Self:
        if not other.n or not self.n:
            return other if not self.n else self
        n = self.n + other.n
        dy, dx, weight = other.mean_y - self.mean_y, other.mean_x - self.mean_x, self.n * other.n / n
        return type(self)(
            n,
            self.mean_y + dy * other.n / n,
            self.mean_x + dx * other.n / n,
            self.m2_y + other.m2_y + dy * dy * weight,
            self.m2_x + other.m2_x + dx * dx * weight,
            self.co_yx + other.co_yx + dy * dx * weight,
        )

    @property
    def variance_y(self) -> float:
        """Sample variance of y (n - 1); 0 for fewer than two units."""
        return self.m2_y / (self.n - 1) if self.n > 1 else 0.0

    @property
    def variance_x(self) -> float:
        """Sample variance of x (n - 1); 0 for fewer than two units."""
        return self.m2_x / (self.n - 1) if self.n > 1 else 0.0

    @property
    def covariance(self) -> float:
        """Sample covariance (n - 1); 0 for fewer than two units."""
        return self.co_yx / (self.n - 1) if self.n > 1 else 0.0


class Ratio(_Pairs, frozen=True, tag="ratio"):
    """A ratio of sums over units, such as cost by request with the user as unit: y is the numerator, x the denominator.

    Units are taken as independent, so each comes once in all that is added up: record one that returns at the end of its time, with
    its sums, not again in each batch. The same user in many batches would count as many users who are alike, and tests would err often.
    """

    @property
    def ratio(self) -> float:
        """Sum of the numerators by that of the denominators; 0 when the latter is."""
        return self.mean_y / self.mean_x if self.mean_x else 0.0


class Cuped(_Pairs, frozen=True, tag="cuped"):
    """An outcome y and what was known of the same unit before the experiment, x."""


class Exposures(msgspec.Struct, frozen=True):
    """How many units each variant was shown to.

    Attributes
    ----------
    counts
        Variant → units.
    """

    counts: Mapping[str, int] = {}

    def __post_init__(self) -> None:
        for variant, count in self.counts.items():
            check_count(f"exposures of {variant}", count)

    def __add__(self, other: Self) -> Self:
        variants = sorted({*self.counts, *other.counts})
        return type(self)({v: self.counts.get(v, 0) + other.counts.get(v, 0) for v in variants})

    @property
    def total(self) -> int:
        """Units of all variants."""
        return sum(self.counts.values())


def _centred(numbers: NDArray[np.float64]) -> tuple[float, float]:
    """Mean and sum of squared deviations; the second pass takes away what rounding left in the mean."""
    mean = float(numbers.mean())
    deviations = numbers - mean
    rest = float(deviations.sum())
    n = numbers.size
    return mean + rest / n, max(0.0, float(deviations @ deviations) - rest * rest / n)
