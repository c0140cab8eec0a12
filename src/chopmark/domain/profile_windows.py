"""What requests and answers looked like, hour by hour: counts in the bins of a version's reference profile; they add up."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from uuid import UUID

import msgspec
from msgspec import structs

from chopmark.base.clock import to_us
from chopmark.domain.names import check_text
from chopmark.domain.outcome_tiers import beginning
from chopmark.errors import InvalidRequest
from chopmark.stats.profile import Counts, Profile

__all__ = [
    "PROFILE_COLUMNS_MAX",
    "ProfileWindow",
    "added_up",
    "check_profile_window",
    "counted_profile",
    "without_columns",
]

PROFILE_COLUMNS_MAX = 200
"""Columns that a gateway counts; of a wider profile the first so many."""

_VARIANT_LENGTH_MAX = 200


class ProfileWindow(msgspec.Struct, frozen=True, kw_only=True):
    """Samples of one variant's requests in one hour, counted in the bins of its version's profile.

    Attributes
    ----------
    endpoint, version
        Ids.
    variant
        Its name.
    start
        When the hour began.
    counts
        By column of the profile, and of the answers where the profile has some.
    """

    endpoint: UUID
    version: UUID
    variant: str
    start: datetime
    counts: Counts

    def __repr__(self) -> str:
        return f"<profile of {self.counts.rows:,} rows · {self.variant} · {self.start:%Y-%m-%d %H:%M} UTC>"


def check_profile_window(window: ProfileWindow) -> ProfileWindow:
    """The window, once it can be kept.

    Raises
    ------
    InvalidRequest
        When it does not begin with an hour, has too many columns, or a name that cannot be kept.
    """
    check_text(window.variant, "variant", _VARIANT_LENGTH_MAX)
    to_us(window.start)  # refuses a time without zone
    if window.start != beginning(window.start, "hour"):
        raise InvalidRequest(f"A profile's window begins with an hour, not at {window.start.isoformat()}.")
    if len(window.counts.columns) > PROFILE_COLUMNS_MAX:
        raise InvalidRequest(f"{len(window.counts.columns):,} columns are more than {PROFILE_COLUMNS_MAX}.")
    return window


def counted_profile(profile: Profile, names: Collection[str], *, with_scores: bool = True) -> Profile:
    """The part of a version's profile that is counted: its columns of these names, at most `PROFILE_COLUMNS_MAX`.

    With the names of a window's columns it is the profile whose bins that window has counted, and by which it is judged.
    """
    columns = tuple(column for column in profile.columns if column.name in names)[:PROFILE_COLUMNS_MAX]
    return structs.replace(profile, columns=columns, scores=profile.scores if with_scores else None)


def without_columns(window: ProfileWindow) -> ProfileWindow:
    """The same with the answers only."""
    return structs.replace(window, counts=structs.replace(window.counts, columns=()))


def added_up(windows: Iterable[ProfileWindow]) -> dict[tuple[UUID, str], ProfileWindow]:
    """Sums by version and variant; of counts in the bins of different profiles, those of the newest."""
    found: dict[tuple[UUID, str], ProfileWindow] = {}
    for window in sorted(windows, key=lambda each: each.start, reverse=True):
        key = (window.version, window.variant)
        known = found.get(key)
        if known is None:
            found[key] = window
        elif known.counts.profile == window.counts.profile:
            found[key] = structs.replace(known, start=window.start, counts=known.counts + window.counts)
    return found
