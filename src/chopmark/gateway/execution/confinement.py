"""What a worker process may use, and that it ends with its parent."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys

__all__ = ["MIB", "Memory", "end_with", "limit_address_space"]

MIB = 1 << 20

_PR_SET_PDEATHSIG = 1


def end_with(parent: int) -> None:
    """Have the system end this process when the thread that started it ends, by whatever cause; on Linux.

    Elsewhere a worker notices at its next wait that nobody is there.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)  # it ended before that was said


def limit_address_space(size_bytes: int) -> None:
    """Let the process map no more than so much; where the system knows no such limit, it has none."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (size_bytes, size_bytes))


class Memory:
    """What this process has mapped, and uses; asked after each answer, and so kept open."""

    def __init__(self) -> None:
        self._page_bytes = os.sysconf("SC_PAGE_SIZE")
        try:
            self._file = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:  # a system that does not tell
            self._file = -1

    def read(self) -> tuple[int, int]:
        """Bytes that are mapped, and that are used; zeros where the system does not tell."""
        try:
            pages = os.pread(self._file, 100, 0).split()
        except OSError:
            return 0, 0
        return int(pages[0]) * self._page_bytes, int(pages[1]) * self._page_bytes
