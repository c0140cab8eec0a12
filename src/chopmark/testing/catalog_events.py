"""The part of the catalog's contract that is about the audit, the outbox and idempotency keys."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest

from chopmark.abc.catalog import Catalog, StoredAnswer
from chopmark.domain.audit import GENESIS, find_fault
from chopmark.errors import Conflict
from chopmark.testing.catalog_fixtures import CatalogFixtures, Stop, write_and_stop
from chopmark.testing.catalog_records import Records

__all__ = ["AuditLaws"]


class AuditLaws(CatalogFixtures):
    """The audit, the outbox and idempotency keys."""

    def test_events_form_a_chain(self, catalog: Catalog, records: Records) -> None:
        """Numbered from 1 without gaps, over transactions, and the chain can be checked again."""
        appended = []
        for n in range(5):
            with catalog.writing() as tx:
                appended.append(tx.audit.append(records.event(target=f"fraud:{n}", n=n, nested={"b": [1, 2.5, None]})))
        with catalog.reading() as tx:
            events = tx.audit.list(limit=99)
        assert events == appended
        assert [e.seq for e in events] == [1, 2, 3, 4, 5]
        assert events[0].previous == GENESIS
        assert find_fault(events) is None

    def test_the_end_of_the_chain_can_be_read(self, catalog: Catalog, records: Records) -> None:
        """Of the last event that was stored, also inside the transaction that appends it."""
        with catalog.reading() as tx:
            assert tx.audit.head() == (0, GENESIS)
        with catalog.writing() as tx:
            events = [tx.audit.append(records.event(n=n)) for n in range(3)]
            assert tx.audit.head() == (3, events[-1].hash)
        with pytest.raises(Stop):
            write_and_stop(catalog, lambda tx: tx.audit.append(records.event()))
        with catalog.reading() as tx:
            assert tx.audit.head() == (3, events[-1].hash)

    def test_a_chain_survives_odd_facts(self, catalog: Catalog, records: Records) -> None:
        """Facts that JSON turns into something else, and times of other zones."""
        odd = records.event(pair=(1, 2), at=datetime(2026, 1, 1, tzinfo=UTC), big=2**70, none=float("nan"))
        odd = msgspec.structs.replace(odd, at=odd.at.astimezone(timezone(timedelta(hours=2))))
        with catalog.writing() as tx:
            appended = tx.audit.append(odd)
            tx.audit.append(records.event())
            assert find_fault(tx.audit.list(limit=9)) is None
            assert tx.audit.list(limit=1) == [appended]

    def test_a_block_that_fails_leaves_no_gap(self, catalog: Catalog, records: Records) -> None:
        """The number and the hash are those of the last event that was stored."""
        with catalog.writing() as tx:
            tx.audit.append(records.event())
        with pytest.raises(Stop):
            write_and_stop(catalog, lambda tx: tx.audit.append(records.event()))
        with catalog.writing() as tx:
            tx.audit.append(records.event())
            assert find_fault(tx.audit.list(limit=9)) is None
            assert len(tx.audit.list(limit=9)) == 2

    def test_events_are_listed_by_what_they_tell(self, catalog: Catalog, records: Records) -> None:
        """By number, target and name, from either end."""
        with catalog.writing() as tx:
            for n in range(1, 7):
                name = "alias.moved" if n % 2 else "stage.moved"
                tx.audit.append(records.event(name, f"fraud:{n % 3}"))
        with catalog.reading() as tx:

            def seqs(**where: object) -> list[int]:
                return [e.seq for e in tx.audit.list(**{"limit": 99, **where})]  # type: ignore[arg-type]

            assert seqs(after_seq=2, limit=2) == [3, 4]
            assert seqs(after_seq=1, before_seq=4) == [2, 3]
            assert seqs(newest_first=True, limit=2) == [6, 5]
            assert seqs(newest_first=True, before_seq=5, limit=2) == [4, 3]
            assert seqs(target="fraud:1") == [1, 4]
            assert seqs(event="alias.moved") == [1, 3, 5]
            assert seqs(event="alias.moved", target="fraud:1", newest_first=True) == [1]
            assert seqs(target="fraud") == []

    def test_the_outbox_waits_until_it_is_handed_over(self, catalog: Catalog, records: Records) -> None:
        """Oldest first, from a number on; handing over twice changes nothing, and no number is used again."""
        with catalog.writing() as tx:
            events = [tx.audit.append(records.event(n=n)) for n in range(3)]
            for event in events:
                tx.outbox.add(event)
            rows = tx.outbox.pending(limit=9)
            assert [row.event for row in rows] == events
            assert [row.seq for row in rows] == sorted({row.seq for row in rows})
            assert tx.outbox.pending(after_seq=rows[0].seq, limit=1) == rows[1:2]
            tx.outbox.remove([rows[1].seq])
            tx.outbox.remove([rows[1].seq, 999_999])
            assert tx.outbox.pending(limit=9) == [rows[0], rows[2]]
            tx.outbox.remove([rows[2].seq])
            tx.outbox.add(events[2])
            assert tx.outbox.pending(limit=9)[-1].seq > rows[2].seq

    def test_an_idempotency_key_keeps_its_first_answer(self, catalog: Catalog, records: Records) -> None:
        """Of one actor; `Conflict` for another answer."""
        answer = StoredAnswer("sha256:" + "a" * 64, b'{"number":1}', records.now())
        with catalog.writing() as tx:
            tx.idempotency.put("ann", "k1", "versions.register", answer)
            with pytest.raises(Conflict):
                tx.idempotency.put("ann", "k1", "versions.register", answer)
            tx.idempotency.put("bob", "k1", "versions.register", answer)
        with catalog.reading() as tx:
            assert tx.idempotency.get("ann", "k1") == answer
            assert tx.idempotency.get("ann", "k2") is None
