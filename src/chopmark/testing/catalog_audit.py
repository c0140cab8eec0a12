"""The part of the catalog's contract that is about finding events by their target."""

from __future__ import annotations

from datetime import timedelta

import pytest

from chopmark.abc.catalog import Catalog
from chopmark.errors import InvalidRequest
from chopmark.testing.catalog_records import Records

__all__ = ["AboutLaws"]

TARGETS = (
    "default", "fraud", "fraud:1", "fraud-api", "fraud:2", "fraud@champion", "fraud-api:1", "risk/fraud", "fraud:10",
    "frau", "fraud;", "fraud.x", "Fraud", "fraud:1", "risk/fraud:1", "fraudé:1",
)  # fmt: skip


class AboutLaws:
    """Events of a model, and of no other whose name begins alike."""

    @pytest.fixture
    def told(self, catalog: Catalog, records: Records) -> Catalog:
        """An event for each of the targets."""
        with catalog.writing() as tx:
            for target in TARGETS:
                tx.audit.append(records.event(target=target))
        return catalog

    def test_all_of_a_model(self, told: Catalog) -> None:
        """By its name, with ``:`` and with ``@``."""
        with told.reading() as tx:
            found = tx.audit.about(["fraud"], ["fraud:", "fraud@"], limit=99)
        assert [e.target for e in found] == [
            "fraud", "fraud:1", "fraud:2", "fraud@champion", "fraud:10", "fraud:1",
        ]  # fmt: skip
        assert [e.seq for e in found] == sorted(e.seq for e in found)

    def test_exact_targets_only(self, told: Catalog) -> None:
        """Several at once."""
        with told.reading() as tx:
            assert [e.target for e in tx.audit.about(["frau", "fraud:1"], [], limit=99)] == [
                "fraud:1",
                "frau",
                "fraud:1",
            ]
            assert [e.target for e in tx.audit.about([], ["risk/fraud:"], limit=99)] == ["risk/fraud:1"]
            assert tx.audit.about([], [], limit=99) == []
            assert tx.audit.about(["nobody"], ["nobody:"], limit=99) == []

    def test_page_by_page(self, told: Catalog) -> None:
        """After the last one of the page before."""
        with told.reading() as tx:
            paged: list[int] = []
            while page := tx.audit.about(["fraud"], ["fraud:"], after_seq=paged[-1] if paged else 0, limit=2):
                paged += [e.seq for e in page]
            assert paged == [e.seq for e in tx.audit.about(["fraud"], ["fraud:"], limit=99)]
            assert len(paged) == 5

    def test_the_first_event_after_a_time(self, catalog: Catalog, records: Records) -> None:
        """By its number, also where the clock stepped back."""
        with catalog.writing() as tx:
            first = tx.audit.append(records.event())
            records.clock.advance(timedelta(hours=1))
            ahead = tx.audit.append(records.event())
            records.clock.advance(timedelta(hours=-1))
            behind = tx.audit.append(records.event())
        with catalog.reading() as tx:
            assert tx.audit.first_after(first.at - timedelta(seconds=1)) == 1
            assert tx.audit.first_after(first.at) == 2
            assert tx.audit.first_after(behind.at) == 2
            assert tx.audit.first_after(ahead.at) is None
        with pytest.raises(InvalidRequest, match="no time zone"), catalog.reading() as tx:
            tx.audit.first_after(first.at.replace(tzinfo=None))
