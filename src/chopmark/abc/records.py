"""The interface of what is kept beside the blobs so that a lost database can be made again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

__all__ = ["RecordStore"]


class RecordStore(Protocol):
    """Small files by name, beside the blobs.

    Names are lower-case letters, digits, ``.``, ``-`` and ``_`` in parts between ``/``. Promises: a
    file is absent or whole, whoever is killed; when `put` returns it survives a power cut as far as
    the medium promises; threads and processes may call every method at once.

    Errors: `NotFound` for a name that is not there, `InvalidRequest` for one that is none,
    `Unavailable` when the store does not answer.
    """

    def put(self, name: str, data: bytes) -> None:
        """Write a file; one that has the name is replaced in one step."""
        ...

    def get(self, name: str) -> bytes:
        """Content of a file."""
        ...

    def names(self, prefix: str = "") -> Iterator[str]:
        """Names that start so, sorted."""
        ...

    def delete(self, name: str) -> bool:
        """Remove a file; whether it was there."""
        ...
