"""Cards as Markdown that cannot act: no HTML, no picture that is fetched, no link that runs something.

Renderers differ in where code begins and ends, and what stands in code is left as it is written. So code is
believed only where CommonMark, GitHub's tables and lists leave no doubt about it; anywhere else text that is
code after all shows ``&lt;`` in place of ``<``, which does no harm.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape

__all__ = ["harmless_markdown", "plain_lines"]

_FENCE = re.compile(r"(\s*)(`{3,}(?=[^`]*$)|~{3,})")
_INNER_FENCE = re.compile(r"[\s>]*(?:(?:[-*+]|\d{1,9}[.)])\s+|>\s*)*(?:`{3,}|~{3,})")
_RUN = re.compile(r"`+")
_OPENS_INDENTED = re.compile(r" {0,3}(?:[-*+:]|\d{1,9}[.)]|\[\^[^\]]*\]:)(?:\s|$)")
_INDENTED_CODE = re.compile(r"(?: {4}| {0,3}\t)")
_TAG_START = re.compile(r"<(?=[A-Za-z/!?])")
_AUTOLINK = re.compile(r"<(?:(?:https?://|mailto:)[^\s<>`\"'\\]+|[\w.+-]+@[\w-]+(?:\.[\w-]+)+)>", re.IGNORECASE)
_TARGET = re.compile(r"[\s>]*(?:<([^<>\n]{0,300})|(\S{0,300}))")
_TARGET_LENGTH_READ = 300
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*):", re.IGNORECASE)
_SCHEMES = ("http", "https", "mailto")
_PUNCTUATION = re.compile(r"\\([!-/:-@\[-`{-~])")
_BLANKS = re.compile(r"[\x00-\x20\x7f-\xa0]+")
_CONTROLS = {code: "�" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\t\n"}


def plain_lines(text: str) -> str:
    r"""Text whose line ends are ``\n`` and whose other control characters, tabs apart, are ``�``."""
    return text.replace("\r\n", "\n").replace("\r", "\n").translate(_CONTROLS)


def harmless_markdown(markdown: str) -> str:
    """Markdown whose HTML is shown and not obeyed, whose images are links, whose links lead to the web or by mail.

    Relative targets stay; of any other target (``javascript:``, ``data:``, ``file:`` …) the link is shown
    as the text that it is.
    """
    return "\n".join(_parts(plain_lines(markdown).split("\n")))


def _parts(lines: list[str]) -> Iterator[str]:
    """The lines again, code as it is and paragraphs defused."""
    at = 0
    in_doubt = within = False  # whether fences cannot be told any more; whether indentation may belong to a list
    while at < len(lines):
        line = lines[at]
        fence = None if in_doubt else _FENCE.match(line)
        if fence and not fence[1]:
            end = _fence_end(lines, at, fence[2])
            yield from lines[at:end]
            within = False
        elif not line.strip():
            yield line
            end = at + 1
        elif _INDENTED_CODE.match(line) and not within and not in_doubt:
            yield line
            end = at + 1
            while end < len(lines) and _INDENTED_CODE.match(lines[end]):
                yield lines[end]
                end += 1
        else:
            end = at
            while end < len(lines) and lines[end].strip() and (in_doubt or not _is_outer_fence(lines[end])):
                in_doubt = in_doubt or _INNER_FENCE.match(lines[end]) is not None
                within = bool(_OPENS_INDENTED.match(lines[end])) or (within and (end > at or lines[end][0].isspace()))
                end += 1
            yield _defused("\n".join(lines[at:end]), has_code=not in_doubt)
        at = end


def _is_outer_fence(line: str) -> bool:
    found = _FENCE.match(line)
    return found is not None and not found[1]


def _fence_end(lines: list[str], at: int, fence: str) -> int:
    closing = re.compile(rf" {{0,3}}{re.escape(fence[0])}{{{len(fence)},}}[ \t]*")
    return next((i + 1 for i in range(at + 1, len(lines)) if closing.fullmatch(lines[i])), len(lines))


def _defused(text: str, *, has_code: bool) -> str:
    """Lines without a blank one between them; code within a line is left where every reading agrees that it is code."""
    out: list[str] = []
    at, line_end = 0, 0
    while at < len(text):
        char = text[at]
        if at >= line_end:
            line_end = text.find("\n", at) + 1 or len(text) + 1
        if char == "\\" and at + 1 < len(text):
            out.append("&lt;" if text[at + 1] == "<" else text[at : at + 2])
            at += 2
            continue
        ticks = _RUN.match(text, at)
        if ticks:
            run = len(ticks[0])
            end = _span_end(text, at + run, line_end, run) if has_code else -1
            has_code = has_code and end > 0
            end = max(end, at + run)
            out.append(text[at:end])
            at = end
            continue
        piece, at = _token(text, at)
        out.append(piece)
    return "".join(out)


def _span_end(text: str, start: int, line_end: int, run: int) -> int:
    """Where code that opened before ``start`` ends on the same line; -1 where it does not, or a table may cut it."""
    closing = re.compile(rf"(?<!`)`{{{run}}}(?!`)").search(text, start, line_end)
    return closing.end() if closing and "|" not in text[start : closing.start()] else -1


def _token(text: str, at: int) -> tuple[str, int]:
    """What is written for the text at a place, and where the text goes on."""
    char = text[at]
    if char == "<":
        link = _AUTOLINK.match(text, at)
        if link:
            return link[0], link.end()
        return ("&lt;" if _TAG_START.match(text, at) else "<"), at + 1
    if char == "!":
        bangs = at
        while bangs < len(text) and text[bangs] == "!":
            bangs += 1
        return ("" if text[bangs : bangs + 1] == "[" else text[at:bangs]), bangs
    if char == "]" and text[at + 1 : at + 2] in ("(", ":"):
        mark = text[at + 1]
        return ("]" + mark if _is_harmless(text, at + 2) else "]\\" + mark), at + 2
    return char, at + 1


def _is_harmless(text: str, at: int) -> bool:
    found = _TARGET.match(text, at)
    raw = (found[1] or found[2] or "") if found else ""
    # as a browser reads it in the end
    target = _BLANKS.sub("", unescape(_PUNCTUATION.sub(r"\1", raw)))
    scheme = _SCHEME.match(target)
    if scheme is None:
        return len(raw) < _TARGET_LENGTH_READ or not {"&", "\\"} & set(raw)  # who hides that much has a reason
    return scheme[1].lower() in _SCHEMES
