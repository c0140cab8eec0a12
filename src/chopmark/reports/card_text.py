"""Cards: Markdown that strangers wrote, shown with a few harmless forms and never as their HTML."""

from __future__ import annotations

import re
from collections.abc import Iterator

from chopmark.reports.svg import Markup, element

__all__ = ["card_html", "split_front_matter"]

_HEADING = re.compile(r"(#{1,6})\s+(\S.*)$")
_ITEM = re.compile(r"\s*(?:[-*+]|\d{1,9}[.)])\s+(.*)$")
_FENCE = re.compile(r"\s*(`{3,}|~{3,})")
_INLINE = re.compile(r"(`[^`\n]+`|\*\*[^*\n]+\*\*)")
_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?)\n---[ \t]*(?:\n|\Z)", re.DOTALL)


def split_front_matter(card: str) -> tuple[str, str]:
    """The YAML between the first two lines ``---``, and the rest; no YAML where there is none."""
    card = card.replace("\r\n", "\n").replace("\r", "\n")
    found = _FRONT_MATTER.match(card)
    return (found[1], card[found.end() :]) if found else ("", card)


def card_html(card: str) -> Markup:
    """Headings, paragraphs, lists, code, bold text; everything else as the text that it is."""
    _, body = split_front_matter(card)
    return Markup("".join(_blocks(body.split("\n"))))


def _blocks(lines: list[str]) -> Iterator[Markup]:
    at = 0
    while at < len(lines):
        line = lines[at]
        fence, heading = _FENCE.match(line), _HEADING.match(line)
        if fence:
            end = next((i for i in range(at + 1, len(lines)) if lines[i].strip().startswith(fence[1])), len(lines))
            yield element("pre", None, "\n".join(lines[at + 1 : end]))
            at = end + 1
        elif heading:
            yield element("h3", None, *_inline(heading[2].rstrip().rstrip("#").rstrip()))
            at += 1
        elif not line.strip():
            at += 1
        else:
            is_list = bool(_ITEM.match(line))
            end = at
            while end < len(lines) and _continues(lines[end], is_list):
                end += 1
            yield _listed(lines[at:end]) if is_list else element("p", None, *_inline(" ".join(lines[at:end])))
            at = end


def _continues(line: str, is_list: bool) -> bool:
    if not line.strip() or _FENCE.match(line) or _HEADING.match(line):
        return False
    return is_list or not _ITEM.match(line)


def _listed(lines: list[str]) -> Markup:
    items: list[str] = []
    for line in lines:
        found = _ITEM.match(line)
        if found:
            items.append(found[1])
        else:
            items[-1] += " " + line.strip()
    return element("ul", None, *(element("li", None, *_inline(item)) for item in items))


def _inline(text: str) -> Iterator[str]:
    for part in _INLINE.split(text):
        if part.startswith("`") and part.endswith("`") and len(part) > 2:  # noqa: PLR2004
            yield element("code", None, part[1:-1])
        elif part.startswith("**") and part.endswith("**") and len(part) > 4:  # noqa: PLR2004
            yield element("strong", None, part[2:-2])
        else:
            yield part
