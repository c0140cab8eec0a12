"""The real services that faults are tried on: those of the tests, started when a part asks and gone when the run ends."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import pytest

from tests.backends import servers
from tests.backends.postgres import PostgresServer, start_postgres
from tests.backends.required import VARIABLE
from tests.backends.s3 import S3Server, start_seaweedfs

__all__ = ["Missing", "postgres", "running", "seaweedfs"]

_Server = TypeVar("_Server")


class Missing(LookupError):
    """The machine does not have the service; the message says what to install."""


@contextmanager
def running() -> Iterator[None]:
    """Stop, at the end, every server that was asked for meanwhile. Settings from outside do not decide a fault."""
    for name in [name for name in os.environ if name.startswith("CHOPMARK_") and name != VARIABLE]:
        del os.environ[name]
    servers.open_run()
    os.environ["XDG_CONFIG_HOME"] = str(servers.run_directory() / "no-config")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        yield
    finally:
        servers.close_run()


def postgres() -> PostgresServer:
    """The run's PostgreSQL.

    Raises
    ------
    Missing
        When there is none here; where CI requires it, that is an error of the run instead.
    """
    return _started(start_postgres)


def seaweedfs() -> S3Server:
    """The run's S3 server; raises `Missing` as `postgres` does."""
    return _started(start_seaweedfs)


def _started(start: Callable[[], _Server]) -> _Server:
    """The tests skip or fail for a service that is missing: here that is `Missing`, or an error."""
    try:
        return start()
    except pytest.skip.Exception as skipped:
        raise Missing(str(skipped)) from skipped
    except pytest.fail.Exception as failed:
        raise RuntimeError(str(failed)) from failed
