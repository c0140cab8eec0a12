"""Turns for long works: some at one time, and one that takes too long keeps no other waiting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

__all__ = ["Turns"]


class Turns:
    """Lets in so many at one time.

    Parameters
    ----------
    at_once
        How many.
    longest_s
        Who takes longer goes on, but is counted no more: loading a model may hang for ever.
    """

    def __init__(self, at_once: int, longest_s: float) -> None:
        self._places = asyncio.Semaphore(at_once)
        self._longest_s = longest_s

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn, and have it for the length of the block."""
        await self._places.acquire()
        late = asyncio.get_running_loop().call_later(self._longest_s, self._places.release)
        try:
            yield
        finally:
            if late.when() > asyncio.get_running_loop().time():
                late.cancel()
                self._places.release()
