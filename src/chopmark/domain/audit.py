"""The audit: events in a chain, each carrying the hash of the one before."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from chopmark.base.digest import digest_of
from chopmark.base.jsons import canonical

__all__ = ["GENESIS", "AuditEvent", "ChainFault", "event_hash", "find_fault"]

GENESIS = "sha256:" + "0" * 64


class AuditEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One change of the registry.

    Attributes
    ----------
    seq
        1, 2, 3 … without gaps.
    event
        What happened, ``noun.past``: ``version.registered``.
    target
        The reference it happened to.
    data
        The facts: from, to, reason, digest …
    previous
        Hash of the event before; `GENESIS` for the first.
    hash
        SHA-256 of the canonical JSON of all the other fields.
    """

    seq: int
    id: UUID
    at: datetime
    actor: str
    event: str
    target: str
    data: dict[str, Any] = {}
    previous: str = GENESIS
    hash: str = ""

    def __repr__(self) -> str:
        when = f"{self.at:%Y-%m-%d %H:%M:%S} UTC"
        return f"<{self.seq} · {self.event} · {self.target} · {when} by {self.actor}>"


class ChainFault(msgspec.Struct, frozen=True):
    """Where a chain breaks and how."""

    seq: int
    reason: str


def event_hash(event: AuditEvent) -> str:
    """Hash of an event: over its canonical JSON with an empty ``hash``."""
    return digest_of(canonical(msgspec.structs.replace(event, hash="")))


def find_fault(events: Iterable[AuditEvent], previous: str = GENESIS, first_seq: int = 1) -> ChainFault | None:
    """First place where a run of events is not an unbroken chain; None when it is.

    Parameters
    ----------
    events
        In order of ``seq``.
    previous, first_seq
        Hash before the first event, and its number.
    """
    seq = first_seq
    for event in events:
        if event.seq != seq:
            return ChainFault(seq, f"event {seq} is missing (found {event.seq})")
        if event.previous != previous:
            return ChainFault(seq, "the event does not carry the hash of the one before")
        if event_hash(event) != event.hash:
            return ChainFault(seq, "the event was changed after it was written")
        previous = event.hash
        seq += 1
    return None
