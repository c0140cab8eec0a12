"""Logged inputs answered again, and held against what was answered."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from chopmark.domain.prediction_logs import DIFFERING_MAX, INPUT, OUTPUT, LogReplay, ReplayedRow
from chopmark.domain.signature import Field
from chopmark.errors import Conflict, InvalidRequest, ModelFailed
from chopmark.formats.prediction_files import answer_columns, column_values, runs_of
from chopmark.gateway.protocols.elements import element_of
from chopmark.sdk.log_files import LogFile

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from chopmark.abc.predicting import Inputs, Outputs, Predictor
    from chopmark.domain.versions import Version

__all__ = ["replayed"]

_ROWS_AT_ONCE = 1_000
_CLOSE = 1e-9
_SHOWN_MAX = 200


class _Compared(NamedTuple):
    """Rows beside each other: which agree in an output, and how far numbers are apart."""

    agrees: NDArray[Any]
    shift: NDArray[Any] | None


def replayed(version: Version, predictor: Predictor, files: Iterable[LogFile], rows_max: int | None) -> LogReplay:
    """What a version answers to logged inputs, beside what was answered.

    Parameters
    ----------
    version, predictor
        Whose answers; loaded.
    files
        Of the log.
    rows_max
        So many rows, the oldest, and no more; all when None.

    Raises
    ------
    InvalidRequest
        When the log lacks an input that the version needs, holds none of its outputs, or has no rows.
    Conflict
        When an input that it needs, or every output, was left out of the log by the endpoint's ``log_redact``.
    ModelFailed
        When the version does not answer.
    """
    rows = agreeing = 0
    outputs: dict[str, None] = {}
    differing: list[ReplayedRow] = []
    shifts: list[NDArray[Any]] = []
    for part, names in _parts(version, predictor, files, rows_max):
        table = part.rows
        asked = _inputs(version, predictor, table)
        given = {name: column_values(table, f"{OUTPUT}{name}") for name in names}
        try:
            now = predictor.predict(asked, names)
        except Exception as error:
            msg = f"{version.ref} does not answer rows of {part.place}: {type(error).__name__}."
            raise ModelFailed(msg, hint="Ask it for one such row with registry.load to see why.") from error
        compared = [_beside(given[name], name, now) for name in names]
        agrees = np.logical_and.reduce([each.agrees for each in compared])
        shifts += [each.shift for each in compared if each.shift is not None][:1]
        rows += table.num_rows
        agreeing += int(agrees.sum())
        outputs |= dict.fromkeys(names)
        first = np.flatnonzero(~agrees)[: DIFFERING_MAX - len(differing)]
        differing += [_told(part, int(place), names, compared, now) for place in first]
    if not rows:
        raise InvalidRequest(
            "The log has no rows of that endpoint and time.", hint="Look with: chopmark predictions read DIR"
        )
    shift = np.concatenate(shifts) if shifts else None
    return LogReplay(
        version=version.ref,
        digest=version.digest,
        rows=rows,
        agreeing=agreeing,
        outputs=tuple(outputs),
        shift_mean=None if shift is None else float(shift.mean()),
        shift_mean_abs=None if shift is None else float(np.abs(shift).mean()),
        shift_max_abs=None if shift is None else float(np.abs(shift).max()),
        differing=tuple(differing),
    )


def _parts(
    version: Version, predictor: Predictor, files: Iterable[LogFile], rows_max: int | None
) -> Iterator[tuple[LogFile, tuple[str, ...]]]:
    """Rows that can be asked about at once, and the outputs that were logged of them."""
    left = math.inf if rows_max is None else rows_max
    answers = [field.name for field in (*predictor.layout.outputs, *predictor.layout.more)]
    for file in files:
        _check_inputs(version, predictor, file)
        outputs = _outputs(version, answers, file)
        nested = [name for name in _columns(predictor) if _is_nested(file.rows, name)]
        of_outputs = [f"{OUTPUT}{name}" for name in outputs]
        for run in runs_of(file.rows, [*nested, *of_outputs], _ROWS_AT_ONCE):
            length = int(min(run.length, left))
            there = tuple(name for name in outputs if f"{OUTPUT}{name}" in run.present)
            if not length:
                return
            if there:
                left -= length
                yield file._replace(rows=file.rows.slice(run.start, length)), there


def _columns(predictor: Predictor) -> list[str]:
    return [f"{INPUT}{field.name}" for field in predictor.layout.inputs]


def _is_nested(table: pa.Table, name: str) -> bool:
    return bool(table.schema.field(name).type.num_fields)


def _check_inputs(version: Version, predictor: Predictor, file: LogFile) -> None:
    there, redacted = set(file.rows.column_names), set(file.about.redacted)
    for name in _columns(predictor):
        if name in redacted:
            msg = f"{version.ref} needs {name}, which {file.place} is without by the endpoint's log_redact."
            raise Conflict(msg, hint="Replay a version that does not need it, or a part of the log that has it.")
        if name not in there:
            known = ", ".join(each for each in file.rows.column_names if each.startswith(INPUT))
            msg = f"{version.ref} needs {name}, which {file.place} does not have."
            raise InvalidRequest(msg, hint=f"It has {known[:_SHOWN_MAX]}.")


def _outputs(version: Version, answers: Sequence[str], file: LogFile) -> list[str]:
    logged = [name.removeprefix(OUTPUT) for name in file.rows.column_names if name.startswith(OUTPUT)]
    both = [name for name in logged if name in answers]
    if not both:
        msg = f"{version.ref} gives {', '.join(answers)}, and {file.place} holds {', '.join(logged)}."
        raise InvalidRequest(msg[:_SHOWN_MAX], hint="Compare it with what is named alike.")
    kept = [name for name in both if f"{OUTPUT}{name}" not in file.about.redacted]
    if not kept:
        msg = f"{file.place} is without what was answered, by the endpoint's log_redact."
        raise Conflict(msg, hint="There is nothing to compare with; take columns of outputs out of log_redact.")
    return kept


def _inputs(version: Version, predictor: Predictor, table: pa.Table) -> Inputs:
    layout = predictor.layout
    try:
        if layout.kind == "matrix":
            columns = [
                _of_type(column_values(table, f"{INPUT}{f.name}"), np.dtype(layout.dtype)) for f in layout.inputs
            ]
            return np.column_stack(columns)
        what = "tensor" if layout.kind == "tensors" else "column"
        return {f.name: _for_field(column_values(table, f"{INPUT}{f.name}"), f, what) for f in layout.inputs}
    except (TypeError, ValueError, OverflowError) as error:
        msg = f"{version.ref} takes other types than the log holds: {type(error).__name__}."
        raise InvalidRequest(msg, hint="Compare the signatures of the two versions.") from None


def _for_field(values: NDArray[Any], field: Field, what: str) -> NDArray[Any]:
    array = _of_type(values, element_of(field, what).dtype)
    if array.size or len(field.shape) != array.ndim:
        return array
    inner = [is_there if wanted < 0 else wanted for wanted, is_there in zip(field.shape, array.shape, strict=True)][1:]
    return array.reshape(len(array), *inner)  # lists without a value do not say how long those in them would be


def _of_type(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    if values.dtype == dtype:
        return values
    if dtype.kind == "O":
        made = np.empty(values.shape, object)
        made[...] = values.tolist() if values.dtype.kind != "O" else values
        return made
    if values.dtype.kind == "O":  # truth values, some of them missing
        values = np.array([math.nan if v is None else v for v in values.reshape(-1)], np.float64).reshape(values.shape)
    if dtype.kind in "biu" and values.dtype.kind == "f" and np.isnan(values).any():
        raise ValueError
    return values.astype(dtype)


def _beside(given: NDArray[Any], name: str, now: Outputs) -> _Compared:
    """Logged answers and those of now: numbers agree within a billionth of each other, anything else when it is equal."""
    again = now[name]
    rows = len(given)
    if given.dtype.kind in "fiub" and again.dtype.kind in "fiub" and given.shape == again.shape:
        mine, its = given.reshape(rows, -1).astype(np.float64), again.reshape(rows, -1).astype(np.float64)
        with np.errstate(invalid="ignore"):
            difference = its - mine
            scale = np.maximum(np.maximum(np.abs(mine), np.abs(its)), 1.0)
            same = (np.abs(difference) <= _CLOSE * scale) | (mine == its) | (np.isnan(mine) & np.isnan(its))
        shift = np.nan_to_num(difference.mean(axis=1), nan=0.0, posinf=0.0, neginf=0.0)
        return _Compared(same.all(axis=1), shift)
    table = answer_columns({name: again})
    its = column_values(table, f"{OUTPUT}{name}")
    equal = [_plain(one) == _plain(other) for one, other in zip(given, its, strict=True)]
    return _Compared(np.array(equal, bool), None)


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else value


def _told(part: LogFile, place: int, names: Sequence[str], compared: Sequence[_Compared], now: Outputs) -> ReplayedRow:
    table = part.rows
    other = [name for name, each in zip(names, compared, strict=True) if not each.agrees[place]]
    said = {name: table.column(name)[place].as_py() for name in ("request_id", "row", "at")}
    return ReplayedRow(
        request_id=said["request_id"],
        row=said["row"],
        at=said["at"],
        answered_by=f"{part.about.model}:{part.about.version}",
        logged={name: _shown(column_values(table.slice(place, 1), f"{OUTPUT}{name}")[0]) for name in other},
        now={name: _shown(now[name][place]) for name in other},
    )


def _shown(value: Any) -> Any:
    plain = _plain(value)
    return plain if isinstance(plain, (str, int, float, bool, list, dict, type(None))) else str(plain)
