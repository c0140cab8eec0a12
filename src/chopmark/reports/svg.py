"""SVG as text: elements with everything escaped, and one stylesheet for light and dark pages.

Colours are named by their part in a picture (``ink``, ``muted``, ``good`` …). An element takes
one by a class: ``cm-f-good`` fills with it, ``cm-s-good`` strokes with it. The rules are written out
without variables, so that programs that are no browser show the light colours.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["DARK", "LIGHT", "Markup", "document", "element", "number", "stylesheet", "text_width"]

FONT = "system-ui, -apple-system, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif"

LIGHT = {
    "paper": "#ffffff",
    "panel": "#f5f7fa",
    "ink": "#1b2430",
    "muted": "#5b6776",
    "line": "#c3cbd5",
    "good": "#1a7f4b",
    "warn": "#9a6200",
    "bad": "#b3261e",
    "1": "#2563b8",
    "2": "#ad4a10",
    "3": "#1a7f6b",
    "4": "#7c4dbd",
    "5": "#a8326b",
    "6": "#5c6719",
}
"""Colour of each part on a light page; ``1`` to ``6`` tell series apart, also for most who see few colours."""

DARK = {
    "paper": "#14191f",
    "panel": "#1e262f",
    "ink": "#e6ebf1",
    "muted": "#a0acba",
    "line": "#45515f",
    "good": "#4cc38a",
    "warn": "#e0a63c",
    "bad": "#f2827a",
    "1": "#6ea8f0",
    "2": "#f0945a",
    "3": "#4fc0a8",
    "4": "#b794ec",
    "5": "#e87fae",
    "6": "#b4c25a",
}
"""The same on a dark page."""


class Markup(str):
    """Text that is markup already, and is not escaped again."""

    __slots__ = ()


def element(tag: str, attrs: Mapping[str, str | float] | None = None, *children: str) -> Markup:
    """One element with its children.

    Parameters
    ----------
    tag
        Its name.
    attrs
        Attributes; numbers are written as short as `number` makes them, texts are escaped.
    children
        `Markup` stands as it is; any other text is escaped.
    """
    words = "".join(f' {name}="{_attribute(value)}"' for name, value in (attrs or {}).items())
    if not children:
        return Markup(f"<{tag}{words}/>")
    inside = "".join(child if isinstance(child, Markup) else _escaped(child) for child in children)
    return Markup(f"<{tag}{words}>{inside}</{tag}>")


def document(width: float, height: float, title: str, *children: str, about: str = "", style: str = "") -> Markup:
    """A whole picture, which can stand alone or inside a page.

    Parameters
    ----------
    width, height
        In pixels; it shrinks to the width of its page.
    title, about
        What a screen reader says: a short name, and what is to be seen.
    children
        What is drawn.
    style
        More CSS rules than the common ones.
    """
    attrs: dict[str, str | float] = {
        "xmlns": "http://www.w3.org/2000/svg",
        "class": "cm-svg",
        "role": "img",
        "viewBox": f"0 0 {number(width)} {number(height)}",
        "width": width,
        "height": height,
    }
    words = [element("title", None, title)]
    if about:
        words.append(element("desc", None, about))
    paper = element("rect", {"class": "cm-f-paper", "width": width, "height": height})
    return element("svg", attrs, *words, element("style", None, stylesheet(style)), paper, *children)


def stylesheet(more: str = "") -> Markup:
    """CSS rules of every picture: the font, and the colours of light and dark pages."""
    font = f".cm-svg text{{font-family:{FONT};font-size:13px}}"
    # In a page it shrinks with it; programs that are no browser would take the height for none at all.
    shrinks = "@media screen{.cm-svg{max-width:100%;height:auto}}"
    dark = f"@media (prefers-color-scheme:dark){{{_colours(DARK)}}}"
    return Markup(font + _colours(LIGHT) + more + shrinks + dark)


def number(value: float) -> str:
    """A length with at most two decimals and nothing that is not needed."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if value % 1 else str(int(value))


def text_width(text: str, size: float = 13.0) -> float:
    """Width that a text surely fits into, in pixels, for common proportional fonts.

    An upper estimate by kinds of character: no font is asked, so that the same picture comes out
    everywhere.
    """
    return sum(_character_width(c) for c in text) * size


def _character_width(character: str) -> float:
    if character in "iljtfrI.,:;'|!()[]{} -/":
        return 0.42
    if character in "mwMW@%…—":
        return 1.0
    # East Asian scripts, pictures, and the sign that stands for what cannot be shown.
    if ord(character) >= 0x2E80 or character < " ":  # noqa: PLR2004
        return 1.15
    return 0.74 if character.isupper() else 0.62


def _colours(palette: Mapping[str, str]) -> str:
    return "".join(f".cm-f-{name}{{fill:{c}}}.cm-s-{name}{{stroke:{c}}}" for name, c in palette.items())


def _attribute(value: str | float) -> str:
    return _escaped(value).replace('"', "&quot;") if isinstance(value, str) else number(value)


def _escaped(text: str) -> str:
    # What XML cannot hold at all (control characters, halves of pairs) is shown as what it is: broken.
    legal = "".join(
        c if c in "\t\n\r" or (c >= " " and not "\ud800" <= c <= "\udfff" and c not in "\ufffe\uffff") else "\ufffd"
        for c in text
    )
    return legal.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
