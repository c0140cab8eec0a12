"""Runs one server for as long as a test run lives, and no longer. Standard library only: it starts in milliseconds.

Usage: ``python supervisor.py <watched pid> <stop signal> <user or -> <pid file> <directory> <command> …``

The server ends when this process is told to (SIGTERM), or when the watched process, the test run, is gone, even by
SIGKILL. The pid file is there from before the server starts until after it has ended.
"""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

POLL_S = 0.25
GRACE_S = 10.0


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's process, so there is one
        return True
    return True


def end(server: subprocess.Popen[bytes], stop_signal: int) -> None:
    server.send_signal(stop_signal)
    try:
        server.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def supervise(watched: int, stop_signal: int, user: str | None, directory: str, command: list[str]) -> None:
    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: stopping.append(number))
    server = subprocess.Popen(
        command,
        cwd=directory,
        stdin=subprocess.DEVNULL,
        user=user,
        group=None if user is None else user,
        extra_groups=None if user is None else [],
    )
    while not stopping and is_alive(watched):
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(POLL_S)
            return
    end(server, stop_signal)


def main(arguments: list[str]) -> None:
    watched, stop_signal, user, pid_file, directory, *command = arguments
    os.setsid()  # Ctrl-C in the terminal is for the test run, which then stops its servers
    path = Path(pid_file)
    path.write_text(str(os.getpid()))
    try:
        supervise(int(watched), int(stop_signal), None if user == "-" else user, directory, command)
    finally:
        path.unlink(missing_ok=True)


if __name__ == "__main__":
    main(sys.argv[1:])
