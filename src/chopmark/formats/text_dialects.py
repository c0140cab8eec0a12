"""How a table was written as text: what stands between its columns, and in its decimals.

Whoever reads ``a;b`` as one column of texts is told nothing, and nothing in it ever drifts; so the first lines decide, and a header that
does not fit them is refused.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from typing import NamedTuple

from chopmark.errors import InvalidRequest

__all__ = ["HEAD_BYTES", "Dialect", "dialect_of"]

HEAD_BYTES = 65_536
"""What of a file is looked at."""

_DELIMITERS = ",;\t|"
_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_COMMA_DECIMAL = re.compile(r"[-+]?\d+,\d+\Z")
_POINT_DECIMAL = re.compile(r"[-+]?\d*\.\d+\Z")


class Dialect(NamedTuple):
    """What stands between two columns, and before decimals."""

    delimiter: str
    decimal_point: str = "."


def dialect_of(head: bytes, *, usual: str = ",") -> Dialect:
    r"""Dialect of a text by its first lines.

    Parameters
    ----------
    head
        The first bytes of the file; a last line that is cut off is not looked at.
    usual
        The delimiter that the file's name promises, taken where the lines speak for several.

    Raises
    ------
    InvalidRequest
        When the header is one column by the usual delimiter and several by another, and the lines below are not.

    Examples
    --------
    >>> dialect_of(b"age;amount\n30;1,5\n")
    Dialect(delimiter=';', decimal_point=',')
    >>> dialect_of(b'"last; first",age\n"x",3\n')
    Dialect(delimiter=',', decimal_point='.')
    """
    lines = head.decode("utf-8-sig", errors="replace").splitlines(keepends=True)
    if len(head) >= HEAD_BYTES and len(lines) > 1:
        lines.pop()
    found = {mark: _rows(lines, mark) for mark in (usual, *_DELIMITERS.replace(usual, ""))}
    widths = {mark: len(rows[0]) if rows else 1 for mark, rows in found.items()}
    fitting = [mark for mark, rows in found.items() if widths[mark] > 1 and _fit(rows)]
    if usual in fitting or (widths[usual] > 1 and not fitting):
        return Dialect(usual)
    if fitting:
        delimiter = max(fitting, key=lambda mark: widths[mark])
        return Dialect(delimiter, "," if _has_comma_decimals(found[delimiter][1:]) else ".")
    split = [mark for mark, width in widths.items() if width > 1]
    if split:
        mark = split[0]
        raise InvalidRequest(
            f"The header has {widths[mark]:,} columns by {_NAMES[mark]}, one by {_NAMES[usual]}, and the lines below fit neither.",
            hint="Write it with commas, semicolons, tabs or bars between all columns, and in quotes what has one within; or as Parquet.",
        )
    return Dialect(usual)


def _rows(lines: Sequence[str], delimiter: str) -> list[list[str]]:
    try:
        return [row for row in csv.reader(lines, delimiter=delimiter) if row]
    except csv.Error:
        return []


def _fit(rows: Sequence[Sequence[str]]) -> bool:
    """Whether all have as many columns as the header; the last may go on beyond what was read."""
    return all(len(row) == len(rows[0]) for row in (rows[:-1] if len(rows) > 2 else rows))  # noqa: PLR2004


def _has_comma_decimals(rows: Sequence[Sequence[str]]) -> bool:
    values = [value.strip() for row in rows for value in row]
    return any(map(_COMMA_DECIMAL.match, values)) and not any(map(_POINT_DECIMAL.match, values))
