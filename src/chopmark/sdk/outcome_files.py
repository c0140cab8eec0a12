"""Files of requests and of feedback, for the command line."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from chopmark.base.clock import parse_time
from chopmark.base.jsons import converted, decode, explained
from chopmark.domain.feedback import Feedback, check_feedback
from chopmark.domain.names import shown
from chopmark.errors import ChopmarkError, InvalidRequest
from chopmark.sdk.row_files import numbered_lines, rows_in

__all__ = ["columns_of", "feedback_in", "source_of"]

_KNOWN = ("at", "latency_ms", "error", "cost_usd")
_CHUNK_BYTES = 1 << 20


def source_of(path: Path) -> str:
    """What a file is called as a source: its content's hash, so that it counts once."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return f"file-{digest.hexdigest()[:32]}"


def columns_of(path: Path) -> dict[str, Any]:
    """A request a row as arguments of ``outcomes.record_batch``: CSV with a header, or JSON lines.

    Raises
    ------
    InvalidRequest
        When a line cannot be read, or a column holds what it cannot.
    """
    with path.open("rb") as stream:
        rows = rows_in(stream, path.name, "requests")
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {name: [row.get(name) for row in rows] for name in names}
    found: dict[str, Any] = {name: columns.pop(name) for name in _KNOWN if name in columns}
    if "at" in found:
        found["at"] = _times(found["at"], path)
    if "error" in found:
        found["error"] = [_error(each) for each in found["error"]]
    for name in ("latency_ms", "cost_usd"):
        if name in found:
            found[name] = _numbers(name, found[name])
    found["metrics"] = {name: _numbers(name, values) for name, values in columns.items()}
    return found


def feedback_in(path: Path) -> dict[int, Feedback]:
    """Feedback of a file of JSON lines, by the number of its line.

    Raises
    ------
    InvalidRequest
        When a line is no feedback, or has a field that feedback has not.
    """
    found: dict[int, Feedback] = {}
    for number, line in numbered_lines(path.read_bytes()):
        try:
            found[number] = _feedback(decode(line, dict[str, Any]))
        except ChopmarkError as error:
            msg = f"Line {number:,} of {path.name} is no feedback: {error.message}"
            raise InvalidRequest(msg, hint=error.hint) from error
    return found


def _feedback(fields: dict[str, Any]) -> Feedback:
    unknown = [name for name in fields if name not in Feedback.__struct_fields__]
    if unknown:
        known = ", ".join(Feedback.__struct_fields__)
        raise InvalidRequest(f"It has no field {shown(unknown[0])}.", hint=f"It has {known}.")
    try:
        found = converted(fields, Feedback)
    except ValueError as error:
        raise InvalidRequest(f"{explained(error, Feedback)}.") from error
    return check_feedback(found)


def _times(values: list[Any], path: Path) -> list[float]:
    """Seconds since 1970 of numbers, or of times as people write them."""
    found = []
    for value in values:
        try:
            found.append(float(value))
        except (TypeError, ValueError):
            if not isinstance(value, str):
                raise InvalidRequest(f"A request in {path.name} has no time.", hint="Fill the column at.") from None
            found.append(parse_time(value).timestamp())
    return found


def _error(value: Any) -> str:
    if value in (True, "true", "True", "1", 1):
        return "model"
    if value in (None, False, "", "false", "False", "0", 0):
        return ""
    return str(value)


def _numbers(name: str, values: list[Any]) -> list[float]:
    found = []
    for value in values:
        try:
            found.append(float("nan") if value in (None, "") else float(value))
        except (TypeError, ValueError) as error:
            raise InvalidRequest(f"The column {shown(name)} holds {shown(str(value))}, which is no number.") from error
    return found
