"""Records in memory, for tests."""

from __future__ import annotations

from collections.abc import Iterator

from chopmark.blobs.records import check_record_name
from chopmark.errors import NotFound

__all__ = ["MemoryRecords"]


class MemoryRecords:
    """`chopmark.abc.records.RecordStore` in a dictionary."""

    def __init__(self) -> None:
        self._files: dict[str, bytes] = {}

    def put(self, name: str, data: bytes) -> None:
        """See the interface."""
        self._files[check_record_name(name)] = bytes(data)

    def get(self, name: str) -> bytes:
        """See the interface."""
        try:
            return self._files[check_record_name(name)]
        except KeyError:
            raise NotFound(f"There is no record {name!r} beside the blobs.") from None

    def names(self, prefix: str = "") -> Iterator[str]:
        """See the interface."""
        return iter(sorted(name for name in list(self._files) if name.startswith(prefix)))

    def delete(self, name: str) -> bool:
        """See the interface."""
        return self._files.pop(check_record_name(name), None) is not None
