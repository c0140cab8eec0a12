"""Hints within one process: who changed the routing wakes who waits for that (`chopmark.abc.hints`)."""

from __future__ import annotations

import threading

__all__ = ["ProcessHints"]


class ProcessHints:
    """`chopmark.abc.hints.Hints` for the threads of this process; other processes only ask again and again."""

    def __init__(self) -> None:
        self._told = threading.Condition()
        self._count = 0
        self._heard = 0
        self._is_closed = False

    def tell(self) -> None:
        """See the interface."""
        with self._told:
            self._count += 1
            self._told.notify_all()

    def wait(self, timeout_s: float) -> bool:
        """See the interface. Of several that wait at one time each is woken."""
        with self._told:
            heard = self._heard
            self._told.wait_for(lambda: self._count > heard or self._is_closed, timeout_s)
            self._heard = max(self._heard, self._count)
            return self._count > heard

    def close(self) -> None:
        """See the interface."""
        with self._told:
            self._is_closed = True
            self._told.notify_all()
