"""A body on its way from the event loop to a thread that reads it as a file."""

from __future__ import annotations

import asyncio
import io
import threading
from collections import deque

from chopmark.errors import Unavailable

__all__ = ["Arriving"]

_WAITING_BYTES_MAX = 4 << 20


class Arriving(io.RawIOBase):
    """The pieces of a body, read in order by one thread while the event loop brings them.

    At most some megabytes wait: who brings more waits in `feed` until they are read.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._pieces: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._changed = threading.Condition()
        self._room = asyncio.Event()
        self._room.set()
        self._ended = False
        self._broken = ""
        self._done = False

    # On the event loop

    async def feed(self, piece: bytes) -> bool:
        """Bring a piece; whether anybody still reads."""
        await self._room.wait()
        with self._changed:
            self._pieces.append(piece)
            self._waiting_bytes += len(piece)
            if self._waiting_bytes >= _WAITING_BYTES_MAX and not self._done:
                self._room.clear()
            self._changed.notify()
        return not self._done

    def end(self, broken: str = "") -> None:
        """Nothing follows; why, when it should have."""
        with self._changed:
            self._ended = True
            self._broken = broken
            self._changed.notify()

    def leave(self) -> None:
        """Nobody reads any more."""
        self._done = True
        self._room.set()

    # On the thread

    def readable(self) -> bool:
        """It is."""
        return True

    def read(self, size: int = -1) -> bytes:
        """As many bytes as are asked for, fewer at the end; all without a size."""
        pieces: list[bytes] = []
        wanted = size
        while wanted and (piece := self._next(wanted)):
            pieces.append(piece)
            wanted -= len(piece) if size >= 0 else 0
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _next(self, most: int) -> bytes:
        with self._changed:
            while not self._pieces and not self._ended:
                self._changed.wait()
            if self._broken:
                raise Unavailable(self._broken, hint="Send it again.")
            if not self._pieces:
                return b""
            piece = self._pieces.popleft()
            if 0 <= most < len(piece):
                self._pieces.appendleft(piece[most:])
                piece = piece[:most]
            had_no_room = self._waiting_bytes >= _WAITING_BYTES_MAX
            self._waiting_bytes -= len(piece)
        if had_no_room and self._waiting_bytes < _WAITING_BYTES_MAX:
            self._loop.call_soon_threadsafe(self._room.set)
        return piece
