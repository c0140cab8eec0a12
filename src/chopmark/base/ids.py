"""Identifiers: UUIDv7 (RFC 9562), so that ids sort by time of making."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from datetime import datetime

from chopmark.base.clock import to_us

__all__ = ["IdSource", "random_bytes", "uuid7"]

IdSource = Callable[[datetime], uuid.UUID]

random_bytes = os.urandom


def uuid7(now: datetime, entropy: Callable[[int], bytes] = random_bytes) -> uuid.UUID:
    """A new UUIDv7 of the given time.

    48 bits of Unix milliseconds, then 12 bits of the fraction of the millisecond (RFC 9562,
    section 6.2, method 3), then 62 random bits.

    Parameters
    ----------
    now
        Aware time that becomes the leading bits.
    entropy
        Source of random bytes; a test passes its own.
    """
    ms, us = divmod(to_us(now), 1000)
    fraction = us * 4096 // 1000
    tail = int.from_bytes(entropy(8), "big") & ((1 << 62) - 1)
    value = (ms & ((1 << 48) - 1)) << 80 | 0x7 << 76 | fraction << 64 | 0b10 << 62 | tail
    return uuid.UUID(int=value)
