"""A sync that fails: what was written is thrown away and reported, never tried again into a success.

After a failed fsync the kernel may have dropped the pages it could not write and call them clean: a second fsync of the
same file says nothing. So each sync of a put, and of a registration, is failed in turn. The put raises; nothing claims
that the bytes are there; and the next put of the same bytes writes them to a new file and syncs that.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import chopmark as cm
from faults.options import Options
from faults.report import Outcome
from faults.strace import Told, Tracees, lacking

__all__ = ["Put", "is_of_index", "log_faults", "lost_syncs", "puts_of", "run", "told_faults"]

SYNCS = ("fsync", "fdatasync")
TURN = 400
"""The call that fails, by strace's count: more than a put or a registration makes by itself."""

THREADS = (0, 1)
"""Of a registration: the one that registers, and the first that it starts, which stores."""

SIZES = {"small": 900, "large": 300_000, "text": 300_000, "huge": 9_000_000}
_CALL = re.compile(r"(\d+) +(\w+)\((.*)")
_RESULT = re.compile(r"\) += (-?\d+)(.*)$")
_PATH = re.compile(r"-?\d+<([^>]*)>")


@dataclass
class Put:
    """What one put did by the log: bytes written to each file, syncs that succeeded and failed, in order."""

    written: dict[str, int] = field(default_factory=dict)
    synced: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    synced_after_failure: list[str] = field(default_factory=list)


def run(options: Options) -> list[Outcome]:
    """Fail each sync of a put into a directory."""
    what = "each fsync of a put fails"
    if reason := lacking():
        return [Outcome(what, 0, missing=reason)]
    home = options.place("syncs")
    files = _files(home, options)
    findings: list[str] = []
    rounds = 0
    inject = dict.fromkeys(SYNCS, f"error=EIO:when={TURN}")
    with Tracees(home / "traced", inject, shows_paths=True) as tracees:
        for name, file in files.items():
            for is_stream in (False, True):
                for call in SYNCS:
                    for nth in range(1, TURN):
                        round_ = _Round(tracees, home, file, is_stream=is_stream)
                        reached, found = round_.fail(call, nth)
                        if not reached:
                            break
                        rounds += 1
                        kind = "stream" if is_stream else "file"
                        findings += [f"{call} {nth} of a put of a {name} {kind}: {f}" for f in found]
        registered = _in_registrations(tracees, home)
    if rounds == 0:
        findings.append("no sync was ever failed: a put makes none, or the trace does not see it")
    how = "EIO from each fsync and fdatasync of a put, of files and streams, small, large, compressed and not"
    return [Outcome(what, rounds, findings=findings, how=how), registered]


def _in_registrations(tracees: Tracees, home: Path) -> Outcome:
    """Fail each sync of a registration: what was acknowledged before it counts, and nothing after it.

    A checkpoint is no matter: the log that it empties keeps what it could not bring over.
    """
    with cm.open(home / "template", actor="faults", progress="never") as registry:
        registry.register("fraud", {"threshold": 0.1})
    job = {"do": "register", "scenario": "small", "files": "", "place": str(home / "registry")}
    place = home / "registry"
    packs = place / "blobs" / "packs"
    of_sqlite = tuple(map(str, (place, place / "chopmark.db", packs, packs / "index.db")))
    rounds = 0
    findings = []
    for thread in THREADS:
        for call in SYNCS:
            for nth in range(1, TURN):
                shutil.rmtree(home / "registry", ignore_errors=True)
                shutil.copytree(home / "template", home / "registry")
                before = tracees.log.stat().st_size
                told = tracees.ask(**job, thread=thread, call=call, empty=TURN - nth)
                lost = lost_syncs(_lines(tracees.log, before), *of_sqlite)
                if lost is None:
                    break
                rounds += 1
                if lost and told.first("acknowledged") is not None:
                    findings.append(f"{call} {nth} of thread {thread}: acknowledged though {lost} was not synced")
    if rounds == 0:
        findings.append("no sync was ever failed: a registration makes none, or the trace does not see it")
    return Outcome("each fsync of a registration fails", rounds, findings=findings)


def lost_syncs(lines: Sequence[str], *of_sqlite: str) -> list[str] | None:
    """Files and directories whose sync failed before the acknowledgement; None when no sync was failed at all.

    Left out is what is SQLite's own business: its database, whose log keeps what could not be brought over, and the
    directory of a log that it has just made, of which it does not look at what comes of the sync.
    """
    acknowledged = next((n for n, line in enumerate(lines) if '"acknowledged"' in line), len(lines))
    failed = [n for n, line in enumerate(lines) if "INJECTED" in line]
    if not failed:
        return None
    paths = [_PATH.search(lines[n].partition("(")[2]) for n in failed if n < acknowledged]
    return [path[1] for path in paths if path is not None and path[1] not in of_sqlite]


def _lines(log: Path, begin: int) -> list[str]:
    with log.open(errors="replace") as file:
        file.seek(begin)
        return file.read().splitlines()


def _files(home: Path, options: Options) -> dict[str, Path]:
    files = {}
    for name, size in SIZES.items():
        files[name] = home / f"{name}.bin"
        content = b"said again. " * (size // 12) if name == "text" else options.random("syncs", name).randbytes(size)
        files[name].write_bytes(content)
    return files


class _Round:
    """A fresh store, a put with a failed sync, and the same put again in a process that knows nothing of it."""

    def __init__(self, tracees: Tracees, home: Path, file: Path, *, is_stream: bool) -> None:
        self._tracees = tracees
        self._place = home / "store"
        self._file = file
        self._job: dict[str, Any] = {"do": "put", "place": str(self._place), "file": str(file), "is_stream": is_stream}

    def fail(self, call: str, nth: int) -> tuple[bool, list[str]]:
        """Fail the nth sync of a kind; whether there was one, and what is wrong."""
        shutil.rmtree(self._place, ignore_errors=True)
        first, failed = self._put(call, TURN - nth)
        if not failed.failed:
            return False, []
        second, again = self._put(call, 0)
        if is_of_index(failed.failed[0], call):
            works = second.first("acknowledged") is not None
            return True, [] if works else [f"the next put does not work: {second.first('text')}"]
        return True, told_faults(first, second) + log_faults(failed, again, self._file.stat().st_size)

    def _put(self, call: str, empty: int) -> tuple[Told, Put]:
        before = self._tracees.log.stat().st_size
        told = self._tracees.ask(**self._job, call=call, empty=empty)
        return told, puts_of(_lines(self._tracees.log, before))


def is_of_index(path: str, call: str) -> bool:
    """Whether a failed sync was one of an index in SQLite, which can be made again from what it is an index of.

    The log of the catalog counts all the same; that of the packs' index waits for nothing. SQLite is who asks for fdatasync, also of the directory of a file it has just made.
    """
    is_database = path.endswith((".db", ".db-journal", ".db-shm", "packs/index.db-wal"))
    return is_database or (call == "fdatasync" and not Path(path).suffix)


def told_faults(first: Told, second: Told) -> list[str]:
    """What is wrong with what the two processes said."""
    found = []
    if first.first("acknowledged") is not None:
        found.append("the put was acknowledged though a sync failed")
    elif not first.first("ours") or not first.first("hint"):
        found.append(f"the put raised {first.first('text')!r}, which is no error of ours or has no hint")
    if first.first("claims"):
        found.append("the store claims afterwards that the bytes are there")
    if second.first("acknowledged") is None:
        found.append(f"the next put does not work: {second.first('text')}")
    return found


def log_faults(failed: Put, again: Put, size_bytes: int) -> list[str]:
    """What is wrong with what the two puts did.

    Parameters
    ----------
    size_bytes
        Of the content; a compressed file is shorter, and takes a tenth at least here.
    """
    found = [f"{path} was synced again after its sync failed" for path in failed.synced_after_failure]
    written = sum(again.written.values())
    if written < min(size_bytes, 400) // 10:
        found.append(f"the next put wrote {written} bytes only: it trusted what was not synced")
    if not again.synced:
        found.append("the next put synced nothing")
    return found


def puts_of(lines: Sequence[str]) -> Put:
    """What the calls of a trace with paths did between the marks."""
    put = Put()
    unwritten: set[str] = set()  # files whose sync failed, and that nothing was written to since
    for line in lines:
        called, result = _CALL.match(line), _RESULT.search(line)
        if called is None or result is None:
            continue
        name, path = called[2], _PATH.search(called[3])
        where = path[1] if path is not None else ""
        if not where:  # an empty call, or the mark
            continue
        if name in SYNCS and "INJECTED" in result[2]:
            put.failed.append(where)
            unwritten.add(where)
        elif name in SYNCS and result[1] == "0":
            put.synced.append(where)
            if where in unwritten:
                put.synced_after_failure.append(where)
        elif name in ("write", "pwrite64", "writev", "pwritev", "copy_file_range", "sendfile") and int(result[1]) > 0:
            put.written[where] = put.written.get(where, 0) + int(result[1])
            unwritten.discard(where)
    return put
