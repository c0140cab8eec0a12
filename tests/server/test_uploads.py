"""Large blobs over a network that breaks: what has arrived is not sent again."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest

from chopmark.base.calls import Caller
from chopmark.base.digest import digest_of
from chopmark.blobs import served
from chopmark.blobs.served import ServedStore
from chopmark.errors import IntegrityFailure, NotFound, Unavailable
from tests.server.conftest import Plain

API = "/api/v1"


class Line:
    """A network between a client and a server: it counts what goes to the server, and breaks when told to."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._server = (parts.hostname or "", parts.port or 0)
        self._breaks: list[int] = []
        self._breaks_at = 0
        self.sent_bytes = 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def break_after(self, *sizes_bytes: int) -> None:
        """Break when so many more bytes went to the server; then when so many more did, and so on."""
        self._breaks = list(sizes_bytes)
        self._aim()

    def _aim(self) -> None:
        self._breaks_at = self.sent_bytes + self._breaks.pop(0) if self._breaks else 0

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                pair = threading.Thread(target=self._connect, args=(client,), daemon=True)
                self._threads.append(pair)
                pair.start()

    def _connect(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._server) as server:
            back = threading.Thread(target=self._carry, args=(server, client), daemon=True)
            back.start()
            self._carry(client, server, is_counted=True)
            back.join()

    def _carry(self, come: socket.socket, go: socket.socket, *, is_counted: bool = False) -> None:
        with suppress(OSError):
            while piece := come.recv(1 << 16):
                go.sendall(piece)
                if is_counted:
                    self.sent_bytes += len(piece)
                    if self._breaks_at and self.sent_bytes >= self._breaks_at:
                        self._aim()
                        break
        for each in (come, go):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Break for good."""
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for thread in self._threads:
            thread.join(60)


@contextmanager
def over(plain: Plain, *breaks_after_bytes: int) -> Iterator[tuple[ServedStore, Line]]:
    """A store at the other end of such a line."""
    line = Line(plain.url)
    line.break_after(*breaks_after_bytes)
    caller = Caller(line.url, retry_for_s=0, sleep=lambda _: None)
    try:
        yield ServedStore(caller), line
    finally:
        caller.close()
        line.close()


@pytest.fixture(autouse=True)
def smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served, "_LARGE_BYTES", 4 << 20)
    monkeypatch.setattr(served, "_PART_BYTES", 1 << 20)


CONTENT = b"".join(n.to_bytes(4, "big") for n in range(6 << 18))  # 6 MiB, no two parts alike


def test_what_broke_off_goes_on_in_parts(plain: Plain) -> None:
    moved: list[int] = []
    with over(plain, 3 << 20) as (store, line):
        stat = store.put(BytesIO(CONTENT), progress=moved.append)
        assert (stat.digest, stat.size_bytes) == (digest_of(CONTENT), len(CONTENT))
        assert sum(moved) == len(CONTENT)
        assert line.sent_bytes < 10 << 20  # half of it in vain, and then all of it once
        assert store.open(stat.digest).read() == CONTENT


def test_parts_that_have_arrived_are_not_sent_again(plain: Plain) -> None:
    with over(plain) as (store, line):
        for n in range(0, 5 << 20, 1 << 20):
            store.put(BytesIO(CONTENT[n : n + (1 << 20)]))
        before = line.sent_bytes
        line.break_after(100_000)
        store.put(BytesIO(CONTENT))
        assert line.sent_bytes - before < 2 << 20
        assert store.open(digest_of(CONTENT)).read() == CONTENT


def test_bytes_that_are_there_cost_a_question(plain: Plain) -> None:
    with over(plain) as (store, line):
        store.put(BytesIO(CONTENT))
        before = line.sent_bytes
        moved: list[int] = []
        again = store.put(BytesIO(CONTENT), progress=moved.append)
        assert line.sent_bytes - before < 1_000
        assert (again.size_bytes, sum(moved)) == (len(CONTENT), len(CONTENT))


def test_a_line_that_breaks_always_is_told_and_leaves_nothing(plain: Plain) -> None:
    with over(plain, *[50_000] * 100) as (store, _), pytest.raises(Unavailable, match="does not answer"):
        store.put(BytesIO(CONTENT))
    assert plain.behind.store.stat(digest_of(CONTENT)) is None


def test_a_download_goes_on_where_it_broke(plain: Plain, tmp_path: Path) -> None:
    plain.behind.store.put(BytesIO(CONTENT))
    with over(plain) as (store, _):
        target = tmp_path / "there"
        store.fetch(digest_of(CONTENT), target)
        assert target.read_bytes() == CONTENT


class TestAssembling:
    def test_parts_in_the_wrong_order_are_refused(self, plain: Plain) -> None:
        halves = [b"a" * 1_000, b"b" * 1_000]
        for half in halves:
            plain.behind.store.put(BytesIO(half))
        wrong = _assembled(plain, digest_of(b"".join(halves)), [digest_of(h) for h in reversed(halves)])
        assert wrong.json()["code"] == "integrity_failure"
        right = _assembled(plain, digest_of(b"".join(halves)), [digest_of(h) for h in halves])
        assert right.json()["size_bytes"] == 2_000

    def test_parts_that_are_not_there_are_told(self, plain: Plain) -> None:
        answer = _assembled(plain, digest_of(b"ab"), [digest_of(b"a"), digest_of(b"b")])
        assert (answer.status, answer.json()["code"]) == (409, "conflict")
        assert "2 of 2" in answer.json()["detail"]

    def test_what_is_missing_is_answered(self, plain: Plain) -> None:
        plain.behind.store.put(BytesIO(b"there"))
        asked = {"digests": [digest_of(b"there"), digest_of(b"not there")]}
        answer = plain.ask("POST", f"{API}/blobs/missing", msgspec.json.encode(asked))
        assert answer.json() == {"digests": [digest_of(b"not there")]}
        assert plain.ask("POST", f"{API}/blobs/missing", b'{"digests": ["nonsense"]}').status == 400
        assert plain.ask("POST", f"{API}/blobs/missing", b"[]").status == 400


def _assembled(plain: Plain, digest: str, parts: list[str]) -> Any:
    return plain.ask("POST", f"{API}/blobs/{digest}/assemble", msgspec.json.encode({"parts": parts}))


def test_bytes_that_a_server_changes_are_found_out(plain: Plain, monkeypatch: pytest.MonkeyPatch) -> None:
    plain.behind.store.put(BytesIO(CONTENT))
    real = plain.behind.store.open

    def changed(digest: str, **how: Any) -> Any:
        return BytesIO(real(digest, **how).read()[:-1] + b"!")

    with over(plain) as (store, _):
        monkeypatch.setattr(plain.behind.store, "open", changed)
        with pytest.raises(IntegrityFailure):
            store.open(digest_of(CONTENT))
        with pytest.raises(NotFound):
            store.open(digest_of(b"other"))
