"""What a registry refuses because its surroundings do: nothing may be written, nothing read, no room, a clock that jumps.

Each is an error of ours that says what to do next; nothing is half done afterwards; and when the surroundings are right
again, so is the registry.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import chopmark as cm
from chopmark.errors import ChopmarkError
from faults.options import Options
from faults.report import Outcome
from faults.strace import Told, Tracees
from faults.wholeness import bytes_faults, check_faults

__all__ = ["STEPS_BACK", "clock_faults", "judged", "run"]

NOBODY = 65_534
MODEL = {"threshold": 0.1}
FILE_LIMITS = (0, 700, 5_000, 20_000, 70_000, 300_000, 1_000_000)
FREE_KIB = (0, 4, 12, 40, 100, 250, 600, 1_200)
DISK_KIB = 12_000
STEPS_BACK = 40
"""Readings of the clock, before each of which it once goes back: more than the life of `clock_faults` takes."""

Expected = Literal["works", "refused", "either"]


def run(options: Options) -> list[Outcome]:
    """Try each refusal."""
    bench = _Bench(options)
    with Tracees(bench.home / "server", is_traced=False) as children:
        outcomes = [bench.outcome(what, try_, children) for what, try_ in _TRIES.items()]
    readings = range(1, STEPS_BACK, 7 if options.short else 1)
    found = [f for n in readings for f in clock_faults(options.place("refusals") / f"clock-{n}", n)]
    how = (
        "registered, promoted, aliased, deleted, restored, collected; the clock goes back a day before its n-th reading"
    )
    return [*outcomes, Outcome("the clock goes back a day", len(readings), findings=found, how=how)]


def judged(told: Told, expected: Expected) -> list[str]:
    """What is wrong with how an attempt ended."""
    found = [] if told.ended == 0 else [f"the process ended with {told.ended}"]
    done = told.first("acknowledged") is not None or told.first("loaded") == MODEL
    if told.first("loaded") not in (None, MODEL) or told.first("is_whole") is False:
        found.append(f"it read something else: {told.messages}")
    errors = [message.get("background", message) for message in told.messages]
    errors = [error for error in errors if "error" in error]
    found += [f"an error of others: {error['trace']}" for error in errors if not error["ours"]]
    found += [f"no word of what to do: {e['text']}" for e in errors if e["ours"] and not e["hint"]]
    if done and expected == "refused":
        found.append("it was not refused")
    if not done and expected == "works":
        found.append(f"it does not work: {[error['text'] for error in errors]}")
    if not done and not errors:
        found.append("it neither worked nor said why not")
    return found


class _Impossible(Exception):
    """Neither this machine nor this user can bring it about; the message says why."""


class _Bench:
    """A registry to copy, and attempts in children."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.tried = 0
        self.home = options.place("refusals")
        self.home.chmod(0o755)
        self.files = self.home / "files"
        self.files.mkdir()
        (self.files / "weights.bin").write_bytes(options.random("refusals").randbytes(900_000))
        for n in range(5):
            (self.files / f"part-{n}.bin").write_bytes(options.random("refusals", n).randbytes(4_000))
        self.template = self.home / "template"
        with cm.open(self.template, actor="faults", progress="never") as registry:
            registry.register("fraud", MODEL)

    def outcome(self, what: str, try_: Callable[[_Bench, Tracees], Iterator[str]], children: Tracees) -> Outcome:
        """One kind of refusal."""
        self.tried = 0
        try:
            findings = list(try_(self, children))
        except _Impossible as error:
            return Outcome(what, 0, missing=str(error))
        return Outcome(what, self.tried, findings=findings)

    def fresh(self, name: str, below: Path | None = None) -> Path:
        """A copy of the registry, one that may be changed."""
        place = (below or self.home) / name
        shutil.copytree(self.template, place)
        return place

    def attempts(
        self, children: Tracees, place: Path, cases: Sequence[tuple[str, Expected]], **facts: Any
    ) -> Iterator[str]:
        """Try each, as ``facts`` say; the findings."""
        for scenario, expected in cases:
            job = {"do": "attempt", "place": str(place), "scenario": scenario, "files": str(self.files), **facts}
            self.tried += 1
            yield from (f"{scenario} at {place.name}, {facts}: {f}" for f in judged(children.ask(**job), expected))

    def works_again(self, children: Tracees, place: Path) -> Iterator[str]:
        """Whether all is whole, and registering works, now that nothing stands in the way."""
        job = {"do": "check", "place": str(place), "scenario": "files", "files": str(self.files)}
        yield from (f"{place.name}, afterwards: {f}" for f in children.ask(**job).first("findings"))


def _somebody() -> dict[str, int]:
    """Who is refused: root is never, so nobody instead."""
    return {"user": NOBODY} if os.geteuid() == 0 else {}


READS_ONLY: tuple[tuple[str, Expected], ...] = (("load", "works"), ("small", "refused"), ("files", "refused"))
NOTHING: tuple[tuple[str, Expected], ...] = (("load", "refused"), ("small", "refused"))


def _read_only_directory(bench: _Bench, children: Tracees) -> Iterator[str]:
    place = bench.fresh("read-only")
    with _modes(place, lambda mode: mode & ~0o222 | 0o444):
        yield from bench.attempts(children, place, READS_ONLY, **_somebody())
    yield from bench.works_again(children, place)


def _no_permission(bench: _Bench, children: Tracees) -> Iterator[str]:
    for name in (".", "chopmark.db", "blobs"):
        place = bench.fresh(f"closed-{name}")
        with _mode(place / name, 0):
            yield from bench.attempts(children, place, NOTHING, **_somebody())
        yield from bench.works_again(children, place)
    place = bench.home / "closed-parent"
    place.mkdir(mode=0o500)
    yield from bench.attempts(children, place / "registry", (("small", "refused"),), **_somebody())


def _read_only_file_system(bench: _Bench, children: Tracees) -> Iterator[str]:
    with _disk(bench.home / "disk-ro") as disk:
        place = bench.fresh("read-only", disk)
        _mount("-o", "remount,ro", str(disk))
        yield from bench.attempts(children, place, READS_ONLY)
        _mount("-o", "remount,rw", str(disk))
        yield from bench.works_again(children, place)


def _full_disk(bench: _Bench, children: Tracees) -> Iterator[str]:
    with _disk(bench.home / "disk-full") as disk:
        for free_kib in FREE_KIB:
            place = bench.fresh(f"full-{free_kib}", disk)
            filler = disk / "filler"
            room = shutil.disk_usage(disk).free - free_kib * 1024
            filler.write_bytes(bytes(max(0, room)))
            cases: tuple[tuple[str, Expected], ...] = (("small", "either"), ("files", "either"), ("load", "either"))
            if free_kib < 600:
                cases = (("files", "refused"), *cases)
            yield from bench.attempts(children, place, cases)
            filler.unlink()
            yield from bench.works_again(children, place)
            shutil.rmtree(place)


def _long_files(bench: _Bench, children: Tracees) -> Iterator[str]:
    for limit in FILE_LIMITS:
        place = bench.fresh(f"limit-{limit}")
        expected: Expected = "refused" if limit < 300_000 else "either"
        yield from bench.attempts(children, place, (("small", "either"), ("files", expected)), limit_bytes=limit)
        yield from bench.works_again(children, place)


_TRIES: dict[str, Callable[[_Bench, Tracees], Iterator[str]]] = {
    "a directory that may only be read": _read_only_directory,
    "a file system that may only be read": _read_only_file_system,
    "permission denied": _no_permission,
    "a full disk": _full_disk,
    "a limit on the length of files": _long_files,
}


@contextmanager
def _modes(directory: Path, changed: Callable[[int], int]) -> Iterator[None]:
    """Change the modes of everything below a directory, and back."""
    before = {path: stat.S_IMODE(path.lstat().st_mode) for path in (directory, *directory.rglob("*"))}
    for path, mode in before.items():
        path.chmod(changed(mode))
    try:
        yield
    finally:
        for path, mode in before.items():
            path.chmod(mode)


@contextmanager
def _mode(path: Path, mode: int) -> Iterator[None]:
    before = stat.S_IMODE(path.stat().st_mode)
    path.chmod(mode)
    try:
        yield
    finally:
        path.chmod(before)


@contextmanager
def _disk(place: Path) -> Iterator[Path]:
    """A small file system of its own."""
    if os.geteuid() != 0:
        raise _Impossible("only root may mount a file system")
    place.mkdir()
    _mount("-t", "tmpfs", "-o", f"size={DISK_KIB}k", "faults", str(place))
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def _mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise _Impossible(f"nothing may be mounted here: {done.stderr.strip()[:200]}")


class _Clock:
    """A clock that goes on by a second with every reading, and back by a day before one of them."""

    def __init__(self, back_at: int) -> None:
        self.now = datetime(2026, 6, 1, tzinfo=UTC)
        self.readings = 0
        self._back_at = back_at

    def __call__(self) -> datetime:
        self.readings += 1
        self.now += timedelta(seconds=1)
        if self.readings == self._back_at:
            self.now -= timedelta(days=1)
        return self.now


def clock_faults(place: Path, back_at: int) -> list[str]:
    """What is wrong after a life in which the clock went back by a day before its n-th reading."""
    clock = _Clock(back_at)
    found: list[str] = []
    try:
        with cm.open(place, clock=clock, actor="faults", progress="never") as registry:
            versions = [registry.register("fraud", {"threshold": n / 10}, allow_twin=True) for n in range(3)]
            registry.promote(versions[0], "staging", reason="its turn")
            registry.alias("fraud@champion", versions[1], reason="its turn")
            registry.versions.delete(versions[2])
            registry.versions.restore(versions[2])
            registry.storage.collect(grace_hours=0)
            clock.now += timedelta(days=2)
            versions.append(registry.register("fraud", {"threshold": 0.9}))
            found += _clock_faults(registry, versions)
        with cm.open(place, clock=clock, actor="faults", progress="never") as registry:
            found += _clock_faults(registry, versions)
    except ChopmarkError as error:
        found.append(f"{type(error).__name__}: {error}")
    shutil.rmtree(place, ignore_errors=True)
    return [f"back before reading {back_at}: {fault}" for fault in found]


def _clock_faults(registry: cm.Registry, versions: Sequence[Any]) -> list[str]:
    held = sorted(registry.versions.each(), key=lambda v: v.number)
    found = [] if [v.ref for v in held] == [v.ref for v in versions] else [f"the versions are {[v.ref for v in held]}"]
    found += [fault for version in held for fault in bytes_faults(registry, version)]
    if registry.get("fraud").number != len(versions):
        found.append("the latest version is not the one that was registered last")
    if registry.get("fraud@champion").number != 2:
        found.append("the alias moved")
    return found + check_faults(registry)
