"""SVG that is well-formed whatever it is told to show."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from chopmark.reports.svg import DARK, LIGHT, Markup, document, element, number, stylesheet, text_width

ANY_TEXT = st.text(st.characters(), max_size=30)


@given(ANY_TEXT, ANY_TEXT)
def test_any_text_stays_text(attribute: str, child: str) -> None:
    parsed = ET.fromstring(element("text", {"data-x": attribute}, child))
    assert list(parsed) == []
    assert set(parsed.attrib) == {"data-x"}


def test_what_is_escaped_is_read_back() -> None:
    told = """<script>"a" & 'b'</script>"""
    parsed = ET.fromstring(element("text", {"id": told}, told))
    assert (parsed.text, parsed.attrib["id"]) == (told, told)


def test_markup_is_not_escaped_again() -> None:
    assert element("g", None, element("a", {"x": 1.5}), "<") == '<g><a x="1.5"/>&lt;</g>'
    assert isinstance(element("g"), Markup)


def test_numbers_are_short() -> None:
    assert [number(v) for v in (1, 2.0, 1.5, 0.123, -3.1000001, 10, 100.0, 0.001)] == [
        "1", "2", "1.5", "0.12", "-3.1", "10", "100", "0",
    ]  # fmt: skip


def test_the_document_says_what_it_is_and_asks_for_nothing_outside() -> None:
    drawn = document(10, 20, "A & B", element("circle", {"r": 3}), about="Two letters")
    parsed = ET.fromstring(drawn)
    ns = "{http://www.w3.org/2000/svg}"
    assert [c.tag.removeprefix(ns) for c in parsed] == ["title", "desc", "style", "rect", "circle"]
    assert parsed[0].text == "A & B"
    assert parsed.attrib["viewBox"] == "0 0 10 20"
    assert not any(word in drawn for word in ("href", "url(", "@import", "<script"))


def test_dark_has_every_colour_of_light() -> None:
    assert LIGHT.keys() == DARK.keys()
    light, _, dark = stylesheet().split("@media")
    for name in LIGHT:
        assert f".cm-f-{name}{{fill:{LIGHT[name]}}}" in light
        assert f".cm-f-{name}{{fill:{DARK[name]}}}" in dark


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_every_word_can_be_read() -> None:
    """WCAG 2.2, 1.4.3: contrast of at least 4.5 : 1 for text on either background."""
    for palette in (LIGHT, DARK):
        for ground in ("paper", "panel"):
            back = _luminance(palette[ground])
            for name in palette.keys() - {"paper", "panel", "line"}:
                high, low = sorted((_luminance(palette[name]), back), reverse=True)
                assert (high + 0.05) / (low + 0.05) >= 4.5, (ground, name)


def test_wider_texts_are_wider() -> None:
    assert text_width("") == 0
    assert text_width("illi") < text_width("abcd") < text_width("MWMW") < text_width("数据模型")
    assert text_width("ab", 26) == 2 * text_width("ab", 13)
