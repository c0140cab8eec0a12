"""Plain sockets to a server: what no well-behaved client sends."""

from __future__ import annotations

import json
import socket
from typing import Any, NamedTuple
from urllib.parse import urlsplit

__all__ = ["Raw", "Reply", "connected", "reply_to"]


class Reply(NamedTuple):
    """An answer; the status is 0 when the connection was closed without one."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def problem(self) -> dict[str, Any]:
        """The body as a problem."""
        assert self.headers["content-type"] == "application/problem+json"
        found: dict[str, Any] = json.loads(self.body)
        return found


class Raw:
    """A connection."""

    def __init__(self, url: str, timeout_s: float = 20.0, receive_bytes: int = 0) -> None:
        parts = urlsplit(url)
        self.socket = socket.socket()
        if receive_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.settimeout(timeout_s)
        self.socket.connect((parts.hostname, parts.port))

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def reply(self) -> Reply:
        """Read one answer, by its length, or until the connection ends."""
        data = b""
        while b"\r\n\r\n" not in data:
            piece = self._received()
            if not piece:
                return Reply(0, {}, data)
            data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): text.strip() for name, _, text in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", 0))
        while len(body) < length and (piece := self._received()):
            body += piece
        return Reply(int(first.split()[1]), headers, body)

    def ended(self) -> bool:
        """Whether the other side closed the connection; waits for it."""
        try:
            while piece := self._received():
                assert piece
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        self.socket.close()

    def _received(self) -> bytes:
        try:
            return self.socket.recv(1 << 16)
        except ConnectionError:
            return b""


def connected(url: str, timeout_s: float = 20.0, receive_bytes: int = 0) -> Raw:
    return Raw(url, timeout_s, receive_bytes)


def reply_to(url: str, data: bytes, timeout_s: float = 20.0) -> Reply:
    """The answer to some bytes on a connection of their own."""
    raw = Raw(url, timeout_s)
    try:
        raw.send(data)
        return raw.reply()
    finally:
        raw.close()
