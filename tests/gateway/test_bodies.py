"""Bodies: whole, within limits of length and time."""

from __future__ import annotations

import asyncio
import gzip
import json
import select
import shutil
import socket
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from chopmark.errors import InvalidRequest, TooLarge, Unavailable
from chopmark.gateway import bodies as module
from chopmark.gateway.bodies import Bodies
from tests.gateway.conftest import COLUMNS, serving, until
from tests.server.raw import Raw, connected

Receive = Callable[[], Awaitable[dict[str, Any]]]


def _sent(*pieces: bytes) -> Receive:
    left = [{"type": "http.request", "body": p, "more_body": i < len(pieces) - 1} for i, p in enumerate(pieces)]

    async def receive() -> dict[str, Any]:
        return left.pop(0) if left else {"type": "http.disconnect"}

    return receive


def _read(receive: Receive, headers: dict[bytes, bytes] | None = None, limit: int = 100, idle_s: float = 30) -> bytes:
    async def read() -> bytes:
        return await Bodies(idle_s).read(receive, headers or {}, limit)

    return asyncio.run(read())


def test_a_body_in_pieces_is_whole() -> None:
    assert _read(_sent(b"ab")) == b"ab"
    assert _read(_sent(b"ab", b"", b"cd")) == b"abcd"
    assert _read(_sent(gzip.compress(b"abcd")), {b"content-encoding": b"gzip"}) == b"abcd"


def test_what_is_too_long_is_refused_before_it_is_read_or_while() -> None:
    async def unread() -> dict[str, Any]:
        raise AssertionError("it was read")

    with pytest.raises(TooLarge):
        _read(unread, {b"content-length": b"101"})
    with pytest.raises(TooLarge):
        _read(_sent(b"x" * 101))
    with pytest.raises(TooLarge):
        _read(_sent(b"x" * 60, b"x" * 60))
    with pytest.raises(TooLarge):
        _read(_sent(gzip.compress(b"x" * 1_000)), {b"content-encoding": b"gzip"})


def test_who_goes_away_is_given_up() -> None:
    async def gone() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    with pytest.raises(InvalidRequest, match="went away"):
        _read(gone)


def test_who_takes_too_long_is_given_up_and_the_others_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOOKS_EVERY_S", 0.01)

    async def tell() -> None:
        bodies = Bodies(0.05)

        async def never() -> dict[str, Any]:
            await asyncio.sleep(60)
            raise AssertionError

        async def soon() -> dict[str, Any]:
            await asyncio.sleep(0.02)
            return {"type": "http.request", "body": b"here", "more_body": False}

        slow = asyncio.create_task(bodies.read(never, {}, 100))
        quick = [asyncio.create_task(bodies.read(soon, {}, 100)) for _ in range(5)]
        assert await asyncio.gather(*quick) == [b"here"] * 5
        with pytest.raises(InvalidRequest, match="did not come"):
            await slow
        assert bodies._reading == {}

    asyncio.run(tell())


def test_a_request_that_is_cancelled_by_somebody_else_stays_cancelled() -> None:
    async def tell() -> None:
        async def never() -> dict[str, Any]:
            await asyncio.sleep(60)
            raise AssertionError

        task = asyncio.create_task(Bodies(30).read(never, {}, 100))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(tell())


def test_large_bodies_have_a_sum_and_give_it_back_with_their_answer() -> None:
    large, most = 100_000, 250_000

    async def tell() -> None:
        bodies = Bodies(30.0, most)
        answers = asyncio.Event()

        async def answered(*pieces: bytes, headers: dict[bytes, bytes] | None = None) -> int:
            body = await bodies.read(_sent(*pieces), headers or {}, 10 * most)
            await answers.wait()
            return len(body)

        async def held(*tasks: asyncio.Task[int]) -> None:
            await asyncio.sleep(0.01)
            assert not any(task.done() for task in tasks)

        first = [
            asyncio.create_task(answered(bytes(large))),
            asyncio.create_task(answered(bytes(large // 2), bytes(large // 2))),
        ]
        await held(*first)
        for pieces in ((bytes(large),), (bytes(10), bytes(large))):
            with pytest.raises(Unavailable, match=r"200,0[01]0 bytes"):
                await asyncio.create_task(answered(*pieces))
        with pytest.raises(Unavailable, match="200,000 bytes"):
            await asyncio.create_task(answered(gzip.compress(bytes(large)), headers={b"content-encoding": b"gzip"}))
        small = [asyncio.create_task(answered(bytes(60_000))) for _ in range(20)]
        await held(*small)
        answers.set()
        assert await asyncio.gather(*first) == [large, large]
        assert await asyncio.create_task(answered(bytes(2 * most))) == 2 * most  # alone
        await asyncio.sleep(0)
        assert bodies._held == {}
        assert bodies._held_bytes == 0

    asyncio.run(tell())


def test_what_was_announced_and_did_not_come_takes_no_room() -> None:
    async def tell() -> None:
        bodies = Bodies(30.0, 100_000)

        async def never() -> dict[str, Any]:
            await asyncio.sleep(60)
            raise AssertionError

        waiting = asyncio.create_task(bodies.read(never, {b"content-length": b"90000"}, 100_000))
        await asyncio.sleep(0)
        assert len(await asyncio.create_task(bodies.read(_sent(bytes(90_000)), {}, 100_000))) == 90_000
        waiting.cancel()

    asyncio.run(tell())


def readable(asked: dict[socket.socket, Raw]) -> list[socket.socket]:
    """Connections on which an answer waits."""
    found: list[socket.socket] = select.select(asked, [], [], 0)[0]
    return found


def test_many_large_requests_at_once_are_told_to_come_again(filled_directory: Path, tmp_path: Path) -> None:
    """Of five that are nearly there three have room at most; a small one is answered beside them, and they are when they end."""
    shutil.copytree(filled_directory, tmp_path / "registry")
    length, kept_back = 4 << 20, 100_000
    body = json.dumps({"rows": [[1.0] * COLUMNS]}).encode()
    body = body[:-1] + b" " * (length - len(body)) + body[-1:]
    head = b"POST /predict/fraud-api HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % length
    with serving(tmp_path / "registry", tmp_path, gateway_bodies_bytes_max=13 << 20) as gateway, ExitStack() as opened:
        gateway.registry.endpoints.create("fraud-api", "fraud:1", config={"body_bytes_max": 8 << 20})
        until(lambda: gateway.ask("/v2/models/fraud-api/ready", method="GET").status == 200)

        def begun() -> Raw:
            raw = opened.enter_context(closing(connected(gateway.url)))
            raw.send(head)
            for at in range(0, length - kept_back, 1 << 20):
                try:
                    raw.send(body[at : min(at + (1 << 20), length - kept_back)])
                except OSError:  # refused meanwhile
                    break
            return raw

        asked = {raw.socket: raw for raw in [begun() for _ in range(5)]}
        until(lambda: len(readable(asked)) >= 2)
        told = readable(asked)
        for each in told:
            reply = asked.pop(each).reply()
            assert (reply.status, reply.headers["retry-after"]) == (503, "1")
            assert "does not fit" in json.loads(reply.body)["error"]
        small = gateway.ask("/predict/fraud-api", {"rows": [[1.0] * COLUMNS]})
        assert small.status == 200
        assert asked
        for raw in asked.values():
            raw.send(body[-kept_back:])
            reply = raw.reply()
            assert (reply.status, json.loads(reply.body)["predictions"]) == (200, small.json()["predictions"])
        for _ in range(4):  # what they held is given back
            assert gateway.ask("/predict/fraud-api", body).status == 200
