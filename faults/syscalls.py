"""Every system call of a registration, killed and failed in turn.

One registration is traced and its calls counted, by thread and name; then it is done again for each call, in a copy of
the same registry, with exactly that call killed before it happens, or failed with EIO, or with ENOSPC. Afterwards, in a
process that knows nothing of it: the version is there, whole and with the right bytes, or not at all; what was acknowledged
is there; the registry's own check is clean; and registering the same again works. What the failed process raised is an
error of ours that says what to do next.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import chopmark as cm
from faults.options import Options
from faults.report import Outcome
from faults.strace import Calls, Told, Tracees, calls_of, injected, lacking

__all__ = ["KINDS", "SCENARIOS", "Target", "error_faults", "run", "sampled", "targets_of"]

KINDS = {"SIGKILL": "signal=SIGKILL", "EIO": "error=EIO", "ENOSPC": "error=ENOSPC"}
SCENARIOS = {
    "small": "a small model, into a registry that has one",
    "files": "a large file and many small ones, into a registry that has a model",
    "first": "a small model, into a directory that is not there yet",
}
SHORT_TARGETS = 90
FILES, FILE_BYTES, LARGE_FILE_BYTES = 12, 5_000, 1_500_000
SPARE = 64  # what threads make that are not counted, and a run may make a few calls more than the one that was

# What can fail for want of room; the others would only be EIO by another name.
_TAKES_ROOM = frozenset(
    [
        "write",
        "pwrite64",
        "writev",
        "pwritev",
        "openat",
        "mkdir",
        "mkdirat",
        "link",
        "linkat",
        "rename",
        "renameat",
        "renameat2",
        "fsync",
        "fdatasync",
        "ftruncate",
        "fallocate",
        "copy_file_range",
        "sendfile",
        "close",
        "mmap",
    ]
)
_PROGRAM = str(Path(cm.__file__).parent)
# Without memory or threads Python itself cannot go on, and says so by errors of its own.
_OF_MEMORY = frozenset({"MemoryError", "RuntimeError"})


@dataclass(frozen=True)
class Target:
    """One call: the ``nth`` (from 1) of a name in a thread, in the order of their starts, of a scenario; and what befalls it."""

    kind: str
    scenario: str
    thread: int
    call: str
    nth: int

    def __str__(self) -> str:
        return f"{self.kind} at {self.call} {self.nth} of thread {self.thread}, {self.scenario}"


def run(options: Options) -> list[Outcome]:
    """Fail every call, or in the short form an evenly spaced sample of them."""
    if reason := lacking():
        return [Outcome("system calls of a registration", 0, missing=reason)]
    bench = _Bench(options)
    counted = bench.count()
    targets = {kind: targets_of(kind, counted) for kind in KINDS}
    share = SHORT_TARGETS // len(KINDS)
    with ThreadPoolExecutor(len(KINDS)) as pool:
        asked = {kind: sampled(all_, share) if options.short else all_ for kind, all_ in targets.items()}
        done = list(pool.map(lambda kind: bench.fail_all(kind, asked[kind], counted), KINDS))
    return [
        Outcome(
            f"{kind} at each system call of a registration",
            result.rounds,
            findings=result.findings,
            figures={"calls": len(targets[kind]), "reached": result.reached, "acknowledged": result.acknowledged},
            how="; ".join(f"{name}: {what}" for name, what in SCENARIOS.items()),
        )
        for kind, result in zip(KINDS, done, strict=True)
    ]


def targets_of(kind: str, counted: Mapping[str, Calls]) -> list[Target]:
    """All calls that can be failed this way."""
    return [
        Target(kind, scenario, thread, call, nth)
        for scenario, calls in counted.items()
        for thread, names in sorted(calls.after.items())
        for call, count in sorted(names.items())
        if kind != "ENOSPC" or call in _TAKES_ROOM
        for nth in range(1, count + 1)
    ]


def sampled(targets: Sequence[Target], count: int) -> list[Target]:
    """So many of them, evenly spaced; all when there are fewer."""
    if len(targets) <= count:
        return list(targets)
    return [targets[round(n * (len(targets) - 1) / (count - 1))] for n in range(count)]


def error_faults(told: Told, target: Target) -> list[str]:
    """What is wrong with how a process ended and with what it raised."""
    if target.kind == "SIGKILL":
        return [] if told.ended in (0, -9) else [f"it ended with {told.ended}"]
    found = [] if told.ended == 0 else [f"it ended with {told.ended}"]
    if told.first("error") is None and told.first("acknowledged") is None:
        found.append("it neither raised nor acknowledged")
    for message in told.messages:
        raised = message.get("background", message)
        if "error" not in raised:
            continue
        if target.call == "mmap" and raised["error"] in _OF_MEMORY:
            continue
        where = "a thread of the background" if "background" in message else message.get("step")
        if _PROGRAM in raised["text"]:  # a file of the program itself could not be read: Python's to tell
            continue
        if not raised["ours"]:
            found.append(f"{where} raised an error of others: {raised['trace']}")
        elif not raised["hint"]:
            found.append(f"{where} raised {raised['error']} without saying what to do: {raised['text']}")
    return found


@dataclass
class _Result:
    rounds: int
    reached: int
    acknowledged: int
    findings: list[str]


class _Bench:
    """Where registrations are done: a registry and files to copy, the servers of tracees."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._place = options.place("syscalls")
        self._files = self._place / "files"
        self._template = self._place / "template"
        _write_files(self._files, options.random("syscalls"))
        with cm.open(self._template, actor="faults", progress="never") as registry:
            registry.register("fraud", {"threshold": 0.1})

    def count(self) -> dict[str, Calls]:
        """The calls of one registration of each scenario."""
        home = self._place / "count"
        with Tracees(home) as tracees:
            for scenario in SCENARIOS:
                told = tracees.ask(**self._job(scenario, self._fresh(home, scenario)))
                if told.first("acknowledged") is None:
                    raise RuntimeError(f"Without a fault, {scenario} does not work: {told}")
        return dict(zip(SCENARIOS, calls_of(home / "calls"), strict=True))

    def fail_all(self, kind: str, targets: Sequence[Target], counted: Mapping[str, Calls]) -> _Result:
        """Fail each target in turn."""
        home = self._place / kind
        turns = _turns(counted)
        result = _Result(0, 0, 0, [])
        with (
            Tracees(home, {call: f"{KINDS[kind]}:when={turn}" for call, turn in turns.items()}) as tracees,
            Tracees(home / "check", is_traced=False) as checker,
        ):
            pids = {}
            for target in targets:
                place = self._fresh(home, target.scenario)
                empty = turns[target.call] - counted[target.scenario].before[target.thread][target.call] - target.nth
                job = {**self._job(target.scenario, place), "thread": target.thread, "call": target.call}
                told = tracees.ask(**job, empty=empty)
                pids[target] = told
                found = error_faults(told, target) + self._check(checker, told, target, place)
                result.findings += self._told(found, target, place)
                result.rounds += 1
                result.acknowledged += told.first("acknowledged") is not None
                shutil.rmtree(place, ignore_errors=True)
        result.reached = _reached(kind, pids.values(), home / "calls")
        return result

    def _check(self, checker: Tracees, told: Told, target: Target, place: Path) -> list[str]:
        acknowledged = told.first("acknowledged") or ""
        job = {"do": "check", "place": str(place), "scenario": target.scenario, "files": str(self._files)}
        found: list[str] = checker.ask(**job, acknowledged=acknowledged).first("findings")
        return found

    def _told(self, found: Sequence[str], target: Target, place: Path) -> Iterator[str]:
        if found:
            kept = self._options.kept(str(target).replace(" ", "-"), place)
            yield f"{target}: {'; '.join(found)} (after the check: {kept})"

    def _fresh(self, home: Path, scenario: str) -> Path:
        place = home / "registry"
        shutil.rmtree(place, ignore_errors=True)
        if scenario != "first":
            shutil.copytree(self._template, place)
        return place

    def _job(self, scenario: str, place: Path) -> dict[str, Any]:
        return {"do": "register", "scenario": scenario, "files": str(self._files), "place": str(place)}


def _turns(counted: Mapping[str, Calls]) -> dict[str, int]:
    """For each call the number at which strace fails it: beyond what any thread comes to by itself."""
    found: dict[str, int] = {}
    for calls in counted.values():
        for thread, names in calls.after.items():
            for call, count in names.items():
                found[call] = max(found.get(call, 0), calls.before[thread][call] + 2 * count + SPARE)
    return found


def _reached(kind: str, told: Any, log: Path) -> int:
    """In how many runs the fault happened: not in one that this time made fewer calls than the one that was counted."""
    if kind == "SIGKILL":
        return sum(1 for each in told if each.ended == -9)
    return len(injected(log))


def _write_files(directory: Path, drawn: random.Random) -> None:
    directory.mkdir()
    (directory / "weights.bin").write_bytes(drawn.randbytes(LARGE_FILE_BYTES))
    for n in range(FILES):
        (directory / f"part-{n:02}.json").write_bytes(drawn.randbytes(FILE_BYTES))
