"""A life of a registry that tells what it is about to do and what was acknowledged: recorded by `faults.powercut`."""

from __future__ import annotations

import hashlib
import json
import os
import random
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

__all__ = ["LONG", "Life", "live", "make_sources"]

SMALL_FILES = 60
LARGE_BYTES = 3_000_000
RECORDED_S = 0.7
"""After so long what was done is recorded beside the blobs, in the background."""

Session = Callable[["Life"], None]


def make_sources(directory: Path, seed: int) -> None:
    """Files to register: two large ones, and two directories with many small ones, more than is written through the cache, that share most."""
    rng = random.Random(seed)
    directory.mkdir(parents=True)
    for name in ("large-0", "large-1"):
        (directory / f"{name}.bin").write_bytes(rng.randbytes(LARGE_BYTES))
    (directory / "text.bin").write_bytes(b"0.125 0.250 0.500\n" * 20_000)  # which compresses
    for n in range(2):
        (directory / f"many-{n}").mkdir()
    for n in range(SMALL_FILES):
        data = rng.randbytes(rng.randint(1, 64_000))
        (directory / "many-0" / f"{n:03}.bin").write_bytes(data)
        (directory / "many-1" / f"{n:03}.bin").write_bytes(data if n % 8 else rng.randbytes(500))


def main() -> None:
    """Live: ``python -m faults.powercut_workload PLACE SOURCES MARKS``."""
    live(LONG)


def live(sessions: Sequence[Session]) -> None:
    """Open the registry for each session in turn, and do what it says, as the command line asks."""
    import chopmark as cm

    place, sources, marks = sys.argv[1], Path(sys.argv[2]), os.open(sys.argv[3], os.O_WRONLY | os.O_CREAT)
    warnings.simplefilter("ignore")
    settings: dict[str, Any] = {"actor": "ada", "gc_grace_hours": 0, "purge_after_days": 0, "progress": "never"}
    for session in sessions:
        with cm.open(place, **settings) as registry:
            session(Life(registry, sources, marks))


def _first(life: Life) -> None:
    life.register("fraud", value={"t": 1})
    life.register("fraud", value={"t": 2})
    life.alias("fraud@champion", "fraud:1")
    life.register("big", path="large-0.bin")
    life.promote("fraud:2", "staging")
    time.sleep(RECORDED_S)
    life.register("many", path="many-0")
    life.alias("fraud@champion", "fraud:2")
    life.register("many", path="many-1")
    life.delete("many:1")
    life.collect()
    life.register("many", path="many-0")
    time.sleep(RECORDED_S)
    life.promote("fraud:2", "production")
    life.register("text", path="text.bin")


def _second(life: Life) -> None:
    life.register("big", path="large-1.bin")
    life.delete("big:1")
    life.collect()
    life.alias("fraud@champion", "fraud:1")
    life.register("big", path="large-0.bin")
    for n in range(3, 9):
        life.register("fraud", value={"t": n})
    life.promote("fraud:4", "staging")
    life.delete("fraud:3")
    time.sleep(RECORDED_S)
    life.collect()
    life.register("fraud", value={"t": 3})


LONG = (_first, _second)


class Life:
    """A registry whose every change is told before and after, by one unbuffered write."""

    def __init__(self, registry: Any, sources: Path, marks: int) -> None:
        self._registry = registry
        self._sources = sources
        self._marks = marks

    def register(self, model: str, *, value: Any = None, path: str = "") -> None:
        """Register a value, or a file or directory of the sources."""
        if path:
            source = self._sources / path
            files = sorted(source.iterdir()) if source.is_dir() else [source]
            wanted = {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in files}
            self._tell("begin", do="register", model=model, files=wanted)
            version = self._registry.register(model, path=source, format="raw")
        else:
            self._tell("begin", do="register", model=model, value=value)
            version = self._registry.register(model, value)
        self._tell("done", ref=version.ref, digest=version.digest)

    def alias(self, alias: str, ref: str) -> None:
        """Point an alias to a version."""
        self._tell("begin", do="alias", alias=alias, ref=ref)
        self._registry.alias(alias, ref)
        self._tell("done")

    def promote(self, ref: str, stage: str) -> None:
        """Move a version to a stage."""
        self._tell("begin", do="promote", ref=ref, stage=stage)
        self._registry.promote(ref, stage, reason="r")
        self._tell("done")

    def delete(self, ref: str) -> None:
        """Soft-delete a version."""
        self._tell("begin", do="delete", ref=ref)
        self._registry.versions.delete(ref)
        self._tell("done")

    def collect(self) -> None:
        """Free what nothing refers to."""
        self._tell("begin", do="collect")
        self._registry.storage.collect()
        self._tell("done")

    def _tell(self, what: str, **facts: Any) -> None:
        os.write(self._marks, json.dumps({"what": what, **facts}).encode() + b"\n")


if __name__ == "__main__":
    main()
