"""What a page of the documentation holds: code blocks with their place, links, headings."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

_FENCE = re.compile(r"^(?P<fence>`{3,}|~{3,})(?P<info>[^`]*)$")
_LINK = re.compile(r"(?<!!)\[(?:[^\[\]]|\[[^\]]*\])*\]\((?P<target>[^()\s]+)\)")
_HEADING = re.compile(r"^#{1,6} +(?P<text>.+?) *#*$")
_CODE_SPAN = re.compile(r"`[^`]*`")

EXECUTED = frozenset({"python", "shell", "console"})
# What is shown and not run: no code at all, or the content of a file.
SHOWN = frozenset({"text", "toml", "json", "mermaid"})


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and the line of the page where the text begins (from 1)."""

    language: str
    text: str
    line: int


def pages() -> list[Path]:
    """README and every page below docs, but for the decision records, which show no examples."""
    found = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [page for page in found if page.relative_to(ROOT).parts[:2] != ("docs", "adr")]


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(text: str) -> list[Block]:
    found: list[Block] = []
    opened: tuple[str, str, int] | None = None
    held: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        matched = _FENCE.match(line)
        if opened is None:
            if matched:
                opened, held = (matched["fence"], matched["info"].strip(), number + 1), []
        elif matched and matched["fence"] == opened[0] and not matched["info"].strip():
            found.append(Block(opened[1], "".join(f"{each}\n" for each in held), opened[2]))
            opened = None
        else:
            held.append(line)
    if opened is not None:
        raise ValueError(f"the block that begins above line {opened[2]} is not closed")
    return found


def prose(text: str) -> Iterator[str]:
    """Lines outside of code blocks."""
    fence = ""
    for line in text.splitlines():
        matched = _FENCE.match(line)
        if matched and (not fence or matched["fence"] == fence):
            fence = "" if fence else matched["fence"]
        elif not fence:
            yield line


def links(text: str) -> list[str]:
    return [each["target"] for line in prose(text) for each in _LINK.finditer(_CODE_SPAN.sub("", line))]


def anchors(text: str) -> set[str]:
    """Anchors of the headings, made as the usual renderers make them."""
    headings = (matched["text"] for line in prose(text) if (matched := _HEADING.match(line)))
    seen: dict[str, int] = {}
    made = set()
    for heading in headings:
        slug = re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower()).replace(" ", "-")
        count = seen.get(slug, 0)
        seen[slug] = count + 1
        made.add(f"{slug}-{count}" if count else slug)
    return made
