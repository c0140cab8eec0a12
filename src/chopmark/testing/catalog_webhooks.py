"""The part of the catalog's contract that is about webhooks, and events on their way to them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from msgspec import structs

from chopmark.abc.catalog import Catalog
from chopmark.base.ids import uuid7
from chopmark.domain.deliveries import Answer, Candidate, Delivery, attempted, message_id, replayed
from chopmark.domain.receivers import Webhook
from chopmark.errors import InvalidRequest

__all__ = ["DeliveryLaws", "WebhookLaws", "a_delivery", "a_webhook"]

NOON = datetime(2026, 3, 3, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def a_webhook(project: str = "risk", **rest: Any) -> Webhook:
    """A webhook that nothing was sent to yet."""
    fixed = {"url": "https://ci.example/hook", "created_at": NOON, "created_by": "ada", "updated_at": NOON}
    return Webhook(**{"id": uuid7(NOON), "project": project, **fixed, **rest})


def a_delivery(webhook: Webhook, seq: int, **rest: Any) -> Delivery:
    """A delivery that waits for its first attempt."""
    fixed = {"event": "version.promoted", "target": "risk/fraud:1", "created_at": NOON}
    return Delivery(**{"id": message_id(webhook.id, seq), "webhook": webhook.id, "seq": seq, **fixed, **rest})


def _waiting(catalog: Catalog, now: datetime) -> list[Candidate]:
    with catalog.reading() as tx:
        return tx.webhooks.waiting(now, limit=99)


class WebhookLaws:
    """A webhook is one worker's at a time, and who lost it changes nothing."""

    def test_a_webhook_comes_back_as_it_was(self, catalog: Catalog) -> None:
        """With every field, and what is hidden beside it."""
        webhook = a_webhook(
            kind="email", events=("version.*", "alias.set"), model="risk/fraud", to=("ada@example.com",), after_seq=7,
            sender="chopmark@example.com", username="x", description="Größe\n", state="paused", why="too loud",
        )  # fmt: skip
        with catalog.writing() as tx:
            tx.webhooks.add(webhook, "a1:sealed")
            assert tx.webhooks.get(webhook.id) == webhook
        with catalog.reading() as tx:
            assert tx.webhooks.get(webhook.id) == webhook
            assert tx.webhooks.sealed(webhook.id) == "a1:sealed"
            assert tx.webhooks.get(UUID(int=1)) is None
            assert tx.webhooks.sealed(UUID(int=1)) is None

    def test_webhooks_are_listed_by_id(self, catalog: Catalog) -> None:
        """Of one project, of those in sight, or all."""
        ids = [UUID(int=n) for n in (3, 1, 2, 4)]
        places = ["risk", "risk", "*", "other"]
        with catalog.writing() as tx:
            for each, project in zip(ids, places, strict=True):
                tx.webhooks.add(a_webhook(project, id=each), "")
        with catalog.reading() as tx:

            def listed(**options: Any) -> list[int]:
                return [w.id.int for w in tx.webhooks.list(**{"limit": 9, **options})]

            assert listed() == [1, 2, 3, 4]
            assert listed(after=UUID(int=1), limit=2) == [2, 3]
            assert listed(project="risk") == [1, 3]
            assert listed(among=["risk", "other"]) == [1, 3, 4]
            assert listed(project="*", among=["risk"]) == []

    def test_what_people_say_of_a_webhook_and_how_it_stands_do_not_mix(self, catalog: Catalog) -> None:
        """Neither overwrites the other, but a change by people ends a hold."""
        webhook = a_webhook()
        with catalog.writing() as tx:
            tx.webhooks.add(webhook, "one")
            tx.deliveries.add([a_delivery(webhook, 1)])
            (candidate,) = tx.webhooks.waiting(NOON, limit=9)
            assert tx.webhooks.claim(candidate, "w1", NOON + MINUTE)
            held = NOON + 2 * MINUTE
            assert tx.webhooks.note(webhook.id, 1, until=None, failures=4, held_until=held)
            assert tx.webhooks.get(webhook.id) == structs.replace(webhook, failures=4, held_until=held)
            changed = structs.replace(webhook, events=("model.*",), description="x", updated_at=NOON + MINUTE)
            assert tx.webhooks.put(changed)
            assert tx.webhooks.get(webhook.id) == changed
            assert tx.webhooks.hide(webhook.id, "two")
            assert tx.webhooks.sealed(webhook.id) == "two"
            assert not tx.webhooks.put(a_webhook())
            assert not tx.webhooks.hide(UUID(int=1), "two")

    def test_a_webhook_is_one_workers(self, catalog: Catalog) -> None:
        """Until its lease is over; then another's, and the first one writes nothing any more."""
        webhook = a_webhook()
        with catalog.writing() as tx:
            tx.webhooks.add(webhook, "")
            tx.deliveries.add([a_delivery(webhook, 1)])
        (candidate,) = _waiting(catalog, NOON)
        assert candidate == Candidate(webhook.id, 0, 0)
        with catalog.writing() as tx:
            assert tx.webhooks.claim(candidate, "w1", NOON + MINUTE)
            assert not tx.webhooks.claim(candidate, "w2", NOON + MINUTE)
        assert _waiting(catalog, NOON + 0.9 * MINUTE) == []
        (candidate,) = _waiting(catalog, NOON + MINUTE)
        assert candidate.fence == 1
        with catalog.writing() as tx:
            assert tx.webhooks.note(webhook.id, 1, until=NOON + 3 * MINUTE, failures=0, held_until=None)
        assert _waiting(catalog, NOON + 2 * MINUTE) == []
        with catalog.writing() as tx:
            assert tx.webhooks.claim(candidate, "w2", NOON + 4 * MINUTE)
            assert not tx.webhooks.note(webhook.id, 1, until=None, failures=9, held_until=None)
            assert tx.webhooks.note(webhook.id, 2, until=None, failures=1, held_until=None)
            assert not tx.webhooks.claim(Candidate(UUID(int=1), 0, 0), "w2", NOON)
        assert _waiting(catalog, NOON) == [Candidate(webhook.id, 1, 2)]

    def test_a_clock_that_was_set_back_holds_nobody_up(self, catalog: Catalog) -> None:
        """A lease or hold that ends later than any can is none; one a moment ahead of a clock that lags is one."""
        webhook = a_webhook()
        with catalog.writing() as tx:
            tx.webhooks.add(webhook, "")
            tx.deliveries.add([a_delivery(webhook, 1)])
        (candidate,) = _waiting(catalog, NOON)
        with catalog.writing() as tx:
            assert tx.webhooks.claim(candidate, "w1", NOON + MINUTE)
        for lag in (timedelta(0), timedelta(milliseconds=1), timedelta(minutes=5)):
            assert _waiting(catalog, NOON - lag) == []
        hour = timedelta(hours=1)
        assert len(_waiting(catalog, NOON - hour)) == 1
        with catalog.writing() as tx:
            assert tx.webhooks.note(webhook.id, 1, until=None, failures=3, held_until=NOON + 5 * MINUTE)
        assert _waiting(catalog, NOON) == []
        assert len(_waiting(catalog, NOON - hour)) == 1

    def test_only_active_webhooks_with_something_due_wait(self, catalog: Catalog) -> None:
        """Who was served longest ago comes first."""
        webhooks = [a_webhook() for _ in range(5)]
        idle, paused, first, second, failing = webhooks
        with catalog.writing() as tx:
            for each in webhooks:
                tx.webhooks.add(each, "")
            tx.deliveries.add(a_delivery(each, 1) for each in (paused, first, second))
            tx.webhooks.put(structs.replace(paused, state="paused"))
            failed = attempted(a_delivery(failing, 1), Answer(status=500), NOON, 1.0)
            tx.deliveries.add([failed])
        assert failed.due_at == NOON + timedelta(seconds=5)
        assert {c.webhook for c in _waiting(catalog, NOON)} == {first.id, second.id}
        assert {c.webhook for c in _waiting(catalog, failed.due_at)} == {first.id, second.id, failing.id}
        with catalog.writing() as tx:
            candidate = next(c for c in tx.webhooks.waiting(NOON, limit=9) if c.webhook == first.id)
            assert tx.webhooks.claim(candidate, "w", NOON + MINUTE)
            assert tx.webhooks.note(first.id, 1, until=None, failures=0, held_until=None)
        assert [c.webhook for c in _waiting(catalog, NOON)] == [second.id, first.id]
        with catalog.reading() as tx:
            assert len(tx.webhooks.waiting(NOON, limit=1)) == 1
        assert idle.id not in {c.webhook for c in _waiting(catalog, NOON + MINUTE)}

    def test_a_webhook_goes_with_its_deliveries(self, catalog: Catalog) -> None:
        """And what is queued for one that is not there any more is not kept."""
        webhook = a_webhook()
        with catalog.writing() as tx:
            tx.webhooks.add(webhook, "")
            tx.deliveries.add([a_delivery(webhook, 1)])
            assert tx.webhooks.remove(webhook.id)
            assert not tx.webhooks.remove(webhook.id)
            tx.deliveries.add([a_delivery(webhook, 2)])
            assert tx.webhooks.get(webhook.id) is None
            assert tx.deliveries.list(webhook.id, limit=9) == []

    def test_a_transaction_that_reads_changes_no_webhook(self, catalog: Catalog) -> None:
        """Refused, as any other change."""
        webhook = a_webhook()
        with catalog.reading() as tx:
            for change in (
                lambda: tx.webhooks.add(webhook, ""),
                lambda: tx.webhooks.remove(webhook.id),
                lambda: tx.webhooks.claim(Candidate(webhook.id, 0, 0), "w", NOON),
                lambda: tx.deliveries.remove(NOON, limit=9),
            ):
                with pytest.raises(InvalidRequest):
                    change()


class DeliveryLaws:
    """An event is one delivery of a webhook, however often it is queued."""

    def test_a_delivery_comes_back_as_it_was(self, catalog: Catalog) -> None:
        """With every field, at each of its states."""
        webhook, other = a_webhook(), a_webhook()
        queued = a_delivery(webhook, 3, target="Größe")
        failed = attempted(queued, Answer(status=500, body="{}\n", error="no", duration_ms=1.5), NOON, 0.5)
        done = attempted(failed, Answer(status=204), NOON + MINUTE, 0.5)
        with catalog.writing() as tx:
            tx.webhooks.add(webhook, "")
            tx.webhooks.add(other, "")
            tx.deliveries.add([queued, a_delivery(other, 3)])
            assert tx.deliveries.get(webhook.id, 3) == queued
            assert tx.deliveries.settle(failed, queued)
            assert tx.deliveries.get(webhook.id, 3) == failed
            assert tx.deliveries.settle(done, failed)
        with catalog.reading() as tx:
            assert tx.deliveries.get(webhook.id, 3) == done
            assert tx.deliveries.get(other.id, 3) == a_delivery(other, 3)
            assert tx.deliveries.get(webhook.id, 4) is None

    def test_an_event_is_queued_once(self, catalog: Catalog) -> None:
        """Queued again it stays what it has become."""
        webhook = a_webhook()
        queued = a_delivery(webhook, 1)
        done = attempted(queued, Answer(status=200), NOON, 0.0)
        with catalog.writing() as tx:
            tx.webhooks.add(webhook, "")
            tx.deliveries.add([queued])
            assert tx.deliveries.settle(done, queued)
            tx.deliveries.add([queued, a_delivery(webhook, 2)])
            assert tx.deliveries.get(webhook.id, 1) == done
            assert [d.seq for d in tx.deliveries.list(webhook.id, limit=9)] == [2, 1]

    def test_what_has_changed_meanwhile_is_not_settled(self, catalog: Catalog) -> None:
        """By its state and its attempt."""
        webhook = a_webhook()
        queued = a_delivery(webhook, 1)
        failed = attempted(queued, Answer(status=500), NOON, 0.0)
        with catalog.writing() as tx:
            tx.webhooks.add(webhook, "")
            tx.deliveries.add([queued])
            assert tx.deliveries.settle(failed, queued)
            assert not tx.deliveries.settle(failed, queued)
            again = replayed(failed)
            assert tx.deliveries.settle(again, failed)
            assert not tx.deliveries.settle(attempted(failed, Answer(status=200), NOON, 0.0), failed)
            assert tx.deliveries.get(webhook.id, 1) == again

    def test_what_is_due_comes_in_order(self, catalog: Catalog) -> None:
        """Queued ones by event, whenever they were queued; failed ones by who waits longest, when due."""
        webhook = a_webhook()
        late = [a_delivery(webhook, seq, created_at=NOON - seq * MINUTE) for seq in (9, 7, 8)]
        failed = [
            attempted(a_delivery(webhook, seq), Answer(status=500), NOON - minutes * MINUTE, 1.0)
            for seq, minutes in ((1, 1), (2, 3), (3, 2), (4, 0))
        ]
        with catalog.writing() as tx:
            tx.webhooks.add(webhook, "")
            tx.deliveries.add([*late, *failed])
        with catalog.reading() as tx:
            assert [d.seq for d in tx.deliveries.due(webhook.id, "queued", NOON, limit=9)] == [7, 8, 9]
            assert [d.seq for d in tx.deliveries.due(webhook.id, "queued", NOON, limit=2)] == [7, 8]
            assert [d.seq for d in tx.deliveries.due(webhook.id, "failed", NOON, limit=9)] == [2, 3, 1]
            assert [d.seq for d in tx.deliveries.list(webhook.id, limit=9)] == [9, 8, 7, 4, 3, 2, 1]
            assert [d.seq for d in tx.deliveries.list(webhook.id, state="failed", limit=9)] == [4, 3, 2, 1]
            assert [d.seq for d in tx.deliveries.list(webhook.id, before_seq=7, limit=2)] == [4, 3]

    def test_what_is_old_is_forgotten(self, catalog: Catalog) -> None:
        """Whatever became of it, as many as were asked for."""
        webhook = a_webhook()
        with catalog.writing() as tx:
            tx.webhooks.add(webhook, "")
            tx.deliveries.add(a_delivery(webhook, seq, created_at=NOON + seq * MINUTE) for seq in range(1, 6))
            assert tx.deliveries.remove(NOON + 4 * MINUTE, limit=2) == 2
            assert tx.deliveries.remove(NOON + 4 * MINUTE, limit=9) == 1
            assert [d.seq for d in tx.deliveries.list(webhook.id, limit=9)] == [5, 4]
