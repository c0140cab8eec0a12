"""Whether scores are probabilities: how often rows of about one score turned out positive."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec

from chopmark.errors import InvalidRequest
from chopmark.stats.checks import check_count, check_number, check_share
from chopmark.stats.two_sample import samples

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["CalibrationTable"]

_GROUPS = 20
_ENOUGH = 0.9  # of a twentieth of the rows, for bins of as many do not come out even


class CalibrationTable(msgspec.Struct, frozen=True):
    """Counts by bins of the score, which add up with ``+`` when the bins are the same.

    Attributes
    ----------
    uppers
        Greatest score of each bin, ascending, but for the last, which holds all that are greater.
    counts, positives
        Rows of each bin, and those of them that are positive.
    score_sums
        Sum of the scores of each bin.
    threshold
        Score from which a row is called positive; above 0 and below 1.
    """

    uppers: tuple[float, ...]
    counts: tuple[int, ...]
    positives: tuple[int, ...]
    score_sums: tuple[float, ...]
    threshold: float = 0.5

    def __post_init__(self) -> None:
        check_share("threshold", self.threshold)
        for count, positive, score_sum in zip(self.counts, self.positives, self.score_sums, strict=True):
            check_count("rows of a bin", count)
            check_count("positive rows of a bin", positive)
            check_number("sum of scores", score_sum, least=0.0)
            if positive > count:
                raise InvalidRequest(f"{positive:,} positive rows of {count:,} cannot be.", hint="Count them again.")
        if len(self.uppers) != len(self.counts) or not all(a < b for a, b in pairwise(self.uppers)):
            raise InvalidRequest("The bins of the scores are no bins.", hint="Make the table from scores and labels.")

    @classmethod
    def of(cls, scores: ArrayLike, labels: ArrayLike, *, bins: int = 20) -> CalibrationTable:
        """Table with bins of about equally many rows.

        Parameters
        ----------
        scores
            Predicted probabilities of the positive class, shape (n,), from 0 to 1.
        labels
            What was found, shape (n,): 0 or 1, or truth values.
        bins
            How many at most; tied scores share one.

        Raises
        ------
        InvalidRequest
            When there are no rows, a score is no probability or a label neither 0 nor 1.
        """
        import numpy as np

        ordered = np.sort(samples(scores, scores)[0])
        uppers = np.unique(ordered[-(-np.arange(1, bins + 1) * ordered.size // bins) - 1])
        return cls.within(uppers.tolist(), scores, labels)

    @classmethod
    def within(
        cls, uppers: Sequence[float], scores: ArrayLike, labels: ArrayLike, *, threshold: float = 0.5
    ) -> CalibrationTable:
        """Table with bins that are given, as ``uppers`` says them; the rest as for `of`."""
        empty = (0,) * len(uppers)
        return cls(tuple(uppers), empty, empty, (0.0,) * len(uppers), threshold).count(scores, labels)

    def count(self, scores: ArrayLike, labels: ArrayLike) -> CalibrationTable:
        """The same bins with other rows, as `of` takes them."""
        import numpy as np

        found, truth = samples(scores, labels)
        if found.shape != truth.shape or not np.isin(truth, (0.0, 1.0)).all() or found.min() < 0 or found.max() > 1:
            raise InvalidRequest(
                "These are not a probability and a label a row.", hint="Give scores from 0 to 1, and labels 0 or 1."
            )
        size = len(self.uppers)
        places = np.searchsorted(self.uppers[:-1], found, side="left")
        counts = np.bincount(places, minlength=size)
        positives = np.bincount(places[truth == 1], minlength=size)
        order = np.argsort(found)  # sums of scores must not depend on the order of rows
        sums = np.bincount(places[order], weights=found[order], minlength=size)
        return CalibrationTable(
            self.uppers, tuple(counts.tolist()), tuple(positives.tolist()), tuple(sums.tolist()), self.threshold
        )

    def __add__(self, other: CalibrationTable) -> CalibrationTable:
        if self.uppers != other.uppers or self.threshold != other.threshold:
            raise InvalidRequest("The two tables have other bins.", hint="Count both with `count` of one table.")
        return CalibrationTable(
            self.uppers,
            tuple(a + b for a, b in zip(self.counts, other.counts, strict=True)),
            tuple(a + b for a, b in zip(self.positives, other.positives, strict=True)),
            tuple(a + b for a, b in zip(self.score_sums, other.score_sums, strict=True)),
            self.threshold,
        )

    @property
    def error(self) -> float:
        """Expected calibration error: mean distance, over the rows, of a bin's mean score from its share of positive rows.

        Bins are joined to at most about 20 first: few rows in each would look miscalibrated by chance. Naeini, Cooper & Hauskrecht (2015),
        "Obtaining well calibrated probabilities using Bayesian binning", AAAI. 0 without rows.
        """
        total = sum(self.counts)
        gaps, gap, rows = [], 0.0, 0
        for count, positive, score_sum in zip(self.counts, self.positives, self.score_sums, strict=True):
            gap, rows = gap + positive - score_sum, rows + count
            if rows >= _ENOUGH * total / _GROUPS:
                gaps.append(abs(gap))
                gap, rows = 0.0, 0
        return math.fsum([*gaps, abs(gap)]) / total if total else 0.0
