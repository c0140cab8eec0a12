"""How the gateway is measured: who asks counts what is refused and what breaks, and what was not measured is no figure."""

import asyncio
import os
import socketserver
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

import chopmark as cm
from benchmarks.gateway import changes, inside, neighbours, servers
from benchmarks.served import Served
from chopmark.testing.registry import memory_registry


class _Answers(socketserver.StreamRequestHandler):
    """Answers each request by the end of its path: its status, or no answer at all."""

    def handle(self) -> None:
        while line := self.rfile.readline():
            size = 0
            while (header := self.rfile.readline()) != b"\r\n":
                if header.lower().startswith(b"content-length:"):
                    size = int(header.split(b":")[1])
            self.rfile.read(size)
            wanted = line.split()[1].rpartition(b"/")[2].decode()
            if wanted == "hang-up":
                return
            head = f"HTTP/1.1 {wanted} Said\r\ncontent-length: 2\r\nx-said: {wanted}\r\n\r\n"
            for piece in (head[:9], head[9:], "ok"):  # an answer that comes in pieces is one
                self.wfile.write(piece.encode())
                self.wfile.flush()


class _Listening(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 128


@pytest.fixture
def server() -> Iterator[Served]:
    with _Listening(("127.0.0.1", 0), _Answers) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        process = cast("Any", SimpleNamespace(pid=os.getpid()))
        yield Served("a stand-in", listening.server_address[1], process, 0.0, 0.0)
        listening.shutdown()


def _request(wanted: str) -> bytes:
    return servers.infer(f"/{wanted}", [1.0])


def test_who_asks_counts_answers_refusals_and_ended_connections(server: Served) -> None:
    load = servers.asked(server, [_request("200"), _request("422"), _request("hang-up")], 60, 3)
    good, refused, broken = zip(load.sent, load.refused, load.broken, strict=True)
    assert sum(load.sent) == 60
    assert (good[1:], broken[1], refused[2]) == ((0, 0), 0, 0)
    assert refused[1] == refused[0] > 10
    assert broken[2] == broken[0] > 10
    assert "422" in load.words
    with pytest.raises(RuntimeError, match="422"):
        load.check()


def test_who_asks_goes_on_until_it_is_told_to_end(server: Served) -> None:
    with servers.crowd(server, [_request("200"), _request("202")], 2, told="x-said") as asking:
        threading.Event().wait(0.3)
        load = servers.told_by(asking)
    assert load.values == ("200", "202")
    assert sum(load.sent) >= 2
    assert load.ms_p99 >= load.ms_p50 > 0


def test_neighbours_that_are_lost_are_told(server: Served) -> None:
    good, bad = _request("200"), _request("500")
    assert neighbours._lost(server, [good] * 7 + [bad], 80) == 0
    assert neighbours._lost(server, [good, bad, bad, bad, bad, bad, bad, bad], 64) == pytest.approx(6 / 7 * 100, abs=3)


def test_a_bad_request_that_is_answered_is_none(server: Served) -> None:
    with pytest.raises(RuntimeError, match="cannot answer"):
        neighbours._lost(server, [_request("200")] * 8, 32)


def test_a_change_that_nobody_confirms_is_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "_LIMIT_S", 0.05)
    registry: cm.Registry = memory_registry()
    first, second = (registry.register("fraud", {"threshold": value}) for value in (0.7, 0.8))
    registry.endpoints.create("fraud-api", first)
    changed = registry.endpoints.split("fraud-api", second)
    with pytest.raises(TimeoutError, match="not confirmed"):
        changes._until_confirmed(registry, changed, 1)


def test_a_prediction_without_a_network_goes_through_all_of_the_gateway() -> None:
    async def answered() -> bytes:
        gateway, router, _ = await inside.opened(inside.SPLIT)
        body = b'{"inputs": [{"name": "r", "shape": [1, 10], "datatype": "FP64", "data": [1,2,3,4,5,6,7,8,9,10]}]}'
        answer = await inside.ask(gateway, body, b"customer-4711")()
        with pytest.raises(RuntimeError, match="10"):
            await inside.ask(gateway, body.replace(b"[1, 10]", b"[1, 9]"), b"customer-4711")()
        counted = list(router.counted().values())
        assert [(counts.requests, sum(counts.errors.values())) for counts in counted] == [(2, 1)]
        return answer

    assert b'"request_id"' in asyncio.run(answered())
