"""A server's registry behind the interface of `chopmark.sdk.transport.Transport`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import date
from typing import Any
from uuid import UUID

from chopmark.abc.blobs import BlobStore
from chopmark.abc.records import RecordStore
from chopmark.base.calls import Caller
from chopmark.base.clock import Clock
from chopmark.base.ids import random_bytes
from chopmark.base.jsons import decode
from chopmark.base.tally import Tally
from chopmark.domain.audit import AuditEvent
from chopmark.errors import ChopmarkError, Unsupported
from chopmark.ops.http import PREFIX, check_reply, to_http
from chopmark.ops.requests import Request
from chopmark.ops.table import BY_REQUEST
from chopmark.ops.usage import DailyLoads, RecordUsage
from chopmark.remote.hearing import Hearing
from chopmark.remote.known import KnownAnswers
from chopmark.remote.offline import Remembering

__all__ = ["ServedTransport"]


class ServedTransport:
    """Calls ops on a server.

    A write carries an idempotency key, its own where the caller gives none, so that it can be sent again when an answer is
    lost on the way: the server answers what it answered first.

    Parameters
    ----------
    caller
        The server.
    store
        Its blobs.
    clock
        Where the time comes from.
    tell_loads_wait
        Is told, once, when counts of loads cannot be handed over for now.
    known
        What the server said before, for when it does not answer; None: it is not made up for.
    """

    own = False

    def __init__(
        self,
        caller: Caller,
        store: BlobStore,
        *,
        clock: Clock,
        tell_loads_wait: Callable[[ChopmarkError], None],
        known: KnownAnswers | None = None,
    ) -> None:
        self._caller = caller
        self._clock = clock
        self.store = store
        self.location = caller.url
        self._closed = threading.Event()
        self._hearing = Hearing(caller)
        self._remembering = Remembering(known, caller.url) if known is not None else None
        self._loads: Tally[tuple[UUID, date]] = Tally(self._record_loads, tell_loads_wait)

    @property
    def records(self) -> RecordStore:
        """They are the server's."""
        msg = f"What is kept beside the blobs of {self.location} is not reached over HTTP."
        raise Unsupported(msg, hint="Do it where the server runs.")

    def call(self, request: Request, *, key: str = "", dry_run: bool = False) -> Any:
        """Do the op that this request belongs to; of what a load asks, the last answer when there is none now."""
        if self._remembering is None or dry_run:
            return self._ask(request, key, dry_run=dry_run)
        return self._remembering.asked(request, lambda patient: self._ask(request, key, patient=patient))

    def _ask(
        self, request: Request, key: str, *, dry_run: bool = False, patient: Callable[[], bool] = lambda: True
    ) -> Any:
        op = BY_REQUEST[type(request)]
        sent = to_http(op, request)
        headers = {"content-type": "application/json"} if sent.body else {}
        if op.writes and not dry_run:
            headers["idempotency-key"] = key or random_bytes(16).hex()
        query = (*sent.query, ("dry_run", "true")) if dry_run else sent.query
        reply = self._caller.call(
            sent.method, PREFIX + sent.path, query=query, body=sent.body, headers=headers, patient=patient
        )
        check_reply(reply.status, reply.body, self.location)
        return decode(reply.body, op.result)

    def on(self, event: str, listener: Callable[[AuditEvent], None]) -> Callable[[], None]:
        """Call a function after each event of that name, from a thread of its own, whoever made the change."""
        return self._hearing.on(event, listener)

    def count_load(self, version_id: UUID) -> None:
        """Count a load of a version, today; handed over some seconds later, with others."""
        self._loads.add((version_id, self._clock().date()))

    def flush(self) -> None:
        """Hand over the loads that were counted so far."""
        self._loads.flush()

    def _record_loads(self, counts: Mapping[tuple[UUID, date], int]) -> None:
        loads = [DailyLoads(version=version, day=day, count=count) for (version, day), count in counts.items()]
        self._ask(
            RecordUsage(loads=tuple(loads)), "", patient=lambda: False
        )  # they can wait, and nobody should for them

    def catch_up(self) -> int:
        """The server records by itself."""
        return 0

    def record_again(self) -> int:
        """Only where the server runs."""
        return len(tuple(self.records.names()))

    def close(self) -> None:
        """Hand over what waits and close the connections, once."""
        if not self._closed.is_set():
            self._closed.set()
            with ExitStack() as rest:  # each, whatever becomes of those before it
                rest.callback(self._caller.close)
                rest.callback(self.store.close)
                rest.callback(self._hearing.close)
                self._loads.close()
