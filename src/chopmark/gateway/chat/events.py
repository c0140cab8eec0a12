"""Server-sent events, taken apart as their bytes come: whole events go on, half ones wait for their rest."""

from __future__ import annotations

import re

__all__ = ["DONE", "EventTooLong", "Events", "data_of", "event_of"]

DONE = b"[DONE]"
"""The data of the event that ends a completion."""

# Two line ends in a row. A `\r` may be half of a `\r\n`, whose rest is then found before the next event, and left out.
_END = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
_LINE = re.compile(rb"\r\n|\n|\r")
_LONGEST_END = 4


class EventTooLong(Exception):
    """An event is longer than it may be."""


class Events:
    """Takes a stream of events apart.

    Parameters
    ----------
    size_bytes_max
        Longest event.
    """

    def __init__(self, size_bytes_max: int) -> None:
        self._size_bytes_max = size_bytes_max
        self._rest = b""
        self._looked_at = 0

    def fed(self, piece: bytes) -> list[bytes]:
        """The events that are whole now, each with the blank line that ends it.

        Raises
        ------
        EventTooLong
            When one is.
        """
        whole: list[bytes] = []
        rest = self._rest + piece if self._rest else piece
        at, begin = 0, max(0, self._looked_at)
        while True:
            while rest[at : at + 1] in (b"\r", b"\n"):  # the half of a line end, or more blank lines than needed
                at += 1
            end = _end(rest, max(at, begin))
            if end < 0:
                break
            whole.append(rest[at:end])
            at = begin = end
        self._rest = rest[at:] if at else rest
        self._looked_at = len(self._rest) - _LONGEST_END
        if len(self._rest) > self._size_bytes_max or any(len(event) > self._size_bytes_max for event in whole):
            raise EventTooLong
        return whole

    @property
    def rest(self) -> bytes:
        """What has come of an event that is not whole."""
        return self._rest


def _end(rest: bytes, begin: int) -> int:
    """Where an event ends; -1 while it does not."""
    if b"\r" not in rest:  # as nearly everybody sends it; a third of the time
        end = rest.find(b"\n\n", begin)
        return end + 2 if end >= 0 else -1
    found = _END.search(rest, begin)
    return found.end() if found is not None else -1


def data_of(event: bytes) -> bytes | None:
    """The data of an event; None for one that has none, such as a comment that keeps a connection open."""
    if (
        event.startswith(b"data: ")
        and event.endswith(b"\n\n")
        and event.count(b"\n", 0, -2) == 0
        and b"\r" not in event
    ):
        return event[6:-2]
    lines = [line[5:].removeprefix(b" ") for line in _LINE.split(event) if line.startswith(b"data:")]
    return b"\n".join(lines) if lines else None


def event_of(data: bytes) -> bytes:
    """An event with this data, which is one line."""
    return b"data: " + data + b"\n\n"
