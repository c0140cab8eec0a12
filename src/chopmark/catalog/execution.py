"""Prepared statements, and running them on a driver's connection.

SQLAlchemy builds and compiles; the driver runs. Building a statement costs some 50 µs, compiling
300; running compiled text on the driver costs 3 to 6 where SQLAlchemy's own ``execute`` costs 20.
Every column is an integer, a float, a text or bytes, for which neither driver needs SQLAlchemy's
conversions.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, Protocol

from sqlalchemy import ColumnElement, Dialect, bindparam, cast, select
from sqlalchemy.sql.dml import Insert
from sqlalchemy.sql.expression import ClauseElement
from sqlalchemy.sql.schema import Column, Table

from chopmark.base.forks import generation
from chopmark.catalog.schema import Tables
from chopmark.errors import InvalidRequest

__all__ = ["Compiler", "DriverConnection", "Executor", "Prepared", "Row"]

Row = tuple[Any, ...]
CACHED_SHAPES_MAX = 500


class Prepared:
    """SQL text, and the parameters that the statement itself brings."""

    __slots__ = ("defaults", "sql")

    def __init__(self, sql: str, defaults: dict[str, Any]) -> None:
        self.sql = sql
        self.defaults = defaults


class DriverConnection(Protocol):
    """What is used of a connection: `sqlite3` and psycopg have the same shape here."""

    def execute(self, sql: Any, parameters: Any = ..., /) -> Any:
        """Run a statement; returns a cursor."""
        ...

    def cursor(self) -> Any:
        """A cursor."""
        ...


class Compiler:
    """Makes `Prepared` statements for one dialect, and keeps those of recent shapes.

    Parameters
    ----------
    tables
        Tables the statements are about.
    dialect
        SQLAlchemy's dialect, with parameters by name.
    """

    def __init__(self, tables: Tables, dialect: Dialect) -> None:
        self.tables = tables
        self.dialect = dialect
        self._shapes: OrderedDict[Hashable, Prepared] = OrderedDict()

    @property
    def is_postgres(self) -> bool:
        """Whether the statements are for PostgreSQL."""
        return self.dialect.name == "postgresql"

    def __call__(self, statement: ClauseElement) -> Prepared:
        """Compile a statement."""
        compiled = statement.compile(dialect=self.dialect)
        defaults = {k: v for k, v in compiled.params.items() if v is not None}
        return Prepared(str(compiled), defaults)

    def shaped(self, shape: Hashable, build: Callable[[], ClauseElement]) -> Prepared:
        """The statement of this shape, compiled at its first use."""
        found = self._shapes.get(shape)
        if found is None:
            found = self._shapes[shape] = self(build())
            while len(self._shapes) > CACHED_SHAPES_MAX:
                self._shapes.popitem(last=False)
        return found

    def insert(self, table: Table, **instead: Any) -> Insert:
        """An insert of all columns that the database does not number itself.

        Parameters
        ----------
        table
            Where to.
        instead
            Expressions for columns whose value is not a parameter of the same name.
        """
        columns = [c for c in table.c if table.autoincrement_column is not c]
        values = {c.name: bindparam(c.name, type_=c.type) for c in columns}
        statement: Insert = self._inserts(table).values({**values, **instead})
        return statement

    def insert_for(self, table: Table, where: ColumnElement[bool], **of_owner: Column[Any]) -> Any:
        """An insert of a row that belongs to another one: nothing is added when that is not there.

        Parameters
        ----------
        table
            Where to.
        where
            Which row it belongs to.
        of_owner
            Columns of that row that the new one takes over.
        """
        columns = [c for c in table.c if table.autoincrement_column is not c]
        values = [of_owner[c.name] if c.name in of_owner else _value_of(c) for c in columns]
        return self._inserts(table).from_select([c.name for c in columns], select(*values).where(where))

    def _inserts(self, table: Table) -> Any:
        """The dialect's own insert, which knows what to do on a conflict; only its dialect is imported."""
        if self.is_postgres:
            from sqlalchemy.dialects.postgresql.dml import insert as postgres_insert

            return postgres_insert(table)
        from sqlalchemy.dialects.sqlite.dml import insert as sqlite_insert

        return sqlite_insert(table)

    def insert_once(self, table: Table, **instead: Any) -> Any:
        """An insert that adds nothing when a row with a unique value is there already."""
        statement: Any = self.insert(table, **instead)
        return statement.on_conflict_do_nothing()

    def upsert(self, table: Table, by: list[str], newer: Callable[[Any], ColumnElement[Any]] | None = None) -> Any:
        """An insert that replaces the row with the same values in the columns ``by``.

        Parameters
        ----------
        newer
            A figure of a row's columns that never falls: a row with less of it replaces none.
        """
        statement: Any = self.insert(table)
        rest = {c.name: statement.excluded[c.name] for c in table.c if c.name not in by}
        where = newer(statement.excluded) >= newer(table.c) if newer is not None else None
        return statement.on_conflict_do_update(index_elements=by, set_=rest, where=where)


def _value_of(column: Column[Any]) -> ColumnElement[Any]:
    value: ColumnElement[Any] = bindparam(column.name, type_=column.type)
    # A bare NULL in a select has no type, and PostgreSQL would take it for a text.
    return cast(value, column.type) if column.nullable else value


class Executor:
    """Runs prepared statements in one transaction, until it ends.

    Parameters
    ----------
    connection
        Of the driver.
    translate
        Turns a driver's error into one of ours (or gives it back).
    errors
        The driver's classes of errors.
    """

    __slots__ = ("_connection", "_errors", "_generation", "_translate", "is_writing")

    def __init__(
        self,
        connection: DriverConnection,
        errors: type[Exception] | tuple[type[Exception], ...],
        translate: Callable[[Exception], Exception],
        *,
        is_writing: bool,
    ) -> None:
        self._connection: DriverConnection | None = connection
        self._generation = generation()
        self._errors = errors
        self._translate = translate
        self.is_writing = is_writing

    def close(self) -> None:
        """End: whoever kept the transaction gets a clear error from now on."""
        self._connection = None

    def one(self, prepared: Prepared, values: Mapping[str, Any]) -> Row | None:
        """First row."""
        cursor = self._run(prepared, values)
        try:
            row: Row | None = cursor.fetchone()
        except self._errors as error:
            raise self._translate(error) from error
        return row

    def all(self, prepared: Prepared, values: Mapping[str, Any]) -> list[Row]:
        """All rows."""
        cursor = self._run(prepared, values)
        try:
            rows: list[Row] = cursor.fetchall()
        except self._errors as error:
            raise self._translate(error) from error
        return rows

    def change(self, prepared: Prepared, values: Mapping[str, Any]) -> int:
        """Number of rows that the statement changed."""
        self.check_writing()
        return int(self._run(prepared, values).rowcount)

    def add(self, prepared: Prepared, values: Mapping[str, Any]) -> Row | None:
        """Row that an insert returns; None when it added nothing."""
        self.check_writing()
        return self.one(prepared, values)

    def change_each(self, prepared: Prepared, rows: Iterable[Mapping[str, Any]]) -> None:
        """Run the statement once for each row of values."""
        self.check_writing()
        batch = [{**prepared.defaults, **row} for row in rows]
        if not batch:
            return
        try:
            self._open().cursor().executemany(prepared.sql, batch)
        except self._errors as error:
            raise self._translate(error) from error

    def _run(self, prepared: Prepared, values: Mapping[str, Any]) -> Any:
        if prepared.defaults:
            values = {**prepared.defaults, **values}
        try:
            return self._open().execute(prepared.sql, values)
        except self._errors as error:
            raise self._translate(error) from error

    def _open(self) -> DriverConnection:
        if self._connection is None or self._generation != generation():  # a fork's child has none
            msg = "This transaction has ended; its answers can be kept, itself it cannot."
            raise InvalidRequest(msg, hint="Do all reading and writing inside the with block.")
        return self._connection

    def check_writing(self) -> None:
        """Refuse a change in a transaction that reads."""
        if not self.is_writing:
            msg = "This transaction only reads, and was asked to change something."
            raise InvalidRequest(msg, hint="Open it with writing().")
