"""What a check of drift says to a person: of a column what moved, and not only that something did."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import accumulate

from chopmark.stats.binning import ColumnCounts, LevelBins, NumericBins
from chopmark.stats.drift_measures import MeasureName
from chopmark.stats.drift_report import ColumnDrift, Measure, Verdict

__all__ = ["column_sentence", "report_sentence"]

_NAMED_COLUMNS = 3
_MIDDLE = (0.1, 0.9)
_MEAN_SAYS_IT = 0.5  # share of the distance moved that the mean accounts for, from which on it is the mean that moved
_NEGLIGIBLE = 1e-9  # of a column's scale: what is left of sums that cancel
_FEW_SHARE = 0.05


def column_sentence(found: ColumnDrift, column: NumericBins | LevelBins, current: ColumnCounts, minimum: int) -> str:
    """What became of a column, and why one thinks so."""
    if found.verdict == "not enough data":
        fewer = min(found.reference_n, found.current_n)
        return f"{found.name} has {fewer:,} values to compare, and {minimum:,} are needed."
    if found.verdict == "not compared" and isinstance(column, LevelBins):
        return _not_compared(column, current)
    if found.verdict == "ok":
        return f"{found.name} {'shows no drift' if found.reference_n else 'has no values, as it had none'}."
    drifted = {m.name: m for m in found.measures if m.verdict == "drift"}
    why = _of_missing(column, current) if "missing" in drifted else []
    if isinstance(column, NumericBins):
        why += _of_numbers(found, column, current, drifted)
    else:
        why += _of_levels(column, current, drifted)
    if not why:
        why.append(", ".join(f"{m.name} {m.value:.3g}" for m in drifted.values()))
    return f"{found.name} drifted: {'; '.join(why).replace('%', ' %')}."


def _of_missing(column: NumericBins | LevelBins, current: ColumnCounts) -> list[str]:
    before, now = (c.missing / c.rows for c in (column.reference, current))
    return [f"{now:.1%} of it is missing, and {before:.1%} was"]


def _psi(drifted: Mapping[MeasureName, Measure]) -> list[str]:
    return [f"PSI {drifted['psi'].value:.2f}"] if "psi" in drifted else []


# Numbers


def _of_numbers(
    found: ColumnDrift, column: NumericBins, current: ColumnCounts, drifted: Mapping[MeasureName, Measure]
) -> list[str]:
    why = []
    if current.infinite and current.present:
        why.append(f"{current.infinite / current.present:.1%} of its values are infinite")
    beyond = current.counts[0] + current.counts[-2] - current.infinite
    if "unseen" in drifted and beyond > 0:
        why.append(f"{beyond / current.present:.1%} of its values are beyond the reference's range")
    moved = _moved(found, column, current, drifted) if "wasserstein" in drifted or "psi" in drifted else ""
    others = [*([moved] if moved else []), *_psi(drifted)]
    return [*why, ", ".join(others)] if others else why


def _moved(
    found: ColumnDrift, column: NumericBins, current: ColumnCounts, drifted: Mapping[MeasureName, Measure]
) -> str:
    """Whether it was the mean, or where the middle of the values lies."""
    if current.infinite == current.present:
        return ""
    before, now, distance = found.reference_mean, found.current_mean, drifted.get("wasserstein")
    if before is not None and now is not None and distance is not None and column.standard_deviation > 0:
        shift = abs(now / column.standard_deviation - before / column.standard_deviation)
        if shift >= _MEAN_SAYS_IT * distance.value:
            return f"its mean went from {_number(before, column)} to {_number(now, column)}"
    old, new = _middle(column, column.reference), _middle(column, current)
    return f"its middle 80% was {old} and is {new}" if old != new else ""


def _middle(column: NumericBins, counted: ColumnCounts) -> str:
    return " to ".join(_quantile(column, counted, share) for share in _MIDDLE)


def _quantile(column: NumericBins, counted: ColumnCounts, share: float) -> str:
    """The upper edge of the bin that a quantile lies in: no more is known."""
    reached = list(accumulate(counted.counts[:-1]))
    place = next(i for i, count in enumerate(reached) if count >= share * reached[-1] and count)
    if place == 0:
        return f"below {_number(column.minimum, column)}"
    if place > len(column.uppers):
        return f"above {_number(column.maximum, column)}"
    return _number(column.uppers[place - 1], column)


def _number(value: float, column: NumericBins) -> str:
    scale = max(abs(column.minimum), abs(column.maximum), column.standard_deviation)
    return f"{0.0 if abs(value) <= _NEGLIGIBLE * scale else value:.4g}" if math.isfinite(scale) else f"{value:.4g}"


# Levels


def _of_levels(column: LevelBins, current: ColumnCounts, drifted: Mapping[MeasureName, Measure]) -> list[str]:
    why = []
    if "unseen" in drifted:
        why.append(f"{drifted['unseen'].value:.1%} of its values are in levels that the reference does not have")
    if 2 * current.numbers > current.present and 2 * column.reference.numbers <= column.reference.present:
        why.append("its values are numbers now, and were texts or categories")
    if "others" in drifted:
        why.append(_of_others(column, current))
    return [*why, *_psi(drifted)]


def _of_others(column: LevelBins, current: ColumnCounts) -> str:
    """Whether one of the levels that are not kept took over, or there are others."""
    before = [count / column.reference.present for count in column.reference.others]
    now = [count / current.present for count in current.others]
    rise, share, was = max((b - a, b, a) for a, b in zip(before, now, strict=True))
    if rise >= _FEW_SHARE:
        return (
            f"one level that was rare or new, or a few, make up {share:.1%} of its values, where there were {was:.1%}"
        )
    return f"its levels beyond the {len(column.levels):,} that the profile keeps are no longer the same"


def _not_compared(column: LevelBins, current: ColumnCounts) -> str:
    if not column.levels:
        return (
            f"{column.name} was not compared: most values of the reference stand alone, as names and free text do, and the profile "
            "keeps none of them. That one value took over would have been seen, and did not happen."
        )
    share = max(counted.counts[-2] / counted.present for counted in (column.reference, current))
    return (
        f"{column.name} was not compared: {share:.1%} of its values are in levels beyond the {len(column.levels):,} of "
        f"{column.distinct:,} that the profile keeps, and {current.present:,} values do not tell whether those are the same."
    ).replace("%", " %")


# All columns


def report_sentence(verdict: Verdict, columns: tuple[ColumnDrift, ...], scores: list[ColumnDrift], minimum: int) -> str:
    """What became of the data set, and what to do."""
    if verdict == "not enough data":
        return f"There is not enough data for a verdict: {minimum:,} values of a column are needed. Wait for more."
    if verdict == "not compared":
        return "Nothing could be compared: all columns have more levels than counts tell apart. Look at what they are made from."
    drifted = [c for c in columns if c.verdict == "drift"]
    few, untold = (sum(c.verdict == v for c in columns) for v in ("not enough data", "not compared"))
    rest = f" {few:,} had too few values to tell." if few else ""
    rest += f" {untold:,} with many levels could not be compared." if untold else ""
    has_scores = bool(scores) and scores[0].verdict == "drift"
    if verdict == "ok":
        return f"None of {len(columns) - few - untold:,} columns drifted.{rest}"
    if not drifted:
        return f"The model's answers drifted, and no column did: look at its code and its version first.{rest}"
    named = ", ".join(c.name for c in drifted[:_NAMED_COLUMNS])
    more = f" and {len(drifted) - _NAMED_COLUMNS:,} more" if len(drifted) > _NAMED_COLUMNS else ""
    answers = "the model's answers did, too" if has_scores else "the model's answers did not" if scores else ""
    return (
        f"{len(drifted):,} of {len(columns):,} columns drifted{f', and {answers}' if answers else ''}: {named}{more}. "
        f"Check where {'it comes' if len(drifted) == 1 else 'they come'} from, then the model's quality on recent labels.{rest}"
    )
