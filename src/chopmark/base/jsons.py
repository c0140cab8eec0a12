"""JSON in one canonical form, so that equal values have equal bytes and equal digests."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from chopmark.errors import InvalidRequest

__all__ = ["canonical", "decode", "encode", "pretty"]

T = TypeVar("T")

_canonical = msgspec.json.Encoder(order="sorted", decimal_format="string")
_plain = msgspec.json.Encoder(decimal_format="string")


def canonical(value: Any) -> bytes:
    """Bytes of a value with sorted keys and no white space: what digests are taken of."""
    return _canonical.encode(value)


def encode(value: Any) -> bytes:
    """Bytes of a value, fields in the order of their declaration."""
    return _plain.encode(value)


def pretty(value: Any) -> str:
    """Text of a value, indented by two, for people."""
    return msgspec.json.format(_plain.encode(value), indent=2).decode()


def decode(data: bytes | str, kind: type[T]) -> T:
    """Read and validate JSON as ``kind``.

    Raises
    ------
    InvalidRequest
        When the text is not JSON or does not fit; the message names the place.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        msg = f"Not a valid {getattr(kind, '__name__', 'value')}: {error}."
        raise InvalidRequest(msg) from error
