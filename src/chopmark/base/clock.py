"""Time comes in as an argument: a clock is any callable that returns an aware UTC time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from chopmark.errors import InvalidRequest

__all__ = ["Clock", "FakeClock", "from_us", "later", "parse_time", "system_clock", "to_us"]

Clock = Callable[[], datetime]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)
_FIRST_US = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // _US
_LAST_US = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _US


def system_clock() -> datetime:
    """The machine's time, aware, in UTC."""
    return datetime.now(UTC)


class FakeClock:
    """A clock that moves only when told to; for tests and simulations.

    Parameters
    ----------
    start
        First time returned (aware).
    step
        How far each reading moves the clock; zero keeps it still.
    """

    def __init__(
        self,
        start: datetime = datetime(2026, 1, 1, tzinfo=UTC),
        step: timedelta = timedelta(0),
    ) -> None:
        self.now = start
        self.step = step

    def __call__(self) -> datetime:
        """Return the present fake time, then move on by ``step``."""
        now = self.now
        self.now = now + self.step
        return now

    def advance(self, by: timedelta) -> None:
        """Move the clock (backwards too, when ``by`` is negative)."""
        self.now = self.now + by


def later(now: datetime, *others: datetime) -> datetime:
    """``now``, or one microsecond after the latest of the others when the clock stands behind it."""
    return max([now, *(other + _US for other in others)])


def to_us(time: datetime) -> int:
    """Microseconds since 1970-01-01 UTC of an aware time; exact.

    Raises
    ------
    InvalidRequest
        When the time has no zone: a naive time means something else on every machine. Also when its zone puts it
        outside the years 1 to 9999 of UTC, where it could be written and never be read.
    """
    if time.tzinfo is None:
        msg = f"The time {time.isoformat()} has no time zone."
        raise InvalidRequest(msg, hint="Pass an aware time, for example with tzinfo=UTC.")
    us = (time - _EPOCH) // _US
    if not _FIRST_US <= us <= _LAST_US:
        msg = f"The time {time.isoformat()} lies outside the years 1 to 9999 of UTC."
        raise InvalidRequest(msg, hint="Choose a time that is nearer.")
    return us


def from_us(us: int) -> datetime:
    """Aware UTC time of microseconds since 1970-01-01 UTC."""
    return _EPOCH + us * _US


def parse_time(text: str) -> datetime:
    """Read an ISO 8601 time or date; a date or a time without zone is taken as UTC.

    Raises
    ------
    InvalidRequest
        When the text is no ISO 8601 time.
    """
    try:
        time = datetime.fromisoformat(text)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        msg = f"{text[:60]!r} is not a time."
        raise InvalidRequest(msg, hint="Write it like 2026-03-03 or 2026-03-03T14:00Z.") from error
