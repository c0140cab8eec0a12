"""What a class says of itself and of its attributes, out of its docstring in numpy's style; pure."""

from __future__ import annotations

import inspect
import re
from typing import NamedTuple

__all__ = ["Said", "said_by"]

_SECTION = re.compile(r"^(\w+)\n-+\n", re.MULTILINE)
_NAMES = re.compile(r"\w+(?:, \w+)*")


class Said(NamedTuple):
    """A class in words: the class, and its attributes by name."""

    about: str
    attributes: dict[str, str]


def said_by(kind: type) -> Said:
    """What the docstring of a class says; Python's marks of code become Markdown's."""
    text = inspect.getdoc(kind) or ""
    about, *sections = _SECTION.split(text)
    found: dict[str, str] = {}
    for title, content in zip(sections[::2], sections[1::2], strict=True):
        if title == "Attributes":
            found |= _attributes(content)
    return Said(_plain(about), found)


def _attributes(content: str) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    names: list[str] = []
    for line in content.splitlines():
        if _NAMES.fullmatch(line):
            names = line.split(", ")
            found |= {name: [] for name in names}
        elif names:
            for name in names:
                found[name].append(line)
    return {name: _plain("\n".join(lines)) for name, lines in found.items()}


def _plain(text: str) -> str:
    words = " ".join(text.split())
    return (
        words.replace("``", "`")
        .replace("What is UNSET", "What is left out")
        .replace("what is UNSET", "what is left out")
    )
