"""What a check of drift answers: measures of columns, verdicts over them, and sentences that a person can act on."""

from __future__ import annotations

from typing import Literal

import msgspec

from chopmark.errors import InvalidRequest
from chopmark.stats.drift_measures import MeasureName

__all__ = [
    "ColumnDrift",
    "Correction",
    "DriftReport",
    "Measure",
    "Verdict",
]

Verdict = Literal["ok", "drift", "not enough data", "not compared"]
Correction = Literal["holm", "benjamini_hochberg"]


class Measure(msgspec.Struct, frozen=True, kw_only=True):
    """A measure of drift of one column.

    Attributes
    ----------
    name, definition
        Which, and the key of what is computed in `DEFINITIONS`.
    value, expected
        What it is, and about what it would be for data of these sizes that did not drift.
    excess
        The value beyond what is expected: what the threshold is held against.
    threshold
        What is material; for ``chi_squared`` none, and its test alone decides.
    p_value
        Of the tests that back it, adjusted for all tests of all columns.
    verdict
        ``drift`` when it is material and significant.
    """

    name: MeasureName
    definition: str
    value: float
    expected: float
    excess: float
    threshold: float | None
    p_value: float
    verdict: Verdict


class ColumnDrift(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a column.

    Attributes
    ----------
    name, kind
        ``numeric`` or ``category``.
    verdict
        ``drift`` when one of the deciding measures says so; ``not compared`` when there are too many levels to tell from their counts.
    severity
        The greatest excess of a deciding measure as a multiple of its threshold.
    reference_n, current_n
        Values that are not missing.
    reference_mean, current_mean
        Of a numeric column that has values, none of them infinite.
    measures
        Empty when there is not enough data for any.
    sentence
        For a person.
    """

    name: str
    kind: Literal["numeric", "category"]
    verdict: Verdict
    severity: float
    reference_n: int
    current_n: int
    reference_mean: float | None
    current_mean: float | None
    measures: tuple[Measure, ...]
    sentence: str

    def measure(self, name: MeasureName) -> Measure:
        """The measure of that name; `InvalidRequest` when the column has none."""
        for measure in self.measures:
            if measure.name == name:
                return measure
        raise InvalidRequest(
            f"{self.name!r} has no {name}.", hint=f"It has {', '.join(m.name for m in self.measures) or 'none at all'}."
        )


class DriftReport(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a data set.

    Attributes
    ----------
    verdict
        ``drift`` when a column or the scores drifted; ``ok`` when some were judged and none did (see `undecided` for those that were not);
        ``not enough data`` or ``not compared`` when none could be.
    columns
        The worst first.
    scores
        The model's answers, when they were counted.
    reference_rows, current_rows
        Of the profile and of the data.
    alpha, correction, minimum
        As asked for.
    sentence
        For a person.
    """

    verdict: Verdict
    columns: tuple[ColumnDrift, ...]
    scores: ColumnDrift | None
    reference_rows: int
    current_rows: int
    alpha: float
    correction: Correction
    minimum: int
    sentence: str

    @property
    def drifted(self) -> tuple[str, ...]:
        """Names of the columns that drifted, the worst first."""
        return tuple(column.name for column in self.columns if column.verdict == "drift")

    @property
    def undecided(self) -> tuple[str, ...]:
        """Names of the columns, and of the scores, without a verdict: whoever lets data pass because nothing drifted did not see them."""
        told = [*self.columns, *([self.scores] if self.scores else [])]
        return tuple(column.name for column in told if column.verdict not in ("ok", "drift"))
