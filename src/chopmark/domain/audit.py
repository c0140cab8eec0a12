"""The audit: events in a chain, each carrying the hash of the one before."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from chopmark.base.digest import digest_of
from chopmark.base.jsons import canonical

__all__ = ["GENESIS", "AuditEvent", "ChainEnd", "ChainFault", "ChainMark", "event_hash", "find_fault", "walk"]

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
        fault = _fault_of(event, seq, previous)
        if fault is not None:
            return fault
        previous = event.hash
        seq += 1
    return None


def _fault_of(event: AuditEvent, seq: int, previous: str) -> ChainFault | None:
    if event.seq != seq:
        return ChainFault(seq, f"event {seq} is missing (found {event.seq})")
    if event.previous != previous:
        return ChainFault(seq, "the event does not carry the hash of the one before")
    if event_hash(event) != event.hash:
        return ChainFault(seq, "the event was changed after it was written")
    return None


class ChainMark(msgspec.Struct, frozen=True):
    """A place that a chain is known to have had: the hash of the event with this number.

    0 and `GENESIS` is the beginning, which every chain has.
    """

    size: int
    head: str


class ChainEnd(msgspec.Struct, frozen=True, kw_only=True):
    """Where a walk over a chain ended.

    Attributes
    ----------
    events
        How many were found in order.
    head
        Hash of the last of them; `GENESIS` when there is none.
    first
        Hash of event 1, which no other chain has; empty when there is none.
    fault
        Why the walk ended there; None at the end of the chain.
    """

    events: int
    head: str
    first: str = ""
    fault: ChainFault | None = None


def walk(events: Iterable[AuditEvent], mark: ChainMark | None = None) -> ChainEnd:
    """Walk a whole chain, and compare it with a place that it had before.

    A chain that was written anew with all its hashes, and one that was cut off at its end, are
    whole in themselves; only a mark that was kept elsewhere shows either.

    Parameters
    ----------
    events
        All of them in order of ``seq``; taken one at a time.
    mark
        What was kept, if anything was.
    """
    seq, head, first = 0, GENESIS, ""

    def ended(fault: ChainFault | None) -> ChainEnd:
        return ChainEnd(events=seq, head=head, first=first, fault=fault)

    for event in events:
        fault = _fault_of(event, seq + 1, head)
        if fault is not None:
            return ended(fault)
        if mark is not None and mark.size == event.seq and mark.head != event.hash:
            return ended(ChainFault(event.seq, "the chain was written anew: the checkpoint has another hash here"))
        seq, head, first = event.seq, event.hash, first or event.hash
    if mark is not None and mark.size > seq:
        reason = (
            f"the chain ends at event {seq}, and the checkpoint was made after event {mark.size}: events were removed"
        )
        return ended(ChainFault(seq + 1, reason))
    if mark is not None and mark.size == 0 and mark.head != GENESIS:
        return ended(ChainFault(1, "the checkpoint of an empty chain has the hash of an event"))
    return ended(None)
