"""Whether a server may be sent requests: what it stands on, each part with a word.

Anybody may ask, so that a word says no more than how a part is, and however many ask, each part is asked by one at a time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from chopmark.errors import ChopmarkError
from chopmark.server.telemetry import LOGGER

__all__ = ["OK", "Part", "Readiness"]

OK = "ok"
_WITHIN_S = 5.0


class Part(NamedTuple):
    """Something that a server stands on.

    ``check`` raises a `ChopmarkError` while it is not well, and may block; it is not asked again for ``kept_s`` after it was well.
    """

    check: Callable[[], None]
    kept_s: float = 1.0


class Readiness:
    """Asks all parts, each on a thread of its own: one that hangs keeps neither the others nor the event loop.

    Parameters
    ----------
    parts
        By name.
    within_s
        A part that takes longer is not well.
    """

    def __init__(self, parts: Mapping[str, Part], *, within_s: float = _WITHIN_S) -> None:
        self._parts = dict(parts)
        self._within_s = within_s
        self._threads = ThreadPoolExecutor(max(1, len(self._parts)), thread_name_prefix="chopmark-ready")
        self._asking: dict[str, asyncio.Future[str]] = {}
        self._well_at_s: dict[str, float] = {}
        self._told: dict[str, str] = {}

    async def words(self) -> dict[str, str]:
        """`OK` for each part, or the code of the error that says what is wrong with it."""
        found = await asyncio.gather(*(self._word(name) for name in self._parts))
        words = dict(zip(self._parts, found, strict=True))
        for name, word in words.items():
            if word != self._told.get(name, OK):
                LOGGER.warning("Ready: %s is %s", name, word)
        self._told = words
        return words

    async def _word(self, name: str) -> str:
        if time.monotonic() - self._well_at_s.get(name, -1e9) < self._parts[name].kept_s:
            return OK
        asked = self._asking.get(name)
        if asked is None or asked.done():
            asked = self._asking[name] = asyncio.get_running_loop().run_in_executor(self._threads, self._ask, name)
        try:
            async with asyncio.timeout(self._within_s):
                return await asyncio.shield(asked)
        except TimeoutError:
            return "timed_out"

    def _ask(self, name: str) -> str:
        try:
            self._parts[name].check()
        except ChopmarkError as error:
            LOGGER.debug("Ready: %s: %s", name, error.message)
            return error.code
        except Exception:  # noqa: BLE001 - whatever is wrong with it, it is not well
            LOGGER.exception("Ready: %s", name)
            return "error"
        self._well_at_s[name] = time.monotonic()
        return OK

    def close(self) -> None:
        """Ask no more; what hangs is left."""
        self._threads.shutdown(wait=False)
