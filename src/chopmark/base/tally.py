"""Counts kept in memory and handed over together, some seconds later: no write for each thing counted."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Hashable, Mapping
from typing import Generic, TypeVar

from chopmark.base.deferred import Deferred
from chopmark.errors import ChopmarkError

__all__ = ["DELAY_S", "KEYS_MAX", "Tally"]

K = TypeVar("K", bound=Hashable)

DELAY_S = 5.0
KEYS_MAX = 10_000
_BATCH = 1_000


class Tally(Generic[K]):
    """Counts by key, for `hand_over` to write down; threads and children of a fork may share one.

    Parameters
    ----------
    hand_over
        Writes a batch of counts. What it refuses with a `ChopmarkError` is kept and tried again with
        the next count, and at the end.
    tell
        Is told of the first refusal, once.
    delay_s
        Longest wait of a count, as far as `hand_over` succeeds.

    Counting never raises and never waits for `hand_over`. At most 10,000 different keys wait; what
    comes beyond while nothing can be handed over is lost, and so is what waits in a process that is killed.
    """

    def __init__(
        self,
        hand_over: Callable[[Mapping[K, int]], None],
        tell: Callable[[ChopmarkError], None],
        delay_s: float = DELAY_S,
    ) -> None:
        self._hand_over = hand_over
        self._tell = tell
        self._was_told = False
        self._deferred = Deferred(self._flush, delay_s)
        self._waiting: dict[K, int] = {}
        self._lock = threading.Lock()
        self._pid = os.getpid()

    def add(self, key: K, count: int = 1) -> None:
        """Count something."""
        if self._pid != os.getpid():
            self._forget()
        with self._lock:
            waiting = self._waiting
            is_first = not waiting
            if key in waiting or len(waiting) < KEYS_MAX:
                waiting[key] = waiting.get(key, 0) + count
        if is_first or self._was_told:
            self._deferred.ask()

    def flush(self) -> None:
        """Hand over what waits, now."""
        self._deferred.flush()

    def close(self) -> None:
        """Hand over what waits, what was refused before too, and end."""
        if self._waiting and self._pid == os.getpid():
            self._deferred.ask()
        self._deferred.close()

    def _forget(self) -> None:
        """In the child of a fork: what waited is the parent's to hand over, and a lock may be held for ever."""
        self._pid, self._lock, self._waiting = os.getpid(), threading.Lock(), {}

    def _flush(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        keys = list(waiting)
        for start in range(0, len(keys), _BATCH):
            batch = {key: waiting[key] for key in keys[start : start + _BATCH]}
            try:
                self._hand_over(batch)
            except ChopmarkError as error:
                self._keep({key: waiting[key] for key in keys[start:]})
                if not self._was_told:
                    self._was_told = True
                    self._tell(error)
                return

    def _keep(self, counts: Mapping[K, int]) -> None:
        with self._lock:
            for key, count in counts.items():
                if key in self._waiting or len(self._waiting) < KEYS_MAX:
                    self._waiting[key] = self._waiting.get(key, 0) + count
