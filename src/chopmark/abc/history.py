"""Surfaces of a transaction: what happened, what is to be told of it, and what was counted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Protocol
from uuid import UUID

import msgspec

from chopmark.domain.audit import AuditEvent
from chopmark.domain.usage import LoadCount

__all__ = ["Audit", "Events", "IdempotencyKeys", "Loads", "Outbox", "OutboxRow", "Recorded", "StoredAnswer"]

Events = list[AuditEvent]  # inside the classes below, ``list`` is a method


class StoredAnswer(msgspec.Struct, frozen=True):
    """The answer that a call with this idempotency key got the first time (JSON)."""

    request_digest: str
    answer: bytes
    at: datetime


class OutboxRow(msgspec.Struct, frozen=True):
    """An event that waits for delivery."""

    seq: int
    event: AuditEvent


class Loads(Protocol):
    """How often versions were loaded, by day."""

    def add(self, counts: Mapping[tuple[UUID, date], int]) -> None:
        """Add to what was counted, by version and day; versions that are not there are passed over."""
        ...

    def list(
        self,
        model_id: UUID,
        *,
        number: int | None = None,
        since: date | None = None,
        until: date | None = None,
        after: tuple[date, int] | None = None,
        limit: int,
    ) -> list[LoadCount]:
        """Counts of a model, or of one of its versions, from ``since`` to ``until`` (both included).

        Newest day first, of one day the highest number first, after the day and number in ``after``.
        """
        ...

    def last_days(self, model_id: UUID) -> dict[UUID, date]:
        """The last day on which each version of a model was loaded; without those that never were."""
        ...


class Audit(Protocol):
    """The chain of events."""

    def append(self, event: AuditEvent) -> AuditEvent:
        """Give the event its ``seq``, ``previous`` and ``hash``, and add it.

        No other transaction can append before this one has ended: call it last.
        """
        ...

    def list(
        self,
        *,
        after_seq: int = 0,
        before_seq: int | None = None,
        target: str = "",
        event: str = "",
        newest_first: bool = False,
        among: Sequence[str] | None = None,
        limit: int,
    ) -> list[AuditEvent]:
        """Events with seq > after_seq (and < before_seq); ``target`` and ``event`` exact.

        ``among`` limits to what happened in these projects (`chopmark.domain.sight.project_of`).
        """
        ...

    def about(self, targets: Sequence[str], beginnings: Sequence[str], *, after_seq: int = 0, limit: int) -> Events:
        """Events whose target is one of ``targets`` or begins with one of ``beginnings``, oldest first.

        None when both are empty. No beginning is empty.
        """
        ...

    def first_after(self, time: datetime) -> int | None:
        """``seq`` of the first event whose time is later; None when there is none."""
        ...

    def head(self) -> tuple[int, str]:
        """``seq`` and ``hash`` of the last event appended, kept beside the events.

        0 and `GENESIS` before the first. A chain that was cut off at its end ends elsewhere.
        """
        ...


class Recorded(Protocol):
    """How far the audit is recorded beside the blobs, and putting it back from there."""

    def position(self) -> int:
        """``seq`` of the last event that is recorded; 0 before the first."""
        ...

    def move(self, seq: int) -> None:
        """Note that events up to ``seq`` are recorded; a lower number than the one noted changes nothing."""
        ...

    def put_back(self, events: Iterable[AuditEvent]) -> None:
        """Make these events, as they were, the chain of a catalog that has none yet; noted as recorded.

        `Conflict` when there are events already.
        """
        ...


class Outbox(Protocol):
    """Events that wait for delivery, written with the change they tell of."""

    def add(self, event: AuditEvent) -> None:
        """Queue an event."""
        ...

    def pending(self, *, after_seq: int = 0, limit: int) -> list[OutboxRow]:
        """What waits, oldest first."""
        ...

    def remove(self, seqs: Iterable[int]) -> None:
        """Take out those that were handed over; others may have done so already."""
        ...


class IdempotencyKeys(Protocol):
    """Answers of calls that carried a key."""

    def get(self, actor: str, key: str) -> StoredAnswer | None:
        """The first answer, or None."""
        ...

    def put(self, actor: str, key: str, op: str, answer: StoredAnswer) -> None:
        """Keep an answer."""
        ...

    def expire(self, before: datetime, *, limit: int) -> int:
        """Forget answers that were given before a time, at most so many; how many."""
        ...
