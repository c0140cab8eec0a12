"""Where versions come from, what comes from them, and links that people add."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import msgspec
import pytest

import chopmark as cm
from chopmark.catalog import upgrade_catalog
from chopmark.errors import Conflict, InvalidRequest, NotFound
from chopmark.sdk.lineage import LineageView
from chopmark.testing.registry import memory_registry

FEBRUARY = cm.DatasetRef("transactions", digest="sha256:" + "1" * 64, row_count=120)
MARCH = cm.DatasetRef("transactions", digest="sha256:" + "2" * 64)
HOLDOUT = cm.DatasetRef("holdout", digest="sha256:" + "3" * 64, split="test")


def family(registry: cm.Registry) -> dict[str, cm.Version]:
    """Three generations, an ensemble of two, a stranger that was only evaluated on February."""
    one = registry.register("fraud", {"t": 1}, dataset=FEBRUARY, run_id="night-1")
    two = registry.register("fraud", {"t": 2}, dataset=MARCH, parents={"retrained_from": one})
    three = registry.register("fraud", {"t": 3}, parents={"fine_tuned_from": two})
    both = registry.register("both", members=[one, three])
    other = registry.register("other", {"t": 4})
    registry.versions.evaluate(other, dataset=FEBRUARY, metrics={"auc": 0.9})
    registry.versions.evaluate(three, dataset=HOLDOUT, metrics={"auc": 0.8})
    return {"one": one, "two": two, "three": three, "both": both, "other": other}


def told(graph: LineageView) -> set[str]:
    labels = {node.id: node.label for node in graph.nodes}
    return {f"{labels[e.source]} {e.relation} {labels[e.target]}" for e in graph.edges}


def test_ancestors_descendants_and_both(registry: cm.Registry) -> None:
    made = family(registry)
    assert told(registry.lineage.ancestors("both")) == {
        "fraud:1 ensemble_member_of both:1",
        "fraud:3 ensemble_member_of both:1",
        "fraud:1 trained_on transactions",
        "fraud:1 produced_by night-1",
        "fraud:3 fine_tuned_from fraud:2",
        "fraud:3 evaluated_on holdout",
        "fraud:2 retrained_from fraud:1",
        "fraud:2 trained_on transactions",
    }
    assert told(registry.lineage.descendants(made["two"])) == {
        "fraud:3 fine_tuned_from fraud:2",
        "fraud:3 ensemble_member_of both:1",
    }
    near = registry.lineage.graph("fraud:2", depth=1)
    assert told(near) == {
        "fraud:2 retrained_from fraud:1",
        "fraud:2 trained_on transactions",
        "fraud:3 fine_tuned_from fraud:2",
    }
    assert not near.truncated
    assert {n.label for n in registry.lineage.descendants("run:night-1").nodes if n.kind == "version"} == {
        "fraud:1", "fraud:2", "fraud:3", "both:1",
    }  # fmt: skip
    assert {n.label for n in registry.lineage.dependents("fraud:1")} == {"fraud:2", "both:1"}
    assert list(registry.lineage.dependents("both")) == []


def test_nodes_tell_what_is_known(registry: cm.Registry) -> None:
    made = family(registry)
    registry.promote(made["three"], "staging", reason="r")
    registry.alias("fraud@champion", made["three"])
    graph = registry.lineage.ancestors("fraud@champion")
    root, *rest = graph.nodes
    assert (graph.roots, root.label, root.stage, root.aliases) == ((root.id,), "fraud:3", "staging", ("champion",))
    (march,) = [n for n in rest if n.dataset is not None and n.dataset.digest == MARCH.digest]
    assert (march.kind, march.dataset) == ("dataset", MARCH)
    assert registry.lineage.ancestors(root) == graph
    assert registry.lineage.graph(march, direction="up").edges == ()
    assert repr(graph) == "<ancestors of fraud:3>\n  3 versions, 3 data sets, 1 run, 6 edges"
    assert msgspec.json.decode(graph.to_json(), type=LineageView) == graph
    assert graph._repr_html_() == graph.to_svg()


def test_a_limit_leaves_the_nearest(registry: cm.Registry) -> None:
    family(registry)
    cut = registry.lineage.graph("fraud:2", limit=3)
    assert cut.truncated
    assert told(cut) == told(registry.lineage.graph("fraud:2", depth=1))
    for bad in ({"limit": 0}, {"limit": 10_001}, {"depth": 0}, {"depth": 1_001}):
        with pytest.raises(InvalidRequest):
            registry.lineage.graph("fraud:2", **bad)  # type: ignore[arg-type]


def test_impact_of_a_data_set(registry: cm.Registry) -> None:
    made = family(registry)
    registry.promote(made["three"], "staging", reason="r")
    registry.promote(made["three"], "canary", reason="r")
    registry.alias("fraud@old", made["one"])
    registry.versions.delete(made["both"])
    found = registry.lineage.impact("dataset:sha256:1111")
    assert [(a.node.label, a.depth, a.relation, a.via, a.live) for a in found.affected] == [
        ("fraud:3", 3, "fine_tuned_from", "fraud:2", True),
        ("fraud:1", 1, "trained_on", "transactions", True),
        ("fraud:2", 2, "retrained_from", "fraud:1", False),
        ("both:1", 2, "ensemble_member_of", "fraud:1", False),
    ]
    assert [n.label for n in found.evaluated] == ["other:1"]
    assert [a.node.label for a in found.live] == ["fraud:3", "fraud:1"]
    assert found.affected[-1].node.deleted
    assert repr(found).splitlines()[0] == "<impact of transactions: 4 versions, 2 live>"
    assert [a.node.label for a in registry.lineage.impact("fraud:2").affected] == ["fraud:3", "both:1"]
    assert registry.lineage.impact(HOLDOUT).affected == ()
    assert [n.label for n in registry.lineage.impact(HOLDOUT).evaluated] == ["fraud:3"]


def test_a_name_of_several_data_sets_means_all(registry: cm.Registry) -> None:
    family(registry)
    found = registry.lineage.impact("dataset:transactions")
    assert {r.dataset and r.dataset.digest for r in found.roots} == {FEBRUARY.digest, MARCH.digest}
    assert [a.depth for a in found.affected if a.node.label == "fraud:2"] == [1]
    assert len(registry.lineage.graph("dataset:transactions").roots) == 2
    with pytest.raises(Conflict, match="2 data sets with the name 'transactions'"):
        registry.lineage.dataset("transactions")
    assert registry.lineage.dataset("sha256:2222").dataset == MARCH
    with pytest.raises(NotFound, match="dataset:transactions"):
        registry.lineage.impact("dataset:transaction")
    with pytest.raises(NotFound, match="no data set 'sha256:9'"):
        registry.lineage.impact("dataset:sha256:9")
    with pytest.raises(NotFound, match="the run 'x'"):
        registry.lineage.impact("run:x")


def test_data_sets_are_listed_in_pages(registry: cm.Registry) -> None:
    family(registry)
    first = registry.lineage.datasets(limit=2)
    rest = registry.lineage.datasets(limit=2, cursor=first.cursor)
    assert [d.name for d in (*first, *rest)] == ["holdout", "transactions", "transactions"]
    assert rest.cursor == ""
    assert [d.dataset for d in registry.lineage.datasets("HOLD")] == [HOLDOUT]
    with pytest.raises(InvalidRequest, match="cursor"):
        registry.lineage.datasets("x", cursor=first.cursor)
    assert registry.lineage.datasets().records()[0]["node"] == "dataset:" + HOLDOUT.digest


def test_links_are_added_and_taken_back(registry: cm.Registry) -> None:
    made = family(registry)
    link = registry.lineage.link("other", "derived_from", made["three"], reason="it began as a copy")
    assert (link.source.label, link.relation, link.target.label) == ("other:1", "derived_from", "fraud:3")
    assert "other:1 derived_from fraud:3" in told(registry.lineage.ancestors("other"))
    assert "other:1 is derived from fraud:3" in registry.versions.uses(made["three"])
    with pytest.raises(Conflict, match="other:1 derived_from fraud:3 already"):
        registry.lineage.link("other", "derived_from", "fraud:3", reason="r")
    event = registry.audit.list(event="lineage.linked")[0]
    assert (event.target, event.data["relation"], event.data["to"]) == ("other:1", "derived_from", "fraud:3")
    assert event.data["reason"] == "it began as a copy"
    done = registry.lineage.unlink("other", "derived_from", "fraud:3", reason="it did not")
    assert (done.ref, done.message) == ("other:1", "no longer derived_from fraud:3")
    assert len(registry.audit.list(event="lineage.unlinked")) == 1
    with pytest.raises(NotFound, match="no edge other:1 derived_from fraud:3"):
        registry.lineage.unlink("other", "derived_from", "fraud:3", reason="r")


def test_links_to_data_sets_and_runs(registry: cm.Registry) -> None:
    registry.register("fraud", {"t": 1})
    new = cm.DatasetRef("late", uri="s3://bucket/late.csv", version="7")
    registry.lineage.link("fraud:1", "trained_on", new, reason="forgotten")
    registry.lineage.link("fraud:1", "produced_by", "run:by hand", reason="forgotten")
    assert told(registry.lineage.ancestors("fraud")) == {
        "fraud:1 trained_on late",
        "fraud:1 produced_by by hand",
    }
    assert registry.lineage.dataset("late").dataset == new
    assert [a.node.label for a in registry.lineage.impact("dataset:late").affected] == ["fraud:1"]
    registry.lineage.unlink("fraud:1", "trained_on", new, reason="r")
    registry.lineage.unlink("fraud:1", "produced_by", "run:by hand", reason="r")
    assert registry.lineage.ancestors("fraud").edges == ()


@pytest.mark.parametrize(
    ("source", "relation", "target", "words"),
    [
        ("fraud:1", "likes", "fraud:2", "'likes' is not a relation"),
        ("fraud:1", "trained_on", "fraud:2", "to a dataset, not from a version to a version"),
        ("fraud:1", "produced_by", "dataset:transactions", "2 data sets"),
        ("fraud:1", "derived_from", "run:r", "to a version, not from a version to a run"),
        ("dataset:transactions", "derived_from", "fraud:1", "not from a dataset to a version"),
        ("fraud:1", "derived_from", "fraud:1", "cannot be derived_from itself"),
        ("fraud:9", "derived_from", "fraud:1", "no version 9"),
    ],
)
def test_links_that_mean_nothing(local: cm.Registry, source: str, relation: str, target: str, words: str) -> None:
    family(local)
    with pytest.raises((InvalidRequest, NotFound, Conflict), match=words):
        local.lineage.link(source, relation, target, reason="r")
    assert len(local.audit.list(event="lineage.linked")) == 0


def test_what_was_deleted_is_not_linked_but_can_be_unlinked(registry: cm.Registry) -> None:
    made = family(registry)
    registry.lineage.link("other", "derived_from", "fraud:3", reason="r")
    registry.versions.delete(made["other"])
    for ends in (("other:1", "fraud:2"), ("fraud:2", "other:1")):
        with pytest.raises(NotFound, match="other:1 was deleted"):
            registry.lineage.link(ends[0], "derived_from", ends[1], reason="r")
    assert registry.lineage.unlink("other:1", "derived_from", "fraud:3", reason="r").ref == "other:1"


def test_a_link_needs_a_reason_and_a_thing(local: cm.Registry) -> None:
    made = family(local)
    with pytest.raises(InvalidRequest, match="needs a reason"):
        local.lineage.link("fraud:2", "derived_from", "other", reason=" ")
    with pytest.raises(InvalidRequest, match="A float has no place"):
        local.lineage.graph(1.5)  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest, match="not a relation to a data set"):
        local.register("fraud", {"t": 9}, dataset=cm.DatasetRef("x", relation="likes"))
    rehearsed = local.dry_run().lineage.link(made["other"], "derived_from", "fraud:1", reason="r")
    assert rehearsed.target.label == "fraud:1"
    assert "other:1" not in {n.label for n in local.lineage.dependents("fraud:1")}


def test_cycles_are_refused_with_the_way_round(registry: cm.Registry) -> None:
    family(registry)
    with pytest.raises(Conflict, match="would close a cycle") as refused:
        registry.lineage.link("fraud:1", "derived_from", "both:1", reason="r")
    assert "fraud:1 ensemble_member_of both:1" in refused.value.message
    with pytest.raises(Conflict, match="fraud:3 fine_tuned_from fraud:2; fraud:2 retrained_from fraud:1"):
        registry.lineage.link("fraud:1", "derived_from", "fraud:3", reason="r")
    with pytest.raises(Conflict, match="cycle"):
        registry.lineage.link("both:1", "ensemble_member_of", "fraud:1", reason="r")
    registry.lineage.link("fraud:2", "replaces", "fraud:1", reason="r")
    registry.lineage.link("fraud:3", "replaces", "fraud:2", reason="r")
    with pytest.raises(Conflict, match="because fraud:3 replaces fraud:2; fraud:2 replaces fraud:1"):
        registry.lineage.link("fraud:1", "replaces", "fraud:3", reason="r")
    assert len(registry.audit.list(event="lineage.linked")) == 2


def test_what_was_recorded_cannot_be_unlinked(registry: cm.Registry) -> None:
    family(registry)
    for source, relation, target, fact in (
        ("fraud:1", "trained_on", FEBRUARY, "the registration of fraud:1"),
        ("fraud:1", "produced_by", "run:night-1", "the registration of fraud:1"),
        ("fraud:2", "retrained_from", "fraud:1", "the manifest of fraud:2"),
        ("fraud:3", "ensemble_member_of", "both:1", "the manifest of both:1"),
        ("other:1", "evaluated_on", FEBRUARY, "an evaluation of other:1"),
    ):
        with pytest.raises(Conflict, match=f"follows from {fact}"):
            registry.lineage.unlink(source, relation, target, reason="r")


def test_opposite_links_at_once_make_no_cycle(registry: cm.Registry) -> None:
    for n in range(6):
        registry.register("a", {"t": n})
        registry.register("b", {"t": n})
    for n in range(1, 7):
        barrier = Barrier(2)

        def link(ends: tuple[str, str], barrier: Barrier = barrier) -> bool:
            barrier.wait()
            try:
                registry.lineage.link(ends[0], "derived_from", ends[1], reason="r")
            except Conflict:
                return False
            return True

        with ThreadPoolExecutor(2) as pool:
            assert sorted(pool.map(link, [(f"a:{n}", f"b:{n}"), (f"b:{n}", f"a:{n}")])) == [False, True]


def test_two_servers_link_at_once(postgres_url: str, tmp_path: Path) -> None:
    """Two catalogs of their own on one database: the lock is the database's."""
    upgrade_catalog(postgres_url)
    here, there = (cm.open(tmp_path / "registry", database_url=postgres_url, actor=a) for a in ("ada", "bob"))
    with here, there:
        for n in range(1, 9):
            here.register("a", {"t": n})
            here.register("b", {"t": n})
            barrier = Barrier(2)

            def link(of: tuple[cm.Registry, str, str], barrier: Barrier = barrier) -> bool:
                registry, source, target = of
                barrier.wait()
                try:
                    registry.lineage.link(source, "derived_from", target, reason="r")
                except Conflict:
                    return False
                return True

            with ThreadPoolExecutor(2) as pool:
                asked = [(here, f"a:{n}", f"b:{n}"), (there, f"b:{n}", f"a:{n}")]
                assert sorted(pool.map(link, asked)) == [False, True]


def test_a_purged_version_leaves_no_edges(registry: cm.Registry) -> None:
    registry.register("fraud", {"t": 1}, dataset=FEBRUARY)
    registry.register("fraud", {"t": 2}, dataset=FEBRUARY)
    registry.versions.delete("fraud:1")
    assert [a.node.label for a in registry.lineage.impact(FEBRUARY).affected] == ["fraud:2", "fraud:1"]
    registry.versions.purge("fraud:1", reason="r")
    assert [a.node.label for a in registry.lineage.impact(FEBRUARY).affected] == ["fraud:2"]


def test_a_model_called_dataset_is_written_with_its_project(local: cm.Registry) -> None:
    local.register("dataset", {"t": 1})
    assert local.lineage.graph("default/dataset:1").nodes[0].label == "dataset:1"
    with pytest.raises(NotFound, match="no data set"):
        local.lineage.graph("dataset:1")


@pytest.mark.parametrize("name", [" ", "march ", "\tmarch", "march\napril", "ma\u200brch", "march\x1b[31m", ""])
def test_a_name_that_nobody_could_read_is_refused(name: str) -> None:
    with memory_registry() as registry:
        with pytest.raises(InvalidRequest, match="data set"):
            registry.register("fraud", {"t": 1}, dataset=cm.DatasetRef(name=name))
        registry.register("fraud", {"t": 1})
        with pytest.raises(InvalidRequest, match="data set"):
            registry.versions.evaluate("fraud:1", {"f1": 0.5}, dataset=cm.DatasetRef(name=name))
        assert len(registry.lineage.datasets()) == 0


@pytest.mark.parametrize("name", ["dataset:march", "sha256:march", "dataset:sha256:0", "Größe 3 – März"])
def test_a_name_that_begins_like_something_else_is_found(name: str) -> None:
    with memory_registry() as registry:
        registry.register("fraud", {"t": 1}, dataset=cm.DatasetRef(name=name))
        assert registry.lineage.dataset(name).name == name
        assert registry.lineage.dataset(f"dataset:{name}").name == name
        assert [node.label for node in registry.lineage.descendants(f"dataset:{name}").nodes if node.kind == "version"]
