"""Request ids that say what answered: endpoint, version, variant, generation and time, authenticated.

An id is base64url, without padding, of

====================  =====  ===================================================
form                  1      `_FORM`
endpoint, version     16 + 16  their ids
generation            5      of the endpoint's table, big-endian
time                  6      milliseconds since 1970, big-endian
sequence              6      of the router, from a random start, big-endian
variant               …      its name, ASCII
mark                  12     keyed BLAKE2b of all before it
====================  =====  ===================================================

Whoever has an id, and the secret of the routing, needs no table to know whom it is about; without the secret none can be made up.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from datetime import datetime, timedelta, timezone
from uuid import UUID

import msgspec

from chopmark.errors import InvalidRequest

__all__ = ["MARK_BYTES", "SEQUENCE_BYTES", "AnsweredBy", "RequestIds", "mark_of", "read_request_id"]

MARK_BYTES = 12
SEQUENCE_BYTES = 6

_FORM = b"\x01"
_GENERATION_BYTES = 5
_TIME_BYTES = 6
_HEAD_BYTES = 1 + 16 + 16 + _GENERATION_BYTES
_FIXED_BYTES = _HEAD_BYTES + _TIME_BYTES + SEQUENCE_BYTES
_LENGTH_MAX = 300
_PERSON = b"chopmark request"
_SEQUENCES = 1 << (8 * SEQUENCE_BYTES)
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)  # noqa: UP017 - one import less


class AnsweredBy(msgspec.Struct, frozen=True):
    """What answered a request, and when it was asked."""

    endpoint_id: UUID
    version_id: UUID
    generation: int
    variant: str
    at: datetime


class RequestIds:
    """Makes the ids of what one variant answers.

    Parameters
    ----------
    secret
        Of the routing.
    endpoint_id, version_id, generation, variant
        What they say.

    Examples
    --------
    >>> made = RequestIds(bytes(32), UUID(int=1), UUID(int=2), 7, "stable").made(1_700_000_000_000, 5)
    >>> read_request_id(made, bytes(32)).variant
    'stable'
    """

    __slots__ = ("_absorbed", "_head", "_variant")

    def __init__(self, secret: bytes, endpoint_id: UUID, version_id: UUID, generation: int, variant: str) -> None:
        self._head = _FORM + endpoint_id.bytes + version_id.bytes + generation.to_bytes(_GENERATION_BYTES, "big")
        self._variant = variant.encode("ascii")
        self._absorbed = _keyed(secret)
        self._absorbed.update(self._head)

    def made(self, at_ms: int, sequence: int) -> str:
        """The id of one request, asked at a time, with a number that the router gives once."""
        rest = (
            at_ms.to_bytes(_TIME_BYTES, "big") + (sequence % _SEQUENCES).to_bytes(SEQUENCE_BYTES, "big") + self._variant
        )
        mark = self._absorbed.copy()
        mark.update(rest)
        return base64.urlsafe_b64encode(self._head + rest + mark.digest()).rstrip(b"=").decode()


def read_request_id(text: str, secret: bytes) -> AnsweredBy:
    """What a request id says.

    Raises
    ------
    InvalidRequest
        When it is none that a router with this secret made.
    """
    data = _decoded(text)
    body, mark = data[:-MARK_BYTES], data[-MARK_BYTES:]
    keyed = _keyed(secret)
    keyed.update(body)
    if len(body) < _FIXED_BYTES or body[:1] != _FORM or not hmac.compare_digest(keyed.digest(), mark):
        raise _none_of_ours()
    at_ms = int.from_bytes(body[_HEAD_BYTES : _HEAD_BYTES + _TIME_BYTES], "big")
    return AnsweredBy(
        endpoint_id=UUID(bytes=body[1:17]),
        version_id=UUID(bytes=body[17:33]),
        generation=int.from_bytes(body[33:_HEAD_BYTES], "big"),
        variant=body[_FIXED_BYTES:].decode("ascii"),
        at=_EPOCH + timedelta(milliseconds=at_ms),
    )


def mark_of(text: str) -> bytes:
    """The mark of an id that was read: no other has it."""
    return _decoded(text)[-MARK_BYTES:]


def _keyed(secret: bytes) -> hashlib.blake2b:
    return hashlib.blake2b(key=secret, digest_size=MARK_BYTES, person=_PERSON)


def _decoded(text: str) -> bytes:
    if len(text) > _LENGTH_MAX:
        raise _none_of_ours()
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise _none_of_ours() from error
    if base64.urlsafe_b64encode(data).rstrip(b"=").decode() != text:  # one id has one form
        raise _none_of_ours()
    return data


def _none_of_ours() -> InvalidRequest:
    return InvalidRequest(
        "This is no request id of this registry's gateways.",
        hint="Send back the x-chopmark-request-id of the answer as it came.",
    )
