"""Zstandard (RFC 8878) for blobs that shrink: deciding by a sample, one frame a blob, its raw size in the frame header."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from chopmark.abc.blobs import Progress
from chopmark.base.digest import hasher, to_digest
from chopmark.base.encodings import zstandard
from chopmark.blobs.copying import PIECE_BYTES, Content, ContentHasher, write_all

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SUFFIX", "Compression", "Damaged", "compress_file", "decompress", "pays", "raw_size", "sample", "shrinks"]

Compression = Literal["zstd", "none"]

SUFFIX = ".zst"
"""Ends the name of a stored file that holds a compressed blob, and of no other."""

LEVEL = 1
SAMPLE_BYTES = 1 << 20
SMALLEST_BYTES = 64 << 10
"""Smaller blobs stay as they are: they save a few disk blocks and are the ones whose loading has to be quick."""

# Compressed ten elevenths of the raw size or less: a ratio of 1.1, in whole numbers.
_WORTHWHILE_RAW, _WORTHWHILE_COMPRESSED = 11, 10

_SAMPLE_PIECES = 16
_GLANCE_BYTES = 64 << 10
_HEADER_BYTES = 18  # the longest frame header: magic number 4, descriptor 1, window 1, dictionary 4, content size 8


class Damaged(ValueError):
    """The compressed bytes cannot be what was stored."""


def pays(raw_bytes: int, compressed_bytes: int) -> bool:
    """Whether compressing is worth the time that every later read pays for it."""
    return _WORTHWHILE_COMPRESSED * raw_bytes >= _WORTHWHILE_RAW * compressed_bytes


def sample(descriptor: int, size_bytes: int, sample_bytes: int = SAMPLE_BYTES) -> bytes:
    """A part of a file: 16 evenly spaced pieces, since a header rarely resembles the weights behind it."""
    if size_bytes <= sample_bytes:
        return os.pread(descriptor, size_bytes, 0)
    piece = sample_bytes // _SAMPLE_PIECES
    stride = (size_bytes - piece) // (_SAMPLE_PIECES - 1)
    return b"".join(os.pread(descriptor, piece, index * stride) for index in range(_SAMPLE_PIECES))


def shrinks(descriptor: int, size_bytes: int) -> bool:
    """Whether a sample of the file says that compressing it pays.

    A first look at 64 KiB spares the full sample, as long as hashing a megabyte, where nothing at all shrinks: the usual
    case, since weights are close to noise.
    """
    if size_bytes < SMALLEST_BYTES:
        return False
    zstd = zstandard()
    glance = sample(descriptor, size_bytes, _GLANCE_BYTES)
    if len(zstd.compress(glance, level=LEVEL)) >= len(glance):
        return False
    taken = sample(descriptor, size_bytes)
    return pays(len(taken), len(zstd.compress(taken, level=LEVEL)))


def compress_file(source: int, target: int, size_bytes: int, progress: Progress | None = None) -> Content:
    """Compress an open file into an empty one; gives what the raw bytes are.

    The header promises ``size_bytes``; when the source turns out longer or shorter, what was written is worthless and the
    answer's size says so.
    """
    hashed = ContentHasher()
    size_read = 0
    compressor = zstandard().ZstdCompressor(level=LEVEL)
    compressor.set_pledged_input_size(size_bytes)
    while size_read < size_bytes and (piece := os.pread(source, PIECE_BYTES, size_read)):
        size_read += len(piece)
        if size_read > size_bytes:
            break
        hashed.update(piece)
        write_all(target, compressor.compress(piece))
        if progress is not None:
            progress(len(piece))
    if size_read == size_bytes:
        write_all(target, compressor.flush())
        size_read += len(os.pread(source, 1, size_read))
    return dataclasses.replace(hashed.content(), size_bytes=size_read)


def raw_size(descriptor: int) -> int | None:
    """Length of the raw bytes by the frame's header; None when that is no header of ours."""
    zstd = zstandard()
    header = os.pread(descriptor, _HEADER_BYTES, 0)
    try:
        size: int | None = zstd.get_frame_info(header).decompressed_size
    except zstd.ZstdError:
        return None
    return size


def decompress(descriptor: int, write: Callable[[bytes], object], progress: Progress | None = None) -> Content:
    """Hand the raw bytes of an open compressed file to ``write``, at most as many as its header says.

    Raises
    ------
    Damaged
        When it is no whole frame, or holds more than its header says.
    """
    promised = raw_size(descriptor)
    if promised is None:
        raise Damaged("it is no compressed blob")
    state = hasher()
    size_bytes = 0
    try:
        for piece in _raw_pieces(descriptor):
            size_bytes += len(piece)
            if size_bytes > promised:
                raise Damaged("it holds more bytes than its header says")
            state.update(piece)
            write(piece)
            if progress is not None:
                progress(len(piece))
    except (zstandard().ZstdError, EOFError) as error:
        raise Damaged(f"it cannot be decompressed ({error})") from error
    return Content(to_digest(state.hexdigest()), size_bytes)


def _raw_pieces(descriptor: int) -> Iterator[bytes]:
    """Raw bytes of exactly one frame that fills the file, a bounded piece at a time."""
    decompressor = zstandard().ZstdDecompressor()
    offset = 0
    while not decompressor.eof:
        stored = b""
        if decompressor.needs_input:
            stored = os.pread(descriptor, PIECE_BYTES, offset)
            offset += len(stored)
            if not stored:
                raise Damaged("it ends before its frame does")
        if piece := decompressor.decompress(stored, max_length=PIECE_BYTES):
            yield piece
    if decompressor.unused_data or os.pread(descriptor, 1, offset):
        raise Damaged("something follows its frame")
