"""Lineage as a picture: boxes in layers, from what was there first to what came of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from chopmark.domain.lineage import RELATIONS, SHOWN, Edge, relation_words
from chopmark.domain.lineage_graph import LineageGraph, LineageNode
from chopmark.reports.layered import Drawing, Link, arrange, placed
from chopmark.reports.lineage_boxes import HEIGHT, box, box_width
from chopmark.reports.svg import Markup, document, element, number, text_width

__all__ = ["lineage_svg"]

MARGIN = 20.0
GAP_BESIDE, GAP_BELOW = 104.0, 62.0
WIDTH_READ = 1_300.0
"""A picture wider than this is drawn from top to bottom when that makes it narrower."""
LABEL_SIZE = 11.0

_COLOURS = {
    "trained_on": "1",
    "evaluated_on": "6",
    "produced_by": "muted",
    "derived_from": "3",
    "retrained_from": "2",
    "fine_tuned_from": "4",
    "ensemble_member_of": "5",
    "replaces": "muted",
}
_STYLE = ".cm-svg .cm-label{font-size:11px}.cm-edge{fill:none;stroke-width:1.5}.cm-shown{stroke-dasharray:5 4}"


Step = tuple[str, str, str]
"""From one box or dummy to one in the next layer, by a relation."""


class Point(NamedTuple):
    """A place in the picture."""

    x: float
    y: float


class _Plan(NamedTuple):
    """The drawing in pixels, from left to right or from top to bottom."""

    drawing: Drawing
    depth_of: dict[str, int]
    real: frozenset[str]
    width: float
    beside: bool

    def corner(self, node: str) -> Point:
        """Left upper corner of a node's box; of a dummy, where a line enters its layer."""
        place, depth = self.drawing.places[node], self.depth_of[node]
        if node not in self.real:  # places are of the middles, and a line has no breadth
            place += (HEIGHT if self.beside else self.width) / 2
        if self.beside:
            return Point(MARGIN + depth * (self.width + GAP_BESIDE), MARGIN + place)
        return Point(MARGIN + place, MARGIN + depth * (HEIGHT + GAP_BELOW))


def lineage_svg(graph: LineageGraph) -> str:
    """The graph as an SVG document that stands alone and can stand inside a page.

    Arrows lead from what was there first to what comes from it. Lines are dashed where the relation
    says nothing about where a version comes from (``evaluated_on``, ``replaces``).
    """
    known = {node.id: node for node in graph.nodes}
    edges = [edge for edge in graph.edges if edge.source != edge.target]
    links = [Link(edge.upstream, edge.downstream, edge.relation) for edge in edges]
    width = box_width(graph.nodes)
    plan = _planned([node.id for node in graph.nodes], links, width)
    lines, labels = _Lines(plan, edges, known), _Labels()
    drawn = [part for edge, way in zip(edges, plan.drawing.ways, strict=True) for part in lines.of(edge, way)]
    texts = [part for edge, middle in lines.middles for part in labels.of(edge, middle)]
    boxes = [box(known[n], *plan.corner(n), width, is_root=n in graph.roots) for n in known]
    right = max((plan.corner(n).x + width for n in known), default=0.0)
    bottom = max((plan.corner(n).y + HEIGHT for n in known), default=0.0)
    legend, legend_width = _legend([edge.relation for edge in edges], bottom + 26)
    title = "Lineage of " + ", ".join(known[root].label for root in graph.roots)
    about = "; ".join(_told(edge, known) for edge in graph.edges[:200])
    return document(
        max(right, legend_width) + MARGIN,
        bottom + MARGIN + (26 if legend else 0),
        title,
        *drawn,
        *texts,
        *boxes,
        *legend,
        about=about,
        style=_STYLE,
    )


def _planned(nodes: list[str], links: list[Link], width: float) -> _Plan:
    """From left to right, which reads best, unless that is too wide and the other way is narrower."""
    arrangement = arrange(nodes, links)
    drawing = placed(arrangement, size=HEIGHT + 18, dummy_size=14)
    beside = _Plan(drawing, drawing.depth_of, frozenset(nodes), width, beside=True)
    across = len(beside.drawing.layers) * (width + GAP_BESIDE)
    if across <= WIDTH_READ:
        return beside
    drawing = placed(arrangement, size=width + 22, dummy_size=18)
    below = _Plan(drawing, drawing.depth_of, frozenset(nodes), width, beside=False)
    return below if max(below.drawing.places.values(), default=0.0) + width < across else beside


class _Lines:
    """Lines of edges; a stretch that several edges share is drawn once."""

    def __init__(self, plan: _Plan, edges: Sequence[Edge], known: dict[str, LineageNode]) -> None:
        self.plan = plan
        self.known = known
        self.ports = _ports(plan, edges)
        self.middles: list[tuple[Edge, Point]] = []
        self._drawn: set[Step] = set()

    def of(self, edge: Edge, way: list[str]) -> Iterator[Markup]:
        """Lines along the way, and the head of the arrow."""
        colour = _COLOURS.get(edge.relation, "muted")
        look = f"cm-edge cm-s-{colour}{' cm-shown' if edge.relation in SHOWN else ''}"
        told = element("title", None, _told(edge, self.known))
        steps = [(a, b, edge.relation) for a, b in pairwise(way)]
        for step in steps:
            if step not in self._drawn:
                self._drawn.add(step)
                yield element("path", {"class": look, "d": self._stretch(step)}, told)
        start, end = self._start(steps[-1]), self.ports[steps[-1]]
        yield _arrow(end, self.plan.beside, colour, forward=self._is_forward(steps[-1]))
        self.middles.append((edge, Point((end.x + start.x) / 2, (end.y + start.y) / 2)))

    def _is_forward(self, step: Step) -> bool:
        return self.plan.depth_of[step[1]] > self.plan.depth_of[step[0]]

    def _start(self, step: Step) -> Point:
        """Where the line of a step begins: past the box or dummy that it comes from."""
        x, y = self.plan.corner(step[0])
        forward, is_box = self._is_forward(step), step[0] in self.plan.real
        if self.plan.beside:
            return Point(x + (self.plan.width if forward else 0), y + (HEIGHT / 2 if is_box else 0))
        return Point(x + (self.plan.width / 2 if is_box else 0), y + (HEIGHT if forward else 0))

    def _stretch(self, step: Step) -> str:
        """A bend between two layers; of a dummy also the line through its layer."""
        start, end = self._start(step), self.ports[step]
        sign, through = (1 if self._is_forward(step) else -1), ""
        if self.plan.beside:
            middle = (start.x + end.x) / 2
            bends = (Point(middle, start.y), Point(middle, end.y))
            if step[1] not in self.plan.real:
                through = f"H{number(end.x + sign * self.plan.width)}"
        else:
            middle = (start.y + end.y) / 2
            bends = (Point(start.x, middle), Point(end.x, middle))
            if step[1] not in self.plan.real:
                through = f"V{number(end.y + sign * HEIGHT)}"
        return f"M{_at(start)}C{_at(bends[0])} {_at(bends[1])} {_at(end)}{through}"


def _ports(plan: _Plan, edges: Sequence[Edge]) -> dict[Step, Point]:
    """Where each line reaches its next box or dummy: those to one box side by side, in the order they come."""
    arriving: dict[tuple[str, bool], dict[Step, None]] = {}
    for edge, way in zip(edges, plan.drawing.ways, strict=True):
        for a, b in pairwise(way):
            forward = plan.depth_of[b] > plan.depth_of[a]
            arriving.setdefault((b, forward), {})[a, b, edge.relation] = None
    ports: dict[Step, Point] = {}
    for (node, forward), steps in arriving.items():
        x, y = plan.corner(node)
        breadth = (HEIGHT if plan.beside else plan.width) if node in plan.real else 0.0
        gap = min(breadth * 0.64 / max(len(steps) - 1, 1), 16 if plan.beside else 40)
        for i, step in enumerate(sorted(steps, key=lambda s: plan.drawing.places[s[0]])):
            along = breadth / 2 + (i - (len(steps) - 1) / 2) * gap
            if plan.beside:
                ports[step] = Point(x + (0 if forward else plan.width), y + along)
            else:
                ports[step] = Point(x + along, y + (0 if forward else HEIGHT))
    return ports


class _Labels:
    """Words at lines, where there is room for them; the legend says them all."""

    def __init__(self) -> None:
        self._taken: list[tuple[float, float, float, float]] = []

    def of(self, edge: Edge, middle: Point) -> Iterator[Markup]:
        """The word of an edge at the middle of its last stretch, unless another one is there."""
        words = relation_words(edge.relation, upstream=False)
        half = text_width(words, LABEL_SIZE) / 2 + 3
        place = (middle.x - half, middle.y - 8, middle.x + half, middle.y + 8)
        if any(_overlap(place, other) for other in self._taken):
            return
        self._taken.append(place)
        yield element(
            "rect", {"class": "cm-f-paper", "x": place[0], "y": place[1], "width": 2 * half, "height": 16, "rx": 3}
        )
        colour = _COLOURS.get(edge.relation, "muted")
        attrs: dict[str, str | float] = {"class": f"cm-label cm-f-{colour}", "x": middle.x, "y": middle.y + 4}
        yield element("text", {**attrs, "text-anchor": "middle"}, words)


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _arrow(end: Point, beside: bool, colour: str, *, forward: bool) -> Markup:
    back = -8.0 if forward else 8.0
    if beside:
        d = f"M{_at(end)}L{_at(Point(end.x + back, end.y - 4))}L{_at(Point(end.x + back, end.y + 4))}Z"
    else:
        d = f"M{_at(end)}L{_at(Point(end.x - 4, end.y + back))}L{_at(Point(end.x + 4, end.y + back))}Z"
    return element("path", {"class": f"cm-f-{colour}", "d": d})


def _legend(relations: list[str], y: float) -> tuple[list[Markup], float]:
    """A line and a word for each relation that is there, and how far they reach."""
    parts: list[Markup] = []
    x = MARGIN
    for relation in RELATIONS:
        if relation not in relations:
            continue
        words, colour = relation_words(relation, upstream=False), _COLOURS[relation]
        dashed = " cm-shown" if relation in SHOWN else ""
        line = {"class": f"cm-edge cm-s-{colour}{dashed}", "d": f"M{_at(Point(x, y - 4))}h22"}
        parts.append(element("path", line))
        parts.append(element("text", {"class": "cm-label cm-f-muted", "x": x + 28, "y": y}, words))
        x += 28 + text_width(words, LABEL_SIZE) + 18
    return parts, x


def _told(edge: Edge, known: dict[str, LineageNode]) -> str:
    return f"{known[edge.source].label} {edge.relation} {known[edge.target].label}"


def _at(point: Point) -> str:
    return f"{number(point.x)} {number(point.y)}"
