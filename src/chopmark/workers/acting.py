"""The registry as a job uses it: through the door, in the name of the job."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from chopmark.abc.blobs import BlobStore
from chopmark.abc.records import RecordStore
from chopmark.domain.access import Actor
from chopmark.domain.audit import AuditEvent
from chopmark.domain.jobs import Job
from chopmark.ops.requests import Request
from chopmark.wiring import LocalTransport

__all__ = ["ActingTransport", "actor_of"]


def actor_of(job: Job) -> Actor:
    """Who does what a job does, as the audit names it."""
    return Actor(f"job:{job.kind}:{job.id}", kind="system")


class ActingTransport:
    """`chopmark.sdk.transport.Transport` of somebody else over an open one.

    Parameters
    ----------
    transport
        The one that is open; it stays open when this one is closed.
    actor
        Who acts.
    """

    def __init__(self, transport: LocalTransport, actor: Actor) -> None:
        self._transport = transport
        self._actor = actor
        self.store: BlobStore = transport.store
        self.location = transport.location
        self.own = transport.own

    @property
    def records(self) -> RecordStore:
        """What is kept beside the bytes."""
        return self._transport.records

    def call(self, request: Request, *, key: str = "", dry_run: bool = False) -> Any:
        """Do the op that this request belongs to."""
        return self._transport.act(request, self._actor, key=key, dry_run=dry_run)

    def on(self, event: str, listener: Callable[[AuditEvent], None]) -> Callable[[], None]:
        """Call a function after each event of that name."""
        return self._transport.on(event, listener)

    def count_load(self, version_id: UUID) -> None:
        """Count a load of a version."""
        self._transport.count_load(version_id)

    def flush(self) -> None:
        """Write down the loads that were counted so far."""
        self._transport.flush()

    def catch_up(self) -> int:
        """Record beside the blobs what is not recorded there yet."""
        return self._transport.catch_up()

    def record_again(self) -> int:
        """Write all records beside the blobs anew."""
        return self._transport.record_again()

    def close(self) -> None:
        """Nothing of its own is open."""
