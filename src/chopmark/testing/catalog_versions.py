"""The part of the catalog's contract that is about versions."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from chopmark.abc.catalog import Catalog, Release, Transaction, VersionChange
from chopmark.domain.datasets import DatasetRef
from chopmark.domain.lineage import version_node
from chopmark.domain.manifest import Environment, Member
from chopmark.domain.query import parse_query
from chopmark.domain.semver import Range
from chopmark.domain.versions import Deprecation, Git, Version
from chopmark.errors import Conflict, NotFound
from chopmark.testing.catalog_fixtures import CatalogFixtures
from chopmark.testing.catalog_pointers import an_edge, an_evaluation
from chopmark.testing.catalog_records import Records

__all__ = ["VersionLaws"]


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
            assert v.by_semver(model.id, "1.1.0", deleted=True) == gone
            assert v.highest_release(model.id) == Release(1, "1.1.0", records.manifest(b"1"))
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
            tx.evaluations.insert(version.id, an_evaluation(records, version))
            tx.lineage.insert(
                [
                    an_edge(records, version_node(version.id), "run:1"),
                    an_edge(records, "run:2", version_node(version.id)),
                ]
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


def _numbers(tx: Transaction, query: str) -> list[int]:
    return [v.number for v in tx.versions.search(parse_query(query), limit=99).versions]


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
