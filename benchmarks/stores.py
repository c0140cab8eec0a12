"""Storing and reading bytes: ours, and those of the peers that are installed, beside copying and hashing them.

The base is ``cp`` and then SHA-256 by hashlib (OpenSSL) over the same files, on the same file system, without waiting for the
disk. Ours is hashed, durable and one `put_all` into a new store.
All bytes are random, so that compression finds nothing to do (it looks, as it does by default), and the sources are in the
page cache. Loads too are from the page cache, and read every byte.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks import peers
from benchmarks.aside import making_a_file_us, set_aside
from benchmarks.figures import Figure
from benchmarks.turns import Here, Spent, Way, against_base, in_turn
from benchmarks.workloads import Workload, workloads
from chopmark.abc.blobs import BlobSource, BlobStat, Verify
from chopmark.blobs import LocalStore

__all__ = ["figures"]

LOAD_LIMIT = 0.45
PIECE_BYTES = 1 << 20
RANGE_BYTES = 1 << 20
READ_AT_ONCE_BYTES = 1 << 20
# Only a file that has been left alone for two seconds is remembered as verified.
SETTLED_AFTER_S = 2.5
SLOW_FILE_US = 100.0


def figures(place: Path, rounds: int, mib: int, *, quick: bool = False) -> list[Figure]:
    """Store one large file, a thousand of 1 MB and ten thousand of 10 kB; load the large one, twice, and a range of it."""
    found: list[Figure] = []
    _warn_of_removals(place)
    works = workloads(place / "sources", mib, quick=quick)
    with peers.running(place / "peers") as running:
        for work in works:
            found += _stored(place, work, running, rounds)
    return found + _loaded(place, works[0], rounds)


def _warn_of_removals(place: Path) -> None:
    each_us = making_a_file_us(place)
    if each_us > SLOW_FILE_US:
        print(
            f"Making a file takes {each_us:.0f} µs of CPU here: many were removed a short while ago, by the last benchmark "
            "perhaps. That slows whoever makes many, and flatters us; measure again in five minutes.",
            file=sys.stderr,
        )


def _stored(place: Path, work: Workload, running: list[peers.Peer], rounds: int) -> list[Figure]:
    ways: dict[str, Way] = {"base": _base(place, work), "ours": _put_all(place, work)}
    ways |= {peer.what: peer.storing(work.directory) for peer in running}
    spent = in_turn(ways, rounds)
    what = f"store {work.what}"
    found = against_base(what, spent["ours"], spent["base"], limit=work.limit)
    for peer in running:
        found += against_base(f"{what}: {peer.what}", spent[peer.what], spent["base"])
        found += against_base(what, spent["ours"], spent[peer.what], against=peer.what)
    return found


def _base(place: Path, work: Workload) -> Way:
    target = place / "copies"

    def run() -> None:
        subprocess.run(["cp", "-R", str(work.directory), str(target)], check=True)
        for path in work.files:
            with path.open("rb", buffering=0) as file:
                if path.stat().st_size <= READ_AT_ONCE_BYTES:  # `file_digest` would make a buffer of 256 KiB for each
                    hashlib.sha256(file.read()).hexdigest()
                else:
                    hashlib.file_digest(file, "sha256").hexdigest()

    return Here(run, after=partial(set_aside, target, place / "aside"))


def _put_all(place: Path, work: Workload) -> Way:
    root = place / "store"

    def run() -> None:
        store = LocalStore(root)
        store.put_all([BlobSource(path) for path in work.files])
        store.close()

    return Here(run, after=partial(set_aside, root, place / "aside"))


def _loaded(place: Path, work: Workload, rounds: int) -> list[Figure]:
    large = work.files[0]
    store = LocalStore(place / "kept")
    stat = store.put(large)
    middle = stat.size_bytes // 2
    _read(store, stat, "always")()  # back into the page cache: a put has its pages dropped once they are written
    time.sleep(SETTLED_AFTER_S)
    _read(store, stat, "changed")()  # the first one, which is remembered
    ways: dict[str, Way] = {
        "base": _base(place, work),
        "first": Here(_read(store, stat, "always")),
        "second": Here(_read(store, stat, "changed")),
        "range": Here(_read(store, stat, "always", offset=middle, length=RANGE_BYTES)),
    }
    spent = in_turn(ways, rounds)
    store.close()
    size = work.what.removeprefix("1 file of ")
    one_range = f"read a verified MiB within {size}"
    return [
        *against_base(f"load {size}, verified", spent["first"], spent["base"], limit=LOAD_LIMIT),
        *against_base(f"load {size} that was verified before", spent["second"], spent["base"], limit=LOAD_LIMIT),
        *(f._replace(ours=f.ours * 1e3, theirs=f.theirs * 1e3, unit="ms") for f in _range(one_range, spent)),
    ]


def _range(what: str, spent: dict[str, list[Spent]]) -> list[Figure]:
    return against_base(what, spent["range"], spent["first"], against="loading all of it, verified")


def _read(
    store: LocalStore, stat: BlobStat, verify: Verify, offset: int = 0, length: int | None = None
) -> Callable[[], None]:
    buffer = memoryview(bytearray(PIECE_BYTES))
    wanted = stat.size_bytes - offset if length is None else length

    def run() -> None:
        taken = 0
        with store.open(stat.digest, offset=offset, length=length, leaves=stat.leaves, verify=verify) as stream:
            while count := stream.readinto(buffer):  # type: ignore[attr-defined]
                taken += count
        assert taken == wanted

    return run
