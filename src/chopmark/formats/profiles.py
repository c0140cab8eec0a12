"""Reference profiles of data sets: made of rows once, and other rows counted in their bins.

Columns are read one after another, so that a profile of a file needs the memory of one column. What a column is does not
depend on the library that holds it (`chopmark.formats.columns`); what is numeric, a level or missing is said in
`chopmark.stats.binning`, but that

- a category is levels, also of numbers, and
- times, spans of time, complex numbers, bytes, and objects such as lists are left out, and named with the reason.

The same rows give the same bytes, in whatever order they are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from chopmark.base.jsons import decode, encode
from chopmark.domain.names import shown
from chopmark.errors import InvalidRequest
from chopmark.formats.columns import Column
from chopmark.formats.levels import count_levels, level_bins
from chopmark.formats.tables import Parts, Table
from chopmark.stats.binning import ColumnCounts, LevelBins, NumericBins, bins_of, count_values
from chopmark.stats.calibration_table import CalibrationTable
from chopmark.stats.profile import COLUMNS_MAX, Counts, Profile, calibration_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["DatasetProfile", "count_table", "names_of_levels", "profile_of", "read_profile", "write_profile"]

_SCORES = "scores"


class DatasetProfile(Profile, frozen=True, kw_only=True):
    """Profile of a data set as a version keeps it.

    Attributes
    ----------
    left_out
        Columns of the data set that the profile does not have → what they hold, or why they were left out.
    """

    left_out: dict[str, str] = msgspec.field(default_factory=dict)


def write_profile(profile: DatasetProfile) -> bytes:
    """JSON of a profile: the same of the same rows in any order."""
    return encode(profile)


def read_profile(data: bytes) -> DatasetProfile:
    """The profile in a JSON text.

    Raises
    ------
    InvalidRequest
        When there is none.
    """
    return decode(data, DatasetProfile)


def profile_of(
    table: Table,
    *,
    without: Collection[str] = (),
    scores: Any = None,
    labels: Any = None,
    threshold: float = 0.5,
) -> DatasetProfile | None:
    """Profile of a table.

    Parameters
    ----------
    table
        The rows.
    without
        Columns to leave out.
    scores
        The model's answers on the rows, shape (n,), or the column that holds them.
    labels
        What was true, shape (n,), 0 or 1, or the column that holds it. With scores it makes a calibration table; without
        it is a column that is left out.
    threshold
        Score from which a row is called positive.

    Returns
    -------
    DatasetProfile
        None when there are no rows, or nothing in them that can be profiled.

    Raises
    ------
    InvalidRequest
        When a column cannot be read, or arguments do not belong to the rows.
    NotFound
        When there is no such column.
    """
    left_out = dict(table.left_out)
    for name, why in [(scores, "scores"), (labels, "labels"), *((name, "left out by request") for name in without)]:
        if isinstance(name, str):
            table.check(name)
            left_out[name] = why
    names = [name for name in table.columns if name not in left_out]
    if len(names) > COLUMNS_MAX:
        raise InvalidRequest(f"{len(names):,} columns are too many for a profile.", hint=_HINT)
    if not table.rows:
        return None
    columns = []
    for name in names:
        with _profiling(name):
            made = _bins(name, table.read(name))
        if isinstance(made, str):
            left_out[name] = made
        else:
            columns.append(made)
    answers = None if scores is None else _one_a_row(table, scores, "scores")
    if not columns and answers is None:
        return None
    binned = None if answers is None else bins_of(_SCORES, answers, split_at=None if labels is None else threshold)
    return DatasetProfile(
        rows=table.rows,
        columns=tuple(columns),
        scores=binned,
        calibration=_calibration(table, binned, answers, labels, threshold),
        left_out={name: left_out[name] for name in (*table.columns, *table.left_out) if name in left_out},
    )


_HINT = "Pass profile=False (--no-profile) to register without one."


@contextmanager
def _profiling(name: str) -> Iterator[None]:
    """Say which column cannot be profiled, and what to do."""
    try:
        yield
    except InvalidRequest as error:
        msg = f"Column {shown(name)} cannot be profiled. {error.message}"
        raise InvalidRequest(msg, hint=_hint_without(name)) from error
    except (ArithmeticError, TypeError, ValueError, NotImplementedError) as error:
        msg = f"Column {shown(name)} cannot be profiled: {str(error) or type(error).__name__}."
        raise InvalidRequest(msg, hint=_hint_without(name)) from error


def _hint_without(name: str) -> str:
    return (
        f"Leave it out with profile_without=[{name!r}] (--profile-without), or pass profile=False (--no-profile) to "
        "register without a profile."
    )


# A column


def _bins(name: str, parts: Parts) -> NumericBins | LevelBins | str:
    """Bins of a column, or what it holds that has none."""
    if parts.is_text:
        return level_bins(name, parts.level_counts)
    kinds: set[str] = set()
    for column in parts:
        kinds |= _kinds(column)
        if reason := _reason(kinds):
            return reason
    if kinds and kinds <= _NUMBERS:
        return bins_of(name, _joined([_numbers(column) for column in parts]))
    return level_bins(name, parts.level_counts)


_NUMBERS = frozenset({"int", "float", "Decimal", "Fraction"})
_LEVELS = _NUMBERS | {"str", "bool"}


_DTYPES = {"b": "bool", "i": "int", "u": "int", "f": "float", "m": "timedelta", "c": "complex", "V": "record"}
_SAID = {
    "datetime": "times",
    "date": "times",
    "timedelta": "spans of time",
    "bytes": "bytes",
    "complex": "complex numbers",
}


def _kinds(column: Column) -> set[str]:
    """Names of the types of what is not missing."""
    if column.type in ("string", "category"):
        return {"str"}
    if column.type in ("datetime", "bytes"):
        return {column.type}
    if isinstance(column.values, list):
        return {kind.__name__ for kind in set(map(type, column.values))} - {"NoneType"}
    return {_DTYPES.get(column.values.dtype.kind, column.values.dtype.name)}


def _reason(kinds: set[str]) -> str:
    """What there is among types that is neither numbers nor levels; empty when there is nothing such."""
    others = sorted(kinds - _LEVELS)
    return ", ".join(dict.fromkeys(_SAID.get(kind, f"values of type {kind}") for kind in others[:3]))


def _numbers(column: Column) -> NDArray[Any]:
    """Values as an array of what they are, missing numbers as NaN."""
    import numpy as np

    if isinstance(column.values, list):
        return np.fromiter(column.values, dtype=object, count=len(column.values))
    if column.missing is None or column.values.dtype.kind not in "biuf":
        return np.asarray(column.values)
    return np.where(column.missing, np.nan, column.values)


def _joined(parts: list[NDArray[Any]], kind: type = int) -> NDArray[Any]:
    import numpy as np

    return parts[0] if len(parts) == 1 else np.concatenate(parts) if parts else np.empty(0, kind)


# Scores and labels


def _calibration(
    table: Table, bins: NumericBins | LevelBins | None, scores: NDArray[Any] | None, labels: Any, threshold: float
) -> CalibrationTable | None:
    if labels is None or (scores is None and isinstance(labels, str)):
        return None
    if scores is None:
        raise InvalidRequest("Labels alone calibrate nothing.", hint="Give scores, too.")
    import numpy as np

    truth = _one_a_row(table, labels, "labels")
    if scores.dtype.kind not in "biuf" or truth.dtype.kind not in "biuf":
        raise InvalidRequest(
            "Scores and labels that make a calibration table are numbers.",
            hint="Give probabilities and labels 0 or 1, or scores without labels.",
        )
    order = np.lexsort((truth, scores))  # sums of scores must not depend on the order of rows
    return calibration_of(bins, scores[order], truth[order], threshold)


def _one_a_row(table: Table, given: Any, what: str) -> NDArray[Any]:
    """Scores or labels as an array, from a column of the table or as they were given."""
    import numpy as np

    if isinstance(given, str):
        parts = list(table.read(given))
        reason = _reason({kind for part in parts for kind in _kinds(part)})
        if reason:
            raise InvalidRequest(f"Column {shown(given)} holds {reason}, which are no {what}.")
        return _joined([_numbers(part) for part in parts], float)
    array = np.asarray(given)
    if array.ndim == 2 and array.shape[1] == 1:  # noqa: PLR2004
        array = array[:, 0]
    if array.shape != (table.rows,):
        hint = f"Give one of the {what} a row."
        if array.ndim == 2:  # noqa: PLR2004
            hint = "Of probabilities by class give those of one class: probabilities[:, 1]."
        raise InvalidRequest(f"The {what} have the shape {array.shape}; there are {table.rows:,} rows.", hint=hint)
    return array


# Other rows


def names_of_levels(profile: Profile, scores: Any = None) -> list[str]:
    """Columns that a file of texts must give as they stand there, for they are levels of the reference; with that of the scores."""
    names = [column.name for column in profile.columns if isinstance(column, LevelBins)]
    return [*names, scores] if isinstance(scores, str) and isinstance(profile.scores, LevelBins) else names


def count_table(profile: Profile, table: Table, *, scores: Any = None) -> Counts:
    """Counts of a table's rows in the bins of a profile, column after column.

    Parameters
    ----------
    profile
        Its columns must all be there; others are not looked at.
    table
        The rows.
    scores
        The model's answers on the rows, shape (n,), or the column that holds them.

    Raises
    ------
    InvalidRequest
        When a column holds something else than it did, or there are scores and the profile has none.
    NotFound
        When a column is not there.
    """
    if scores is not None and profile.scores is None:
        raise InvalidRequest("The profile has no scores.", hint="Register with scores= to have them compared.")
    columns = tuple(_counted(column, table.read(column.name), table.rows) for column in profile.columns)
    answers = None
    if scores is not None and profile.scores is not None:
        is_written = isinstance(scores, str) and table.read(scores).is_written
        answers = count_values(profile.scores, _one_a_row(table, scores, "scores"), is_written=is_written)
    return Counts(profile=profile.digest, rows=table.rows, columns=columns, scores=answers)


def _counted(bins: NumericBins | LevelBins, parts: Parts, rows: int) -> ColumnCounts:
    import numpy as np

    if isinstance(bins, LevelBins):
        reason = "" if parts.is_text else _reason({kind for part in parts for kind in _kinds(part)})
        if reason:
            raise InvalidRequest(
                f"Column {bins.name!r} holds {reason}, and levels in the reference.",
                hint="Give the column as it was when the profile was made.",
            )
        counted = count_levels(bins, parts.level_counts(), is_written=parts.is_written)
    else:
        counted = count_values(bins, np.empty(0))
        for column in parts:
            counted += count_values(bins, _as_in_reference(bins, column))
    if counted.rows != rows:
        raise InvalidRequest(f"Column {bins.name!r} has {counted.rows:,} of {rows:,} rows.", hint="Try again.")
    return counted


def _as_in_reference(bins: NumericBins, column: Column) -> NDArray[Any]:
    """Numbers for a reference of numbers, also where they came as texts: `InvalidRequest` names one that is none."""
    import numpy as np

    values = _numbers(column)
    if column.type not in ("string", "category") or not isinstance(column.values, list):
        return values
    found = np.empty(len(column.values))
    for i, value in enumerate(column.values):
        try:
            found[i] = np.nan if value is None or value == "" else float(value)
        except (TypeError, ValueError) as error:
            raise InvalidRequest(
                f"Column {shown(bins.name)} holds texts such as {shown(str(value))}, and numbers in the reference.",
                hint="Give the column as it was when the profile was made, or leave it out: without=… (--without).",
            ) from error
    return found
