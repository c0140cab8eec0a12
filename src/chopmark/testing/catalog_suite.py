"""The contract of a catalog as tests, for the built-in ones and for those of other packages.

A plug-in's tests say how to open an empty catalog and inherit everything else::

    class TestMyCatalog(CatalogSuite):
        @pytest.fixture
        def catalog(self) -> Iterator[Catalog]:
            catalog = MyCatalog()
            yield catalog
            catalog.close()
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest

from chopmark.abc.catalog import Catalog, StoredAnswer, Transaction, VersionChange
from chopmark.domain.audit import GENESIS, find_fault
from chopmark.domain.datasets import DatasetRef
from chopmark.domain.lineage import Edge, version_node
from chopmark.domain.manifest import Environment, Member
from chopmark.domain.query import parse_query
from chopmark.domain.semver import Range
from chopmark.domain.versions import Deprecation, Evaluation, Git, ProjectRules, TrustDecision, Version
from chopmark.errors import Conflict, InvalidRequest, NotFound
from chopmark.testing.catalog_audit import AboutLaws
from chopmark.testing.catalog_collection import CollectionLaws
from chopmark.testing.catalog_lineage import LineageLaws
from chopmark.testing.catalog_loads import LoadLaws
from chopmark.testing.catalog_recorded import RecordedLaws
from chopmark.testing.catalog_records import Records
from chopmark.testing.catalog_rows import RowLaws
from chopmark.testing.catalog_search import SearchLaws

__all__ = ["CatalogFixtures", "CatalogSuite"]

THREADS = 8
ROUNDS = 6


class _Stop(Exception):
    """Raised inside a block to end it."""


class CatalogFixtures:
    """What every part of the suite uses."""

    @pytest.fixture
    def catalog(self) -> Catalog:
        """An empty catalog; a subclass gives it."""
        raise NotImplementedError

    @pytest.fixture
    def records(self) -> Records:
        """Records for this test."""
        return Records()


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
            assert tx.projects.get("risk") == changed
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
            tx.lineage.insert([_edge(records, version_node(version.id), "run:1")])
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


class VersionLaws(CatalogFixtures):
    """Versions, manifests and their files."""

    def test_a_version_comes_back(self, catalog: Catalog, records: Records) -> None:
        """Every field as it went in, to the microsecond and the last digit of a float."""
        with catalog.writing() as tx:
            model = records.add_model(tx)
            manifest = records.manifest(b"a", b"b")
            version = _full_version(records, model, manifest)
            tx.versions.insert(version, manifest)
        with catalog.reading() as tx:
            assert tx.versions.by_id(version.id) == version
            assert tx.versions.by_number(model.id, 1) == version
            assert tx.manifests.get(version.digest) == manifest
            assert tx.manifests.get("sha256:" + "0" * 64) is None

    def test_numbers_and_semvers_are_taken_once(self, catalog: Catalog, records: Records) -> None:
        """`Conflict` within the model, nothing of the second is kept, another model is free."""
        with catalog.writing() as tx:
            model = records.add_model(tx)
            other = records.add_model(tx, "churn")
            records.add_version(tx, model, 1, metrics={"auc": 0.5})
            for number, semver in ((1, "2.0.0"), (2, "1.1.0")):
                manifest = records.manifest(b"never")
                with pytest.raises(Conflict):
                    tx.versions.insert(records.version(model, number, manifest, semver=semver), manifest)
                assert tx.versions.blob_users(manifest.files[0].digest) == []
            records.add_version(tx, other, 1)
            records.add_version(tx, model, 2)
        with catalog.reading() as tx:
            assert [v.number for v in tx.versions.in_model(model.id, limit=9)] == [2, 1]

    def test_a_version_belongs_to_a_model(self, catalog: Catalog, records: Records) -> None:
        """`NotFound` without."""
        stranger = records.model("none")
        with pytest.raises(NotFound), catalog.writing() as tx:
            records.add_version(tx, stranger, 1)

    def test_soft_deleted_versions_hide(self, catalog: Catalog, records: Records) -> None:
        """Except where they are asked for, and by their id."""
        with catalog.writing() as tx:
            model = records.add_model(tx)
            version = records.add_version(tx, model, 1)
            at = records.now()
            tx.versions.update(version.id, VersionChange(deleted_at=at), at)
            gone = msgspec.structs.replace(version, deleted_at=at, updated_at=at)
            v = tx.versions
            assert v.by_number(model.id, 1) is v.by_semver(model.id, "1.1.0") is v.latest(model.id) is None
            assert v.by_digest(model.id, gone.digest) == v.in_model(model.id, limit=9) == []
            assert v.in_stage(model.id, "development") == v.search(parse_query(""), limit=9).versions == []
            assert v.by_id(version.id) == v.by_number(model.id, 1, deleted=True) == gone
            assert v.by_semver(model.id, "1.1.0", deleted=True) == v.highest_release(model.id) == gone
            assert v.by_digest(model.id, gone.digest[:12], deleted=True) == v.in_model(model.id, deleted=True, limit=9)
            assert v.search(parse_query(""), deleted=True, limit=9).versions == [gone]
            assert v.blob_users(records.manifest(b"1").files[0].digest) == [gone]
            tx.versions.update(version.id, VersionChange(deleted_at=None), at)
            assert v.latest(model.id) == msgspec.structs.replace(version, updated_at=at)

    def test_latest_is_ready_and_not_archived(self, catalog: Catalog, records: Records) -> None:
        """The highest number of those."""
        with catalog.writing() as tx:
            model = records.add_model(tx)
            assert tx.versions.latest(model.id) is None
            assert tx.versions.highest_release(model.id) is None
            records.add_version(tx, model, 1)
            best = records.add_version(tx, model, 2)
            records.add_version(tx, model, 3, state="pending")
            records.add_version(tx, model, 4, stage="archived")
            assert tx.versions.latest(model.id) == best

    def test_precedence_of_semvers(self, catalog: Catalog, records: Records) -> None:
        """Numbers compare as numbers; ranges hold releases only."""
        semvers = ["1.9.0", "1.10.0", "2.0.0-rc.2", "2.0.0-rc.10", "1.10.1-alpha", "0.9.9", "1.10.0+build.7"]
        with catalog.writing() as tx:
            model = records.add_model(tx)
            for number, semver in enumerate(semvers, 1):
                records.add_version(tx, model, number, semver=semver)

            def within(text: str) -> str | None:
                bounds = Range.parse(text)
                found = tx.versions.in_range(model.id, bounds.low.sort_key, bounds.high.sort_key)
                return None if found is None else found.semver

            highest = tx.versions.highest_release(model.id)
            assert highest is not None
            assert highest.semver == "2.0.0-rc.10"
            assert within("^1.0") == within("~1.10") == "1.10.0+build.7"
            assert within("~1.9") == "1.9.0"
            assert within("^2.0") is None
            assert within("~0.9") == "0.9.9"

    def test_digests_by_their_beginning(self, catalog: Catalog, records: Records) -> None:
        """Newest first, twins too, up to the limit."""
        manifest = records.manifest(b"same")
        with catalog.writing() as tx:
            model = records.add_model(tx)
            twins = [records.add_version(tx, model, n, manifest) for n in (1, 2, 3)]
            records.add_version(tx, model, 4)
            digest = twins[0].digest
            assert tx.versions.by_digest(model.id, digest[:20]) == twins[:0:-1]
            assert tx.versions.by_digest(model.id, digest, limit=9) == twins[::-1]
            assert len(tx.versions.by_digest(model.id, "sha256:", limit=9)) == 4
            absent = "0" if digest[7] != "0" else "1"
            assert tx.versions.by_digest(model.id, f"sha256:{absent * 30}") == []

    def test_stages_are_listed_by_entry(self, catalog: Catalog, records: Records) -> None:
        """The one that entered last first."""
        with catalog.writing() as tx:
            model = records.add_model(tx)
            versions = [records.add_version(tx, model, n) for n in (1, 2, 3)]
            for index in (2, 0):
                at = records.now()
                tx.versions.update(versions[index].id, VersionChange(stage="staging", stage_since=at), at)
            assert [v.number for v in tx.versions.in_stage(model.id, "staging")] == [1, 3]
            assert [v.number for v in tx.versions.in_stage(model.id, "staging", limit=1)] == [1]
            assert tx.versions.in_stage(model.id, "canary") == []

    def test_what_may_change(self, catalog: Catalog, records: Records) -> None:
        """Each field by itself; tags are searched as they are now, and the stage beside them."""
        with catalog.writing() as tx:
            model = records.add_model(tx)
            version = records.add_version(tx, model, 1, tags={"team": "risk", "old": "1"})
            expected = version
            for change in _changes(records):
                at = records.now()
                tx.versions.update(version.id, change, at)
                set_now = {n: x for n in change.__struct_fields__ if (x := getattr(change, n)) is not msgspec.UNSET}
                expected = msgspec.structs.replace(expected, updated_at=at, **set_now)
                assert tx.versions.by_id(version.id) == expected
            assert _numbers(tx, 'tags.team = "core" and stage = "staging"') == [1]
            assert _numbers(tx, 'tags.old or tags.team = "risk" or stage = "development"') == []
            with pytest.raises(NotFound):
                tx.versions.update(records.id(), VersionChange(card=""), records.now())

    def test_purging_a_version_takes_what_hangs_on_it(self, catalog: Catalog, records: Records) -> None:
        """Aliases, history, evaluations and edges; its twin and the alias's history stay."""
        manifest = records.manifest(b"shared")
        with catalog.writing() as tx:
            model = records.add_model(tx)
            version, twin = (
                records.add_version(tx, model, n, manifest, tags={"a": "b"}, metrics={"x": 1.0}) for n in (1, 2)
            )
            tx.aliases.put(model.id, records.alias(model, "champion", 1))
            tx.aliases.record(model.id, records.alias_move(model, "champion", 1, None))
            tx.stages.record(version.id, records.stage_move(version, "staging"))
            tx.evaluations.insert(version.id, _evaluation(records, version))
            tx.lineage.insert(
                [_edge(records, version_node(version.id), "run:1"), _edge(records, "run:2", version_node(version.id))]
            )
            tx.versions.purge(version.id)
            with pytest.raises(NotFound):
                tx.versions.purge(version.id)
        with catalog.reading() as tx:
            assert tx.versions.by_id(version.id) is None
            assert tx.aliases.list(model.id) == []
            assert tx.stages.history(version.id, limit=9) == []
            assert tx.evaluations.list(version.id, limit=9) == []
            assert tx.lineage.outgoing("run:2") == []
            assert len(tx.aliases.history(model.id, "champion", limit=9)) == 1
            assert _numbers(tx, 'tags.a = "b" and metrics.x = 1') == [2]
            assert tx.manifests.get(twin.digest) == manifest

    def test_blobs_and_their_users(self, catalog: Catalog, records: Records) -> None:
        """Each digest once, sorted, soft-deleted versions too."""
        with catalog.writing() as tx:
            model = records.add_model(tx)
            manifests = [records.manifest(b"a", b"b", b"a"), records.manifest(b"b", b"c")]
            first, second = (records.add_version(tx, model, n, m) for n, m in enumerate(manifests, 1))
            tx.versions.update(second.id, VersionChange(deleted_at=records.now()), records.now())
        with catalog.reading() as tx:
            files = {f.digest for m in manifests for f in m.files}
            assert list(tx.versions.referenced_blobs()) == sorted(files)
            shared = manifests[1].files[0].digest
            assert {v.id for v in tx.versions.blob_users(shared)} == {first.id, second.id}
            assert len(tx.versions.blob_users(shared, limit=1)) == 1
            assert [v.id for v in tx.versions.blob_users(manifests[0].files[0].digest)] == [first.id]


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
            evaluations = [_evaluation(records, version) for _ in range(3)]
            for evaluation in evaluations:
                tx.evaluations.insert(version.id, evaluation)
            with pytest.raises(Conflict):
                tx.evaluations.insert(version.id, evaluations[0])
        with catalog.reading() as tx:
            assert tx.evaluations.list(version.id, limit=2) == evaluations[:0:-1]

    def test_lineage_both_ways(self, catalog: Catalog, records: Records) -> None:
        """Oldest first, by relation; an edge that is there stays as it is."""
        edges = [_edge(records, *ends) for ends in (("a", "d"), ("b", "d"), ("a", "c"))]
        edges.append(msgspec.structs.replace(_edge(records, "c", "d"), relation="evaluated_on"))
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
        with pytest.raises(_Stop):
            _write_and_stop(catalog, lambda tx: tx.audit.append(records.event()))
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
        with pytest.raises(_Stop):
            _write_and_stop(catalog, lambda tx: tx.audit.append(records.event()))
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

    def test_the_outbox_waits_until_delivered(self, catalog: Catalog, records: Records) -> None:
        """Oldest first, from a number on; delivering twice changes nothing."""
        with catalog.writing() as tx:
            events = [tx.audit.append(records.event(n=n)) for n in range(3)]
            for event in events:
                tx.outbox.add(event)
            rows = tx.outbox.pending(limit=9)
            assert [row.event for row in rows] == events
            assert [row.seq for row in rows] == sorted({row.seq for row in rows})
            assert tx.outbox.pending(after_seq=rows[0].seq, limit=1) == rows[1:2]
            tx.outbox.delivered([rows[1].seq], records.now())
            tx.outbox.delivered([rows[1].seq, 999_999], records.now())
            assert tx.outbox.pending(limit=9) == [rows[0], rows[2]]

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

        with pytest.raises(_Stop):
            _write_and_stop(catalog, change_much)
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
                lambda: tx.lineage.insert([_edge(records, "a", "b")]),
                lambda: tx.audit.append(records.event()),
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

    def test_a_thread_that_fails_harms_no_other(self, catalog: Catalog) -> None:
        """Those that raise leave nothing; those beside them are stored."""
        barrier = threading.Barrier(THREADS)

        def write(thread: int) -> bool:
            barrier.wait()
            project = Records().project(f"p{thread}")
            if thread % 2:
                with pytest.raises(_Stop):
                    _write_and_stop(catalog, lambda tx: tx.projects.insert(project))
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


class CatalogSuite(
    NameLaws,
    VersionLaws,
    PointerLaws,
    AuditLaws,
    TransactionLaws,
    AboutLaws,
    LineageLaws,
    LoadLaws,
    CollectionLaws,
    RowLaws,
    RecordedLaws,
    SearchLaws,
):
    """What every catalog promises (`chopmark.abc.catalog`)."""


def _write_and_stop(catalog: Catalog, change: Callable[[Transaction], object]) -> None:
    with catalog.writing() as tx:
        change(tx)
        raise _Stop


def _numbers(tx: Transaction, query: str) -> list[int]:
    return [v.number for v in tx.versions.search(parse_query(query), limit=99).versions]


def _edge(records: Records, source: str, target: str) -> Edge:
    return Edge(source=source, relation="trained_on", target=target, at=records.now())


def _evaluation(records: Records, version: Version) -> Evaluation:
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


def _full_version(records: Records, model: object, manifest: object) -> Version:
    return records.version(
        model,  # type: ignore[arg-type]
        1,
        manifest,  # type: ignore[arg-type]
        semver="1.4.0-rc.1+build.5",
        runs_code=True,
        untrusted=("sklearn.x",),
        metrics={"auc": 0.1 + 0.2, "tiny": 5e-324, "n": 3.0, "f1 (macro)": -1e300},
        params={"depth": 3, "deep": True, "name": "Ünïcode", "list": [1, "a", None], "none": None, "huge": 2**60},
        config={"provider": "x", "limits": {"tokens": 5}},
        environment=Environment(python="3.11.7", framework="scikit-learn", dependencies={"numpy": "2.0"}),
        parents=(Member("derived_from", "fraud:1", "sha256:" + "c" * 64, 0.5),),
        datasets=(DatasetRef("march", digest="sha256:" + "d" * 64, row_count=5),),
        git=Git("abc", "main", dirty=True),
        run_id="r1",
        experiment_id="e1",
        owner="ann",
        team="risk",
        task="anomaly",
        risk_tier="high",
        compliance=("gdpr", "sox"),
        business_value="much",
        cost_per_request=0.003,
        metadata={"a": {"b": [1, 2]}},
        bump_reasons=("changed features",),
        description="ein 'Zitat' \"und\" \\ 100 %",
        card="# Card\n\nText",
        tags={"team": "risk", "empty": "", "long": "x" * 5000},
        annotations={"note": {"x": 1}},
        deprecation=Deprecation(datetime(2027, 1, 1, tzinfo=UTC), "old", "fraud:2"),
        created_at=datetime(2026, 3, 3, 3, 3, 3, 333333, tzinfo=UTC),
    )


def _changes(records: Records) -> list[VersionChange]:
    return [
        VersionChange(description="d"),
        VersionChange(card="c"),
        VersionChange(tags={"team": "risk", "new": "2"}),
        VersionChange(stage="staging", stage_since=records.now()),
        VersionChange(tags={"team": "core"}, annotations={"a": [1]}),
        VersionChange(deprecation=Deprecation(records.now(), "why")),
        VersionChange(deprecation=None, annotations={}),
        VersionChange(),
    ]
