"""Lengths of time as people write them; pure."""

from __future__ import annotations

import math
import re
from datetime import timedelta

from chopmark.domain.names import shown
from chopmark.errors import InvalidRequest

__all__ = ["Duration", "seconds_of"]

Duration = float | str | timedelta

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 7 * 86_400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|min|m|h|d|w)")
_WHOLE = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|min|m|h|d|w))+")
_HINT = "Write it like 30s, 10m, 1h30m or 2d, or as a number of seconds."


def seconds_of(length: Duration, what: str = "It") -> float:
    """A length of time in seconds.

    Parameters
    ----------
    what
        What it is of, for who gave it wrongly.

    Raises
    ------
    InvalidRequest
        When it is none, or negative.

    Examples
    --------
    >>> seconds_of("10m"), seconds_of("1h30m"), seconds_of(45), seconds_of("0.5s")
    (600.0, 5400.0, 45.0, 0.5)
    """
    if isinstance(length, timedelta):
        seconds = length.total_seconds()
    elif isinstance(length, str):
        text = length.strip()
        if _WHOLE.fullmatch(text):
            seconds = sum(float(count) * _UNITS_S[unit] for count, unit in _PART.findall(text))
        else:
            try:
                seconds = float(text)
            except ValueError as error:
                raise InvalidRequest(f"{what} is {shown(length)}, which is no length of time.", hint=_HINT) from error
    elif not isinstance(length, bool) and isinstance(length, (int, float)):
        seconds = float(length)
    else:
        raise InvalidRequest(f"{what} is a {type(length).__name__}, which is no length of time.", hint=_HINT)
    if not math.isfinite(seconds) or seconds < 0:
        raise InvalidRequest(f"{what} is {length!r}, which is no length of time.", hint=_HINT)
    return seconds
