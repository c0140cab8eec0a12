"""What is only ever added, in memory: stage moves, evaluations, the audit and what waits for delivery."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

import msgspec

from chopmark.abc.catalog import Events, OutboxRow, StoredAnswer, Taken, Texts
from chopmark.base.clock import to_us
from chopmark.base.jsons import decode, encode
from chopmark.domain.audit import GENESIS, AuditEvent, event_hash
from chopmark.domain.lifecycle import StageMove
from chopmark.domain.sight import project_of
from chopmark.domain.versions import Evaluation
from chopmark.errors import Conflict
from chopmark.testing.memory_state import Surface, first_of, newest, of_key

__all__ = [
    "MemoryAudit",
    "MemoryEvaluations",
    "MemoryIdempotencyKeys",
    "MemoryOutbox",
    "MemoryRecorded",
    "MemoryStages",
]


class MemoryStages(Surface):
    """`chopmark.abc.catalog.Stages`."""

    def record(self, version_id: UUID, move: StageMove) -> None:
        """See the interface."""
        self._scope.version(version_id)
        self._scope.write.stage_moves.append((version_id, encode(move)))

    def history(self, version_id: UUID, *, until: datetime | None = None, limit: int) -> list[StageMove]:
        """See the interface."""
        moves = of_key(self._scope.read.stage_moves, version_id, StageMove)
        return newest(moves, lambda m: m.at, until)[:limit]


class MemoryEvaluations(Surface):
    """`chopmark.abc.catalog.Evaluations`."""

    def insert(self, version_id: UUID, evaluation: Evaluation) -> None:
        """See the interface."""
        self._scope.version(version_id)
        rows = self._scope.write.evaluations
        if any(decode(body, Evaluation).id == evaluation.id for _, body in rows):
            raise Conflict(f"There is an evaluation with the id {evaluation.id} already.")
        rows.append((version_id, encode(evaluation)))

    def list(self, version_id: UUID, *, limit: int) -> list[Evaluation]:
        """See the interface."""
        rows = of_key(self._scope.read.evaluations, version_id, Evaluation)
        return newest(rows, lambda e: e.at)[:limit]


class MemoryAudit(Surface):
    """`chopmark.abc.catalog.Audit`."""

    def append(self, event: AuditEvent) -> AuditEvent:
        """See the interface."""
        chain = self._scope.write.audit
        previous = decode(chain[-1], AuditEvent).hash if chain else GENESIS
        event = msgspec.structs.replace(event, seq=len(chain) + 1, previous=previous, hash="")
        event = decode(encode(event), AuditEvent)
        event = msgspec.structs.replace(event, hash=event_hash(event))
        chain.append(encode(event))
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
        chain = [decode(body, AuditEvent) for body in self._scope.read.audit]
        found = [
            e
            for e in chain
            if e.seq > after_seq
            and (before_seq is None or e.seq < before_seq)
            and target in ("", e.target)
            and event in ("", e.event)
            and (among is None or project_of(e) in among)
        ]
        return (found[::-1] if newest_first else found)[:limit]

    def about(self, targets: Texts, beginnings: Texts, *, after_seq: int = 0, limit: int) -> Events:
        """See the interface."""
        events = self.list(after_seq=after_seq, limit=len(self._scope.read.audit))
        begins = tuple(beginnings)
        return [e for e in events if e.target in targets or e.target.startswith(begins)][:limit]

    def first_after(self, time: datetime) -> int | None:
        """See the interface."""
        to_us(time)
        events = self.list(limit=len(self._scope.read.audit))
        return first_of(e.seq for e in events if e.at > time)

    def head(self) -> tuple[int, str]:
        """See the interface."""
        chain = self._scope.read.audit
        return len(chain), decode(chain[-1], AuditEvent).hash if chain else GENESIS


class MemoryRecorded(Surface):
    """`chopmark.abc.catalog.Recorded`."""

    def position(self) -> int:
        """See the interface."""
        return self._scope.read.recorded_seq

    def move(self, seq: int) -> None:
        """See the interface."""
        self._scope.write.recorded_seq = max(seq, self._scope.write.recorded_seq)

    def put_back(self, events: Iterable[AuditEvent]) -> None:
        """See the interface."""
        chain = self._scope.write.audit
        if chain:
            raise Conflict("This catalog has events of its own already.")
        chain += map(encode, events)
        self._scope.write.recorded_seq = len(chain)


class MemoryOutbox(Surface):
    """`chopmark.abc.catalog.Outbox`."""

    def add(self, event: AuditEvent) -> None:
        """See the interface."""
        state = self._scope.write
        state.outbox_seq += 1
        state.outbox[state.outbox_seq] = encode(event)

    def pending(self, *, after_seq: int = 0, limit: int) -> list[OutboxRow]:
        """See the interface."""
        waiting = [(seq, body) for seq, body in self._scope.read.outbox.items() if seq > after_seq]
        return [OutboxRow(seq, decode(body, AuditEvent)) for seq, body in waiting[:limit]]

    def remove(self, seqs: Iterable[int]) -> None:
        """See the interface."""
        for seq in seqs:
            self._scope.write.outbox.pop(seq, None)


class MemoryIdempotencyKeys(Surface):
    """`chopmark.abc.catalog.IdempotencyKeys`."""

    def get(self, actor: str, key: str) -> StoredAnswer | None:
        """See the interface."""
        return self._scope.read.answers.get((actor, key))

    def put(self, actor: str, key: str, op: str, answer: StoredAnswer) -> None:
        """See the interface."""
        if (actor, key) in self._scope.write.answers:
            raise Taken(f"The idempotency key {key} of {op} was used already.")
        self._scope.write.answers[actor, key] = answer

    def expire(self, before: datetime, *, limit: int) -> int:
        """See the interface."""
        answers = self._scope.write.answers
        gone = [key for key, answer in answers.items() if answer.at < before][:limit]
        for key in gone:
            del answers[key]
        return len(gone)
