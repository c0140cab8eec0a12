"""strace, attached to a server of children (`faults.tracees`): to count their system calls, or to fail one of them."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from faults.tracees import MARK_DESCRIPTOR, MESSAGE_BYTES, NUMBERS

__all__ = ["Calls", "Told", "Tracees", "calls_of", "injected", "lacking"]

ANSWER_S = 60.0
_LINE = re.compile(r"(\d+) +(\w+)\(")
_MARK = re.compile(rf'(\d+) +write\({MARK_DESCRIPTOR}, "(begin|end) ?(\d*)"')


def lacking() -> str:
    """What this machine lacks to trace processes; empty when nothing."""
    if shutil.which("strace") is None:
        return "no strace (Debian, Ubuntu: apt-get install strace)"
    if sys.platform != "linux" or sys.maxsize < 2**32 or "x86_64" not in _machine():
        return "the numbers of system calls are known here for Linux on x86-64 only"
    tried = subprocess.run(["strace", "-qq", "-e", "trace=none", "true"], capture_output=True, text=True, check=False)
    return "" if tried.returncode == 0 else f"strace may not trace here: {tried.stderr.strip()[:200]}"


def _machine() -> str:
    import platform

    return platform.machine()


@dataclass(frozen=True)
class Told:
    """What a child told, and how it ended (a negative number: killed by that signal)."""

    pid: int
    ended: int
    messages: Sequence[Mapping[str, Any]]

    def first(self, key: str) -> Any:
        """The first value that was told under a key; None without."""
        return next((message[key] for message in self.messages if key in message), None)


class Tracees:
    """A server of children, with a strace attached to it when there is something to trace.

    Parameters
    ----------
    home
        Where the logs go.
    inject
        strace's words for each call: ``{"fsync": "error=EIO:when=40"}``. The calls are traced, too.
    is_traced
        Whether strace is there at all.
    shows_paths
        Whether the log has the path of each descriptor.
    """

    def __init__(
        self,
        home: Path,
        inject: Mapping[str, str] | None = None,
        *,
        is_traced: bool = True,
        shows_paths: bool = False,
    ) -> None:
        self._shows_paths = shows_paths
        self.log = home / "calls"
        self._inject = inject or {}
        self._home = home
        home.mkdir(parents=True, exist_ok=True)
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.settimeout(ANSWER_S)
        with (home / "server.log").open("ab") as log, theirs:
            self._server = subprocess.Popen(
                [sys.executable, "-m", "faults.tracees", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                cwd=home,  # which no git knows: its processes would be traced, too
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._strace: subprocess.Popen[bytes] | None = None
        try:
            self._receive()
            if is_traced:
                self._strace = self._attach()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def ask(self, **job: Any) -> Told:
        """Have a child do a job; what it told."""
        self._socket.send(json.dumps(job).encode())
        messages: list[dict[str, Any]] = []
        while True:
            message = self._receive()
            if "broke" in message:
                raise RuntimeError(f"The harness broke in a child:\n{message['broke']}")
            if "ended" in message:
                return Told(message["pid"], message["ended"], messages)
            messages.append(message)

    def close(self) -> None:
        """End the server, and with it strace."""
        self._socket.close()
        for process in (self._server, self._strace):
            if process is None:
                continue
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _receive(self) -> dict[str, Any]:
        message = self._socket.recv(MESSAGE_BYTES)
        if not message:
            raise RuntimeError(f"The server of tracees ended:\n{(self._home / 'server.log').read_text()[-2000:]}")
        found: dict[str, Any] = json.loads(message)
        return found

    def _attach(self) -> subprocess.Popen[bytes]:
        names = ",".join(NUMBERS)
        injections = [f"--inject={name}:{how}" for name, how in self._inject.items()]
        options = ["-f", "-o", str(self.log), "-s", "16", "-e", f"trace={names}", "-e", "signal=none"]
        if self._shows_paths:
            options.append("-y")
        errors = self._home / "strace.log"
        with errors.open("wb") as log:
            strace = subprocess.Popen(
                ["strace", *options, *injections, "-p", str(self._server.pid)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        limit = time.monotonic() + ANSWER_S
        while "attached" not in errors.read_text():
            if strace.poll() is not None or time.monotonic() > limit:
                raise RuntimeError(f"strace did not attach: {errors.read_text()[-500:]}")
            time.sleep(0.01)
        return strace


@dataclass
class Calls:
    """Calls of one child, by thread (in the order of their starts) and name: before its mark, and after."""

    before: dict[int, Counter[str]] = field(default_factory=dict)
    after: dict[int, Counter[str]] = field(default_factory=dict)


def calls_of(log: Path) -> list[Calls]:
    """The calls of the children in a log, in their order; those after the end of a registration are left out."""
    found: list[Calls] = []
    counted: dict[str, Counter[str]] = {}
    threads: dict[str, int] = {}
    has_ended = True
    for line in log.read_text(errors="replace").splitlines():
        matched = _LINE.match(line)
        if matched is None:  # the rest of a call that was told before, or an end
            continue
        pid, name = matched.groups()
        mark = _MARK.match(line)
        if mark is not None and mark[2] == "end":
            has_ended = True
            threads.clear()
            continue
        counted.setdefault(pid, Counter())[name] += 1
        if mark is not None and mark[2] == "begin":
            if has_ended:
                found.append(Calls())
                has_ended = False
            threads[pid] = int(mark[3])
            found[-1].before[threads[pid]] = Counter(counted[pid])
        elif pid in threads:
            found[-1].after.setdefault(threads[pid], Counter())[name] += 1
    return found


def injected(log: Path) -> dict[int, int]:
    """How many calls of each process or thread were failed, by its number."""
    lines = (line for line in log.read_text(errors="replace").splitlines() if "(INJECTED" in line)
    return Counter(int(line.split(maxsplit=1)[0]) for line in lines)
