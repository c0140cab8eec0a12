"""The part of the catalog's contract that is about aliases, lineage, trust and histories."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from chopmark.abc.catalog import Catalog
from chopmark.domain.datasets import DatasetRef
from chopmark.domain.lineage import Edge
from chopmark.domain.versions import Evaluation, TrustDecision, Version
from chopmark.errors import Conflict, NotFound
from chopmark.testing.catalog_fixtures import CatalogFixtures
from chopmark.testing.catalog_records import Records

__all__ = ["PointerLaws", "an_edge", "an_evaluation"]


class PointerLaws(CatalogFixtures):
    """Aliases, lineage, trust and histories."""

    def test_aliases_point_and_move(self, catalog: Catalog, records: Records) -> None:
        """By name; a version shows those that point to it, sorted."""
        with catalog.writing() as tx:
            model = records.add_model(tx)
            first, second = (records.add_version(tx, model, n) for n in (1, 2))
            for name in ("zeta", "champion", "Alpha"):
                tx.aliases.put(model.id, records.alias(model, name, 1, protected=name == "champion"))
            moved = records.alias(model, "zeta", 2)
            tx.aliases.put(model.id, moved)
            assert tx.aliases.get(model.id, "zeta") == moved
            assert [a.name for a in tx.aliases.list(model.id)] == ["Alpha", "champion", "zeta"]
            assert [a.protected for a in tx.aliases.list(model.id)] == [False, True, False]
            assert tx.aliases.version(model.id, "zeta") == msgspec.structs.replace(second, aliases=("zeta",))
            found = tx.versions.by_id(first.id)
            assert found is not None
            assert found.aliases == ("Alpha", "champion")
            tx.aliases.remove(model.id, "champion")
            assert tx.aliases.get(model.id, "champion") is None
            assert tx.aliases.version(model.id, "champion") is None
            with pytest.raises(NotFound):
                tx.aliases.remove(model.id, "champion")
            with pytest.raises(NotFound):
                tx.aliases.put(model.id, records.alias(model, "next", 99))

    def test_history_of_an_alias(self, catalog: Catalog, records: Records) -> None:
        """Newest first, and as of a time."""
        with catalog.writing() as tx:
            model = records.add_model(tx)
            moves = [records.alias_move(model, "champion", n, p) for n, p in ((1, None), (2, 1), (None, 2))]
            for move in moves:
                tx.aliases.record(model.id, move)
            other = records.alias_move(model, "other", 1, None)
            tx.aliases.record(model.id, other)
        with catalog.reading() as tx:
            assert tx.aliases.history(model.id, "champion", limit=9) == moves[::-1]
            assert tx.aliases.history(model.id, "champion", until=moves[1].at, limit=1) == [moves[1]]
            assert tx.aliases.history(model.id, limit=9) == [other, *moves[::-1]]
            assert tx.aliases.history(model.id, until=moves[1].at, limit=9) == moves[1::-1]
            before = moves[0].at - timedelta(microseconds=1)
            assert tx.aliases.history(model.id, "champion", until=before, limit=1) == []

    def test_history_of_stages(self, catalog: Catalog, records: Records) -> None:
        """Newest first, and as of a time; of one time, the last that was recorded first."""
        with catalog.writing() as tx:
            model = records.add_model(tx)
            version = records.add_version(tx, model, 1)
            moves = [records.stage_move(version, s) for s in ("staging", "production", "archived")]
            moves[2] = msgspec.structs.replace(moves[2], at=moves[1].at)
            for move in moves:
                tx.stages.record(version.id, move)
            with pytest.raises(NotFound):
                tx.stages.record(records.id(), moves[0])
        with catalog.reading() as tx:
            assert tx.stages.history(version.id, limit=9) == moves[::-1]
            assert tx.stages.history(version.id, until=moves[0].at, limit=9) == moves[:1]
            assert tx.stages.history(version.id, limit=1) == moves[2:]

    def test_evaluations(self, catalog: Catalog, records: Records) -> None:
        """Newest first; an id is taken once."""
        with catalog.writing() as tx:
            model = records.add_model(tx)
            version = records.add_version(tx, model, 1)
            evaluations = [an_evaluation(records, version) for _ in range(3)]
            for evaluation in evaluations:
                tx.evaluations.insert(version.id, evaluation)
            with pytest.raises(Conflict):
                tx.evaluations.insert(version.id, evaluations[0])
        with catalog.reading() as tx:
            assert tx.evaluations.list(version.id, limit=2) == evaluations[:0:-1]

    def test_lineage_both_ways(self, catalog: Catalog, records: Records) -> None:
        """Oldest first, by relation; an edge that is there stays as it is."""
        edges = [an_edge(records, *ends) for ends in (("a", "d"), ("b", "d"), ("a", "c"))]
        edges.append(msgspec.structs.replace(an_edge(records, "c", "d"), relation="evaluated_on"))
        with catalog.writing() as tx:
            tx.lineage.insert(edges)
            tx.lineage.insert([msgspec.structs.replace(edges[0], at=records.now())])
        with catalog.reading() as tx:
            assert tx.lineage.outgoing("a") == [edges[0], edges[2]]
            assert tx.lineage.incoming("d") == [edges[0], edges[1], edges[3]]
            assert tx.lineage.incoming("d", ["evaluated_on"]) == [edges[3]]
            assert tx.lineage.incoming("d", ["evaluated_on", "trained_on"]) == tx.lineage.incoming("d")
            assert tx.lineage.incoming("a") == []

    def test_trust_is_about_bytes(self, catalog: Catalog, records: Records) -> None:
        """Newest first; all of one digest are withdrawn together."""
        digest = "sha256:" + "a" * 64
        decisions = [TrustDecision(digest=digest, names=(n,), actor="ann", at=records.now(), reason="r") for n in "xy"]
        with catalog.writing() as tx:
            for decision in decisions:
                tx.trust.insert(decision)
            assert tx.trust.get(digest) == decisions[::-1]
            assert tx.trust.get("sha256:" + "b" * 64) == []
            assert tx.trust.remove(digest) == len(decisions)
            assert tx.trust.remove(digest) == 0
            assert tx.trust.get(digest) == []


def an_edge(records: Records, source: str, target: str) -> Edge:
    """An edge made now."""
    return Edge(source=source, relation="trained_on", target=target, at=records.now())


def an_evaluation(records: Records, version: Version) -> Evaluation:
    """An evaluation made now."""
    return Evaluation(
        id=records.id(),
        project=version.project,
        model=version.model,
        number=version.number,
        dataset=DatasetRef("march", version="3", split="test", row_count=10),
        metrics={"auc": 0.1 + 0.2},
        actor="ann",
        at=records.now(),
        comment="held out",
    )
