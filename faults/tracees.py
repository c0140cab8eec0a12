"""The processes whose system calls are failed: forked one by one from a server that has everything imported.

strace counts ``when=N`` for each thread of its tracees by itself, and a forked child begins at nothing. So one strace,
attached to the server once, serves all: who wants the k-th call of a kind to fail first makes so many calls of that kind
that do nothing (on a descriptor that is none) that the k-th from there is the N-th. The server itself makes no call of a
kind that is failed: it waits for messages, forks, and waits for the child.
"""

from __future__ import annotations

import ctypes
import hashlib
import io
import json
import os
import resource
import socket
import sys
import tempfile
import threading
import traceback
import warnings
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import chopmark as cm
from chopmark.blobs import open_store
from chopmark.errors import ChopmarkError
from faults.wholeness import faults_of, register_scenario

__all__ = ["MARK_DESCRIPTOR", "MESSAGE_BYTES", "NUMBERS", "main"]

MESSAGE_BYTES = 60_000
MARK_DESCRIPTOR = 9_999
"""Nothing is open there: what is written to it is seen in the trace, and nowhere else."""

_PR_SET_PTRACER, _ANY = 0x59616D61, -1

# Calls about files, names, sizes and syncs, by their numbers on x86-64 (arch/x86/entry/syscalls/syscall_64.tbl).
NUMBERS = {
    "read": 0, "write": 1, "close": 3, "fstat": 5, "lseek": 8, "mmap": 9, "ioctl": 16, "pread64": 17, "pwrite64": 18,
    "readv": 19, "writev": 20, "access": 21, "sendfile": 40, "fcntl": 72, "flock": 73, "fsync": 74, "fdatasync": 75,
    "ftruncate": 77, "rename": 82, "mkdir": 83, "rmdir": 84, "link": 86, "unlink": 87, "readlink": 89, "chmod": 90,
    "fchmod": 91, "getdents64": 217, "fadvise64": 221, "openat": 257, "mkdirat": 258, "newfstatat": 262,
    "unlinkat": 263, "renameat": 264, "linkat": 265, "fchmodat": 268, "utimensat": 280, "fallocate": 285,
    "pwritev": 296, "renameat2": 316, "copy_file_range": 326, "statx": 332,
}  # fmt: skip


def main() -> None:
    """Fork a child for each message of the socket whose descriptor is the argument, until it is closed."""
    told = socket.socket(fileno=int(sys.argv[1]))
    _let_anybody_trace()
    with tempfile.TemporaryDirectory() as scratch:
        _warm_up(Path(scratch))
    told.send(b'{"ready": true}')
    while message := told.recv(MESSAGE_BYTES):
        child = os.fork()
        if child == 0:
            _be_child(told, json.loads(message))
        _, status = os.waitpid(child, 0)
        told.send(json.dumps({"pid": child, "ended": os.waitstatus_to_exitcode(status)}).encode())


def _let_anybody_trace() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PTRACER, ctypes.c_ulong(_ANY), 0, 0, 0)


def _warm_up(scratch: Path) -> None:
    """Import all that a registration and a check import."""
    files = scratch / "files"
    files.mkdir()
    (files / "weights.bin").write_bytes(bytes(2_000_000))
    place = scratch / "registry"
    for scenario in ("small", "files"):
        with cm.open(place, actor="faults", progress="never") as registry:
            register_scenario(registry, scenario, str(files))
    faults_of(place, "")


def _be_child(told: socket.socket, job: dict[str, Any]) -> None:
    code = 70
    try:
        jobs: dict[str, Callable[[dict[str, Any]], None]] = {
            "check": _check,
            "register": _register,
            "attempt": _attempt,
            "put": _put,
        }

        def tell(**facts: Any) -> None:
            told.send(json.dumps(facts).encode()[:MESSAGE_BYTES])

        jobs[job["do"]]({**job, "tell": tell})
        code = 0
    except BaseException:  # noqa: BLE001 - the harness is at fault, and says so
        told.send(json.dumps({"broke": traceback.format_exc()}).encode()[:MESSAGE_BYTES])
    finally:
        os._exit(code)


def _check(job: dict[str, Any]) -> None:
    texts = (job.get(name, "") for name in ("acknowledged", "scenario", "files"))
    job["tell"](findings=faults_of(Path(job["place"]), *texts))


def _attempt(job: dict[str, Any]) -> None:
    """Load what is there, or register, as another user, or with a limit on the length of files."""
    if job.get("limit_bytes") is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (job["limit_bytes"], resource.RLIM_INFINITY))
    if job.get("user") is not None:
        os.setgroups([])
        os.setgid(job["user"])
        os.setuid(job["user"])
    warnings.simplefilter("ignore")
    tell = job["tell"]
    threading.excepthook = lambda a: tell(background=_told_of(a.exc_value))
    if job["scenario"] != "load":
        _open_and_register(job, tell)
        return
    try:
        with cm.open(job["place"], actor="faults", progress="never") as registry:
            tell(loaded=registry.load("fraud:1"), is_whole=registry.storage.check().ok)
    except BaseException as error:  # noqa: BLE001 - told to who judges it
        tell(step="load", **_told_of(error))


def _put(job: dict[str, Any]) -> None:
    """Put a file into a store, with a call failed; then say what this process believes of it."""
    tell, content = job["tell"], Path(job["file"]).read_bytes()
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    with closing(open_store(job["place"])) as store:
        _mark("begin 0")
        _make_empty_calls(job["call"], job["empty"])
        try:
            stored = store.put(io.BytesIO(content) if job["is_stream"] else Path(job["file"]))
            tell(acknowledged=stored.digest)
        except BaseException as error:  # noqa: BLE001 - told to who judges it
            tell(step="put", **_told_of(error))
        _mark("end")
        tell(claims=store.stat(digest) is not None)


def _register(job: dict[str, Any]) -> None:
    """Register in a thread whose count of calls begins now. Those that it starts have counts of their own, from their starts."""
    tell = job["tell"]
    threading.excepthook = lambda a: tell(background=_told_of(a.exc_value))
    sys.unraisablehook = lambda a: tell(background=_told_of(a.exc_value))
    warnings.simplefilter("ignore")
    threads = iter(range(1_000))
    original = threading.Thread.run

    def run(thread: threading.Thread) -> None:
        ordinal = next(threads)
        _mark(f"begin {ordinal}")
        if ordinal == job.get("thread"):
            _make_empty_calls(job["call"], job["empty"])
        original(thread)

    setattr(threading.Thread, "run", run)  # noqa: B010 - no type of a method has room for a function
    worker = threading.Thread(target=_open_and_register, args=(job, tell))
    worker.start()
    worker.join()
    _mark("end")


def _open_and_register(job: dict[str, Any], tell: Callable[..., None]) -> None:
    step = "open"
    try:
        registry = cm.open(job["place"], actor="faults", progress="never")
        step = "register"
        try:
            version = register_scenario(registry, job["scenario"], job["files"])
            tell(acknowledged=f"{version.ref} {version.digest}")
            _mark("acknowledged")
            step = "close"
        finally:
            registry.close()
    except BaseException as error:  # noqa: BLE001 - told to who judges it
        tell(step=step, **_told_of(error))


def _told_of(error: BaseException | None) -> dict[str, Any]:
    ours = isinstance(error, ChopmarkError)
    hint = error.hint if isinstance(error, ChopmarkError) else ""
    trace = "" if ours else "".join(traceback.format_exception(error))[-3_000:]
    return {"error": type(error).__name__, "ours": ours, "hint": hint, "text": str(error)[:500], "trace": trace}


def _mark(text: str) -> None:
    raw = text.encode()
    ctypes.CDLL(None).write(MARK_DESCRIPTOR, raw, len(raw))


def _make_empty_calls(call: str, count: int) -> None:
    """Make calls of a kind that do nothing but fail, each at once: no descriptor is -1, and no path stands there."""
    syscall, number = ctypes.CDLL(None).syscall, ctypes.c_long(NUMBERS[call])
    nowhere = ctypes.c_long(-1)
    for _ in range(count):
        syscall(number, nowhere, nowhere, 0, 0, 0, 0)


if __name__ == "__main__":
    main()
