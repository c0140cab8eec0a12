"""Lineage as a picture: well-formed, inside its frame, with words inside their boxes."""

from __future__ import annotations

import re
from itertools import combinations, pairwise
from xml.etree import ElementTree as ET

from hypothesis import given, settings

from chopmark.domain.lineage_graph import LineageGraph
from chopmark.reports.lineage_boxes import HEIGHT, box_width
from chopmark.reports.lineage_svg import lineage_svg
from chopmark.reports.svg import text_width
from tests.reports.graphs import dataset, graph, graphs, run, version

NS = "{http://www.w3.org/2000/svg}"


def boxes(drawn: ET.Element) -> dict[str, tuple[float, float]]:
    """Left upper corner of each box by its title."""
    found = {}
    for group in drawn.iter(f"{NS}g"):
        title = group.find(f"{NS}title")
        assert title is not None
        assert title.text is not None
        x, y = map(float, re.findall(r"[\d.]+", group.attrib["transform"]))
        found[title.text] = (x, y)
    return found


def family() -> LineageGraph:
    one, two = version(1, stage="archived"), version(2, stage="production", aliases=("champion",))
    both, data = version(9, label="both:1"), dataset("march", row_count=12)
    return graph(
        two,
        (two, "retrained_from", one),
        (one, "trained_on", data),
        (two, "trained_on", data),
        (two, "produced_by", run("night-7")),
        (two, "ensemble_member_of", both),
        (both, "evaluated_on", dataset("holdout")),
    )


def test_what_a_picture_says() -> None:
    drawn = ET.fromstring(lineage_svg(family()))
    texts = [t.text for t in drawn.iter(f"{NS}text")]
    for words in ("fraud:1", "fraud:2", "both:1", "march", "night-7", "production", "1.2.0 · @champion"):
        assert words in texts, words
    for relation in ("trained", "retrained as", "produced", "member of", "evaluated"):
        assert texts.count(relation) >= 2, relation  # at a line and in the legend
    assert drawn.findtext(f"{NS}title") == "Lineage of fraud:2"
    assert "fraud:2 retrained_from fraud:1" in (drawn.findtext(f"{NS}desc") or "")
    told = {t.text for t in drawn.iter(f"{NS}title")}
    assert "fraud:2 ensemble_member_of both:1" in told
    assert "version · fraud:2 · 1.2.0 · production · @champion" in told
    dashed = [p for p in drawn.iter(f"{NS}path") if "cm-shown" in p.attrib["class"]]
    assert len(dashed) == 2  # the line and its sample in the legend


def test_arrows_lead_from_what_was_first() -> None:
    """Data, then the first version, then the second, then the ensemble: from left to right."""
    found = boxes(ET.fromstring(lineage_svg(family())))
    x = {title.split(" · ")[1]: corner[0] for title, corner in found.items()}
    assert x["march"] < x["fraud:1"] < x["fraud:2"] < x["both:1"]
    assert x["night-7"] == x["fraud:1"]


def test_a_long_chain_goes_down_the_page() -> None:
    chain = [version(n) for n in range(30)]
    edges = [(b, "retrained_from", a) for a, b in pairwise(chain)]
    drawn = ET.fromstring(lineage_svg(graph(chain[0], *edges)))
    assert float(drawn.attrib["width"]) < 500
    ys = [corner[1] for corner in boxes(drawn).values()]
    assert ys == sorted(ys)


@settings(deadline=None)
@given(graphs())
def test_every_picture_is_whole(given_graph: LineageGraph) -> None:
    text = lineage_svg(given_graph)
    drawn = ET.fromstring(text)
    assert text == lineage_svg(given_graph)
    width, height = float(drawn.attrib["width"]), float(drawn.attrib["height"])
    room = box_width(given_graph.nodes)
    corners = [tuple(map(float, re.findall(r"[\d.]+", g.attrib["transform"]))) for g in drawn.iter(f"{NS}g")]
    assert len(corners) == len(given_graph.nodes)
    assert all(x >= 0 and x + room <= width and y >= 0 and y + HEIGHT <= height for x, y in corners)
    for (x1, y1), (x2, y2) in combinations(corners, 2):
        assert abs(x1 - x2) >= room or abs(y1 - y2) >= HEIGHT, "two boxes overlap"
    for group in drawn.iter(f"{NS}g"):
        for words in group.iter(f"{NS}text"):
            size = float(re.findall(r"font-size:(\d+)px", words.attrib["style"])[0])
            half = words.attrib.get("text-anchor") == "middle"
            reach = text_width(words.text or "", size) / (2 if half else 1)
            assert float(words.attrib["x"]) + reach <= room + 1, words.text
    for path in drawn.iter(f"{NS}path"):
        assert "nan" not in path.attrib["d"]
