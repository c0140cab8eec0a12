"""Whether a loop gets at the catalog, and how long it rests when it does not: the same for jobs, deliveries, monitors and rollouts."""

from __future__ import annotations

import time

from chopmark.errors import ChopmarkError, Unavailable
from chopmark.workers.telling import LOGGER

__all__ = ["Pulse"]

_PAUSE_MAX_S = 30.0
_STALE_S = 120.0
_DOUBLINGS_MAX = 10


class Pulse:
    """Of one loop, which tells it of each turn.

    Parameters
    ----------
    what
        The loop is about, as a sentence begins: ``Deliveries``.
    poll_s
        How often it looks at least.
    """

    def __init__(self, what: str, poll_s: float) -> None:
        self._what = what
        self._poll_s = poll_s
        self._failures = 0
        self._well_at_s = time.monotonic()

    def check(self) -> None:
        """Raise `Unavailable` when no turn went well for two minutes."""
        silent_s = time.monotonic() - self._well_at_s
        if silent_s > max(_STALE_S, 3 * self._poll_s):
            raise Unavailable(f"{self._what} have not been looked at for {silent_s:.0f} s.", hint="The log says why.")

    def well(self) -> None:
        """A turn went well."""
        if self._failures:
            LOGGER.warning("%s are looked at again.", self._what)
        self._failures, self._well_at_s = 0, time.monotonic()

    def failed(self, error: Exception) -> float:
        """A turn did not; seconds to wait before the next, longer each time. Only the first is told."""
        self._failures += 1
        if self._failures == 1:
            if isinstance(error, ChopmarkError):
                LOGGER.warning("%s wait, as the catalog does not answer: %s", self._what, error.message)
            else:
                LOGGER.exception("%s wait, as something went wrong", self._what, exc_info=error)
        return min(_PAUSE_MAX_S, self._poll_s * 2.0 ** min(self._failures - 1, _DOUBLINGS_MAX))
