"""The part of the catalog's contract that a check of the registry rests on."""

from __future__ import annotations

from uuid import UUID

from chopmark.abc.catalog import Catalog
from chopmark.domain.lineage import Edge, version_node
from chopmark.testing.catalog_records import Records

__all__ = ["RowLaws"]


class RowLaws:
    """Rows as they are stored."""

    def test_what_was_stored_has_no_faults(self, catalog: Catalog, records: Records) -> None:
        """Whatever a version has, a page at a time, the soft-deleted too."""
        with catalog.writing() as tx:
            model = records.add_model(tx)
            versions = [
                records.add_version(
                    tx,
                    model,
                    n,
                    metrics={"f1": n / 10, "loss": -0.0},
                    params={"depth": n, "flag": True, "kind": "tree", "none": None, "list": [1]},
                    tags={"team": "risk", "empty": "", "long": "x" * 500},
                    description="Finds fraud — überall.",
                )
                for n in (1, 2, 3)
            ]
        with catalog.reading() as tx:
            checked = tx.rows.versions(limit=10)
            assert [(c.ref, c.version, c.faults) for c in checked] == [(v.ref, v, ()) for v in versions]
            assert tx.rows.versions(limit=2) == checked[:2]
            assert tx.rows.versions(after=checked[1].key, limit=2) == checked[2:]
            assert tx.rows.orphans() == []

    def test_models_with_their_numbers_and_aliases(self, catalog: Catalog, records: Records) -> None:
        """Those that are and those that were."""
        with catalog.writing() as tx:
            model = records.add_model(tx)
            records.add_model(tx, "empty")
            for n in (1, 2):
                records.add_version(tx, model, n)
            tx.aliases.put(model.id, records.alias(model, "champion", 2))
            tx.aliases.record(model.id, records.alias_move(model, "before", None, 1))
        with catalog.reading() as tx:
            first, second = tx.rows.models(limit=10)
            assert (first.id, first.ref, first.last_number, first.highest_number) == (model.id, "fraud", 0, 2)
            assert first.alias_names == ("before", "champion")
            assert (second.ref, second.highest_number, second.alias_names) == ("empty", 0, ())
            assert tx.rows.models(after=first.key, limit=10) == [second]

    def test_edges_by_page_and_ids_that_are_nobodys(self, catalog: Catalog, records: Records) -> None:
        """In the order in which they came."""
        with catalog.writing() as tx:
            version = records.add_version(tx, records.add_model(tx), 1)
            node = version_node(version.id)
            edges = [
                Edge(source=node, relation="trained_on", target=f"dataset:{n}", at=records.now()) for n in (1, 2, 3)
            ]
            tx.lineage.insert(edges)
        with catalog.reading() as tx:
            page = tx.rows.edges(limit=2)
            assert [edge for _, edge in page] == edges[:2]
            assert [edge for _, edge in tx.rows.edges(after=page[-1][0], limit=2)] == edges[2:]
            nobody = UUID(int=7)
            assert tx.rows.missing([version.id, nobody]) == {nobody}
