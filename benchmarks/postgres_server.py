"""A PostgreSQL of the benchmark's own, started as the tests start theirs, with the server's default settings.

It listens on the loopback address only, and its data stay in the given directory. Nothing of what decides how fast or
how safe it is was changed: `fsync`, `synchronous_commit`, `shared_buffers` and all costs are the defaults.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg

from tests.backends import supervisor
from tests.backends.postgres import (
    PostgresServer,
    accepts_connections,
    find_binaries,
    initialise,
    unprivileged_user,
)
from tests.backends.servers import free_ports

__all__ = ["running_postgres"]

START_TIMEOUT_S = 60.0
SETTINGS = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "timezone": "UTC"}


@contextmanager
def running_postgres(home: Path) -> Iterator[PostgresServer]:
    """A running server with its data in a directory, which is made when it is not there.

    Raises
    ------
    RuntimeError
        When the machine has no PostgreSQL, or it does not answer.
    """
    binaries = find_binaries()
    if binaries is None:
        raise RuntimeError("no initdb and postgres found; install them (Debian, Ubuntu: apt-get install postgresql)")
    user = unprivileged_user()
    _make(home, binaries, user)
    (port,) = free_ports(1)
    settings = [f"--{name.replace('_', '-')}={value}" for name, value in SETTINGS.items()]
    server = [str(binaries / "postgres"), "-D", str(home / "data"), "-p", str(port), *settings]
    # The tests' supervisor ends the server also when this process is killed.
    watched = [str(os.getpid()), str(int(signal.SIGINT)), user or "-", str(home / "supervisor.pid"), str(home)]
    with (home / "log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-IS", supervisor.__file__, *watched, *server], stdout=log, stderr=log
        )
    try:
        _wait(port, process, home)
        yield PostgresServer(port)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def empty_database(server: PostgresServer, name: str) -> str:
    """The URL of a database of that name; one that was there is dropped."""
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        connection.execute(f'CREATE DATABASE "{name}"')
    return server.url(name)


def _make(home: Path, binaries: Path, user: str | None) -> None:
    if (home / "data" / "PG_VERSION").exists():
        return
    home.mkdir(parents=True, exist_ok=True)
    password = home / "password"
    password.write_text("only-for-this-run")
    if user is not None:
        shutil.chown(home, user)
        shutil.chown(password, user)
    initialise(binaries, home / "data", password, user)


def _wait(port: int, process: subprocess.Popen[bytes], home: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not accepts_connections(port):
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.05)
        if process.poll() is not None or time.monotonic() > deadline:
            log = (home / "log").read_text(errors="replace")[-2000:]
            raise RuntimeError(f"PostgreSQL does not answer:\n{log}")
