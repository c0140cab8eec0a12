"""The servers, each a process of its own, from their first prediction on."""

from __future__ import annotations

import base64
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import served
from benchmarks.gateway.models import mlserver_repository
from benchmarks.peers.environments import made, pinned_version
from benchmarks.served import Line, Served

__all__ = [
    "Asked",
    "Batching",
    "asked",
    "chopmark",
    "cpu_us",
    "crowd",
    "echo",
    "infer",
    "mlserver",
    "mlserver_python",
    "told_by",
    "until_predicts",
]

CROWD = 64
_ROOT = Path(__file__).parents[2]
_READY_S = 60.0
_UNLIMITED = {"CHOPMARK_SERVE_TOKEN_RATE_PER_S": "0", "CHOPMARK_SERVE_ADDRESS_RATE_PER_S": "0"}


class Batching(NamedTuple):
    """How MLServer batches; not at all when the size is 0."""

    size: int = 0
    time_s: float = 0.0


class Asked(NamedTuple):
    """What a crowd of requests came to.

    Attributes
    ----------
    cpu_us
        Of the server for each.
    ms_p50, ms_p99
        As each caller saw it.
    refused, broken
        By request, in the order given: answers other than 200, and connections that ended without an answer.
    sent
        By request, how many came back one way or the other.
    values
        Of the header that was asked for.
    words
        The first refusal, or empty.
    """

    cpu_us: float
    ms_p50: float
    ms_p99: float
    refused: tuple[int, ...]
    broken: tuple[int, ...]
    sent: tuple[int, ...]
    values: tuple[str, ...]
    words: str

    def check(self) -> None:
        """All was answered, or what was measured is something else.

        Raises
        ------
        RuntimeError
            When a request was refused, or its connection ended.
        """
        if sum(self.refused) or sum(self.broken):
            raise RuntimeError(f"{sum(self.refused)} refused, {sum(self.broken)} broken: {self.words}")


def infer(path: str, row: Sequence[float], key: str = "") -> bytes:
    """A request of the Open Inference Protocol for one row, for whom it asks in a header."""
    tensor = {"name": "rows", "shape": [1, len(row)], "datatype": "FP64", "data": list(row)}
    body = json.dumps({"inputs": [tensor]}).encode()
    who = f"x-chopmark-key: {key}\r\n" if key else ""
    head = (
        f"POST {path} HTTP/1.1\r\nhost: localhost\r\n{who}content-type: application/json\r\ncontent-length: {len(body)}"
    )
    return head.encode() + b"\r\n\r\n" + body


def asked(server: Served, requests: Sequence[bytes], count: int, connections: int = CROWD) -> Asked:
    """Ask so many times, and say what it cost."""
    before = server.cpu_s()
    with crowd(server, requests, connections, count) as process:
        said, _ = process.communicate()
    return _read(said, process.returncode, server.cpu_s() - before)


@contextmanager
def crowd(
    server: Served, requests: Sequence[bytes], connections: int, count: int | None = None, told: str = ""
) -> Iterator[subprocess.Popen[str]]:
    """Who asks; without a count until its standard input is closed. What it says is read by `told_by`."""
    order = {
        "port": server.port,
        "connections": connections,
        "count": count,
        "requests": [base64.b64encode(request).decode() for request in requests],
        "told": told,
    }
    command = [sys.executable, "-m", "benchmarks.gateway.crowd"]
    with subprocess.Popen(
        command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        assert process.stdin is not None
        process.stdin.write(json.dumps(order) + "\n")
        process.stdin.flush()
        try:
            yield process
        finally:
            with suppress(BrokenPipeError):
                process.stdin.close()


def told_by(process: subprocess.Popen[str]) -> Asked:
    """End a crowd without a count; what it came to."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    said = process.stdout.read()
    return _read(said, process.wait(), 0.0)


def _read(said: str, code: int | None, cpu_s: float) -> Asked:
    if code:
        raise RuntimeError(f"who asked ended with {code}")
    found: dict[str, Any] = json.loads(said)
    kinds: list[dict[str, Any]] = found["kinds"]
    counts = [sum(kind["statuses"].values()) + kind["broken"] for kind in kinds]
    return Asked(
        cpu_us=1e6 * cpu_s / sum(counts),
        ms_p50=found["ms"][0],
        ms_p99=found["ms"][1],
        refused=tuple(sum(kind["statuses"].values()) - kind["statuses"].get("200", 0) for kind in kinds),
        broken=tuple(kind["broken"] for kind in kinds),
        sent=tuple(counts),
        values=tuple(found["values"]),
        words=next((kind["refused"] for kind in kinds if kind["refused"]), ""),
    )


def cpu_us(loads: Sequence[Asked]) -> float:
    """The median."""
    return statistics.median(load.cpu_us for load in loads)


def until_predicts(server: Served, request: bytes) -> None:
    """Wait for the first prediction.

    Raises
    ------
    TimeoutError
        When there is none.
    """
    limit = time.monotonic() + _READY_S
    words = ""
    while time.monotonic() < limit:
        try:
            with closing(Line(server.port)) as line:
                line.ask(request)
        except (OSError, RuntimeError) as error:
            words = str(error)
            time.sleep(0.05)
        else:
            return
    raise TimeoutError(f"{server.what} predicts nothing: {words}")


@contextmanager
def chopmark(
    home: Path, registry: str | None, ready: bytes, *command: str, settings: Mapping[str, str] | None = None
) -> Iterator[Served]:
    """``chopmark serve`` of a registry, unless the settings name it; or another command that listens, as ``gateway``."""
    home.mkdir(parents=True, exist_ok=True)
    port = served.free_port()
    own = {"HOME": str(home), "CHOPMARK_SERVE_AUTH": "none", **_UNLIMITED}
    if registry is not None:
        own["CHOPMARK_URL"] = registry
    environment = served.without_ours() | own | dict(settings or {})
    line = [sys.executable, "-m", "chopmark", *(command or ("serve",)), "--port", str(port)]
    with served.running("Chopmark", line, port, home, environment, "/healthz") as server:
        if ready:
            until_predicts(server, ready)
        yield server._replace(start_cpu_s=server.cpu_s())


@contextmanager
def echo(home: Path, kind: str) -> Iterator[Served]:
    """The barest server, with connections as ours has them (``ours``) or as uvicorn has them (``plain``)."""
    home.mkdir(parents=True, exist_ok=True)
    port = served.free_port()
    line = [sys.executable, "-m", "benchmarks.gateway.echo", str(port), kind]
    environment = served.without_ours() | {"HOME": str(home), "PYTHONPATH": str(_ROOT)}
    with served.running(f"echo on uvicorn, {kind}", line, port, home, environment, "/") as server:
        yield server


def mlserver_python() -> Path | None:
    """The Python of MLServer's environment; None where there is none, which is said."""
    python = made("mlserver")
    if python is None:
        print("No rows beside MLServer: `make bench-peers` makes its environment.", file=sys.stderr)
    return python


@contextmanager
def mlserver(
    python: Path, home: Path, models: Path, name: str, ready: bytes, batching: Batching | None = None
) -> Iterator[Served]:
    """MLServer with one model, in one process."""
    batching = batching or Batching()
    home.mkdir(parents=True, exist_ok=True)
    repository = mlserver_repository(home / "models", models, name, *batching)
    port, other, metrics = served.free_port(), served.free_port(), served.free_port()
    settings = {
        "debug": False,
        "parallel_workers": 0,
        "host": "127.0.0.1",
        "http_port": port,
        "grpc_port": other,
        "metrics_port": metrics,
        "metrics_endpoint": None,
        "gzip_enabled": False,
    }
    (repository / "settings.json").write_text(json.dumps(settings))
    line = [str(python.parent / "mlserver"), "start", str(repository)]
    environment = served.without_ours() | {"HOME": str(home), "PATH": f"{python.parent}:/usr/bin:/bin"}
    what = f"MLServer {pinned_version('mlserver')}"
    if batching.size:
        what += f", batches of {batching.size} in {1000 * batching.time_s:g} ms"
    with served.running(what, line, port, home, environment, "/v2/health/live") as server:
        until_predicts(server, ready)
        yield server._replace(start_cpu_s=server.cpu_s())
