"""Servers as processes with all that they start, what they spend, and clients that spend little themselves."""

from __future__ import annotations

import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

__all__ = [
    "Line",
    "Load",
    "Served",
    "asked",
    "bare_files",
    "chopmark",
    "free_port",
    "mlflow",
    "running",
    "without_ours",
]

_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
_START_S = 300.0
_TIMEOUT_S = 120.0


class Served(NamedTuple):
    """A server that answers.

    Attributes
    ----------
    what
        Its name.
    port
        On this machine.
    process
        The first of its processes.
    start_cpu_s, start_s
        Until its first answer, of all its processes; and on the wall.
    token
        What its callers send, if it asks for that.
    """

    what: str
    port: int
    process: subprocess.Popen[str]
    start_cpu_s: float
    start_s: float
    token: str = ""

    def cpu_s(self) -> float:
        """CPU seconds of all its processes, also of those that have ended."""
        return _cpu_s(self.process.pid)

    def memory_mib(self) -> float:
        """Memory of all its processes; what they share counts once."""
        return sum(_kib(pid, "Pss:") for pid in _family(self.process.pid)) / 1024

    def resident_mib(self) -> float:
        """Memory of all its processes, each with what it shares with others."""
        return sum(_kib(pid, "Rss:") for pid in _family(self.process.pid)) / 1024

    def request(self, method: str, path: str, body: bytes = b"") -> bytes:
        """A request as it is sent."""
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n"
        if self.token:
            head += f"Authorization: Bearer {self.token}\r\n"
        if body:
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        return head.encode() + b"\r\n" + body


class Line:
    """A connection that is kept, and costs some 30 microseconds of CPU a request."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, request: bytes) -> bytes:
        """Send a request and return the answer's body; anything but success is an error."""
        self._socket.sendall(request)
        received = self._socket.recv(1 << 16)
        while (end := received.find(b"\r\n\r\n")) < 0:
            received += self._more()
        head = received[:end].lower()
        at = head.find(b"content-length:")
        size = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        while len(received) < end + 4 + size:
            received += self._more()
        if not received.startswith(b"HTTP/1.1 2"):
            raise RuntimeError(received[:2_000].decode(errors="replace"))
        return received[end + 4 :]

    def _more(self) -> bytes:
        more = self._socket.recv(1 << 20)
        if not more:
            raise RuntimeError("The server hung up.")
        return more

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


class Load(NamedTuple):
    """What a number of requests took."""

    cpu_ms: float
    """CPU of the server for each."""
    ms_p50: float
    ms_p99: float
    per_s: float


def asked(server: Served, request: Callable[[int], bytes], numbers: Sequence[int], clients: int = 1) -> Load:
    """Send a request for each number, over so many connections at once."""

    def client(mine: Sequence[int]) -> list[float]:
        took = []
        with closing(Line(server.port)) as line:
            for number in mine:
                sent = request(number)
                begun = time.perf_counter()
                line.ask(sent)
                took.append(1000 * (time.perf_counter() - begun))
        return took

    cpu_s, begun = server.cpu_s(), time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        took = sorted(ms for each in pool.map(client, [numbers[i::clients] for i in range(clients)]) for ms in each)
    wall_s = time.perf_counter() - begun
    spent_ms = 1000 * (server.cpu_s() - cpu_s) / len(numbers)
    return Load(spent_ms, statistics.median(took), took[int(0.99 * len(took))], len(numbers) / wall_s)


@contextmanager
def chopmark(home: Path, *, settings: Mapping[str, str] | None = None) -> Iterator[Served]:
    """Ours with its workers, as it comes; only how often a caller may ask is not limited."""
    home.mkdir(parents=True, exist_ok=True)
    port = free_port()
    unlimited = {"CHOPMARK_SERVE_TOKEN_RATE_PER_S": "0", "CHOPMARK_SERVE_ADDRESS_RATE_PER_S": "0"}
    environment = without_ours() | {"HOME": str(home), "CHOPMARK_URL": str(home / "registry"), **unlimited}
    command = [sys.executable, "-m", "chopmark", "serve", "--port", str(port)]
    with running("Chopmark", command, port, home, environment | dict(settings or {}), "/healthz") as server:
        words = (home / "out.txt").read_text().split()
        yield server._replace(token=next((word for word in words if word.startswith("cm_")), ""))


@contextmanager
def bare_files(home: Path) -> Iterator[Served]:
    """The barest file server on the same stack."""
    (home / "files").mkdir(parents=True)
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.bare_files", str(port), str(home / "files")]
    environment = without_ours() | {"HOME": str(home), "PYTHONPATH": str(Path(__file__).parents[1])}
    with running("bare files", command, port, home, environment, "/") as server:
        yield server


@contextmanager
def mlflow(python: Path, version: str, home: Path) -> Iterator[Served]:
    """MLflow's server as it comes, on SQLite and a directory."""
    home.mkdir(parents=True, exist_ok=True)
    port = free_port()
    environment = without_ours() | {"HOME": str(home), "PATH": f"{python.parent}:{os.environ['PATH']}"}
    places = ["--backend-store-uri", f"sqlite:///{home}/mlflow.db", "--artifacts-destination", str(home / "artifacts")]
    command = [str(python.parent / "mlflow"), "server", *places, "--host", "127.0.0.1", "--port", str(port)]
    with running(f"MLflow {version}", command, port, home, environment, "/version") as server:
        yield server


@contextmanager
def running(
    what: str, command: list[str], port: int, home: Path, environment: dict[str, str], first: str
) -> Iterator[Served]:
    """A server from its first answer to a path until the end of the block."""
    begun = time.perf_counter()
    with (home / "out.txt").open("w") as out, (home / "err.txt").open("w") as err:
        process = subprocess.Popen(
            command, cwd=home, env=environment, stdout=out, stderr=err, text=True, start_new_session=True
        )
    try:
        server = Served(what, port, process, 0.0, 0.0)
        while not _answers(server, first):
            if process.poll() is not None or time.perf_counter() - begun > _START_S:
                raise RuntimeError(f"{what} did not start:\n{(home / 'err.txt').read_text()[-2_000:]}")
            time.sleep(0.01)
        yield server._replace(start_cpu_s=server.cpu_s(), start_s=time.perf_counter() - begun)
    finally:
        family = _family(process.pid)
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pid in family:  # whom it left behind
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _answers(server: Served, path: str) -> bool:
    try:
        with closing(Line(server.port)) as line:
            line.ask(server.request("GET", path))
    except (OSError, RuntimeError):
        return False
    return True


def free_port() -> int:
    """A port that nobody listens on."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def without_ours() -> dict[str, str]:
    """The environment without settings of ours or MLflow's."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("CHOPMARK_", "MLFLOW_"))}


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _family(pid: int) -> list[int]:
    """A process and all below it."""
    parents = {int(p.name): _stat(int(p.name)) for p in Path("/proc").iterdir() if p.name.isdigit()}
    family = [pid]
    for member in family:
        family += [child for child, stat in parents.items() if stat and int(stat[1]) == member]
    return family


def _cpu_s(pid: int) -> float:
    ticks = 0
    for member in _family(pid):
        stat = _stat(member)
        if stat:
            ticks += sum(map(int, stat[11:15]))  # its own and of its children that were waited for: user, system
    return ticks / _TICKS_A_SECOND


def _kib(pid: int, what: str) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (OSError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(what)), 0)
