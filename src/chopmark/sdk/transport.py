"""The seam between the SDK and the system: one method to call ops, one store for bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol
from uuid import UUID

from chopmark.abc.blobs import BlobStore
from chopmark.abc.records import RecordStore
from chopmark.domain.audit import AuditEvent
from chopmark.ops.requests import Request

__all__ = ["DryRun", "Transport"]


class Transport(Protocol):
    """Where a registry's calls go.

    Attributes
    ----------
    store, records
        Bytes, and what is kept beside them.
    location
        For people: where the registry is.
    own
        Whether this is the caller's own registry (a laptop's), and not a shared server.
    """

    store: BlobStore
    location: str
    own: bool

    @property
    def records(self) -> RecordStore:
        """What is kept beside the bytes; `Unsupported` where that is out of reach."""
        ...

    def call(self, request: Request, *, key: str = "", dry_run: bool = False) -> Any:
        """Do the op that this request belongs to, once, and return its answer.

        A dry run gives the answer, or the refusal, of a real call, and changes nothing.
        """
        ...

    def on(self, event: str, listener: Callable[[AuditEvent], None]) -> Callable[[], None]:
        """Call a function after each event of that name; returns what ends it."""
        ...

    def count_load(self, version_id: UUID) -> None:
        """Count a load of a version; never raises, and writes some seconds later, many at once."""
        ...

    def flush(self) -> None:
        """Hand over the loads that were counted so far."""
        ...

    def catch_up(self) -> int:
        """Record beside the blobs what is not recorded there yet; how many events that were."""
        ...

    def record_again(self) -> int:
        """Write all records beside the blobs anew; how many events they tell of."""
        ...

    def close(self) -> None:
        """Give back connections."""
        ...


class DryRun:
    """A transport whose writes are undone as soon as they are answered.

    Parameters
    ----------
    transport
        The real one; it stays open when this one is closed.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.store = transport.store
        self.location = transport.location
        self.own = transport.own

    @property
    def records(self) -> RecordStore:
        """Those of the real one."""
        return self._transport.records

    def call(self, request: Request, *, key: str = "", dry_run: bool = True) -> Any:  # noqa: ARG002
        """Rehearse the op that this request belongs to."""
        return self._transport.call(request, dry_run=True)

    def on(self, event: str, listener: Callable[[AuditEvent], None]) -> Callable[[], None]:
        """Nothing happens here that a listener could hear; it is told of real changes."""
        return self._transport.on(event, listener)

    def count_load(self, version_id: UUID) -> None:
        """A rehearsal counts nothing."""

    def flush(self) -> None:
        """Nothing waits."""

    def catch_up(self) -> int:
        """A rehearsal leaves nothing to record."""
        return 0

    def record_again(self) -> int:
        """A rehearsal leaves the records as they are."""
        return 0

    def close(self) -> None:
        """Nothing of its own is open."""
