"""A model in a process of its own, with limits, as its parent sees it.

The process is spawned and not forked. It is ended, and started anew, when it does not answer in time, sends what is no answer, or
uses nearly as much memory as it may; one that ends by itself is started anew. Who ends it again and again is started ever later.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from multiprocessing.reduction import ForkingPickler
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from chopmark.base.jsons import converted
from chopmark.errors import ChopmarkError, InvalidRequest, ModelFailed, ModelTimeout, Unavailable, from_code
from chopmark.gateway.execution.confinement import MIB
from chopmark.gateway.execution.frames import Frame, FrameFault, Head, await_begun, receive, send
from chopmark.gateway.execution.kinds import Loadable, Opened
from chopmark.gateway.telling import LOGGER

if TYPE_CHECKING:
    from chopmark.abc.predicting import Array, Inputs, Outputs

__all__ = ["Worker", "backoff_s"]

START_S = 600.0
ANSWER_BYTES_MAX = 256 << 20
_NEARLY = 0.9  # of the memory it may use: then it is started anew between two requests
_REMEMBERED_S = 60.0
_WAITED_S = 2.0  # a shorter pause is waited for, a longer one is told
_FIRST_S, _LONGEST_S = 0.25, 30.0
_ENDING_S = 0.5
_TEXT_MAX = 300


def backoff_s(ends: int) -> float:
    """Seconds before a process is started that has ended so many times within a minute.

    >>> [backoff_s(n) for n in (0, 1, 2, 3, 9, 50)]
    [0.0, 0.0, 0.25, 0.5, 30.0, 30.0]
    """
    return 0.0 if ends <= 1 else min(_LONGEST_S, _FIRST_S * 2.0 ** min(ends - 2, 20))


class Worker:
    """A model in a process.

    Parameters
    ----------
    loadable
        What it loads.
    memory_mib_max
        What it may use; 0 is without a limit.
    """

    def __init__(self, loadable: Loadable, memory_mib_max: int = 0) -> None:
        self._ref = loadable.ref
        self._load = loadable.load
        self._memory_bytes = memory_mib_max * MIB
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._lock = threading.Lock()  # between starting it and ending it for good
        self._ended = threading.Event()
        self._ends: deque[float] = deque()
        self._resident_bytes = 0
        self._is_first = True

    @property
    def pid(self) -> int | None:
        """Of the process; None while there is none."""
        process = self._process
        return None if process is None else process.pid

    def open(self) -> Opened:
        """Start the process; it loads the model and tries it."""
        return self._start()

    def ask(self, inputs: Inputs, outputs: Sequence[str], limit_s: float) -> Outputs:
        """Have it predict; one that does not answer in time is ended.

        Raises
        ------
        ModelTimeout, ModelFailed
            When it does not answer in time; when the model raised, or the process ended.
        Unavailable
            When it has ended so often that it is not started yet.
        """
        matrix = isinstance(inputs, np.ndarray)
        arrays = {"": inputs} if isinstance(inputs, np.ndarray) else inputs
        head = Head(kind="ask", matrix=matrix, outputs=tuple(outputs))
        deadline = time.monotonic() + limit_s
        try:
            channel = self._asked(head, arrays, limit_s)
            frame = receive(channel, deadline - time.monotonic(), ANSWER_BYTES_MAX)
            answer = self._answer(frame)
        except TimeoutError as error:
            self._end(ending=False)
            raise ModelTimeout(
                f"{self._ref} did not answer within {limit_s:g} s, and its process was ended."
            ) from error
        except FrameFault as error:
            how = self._end()
            raise ModelFailed(f"The process of {self._ref} {how}.", ended=True) from error
        self._resident_bytes = frame.head.resident_bytes
        return answer

    def rest(self) -> None:
        """Start it anew where it has ended, or uses nearly as much as it may."""
        if self._memory_bytes and self._resident_bytes > _NEARLY * self._memory_bytes:
            LOGGER.warning("%s uses %d MiB, and is started anew.", self._ref, self._resident_bytes // MIB)
            self._end(ending=False)
        if self._process is None and not self._pause_s():
            self._start()

    def kill(self) -> None:
        """End the process for good, whatever it does; from any thread."""
        with self._lock:
            self._ended.set()
            if self._process is not None:
                self._process.kill()

    def close(self) -> None:
        """End it, and wait until it has ended."""
        self.kill()
        self._reap()

    def _asked(self, head: Head, arrays: Mapping[str, Array], limit_s: float) -> socket.socket:
        """Where the answer comes from, once the process works on it. One that ended before is started for it, once."""
        channel = self._running()
        try:
            send(channel, head, arrays, limit_s)
            await_begun(channel, limit_s)
        except FrameFault:
            self._end()
            channel = self._running()
            send(channel, head, arrays, limit_s)
            await_begun(channel, limit_s)
        return channel

    def _running(self) -> socket.socket:
        if self._process is not None and self._process.poll() is not None:
            self._end()
        if self._channel is None:
            pause_s = self._pause_s()
            if pause_s > _WAITED_S:
                after_s = math.ceil(pause_s)
                msg = f"The process of {self._ref} has ended {len(self._ends)} times within a minute."
                raise Unavailable(msg, hint=f"It is started again in {after_s} s.", retry_after_s=after_s)
            self._ended.wait(pause_s)
            self._start()
        if self._channel is None:
            raise Unavailable(f"{self._ref} is being let go of.", hint="Send it again.", retry_after_s=1)
        return self._channel

    def _pause_s(self) -> float:
        now = time.monotonic()
        while self._ends and self._ends[0] < now - _REMEMBERED_S:
            self._ends.popleft()
        return max(0.0, self._ends[-1] + backoff_s(len(self._ends)) - now) if self._ends else 0.0

    def _start(self) -> Opened:
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "chopmark.gateway.execution.child"]
            facts = [str(theirs.fileno()), str(os.getpid()), str(self._memory_bytes)]
            with self._lock:
                if self._ended.is_set():
                    ours.close()
                    raise Unavailable(f"{self._ref} is being let go of.", hint="Send it again.", retry_after_s=1)
                # What it prints is for the log: our standard output may be somebody's data.
                self._process = subprocess.Popen(
                    [*command, *facts], stdin=subprocess.DEVNULL, stdout=2, pass_fds=[theirs.fileno()]
                )
                self._channel = ours
        try:
            load = np.frombuffer(ForkingPickler.dumps((sys.path, self._load, self._is_first)), np.uint8)
            send(ours, Head(kind="load"), {"load": load}, START_S)
            return self._opened(receive(ours, START_S))
        except (FrameFault, TimeoutError) as error:
            how = self._end()
            raise ModelFailed(f"The process of {self._ref} {how}, while it loaded.") from error
        except BaseException:
            self._end(ending=False)
            raise

    def _opened(self, frame: Frame) -> Opened:
        if frame.head.kind == "error":
            raise self._raised(frame.head, ChopmarkError)
        try:
            opened: Opened = converted(frame.head.facts, Opened)
        except msgspec.ValidationError as error:
            raise FrameFault(f"It sent what is no description of a model: {error}") from error
        self._is_first = False
        self._resident_bytes = frame.head.resident_bytes
        if self._memory_bytes and self._resident_bytes > _NEARLY * self._memory_bytes:
            msg = f"{self._ref} uses {self._resident_bytes // MIB:,} MiB once it is loaded."
            hint = f"It may use {self._memory_bytes // MIB:,}: allow it more with memory_mib_max."
            raise ModelFailed(msg, hint=hint)
        return opened

    def _answer(self, frame: Frame) -> Outputs:
        if frame.head.kind == "error":
            self._resident_bytes = max(self._resident_bytes, frame.head.resident_bytes)
            raise self._raised(frame.head, InvalidRequest)
        if frame.head.kind != "answer":
            raise FrameFault("It sent what is no answer.")
        return frame.arrays()

    def _raised(self, head: Head, kept: type[ChopmarkError]) -> ChopmarkError:
        """What the worker says was raised. Of errors of ours only those are believed that a model may mean."""
        if not head.error.startswith(":"):
            kind = from_code(head.error)
            return kind(head.text, hint=head.hint) if issubclass(kind, kept) else ModelFailed(head.text, hint=head.hint)
        kind_name = head.error[1:]
        if kind_name == "MemoryError":
            self._resident_bytes = max(self._resident_bytes, self._memory_bytes)  # so that it is started anew
        text = head.text[:_TEXT_MAX]
        msg = f"{self._ref} raised {kind_name}: {text}" if text else f"{self._ref} raised {kind_name}."
        return ModelFailed(msg, raised=kind_name)

    def _end(self, *, ending: bool = True) -> str:
        """End the process and keep in mind that it has ended; how, in words."""
        process = self._process
        if process is None:
            return "was ended"
        if ending:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_ENDING_S)  # one that ends by itself closes the channel first
        status = process.poll()
        self._reap()
        self._ends.append(time.monotonic())
        self._resident_bytes = 0
        return "sent what is no answer, and was ended" if status is None else f"ended: {_how(status)}"

    def _reap(self) -> None:
        with self._lock:
            process, self._process = self._process, None
            channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()
        if process is not None:
            process.kill()
            process.wait()


def _how(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    with contextlib.suppress(ValueError):
        return signal.Signals(-status).name
    return f"signal {-status}"
