"""Keyset pages: a cursor says after which row the next page starts, and for which query."""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Any

import msgspec

from chopmark.base.jsons import decode
from chopmark.errors import InvalidRequest

__all__ = [
    "PAGE_SIZE",
    "PAGE_SIZE_MAX",
    "check_limit",
    "decode_cursor",
    "encode_cursor",
]

PAGE_SIZE = 50
PAGE_SIZE_MAX = 1_000
_MARK_LENGTH = 8
_CURSOR_LENGTH_MAX = 4_000


def check_limit(limit: int) -> int:
    """Return the page size when it is between 1 and 1,000.

    Raises
    ------
    InvalidRequest
        Otherwise.
    """
    if not 1 <= limit <= PAGE_SIZE_MAX:
        msg = f"A page has 1 to {PAGE_SIZE_MAX:,} entries, not {limit}."
        raise InvalidRequest(msg, hint="Follow the cursor for more.")
    return limit


def encode_cursor(position: list[Any], query: bytes) -> str:
    """Text of a position in the answer to a query.

    Parameters
    ----------
    position
        Sort values of the last row of the page (JSON values).
    query
        The query's canonical bytes: a cursor works with no other.
    """
    body = msgspec.json.encode(position)
    return base64.urlsafe_b64encode(_mark(body, query) + body).decode().rstrip("=")


def decode_cursor(cursor: str, query: bytes) -> list[Any]:
    """Position that `encode_cursor` wrote for the same query.

    Raises
    ------
    InvalidRequest
        When the cursor was edited, cut, or comes from another query.
    """
    error = InvalidRequest(
        "The cursor does not belong to this query, or it was changed.",
        hint="Start again without a cursor.",
    )
    if len(cursor) > _CURSOR_LENGTH_MAX:
        raise error
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as fault:
        raise error from fault
    mark, body = raw[:_MARK_LENGTH], raw[_MARK_LENGTH:]
    if mark != _mark(body, query):
        raise error
    return decode(body, list[Any])


def _mark(body: bytes, query: bytes) -> bytes:
    return hashlib.blake2b(body, key=hashlib.sha256(query).digest(), digest_size=_MARK_LENGTH).digest()
