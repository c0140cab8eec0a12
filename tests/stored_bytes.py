"""The bytes of a blob as a directory holds them, for tests that damage them behind the store's back."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from chopmark.blobs.pack_index import PackIndex
from chopmark.blobs.packs import HEADER_BYTES


class Place(NamedTuple):
    """Which bytes of which file; all of it when there is no length."""

    path: Path
    offset: int
    length: int | None


def place_of(root: Path, digest: str) -> Place:
    """Where the store in a directory holds a blob."""
    digits = digest.removeprefix("sha256:")
    for path in (root / "sha256" / digits[:2]).glob(digits[2:] + "*"):
        return Place(path, 0, None)
    index = PackIndex(root / "packs" / "index.db")
    row = index.find(digest)
    index.close()
    assert row is not None, f"{digest} is not in {root}"
    return Place(root / "packs" / f"{row.pack:06}.pack", row.offset + HEADER_BYTES, row.size_bytes)


def change_stored(root: Path, digest: str, change: Callable[[bytes], bytes]) -> None:
    """Change what a store holds of a blob; what is cut off from one in a pack becomes zeros."""
    path, offset, length = place_of(root, digest)
    mode = path.stat().st_mode
    path.chmod(0o644)
    with path.open("r+b") as file:
        held = os.pread(file.fileno(), path.stat().st_size if length is None else length, offset)
        changed = change(held)
        if length is None:
            file.truncate(len(changed))
        else:
            changed = changed[:length].ljust(length, b"\0")
        os.pwrite(file.fileno(), changed, offset)
    path.chmod(mode)


def stored_files(root: Path) -> list[Path]:
    """Files that hold blobs: of packs too."""
    return sorted(p for p in (*root.glob("sha256/??/*"), *root.glob("packs/*.pack")) if p.is_file())
