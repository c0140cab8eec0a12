"""How values are written for people: plain text, one notation for times, sizes and pairs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

__all__ = ["FEW_LENGTH", "count", "few", "number", "pairs", "plain", "size", "stamp", "value", "when"]

FEW_LENGTH = 330
"""Characters of a list that a person still reads: five lines of a terminal."""

_KIB = 1024.0


def plain(text: object) -> str:
    """Text that cannot steer a terminal: what is not printable, except line ends, is escaped.

    Descriptions, tags and reasons come from others; an escape sequence in one of them must not
    move the cursor or rewrite what stands above.
    """
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in str(text))


def stamp(time: datetime | None) -> str:
    """Time as in a column whose heading says UTC; empty for None."""
    return "" if time is None else f"{time.astimezone(UTC):%Y-%m-%d %H:%M}"


def when(time: datetime | None) -> str:
    """Time in UTC to the minute; empty for None."""
    return "" if time is None else f"{stamp(time)} UTC"


def size(size_bytes: int) -> str:
    """Size in the unit that fits, with the exact bytes where they say more."""
    if size_bytes < _KIB:
        return f"{size_bytes} bytes"
    scaled, unit = size_bytes / _KIB, "KiB"
    for larger in ("MiB", "GiB", "TiB"):
        if scaled < _KIB:
            break
        scaled, unit = scaled / _KIB, larger
    return f"{scaled:.1f} {unit}"


def number(metric: float) -> str:
    """A metric to six significant digits."""
    return f"{metric:.6g}"


def value(anything: Any) -> str:
    """A JSON value on one line; text without its quotes."""
    if isinstance(anything, str):
        return anything
    if isinstance(anything, float):
        return number(anything)
    if isinstance(anything, datetime):
        return when(anything)
    from chopmark.base.jsons import encode

    return encode(anything).decode()


def pairs(entries: Mapping[str, Any]) -> str:
    """``key=value`` of each entry, separated by commas."""
    return ", ".join(f"{k}={value(v)}" for k, v in entries.items())


def few(parts: Sequence[str], total: int) -> str:
    """Parts with commas between: as many as one reads, and how many of the total are not among them."""
    shown = list(parts)
    while len(shown) > 1 and len(", ".join(shown)) > FEW_LENGTH:
        shown.pop()
    left = total - len(shown)
    return ", ".join(shown) + (f", … {left:,} more with --json" if left else "")


def count(things: int | Iterable[Any], noun: str) -> str:
    """``1 file``, ``2 files``."""
    many = things if isinstance(things, int) else sum(1 for _ in things)
    return f"{many:,} {noun}" if many == 1 else f"{many:,} {noun}s"
