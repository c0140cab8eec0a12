"""Leaf digests: the BLAKE3 of each 16 MiB of a large file, beside the SHA-256 of all of it.

SHA-256 has to be computed from the first byte to the last on one processor. The leaves of a file can be checked on all of
them at once, three times as fast on each, and a range of the file can be checked without the rest.
"""

from __future__ import annotations

import re
from typing import Any

__all__ = ["LEAF_BYTES", "LeafHasher", "are_leaves", "leaf_count", "leaf_digest", "leaf_range"]

LEAF_BYTES = 16 << 20
"""Bytes of a leaf. It is part of what a manifest says, so another size would need another field."""

_LEAF = re.compile(r"[0-9a-f]{64}")


def leaf_count(size_bytes: int) -> int:
    """How many leaves a file of this size has: none when it is no larger than one."""
    return -(-size_bytes // LEAF_BYTES) if size_bytes > LEAF_BYTES else 0


def are_leaves(leaves: tuple[str, ...], size_bytes: int) -> bool:
    """Whether these can be the leaf digests of a file of this size; a file may have none."""
    return not leaves or (len(leaves) == leaf_count(size_bytes) and all(map(_LEAF.fullmatch, leaves)))


def leaf_range(offset: int, length: int | None, size_bytes: int) -> tuple[int, int]:
    """Begin and end of the leaves that hold a range of a file; at least one leaf."""
    begin = min(offset, max(0, size_bytes - 1))
    end = size_bytes if length is None else min(size_bytes, offset + length)
    first = begin // LEAF_BYTES
    last = max(first + 1, -(-end // LEAF_BYTES))
    return first * LEAF_BYTES, min(size_bytes, last * LEAF_BYTES)


def leaf_digest(data: bytes | memoryview) -> str:
    """BLAKE3 of bytes, as 64 hexadecimal digits."""
    from blake3 import blake3

    return blake3(data).hexdigest()


class LeafHasher:
    """Computes the leaf digests of bytes as they come."""

    def __init__(self) -> None:
        from blake3 import blake3

        self._new = blake3
        self._state: Any = blake3()
        self._filled_bytes = 0
        self._leaves: list[str] = []

    def update(self, data: bytes | memoryview) -> None:
        """Take the next bytes."""
        view = memoryview(data)
        while view:
            if self._filled_bytes == LEAF_BYTES:
                self._end_leaf()
            taken = view[: LEAF_BYTES - self._filled_bytes]
            self._state.update(taken)
            self._filled_bytes += len(taken)
            view = view[len(taken) :]

    def leaves(self) -> tuple[str, ...]:
        """Digests of all leaves; none of bytes that fill no more than one. Nothing may follow."""
        if not self._leaves:
            return ()
        self._end_leaf()
        return tuple(self._leaves)

    def _end_leaf(self) -> None:
        self._leaves.append(self._state.hexdigest())
        self._state = self._new()
        self._filled_bytes = 0
