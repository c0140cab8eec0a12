"""What a data set looked like when a version was registered, as bins and counts that later data is held against.

`Profile.of` is made once; `Profile.count` bins what is live on the same edges, in any number of batches or replicas whose
counts add up to those of all rows at once: counts exactly, sums to rounding. All are JSON-able values.

>>> profile = Profile.of({"age": [20, 30, 30, 40], "plan": ["free", "free", "pro", None]})
>>> live = profile.count({"age": [30, 50], "plan": ["pro", "team"]})
>>> live.column("age").counts  # below, 20, 30, 40, above, missing
(0, 0, 1, 0, 1, 0)
>>> (live + live).rows
4
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from chopmark.base.digest import digest_of
from chopmark.errors import InvalidRequest, NotFound
from chopmark.stats.binning import BINS_MAX, LEVELS_MAX, ColumnCounts, LevelBins, NumericBins, bins_of, count_values
from chopmark.stats.calibration_table import CalibrationTable
from chopmark.stats.checks import check_count
from chopmark.stats.estimated_accuracy import EstimatedAccuracy, estimated_accuracy

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["COLUMNS_MAX", "Counts", "Profile", "calibration_of"]

COLUMNS_MAX = 10_000
_SCORES = "scores"
_Column = TypeVar("_Column", ColumnCounts, NumericBins | LevelBins)


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """How many values of each column fell into each bin of a profile; they add up with ``+``, in any order.

    Attributes
    ----------
    profile
        Digest of the profile's bins: counts of other bins do not add up.
    rows
        Rows that were counted.
    columns
        In the order of the profile.
    scores
        Of the model's answers, when they were counted.
    """

    profile: str
    rows: int = 0
    columns: tuple[ColumnCounts, ...] = ()
    scores: ColumnCounts | None = None

    def __post_init__(self) -> None:
        check_count("rows", self.rows)
        if any(column.rows != self.rows for column in self.columns):
            raise InvalidRequest("Columns have other numbers of rows.", hint="Count all columns of the same rows.")

    def __add__(self, other: Counts) -> Counts:
        if self.profile != other.profile:
            raise InvalidRequest("The counts are of two profiles.", hint="Count both with the same profile.")
        scores = self.scores + other.scores if self.scores and other.scores else self.scores or other.scores
        columns = tuple(a + b for a, b in zip(self.columns, other.columns, strict=True))
        return Counts(profile=self.profile, rows=self.rows + other.rows, columns=columns, scores=scores)

    def column(self, name: str) -> ColumnCounts:
        """Counts of a column; `NotFound` when there is none of that name."""
        return _named(self.columns, name)


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """Bins of each column of a data set with its own counts in them.

    Attributes
    ----------
    rows
        Rows of the data set.
    columns
        In its order.
    scores
        Bins of the model's answers on it, when they were given.
    calibration
        Table of scores against labels, when both were given; of scores that are numbers, by their bins.
    version
        Of this layout.
    """

    rows: int
    columns: tuple[NumericBins | LevelBins, ...]
    scores: NumericBins | LevelBins | None = None
    calibration: CalibrationTable | None = None
    version: int = 1

    def __post_init__(self) -> None:
        check_count("rows", self.rows)
        if len({column.name for column in self.columns}) != len(self.columns):
            raise InvalidRequest("Two columns have one name.", hint="Give each column a name of its own.")

    @classmethod
    def of(
        cls,
        table: Any,
        *,
        scores: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        threshold: float = 0.5,
        bins: int = BINS_MAX,
        levels: int = LEVELS_MAX,
    ) -> Profile:
        """Profile of a data set.

        Parameters
        ----------
        table
            Mapping of names to arrays of shape (n,), or a data frame. What is numeric and what is missing stands in
            `chopmark.stats.binning`.
        scores
            The model's answers on the rows, shape (n,): probabilities, numbers or classes.
        labels
            What was true, shape (n,): 0 or 1; with scores from 0 to 1 it makes a calibration table.
        threshold
            Score from which a row is called positive; of scores with labels, no bin lies on both sides of it.
        bins, levels
            How many each column has at most.

        Raises
        ------
        InvalidRequest
            When arrays differ in length, hold what is neither numbers nor levels, or are too many.
        """
        if bins < 1 or levels < 1:
            raise InvalidRequest("A column needs a bin and a level at least.", hint="Leave the numbers out for 64.")
        columns, rows = _columns(table)
        answers = None if scores is None else _column(_SCORES, scores, rows)
        if labels is not None and answers is None:
            raise InvalidRequest("Labels alone calibrate nothing.", hint="Give scores, too.")
        split_at = None if labels is None else threshold
        binned = None if answers is None else bins_of(_SCORES, answers, bins=bins, levels=levels, split_at=split_at)
        return cls(
            rows=rows,
            columns=tuple(bins_of(name, values, bins=bins, levels=levels) for name, values in columns.items()),
            scores=binned,
            calibration=None
            if labels is None or answers is None
            else calibration_of(binned, answers, labels, threshold),
        )

    @property
    def digest(self) -> str:
        """Of the bins alone: two profiles with one digest have the same edges and levels."""
        return digest_of(
            msgspec.json.encode([_edges(c) for c in (*self.columns, *([self.scores] if self.scores else []))])
        )

    @property
    def reference(self) -> Counts:
        """Counts of the data set itself."""
        return Counts(
            profile=self.digest,
            rows=self.rows,
            columns=tuple(column.reference for column in self.columns),
            scores=self.scores.reference if self.scores else None,
        )

    def column(self, name: str) -> NumericBins | LevelBins:
        """Bins of a column; `NotFound` when there is none of that name."""
        return _named(self.columns, name)

    def count(self, table: Any, *, scores: ArrayLike | None = None) -> Counts:
        """Counts of other rows in the bins of this profile.

        Parameters
        ----------
        table
            As for `of`; columns that the profile does not have are left out.
        scores
            The model's answers on these rows, when the profile has some.

        Raises
        ------
        InvalidRequest
            When a column of the profile is missing or holds something else than it did.
        """
        columns, rows = _columns(table, wanted=[column.name for column in self.columns])
        counted = tuple(count_values(column, columns[column.name]) for column in self.columns)
        answers = None
        if scores is not None:
            if self.scores is None:
                raise InvalidRequest("The profile has no scores.", hint="Make it with `scores`.")
            answers = count_values(self.scores, _column(_SCORES, scores, rows if columns else None))
            rows = answers.rows
        return Counts(profile=self.digest, rows=rows, columns=counted, scores=answers)

    def estimated_accuracy(self, counts: Counts) -> EstimatedAccuracy:
        """How often the model is expected to be right on rows whose labels are not known, by their scores.

        Parameters
        ----------
        counts
            Of those rows, made with `count` and their scores.

        Returns
        -------
        EstimatedAccuracy
            With an interval, or ``why`` nothing can be said. It cannot see that the same inputs have come to mean something else.

        Raises
        ------
        InvalidRequest
            When the counts are of another profile.
        """
        if counts.profile != self.digest:
            raise InvalidRequest("The counts are of another profile.", hint="Count the data with this profile.")
        return estimated_accuracy(self.scores, self.calibration, counts.scores)


def calibration_of(
    bins: NumericBins | LevelBins | None, scores: ArrayLike, labels: ArrayLike, threshold: float = 0.5
) -> CalibrationTable:
    """Table of scores against labels, by the bins of the scores where they are numbers: what is counted in these has a place in it.

    Parameters
    ----------
    bins
        Of the scores, made with ``split_at=threshold``.
    scores, labels, threshold
        As for `Profile.of`.
    """
    if isinstance(bins, NumericBins):
        return CalibrationTable.within(bins.uppers, scores, labels, threshold=threshold)
    return CalibrationTable.of(scores, labels)


def _named(columns: Iterable[_Column], name: str) -> _Column:
    for column in columns:
        if column.name == name:
            return column
    raise NotFound(f"There is no column {name!r}.", hint="Use one of the names that the profile has.")


def _edges(column: NumericBins | LevelBins) -> tuple[Any, ...]:
    if isinstance(column, NumericBins):
        return column.name, column.minimum, column.uppers, column.mean
    return column.name, column.levels


def _columns(table: Any, wanted: list[str] | None = None) -> tuple[dict[str, NDArray[Any]], int]:
    """Name → array of the columns that are wanted, or of all; and their rows."""
    if isinstance(table, Mapping):
        given = {str(name): name for name in table}
    elif hasattr(table, "columns") and hasattr(table, "__getitem__"):
        is_arrow = hasattr(table, "column_names")
        given = {str(name): name for name in (table.column_names if is_arrow else table.columns)}
    else:
        raise InvalidRequest(
            f"A {type(table).__qualname__} is no table.", hint="Give a mapping of names to arrays, or a data frame."
        )
    missing = [name for name in wanted or () if name not in given]
    if missing:
        raise InvalidRequest(
            f"{len(missing):,} columns of the profile are not there: {', '.join(missing[:5])}.",
            hint="Give all columns that the profile has.",
        )
    names = list(given) if wanted is None else wanted
    if len(names) > COLUMNS_MAX:
        raise InvalidRequest(f"{len(names):,} columns are too many.", hint=f"Give at most {COLUMNS_MAX:,}.")
    found: dict[str, NDArray[Any]] = {}
    rows: int | None = None
    for name in names:
        found[name] = _column(name, table[given[name]], rows)
        rows = len(found[name])
    return found, rows or 0


def _column(name: str, values: Any, rows: int | None) -> NDArray[Any]:
    import numpy as np

    array = np.asarray(values)
    if array.ndim != 1 or (rows is not None and len(array) != rows):
        shape = "a row of values" if rows is None else f"{rows:,} values"
        raise InvalidRequest(f"Column {name!r} has shape {array.shape}, not that of {shape}.", hint="Give one a row.")
    return array
