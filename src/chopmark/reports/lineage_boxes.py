"""One box of a lineage picture: a version, a data set or a run, with what fits into it."""

from __future__ import annotations

from collections.abc import Sequence

from chopmark.domain.lineage_graph import LineageNode
from chopmark.domain.names import counted
from chopmark.reports.svg import Markup, element, number, text_width

__all__ = ["HEIGHT", "box", "box_width"]

HEIGHT = 50.0
WIDTH_MIN, WIDTH_MAX = 150.0, 270.0
PAD = 12.0
LABEL_SIZE, SMALL_SIZE = 13.0, 11.0

_STAGES = {
    "development": "muted",
    "staging": "1",
    "canary": "warn",
    "production": "good",
    "deprecated": "2",
    "archived": "muted",
}


def box_width(nodes: Sequence[LineageNode]) -> float:
    """Width that most of these nodes fit into; longer words are cut."""
    widest = max((max(_first_line(node), _second_line(node)) for node in nodes), default=0.0)
    return min(max(widest + 2 * PAD, WIDTH_MIN), WIDTH_MAX)


def _first_line(node: LineageNode) -> float:
    return text_width(node.label, LABEL_SIZE) * 1.04 + (_chip_width(node.stage) + 8 if node.stage else 0)


def _second_line(node: LineageNode) -> float:
    return text_width(_details(node), SMALL_SIZE)


def box(node: LineageNode, x: float, y: float, width: float, *, is_root: bool) -> Markup:
    """The box with its left upper corner at this place; what was cut is in its title."""
    told = " · ".join(text for text in (node.kind, node.label, node.summary) if text)
    parts = [element("title", None, told), *_outline(node, width, is_root)]
    room = width - 2 * PAD
    if node.stage:
        chip = _chip_width(node.stage)
        parts += _chip(node.stage, width - PAD - chip + 4, chip)
        room -= chip + 4
    ink = "cm-f-muted" if node.deleted else "cm-f-ink"
    label = _cut_middle(node.label, room, LABEL_SIZE * 1.04)
    parts.append(
        element("text", {"class": ink, "x": PAD, "y": 21, "font-weight": "600", "style": "font-size:13px"}, label)
    )
    details = _cut_end(_details(node), width - 2 * PAD, SMALL_SIZE)
    parts.append(element("text", {"class": "cm-f-muted", "x": PAD, "y": 39, "style": "font-size:11px"}, details))
    return element("g", {"transform": f"translate({number(x)} {number(y)})"}, *parts)


def _details(node: LineageNode) -> str:
    if node.kind == "version":
        marks = [node.semver, *(f"@{alias}" for alias in node.aliases), "deleted" if node.deleted else ""]
        return " · ".join(mark for mark in marks if mark)
    if node.dataset is None:
        return "data set" if node.kind == "dataset" else "run"
    rows = "" if node.dataset.row_count is None else counted(node.dataset.row_count, "row")
    version = f"version {node.dataset.version}" if node.dataset.version else ""
    return " · ".join(text for text in ("data set", node.dataset.split, rows, version) if text)


def _outline(node: LineageNode, width: float, is_root: bool) -> list[Markup]:
    line: dict[str, str | float] = {
        "class": f"cm-f-panel cm-s-{'ink' if is_root else 'line'}",
        "stroke-width": 2 if is_root else 1,
    }
    if node.deleted:
        line["stroke-dasharray"] = "3 3"
    if node.kind == "dataset":  # a drum, as data has been drawn since there were drums
        rim = 4
        around = (
            f"M0 {rim}A{number(width / 2)} {rim} 0 0 1 {number(width)} {rim}V{number(HEIGHT - rim)}"
            f"A{number(width / 2)} {rim} 0 0 1 0 {number(HEIGHT - rim)}Z"
        )
        front = f"M0 {rim}A{number(width / 2)} {rim} 0 0 0 {number(width)} {rim}"
        return [element("path", {**line, "d": around}), element("path", {**line, "d": front, "fill-opacity": 0})]
    corner = HEIGHT / 2 if node.kind == "run" else 7
    return [element("rect", {**line, "width": width, "height": HEIGHT, "rx": corner})]


def _chip_width(stage: str) -> float:
    return text_width(stage, SMALL_SIZE) + 12


def _chip(stage: str, x: float, width: float) -> list[Markup]:
    colour = _STAGES.get(stage, "muted")
    frame: dict[str, str | float] = {
        "class": f"cm-f-paper cm-s-{colour}",
        "x": x,
        "y": 8,
        "width": width,
        "height": 17,
        "rx": 8.5,
    }
    words: dict[str, str | float] = {
        "class": f"cm-f-{colour}",
        "x": x + width / 2,
        "y": 20,
        "text-anchor": "middle",
        "style": "font-size:11px",
    }
    return [element("rect", frame), element("text", words, stage)]


def _cut_end(text: str, room: float, size: float) -> str:
    if text_width(text, size) <= room:
        return text
    while text and text_width(text + "…", size) > room:
        text = text[:-1]
    return text.rstrip(" ·") + "…"


def _cut_middle(text: str, room: float, size: float) -> str:
    """The beginning and the end, which holds the number of a version."""
    if text_width(text, size) <= room:
        return text
    kept = len(text) - 1
    while kept > 1 and text_width(_without_middle(text, kept), size) > room:
        kept -= 1
    return _without_middle(text, kept)


def _without_middle(text: str, kept: int) -> str:
    tail = kept // 3
    return text[: kept - tail] + "…" + (text[-tail:] if tail else "")
