"""Bytes to the server and from it beside the barest file server on the same stack, a call of the SDK, and many who hear events."""

from __future__ import annotations

import hashlib
import http.client
import os
import selectors
import socket
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

import chopmark as cm
from benchmarks import served
from benchmarks.figures import Figure
from benchmarks.served import Line, Served

__all__ = ["figures"]

OF_BARE, GROWN_MIB, KNOWN_MS = 1.5, 64.0, 5.0
SDK_CPU_MS, HEARD_MS, HEARING_MIB = 1.0, 500.0, 200.0
HEARERS = 500
CALLS = 300
_PIECE_BYTES = 1 << 20
_API = "/api/v1"


def figures(place: Path, rounds: int, mib: int, *, quick: bool = False) -> list[Figure]:
    """All of it."""
    with ExitStack() as stack:
        ours = stack.enter_context(served.chopmark(place / "ours"))
        bare = stack.enter_context(served.bare_files(place / "bare"))
        found = _transfers(place, ours, bare, rounds, mib)
        found += _known(ours)
        found += _sdk(place, ours)
    with served.chopmark(place / "heard") as ours:
        found += _hearing(ours, 50 if quick else HEARERS)
    return found


def _transfers(place: Path, ours: Served, bare: Served, rounds: int, mib: int) -> list[Figure]:
    cpu: dict[str, list[float]] = {what: [] for what in ("up", "up, bare", "down", "down, bare")}
    idle_mib, most_mib = ours.memory_mib(), 0.0
    for number in range(rounds):
        file, digest = _made(place, number, mib)
        for name, server, path in (("", ours, f"{_API}/blobs/{digest}"), (", bare", bare, f"/{digest}")):
            cpu["up" + name].append(_spent(server, partial(_upload, server, path, file)))
            cpu["down" + name].append(_spent(server, partial(_download, server, path)))
            most_mib = max(most_mib, ours.memory_mib())
        file.unlink()
    against = "bare file server, hashing"
    up, up_bare, down, down_bare = (statistics.median(spent) for spent in cpu.values())
    return [
        Figure(f"server: upload of {mib} MiB, CPU", up, "s", against, up_bare, limit=OF_BARE),
        Figure(f"server: download of {mib} MiB, CPU", down, "s", against, down_bare, limit=OF_BARE),
        Figure(
            "server: memory that both add",
            max(0.0, most_mib - idle_mib),
            "MiB",
            "idle",
            idle_mib,
            limit_abs=GROWN_MIB,
        ),
    ]


def _made(place: Path, number: int, mib: int) -> tuple[Path, str]:
    """A file of random bytes, never the same, and its digest."""
    file, digest = place / f"{number}.bin", hashlib.sha256()
    with file.open("wb") as made:
        for _ in range(mib):
            piece = os.urandom(1 << 20)
            digest.update(piece)
            made.write(piece)
    return file, f"sha256:{digest.hexdigest()}"


def _spent(server: Served, work: Callable[[], object]) -> float:
    before = server.cpu_s()
    work()
    return server.cpu_s() - before


def _headers(server: Served) -> dict[str, str]:
    return {"Authorization": f"Bearer {server.token}"} if server.token else {}


def _upload(server: Served, path: str, file: Path) -> None:
    with (
        closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=600)) as connection,
        file.open("rb") as body,
    ):
        connection.request("PUT", path, body, _headers(server) | {"Content-Length": str(file.stat().st_size)})
        answer = connection.getresponse()
        said = answer.read()
        if answer.status != http.HTTPStatus.OK:
            raise RuntimeError(said)


def _download(server: Served, path: str) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=600)) as connection:
        connection.request("GET", path, headers=_headers(server))
        answer = connection.getresponse()
        while answer.read(_PIECE_BYTES):
            pass


def _known(ours: Served) -> list[Figure]:
    """What a client does before it sends bytes: it asks which of them are missing; and a bare round trip."""
    content = b"known" * 1_000
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    with closing(Line(ours.port)) as line:
        line.ask(
            ours.request("PUT", f"{_API}/blobs/{digest}", content).replace(
                b"application/json", b"application/octet-stream"
            )
        )
        question = ours.request("POST", f"{_API}/blobs/missing", f'{{"digests": ["{digest}"]}}'.encode())
        asking = _ms(lambda: line.ask(question))
        well = ours.request("GET", "/healthz")
        trip = _ms(lambda: line.ask(well))
    return [Figure("server: an upload of bytes already there", asking, "ms", "a round trip", trip, limit_abs=KNOWN_MS)]


def _ms(work: Callable[[], object]) -> float:
    took = []
    for _ in range(CALLS):
        begun = time.perf_counter()
        work()
        took.append(1000 * (time.perf_counter() - begun))
    return statistics.median(took)


def _sdk(place: Path, ours: Served) -> list[Figure]:
    """CPU of the client for a call, beside that of the same bytes over a bare connection."""
    url = f"http://127.0.0.1:{ours.port}"
    with cm.open(url, token=ours.token, cache_dir=str(place / "cache")) as registry:
        registry.register("fraud", {"a": 1})
        registry.get("fraud:1")
        begun = time.process_time()
        for _ in range(CALLS):
            registry.get("fraud:1")
        mine = 1000 * (time.process_time() - begun) / CALLS
    with closing(Line(ours.port)) as line:
        request = ours.request("GET", f"{_API}/versions/fraud:1")
        begun = time.process_time()
        for _ in range(CALLS):
            line.ask(request)
        bare = 1000 * (time.process_time() - begun) / CALLS
    return [Figure("SDK over HTTP: get, CPU of the client", mine, "ms", "bare socket", bare, limit_abs=SDK_CPU_MS)]


def _hearing(ours: Served, count: int) -> list[Figure]:
    """From the answer to a change until the last of so many has its event."""
    request = ours.request("GET", f"{_API}/events")
    with ExitStack() as stack, selectors.DefaultSelector() as selector, closing(Line(ours.port)) as line:
        for _ in range(count):
            hearer = stack.enter_context(socket.create_connection(("127.0.0.1", ours.port), timeout=60))
            hearer.sendall(request)
            selector.register(hearer, selectors.EVENT_READ)
        _until_all_have(selector, count, b"200 OK")
        took = []
        for number in range(5):
            name = f"heard-{number}"
            begun = time.perf_counter()
            line.ask(ours.request("POST", f"{_API}/models", f'{{"model": "{name}"}}'.encode()))
            _until_all_have(selector, count, name.encode())
            took.append(1000 * (time.perf_counter() - begun))
        memory = ours.memory_mib()
    return [
        Figure(
            f"server: {count} hear an event",
            statistics.median(took),
            "ms",
            "slowest of 5",
            max(took),
            limit_abs=HEARD_MS,
        ),
        Figure(f"server: memory with {count} who hear", memory, "MiB", "at most", HEARING_MIB, limit_abs=HEARING_MIB),
    ]


def _until_all_have(selector: selectors.BaseSelector, count: int, wanted: bytes) -> None:
    """Read from all until each has received some text."""
    having: set[int] = set()
    limit = time.monotonic() + 60
    while len(having) < count:
        if time.monotonic() > limit:
            raise TimeoutError(f"{len(having)} of {count} have {wanted!r}")
        for key, _ in selector.select(1):
            if wanted in os.read(key.fd, 1 << 16):
                having.add(key.fd)
