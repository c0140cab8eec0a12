"""What a check of drift answers: measures of columns, verdicts over them, and sentences that a person can act on."""

from __future__ import annotations

from typing import Literal

import msgspec

from chopmark.errors import InvalidRequest
from chopmark.stats.binning import ColumnCounts, LevelBins, NumericBins
from chopmark.stats.drift_measures import MeasureName

__all__ = [
    "ColumnDrift",
    "Correction",
    "DriftReport",
    "Measure",
    "Verdict",
    "column_sentence",
    "report_sentence",
]

Verdict = Literal["ok", "drift", "not enough data"]
Correction = Literal["holm", "benjamini_hochberg"]

_NAMED_COLUMNS = 3


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
        ``drift`` when one of the deciding measures says so.
    severity
        The greatest excess of a deciding measure as a multiple of its threshold.
    reference_n, current_n
        Values that are not missing.
    reference_mean, current_mean
        Of a numeric column that has values.
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
        ``drift`` when a column or the scores drifted; ``not enough data`` when there was not enough for any.
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


def column_sentence(found: ColumnDrift, column: NumericBins | LevelBins, current: ColumnCounts, minimum: int) -> str:
    """What became of a column, and why one thinks so."""
    if found.verdict == "not enough data":
        fewer = min(found.reference_n, found.current_n)
        return f"{found.name} has {fewer:,} values to compare, and {minimum:,} are needed."
    if found.verdict == "ok":
        return f"{found.name} shows no drift."
    drifted = {m.name: m for m in found.measures if m.verdict == "drift"}
    why = []
    if "missing" in drifted:
        before, now = (c.missing / c.rows for c in (column.reference, current))
        why.append(f"{now:.1%} of it is missing, and {before:.1%} was")
    if "unseen" in drifted:
        beyond = (
            "beyond the reference's range" if found.kind == "numeric" else "in levels that the reference does not have"
        )
        why.append(f"{drifted['unseen'].value:.1%} of its values are {beyond}")
    if _has_become_numbers(column, current):
        why.append("its values are numbers now, and were texts or categories")
    others = []
    if found.reference_mean is not None and found.current_mean is not None and "wasserstein" in drifted:
        others.append(f"its mean went from {found.reference_mean:.4g} to {found.current_mean:.4g}")
    if "psi" in drifted:
        others.append(f"PSI {drifted['psi'].value:.2f}")
    if others:
        why.append(", ".join(others))
    if not why:
        why.append(", ".join(f"{m.name} {m.value:.3g}" for m in drifted.values()))
    return f"{found.name} drifted: {'; '.join(why).replace('%', ' %')}."


def _has_become_numbers(column: NumericBins | LevelBins, current: ColumnCounts) -> bool:
    return 2 * current.numbers > current.present and 2 * column.reference.numbers <= column.reference.present


def report_sentence(verdict: Verdict, columns: tuple[ColumnDrift, ...], scores: list[ColumnDrift], minimum: int) -> str:
    """What became of the data set, and what to do."""
    if verdict == "not enough data":
        return f"There is not enough data for a verdict: {minimum:,} values of a column are needed. Wait for more."
    drifted = [c for c in columns if c.verdict == "drift"]
    unknown = sum(c.verdict == "not enough data" for c in columns)
    rest = f" {unknown:,} had too few values to tell." if unknown else ""
    has_scores = bool(scores) and scores[0].verdict == "drift"
    if verdict == "ok":
        return f"None of {len(columns) - unknown:,} columns drifted.{rest}"
    if not drifted:
        return f"The model's answers drifted, and no column did: look at its code and its version first.{rest}"
    named = ", ".join(c.name for c in drifted[:_NAMED_COLUMNS])
    more = f" and {len(drifted) - _NAMED_COLUMNS:,} more" if len(drifted) > _NAMED_COLUMNS else ""
    answers = "the model's answers did, too" if has_scores else "the model's answers did not" if scores else ""
    return (
        f"{len(drifted):,} of {len(columns):,} columns drifted{f', and {answers}' if answers else ''}: {named}{more}. "
        f"Check where {'it comes' if len(drifted) == 1 else 'they come'} from, then the model's quality on recent labels.{rest}"
    )
