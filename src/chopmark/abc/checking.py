"""What a check of the registry asks of a catalog: rows as they are stored, and where they contradict each other."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID

import msgspec

from chopmark.domain.lineage import Edge
from chopmark.domain.versions import Version

__all__ = ["UNREADABLE_TIME", "CheckedModel", "CheckedVersion", "Rows"]


UNREADABLE_TIME = datetime.min.replace(tzinfo=UTC)


class CheckedVersion(msgspec.Struct, frozen=True):
    """A version, and what is wrong with its rows.

    Attributes
    ----------
    key
        Goes up from one to the next; pass the last one to go on.
    ref
        Of the version, as far as its row tells.
    version
        None when its row cannot be read.
    faults
        Where columns, and the rows of metrics, parameters, tags, words and files, are not what the
        version's record says; each in words.
    """

    key: int
    ref: str
    version: Version | None
    faults: tuple[str, ...]


class CheckedModel(msgspec.Struct, frozen=True):
    """A model's numbers, and every alias that it ever had.

    Attributes
    ----------
    key
        Goes up from one to the next; pass the last one to go on.
    id
        None when its row cannot be read; the numbers say nothing then.
    ref
        As far as its row tells.
    last_number, highest_number
        The last number given, by its row; the highest of its versions.
    """

    key: int
    id: UUID | None
    ref: str
    last_number: int
    highest_number: int
    alias_names: tuple[str, ...]


class Rows(Protocol):
    """Rows as they are stored; nothing here raises for what is wrong with them."""

    def versions(self, *, after: int = 0, limit: int) -> list[CheckedVersion]:
        """Versions by key, soft-deleted too."""
        ...

    def models(self, *, after: int = 0, limit: int) -> list[CheckedModel]:
        """Models by key, soft-deleted too."""
        ...

    def edges(self, *, after: int = 0, limit: int) -> list[tuple[int, Edge]]:
        """Lineage edges by key; a word that is no text as it prints, a time that is none as `UNREADABLE_TIME`."""
        ...

    def missing(self, ids: Sequence[UUID]) -> set[UUID]:
        """Those of the ids that are no version's; the rows themselves are not read."""
        ...

    def orphans(self) -> list[str]:
        """Rows that belong to something that is not there, in words: so many rows of such a table."""
        ...
