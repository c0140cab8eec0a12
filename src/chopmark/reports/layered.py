"""A layered drawing of a directed graph: who stands in which layer, in which order, and where.

After Sugiyama, Tagawa and Toda, "Methods for Visual Understanding of Hierarchical System
Structures", IEEE Trans. SMC 11 (1981), with the weighted medians and transpositions of Gansner,
Koutsofios, North and Vo, "A Technique for Drawing Directed Graphs", IEEE TSE 19 (1993):

1. edges that close a cycle are turned round for the drawing;
2. a node's layer is the length of the longest path to it; a node with more edges out than in then
   moves as near to what it leads to as it can;
3. an edge over several layers gets a dummy in each layer between (edges of one kind from one node
   share them, as a trunk shares its branches);
4. sweeps down and up order each layer by the medians of its neighbours, and neighbours change
   places while that saves crossings; the best order seen is kept;
5. places within a layer are those nearest to the neighbours' that keep order and distance (least
   squares, by pooling adjacent violators).

Everything is deterministic: the same graph gives the same drawing.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

__all__ = ["Arrangement", "Drawing", "Link", "arrange", "crossings", "draw", "placed"]

SWEEPS = 24
SWEEPS_FRUITLESS = 6
ALIGNMENTS = 12
TRANSPOSED_MAX = 4_000
"""Nodes and dummies above which neighbours do not change places: it takes too long."""


class Link(NamedTuple):
    """An edge from one node to another; those of the same ``kind`` from one node may share their way."""

    tail: str
    head: str
    kind: str


class Drawing(NamedTuple):
    """Where everything stands.

    Attributes
    ----------
    layers
        Nodes and dummies of each layer in their order; dummies are those not asked for.
    places
        Place of each within its layer; two neighbours are at least their sizes apart.
    ways
        For each link the nodes and dummies it passes, from its tail to its head.
    """

    layers: list[list[str]]
    places: dict[str, float]
    ways: list[list[str]]

    @property
    def depth_of(self) -> dict[str, int]:
        """Layer of each node and dummy."""
        return {node: depth for depth, layer in enumerate(self.layers) for node in layer}


class Arrangement(NamedTuple):
    """Layers in their order, before anything has a place.

    Attributes
    ----------
    layers, ways
        As of a `Drawing`.
    ups, downs
        Neighbours of each node and dummy in the layer above, and in the layer below.
    nodes
        What was asked for; everything else in the layers is a dummy.
    """

    layers: list[list[str]]
    ways: list[list[str]]
    ups: dict[str, list[str]]
    downs: dict[str, list[str]]
    nodes: frozenset[str]


def draw(nodes: Sequence[str], links: Sequence[Link], *, size: float = 1.0, dummy_size: float = 0.4) -> Drawing:
    """Lay out a graph: `arrange` it, and give everything its place."""
    return placed(arrange(nodes, links), size=size, dummy_size=dummy_size)


def arrange(nodes: Sequence[str], links: Sequence[Link]) -> Arrangement:
    """Find layers and orders with few crossings.

    Parameters
    ----------
    nodes
        Each once; their order decides where the drawing leaves it open.
    links
        Edges between different nodes; any may be there more than once, in kinds.
    """
    directed = _without_cycles(nodes, links)
    layers, ways = _with_dummies(nodes, directed, _depths(nodes, directed))
    ups, downs = _neighbours(layers, ways)
    turned = [way if way[0] == link.tail else way[::-1] for way, link in zip(ways, links, strict=True)]
    return Arrangement(_ordered(layers, ups, downs), turned, ups, downs, frozenset(nodes))


def placed(arrangement: Arrangement, *, size: float, dummy_size: float) -> Drawing:
    """Give everything its place within its layer.

    Parameters
    ----------
    size, dummy_size
        Room that a node and a dummy take within a layer.
    """
    layers = arrangement.layers
    sizes = {node: size if node in arrangement.nodes else dummy_size for layer in layers for node in layer}
    places = _aligned(layers, arrangement.ups, arrangement.downs, sizes)
    return Drawing(layers, places, arrangement.ways)


def crossings(layers: Sequence[Sequence[str]], segments: Sequence[tuple[str, str]]) -> int:
    """How many pairs of segments between neighbouring layers cross.

    Parameters
    ----------
    layers
        In order.
    segments
        Each from a node of one layer to a node of the next.
    """
    downs: dict[str, list[str]] = {}
    for tail, head in segments:
        downs.setdefault(tail, []).append(head)
    return sum(_crossed(upper, lower, downs) for upper, lower in pairwise(layers))


def _crossed(upper: Sequence[str], lower: Sequence[str], downs: dict[str, list[str]]) -> int:
    place = {node: i for i, node in enumerate(lower)}
    ends: list[int] = []
    total = 0
    for node in upper:
        own = sorted(place[head] for head in downs.get(node, ()))
        total += sum(len(ends) - bisect_right(ends, end) for end in own)
        for end in own:
            insort(ends, end)
    return total


def _without_cycles(nodes: Sequence[str], links: Sequence[Link]) -> list[Link]:
    """The links, those turned round that close a cycle on a walk through the graph."""
    heads: dict[str, list[str]] = {node: [] for node in nodes}
    for link in links:
        heads[link.tail].append(link.head)
    order: dict[str, int] = {}  # in the order in which walks leave nodes; a later one leads to an earlier one
    open_nodes: set[str] = set()
    for start in nodes:
        stack = [] if start in order else [(start, iter(heads[start]))]
        open_nodes.update(node for node, _ in stack)
        while stack:
            node, rest = stack[-1]
            head = next((h for h in rest if h not in order and h not in open_nodes), None)
            if head is None:
                stack.pop()
                open_nodes.discard(node)
                order[node] = len(order)
            else:
                open_nodes.add(head)
                stack.append((head, iter(heads[head])))
    return [k if order[k.tail] > order[k.head] else Link(k.head, k.tail, k.kind) for k in links]


def _depths(nodes: Sequence[str], links: Sequence[Link]) -> dict[str, int]:
    heads: dict[str, list[str]] = {node: [] for node in nodes}
    missing = dict.fromkeys(nodes, 0)
    for link in links:
        heads[link.tail].append(link.head)
        missing[link.head] += 1
    incoming = dict(missing)
    depths = dict.fromkeys(nodes, 0)
    waiting = [node for node in nodes if not missing[node]]
    for node in waiting:  # grows while it is walked: a node comes after all that lead to it
        for head in heads[node]:
            depths[head] = max(depths[head], depths[node] + 1)
            missing[head] -= 1
            if not missing[head]:
                waiting.append(head)
    for node in reversed(waiting):
        if len(heads[node]) > incoming[node]:
            depths[node] = min(depths[head] for head in heads[node]) - 1
    return depths


def _with_dummies(
    nodes: Sequence[str], links: Sequence[Link], depths: dict[str, int]
) -> tuple[list[list[str]], list[list[str]]]:
    layers: list[list[str]] = [[] for _ in range(max(depths.values(), default=-1) + 1)]
    for node in nodes:
        layers[depths[node]].append(node)
    ways: list[list[str]] = []
    made: set[str] = set()
    for link in links:
        # A name no node has: nodes are texts without the sign that separates here.
        between = [f"\0{link.tail}\0{link.kind}\0{d}" for d in range(depths[link.tail] + 1, depths[link.head])]
        for depth, dummy in enumerate(between, depths[link.tail] + 1):
            if dummy not in made:
                made.add(dummy)
                layers[depth].append(dummy)
        ways.append([link.tail, *between, link.head])
    return layers, ways


def _neighbours(
    layers: Sequence[Sequence[str]], ways: Sequence[Sequence[str]]
) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Neighbours of each in the layer above, and in the layer below."""
    ups: dict[str, list[str]] = {node: [] for layer in layers for node in layer}
    downs: dict[str, list[str]] = {node: [] for layer in layers for node in layer}
    for tail, head in dict.fromkeys(step for way in ways for step in pairwise(way)):
        downs[tail].append(head)
        ups[head].append(tail)
    return ups, downs


def _ordered(layers: list[list[str]], ups: dict[str, list[str]], downs: dict[str, list[str]]) -> list[list[str]]:
    """The order with the fewest crossings that sweeps from two beginnings come upon."""
    swapped = sum(map(len, layers)) <= TRANSPOSED_MAX
    starts = [_walked(layers, downs), [list(layer) for layer in layers]]
    best, fewest = [list(layer) for layer in layers], _count(layers, downs)
    for start in starts:
        order, fruitless = start, 0
        for sweep in range(SWEEPS):
            if fewest == 0 or fruitless == SWEEPS_FRUITLESS:
                break
            _sweep(order, ups if sweep % 2 == 0 else downs, down=sweep % 2 == 0, ties_move=sweep % 4 > 1)
            if swapped:
                _transpose(order, ups, downs)
            count = _count(order, downs)
            fruitless = 0 if count < fewest else fruitless + 1
            if count < fewest:
                best, fewest = [list(layer) for layer in order], count
    return best


def _count(layers: Sequence[Sequence[str]], downs: dict[str, list[str]]) -> int:
    return sum(_crossed(upper, lower, downs) for upper, lower in pairwise(layers))


def _walked(layers: Sequence[Sequence[str]], downs: dict[str, list[str]]) -> list[list[str]]:
    """Each layer in the order in which a walk from the first layer on, depth first, meets its nodes."""
    met: dict[str, None] = {}
    for layer in layers:
        for start in layer:
            stack = [start]
            while stack:
                node = stack.pop()
                if node not in met:
                    met[node] = None
                    stack.extend(reversed(downs[node]))
    rank = {node: i for i, node in enumerate(met)}
    return [sorted(layer, key=rank.__getitem__) for layer in layers]


def _sweep(order: list[list[str]], neighbours: dict[str, list[str]], *, down: bool, ties_move: bool) -> None:
    """Order each layer by the medians of its neighbours in the one before; the others stay where they are."""
    indices = range(1, len(order)) if down else range(len(order) - 2, -1, -1)
    for i in indices:
        before = order[i - 1] if down else order[i + 1]
        place = {node: p for p, node in enumerate(before)}
        medians = {node: _median(sorted(place[n] for n in neighbours[node])) for node in order[i]}
        movable = [node for node in order[i] if medians[node] >= 0]
        if ties_move:
            movable.reverse()
        ranked = iter(sorted(movable, key=medians.__getitem__))
        order[i] = [next(ranked) if medians[node] >= 0 else node for node in order[i]]


def _median(places: Sequence[int]) -> float:
    """The weighted median: of an even number, nearer to the side where the places lie closer."""
    if not places:
        return -1.0
    middle = len(places) // 2
    if len(places) % 2:
        return places[middle]
    if len(places) == 2:  # noqa: PLR2004 - a pair has no sides
        return sum(places) / 2
    left, right = places[middle - 1] - places[0], places[-1] - places[middle]
    if left + right == 0:
        return (places[middle - 1] + places[middle]) / 2
    return (places[middle - 1] * right + places[middle] * left) / (left + right)


def _transpose(order: list[list[str]], ups: dict[str, list[str]], downs: dict[str, list[str]]) -> None:
    """Let neighbours change places while that saves crossings; a layer is looked at again when one beside it changed."""
    waiting = set(range(len(order)))
    while waiting:
        looked_at, waiting = sorted(waiting), set()
        for i in looked_at:
            above = _sides(order[i], ups, order[i - 1] if i else [])
            below = _sides(order[i], downs, order[i + 1] if i + 1 < len(order) else [])
            if _swap(order[i], above, below):
                waiting.update(range(max(i - 1, 0), min(i + 2, len(order))))


def _swap(layer: list[str], above: dict[str, list[int]], below: dict[str, list[int]]) -> bool:
    """Let neighbours of one layer change places once; whether any did."""
    improved = False
    for j in range(len(layer) - 1):
        a, b = layer[j], layer[j + 1]
        now = _inverted(above[a], above[b]) + _inverted(below[a], below[b])
        if now and _inverted(above[b], above[a]) + _inverted(below[b], below[a]) < now:
            layer[j], layer[j + 1] = b, a
            improved = True
    return improved


def _sides(layer: Sequence[str], neighbours: dict[str, list[str]], other: Sequence[str]) -> dict[str, list[int]]:
    place = {node: p for p, node in enumerate(other)}
    return {node: sorted([place[n] for n in neighbours[node]]) for node in layer}


def _inverted(left: Sequence[int], right: Sequence[int]) -> int:
    """Crossings of the edges of two neighbours with sorted ends, the first standing left of the second."""
    if not left or not right or left[-1] <= right[0]:
        return 0
    return sum([bisect_left(right, end) for end in left])


def _aligned(
    order: Sequence[Sequence[str]],
    ups: dict[str, list[str]],
    downs: dict[str, list[str]],
    sizes: dict[str, float],
) -> dict[str, float]:
    """Places near the neighbours', layer by layer, down and up in turn; the smallest is 0."""
    places: dict[str, float] = {}
    for layer in order:
        places.update(zip(layer, _spread([0.0] * len(layer), [sizes[n] for n in layer]), strict=True))
    for turn in range(ALIGNMENTS):
        down = turn % 2 == 0
        for layer in order if down else reversed(order):
            wanted = [_wish(node, ups if down else downs, downs if down else ups, places) for node in layer]
            places.update(zip(layer, _spread(wanted, [sizes[n] for n in layer]), strict=True))
    least = min(places.values(), default=0.0)
    return {node: place - least for node, place in places.items()}


def _wish(node: str, first: dict[str, list[str]], second: dict[str, list[str]], places: dict[str, float]) -> float:
    """Middle of the neighbours on the side that is settled, else on the other one, else where it is."""
    beside = [places[n] for n in (first[node] or second[node])]
    return sum(beside) / len(beside) if beside else places[node]


def _spread(wanted: Sequence[float], sizes: Sequence[float]) -> list[float]:
    """Places in the given order, each half its own and half its neighbour's size apart, nearest to those wanted."""
    offsets: list[float] = []
    for i, size in enumerate(sizes):
        offsets.append(offsets[-1] + (sizes[i - 1] + size) / 2 if i else 0.0)
    pools: list[tuple[float, int]] = []  # (sum of wishes, how many): each pool stands at its mean
    for wish, offset in zip(wanted, offsets, strict=True):
        total, count = wish - offset, 1
        while pools and pools[-1][0] / pools[-1][1] > total / count:
            before, many = pools.pop()
            total, count = total + before, count + many
        pools.append((total, count))
    means = [total / count for total, count in pools for _ in range(count)]
    return [mean + offset for mean, offset in zip(means, offsets, strict=True)]
