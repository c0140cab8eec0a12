"""The part of the catalog's contract that is about lineage and data sets."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chopmark.abc.catalog import Catalog
from chopmark.domain.datasets import ColumnProfile, DatasetRecord, DatasetRef
from chopmark.domain.lineage import FOLLOWED, RELATIONS, Edge, dataset_node, is_followed, version_node
from chopmark.errors import InvalidRequest
from chopmark.testing.catalog_records import Records

__all__ = ["LineageLaws"]

CHAIN_LENGTH = 5_000
LADDER_LENGTH = 1_000
FAN_WIDTH = 2_000
ALL = 100_000
EXAMPLES = 50

_nodes = st.integers(0, 9).map("n{}".format)
_triples = st.lists(st.tuples(_nodes, st.sampled_from(RELATIONS), _nodes), max_size=25, unique=True)


class LineageLaws:
    """Edges, what is reached over them, and data sets by name."""

    def test_an_edge_is_removed_once(self, catalog: Catalog, records: Records) -> None:
        """By its ends and relation; others stay."""
        with catalog.writing() as tx:
            edges = [_edge(records, "a", relation, "b") for relation in RELATIONS]
            tx.lineage.insert(edges)
            assert tx.lineage.remove(edges[2])
            assert not tx.lineage.remove(edges[2])
            assert tx.lineage.outgoing("a") == edges[:2] + edges[3:]
        with catalog.reading() as tx, pytest.raises(InvalidRequest):
            tx.lineage.remove(edges[0])

    def test_where_each_relation_leads(self, catalog: Catalog, records: Records) -> None:
        """An ensemble comes from its members; what is only shown is met and not followed."""
        edges = [
            _edge(records, "v2", "retrained_from", "v1"),
            _edge(records, "v1", "trained_on", "data"),
            _edge(records, "v1", "evaluated_on", "test"),
            _edge(records, "other", "evaluated_on", "test"),
            _edge(records, "v2", "ensemble_member_of", "both"),
            _edge(records, "v9", "replaces", "v2"),
            _edge(records, "v9", "produced_by", "run"),
        ]
        with catalog.writing() as tx:
            tx.lineage.insert(edges)

            def far(node: str, *, upstream: bool) -> list[str]:
                found = tx.lineage.reach(node, upstream=upstream, limit=ALL)
                return [e.upstream if upstream else e.downstream for e in found]

            assert far("both", upstream=True) == ["v2", "v1", "data", "test"]
            assert far("data", upstream=False) == ["v1", "v2", "both", "v9"]
            assert sorted(far("test", upstream=False)) == ["other", "v1"]
            assert far("v9", upstream=True) == ["v2", "run"]
            assert far("nothing", upstream=True) == []
            assert tx.lineage.reaches("both", "data")
            assert tx.lineage.reaches("v1", "v1")
            assert not tx.lineage.reaches("data", "both")
            assert not tx.lineage.reaches("v9", "v2")
            assert not tx.lineage.reaches("both", "test")

    def test_a_long_chain(self, catalog: Catalog, records: Records) -> None:
        """Both ways, to its end, and only so far as asked."""
        at = records.now()
        chain = [_named(at, f"c{n + 1}", "retrained_from", f"c{n}") for n in range(CHAIN_LENGTH)]
        with catalog.writing() as tx:
            tx.lineage.insert(chain)
        with catalog.reading() as tx:
            assert _same(tx.lineage.reach(f"c{CHAIN_LENGTH}", upstream=True, limit=ALL), chain)
            assert _same(tx.lineage.reach("c0", upstream=False, limit=ALL), chain)
            assert tx.lineage.reach("c0", upstream=False, depth_max=7, limit=ALL) == chain[:7]
            assert tx.lineage.reach("c0", upstream=False, limit=7) == chain[:7]
            assert tx.lineage.reaches(f"c{CHAIN_LENGTH}", "c0")
            assert not tx.lineage.reaches("c0", f"c{CHAIN_LENGTH}")

    def test_a_ladder_does_not_explode(self, catalog: Catalog, records: Records) -> None:
        """Each from the two before it: as many paths as a Fibonacci number, and two edges a node."""
        at = records.now()
        ladder = [
            _named(at, f"l{n}", relation, f"l{n - back}")
            for n in range(2, LADDER_LENGTH)
            for back, relation in ((1, "retrained_from"), (2, "derived_from"))
        ]
        with catalog.writing() as tx:
            tx.lineage.insert(ladder)
        with catalog.reading() as tx:
            assert _same(tx.lineage.reach(f"l{LADDER_LENGTH - 1}", upstream=True, limit=ALL), ladder)
            assert _same(tx.lineage.reach("l0", upstream=False, limit=ALL)[:1], ladder[1:2])
            near = tx.lineage.reach(f"l{LADDER_LENGTH - 1}", upstream=True, depth_max=30, limit=ALL)
            assert len(near) == 2 * (2 * 29 + 1)

    def test_a_wide_fan(self, catalog: Catalog, records: Records) -> None:
        """One data set of very many versions."""
        at = records.now()
        fan = [_named(at, f"v{n}", "trained_on", "data") for n in range(FAN_WIDTH)]
        fan += [_named(at, f"w{n}", "fine_tuned_from", f"v{n}") for n in range(FAN_WIDTH)]
        with catalog.writing() as tx:
            tx.lineage.insert(fan)
        with catalog.reading() as tx:
            assert _same(tx.lineage.reach("data", upstream=False, limit=ALL), fan)
            assert _same(tx.lineage.reach("data", upstream=False, depth_max=1, limit=ALL), fan[:FAN_WIDTH])
            nearest = tx.lineage.reach("data", upstream=False, limit=FAN_WIDTH + 5)
            assert _same(nearest[:FAN_WIDTH], fan[:FAN_WIDTH])
            assert len(nearest) == FAN_WIDTH + 5

    def test_reach_is_a_plain_walk(self, catalog: Catalog, records: Records) -> None:
        """Whatever the edges, cycles too; a limit leaves what is connected with the start."""

        @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
        @given(triples=_triples, start=_nodes, upstream=st.booleans(), depth_max=st.none() | st.integers(1, 4))
        def check(triples: list[tuple[str, str, str]], start: str, upstream: bool, depth_max: int | None) -> None:
            edges = [_edge(records, *triple) for triple in triples]
            expected = _walked(edges, start, upstream=upstream, depth_max=depth_max)
            with catalog.writing() as tx:
                tx.lineage.insert(edges)
                found = tx.lineage.reach(start, upstream=upstream, depth_max=depth_max, limit=ALL)
                assert _same(found, expected)
                for limit in range(1, len(expected)):
                    cut = tx.lineage.reach(start, upstream=upstream, depth_max=depth_max, limit=limit)
                    assert len(cut) == limit
                    assert _same(_walked(cut, start, upstream=upstream, depth_max=depth_max), cut)
                for goal in {e.upstream for e in edges}:
                    way = _walked(edges, start, upstream=True, depth_max=None)
                    there = goal == start or any(is_followed(e) and e.upstream == goal for e in way)
                    assert tx.lineage.reaches(start, goal) == there
                assert all(tx.lineage.remove(edge) for edge in edges)

        check()

    def test_versions_that_are_nodes(self, catalog: Catalog, records: Records) -> None:
        """Soft-deleted ones too, each once, however many are asked for."""
        with catalog.writing() as tx:
            model = records.add_model(tx)
            versions = [records.add_version(tx, model, n) for n in range(1, 6)]
            tx.aliases.put(model.id, records.alias(model, "champion", 2))
            nodes = [version_node(v.id) for v in versions]
            found = tx.lineage.versions([*nodes, "dataset:x", "run:1", version_node(records.id()), nodes[0]])
            assert sorted(v.number for v in found) == [1, 2, 3, 4, 5]
            assert {v.aliases for v in found if v.number == 2} == {("champion",)}
            many = [*(version_node(records.id()) for _ in range(600)), *nodes]
            assert len(tx.lineage.versions(many)) == len(versions)
            assert tx.lineage.versions([]) == []

    def test_who_asks_and_then_links_is_alone(self, catalog: Catalog, records: Records) -> None:
        """Of two opposite links at once, one is seen by the other: no cycle comes to be."""
        for turn in range(6):
            ends = [(f"x{turn}", f"y{turn}"), (f"y{turn}", f"x{turn}")]
            start = threading.Barrier(len(ends))

            def link(pair: tuple[str, str], start: threading.Barrier = start) -> bool:
                source, target = pair
                edge = _edge(records, source, "derived_from", target)
                start.wait()
                with catalog.writing() as tx:
                    tx.lineage.lock()
                    if tx.lineage.reaches(target, source):
                        return False
                    tx.lineage.insert([edge])
                return True

            with ThreadPoolExecutor(len(ends)) as pool:
                assert sorted(pool.map(link, ends)) == [False, True]

    def test_data_sets(self, catalog: Catalog, records: Records) -> None:
        """By node, by name, by the beginning of a node and in pages; the first description stays."""
        known = [
            _dataset(records, "March", digest="sha256:" + "a" * 64, columns=(ColumnProfile("x", "double", mean=0.5),)),
            _dataset(records, "March", digest="sha256:" + "ab" * 32),
            _dataset(records, "april", uri="s3://bucket/april", version="7"),
            _dataset(records, "100%", digest="sha256:" + "c" * 64),
        ]
        again = DatasetRecord(node=known[0].node, dataset=DatasetRef("other"), at=records.now())
        with catalog.writing() as tx:
            tx.datasets.put(known)
            tx.datasets.put([again])
        with catalog.reading() as tx:
            assert {r.node: r for r in tx.datasets.get([r.node for r in known])} == {r.node: r for r in known}
            assert tx.datasets.get(["dataset:nothing"]) == tx.datasets.get([]) == []
            assert tx.datasets.named("March", limit=9) == [known[1], known[0]]
            assert tx.datasets.named("March", limit=1) == [known[1]]
            assert tx.datasets.named("march", limit=9) == []
            assert tx.datasets.starting("dataset:sha256:a", limit=9) == [known[0], known[1]]
            assert tx.datasets.starting("dataset:sha256:ab", limit=9) == [known[1]]
            assert tx.datasets.starting("dataset:sha256:a", limit=1) == [known[0]]
            by_name = sorted(known, key=lambda r: (r.name, r.node))
            assert tx.datasets.list(limit=9) == by_name
            assert tx.datasets.list(contains="MAR", limit=9) == [known[0], known[1]]
            assert tx.datasets.list(contains="%", limit=9) == [known[3]]
            pages = [tx.datasets.list(after=(r.name, r.node), limit=2) for r in by_name]
            assert pages == [by_name[n : n + 2] for n in range(1, 5)]
            with pytest.raises(InvalidRequest):
                tx.datasets.put(known)


def _walked(edges: Sequence[Edge], start: str, *, upstream: bool, depth_max: int | None) -> list[Edge]:
    """Step by step: all edges at the nodes of each depth."""
    seen, level, found, depth = {start}, {start}, list[Edge](), 0
    while level and depth != depth_max:
        met = [e for e in edges if (e.downstream if upstream else e.upstream) in level]
        found += met
        level = {e.upstream if upstream else e.downstream for e in met if e.relation in FOLLOWED} - seen
        seen |= level
        depth += 1
    return found


def _same(found: Sequence[Edge], expected: Sequence[Edge]) -> bool:
    """Whether they are the same edges, each once, in any order."""
    keys = [sorted((e.source, e.relation, e.target) for e in edges) for edges in (found, expected)]
    return keys[0] == keys[1] and all(a != b for a, b in pairwise(keys[0]))


def _edge(records: Records, source: str, relation: str, target: str) -> Edge:
    return _named(records.now(), source, relation, target)


def _named(at: datetime, source: str, relation: str, target: str) -> Edge:
    return Edge(source=source, relation=relation, target=target, at=at)


def _dataset(records: Records, name: str, **rest: object) -> DatasetRecord:
    dataset = DatasetRef(name, **rest)  # type: ignore[arg-type]
    return DatasetRecord(node=dataset_node(dataset), dataset=dataset, at=records.now())
