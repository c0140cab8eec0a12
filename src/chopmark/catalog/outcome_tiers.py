"""Outcomes by hour and by day, and how far they were moved, in SQL."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from datetime import datetime
from functools import cached_property
from typing import Any
from uuid import UUID

from msgspec.structs import asdict
from sqlalchemy import bindparam, delete, select, update

from chopmark.abc.outcomes import WindowList
from chopmark.base.clock import from_us, to_us
from chopmark.base.jsons import encode
from chopmark.catalog.damage import row_of
from chopmark.catalog.execution import Compiler, Executor, Prepared
from chopmark.catalog.outcomes import body_of, read_body
from chopmark.domain.outcome_tiers import Grain
from chopmark.domain.outcomes import OutcomeWindow
from chopmark.errors import IntegrityFailure

__all__ = ["PACKED_LEVEL", "SqlOutcomeTiers", "TierStatements", "unpacked", "unpacked_first"]

PACKED_LEVEL = 6
_UNPACKED_BYTES_MAX = 64 << 20

_KEY = ("endpoint_uid", "grain", "window_us", "version_uid", "variant")


class TierStatements:
    """Statements on outcomes by hour and day, compiled when first used."""

    def __init__(self, compiler: Compiler) -> None:
        self.compiler = compiler
        self.tables = compiler.tables

    @cached_property
    def moved_to(self) -> Prepared:
        """Of ``grain``."""
        return self.compiler(self._move())

    @cached_property
    def hold(self) -> Prepared:
        """Of ``grain``, and nobody moves it on until the transaction ends."""
        return self.compiler(self._move().with_for_update(read=True))

    @cached_property
    def move_to(self) -> Prepared:
        """``grain`` to ``upto``."""
        m = self.tables.outcome_moves
        moved = update(m).where(m.c.grain == bindparam("which")).values(upto_us=bindparam("upto"))
        return self.compiler(moved)

    @cached_property
    def put(self) -> Prepared:
        """Adds or replaces."""
        return self.compiler(self.compiler.upsert(self.tables.outcome_tiers, list(_KEY)))

    @cached_property
    def get(self) -> Prepared:
        """By the whole key."""
        t = self.tables.outcome_tiers
        found = select(t.c.endpoint_uid, t.c.window_us, t.c.version_uid, t.c.variant, t.c.body)
        return self.compiler(found.where(*(t.c[name] == bindparam(name) for name in _KEY)))

    @cached_property
    def list(self) -> Prepared:
        """Of ``endpoint`` and ``grain``, from ``since`` to before ``until``."""
        c = self.tables.outcome_tiers.c
        page = select(c.endpoint_uid, c.window_us, c.version_uid, c.variant, c.body).where(
            c.endpoint_uid == bindparam("endpoint"),
            c.grain == bindparam("grain"),
            c.window_us >= bindparam("since"),
            c.window_us < bindparam("until"),
        )
        return self.compiler(page.order_by(c.window_us, c.version_uid, c.variant).limit(bindparam("limit")))

    @cached_property
    def oldest(self) -> Prepared:
        """Of ``grain``, that began before ``before``."""
        c = self.tables.outcome_tiers.c
        page = select(c.endpoint_uid, c.window_us, c.version_uid, c.variant, c.body).where(
            c.grain == bindparam("grain"), c.window_us < bindparam("before")
        )
        page = page.order_by(c.window_us, c.endpoint_uid, c.version_uid, c.variant)
        return self.compiler(page.limit(bindparam("limit")))

    @cached_property
    def discard(self) -> Prepared:
        """By the whole key."""
        t = self.tables.outcome_tiers
        return self.compiler(delete(t).where(*(t.c[name] == bindparam(name) for name in _KEY)))

    def _move(self) -> Any:
        m = self.tables.outcome_moves
        return select(m.c.upto_us).where(m.c.grain == bindparam("grain"))


class SqlOutcomeTiers:
    """`chopmark.abc.outcomes.OutcomeTiers`."""

    __slots__ = ("_run", "_sql")

    def __init__(self, run: Executor, statements: TierStatements) -> None:
        self._run = run
        self._sql = statements

    def moved_to(self, grain: Grain) -> datetime:
        """See the interface."""
        row = self._run.one(self._sql.hold if self._run.is_writing else self._sql.moved_to, {"grain": grain})
        if row is None:
            msg = f"The row that says how far {grain}s of outcomes were moved is gone."
            raise IntegrityFailure(msg, hint="Restore the catalog from a backup.")
        return _time(row)

    def move_to(self, grain: Grain, time: datetime) -> None:
        """See the interface."""
        self._run.change(self._sql.move_to, {"which": grain, "upto": to_us(time)})

    def get(self, grain: Grain, like: OutcomeWindow) -> OutcomeWindow | None:
        """See the interface."""
        row = self._run.one(self._sql.get, _key(grain, like))
        return None if row is None else _window(row)

    def put(self, grain: Grain, windows: Iterable[OutcomeWindow]) -> None:
        """See the interface."""
        self._run.change_each(self._sql.put, ({**_key(grain, w), "body": _packed(w)} for w in windows))

    def list(self, endpoint_id: UUID, grain: Grain, *, since: datetime, until: datetime, limit: int) -> WindowList:
        """See the interface."""
        between = {"since": to_us(since), "until": to_us(until), "limit": limit}
        rows = self._run.all(self._sql.list, {"endpoint": endpoint_id.bytes, "grain": grain, **between})
        return [_window(row) for row in rows]

    def oldest(self, grain: Grain, *, before: datetime, limit: int) -> WindowList:
        """See the interface."""
        rows = self._run.all(self._sql.oldest, {"grain": grain, "before": to_us(before), "limit": limit})
        return [_window(row) for row in rows]

    def discard(self, grain: Grain, windows: Iterable[OutcomeWindow]) -> None:
        """See the interface."""
        self._run.change_each(self._sql.discard, (_key(grain, window) for window in windows))


def _key(grain: Grain, window: OutcomeWindow) -> dict[str, Any]:
    return {
        "endpoint_uid": window.endpoint.bytes,
        "grain": grain,
        "window_us": to_us(window.start),
        "version_uid": window.version.bytes,
        "variant": window.variant,
    }


def _packed(window: OutcomeWindow) -> bytes:
    return zlib.compress(encode(body_of(window)), PACKED_LEVEL)


def unpacked(data: bytes) -> bytes:
    """What was packed; `ValueError` when that is damaged, or longer than anything that is kept."""
    return unpacked_first(data)[0]


def unpacked_first(data: bytes) -> tuple[bytes, bytes]:
    """Of several that were packed one by one and stand in a row the first, and the others as they are; else as `unpacked`."""
    unpack = zlib.decompressobj()
    try:
        found = unpack.decompress(data, _UNPACKED_BYTES_MAX)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if not unpack.eof:
        raise ValueError("it is cut off, or too long")
    return found, unpack.unused_data


@row_of("a move of outcomes", "i")
def _time(row: tuple[Any, ...]) -> datetime:
    return from_us(row[0])


@row_of("outcomes", "bibsb")
def _window(row: tuple[Any, ...]) -> OutcomeWindow:
    endpoint, window_us, version, variant, body = row
    return OutcomeWindow(
        endpoint=UUID(bytes=endpoint),
        version=UUID(bytes=version),
        variant=variant,
        start=from_us(window_us),
        **asdict(read_body(unpacked(body))),
    )
