"""The routing's mark, and routers as they last reported, in SQL."""

from __future__ import annotations

from datetime import datetime
from functools import cached_property
from typing import Any

from sqlalchemy import bindparam, delete, func, select, update

from chopmark.abc.routing import RouterList
from chopmark.base.clock import from_us, to_us
from chopmark.base.jsons import decoder
from chopmark.catalog.columns import WORD
from chopmark.catalog.damage import row_of
from chopmark.catalog.execution import Compiler, Executor, Prepared, Row
from chopmark.catalog.records import json_text
from chopmark.catalog.schema import Tables
from chopmark.domain.endpoints import Router, RouterReport, RoutingMark
from chopmark.errors import IntegrityFailure

__all__ = ["RouterStatements", "SqlRouters", "SqlRoutingMarks", "routing_channel"]

_read_report = decoder(RouterReport)


def routing_channel(tables: Tables) -> str:
    """On which PostgreSQL tells of a change, one for each set of tables in a database."""
    from hashlib import blake2b

    return "chopmark_" + blake2b(f"{tables.schema}.{tables.prefix}".encode(), digest_size=8).hexdigest()


class RouterStatements:
    """Statements on the routing and on routers, compiled when first used."""

    def __init__(self, compiler: Compiler) -> None:
        self.compiler = compiler
        self.tables = compiler.tables

    @cached_property
    def routing(self) -> Prepared:
        """Epoch, generation and secret."""
        c = self.tables.routing.c
        return self.compiler(select(c.epoch, c.generation, c.secret))

    @cached_property
    def advance(self) -> Prepared:
        """One more; returns epoch, generation and secret."""
        r = self.tables.routing
        moved = update(r).values(generation=r.c.generation + 1)
        return self.compiler(moved.returning(r.c.epoch, r.c.generation, r.c.secret))

    @cached_property
    def begin(self) -> Prepared:
        """The same, in the epoch ``new_epoch``."""
        r = self.tables.routing
        moved = update(r).values(epoch=bindparam("new_epoch"), generation=r.c.generation + 1)
        return self.compiler(moved.returning(r.c.epoch, r.c.generation, r.c.secret))

    @cached_property
    def notify(self) -> Prepared | None:
        """Tell who listens at the end of this transaction; None where the database tells nobody."""
        if not self.compiler.is_postgres:
            return None
        channel = bindparam("channel", routing_channel(self.tables), type_=WORD)
        return self.compiler(select(func.pg_notify(channel, bindparam("payload", "", type_=WORD))))

    @cached_property
    def put(self) -> Prepared:
        """Adds or replaces."""
        return self.compiler(self.compiler.upsert(self.tables.routers, ["id"]))

    @cached_property
    def list(self) -> Prepared:
        """By id after ``after``."""
        c = self.tables.routers.c
        page = select(c.seen_us, c.body).where(c.id > bindparam("after")).order_by(c.id)
        return self.compiler(page.limit(bindparam("limit")))

    @cached_property
    def remove(self) -> Prepared:
        """Seen last before ``before``."""
        r = self.tables.routers
        return self.compiler(delete(r).where(r.c.seen_us < bindparam("before")))


class SqlRoutingMarks:
    """`chopmark.abc.routing.RoutingMarks`."""

    __slots__ = ("_run", "_sql")

    def __init__(self, run: Executor, statements: RouterStatements) -> None:
        self._run = run
        self._sql = statements

    def mark(self) -> RoutingMark:
        """See the interface."""
        return _mark(_there(self._run.one(self._sql.routing, {})))

    def secret(self) -> str:
        """See the interface."""
        return _secret(_there(self._run.one(self._sql.routing, {})))

    def advance(self) -> int:
        """See the interface."""
        return self._moved(self._sql.advance, {}).generation

    def begin(self, epoch: str) -> RoutingMark:
        """See the interface."""
        return self._moved(self._sql.begin, {"new_epoch": epoch})

    def _moved(self, prepared: Prepared, values: dict[str, Any]) -> RoutingMark:
        mark = _mark(_there(self._run.add(prepared, values)))
        if self._sql.notify is not None:
            self._run.one(self._sql.notify, {})
        return mark


class SqlRouters:
    """`chopmark.abc.routing.Routers`."""

    __slots__ = ("_run", "_sql")

    def __init__(self, run: Executor, statements: RouterStatements) -> None:
        self._run = run
        self._sql = statements

    def put(self, report: RouterReport, at: datetime) -> None:
        """See the interface."""
        self._run.change(self._sql.put, {"id": report.id, "seen_us": to_us(at), "body": json_text(report)})

    def list(self, *, after: str = "", limit: int) -> RouterList:
        """See the interface."""
        return [_router(row) for row in self._run.all(self._sql.list, {"after": after, "limit": limit})]

    def remove(self, before: datetime) -> int:
        """See the interface."""
        return self._run.change(self._sql.remove, {"before": to_us(before)})


def _there(row: Row | None) -> Row:
    if row is None:
        msg = "The row that holds the generation of the routing is gone."
        raise IntegrityFailure(msg, hint="Restore the catalog from a backup.")
    return row


@row_of("the routing", "sis")
def _mark(row: Row) -> RoutingMark:
    return RoutingMark(row[0], row[1])


@row_of("the routing", "sis")
def _secret(row: Row) -> str:
    text: str = row[2]
    return text


@row_of("a router", "is")
def _router(row: Row) -> Router:
    seen_us, body = row
    return Router(report=_read_report(body), seen_at=from_us(seen_us))
