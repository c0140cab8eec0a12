"""Where a safetensors file can be cut so that each tensor is a part of its own; pure.

A file of the format begins with the length of its header (8 bytes, little-endian), then the header (JSON: of each tensor its
type, shape and ``data_offsets``), then the tensors without gaps.
"""

from __future__ import annotations

import msgspec

from chopmark.base.jsons import decoder

__all__ = ["HEADER_BYTES_MAX", "LENGTH_BYTES", "header_length", "part_bounds"]

LENGTH_BYTES = 8
HEADER_BYTES_MAX = 100_000_000
"""The limit of the format itself."""

_SMALL_BYTES = 64 << 10
_PARTS_MAX = 100_000


class _Tensor(msgspec.Struct):
    data_offsets: tuple[int, int]


_entries_of = decoder(dict[str, msgspec.Raw])
_tensor_of = decoder(_Tensor)


def header_length(beginning: bytes, size_bytes: int) -> int | None:
    """Length of the header by the first bytes of a file; None when it cannot be of this format."""
    if len(beginning) < LENGTH_BYTES + 1 or beginning[LENGTH_BYTES : LENGTH_BYTES + 1] != b"{":
        return None
    length = int.from_bytes(beginning[:LENGTH_BYTES], "little")
    return length if length <= min(HEADER_BYTES_MAX, size_bytes - LENGTH_BYTES) else None


def part_bounds(header: bytes, size_bytes: int) -> list[int] | None:
    """Where the parts of a file begin and the last one ends: the header, then each tensor, small neighbours together.

    None when the header is none, or does not account for every byte that follows it.
    """
    try:
        entries = _entries_of(header)
        entries.pop("__metadata__", None)
        spans = sorted(_tensor_of(entry).data_offsets for entry in entries.values())
    except (msgspec.DecodeError, RecursionError):
        return None
    start = LENGTH_BYTES + len(header)
    at = 0
    bounds = [0, start]
    for begin, end in spans:
        if begin != at or end < begin:
            return None
        at = end
        if end - begin >= _SMALL_BYTES and bounds[-1] != start + begin:
            bounds.append(start + begin)  # small ones before a large one are a part of their own
        if start + end - bounds[-1] >= _SMALL_BYTES:
            bounds.append(start + end)
    if start + at != size_bytes or len(bounds) > _PARTS_MAX:
        return None
    if bounds[-1] != size_bytes:
        bounds.append(size_bytes)
    return bounds
