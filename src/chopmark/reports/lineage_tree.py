"""Lineage as a tree of text, for terminals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from chopmark.domain.lineage import Edge, is_followed, relation_words
from chopmark.domain.lineage_graph import LineageGraph, LineageNode

__all__ = ["lineage_tree"]

DEPTH_SHOWN = 40
_HEADINGS = {True: "comes from", False: "leads to"}


class _Entry(NamedTuple):
    """A line that is still to be written, and what stands before it."""

    edge: Edge
    node: str
    prefix: str
    is_last: bool
    depth: int


def lineage_tree(graph: LineageGraph, *, depth_max: int = DEPTH_SHOWN) -> str:
    """The graph as a tree below each of its roots.

    A node that was shown before is marked and not unfolded again, so that diamonds stay readable.

    Parameters
    ----------
    graph
        What is shown.
    depth_max
        Steps that are unfolded; what lies deeper is counted.
    """
    known = {node.id: node for node in graph.nodes}
    lines = [line for root in graph.roots for line in _below(graph, known, root, depth_max)]
    if graph.truncated:
        lines.append("… there is more than the limit lets through")
    return "\n".join(lines)


def _below(graph: LineageGraph, known: dict[str, LineageNode], root: str, depth_max: int) -> Iterator[str]:
    yield _described(known[root])
    ways = {"up": (True,), "down": (False,), "both": (True, False)}[graph.direction]
    leaving = {upstream: _leaving(graph.edges, upstream) for upstream in ways}
    ways = tuple(upstream for upstream in ways if root in leaving[upstream])
    for upstream in ways:
        is_last = upstream == ways[-1]
        yield ("└─ " if is_last else "├─ ") + _HEADINGS[upstream]
        yield from _branches(leaving[upstream], known, root, "   " if is_last else "│  ", upstream, depth_max)


def _leaving(edges: Sequence[Edge], upstream: bool) -> dict[str, list[Edge]]:
    """Edges by the end at which a walk meets them."""
    found: dict[str, list[Edge]] = {}
    for edge in edges:
        found.setdefault(edge.downstream if upstream else edge.upstream, []).append(edge)
    return found


def _branches(
    leaving: dict[str, list[Edge]],
    known: dict[str, LineageNode],
    root: str,
    prefix: str,
    upstream: bool,
    depth_max: int,
) -> Iterator[str]:
    shown = {root}
    stack = _entries(leaving.get(root, ()), prefix, upstream, 1)
    while stack:  # not recursive: a lineage may be deeper than Python's stack
        entry = stack.pop()
        line = f"{entry.prefix}{'└─ ' if entry.is_last else '├─ '}{relation_words(entry.edge.relation, upstream=upstream)} "
        further = leaving.get(entry.node, []) if is_followed(entry.edge) else []
        if entry.node in shown:
            yield line + _one_line(known[entry.node].label) + (" ↑ shown above" if further else "")
            continue
        yield line + _described(known[entry.node])
        if is_followed(entry.edge):
            shown.add(entry.node)
        below = entry.prefix + ("   " if entry.is_last else "│  ")
        if entry.depth < depth_max:
            stack += _entries(further, below, upstream, entry.depth + 1)
        elif further:
            yield f"{below}└─ … {_beyond(leaving, entry.node, upstream):,} deeper"


def _entries(edges: Sequence[Edge], prefix: str, upstream: bool, depth: int) -> list[_Entry]:
    """Entries of one level, the first on top of the stack."""
    far = [edge.upstream if upstream else edge.downstream for edge in edges]
    last = len(edges) - 1
    return [_Entry(e, n, prefix, i == last, depth) for i, (e, n) in enumerate(zip(edges, far, strict=True))][::-1]


def _beyond(leaving: dict[str, list[Edge]], start: str, upstream: bool) -> int:
    """How many nodes lie behind one."""
    seen, waiting = {start}, [start]
    for node in waiting:  # grows while it is walked
        for edge in leaving.get(node, ()):
            far = edge.upstream if upstream else edge.downstream
            if far not in seen:
                seen.add(far)
                if is_followed(edge):
                    waiting.append(far)
    return len(seen) - 1


def _described(node: LineageNode) -> str:
    kind = {"version": "", "dataset": "data set ", "run": "run "}[node.kind]
    return _one_line(f"{kind}{node.label}{'  ' if node.summary else ''}{node.summary}")


def _one_line(text: str) -> str:
    """Names come from others, and must not make lines of their own."""
    return "".join(c if c.isprintable() else "·" for c in text)
