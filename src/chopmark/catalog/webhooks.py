"""Webhooks and deliveries in SQL."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, Select, and_, bindparam, delete, exists, literal_column, null, or_, select, update

from chopmark.abc.webhooks import Candidates, DeliveryList, WebhookList
from chopmark.base.clock import from_us, to_us
from chopmark.base.jsons import decoder
from chopmark.catalog.damage import row_of
from chopmark.catalog.execution import Compiler, Executor, Prepared
from chopmark.catalog.records import json_text
from chopmark.catalog.sight import in_sight, places_of, seen_values
from chopmark.domain.deliveries import (
    BELIEVED_S,
    OPEN_DELIVERIES,
    Attempt,
    Candidate,
    Delivery,
    DeliveryState,
    message_id,
)
from chopmark.domain.receivers import Webhook

__all__ = ["SqlDeliveries", "SqlWebhooks", "WebhookStatements"]

_NOTHING = b""  # before every id
_SEQ_MAX = 2**62
_AT_ONCE_US = 0


class _Body(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What is said of a webhook and never asked by, as one JSON text in its row."""

    url: str
    events: tuple[str, ...] = ()
    model: str = ""
    to: tuple[str, ...] = ()
    sender: str = ""
    username: str = ""
    description: str = ""
    why: str = ""


_read_body = decoder(_Body)
_read_attempts = decoder(tuple[Attempt, ...])
_SAID = ("state", "body", "updated_us")
_MOVED = ("state", "attempt", "due_us", "attempts", "ended_us")


class WebhookStatements:
    """Statements on webhooks and deliveries, compiled when first used."""

    def __init__(self, compiler: Compiler) -> None:
        self.compiler = compiler
        self.tables = compiler.tables

    @cached_property
    def get(self) -> Prepared:
        """By ``uid``."""
        return self.compiler(self._webhooks().where(self.tables.webhooks.c.uid == bindparam("uid")))

    @cached_property
    def sealed(self) -> Prepared:
        """By ``uid``."""
        c = self.tables.webhooks.c
        return self.compiler(select(c.sealed).where(c.uid == bindparam("uid")))

    def list(self, *, in_project: bool, places: int) -> Prepared:
        """After ``after`` by id, of ``project``, or of those in sight."""
        return self.compiler.shaped(("webhooks", in_project, places), lambda: self._page(in_project, places))

    @cached_property
    def add(self) -> Prepared:
        """All columns."""
        return self.compiler(self.compiler.insert(self.tables.webhooks))

    @cached_property
    def put(self) -> Prepared:
        """What people say of ``webhook``."""
        w = self.tables.webhooks
        said: dict[str, Any] = {name: bindparam(f"new_{name}") for name in _SAID}
        # Who has it switched on again does not wait for a hold of before.
        cleared = {"held_us": null(), "failures": literal_column("0")}
        return self.compiler(update(w).where(w.c.uid == bindparam("webhook")).values(**said, **cleared))

    @cached_property
    def hide(self) -> Prepared:
        """What is hidden of ``webhook``."""
        w = self.tables.webhooks
        return self.compiler(update(w).where(w.c.uid == bindparam("webhook")).values(sealed=bindparam("new_sealed")))

    @cached_property
    def remove(self) -> Prepared:
        """By ``uid``, with its deliveries."""
        w = self.tables.webhooks
        return self.compiler(delete(w).where(w.c.uid == bindparam("uid")))

    @cached_property
    def waiting(self) -> Prepared:
        """Those to which something may be sent at ``now``."""
        return self.compiler(self._waiting())

    @cached_property
    def claim(self) -> Prepared:
        """Take ``webhook`` when its fence is ``held``."""
        w = self.tables.webhooks
        mine = and_(w.c.uid == bindparam("webhook"), w.c.fence == bindparam("held"), w.c.state == "active")
        taken = {"fence": w.c.fence + 1, "worker": bindparam("taker"), "lease_us": bindparam("until")}
        return self.compiler(update(w).where(mine).values(**taken, served_us=bindparam("until")))

    @cached_property
    def note(self) -> Prepared:
        """How sending to ``webhook`` stands, when its fence is ``held``."""
        w = self.tables.webhooks
        mine = and_(w.c.uid == bindparam("webhook"), w.c.fence == bindparam("held"))
        values: dict[str, Any] = {
            "lease_us": bindparam("until"),
            "failures": bindparam("failed"),
            "held_us": bindparam("pause"),
        }
        return self.compiler(update(w).where(mine).values(**values))

    @cached_property
    def delivery_add(self) -> Prepared:
        """Nothing when it is there."""
        d, w = self.tables.deliveries, self.tables.webhooks
        statement = self.compiler.insert_for(d, w.c.uid == bindparam("webhook"), webhook_key=w.c.key)
        return self.compiler(statement.on_conflict_do_nothing())

    @cached_property
    def delivery_get(self) -> Prepared:
        """By ``webhook`` and ``seq``."""
        return self.compiler(self._deliveries().where(self._seq_is()))

    def delivery_list(self, *, of_state: bool) -> Prepared:
        """Of ``webhook``, before ``before``, newest first, in ``state``."""
        return self.compiler.shaped(("deliveries", of_state), lambda: self._delivery_page(of_state))

    @cached_property
    def due(self) -> Prepared:
        """Of ``webhook`` in ``state``, due at ``now``."""
        d, w = self.tables.deliveries.c, self.tables.webhooks.c
        found = self._deliveries().where(
            w.uid == bindparam("webhook"), d.state == bindparam("state"), d.due_us <= bindparam("now")
        )
        return self.compiler(found.order_by(d.due_us, d.seq).limit(bindparam("limit")))

    @cached_property
    def settle(self) -> Prepared:
        """What became of one, when its state ``was`` and its attempt is ``tried``."""
        d, w = self.tables.deliveries, self.tables.webhooks
        same = and_(
            d.c.webhook_key == select(w.c.key).where(w.c.uid == bindparam("webhook")).scalar_subquery(),
            d.c.seq == bindparam("number"),
            d.c.state == bindparam("was"),
            d.c.attempt == bindparam("tried"),
        )
        return self.compiler(update(d).where(same).values({name: bindparam(f"new_{name}") for name in _MOVED}))

    @cached_property
    def trim(self) -> Prepared:
        """Up to ``limit`` that were made before ``before``."""
        d = self.tables.deliveries
        old = select(d.c.key).where(d.c.created_us < bindparam("before")).limit(bindparam("limit"))
        return self.compiler(delete(d).where(d.c.key.in_(old)))

    def _webhooks(self) -> Select[Any]:
        c = self.tables.webhooks.c
        return select(
            c.uid, c.project, c.kind, c.state, c.body, c.after_seq, c.created_us, c.created_by, c.updated_us,
            c.failures, c.held_us,
        )  # fmt: skip

    def _page(self, in_project: bool, places: int) -> Select[Any]:
        c = self.tables.webhooks.c
        page = self._webhooks().where(c.uid > bindparam("after")).order_by(c.uid).limit(bindparam("limit"))
        if in_project:
            page = page.where(c.project == bindparam("project"))
        return page.where(in_sight(c.project, places)) if places else page

    def _waiting(self) -> Select[Any]:
        w, d = self.tables.webhooks.c, self.tables.deliveries.c
        of_it = d.webhook_key == w.key
        # Two questions, each of which the index answers by one step.
        due = [exists().where(of_it, d.state == state, d.due_us <= bindparam("now")) for state in OPEN_DELIVERIES]
        found = select(w.uid, w.failures, w.fence).where(
            w.state == "active",
            self._is_over(w.lease_us),
            self._is_over(w.held_us),
            or_(*due),
        )
        return found.order_by(w.served_us, w.key).limit(bindparam("limit"))

    def _is_over(self, time: ColumnElement[Any]) -> ColumnElement[bool]:
        return or_(time.is_(None), time <= bindparam("now"), time > bindparam("believed"))

    def _deliveries(self) -> Select[Any]:
        d, w = self.tables.deliveries, self.tables.webhooks
        c = d.c
        return select(
            w.c.uid, c.seq, c.event, c.target, c.state, c.attempt, c.due_us, c.attempts, c.created_us, c.ended_us
        ).select_from(d.join(w, w.c.key == c.webhook_key))

    def _seq_is(self) -> ColumnElement[bool]:
        d, w = self.tables.deliveries.c, self.tables.webhooks.c
        return and_(w.uid == bindparam("webhook"), d.seq == bindparam("number"))

    def _delivery_page(self, of_state: bool) -> Select[Any]:
        d, w = self.tables.deliveries.c, self.tables.webhooks.c
        page = self._deliveries().where(w.uid == bindparam("webhook"), d.seq < bindparam("before"))
        if of_state:
            page = page.where(d.state == bindparam("state"))
        return page.order_by(d.seq.desc()).limit(bindparam("limit"))


class SqlWebhooks:
    """`chopmark.abc.webhooks.Webhooks`."""

    __slots__ = ("_run", "_sql")

    def __init__(self, run: Executor, statements: WebhookStatements) -> None:
        self._run = run
        self._sql = statements

    def get(self, webhook_id: UUID) -> Webhook | None:
        """See the interface."""
        row = self._run.one(self._sql.get, {"uid": webhook_id.bytes})
        return None if row is None else _webhook(row)

    def sealed(self, webhook_id: UUID) -> str | None:
        """See the interface."""
        row = self._run.one(self._sql.sealed, {"uid": webhook_id.bytes})
        return None if row is None else _text(row)

    def list(
        self,
        *,
        project: str | None = None,
        among: Collection[str] | None = None,
        after: UUID | None = None,
        limit: int,
    ) -> WebhookList:
        """See the interface."""
        values: dict[str, Any] = {"after": after.bytes if after else _NOTHING, "limit": limit, **seen_values(among)}
        if project is not None:
            values["project"] = project
        prepared = self._sql.list(in_project=project is not None, places=places_of(among))
        return [_webhook(row) for row in self._run.all(prepared, values)]

    def add(self, webhook: Webhook, sealed: str) -> None:
        """See the interface."""
        values = {
            "uid": webhook.id.bytes,
            "project": webhook.project,
            "kind": webhook.kind,
            "state": webhook.state,
            "body": _body_text(webhook),
            "sealed": sealed,
            "after_seq": webhook.after_seq,
            "created_us": to_us(webhook.created_at),
            "created_by": webhook.created_by,
            "updated_us": to_us(webhook.updated_at),
            "failures": webhook.failures,
            "held_us": _us(webhook.held_until),
            "fence": 0,
            "worker": "",
            "lease_us": None,
            "served_us": 0,
        }
        self._run.change(self._sql.add, values)

    def put(self, webhook: Webhook) -> bool:
        """See the interface."""
        values = {
            "webhook": webhook.id.bytes,
            "new_state": webhook.state,
            "new_body": _body_text(webhook),
            "new_updated_us": to_us(webhook.updated_at),
        }
        return self._run.change(self._sql.put, values) > 0

    def hide(self, webhook_id: UUID, sealed: str) -> bool:
        """See the interface."""
        return self._run.change(self._sql.hide, {"webhook": webhook_id.bytes, "new_sealed": sealed}) > 0

    def remove(self, webhook_id: UUID) -> bool:
        """See the interface."""
        return self._run.change(self._sql.remove, {"uid": webhook_id.bytes}) > 0

    def waiting(self, now: datetime, *, limit: int) -> Candidates:
        """See the interface."""
        values = {
            "now": to_us(now),
            "believed": to_us(now + timedelta(seconds=BELIEVED_S)),
            "limit": limit,
        }
        return [_candidate(row) for row in self._run.all(self._sql.waiting, values)]

    def claim(self, candidate: Candidate, worker: str, until: datetime) -> bool:
        """See the interface."""
        values = {
            "webhook": candidate.webhook.bytes,
            "held": candidate.fence,
            "taker": worker,
            "until": to_us(until),
        }
        return self._run.change(self._sql.claim, values) > 0

    def note(
        self, webhook_id: UUID, fence: int, *, until: datetime | None, failures: int, held_until: datetime | None
    ) -> bool:
        """See the interface."""
        values = {
            "webhook": webhook_id.bytes,
            "held": fence,
            "until": _us(until),
            "failed": failures,
            "pause": _us(held_until),
        }
        return self._run.change(self._sql.note, values) > 0


class SqlDeliveries:
    """`chopmark.abc.webhooks.Deliveries`."""

    __slots__ = ("_run", "_sql")

    def __init__(self, run: Executor, statements: WebhookStatements) -> None:
        self._run = run
        self._sql = statements

    def add(self, deliveries: Iterable[Delivery]) -> None:
        """See the interface."""
        # in one order everywhere, so that two workers that queue the same do not wait for each other crosswise
        ordered = sorted(deliveries, key=lambda each: (each.webhook, each.seq))
        self._run.change_each(self._sql.delivery_add, ({"webhook": d.webhook.bytes, **_row(d)} for d in ordered))

    def get(self, webhook_id: UUID, seq: int) -> Delivery | None:
        """See the interface."""
        row = self._run.one(self._sql.delivery_get, {"webhook": webhook_id.bytes, "number": seq})
        return None if row is None else _delivery(row)

    def list(
        self,
        webhook_id: UUID,
        *,
        state: DeliveryState | None = None,
        before_seq: int | None = None,
        limit: int,
    ) -> DeliveryList:
        """See the interface."""
        before = _SEQ_MAX if before_seq is None else before_seq
        values: dict[str, Any] = {"webhook": webhook_id.bytes, "before": before, "limit": limit}
        if state is not None:
            values["state"] = state
        prepared = self._sql.delivery_list(of_state=state is not None)
        return [_delivery(row) for row in self._run.all(prepared, values)]

    def due(self, webhook_id: UUID, state: DeliveryState, now: datetime, *, limit: int) -> DeliveryList:
        """See the interface."""
        values = {"webhook": webhook_id.bytes, "state": state, "now": to_us(now), "limit": limit}
        return [_delivery(row) for row in self._run.all(self._sql.due, values)]

    def settle(self, delivery: Delivery, seen: Delivery) -> bool:
        """See the interface."""
        row = _row(delivery)
        values = {"webhook": seen.webhook.bytes, "number": seen.seq, "was": seen.state, "tried": seen.attempt}
        return self._run.change(self._sql.settle, {**values, **{f"new_{name}": row[name] for name in _MOVED}}) > 0

    def remove(self, before: datetime, *, limit: int) -> int:
        """See the interface."""
        return self._run.change(self._sql.trim, {"before": to_us(before), "limit": limit})


def _us(time: datetime | None) -> int | None:
    return None if time is None else to_us(time)


def _time(us: int | None) -> datetime | None:
    return None if us is None else from_us(us)


def _body_text(webhook: Webhook) -> str:
    return json_text(_Body(**{name: getattr(webhook, name) for name in _Body.__struct_fields__}))


def _row(delivery: Delivery) -> dict[str, Any]:
    due_us = _us(delivery.due_at)
    return {
        "seq": delivery.seq,
        "event": delivery.event,
        "target": delivery.target,
        "state": delivery.state,
        "attempt": delivery.attempt,
        "due_us": _AT_ONCE_US if delivery.state == "queued" else due_us,
        "attempts": json_text(delivery.attempts),
        "created_us": to_us(delivery.created_at),
        "ended_us": _us(delivery.ended_at),
    }


@row_of("what is hidden of a webhook", "s")
def _text(row: tuple[Any, ...]) -> str:
    text: str = row[0]
    return text


@row_of("a webhook", "bii")
def _candidate(row: tuple[Any, ...]) -> Candidate:
    uid, failures, fence = row
    return Candidate(UUID(bytes=uid), failures, fence)


@row_of("a webhook", "bssssiisiiI")
def _webhook(row: tuple[Any, ...]) -> Webhook:
    uid, project, kind, state, body, after_seq, created_us, created_by, updated_us, failures, held_us = row
    return Webhook(
        id=UUID(bytes=uid),
        project=project,
        kind=kind,
        state=state,
        after_seq=after_seq,
        created_at=from_us(created_us),
        created_by=created_by,
        updated_at=from_us(updated_us),
        failures=failures,
        held_until=_time(held_us),
        **msgspec.structs.asdict(_read_body(body)),
    )


@row_of("a delivery", "bisssiIsiI")
def _delivery(row: tuple[Any, ...]) -> Delivery:
    uid, seq, event, target, state, attempt, due_us, attempts, created_us, ended_us = row
    webhook = UUID(bytes=uid)
    return Delivery(
        id=message_id(webhook, seq),
        webhook=webhook,
        seq=seq,
        event=event,
        target=target,
        state=state,
        attempt=attempt,
        due_at=_time(due_us) if state == "failed" else None,
        attempts=_read_attempts(attempts),
        created_at=from_us(created_us),
        ended_at=_time(ended_us),
    )
