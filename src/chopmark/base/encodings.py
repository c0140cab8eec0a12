"""How bodies are packed on the way: zstd and gzip, both ways; and the one place that knows where zstd comes from."""

from __future__ import annotations

import gzip
import sys
import zlib
from typing import Any

from chopmark.errors import InvalidRequest, TooLarge, UnsupportedMedia

__all__ = ["ENCODINGS", "PACKED_FROM_BYTES", "packed", "preferred", "unpacked", "zstandard"]

ENCODINGS = ("zstd", "gzip")
"""What is understood, best first."""

PACKED_FROM_BYTES = 1_400
"""A smaller body fits into a packet as it is."""

_ZSTD_LEVEL, _GZIP_LEVEL = 3, 5


def zstandard() -> Any:
    """The module of Zstandard (RFC 8878): the standard library's, or its backport."""
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd


def preferred(accept: str) -> str:
    """The encoding to answer with, by ``Accept-Encoding`` (RFC 9110, 12.5.3); empty for none."""
    asked: dict[str, float] = {}
    for part in accept.lower().split(","):
        name, _, parameter = part.partition(";")
        asked[name.strip()] = _weight(parameter)
    weights = {each: asked.get(each, asked.get("*", 0.0)) for each in ENCODINGS}
    best = max(ENCODINGS, key=lambda each: weights[each])  # the first of equals
    return best if weights[best] > 0 else ""


def _weight(parameter: str) -> float:
    name, _, value = parameter.partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0


def packed(body: bytes, encoding: str) -> bytes:
    """A body in one of `ENCODINGS`."""
    if encoding == "zstd":
        made: bytes = zstandard().compress(body, level=_ZSTD_LEVEL)
        return made
    return gzip.compress(body, _GZIP_LEVEL, mtime=0)


def unpacked(body: bytes, encoding: str, size_bytes_max: int) -> bytes:
    """A body as it was before it was packed.

    Raises
    ------
    InvalidRequest
        When the bytes are none of it; its `UnsupportedMedia` when the encoding is not known, its `TooLarge` when more come
        out than may.
    """
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return body
    if encoding not in ENCODINGS:
        raise UnsupportedMedia(
            f"The content encoding {encoding[:40]!r} is not known.", hint="Send zstd, gzip, or neither."
        )
    try:
        raw, ended = _unzstd(body, size_bytes_max + 1) if encoding == "zstd" else _ungzip(body, size_bytes_max + 1)
    except (zlib.error, zstandard().ZstdError, EOFError) as error:
        raise InvalidRequest(f"The body is not {encoding}: {error}.", hint="Send it whole, or unpacked.") from error
    if len(raw) > size_bytes_max:
        raise TooLarge(f"The body unpacks to more than {size_bytes_max:,} bytes.", hint="Send less at a time.")
    if not ended:
        raise InvalidRequest(f"The {encoding} body is cut short.", hint="Send it whole.")
    return raw


def _unzstd(body: bytes, most: int) -> tuple[bytes, bool]:
    reader = zstandard().ZstdDecompressor()
    raw: bytes = reader.decompress(body, max_length=most)
    return raw, reader.eof and not reader.unused_data


def _ungzip(body: bytes, most: int) -> tuple[bytes, bool]:
    reader = zlib.decompressobj(wbits=31)
    raw = reader.decompress(body, most)
    return raw, reader.eof and not reader.unused_data
