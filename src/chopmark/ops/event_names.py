"""Names of events, and patterns of them, as listeners say them; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from chopmark.domain.cloud_events import is_named
from chopmark.domain.names import check_text, shown
from chopmark.errors import InvalidRequest
from chopmark.ops.table import OPS

__all__ = ["EVENTS", "check_event", "check_events", "hearers"]

T = TypeVar("T")

EVENTS = tuple(sorted({name for op in OPS.values() for name in (op.event, *op.also) if name}))
"""Every event that a change leaves."""

_LENGTH_MAX = 200
_NEAREST = 3


def check_event(name: str) -> str:
    """A name of an event, or a pattern that fits one, itself.

    Parameters
    ----------
    name
        ``version.promoted``, ``version.*``, or ``*`` for all.

    Raises
    ------
    InvalidRequest
        When no event would ever fit it; the hint names the nearest.

    Examples
    --------
    >>> check_event("version.*")
    'version.*'
    """
    check_text(name, "name of an event", _LENGTH_MAX)
    if any(is_named(event, name) for event in EVENTS):
        return name
    raise InvalidRequest(f"There is no event {shown(name)}.", hint=_nearest(name))


def check_events(names: Iterable[str]) -> tuple[str, ...]:
    """Names and patterns of events, each as `check_event` takes it."""
    return tuple(check_event(name) for name in names)


def hearers(listening: Mapping[str, Sequence[T]], event: str) -> list[T]:
    """Those who listen to an event by its name or by a pattern, in the order in which the patterns were first said."""
    there = list(listening.items())  # other threads add to it
    return [each for pattern, those in there if is_named(event, pattern) for each in those]


def _nearest(name: str) -> str:
    from difflib import get_close_matches

    nouns = sorted({event.partition(".")[0] + ".*" for event in EVENTS})
    near = get_close_matches(name, [*EVENTS, *nouns], _NEAREST)
    if near:
        return f"Did you mean {' or '.join(near)}?"
    return f"Name one such as version.promoted, or all of one kind: {', '.join(nouns)}; * is for all."
