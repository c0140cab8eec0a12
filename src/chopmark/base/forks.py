"""What `fork` does to SQLite, and how its connections are kept out of it.

SQLite keeps in the process's memory which locks it holds on a file. A child of `fork` inherits
that memory, but not the locks: a connection that it opens to the same file believes that it has
them, and what it commits can be lost. So all connections are closed before a fork, and opened
again afterwards on either side. Where that cannot be (a block is open, and does not end in time)
the child must not open that file at all.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from chopmark.errors import InvalidRequest

__all__ = ["Suspendable", "check_not_forked", "close", "generation", "opened", "refuse", "watch"]

WAIT_S = 2.0

File = tuple[int, int]


class Suspendable(Protocol):
    """What has connections, and can do without them during a fork."""

    def suspend(self, deadline_s: float) -> None:
        """Close all connections, and open none until `resume`.

        Blocks that are open are waited for until `time.monotonic` reads ``deadline_s``; the
        connections of those that do not end stay open.
        """
        ...

    def resume(self) -> None:
        """Go on, in the parent."""
        ...

    def start_anew(self) -> None:
        """Go on, in the child, with nothing of the parent's."""
        ...


class _State:
    """Of this process."""

    def __init__(self) -> None:
        self.forking = threading.RLock()
        self.opening = threading.RLock()
        self.generation = 0
        self.connections: dict[int, tuple[sqlite3.Connection, File]] = {}
        self.inherited: set[File] = set()
        self.suspended: list[Suspendable] = []


_state = _State()
_users: weakref.WeakSet[Suspendable] = weakref.WeakSet()


def generation() -> int:
    """How many forks are between this process and the first; another one means a child."""
    return _state.generation


def watch(user: Suspendable) -> None:
    """Suspend it during every fork."""
    with _state.opening:
        _users.add(user)


def opened(path: Path, connect: Callable[[], sqlite3.Connection]) -> sqlite3.Connection:
    """Open a connection, to be closed with `close`.

    Raises
    ------
    InvalidRequest
        When the process was forked while the file was in use.
    """
    with _state.opening:
        check_not_forked(path)
        connection = connect()
        try:
            found = path.stat()
            _state.connections[id(connection)] = (connection, (found.st_dev, found.st_ino))
        except BaseException:
            connection.close()
            raise
        return connection


def close(connection: sqlite3.Connection) -> None:
    """Close a connection that `opened` made; one of the parent's is left alone."""
    with _state.opening:
        if _state.connections.pop(id(connection), None) is not None:
            connection.close()


def check_not_forked(path: Path) -> None:
    """Raise when the process was forked while the file was in use."""
    if not _state.inherited:
        return
    with suppress(OSError):
        found = path.stat()
        refuse(path, when=(found.st_dev, found.st_ino) in _state.inherited)


def refuse(path: Path, *, when: bool) -> None:
    """Raise, when so, because the process was forked while the file was in use."""
    if not when:
        return
    msg = f"This process was forked while a block on {path} was open, which was opened before the fork."
    hint = (
        "SQLite cannot be carried over a fork: open the registry anew in a process that was started "
        "with multiprocessing's 'spawn' or 'forkserver', or fork when no other thread uses it."
    )
    raise InvalidRequest(msg, hint=hint)


def _before() -> None:
    _state.forking.acquire()
    deadline_s = time.monotonic() + WAIT_S
    with _state.opening:
        _state.suspended = list(_users)
    for user in _state.suspended:
        user.suspend(deadline_s)
    _state.opening.acquire()


def _in_parent() -> None:
    suspended, _state.suspended = _state.suspended, []
    for lock in (_state.opening, _state.forking):
        with suppress(RuntimeError):  # when `_before` was interrupted
            lock.release()
    for user in suspended:
        user.resume()


def _in_child() -> None:
    _state.forking, _state.opening = threading.RLock(), threading.RLock()
    _state.suspended = []
    _state.generation += 1
    for connection, file in _state.connections.values():
        _state.inherited.add(file)
        _keep_for_ever(connection)
    _state.connections.clear()
    for user in list(_users):
        user.start_anew()


def _keep_for_ever(connection: sqlite3.Connection) -> None:
    """Never close it, also not at the end: that would write an old state over a newer one."""
    _kept.append(connection)
    with suppress(ImportError, AttributeError):  # other Pythons than CPython have no such count
        import ctypes

        ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))


_kept: list[sqlite3.Connection] = []

if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
