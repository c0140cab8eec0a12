"""Calls while a server restarts: those that may be repeated wait for it, others do not, and nobody waits twice in vain."""

import logging
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from chopmark.base.calls import Caller
from chopmark.errors import Unavailable


class Answering(BaseHTTPRequestHandler):
    """503 as often as the server is told to, then 200."""

    def do_GET(self) -> None:
        busy = self.server.busy > 0
        self.server.busy -= 1
        self.send_response(503 if busy else 200)
        if busy:
            self.send_header("retry-after", "1")
        self.send_header("content-length", "0")
        self.end_headers()

    do_POST = do_GET  # noqa: N815 - names of the interface

    def log_message(self, *_: object) -> None:
        """Nothing."""


class Restarting:
    """A server that refuses connections until its time comes, by a clock that moves while somebody waits."""

    def __init__(self, up_at_s: float) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.now_s = 0.0
        self.up_at_s = up_at_s
        self.server: HTTPServer | None = None

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        if self.now_s >= self.up_at_s and self.server is None:
            self.start()

    def start(self, busy: int = 0) -> None:
        self.server = HTTPServer(("127.0.0.1", self.port), Answering)
        self.server.busy = busy
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()
            self.server = None

    def caller(self, retry_for_s: float = 10.0) -> Caller:
        return Caller(
            f"http://127.0.0.1:{self.port}", retry_for_s=retry_for_s, sleep=self.sleep, now_s=lambda: self.now_s
        )


@pytest.fixture
def restarting() -> Iterator[Restarting]:
    made = Restarting(up_at_s=3.0)
    yield made
    made.stop()


def test_a_call_that_may_be_repeated_waits_for_the_restart(
    restarting: Restarting, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "chopmark"):
        assert restarting.caller().call("POST", "/", body=b"x").status == 200
    assert 3.0 <= restarting.now_s < 10.0
    assert [each.message.partition(" ")[2] for each in caplog.records] == [
        "does not answer, and is asked again for up to 10 s."
    ]


def test_waiting_ends_with_the_setting_and_is_not_done_twice_in_vain(restarting: Restarting) -> None:
    restarting.up_at_s = 1e9
    caller = restarting.caller(retry_for_s=5.0)
    with pytest.raises(Unavailable, match="does not answer"):
        caller.call("GET", "/")
    assert 3.0 < restarting.now_s <= 5.0
    restarting.now_s = 0.0
    with pytest.raises(Unavailable):
        caller.call("GET", "/")
    assert restarting.now_s < 1.0  # it has waited once
    restarting.start()
    assert caller.call("GET", "/").status == 200
    restarting.stop()
    restarting.now_s, restarting.up_at_s = 0.0, 2.0
    assert caller.call("GET", "/").status == 200  # as it answered since, it is waited for again


def test_what_may_not_be_repeated_is_not_waited_with(restarting: Restarting) -> None:
    caller = restarting.caller()
    with pytest.raises(Unavailable):
        caller.call("POST", "/", repeatable=False)
    with pytest.raises(Unavailable):
        caller.call("GET", "/", patient=lambda: False)
    with pytest.raises(Unavailable):
        restarting.caller(retry_for_s=0).call("GET", "/")
    assert restarting.now_s < 3.0
    assert restarting.server is None


def test_a_server_that_says_not_now_is_asked_until_it_does(restarting: Restarting) -> None:
    restarting.start(busy=6)
    assert restarting.caller().call("GET", "/").status == 200
    assert restarting.now_s == 6.0  # as it asks
    restarting.server.busy = 100
    assert restarting.caller().call("GET", "/").status == 503
    assert restarting.now_s == 16.0


def test_a_name_that_nobody_knows_is_told_soon() -> None:
    slept: list[float] = []
    caller = Caller("http://chopmark.invalid", sleep=slept.append)
    begun = time.monotonic()
    with pytest.raises(Unavailable):
        caller.call("GET", "/")
    assert len(slept) == 3
    assert time.monotonic() - begun < 30
