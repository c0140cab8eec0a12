"""Putting files out of the way of the next round without removing them.

ext4 does not use an inode again for a minute or more after its file was removed, and each file that is made meanwhile looks past
all of those, one by one: after ten thousand removals making a file took six times as long as before. Rounds that remove
what they made would measure that, and most of all for whoever makes the most files. So the files stay until the benchmark
ends, and only give their blocks back.

The peers' processes use this too: nothing but the standard library may be imported here.
"""

from __future__ import annotations

import itertools
import os
import time
from pathlib import Path

__all__ = ["making_a_file_us", "set_aside"]

_serial = itertools.count()
_PROBES = 500


def making_a_file_us(place: Path) -> float:
    """CPU that making an empty file takes: some tens of microseconds, hundreds where many were removed in the last minutes."""
    probes = place / "probes"
    probes.mkdir()
    begun = time.thread_time()
    for number in range(_PROBES):
        os.close(os.open(probes / f"{number}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    return (time.thread_time() - begun) / _PROBES * 1e6


def set_aside(directory: Path, place: Path) -> None:
    """Move a directory into a place on the same file system, and make all its files empty."""
    place.mkdir(parents=True, exist_ok=True)
    moved = place / f"{os.getpid()}-{next(_serial)}"
    directory.rename(moved)
    for parent, _, names in os.walk(moved):
        for name in names:
            path = Path(parent, name)
            if not path.is_symlink():
                path.chmod(0o600)
                os.truncate(path, 0)
