"""Parts of a lineage for tests of how they are shown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from chopmark.domain.datasets import DatasetRef
from chopmark.domain.lineage import RELATIONS, Edge
from chopmark.domain.lineage_graph import LineageGraph, LineageNode

AT = datetime(2026, 3, 3, 9, 12, tzinfo=UTC)


def version(number: int, **rest: Any) -> LineageNode:
    given = {
        "id": f"version:{number:032x}",
        "kind": "version",
        "label": f"fraud:{number}",
        "project": "default",
        "model": "fraud",
        "number": number,
        "semver": f"1.{number}.0",
        "stage": "development",
        "digest": "sha256:" + f"{number:064x}",
        "size_bytes": 100 + number,
        "created_at": AT + timedelta(days=number),
    }
    return LineageNode(**{**given, **rest})


def dataset(name: str, **rest: Any) -> LineageNode:
    described = DatasetRef(name, **rest)
    node = f"dataset:{described.digest or described.uri or name}"
    return LineageNode(id=node, kind="dataset", label=name, dataset=described)


def run(run_id: str) -> LineageNode:
    return LineageNode(id=f"run:{run_id}", kind="run", label=run_id)


def edge(source: LineageNode, relation: str, target: LineageNode) -> Edge:
    return Edge(source=source.id, relation=relation, target=target.id, at=AT + timedelta(days=90))


def graph(root: LineageNode, *edges: tuple[LineageNode, str, LineageNode], **rest: Any) -> LineageGraph:
    nodes = dict.fromkeys([root.id])
    known = {root.id: root}
    for source, _, target in edges:
        known |= {source.id: source, target.id: target}
        nodes |= {source.id: None, target.id: None}
    given = {"direction": "both", "edges": tuple(edge(*each) for each in edges)}
    return LineageGraph(roots=(root.id,), nodes=tuple(known[n] for n in nodes), **{**given, **rest})


@st.composite
def graphs(draw: st.DrawFn) -> LineageGraph:
    """Any edges between a few nodes, cycles and several relations of one pair among them."""
    words = st.text(st.characters(), min_size=1, max_size=60)
    count = draw(st.integers(1, 7))
    nodes = [version(n, label=draw(words), aliases=tuple(draw(st.lists(words, max_size=2)))) for n in range(count)]
    end = st.integers(0, count - 1)
    triples = draw(st.lists(st.tuples(end, st.sampled_from(RELATIONS), end), max_size=14, unique=True))
    edges = tuple(edge(nodes[a], relation, nodes[b]) for a, relation, b in triples)
    direction = draw(st.sampled_from(["up", "down", "both"]))
    return LineageGraph(roots=(nodes[0].id,), direction=direction, nodes=tuple(nodes), edges=edges)  # type: ignore[arg-type]
