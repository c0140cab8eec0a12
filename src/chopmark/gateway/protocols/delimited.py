"""Bodies of comma-separated values, read as the fields of a layout are: a text 0123 stays one where the model takes texts."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from chopmark.domain.names import shown
from chopmark.domain.signature import Field
from chopmark.errors import InvalidRequest
from chopmark.gateway.protocols.asked import Asked, Limits, Unreadable
from chopmark.gateway.protocols.plans import plan_of

if TYPE_CHECKING:
    from chopmark.abc.predicting import Layout

__all__ = ["is_delimited", "read_delimited", "read_rows"]

_MISSING = frozenset(("", "NA", "N/A", "NaN", "nan", "NULL", "null", "None", "<NA>"))
_FLAGS = {
    "true": True,
    "True": True,
    "TRUE": True,
    "1": True,
    "false": False,
    "False": False,
    "FALSE": False,
    "0": False,
}
_WHOLE = re.compile(r"[+-]?[0-9]{1,40}")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|[+-]?inf(inity)?", re.IGNORECASE)


def is_delimited(content_type: bytes) -> bool:
    """Whether a body says that it is CSV."""
    return content_type.partition(b";")[0].strip().lower() == b"text/csv"


def read_delimited(body: bytes, layout: Layout, limits: Limits, outputs: tuple[str, ...] = ()) -> Asked:
    """A request as the layout wants it, of a header and a line for each row."""
    plan = plan_of(layout)
    header, rows = read_rows(body, layout.inputs)
    if not set(plan.names) & set(header) and len(header) == plan.width:
        header = list(plan.names)
    return Asked(plan.of_table(header, rows, limits.elements_max), len(rows), outputs)


def read_rows(body: bytes, fields: Sequence[Field]) -> tuple[list[str], list[list[Any]]]:
    """The header, and rows of values as the fields of these names are; a field of any other name stays a text.

    Where no name of the header is that of a field, and there are as many, the fields are taken in their order. An empty value, and
    what data frames write for a missing one, is missing; in a column of texts only the empty one is.

    Raises
    ------
    Unreadable
        When it is no CSV in UTF-8, or a row has another length than the header.
    InvalidRequest
        When a value is not what its field is.
    """
    lines = _lines(body)
    if not lines or not lines[0]:
        raise Unreadable("The body of CSV is empty.", hint="Send a header and a line for each row.")
    header, rows = lines[0], [line for line in lines[1:] if line]
    by_name = {field.name: field for field in fields}
    if len(header) == len(fields) and not by_name.keys() & set(header):
        columns: list[Field | None] = list(fields)
    else:
        columns = [by_name.get(name) for name in header]
    other = next((at for at, row in enumerate(rows) if len(row) != len(header)), None)
    if other is not None:
        msg = f"Row {other + 1:,} has {len(rows[other]):,} values; the header has {len(header):,}."
        raise Unreadable(msg, hint="Quote values that hold commas.")
    if not rows:
        return header, []
    is_plain = body.isascii() and b"_" not in body  # beyond that Python reads more as a number than others do
    values = [
        _values(field, texts, is_plain=is_plain) for field, texts in zip(columns, zip(*rows, strict=True), strict=True)
    ]
    return header, list(map(list, zip(*values, strict=True)))


def _lines(body: bytes) -> list[list[str]]:
    try:
        text = body.decode("utf-8-sig")
        return list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except UnicodeDecodeError as error:
        raise Unreadable("The body is no text in UTF-8.") from error
    except csv.Error as error:
        raise Unreadable(f"The body cannot be read as CSV: {error}.") from error


def _values(field: Field | None, texts: Sequence[str], *, is_plain: bool) -> list[Any]:
    """A column; one of nothing but numbers at once, as a long body holds up whoever comes after it."""
    if field is not None and is_plain and field.type in ("float", "int"):
        try:
            numbers: list[Any] = list(map(float if field.type == "float" else int, texts))
        except ValueError:  # something is missing, or wrong
            return [_value(field, text) for text in texts]
        return [None if number != number else number for number in numbers]  # noqa: PLR0124 - NaN
    return [_value(field, text) for text in texts]


def _value(field: Field | None, text: str) -> Any:
    if field is None:
        return text
    if field.type in ("string", "category", "object", "bytes"):
        return None if not text and field.nullable else text
    plain = text.strip()
    if plain in _MISSING:
        return None
    if field.type == "datetime":
        return plain
    if field.type == "bool" and plain in _FLAGS:
        return _FLAGS[plain]
    if field.type == "int" and _WHOLE.fullmatch(plain):
        return int(plain)
    if field.type == "float" and _NUMBER.fullmatch(plain):
        return float(plain)
    if field.type == "int" and field.nullable and _NUMBER.fullmatch(plain) and float(plain).is_integer():
        return int(float(plain))  # as data frames write whole numbers beside missing ones
    raise InvalidRequest(f"The column {shown(field.name)} holds {shown(text)}, which is not {_WORDS[field.type]}.")


_WORDS = {"bool": "true or false", "int": "a whole number", "float": "a number"}
