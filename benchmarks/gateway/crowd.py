"""Asks over many connections at once, each of which sends its next request when it has its answer.

    echo '{"port": 8080, "connections": 64, "count": 20000, "requests": ["UE9TVC…"]}' | python -m benchmarks.gateway.crowd

A process of its own, of sockets and nothing else, which costs some 10 µs of CPU a request: what the server spends is not
disturbed by it more than it must be. Requests are sent as they are given, in turn; each connection begins with another. With a count it
ends after so many, without one when its standard input ends. A line of JSON tells what came back, by request: how many answers of each
status, how many connections ended instead of an answer, and the first answer.
"""

from __future__ import annotations

import base64
import json
import os
import select
import socket
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

__all__ = ["main"]

_TIMEOUT_S = 60.0
_END = b"\r\n\r\n"
_LENGTH = b"content-length:"


@dataclass(slots=True)
class _Kind:
    """A request, and what came back."""

    request: bytes
    statuses: Counter[str] = field(default_factory=Counter)
    broken: int = 0
    first: bytes = b""
    first_refused: bytes = b""


@dataclass(slots=True)
class _Connection:
    line: socket.socket
    next: int
    kind: _Kind
    sent_at: float = 0.0
    received: bytes = b""


class _Crowd:
    """All connections.

    Parameters
    ----------
    port
        On this machine.
    kinds
        Requests, sent in turn.
    told
        Lower-case name of a header whose values are collected; empty: none.
    """

    def __init__(self, port: int, kinds: list[_Kind], told: bytes) -> None:
        self._port = port
        self._kinds = kinds
        self._told = told + b": " if told else b""
        self._poll = select.epoll()
        self._by_file: dict[int, _Connection] = {}
        self.values: set[bytes] = set()
        self.took: list[float] = []

    def open(self, number: int) -> None:
        """Connect, and send the first request."""
        line = socket.create_connection(("127.0.0.1", self._port), timeout=_TIMEOUT_S)
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = _Connection(line, number, self._kinds[0])
        self._by_file[line.fileno()] = connection
        self._poll.register(line.fileno(), select.EPOLLIN)
        self._send(connection)

    def _send(self, connection: _Connection) -> None:
        connection.kind = self._kinds[connection.next % len(self._kinds)]
        connection.next += 1
        connection.received = b""
        connection.sent_at = time.perf_counter()
        connection.line.sendall(connection.kind.request)

    def run(self, count: int | None) -> None:
        """Until so many were answered, or the standard input ends."""
        if count is None:
            self._poll.register(sys.stdin.fileno(), select.EPOLLIN)
        wanted = count if count is not None else sys.maxsize
        # Where CPU is counted, who asks never sleeps: a server that must wake it with each answer pays for that, 14 µs on a virtual
        # machine, and one that is quick enough to keep it awake does not.
        sleeps_s = 1.0 if count is None else 0.0
        begun = quiet_since = time.perf_counter()
        ends = False
        while self._by_file:
            events = self._poll.poll(sleeps_s)
            now = time.perf_counter()
            if events:
                quiet_since = now
            elif now - quiet_since > _TIMEOUT_S:
                raise TimeoutError(f"{len(self._by_file)} requests have no answer after {now - begun:.0f} s")
            for file, _ in events:
                if file == 0:
                    ends = True
                    self._poll.unregister(0)
                    continue
                wanted -= self._heard(self._by_file[file], goes_on=not ends and wanted > len(self._by_file))

    def _heard(self, connection: _Connection, *, goes_on: bool) -> int:
        """Take what came; 1 when that ends a request."""
        try:
            piece = connection.line.recv(1 << 16)
        except OSError:
            piece = b""
        if not piece:
            connection.kind.broken += 1
            self._close(connection)
            if goes_on:
                self.open(connection.next)
            return 1
        received = connection.received = connection.received + piece if connection.received else piece
        end = received.find(_END)
        if end < 0 or len(received) < end + 4 + self._length(received, end):
            return 0
        self.took.append(time.perf_counter() - connection.sent_at)
        self._count(connection.kind, received, end)
        if goes_on:
            self._send(connection)
        else:
            self._close(connection)
        return 1

    def _length(self, received: bytes, end: int) -> int:
        at = received.find(_LENGTH, 0, end)
        if at < 0:
            at = received[:end].lower().find(_LENGTH)
        return int(received[at + len(_LENGTH) :].split(b"\r\n", 1)[0]) if at >= 0 else 0

    def _count(self, kind: _Kind, received: bytes, end: int) -> None:
        status = received[9:12].decode()
        kind.statuses[status] += 1
        if not kind.first:
            kind.first = received[end + 4 :]
        if status[0] != "2" and not kind.first_refused:
            kind.first_refused = received[:2_000]
        if self._told and (at := received.find(self._told, 0, end)) >= 0:
            self.values.add(received[at + len(self._told) :].split(b"\r\n", 1)[0])

    def _close(self, connection: _Connection) -> None:
        file = connection.line.fileno()
        self._poll.unregister(file)
        del self._by_file[file]
        connection.line.close()


def main() -> None:
    """Ask as the first line of the standard input says, and tell."""
    line = b""
    while not line.endswith(b"\n"):  # unbuffered: what follows is waited for by epoll
        line += os.read(0, 1 << 16) or b"\n"
    order: dict[str, Any] = json.loads(line)
    kinds = [_Kind(base64.b64decode(request)) for request in order["requests"]]
    crowd = _Crowd(order["port"], kinds, order.get("told", "").encode())
    begun = time.perf_counter()
    for number in range(order["connections"]):
        crowd.open(number)
    crowd.run(order.get("count"))
    wall_s = time.perf_counter() - begun
    took = sorted(crowd.took)
    print(
        json.dumps(
            {
                "wall_s": wall_s,
                "cpu_s": time.process_time(),
                "ms": [1000 * took[min(len(took) - 1, int(share * len(took)))] for share in (0.5, 0.99)],
                "values": sorted(value.decode() for value in crowd.values),
                "kinds": [
                    {
                        "statuses": kind.statuses,
                        "broken": kind.broken,
                        "first": kind.first.decode(errors="replace"),
                        "refused": kind.first_refused.decode(errors="replace"),
                    }
                    for kind in kinds
                ],
            }
        )
    )


if __name__ == "__main__":
    main()
