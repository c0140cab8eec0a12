"""Which variant a unit meets: `chopmark.stats.assign`, made ready for one endpoint."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable

from chopmark.domain.endpoints import Endpoint
from chopmark.domain.traffic import WEIGHT_TOTAL

__all__ = ["Deal", "dealt_by"]

Deal = Callable[[bytes], int]
"""A unit in UTF-8 → the position of its variant."""

_SHIFT = 11
_BITS = 53


def dealt_by(endpoint: Endpoint) -> Deal:
    """How the units of an endpoint are dealt; the same as `Assignment(endpoint.salt, weights).arm`, some times quicker."""
    variants = endpoint.variants
    match len(variants):
        case 1:
            return _to_the_only_one
        case 2:
            return _by_a_border(f"{endpoint.salt}:arm", variants[1].weight)
        case _:
            names = [(i, v) for i, v in enumerate(variants) if v.weight]
            return _by_rendezvous([(i, f"{endpoint.salt}:arm:{v.name}", v.weight) for i, v in names])


def _to_the_only_one(unit: bytes) -> int:  # noqa: ARG001
    return 0


def _by_a_border(salt: str, weight: int) -> Deal:
    start = _absorbed(salt)
    # u < weight / total, for u of 53 bits, in whole numbers
    border = -(-(weight << _BITS) // WEIGHT_TOTAL)

    def deal(unit: bytes) -> int:
        digest = start.copy()
        digest.update(unit)
        return int.from_bytes(digest.digest(), "big") >> _SHIFT < border

    return deal


def _by_rendezvous(arms: list[tuple[int, str, int]]) -> Deal:
    starts = [(index, _absorbed(salt), weight) for index, salt, weight in arms]

    def deal(unit: bytes) -> int:
        best, least = starts[0][0], math.inf
        for index, start, weight in starts:
            digest = start.copy()
            digest.update(unit)
            u = (int.from_bytes(digest.digest(), "big") >> _SHIFT) / (1 << _BITS)
            cost = -math.log(u) / weight if u else math.inf
            if cost < least:
                best, least = index, cost
        return best

    return deal


def _absorbed(salt: str) -> hashlib.blake2b:
    return hashlib.blake2b(salt.encode() + b"\0", digest_size=8)
