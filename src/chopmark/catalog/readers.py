"""Connections that can only read, kept for the next reader."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from chopmark.base import forks
from chopmark.catalog.connections import Immutable
from chopmark.errors import InvalidRequest, TimedOut

__all__ = ["Readers"]


class Readers:
    """Connections that can only read, kept for the next reader.

    Parameters
    ----------
    connect
        Opens one.
    limit
        How many there are at most; who comes then waits.
    timeout_s
        For how long.
    """

    def __init__(self, connect: Callable[[], sqlite3.Connection], limit: int, timeout_s: float) -> None:
        self._connect = connect
        self._limit = limit
        self._timeout_s = timeout_s
        self._mutex = threading.RLock()
        self._changed = threading.Condition(self._mutex)
        self._idle: list[sqlite3.Connection] = []
        self._in_use: dict[int, tuple[sqlite3.Connection, int]] = {}
        self._is_suspended = False
        self._is_closed = False

    def take_now(self, block: int) -> bool:
        """Take a connection for a block, by its id, if one is idle; whether it was. `take` then gives it."""
        if not self._mutex.acquire(blocking=False):
            return False
        try:
            if self._is_closed or self._is_suspended or not self._idle or len(self._in_use) >= self._limit:
                return False
            self._in_use[block] = (self._idle.pop(), threading.get_ident())
            return True
        finally:
            self._mutex.release()

    def take(self, block: int) -> sqlite3.Connection:
        """Take a connection for a block, by its id.

        Raises
        ------
        TimedOut
            When all were in use for the whole time.
        InvalidRequest
            When the catalog was closed.
        """
        with self._mutex:
            if block in self._in_use:
                return self._in_use[block][0]
            if not self._may_take() and not self._changed.wait_for(self._may_take, self._timeout_s):
                msg = f"All {self._limit} reading connections were in use for {self._timeout_s:g} seconds."
                raise TimedOut(msg, hint="Raise the pool size in the settings.")
            if self._is_closed:
                msg = "The catalog was closed, and cannot be used any more."
                raise InvalidRequest(msg, hint="Open it again.")
            connection = self._idle.pop() if self._idle else self._connect()
            self._in_use[block] = (connection, threading.get_ident())
            return connection

    def give(self, block: int) -> None:
        """Give a block's connection back; nothing when it has none."""
        with suppress(RuntimeError):  # an interruption may have left it taken
            while True:
                self._mutex.release()
        with self._mutex:
            connection, _ = self._in_use.pop(block, (None, 0))
            if connection is None:
                return
            try:
                connection.execute("ROLLBACK")
                if self._is_closed or isinstance(connection, Immutable):
                    forks.close(connection)  # what is read without locks is opened anew for each block
                else:
                    self._idle.append(connection)
            except sqlite3.Error:
                forks.close(connection)  # whatever it is, the next reader gets a new one
            except BaseException:
                forks.close(connection)
                raise
            finally:
                self._changed.notify_all()

    def close(self) -> None:
        """Close those that nobody uses, and the others when they are given back."""
        with self._mutex:
            self._is_closed = True
            self._close_idle()
            self._changed.notify_all()

    def suspend(self, deadline_s: float) -> None:
        """Close those that nobody uses, wait for the others, and give none until `resume`."""
        self._mutex.acquire()  # until `resume`, so that nobody takes or gives one meanwhile
        self._is_suspended = True
        while self._in_use and not self._is_mine():
            if not self._changed.wait(max(0.0, deadline_s - time.monotonic())):
                break
        self._close_idle()

    def resume(self) -> None:
        """Go on after `suspend`."""
        self._is_suspended = False
        with suppress(RuntimeError):  # when `suspend` was interrupted
            self._changed.notify_all()
            self._mutex.release()

    def _may_take(self) -> bool:
        if self._is_closed:
            return True
        if self._is_suspended and not self._is_mine():
            return False
        return bool(len(self._in_use) < self._limit)

    def _is_mine(self) -> bool:
        me = threading.get_ident()
        return any(thread == me for _, thread in self._in_use.values())

    def _close_idle(self) -> None:
        while self._idle:
            forks.close(self._idle.pop())
