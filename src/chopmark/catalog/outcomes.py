"""Outcomes by endpoint, version, variant, minute and router, in SQL."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import cached_property
from typing import Any
from uuid import UUID

import msgspec
from msgspec.structs import asdict, fields
from sqlalchemy import BigInteger, ColumnElement, Integer, and_, bindparam, case, cast, delete, func, select, tuple_

from chopmark.abc.routing import OutcomeList, ReportedOutcome
from chopmark.base.clock import from_us, to_us
from chopmark.base.jsons import decoder
from chopmark.catalog.damage import row_of
from chopmark.catalog.execution import Compiler, Executor, Prepared
from chopmark.catalog.records import json_text
from chopmark.domain.outcomes import OutcomeWindow

__all__ = ["OutcomeBody", "OutcomeStatements", "SqlOutcomes", "body_of", "read_body"]

_KEY = ("endpoint_uid", "window_us", "version_uid", "variant", "router")


_IN_COLUMNS = {"endpoint", "version", "variant", "start"}

# What was counted, as one JSON text in its row: whatever a window has that is not in columns.
OutcomeBody = msgspec.defstruct(
    "OutcomeBody",
    [(each.name, each.type, each.default) for each in fields(OutcomeWindow) if each.name not in _IN_COLUMNS],
    frozen=True,
    omit_defaults=True,
    kw_only=True,
)
read_body = decoder(OutcomeBody)


def body_of(window: OutcomeWindow) -> msgspec.Struct:
    """What is kept of a window beside its columns."""
    return OutcomeBody(**{name: getattr(window, name) for name in OutcomeBody.__struct_fields__})


class OutcomeStatements:
    """Statements on outcomes, compiled when first used."""

    def __init__(self, compiler: Compiler) -> None:
        self.compiler = compiler
        self.tables = compiler.tables

    @cached_property
    def put(self) -> Prepared:
        """Adds or replaces."""
        return self.compiler(self.compiler.upsert(self.tables.outcomes, list(_KEY)))

    @cached_property
    def grow(self) -> Prepared:
        """Adds or replaces, unless there is one with more requests."""
        return self.compiler(self.compiler.upsert(self.tables.outcomes, list(_KEY), self._requests))

    def _requests(self, columns: Any) -> ColumnElement[int]:
        """How many requests a row counts, as its text begins with them; none where it does not."""
        start = '{"requests":'
        if self.compiler.is_postgres:
            digits = func.substring(columns.body, '^[{]"requests":([0-9]+)')
            return func.coalesce(cast(digits, BigInteger), 0)
        counted = cast(
            func.substr(columns.body, len(start) + 1), Integer
        )  # of a text SQLite takes the number it begins with
        return case((func.substr(columns.body, 1, len(start)) == start, counted), else_=0)

    @cached_property
    def list(self) -> Prepared:
        """Of ``endpoint``, from ``since`` to before ``until``."""
        c = self.tables.outcomes.c
        page = select(c.endpoint_uid, c.window_us, c.version_uid, c.variant, c.router, c.body).where(
            c.endpoint_uid == bindparam("endpoint"),
            c.window_us >= bindparam("since"),
            c.window_us < bindparam("until"),
        )
        page = page.order_by(c.window_us, c.version_uid, c.variant, c.router)
        return self.compiler(page.limit(bindparam("limit")))

    @cached_property
    def oldest(self) -> Prepared:
        """That began before ``before``."""
        c = self.tables.outcomes.c
        page = select(c.endpoint_uid, c.window_us, c.version_uid, c.variant, c.router, c.body)
        page = page.where(c.window_us < bindparam("before"))
        page = page.order_by(c.window_us, c.endpoint_uid, c.version_uid, c.variant, c.router)
        return self.compiler(page.limit(bindparam("limit")))

    @cached_property
    def discard(self) -> Prepared:
        """By the whole key."""
        o = self.tables.outcomes
        return self.compiler(delete(o).where(*(o.c[name] == bindparam(name) for name in _KEY)))

    @cached_property
    def remove(self) -> Prepared:
        """Up to ``limit`` that began before ``before``."""
        o = self.tables.outcomes
        key = [o.c[name] for name in _KEY]
        old = select(*key).where(o.c.window_us < bindparam("before")).limit(bindparam("limit"))
        return self.compiler(delete(o).where(and_(tuple_(*key).in_(old))))


class SqlOutcomes:
    """`chopmark.abc.routing.Outcomes`."""

    __slots__ = ("_run", "_sql")

    def __init__(self, run: Executor, statements: OutcomeStatements) -> None:
        self._run = run
        self._sql = statements

    def put(self, router: str, windows: Iterable[OutcomeWindow], *, grows: bool = False) -> None:
        """See the interface."""
        self._run.change_each(self._sql.grow if grows else self._sql.put, (_row(router, window) for window in windows))

    def list(self, endpoint_id: UUID, *, since: datetime, until: datetime, limit: int) -> OutcomeList:
        """See the interface."""
        values = {"endpoint": endpoint_id.bytes, "since": to_us(since), "until": to_us(until), "limit": limit}
        return [_outcome(row) for row in self._run.all(self._sql.list, values)]

    def oldest(self, *, before: datetime, limit: int) -> OutcomeList:
        """See the interface."""
        return [_outcome(row) for row in self._run.all(self._sql.oldest, {"before": to_us(before), "limit": limit})]

    def discard(self, outcomes: Iterable[ReportedOutcome]) -> None:
        """See the interface."""
        self._run.change_each(self._sql.discard, (_key(each.router, each.window) for each in outcomes))

    def remove(self, before: datetime, *, limit: int) -> int:
        """See the interface."""
        return self._run.change(self._sql.remove, {"before": to_us(before), "limit": limit})


def _row(router: str, window: OutcomeWindow) -> dict[str, Any]:
    return {**_key(router, window), "body": json_text(body_of(window))}


def _key(router: str, window: OutcomeWindow) -> dict[str, Any]:
    return {
        "endpoint_uid": window.endpoint.bytes,
        "window_us": to_us(window.start),
        "version_uid": window.version.bytes,
        "variant": window.variant,
        "router": router,
    }


@row_of("outcomes", "bibsss")
def _outcome(row: tuple[Any, ...]) -> ReportedOutcome:
    endpoint, window_us, version, variant, router, body = row
    counted = asdict(read_body(body))
    window = OutcomeWindow(
        endpoint=UUID(bytes=endpoint),
        version=UUID(bytes=version),
        variant=variant,
        start=from_us(window_us),
        **counted,
    )
    return ReportedOutcome(router, window)
