"""What the verbs about loads are asked with, and what they answer."""

from __future__ import annotations

from datetime import date
from uuid import UUID

import msgspec

from chopmark.base.paging import PAGE_SIZE
from chopmark.domain.usage import LoadCount
from chopmark.ops.requests import Request

__all__ = ["DailyLoads", "ListUsage", "RecordUsage", "Recorded", "UsagePage"]


class DailyLoads(msgspec.Struct, frozen=True, kw_only=True):
    """Loads of one version on one day (UTC)."""

    version: UUID
    day: date
    count: int = 1


class RecordUsage(Request, frozen=True, kw_only=True):
    """Add loads to those that were counted; at most 1,000 entries; versions that are gone are passed over.

    Of a day that is to come by the server's clock, they count as today's.
    """

    loads: tuple[DailyLoads, ...]


class Recorded(msgspec.Struct, frozen=True):
    """How many loads were added."""

    loads: int


class ListUsage(Request, frozen=True, kw_only=True):
    """A page of the loads of a model, or of one of its versions, newest day first.

    Attributes
    ----------
    ref
        A model, or a reference with a selector for one version.
    since, until
        First and last day, both included.
    """

    ref: str
    since: date | None = None
    until: date | None = None
    limit: int = PAGE_SIZE
    cursor: str = ""


class UsagePage(msgspec.Struct, frozen=True, kw_only=True):
    """Loads by version and day, and the cursor of the next page."""

    items: list[LoadCount]
    cursor: str = ""
