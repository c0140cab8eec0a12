"""When a schedule in cron's notation is due, as Debian's cron understands it, daylight saving included.

Day of month and day of week are joined by OR when neither begins with a star, and Sunday is 0 and 7. A job at a fixed time that a
clock skips in spring runs once, right after the gap; one in the hour that autumn repeats runs once, the first time. Jobs whose
minute or hour begins with a star follow the clock: through both repeated hours, and never at a time that does not exist.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from chopmark.base.wording import within_sentence
from chopmark.errors import InvalidRequest, Unsupported

__all__ = ["check_expression", "next_times", "zone_of"]

_FIELDS = 5
_EXPRESSION_LENGTH_MAX = 200
_TIMES_MAX = 10_000

# What Debian's cron calls by a name; `@reboot` is no time, and is refused with everything else that is unknown.
_NAMED = {
    "@annually": "0 0 1 1 *",
    "@daily": "0 0 * * *",
    "@hourly": "0 * * * *",
    "@midnight": "0 0 * * *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@yearly": "0 0 1 1 *",
}
# A year with a 29 February on each day of the week follows within forty years of this one.
_PROBE = datetime(2001, 1, 1, tzinfo=UTC)


def next_times(expression: str, after: datetime, zone: str = "UTC", count: int = 1) -> tuple[datetime, ...]:
    """Times at which a schedule is due next, in UTC.

    Parameters
    ----------
    expression
        Minute, hour, day of month, month, day of week; or a name such as ``@daily``.
    after
        Aware. A time that is due exactly then is not among the answers.
    zone
        IANA name of the time zone whose clock the expression means.
    count
        How many times, at most 10,000; fewer are answered when no more come within 50 years.

    Raises
    ------
    InvalidRequest
        When the expression or the zone is none, the dates never come (30 February), or ``after`` has no zone.
    Unsupported
        When the library that reads expressions is not installed.

    Examples
    --------
    >>> [str(t) for t in next_times("30 2 * * *", datetime(2026, 3, 28, 12, tzinfo=UTC), "Europe/Berlin", count=2)]
    ['2026-03-29 01:00:00+00:00', '2026-03-30 00:30:00+00:00']
    """
    if after.tzinfo is None:
        raise InvalidRequest("The time to begin at has no zone.", hint="Give an aware time, such as one in UTC.")
    if not 1 <= count <= _TIMES_MAX:
        raise InvalidRequest(f"{count:,} times cannot be given.", hint=f"Ask for 1 to {_TIMES_MAX:,}.")
    local = after.astimezone(zone_of(zone))
    found: list[datetime] = []
    for due in _due(check_expression(expression), local):
        found.append(due)
        if len(found) == count:
            break
    return tuple(found)


def check_expression(expression: str) -> str:
    """Return the five fields of an expression, once they can be meant and come to pass.

    Raises
    ------
    InvalidRequest
        Naming the field, or saying that the dates never come.
    Unsupported
        When the library that reads expressions is not installed.

    Examples
    --------
    >>> check_expression("@weekly")
    '0 0 * * 0'
    """
    if len(expression) > _EXPRESSION_LENGTH_MAX:
        raise InvalidRequest(
            f"A cron expression of {len(expression):,} characters is too long.",
            hint=f"Use at most {_EXPRESSION_LENGTH_MAX}.",
        )
    fields = _NAMED.get(expression.strip().lower(), expression).split()
    if len(fields) != _FIELDS:
        raise InvalidRequest(
            f"{expression!r} is no cron expression: it has {len(fields)} of {_FIELDS} fields.",
            hint="Write minute, hour, day of month, month and day of week, such as 30 2 * * 1-5; or one of "
            + ", ".join(sorted(_NAMED))
            + ".",
        )
    checked = " ".join(fields)
    _check_dates(checked)
    return checked


def _check_dates(expression: str) -> None:
    try:
        comes = next(_times(expression, _PROBE), None) is not None
    except InvalidRequest:
        # The library says "bad day" of 30 February too; the month and, in January, the day are good ones.
        minute, hour, day, month, weekday = expression.split()
        if not (_is_read(f"{minute} {hour} {day} 1 {weekday}") and _is_read(f"0 0 1 {month} *")):
            raise
        comes = False
    if not comes:
        raise InvalidRequest(
            f"{expression!r} is never due: no such date comes.",
            hint="Choose a day that the month has, such as 28 for February.",
        )


def _is_read(expression: str) -> bool:
    try:
        next(_times(expression, _PROBE), None)
    except InvalidRequest:
        return False
    return True


def zone_of(name: str) -> ZoneInfo:
    """Time zone of an IANA name.

    Raises
    ------
    InvalidRequest
        When there is none of that name.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:  # a name that is a directory is an OSError
        raise InvalidRequest(
            f"There is no time zone {name[:80]!r}.", hint="Use an IANA name such as Europe/Berlin, or UTC."
        ) from error


def _due(expression: str, after: datetime) -> Iterator[datetime]:
    """Times in UTC, each later than the one before, and only those that the zone's clock shows.

    The library counts in local time, so a start within a repeated hour may give the hour's first pass, which is over; and where a
    clock skips midnight it may name that midnight.
    """
    last = after.astimezone(UTC)
    follows_clock = any(field.startswith("*") for field in expression.split()[:2])
    for time in _times(expression, after):
        due = time.astimezone(UTC)
        skipped = follows_clock and due.astimezone(time.tzinfo).replace(tzinfo=None) != time.replace(tzinfo=None)
        if due > last and not skipped:
            last = due
            yield due


def _times(expression: str, after: datetime) -> Iterator[datetime]:
    try:
        from cronsim import CronSim, CronSimError
    except ImportError as error:
        raise Unsupported("Schedules need the library cronsim.", hint="pip install 'chopmark[schedules]'") from error
    try:
        yield from CronSim(expression, after)
    except CronSimError as error:
        raise InvalidRequest(
            f"{expression!r} is no cron expression: {within_sentence(str(error))}.",
            hint="Write minute, hour, day of month, month and day of week, such as 30 2 * * 1-5.",
        ) from error
    except OverflowError:  # the calendar ends with the year 9999
        return
