"""What is stored against what is referred to: two sorted listings, read side by side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal, TypeVar

__all__ = ["By", "side_by_side"]

By = Literal["project", "model", "version"]

T = TypeVar("T")


def side_by_side(
    stored: Iterable[tuple[str, T]], referred: Iterable[tuple[str, int]]
) -> Iterator[tuple[str, T | None, int | None]]:
    """Merge what a store lists with what a catalog refers to, both sorted by digest, without holding either.

    Yields
    ------
    tuple
        The digest, what the store says of it (None when it is missing there), and the size that
        the catalog expects (None when nothing refers to it).
    """
    ours, theirs = iter(stored), iter(referred)
    have: Any = next(ours, None)
    want: Any = next(theirs, None)
    while have is not None or want is not None:
        if want is None or (have is not None and have[0] < want[0]):
            yield have[0], have[1], None
            have = next(ours, None)
        elif have is None or want[0] < have[0]:
            yield want[0], None, want[1]
            want = next(theirs, None)
        else:
            yield have[0], have[1], want[1]
            have, want = next(ours, None), next(theirs, None)
