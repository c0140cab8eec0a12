"""Storing and reading bytes beside copying and hashing them."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from benchmarks.figures import Figure, compare, cpu_s, wall_s
from chopmark.blobs import LocalStore

__all__ = ["figures"]

SMALL_FILES = 200


def figures(place: Path, rounds: int, mib: int) -> list[Figure]:
    """A large file and many of 1 MB, hashed and durable, against ``cp`` plus SHA-256 without a sync."""
    large = place / "large"
    with large.open("wb") as file:
        for _ in range(mib):
            file.write(os.urandom(1 << 20))
    small = [place / f"small-{i}" for i in range(SMALL_FILES)]
    for path in small:
        path.write_bytes(os.urandom(1_000_000))
    found = []
    for name, sources in ((f"put one file of {mib} MiB", [large]), (f"put {SMALL_FILES} files of 1 MB", small)):
        for unit, clock in (("CPU", cpu_s), ("wall", wall_s)):
            ours, theirs = compare(_put(place, sources), _copy_and_hash(place, sources), rounds, clock)
            found.append(Figure(f"{name}, {unit}", ours, "s", "cp + sha256, no sync", theirs))
    store = LocalStore(place / "kept", compression="none")
    digest = store.put(large).digest
    for unit, clock in (("CPU", cpu_s), ("wall", wall_s)):
        ours, theirs = compare(_read(store, digest), _copy_and_hash(place, [large]), rounds, clock)
        found.append(Figure(f"open {mib} MiB verified, {unit}", ours, "s", "cp + sha256, no sync", theirs))
    return found


def _put(place: Path, sources: list[Path]) -> Callable[[], None]:
    def run() -> None:
        root = place / "store"
        store = LocalStore(root, compression="none")
        for source in sources:
            store.put(source)
        store.close()
        shutil.rmtree(root)

    return run


def _copy_and_hash(place: Path, sources: list[Path]) -> Callable[[], None]:
    def run() -> None:
        target = place / "copies"
        target.mkdir()
        subprocess.run(["cp", *map(str, sources), str(target)], check=True)
        for source in sources:
            with source.open("rb") as file:
                hashlib.file_digest(file, "sha256")
        shutil.rmtree(target)

    return run


def _read(store: LocalStore, digest: str) -> Callable[[], None]:
    def run() -> None:
        with store.open(digest) as stream:
            stream.read(1)

    return run
