"""Comparisons as users hold them, and versions run side by side on data."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from chopmark.base.settings import Settings
from chopmark.domain.agreement import DataComparison, Latency, VersionOnData
from chopmark.domain.comparison import ComparedRow, VersionComparison
from chopmark.domain.datasets import DatasetRef
from chopmark.domain.paired_evidence import ClassRights, PairedErrors, PairedRights, recommend_by_answers
from chopmark.domain.recommendation import Candidate, Recommendation, undecided
from chopmark.domain.signature import check_input
from chopmark.domain.versions import Version
from chopmark.errors import ChopmarkError
from chopmark.formats.data import describe_dataset
from chopmark.formats.signatures import fields_of
from chopmark.ops.requests import GetVersion
from chopmark.reports.comparison_page import comparison_html, comparison_markdown, comparison_table
from chopmark.sdk.answering import Answers, answer, predictor
from chopmark.sdk.data_tables import Rows, pandas_library, rows_of, suited
from chopmark.sdk.judging import Judged, judge
from chopmark.sdk.loading import load_version
from chopmark.sdk.timing import time_in_turns
from chopmark.sdk.training_rows import trained_on
from chopmark.sdk.transport import Transport
from chopmark.stats.agreement import power_of_two

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Comparison", "as_comparison", "compare_on_data"]

BATCH_ROWS = 1_000
_FAILURE_LENGTH_MAX = 500


class Comparison(VersionComparison, frozen=True, kw_only=True):
    """Versions side by side, as a value that prints, turns into a table, and into a report."""

    def differences(self) -> Comparison:
        """The same comparison with only the rows in which the versions differ."""
        return msgspec.structs.replace(self, rows=tuple(row for row in self.rows if row.differs))

    def records(self) -> list[dict[str, Any]]:
        """Rows as flat dictionaries: section, key, a value for each version, and for metrics the changes."""
        return [_record(self.refs, row) for row in self.rows]

    def to_pandas(self) -> pd.DataFrame:
        """The rows as a pandas data frame.

        Raises
        ------
        Unsupported
            When pandas is not installed.
        """
        frame: pd.DataFrame = pandas_library().DataFrame.from_records(self.records())
        return frame

    def to_json(self) -> str:
        """The whole comparison as JSON text, indented."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2).decode()

    def to_html(self) -> str:
        """The comparison as an HTML page of its own."""
        return comparison_html(self)

    def to_markdown(self) -> str:
        """The comparison as Markdown."""
        return comparison_markdown(self)

    def _repr_html_(self) -> str:
        return comparison_table(self)

    def __repr__(self) -> str:
        return VersionComparison.__repr__(self)


def _record(refs: Sequence[str], row: ComparedRow) -> dict[str, Any]:
    record: dict[str, Any] = {"section": row.section, "key": row.key, "differs": row.differs}
    record |= dict(zip(refs, row.values, strict=True))
    for ref, change in zip(refs, row.changes, strict=False):
        if change is not None:
            record |= {f"{ref} difference": change.difference, f"{ref} %": change.percent, f"{ref} is": change.verdict}
    return record


def as_comparison(found: VersionComparison) -> Comparison:
    """A comparison as users hold it."""
    return Comparison(**{name: getattr(found, name) for name in VersionComparison.__struct_fields__})


class _Entrant(NamedTuple):
    """A version on its way through the data: what it answered, or why it did not."""

    version: Version
    failure: str = ""
    given: Answers | None = None
    call: Callable[[], object] | None = None


def compare_on_data(
    transport: Transport,
    settings: Settings,
    comparison: Comparison,
    data: Any,
    *,
    target: str = "",
    timer: Callable[[], float] = time.perf_counter,
) -> Comparison:
    """Run every version of a comparison on the same rows.

    Parameters
    ----------
    comparison
        Of the versions; comes back with ``data`` filled, and a recommendation from the labels
        where there are labels.
    data, target
        As `chopmark.sdk.data_tables.rows_of` takes them.
    timer
        Seconds, for the latencies.

    Raises
    ------
    InvalidRequest, Unsupported
        When the data cannot be read. A version that cannot be loaded or asked is told in its
        place, and the others go on.
    """
    rows = rows_of(data, target)
    entrants = [_entered(transport, settings, ref, rows) for ref in comparison.refs]
    entrants, latencies = _timed(entrants, min(rows.row_count, BATCH_ROWS), timer)
    asked = [e for e in entrants if e.given is not None]
    judged = judge({e.version.ref: e.given for e in asked if e.given is not None}, rows.truth)
    on_data = tuple(
        VersionOnData(
            ref=e.version.ref,
            failure=e.failure,
            unjudged=judged.unjudged.get(e.version.ref, ""),
            kind=e.given.kind if e.given else None,
            rates=judged.rates.get(e.version.ref, {}),
            metrics=judged.metrics.get(e.version.ref, {}),
            score=e.given.score if e.given else "",
            latency=latencies.get(e.version.ref),
        )
        for e in entrants
    )
    told = DataComparison(
        dataset=_described(data, rows),
        row_count=rows.row_count,
        labelled=rows.truth is not None,
        versions=on_data,
        pairs=judged.pairs,
        positive=judged.positive,
        cautions=judged.cautions,
    )
    recommendation = _recommended(comparison, on_data, judged, rows)
    known = trained_on([e.version for e in entrants], data, rows, target)
    recommendation = msgspec.structs.replace(recommendation, cautions=(*recommendation.cautions, *known))
    return msgspec.structs.replace(comparison, data=told, recommendation=recommendation)


def _entered(transport: Transport, settings: Settings, ref: str, rows: Rows) -> _Entrant:
    version: Version = transport.call(GetVersion(ref=ref))
    try:
        inputs = suited(rows.inputs, version.signature)
        if version.signature is not None:
            check_input(version.signature, fields_of(inputs), version.ref)
        model = load_version(transport, settings, version)
        given = answer(model, inputs, version.task)
        if len(given.scores if given.answers is None else given.answers) != rows.row_count:
            return _Entrant(version, "it does not answer once for each row.")
        ask, batch = predictor(model), _first(inputs, BATCH_ROWS)
        if rows.row_count > BATCH_ROWS:
            ask(batch)  # what takes all rows may refuse fewer, and that is to be known before all are timed
        return _Entrant(version, given=given, call=lambda: ask(batch))
    except ChopmarkError as error:
        return _Entrant(version, str(error)[:_FAILURE_LENGTH_MAX])
    except Exception as error:  # noqa: BLE001 - a stranger's model may raise anything, and the others go on
        return _Entrant(version, f"{type(error).__name__}: {error}"[:_FAILURE_LENGTH_MAX])


def _timed(
    entrants: Sequence[_Entrant], batch_rows: int, timer: Callable[[], float]
) -> tuple[list[_Entrant], dict[str, Latency]]:
    """Latencies by reference, and the entrants; one that answered once and fails now has failed."""
    failures: dict[str, str] = {}

    def watched(ref: str, call: Callable[[], object]) -> Callable[[], object]:
        def once() -> None:
            if ref in failures:
                return
            try:
                call()
            except Exception as error:  # noqa: BLE001 - as above
                failures[ref] = f"asked again, {type(error).__name__}: {error}"[:_FAILURE_LENGTH_MAX]

        return once

    calls = {e.version.ref: watched(e.version.ref, e.call) for e in entrants if e.call is not None}
    timed = dict(zip(calls, time_in_turns(list(calls.values()), batch_rows, timer), strict=True))
    after = [_Entrant(e.version, failures[e.version.ref]) if e.version.ref in failures else e for e in entrants]
    return after, {ref: latency for ref, latency in timed.items() if ref not in failures}


def _first(inputs: Any, count: int) -> Any:
    return inputs.iloc[:count] if hasattr(inputs, "iloc") else inputs[:count]


def _described(data: Any, rows: Rows) -> DatasetRef:
    """Name and digest of the data; its columns are not repeated in a comparison."""
    known = describe_dataset(data if not isinstance(data, tuple) else data[0])
    return msgspec.structs.replace(known, relation="evaluated_on", row_count=rows.row_count, columns=())


def _recommended(
    comparison: Comparison, on_data: Sequence[VersionOnData], judged: Judged, rows: Rows
) -> Recommendation:
    """From the labels, by the versions that were judged; what was recorded decides nothing where there is data."""
    sizes = {v.ref: v.size_bytes for v in comparison.versions}
    costs = _costs(comparison)
    candidates = [
        Candidate(
            ref=v.ref,
            metrics=v.metrics,
            size_bytes=sizes[v.ref],
            cost_per_request=costs.get(v.ref),
            latency_ms=v.latency.mean_ms if v.latency else None,
        )
        for v in on_data
        if not v.failure
    ]
    unjudged = {v.ref: v.failure or v.unjudged for v in on_data if v.failure or v.unjudged}
    if rows.truth is None:
        why = "the data has no labels to judge the answers by" if candidates else "no version answered"
        return undecided("none", why, candidates=candidates, unjudged=unjudged)
    recommendation = recommend_by_answers(
        [c for c in candidates if c.ref in judged.outcomes],
        _paired(judged),
        row_count=rows.row_count,
        positive_share=None if judged.positives is None else float(judged.positives.mean()),
        unjudged=unjudged,
    )
    left_out = tuple(f"{ref} was not judged: {why}" for ref, why in unjudged.items())
    return msgspec.structs.replace(recommendation, cautions=(*recommendation.cautions, *left_out))


def _costs(comparison: Comparison) -> Mapping[str, float]:
    for row in comparison.rows:
        if (row.section, row.key) == ("facts", "cost_per_request"):
            return {ref: cost for ref, cost in zip(comparison.refs, row.values, strict=True) if cost is not None}
    return {}


def _paired(judged: Judged) -> dict[tuple[str, str], PairedRights | PairedErrors]:
    return {
        (first, second): _pair_of(judged.outcomes[first], judged.outcomes[second], judged.positives)
        for first, second in combinations(judged.outcomes, 2)
    }


def _pair_of(first: Any, second: Any, positives: Any) -> PairedRights | PairedErrors:
    if first.dtype.kind == "b":
        classes = None
        if positives is not None:
            classes = (_rights(first, second, positives), _rights(first, second, ~positives))
        return PairedRights(int((first & ~second).sum()), int((second & ~first).sum()), classes)
    unit = max(power_of_two(first), power_of_two(second))  # so that no square overflows
    differences = first / unit - second / unit
    deviation = float(differences.std(ddof=1)) if len(differences) > 1 else 0.0
    largest = sys.float_info.max
    return PairedErrors(len(differences), float(differences.mean()) * unit, min(deviation * unit, largest))


def _rights(first: Any, second: Any, rows: Any) -> ClassRights:
    return ClassRights(int(rows.sum()), int((first & ~second & rows).sum()), int((second & ~first & rows).sum()))
