"""A layered drawing: what it must keep, and how few crossings it has."""

from __future__ import annotations

from itertools import combinations, pairwise, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chopmark.reports import layered
from chopmark.reports.layered import Drawing, Link, crossings, draw


def graph(*pairs: str) -> tuple[list[str], list[Link]]:
    """Nodes and links of texts like ``ab``, each a link of its own kind."""
    nodes = list(dict.fromkeys(node for pair in pairs for node in pair))
    return nodes, [Link(pair[0], pair[1], str(i)) for i, pair in enumerate(pairs)]


def segments(ways: list[list[str]]) -> list[tuple[str, str]]:
    return list(dict.fromkeys(step for way in ways for step in pairwise(way)))


def crossed(drawing: Drawing) -> int:
    depth = drawing.depth_of
    down = [way if depth[way[0]] < depth[way[-1]] else way[::-1] for way in drawing.ways]
    return crossings(drawing.layers, segments(down))


@st.composite
def dags(draw_from: st.DrawFn) -> tuple[list[str], list[Link]]:
    count = draw_from(st.integers(1, 14))
    ends = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)).filter(lambda p: p[0] < p[1])
    pairs = draw_from(st.lists(ends, max_size=24, unique=True)) if count > 1 else []
    nodes = draw_from(st.permutations([f"n{i}" for i in range(count)]))
    kinds = st.sampled_from(["a", "b"])
    return nodes, [Link(f"n{a}", f"n{b}", draw_from(kinds)) for a, b in pairs]


@given(
    upper=st.permutations(range(5)),
    pairs=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=12, unique=True),
)
def test_crossings_are_counted_as_by_hand(upper: list[int], pairs: list[tuple[int, int]]) -> None:
    layers = [[f"u{i}" for i in upper], [f"l{i}" for i in range(5)]]
    at = {node: i for layer in layers for i, node in enumerate(layer)}
    drawn = [(f"u{a}", f"l{b}") for a, b in pairs]
    by_hand = sum((at[a] - at[c]) * (at[b] - at[d]) < 0 for (a, b), (c, d) in combinations(drawn, 2))
    assert crossings(layers, drawn) == by_hand


@settings(deadline=None)
@given(dags())
def test_a_drawing_keeps_what_it_promises(given_graph: tuple[list[str], list[Link]]) -> None:
    nodes, links = given_graph
    drawing = draw(nodes, links, size=2.0, dummy_size=0.5)
    depth = drawing.depth_of
    assert sorted(n for layer in drawing.layers for n in layer if n in set(nodes)) == sorted(nodes)
    assert all(layer for layer in drawing.layers)
    for way, link in zip(drawing.ways, links, strict=True):
        assert (way[0], way[-1]) == (link.tail, link.head)
        assert all(depth[b] == depth[a] + 1 for a, b in pairwise(way))
        assert not set(way[1:-1]) & set(nodes)
    sizes = {n: 2.0 if n in set(nodes) else 0.5 for n in depth}
    for layer in drawing.layers:
        for a, b in pairwise(layer):
            assert drawing.places[b] - drawing.places[a] >= (sizes[a] + sizes[b]) / 2 - 1e-9
    assert min(drawing.places.values()) == 0
    assert drawing == draw(nodes, links, size=2.0, dummy_size=0.5)


@settings(deadline=None)
@given(dags())
def test_never_more_crossings_than_without_ordering(given_graph: tuple[list[str], list[Link]]) -> None:
    nodes, links = given_graph
    layers, ways = layered._with_dummies(nodes, links, layered._depths(nodes, links))
    assert crossed(draw(nodes, links)) <= crossings(layers, segments(ways))


GRID = [f"{chr(97 + 3 * r + c)}{chr(97 + 3 * r2 + c2)}" for r, c in product(range(3), range(3)) for r2, c2 in ((r + 1, c), (r, c + 1)) if r2 < 3 and c2 < 3]  # fmt: skip


@pytest.mark.parametrize(
    ("pairs", "fewest"),
    [
        ((), 0),
        (("ab",), 0),
        (("ad", "ae", "be", "bd"), 1),  # K2,2
        (("ad", "ae", "af", "bd", "be", "bf", "cd", "ce", "cf"), 9),  # K3,3
        (("ax", "by", "cz", "xC", "yB", "zA"), 0),
        (("af", "be", "cd"), 0),
        (("ab", "bc", "cd", "ad", "ac", "bd"), 0),  # K4 lies flat
        (("ab", "ac", "bd", "be", "cf", "cg", "dh", "gi"), 0),  # a tree
        (tuple(GRID), 0),
    ],
)
def test_small_graphs_have_the_fewest_crossings_possible(pairs: tuple[str, ...], fewest: int) -> None:
    assert crossed(draw(*graph(*pairs))) == fewest


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("abcdef"), st.sampled_from("abcdef")).filter(lambda p: p[0] != p[1]),
        max_size=14,
        unique=True,
    )
)
def test_cycles_are_drawn_too(pairs: list[tuple[str, str]]) -> None:
    links = [Link(a, b, "k") for a, b in pairs]
    drawing = draw(list("abcdef"), links)
    depth = drawing.depth_of
    for way, link in zip(drawing.ways, links, strict=True):
        assert (way[0], way[-1]) == link[:2]
        steps = {depth[b] - depth[a] for a, b in pairwise(way)}
        assert steps in ({1}, {-1})


def test_a_source_stands_near_what_it_leads_to() -> None:
    drawing = draw(*graph("ab", "bc", "cd", "xd"))
    assert drawing.depth_of == {"a": 0, "b": 1, "c": 2, "x": 2, "d": 3}


def test_edges_of_one_kind_share_their_way() -> None:
    """One data set of a chain of versions: a trunk with branches, not a line for each."""
    nodes = ["data", *(f"v{n}" for n in range(40))]
    chain = [Link(a, b, "next") for a, b in pairwise(nodes[1:])]
    drawing = draw(nodes, [*chain, *(Link("data", v, "trained") for v in nodes[1:])])
    assert max(map(len, drawing.layers)) == 2
    assert crossed(drawing) == 0


def test_a_chain_is_straight_and_a_parent_stands_over_the_middle_of_its_children() -> None:
    chain = draw(*graph("ab", "bc", "cd"))
    assert set(chain.places.values()) == {0}
    fan = draw(*graph("ab", "ac", "ad"))
    assert (fan.places["a"], fan.places["b"], fan.places["c"], fan.places["d"]) == (1, 0, 1, 2)


def test_large_graphs_are_drawn_in_time() -> None:
    nodes = [f"v{n}" for n in range(1_000)]
    ladder = [Link(nodes[n - back], nodes[n], str(back)) for n in range(2, 1_000) for back in (1, 2)]
    drawing = draw(nodes, ladder)
    assert len(drawing.layers) == 999
    assert crossed(drawing) <= 1_000
