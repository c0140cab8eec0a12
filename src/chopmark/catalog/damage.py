"""Rows that cannot be read: told as damage of the catalog, not as a fault of the reader.

SQLite keeps in any column what somebody put there, of any type, and a text that was JSON once is a
text still. So what becomes of a row is checked where it is read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from chopmark.errors import IntegrityFailure

__all__ = ["row_of"]

T = TypeVar("T")
Row = tuple[Any, ...]

_TYPES: dict[str, tuple[type, ...]] = {
    "b": (bytes,),
    "i": (int,),
    "f": (float, int),
    "s": (str,),
    "B": (bytes, type(None)),
    "I": (int, type(None)),
    "S": (str, type(None)),
}
_UNREADABLE = (msgspec.MsgspecError, ValueError, TypeError, KeyError, OverflowError)


def row_of(what: str, types: str) -> Callable[[Callable[[Row], T]], Callable[[Row], T]]:
    """A function that reads a row, which raises `IntegrityFailure` when the row cannot be read.

    Parameters
    ----------
    what
        What the row tells of: ``a version``.
    types
        A letter for each column: ``b`` bytes, ``i`` integer, ``f`` number, ``s`` text; ``B``, ``I`` and ``S`` with None.
    """
    allowed = [_TYPES[letter] for letter in types]
    right: set[tuple[type, ...]] = set()  # few: one for each choice of columns that are None

    def check(row: Row) -> None:
        found = tuple(map(type, row))
        if found in right:
            return
        for number, (kind, kinds) in enumerate(zip(found, allowed, strict=True), 1):
            if kind not in kinds:
                raise _damaged(what, f"column {number} holds {kind.__name__}, not {kinds[0].__name__}")
        right.add(found)

    def reads(read: Callable[[Row], T]) -> Callable[[Row], T]:
        def checked(row: Row) -> T:
            check(row)
            try:
                return read(row)
            except _UNREADABLE as error:
                raise _damaged(what, str(error)) from error

        return checked

    return reads


def _damaged(what: str, reason: str) -> IntegrityFailure:
    msg = f"The catalog is damaged: the row of {what} cannot be read ({reason})."
    return IntegrityFailure(msg, hint="Restore the catalog from a backup.")
