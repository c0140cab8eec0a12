"""The part of the catalog's contract that is about loads by day."""

from __future__ import annotations

from datetime import date
from uuid import UUID

import pytest

from chopmark.abc.catalog import Catalog
from chopmark.domain.versions import Version
from chopmark.errors import InvalidRequest
from chopmark.testing.catalog_records import Records

__all__ = ["LoadLaws"]

MONDAY, TUESDAY, FRIDAY = date(2026, 3, 2), date(2026, 3, 3), date(2026, 3, 6)


class LoadLaws:
    """Counts are added up, and go with their version."""

    @pytest.fixture
    def versions(self, catalog: Catalog, records: Records) -> list[Version]:
        """Three versions of one model, and one of another."""
        found = []
        with catalog.writing() as tx:
            tx.projects.insert(records.project())
            for name, numbers in (("fraud", (1, 2, 3)), ("churn", (1,))):
                model = records.model(name)
                tx.models.insert(model)
                for number in numbers:
                    manifest = records.manifest()
                    version = records.version(model, number, manifest)
                    tx.versions.insert(version, manifest)
                    found.append(version)
        return found

    def test_counts_add_up(self, catalog: Catalog, versions: list[Version]) -> None:
        """Over calls, by version and day."""
        first, second, _, other = versions
        with catalog.writing() as tx:
            tx.loads.add({(first.id, MONDAY): 2, (second.id, MONDAY): 1, (other.id, MONDAY): 7})
            tx.loads.add({(first.id, MONDAY): 3, (first.id, FRIDAY): 1})
            tx.loads.add({})
        with catalog.reading() as tx:
            listed = tx.loads.list(first.model_id, limit=10)
        assert [(c.ref, c.day, c.count) for c in listed] == [
            ("fraud:1", FRIDAY, 1),
            ("fraud:2", MONDAY, 1),
            ("fraud:1", MONDAY, 5),
        ]

    def test_a_part_of_the_counts(self, catalog: Catalog, versions: list[Version]) -> None:
        """By version, by days, and page by page."""
        model_id = versions[0].model_id
        counts = {(v.id, day): 1 for v in versions[:3] for day in (MONDAY, TUESDAY, FRIDAY)}
        with catalog.writing() as tx:
            tx.loads.add(counts)
        with catalog.reading() as tx:
            assert {c.number for c in tx.loads.list(model_id, number=2, limit=10)} == {2}
            assert {c.day for c in tx.loads.list(model_id, since=TUESDAY, limit=10)} == {TUESDAY, FRIDAY}
            assert {c.day for c in tx.loads.list(model_id, since=TUESDAY, until=TUESDAY, limit=10)} == {TUESDAY}
            everything = tx.loads.list(model_id, limit=100)
            paged, after = [], None
            while page := tx.loads.list(model_id, after=after, limit=2):
                paged += page
                after = (page[-1].day, page[-1].number)
        assert len(everything) == 9
        assert paged == everything

    def test_last_days(self, catalog: Catalog, versions: list[Version]) -> None:
        """Of those that were loaded at all."""
        first, second, _, other = versions
        with catalog.writing() as tx:
            tx.loads.add({(first.id, FRIDAY): 1, (first.id, MONDAY): 9, (second.id, TUESDAY): 1, (other.id, MONDAY): 1})
        with catalog.reading() as tx:
            assert tx.loads.last_days(first.model_id) == {first.id: FRIDAY, second.id: TUESDAY}

    def test_versions_that_are_gone(self, catalog: Catalog, versions: list[Version]) -> None:
        """Are passed over; counts of a purged one go with it."""
        first, second, *_ = versions
        with catalog.writing() as tx:
            tx.loads.add({(UUID(int=1), MONDAY): 1, (first.id, MONDAY): 1, (second.id, MONDAY): 1})
            tx.versions.purge(first.id)
        with catalog.reading() as tx:
            assert [c.ref for c in tx.loads.list(first.model_id, limit=10)] == ["fraud:2"]
            assert tx.loads.last_days(first.model_id) == {second.id: MONDAY}

    def test_a_transaction_that_reads_counts_nothing(self, catalog: Catalog, versions: list[Version]) -> None:
        """Refused, as any other change."""
        with pytest.raises(InvalidRequest), catalog.reading() as tx:
            tx.loads.add({(versions[0].id, MONDAY): 1})
