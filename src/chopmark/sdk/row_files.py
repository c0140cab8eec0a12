"""Files of rows, for the command line: CSV with a header, or a JSON object a line. Each row knows where it stood."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any, BinaryIO

from chopmark.base.jsons import decode
from chopmark.domain.names import shown
from chopmark.errors import ChopmarkError, InvalidRequest

__all__ = ["FileRow", "check_columns", "numbered_lines", "rows_in"]

_MARK = b"\xef\xbb\xbf"  # spreadsheets put it before UTF-8
_JSON = (".jsonl", ".ndjson", ".json")


class FileRow(dict[str, Any]):
    """A row as a mapping, and its place: ``line 3 of rows.csv``."""

    def __init__(self, fields: dict[str, Any], place: str) -> None:
        super().__init__(fields)
        self.place = place


def numbered_lines(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Lines that hold something, by their numbers from 1, without the mark before them."""
    lines = content.removeprefix(_MARK).split(b"\n")
    return ((number, line) for number, line in enumerate(lines, 1) if line.strip())


def rows_in(stream: BinaryIO, name: str, what: str = "rows") -> list[FileRow]:
    """All rows of a file, so that nothing is taken of one that cannot be read.

    Parameters
    ----------
    stream
        What to read.
    name
        Of the file: what ends in ``.jsonl``, ``.ndjson`` or ``.json``, or begins with a brace, is JSON.
    what
        The rows are, in a word.

    Raises
    ------
    InvalidRequest
        When a line cannot be read, or there is no row.
    """
    content = stream.read()
    is_json = PurePath(name).suffix.lower() in _JSON or content.removeprefix(_MARK).lstrip().startswith(b"{")
    rows = _json_rows(content, name) if is_json else _csv_rows(content, name)
    if not rows:
        raise InvalidRequest(f"There are no {what} in {name}.", hint="Is it the right file?")
    return rows


def check_columns(rows: list[FileRow], *needed: str, name: str) -> None:
    """Refuse rows none of which has any of the columns.

    Raises
    ------
    InvalidRequest
        Which says what there is instead.
    """
    there = list(dict.fromkeys(column for row in rows for column in row))
    if not any(column in there for column in needed):
        known = ", ".join(map(shown, there))
        raise InvalidRequest(f"There is no column {needed[0]} in {name}.", hint=f"It has {known or 'none'}.")


def _json_rows(content: bytes, name: str) -> list[FileRow]:
    rows = []
    for number, line in numbered_lines(content):
        try:
            rows.append(FileRow(decode(line, dict[str, Any]), f"line {number:,} of {name}"))
        except ChopmarkError as error:
            raise InvalidRequest(f"Line {number:,} of {name} is no JSON object: {error.message}") from error
    return rows


def _csv_rows(content: bytes, name: str) -> list[FileRow]:
    rows: list[FileRow] = []
    try:
        text = content.removeprefix(_MARK).decode("utf-8")
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        for fields in reader:
            if None in fields or None in fields.values():
                msg = f"Line {reader.line_num:,} of {name} has more or fewer fields than its header."
                raise InvalidRequest(msg)
            rows.append(FileRow(fields, f"line {reader.line_num:,} of {name}"))
    except (csv.Error, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{name} is no CSV: {error}.", hint="Save it as CSV in UTF-8.") from error
    return rows
