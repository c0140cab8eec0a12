"""How far the audit is recorded beside the blobs, in SQL."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from itertools import islice
from typing import Any

from sqlalchemy import bindparam, select, update

from chopmark.catalog.damage import row_of
from chopmark.catalog.execution import Compiler, Executor, Prepared
from chopmark.catalog.history import event_row
from chopmark.domain.audit import AuditEvent
from chopmark.errors import Conflict, IntegrityFailure

__all__ = ["RecordedStatements", "SqlRecorded"]

FACT = "recorded_seq"
EVENTS_A_BATCH = 1_000


class RecordedStatements:
    """Statements on the position, compiled when first used."""

    def __init__(self, compiler: Compiler) -> None:
        self.compiler = compiler
        self.tables = compiler.tables

    @cached_property
    def position(self) -> Prepared:
        """The position as a text."""
        c = self.tables.facts.c
        return self.compiler(select(c.value).where(c.name == FACT))

    @cached_property
    def locked(self) -> Prepared:
        """The same, locked until the transaction ends."""
        c = self.tables.facts.c
        return self.compiler(select(c.value).where(c.name == FACT).with_for_update())

    @cached_property
    def move(self) -> Prepared:
        """The new position."""
        f = self.tables.facts
        return self.compiler(update(f).where(f.c.name == FACT).values(value=bindparam("position")))

    @cached_property
    def head(self) -> Prepared:
        """The end of the chain, locked until the transaction ends."""
        c = self.tables.audit_head.c
        return self.compiler(select(c.seq).with_for_update())

    @cached_property
    def head_move(self) -> Prepared:
        """The new end of the chain."""
        h = self.tables.audit_head
        return self.compiler(update(h).values(seq=bindparam("seq"), hash=bindparam("hash")))

    @cached_property
    def event_insert(self) -> Prepared:
        """One event."""
        return self.compiler(self.compiler.insert(self.tables.audit))


class SqlRecorded:
    """`chopmark.abc.catalog.Recorded`."""

    __slots__ = ("_run", "_sql")

    def __init__(self, run: Executor, statements: RecordedStatements) -> None:
        self._run = run
        self._sql = statements

    def position(self) -> int:
        """See the interface."""
        return self._position(self._sql.position)

    def move(self, seq: int) -> None:
        """See the interface."""
        self._run.check_writing()
        if seq > self._position(self._sql.locked):
            self._run.change(self._sql.move, {"position": str(seq)})

    def put_back(self, events: Iterable[AuditEvent]) -> None:
        """See the interface."""
        self._run.check_writing()
        row = self._run.one(self._sql.head, {})
        if row is None or row[0] != 0:
            raise Conflict("This catalog has events of its own already.", hint="Choose an empty one.")
        last: AuditEvent | None = None
        remaining = iter(events)
        while batch := list(islice(remaining, EVENTS_A_BATCH)):
            self._run.change_each(self._sql.event_insert, map(event_row, batch))
            last = batch[-1]
        if last is not None:
            self._run.change(self._sql.head_move, {"seq": last.seq, "hash": last.hash})
            self.move(last.seq)

    def _position(self, prepared: Prepared) -> int:
        row = self._run.one(prepared, {})
        if row is None:
            raise IntegrityFailure("The row that says what is recorded is gone.", hint="Restore it from a backup.")
        return _position(row)


@row_of("what is recorded", "s")
def _position(row: tuple[Any, ...]) -> int:
    return int(row[0])
