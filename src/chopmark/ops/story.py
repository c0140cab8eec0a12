"""What a version's story is asked with."""

from __future__ import annotations

from chopmark.ops.requests import Request

__all__ = ["TellStory"]


class TellStory(Request, frozen=True, kw_only=True):
    """Everything about a version, read at one moment; soft-deleted versions have a story too."""

    ref: str
