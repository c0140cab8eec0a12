"""Hints from PostgreSQL: a connection of its own that listens, and is made again when it is lost."""

from __future__ import annotations

import os
import threading
import time

import psycopg
from psycopg import sql

from chopmark.catalog.postgres import connect_alone
from chopmark.catalog.routers import routing_channel
from chopmark.catalog.schema import Tables
from chopmark.errors import ChopmarkError

__all__ = ["PostgresHints"]

_SLICE_S = 0.25
"""How soon a wait notices that it is closed."""

_AGAIN_FIRST_S, _AGAIN_MAX_S = 1.0, 30.0


class PostgresHints:
    """`chopmark.abc.hints.Hints` by ``LISTEN``; a transaction that changes the routing tells by itself, when it is committed.

    It connects with the first wait, so that who never waits has no connection more.

    Parameters
    ----------
    url, tables
        Where the registry is.
    connect_timeout_s
        How long the server may take to answer.
    """

    def __init__(self, url: str, tables: Tables, connect_timeout_s: float) -> None:
        self._url = url
        self._channel = routing_channel(tables)
        self._connect_timeout_s = connect_timeout_s
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._connection: psycopg.Connection | None = None
        self._pid = os.getpid()
        self._pause_s = _AGAIN_FIRST_S
        self._again_at_s = 0.0

    def tell(self) -> None:
        """See the interface: the database does."""

    def wait(self, timeout_s: float) -> bool:
        """See the interface."""
        deadline_s = time.monotonic() + timeout_s
        with self._lock:
            if self._connected() is None and self._connect():
                return True  # what was told meanwhile was told to nobody
            while not self._closed.is_set():
                left_s = deadline_s - time.monotonic()
                if self._connection is None:
                    self._closed.wait(max(0.0, left_s))
                    break
                if self._hears(max(0.0, min(left_s, _SLICE_S))):
                    return True
                if left_s <= _SLICE_S:
                    break
            return False

    def close(self) -> None:
        """See the interface."""
        self._closed.set()
        with self._lock:
            connection = self._connected()
            self._connection = None
            if connection is not None:
                connection.close()

    def _connected(self) -> psycopg.Connection | None:
        if self._pid != os.getpid():  # a fork's child has none of its own yet; psycopg leaves the parent's open
            self._connection, self._pid = None, os.getpid()
        return self._connection

    def _connect(self) -> bool:
        if self._closed.is_set() or time.monotonic() < self._again_at_s:
            return False
        try:
            connection = connect_alone(self._url, self._connect_timeout_s)
            connection.autocommit = True
            connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(self._channel)))
        except (ChopmarkError, psycopg.Error):
            self._again_at_s = time.monotonic() + self._pause_s
            self._pause_s = min(2 * self._pause_s, _AGAIN_MAX_S)
            return False
        self._connection, self._pause_s = connection, _AGAIN_FIRST_S
        return True

    def _hears(self, timeout_s: float) -> bool:
        """Whether something was told, or the connection lost."""
        connection = self._connection
        if connection is None:
            return False
        try:
            return bool(list(connection.notifies(timeout=timeout_s, stop_after=1)))
        except psycopg.Error:
            self._connection = None
            connection.close()
            self._connect()
            return True
