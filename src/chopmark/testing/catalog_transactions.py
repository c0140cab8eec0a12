"""The part of the catalog's contract that is about transactions, threads and processes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest

from chopmark.abc.catalog import Catalog, Transaction, VersionChange
from chopmark.domain.access import CustomRole
from chopmark.domain.audit import find_fault
from chopmark.errors import InvalidRequest
from chopmark.testing.catalog_fixtures import CatalogFixtures, Stop, write_and_stop
from chopmark.testing.catalog_pointers import an_edge
from chopmark.testing.catalog_records import Records

__all__ = ["TransactionLaws"]


class TransactionLaws(CatalogFixtures):
    """Atomicity, isolation and concurrency."""

    def test_a_block_that_raises_changes_nothing(self, catalog: Catalog, records: Records) -> None:
        """Not even what it did first."""
        with catalog.writing() as tx:
            model = records.add_model(tx)
            version = records.add_version(tx, model, 1)

        def change_much(tx: Transaction) -> None:
            records.add_version(tx, model, 2)
            tx.projects.insert(records.project("half"))
            tx.versions.update(version.id, VersionChange(card="half"), records.now())
            tx.aliases.put(model.id, records.alias(model, "champion", 2))
            tx.outbox.add(records.event())

        with pytest.raises(Stop):
            write_and_stop(catalog, change_much)
        with catalog.reading() as tx:
            assert tx.versions.in_model(model.id, deleted=True, limit=9) == [version]
            assert tx.projects.get("half") is None
            assert tx.aliases.list(model.id) == []
            assert tx.outbox.pending(limit=9) == []

    def test_a_reader_sees_one_state(self, catalog: Catalog, records: Records) -> None:
        """What is committed while it reads is not there for it."""
        with catalog.writing() as tx:
            model = records.add_model(tx)
            version = records.add_version(tx, model, 1)
        with catalog.reading() as early:
            assert early.versions.by_id(version.id) == version
            with catalog.writing() as tx:
                records.add_version(tx, model, 2)
                tx.versions.update(version.id, VersionChange(card="new"), records.now())
            assert early.versions.by_id(version.id) == version
            assert len(early.versions.in_model(model.id, limit=9)) == 1
        with catalog.reading() as late:
            assert len(late.versions.in_model(model.id, limit=9)) == 2

    def test_a_reader_does_not_see_what_is_not_committed(self, catalog: Catalog, records: Records) -> None:
        """The writer itself does."""
        with catalog.writing() as tx:
            records.add_model(tx)
            with catalog.reading() as other:
                assert other.projects.list(limit=9) == []
            assert len(tx.projects.list(limit=9)) == 1

    def test_who_cannot_wait_may_read_too_or_is_told_not_to(self, catalog: Catalog, records: Records) -> None:
        """Either there is no such block just now, or it is one that reads."""
        with catalog.writing() as tx:
            model = records.add_model(tx)
        block = catalog.reading_now()
        if block is not None:
            with block as tx:
                assert tx.models.get("default", model.name) == model
                with pytest.raises(InvalidRequest):
                    tx.models.update(model)

    def test_a_reading_block_refuses_changes(self, catalog: Catalog, records: Records) -> None:
        """With a clear error, before anything happens."""
        with catalog.writing() as tx:
            model = records.add_model(tx)
        with catalog.reading() as tx:
            attempts: list[Callable[[], object]] = [
                lambda: tx.projects.insert(records.project("x")),
                lambda: tx.models.lock("default", "fraud"),
                lambda: tx.models.update(model),
                lambda: records.add_version(tx, model, 1),
                lambda: tx.aliases.remove(model.id, "x"),
                lambda: tx.lineage.insert([an_edge(records, "a", "b")]),
                lambda: tx.audit.append(records.event()),
                lambda: tx.lock("role:tester"),
            ]
            for attempt in attempts:
                with pytest.raises(InvalidRequest):
                    attempt()
            assert tx.models.get("default", "fraud") == model

    def test_a_transaction_ends_with_its_block(self, catalog: Catalog, records: Records) -> None:
        """Whoever kept it gets a clear error."""
        with catalog.writing() as wrote:
            records.add_model(wrote)
        with catalog.reading() as read:
            pass
        for tx in (wrote, read):
            with pytest.raises(InvalidRequest):
                tx.projects.get("default")

    def test_writing_inside_writing_is_refused(self, catalog: Catalog, records: Records) -> None:
        """By the same thread: it would wait for itself. The outer block is not harmed."""
        with catalog.writing() as tx:
            records.add_model(tx)
            with pytest.raises(InvalidRequest), catalog.writing():
                pass
            records.add_model(tx, "second")
        with catalog.reading() as tx:
            assert len(tx.models.list(project=None, limit=9)) == 2

    def test_threads_count_without_gaps(self, catalog: Catalog, records: Records) -> None:
        """Numbers given under `Models.lock`, and audit events, from many threads at once."""
        with catalog.writing() as tx:
            model = records.add_model(tx)
        barrier = threading.Barrier(THREADS)

        def register(thread: int) -> list[int]:
            mine = Records()
            given = []
            barrier.wait()
            for round_ in range(ROUNDS):
                with catalog.writing() as tx:
                    locked = tx.models.lock("default", "fraud")
                    assert locked is not None
                    number = locked.last_number + 1
                    mine.add_version(tx, model, number)
                    tx.models.update(msgspec.structs.replace(locked, last_number=number))
                    event = tx.audit.append(mine.event(thread=thread, round=round_))
                    tx.outbox.add(event)
                    given.append(number)
            return given

        with ThreadPoolExecutor(THREADS) as pool:
            given = list(pool.map(register, range(THREADS)))
        with catalog.reading() as tx:
            versions = tx.versions.in_model(model.id, limit=1000)
            events = tx.audit.list(limit=1000)
            waiting = tx.outbox.pending(limit=1000)
        total = THREADS * ROUNDS
        assert sorted(n for numbers in given for n in numbers) == list(range(1, total + 1))
        assert [v.number for v in versions] == list(range(total, 0, -1))
        assert len(events) == total
        assert find_fault(events) is None
        assert [row.event.seq for row in waiting] == list(range(1, total + 1))

    def test_who_locks_a_name_reads_what_others_wrote_before(self, catalog: Catalog) -> None:
        """What is read after `Transaction.lock` and changed by it is never lost, though no row stands for it at first."""
        barrier = threading.Barrier(THREADS)

        def count() -> None:
            barrier.wait()
            for _ in range(ROUNDS):
                with catalog.writing() as tx:
                    tx.lock("role:tester")
                    tx.lock("role:tester")  # once more is no fault
                    found = tx.roles.get("tester")
                    so_far = int(found.description) if found is not None else 0
                    tx.roles.put(CustomRole(name="tester", permissions=("read",), description=str(so_far + 1)))

        with ThreadPoolExecutor(THREADS) as pool:
            for done in [pool.submit(count) for _ in range(THREADS)]:
                done.result()
        with catalog.reading() as tx:
            found = tx.roles.get("tester")
        assert found is not None
        assert int(found.description) == THREADS * ROUNDS

    def test_other_names_are_locked_by_others(self, catalog: Catalog) -> None:
        """One transaction may lock several, and ends all with itself, also when it fails."""

        def lock_both(tx: Transaction) -> None:
            tx.lock("a")
            tx.lock("b")

        with pytest.raises(Stop):
            write_and_stop(catalog, lock_both)
        with catalog.writing() as tx:
            lock_both(tx)

    def test_a_thread_that_fails_harms_no_other(self, catalog: Catalog) -> None:
        """Those that raise leave nothing; those beside them are stored."""
        barrier = threading.Barrier(THREADS)

        def write(thread: int) -> bool:
            barrier.wait()
            project = Records().project(f"p{thread}")
            if thread % 2:
                with pytest.raises(Stop):
                    write_and_stop(catalog, lambda tx: tx.projects.insert(project))
                return False
            with catalog.writing() as tx:
                tx.projects.insert(project)
            with catalog.reading() as tx:  # it returned, so it is there
                assert tx.projects.get(f"p{thread}") is not None
            return True

        with ThreadPoolExecutor(THREADS) as pool:
            stored = list(pool.map(write, range(THREADS)))
        with catalog.reading() as tx:
            names = [p.name for p in tx.projects.list(limit=99)]
        assert names == [f"p{n}" for n, kept in enumerate(stored) if kept] == ["p0", "p2", "p4", "p6"]

    def test_a_closed_catalog_says_so(self, catalog: Catalog) -> None:
        """And closing twice is no fault."""
        catalog.close()
        catalog.close()
        with pytest.raises(InvalidRequest), catalog.reading():
            pass
        with pytest.raises(InvalidRequest), catalog.writing():
            pass


THREADS = 8


ROUNDS = 6
