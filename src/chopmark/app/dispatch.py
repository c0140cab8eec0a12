"""The one door: authorise, idempotency, handler, audit event and outbox row, in one transaction."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from chopmark.abc.blobs import BlobStore
from chopmark.abc.catalog import Catalog, StoredAnswer, Taken, Transaction
from chopmark.abc.records import RecordStore
from chopmark.app.context import Context, Outside
from chopmark.base.clock import Clock
from chopmark.base.digest import digest_of
from chopmark.base.jsons import canonical, converted, decode, encode, explained, unwrapped
from chopmark.domain.access import Actor, check_permission
from chopmark.domain.audit import AuditEvent
from chopmark.domain.names import check_text
from chopmark.errors import Conflict, InvalidRequest, ListenerFailed
from chopmark.ops.requests import Request
from chopmark.ops.table import OPS, Op

__all__ = ["Dispatch", "Handler", "Listener"]

Listener = Callable[[AuditEvent], None]

IDEMPOTENCY_KEY_LENGTH_MAX = 200
REASON_LENGTH_MAX = 5_000
REQUEST_BYTES_MAX = 64 * 1024 * 1024  # a manifest of 100,000 files takes some 20 MB
# Not turned into texts on the way: bytes for a text are a mistake, and times stay times.
_KEPT_TYPES = (bytes, bytearray, memoryview, Decimal, date, datetime)
RACES_MAX = 10


class Handler(NamedTuple):
    """What an op does: ``before`` asks the store, outside the transaction; ``run`` does the rest.

    What ``before`` returns, ``run`` finds as ``Context.prepared``. When somebody was quicker, both are called again.
    """

    run: Callable[[Context, Any], Any]
    before: Callable[[Outside, Any], Any] | None = None


class Dispatch:
    """Calls ops.

    Parameters
    ----------
    catalog, store, records
        Rows, bytes, and what is kept beside the bytes to make the rows again.
    handlers
        Op name → handler.
    clock, new_id
        Where time and ids come from.
    """

    def __init__(
        self,
        catalog: Catalog,
        store: BlobStore,
        records: RecordStore,
        handlers: Mapping[str, Handler],
        *,
        clock: Clock,
        new_id: Callable[[datetime], UUID],
    ) -> None:
        self.catalog = catalog
        self.store = store
        self.records = records
        self.handlers = handlers
        self.clock = clock
        self.new_id = new_id
        self._listeners: defaultdict[str, list[Listener]] = defaultdict(list)

    def __call__(self, name: str, request: Request, actor: Actor, *, key: str = "", dry_run: bool = False) -> Any:
        """Do one op.

        Parameters
        ----------
        name
            Of the op.
        request
            Of the op's request type.
        actor
            Who asks.
        key
            Idempotency key: a second call with the same key and request gets the first answer.
        dry_run
            Do everything and then undo it: the answer, or the refusal, is what a real call would
            give, and nothing has changed.

        Raises
        ------
        ChopmarkError
            When it is refused; nothing has changed then.
        """
        op = OPS[name]
        request = _validated(op, request)
        check_permission(actor, op.permission, op.name)
        handler = self.handlers[name]
        if not op.writes:
            prepared = self._prepared(handler, request)
            with self.catalog.reading() as tx:
                ctx = self._context(tx, op, actor)
                ctx.prepared = prepared
                return handler.run(ctx, request)
        if dry_run:
            return self._rehearsed(op, handler, request, actor)
        for _ in range(RACES_MAX):
            try:
                return self._written(op, handler, request, actor, key)
            except Taken:
                continue  # somebody was quicker: begin anew and see what they wrote
        return self._written(op, handler, request, actor, key)

    def _prepared(self, handler: Handler, request: Request, *, is_rehearsal: bool = False) -> Any:
        if handler.before is None:
            return None
        return handler.before(Outside(self.catalog, self.store, self.records, self.clock(), is_rehearsal), request)

    def on(self, event: str, listener: Listener) -> Callable[[], None]:
        """Call a function after each event of that name (``*`` for all), in the same process.

        Returns
        -------
        callable
            Ends it.
        """
        self._listeners[event].append(listener)
        return lambda: self._listeners[event].remove(listener)

    def _context(self, tx: Transaction, op: Op, actor: Actor) -> Context:
        return Context(tx, self.store, self.records, actor, self.clock(), self.new_id, op.event or "")

    def _rehearsed(self, op: Op, handler: Handler, request: Request, actor: Actor) -> Any:
        answers: list[Any] = []
        prepared = self._prepared(handler, request, is_rehearsal=True)
        with suppress(_Undo), self.catalog.writing() as tx:
            ctx = self._context(tx, op, actor)
            ctx.prepared, ctx.is_rehearsal = prepared, True
            answers.append(handler.run(ctx, request))
            raise _Undo
        return answers[0]

    def _written(self, op: Op, handler: Handler, request: Request, actor: Actor, key: str) -> Any:
        prepared = self._prepared(handler, request)
        with self.catalog.writing() as tx:
            answer, events = self._write(tx, op, handler, request, actor, key, prepared)
        self._tell(events)
        return answer

    def _write(
        self, tx: Transaction, op: Op, handler: Handler, request: Request, actor: Actor, key: str, prepared: Any
    ) -> tuple[Any, list[AuditEvent]]:
        digest = ""
        if key:
            check_text(key, "idempotency key", IDEMPOTENCY_KEY_LENGTH_MAX)
            digest = digest_of(canonical([op.name, request]))
            stored = tx.idempotency.get(actor.name, key)
            if stored is not None:
                return _first_answer(op, stored, digest, key), []
        ctx = self._context(tx, op, actor)
        ctx.prepared = prepared
        answer = handler.run(ctx, request)
        if key:
            tx.idempotency.put(actor.name, key, op.name, StoredAnswer(digest, msgspec.json.encode(answer), ctx.now))
        return answer, [_recorded(tx, event) for event in ctx.events]

    def _tell(self, events: list[AuditEvent]) -> None:
        for event in events:
            for listener in [*self._listeners[event.event], *self._listeners["*"]]:
                try:
                    listener(event)
                except Exception as error:  # noqa: BLE001 - a listener's fault must not look like the op's
                    warnings.warn(
                        f"A handler of {event.event} raised {type(error).__name__}: {error}",
                        ListenerFailed,
                        stacklevel=2,
                    )


class _Undo(Exception):
    """Ends a rehearsal."""


def _validated(op: Op, request: Request) -> Request:
    """The request with every field of its declared type: Python callers are not held to types."""
    try:
        plain = msgspec.to_builtins(request, builtin_types=_KEPT_TYPES, enc_hook=unwrapped)
        checked = converted(plain, op.request, kept=_KEPT_TYPES)
        size_bytes = len(encode(checked))
    except (msgspec.ValidationError, TypeError, RecursionError, UnicodeEncodeError) as error:
        msg = f"The request of {op.name} is not valid: {explained(error, op.request)}."
        raise InvalidRequest(msg) from error
    if size_bytes > REQUEST_BYTES_MAX:
        msg = f"The request of {op.name} takes {size_bytes:,} bytes; the limit is {REQUEST_BYTES_MAX:,}."
        raise InvalidRequest(msg, hint="Store large things as artifacts.")
    check_text(getattr(checked, "reason", ""), "reason", REASON_LENGTH_MAX)
    return checked


def _recorded(tx: Transaction, event: AuditEvent) -> AuditEvent:
    written = tx.audit.append(event)
    tx.outbox.add(written)
    return written


def _first_answer(op: Op, stored: StoredAnswer, digest: str, key: str) -> Any:
    if stored.request_digest != digest:
        msg = f"The idempotency key {key!r} was used for another request."
        raise Conflict(msg, hint="Use a new key for a new request.")
    return decode(stored.answer, op.result)
