"""For whom a request asks, where its body says so."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from chopmark.base.jsons import decoder

__all__ = ["key_in"]

_read = decoder(object)


def key_in(field: str) -> Callable[[bytes], bytes | None] | None:
    """Reads the key from a JSON body; None where no field is named.

    Parameters
    ----------
    field
        Names with dots between, which lead inwards: ``user.id``. Through a list they lead to its first element.

    A text or a number is a key; anything else, and what is no JSON, is none: what is wrong with a body is told by its protocol.
    """
    if not field:
        return None
    names = field.split(".")

    def key(body: bytes) -> bytes | None:
        try:
            found: object = _read(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        for name in names:
            while isinstance(found, list) and found:
                found = found[0]
            if not isinstance(found, dict):
                return None
            found = found.get(name)
        if isinstance(found, str):
            return found.encode("utf-8", "replace")
        return str(found).encode() if isinstance(found, int) and not isinstance(found, bool) else None

    return key
