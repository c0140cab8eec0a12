"""How often somebody may ask, and how long somebody waits who was refused too often. In memory, of one process."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

__all__ = ["Lockout", "Rate"]

_KEYS_MAX = 100_000
_LOCKED_MAX_S = 300.0
_FORGOTTEN_AFTER_S = 900.0


class Rate:
    """A token bucket for each key.

    Parameters
    ----------
    per_s, burst
        How many a second in the long run, and at once after a rest; 0 a second is without a limit.
    now
        Seconds, going up.
    """

    def __init__(self, per_s: float, burst: float, now: Callable[[], float]) -> None:
        self._per_s = per_s
        self._burst = max(burst, 1.0)
        self._now = now
        self._lock = threading.Lock()
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str) -> float:
        """Take one; 0 when it was there, or else the seconds until it is."""
        if not self._per_s:
            return 0.0
        now = self._now()
        with self._lock:
            left, since = self._left.get(key, (self._burst, now))
            left = min(self._burst, left + (now - since) * self._per_s)
            taken = left >= 1.0
            self._left[key] = (left - 1.0 if taken else left, now)
            self._left.move_to_end(key)
            if len(self._left) > _KEYS_MAX:
                self._left.popitem(last=False)
        return 0.0 if taken else (1.0 - left) / self._per_s


class Lockout:
    """Waits that double with each failure of a key, after some that are free.

    Parameters
    ----------
    free
        Failures that cost nothing; they are forgotten after a quarter of an hour without one.
    now
        Seconds, going up.
    """

    def __init__(self, free: int, now: Callable[[], float]) -> None:
        self._free = free
        self._now = now
        self._lock = threading.Lock()
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def wait_s(self, key: str) -> float:
        """Seconds until the key is listened to again; 0 when it is."""
        with self._lock:
            count, last = self._failures.get(key, (0, 0.0))
        if count <= self._free:
            return 0.0
        return max(0.0, last + min(2.0 ** (count - self._free - 1), _LOCKED_MAX_S) - self._now())

    def failed(self, key: str) -> None:
        """Count a failure."""
        now = self._now()
        with self._lock:
            count, last = self._failures.get(key, (0, now))
            if now - last > _FORGOTTEN_AFTER_S:
                count = 0
            self._failures[key] = (min(count + 1, self._free + 64), now)
            self._failures.move_to_end(key)
            if len(self._failures) > _KEYS_MAX:
                self._failures.popitem(last=False)
