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
from chopmark.abc.notify import Post
from chopmark.abc.records import RecordStore
from chopmark.app.context import Context, Outside
from chopmark.app.preconditions import Precondition, precondition, reading_of, take_turn
from chopmark.base.clock import Clock, to_us
from chopmark.base.digest import digest_of
from chopmark.base.jsons import canonical, converted, decode, encode, explained, unwrapped
from chopmark.domain.access import EVERYWHERE, Actor, check_permission
from chopmark.domain.audit import AuditEvent
from chopmark.domain.names import check_text
from chopmark.errors import Conflict, InvalidRequest, ListenerFailed, NotFound
from chopmark.ops.event_names import check_event, hearers
from chopmark.ops.http import time_fields
from chopmark.ops.requests import Request
from chopmark.ops.subjects import ANY, subject_of
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


class _Call(NamedTuple):
    """One call of an op that writes."""

    op: Op
    handler: Handler
    request: Request
    actor: Actor
    key: str
    condition: Precondition
    is_hidden: bool


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
    post
        What reaches others.
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
        post: Post,
    ) -> None:
        self.catalog = catalog
        self.store = store
        self.records = records
        self.handlers = handlers
        self.clock = clock
        self.new_id = new_id
        self.post = post
        self._listeners: defaultdict[str, list[Listener]] = defaultdict(list)

    def __call__(
        self,
        name: str,
        request: Request,
        actor: Actor,
        *,
        key: str = "",
        dry_run: bool = False,
        expected: str = "",
        absent: bool = False,
    ) -> Any:
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
            give, but for a secret that is given once; and nothing has changed.
        expected
            Entity tags (`chopmark.ops.http.etag_of`, several with commas between) of what is to be changed, as its
            verb of reading answers it, or ``*`` for whatever it is; empty when it may have changed.
        absent
            Whether it is only made, and not changed when it is there.

        Raises
        ------
        PreconditionFailed
            When what is to be changed has another tag by now, or what is only to be made is there.
        ChopmarkError
            When it is refused; nothing has changed then.
        """
        op = OPS[name]
        request = _validated(op, request)
        is_hidden = _check_may(actor, op, request)
        handler = self.handlers[name]
        if not op.writes:
            prepared = self._prepared(handler, request, actor)
            with self.catalog.reading() as tx:
                ctx = self._context(tx, op, actor)
                ctx.prepared = prepared
                return handler.run(ctx, request)
        check_text(key, "idempotency key", IDEMPOTENCY_KEY_LENGTH_MAX)
        call = _Call(op, handler, request, actor, key, precondition(op, expected, absent=absent), is_hidden)
        if dry_run:
            return self._rehearsed(call)
        for _ in range(RACES_MAX):
            try:
                return self._written(call)
            except Taken:
                continue  # somebody was quicker: begin anew and see what they wrote
        return self._written(call)

    def at_once(self, name: str, request: Request, actor: Actor) -> Any:
        """Do an op whose row says that it reads a few rows, if nothing need be waited for; None when something must be.

        Raises
        ------
        ChopmarkError
            When it is refused.
        """
        op = OPS[name]
        block = self.catalog.reading_now() if op.at_once else None
        if block is None:
            return None
        with block as tx:
            request = _validated(op, request)
            _check_may(actor, op, request)
            return self.handlers[name].run(self._context(tx, op, actor), request)

    def _prepared(self, handler: Handler, request: Request, actor: Actor, *, is_rehearsal: bool = False) -> Any:
        if handler.before is None:
            return None
        outside = Outside(self.catalog, self.store, self.records, self.clock(), is_rehearsal, actor, self.post)
        return handler.before(outside, request)

    def on(self, event: str, listener: Listener) -> Callable[[], None]:
        """Call a function after each event of that name, in the same process.

        Parameters
        ----------
        event
            A name, or a pattern: ``version.*``; ``*`` for all.
        listener
            What is called.

        Returns
        -------
        callable
            Ends it.

        Raises
        ------
        InvalidRequest
            When no event is called so.
        """
        self._listeners[check_event(event)].append(listener)
        return lambda: self._listeners[event].remove(listener)

    def _context(self, tx: Transaction, op: Op, actor: Actor) -> Context:
        return Context(tx, self.store, self.records, actor, self.clock(), self.new_id, op, self.post)

    def _rehearsed(self, call: _Call) -> Any:
        answers: list[Any] = []
        prepared = self._prepared(call.handler, call.request, call.actor, is_rehearsal=True)
        with suppress(_Undo), self.catalog.writing() as tx:
            ctx = self._context(tx, call.op, call.actor)
            ctx.prepared, ctx.is_rehearsal = prepared, True
            self._check_precondition(tx, call)
            answers.append(_run(call, ctx))
            raise _Undo
        return _without_secret(call.op, answers[0])  # which would be good for nothing

    def _written(self, call: _Call) -> Any:
        prepared = self._prepared(call.handler, call.request, call.actor)
        with self.catalog.writing() as tx:
            answer, events = self._write(tx, call, prepared)
        self._tell(events)
        return answer

    def _write(self, tx: Transaction, call: _Call, prepared: Any) -> tuple[Any, list[AuditEvent]]:
        digest = ""
        if call.key:
            digest = digest_of(canonical([call.op.name, call.request]))
            stored = tx.idempotency.get(call.actor.name, call.key)
            if stored is not None:
                return _first_answer(call.op, stored, digest, call.key), []
        ctx = self._context(tx, call.op, call.actor)
        ctx.prepared = prepared
        self._check_precondition(tx, call)
        answer = _run(call, ctx)
        if call.key:
            stored = StoredAnswer(digest, msgspec.json.encode(_without_secret(call.op, answer)), ctx.now)
            tx.idempotency.put(call.actor.name, call.key, call.op.name, stored)
        return answer, [_recorded(tx, event) for event in ctx.events]

    def _check_precondition(self, tx: Transaction, call: _Call) -> None:
        """Wait for others who change the same, and refuse what the caller's precondition forbids."""
        take_turn(tx, call.op, call.request)
        if not call.condition.is_said:
            return
        reading, request = reading_of(call.op, call.request)

        def read() -> Any:
            return self.handlers[reading.name].run(self._context(tx, reading, call.actor), request)

        call.condition.check(tx, call.request, read, may_be_gone=call.op.method == "PUT" and not call.is_hidden)

    def _tell(self, events: list[AuditEvent]) -> None:
        for event in events:
            for listener in hearers(self._listeners, event.event):
                try:
                    listener(event)
                except Exception as error:  # noqa: BLE001 - a listener's fault must not look like the op's
                    warnings.warn(
                        f"A handler of {event.event} raised {type(error).__name__}: {error}",
                        ListenerFailed,
                        stacklevel=2,
                    )


def _check_may(actor: Actor, op: Op, request: Request) -> bool:
    """Refuse what the actor may not do; whether the request is about a project that they may not see.

    What is hidden is then looked for in vain by the handler, whose words are those about what is not there.
    """
    check_permission(actor, op.permission, op.name)
    if actor.grants is None:
        return False
    project = subject_of(op, request)
    if project in (ANY, EVERYWHERE) or actor.sees(project):
        check_permission(actor, op.permission, op.name, project)
        return False
    return True


def _run(call: _Call, ctx: Context) -> Any:
    answer = call.handler.run(ctx, call.request)
    if call.is_hidden:  # no handler comes so far; the transaction ends with nothing done
        raise NotFound("There is nothing of that name.")
    return answer


def _without_secret(op: Op, answer: Any) -> Any:
    return msgspec.structs.replace(answer, **{op.once: ""}) if op.once else answer


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
    for name in time_fields(op.request):
        time = getattr(checked, name)
        if time is not None:
            to_us(time)  # refuses a time without zone
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
