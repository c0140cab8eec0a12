"""Lineage as a tree: everything once, nothing forgotten."""

from __future__ import annotations

import itertools

from hypothesis import given

from chopmark.domain.lineage_graph import LineageGraph
from chopmark.reports.lineage_svg import lineage_svg
from chopmark.reports.lineage_tree import lineage_tree
from tests.reports.graphs import dataset, graph, graphs, run, version


def test_a_tree_both_ways() -> None:
    one, two, three = version(1), version(2, stage="production", aliases=("champion",)), version(3, deleted=True)
    both = version(9, label="both:1", semver="1.0.0")
    data = dataset("march", digest="sha256:" + "a" * 64, split="train", row_count=1_200)
    tree = lineage_tree(
        graph(
            two,
            (two, "retrained_from", one),
            (two, "trained_on", data),
            (one, "trained_on", data),
            (one, "produced_by", run("night-7")),
            (three, "fine_tuned_from", two),
            (two, "ensemble_member_of", both),
            (three, "ensemble_member_of", both),
            (three, "replaces", two),
        )
    )
    assert tree.splitlines() == [
        "fraud:2  1.2.0 · production · @champion",
        "├─ comes from",
        "│  ├─ retrained from fraud:1  1.1.0 · development",
        "│  │  ├─ trained on data set march  train · 1,200 rows · sha256:aaaaaaaaaaaa",
        "│  │  └─ produced by run night-7",
        "│  └─ trained on march",
        "└─ leads to",
        "   ├─ fine-tuned as fraud:3  1.3.0 · development · deleted",
        "   │  └─ member of both:1  1.0.0 · development",
        "   ├─ member of both:1",
        "   └─ replaced by fraud:3",
    ]


def test_a_data_set_without_a_name_has_its_digest_once() -> None:
    digest = "sha256:" + "9" * 64
    shown = dataset(digest[:19], digest=digest, row_count=569)
    drawn = graph(version(2), (version(2), "trained_on", shown))
    lines = lineage_tree(drawn).splitlines()
    assert "<title>dataset · sha256:999999999999 · 569 rows</title>" in lineage_svg(drawn)
    assert lines[-1] == "   └─ trained on data set sha256:999999999999  569 rows"
    named = dataset("march", digest=digest, row_count=569)
    assert named.summary == "569 rows · sha256:999999999999"


def test_a_node_that_was_shown_is_marked() -> None:
    top, left, right, bottom, far = (version(n) for n in range(1, 6))
    tree = lineage_tree(
        graph(
            top,
            (top, "derived_from", left),
            (top, "derived_from", right),
            (left, "derived_from", bottom),
            (right, "derived_from", bottom),
            (bottom, "derived_from", far),
            direction="up",
        )
    )
    assert tree.count("fraud:5") == 1
    assert "derived from fraud:4 ↑ shown above" in tree


def test_an_ensemble_comes_from_its_members() -> None:
    member, ensemble = version(1), version(9, label="both:1")
    told = lineage_tree(graph(ensemble, (member, "ensemble_member_of", ensemble)))
    assert told.splitlines()[1:] == ["└─ comes from", "   └─ has member fraud:1  1.1.0 · development"]


def test_a_very_deep_chain_is_cut_and_counted() -> None:
    chain = [version(n) for n in range(5_000)]
    edges = [(a, "retrained_from", b) for a, b in itertools.pairwise(chain)]
    lines = lineage_tree(graph(chain[0], *edges, direction="up")).splitlines()
    assert len(lines) == 2 + 40 + 1
    assert lines[-1].endswith("└─ … 4,959 deeper")


def test_alone_and_truncated() -> None:
    assert lineage_tree(graph(version(1))) == "fraud:1  1.1.0 · development"
    assert lineage_tree(graph(version(1), truncated=True)).endswith("… there is more than the limit lets through")


@given(graphs())
def test_any_graph_ends_and_is_no_longer_than_its_edges(drawn: LineageGraph) -> None:
    lines = lineage_tree(drawn).splitlines()
    assert len(lines) <= 2 * len(drawn.edges) + 3
    assert all(line[:2] in ("├─", "└─", "│ ", "  ") for line in lines[1:])
