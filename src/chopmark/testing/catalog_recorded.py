"""The part of the catalog's contract that is about recording the audit and putting it back."""

from __future__ import annotations

from contextlib import suppress

import msgspec
import pytest

from chopmark.abc.catalog import Catalog
from chopmark.domain.audit import AuditEvent, event_hash, find_fault
from chopmark.errors import Conflict, InvalidRequest
from chopmark.testing.catalog_records import Records

__all__ = ["RecordedLaws"]


class RecordedLaws:
    """How far the audit is recorded, and a chain that comes back as it was."""

    def test_the_position_only_moves_on(self, catalog: Catalog) -> None:
        """Whoever is late does not set it back."""
        with catalog.reading() as tx:
            assert tx.recorded.position() == 0
            with pytest.raises(InvalidRequest):
                tx.recorded.move(1)
        with catalog.writing() as tx:
            tx.recorded.move(7)
            tx.recorded.move(3)
            assert tx.recorded.position() == 7
        with catalog.reading() as tx:
            assert tx.recorded.position() == 7

    def test_a_position_of_a_transaction_that_failed_is_not_kept(self, catalog: Catalog) -> None:
        """Like any other change."""
        with suppress(ZeroDivisionError), catalog.writing() as tx:
            tx.recorded.move(5)
            raise ZeroDivisionError
        with catalog.reading() as tx:
            assert tx.recorded.position() == 0

    def test_a_chain_is_put_back_as_it_was_and_goes_on(self, catalog: Catalog, records: Records) -> None:
        """The same numbers and hashes; the next event follows them."""
        chain = _chain(records, 5)
        with catalog.writing() as tx:
            tx.recorded.put_back(chain)
        with catalog.writing() as tx:
            added = tx.audit.append(records.event())
        with catalog.reading() as tx:
            assert tx.audit.list(limit=99) == [*chain, added]
            assert tx.audit.head() == (6, added.hash)
            assert find_fault(tx.audit.list(limit=99)) is None
            assert tx.recorded.position() == 5

    def test_only_a_catalog_without_events_takes_a_chain(self, catalog: Catalog, records: Records) -> None:
        """What is there is never overwritten."""
        with catalog.writing() as tx:
            event = tx.audit.append(records.event())
        with pytest.raises(Conflict), catalog.writing() as tx:
            tx.recorded.put_back(_chain(records, 2))
        with catalog.reading() as tx:
            assert tx.audit.list(limit=99) == [event]

    def test_nothing_put_back_is_nothing(self, catalog: Catalog) -> None:
        """An empty chain leaves the beginning."""
        with catalog.writing() as tx:
            tx.recorded.put_back([])
            assert tx.audit.head()[0] == 0


def _chain(records: Records, length: int) -> list[AuditEvent]:
    chain: list[AuditEvent] = []
    for seq in range(1, length + 1):
        previous = {"previous": chain[-1].hash} if chain else {}
        event = msgspec.structs.replace(records.event(), seq=seq, **previous)
        chain.append(msgspec.structs.replace(event, hash=event_hash(event)))
    return chain
