"""Starts ``chopmark`` for the pages: one warm process that has imported the program, and forks for each command.

Importing is nine tenths of what a short command costs, and the pages show some two hundred of them. Each still runs in a
process of its own, with the arguments, environment, directory and streams of the shell that asked.

Usage: ``python starter.py <socket> <program>``. It ends when its standard input is closed, by whoever started it or by
that one's end. `asker.py` is what stands on the pages' path.
"""

import contextlib
import gc
import importlib
import json
import os
import pkgutil
import selectors
import signal
import socket
import sys
import time
import types
from pathlib import Path
from typing import NamedTuple, NoReturn

# What every command needs, and what most do. Nothing of them is opened here: a fork shares no connection.
PACKAGES = ("app", "blobs", "catalog", "cli", "ops", "remote", "sdk")
MESSAGE_BYTES_MAX = 1 << 20
STREAMS_AND_DIRECTORY = 4


class Asked(NamedTuple):
    arguments: list[str]
    environ: dict[str, str]


def import_program() -> None:
    for package in PACKAGES:
        path = importlib.import_module(f"chopmark.{package}").__path__
        for module in pkgutil.iter_modules(path, f"chopmark.{package}."):
            with contextlib.suppress(ImportError):  # of an extra that is not installed
                importlib.import_module(module.name)
    gc.collect()
    gc.freeze()  # else the collector of each child would touch, and so copy, all of it


def accepted(listener: socket.socket) -> socket.socket | None:
    """Give the connection of the next who asks, or None once standard input is closed."""
    with selectors.DefaultSelector() as waiting:
        waiting.register(listener, selectors.EVENT_READ)
        waiting.register(0, selectors.EVENT_READ)
        while True:
            ready = {key.fd for key, _ in waiting.select()}
            if 0 in ready:
                return None
            return listener.accept()[0]


def wait_for_a_command(listener: socket.socket) -> Asked | None:
    """Return in a new process for each command, and at the end, with None, in this one."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who wait for the commands
    while (connection := accepted(listener)) is not None:
        if os.fork() == 0:
            listener.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            return start(connection)
        connection.close()
    return None


def start(connection: socket.socket) -> Asked:
    """Fork once more, return in the command's process, and tell its end from the other."""
    message, files, _, _ = socket.recv_fds(connection, MESSAGE_BYTES_MAX, STREAMS_AND_DIRECTORY)
    *streams, directory = files
    pid = os.fork()
    if pid == 0:
        connection.close()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        os.fchdir(directory)
        for each in files:
            os.close(each)
        return Asked(**json.loads(message))
    for each in (0, 1, 2, *files):
        os.close(each)  # else a pipe would have an end here after the command is gone
    return tell_end(connection, pid)


def tell_end(connection: socket.socket, pid: int) -> NoReturn:
    with contextlib.suppress(OSError):  # who asked is gone: the command goes on, as one in the background does
        connection.sendall(f"{pid}\n".encode())
    _, status = os.waitpid(pid, 0)
    with contextlib.suppress(OSError):
        connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def become(program: str, asked: Asked) -> None:
    """Make of this process what a new one would be."""
    sys.modules["__main__"] = types.ModuleType("__main__")
    sys.argv = [program, *asked.arguments]
    os.environ.clear()
    os.environ.update(asked.environ)
    time.tzset()
    sys.stdin = os.fdopen(0, encoding="utf-8", errors="surrogateescape", closefd=False)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", errors="surrogateescape", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)


def main() -> None:
    place, program = sys.argv[1:]
    sys.path[0] = str(Path(program).parent)  # not the directory of this file: it has modules of common names
    import_program()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(f"{place}.begun")
    listener.listen(16)
    Path(f"{place}.begun").rename(place)
    asked = wait_for_a_command(listener)
    if asked is None:
        return
    become(program, asked)
    from chopmark.cli import main as run

    run()


if __name__ == "__main__":
    main()
