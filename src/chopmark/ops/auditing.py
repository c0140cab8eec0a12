"""What the verbs that tell a story from the audit are asked with."""

from __future__ import annotations

from datetime import datetime

from chopmark.base.paging import PAGE_SIZE
from chopmark.ops.requests import Request

__all__ = ["AuditAt", "ReadTrail"]


class ReadTrail(Request, frozen=True, kw_only=True):
    """A page of the events that concern a version, oldest first; of a purged one too, by its number."""

    ref: str
    limit: int = PAGE_SIZE
    cursor: str = ""


class AuditAt(Request, frozen=True, kw_only=True):
    """What the registry looked like at a time, computed from events alone.

    Attributes
    ----------
    of
        A model, or a reference as it would have been answered then; everything when empty.
    project
        Only there.
    """

    at: datetime
    of: str = ""
    project: str | None = None
