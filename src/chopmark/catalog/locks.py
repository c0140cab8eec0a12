"""A fair lock between processes: two files, of which one is the queue for the other.

Whoever wants to write first takes the queue's lock, holds it until the writer's lock is theirs,
and gives it back. A process that writes again and again must queue behind the one that waits,
which it would otherwise beat every time.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from contextlib import suppress
from pathlib import Path

from chopmark.errors import Denied, TimedOut, Unavailable

__all__ = ["LockFile", "WriterLock"]

BACK_OFF_S = (0.0002, 0.0005, 0.001, 0.002, 0.005)
_TAKEN = (errno.EAGAIN, errno.EACCES, errno.EDEADLK)

if sys.platform == "win32":
    import msvcrt

    def _lock(fd: int) -> None:
        os.lseek(fd, 0, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)

    def _unlock(fd: int) -> None:
        os.lseek(fd, 0, os.SEEK_SET)
        try:
            msvcrt.locking(fd, msvcrt.LK_UNLCK, 1)
        except PermissionError:
            return  # it was not locked

else:
    import fcntl

    def _lock(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _unlock(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_UN)


class LockFile:
    """An advisory lock on a file of its own. The system lets go of it when the process ends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = _opened(path)

    def try_lock(self) -> bool:
        """Take the lock when nobody has it."""
        try:
            _lock(self._fd)
        except OSError as error:
            if error.errno in _TAKEN:
                return False
            msg = f"The file system cannot lock {self.path}: {error.strerror}."
            hint = "Put the catalog on a local disk, or use PostgreSQL."
            raise Unavailable(msg, hint=hint) from error
        return True

    def lock(self, deadline_s: float) -> bool:
        """Take the lock, waiting until `time.monotonic` reads ``deadline_s``; whether it was got."""
        tries = 0
        while not self.try_lock():
            if time.monotonic() >= deadline_s:
                return False
            time.sleep(BACK_OFF_S[min(tries, len(BACK_OFF_S) - 1)])
            tries += 1
        return True

    def unlock(self) -> None:
        """Give the lock back; nothing when it was not taken."""
        try:
            _unlock(self._fd)
        except OSError:  # to close the file gives the lock back, too
            self.close()
            self._fd = _opened(self.path)

    def close(self) -> None:
        """Close the file; a lock on it is given back, whatever the file system says to it."""
        with suppress(OSError):
            os.close(self._fd)


def _opened(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except PermissionError as error:
        msg = f"The lock file {path} cannot be opened for writing."
        raise Denied(msg, hint="Give this user write permission on the directory.") from error
    except OSError as error:
        if error.errno == errno.EROFS:
            msg = f"The lock file {path} cannot be opened for writing: it is on a file system that is only read."
            raise Denied(msg, hint="Mount it for writing, or write to another registry.") from error
        msg = f"The lock file {path} cannot be opened: {error.strerror}."
        raise Unavailable(msg, hint="Check that the directory exists.") from error


class WriterLock:
    """The right to write to a database, for one process at a time, in turn.

    Parameters
    ----------
    database
        The database file; the lock files stand beside it.
    """

    def __init__(self, database: Path) -> None:
        self.database = database
        self._queue = LockFile(database.with_name(database.name + "-queue.lock"))
        try:
            self._writer = LockFile(database.with_name(database.name + "-writer.lock"))
        except (Denied, Unavailable):
            self._queue.close()
            raise

    def acquire(self, timeout_s: float) -> None:
        """Take the lock.

        Raises
        ------
        TimedOut
            When other processes wrote for the whole time.
        """
        try:
            deadline = time.monotonic() + timeout_s
            if self._queue.lock(deadline) and self._writer.lock(deadline):
                self._queue.unlock()
                return
        except BaseException:  # an interruption can come when one or both are taken
            self.release()
            raise
        self.release()
        msg = f"Another process has been writing to {self.database} for {timeout_s:g} seconds, which is the limit."
        hint = (
            "Try again; if it goes on, look for a stuck process that has the file "
            f"{self._writer.path.name} open, or raise the lock timeout in the settings."
        )
        raise TimedOut(msg, hint=hint, timeout_s=timeout_s)

    def release(self) -> None:
        """Give the lock back, and the place in the queue; nothing when they were not taken."""
        self._writer.unlock()
        self._queue.unlock()

    def close(self) -> None:
        """Close the files; the lock, when it is held, is given back."""
        self._queue.close()
        self._writer.close()
