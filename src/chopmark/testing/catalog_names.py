"""The part of the catalog's contract that is about projects and models."""

from __future__ import annotations

import msgspec
import pytest

from chopmark.abc.catalog import Catalog
from chopmark.domain.lineage import version_node
from chopmark.domain.versions import ProjectRules
from chopmark.errors import Conflict, NotFound
from chopmark.testing.catalog_fixtures import CatalogFixtures
from chopmark.testing.catalog_pointers import an_edge
from chopmark.testing.catalog_records import Records

__all__ = ["NameLaws"]


class NameLaws(CatalogFixtures):
    """Projects and models."""

    def test_a_project_comes_back(self, catalog: Catalog, records: Records) -> None:
        """As it went in, and None for a name that is not there."""
        project = records.project("risk", description="Überwachung", rules=ProjectRules(required_tags=("team",)))
        with catalog.writing() as tx:
            tx.projects.insert(project)
            assert tx.projects.get("risk") == project
        with catalog.reading() as tx:
            assert tx.projects.get("risk") == project
            assert tx.projects.get("other") is None

    def test_a_project_changes(self, catalog: Catalog, records: Records) -> None:
        """Description and rules only."""
        project = records.project("risk")
        changed = msgspec.structs.replace(project, description="new", rules=ProjectRules(one_production_version=True))
        with catalog.writing() as tx:
            tx.projects.insert(project)
            tx.projects.update(msgspec.structs.replace(changed, created_by="eve"))
            assert tx.projects.lock("none") is None
            assert tx.projects.lock("risk") == tx.projects.get("risk") == changed
            with pytest.raises(NotFound):
                tx.projects.update(records.project("nobody"))

    def test_projects_are_listed_by_name(self, catalog: Catalog, records: Records) -> None:
        """By code point, after a name, up to a limit."""
        names = ["beta", "Alpha", "alpha", "_x", "Zeta", "alpha-2", "alpha.1", "alpha1"]
        with catalog.writing() as tx:
            for name in names:
                tx.projects.insert(records.project(name))
            assert [p.name for p in tx.projects.list(limit=100)] == sorted(names)
            assert [p.name for p in tx.projects.list(after="alpha", limit=2)] == ["alpha-2", "alpha.1"]

    def test_a_name_is_taken_once(self, catalog: Catalog, records: Records) -> None:
        """`Conflict` for a second project or model of that name, and the block goes on."""
        with catalog.writing() as tx:
            model = records.add_model(tx)
            with pytest.raises(Conflict):
                tx.projects.insert(records.project("default"))
            with pytest.raises(Conflict):
                tx.models.insert(records.model("fraud"))
            gone = msgspec.structs.replace(model, deleted_at=records.now())
            tx.models.update(gone)
            with pytest.raises(Conflict):
                tx.models.insert(records.model("fraud"))
            records.add_model(tx, "other")
        with catalog.reading() as tx:
            assert tx.models.get("default", "other") is not None

    def test_a_model_belongs_to_a_project(self, catalog: Catalog, records: Records) -> None:
        """`NotFound` without."""
        with pytest.raises(NotFound), catalog.writing() as tx:
            tx.models.insert(records.model("fraud", "nowhere"))

    def test_a_model_comes_back(self, catalog: Catalog, records: Records) -> None:
        """As it went in; soft-deleted only when asked for."""
        with catalog.writing() as tx:
            tx.projects.insert(records.project())
            model = records.model(task="anomaly", owner="ann", team="risk", card="# Card", tags={"a": "", "b": "1"})
            tx.models.insert(model)
            assert tx.models.get("default", "fraud") == model
            assert tx.models.lock("default", "fraud") == model
            assert tx.models.lock("default", "none") is None
            gone = msgspec.structs.replace(model, last_number=4, team="", deleted_at=records.now())
            tx.models.update(msgspec.structs.replace(gone, created_by="eve"))
            assert tx.models.get("default", "fraud") is None
            assert tx.models.get("default", "fraud", deleted=True) == gone
            assert tx.models.lock("default", "fraud") == gone
            with pytest.raises(NotFound):
                tx.models.update(records.model("none"))

    def test_models_are_listed_by_project_and_name(self, catalog: Catalog, records: Records) -> None:
        """Page by page, within a project, and by a part of the name."""
        with catalog.writing() as tx:
            for project in ("b", "a"):
                for name in ("Fraud", "fraud_2", "churn", "fr%ud"):
                    records.add_model(tx, name, project)
            gone = tx.models.get("a", "churn")
            assert gone is not None
            tx.models.update(msgspec.structs.replace(gone, deleted_at=records.now()))
        with catalog.reading() as tx:
            names = [(m.project, m.name) for m in tx.models.list(project=None, limit=100, deleted=True)]
            assert names == sorted((p, n) for p in "ab" for n in ("Fraud", "fraud_2", "churn", "fr%ud"))
            page = tx.models.list(project=None, after=names[2], limit=3, deleted=True)
            assert [(m.project, m.name) for m in page] == names[3:6]
            assert len(tx.models.list(project="a", limit=100)) == 3
            assert [m.name for m in tx.models.list(project="b", contains="FRAUD", limit=9)] == ["Fraud", "fraud_2"]
            assert [m.name for m in tx.models.list(project="b", contains="%", limit=9)] == ["fr%ud"]

    def test_purging_a_model_leaves_the_audit(self, catalog: Catalog, records: Records) -> None:
        """Versions, aliases and edges go with it."""
        with catalog.writing() as tx:
            model = records.add_model(tx)
            version = records.add_version(tx, model, 1)
            tx.aliases.put(model.id, records.alias(model, "champion", 1))
            tx.aliases.record(model.id, records.alias_move(model, "champion", 1, None))
            tx.lineage.insert([an_edge(records, version_node(version.id), "run:1")])
            tx.audit.append(records.event())
        with catalog.writing() as tx:
            tx.models.purge(model.id)
            with pytest.raises(NotFound):
                tx.models.purge(model.id)
        with catalog.reading() as tx:
            assert tx.models.get("default", "fraud", deleted=True) is None
            assert tx.versions.by_id(version.id) is None
            assert tx.lineage.incoming("run:1") == []
            assert list(tx.versions.referenced_blobs()) == []
            assert len(tx.audit.list(limit=9)) == 1
