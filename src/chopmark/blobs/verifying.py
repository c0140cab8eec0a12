"""Whether a stored file holds a blob: by its digest, by its leaves on all processors, or because it did and is the same."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from chopmark.abc.blobs import Progress
from chopmark.base.leaves import LEAF_BYTES, are_leaves, leaf_digest, leaf_range
from chopmark.blobs.copying import hash_file
from chopmark.blobs.failures import damaged
from chopmark.blobs.filesystem import Identity, identity_of

__all__ = ["REMEMBERED_FROM_BYTES", "check_file", "check_range_of", "is_settled"]

REMEMBERED_FROM_BYTES = 1 << 20
"""Verifying less takes less than a millisecond."""

_THREADS_MAX = 8
# Times of files are as coarse as the clock they come from, and that of a file server may be another than ours: a file that
# was changed a moment ago may be changed again without showing it.
_SETTLED_AFTER_S = 2.0


def is_settled(identity: Identity, now_s: float) -> bool:
    """Whether a later change of the file would show in its times."""
    return identity.ctime_ns / 1e9 < now_s - _SETTLED_AFTER_S and identity.mtime_ns / 1e9 < now_s - _SETTLED_AFTER_S


def check_file(
    descriptor: int, digest: str, leaves: Sequence[str] = (), progress: Progress | None = None
) -> Identity | None:
    """Raise `IntegrityFailure` unless an open file holds a blob; its identity when that may be remembered, else None."""
    now_s = time.time()
    before = identity_of(os.fstat(descriptor))
    if leaves:
        check_range_of(descriptor, digest, leaves, 0, before.size_bytes, progress)
    else:
        content = hash_file(descriptor, progress)
        if content.digest != digest:
            raise damaged(digest, f"its bytes hash to {content.digest}")
    same = before == identity_of(os.fstat(descriptor))
    return before if same and is_settled(before, now_s) else None


def check_range_of(
    descriptor: int, digest: str, leaves: Sequence[str], start: int, end: int, progress: Progress | None = None
) -> None:
    """Raise `IntegrityFailure` unless the leaves of an open file that hold a range are those of the blob."""
    size_bytes = os.fstat(descriptor).st_size
    if not are_leaves(tuple(leaves), size_bytes):
        raise damaged(digest, f"it has {size_bytes:,} bytes, which are not {len(leaves)} leaves")
    first, last = leaf_range(start, end - start, size_bytes)
    wanted = range(first // LEAF_BYTES, -(-last // LEAF_BYTES))

    def computed(number: int) -> tuple[int, str]:
        data = os.pread(descriptor, LEAF_BYTES, number * LEAF_BYTES)
        return len(data), leaf_digest(data)

    pool = ThreadPoolExecutor(min(_THREADS_MAX, os.cpu_count() or 1, len(wanted)))
    try:
        for number, (length, found) in zip(wanted, pool.map(computed, wanted), strict=True):
            if found != leaves[number]:
                raise damaged(digest, f"the bytes from {number * LEAF_BYTES:,} on are not its own")
            if progress is not None:
                progress(length)
    finally:
        pool.shutdown(cancel_futures=True)
