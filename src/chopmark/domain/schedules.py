"""When work is due: schedules, their firings, and what becomes of those that were missed; pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple

import msgspec
from msgspec import structs

from chopmark.domain.cron import check_expression, next_times, zone_of
from chopmark.domain.job_kinds import check_arguments
from chopmark.domain.names import check_name

__all__ = [
    "DEFAULT_SCHEDULES",
    "FIRINGS_MAX",
    "LATE_S",
    "DefaultSchedule",
    "Fired",
    "Misfire",
    "Schedule",
    "check_schedule",
    "fired",
    "paused",
    "planned",
    "resumed",
]

Misfire = Literal["skip", "once", "all"]

LATE_S = 300.0
"""A firing that is later than this was missed: no worker ran at its time."""

FIRINGS_MAX = 500
"""Firings that one look at a schedule makes up for, at most; the next look goes on with the rest."""

_SEARCHED_AT_ONCE = 64


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """When a kind of work is done.

    Attributes
    ----------
    name
        Of the schedule.
    kind, arguments
        What is done (`chopmark.domain.job_kinds`).
    cron, zone
        When, by the clock of an IANA time zone (`chopmark.domain.cron`).
    enabled
        Whether it fires.
    misfire
        What becomes of firings at which no worker ran: ``skip``: nothing; ``once``: one job for all of them; ``all``: a
        job for each.
    next_at
        When it fires next; None while it is paused, and when its dates have come to an end.
    """

    name: str
    kind: str
    cron: str
    zone: str = "UTC"
    arguments: dict[str, Any] = {}
    enabled: bool = True
    misfire: Misfire = "once"
    next_at: datetime | None = None
    updated_at: datetime
    updated_by: str = ""

    def __repr__(self) -> str:
        when = f"next {self.next_at:%Y-%m-%d %H:%M} UTC" if self.next_at else "paused"
        return f"<schedule {self.name} · {self.kind} · {self.cron} ({self.zone}) · {when}>"


class DefaultSchedule(NamedTuple):
    """A schedule that a server makes when it first starts."""

    name: str
    kind: str
    cron: str
    enabled: bool


DEFAULT_SCHEDULES = (
    DefaultSchedule("integrity", "integrity", "17 3 * * *", enabled=True),
    DefaultSchedule("expiry", "expiry", "41 2 * * *", enabled=True),
    DefaultSchedule("rollup", "rollup", "11 * * * *", enabled=True),
    # Off: nobody expects that anything is deleted without being asked for.
    DefaultSchedule("retention", "retention", "29 4 * * *", enabled=False),
)


class Fired(NamedTuple):
    """Firings that are due as jobs now, oldest first, and the schedule as it goes on."""

    at: tuple[datetime, ...]
    schedule: Schedule


def check_schedule(schedule: Schedule, now: datetime) -> Schedule:
    """The schedule, once it can be meant, with its next firing after ``now``.

    Raises
    ------
    InvalidRequest
        When its name, kind, arguments, zone or cron expression cannot be meant, or it never fires.
    """
    check_name(schedule.name, "schedule")
    zone_of(schedule.zone)
    arguments = check_arguments(schedule.kind, schedule.arguments)
    return planned(structs.replace(schedule, cron=check_expression(schedule.cron), arguments=arguments), now)


def planned(schedule: Schedule, now: datetime) -> Schedule:
    """The schedule with its next firing after ``now``, none while it is paused."""
    times = next_times(schedule.cron, now, schedule.zone) if schedule.enabled else ()
    return structs.replace(schedule, next_at=times[0] if times else None)


def paused(schedule: Schedule, now: datetime, by: str) -> Schedule:
    """The schedule when it fires no more."""
    return structs.replace(schedule, enabled=False, next_at=None, updated_at=now, updated_by=by)


def resumed(schedule: Schedule, now: datetime, by: str) -> Schedule:
    """The schedule when it fires again; what fell into the pause was not missed, and is not made up for."""
    if schedule.enabled:
        return schedule
    return planned(structs.replace(schedule, enabled=True, updated_at=now, updated_by=by), now)


def fired(schedule: Schedule, now: datetime, late_s: float = LATE_S) -> Fired:
    """What a schedule makes due at a time.

    Parameters
    ----------
    schedule
        As it is stored: what is due is decided by its ``next_at``, never by when anybody looked last.
    now
        By the clock that leases are compared by. One that was set back makes nothing due twice.
    late_s
        A firing that is later than this was missed, and its misfire policy decides.

    Examples
    --------
    >>> from datetime import UTC
    >>> day = datetime(2026, 3, 3, tzinfo=UTC)
    >>> daily = Schedule(name="s", kind="expiry", cron="0 3 * * *", updated_at=day, next_at=day.replace(hour=3))
    >>> [str(time) for time in fired(daily, day.replace(day=6)).at]  # three were missed
    ['2026-03-05 03:00:00+00:00']
    """
    if not schedule.enabled or schedule.next_at is None or schedule.next_at > now:
        return Fired((), schedule)
    due, following = _due_until(schedule, schedule.next_at, now)
    on_time = tuple(time for time in due if time >= now - timedelta(seconds=late_s))
    match schedule.misfire:
        case "all":
            chosen = tuple(due)
        case "skip":
            chosen = on_time
        case "once":
            chosen = on_time or tuple(due[-1:])
    return Fired(chosen, structs.replace(schedule, next_at=following))


def _due_until(schedule: Schedule, first: datetime, now: datetime) -> tuple[list[datetime], datetime | None]:
    """Firings from the first to now, and the one that follows; of many the oldest for ``all``, else the newest."""
    due, limit = [first], FIRINGS_MAX
    while len(due) < limit:
        more = next_times(schedule.cron, due[-1], schedule.zone, _SEARCHED_AT_ONCE)
        due += [time for time in more if time <= now]
        later = [time for time in more if time > now]
        if later or not more:
            return due, later[0] if later else None
    if schedule.misfire == "all":
        return due[:limit], _after(schedule, due[limit - 1])
    # A schedule of each minute that nobody looked at for a year: its newest firings are found from now backwards.
    return _newest(schedule, now), _after(schedule, now)


def _newest(schedule: Schedule, now: datetime) -> list[datetime]:
    step = timedelta(minutes=10)
    while True:
        found = [time for time in next_times(schedule.cron, now - step, schedule.zone, FIRINGS_MAX) if time <= now]
        if found:
            return found
        step *= 2


def _after(schedule: Schedule, time: datetime) -> datetime | None:
    return next(iter(next_times(schedule.cron, time, schedule.zone)), None)
