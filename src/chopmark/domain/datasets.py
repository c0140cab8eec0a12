"""Data sets as versions refer to them: where the data is, which it was, and what it looked like."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection
from datetime import datetime

import msgspec

from chopmark.domain.manifest import check_path
from chopmark.errors import InvalidRequest

__all__ = ["ColumnProfile", "DatasetRecord", "DatasetRef", "profile_name", "profile_path"]

_NAME_LENGTH_MAX = 100
_UNNAMED = "data"


class ColumnProfile(msgspec.Struct, frozen=True, omit_defaults=True):
    """Statistics of one column.

    Attributes
    ----------
    name, type
        As in a signature's field.
    missing
        Count of missing values.
    distinct
        Count of distinct values, when it was counted.
    minimum, maximum, mean, standard_deviation
        Of the finite values of a numeric column (sample standard deviation, n - 1).
    top
        Most frequent values of a column of texts or categories, with their counts.
    """

    name: str
    type: str
    missing: int = 0
    distinct: int | None = None
    minimum: float | None = None
    maximum: float | None = None
    mean: float | None = None
    standard_deviation: float | None = None
    top: dict[str, int] = {}


class DatasetRef(msgspec.Struct, frozen=True, omit_defaults=True):
    """A data set that a version was trained or evaluated on.

    Attributes
    ----------
    name
        What people call it.
    digest
        SHA-256 of its content (see `chopmark.formats.data` for what is hashed).
    uri
        Where it is, when it is somewhere.
    version
        Its version at its owner's.
    split
        Which part: ``train``, ``test`` …
    relation
        ``trained_on`` or ``evaluated_on``.
    row_count
        Rows, when it has rows.
    columns
        Schema and statistics by column.
    """

    name: str
    digest: str = ""
    uri: str = ""
    version: str = ""
    split: str = ""
    relation: str = "trained_on"
    row_count: int | None = None
    columns: tuple[ColumnProfile, ...] = ()


class DatasetRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A data set that the registry knows, because a version was trained or evaluated on it.

    Attributes
    ----------
    node
        What it is in the lineage: ``dataset:<digest, or address or name and version>``.
    dataset
        As it was described when it was first named.
    at
        When that was.
    """

    node: str
    dataset: DatasetRef
    at: datetime

    @property
    def name(self) -> str:
        """What people call it."""
        return self.dataset.name

    @property
    def which(self) -> str:
        """What tells it from others of its name: its digest, else its version, else where it is."""
        version = f"version {self.dataset.version}" if self.dataset.version else ""
        return self.dataset.digest[:19] or version or self.dataset.uri

    def __repr__(self) -> str:
        rows = "" if self.dataset.row_count is None else f" · {self.dataset.row_count:,} rows"
        return f"<data set {self.name} · {self.which}{rows} · known since {self.at:%Y-%m-%d %H:%M} UTC>"


def profile_path(name: str, taken: Collection[str] = ()) -> str:
    """Where the profile of a data set stands in a version: ``profile/march.parquet.json``.

    Parameters
    ----------
    name
        Of the data set; empty of one without a name, whose profile is called ``data``. What a file's name cannot have
        becomes ``-``.
    taken
        Paths that others have; a number is added to one that is there already.
    """
    normal = unicodedata.normalize("NFC", name)
    kept = "".join(c if c.isprintable() and c not in '/\\:<>"|?*' else "-" for c in normal)[:_NAME_LENGTH_MAX]
    stem = kept.strip(" .") or _UNNAMED
    if not _is_path(f"profile/{stem}.json"):
        stem = f"{_UNNAMED}-{stem}"
    if not _is_path(f"profile/{stem}.json"):
        stem = _UNNAMED
    folded = {path.casefold() for path in taken}
    path, number = f"profile/{stem}.json", 1
    while path.casefold() in folded:
        number += 1
        path = f"profile/{stem}-{number}.json"
    return path


def profile_name(path: str) -> str:
    """What a profile is asked for by: ``march.parquet`` for ``profile/march.parquet.json``."""
    return path.removeprefix("profile/").removesuffix(".json")


def _is_path(path: str) -> bool:
    try:
        check_path(path)
    except InvalidRequest:
        return False
    return True
