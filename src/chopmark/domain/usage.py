"""How often versions are loaded: counts per version and day."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, timedelta

import msgspec

from chopmark.domain.names import counted
from chopmark.domain.refs import ModelRef

__all__ = ["LoadCount", "VersionUse", "by_version", "days_until"]


class LoadCount(msgspec.Struct, frozen=True, kw_only=True):
    """How often one version was loaded on one day.

    Attributes
    ----------
    day
        In UTC, by the clock of the process that loaded.
    count
        Loads that were handed over so far; at least 1.
    """

    project: str
    model: str
    number: int
    day: date
    count: int

    @property
    def ref(self) -> str:
        """``[project/]name:number``."""
        return f"{ModelRef(self.project, self.model)}:{self.number}"

    def __repr__(self) -> str:
        return f"<{self.ref} · {self.day} · {counted(self.count, 'load')}>"


class VersionUse(msgspec.Struct, frozen=True, kw_only=True):
    """Loads of one version over some days.

    Attributes
    ----------
    loads
        All of them.
    first_day, last_day
        Earliest and latest day with a load.
    daily
        Loads of each of the days asked about, oldest first; 0 where there were none.
    """

    ref: str
    loads: int
    first_day: date
    last_day: date
    daily: tuple[int, ...]


def by_version(counts: Iterable[LoadCount], days: Sequence[date]) -> list[VersionUse]:
    """Counts put together by version, the one with most loads first.

    Parameters
    ----------
    counts
        In any order.
    days
        Of which `VersionUse.daily` tells.
    """
    found: dict[str, dict[date, int]] = {}
    for each in counts:
        daily = found.setdefault(each.ref, {})
        daily[each.day] = daily.get(each.day, 0) + each.count
    uses = [
        VersionUse(
            ref=ref,
            loads=sum(daily.values()),
            first_day=min(daily),
            last_day=max(daily),
            daily=tuple(daily.get(day, 0) for day in days),
        )
        for ref, daily in found.items()
    ]
    return sorted(uses, key=lambda use: (-use.loads, use.ref))


def days_until(last: date, count: int) -> list[date]:
    """That many days in a row, the last one last."""
    return [last - timedelta(days=back) for back in reversed(range(count))]
