"""The format of a pack: many small blobs one behind the other in one file, each with a header of its own.

::

    4   magic ``CMB1``
    1   state: ``+`` the blob is there, ``-`` it was deleted
    3   zeros
    4   length of the bytes
    8   when it was put, microseconds since 1970-01-01 UTC
    32  SHA-256 of the bytes
    4   CRC-32 of all of the above with the state ``+``
    …   the bytes

Numbers are little-endian. A pack only grows; what is changed in place is the state, and the bytes of a deleted blob, which
become zeros. So a pack can be read from its beginning without anything else, and an interrupted write shows at its end.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from chopmark.base.digest import PREFIX, digest_of

__all__ = ["DELETED", "HEADER_BYTES", "STATE_OFFSET", "Record", "header_of", "payload_of", "read_header", "scan"]

_MAGIC = b"CMB1"
_LIVE, DELETED = b"+", b"-"
STATE_OFFSET = len(_MAGIC)
_HEADER = struct.Struct("<4sc3xIQ32s")
_SUM = struct.Struct("<I")
HEADER_BYTES = _HEADER.size + _SUM.size
_WINDOW_BYTES = 1 << 20


class Record(NamedTuple):
    """A blob in a pack: its digest, where its header begins, its length, when it was put, and whether it is there."""

    digest: str
    offset: int
    size_bytes: int
    put_us: int
    is_live: bool

    @property
    def end(self) -> int:
        """Where the next one begins."""
        return self.offset + HEADER_BYTES + self.size_bytes


def header_of(digest: str, size_bytes: int, put_us: int) -> bytes:
    """The header of a blob that is there."""
    head = _HEADER.pack(_MAGIC, _LIVE, size_bytes, put_us, bytes.fromhex(digest.removeprefix(PREFIX)))
    return head + _SUM.pack(zlib.crc32(head))


def read_header(header: bytes, offset: int) -> Record | None:
    """What a header at an offset says; None when it is none, or damaged."""
    if len(header) < HEADER_BYTES:
        return None
    magic, state, size_bytes, put_us, digest = _HEADER.unpack_from(header)
    (summed,) = _SUM.unpack_from(header, _HEADER.size)
    live = header[:STATE_OFFSET] + _LIVE + header[STATE_OFFSET + 1 : _HEADER.size]
    if magic != _MAGIC or state not in {_LIVE, DELETED} or zlib.crc32(live) != summed:
        return None
    return Record(PREFIX + digest.hex(), offset, size_bytes, put_us, state == _LIVE)


def payload_of(data: bytes, record: Record) -> bytes | None:
    """The bytes of a record that was read whole, header and all; None unless they are what the digest says."""
    found = read_header(data[:HEADER_BYTES], record.offset)
    payload = data[HEADER_BYTES:]
    if found is None or not found.is_live or found.digest != record.digest or len(payload) != found.size_bytes:
        return None
    return payload if digest_of(payload) == record.digest else None


def scan(descriptor: int, start: int, end: int) -> Iterator[tuple[Record, bool]]:
    """Each record between two places, and whether its bytes are whole (those of a deleted one are not looked at).

    What is no header is passed over up to the next: one damaged header must not hide all that follows it. Only bytes that
    are whole are known to be a record's own: others may have been cut off, and the next record begun among them.
    """
    while (found := _next_header(descriptor, start, end)) is not None:
        is_whole = not found.is_live
        if found.is_live and found.end <= end:
            is_whole = digest_of(os.pread(descriptor, found.size_bytes, found.offset + HEADER_BYTES)) == found.digest
        yield found, is_whole
        start = found.end if is_whole and _goes_on(descriptor, found, end) else found.offset + HEADER_BYTES


def _goes_on(descriptor: int, found: Record, end: int) -> bool:
    """Whether a record is known to end where it says: its bytes are whole, or another begins there."""
    if found.is_live or found.end == end:
        return True
    return read_header(os.pread(descriptor, HEADER_BYTES, found.end), found.end) is not None


def _next_header(descriptor: int, start: int, end: int) -> Record | None:
    while start + HEADER_BYTES <= end:
        record = read_header(os.pread(descriptor, HEADER_BYTES, start), start)
        if record is not None:
            return record
        start = _next_magic(descriptor, start + 1, end)
    return None


def _next_magic(descriptor: int, start: int, end: int) -> int:
    while start < end:
        window = os.pread(descriptor, min(_WINDOW_BYTES, end - start), start)
        at = window.find(_MAGIC)
        if at >= 0:
            return start + at
        start += max(1, len(window) - len(_MAGIC) + 1)
    return end
