"""Zip archives that say the same for the same content, and limits on those that others wrote."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from chopmark.errors import IntegrityFailure

__all__ = ["check_archive", "write_archive"]

ENTRIES_MAX = 1_000_000
INFLATION_MAX = 200
INFLATED_FREE_BYTES = 64 * 2**20

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first day that a zip can name


def write_archive(path: Path | BinaryIO, entries: Iterable[tuple[str, bytes | memoryview]]) -> None:
    """Write entries in the order given, stored as they are, all of one date.

    Nothing is compressed: deflate's bytes depend on the library's build, and blobs are compressed
    where they are kept.
    """
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, data in entries:
            info = zipfile.ZipInfo(name, _EPOCH)
            info.create_system = 3
            info.external_attr = 0o600 << 16
            with archive.open(info, "w", force_zip64=True) as entry:
                entry.write(data)


def check_archive(archive: zipfile.ZipFile, size_bytes: int) -> None:
    """Refuse an archive that would unfold to far more than it is.

    Parameters
    ----------
    size_bytes
        Of the archive's file. 64 MiB are always allowed, then 200 times the file.

    Raises
    ------
    IntegrityFailure
        When it has more than a million entries or unfolds beyond the limit.
    """
    entries = archive.infolist()
    inflated = sum(e.file_size for e in entries)
    allowed = INFLATED_FREE_BYTES + INFLATION_MAX * size_bytes
    if len(entries) > ENTRIES_MAX or inflated > allowed:
        msg = (
            f"The archive of {size_bytes:,} bytes would unfold to {inflated:,} bytes in "
            f"{len(entries):,} entries; the limit is {allowed:,} bytes."
        )
        raise IntegrityFailure(msg, hint="It was not made by saving a model; do not load it.")
