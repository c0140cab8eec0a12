"""Whether a data set of a new version gets a reference profile, and the profile."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from chopmark.domain.datasets import ColumnProfile, DatasetRef
from chopmark.domain.names import shown
from chopmark.errors import InvalidRequest, NotProfiled

if TYPE_CHECKING:
    from chopmark.formats.data import Described
    from chopmark.formats.profiles import DatasetProfile

__all__ = ["ProfileWishes", "profile_rows", "without_values"]


class ProfileWishes(msgspec.Struct, frozen=True):
    """What was said of the profile of a data set at registration.

    Attributes
    ----------
    profile
        Whether to make one. None: of what was trained on, where there are rows and nothing speaks against it.
    without
        Columns to leave out.
    scores, labels
        The model's answers on the rows and the truth about them, or columns that hold them.
    threshold
        Score from which a row is called positive.
    """

    profile: bool | None = None
    without: Sequence[str] = ()
    scores: Any = None
    labels: Any = None
    threshold: float = 0.5

    @property
    def are_definite(self) -> bool:
        """Whether a profile was asked for, in as many words or by saying what should be in it."""
        return bool(self.profile or self.without) or self.scores is not None or self.labels is not None


def profile_rows(described: Described, wishes: ProfileWishes) -> DatasetProfile | None:
    """The profile of a data set, or None; a warning says when one might be missed.

    Raises
    ------
    InvalidRequest
        When one was asked for and cannot be made.
    """
    if isinstance(wishes.without, str):
        raise InvalidRequest("profile_without is a text.", hint=f"Pass a list: profile_without=[{wishes.without!r}].")
    if wishes.profile is False:
        if wishes.scores is not None or wishes.labels is not None:
            raise InvalidRequest(
                "scores and labels stand in the profile, and profile is False.", hint="Leave them out, or the False."
            )
        return None
    dataset = described.dataset
    if not wishes.are_definite and (dataset.relation != "trained_on" or described.table is None):
        return None
    if described.table is None:
        raise InvalidRequest(
            f"The data set {shown(dataset.name)} has no columns of rows to profile.",
            hint="Pass a data frame, an array, (X, y), or a Parquet or CSV file; a DatasetRef says of which name only.",
        )
    if described.obstacle and not wishes.are_definite:
        _warn(dataset, described.obstacle, "Ask for one with profile=True (--profile).")
        return None
    from chopmark.formats.profiles import profile_of

    made = profile_of(
        described.table(),
        without=wishes.without,
        scores=wishes.scores,
        labels=wishes.labels,
        threshold=wishes.threshold,
    )
    if made is not None:
        return made
    reason = "it has no rows, or no column of numbers or levels"
    if wishes.are_definite:
        raise InvalidRequest(
            f"The data set {shown(dataset.name)} cannot be profiled: {reason}.",
            hint="Pass profile=False (--no-profile) to register without a profile.",
        )
    _warn(dataset, reason, "Pass profile=False (--no-profile) when none is wanted.")
    return None


def _warn(dataset: DatasetRef, reason: str, advice: str) -> None:
    msg = f"No profile of {dataset.name} was made: {reason}. {advice}"
    warnings.warn(msg, NotProfiled, stacklevel=2)


def without_values(dataset: DatasetRef, names: Sequence[str]) -> DatasetRef:
    """The same, saying nothing of the values of some columns: who leaves one out wants none of them kept."""
    columns = tuple(
        ColumnProfile(column.name, column.type, missing=column.missing) if column.name in names else column
        for column in dataset.columns
    )
    return msgspec.structs.replace(dataset, columns=columns)
