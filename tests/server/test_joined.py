"""Head and body of an answer go out together, and nothing waits for what does not come."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from chopmark.server.joined import JOINED_BYTES_MAX, Joined
from chopmark.server.serving import served
from tests.server.raw import Raw, connected

BIG_BYTES = 10 << 20


class Recorded:
    """A transport that takes note of what it is asked for."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.ends: list[str] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def close(self) -> None:
        self.ends.append("close")

    def abort(self) -> None:
        self.ends.append("abort")

    def is_closing(self) -> bool:
        return bool(self.ends)

    def get_write_buffer_size(self) -> int:
        return 7

    def get_extra_info(self, name: str) -> str:
        return f"its {name}"


def joined(written: Recorded) -> Any:
    return Joined(written, asyncio.get_running_loop())  # type: ignore[arg-type]


def test_what_is_written_at_once_is_one_write() -> None:
    async def story() -> None:
        under = Recorded()
        transport = joined(under)
        transport.write(b"head")
        transport.write(b"")
        assert (under.written, transport.get_write_buffer_size()) == ([b"head"], 7)
        transport.write(b"head")
        assert transport.get_write_buffer_size() == 11
        transport.write(b"body")
        transport.write(b"head 2")
        transport.write(b"body 2")
        assert under.written == [b"head", b"headbody", b"head 2body 2"]
        await asyncio.sleep(0)
        assert len(under.written) == 3
        assert transport.get_extra_info("socket") == "its socket"

    asyncio.run(story())


def test_what_nothing_follows_goes_out_in_the_same_turn() -> None:
    async def story() -> None:
        under = Recorded()
        transport = joined(under)
        for n in range(3):
            transport.write(b"%d" % n)
            assert len(under.written) == n
            await asyncio.sleep(0)
            assert under.written[n:] == [b"%d" % n]

    asyncio.run(story())


def test_long_pieces_are_not_copied() -> None:
    async def story() -> None:
        under = Recorded()
        transport = joined(under)
        long = bytes(JOINED_BYTES_MAX)
        transport.write(b"head")
        transport.write(long)
        assert under.written == [b"head", long]
        assert under.written[1] is long
        transport.write(long + b"1")
        assert under.written[2:] == [long + b"1"]

    asyncio.run(story())


def test_an_end_sends_what_is_held_and_a_break_does_not() -> None:
    async def story() -> None:
        under = Recorded()
        transport = joined(under)
        transport.write(b"last")
        transport.close()
        assert (under.written, under.ends) == ([b"last"], ["close"])
        assert transport.is_closing()
        under = Recorded()
        transport = joined(under)
        transport.write(b"last")
        transport.abort()
        await asyncio.sleep(0)
        assert (under.written, under.ends, transport.get_write_buffer_size()) == ([], ["abort"], 7)

    asyncio.run(story())


class Answering:
    """Answers by its path."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.left: list[str] = []

    def end(self) -> None:
        """Nobody stays as long as this."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            while True:
                message = await receive()
                await send({"type": f"{message['type']}.complete"})
                if message["type"] == "lifespan.shutdown":
                    return
        body = (await receive())["body"]
        path = scope["path"]
        sized = [(b"content-length", str({"/big": BIG_BYTES}.get(path, len(path) + len(body))).encode())]
        streams = path in ("/late", "/left")
        await send({"type": "http.response.start", "status": 200, "headers": [] if streams else sized})
        if path == "/big":
            await send({"type": "http.response.body", "body": bytes(BIG_BYTES)})
        elif path == "/late":
            await asyncio.to_thread(self.gate.wait, 30)
            await send({"type": "http.response.body", "body": b"at last", "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        elif path == "/left":
            await send({"type": "http.response.body", "body": b"piece", "more_body": True})
            assert (await receive())["type"] == "http.disconnect"
            self.left.append(path)
        else:
            await send({"type": "http.response.body", "body": path.encode() + body})


@pytest.fixture
def app() -> Answering:
    return Answering()


@pytest.fixture
def raw(app: Answering) -> Iterator[Raw]:
    with served(app) as url, closing(connected(url)) as made:  # type: ignore[arg-type]
        yield made


def head_of(raw: Raw) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = raw.socket.recv(1 << 16)
        assert piece, data
        data += piece
    return data


def test_a_connection_is_used_again(raw: Raw) -> None:
    for n in range(20):
        raw.send(b"POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n%02d" % n)
        reply = raw.reply()
        assert (reply.status, reply.body) == (200, b"/a%02d" % n)


def test_requests_in_a_row_are_answered_in_a_row(raw: Raw) -> None:
    raw.send(b"".join(b"GET /%d HTTP/1.1\r\nhost: x\r\n\r\n" % n for n in range(10)))
    data = b""
    while data.count(b"HTTP/1.1 200") < 10 or not data.endswith(b"/9"):
        data += raw.socket.recv(1 << 16)
    assert [part[-2:] for part in data.split(b"HTTP/1.1 200")[1:]] == [b"/%d" % n for n in range(10)]


def test_http_1_0_ends_after_its_answer(raw: Raw) -> None:
    raw.send(b"GET /old HTTP/1.0\r\n\r\n")
    assert raw.reply().body == b"/old"
    assert raw.ended()


def test_head_has_no_body(raw: Raw) -> None:
    raw.send(b"HEAD /abc HTTP/1.1\r\nhost: x\r\n\r\n")
    data = head_of(raw)
    assert data.endswith(b"\r\n\r\n")
    assert b"content-length: 4" in data
    raw.send(b"GET /b HTTP/1.1\r\nhost: x\r\n\r\n")
    assert raw.reply().body == b"/b"


def test_a_head_does_not_wait_for_a_body_that_is_late(app: Answering, raw: Raw) -> None:
    raw.send(b"GET /late HTTP/1.1\r\nhost: x\r\n\r\n")
    begun = time.monotonic()
    data = head_of(raw)
    assert time.monotonic() - begun < 10  # the body comes when it is let
    assert data.endswith(b"\r\n\r\n")
    app.gate.set()
    while not data.endswith(b"0\r\n\r\n"):
        data += raw.socket.recv(1 << 16)
    assert data.endswith(b"7\r\nat last\r\n0\r\n\r\n")


def test_a_big_body_arrives_whole(raw: Raw) -> None:
    raw.send(b"GET /big HTTP/1.1\r\nhost: x\r\n\r\n")
    reply = raw.reply()
    assert (reply.status, len(reply.body)) == (200, BIG_BYTES)
    raw.send(b"GET /b HTTP/1.1\r\nhost: x\r\n\r\n")
    assert raw.reply().body == b"/b"


def test_who_waits_to_send_a_body_is_told_to_go_on(raw: Raw) -> None:
    raw.send(b"POST /c HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n")
    assert head_of(raw).startswith(b"HTTP/1.1 100 Continue")
    raw.send(b"xy")
    assert raw.reply().body == b"/cxy"


def test_who_goes_away_while_it_is_answered_is_noticed(app: Answering, raw: Raw) -> None:
    raw.send(b"GET /left HTTP/1.1\r\nhost: x\r\n\r\n")
    assert b"200 OK" in head_of(raw)
    raw.close()
    limit = time.monotonic() + 30
    while not app.left:
        assert time.monotonic() < limit
        time.sleep(0.01)
