"""A PostgreSQL of one test, to be stopped, killed, frozen and started again."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

import psycopg

from chopmark.catalog import upgrade_catalog
from tests.backends import postgres
from tests.backends.required import require
from tests.backends.servers import free_ports

__all__ = ["OwnPostgres"]

_START_S = 60.0


class OwnPostgres:
    """Made and not started; whoever makes it closes it."""

    def __init__(self) -> None:
        found = postgres.find_binaries()
        if found is None:
            require(
                "postgres", "no initdb and postgres found; install them (Debian, Ubuntu: apt-get install postgresql)"
            )
        self._binaries: Path = found
        self._user = postgres.unprivileged_user()
        self.home = Path(tempfile.mkdtemp(prefix="chopmark-postgres-"))
        password_file = self.home / "password"
        password_file.write_text(postgres.PASSWORD)
        if self._user is not None:
            for path in (self.home, password_file):
                shutil.chown(path, self._user, pwd.getpwnam(self._user).pw_gid)
        postgres.initialise(self._binaries, self.home / "data", password_file, self._user)
        (self.port,) = free_ports(1)
        self.url = postgres.PostgresServer(self.port).url("registry")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and make the registry's database when there is none."""
        from faults.serving_processes import until

        settings = {**postgres.SETTINGS, "fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}
        options = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]
        self._process = subprocess.Popen(
            [self._binaries / "postgres", "-D", self.home / "data", "-p", str(self.port), *options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            user=self._user,
            extra_groups=None if self._user is None else [],
            start_new_session=True,
        )
        until(lambda: postgres.accepts_connections(self.port), _START_S)
        with psycopg.connect(postgres.PostgresServer(self.port).url("postgres"), autocommit=True) as connection:
            if not connection.execute("select 1 from pg_database where datname = 'registry'").fetchone():
                connection.execute("create database registry template template0")
        upgrade_catalog(self.url)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it: SIGINT cuts everybody off, SIGQUIT is as if the power went."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(_START_S)
            self._process = None

    def freeze(self) -> None:
        """Let it and all its processes stand still: it is there, and answers nothing."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal_all(signal.SIGCONT)

    def _signal_all(self, number: signal.Signals) -> None:
        assert self._process is not None
        mine = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        for pid in [self._process.pid, *map(int, mine)]:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def close(self) -> None:
        """End it and remove it."""
        if self._process is not None:
            self._signal_all(signal.SIGKILL)
            self._process.wait(_START_S)
        shutil.rmtree(self.home, ignore_errors=True)
