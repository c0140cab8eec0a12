"""A receiver of webhooks on a real socket, that can be told how to answer, and to misbehave."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

ALLOW = "127.0.0.1"


class Heard(NamedTuple):
    """A request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]


Behaviour = Callable[[socket.socket, Heard], None]


class Receiver:
    """Answers by what stands in ``behaves``: by path, or else with 204."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self._listening.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.heard: list[Heard] = []
        self.behaves: dict[str, Behaviour] = {}
        self.open = 0
        self._lock = threading.Lock()
        self._ended = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def at(self, path: str) -> list[Heard]:
        with self._lock:
            return [each for each in self.heard if each.path == path]

    def ids(self, path: str = "/") -> list[str]:
        return [each.id for each in self.at(path)]

    def seqs(self, path: str = "/") -> list[int]:
        """Numbers of the events that came, in the order in which they did."""
        return [int(each.event["id"]) for each in self.at(path)]

    def close(self) -> None:
        self._ended.set()
        self._listening.shutdown(socket.SHUT_RDWR)  # wakes who accepts
        self._listening.close()

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with self._lock:
            self.open += 1
        try:
            with connection:
                heard = _read(connection)
                if heard is None:
                    return
                with self._lock:
                    self.heard.append(heard)
                self.behaves.get(heard.path, says(204))(connection, heard)
        except OSError:
            return
        finally:
            with self._lock:
                self.open -= 1


def _read(connection: socket.socket) -> Heard | None:
    raw = b""
    while b"\r\n\r\n" not in raw:
        part = connection.recv(65_536)
        if not part:
            return None
        raw += part
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    while len(body) < int(headers.get("content-length", "0")):
        body += connection.recv(65_536)
    return Heard(first.split()[1], headers, body)


def says(status: int, body: bytes = b"", **headers: str) -> Behaviour:
    """An answer; underscores in names of headers stand for hyphens."""
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    head = "\r\n".join([f"HTTP/1.1 {status} X", f"content-length: {len(body)}", *lines, "", ""]).encode()
    return lambda connection, _: connection.sendall(head + body)


def in_turn(*behaviours: Behaviour) -> Behaviour:
    """One after the other; the last one for all that follow."""
    left = list(behaviours)

    def behave(connection: socket.socket, heard: Heard) -> None:
        (left.pop(0) if len(left) > 1 else left[0])(connection, heard)

    return behave


def hangs(for_s: float = 60.0) -> Behaviour:
    """Says nothing, until the other side goes away."""

    def behave(connection: socket.socket, _: Heard) -> None:
        connection.settimeout(for_s)
        connection.recv(1)

    return behave


def drips(head: bytes = b"", pause_s: float = 0.05, for_s: float = 60.0) -> Behaviour:
    """Sends a byte now and then, for ever."""

    def behave(connection: socket.socket, _: Heard) -> None:
        connection.sendall(head)
        until_s = time.monotonic() + for_s
        while time.monotonic() < until_s:
            connection.sendall(b"x")
            time.sleep(pause_s)

    return behave


def floods(size_bytes: int) -> Behaviour:
    """Sends an answer that is far too long."""

    def behave(connection: socket.socket, _: Heard) -> None:
        connection.sendall(f"HTTP/1.1 200 OK\r\ncontent-length: {size_bytes}\r\n\r\n".encode())
        piece, sent = b"y" * 1_000_000, 0
        while sent < size_bytes:
            sent += connection.send(piece)

    return behave


def resets(connection: socket.socket, _: Heard) -> None:
    """Breaks the connection off."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    connection.close()


@contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()
    try:
        yield receiver
    finally:
        receiver.close()
