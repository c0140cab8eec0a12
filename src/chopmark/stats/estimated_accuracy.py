"""How often a version is expected to be right on rows whose labels are not known, from counts of its scores; pure.

A reference says of each bin of the score how many of its rows were positive (`CalibrationTable`), and counts say how many rows are in
each bin now: what is expected of them follows, as in `chopmark.stats.estimated_performance`. Both are sums, so that those of several
gateways and hours add up before anything is estimated. `CAVEAT` says what cannot be seen.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

import msgspec
from msgspec import structs

from chopmark.stats.binning import ColumnCounts, LevelBins, NumericBins
from chopmark.stats.calibration_table import CalibrationTable
from chopmark.stats.estimated_performance import CAVEAT

__all__ = ["OUTSIDE_MAX", "REFERENCE_ROWS_MIN", "ROWS_MIN", "EstimatedAccuracy", "estimated_accuracy", "together"]

ROWS_MIN = 100
"""Rows from which on something is said."""

REFERENCE_ROWS_MIN = 200
"""Rows with labels that a calibration must have."""

OUTSIDE_MAX = 0.05
"""Share of the rows that may lie where the reference has none."""

_Z_95 = 1.959963984540054
_SOME = 0.5  # of a row, so that a bin whose rows were all alike is not taken for certain (Jeffreys)


class EstimatedAccuracy(msgspec.Struct, frozen=True, kw_only=True):
    """How often answers are expected to be right, without labels: an estimate, and no measurement.

    Attributes
    ----------
    accuracy
        Expected share of right answers; None where it cannot be said.
    low, high
        Its interval of 95 %: where accuracy of as many rows with labels would lie, as far as chance goes and the reference's number of
        rows leaves open; widened by the rows outside, as if all of them were wrong, or right.
    standard_error
        Of the rows within the reference's range.
    rows
        Sampled rows with a score that it rests on.
    outside
        Share of them that lie where the reference has no rows.
    threshold
        Score from which a row is taken for positive.
    reference_rows
        Rows with labels of the reference.
    since
        From when on rows were sampled.
    why
        Why it cannot be said; empty where it can.
    caveat
        What the estimate cannot see.
    """

    accuracy: float | None = None
    low: float | None = None
    high: float | None = None
    standard_error: float | None = None
    rows: int = 0
    outside: float = 0.0
    threshold: float | None = None
    reference_rows: int = 0
    since: datetime | None = None
    why: str = ""
    caveat: str = CAVEAT

    def __str__(self) -> str:
        if self.accuracy is None or self.low is None or self.high is None:
            return f"Estimated accuracy is not known: {self.why}"
        return (
            f"Estimated accuracy {self.accuracy:.4f} ({self.low:.4f} to {self.high:.4f}) of {self.rows:,} sampled rows, "
            f"without labels.\n{self.caveat}"
        )


def estimated_accuracy(
    bins: NumericBins | LevelBins | None, table: CalibrationTable | None, counted: ColumnCounts | None
) -> EstimatedAccuracy:
    """What is expected of rows by their scores.

    Parameters
    ----------
    bins
        Of the scores of the reference.
    table
        How often its rows were positive, by the same bins.
    counted
        The scores of the rows that are asked about, in these bins.

    Returns
    -------
    EstimatedAccuracy
        With ``why`` where nothing can be said.

    Raises
    ------
    InvalidRequest
        When the counts are of other bins.

    Notes
    -----
    Of n_b rows in a bin the reference had the share k_b/m_b positive, at a mean score s_b. Where the mean score now is s_b + d the
    share is taken to be k_b/m_b + d, as it is of scores that are probabilities; bins are narrow where the reference has many rows. With
    r_b the share that is right, accuracy is R = Σ n_b·r_b/n, and its variance R(1 − R)/n + Σ (n_b/n)²·r_b(1 − r_b)/m_b: what chance
    does to n rows, and to the reference's. Expectation as in Białek et al. (2024), arXiv:2401.08348, sec. 3.

    Examples
    --------
    >>> from chopmark.stats import Profile
    >>> amounts, scores = [1, 2, 3, 4] * 250, [0.1, 0.2, 0.6, 0.9] * 250
    >>> known = Profile.of({"amount": amounts}, scores=scores, labels=[0, 0, 1, 1] * 200 + [1, 0, 0, 1] * 50)
    >>> live = known.count({"amount": [3, 4] * 500}, scores=[0.6, 0.9] * 500)
    >>> round(known.estimated_accuracy(live).accuracy, 3)
    0.9
    """
    if table is None or bins is None:
        return EstimatedAccuracy(why=_NO_CALIBRATION)
    about = EstimatedAccuracy(
        rows=0 if counted is None else counted.rows, threshold=table.threshold, reference_rows=sum(table.counts)
    )
    if not isinstance(bins, NumericBins) or _are_classes(bins):
        return structs.replace(about, why=_CLASSES)
    if table.uppers != bins.uppers:
        return structs.replace(about, why=_OTHER_BINS)
    if about.reference_rows < REFERENCE_ROWS_MIN:
        why = f"Its calibration rests on {about.reference_rows:,} rows; {REFERENCE_ROWS_MIN:,} are needed."
        return structs.replace(about, why=why)
    if counted is None or not counted.rows:
        return structs.replace(about, why=_NO_SCORES)
    if counted.rows < ROWS_MIN:
        return structs.replace(about, why=f"Too few scores were sampled: {counted.rows:,} of the {ROWS_MIN:,} needed.")
    bins.check(counted)
    filled = _filled(bins, table, counted)
    within = sum(each.rows for each in filled)
    outside = 1 - within / counted.rows
    about = structs.replace(about, outside=outside)
    if outside > OUTSIDE_MAX:
        return structs.replace(about, why=_outside_words(bins, outside))
    return _estimated(about, filled, within)


_NO_CALIBRATION = (
    "The version's profile has no calibration. Register with scores= and labels= of rows that it was not fitted on."
)
_CLASSES = (
    "The scores of the version's profile are classes and no probabilities. Register with probabilities as scores=."
)
_OTHER_BINS = "The calibration of the version's profile has other bins than its scores. Register it again."
_NO_SCORES = "No answers with a probability were sampled."


class _Filled(NamedTuple):
    """A bin with rows, and the share of them that is expected to be right."""

    rows: int
    right: float
    variance: float


def _are_classes(bins: NumericBins) -> bool:
    return bins.is_exact and all(upper.is_integer() for upper in bins.uppers)


def _filled(bins: NumericBins, table: CalibrationTable, counted: ColumnCounts) -> list[_Filled]:
    """Bins that have rows of both: what lies between the values of exact bins is nowhere in the reference."""
    between = counted.between or (0,) * len(bins.uppers)
    found = []
    for place, upper in enumerate(bins.uppers):
        rows, known = counted.counts[place + 1] - between[place], table.counts[place]
        if not rows or not known:
            continue
        share = table.positives[place] / known
        if not bins.is_exact:
            now = bins.mean + counted.sums[place + 1] / rows
            share = min(max(share + now - table.score_sums[place] / known, 0.0), 1.0)
        smoothed = (table.positives[place] + _SOME) / (known + 2 * _SOME)
        right = share if upper >= table.threshold else 1 - share
        found.append(_Filled(rows, right, smoothed * (1 - smoothed) / known))
    return found


def _estimated(about: EstimatedAccuracy, filled: list[_Filled], rows: int) -> EstimatedAccuracy:
    right = math.fsum(each.rows * each.right for each in filled)
    accuracy = min(max(right / rows, 0.0), 1.0)
    smoothed = (accuracy * rows + _SOME) / (rows + 2 * _SOME)
    of_reference = math.fsum((each.rows / rows) ** 2 * each.variance for each in filled)
    error = math.sqrt(smoothed * (1 - smoothed) / rows + of_reference)
    inside = 1 - about.outside
    return structs.replace(
        about,
        accuracy=accuracy,
        standard_error=error,
        low=max(accuracy - _Z_95 * error, 0.0) * inside,
        high=min(accuracy + _Z_95 * error, 1.0) * inside + about.outside,
    )


def _outside_words(bins: NumericBins, outside: float) -> str:
    where = "have values" if bins.is_exact else f"lie outside {bins.minimum:.3g} to {bins.maximum:.3g},"
    return f"{100 * outside:.3g} % of the sampled scores {where} where the version's calibration has no rows."


def together(found: Iterable[EstimatedAccuracy], why: str = "No requests were sampled.") -> EstimatedAccuracy:
    """What estimates of several variants come to, each by its rows; of those that can be said, or why none can, or there is none."""
    listed = sorted(found, key=lambda each: -each.rows)
    known = [each for each in listed if each.accuracy is not None and each.standard_error is not None]
    if len(known) == 1 or not listed:
        return known[0] if known else EstimatedAccuracy(why=why)
    if not known:
        return listed[0]
    rows = sum(each.rows for each in known)

    def mean(name: str) -> float:
        return math.fsum(each.rows * getattr(each, name) for each in known) / rows

    error = math.sqrt(math.fsum((each.rows / rows * (each.standard_error or 0.0)) ** 2 for each in known))
    accuracy, outside = mean("accuracy"), mean("outside")
    return EstimatedAccuracy(
        accuracy=accuracy,
        low=max(accuracy - _Z_95 * error, 0.0) * (1 - outside),
        high=min(accuracy + _Z_95 * error, 1.0) * (1 - outside) + outside,
        standard_error=error,
        rows=rows,
        outside=outside,
        reference_rows=min(each.reference_rows for each in known),
        since=min((each.since for each in known if each.since is not None), default=None),
    )
