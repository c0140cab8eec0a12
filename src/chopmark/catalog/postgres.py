"""The catalog in PostgreSQL."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import lru_cache
from types import TracebackType
from typing import Any

import sqlalchemy
from sqlalchemy.dialects.postgresql import psycopg as dialects
from sqlalchemy.pool import NullPool, QueuePool

from chopmark.abc.catalog import Transaction
from chopmark.catalog.execution import Compiler, Executor
from chopmark.catalog.postgres_faults import postgres_fault
from chopmark.catalog.schema import Tables
from chopmark.catalog.transaction import SqlTransaction, Statements
from chopmark.catalog.upgrades import judged, make_tables, migrate, revision_queries, too_new
from chopmark.errors import InvalidRequest, TimedOut, Unavailable, Unsupported

try:
    import psycopg
except ImportError as error:
    msg = "A catalog in PostgreSQL needs psycopg, which is not installed."
    raise Unsupported(msg, hint="pip install 'chopmark[postgres]'") from error

__all__ = ["PostgresCatalog", "connect_alone", "postgres_revision", "upgrade_postgres"]

OLDEST_SERVER = 140000
CHECKED_AFTER_S = 5.0
RECYCLED_AFTER_S = 1800
UPGRADE_LOCK = 0x63686F70  # "chop"
LAST_USED = "chopmark_last_used_s"

# Planning a search costs the server more than doing it, and compiling one to machine code a hundred times as much. Which
# index leads is decided before, by counting (`plans`), so one plan of a statement serves all its values.
SETTINGS = {"plan_cache_mode": "force_generic_plan", "jit": "off"}
PREPARED_AT_USE = 2
PREPARED_MAX = 300
"""Statements that a connection keeps with their plans; a shape of search that comes once is not worth it."""


NOTICED_GONE = {"keepalives_idle": 15, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 30_000}
"""A server that goes without a word, with its machine or network, is noticed within half a minute; by the system's own times a
thread would wait for it for hours. What the address says stands above it."""


@lru_cache(maxsize=8)
def _statements(tables: Tables) -> Statements:
    """Compiled once in a process, whatever the number of catalogs that it opens."""
    return Statements(Compiler(tables, _dialect()))


class PostgresCatalog:
    """`chopmark.abc.catalog.Catalog` in a PostgreSQL database.

    Parameters
    ----------
    url
        Where the database is.
    tables
        Tables by prefix and schema.
    lock_timeout_s, pool_size, pool_timeout_s, connect_timeout_s, statement_timeout_s
        See `chopmark.catalog.open_catalog`.
    """

    def __init__(
        self,
        url: str,
        tables: Tables,
        *,
        lock_timeout_s: float,
        pool_size: int,
        pool_timeout_s: float,
        connect_timeout_s: float,
        statement_timeout_s: float,
    ) -> None:
        self.tables = tables
        self.statements = _statements(tables)
        self._engine = _engine(
            url,
            connect_timeout_s,
            {"lock_timeout": lock_timeout_s, "statement_timeout": statement_timeout_s},
            poolclass=QueuePool,
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=pool_timeout_s,
            pool_recycle=RECYCLED_AFTER_S,
            pool_use_lifo=True,
        )
        self._pid = os.getpid()
        self._mutex = threading.Lock()
        self._is_closed = False
        self.writing_threads: set[int] = set()
        try:
            self._check_revision()
        except BaseException:
            self.close()
            raise

    def reading(self) -> AbstractContextManager[Transaction]:
        """See the interface."""
        return _Block(self, is_writing=False)

    def reading_now(self) -> None:
        """See the interface: every statement waits for the network."""
        return

    def writing(self) -> AbstractContextManager[Transaction]:
        """See the interface."""
        return _Block(self, is_writing=True)

    def close(self) -> None:
        """See the interface."""
        self._is_closed = True
        self._engine.dispose()

    def connect(self, *, is_writing: bool) -> Any:
        """A pooled connection with the isolation of the block."""
        self._check_usable()
        pooled = _connect(self._engine)
        if not _answers(pooled):  # the server was restarted, say, while nobody used it
            pooled.invalidate()
            self._engine.dispose()
            pooled = _connect(self._engine)
        try:
            _isolate(pooled.driver_connection, is_writing)
        except psycopg.Error as error:
            pooled.invalidate()
            raise postgres_fault(error) from error
        return pooled

    def give_back(self, pooled: Any) -> None:
        """Give a connection back to the pool; one that is broken takes the idle ones with it."""
        if pooled.driver_connection.broken:
            pooled.invalidate()
            self._engine.dispose()
            return
        pooled.info[LAST_USED] = time.monotonic()
        pooled.close()  # rolls back what was not committed

    def _check_usable(self) -> None:
        if self._is_closed:
            msg = "The catalog was closed, and cannot be used any more."
            raise InvalidRequest(msg, hint="Open it again.")
        if self._pid != os.getpid():
            with self._mutex:
                if self._pid != os.getpid():
                    self._engine.dispose(close=False)  # the parent's connections stay its own
                    self.writing_threads.clear()
                    self._pid = os.getpid()

    def _check_revision(self) -> None:
        pooled = self.connect(is_writing=False)
        try:
            revision, compatible_from = _read_revision(pooled.driver_connection, self.tables)
        finally:
            self.give_back(pooled)
        standing = judged(revision, compatible_from)
        if standing == "newer":
            raise too_new("The catalog in PostgreSQL", revision)
        if standing != "usable":
            what = "has no tables yet" if standing == "empty" else f"has tables of an older Chopmark ({revision})"
            msg = f"The catalog in PostgreSQL {what}."
            raise Unavailable(msg, hint="Run: chopmark db upgrade")


class _Block:
    """A block that reads or writes."""

    __slots__ = ("_catalog", "_is_writing", "_pooled", "_run")

    def __init__(self, catalog: PostgresCatalog, *, is_writing: bool) -> None:
        self._catalog = catalog
        self._is_writing = is_writing

    def __enter__(self) -> Transaction:
        if self._is_writing:
            self._check_not_nested()
        self._pooled = self._catalog.connect(is_writing=self._is_writing)
        if self._is_writing:
            self._catalog.writing_threads.add(threading.get_ident())
        self._run = Executor(self._pooled.driver_connection, psycopg.Error, postgres_fault, is_writing=self._is_writing)
        return SqlTransaction(self._run, self._catalog.statements)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._run.close()
        try:
            if self._is_writing:
                self._catalog.writing_threads.discard(threading.get_ident())
                if kind is None:
                    self._commit()
            elif kind is None:
                self._end_reading()
        finally:
            self._catalog.give_back(self._pooled)

    def _end_reading(self) -> None:
        """Commit: after a rollback psycopg forgets its prepared statements, and each would be planned anew every time."""
        with suppress(psycopg.Error):  # what was asked for is here; whoever comes next finds the connection broken
            self._pooled.driver_connection.commit()

    def _commit(self) -> None:
        connection: psycopg.Connection = self._pooled.driver_connection
        try:
            connection.commit()
        except psycopg.Error as error:
            if not connection.broken:
                raise postgres_fault(error) from error
            msg = "The connection to PostgreSQL was lost while the change was being stored."
            hint = "It may or may not have been stored: look before doing it again."
            raise Unavailable(msg, hint=hint) from error

    def _check_not_nested(self) -> None:
        if threading.get_ident() in self._catalog.writing_threads:
            msg = "This thread is inside writing() already, and would wait for itself."
            raise InvalidRequest(msg, hint="Use the transaction that is open.")


def connect_alone(url: str, connect_timeout_s: float) -> psycopg.Connection:
    """A connection of no pool, which whoever asked for it closes."""
    pooled = _connect(_engine(url, connect_timeout_s, {}, poolclass=NullPool))
    connection: psycopg.Connection = pooled.driver_connection
    pooled.detach()
    return connection


def postgres_revision(url: str, tables: Tables, connect_timeout_s: float) -> tuple[str, str]:
    """Revision of the tables, and the oldest code that works with it; empty without tables."""
    with _alone(url, connect_timeout_s) as engine:
        pooled = _connect(engine)
        try:
            return _read_revision(pooled.driver_connection, tables)
        finally:
            pooled.close()


def upgrade_postgres(url: str, tables: Tables, connect_timeout_s: float, lock_timeout_s: float) -> None:
    """Make the tables, or bring them up to date, in one transaction.

    Raises
    ------
    Unsupported
        When the server is too old or does not store texts as UTF-8.
    """
    with _alone(url, connect_timeout_s, lock_timeout=lock_timeout_s) as engine:
        try:
            with engine.begin() as connection:
                _upgrade(connection, tables)
        except sqlalchemy.exc.DBAPIError as error:
            cause = error.orig
            raise (postgres_fault(cause) if isinstance(cause, Exception) else error) from error
        except psycopg.Error as error:
            raise postgres_fault(error) from error


def _upgrade(connection: sqlalchemy.Connection, tables: Tables) -> None:
    driver: psycopg.Connection = connection.connection.driver_connection  # type: ignore[assignment]
    if driver.info.server_version < OLDEST_SERVER:
        msg = f"PostgreSQL {driver.info.server_version // 10000} is too old; 14 is needed."
        raise Unsupported(msg, hint="Upgrade the server.")
    encoding = connection.exec_driver_sql("SHOW server_encoding").scalar()
    if encoding != "UTF8":
        msg = f"The database stores texts as {encoding}; UTF8 is needed."
        raise Unsupported(msg, hint="Make the database with: createdb --encoding UTF8")
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({UPGRADE_LOCK})")
    if tables.schema:
        connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {tables.schema}")
    revision, compatible_from = _read_revision(driver, tables)
    standing = judged(revision, compatible_from)
    if standing == "newer":
        raise too_new("The catalog in PostgreSQL", revision)
    if standing == "empty":
        make_tables(connection, tables)
    elif standing == "older":
        migrate(connection, tables)


def _read_revision(connection: psycopg.Connection, tables: Tables) -> tuple[str, str]:
    schema = f"{tables.schema}." if tables.schema else ""
    try:
        found = connection.execute("SELECT to_regclass(%s)", (schema + tables.revision_table,)).fetchone()
        if found is None or found[0] is None:
            return "", ""
        rows = [connection.execute(sql).fetchone() for sql in map(_text, revision_queries(tables))]
    except psycopg.Error as error:
        raise postgres_fault(error) from error
    revision, compatible_from = (row[0] if row else "" for row in rows)
    return revision, compatible_from


def _dialect() -> sqlalchemy.Dialect:
    return dialects.dialect()  # type: ignore[no-untyped-call]


def _text(sql: str) -> Any:
    return sql  # psycopg's types ask for a literal; the names in this one were checked


def _engine(url: str, connect_timeout_s: float, limits_s: dict[str, float], **pool: Any) -> sqlalchemy.Engine:
    try:
        parsed = sqlalchemy.make_url(url).set(drivername="postgresql+psycopg")
    except (sqlalchemy.exc.ArgumentError, ValueError) as error:
        msg = "The database's URL cannot be read."
        raise InvalidRequest(msg, hint="Write it like postgresql://user@host:5432/database") from error
    # Whole seconds, two at the least: libpq's own rule.
    timeout = {"connect_timeout": max(2, round(connect_timeout_s))}
    noticed = {name: value for name, value in NOTICED_GONE.items() if name not in parsed.query}
    engine = sqlalchemy.create_engine(parsed, connect_args=timeout | noticed, **pool)
    if limits_s:
        limits = {name: f"{round(limit_s * 1000)}ms" for name, limit_s in limits_s.items()}
        sqlalchemy.event.listen(engine, "connect", _set_up({**limits, **SETTINGS}))
    return engine


def _set_up(settings: dict[str, str]) -> Callable[[Any, Any], None]:
    def on_connect(connection: psycopg.Connection, _record: Any) -> None:
        connection.prepare_threshold, connection.prepared_max = PREPARED_AT_USE, PREPARED_MAX
        for name, value in settings.items():
            connection.execute("SELECT set_config(%s, %s, false)", (name, value))
        connection.commit()

    return on_connect


@contextmanager
def _alone(url: str, connect_timeout_s: float, **limits_s: float) -> Iterator[sqlalchemy.Engine]:
    """An engine without a pool, for a single job."""
    engine = _engine(url, connect_timeout_s, limits_s, poolclass=NullPool)
    try:
        yield engine
    finally:
        engine.dispose()


def _connect(engine: sqlalchemy.Engine) -> Any:
    try:
        return engine.raw_connection()
    except psycopg.OperationalError as error:
        raise _no_answer(engine, error) from error
    except sqlalchemy.exc.DBAPIError as error:
        raise _no_answer(engine, error.orig or error) from error
    except sqlalchemy.exc.TimeoutError as error:
        msg = "All connections to PostgreSQL were in use for as long as the limit allows."
        raise TimedOut(msg, hint="Raise the pool size or its timeout in the settings.") from error


def _answers(pooled: Any) -> bool:
    """Whether a connection that nobody used for some time is still there."""
    last_used_s = pooled.info.get(LAST_USED)
    if last_used_s is None or time.monotonic() - last_used_s < CHECKED_AFTER_S:
        return True
    connection: psycopg.Connection = pooled.driver_connection
    try:
        connection.execute("SELECT 1")
        connection.commit()
    except psycopg.OperationalError:
        return False
    return True


def _isolate(connection: psycopg.Connection, is_writing: bool) -> None:
    if connection.read_only is is_writing or connection.read_only is None:
        level = psycopg.IsolationLevel
        connection.isolation_level = level.READ_COMMITTED if is_writing else level.REPEATABLE_READ
        connection.read_only = not is_writing


def _no_answer(engine: sqlalchemy.Engine, error: BaseException) -> Unavailable:
    where = engine.url.render_as_string(hide_password=True)
    reason = " ".join(str(error).split())
    msg = f"PostgreSQL at {where} does not answer: {reason}"
    hint = "Check that the server runs, and the host, port, user and password of the URL."
    return Unavailable(msg, hint=hint)
