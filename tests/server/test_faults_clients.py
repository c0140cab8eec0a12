"""Clients that are slow, rude or broken: bounded memory, clear answers, and the others keep being served."""

from __future__ import annotations

import gzip
import hashlib
import resource
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import urllib3

from chopmark.base.encodings import zstandard
from faults.serving_processes import Installation, Running, until
from tests.server.raw import Raw, Reply, connected, reply_to

HEAD_S = 2.0
IDLE_S = 2.0
BODY_BYTES_MAX = 4 << 20
MODELS = b"/api/v1/models"


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    made = Installation(
        tmp_path, serve_head_s=HEAD_S, serve_idle_s=IDLE_S, serve_body_bytes_max=BODY_BYTES_MAX, serve_timeout_s=10
    )
    yield made
    made.close()


@pytest.fixture
def server(installation: Installation) -> Running:
    """One on SQLite, with one model."""
    made = installation.serve("--workers", "0")
    with installation.client(made.url) as registry:
        registry.register("fraud", {"a": 1})
    return made


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    """Closes what a test leaves open."""
    with ExitStack() as stack:
        yield stack


def raw(server: Running, opened: ExitStack, **options: Any) -> Raw:
    return opened.enter_context(closing(connected(server.url, **options)))


def get(server: Running) -> float:
    """A well-behaved client's request, on a connection of its own; how long it took."""
    begun = time.monotonic()
    assert urllib3.request("GET", f"{server.url}/api/v1/versions/fraud:1", retries=False, timeout=20).status == 200
    return time.monotonic() - begun


@contextmanager
def others_are_served(server: Running, *, memory_bytes: int, latency_s: float = 0.5) -> Iterator[None]:
    """In the block a client goes on asking: what it waits, typically, and how far the server's memory grows are bounded."""
    get(server)
    before_bytes = server.memory_bytes()
    took_s: list[float] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.wait(0.02):
            took_s.append(get(server))

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(30)
    assert len(took_s) >= 5
    assert statistics.median(took_s) < latency_s, took_s
    assert max(took_s) < 20 * latency_s, took_s
    assert server.memory_bytes("VmHWM") - before_bytes < memory_bytes


def post(path: bytes, body: bytes, *headers: bytes) -> bytes:
    lines = [b"POST " + path + b" HTTP/1.1", b"host: here", *headers]
    if not any(line.lower().startswith((b"content-length", b"transfer-encoding")) for line in headers):
        lines.append(b"content-length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def test_heads_that_never_end_are_given_up(server: Running, opened: ExitStack) -> None:
    silent = [raw(server, opened) for _ in range(50)]
    dripping = [raw(server, opened) for _ in range(200)]
    with others_are_served(server, memory_bytes=32 << 20):
        begun = time.monotonic()
        text = b"GET /api/v1/models HTTP/1.1\r\nx-" + b"a" * 200
        cut: set[Raw] = set()
        while len(cut) < len(dripping):
            for each in dripping:
                try:
                    each.send(text[:1])
                except OSError:
                    cut.add(each)
            text = text[1:]
            time.sleep(0.1)
        assert time.monotonic() - begun < HEAD_S + 5
        assert all(each.ended() for each in silent)
    late = raw(server, opened)
    late.send(b"GET /api/v1/mod")
    reply = late.reply()
    assert (reply.status, reply.problem["code"]) == (408, "invalid_request")
    assert late.ended()


@pytest.mark.slow
def test_a_connection_that_is_used_again_has_time_for_its_next_head(server: Running, opened: ExitStack) -> None:
    kept = raw(server, opened)
    for _ in range(3):
        kept.send(b"GET /healthz HTTP/1.1\r\nhost: here\r\n\r\n")
        assert kept.reply().status == 200
        time.sleep(HEAD_S + 0.5)  # nothing is late that has not begun
    kept.send(b"GET /hea")
    assert kept.reply().status == 408


def test_bodies_that_drip_are_given_up(server: Running, opened: ExitStack) -> None:
    """Also where a thread waits for them: more drip than there are threads, and uploads and downloads go on."""
    data = b"x" * 1_000_000
    digest = hashlib.sha256(data).hexdigest().encode()
    dripping = [raw(server, opened) for _ in range(40)]
    ops = [raw(server, opened) for _ in range(10)]
    for each in dripping:
        each.send(b"PUT /api/v1/blobs/sha256:" + digest + b" HTTP/1.1\r\nhost: here\r\ncontent-length: 1000000\r\n\r\n")
    for each in ops:
        each.send(b"POST " + MODELS + b" HTTP/1.1\r\nhost: here\r\ncontent-length: 1000000\r\n\r\n{")
    stop = threading.Event()

    def drip() -> None:
        while not stop.wait(0.1):
            for each in (*dripping, *ops):
                try:
                    each.send(b"x")
                except OSError:
                    continue

    thread = threading.Thread(target=drip)
    with others_are_served(server, memory_bytes=64 << 20):
        thread.start()
        try:
            replies = [each.reply() for each in (dripping[0], ops[0])]
            assert {reply.status for reply in replies} <= {400, 0}
            assert any(b"too slow" in reply.body for reply in replies)
            begun = time.monotonic()
            files = urllib3.request("GET", f"{server.url}/api/v1/resolve?ref=fraud", timeout=30).json()["files"]
            assert urllib3.request("GET", server.url + files[0]["href"], timeout=30).data == b'{"a":1}'
            assert time.monotonic() - begun < 10
        finally:
            stop.set()
            thread.join()


def test_uploads_beyond_those_at_once_wait_and_hold_no_memory(server: Running, opened: ExitStack) -> None:
    """Two hundred send a megabyte and then nothing: those that are not worked on are not read, and downloads go on."""
    data = b"x" * (8 << 20)
    digest = hashlib.sha256(data).hexdigest().encode()
    head = b"PUT /api/v1/blobs/sha256:" + digest + b" HTTP/1.1\r\nhost: here\r\ncontent-length: %d\r\n\r\n" % len(data)
    with others_are_served(server, memory_bytes=140 << 20):  # of two hundred times four it would be 800
        uploads = [raw(server, opened, timeout_s=0.05) for _ in range(200)]
        for each in uploads:
            with suppress(OSError):
                each.send(head + data[: 4 << 20])
        begun = time.monotonic()
        files = urllib3.request("GET", f"{server.url}/api/v1/resolve?ref=fraud", timeout=30).json()["files"]
        assert urllib3.request("GET", server.url + files[0]["href"], timeout=30).data == b'{"a":1}'
        assert time.monotonic() - begun < IDLE_S


def test_answers_that_are_not_taken_are_cut_off(installation: Installation, server: Running, opened: ExitStack) -> None:
    with installation.client(server.url) as registry:
        version = registry.register("large", {"a": 2}, artifacts={"other/bytes": b"x" * (40 << 20)})
        (digest,) = (f.digest for f in registry.files.list(version) if f.size_bytes > 1 << 20)
    request = f"GET /api/v1/blobs/{digest} HTTP/1.1\r\nhost: here\r\n\r\n".encode()
    with others_are_served(server, memory_bytes=128 << 20):  # two pieces of a megabyte each, and what the kernel takes
        stalled = [raw(server, opened, receive_bytes=4096) for _ in range(20)]
        for each in stalled:
            each.send(request)
        until(lambda: open_connections(server) >= 20, 60)
        until(lambda: open_connections(server) < 5, 6 * IDLE_S + 10)
    gone = raw(server, opened)
    cpu_s = server.cpu_s()
    gone.send(request)
    gone.socket.recv(1000)
    gone.close()
    time.sleep(0.5)
    assert server.cpu_s() - cpu_s < 0.4, "it goes on reading for somebody who has left"


def open_connections(server: Running) -> int:
    """Connections of the process to its port, as the kernel counts them."""
    port = f"{int(server.url.rpartition(':')[2]):04X}"
    lines = Path(f"/proc/{server.pid}/net/tcp").read_text().splitlines()[1:]
    return sum(1 for line in lines if line.split()[1].endswith(f":{port}") and line.split()[3] == "01")


def sized(server: Running) -> list[tuple[str, Callable[[], Reply], tuple[int, ...]]]:
    """What no well-behaved client sends, and how it may be answered."""
    url = server.url
    zstd = zstandard()
    bomb = b"[" + b" " * (256 << 20) + b"]"
    many = b"".join(b"x-%d: y\r\n" % n for n in range(20_000))
    chunked = b"transfer-encoding: chunked"
    return [
        ("no HTTP", lambda: reply_to(url, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"), (400,)),
        ("no HTTP either", lambda: reply_to(url, b"\0" * 5000), (400,)),
        (
            "an address that is not ASCII",
            lambda: reply_to(url, "GET /api/v1/modé HTTP/1.1\r\n\r\n".encode()),
            (400, 404),
        ),
        ("a long address", lambda: reply_to(url, b"GET /" + b"a" * 300_000 + b" HTTP/1.1\r\n\r\n"), (431, 0)),
        ("a long header", lambda: reply_to(url, b"GET / HTTP/1.1\r\nx: " + b"a" * 300_000 + b"\r\n\r\n"), (431, 0)),
        ("many headers", lambda: reply_to(url, b"GET / HTTP/1.1\r\n" + many + b"\r\n"), (431, 0)),
        ("two lengths", lambda: reply_to(url, post(MODELS, b"{}", b"content-length: 2", b"content-length: 3")), (400,)),
        ("length and chunks", lambda: reply_to(url, post(MODELS, b"0\r\n\r\n", b"content-length: 5", chunked)), (400,)),
        ("no length", lambda: reply_to(url, post(MODELS, b"", b"content-length: -1")), (400,)),
        ("a huge length", lambda: reply_to(url, post(MODELS, b"{", b"content-length: 999999999999")), (413,)),
        ("a length beyond 64 bits", lambda: reply_to(url, post(MODELS, b"{", b"content-length: " + b"9" * 40)), (400,)),
        ("chunks of no size", lambda: reply_to(url, post(MODELS, b"zz\r\n{}\r\n0\r\n\r\n", chunked)), (400, 0)),
        (
            "endless chunk extensions",
            lambda: reply_to(url, post(MODELS, b"1;" + b"a" * 300_000, chunked)),
            (400, 431, 0),
        ),
        (
            "endless trailers",
            lambda: reply_to(url, post(MODELS, b"1\r\n{\r\n0\r\nx: " + b"a" * 300_000, chunked)),
            (400, 431, 0),
        ),
        ("a long body", lambda: reply_to(url, post(MODELS, b" " * (BODY_BYTES_MAX + 1))), (413,)),
        ("a long body in chunks", lambda: reply_to(url, post(MODELS, in_chunks(BODY_BYTES_MAX + 1), chunked)), (413,)),
        (
            "a body of a reading call",
            lambda: reply_to(url, b"GET " + MODELS + b" HTTP/1.1\r\nhost: h\r\ncontent-length: 9999999\r\n\r\n"),
            (413,),
        ),
        ("a gzip bomb", lambda: reply_to(url, post(MODELS, gzip.compress(bomb), b"content-encoding: gzip")), (413,)),
        ("a zstd bomb", lambda: reply_to(url, post(MODELS, zstd.compress(bomb), b"content-encoding: zstd")), (413,)),
        ("no gzip", lambda: reply_to(url, post(MODELS, b"{}", b"content-encoding: gzip")), (400,)),
        ("no zstd", lambda: reply_to(url, post(MODELS, b"{}", b"content-encoding: zstd")), (400,)),
        (
            "half a gzip",
            lambda: reply_to(url, post(MODELS, gzip.compress(b"{}")[:9], b"content-encoding: gzip")),
            (400,),
        ),
        ("an unknown encoding", lambda: reply_to(url, post(MODELS, b"{}", b"content-encoding: rot13")), (400, 415)),
        ("no JSON", lambda: reply_to(url, post(MODELS, b"{")), (400,)),
        ("no UTF-8", lambda: reply_to(url, post(MODELS, b'{"model": "\xff\xfe"}')), (400,)),
        ("another encoding", lambda: reply_to(url, post(MODELS, '{"model": "a"}'.encode("utf-16"))), (400,)),
        ("half a surrogate", lambda: reply_to(url, post(MODELS, b'{"model": "a\\ud800"}')), (400,)),
        ("deep JSON", lambda: reply_to(url, post(MODELS, b"[" * 1_000_000)), (400,)),
        ("deep JSON of a field", lambda: reply_to(url, post(MODELS, b'{"model":' + b"[" * 100_000)), (400,)),
        ("a body of another type", lambda: reply_to(url, post(MODELS, b"a=b", b"content-type: text/x-y")), (400, 415)),
        ("a method of its own", lambda: reply_to(url, b"FROBNICATE / HTTP/1.1\r\n\r\n"), (400, 405, 404)),
        ("an upgrade", lambda: reply_to(url, UPGRADE), (200,)),
    ]


UPGRADE = b"GET /healthz HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"


def in_chunks(size_bytes: int) -> bytes:
    piece = b" " * 60_000
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for _ in range(size_bytes // len(piece) + 1)) + b"0\r\n\r\n"


def test_what_is_no_request_is_refused_in_clear_words(server: Running) -> None:
    with others_are_served(server, memory_bytes=96 << 20, latency_s=1.0):
        for what, send, statuses in sized(server):
            try:
                reply = send()
            except ConnectionError:
                reply = Reply(0, {}, b"")  # it was cut off while it still sent
            assert reply.status in statuses, (what, reply)
            if reply.status not in (0, 200):
                assert reply.problem["code"], what
                assert len(reply.problem["detail"]) > 15, (what, reply)
    assert "Traceback" not in server.said()


def test_what_follows_an_early_answer_is_not_read_for_ever(server: Running, opened: ExitStack) -> None:
    each = raw(server, opened)
    each.send(post(MODELS, b"{", b"content-length: 999999999"))
    assert each.reply().status == 413
    begun = time.monotonic()
    until(lambda: is_cut(each), 20, 0.05)
    assert time.monotonic() - begun > 1, "its answer may not have been read"


def is_cut(each: Raw) -> bool:
    try:
        each.send(b" " * 1000)
    except OSError:
        return True
    return False


def test_requests_sent_without_waiting_are_answered_in_order(server: Running, opened: ExitStack) -> None:
    each = raw(server, opened)
    each.send(b"GET /healthz HTTP/1.1\r\nhost: h\r\n\r\n" * 300)
    data = b""
    while data.count(b"HTTP/1.1 200") < 300:
        piece = each.socket.recv(1 << 16)
        assert piece, data[-300:]
        data += piece


def test_beyond_the_most_connections_the_idlest_makes_room(installation: Installation, opened: ExitStack) -> None:
    server = installation.serve("--workers", "0", serve_connections_max=50, serve_head_s=60)
    with installation.client(server.url) as registry:
        registry.register("fraud", {"a": 1})
    hearing = [raw(server, opened) for _ in range(30)]
    for each in hearing:
        each.send(b"GET /api/v1/events HTTP/1.1\r\nhost: here\r\n\r\n")
        assert each.reply().status == 200
    idle = [raw(server, opened) for _ in range(200)]
    assert all(get(server) < 5 for _ in range(10))
    until(lambda: open_connections(server) <= 51, 60)
    assert idle[0].ended()
    more = [raw(server, opened) for _ in range(20)]
    for each in more:
        each.send(b"GET /api/v1/events HTTP/1.1\r\nhost: here\r\n\r\n")
        assert each.reply().status == 200
    refused = raw(server, opened)
    reply = refused.reply()  # all are in use: nobody is cut off for it
    assert (reply.status, reply.problem["code"], reply.headers["retry-after"]) == (503, "unavailable", "1")
    for each in more:
        each.close()
    until(lambda: open_connections(server) <= 40, 60)
    assert get(server) < 5


@pytest.mark.slow
def test_ten_thousand_open_connections(installation: Installation, opened: ExitStack) -> None:
    ours, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 11_000
    if hard < wanted:
        pytest.fail(f"only {hard} files may be open here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(ours, wanted), hard))
    opened.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (ours, hard))
    server = installation.serve("--workers", "0", serve_head_s=300, serve_connections_max=10_000)
    with installation.client(server.url) as registry:
        registry.register("fraud", {"a": 1})
    address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
    alone_s = statistics.median(get(server) for _ in range(50))
    with others_are_served(server, memory_bytes=350 << 20):
        for _ in range(10_000):
            opened.enter_context(closing(socket.create_connection(address)))
        until(lambda: open_connections(server) >= 9_990, 60)
        crowded_s = statistics.median(get(server) for _ in range(200))
    assert crowded_s < max(10 * alone_s, 0.1)
