"""What a connection writes in one turn of the loop, sent in one piece.

uvicorn writes the head of an answer and its body one after the other, each a call of the system, which is a tenth of what a
prediction costs. Here the first is held until the second comes, and no longer than until the loop has gone through what it is at: a
head whose body is still being made goes out by itself.
"""

from __future__ import annotations

import asyncio
from typing import Any

__all__ = ["JOINED_BYTES_MAX", "Joined"]

JOINED_BYTES_MAX = 64 << 10
"""What is longer is sent as it is: copying it would cost more than a call of the system."""


class Joined:
    """A transport that sends together what is written at once.

    Parameters
    ----------
    transport
        The connection's own; what is not told here is its.
    loop
        Whose turns count.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._write = transport.write
        self._call_soon = loop.call_soon
        self._held = b""
        self._is_due = False

    def write(self, data: bytes) -> None:
        """Send some bytes, with those that follow them at once."""
        held = self._held
        if held:
            self._held = b""
            if len(held) + len(data) <= JOINED_BYTES_MAX:
                self._write(held + data)
                return
            self._write(held)
        if not data:
            return
        if held or len(data) > JOINED_BYTES_MAX:
            self._write(data)
            return
        self._held = data
        if not self._is_due:
            self._is_due = True
            self._call_soon(self._turned)

    def close(self) -> None:
        """Send what is held, and end."""
        self._flush()
        self._transport.close()

    def abort(self) -> None:
        """End at once; nothing more is sent."""
        self._held = b""
        self._transport.abort()

    def get_write_buffer_size(self) -> int:
        """Bytes that the kernel did not take yet."""
        return len(self._held) + self._transport.get_write_buffer_size()

    def is_closing(self) -> bool:
        """Whether it ends or has ended."""
        return self._transport.is_closing()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def _turned(self) -> None:
        self._is_due = False
        self._flush()

    def _flush(self) -> None:
        if self._held:
            held, self._held = self._held, b""
            self._write(held)
