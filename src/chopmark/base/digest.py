"""Digests: ``sha256:`` and 64 lowercase hexadecimal digits, the name of bytes by their content."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from chopmark.errors import InvalidRequest

__all__ = ["PREFIX", "digest_of", "hasher", "is_digest", "parse_digest", "to_digest"]

PREFIX = "sha256:"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")

hasher = hashlib.sha256


def digest_of(data: bytes | memoryview | Iterable[bytes]) -> str:
    """Digest of bytes, or of the concatenation of several."""
    state = hasher()
    if isinstance(data, (bytes, bytearray, memoryview)):
        state.update(data)
    else:
        for part in data:
            state.update(part)
    return PREFIX + state.hexdigest()


def to_digest(hex_digits: str) -> str:
    """``sha256:`` in front of a hash's hexadecimal digits."""
    return PREFIX + hex_digits


def is_digest(text: str) -> bool:
    """Whether the text is a whole, well-formed digest."""
    return _DIGEST.fullmatch(text) is not None


def parse_digest(text: str) -> str:
    """Return the text when it is a whole digest.

    Raises
    ------
    InvalidRequest
        When it is not ``sha256:`` and 64 lowercase hexadecimal digits.
    """
    if not is_digest(text):
        msg = f"{text[:80]!r} is not a digest."
        raise InvalidRequest(msg, hint="A digest is 'sha256:' and 64 hexadecimal digits.")
    return text
