"""The seam between the SDK and the system: one method to call ops, one store for bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from chopmark.abc.blobs import BlobStore
from chopmark.domain.audit import AuditEvent
from chopmark.ops.requests import Request

__all__ = ["Transport"]


class Transport(Protocol):
    """Where a registry's calls go.

    Attributes
    ----------
    store
        Bytes.
    location
        For people: where the registry is.
    own
        Whether this is the caller's own registry (a laptop's), and not a shared server.
    """

    store: BlobStore
    location: str
    own: bool

    def call(self, request: Request, *, key: str = "") -> Any:
        """Do the op that this request belongs to, once, and return its answer."""
        ...

    def on(self, event: str, listener: Callable[[AuditEvent], None]) -> Callable[[], None]:
        """Call a function after each event of that name; returns what ends it."""
        ...

    def close(self) -> None:
        """Give back connections."""
        ...
