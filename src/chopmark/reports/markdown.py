"""Markdown in which the texts of strangers stay texts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

__all__ = ["bullet_list", "code_block", "escaped", "markdown_table"]

_SPECIAL = re.compile(r"([\\`*_{}\[\]>#|~!])")
_AT_START = re.compile(r"^(\s*)([-+=]|\d+[.)])(?=\s|$)")
_WITHIN_WORD = re.compile(r"(?<=[^\W_])(?:\\_)+(?=[^\W_])")
_FENCE = re.compile(r"`{3,}")


def escaped(text: str) -> str:
    """One line of text that Markdown shows as it is, without markup, links or HTML.

    An underscore within a word needs no escape and keeps none, so that names stay readable.
    """
    line = " ".join(text.split())
    line = _SPECIAL.sub(r"\\\1", line.replace("&", "&amp;").replace("<", "&lt;"))
    line = _WITHIN_WORD.sub(lambda found: found[0].replace("\\", ""), line)
    return _AT_START.sub(r"\1\\\2", line)


def bullet_list(items: Iterable[str]) -> str:
    """Texts as a list; nothing when there are none."""
    return "\n".join(f"- {escaped(item)}" for item in items)


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of texts without columns that are blank in all rows; nothing without rows."""
    cells = [list(row) for row in rows]
    kept = [i for i in range(len(head)) if i == 0 or any(row[i].strip() for row in cells)]
    lines = [_line([row[i] for i in kept]) for row in cells]
    return "\n".join([_line([head[i] for i in kept]), "|" + " --- |" * len(kept), *lines]) if lines else ""


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(escaped(cell) for cell in cells) + " |"


def code_block(text: str, language: str = "") -> str:
    """Text as a block of code that it cannot close itself."""
    longest = max((len(fence) for fence in _FENCE.findall(text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"
