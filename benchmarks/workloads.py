"""Files to store, of bytes that nothing can make smaller."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

__all__ = ["Workload", "workloads"]

_MIB = 1 << 20


class Workload(NamedTuple):
    """Some files in a directory of their own.

    Attributes
    ----------
    what
        How many of which size, in words.
    directory
        Where they are.
    files
        Each of them.
    limit
        How long storing them may take on the wall, by the base.
    """

    what: str
    directory: Path
    files: list[Path]
    limit: float


def workloads(place: Path, mib: int, *, quick: bool) -> list[Workload]:
    """One large file, a thousand of 1 MB and ten thousand of 10 kB; a tenth of the many with ``quick``."""
    less = 10 if quick else 1
    one = f"1 file of {mib // 1024} GiB" if mib % 1024 == 0 else f"1 file of {mib} MiB"
    return [
        _made(place / "large", one, 1, mib * _MIB, limit=0.85),
        _made(place / "medium", f"{1_000 // less:,} files of 1 MB", 1_000 // less, 1_000_000, limit=1.1),
        _made(place / "small", f"{10_000 // less:,} files of 10 kB", 10_000 // less, 10_000, limit=0.5),
    ]


def _made(directory: Path, what: str, count: int, size_bytes: int, *, limit: float) -> Workload:
    directory.mkdir(parents=True)
    files = [directory / f"{number:05}.bin" for number in range(count)]
    for path in files:
        with path.open("wb") as file:
            for offset in range(0, size_bytes, _MIB):
                file.write(os.urandom(min(_MIB, size_bytes - offset)))
    return Workload(what, directory, files, limit)
