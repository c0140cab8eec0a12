"""What versions that resemble each other take on disk; bytes, no times.

Small files that are the same are stored once. A large file that differs a little is stored whole, compressed when that pays. What
cutting it into fixed chunks and storing each distinct one once would have saved is counted beside it: an estimate, since
nothing in the store does so, and a favourable one, since indexes and per-chunk costs are left out. Changes in place move no
byte, so that chunks whose borders follow the content would find no more than fixed ones of the same size.
"""

from __future__ import annotations

import io
import pickle
import random
import sys
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import chopmark as cm
from benchmarks.figures import Figure
from chopmark.blobs import LocalStore

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Change = Callable[[NDArray[np.uint32], np.random.Generator], None]

__all__ = ["figures"]

VERSIONS = 10
SHARED_LIMIT = 1.02
FILES, FILE_BYTES, CHANGED_FILES = 1_000, 20_000, 10
CHANGED_SHARE = 0.01
CHUNKS = {"64 KiB": 64 << 10, "4 MiB": 4 << 20}

_MIB = 1 << 20


def figures(place: Path, *, large_bytes: int = 64 << 20) -> list[Figure]:
    """Ten versions that share most of their files, and ten of one large file that changes in place."""
    contents = {"float32 weights": _weights(large_bytes), "a pickled forest": _forest(large_bytes)}
    found = _sharing_files(place / "sharing")
    for what, content in contents.items():
        for where, change in (("scattered", _scattered), ("in one place", _in_one_place)):
            name = f"{what}, 1 % changed {where}"
            found += _changing_in_place(place / f"large-{len(found)}", name, content, change)
    return found


# Many files, most of them shared


def _sharing_files(place: Path) -> list[Figure]:
    draw = random.Random(1)
    files = {f"part-{number:04}.bin": draw.randbytes(FILE_BYTES) for number in range(FILES)}
    distinct_bytes = sum(map(len, files.values()))
    source = place / "source"
    source.mkdir(parents=True)
    home = place / "registry"
    with cm.open(home, trust="own_registry") as registry:
        for number in range(VERSIONS):
            changed = sorted(files)[number * CHANGED_FILES : (number + 1) * CHANGED_FILES] if number else sorted(files)
            for name in changed:
                if number:
                    files[name] = draw.randbytes(FILE_BYTES)
                    distinct_bytes += FILE_BYTES
                (source / name).write_bytes(files[name])
            registry.register("shared", path=source)
        registered = len(registry.versions.list("shared"))
    assert registered == VERSIONS
    blobs = home / "blobs"
    all_bytes, records_bytes = _disk_bytes(home), _disk_bytes(blobs / "records")
    blob_bytes = _disk_bytes(blobs) - records_bytes
    what = f"{VERSIONS} versions of {FILES:,} files that share 99 %"
    against = "one version plus the differences"
    return [
        _in_mib(f"{what}, blobs on disk", blob_bytes, against, distinct_bytes, limit=SHARED_LIMIT),
        _in_mib(f"{what}, with catalog and records", all_bytes, against, distinct_bytes),
        _in_mib(f"{what}, blobs on disk", blob_bytes, "a copy of each version", VERSIONS * FILES * FILE_BYTES),
    ]


def _disk_bytes(directory: Path) -> int:
    """What the file system has given to all files below a directory."""
    return sum(path.lstat().st_blocks * 512 for path in directory.rglob("*"))


# One large file, changed in place


def _changing_in_place(place: Path, name: str, content: bytes, change: Change) -> list[Figure]:
    raw_bytes = stored_bytes = 0
    chunks = {size: _Chunks(size_bytes) for size, size_bytes in CHUNKS.items()}
    store = LocalStore(place)
    for version in _versions(content, change):
        stat = store.put(io.BytesIO(version))
        raw_bytes += stat.size_bytes
        stored_bytes += stat.stored_bytes
        for each in chunks.values():
            each.add(version)
    store.close()
    what = f"{VERSIONS} x {len(content) / _MIB:.0f} MiB of {name}"
    found = [_in_mib(f"{what}, stored", stored_bytes, "raw bytes", raw_bytes)]
    for size, each in chunks.items():
        found.append(_in_mib(f"{what}, distinct {size} chunks", each.raw_bytes, "raw bytes", raw_bytes))
        if stored_bytes < raw_bytes:  # whole files were compressed, so the chunks would be
            found.append(
                _in_mib(f"{what}, distinct {size} chunks, compressed", each.compressed_bytes, "raw bytes", raw_bytes)
            )
    return found


class _Chunks:
    """Distinct chunks of one fixed size: their raw bytes, and what they come to when each is compressed by itself."""

    def __init__(self, size_bytes: int) -> None:
        self._size_bytes = size_bytes
        self._seen: set[bytes] = set()
        self._zstd = _zstd()
        self.raw_bytes = 0
        self.compressed_bytes = 0

    def add(self, content: bytes) -> None:
        """Count what is new of a version."""
        view = memoryview(content)
        for offset in range(0, len(view), self._size_bytes):
            chunk = view[offset : offset + self._size_bytes]
            digest = sha256(chunk).digest()
            if digest not in self._seen:
                self._seen.add(digest)
                self.raw_bytes += len(chunk)
                self.compressed_bytes += min(len(chunk), len(self._zstd.compress(chunk, level=1)))


def _versions(content: bytes, change: Change) -> Iterator[bytes]:
    """The file, and nine more, each with another hundredth of the words changed."""
    import numpy as np

    draw = np.random.default_rng(2)
    words = np.frombuffer(content, np.uint32).copy()
    yield words.tobytes()
    for _ in range(VERSIONS - 1):
        change(words, draw)
        yield words.tobytes()


def _scattered(words: NDArray[np.uint32], draw: np.random.Generator) -> None:
    """Words all over the file become others of the file, which keeps what makes it compress."""
    count = int(len(words) * CHANGED_SHARE)
    words[draw.choice(len(words), count, replace=False)] = words[draw.choice(len(words), count)]


def _in_one_place(words: NDArray[np.uint32], draw: np.random.Generator) -> None:
    """One run of words becomes another of the file."""
    count = int(len(words) * CHANGED_SHARE)
    target, source = draw.integers(0, len(words) - count, 2)
    words[target : target + count] = words[source : source + count].copy()


def _weights(size_bytes: int) -> bytes:
    """Weights as a network's are: normally distributed."""
    import numpy as np

    return np.random.default_rng(3).standard_normal(size_bytes // 4, np.float32).tobytes()


def _forest(size_bytes: int) -> bytes:
    """A forest of deep trees, pickled: as many as it takes."""
    import numpy as np
    from sklearn.ensemble import ExtraTreesRegressor

    draw = np.random.default_rng(4)
    features = draw.standard_normal((20_000, 20), np.float32)
    targets = features[:, 0] + draw.standard_normal(len(features))
    forest = ExtraTreesRegressor(1, random_state=5, warm_start=True).fit(features, targets)
    tree_bytes = len(pickle.dumps(forest))
    pickled = pickle.dumps(forest.set_params(n_estimators=max(2, size_bytes // tree_bytes)).fit(features, targets))
    return pickled + bytes(-len(pickled) % 4)


def _in_mib(what: str, ours_bytes: int, against: str, theirs_bytes: int, limit: float | None = None) -> Figure:
    return Figure(what, ours_bytes / _MIB, "MiB", against, theirs_bytes / _MIB, limit)


def _zstd() -> Any:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd
