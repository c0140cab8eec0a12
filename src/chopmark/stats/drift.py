"""Whether data drifted from the profile of a version, from counts: which columns, how far, and whether it may be chance.

A measure says *drift* when it is **both** material, beyond its threshold after what chance alone gives at these sizes, and
significant, by a test at α over all tests of all columns together. A threshold alone cries wolf for few rows, and a test alone for many.

>>> from chopmark.stats.profile import Profile
>>> profile = Profile.of({"age": list(range(20, 70)) * 40})
>>> report = check_drift(profile, profile.count({"age": list(range(30, 80)) * 40}))
>>> report.verdict, report.columns[0].measure("psi").verdict
('drift', 'drift')
>>> print(report.columns[0].sentence)
age drifted: 20.0 % of its values are beyond the reference's range; its mean went from 44.5 to 54.5, PSI 1.60.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Collection, Mapping
from typing import Literal, get_args

import msgspec

from chopmark.errors import InvalidRequest
from chopmark.stats.binning import ColumnCounts, LevelBins, NumericBins
from chopmark.stats.checks import check_count, check_number, check_share
from chopmark.stats.drift_measures import (
    BACKED_BY,
    DEFINITIONS,
    Measured,
    MeasureName,
    are_others_told,
    measure_column,
    missing_share,
)
from chopmark.stats.drift_report import (
    ColumnDrift,
    Correction,
    DriftReport,
    Measure,
    Verdict,
)
from chopmark.stats.drift_words import column_sentence, report_sentence
from chopmark.stats.multiplicity import benjamini_hochberg, holm
from chopmark.stats.profile import Counts, Profile

__all__ = [
    "DECIDING",
    "DEFINITIONS",
    "MINIMUM",
    "THRESHOLDS",
    "ColumnDrift",
    "DriftReport",
    "Measure",
    "Verdict",
    "check_drift",
]

MINIMUM = 500
"""Values that reference and current data must have at least for a verdict."""

THRESHOLDS: Mapping[MeasureName, float] = {
    "psi": 0.1,
    "jensen_shannon": 0.1,
    "hellinger": 0.1,
    "total_variation": 0.1,
    "kolmogorov_smirnov": 0.1,
    "wasserstein": 0.1,
    "unseen": 0.01,
    "others": 0.1,
    "missing": 0.02,
}
"""What is material when nothing else is said; χ² has no threshold but α."""

DECIDING: frozenset[MeasureName] = frozenset(
    {"psi", "total_variation", "kolmogorov_smirnov", "wasserstein", "unseen", "others", "missing"}
)
"""Measures that decide over a column when nothing else is said; the others are told."""

_GROUPS_LEAST = 2
_UNTOLD_SHARE = 0.1  # of the values, in levels of which nothing can be told: as much as a distance that is material
_LINEAR = frozenset({"psi", "unseen", "missing"})  # the others are distances: noise adds to their squares


def check_drift(
    profile: Profile,
    current: Counts,
    *,
    thresholds: Mapping[MeasureName, float] | None = None,
    deciding: Collection[MeasureName] = DECIDING,
    alpha: float = 0.01,
    correction: Correction = "holm",
    minimum: int = MINIMUM,
    groups: int = 10,
) -> DriftReport:
    """Hold counts against a profile.

    Parameters
    ----------
    profile
        Of the reference.
    current
        Counts of the current data, made with `Profile.count` of the same profile.
    thresholds
        In place of those in `THRESHOLDS`.
    deciding
        Measures that decide over a column.
    alpha
        Chance of a false drift at most, over all columns together (``holm``); or share of false ones among those that
        drifted (``benjamini_hochberg``).
    correction
        Which of the two.
    minimum
        Values that both must have of a column for a verdict on it.
    groups
        Groups that numeric bins are joined to for PSI and its kin, 2 or more.

    Returns
    -------
    DriftReport
        With no NaN in it.

    Raises
    ------
    InvalidRequest
        When the counts are of another profile, or an argument cannot be meant.

    Notes
    -----
    The definitions, with what is expected of each without drift, stand in `chopmark.stats.drift_measures`. The tests are χ²
    (Pearson 1900), Kolmogorov and Smirnov's, which errs towards no drift between edges, the exact chance of so many values beyond the
    reference's range, and χ² of the missing share.
    """
    limits = _limits(thresholds, deciding, alpha, minimum, groups)
    if current.profile != profile.digest:
        raise InvalidRequest("The counts are of another profile.", hint="Count the data with this profile.")
    pairs = list(zip(profile.columns, current.columns, strict=True))
    if profile.scores and current.scores:
        pairs.append((profile.scores, current.scores))
    measured = [_measured(column, counts, minimum, groups) for column, counts in pairs]
    adjusted = _adjusted(measured, correction)
    found = [
        _column_drift(column, counts, [_judged(column, one, p, limits, alpha) for one in ones], deciding, minimum)
        for (column, counts), ones, p in zip(pairs, measured, adjusted, strict=True)
    ]
    columns, scores = found[: len(profile.columns)], found[len(profile.columns) :]
    ranked = tuple(sorted(columns, key=lambda c: (c.verdict != "drift", -c.severity, c.name)))
    verdict = _overall([c.verdict for c in found])
    return DriftReport(
        verdict=verdict,
        columns=ranked,
        scores=scores[0] if scores else None,
        reference_rows=profile.rows,
        current_rows=current.rows,
        alpha=alpha,
        correction=correction,
        minimum=minimum,
        sentence=report_sentence(verdict, ranked, scores, minimum),
    )


def _limits(
    thresholds: Mapping[MeasureName, float] | None,
    deciding: Collection[MeasureName],
    alpha: float,
    minimum: int,
    groups: int,
) -> Mapping[MeasureName, float]:
    unknown = [n for n in (*(thresholds or {}), *deciding) if n not in get_args(MeasureName)]
    if unknown or "chi_squared" in (thresholds or {}):
        name = unknown[0] if unknown else "threshold of chi_squared"
        raise InvalidRequest(f"There is no {name!r}.", hint=f"Use {', '.join(THRESHOLDS)}; χ² is decided by alpha.")
    for name, threshold in (thresholds or {}).items():
        check_number(f"threshold of {name}", threshold, least=0.0)
    check_share("alpha", alpha)
    check_count("minimum", minimum)
    check_count("groups", groups)
    if groups < _GROUPS_LEAST:
        raise InvalidRequest("Two groups of bins are the fewest.", hint="Leave groups out.")
    return {**THRESHOLDS, **(thresholds or {})}


def _measured(column: NumericBins | LevelBins, current: ColumnCounts, minimum: int, groups: int) -> list[Measured]:
    column.check(current)
    reference = column.reference
    found: list[Measured] = []
    if min(reference.present, current.present) >= max(1, minimum):
        found += measure_column(column, current, groups=groups)
    if min(reference.rows, current.rows) >= max(1, minimum):
        found.append(missing_share(reference, current))
    return found


def _adjusted(measured: list[list[Measured]], correction: Correction) -> list[dict[MeasureName, float]]:
    """For each column: test → p-value, adjusted for all tests of all columns."""
    tests = [(at, one.name, one.p_value) for at, ones in enumerate(measured) for one in ones if one.p_value is not None]
    p_values = [p_value for _, _, p_value in tests]
    adjust = holm if correction == "holm" else benjamini_hochberg
    found: list[dict[MeasureName, float]] = [{} for _ in measured]
    for (at, name, _), p_value in zip(tests, adjust(p_values), strict=True):
        found[at][name] = p_value
    return found


def _judged(
    column: NumericBins | LevelBins,
    one: Measured,
    p_values: Mapping[MeasureName, float],
    limits: Mapping[MeasureName, float],
    alpha: float,
) -> Measure:
    p_value = min(p_values[test] for test in BACKED_BY[one.name] if test in p_values)
    if one.name in _LINEAR or one.name == "chi_squared":
        excess = max(0.0, one.value - one.expected)
    else:
        excess = math.sqrt(max(0.0, one.value - one.expected)) * math.sqrt(one.value + one.expected)
    threshold = limits.get(one.name)
    is_material = threshold is None or (excess >= threshold and excess > 0)
    return Measure(
        name=one.name,
        definition=f"{one.name}/{_kind(column)}/1",
        value=one.value,
        expected=one.expected,
        excess=excess,
        threshold=threshold,
        p_value=p_value,
        verdict="drift" if is_material and p_value <= alpha else "ok",
    )


def _kind(column: NumericBins | LevelBins) -> Literal["numeric", "category"]:
    return "numeric" if isinstance(column, NumericBins) else "category"


def _column_drift(
    column: NumericBins | LevelBins,
    current: ColumnCounts,
    measures: list[Measure],
    deciding: Collection[MeasureName],
    minimum: int,
) -> ColumnDrift:
    counted = [m for m in measures if m.name in deciding]
    drifted = [m for m in counted if m.verdict == "drift"]
    verdict: Verdict = "drift" if drifted else _without_drift(column, current, minimum)
    found = ColumnDrift(
        name=column.name,
        kind=_kind(column),
        verdict=verdict,
        severity=min(sys.float_info.max, max((m.excess / m.threshold for m in counted if m.threshold), default=0.0)),
        reference_n=column.reference.present,
        current_n=current.present,
        reference_mean=_mean(column, column.reference),
        current_mean=_mean(column, current),
        measures=tuple(measures),
        sentence="",
    )
    return msgspec.structs.replace(found, sentence=column_sentence(found, column, current, minimum))


def _without_drift(column: NumericBins | LevelBins, current: ColumnCounts, minimum: int) -> Verdict:
    """Verdict where no measure says drift: ok only when it would have been seen."""
    reference = column.reference
    if not reference.present and not current.present and min(reference.rows, current.rows) >= max(1, minimum):
        return "ok"  # no values then, and none now
    if min(reference.present, current.present) < max(1, minimum):
        return "not enough data"
    if not isinstance(column, LevelBins) or not column.is_open:
        return "ok"
    share = max(counted.counts[-2] / counted.present for counted in (reference, current))
    return "not compared" if share >= _UNTOLD_SHARE and not are_others_told(column, current) else "ok"


def _mean(column: NumericBins | LevelBins, counted: ColumnCounts) -> float | None:
    if not isinstance(column, NumericBins) or not column.uppers or not counted.present or counted.infinite:
        return None
    mean = column.mean + math.fsum(value / counted.present for value in counted.sums)
    return mean if math.isfinite(mean) else None


def _overall(verdicts: list[Verdict]) -> Verdict:
    ranked: tuple[Verdict, ...] = ("drift", "ok", "not enough data", "not compared")
    return next((verdict for verdict in ranked if verdict in verdicts), "not enough data")
