"""A private PostgreSQL cluster from the machine's own binaries, and a fresh database for each test that asks."""

import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import psycopg

from chopmark.catalog import upgrade_catalog
from tests.backends.required import require
from tests.backends.servers import Command, free_ports, shared_server

OLDEST_MAJOR = 14
OWNER = "chopmark"
PASSWORD = "only-for-this-run"
LISTEN_TIMEOUT_S = 1.0

# Nothing here has to survive a crash, and everything has to be quick.
SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "shared_buffers": "32MB",
    "max_connections": "200",
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "timezone": "UTC",
}

_sequence = count()
_templates: dict[tuple[str, str], str] = {}


@dataclass(frozen=True)
class PostgresServer:
    """A running cluster."""

    port: int

    def url(self, database: str) -> str:
        """Say where a database is, as libpq and psycopg read it."""
        return f"postgresql://{OWNER}:{PASSWORD}@127.0.0.1:{self.port}/{database}"

    @contextmanager
    def with_tables(self, *, schema: str = "", table_prefix: str = "") -> Iterator[str]:
        """Make a database that has the catalog's tables, by a copy: the migrations run once a process."""
        key = (schema, table_prefix)
        if key not in _templates:
            _templates[key] = f"template_{os.getpid()}_{len(_templates)}"
            self._create(_templates[key], "template0")
            upgrade_catalog(self.url(_templates[key]), schema=schema, table_prefix=table_prefix)
        with self.database(_templates[key]) as url:
            yield url

    @contextmanager
    def database(self, template: str = "template0") -> Iterator[str]:
        """Make an empty database and yield its URL; it is dropped afterwards, with whoever is still connected."""
        name = f"test_{os.getpid()}_{next(_sequence)}"
        self._create(name, template)
        try:
            yield self.url(name)
        finally:
            with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
                connection.execute(f'drop database if exists "{name}" with (force)')

    def _create(self, name: str, template: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            # Copying files beats logging every block where nothing has to survive a crash (measured on 15: 46 ms against 86).
            strategy = " strategy file_copy" if connection.info.server_version >= 150000 else ""
            connection.execute(f'create database "{name}" template {template}{strategy}')


def find_binaries() -> Path | None:
    """Find the directory of the newest PostgreSQL on this machine, or None."""
    packaged = sorted(
        (path for path in Path("/usr/lib/postgresql").glob("*/bin") if path.parent.name.isdecimal()),
        key=lambda path: int(path.parent.name),
        reverse=True,
    )
    on_path = [Path(found).resolve().parent for found in [shutil.which("postgres")] if found]
    # Homebrew, and Red Hat's layout, beside what PATH offers.
    elsewhere = [*Path("/opt/homebrew/opt").glob("postgresql@*/bin"), *Path("/usr").glob("pgsql-*/bin")]
    candidates = [*packaged, *on_path, *elsewhere]
    return next((path for path in candidates if (path / "initdb").exists() and (path / "postgres").exists()), None)


def major_version(binaries: Path) -> int:
    printed = subprocess.run([binaries / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"\d+", printed)
    if found is None:
        raise ValueError(f"{binaries / 'postgres'} --version says {printed!r}")
    return int(found[0])


def unprivileged_user() -> str | None:
    """Choose whom to run as: PostgreSQL refuses root, so root hands it to `postgres` or `nobody`."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            pwd.getpwnam(name)
        except KeyError:
            continue
        return name
    raise LookupError("PostgreSQL may not run as root, and this machine has neither a user postgres nor nobody")


def start_postgres() -> PostgresServer:
    """Start the run's one cluster, or end the test when this machine has no PostgreSQL."""
    binaries = find_binaries()
    if binaries is None:
        require("postgres", "no initdb and postgres found; install them (Debian, Ubuntu: apt-get install postgresql)")
    version = major_version(binaries)
    if version < OLDEST_MAJOR:
        require("postgres", f"{binaries} is PostgreSQL {version}; Chopmark needs {OLDEST_MAJOR} or newer")
    facts = shared_server("postgres", lambda home: prepare(home, binaries))
    return PostgresServer(port=int(facts["port"]))


def prepare(home: Path, binaries: Path) -> Command:
    user = unprivileged_user()
    data = home / "data"
    password_file = home / "password"
    password_file.write_text(PASSWORD)
    if user is not None:
        shutil.chown(home, user, pwd.getpwnam(user).pw_gid)
        shutil.chown(password_file, user)
    initialise(binaries, data, password_file, user)
    (port,) = free_ports(1)
    settings = [f"--{name.replace('_', '-')}={value}" for name, value in SETTINGS.items()]
    return Command(
        arguments=[binaries / "postgres", "-D", data, "-p", str(port), *settings],
        is_ready=lambda: accepts_connections(port),
        facts={"port": port},
        user=user,
        stop_signal=signal.SIGQUIT,  # immediate: the data is thrown away
    )


def initialise(binaries: Path, data: Path, password_file: Path, user: str | None) -> None:
    subprocess.run(
        [
            binaries / "initdb",
            f"--pgdata={data}",
            f"--username={OWNER}",
            f"--pwfile={password_file}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
            "--no-instructions",
        ],
        cwd=data.parent,
        user=user,
        group=None if user is None else pwd.getpwnam(user).pw_gid,
        extra_groups=None if user is None else [],
        stdout=sys.stderr,
        check=True,
    )


def accepts_connections(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=LISTEN_TIMEOUT_S):
            pass
        with psycopg.connect(PostgresServer(port).url("postgres"), connect_timeout=5):
            return True
    except (OSError, psycopg.OperationalError):
        return False
