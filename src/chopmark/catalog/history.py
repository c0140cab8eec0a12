"""Stage history, evaluations, audit, outbox and idempotency keys in SQL."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import cached_property
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, Select, and_, bindparam, delete, or_, select, tuple_, update

from chopmark.abc.catalog import Events, OutboxRow, StoredAnswer, Taken, Texts
from chopmark.base.clock import from_us, to_us
from chopmark.base.jsons import decode, decoder, encode
from chopmark.catalog.damage import row_of
from chopmark.catalog.execution import Compiler, Executor, Prepared
from chopmark.catalog.records import json_text
from chopmark.catalog.sight import event_in_sight, places_of, seen_values
from chopmark.domain.audit import GENESIS, AuditEvent, event_hash
from chopmark.domain.lifecycle import StageMove
from chopmark.domain.refs import DEFAULT_PROJECT
from chopmark.domain.versions import Evaluation
from chopmark.errors import Conflict, IntegrityFailure, NotFound

__all__ = [
    "HistoryStatements",
    "SqlAudit",
    "SqlEvaluations",
    "SqlIdempotencyKeys",
    "SqlOutbox",
    "SqlStages",
    "chained",
    "event_row",
]

LAST = 2**63 - 1

_decode_data = decoder(dict[str, Any])
_decode_event = decoder(AuditEvent)
_decode_evaluation = decoder(Evaluation)


class HistoryStatements:
    """Statements on what is only ever added, compiled when first used."""

    def __init__(self, compiler: Compiler) -> None:
        self.compiler = compiler
        self.tables = compiler.tables

    @cached_property
    def stage_insert(self) -> Prepared:
        """A stage move of ``version``; adds nothing when that is not there."""
        v = self.tables.versions.c
        return self.compiler(self.compiler.insert_for(self.tables.stage_moves, self._version(), version_key=v.key))

    @cached_property
    def stage_list(self) -> Prepared:
        """Of ``version`` up to ``until``, newest first."""
        t = self.tables
        p, m, v, s = t.projects, t.models, t.versions, t.stage_moves
        c = s.c
        joined = (
            s.join(v, v.c.key == c.version_key).join(m, m.c.key == v.c.model_key).join(p, p.c.key == m.c.project_key)
        )
        found = select(
            p.c.name, m.c.name, v.c.number, c.from_stage, c.to_stage, c.actor, c.at_us, c.reason
        ).select_from(joined)  # fmt: skip
        found = found.where(v.c.uid == bindparam("version"), c.at_us <= bindparam("until"))
        page = found.order_by(c.at_us.desc(), c.key.desc())
        return self.compiler(page.limit(bindparam("limit")))

    @cached_property
    def evaluation_insert(self) -> Prepared:
        """An evaluation of ``version``; adds nothing when that is not there, or the id is taken."""
        e, v = self.tables.evaluations, self.tables.versions.c
        statement = self.compiler.insert_for(e, self._version(), version_key=v.key)
        return self.compiler(statement.on_conflict_do_nothing())

    @cached_property
    def version_exists(self) -> Prepared:
        """Key of ``version``."""
        return self.compiler(select(self.tables.versions.c.key).where(self._version()))

    @cached_property
    def evaluation_list(self) -> Prepared:
        """Of ``version``, newest first."""
        v, e = self.tables.versions, self.tables.evaluations
        joined = e.join(v, v.c.key == e.c.version_key)
        found = select(e.c.body).select_from(joined)
        found = found.where(v.c.uid == bindparam("version"))
        page = found.order_by(e.c.at_us.desc(), e.c.key.desc())
        return self.compiler(page.limit(bindparam("limit")))

    @cached_property
    def head(self) -> Prepared:
        """The end of the chain, locked until the transaction ends."""
        c = self.tables.audit_head.c
        return self.compiler(select(c.seq, c.hash).with_for_update())

    @cached_property
    def head_read(self) -> Prepared:
        """The end of the chain, of the moment at which the transaction began to read."""
        c = self.tables.audit_head.c
        return self.compiler(select(c.seq, c.hash))

    @cached_property
    def head_move(self) -> Prepared:
        """The new end of the chain."""
        h = self.tables.audit_head
        return self.compiler(update(h).values(seq=bindparam("seq"), hash=bindparam("hash")))

    @cached_property
    def audit_insert(self) -> Prepared:
        """One event."""
        return self.compiler(self.compiler.insert(self.tables.audit))

    def audit_list(self, *, target: bool, event: bool, newest_first: bool, places: int) -> Prepared:
        """Between ``after`` and ``before``, with ``places`` only of projects that are seen."""
        return self.compiler.shaped(
            ("audit", target, event, newest_first, places),
            lambda: self._events(target, event, newest_first, places),
        )

    def audit_about(self, targets: int, beginnings: int) -> Prepared:
        """After ``after``, of so many targets and beginnings (``target0``, ``from0``, ``below0`` …)."""
        return self.compiler.shaped(("about", targets, beginnings), lambda: self._about(targets, beginnings))

    @cached_property
    def audit_first_after(self) -> Prepared:
        """The first after ``at_us``: found by a walk from the start, as times need not be in order."""
        c = self.tables.audit.c
        return self.compiler(select(c.seq).where(c.at_us > bindparam("at_us")).order_by(c.seq).limit(1))

    @cached_property
    def outbox_add(self) -> Prepared:
        """An event that waits."""
        return self.compiler(self.compiler.insert(self.tables.outbox))

    @cached_property
    def outbox_pending(self) -> Prepared:
        """After ``after``, oldest first."""
        c = self.tables.outbox.c
        waiting = (c.delivered_us.is_(None), c.seq > bindparam("after"))
        page = select(c.seq, c.event).where(*waiting).order_by(c.seq)
        return self.compiler(page.limit(bindparam("limit")))

    @cached_property
    def outbox_remove(self) -> Prepared:
        """One that was handed over."""
        o = self.tables.outbox
        return self.compiler(delete(o).where(o.c.seq == bindparam("one")))

    @cached_property
    def answer_get(self) -> Prepared:
        """By ``actor`` and ``key``."""
        c = self.tables.idempotency.c
        found = select(c.request_digest, c.answer, c.at_us)
        return self.compiler(found.where(c.actor == bindparam("actor"), c.key == bindparam("key")))

    @cached_property
    def answer_put(self) -> Prepared:
        """Returns nothing when the key is taken."""
        i = self.tables.idempotency
        return self.compiler(self.compiler.insert_once(i).returning(i.c.at_us))

    @cached_property
    def answers_expire(self) -> Prepared:
        """Those before ``before``, so many."""
        i, old = self.tables.idempotency, self.tables.idempotency.alias("old")
        first = select(old.c.actor, old.c.key).where(old.c.at_us < bindparam("before")).limit(bindparam("limit"))
        return self.compiler(delete(i).where(tuple_(i.c.actor, i.c.key).in_(first)))

    def _version(self) -> ColumnElement[bool]:
        return self.tables.versions.c.uid == bindparam("version")

    def _about(self, targets: int, beginnings: int) -> Select[Any]:
        t = self.tables.audit.c.target
        exact = [t == bindparam(f"target{n}") for n in range(targets)]
        within = [and_(t >= bindparam(f"from{n}"), t < bindparam(f"below{n}")) for n in range(beginnings)]
        found = self._all_events().where(self.tables.audit.c.seq > bindparam("after"), or_(*exact, *within))
        return found.order_by(self.tables.audit.c.seq).limit(bindparam("limit"))

    def _all_events(self) -> Select[Any]:
        c = self.tables.audit.c
        return select(c.seq, c.uid, c.at_us, c.actor, c.event, c.target, c.data, c.previous, c.hash)

    def _events(self, target: bool, event: bool, newest_first: bool, places: int) -> Select[Any]:
        c = self.tables.audit.c
        found = self._all_events().where(c.seq > bindparam("after"), c.seq < bindparam("before"))
        if target:
            found = found.where(c.target == bindparam("target"))
        if event:
            found = found.where(c.event == bindparam("event"))
        if places:
            found = found.where(event_in_sight(c.event, c.target, places, DEFAULT_PROJECT))
        page = found.order_by(c.seq.desc() if newest_first else c.seq)
        return page.limit(bindparam("limit"))


class SqlStages:
    """`chopmark.abc.catalog.Stages`."""

    __slots__ = ("_run", "_sql")

    def __init__(self, run: Executor, statements: HistoryStatements) -> None:
        self._run = run
        self._sql = statements

    def record(self, version_id: UUID, move: StageMove) -> None:
        """See the interface."""
        values = {
            "version": version_id.bytes,
            "from_stage": move.from_stage,
            "to_stage": move.to_stage,
            "actor": move.actor,
            "at_us": to_us(move.at),
            "reason": move.reason,
        }
        if not self._run.change(self._sql.stage_insert, values):
            raise NotFound(f"There is no version with the id {version_id}.")

    def history(self, version_id: UUID, *, until: datetime | None = None, limit: int) -> list[StageMove]:
        """See the interface."""
        values = {
            "version": version_id.bytes,
            "until": LAST if until is None else to_us(until),
            "limit": limit,
        }
        return [_stage_move(row) for row in self._run.all(self._sql.stage_list, values)]


class SqlEvaluations:
    """`chopmark.abc.catalog.Evaluations`."""

    __slots__ = ("_run", "_sql")

    def __init__(self, run: Executor, statements: HistoryStatements) -> None:
        self._run = run
        self._sql = statements

    def insert(self, version_id: UUID, evaluation: Evaluation) -> None:
        """See the interface."""
        values = {
            "uid": evaluation.id.bytes,
            "version": version_id.bytes,
            "at_us": to_us(evaluation.at),
            "body": json_text(evaluation),
        }
        if self._run.change(self._sql.evaluation_insert, values):
            return
        if self._run.one(self._sql.version_exists, values) is None:
            raise NotFound(f"There is no version with the id {version_id}.")
        raise Conflict(f"There is an evaluation with the id {evaluation.id} already.")

    def list(self, version_id: UUID, *, limit: int) -> list[Evaluation]:
        """See the interface."""
        values = {"version": version_id.bytes, "limit": limit}
        rows = self._run.all(self._sql.evaluation_list, values)
        return [_evaluation(row) for row in rows]


class SqlAudit:
    """`chopmark.abc.catalog.Audit`."""

    __slots__ = ("_run", "_sql")

    def __init__(self, run: Executor, statements: HistoryStatements) -> None:
        self._run = run
        self._sql = statements

    def append(self, event: AuditEvent) -> AuditEvent:
        """See the interface."""
        self._run.check_writing()
        event = chained(event, *self._head(self._sql.head))
        self._run.change(self._sql.audit_insert, event_row(event))
        self._run.change(self._sql.head_move, {"seq": event.seq, "hash": event.hash})
        return event

    def list(
        self,
        *,
        after_seq: int = 0,
        before_seq: int | None = None,
        target: str = "",
        event: str = "",
        newest_first: bool = False,
        among: Texts | None = None,
        limit: int,
    ) -> list[AuditEvent]:
        """See the interface."""
        prepared = self._sql.audit_list(
            target=bool(target), event=bool(event), newest_first=newest_first, places=places_of(among)
        )
        values: dict[str, Any] = {
            "after": after_seq,
            "before": LAST if before_seq is None else before_seq,
            "limit": limit,
            **seen_values(among),
        }
        if target:
            values["target"] = target
        if event:
            values["event"] = event
        return [_event(row) for row in self._run.all(prepared, values)]

    def about(self, targets: Texts, beginnings: Texts, *, after_seq: int = 0, limit: int) -> Events:
        """See the interface."""
        if not targets and not beginnings:
            return []
        values: dict[str, Any] = {"after": after_seq, "limit": limit}
        values |= {f"target{n}": target for n, target in enumerate(targets)}
        values |= {f"from{n}": beginning for n, beginning in enumerate(beginnings)}
        values |= {f"below{n}": _next_text(beginning) for n, beginning in enumerate(beginnings)}
        prepared = self._sql.audit_about(len(targets), len(beginnings))
        return [_event(row) for row in self._run.all(prepared, values)]

    def first_after(self, time: datetime) -> int | None:
        """See the interface."""
        row = self._run.one(self._sql.audit_first_after, {"at_us": to_us(time)})
        return None if row is None else _seq(row)

    def head(self) -> tuple[int, str]:
        """See the interface."""
        seq, last = self._head(self._sql.head_read)
        return seq, last or GENESIS

    def _head(self, prepared: Prepared) -> tuple[int, str]:
        row = self._run.one(prepared, {})
        if row is None:
            msg = "The row that holds the end of the audit chain is gone."
            raise IntegrityFailure(msg, hint="Restore the catalog from a backup.")
        return _head(row)


def event_row(event: AuditEvent) -> dict[str, Any]:
    """Values of an event's columns."""
    return {
        "seq": event.seq,
        "uid": event.id.bytes,
        "at_us": to_us(event.at),
        "actor": event.actor,
        "event": event.event,
        "target": event.target,
        "data": json_text(event.data),
        "previous": event.previous,
        "hash": event.hash,
    }


def _next_text(beginning: str) -> str:
    """The first text, by code point, that no longer begins so."""
    return beginning[:-1] + chr(ord(beginning[-1]) + 1)


def chained(event: AuditEvent, seq: int, previous: str) -> AuditEvent:
    """The event as the next of a chain that ends with this number and hash.

    Facts are taken as they will be read back from JSON, and the time in UTC, so that the hash can
    be computed again from what is stored.
    """
    event = msgspec.structs.replace(
        event,
        seq=seq + 1,
        previous=previous or GENESIS,
        at=from_us(to_us(event.at)),
        data=decode(encode(event.data), dict[str, Any]),
    )
    return msgspec.structs.replace(event, hash=event_hash(event))


class SqlOutbox:
    """`chopmark.abc.catalog.Outbox`."""

    __slots__ = ("_run", "_sql")

    def __init__(self, run: Executor, statements: HistoryStatements) -> None:
        self._run = run
        self._sql = statements

    def add(self, event: AuditEvent) -> None:
        """See the interface."""
        values = {"event": json_text(event), "delivered_us": None}
        self._run.change(self._sql.outbox_add, values)

    def pending(self, *, after_seq: int = 0, limit: int) -> list[OutboxRow]:
        """See the interface."""
        values = {"after": after_seq, "limit": limit}
        rows = self._run.all(self._sql.outbox_pending, values)
        return [_outbox_row(row) for row in rows]

    def remove(self, seqs: Iterable[int]) -> None:
        """See the interface."""
        self._run.change_each(self._sql.outbox_remove, ({"one": seq} for seq in sorted(seqs)))


class SqlIdempotencyKeys:
    """`chopmark.abc.catalog.IdempotencyKeys`."""

    __slots__ = ("_run", "_sql")

    def __init__(self, run: Executor, statements: HistoryStatements) -> None:
        self._run = run
        self._sql = statements

    def get(self, actor: str, key: str) -> StoredAnswer | None:
        """See the interface."""
        row = self._run.one(self._sql.answer_get, {"actor": actor, "key": key})
        return None if row is None else _answer(row)

    def put(self, actor: str, key: str, op: str, answer: StoredAnswer) -> None:
        """See the interface."""
        values = {
            "actor": actor,
            "key": key,
            "op": op,
            "request_digest": answer.request_digest,
            "answer": answer.answer,
            "at_us": to_us(answer.at),
        }
        if self._run.add(self._sql.answer_put, values) is None:
            msg = f"The idempotency key {key[:60]!r} was used by another call already."
            raise Taken(msg, hint="Repeat the call to get the stored answer.")

    def expire(self, before: datetime, *, limit: int) -> int:
        """See the interface."""
        return self._run.change(self._sql.answers_expire, {"before": to_us(before), "limit": limit})


@row_of("a stage move", "ssisssis")
def _stage_move(row: tuple[Any, ...]) -> StageMove:
    project, model, number, from_stage, to_stage, actor, at_us, reason = row
    return StageMove(
        project=project,
        model=model,
        number=number,
        from_stage=from_stage,
        to_stage=to_stage,
        actor=actor,
        at=from_us(at_us),
        reason=reason,
    )


@row_of("an audit event", "i")
def _seq(row: tuple[Any, ...]) -> int:
    seq: int = row[0]
    return seq


@row_of("the end of the audit chain", "is")
def _head(row: tuple[Any, ...]) -> tuple[int, str]:
    seq, last = row
    return seq, last


@row_of("an evaluation", "s")
def _evaluation(row: tuple[Any, ...]) -> Evaluation:
    return _decode_evaluation(row[0])


@row_of("an event that waits", "is")
def _outbox_row(row: tuple[Any, ...]) -> OutboxRow:
    seq, event = row
    return OutboxRow(seq, _decode_event(event))


@row_of("a stored answer", "sbi")
def _answer(row: tuple[Any, ...]) -> StoredAnswer:
    request_digest, answer, at_us = row
    return StoredAnswer(request_digest, answer, from_us(at_us))


@row_of("an audit event", "ibissssss")
def _event(row: tuple[Any, ...]) -> AuditEvent:
    seq, uid, at_us, actor, event, target, data, previous, event_hash_ = row
    return AuditEvent(
        seq=seq,
        id=UUID(bytes=uid),
        at=from_us(at_us),
        actor=actor,
        event=event,
        target=target,
        data=_decode_data(data),
        previous=previous,
        hash=event_hash_,
    )
