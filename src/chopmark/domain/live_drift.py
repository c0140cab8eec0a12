"""How far sampled requests have drifted from what their versions were made from, and what a monitor makes of it; pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import msgspec

from chopmark.domain.monitors import DRIFT, PREDICTIONS
from chopmark.domain.traffic import SHADOW
from chopmark.stats.drift_report import ColumnDrift, DriftReport

__all__ = ["LiveDrift", "MeasuredDrift", "measured_drift"]


class LiveDrift(msgspec.Struct, frozen=True, kw_only=True):
    """What sampled requests of one variant look like beside the profile of its version.

    Attributes
    ----------
    version, variant
        Which answered, and as what.
    since
        From when on.
    report
        Column by column, and of the answers where the profile has some.
    """

    version: str
    variant: str
    since: datetime
    report: DriftReport

    def __repr__(self) -> str:
        rows, drifted = self.report.current_rows, self.report.drifted
        said = f"{', '.join(drifted)} drifted" if drifted else self.report.verdict
        return f"<{self.variant} {self.version} · {rows:,} rows since {self.since:%Y-%m-%d %H:%M} UTC · {said}>"


class MeasuredDrift(msgspec.Struct, frozen=True, kw_only=True):
    """How far sampled requests have drifted, as a number.

    Attributes
    ----------
    severity
        The greatest excess of a measure that decides as a multiple of what is material; 0 when nothing drifted, None when too little
        is known to say.
    rows
        That were sampled.
    why
        Why nothing can be said.
    is_unknowable
        Whether more rows would not help: the profile has nothing to compare with.
    """

    severity: float | None = None
    rows: int = 0
    why: str = ""
    is_unknowable: bool = False


def measured_drift(metric: str, variant: str, found: Iterable[LiveDrift]) -> MeasuredDrift:
    """What a monitor is told.

    Parameters
    ----------
    metric
        ``drift`` for whatever drifted most, ``drift.COLUMN``, or ``drift.predictions``.
    variant
        Only this one; empty for all that answer.
    """
    chosen = [each for each in found if (each.variant == variant if variant else each.variant != SHADOW)]
    if not chosen:
        why = "No requests were sampled in that time, or no version that answered has a profile of its data."
        return MeasuredDrift(why=f"{why} An endpoint samples when its sample_share is above 0.")
    rows = sum(each.report.current_rows for each in chosen)
    columns = [column for each in chosen for column in _columns(metric, each.report)]
    judged = [column for column in columns if column.verdict in ("ok", "drift")]
    if not judged:
        name = metric.removeprefix(f"{DRIFT}.")
        why = f"Too few rows were sampled: {rows:,}." if columns else f"The profile has no column {name!r}."
        return MeasuredDrift(rows=rows, why=why, is_unknowable=not columns)
    return MeasuredDrift(severity=max(c.severity if c.verdict == "drift" else 0.0 for c in judged), rows=rows)


def _columns(metric: str, report: DriftReport) -> list[ColumnDrift]:
    answers = [report.scores] if report.scores is not None else []
    if metric == DRIFT:
        return [*report.columns, *answers]
    name = metric.removeprefix(f"{DRIFT}.")
    return answers if name == PREDICTIONS else [column for column in report.columns if column.name == name]
