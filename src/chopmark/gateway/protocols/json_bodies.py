"""Bodies of JSON, also those that Python's own writer makes of numbers that JSON does not know."""

from __future__ import annotations

import json
import math
from typing import TypeVar

from chopmark.base.jsons import converted, decode
from chopmark.errors import InvalidRequest, UnsupportedMedia
from chopmark.gateway.protocols.asked import Unreadable

__all__ = ["JSON", "check_json", "read_json"]

JSON = b"application/json"

_CONSTANTS = {"NaN": None, "Infinity": math.inf, "-Infinity": -math.inf}
# What clients send who let their library choose: `curl -d` the second, `requests` the third.
_TAKEN_AS_JSON = frozenset(
    (JSON, b"application/x-www-form-urlencoded", b"text/plain", b"application/octet-stream", b"")
)

T = TypeVar("T")


def read_json(body: bytes, kind: type[T]) -> T:
    """The body as ``kind``; NaN, which clients in Python write for a missing value, is read as null.

    Raises
    ------
    Unreadable
        When it is empty, no JSON or not of the form.
    """
    if not body.strip():
        raise Unreadable("The body is empty.", hint="Send the request as JSON in the body.")
    try:
        return decode(body, kind)
    except InvalidRequest as error:
        if b"NaN" not in body and b"Infinity" not in body:
            raise Unreadable(error.message, hint=error.hint) from error
    try:
        value = json.loads(body, parse_constant=_CONSTANTS.__getitem__)
        return converted(value, kind)
    except (ValueError, RecursionError) as error:  # what msgspec raises is a ValueError too
        raise Unreadable(f"The body cannot be read as JSON: {error}.") from error


def check_json(content_type: bytes) -> None:
    """Refuse a body that says it is something else; a form, plain text and bytes are what clients say who do not care."""
    if content_type == JSON:
        return
    media = content_type.partition(b";")[0].strip().lower()
    if media not in _TAKEN_AS_JSON and not media.endswith(b"+json"):
        said = media.decode("ascii", "replace")[:60]
        raise UnsupportedMedia(f"A body of {said} is not read.", hint="Send application/json.")
