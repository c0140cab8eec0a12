"""Retention: which versions of a model stay, and why; level-triggered, from the state as it is."""

from __future__ import annotations

import msgspec

__all__ = ["Retention"]


class Retention(msgspec.Struct, frozen=True, omit_defaults=True):
    """How many versions of a model are kept, and for how long.

    A version stays when any of the rules keeps it; with no rule every version stays. Those in
    production or canary, aliased, deployed, or needed by one that stays are kept whatever it says.

    Attributes
    ----------
    newest
        Keep that many of the highest numbers.
    days
        Keep what was made within so many days.
    used_days
        Keep what was loaded within so many days.
    """

    newest: int | None = None
    days: int | None = None
    used_days: int | None = None
