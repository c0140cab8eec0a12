"""Which end of an edge comes from which, and what may be linked."""

from datetime import UTC, datetime
from itertools import product

import pytest

from chopmark.domain.lineage import (
    FOLLOWED,
    RELATIONS,
    SHOWN,
    Edge,
    NodeKind,
    check_link,
    edges_on_path,
    kind_of_node,
    relation_words,
)
from chopmark.domain.lineage_graph import LineageNode, affected_by, evaluated_on
from chopmark.errors import InvalidRequest

AT = datetime(2026, 3, 3, tzinfo=UTC)
KINDS: tuple[NodeKind, ...] = ("version", "dataset", "run")


def edge(source: str, relation: str, target: str) -> Edge:
    return Edge(source=source, relation=relation, target=target, at=AT)


def test_every_relation_is_followed_or_shown() -> None:
    assert set(FOLLOWED) | set(SHOWN) == set(RELATIONS)
    assert not set(FOLLOWED) & set(SHOWN)


def test_which_end_comes_from_which() -> None:
    for relation in RELATIONS:
        made = edge("a", relation, "b")
        first = "a" if relation == "ensemble_member_of" else "b"
        assert {made.upstream, made.downstream} == {"a", "b"}
        assert made.upstream == first, relation


def test_what_may_be_linked() -> None:
    allowed = {
        (source, relation, target)
        for source, relation, target in product(KINDS, RELATIONS, KINDS)
        if _is_allowed(source, relation, target)
    }
    assert {source for source, _, _ in allowed} == {"version"}
    assert {relation for _, relation, _ in allowed} == set(RELATIONS)
    assert {r for _, r, target in allowed if target == "dataset"} == {"trained_on", "evaluated_on"}
    assert {r for _, r, target in allowed if target == "run"} == {"produced_by"}
    assert len(allowed) == len(RELATIONS)
    with pytest.raises(InvalidRequest, match="'likes' is not a relation"):
        check_link("version", "likes", "version")


def _is_allowed(source: NodeKind, relation: str, target: NodeKind) -> bool:
    try:
        check_link(source, relation, target)
    except InvalidRequest:
        return False
    return True


def test_a_shortest_way_upstream() -> None:
    long = [edge("a", "derived_from", "b"), edge("b", "derived_from", "c"), edge("c", "derived_from", "z")]
    short = [edge("a", "derived_from", "d"), edge("z", "ensemble_member_of", "d")]
    assert edges_on_path([*long, *short], "a", "z") == short
    assert edges_on_path(long, "a", "z") == long
    assert edges_on_path(long, "z", "a") == []
    assert edges_on_path([*long, edge("z", "derived_from", "a")], "b", "a")[-1].source == "z"


def test_relations_are_read_along_the_way() -> None:
    assert relation_words("retrained_from", upstream=True) == "retrained from"
    assert relation_words("retrained_from", upstream=False) == "retrained as"
    assert relation_words("ensemble_member_of", upstream=True) == "has member"
    assert relation_words("ensemble_member_of", upstream=False) == "member of"
    words = [relation_words(r, upstream=u) for r in RELATIONS for u in (True, False)]
    assert len(set(words)) == len(words)


def test_kinds_of_nodes() -> None:
    assert [kind_of_node(f"{kind}:x:y") for kind in KINDS] == list(KINDS)
    with pytest.raises(InvalidRequest, match="no node"):
        kind_of_node("fraud:4")


def node(label: str, **rest: str) -> LineageNode:
    return LineageNode(id=label, kind="version", label=label, model=label, **rest)  # type: ignore[arg-type]


def test_who_is_affected_first() -> None:
    known = {n: node(n) for n in "abcdef"} | {
        "p": node("p", stage="production"),
        "q": node("q", stage="canary"),
        "r": LineageNode(id="r", kind="version", label="r", aliases=("champion",)),
        "g": LineageNode(id="g", kind="version", label="g", stage="production", deleted=True),
    }
    edges = [
        edge("a", "trained_on", "f"),
        edge("g", "trained_on", "f"),
        edge("b", "retrained_from", "a"),
        edge("r", "retrained_from", "a"),
        edge("p", "retrained_from", "b"),
        edge("q", "retrained_from", "a"),
        edge("e", "evaluated_on", "f"),
        edge("a", "evaluated_on", "f"),
        edge("c", "replaces", "a"),
        edge("d", "evaluated_on", "elsewhere"),
    ]
    found = affected_by(["f"], edges, known)
    assert [(a.node.label, a.depth, a.live) for a in found] == [
        ("p", 3, True),
        ("q", 2, True),
        ("r", 2, True),
        ("a", 1, False),
        ("b", 2, False),
        ("g", 1, False),
    ]
    assert [(a.relation, a.via) for a in found[:2]] == [("retrained_from", "b"), ("retrained_from", "a")]
    assert [n.label for n in evaluated_on(["f"], edges, known)] == ["e"]
