"""What one check of ``chopmark doctor`` found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec

from chopmark.errors import ChopmarkError

__all__ = ["Check", "failed", "guarded"]


class Check(msgspec.Struct, frozen=True):
    """What one check found.

    Attributes
    ----------
    name
        What was looked at.
    status
        ``ok``, ``warn`` (it works, for now) or ``fail``.
    finding
        What is there.
    advice
        What to do; empty when nothing is.
    """

    name: str
    status: Literal["ok", "warn", "fail"]
    finding: str
    advice: str = ""


def failed(name: str, error: Exception) -> Check:
    """An error as what was found."""
    if isinstance(error, ChopmarkError):
        return Check(name, "fail", error.message, error.hint)
    return Check(name, "fail", f"{type(error).__name__}: {error}")


def guarded(name: str, check: Callable[[], Check]) -> Check:
    """The check's answer, or its error as one: the next check must still be made."""
    try:
        return check()
    except (ChopmarkError, OSError) as error:
        return failed(name, error)
