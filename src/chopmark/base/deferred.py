"""Work that may wait a moment: done in the background, many requests at once, and never lost at the end.

For what follows a change and need not delay it: records beside the blobs, counts of loads.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import weakref
from collections.abc import Callable

__all__ = ["Deferred"]

_PAUSE_S = 0.1  # the least after what could not be done; doubled each time
_PAUSE_MAX_S = 60.0


class Deferred:
    """Runs one action some time after it was asked for, once for all who asked meanwhile.

    Parameters
    ----------
    action
        What to do. It should not raise: when it does, Python tells of it as of any thread's error, and the next request
        begins anew. When it returns False, it could not: it is tried again, after a pause that doubles each time, with
        the next request, and at the end.
    delay_s
        How long the first who asks waits, at most: what is asked meanwhile is done with it.

    The thread starts when first needed, anew in the child of a fork. What still waits is done by
    `close`, and at the exit of the interpreter; a process that is killed leaves it undone.
    """

    def __init__(self, action: Callable[[], object], delay_s: float) -> None:
        self._action = action
        self._delay_s = delay_s
        self._lock = threading.Lock()  # one run at a time
        self._wake = threading.Event()
        self._waits = False
        self._closing = threading.Event()
        self._pid = 0
        self._thread = threading.Thread()  # none yet

    def ask(self) -> None:
        """Ask for the action; returns at once."""
        self._waits = True
        if self._pid != os.getpid() or self._closing.is_set() or not self._thread.is_alive():
            self._start()
        self._wake.set()

    def flush(self) -> bool:
        """Do now what waits; whether it could be done. What a parent asked for is the parent's to do."""
        if self._pid != os.getpid():
            return True
        with self._lock:
            if self._waits:
                self._waits = False
                if self._action() is False:
                    self._waits = True
                    return False
            return True

    def close(self) -> None:
        """Do what waits, and end."""
        self._closing.set()
        self._wake.set()
        self.flush()

    def _start(self) -> None:
        # The parent's thread and locks did not come along with a fork.
        self._pid, self._lock = os.getpid(), threading.Lock()
        self._wake, self._closing = threading.Event(), threading.Event()
        arguments = (weakref.ref(self), self._wake, self._closing, self._delay_s)
        self._thread = threading.Thread(target=_loop, args=arguments, name="chopmark-deferred", daemon=True)
        self._thread.start()
        weakref.finalize(self, _end, self._wake, self._closing).atexit = False
        _flush_at_exit(self)


def _loop(reference: weakref.ref[Deferred], wake: threading.Event, closing: threading.Event, delay_s: float) -> None:
    """Flush some time after each request. The thread does not keep alive what nobody else holds."""
    failures = 0
    while not closing.is_set():
        wake.wait(min(_PAUSE_MAX_S, max(delay_s, _PAUSE_S) * 2.0 ** min(failures, 20)) if failures else None)
        wake.clear()
        if not closing.wait(delay_s):
            deferred = reference()
            if deferred is None:
                return
            failures = 0 if deferred.flush() else failures + 1
            del deferred


def _end(wake: threading.Event, closing: threading.Event) -> None:
    closing.set()
    wake.set()


def _flush_at_exit(deferred: Deferred) -> None:
    """Flush when the interpreter ends, if the object is still there then."""
    reference = weakref.ref(deferred)

    def flush() -> None:
        waiting = reference()
        if waiting is not None:
            waiting.flush()
        atexit.unregister(flush)

    atexit.register(flush)
    processes = sys.modules.get("multiprocessing.util")
    if processes is not None:  # its children end without what is registered with atexit
        processes.Finalize(deferred, flush, exitpriority=0)
    weakref.finalize(deferred, atexit.unregister, flush).atexit = False
