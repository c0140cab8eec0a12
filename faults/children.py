"""Processes that are forked, listened to and killed.

A child announces what it has done by one unbuffered write a time: what was announced before the kill was acknowledged, and
nothing that was not written is ever told.
"""

from __future__ import annotations

import ctypes
import faulthandler
import json
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

__all__ = ["Announce", "Child", "answer_of", "ended_by_force", "kill", "listen"]

Announce = Callable[[dict[str, Any]], None]

_PIECE = 1 << 16
_DUMP_S = 1.0
_REAP_S = 30.0
_SHOWN = 6_000
_PR_SET_PDEATHSIG = 1


class Child:
    """A forked process and what it has announced.

    Parameters
    ----------
    work
        What it does, given the function by which it announces. It ends when that returns.
    log
        Where its standard error goes.
    """

    def __init__(self, work: Callable[[Announce], None], log: Path) -> None:
        self.heard: list[dict[str, Any]] = []
        self.moments: list[str] = []
        self.log = log
        self.ended = False
        self.status = 0
        self._rest = b""
        self.fd, writer = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            _live(work, writer, log)
        os.close(writer)
        os.set_blocking(self.fd, False)

    def drain(self) -> None:
        """Read what was announced; at the end of it, reap."""
        while not self.ended:
            try:
                piece = os.read(self.fd, _PIECE)
            except BlockingIOError:
                return
            if not piece:
                os.close(self.fd)
                _, self.status = os.waitpid(self.pid, 0)
                self.ended = True
                return
            *lines, self._rest = (self._rest + piece).split(b"\n")
            for told in map(json.loads, lines):
                if told["at"] == "moment":
                    self.moments.append(told["what"])
                else:
                    self.heard.append(told)

    def kill(self) -> None:
        """SIGKILL, unless it has been reaped."""
        if not self.ended:
            os.kill(self.pid, signal.SIGKILL)


def _live(work: Callable[[Announce], None], writer: int, log: Path) -> None:
    """In the child: do the work and leave without the parent's clean-up."""
    code = 1
    try:
        _die_with_parent()
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644), 2)
        faulthandler.register(signal.SIGUSR1, file=2, all_threads=True)
        work(lambda what: _tell(writer, what))
        code = 0
    except BaseException as error:  # noqa: BLE001 - told to the parent
        text = f"{type(error).__name__}: {error}"
        _tell(writer, {"at": "error", "text": text, "trace": traceback.format_exc()[-6_000:]})
    finally:
        sys.stderr.flush()
        os._exit(code)


def _die_with_parent() -> None:
    """Leave nobody behind who waits to be killed, when the process that was to do it has gone. Linux can be told so."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _tell(writer: int, what: dict[str, Any]) -> None:
    """One write; only what does not fit into the pipe at once takes several."""
    data = json.dumps(what).encode() + b"\n"
    while data:
        data = data[os.write(writer, data) :]


def listen(children: Sequence[Child], until: Callable[[], bool], deadline: float) -> bool:
    """Hear the children until something holds; whether it did before the deadline (of `time.monotonic`)."""
    while not until():
        left_s = deadline - time.monotonic()
        alive = {child.fd: child for child in children if not child.ended}
        if left_s <= 0 or not alive:
            return until()
        ready, _, _ = select.select(list(alive), [], [], min(left_s, 60.0))
        for fd in ready:
            alive[fd].drain()
    return True


def kill(child: Child, others: Sequence[Child], mark: Callable[[], bool], delay_s: float, limit_s: float) -> str:
    """Kill a child some time after something holds, and reap it; where it was when it never came to that, else empty."""
    everybody = [child, *others]
    if not listen(everybody, lambda: mark() or child.ended, time.monotonic() + limit_s):
        return f"it did not come to that within {limit_s:.0f} s; it was at:\n{ended_by_force(child)}"
    listen(everybody, lambda: child.ended, time.monotonic() + delay_s)
    child.kill()
    listen(everybody, lambda: child.ended, time.monotonic() + _REAP_S)
    return ""


def ended_by_force(child: Child) -> str:
    """Kill a child that does not end by itself; where its threads were."""
    before = child.log.stat().st_size if child.log.exists() else 0
    os.kill(child.pid, signal.SIGUSR1)
    time.sleep(_DUMP_S)
    child.kill()
    listen([child], lambda: child.ended, time.monotonic() + _REAP_S)
    return child.log.read_bytes()[before:].decode(errors="replace")[-_SHOWN:]


def answer_of(work: Callable[[], Any], log: Path, limit_s: float) -> tuple[Any, str]:
    """What a function answers in a process of its own, or what went wrong in words."""
    child = Child(lambda tell: tell({"at": "answer", "answer": work()}), log)
    if not listen([child], lambda: child.ended, time.monotonic() + limit_s):
        return None, f"no answer within {limit_s:.0f} s; it was at:\n{ended_by_force(child)}"
    for heard in child.heard:
        if heard["at"] == "answer":
            return heard["answer"], ""
        return None, f"{heard['text']}\n{heard['trace']}"
    return None, f"it ended with {child.status} and no answer"
