"""The part of the catalog's contract that is about the collection of garbage."""

from __future__ import annotations

import threading
from datetime import timedelta

import msgspec
import pytest

from chopmark.abc.catalog import Catalog, VersionChange
from chopmark.base.digest import digest_of
from chopmark.domain.lineage import Edge, version_node
from chopmark.domain.versions import Version
from chopmark.errors import InvalidRequest
from chopmark.testing.catalog_records import Records

__all__ = ["CollectionLaws"]


def _added(catalog: Catalog, records: Records, model: str, *contents: bytes, number: int = 1) -> Version:
    """A version with files of these contents, its model and project made when they are not there."""
    with catalog.writing() as tx:
        if tx.projects.get("default") is None:
            tx.projects.insert(records.project())
        found = tx.models.get("default", model)
        if found is None:
            found = records.model(model)
            tx.models.insert(found)
        return records.add_version(tx, found, number, records.manifest(*contents))


class CollectionLaws:
    """The collector's lock, and what it asks."""

    def test_the_generation_is_odd_while_a_collection_is_open(self, catalog: Catalog) -> None:
        """And opening or closing twice is doing it once."""
        with catalog.writing() as tx:
            first = tx.collection.generation()
            assert first % 2 == 0
            assert tx.collection.close() == first
            assert tx.collection.open() == tx.collection.open() == first + 1
        with catalog.reading() as tx:
            assert tx.collection.generation() == first + 1
        with catalog.writing() as tx:
            assert tx.collection.lock() == tx.collection.hold() == first + 1
            assert tx.collection.close() == tx.collection.close() == first + 2

    def test_a_reader_does_not_move_it(self, catalog: Catalog) -> None:
        """It may look, not lock."""
        with catalog.reading() as tx, pytest.raises(InvalidRequest):
            tx.collection.open()

    def test_who_locks_sees_what_those_who_held_have_stored(self, catalog: Catalog, records: Records) -> None:
        """However they overlap: the lock waits for the hold, and reads after it."""
        _added(catalog, records, "fraud", b"a")
        late = digest_of(b"late")
        held, seen = threading.Event(), []

        def hold() -> None:
            with catalog.writing() as tx:
                tx.collection.hold()
                held.set()
                model = tx.models.get("default", "fraud")
                assert model is not None
                records.add_version(tx, model, 2, records.manifest(b"late"))

        thread = threading.Thread(target=hold)
        thread.start()
        assert held.wait(30)
        with catalog.writing() as tx:
            tx.collection.lock()
            seen.append(tx.collection.referenced([late]))
        thread.join()
        assert seen == [{late}]

    def test_versions_are_due_when_they_or_their_model_were_deleted_before(
        self, catalog: Catalog, records: Records
    ) -> None:
        """Each once, by key, a page at a time."""
        one, two = (_added(catalog, records, "fraud", b"%d" % n, number=n) for n in (1, 2))
        whole = _added(catalog, records, "gone", b"3")
        deleted_at = records.now()
        with catalog.writing() as tx:
            tx.versions.update(one.id, VersionChange(deleted_at=deleted_at), deleted_at)
            tx.versions.update(whole.id, VersionChange(deleted_at=deleted_at), deleted_at)
            model = tx.models.get("default", "gone")
            assert model is not None
            tx.models.update(msgspec.structs.replace(model, deleted_at=deleted_at))
        later = deleted_at + timedelta(microseconds=1)
        with catalog.reading() as tx:
            assert tx.collection.due(deleted_at, limit=10) == []
            due = tx.collection.due(later, limit=10)
            assert {d.id for d in due} == {one.id, whole.id}
            assert {d.ref: d.deleted_at for d in due} == {"fraud:1": deleted_at, "gone:1": deleted_at}
            assert [d.key for d in due] == sorted(d.key for d in due)
            assert tx.collection.due(later, limit=1) == due[:1]
            assert tx.collection.due(later, after=due[0].key, limit=10) == due[1:]
        assert two.ref == "fraud:2"

    def test_who_needs_what_is_due(self, catalog: Catalog, records: Records) -> None:
        """Children need their parents, ensembles their members."""
        parent, child, ensemble = (_added(catalog, records, name, name.encode()) for name in ("a", "b", "c"))
        now = records.now()
        with catalog.writing() as tx:
            nodes = [version_node(v.id) for v in (parent, child, ensemble)]
            tx.lineage.insert(
                [
                    Edge(source=nodes[1], relation="derived_from", target=nodes[0], at=now),
                    Edge(source=nodes[0], relation="ensemble_member_of", target=nodes[2], at=now),
                    Edge(source=nodes[0], relation="trained_on", target="dataset:x", at=now),
                ]
            )
            tx.versions.update(parent.id, VersionChange(deleted_at=now), now)
        with catalog.reading() as tx:
            pairs = tx.collection.due_users(now + timedelta(microseconds=1))
            assert sorted(pairs) == sorted([(parent.id, child.id), (parent.id, ensemble.id)])
            assert tx.collection.due_users(now) == []

    def test_blobs_of_what_is_due_are_not_live(self, catalog: Catalog, records: Records) -> None:
        """Unless another version has them too; all are with None."""
        one = _added(catalog, records, "fraud", b"own", b"both", b"own")
        _added(catalog, records, "fraud", b"both", b"other", number=2)
        now = records.now()
        with catalog.writing() as tx:
            tx.versions.update(one.id, VersionChange(deleted_at=now), now)
        sizes = {digest_of(c): len(c) for c in (b"own", b"both", b"other")}
        later = now + timedelta(microseconds=1)
        with catalog.reading() as tx:
            everything = list(tx.collection.live_blobs(None))
            assert everything == sorted(sizes.items()) == list(tx.collection.live_blobs(now))
            assert list(tx.collection.live_blobs(None, after=everything[0][0])) == everything[1:]
            assert {d for d, _ in tx.collection.live_blobs(later)} == {digest_of(b"both"), digest_of(b"other")}
            assert tx.collection.referenced([*sizes, digest_of(b"?")]) == set(sizes)
            assert tx.collection.referenced([]) == set()

    def test_manifests_of_what_is_due_are_orphans(self, catalog: Catalog, records: Records) -> None:
        """They can be removed when their last version is gone."""
        one = _added(catalog, records, "fraud", b"1")
        twin = _added(catalog, records, "twin", b"1")
        two = _added(catalog, records, "fraud", b"2", number=2)
        assert one.digest == twin.digest
        now = records.now()
        later = now + timedelta(microseconds=1)
        with catalog.writing() as tx:
            for version in (one, two):
                tx.versions.update(version.id, VersionChange(deleted_at=now), now)
            assert tx.collection.orphan_manifests(later, limit=10) == [two.digest]
            assert tx.collection.orphan_manifests(later, after=two.digest, limit=10) == []
            assert tx.collection.remove_manifests([one.digest, two.digest]) == set()
            tx.versions.purge(one.id)
            tx.versions.purge(two.id)
            assert tx.collection.remove_manifests([one.digest, two.digest]) == {two.digest}
            assert tx.manifests.get(two.digest) is None
            assert tx.manifests.get(one.digest) is not None

    def test_digests_are_found_by_their_beginning(self, catalog: Catalog, records: Records) -> None:
        """Of files and of manifests."""
        version = _added(catalog, records, "fraud", b"1", b"2")
        digests = sorted(digest_of(c) for c in (b"1", b"2"))
        with catalog.reading() as tx:
            assert tx.collection.blobs_like("sha256:", limit=10) == digests
            assert tx.collection.blobs_like(digests[0][:20], limit=10) == digests[:1]
            assert tx.collection.manifests_like(version.digest[:20], limit=2) == [version.digest]
            assert tx.collection.manifests_like(digests[0], limit=2) == []
            assert tx.collection.manifest_users(version.digest, limit=2) == [version.id]
            assert tx.collection.manifest_users(digests[0], limit=2) == []

    def test_candidates_of_retention(self, catalog: Catalog, records: Records) -> None:
        """All of a model, by number, with their aliases."""
        one, two = (_added(catalog, records, "fraud", b"%d" % n, number=n) for n in (1, 2))
        now = records.now()
        with catalog.writing() as tx:
            model = tx.models.get("default", "fraud")
            assert model is not None
            tx.aliases.put(model.id, records.alias(model, "champion", 2))
            tx.versions.update(one.id, VersionChange(deleted_at=now), now)
            tx.versions.update(two.id, VersionChange(stage="staging", stage_since=now), now)
        with catalog.reading() as tx:
            found = tx.collection.candidates(one.model_id)
        assert [version_id for version_id, _ in found] == [one.id, two.id]
        first, second = (candidate for _, candidate in found)
        assert (first.ref, first.deleted_at, first.aliases) == ("fraud:1", now, ())
        assert (second.number, second.stage, second.aliases) == (2, "staging", ("champion",))
        assert second.created_at == two.created_at

    def test_usage_counts_what_is_held_alone_and_shared(self, catalog: Catalog, records: Records) -> None:
        """By version, model and project."""
        one = _added(catalog, records, "fraud", b"aaaa", b"bb")
        _added(catalog, records, "fraud", b"aaaa", b"c", number=2)
        _added(catalog, records, "other", b"c", b"dddddddd")
        now = records.now()
        with catalog.writing() as tx:
            tx.versions.update(one.id, VersionChange(deleted_at=now), now)
        with catalog.reading() as tx:
            models = tx.collection.usage("model", limit=10)
            counts = {u.name: (u.versions, u.deleted_versions, u.logical_bytes) for u in models}
            assert counts == {"fraud": (2, 1, 11), "other": (1, 0, 9)}
            holdings = {u.name: tx.collection.holding("model", u.key) for u in models}
            assert msgspec.structs.astuple(holdings["fraud"]) == (3, 6, 1)
            assert msgspec.structs.astuple(holdings["other"]) == (2, 8, 1)
            versions = tx.collection.usage("version", model_id=one.model_id, limit=10)
            assert [u.name for u in versions] == ["fraud:1", "fraud:2"]
            assert msgspec.structs.astuple(tx.collection.holding("version", versions[0].key)) == (2, 2, 4)
            assert tx.collection.usage("version", after=versions[0].key, limit=1) == versions[1:]
            (project,) = tx.collection.usage("project", project="default", limit=10)
            assert msgspec.structs.astuple(tx.collection.holding("project", project.key)) == (4, 15, 0)
            assert tx.collection.usage("project", project="none", limit=10) == []
