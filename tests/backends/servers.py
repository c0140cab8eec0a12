"""Starts a server once per test run, whichever worker asks first, and stops every server when the run ends."""

import contextlib
import json
import os
import signal
import socket
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree

from filelock import FileLock

RUN_DIRECTORY = "CHOPMARK_TEST_RUN_DIRECTORY"
RUN_PID = "CHOPMARK_TEST_RUN_PID"

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0
POLL_S = 0.02
ATTEMPTS = 3  # a port that was free a moment ago may be taken by the time a server binds it


class ServerFailed(RuntimeError):
    """The server ended or did not answer in time; the message carries the end of its log."""


@dataclass(frozen=True)
class Command:
    """One attempt to start a server: what to run, as whom, and how to see that it answers."""

    arguments: Sequence[str | Path]
    is_ready: Callable[[], bool]
    facts: Mapping[str, object]
    once_ready: Callable[[], None] = lambda: None
    """What to do, once in the run, as soon as it answers."""
    user: str | None = None
    stop_signal: signal.Signals = signal.SIGKILL


def open_run() -> None:
    """Give this test run a directory of its own; workers find it in their environment."""
    directory = Path(tempfile.mkdtemp(prefix="chopmark-tests-"))
    directory.chmod(0o755)  # PostgreSQL runs as another user when the tests run as root
    os.environ[RUN_DIRECTORY] = str(directory)
    os.environ[RUN_PID] = str(os.getpid())


def run_directory() -> Path:
    return Path(os.environ[RUN_DIRECTORY])


def close_run() -> None:
    """Stop every server that this run started and remove its directory."""
    directory = Path(os.environ.pop(RUN_DIRECTORY))
    pid_files = list(directory.glob("*/supervisor.pid"))
    for pid_file in pid_files:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, ValueError):
            os.kill(int(pid_file.read_text()), signal.SIGTERM)
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while any(pid_file.exists() for pid_file in pid_files) and time.monotonic() < deadline:
        time.sleep(POLL_S)
    rmtree(directory, ignore_errors=True)


def shared_server(name: str, prepare: Callable[[Path], Command]) -> dict[str, str | int]:
    """Start the server called `name` unless another worker of this run has; returns the facts a client needs."""
    home = run_directory() / name
    facts_file = run_directory() / f"{name}.json"
    with FileLock(run_directory() / f"{name}.lock"):
        if not facts_file.exists():
            facts_file.write_text(json.dumps(start(home, prepare)))
    facts: dict[str, str | int] = json.loads(facts_file.read_text())
    return facts


def start(home: Path, prepare: Callable[[Path], Command]) -> dict[str, object]:
    for attempt in range(ATTEMPTS):
        rmtree(home, ignore_errors=True)
        home.mkdir()
        command = prepare(home)
        spawn(home, command)
        try:
            wait_until_ready(home, command)
        except ServerFailed:
            if attempt == ATTEMPTS - 1 or (home / "supervisor.pid").exists():
                raise
        else:
            command.once_ready()
            return dict(command.facts)
    raise AssertionError("unreachable: the last attempt returns or raises")


def spawn(home: Path, command: Command) -> None:
    # posix_spawn rather than Popen: the supervisor outlives the worker that starts it, and nobody waits for it here.
    log = os.open(home / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    (home / "supervisor.pid").touch()
    try:
        os.posix_spawn(
            sys.executable,
            [
                sys.executable,
                "-IS",
                str(Path(__file__).with_name("supervisor.py")),
                os.environ[RUN_PID],
                str(int(command.stop_signal)),
                command.user or "-",
                str(home / "supervisor.pid"),
                str(home),
                *map(str, command.arguments),
            ],
            os.environ,
            file_actions=[(os.POSIX_SPAWN_DUP2, log, 1), (os.POSIX_SPAWN_DUP2, log, 2)],
        )
    finally:
        os.close(log)


def wait_until_ready(home: Path, command: Command) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not command.is_ready():
        if not (home / "supervisor.pid").exists():
            raise ServerFailed(f"{command.arguments[0]} ended before it answered:\n{log_end(home)}")
        if time.monotonic() > deadline:
            raise ServerFailed(f"{command.arguments[0]} gave no answer for {START_TIMEOUT_S:.0f} s:\n{log_end(home)}")
        time.sleep(POLL_S)


def log_end(home: Path) -> str:
    return (home / "log").read_text(errors="replace")[-2000:]


def free_ports(count: int) -> list[int]:
    """Find `count` different free TCP ports on the loopback address."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def answers_http(url: str) -> bool:
    """Whether anything speaks HTTP at `url`; an error status is an answer."""
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except urllib.error.HTTPError as answer:
        answer.close()
        return True
    except OSError:
        return False
