"""What the versions of the kill harness hold: all of it follows from a token, so that whoever reads can tell what it must be."""

from __future__ import annotations

import random
import zlib
from typing import Any

__all__ = ["SHAPES", "artifacts_of", "metrics_of", "model_of", "shape_of"]

SHAPES = {"small": 80, "shared": 50, "many": 40, "large": 28, "huge": 1}
"""Shape → how often. The last word of a token is its shape."""

SHARED_CONTENTS = 3
LARGE_BYTES = 1_500_000
HUGE_BYTES = 34 << 20
"""More than an object store takes in one request, by the default limits."""


def shape_of(token: str) -> str:
    """The shape of the version with this token."""
    return token.rpartition("-")[2]


def model_of(token: str) -> dict[str, Any]:
    """The model."""
    return {"token": token, "weights": [round(random.Random(token).random(), 6) for _ in range(20)]}


def metrics_of(token: str) -> dict[str, float]:
    """Its metrics."""
    return {"score": zlib.crc32(token.encode()) / 2**32}


def artifacts_of(token: str) -> dict[str, bytes]:
    """Its further files by key, as `Registry.register` takes them."""
    spread = random.Random(f"{token} artifacts")
    match shape_of(token):
        case "shared":  # bytes that other versions have too, of which some are purged and collected meanwhile
            which = spread.randrange(SHARED_CONTENTS)
            return {"other/shared": random.Random(which).randbytes(10_000), "other/own": spread.randbytes(500)}
        case "many":
            return {f"other/{n}": spread.randbytes(spread.randrange(100, 9_000)) for n in range(12)}
        case "large":
            text = f"{token} compresses well. ".encode()
            return {"other/bytes": spread.randbytes(LARGE_BYTES), "other/text": text * (300_000 // len(text))}
        case "huge":
            return {"other/bytes": spread.randbytes(HUGE_BYTES)}
        case _:
            return {}
